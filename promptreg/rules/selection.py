"""Which version a call means: by number, by label, or without either (rules 5 and 8)."""

from collections.abc import Sequence

from promptreg.errors import LISTED, ConflictError
from promptreg.records import Container
from promptreg.rules.names import Selector
from promptreg.rules.refusals import archived, latest, no_production_version, version_not_found


def number_of(container: Container, selector: Selector | None) -> int:
    """Return the number that a selector means, None being production. That version itself may not exist.

    Raises `VersionNotFoundError` for an unknown label, `NoProductionVersionError` where nothing was ever live.
    """
    number = container.number_of(selector)
    if number is not None:
        return number
    if selector is None or selector == "production":
        raise no_production_version(container, selector)
    raise version_not_found(container, selector)


def number_to_publish(container: Container, unpublished: Sequence[int]) -> int:
    """Return the number that `publish` means without a version: the only draft, or what is live and latest (rule 5)."""
    require_unarchived(container)
    if unpublished:
        return _only(container, unpublished)
    if container.production_version != container.latest_version:
        raise ConflictError(
            f"{container.name!r} has no draft to publish: version {container.production_version} is live, and version"
            f" {container.latest_version}, the latest, was live before; choose one, such as {latest(container)}.",
            name=container.name,
            versions=[],
        )
    return container.latest_version


def number_to_check(container: Container, unpublished: Sequence[int]) -> int:
    """Return the number that `check` means without a version: the only draft, or what is live (rule 5)."""
    return _only(container, unpublished) if unpublished else container.shown_version


def number_to_discard(container: Container, unpublished: Sequence[int]) -> int:
    """Return the number that `discard` means without a version: the only draft or failed version (rule 5)."""
    require_unarchived(container)
    if not unpublished:
        raise ConflictError(
            f"{container.name!r} has no draft or failed version to discard.", name=container.name, versions=[]
        )
    return _only(container, unpublished)


def require_unarchived(container: Container) -> None:
    """Raise `NotModifiableError` for an archived prompt, of which nothing can be changed (rule 14)."""
    if container.is_archived:
        raise archived([container.name])


def _only(container: Container, unpublished: Sequence[int]) -> int:
    if len(unpublished) > 1:
        shown = ", ".join(map(str, sorted(unpublished)[:LISTED]))
        newest = repr(f"{container.name}@{max(unpublished)}")
        more = f" and {len(unpublished) - LISTED} more" if len(unpublished) > LISTED else ""
        raise ConflictError(
            f"{container.name!r} has several drafts or failed versions: {shown}{more}; choose one, such as {newest}.",
            name=container.name,
            versions=sorted(unpublished),
        )
    return unpublished[0]
