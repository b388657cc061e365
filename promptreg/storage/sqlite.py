"""SQLite behind the seam: plain SQL through one connection a thread.

A verb's write is one short `BEGIN IMMEDIATE` transaction, so what it read stays true; a read is one
deferred transaction, so what it reads is one moment's. sqlite-utils makes and maintains the database.
"""

import errno
import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from functools import partial
from traceback import clear_frames
from typing import NoReturn, TypeVar

from promptreg.errors import CommitUnknownError, StorageError
from promptreg.storage import erasure, system
from promptreg.storage.base import StorageSettings
from promptreg.storage.connections import Connections, Handle
from promptreg.storage.failures import is_applications, is_busy, may_not_write, primary_code, translated
from promptreg.storage.gate import FORKS
from promptreg.storage.looks import SQLiteReader, SQLiteWriter
from promptreg.storage.opening import open_first, open_memory, open_to_read, open_to_watch, open_to_write
from promptreg.storage.place import Place
from promptreg.storage.queue import Deadline, WriterQueue
from promptreg.storage.readonly import Access, is_outdated
from promptreg.storage.siblings import LOG
from promptreg.storage.sidecar import Board, MemoryBoard, NoBoard, UnwritableSidecar, open_sidecar, revision_of
from promptreg.storage.watching import SQLiteWatch

R = TypeVar("R", bound=SQLiteReader)

NOT_PERMITTED = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
BUSY_PAUSE = 0.001  # seconds outside the gate, between two waits in SQLite


