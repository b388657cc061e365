"""The gate that every use of a connection passes, and that a fork shuts.

A SQLite connection must not be used or closed on the other side of a fork, and one left open there
makes locks meaningless. So before a fork every open storage shuts its gate (waiting for those inside) and
closes its connections; afterwards both sides open the gate and connect anew when they next need to.
"""

import os
import threading
from types import TracebackType
from typing import Protocol
from weakref import WeakSet


class Gate:
    """Many may be inside at once; who shuts it waits until all have left."""

    def __init__(self) -> None:
        self._changed = threading.Condition(threading.Lock())
        self._inside = 0
        self._is_shut = False

    def __enter__(self) -> None:
        with self._changed:
            while self._is_shut:
                self._changed.wait()
            self._inside += 1

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._changed:
            self._inside -= 1
            if self._is_shut:
                self._changed.notify_all()

    def shut(self) -> None:
        """Let nobody in, and wait until everybody is out."""
        with self._changed:
            while self._is_shut:
                self._changed.wait()
            self._is_shut = True
            while self._inside:
                self._changed.wait()

    def open(self) -> None:
        """Let everybody in again."""
        with self._changed:
            self._is_shut = False
            self._changed.notify_all()


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
        self._lock.acquire()
        self._held = list(self._storages)
        for storage in self._held:
            storage.before_fork()

    def _after_in_parent(self) -> None:
        self._reopen(is_child=False)
        self._lock.release()

    def _after_in_child(self) -> None:
        self._lock = threading.Lock()
        self._reopen(is_child=True)

    def _reopen(self, *, is_child: bool) -> None:
        for storage in self._held:
            storage.after_fork(is_child=is_child)
        self._held = []


FORKS = _Forks()
