"""The connections of one storage: a few slots, of which a call takes one for as long as its transaction lasts.

A read takes the first of the four slots for reads that is free. A write, of which the queue lets through one at a time,
takes the first of these too or, where it is in use, the one for writes, so no read holds up a write. One more slot has
the connection that checks for changes. So a process whose calls follow one another reads, plans and writes on one
connection, and checks on a second one. A database in memory, or a file that is only read, has a single slot for all.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from types import FrameType
from typing import NamedTuple, TypeAlias, TypeVar

from promptreg.errors import PromptregError
from promptreg.rules.refusals import closed
from promptreg.storage.compat import calling_frame
from promptreg.storage.deadlines import Deadline
from promptreg.storage.slots import (
    Slot,
    acquire_all,
    acquire_any,
    all_in_use,
    holding_all,
    release_own,
    require_outside,
)
from promptreg.storage.sqlite.connections import Handle, forked
from promptreg.storage.sqlite.failures import DRIVER_ERRORS, DriverError, is_from_application
from promptreg.storage.sqlite.files import FileIdentity
from promptreg.storage.sqlite.forks import FORKS

T = TypeVar("T")
Slots: TypeAlias = Sequence[Slot[Handle]]

READERS = 4  # slots; more threads at a time wait for one another
LEAST_WAIT = 1.0  # seconds for which a call waits for other threads of its process, whatever `busy_timeout` is


class Watching(NamedTuple):
    """Functions that return connections to check for changes with.

    `watcher` returns the one that does nothing else. `usual` returns that of the first slot, where it is free, else the
    watcher. `another` opens a new one, which the caller closes.
    """

    watcher: Callable[[], Handle]
    usual: Callable[[], Handle]
    another: Callable[[], Handle]


class ConnectionPool:
    """The slots of one storage."""

    def __init__(
        self,
        file: FileIdentity,
        opener: Callable[[], Handle],
        watcher_opener: Callable[[], Handle],
        first: Handle,
        *,
        is_shared: bool,
        translated: Callable[[DriverError], PromptregError],
    ) -> None:
        """Begin with a connection that is open already; `is_shared` makes it the only one.

        `translated` returns our error for one of the driver's or the system's.
        """
        self._file = file
        self._translated = translated
        self._opener = opener
        self._watcher_opener = watcher_opener
        self._all: list[Slot[Handle]] = [Slot() for _ in range(READERS + 2)]
        self._share(is_shared)
        self._all[0].handle = first
        self._is_closed_for_fork = False
        self._pid = os.getpid()
        self.is_closed = False
        self.after_fork_in_child: Callable[[], None] = lambda: None
        FORKS.watch(self)

    def _share(self, is_shared: bool) -> None:
        if is_shared:
            self._readers = self._writers = self._watcher = self._all[:1]
        else:
            *self._readers, writer, watcher = self._all
            self._writers, self._watcher = [self._all[0], writer], [watcher]

    def reader(self, deadline: Deadline) -> AbstractContextManager[Handle]:
        """Hold a connection to read with; wait until the deadline for one, or for `LEAST_WAIT`."""
        return self._slot(self._readers, deadline, self._usual)

    def writer(self, deadline: Deadline) -> AbstractContextManager[Handle]:
        """Hold a connection to write with; wait until the deadline for one, or for `LEAST_WAIT`."""
        return self._slot(self._writers, deadline, self._usual)

    def _usual(self, slot: Slot[Handle]) -> Handle:
        self._file.require_unchanged()
        return self._connected(slot, self._opener)

    def watch(self, deadline: Deadline) -> AbstractContextManager[Watching]:
        """Hold the slot that changes are checked with, one thread at a time; the file may have been removed."""
        return self._slot(self._watcher, deadline, self._watching)

    def _watching(self, slot: Slot[Handle]) -> Watching:
        first = self._all[0]

        def watcher() -> Handle:
            return self._connected(slot, self._opener if slot is first else self._watcher_opener)

        def usual() -> Handle:
            if first.is_held() or (slot.frame is not None and first.acquire(slot.frame)):
                return self._connected(first, self._opener)
            return watcher()

        return Watching(watcher, usual, self._watcher_opener)

    @contextmanager
    def _slot(self, slots: Slots, deadline: Deadline, given: Callable[[Slot[Handle]], T]) -> Iterator[T]:
        """Hold the first of these slots that is free, and yield what `given` returns for it.

        Raises `StorageError` once closed, and ours for the driver's errors. It is one context manager and not several,
        as each takes 1 µs of a read.
        """
        frame, is_outside = calling_frame(), False
        try:
            self.require_free()
            is_outside = True
            slot = acquire_any(slots, frame, lambda: max(deadline.left(), LEAST_WAIT))
            if self.is_closed:
                raise closed(self._file.path)
            if slot is None:
                raise all_in_use(self._file.path)
            try:
                yield given(slot)
            finally:
                slot.roll_back(frame)
        except DRIVER_ERRORS as error:
            if is_from_application(error):
                raise
            raise self._translated(error) from error
        finally:
            if is_outside:
                self._release_after(frame)

    def _release_after(self, frame: FrameType) -> None:
        for slot in self._all:
            if slot.is_held():
                slot.release_after(frame)

    def _connected(self, slot: Slot[Handle], opener: Callable[[], Handle]) -> Handle:
        """Return the connection of a slot, opened where it has none; the file may be replaced at that very moment."""
        if slot.handle is None:
            handle = opener()
            try:
                self._file.require_unchanged()
            except BaseException:
                handle.close()
                raise
            slot.handle = handle
            self._file.record_wal()
        slot.handle.roll_back()  # what an earlier call may have left open
        return slot.handle

    def require_outside(self) -> None:
        """Raise `StorageError` where this thread is in the middle of a call."""
        require_outside(self._all)

    def require_free(self) -> None:
        """Raise `StorageError` in a process that was forked, or where this thread is in the middle of a call."""
        if self._pid != os.getpid():
            raise forked()
        require_outside(self._all)

    def release_own(self) -> None:
        """Release the slots of calls of this thread that run no more."""
        release_own(self._all)

    def release_abandoned(self) -> None:
        """Release the slots of calls that have ended, of whichever thread."""
        for slot in self._all:
            slot.release_abandoned()

    def close(self, *, may_checkpoint: bool) -> None:
        """Close every connection once the calls of other threads are done; none of another process."""
        if self._pid != os.getpid():
            self.is_closed = True
            return
        with holding_all(self._all):
            self.is_closed = True
            self._close_all(may_checkpoint=may_checkpoint)
        FORKS.forget(self)  # last, so that a fork still waits for the slots until then

    def reconnect(
        self, opener: Callable[[], Handle] | None = None, watcher_opener: Callable[[], Handle] | None = None
    ) -> None:
        """Close every connection once the calls of other threads are done; the next calls connect anew.

        With openers, they do so by these, and use every slot.
        """
        with holding_all(self._all):
            self._close_all()
            if opener is not None and watcher_opener is not None:
                self._opener, self._watcher_opener = opener, watcher_opener
                self._share(False)

    def close_dropped(self) -> None:
        """Close every connection of a storage that is being garbage collected; the caller has the writers' turn."""
        if self._pid == os.getpid():
            self._close_all(may_checkpoint=True)

    def before_fork(self, *, frame: FrameType) -> None:
        """Take every slot and close the connections; a database in memory goes on as a copy on each side.

        Does nothing in the middle of a call of this thread, which goes on in the parent; the child refuses then.
        """
        if self._pid != os.getpid() or any(slot.is_entered() for slot in self._all):
            return
        try:
            acquire_all(self._all, frame, self._interrupt)
            self._close_all(keeps_memory=True)
            self._is_closed_for_fork = True
        finally:
            if not self._is_closed_for_fork:
                self._release_after(frame)

    def after_fork(self, *, is_child: bool) -> None:
        """Release the slots; a child makes new locks, as no thread of its parent is there to release one."""
        if not self._is_closed_for_fork:
            return
        if is_child:
            self._pid = os.getpid()
            for slot in self._all:
                slot.renew()
            self.after_fork_in_child()
        else:
            for slot in self._all:
                slot.release()
        self._is_closed_for_fork = False

    def open_handles(self) -> list[Handle]:
        """Return the connections that are open."""
        return [slot.handle for slot in self._all if slot.handle is not None]

    def _interrupt(self) -> None:
        for handle in self.open_handles():
            handle.interrupt()

    def _close_all(self, *, may_checkpoint: bool = False, keeps_memory: bool = False) -> None:
        self._file.forget_wal()
        for slot in self._all:
            handle = slot.handle
            if handle is None or (handle.is_in_memory and keeps_memory):
                continue
            if may_checkpoint:
                handle.let_closing_checkpoint()
            slot.handle = None
            handle.close()
