"""What is known of prompts, and whether it is still true.

What was loaded belongs to a generation: the state of the database at one mark. A read compares 16 bytes of the
storage's page with the generation's token, and the clock with the time until which it holds; while both agree the
generation is the truth, and reading it takes no lock and no call. Otherwise the storage tells what has changed, and the
next generation begins with what has not. What was loaded for a generation enters that one or none, so a
late load never makes a newer one stale. Absent prompts are facts as well. Compiled templates depend on
content alone, so they outlive generations.
"""

from collections.abc import Callable, Hashable, Mapping
from contextlib import suppress
from time import monotonic
from typing import Any, Generic, Protocol, TypeVar

from promptreg.storage.base import Mark, News, Page

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
    """What is true while `page == token`, and by the monotonic clock `until` at most: what there is, and what lacks.

    `written` is what this registry itself has changed since: where no more is to be learnt, that is not known any more.
    """

    __slots__ = ("found", "lacking", "mark", "page", "token", "until", "written")

    def __init__(
        self, page: Page, mark: Mark | None, found: dict[Hashable, F], lacking: dict[Hashable, L], until: float
    ) -> None:
        self.page = page
        self.mark = mark
        self.token: Page = b"none" if mark is None else mark.token
        if isinstance(page, memoryview):  # which is compared item by item: two numbers instead of sixteen bytes
            self.page, self.token = page.cast("Q"), memoryview(self.token).cast("Q")
        self.found = found
        self.lacking = lacking
        self.until = until
        self.written: set[Hashable] = set()

    def is_current(self) -> bool:
        """Return whether it is true now; the clock first, as no page is read long after a look (`sidecar.py`)."""
        return monotonic() < self.until and self.page == self.token


_NOTHING: Generation[Any, Any] = Generation(b"", None, {}, {}, NEVER)


class Cache(Generic[F, L]):
    """About `size` prompts that were found at most, and as many that were not; the oldest makes room.

    Where reads may be up to some seconds old, a generation's page is its own token, so only the clock tells.
    """

    def __init__(self, size: int, *, compares: bool) -> None:
        self._size = size
        self.compares = compares
        self.may_be_direct = True  # unless each read is to be counted
        self.generation: Generation[F, L]
        self.direct: Generation[F, L]
        """What the short way of a read may take: this generation, or one that is never true."""
        self.forget()

    def renew(self, page: Page, news: News, until: float) -> Generation[F, L]:
        """Begin the next generation, or let this one hold for longer where nothing has changed."""
        last = self.generation
        changed = frozenset(last.written) if news.is_gone else news.changed
        if news.mark is last.mark and not changed:
            last.until = until
        else:
            found, lacking = _kept(last.found, changed), _kept(last.lacking, changed)
            page = page if self.compares else news.mark.token
            self.generation = Generation(page, news.mark, found, lacking, until)
        self.direct = self.generation if self.may_be_direct else _NOTHING
        return self.generation

    def keep(self, generation: Generation[F, L], key: Hashable, fact: F) -> None:
        """Keep what was found for that generation."""
        _keep(generation.found, key, fact, self._size)

    def keep_lacking(self, generation: Generation[F, L], key: Hashable, fact: L) -> None:
        """Keep what was not found for that generation."""
        _keep(generation.lacking, key, fact, self._size)

    def forget(self) -> None:
        """Know nothing any more."""
        self.generation = Generation(b"", None, {}, {}, NEVER)
        self.direct = _NOTHING

    def __len__(self) -> int:
        return len(self.generation.found)


def _kept(facts: Mapping[Hashable, F], changed: frozenset[Hashable] | None) -> dict[Hashable, F]:
    if changed is None:
        return {}
    found = dict(facts)  # in one step, as other threads may be adding
    return {key: fact for key, fact in found.items() if fact.about not in changed} if changed else found


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
