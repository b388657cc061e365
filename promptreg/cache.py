"""The cache of resolved prompts, and whether its entries are still current.

Everything that was loaded belongs to a generation: the state of the database at one revision. A read compares the
storage's change stamp with the stamp that the generation was loaded at, and the clock with the time until which the
generation may be used. While both agree, reading an entry takes no lock and calls no storage. Otherwise the storage
reports what has changed, and the next generation begins with the entries that have not. A load adds its entry to the
generation that it was made for or to none, so a slow load never makes a newer generation stale. Absent prompts are
cached as well. Nothing in here reads a database or checks a permission.
"""

from collections.abc import Hashable, Mapping
from contextlib import suppress
from copy import deepcopy
from time import monotonic
from typing import Protocol, TypeVar

from promptreg.errors import NotFoundError
from promptreg.prompt import Prompt, fast_paths
from promptreg.records import Container
from promptreg.rendering.fast_paths import FastPaths
from promptreg.rules.names import Selector
from promptreg.storage.base import ChangeReport, Position, Stamp
from promptreg.telemetry.spans import RenderSpan, render_span

NEVER = float("-inf")
NOT_COMPILED = FastPaths()
"""The fast paths of a prompt that was not rendered yet: none, and compiling may still find some."""


class CacheEntry:
    """A prompt that a name and a version selector resolve to.

    `about` is the id of the prompt: when that changes, the entry is dropped. `fast_paths` renders the prompt; it is
    `NOT_COMPILED` until the first render.
    """

    __slots__ = ("_label", "_render_span", "about", "container", "fast_paths", "name", "prompt")

    def __init__(self, container: Container, prompt: Prompt, selector: Selector | None) -> None:
        self._label = selector if isinstance(selector, str) else None
        self.about: Hashable = container.id
        self.container = container
        self.prompt = prompt
        self.name = prompt.name
        self.fast_paths = NOT_COMPILED
        self._render_span: RenderSpan | None = None

    def compile(self) -> None:
        """Find the fast paths before the first render. They are one value, so another thread sees all or none."""
        if self.fast_paths is NOT_COMPILED:
            self.fast_paths = fast_paths(self.prompt)

    @property
    def render_span(self) -> RenderSpan:
        """The name and attributes of the spans of its renders, made when the first one is recorded."""
        if self._render_span is None:
            self._render_span = render_span(self.prompt, self._label)
        return self._render_span


class NegativeEntry:
    """A name that resolves to no prompt, or to one that has no such version.

    `about` is the id of the prompt, or the namespace and name where there is none. `container` is None there.
    """

    __slots__ = ("_error", "about", "container")

    def __init__(self, about: Hashable, error: NotFoundError, container: Container | None = None) -> None:
        self.about = about
        self.container = container
        self._error = error.with_traceback(None)

    def error(self) -> NotFoundError:
        """Return a new copy of the error, because an error carries the request id and traceback of one call."""
        kept = self._error
        return type(kept)(kept.message, code=kept.code, **deepcopy(kept.details))


class Entry(Protocol):
    """What the cache holds: an entry, and what must not change while it is kept."""

    @property
    def about(self) -> Hashable:
        """The id of a prompt, or a namespace and name."""
        ...


E = TypeVar("E", bound=Entry)
K = TypeVar("K", bound=Hashable)
V = TypeVar("V")


class Generation:
    """The entries that are current while `stamp == seen_stamp`, until `until` on the monotonic clock at most."""

    __slots__ = ("entries", "negative", "position", "seen_stamp", "stamp", "until")

    def __init__(
        self,
        stamp: Stamp,
        position: Position | None,
        entries: dict[Hashable, CacheEntry],
        negative: dict[Hashable, NegativeEntry],
        until: float,
    ) -> None:
        self.stamp = stamp
        self.position = position
        self.seen_stamp: Stamp = b"none" if position is None else position.stamp
        self.entries = entries
        self.negative = negative
        self.until = until

    def is_current(self) -> bool:
        """Return whether the entries are current. The clock comes first: after `until` the stamp may not be read."""
        return monotonic() < self.until and self.stamp == self.seen_stamp

    def is_of(self, revision: int) -> bool:
        """Return whether the entries are those of that revision."""
        return self.position is not None and self.position.revision == revision


def _empty() -> Generation:
    return Generation(b"", None, {}, {}, NEVER)


_NEVER_CURRENT = _empty()


class Cache:
    """At most about `size` entries, and as many negative ones; a new one replaces the oldest.

    With `compares=False`, where reads may be some seconds old, no stamp is compared and only the clock counts.
    """

    def __init__(self, size: int, *, compares: bool) -> None:
        self._size = size
        self.compares = compares
        self.allows_fast_reads = True  # False while metrics count each read
        self.generation: Generation
        self.fast: Generation
        """The generation that fast reads use: the present one, or one that is never current."""
        self.clear()

    def renew(self, report: ChangeReport, until: float) -> Generation:
        """Begin the next generation and return it, or use this one for longer where nothing has changed."""
        last, changed = self.generation, report.changed
        if report.position is last.position and not changed:
            last.until = until
        else:
            entries, negative = _unchanged(last.entries, changed), _unchanged(last.negative, changed)
            stamp = report.stamp if self.compares else report.position.stamp
            self.generation = Generation(stamp, report.position, entries, negative, until)
        self.fast = self.generation if self.allows_fast_reads else _NEVER_CURRENT
        return self.generation

    def add(self, generation: Generation, key: Hashable, entry: CacheEntry) -> None:
        """Add an entry to the generation that it was loaded for."""
        add_bounded(generation.entries, key, entry, self._size)

    def add_negative(self, generation: Generation, key: Hashable, entry: NegativeEntry) -> None:
        """Add a negative entry to the generation that it was loaded for."""
        add_bounded(generation.negative, key, entry, self._size)

    def clear(self) -> None:
        """Drop every entry."""
        self.generation = _empty()
        self.fast = _NEVER_CURRENT

    def __len__(self) -> int:
        return len(self.generation.entries)


EMPTY_CACHE = Cache(0, compares=True)
"""The cache that fast reads of a view with another namespace or an actor use, so that they take the slow path."""


def _unchanged(entries: Mapping[Hashable, E], changed: frozenset[Hashable] | None) -> dict[Hashable, E]:
    if changed is None:
        return {}
    kept = dict(entries)  # copied in one step, because other threads may be adding
    return {key: entry for key, entry in kept.items() if entry.about not in changed} if changed else kept


def add_bounded(entries: dict[K, V], key: K, value: V, size: int) -> None:
    """Add a value to a dictionary of at most about `size`; the oldest makes room.

    There is no lock, because a fork could leave it held: threads that add at once may leave a few more or fewer.
    """
    if size == 0:
        return
    if key not in entries and len(entries) >= size:
        with suppress(RuntimeError, StopIteration):  # another thread makes room at the same time
            entries.pop(next(iter(entries)), None)
    entries[key] = value
