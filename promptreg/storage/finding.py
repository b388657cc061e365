"""Finding versions by what a caller says of them, within a read transaction of any database."""

from collections.abc import Sequence

from promptreg.records import Container, VersionRecord
from promptreg.rules.names import Selector, Versioned
from promptreg.storage.base import Lookup, Reader


def look_up(reader: Reader, namespace: str, wanted: Sequence[Versioned]) -> list[Lookup]:
    """Return each prompt with the version that is wanted of it, as `Storage.look_up` does."""
    containers = reader.find(namespace, [reference for reference, _ in wanted])
    return [
        Lookup(container, None if container is None else _chosen(reader, container, selector))
        for container, (_, selector) in zip(containers, wanted, strict=True)
    ]


def _chosen(reader: Reader, container: Container, selector: Selector | None) -> VersionRecord | None:
    number = container.number_of(selector)
    return None if number is None else find_version(reader, container, number)


def find_version(reader: Reader, container: Container, number: int) -> VersionRecord | None:
    """Return the version with that number; None where it does not exist."""
    if number > container.last_version:
        return None
    newest = reader.versions(container, before=number + 1, limit=1)
    return newest[0] if newest and newest[0].number == number else None
