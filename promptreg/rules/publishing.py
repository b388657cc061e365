"""What goes live: publishing, failed checks and rolling back (rules 4, 5 and 9), as decisions.

The planners are like those in `lifecycle.py`, whose picture shows the states of a version.
"""

from collections.abc import Sequence

from promptreg.errors import ConflictError
from promptreg.jsonvalues import FrozenList
from promptreg.records import Container, VersionRecord
from promptreg.rules.conflicts import require_expected
from promptreg.rules.inputs import ANYTHING, Expected
from promptreg.rules.outcomes import Author, Outcome, new_event, touched
from promptreg.rules.selection import require_unarchived


def plan_publish(
    container: Container, version: VersionRecord, author: Author, expected: Expected = ANYTHING
) -> Outcome:
    """Make this version production and push it on the stack of publications (rules 4 and 5).

    Nothing changes where it is live already. Raises `NotModifiableError` for an archived prompt, and
    `VersionConflictError`.
    """
    require_unarchived(container)
    require_expected(container, version, expected)
    return published(container, version, author)


def published(container: Container, version: VersionRecord, author: Author) -> Outcome:
    """Return the outcome of a publication that nothing forbids."""
    if container.production_version == version.number:
        return Outcome(container, version)
    event = new_event("publish", author, version.number, previous=container.production_version or 0)
    after = container._replace(production_version=version.number)
    if version.state == "published":
        return touched(container, version, event, author, after=after, published=version.number)
    live = version._replace(state="published", published_at=author.now, failure=None)
    return touched(container, live, event, author, after=after, edited=live, published=version.number)


def plan_check_failed(
    container: Container,
    version: VersionRecord,
    checked: VersionRecord,
    reasons: Sequence[str],
    author: Author,
) -> Outcome:
    """Mark a draft or failed version as failed, if it still has the content that was checked (rule 9)."""
    require_unarchived(container)
    if version.state == "published" or version.snapshot.content_hash != checked.snapshot.content_hash:
        return Outcome(container, version)
    failed = version._replace(state="failed", failure=FrozenList(reasons))
    event = new_event("check_failed", author, version.number, reasons=list(reasons))
    return touched(container, failed, event, author, edited=failed)


def plan_rollback(
    container: Container,
    chosen: VersionRecord | None,
    previous: VersionRecord | None,
    stack: Sequence[int],
    reason: str,
    author: Author,
    expected: Expected = ANYTHING,
) -> Outcome:
    """Bring an earlier published version back into production (rule 5).

    It is the version that the caller chose, or `previous`, the one below the top of the stack of publications. Raises
    `NotModifiableError` for an archived prompt, `ConflictError` where there is no such version or it was never
    published, and `VersionConflictError`.
    """
    require_unarchived(container)
    target, depth = _rollback_target(container, chosen, previous, stack)
    require_expected(container, target, expected)
    if target.number == container.production_version:
        return Outcome(container, target)
    event = new_event("rollback", author, target.number, previous=container.production_version or 0, reason=reason)
    after = container._replace(production_version=target.number)
    if depth is None:
        return touched(container, target, event, author, after=after, published=target.number)
    return touched(container, target, event, author, after=after, kept_publications=depth)


def _rollback_target(
    container: Container, chosen: VersionRecord | None, previous: VersionRecord | None, stack: Sequence[int]
) -> tuple[VersionRecord, int | None]:
    """Return the version to roll back to and how much of the stack is kept; None means that it is pushed instead."""
    if chosen is None:
        if previous is None:
            raise ConflictError(
                f"Nothing was in production before this version of {container.name!r}; choose a published version that"
                " history() lists, or disable() the prompt."
            )
        return previous, len(stack) - 1
    if chosen.state != "published":
        raise ConflictError(f"Version {chosen.number} of {container.name!r} was never published; publish() it instead.")
    depths = [depth for depth, number in enumerate(stack, start=1) if number == chosen.number]
    return chosen, depths[-1] if depths else None
