"""What all registries of one file share in a process, for as long as one of them holds it.

There is no lock, because a fork could leave it held. Threads change only at calls, so `_drop`, which makes none, is one
step.
"""

from collections.abc import Hashable
from typing import Generic, TypeVar
from weakref import ref

T = TypeVar("T")


class Shared(Generic[T]):
    """Values by key, each until nobody holds it any more."""

    def __init__(self) -> None:
        self._kept: dict[Hashable, ref[T]] = {}

    def setdefault(self, key: Hashable, made: T) -> T:
        """Return the value of a key: the one that is shared already, or else `made`."""
        while True:
            known = self._kept.setdefault(key, self._ref(key, made))  # in one step, as other threads open the file too
            value = known()
            if value is not None:
                return value
            self._drop(key, known)

    def replace(self, key: Hashable, value: T) -> None:
        """Share another value from now on."""
        self._kept[key] = self._ref(key, value)

    def _ref(self, key: Hashable, value: T) -> ref[T]:
        return ref(value, lambda dead: self._drop(key, dead))

    def _drop(self, key: Hashable, dead: ref[T]) -> None:
        kept = self._kept
        if key in kept and kept[key] is dead:
            del kept[key]
