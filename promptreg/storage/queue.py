"""The queue of writers: SQLite lets whoever asks first at the right moment write, and starves the others.

Writers take numbers. A number is a byte of the queue's file, locked for as long as its writer waits or writes; a
writer's turn has come when it can lock all bytes before its own. The system drops the locks of a process that dies, and
a fork inherits none. The queue makes waiting fair and no more: the database's own lock is what keeps writers
apart, so who finds the queue broken or stuck goes ahead and asks the database.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from struct import Struct

from promptreg.errors import StorageError
from promptreg.storage import system
from promptreg.storage.beside import open_beside
from promptreg.storage.failures import is_applications
from promptreg.storage.gate import Claim, Stay, in_the_middle

SUFFIX = "-promptreg-queue"
NUMBERS = Struct("<QQ")  # the next number to be given, and the one whose turn it is about
FIRST = 64  # the byte of number 0; byte 0 is locked while a number is taken
WAIT = 0.0004  # seconds, for each writer before one's own
LONGEST_WAIT = 0.005
IMPLAUSIBLE = 2**62  # a number that no queue comes to: something else was written there, so it begins again
STUCK = 0.3  # seconds without anybody's turn beginning


class Deadline:
    """How long a call still waits for others."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def left(self) -> float:
        """Give the seconds left, 0 at the end."""
        return max(self._end - time.monotonic(), 0.0)


class _File:
    """An open file, closed when nobody holds this any more: its number may be another file's a moment later."""

    def __init__(self, descriptor: int) -> None:
        self.descriptor = descriptor

    def __del__(self) -> None:
        os.close(self.descriptor)


class WriterQueue:
    """The queue of one database's writers: those of this registry one by one, then by number among processes.

    An interrupt may come between any two steps, so what is left behind is put right by `_leave`, taken twice or not.
    """

    def __init__(self, database: str) -> None:
        """Begin for a database, told by its real path."""
        self._database = database
        self._file: _File | None = None
        self._standing = Claim()  # of the thread that stands for this registry

    @contextmanager
    def turn(self, deadline: Deadline) -> Iterator[None]:
        """Wait for one's turn, until the deadline at most, and hold it; past it, go ahead all the same."""
        if self._standing.is_live():
            raise in_the_middle()
        number, stay = None, Stay()
        try:
            while not self._standing.take(stay) and deadline.left():
                time.sleep(WAIT)
            if self._standing.has(stay):
                number = self._enter(deadline)
            yield
        finally:
            if self._standing.has(stay):
                self._leave(number)
                self._standing.give_back(stay)

    def abandon(self) -> None:
        """Leave the queue, if a call of this thread was in it that was cut short."""
        if self._standing.heal():
            self._leave(None)

    def is_held(self) -> bool:
        """Tell whether a call of this thread is in the queue, or was when it was cut short."""
        return self._standing.is_mine()

    def close(self) -> None:
        """Let go of the queue's file, which is closed once nobody waits any more."""
        self._file = None

    def forked(self) -> None:
        """Begin anew in a child: the parent's writers are not there."""
        self._standing = Claim()

    def _enter(self, deadline: Deadline) -> int | None:
        """Take a number and wait for its turn; None where the queue can't be used."""
        try:
            file = self._opened()
            number = self._take(file.descriptor, deadline)
            if number is not None:
                self._wait(file.descriptor, number, deadline)
        except (OSError, StorageError) as error:
            if is_applications(error):
                raise
            return None
        return number

    def _opened(self) -> _File:
        file = self._file
        if file is None:
            file = self._file = _File(open_beside(self._database + SUFFIX, self._database))
        return file

    def _take(self, descriptor: int, deadline: Deadline) -> int | None:
        end = time.monotonic() + min(STUCK, deadline.left())
        while not _locked(descriptor, 0, 1):
            if time.monotonic() > end:
                return None
            time.sleep(WAIT)
        try:
            number, serving = _numbers(descriptor)
            if not _locked(descriptor, FIRST + number, 1):
                return None
            system.write_at(descriptor, NUMBERS.pack(number + 1, serving), 0)
        finally:
            system.unlock_bytes(descriptor, 0, 1)
        return number

    def _wait(self, descriptor: int, number: int, deadline: Deadline) -> None:
        last, end = -1, 0.0
        while not _locked(descriptor, FIRST, number):
            _, serving = _numbers(descriptor)
            if serving != last:
                last, end = serving, time.monotonic() + STUCK
            if time.monotonic() > end or not deadline.left():
                return
            time.sleep(min(WAIT * max(number - serving, 1), LONGEST_WAIT))

    def _leave(self, number: int | None) -> None:
        file = self._file
        if file is None:
            return
        with suppress(OSError):  # the write that was waited for is done, and who comes next finds its way
            if number is not None:
                system.write_at(file.descriptor, NUMBERS.pack(0, number + 1)[8:], 8)
            system.unlock_bytes(file.descriptor)


def _numbers(descriptor: int) -> tuple[int, int]:
    read = system.read_at(descriptor, NUMBERS.size, 0).ljust(NUMBERS.size, b"\0")
    next_number, serving = NUMBERS.unpack(read)
    return (next_number, serving) if next_number < IMPLAUSIBLE else (0, 0)


def _locked(descriptor: int, start: int, length: int) -> bool:
    """Lock bytes unless somebody else has one of them; no bytes are always locked."""
    return length == 0 or system.lock_bytes(descriptor, start, length)
