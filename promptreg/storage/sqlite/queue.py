"""The writers' queue: a FIFO ticket lock among processes, as SQLite's busy handler is unfair and starves writers.

Each writer takes the next number. A number is a byte of the queue's file, locked for as long as its writer waits or
writes; a writer's turn has come when no byte before its own is locked. The system releases the locks of a process that
dies, and a fork inherits none. The queue makes waiting fair and keeps checkpoints apart from commits. What keeps
writers apart is the lock of the database, so a writer that finds the queue unusable or stuck goes ahead without it.

A process that is stopped or slow in the queue is passed over for good: the file holds the first number that is still
waited for. When that process goes on, it takes another number.

Checkpoints: SQLite before 3.51.3 can damage a database where one process commits and restarts the WAL while another
begins a checkpoint just after a finished one. So a writer that makes a checkpoint must be alone: no earlier writer is
still in the queue, not even one that was passed over, and nobody has passed it over. Otherwise the checkpoint is left
for later. Where the queue can't be used at all, SQLite's locks must do, as a WAL that is never reset fills the disk.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from struct import Struct
from typing import NamedTuple

from promptreg.errors import StorageError
from promptreg.storage.deadlines import Deadline
from promptreg.storage.slots import CallLock, holding
from promptreg.storage.sqlite import system
from promptreg.storage.sqlite.companion_files import open_beside
from promptreg.storage.sqlite.failures import NOT_PERMITTED, is_from_application
from promptreg.storage.sqlite.files import identity, identity_at
from promptreg.storage.sqlite.shared import Shared

SUFFIX = "-promptreg-queue"
NUMBERS = Struct("<QQQ")  # the fields of `Numbers`, at the start of the file
SERVING, PASSED = 8, 16  # offsets of the second and third field
FIRST = 64  # the offset of the byte of number 0; byte 0 is locked while a number is taken
WAIT = 0.0004  # seconds of sleep for each writer ahead
LONGEST_WAIT = 0.005
IMPLAUSIBLE = 2**62  # no queue reaches this number: something else was written there, so numbering starts again
STUCK = 0.3  # seconds without a new turn, after which the first writer in the queue is passed over
CLOSED = 2**31 - 1  # no descriptor that is open, so using it is an `OSError`; locking the range of -1 is `ValueError`


class _File:
    """The open file of a queue, closed with the last reference: its descriptor may soon be another file's."""

    def __init__(self, path: str, descriptor: int) -> None:
        self.descriptor = descriptor
        self._path = path
        self._identity = identity(os.fstat(descriptor))

    def is_current_file(self) -> bool:
        """Return whether other processes find this file at its path."""
        return identity_at(self._path) == self._identity

    def __del__(self) -> None:
        descriptor, self.descriptor = self.descriptor, CLOSED  # as what is in a cycle with it may use it later
        os.close(descriptor)


class Numbers(NamedTuple):
    """The next number to take, about the one whose turn it is, and the first one that is still waited for."""

    next: int
    serving: int
    passed: int


class Ticket:
    """A writer's place in the queue: its number, whether its turn has come, and whether no earlier writer is left."""

    __slots__ = ("_file", "_is_alone", "has_come", "number")

    def __init__(self, file: _File | None, number: int | None, *, has_come: bool, is_alone: bool) -> None:
        self._file = file
        self.number = number
        self.has_come = has_come
        self._is_alone = is_alone

    def is_guarded(self) -> bool:
        """Return whether no other writer can be at work now, so that a checkpoint is safe."""
        if not self._is_alone or self._file is None or self.number is None:
            return self._is_alone
        try:
            return _numbers(self._file.descriptor).passed <= self.number
        except OSError:
            return False


NO_QUEUE = Ticket(None, None, has_come=True, is_alone=True)  # where there is no queue, or one that can't be used
NO_TICKET = Ticket(None, None, has_come=False, is_alone=False)  # after waiting too long, or a temporary failure


