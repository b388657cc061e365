"""The gate that every use of a connection passes, and that a fork shuts.

A SQLite connection must not be used or closed on the other side of a fork, and one left open there
makes locks meaningless. So before a fork every open storage shuts its gate (waiting for those inside) and
closes its connections; afterwards both sides open the gate and connect anew when they next need to.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Protocol
from weakref import ref

from promptreg.errors import StorageError
from promptreg.storage.sqlite import system

POLL_SECONDS = 0.001


class Stay:
    """A call's hold on something; it ends with whoever holds this, however that call is cut short."""

    __slots__ = ("__weakref__",)


class Claim:
    """What one call at a time has, without a lock, for which a signal's handler in the same thread would wait."""

    def __init__(self) -> None:
        self._held: dict[None, tuple[int, ref[Stay]]] = {}

    def take(self, stay: Stay) -> bool:
        """Take it for a call of this thread, and tell whether it is that call's now; Python does this in one step."""
        mine = threading.get_ident(), ref(stay)
        held = self._held.setdefault(None, mine)
        if held is not mine and held[0] == mine[0] and held[1]() is None:  # of a call of this thread that was cut short
            self._held[None] = held = mine
        return held[1]() is stay

    def has(self, stay: Stay | None) -> bool:
        """Tell whether that call has it."""
        held = self._held.get(None)
        return held is not None and stay is not None and held[1]() is stay

    def give_back(self, stay: Stay | None) -> None:
        """Give it away, if that call has it."""
        if self.has(stay):
            del self._held[None]

    def holder(self) -> int | None:
        """Give the thread that has it."""
        held = self._held.get(None)
        return None if held is None else held[0]

    def is_mine(self) -> bool:
        """Tell whether a call of this thread has it, or had it when it was cut short."""
        return self.holder() == threading.get_ident()

    def is_live(self) -> bool:
        """Tell whether a call of this thread has it that goes on."""
        held = self._held.get(None)
        return held is not None and held[0] == threading.get_ident() and held[1]() is not None

    def heal(self) -> bool:
        """Give it away, if a call of this thread had it that was cut short; tell whether one had."""
        if not self.is_mine() or self.is_live():
            return False
        del self._held[None]
        return True


class Gate:
    """Many threads may be inside at once, each once; who shuts it waits until all others have left.

    An interrupt may come between any two steps. So a thread is inside, or has the gate shut, while the call that did it
    holds its stay, and no longer.
    """

    def __init__(self) -> None:
        self._inside: dict[int, ref[Stay]] = {}
        self._shut = Claim()

    def enter(self) -> Stay:
        """Go inside; wait while the gate is shut.

        Raises `StorageError` where this thread is inside, or forks: a signal's handler or a finaliser came in between.
        """
        self.require_outside()
        stay, me = Stay(), threading.get_ident()
        while True:
            self._inside[me] = ref(stay)  # first, so that either who shuts sees this, or this sees the gate shut
            by = self._shut.holder()
            if by is None:
                return stay
            self.leave(stay)
            if by == me and not self._shut.heal():
                raise _shutting()
            time.sleep(POLL_SECONDS)

    def leave(self, stay: Stay | None) -> None:
        """Go outside, if that is where this thread's stay is."""
        me = threading.get_ident()
        if stay is not None and self._stay(me) is stay:
            del self._inside[me]

    def require_outside(self) -> None:
        """Raise `StorageError` where this thread is inside, or shuts it."""
        if self.is_inside():
            raise in_the_middle()
        if self.is_being_shut():
            raise _shutting()

    def is_inside(self) -> bool:
        """Tell whether this thread is inside."""
        return self._stay(threading.get_ident()) is not None

    def is_shut(self) -> bool:
        """Tell whether this thread has it shut, or had when that was cut short."""
        return self._shut.is_mine()

    def is_being_shut(self) -> bool:
        """Tell whether a call of this thread shuts it that goes on."""
        return self._shut.is_live()

    def _stay(self, thread: int) -> Stay | None:
        known = self._inside.get(thread)
        return None if known is None else known()

    @contextmanager
    def passing(self) -> Iterator[None]:
        """Be inside for a while."""
        stay = None
        try:
            stay = self.enter()
            yield
        finally:
            self.leave(stay)

    def shut(self, hurry: Callable[[], None] = lambda: None) -> Stay:
        """Let nobody in, and wait until everybody else is out; give what keeps it shut.

        `hurry` is called while somebody is still inside. Not for a thread that shuts it already.
        """
        stay, me = Stay(), threading.get_ident()
        try:
            while not self._shut.take(stay):
                time.sleep(POLL_SECONDS)
            while any(thread != me and other() is not None for thread, other in list(self._inside.items())):
                hurry()
                time.sleep(POLL_SECONDS)
        except BaseException:
            self.open(stay)
            raise
        return stay

    def open(self, stay: Stay | None) -> None:
        """Let everybody in again, if this is what keeps the gate shut."""
        self._shut.give_back(stay)

    def heal(self) -> None:
        """Open it, if a call of this thread shut it that was cut short."""
        self._shut.heal()


