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
from weakref import WeakSet

POLL_SECONDS = 0.001


class Gate:
    """Many threads may be inside at once; who shuts it waits until all others have left.

    An interrupt may come between any two steps, so who is inside is a set, and who has shut it is known: entering,
    leaving or opening twice does no harm, and a `finally` undoes what was cut short.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._inside: set[int] = set()
        self._shut_by: int | None = None

    def enter(self) -> None:
        """Go inside; wait while the gate is shut."""
        me = threading.get_ident()
        while True:
            with self._lock:
                if self._shut_by is None:
                    self._inside.add(me)
                    return
            time.sleep(POLL_SECONDS)

    def leave(self) -> None:
        """Go outside."""
        self._inside.discard(threading.get_ident())

    @contextmanager
    def passing(self) -> Iterator[None]:
        """Be inside for a while."""
        try:
            self.enter()
            yield
        finally:
            self.leave()

    def shut(self, hurry: Callable[[], None] = lambda: None) -> None:
        """Let nobody in, and wait until everybody else is out; interrupted, the gate is open again.

        `hurry` is called while somebody is still inside.
        """
        me = threading.get_ident()
        try:
            while not self._is_shut_by(me):
                time.sleep(POLL_SECONDS)
            while self._inside - {me}:
                hurry()
                time.sleep(POLL_SECONDS)
        except BaseException:
            self.open()
            raise

    def open(self) -> None:
        """Let everybody in again, if it was this thread that shut it."""
        if self._shut_by == threading.get_ident():
            self._shut_by = None

    def _is_shut_by(self, me: int) -> bool:
        with self._lock:
            if self._shut_by is None:
                self._shut_by = me
            return self._shut_by == me


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
        self._lock = threading.Lock()
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
        self._lock = threading.Lock()
        self.opening = Gate()
        self._reopen(is_child=True)

    def _reopen(self, *, is_child: bool) -> None:
        for storage in self._held:
            storage.after_fork(is_child=is_child)
        self._held = []


FORKS = _Forks()
