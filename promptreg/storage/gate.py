"""The gate that every use of a connection passes, and that a fork shuts.

A SQLite connection must not be used or closed on the other side of a fork, and one left open there
makes locks meaningless. So before a fork every open storage shuts its gate (waiting for those inside) and
closes its connections; afterwards both sides open the gate and connect anew when they next need to.
"""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol
from weakref import WeakSet, ref

from promptreg.errors import StorageError

POLL_SECONDS = 0.001


class Stay:
    """A thread's being inside; it ends with whoever holds this."""

    __slots__ = ("__weakref__",)


class Claim:
    """What one thread at a time has, without a lock, for which a signal's handler in the same thread would wait."""

    def __init__(self) -> None:
        self._holder: dict[None, int] = {}

    def take(self) -> bool:
        """Take it, and tell whether this thread has it now; Python does this in one step."""
        me = threading.get_ident()
        return self._holder.setdefault(None, me) == me

    def holder(self) -> int | None:
        """Give the thread that has it."""
        return self._holder.get(None)

    def is_mine(self) -> bool:
        """Tell whether this thread has it."""
        return self.holder() == threading.get_ident()

    def let_go(self) -> None:
        """Give it away, if this thread has it."""
        if self.is_mine():
            self._holder.pop(None, None)


class Gate:
    """Many threads may be inside at once, each once; who shuts it waits until all others have left.

    An interrupt may come between any two steps. So a thread is inside while the call that entered holds its stay, no
    longer, and who has shut the gate is known: leaving or opening twice does no harm.
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
            if by == me:
                raise StorageError("This thread is forking, or closing the registry; call it when that is done.")
            time.sleep(POLL_SECONDS)

    def leave(self, stay: Stay | None) -> None:
        """Go outside, if that is where this thread's stay is."""
        me = threading.get_ident()
        if stay is not None and self._stay(me) is stay:
            del self._inside[me]

    def require_outside(self) -> None:
        """Raise `StorageError` where this thread is inside."""
        if self.is_inside():
            raise StorageError(
                "This thread is in the middle of another call of the registry; call it when that is done."
            )

    def is_shut(self) -> bool:
        """Tell whether this thread has shut it."""
        return self._shut.is_mine()

    def is_inside(self) -> bool:
        """Tell whether this thread is inside."""
        return self._stay(threading.get_ident()) is not None

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

    def shut(self, hurry: Callable[[], None] = lambda: None) -> None:
        """Let nobody in, and wait until everybody else is out; interrupted, the gate is open again.

        `hurry` is called while somebody is still inside.
        """
        me = threading.get_ident()
        try:
            while not self._shut.take():
                time.sleep(POLL_SECONDS)
            while any(thread != me and stay() is not None for thread, stay in list(self._inside.items())):
                hurry()
                time.sleep(POLL_SECONDS)
        except BaseException:
            self.open()
            raise

    def open(self) -> None:
        """Let everybody in again, if it was this thread that shut it."""
        self._shut.let_go()


class Forkable(Protocol):
    """What has connections to close before a fork."""

    def before_fork(self) -> None:
        """Shut the gate and close every connection."""
        ...

    def after_fork(self, *, is_child: bool) -> None:
        """Open the gate; a child makes its own locks first."""
        ...


class _Forks:
    """The storages that are open in this process, and the hooks that a fork runs over them."""

    def __init__(self) -> None:
        self._lock = threading.RLock()  # as a signal's handler may open a registry while one is opened
        self._storages: WeakSet[Forkable] = WeakSet()
        self._held: list[Forkable] = []
        self.opening = Gate()
        """What whoever connects to a database goes through, until its storage is watched."""
        os.register_at_fork(
            before=self._before,
            after_in_parent=self._after_in_parent,
            after_in_child=self._after_in_child,
        )

    def watch(self, storage: Forkable) -> None:
        with self._lock:
            self._storages.add(storage)

    def forget(self, storage: Forkable) -> None:
        with self._lock:
            self._storages.discard(storage)

    def _before(self) -> None:
        """Make ready. Python lets a fork go on whatever is raised here: what is not ready then refuses in the child."""
        self.opening.shut()  # first, as whoever opens needs the lock to be watched
        self._lock.acquire()
        self._held = []
        for storage in list(self._storages):
            storage.before_fork()
            self._held.append(storage)

    def _after_in_parent(self) -> None:
        self.opening.open()
        self._reopen(is_child=False)
        self._lock.release()

    def _after_in_child(self) -> None:
        self._lock = threading.RLock()
        self.opening = Gate()
        self._reopen(is_child=True)

    def _reopen(self, *, is_child: bool) -> None:
        for storage in self._held:
            storage.after_fork(is_child=is_child)
        self._held = []


FORKS = _Forks()