def in_the_middle() -> StorageError:
    """Give the refusal of a call that came into another of the same thread."""
    return StorageError(
        "This thread is in the middle of another call of the registry; call it when that is done.", reason="nested"
    )


def _shutting() -> StorageError:
    return StorageError("This thread is forking, or closing the registry; call it when that is done.", reason="nested")


class Forkable(Protocol):
    """What has connections to close before a fork."""

    def before_fork(self) -> None:
        """Shut the gate and close every connection; nothing where that can't be, so that the child refuses."""
        ...

    def after_fork(self, *, is_child: bool) -> None:
        """Open the gate, if it was shut for the fork; a child makes its own locks first."""
        ...


class _Forks:
    """The storages that are open in this process, and the hooks that a fork runs over them."""

    def __init__(self) -> None:
        # No lock: each use is one step. An interrupt within a `with` could leave one held, from Python 3.14 on.
        self._storages: dict[int, ref[Forkable]] = {}
        self._held: list[Forkable] = []
        self._opening_shut: Stay | None = None
        self._nested = 0  # forks of a signal's handler, in the middle of one of the same thread
        self.opening = Gate()
        """What whoever connects to a database goes through, until its storage is watched."""
        system.on_fork(self._before, self._after_in_parent, self._after_in_child)

    def watch(self, storage: Forkable) -> None:
        """Have forks close it; for who is inside the gate of those that open."""
        key = id(storage)
        self._storages[key] = ref(storage, lambda dead: self._drop(key, dead))

    def forget(self, storage: Forkable) -> None:
        """Stop closing it around forks."""
        self._storages.pop(id(storage), None)

    def _drop(self, key: int, dead: "ref[Forkable]") -> None:
        if self._storages.get(key) is dead:
            self._storages.pop(key, None)

    def _before(self) -> None:
        """Make ready. Python lets a fork go on whatever is raised here: what is not ready then refuses in the child."""
        if self.opening.is_being_shut():
            self._nested += 1
            return
        self._opening_shut = self.opening.shut()  # so nobody comes to be watched, and no other thread forks
        self._held = []
        for watched in list(self._storages.values()):
            storage = watched()
            if storage is not None:
                self._held.append(storage)
                storage.before_fork()

    def _after_in_parent(self) -> None:
        if self._nested and self.opening.is_being_shut():
            self._nested -= 1
            return
        with ExitStack() as last_first:  # each, whatever interrupts another
            last_first.callback(self.opening.open, self._opening_shut)  # until then a handler may fork
            for _ in range(2):  # again, for what an interrupt left
                last_first.callback(self._reopen, is_child=False)

    def _after_in_child(self) -> None:
        self._nested = 0
        self.opening = Gate()
        with ExitStack() as last_first:
            for _ in range(2):
                last_first.callback(self._reopen, is_child=True)

    def _reopen(self, *, is_child: bool) -> None:
        while self._held:
            self._held[-1].after_fork(is_child=is_child)
            self._held.pop()


FORKS = _Forks()
