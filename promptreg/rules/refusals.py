"""The errors that refuse a call because of what is stored, each with its sentence and its details.

Rules and lookups raise them; nothing in here decides whether to refuse. The order of refusals is in `planning.py`.
"""

from collections.abc import Mapping

from promptreg.errors import (
    RETRY_AFTER,
    NameTakenError,
    NoProductionVersionError,
    NotFoundError,
    NotModifiableError,
    PromptDisabledError,
    StorageBusyError,
    StorageError,
    VersionNotFoundError,
    listed,
)
from promptreg.records import Container, VersionRecord
from promptreg.rules.names import Selector


def not_found(names: list[str], namespace: str, *, near: Mapping[str, str] | None = None) -> NotFoundError:
    """Return the error for names that do not exist, or that the actor may not read (rule 18).

    `near` maps some of the names to the existing ones that may be meant.
    """
    pairs = [f"{other!r} for {name!r}" if len(names) > 1 else repr(other) for name, other in (near or {}).items()]
    meant = f" did you mean {', '.join(pairs)}?" if pairs else ""
    is_one = "is no prompt" if len(names) == 1 else "are no prompts"
    return NotFoundError(
        f"There {is_one} {listed(names)} in the namespace {namespace!r};{meant} list() shows those that there are.",
        names=names,
    )


def version_not_found(container: Container, selector: Selector, *, near: str | None = None) -> VersionNotFoundError:
    """Return the error for a version or label that the prompt does not have (rule 8); `near` may be meant."""
    if isinstance(selector, int):
        found = f"no version {selector}; its latest is {container.latest_version}, and history() lists them"
    else:
        meant = "" if near is None else f" (did you mean {near!r}?)"
        found = f"no label {selector!r}{meant}; it has {listed(sorted(container.all_labels()))}"
    return VersionNotFoundError(f"{container.name!r} has {found}.", name=container.name, version=selector)


def no_production_version(container: Container, selector: Selector | None) -> NoProductionVersionError:
    """Return the error for a prompt that has never had a version in production.

    Verbs that mean production where no version is chosen all take `name@3`, though not all of them `version=`.
    """
    other = f", or choose one, such as {latest(container)}" if selector is None else ""
    return NoProductionVersionError(
        f"No version of {container.name!r} is in production; publish one{other}.",
        name=container.name,
        version=None,
    )


def latest(container: Container) -> str:
    """Return how a caller names the latest version of a prompt."""
    return repr(f"{container.name}@{container.latest_version}")


def archived(names: list[str]) -> NotModifiableError:
    """Return the error for a change to archived prompts (rule 14)."""
    return NotModifiableError(
        f"Archived, so nothing of it can be changed: {listed(names)}; restore() it first.",
        code="prompt_archived",
        names=names,
        state="archived",
    )


def not_modifiable(container: Container, version: VersionRecord) -> NotModifiableError:
    """Return the error for a change to a published version (rule 7)."""
    return NotModifiableError(
        f"Version {version.number} of {container.name!r} is published, so it can't be changed or discarded;"
        " update() without version= makes a new one.",
        names=[container.name],
        state=version.state,
    )


def disabled(name: str, *, is_archived: bool) -> PromptDisabledError:
    """Return the error for rendering a prompt that is disabled, or was when it was archived (rules 13 and 14)."""
    if is_archived:
        return PromptDisabledError(
            f"{name!r} was archived while it was disabled, so it does not render; restore() it, then enable() it.",
            name=name,
        )
    return PromptDisabledError(f"{name!r} is disabled, so it does not render; enable() it.", name=name)


def name_taken(name: str) -> NameTakenError:
    """Return the error for a name that another prompt has (rule 3)."""
    advice = "choose another name, or change that one with save()"
    return NameTakenError(f"Another prompt is named {name!r}; {advice}.", name=name)


def closed(location: str) -> StorageError:
    """Return the refusal of a call on a registry that was closed."""
    return StorageError(f"The registry of {location} is closed; open a new one.", reason="closed")


def unanswered(location: str) -> StorageBusyError:
    """Return the refusal of a strict read to return what may be out of date."""
    return StorageBusyError(
        f"{location} did not answer whether what is cached is current, and freshness='strict' returns nothing else;"
        " try again later.",
        reason="unanswered",
        retry_after=RETRY_AFTER,
    )