class SQLiteStorage:
    """A registry in one SQLite file, or with `":memory:"` in this process."""

    def __init__(self, settings: StorageSettings) -> None:
        self._is_file = settings.path != ":memory:"
        self._settings = settings
        self._erasing_again_at: float | None = None
        with translated(settings.path), FORKS.opening.passing():
            self.path = os.path.abspath(settings.path) if self._is_file else settings.path
            self._real = os.path.realpath(self.path) if self._is_file else self.path
            place = self.place = Place(self.path)
            self._access, first = (
                open_first(self.path, self._real, settings) if self._is_file else _open_memory(settings)
            )
            if self._is_file:
                place.settle(self._real + LOG if self._access is Access.WRITE else None)
            self._queue = WriterQueue(self._real) if self._access is Access.WRITE and system.LOCKS else None
            self.board: Board = self._open_board()
            self._old_board: Board | None = None
            # Functions and no methods, so that a registry that is dropped is no cycle, and closes at once.
            opener = {Access.READ: open_to_read, Access.WRITE: open_to_write, Access.MEMORY: _lost}[self._access]
            self._connections = Connections(
                place,
                partial(opener, self.path, self._real, settings),
                partial(open_to_watch, self.path, settings),
                first,
                is_shared=self._access is not Access.WRITE,
            )
        if self._queue is not None:
            self._connections.after_fork_in_child = self._queue.forked
        with self._connections.use() as handle:
            self._erase(handle)

    def _open_board(self) -> Board:
        if self._access is Access.MEMORY:
            return MemoryBoard()
        if self._access is not Access.WRITE:
            return NoBoard()
        try:
            return open_sidecar(self._real)
        except OSError as error:
            if error.errno not in NOT_PERMITTED:
                raise
            return UnwritableSidecar()

    @contextmanager
    def watch(self) -> Iterator["SQLiteWatch"]:
        """Look for changes, one thread at a time."""
        self._renew()
        with self._connections.watch() as watching:
            yield SQLiteWatch(self, watching)
        if self._erasing_again_at is not None:
            with self._connections.use() as handle:
                self._erase_if_due(handle)

    @contextmanager
    def read(self) -> Iterator["SQLiteReader"]:
        """Open a consistent look."""
        self._renew()
        with self._begun("BEGIN", SQLiteReader, Deadline(self._settings.busy_timeout)) as (handle, reader):
            self._show(reader.revision)
            yield reader
            handle.roll_back()
            self._erase_if_due(handle)

    @contextmanager
    def write(self) -> Iterator["SQLiteWriter"]:
        """Open the one write transaction; leaving it commits what was applied, an exception nothing."""
        self._connections.require_free()
        self._require_writable()
        deadline = Deadline(self._settings.busy_timeout)
        with self._turn(deadline), self._begun("BEGIN IMMEDIATE", SQLiteWriter, deadline) as (handle, writer):
            self.require_board()
            self._require_writable()
            yield writer
            if writer.has_applied:
                self._commit(handle, writer.revision)
            if writer.has_deleted or self._erasing_again_at is not None:
                self._erase(handle)

    def close(self) -> None:
        """Erase what is still to be erased, and close every connection; closing twice is fine.

        What can't be erased now stays due, and whoever opens the file next does it.
        """
        try:
            if self._erasing_again_at is not None:
                with suppress(StorageError), self._connections.use() as handle:
                    self._erase(handle)
        finally:
            self._connections.close()
            for held in (self._queue, self.board, self._old_board):
                if held is not None:
                    held.close()

    def require_outside(self) -> None:
        """Raise `StorageError` where this thread is in the middle of a call."""
        self._connections.require_outside()

    def is_held(self) -> bool:
        """Tell whether this thread holds anything: a transaction, a turn, the gate, the queue."""
        return self._connections.is_held() or (self._queue is not None and self._queue.is_held())

    def abandon(self) -> None:
        """Leave all that an error may have left this thread holding; what another call of it is in stays."""
        self._connections.abandon()
        if self._queue is not None:
            self._queue.abandon()

    def _renew(self) -> None:
        """Look again how the file can be read, where it can't be written and what is read is only of one moment."""
        if self._access is not Access.READ:
            return
        with self._connections.watch() as watching:
            if self.place.is_kept() and is_outdated(self._real, watching.watcher()):
                self._connections.renew()

    @contextmanager
    def _begun(
        self, statement: str, kind: Callable[[sqlite3.Connection], R], deadline: Deadline
    ) -> Iterator[tuple[Handle, R]]:
        """Begin a transaction, waiting for others a slice at a time, outside the gate; leave none open."""
        while True:
            with self._connections.use() as handle:
                try:
                    begun = _tried(handle.connection, statement, kind, deadline)
                    if begun is not None:
                        yield handle, begun
                        return
                finally:
                    handle.roll_back()
            time.sleep(BUSY_PAUSE)

    def _turn(self, deadline: Deadline) -> AbstractContextManager[None]:
        return nullcontext() if self._queue is None else self._queue.turn(deadline)

    def require_board(self) -> None:
        """Make the sidecar anew where somebody removed it; who still looks at the old one is told there too."""
        if not self.board.is_in_place():
            last, self.board = self.board, self._open_board()
            if last.is_writable:
                self._old_board = last

    def _require_writable(self) -> None:
        """Raise `StorageReadOnlyError` where this process may not write the file, or not publish what it writes."""
        if not self.board.is_writable and self._access is Access.WRITE:
            with translated(self.path):
                self.require_board()  # which may have been mended
        if not self.board.is_writable:
            raise may_not_write(self.path, self._real)

    def _show(self, revision: int) -> None:
        """Show what was read before it is returned, where its writer died before it could."""
        if self.board.is_shown and revision_of(self.board.read()) < revision:
            self.board.publish(revision)

    def _publish(self, revision: int) -> None:
        self.board.publish(revision)
        if self._old_board is not None:
            self._old_board.publish(revision)

    def note_erasing(self) -> None:
        """Learn that bytes of deleted prompts may still be there: the next call erases them."""
        if self._erasing_again_at is None:
            self._erasing_again_at = 0.0

    def _erase(self, handle: Handle, *, patience_ms: int = erasure.PATIENCE_MS, rewrites: bool = True) -> None:
        if self._access is Access.WRITE:
            is_done = erasure.erase(handle, patience_ms, rewrites=rewrites)
            self._erasing_again_at = None if is_done else time.monotonic() + erasure.RETRY_SECONDS

    def _erase_if_due(self, handle: Handle) -> None:
        if self._erasing_again_at is not None and time.monotonic() > self._erasing_again_at:
            self._erase(handle, patience_ms=0, rewrites=False)

    def _commit(self, handle: Handle, revision: int) -> None:
        """Commit, and publish before anybody learns of it.

        Interrupted, publish all the same that something may have changed, but no revision that may not hold.
        """
        handle.require_own()
        try:
            handle.connection.execute("COMMIT")
            self._publish(revision)
        except BaseException as error:
            with suppress(OSError):
                self._publish(revision - 1)
            if (isinstance(error, OSError) and not is_applications(error)) or (
                isinstance(error, sqlite3.OperationalError) and primary_code(error) == sqlite3.SQLITE_IOERR
            ):
                raise CommitUnknownError(
                    f"The commit to {self.path} failed ({error}) and may or may not hold; read before you try again.",
                    reason="commit_unknown",
                ) from error
            raise


def open_storage(settings: StorageSettings) -> SQLiteStorage:
    """Open the database; interrupted, leave nothing open, whoever keeps the error."""
    try:
        return SQLiteStorage(settings)
    except BaseException as error:
        clear_frames(error.__traceback__)
        raise


def _lost(path: str, real: str, settings: StorageSettings) -> NoReturn:
    raise StorageError(f"The database {path} is lost; open a new registry.", reason="removed")


def _open_memory(settings: StorageSettings) -> tuple[Access, Handle]:
    return Access.MEMORY, open_memory(settings)


def _tried(
    connection: sqlite3.Connection, statement: str, kind: Callable[[sqlite3.Connection], R], deadline: Deadline
) -> R | None:
    """Begin, and read, which is what takes the snapshot; None where others hold the lock and there is time left."""
    try:
        connection.execute(statement)
        return kind(connection)
    except sqlite3.OperationalError as error:
        if is_busy(error) and deadline.left():
            return None
        raise
