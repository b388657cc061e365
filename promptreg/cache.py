"""Resolved prompts, and whether they are still true.

Entries belong to the generation of one revision. A read asks the storage for the revision first; when
it has moved, the whole generation is left behind, so nothing changed is ever served (rule 16). What was
loaded at a revision enters that revision's generation or none. Compiled templates depend on content
alone, so they outlive generations.
"""

import threading
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Generic, TypeVar

K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


@dataclass(frozen=True)
class Generation(Generic[K, V]):
    """What is true at one revision."""

    revision: int
    entries: dict[K, V] = field(default_factory=dict)


class Cache(Generic[K, V]):
    """At most `size` entries of the newest revision seen; the oldest entry makes room."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._generation: Generation[K, V] = Generation(-1)
        self._lock = threading.Lock()

    def get(self, revision: int, key: K) -> V | None:
        """Give the entry, if it is true at this revision; takes no lock."""
        generation = self._generation
        return generation.entries.get(key) if generation.revision == revision else None

    def put(self, revision: int, key: K, value: V) -> None:
        """Keep an entry that was loaded at this revision, unless a newer one was seen already."""
        with self._lock:
            if revision > self._generation.revision:
                self._generation = Generation(revision)
            if revision == self._generation.revision:
                _keep(self._generation.entries, key, value, self._size)

    def __len__(self) -> int:
        return len(self._generation.entries)


class Memo(Generic[K, V]):
    """At most `size` values that never change, each made at its first use."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._values: dict[K, V] = {}
        self._lock = threading.Lock()

    def get(self, key: K, make: Callable[[], V]) -> V:
        """Give the value, made outside the lock where it is not there yet."""
        value = self._values.get(key)
        if value is None:
            value = make()
            with self._lock:
                _keep(self._values, key, value, self._size)
        return value


def _keep(entries: dict[K, V], key: K, value: V, size: int) -> None:
    if size == 0:
        return
    if key not in entries and len(entries) >= size:
        del entries[next(iter(entries))]
    entries[key] = value
