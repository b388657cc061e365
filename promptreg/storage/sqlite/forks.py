"""What a fork does with the open storages of this process.

A SQLite connection must not be used or closed on the other side of a fork, and one left open there makes SQLite's locks
meaningless. So before a fork every storage waits for its calls and closes its connections; afterwards parent and child
connect anew when they next need to. A fork first takes the locks that are held while storages are opened, then the
slots of each storage, in the order in which they were opened.
"""

from contextlib import AbstractContextManager
from types import FrameType
from typing import Protocol
from weakref import ref

from promptreg.storage.compat import calling_frame
from promptreg.storage.slots import CallLock, acquire_all, holding, release_own
from promptreg.storage.sqlite import system

OPENERS = 8  # threads that may be opening a storage at the same time
LONGEST_FORK = 10.0  # seconds for which an opening waits; the fork may wait for the call in which a handler opens


class Forkable(Protocol):
    """What has connections to close before a fork."""

    def before_fork(self, *, frame: FrameType) -> None:
        """Close every connection, and let no call connect until `after_fork`; the function with this frame forks.

        Where that is not possible, do nothing: the child then refuses every call.
        """
        ...

    def after_fork(self, *, is_child: bool) -> None:
        """Let calls connect again, if `before_fork` prevented it; a child makes new locks first."""
        ...


class _Forks:
    """The open storages of this process, and the hooks that each fork runs over them.

    No step relies on a lock of `threading` in a `with`, in which a signal handler could leave it held.
    """

    def __init__(self) -> None:
        self._storages: dict[int, ref[Forkable]] = {}
        self._closed: list[Forkable] = []
        self._forking = CallLock()
        self._opening = [CallLock() for _ in range(OPENERS)]
        self._nested = 0  # forks from a signal handler, in the middle of a fork of the same thread
        system.on_fork(self._before, self._after_in_parent, self._after_in_child)

    def opening(self) -> AbstractContextManager[object]:
        """Keep forks waiting, while connections are opened that no storage has yet."""
        return holding(self._opening, lambda: LONGEST_FORK)

    def release_own(self) -> None:
        """Release the locks of openings of this thread that run no more."""
        release_own(self._opening)

    def release_abandoned(self) -> None:
        """Release the locks of openings, in whichever thread, that run no more."""
        for lock in self._opening:
            lock.release_abandoned()

    def watch(self, storage: Forkable) -> None:
        """Close its connections before each fork, until `forget` is called or it is garbage collected."""
        key = id(storage)
        self._storages[key] = ref(storage, lambda dead: self._drop(key, dead))

    def forget(self, storage: Forkable) -> None:
        """Stop closing its connections before forks."""
        self._storages.pop(id(storage), None)

    def _drop(self, key: int, dead: "ref[Forkable]") -> None:
        if self._storages.get(key) is dead:
            self._storages.pop(key, None)

    def _before(self) -> None:
        """Prepare each storage. Python forks even if this raises; what is not prepared refuses in the child."""
        if self._forking.is_entered():
            self._nested += 1
            return
        frame = calling_frame()
        acquire_all([self._forking], frame)
        acquire_all([lock for lock in self._opening if not lock.is_entered()], frame)
        self._closed = []
        for watched in list(self._storages.values()):
            storage = watched()
            if storage is not None:
                self._closed.append(storage)
                storage.before_fork(frame=frame)

    def _after_in_parent(self) -> None:
        if self._nested and self._forking.is_entered():
            self._nested -= 1
            return
        try:
            self._release()
        finally:  # again, for what an interrupt left
            self._release()

    def _release(self) -> None:
        frame = self._forking.frame
        if frame is None or not self._forking.is_held():  # as `_before` was interrupted, or another thread forks
            return
        self._reopen(is_child=False)
        for lock in (*self._opening, self._forking):
            lock.release_after(frame)

    def _after_in_child(self) -> None:
        self._nested = 0
        for lock in (*self._opening, self._forking):
            lock.renew()
        try:
            self._reopen(is_child=True)
        finally:
            self._reopen(is_child=True)

    def _reopen(self, *, is_child: bool) -> None:
        while self._closed:
            self._closed[-1].after_fork(is_child=is_child)
            self._closed.pop()


FORKS = _Forks()
