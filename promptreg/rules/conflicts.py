"""Optimistic concurrency: what the caller of a change expects, and what its checks were run on (rules 4 and 9).

Where a stored value differs, that is a `VersionConflictError`, whose `expected` and `actual` are the two values.
"""

from typing import NamedTuple

from promptreg.errors import VersionConflictError
from promptreg.models import Status
from promptreg.records import Change, Container, VersionRecord
from promptreg.rules.inputs import Expected

AGAIN = "read it again and repeat the change"


class CheckedState(NamedTuple):
    """What must not change while checks run. `production` is the number of the live version, 0 for none.

    `version` is the number of an existing version, and None of one that the call makes.
    """

    production: int
    name: str
    status: Status
    version: int | None
    content_hash: str


_DESCRIPTIONS = {
    "production": "its production version",
    "name": "its name",
    "status": "its status",
    "version": "the version that was meant",
    "content_hash": "its content (by content_hash)",
}


def checked_state(container: Container, version: VersionRecord, change: Change | None) -> CheckedState:
    """Return the state that a change is checked in: the prompt as it will be, and what is live before the change."""
    before = container if change is None else change.before
    return CheckedState(
        production=0 if before is None else before.production_version or 0,
        name=container.name,
        status=container.status,
        version=None if change is not None and change.added is not None else version.number,
        content_hash=version.snapshot.content_hash,
    )


def require_unchanged(checked: CheckedState, found: CheckedState, *, only_content: bool) -> None:
    """Raise `VersionConflictError` for the first field that changed while the checks ran (rule 9).

    With `only_content`, where nothing but examples was rendered, only the content is compared. The number of a
    version that the call makes may change, because others may save drafts meanwhile.
    """
    for field in ("content_hash",) if only_content else CheckedState._fields:
        expected, actual = getattr(checked, field), getattr(found, field)
        if expected != actual and None not in {expected, actual}:
            raise changed_meanwhile(checked.name, field, expected, actual)


def changed_meanwhile(name: str, field: str, expected: object, actual: object) -> VersionConflictError:
    """Return the error for a prompt that changed while its checks ran; `field` is one of `CheckedState`."""
    return VersionConflictError(
        f"{name!r} changed while it was checked: {_DESCRIPTIONS[field]} was {expected} and is {actual}; {AGAIN}.",
        expected=expected,
        actual=actual,
        field=field,
    )


def require_expected(container: Container, version: VersionRecord, expected: Expected) -> None:
    """Raise `VersionConflictError` where the prompt is not as the caller expects (rule 4).

    `version` is the base of an update, or the version that is edited or published.
    """
    name, number = container.name, version.number
    live = container.production_version or 0
    content_hash = version.snapshot.content_hash
    if expected.version not in {None, number}:
        raise _unexpected(f"An update of {name!r} starts from version {number}", expected.version, number)
    if expected.production not in {None, live}:
        raise _unexpected(f"The version of {name!r} in production is {live or 'none'}", expected.production, live)
    if expected.content_hash not in {None, content_hash}:
        what = f"The content_hash of version {number} of {name!r} is {content_hash}"
        raise _unexpected(what, expected.content_hash, content_hash)


def _unexpected(what: str, expected: int | str | None, actual: int | str) -> VersionConflictError:
    return VersionConflictError(
        f"{what}, and {expected or 'none'} was expected; {AGAIN}.", expected=expected, actual=actual
    )