class WriterQueue(CallLock):
    """The queue of one database: the threads of this process one at a time, then the processes by number.

    A thread in the queue holds the lock. All registries of a process share it (see `queue_of`), as POSIX locks belong
    to a process.
    """

    def __init__(self, database: str) -> None:
        """Begin for the database with this real path."""
        super().__init__()
        self._database = database
        self._file: _File | None = None
        self._ticket = NO_TICKET
        self._is_jammed = False  # a process was stopped while it took a number, as waiting for it has shown

    @contextmanager
    def ticket(self, deadline: Deadline) -> Iterator[Ticket]:
        """Wait for a turn and hold it; go ahead without one after the deadline."""
        ticket = NO_TICKET
        with holding([self], deadline.left) as held:
            if held is not None:
                ticket = self._ticket = self._enter(deadline)
            yield ticket

    def _end(self) -> None:
        """Release the place in the queue, so that the next writer begins."""
        try:
            self._leave(self._ticket)
        finally:
            self._ticket = NO_TICKET

    def forked(self) -> None:
        """Reset in a forked child, which has none of the parent's threads, and become its queue of the database."""
        self.renew()
        _QUEUES.replace((self._database, os.getpid()), self)

    def _enter(self, deadline: Deadline) -> Ticket:
        """Take a number and wait for its turn; take another one where it is passed over meanwhile."""
        if not system.LOCKS:
            return NO_QUEUE
        try:
            file, ticket = self._opened(), None
            while ticket is None:
                number = self._take(file.descriptor, deadline)
                if number is None:
                    return NO_TICKET
                ticket = self._wait(file, number, deadline)
        except StorageError:
            return NO_QUEUE
        except OSError as error:
            if is_from_application(error):
                raise
            return NO_QUEUE if error.errno in NOT_PERMITTED else NO_TICKET
        return ticket

    def _opened(self) -> _File:
        """Return the file, opened anew where it was removed, as other writers queue in the one at its path."""
        file = self._file
        if file is None or not file.is_current_file():
            path = self._database + SUFFIX
            file = self._file = _File(path, open_beside(path, self._database))
        return file

    def _take(self, descriptor: int, deadline: Deadline) -> int | None:
        """Take the next number; return None where a process that takes one is stuck, which is waited for only once."""
        end = time.monotonic() + (0 if self._is_jammed else min(STUCK, deadline.left()))
        while not _locked(descriptor, 0, 1):
            if time.monotonic() > end:
                self._is_jammed = deadline.left() > 0
                return None
            time.sleep(WAIT)
        self._is_jammed = False
        try:
            numbers = _numbers(descriptor)
            if not _locked(descriptor, FIRST + numbers.next, 1):
                return None
            system.write_at(descriptor, NUMBERS.pack(*numbers._replace(next=numbers.next + 1)), 0)
        finally:
            _unlock(descriptor, 0, 1)
        return numbers.next

    def _wait(self, file: _File, number: int, deadline: Deadline) -> Ticket | None:
        """Wait until the turn of that number comes; return None where it was passed over."""
        descriptor, since, end = file.descriptor, (-1, -1), 0.0
        while True:
            now = _numbers(descriptor)
            if now.passed > number:
                _unlock(descriptor, FIRST + number, 1)
                return None
            is_alone = _are_free(descriptor, 0, number)
            if is_alone or _are_free(descriptor, now.passed, number):
                return Ticket(file, number, has_come=True, is_alone=is_alone)
            if now[1:] != since:
                since, end = now[1:], time.monotonic() + STUCK
            if not deadline.left():
                return Ticket(file, number, has_come=False, is_alone=False)
            if time.monotonic() > end:
                self._pass_over(descriptor, now, number)
            time.sleep(min(WAIT * max(number - now.serving, 1), LONGEST_WAIT))

    def _pass_over(self, descriptor: int, seen: Numbers, number: int) -> None:
        """Pass over the first writer ahead of this number, unless the queue has moved since it was seen."""
        if not _locked(descriptor, 0, 1):
            return
        try:
            now = _numbers(descriptor)
            first = _first_held(descriptor, now.passed, number)
            if now[1:] == seen[1:] and first < number:
                system.write_at(descriptor, NUMBERS.pack(*now._replace(passed=first + 1)), 0)
        finally:
            _unlock(descriptor, 0, 1)

    def _leave(self, ticket: Ticket) -> None:
        file = self._file
        if file is None:
            return
        with suppress(OSError):  # the write is done, and the next writer passes this one over
            if ticket.has_come and ticket.number is not None:
                serving = max(ticket.number + 1, _numbers(file.descriptor).serving)
                system.write_at(file.descriptor, NUMBERS.pack(0, serving, 0)[SERVING:PASSED], SERVING)
            system.unlock_bytes(file.descriptor)


_QUEUES: Shared[WriterQueue] = Shared()  # by database and process


def queue_of(database: str) -> WriterQueue:
    """Return the queue of the database with this real path: one for the whole process.

    A child never gets its parent's, in which a thread that only the parent has may hold a place.
    """
    return _QUEUES.setdefault((database, os.getpid()), WriterQueue(database))


def _numbers(descriptor: int) -> Numbers:
    read = system.read_at(descriptor, NUMBERS.size, 0).ljust(NUMBERS.size, b"\0")
    numbers = Numbers(*NUMBERS.unpack(read))
    return numbers if numbers.passed <= numbers.next < IMPLAUSIBLE else Numbers(0, 0, 0)


def _first_held(descriptor: int, low: int, high: int) -> int:
    """Return the first number in this range whose byte is locked, or `high`."""
    begin, end = low, high
    while begin < end:
        middle = (begin + end) // 2
        if _are_free(descriptor, begin, middle + 1):
            begin = middle + 1
        else:
            end = middle
    return begin


def _are_free(descriptor: int, low: int, high: int) -> bool:
    """Return whether no byte of these numbers is locked; none of them is taken any more."""
    is_so = _locked(descriptor, FIRST + low, high - low)
    if is_so:
        _unlock(descriptor, FIRST + low, high - low)
    return is_so


def _unlock(descriptor: int, start: int, length: int) -> None:
    if length:  # as 0 means everything from there on
        system.unlock_bytes(descriptor, start, length)


def _locked(descriptor: int, start: int, length: int) -> bool:
    """Lock bytes, and return False where another process has locked one of them."""
    return length == 0 or system.lock_bytes(descriptor, start, length)
