"""Synchronising files that are given as texts or fields by name; what the tests of synchronisation share."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from promptreg import Registry
from promptreg.rules.sync_items import SyncCall, SyncFile, SyncItem, SyncPlan

SOURCE = "f00d"
Files = Mapping[str, str | Mapping[str, Any]]


def call_of(files: Files, source: str = SOURCE, message: str = "sync", **options: Any) -> SyncCall:
    """Return the call that synchronises files, each a template or the fields of a version."""
    fields = {name: {"template": given} if isinstance(given, str) else given for name, given in files.items()}
    return SyncCall(source, [SyncFile(name, given, message) for name, given in fields.items()], **options)


def sync(registry: Registry, files: Files, **options: Any) -> SyncPlan:
    """Synchronise files."""
    return registry._synchronise(call_of(files, **options))


def done(registry: Registry, files: Files, **options: Any) -> dict[str, str]:
    """Synchronise files, and return the action of each by name."""
    return {item.name: item.action for item in sync(registry, files, **options).items}


def only(registry: Registry, files: Files, **options: Any) -> SyncItem:
    """Synchronise files, and return the one item."""
    (item,) = sync(registry, files, **options).items
    return item


def recorded(registry: Registry, name: str | None = None) -> list[str]:
    """Return the actions of all events, oldest first."""
    return [event.action for event in registry.events(name, limit=1_000)]


@contextmanager
def nothing_written(registry: Registry) -> Iterator[None]:
    """Fail if anything is committed meanwhile, by the revision, which every write raises."""
    before = _revision(registry)
    yield
    assert _revision(registry) == before


def _revision(registry: Registry) -> int:
    with registry._core.read() as reader:
        return reader.snapshot.revision
