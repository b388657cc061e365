"""What is known of prompts, and whether it is still true.

What was loaded belongs to a generation: the state of the database at one mark. A read compares 16 bytes of the
storage's stamp with the generation's seen_stamp, and the clock with the time until which it holds; while both agree the
generation is the truth, and reading it takes no lock and no call. Otherwise the storage tells what has changed, and the
next generation begins with what has not. What was loaded for a generation enters that one or none, so a
late load never makes a newer one stale. Absent prompts are facts as well. Compiled templates depend on
content alone, so they outlive generations.
"""

from collections.abc import Callable, Hashable, Mapping
from contextlib import suppress
from time import monotonic
from typing import Any, Generic, Protocol, TypeVar

from promptreg.storage.base import ChangeReport, Position, Stamp

NEVER = float("-inf")


class Fact(Protocol):
    """Something known: of which prompt (its id, or where it is absent its namespace and name)."""

    @property
    def about(self) -> Hashable:
        """What it is about."""
        ...


F = TypeVar("F", bound=Fact)
L = TypeVar("L", bound=Fact)
K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Generation(Generic[F, L]):
    """What is true while `stamp == seen_stamp`, until `until` on the monotonic clock at most.

    `written` is what this registry itself has changed since: where no more is to be learnt, that is not known any more.
    """

    __slots__ = ("entries", "negative", "position", "seen_stamp", "stamp", "until", "written")

    def __init__(
        self,
        stamp: Stamp,
        position: Position | None,
        entries: dict[Hashable, F],
        negative: dict[Hashable, L],
        until: float,
    ) -> None:
        self.stamp = stamp
        self.position = position
        self.seen_stamp: Stamp = b"none" if position is None else position.stamp
        self.entries = entries
        self.negative = negative
        self.until = until
        self.written: set[Hashable] = set()

    def is_current(self) -> bool:
        """Return whether it is true now; the clock first, as no stamp is read long after a look (`sidecar.py`)."""
        return monotonic() < self.until and self.stamp == self.seen_stamp


_NOTHING: Generation[Any, Any] = Generation(b"", None, {}, {}, NEVER)


class Cache(Generic[F, L]):
    """About `size` prompts that were entries at most, and as many that were not; the oldest makes room.

    Where reads may be up to some seconds old, a generation's stamp is its own seen_stamp, so only the clock tells.
    """

    def __init__(self, size: int, *, compares: bool) -> None:
        self._size = size
        self.compares = compares
        self.may_be_direct = True  # unless each read is to be counted
        self.generation: Generation[F, L]
        self.direct: Generation[F, L]
        """What the short way of a read may take: this generation, or one that is never true."""
        self.forget()

    def renew(self, report: ChangeReport, until: float) -> Generation[F, L]:
        """Begin the next generation, or let this one hold for longer where nothing has changed."""
        last = self.generation
        changed = frozenset(last.written) if report.is_unavailable else report.changed
        if report.position is last.position and not changed:
            last.until = until
        else:
            entries, negative = _kept(last.entries, changed), _kept(last.negative, changed)
            stamp = report.stamp if self.compares else report.position.stamp
            self.generation = Generation(stamp, report.position, entries, negative, until)
        self.direct = self.generation if self.may_be_direct else _NOTHING
        return self.generation

    def keep(self, generation: Generation[F, L], key: Hashable, fact: F) -> None:
        """Keep what was entries for that generation."""
        _keep(generation.entries, key, fact, self._size)

    def keep_negative(self, generation: Generation[F, L], key: Hashable, fact: L) -> None:
        """Keep what was not entries for that generation."""
        _keep(generation.negative, key, fact, self._size)

    def forget(self) -> None:
        """Know nothing any more."""
        self.generation = Generation(b"", None, {}, {}, NEVER)
        self.direct = _NOTHING

    def __len__(self) -> int:
        return len(self.generation.entries)


def _kept(facts: Mapping[Hashable, F], changed: frozenset[Hashable] | None) -> dict[Hashable, F]:
    if changed is None:
        return {}
    entries = dict(facts)  # in one step, as other threads may be adding
    return {key: fact for key, fact in entries.items() if fact.about not in changed} if changed else entries


class Memo(Generic[K, V]):
    """At most about `size` values that never change, each made at its first use."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._values: dict[K, V] = {}

    def get(self, key: K, make: Callable[[], V]) -> V:
        """Give the value, made where it is not there yet."""
        value = self._values.get(key)
        if value is None:
            value = make()
            self.keep(key, value)
        return value

    def find(self, key: K) -> V | None:
        """Return the value that is kept, if there is one."""
        return self._values.get(key)

    def keep(self, key: K, value: V) -> None:
        """Keep a value."""
        _keep(self._values, key, value, self._size)

    def __contains__(self, key: K) -> bool:
        return key in self._values


def _keep(entries: dict[K, V], key: K, value: V, size: int) -> None:
    """Keep an entry; no lock, for a fork would leave it held: threads at once may leave some entries more or fewer."""
    if size == 0:
        return
    if key not in entries and len(entries) >= size:
        with suppress(RuntimeError, StopIteration):  # another thread makes room at this moment
            entries.pop(next(iter(entries)), None)
    entries[key] = value
