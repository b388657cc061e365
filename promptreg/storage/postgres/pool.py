"""The connections of one storage: three slots, of which a call takes one for as long as its transaction lasts.

A read takes the first of the two slots for reads that is free. A write takes the first of these too or, where it is in
use, the one for writes, so no read holds up a write. The fourth connection of a registry is the listener's, which has a
lock of its own. So a process whose calls follow one another reads, plans and writes on one connection.

A fork leaves the connections to the parent. The child drops them without a word, as what it says would end the parent's
sessions, and connects anew. No call of another thread is waited for: it goes on in the parent.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Protocol, TypeAlias, TypeVar
from weakref import ref

import psycopg

from promptreg.errors import PromptregError
from promptreg.rules.refusals import closed
from promptreg.storage.compat import calling_frame
from promptreg.storage.deadlines import Deadline, TimeLimit
from promptreg.storage.postgres.failures import forked
from promptreg.storage.postgres.sessions import Session
from promptreg.storage.slots import (
    CallLock,
    Slot,
    acquire_any,
    all_in_use,
    holding,
    holding_all,
    release_own,
    require_outside,
)

L = TypeVar("L", bound=CallLock)
Slots: TypeAlias = Sequence[Slot[Session]]
Translation: TypeAlias = Callable[[psycopg.Error], PromptregError]

READERS = 2  # slots; more threads at a time wait for one another
LEAST_WAIT = 1.0  # seconds for which a call waits for an answer or a connection, whatever `busy_timeout` is


class Closable(Protocol):
    """A connection that is in no slot."""

    def close(self) -> None:
        """Close it, if it is of this process."""
        ...

    def abandon(self) -> None:
        """Drop it, as it is of the process that this one was forked from."""
        ...


class ConnectionPool:
    """The slots of one storage."""

    def __init__(self, open_session: Callable[[], Session], location: str) -> None:
        """Begin without connections: each is made when a call first needs it."""
        self._location = location
        self._slots: list[Slot[Session]] = [Slot() for _ in range(READERS + 1)]
        for slot in self._slots:
            slot.handle = open_session()
        *self._readers, writer = self._slots
        self._writers = [self._slots[0], writer]
        self._watching = CallLock()
        self._locks: list[CallLock] = [*self._slots, self._watching]
        self._pid = os.getpid()
        self._listener: Closable | None = None
        self._beside: set[Closable] = set()
        self.is_closed = False
        _POOLS[id(self)] = ref(self, _forget(id(self)))

    def reader(self, limit: TimeLimit, translated: Translation) -> AbstractContextManager[Session]:
        """Hold a connection to read with; wait for one, and for each answer, until the limit, or for `LEAST_WAIT`.

        `translated` returns our error for one of psycopg.
        """
        return self._session(self._readers, limit, translated)

    def writer(self, limit: TimeLimit, translated: Translation) -> AbstractContextManager[Session]:
        """Hold a connection to write with; wait as `reader` does."""
        return self._session(self._writers, limit, translated)

    @contextmanager
    def watching(self, limit: TimeLimit) -> Iterator[None]:
        """Let one thread at a time use the listener."""
        self.require_free()
        with holding([self._watching], limit.left) as lock:
            self._require_held(lock)
            yield

    @contextmanager
    def _session(self, slots: Slots, limit: TimeLimit, translated: Translation) -> Iterator[Session]:
        """Hold the first of these slots that is free, and yield its session.

        It is one context manager and not several, as each takes 1 µs of a read.
        """
        frame, is_outside = calling_frame(), False
        try:
            self.require_free()
            is_outside = True
            slot = self._require_held(acquire_any(slots, frame, lambda: max(limit.left(), LEAST_WAIT)))
            session = slot.handle
            assert session is not None
            try:
                session.start(_at_least(limit))
                yield session
            finally:
                slot.roll_back(frame)
        except psycopg.Error as error:
            raise translated(error) from error
        finally:
            if is_outside:
                for slot in self._slots:
                    if slot.is_held():
                        slot.release_after(frame)

    def _require_held(self, lock: L | None) -> L:
        """Return the lock that was taken; raise where none was in time, or where the registry is closed."""
        self.require_open()
        if lock is None:
            raise all_in_use(self._location)
        return lock

    def require_open(self) -> None:
        """Raise `StorageError` once the registry is closed."""
        if self.is_closed:
            raise closed(self._location)

    def require_outside(self) -> None:
        """Raise `StorageError` where this thread is in the middle of a call."""
        require_outside(self._locks)

    def require_free(self) -> None:
        """Raise `StorageError` in a process that was forked without Python's hooks, or in the middle of a call."""
        if self._pid != os.getpid():
            raise forked()
        require_outside(self._locks)

    def release_own(self) -> None:
        """Release the slots of calls of this thread that run no more."""
        release_own(self._locks)

    def keep_listener(self, listener: Closable) -> None:
        """Close the listener with the other connections, and drop it with them in a forked child."""
        self._listener = listener

    @contextmanager
    def dropping(self, connection: Closable) -> Iterator[None]:
        """Drop another connection too in a child that is forked meanwhile: it would keep open what its parent held."""
        self._beside.add(connection)
        try:
            yield
        finally:
            self._beside.discard(connection)

    def close(self) -> None:
        """Close every connection once the calls of other threads are done; none of another process."""
        with holding_all(self._locks):
            self.is_closed = True
            for slot in self._slots:
                if slot.handle is not None:
                    slot.handle.close()
            if self._listener is not None:
                self._listener.close()
        _POOLS.pop(id(self), None)

    def after_fork_in_child(self) -> None:
        """Make new locks, as no thread of the parent is there to release one, and drop the parent's connections."""
        self._pid = os.getpid()
        for lock in self._locks:
            lock.renew()
        for slot in self._slots:
            if slot.handle is not None:
                slot.handle.abandon()
        if self._listener is not None:
            self._listener.abandon()
        for connection in self._beside:
            connection.abandon()


def _at_least(limit: TimeLimit) -> TimeLimit:
    return limit if limit.left() >= LEAST_WAIT else Deadline(LEAST_WAIT)


_POOLS: dict[int, "ref[ConnectionPool]"] = {}


def _forget(key: int) -> Callable[[object], None]:
    def forget(dead: object) -> None:
        if _POOLS.get(key) is dead:
            _POOLS.pop(key, None)

    return forget


def _after_fork_in_child() -> None:
    for watched in list(_POOLS.values()):
        pool = watched()
        if pool is not None:
            pool.after_fork_in_child()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)
