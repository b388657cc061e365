"""Finding stored prompts and versions within one transaction, or raising `NotFoundError` or `VersionNotFoundError`.

A prompt that the actor may not read is reported exactly as one that does not exist (rule 18).
"""

from collections.abc import Hashable, Sequence
from typing import NamedTuple

from promptreg.errors import NotFoundError
from promptreg.records import Container, Shown, VersionRecord
from promptreg.rules import access
from promptreg.rules.access import View
from promptreg.rules.names import Reference, Selector, Versioned
from promptreg.rules.refusals import not_found, version_not_found
from promptreg.rules.selection import number_of
from promptreg.storage.base import Lookup, Reader
from promptreg.storage.finding import find_version


def find_any(reader: Reader, namespace: str, reference: Reference) -> Container | None:
    """Return a prompt, whoever may read it; None where it does not exist."""
    (found,) = reader.find(namespace, (reference,))
    return found


class Missing(NamedTuple):
    """Why there is no such prompt, or no such version of it.

    `about` is the id of the prompt, or the namespace and name where there is none, and so `container` is None.
    """

    about: Hashable
    error: NotFoundError
    container: Container | None = None


def shown_or_missing(namespace: str, wanted: Versioned, found: Lookup) -> Shown | Missing:
    """Return what was found of a prompt and a version that are wanted, or why there is none, whoever may read it."""
    (reference, selector), (container, record) = wanted, found
    if container is None:
        return Missing((namespace, reference.text), not_found([reference.text], namespace))
    if record is not None:
        return container, record
    try:
        error: NotFoundError = version_not_found(container, number_of(container, selector))
    except NotFoundError as no_number:
        error = no_number
    return Missing(container.id, error, container)


def find(reader: Reader, view: View, reference: Reference) -> Container:
    """Return a prompt; raise `NotFoundError` where it does not exist or the actor may not read it."""
    container = find_any(reader, view.namespace, reference)
    if container is None or not access.may(view.actor, "read", container):
        raise not_found([reference.text], view.namespace)
    return container


def find_readable(reader: Reader, view: View, references: Sequence[Reference]) -> list[Container | None]:
    """Return the prompts in the order asked; None for each that does not exist or that the actor may not read."""
    found = reader.find(view.namespace, references)
    return [None if c is None or not access.may(view.actor, "read", c) else c for c in found]


def find_all(reader: Reader, view: View, references: Sequence[Reference]) -> list[Container]:
    """Return each prompt once, in the order asked; raise `NotFoundError` with every name that is not found."""
    found = find_readable(reader, view, references)
    absent = [r.text for r, c in zip(references, found, strict=True) if c is None]
    if absent:
        raise not_found(list(dict.fromkeys(absent)), view.namespace)
    return list({c.id: c for c in found if c is not None}.values())


def load_version(reader: Reader, container: Container, selector: Selector | None) -> VersionRecord:
    """Return the version that a selector means, None being production; raise `VersionNotFoundError`."""
    number = number_of(container, selector)
    record = find_version(reader, container, number)
    if record is None:
        raise version_not_found(container, number)
    return record


def load_shown(reader: Reader, container: Container) -> VersionRecord:
    """Return the version that a prompt is shown with: production, or the latest where none is live."""
    return load_version(reader, container, container.shown_version)
