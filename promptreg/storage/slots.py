"""Locks that one call of a thread holds at a time, and the connections behind them.

A signal handler may raise between any two bytecodes, so a `with` or a `finally` alone can leave a lock held. So a lock
knows which thread owns it and which frame took it. While that frame is on the thread's stack, another call of the
thread is nested: it came from a signal handler or a finaliser, and is refused. Afterwards the lock is abandoned: the
next call that wants it, of whichever thread, takes it over, and first rolls back what its connection was in the middle
of.

No call waits for a lock while it holds another one of the same set.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from threading import RLock
from types import FrameType
from typing import Any, Generic, Protocol, TypeVar

from promptreg.errors import RETRY_AFTER, StorageBusyError, StorageError
from promptreg.storage.compat import calling_frame, is_running, may_be_running, owner_of, ownership

WAIT = 0.05  # seconds for which a thread waits for one lock at a time
WAIT_AMONG = 0.002  # the same where another lock would do as well


class Connected(Protocol):
    """A connection, as a slot holds it."""

    def roll_back(self) -> None:
        """Roll back the open transaction, if there is one and this process began it."""
        ...


L = TypeVar("L", bound="CallLock")
C = TypeVar("C", bound=Connected)


class CallLock:
    """A lock that a call holds until it ends, however it ends."""

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        """Replace the lock by a new one: a forked child has none of the threads that may have held the old one."""
        self.frame: FrameType | None = None  # of the call that holds it
        self.is_wanted = False  # by a call that takes all locks; others let it go first
        self._lock = RLock()
        self.is_held = ownership(self._lock)

    def acquire(self, frame: FrameType, seconds: float = 0.0) -> bool:
        """Take the lock for the call with that frame; return whether that was possible within these seconds."""
        lock = self._lock
        if not lock.acquire(timeout=seconds):
            return False
        if self._lock is not lock:  # replaced meanwhile, see `_take_over`; no call until the frame is set
            lock.release()
            return False
        self.frame = frame
        self.is_wanted = False
        return True

    def release(self) -> None:
        """End what the call was in the middle of, and release the lock, if this thread holds it."""
        try:
            self._end()
        finally:
            self.frame = None
            lock, is_held = self._lock, self.is_held
            while is_held():
                lock.release()

    def _end(self) -> None:
        """End what the call that holds the lock may be in the middle of."""

    def is_entered(self) -> bool:
        """Return whether a call of this thread holds the lock and is still running."""
        return self.is_held() and is_running(self.frame, _CODES)

    def release_after(self, frame: FrameType) -> None:
        """Release the lock if the call with that frame holds it, or a call of this thread that has ended."""
        if self.is_held() and (self.frame is frame or not self.is_entered()):
            self.release()

    def release_abandoned(self) -> None:
        """Release the lock if the call that holds it has ended, in whichever thread that was."""
        lock, frame = self._lock, self.frame
        owner = owner_of(lock)
        if owner is not None and not may_be_running(frame, _CODES, owner) and owner_of(lock) == owner:
            self._take_over(lock, frame, owner)

    def _take_over(self, lock: Any, frame: FrameType | None, owner: int) -> None:
        """Replace a lock that a call with that frame has abandoned, as no thread can release another one's.

        Threads change only at calls, so the lines from the condition to the loop are one step: one thread takes over,
        and none that has just acquired the lock keeps it. Its thread may be releasing it now, which is waited for.
        """
        new = RLock()
        new.acquire()
        is_held = ownership(new)
        if self._lock is lock and self.frame is frame:
            self._lock = new
            self.is_held = is_held
            self.frame = None
            while may_be_running(frame, _RELEASES, owner):
                time.sleep(WAIT_AMONG)
            self.release()


_RELEASES = frozenset({CallLock.release.__code__})
_CODES = _RELEASES | {CallLock.acquire.__code__, CallLock._take_over.__code__}  # `frame` may not be set while these run


class Slot(CallLock, Generic[C]):
    """A connection, which the call that holds the lock may use."""

    def __init__(self) -> None:
        super().__init__()
        self.handle: C | None = None

    def roll_back(self, frame: FrameType) -> None:
        """Roll back the transaction that the call with that frame left open, if it holds the lock."""
        if self.handle is not None and self.frame is frame and self.is_held():
            self.handle.roll_back()

    def _end(self) -> None:
        if self.handle is not None:
            self.handle.roll_back()


@contextmanager
def holding(locks: Sequence[L], seconds_left: Callable[[], float]) -> Iterator[L | None]:
    """Hold the first of these locks that is free; yield None if none is before the time is over."""
    require_outside(locks)
    frame = calling_frame()
    try:
        yield acquire_any(locks, frame, seconds_left)
    finally:
        for lock in locks:
            lock.release_after(frame)


def require_outside(locks: Sequence[CallLock]) -> None:
    """Raise `StorageError` where a call of this thread holds one of the locks; release what is abandoned."""
    for lock in locks:
        if lock.is_held():
            if lock.is_entered():
                raise nested()
            lock.release()


def release_own(locks: Sequence[CallLock]) -> None:
    """Release the locks of calls of this thread that have ended; to check other threads takes 2 µs a lock."""
    for lock in locks:
        if lock.is_held() and not lock.is_entered():
            lock.release()


def acquire_any(locks: Sequence[L], frame: FrameType, seconds_left: Callable[[], float]) -> L | None:
    """Take the first lock that is free and return it; return None if none is before the time is over."""
    for lock in locks:
        if lock.is_wanted:  # else a thread that has just released it takes it again before the waiting one wakes up
            time.sleep(WAIT_AMONG)
        if lock.acquire(frame):
            return lock
    end, wait = time.monotonic() + seconds_left(), WAIT if len(locks) == 1 else WAIT_AMONG
    while True:
        for lock in locks:
            left = end - time.monotonic()
            if left <= 0:
                return None
            if lock.acquire(frame, min(wait, left)):
                return lock
            lock.release_abandoned()


def acquire_all(locks: Sequence[CallLock], frame: FrameType, hurry: Callable[[], None] = lambda: None) -> None:
    """Take every lock, in this order, however long that takes; `hurry` is called while one is waited for."""
    for lock in locks:
        lock.is_wanted = True
        while not lock.acquire(frame, WAIT_AMONG):
            lock.is_wanted = True
            lock.release_abandoned()
            hurry()


@contextmanager
def holding_all(locks: Sequence[CallLock]) -> Iterator[None]:
    """Hold every one of these locks, however long that takes."""
    frame = calling_frame()
    try:
        acquire_all(locks, frame)
        yield
    finally:
        for lock in locks:
            lock.release_after(frame)


def all_in_use(location: str) -> StorageBusyError:
    """Return the error for a call that found no slot free in time."""
    return StorageBusyError(
        f"Other threads of this process use every connection to {location}; try again, or wait longer with"
        " busy_timeout.",
        reason="busy",
        retry_after=RETRY_AFTER,
    )


def nested() -> StorageError:
    """Return the refusal of a call from a signal handler or a finaliser, within another one of the same thread."""
    return StorageError(
        "This thread is in the middle of another call of the registry, or is forking or closing the registry; call it"
        " when that is done.",
        reason="nested",
    )
