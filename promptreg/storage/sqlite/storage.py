"""SQLite behind the seam: plain SQL through one connection a thread.

A verb's write is one short `BEGIN IMMEDIATE` transaction, so what it read stays true; a read is one
deferred transaction, so what it reads is one moment's. sqlite-utils makes and maintains the database.
"""

import os
import sqlite3
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from functools import partial
from traceback import clear_frames
from typing import Any, NoReturn, Protocol, TypeAlias, TypeVar

from promptreg.errors import CommitUnknownError, StorageError
from promptreg.storage.base import ChangeMonitor, StorageProfile, StorageSettings, VerificationStep
from promptreg.storage.sqlite import erasure, readonly, settling, system
from promptreg.storage.sqlite.connecting import (
    READABLE_SCHEMA,
    SCHEMA_VERSION,
    open_first,
    open_memory,
    open_to_read,
    open_to_watch,
    open_to_write,
    require_known_schema,
)
from promptreg.storage.sqlite.connections import Handle
from promptreg.storage.sqlite.diagnosis import Diagnosis
from promptreg.storage.sqlite.failures import NOT_PERMITTED, SYSTEMS, is_applications, is_busy, may_not_write
from promptreg.storage.sqlite.files import WAL, FileIdentity
from promptreg.storage.sqlite.forks import FORKS
from promptreg.storage.sqlite.pool import ConnectionPool
from promptreg.storage.sqlite.queue import NO_QUEUE, NO_TICKET, Deadline, Ticket, WriterQueue, queue_of
from promptreg.storage.sqlite.reader import Moment, SQLiteReader
from promptreg.storage.sqlite.readonly import Access, is_outdated
from promptreg.storage.sqlite.sidecar import (
    CHECK_SECONDS,
    ChangeSignal,
    MemorySignal,
    UnwritableSidecar,
    open_sidecar,
    revision_of,
)
from promptreg.storage.sqlite.watching import SQLiteMonitor
from promptreg.storage.sqlite.writer import SQLiteWriter


class Begun(Protocol):
    """What a transaction begins with; `is_refused` where it was to write, and can't."""

    is_refused: bool


R = TypeVar("R", bound=Begun)
Hold: TypeAlias = Callable[[Deadline], AbstractContextManager[Handle]]

BUSY_PAUSE = 0.001  # seconds outside any slot, between two waits in SQLite
PUBLISH_PAUSE = 0.005  # seconds between two trials to publish
CLOSING_PATIENCE = 0.5  # seconds that opening and closing wait for the writers' turn, to erase or cut the log


class SQLiteStorage:
    """A registry in one SQLite file, or with `":memory:"` in this process."""

    def __init__(self, settings: StorageSettings) -> None:
        self._is_file = settings.target != ":memory:"
        self._settings = settings
        self._erasing_again_at: float | None = None
        self.path = os.path.abspath(settings.target) if self._is_file else settings.target
        self.profile = StorageProfile(self.path, staleness=0, check_interval=CHECK_SECONDS)
        self._real = os.path.realpath(self.path) if self._is_file else self.path
        self._diagnosis = Diagnosis(self.path, self._real if self._is_file else None, settings)
        self.waited_for = -1
        with self._diagnosis.translating(), FORKS.opening():
            file = self.file = FileIdentity(self.path)
            self._access, first = (
                open_first(self.path, self._real, settings) if self._is_file else _open_memory(settings)
            )
            if self._is_file:
                file.record(self._real + WAL if self._access is Access.WRITE else None)
            self._queue = self._open_queue(self._access)
            self.signal: ChangeSignal = self._open_signal(self._access)
            self._old_signal: ChangeSignal | None = None
            self._connections = ConnectionPool(
                file,
                *self._openers(self._access),
                first,
                is_shared=self._access is not Access.WRITE,
                translated=self._diagnosis.translated,
            )
        self._follow_forks()
        try:
            with self._connections.writer(Deadline(settings.busy_timeout)) as handle:
                is_due = self._access is Access.WRITE and erasure.progress(handle.connection).is_due
            if is_due:
                self._erase_in_turn(Deadline(min(settings.busy_timeout, CLOSING_PATIENCE)))
        except BaseException:  # so that who keeps the error keeps nothing open
            self._connections.close(may_checkpoint=False)
            raise
        with suppress(StorageError):
            self._require_settled()

    def _openers(self, access: Access) -> tuple[Callable[[], Handle], Callable[[], Handle]]:
        # Functions and no methods, so that a registry that is dropped is no cycle, and closes at once.
        opener = {Access.READ: open_to_read, Access.WRITE: open_to_write, Access.MEMORY: _lost}[access]
        return (
            partial(opener, self.path, self._real, self._settings),
            partial(open_to_watch, self.path, self._settings),
        )

    def _open_queue(self, access: Access) -> WriterQueue | None:
        return queue_of(self._real) if access is Access.WRITE and system.LOCKS else None

    def _follow_forks(self) -> None:
        if self._queue is not None:
            self._connections.after_fork_in_child = self._queue.forked

    def _open_signal(self, access: Access) -> ChangeSignal:
        if access is Access.MEMORY:
            return MemorySignal()
        if access is not Access.WRITE:
            return ChangeSignal()
        try:
            return open_sidecar(self._real)
        except OSError as error:
            if error.errno not in NOT_PERMITTED:
                raise
            return UnwritableSidecar()

    @contextmanager
    def monitor(self) -> Iterator[ChangeMonitor]:
        """Check for changes, one thread at a time."""
        self._renew()
        if self.is_unsettled() and settling.is_due(self._real):
            with suppress(StorageError):  # without waiting for others, as what is cached can be answered
                self._settle(Deadline(0))
        with self._connections.watch(Deadline(self._settings.busy_timeout)) as watching:
            yield SQLiteMonitor(self, watching).changes_since
        self._erase_if_due()

    @contextmanager
    def read(self) -> Iterator["SQLiteReader"]:
        """Open a consistent look."""
        self._renew()
        self._require_settled()
        deadline = Deadline(self._settings.busy_timeout)
        with self._begun(self._connections.reader, "BEGIN", SQLiteReader, deadline) as (_, reader):
            if self.signal.is_shared and revision_of(self.signal.read()) < reader.revision:
                self.publish(reader.revision)
            yield reader
        self._erase_if_due()

    @contextmanager
    def write(self) -> Iterator["SQLiteWriter"]:
        """Open the one write transaction; leaving it commits what was applied, an exception nothing."""
        self._connections.require_free()
        self._require_writable()
        self._require_settled()
        deadline, is_published = Deadline(self._settings.busy_timeout), True
        with (
            self._ticket(deadline) as ticket,
            self._begun(self._connections.writer, "BEGIN IMMEDIATE", SQLiteWriter, deadline) as (handle, writer),
        ):
            self.require_signal()
            self._require_writable()
            yield writer
            if writer.has_applied:
                handle.let_commits_checkpoint(ticket.is_guarded())
                is_published = self._commit(handle, writer.revision)
            if writer.has_deleted:
                self.note_erasing()
            if self._erasing_again_at is not None and ticket.is_guarded():
                briefly = erasure.BRIEF_MS if self._is_erasing_due() else 0
                self._erase_or_retry(handle, patience_ms=erasure.PATIENCE_MS if writer.has_deleted else briefly)
        if not is_published:
            self._outwait(writer.revision)

    def verify(self) -> Generator[VerificationStep, None, None]:
        """Check all that is stored, a slice at each step; nothing is held between two."""
        from promptreg.storage.sqlite.verification import verified  # noqa: PLC0415 (4 ms that no other verb needs)

        return verified(self._snapshot, self.path)

    @contextmanager
    def _snapshot(self) -> Iterator[Handle]:
        """Open a snapshot of whatever is stored, be it whole or not."""
        self._renew()
        self._require_settled()
        deadline = Deadline(self._settings.busy_timeout)
        with self._begun(self._connections.reader, "BEGIN", Moment, deadline) as (handle, _):
            yield handle

    def close(self) -> None:
        """Erase what is still to be erased, and close every connection; closing twice is fine.

        Whoever is the last to close writes the log back into the file. What can't be done now, as others are writing,
        stays due, and whoever opens the file next does it.
        """
        self._connections.require_outside()
        with self._ticket_to_close() as ticket:
            try:
                if self._erasing_again_at is not None and ticket.is_guarded():
                    with suppress(StorageError), self._connections.writer(Deadline(CLOSING_PATIENCE)) as handle:
                        self._erase_or_retry(handle)
            finally:
                self._connections.close(may_checkpoint=ticket.is_guarded())
        self._queue, self._connections.after_fork_in_child = None, _nothing
        for held in (self.signal, self._old_signal):
            if held is not None:
                held.close()

    def _ticket_to_close(self) -> AbstractContextManager[Ticket]:
        """Wait for the turn for a short while; not in the middle of a write through another registry of the file."""
        if self._queue is not None and self._queue.is_entered():
            return nullcontext(NO_TICKET)
        return self._ticket(Deadline(min(self._settings.busy_timeout, CLOSING_PATIENCE)))

    def __del__(self) -> None:
        """Close what nobody has closed, as the last one too where nobody else writes at this moment.

        In a cycle that the collector takes apart the queue's file may be closed by now: then there is no telling.
        """
        connections: ConnectionPool | None = getattr(self, "_connections", None)
        if connections is None or connections.is_closed or self._queue is None or self._queue.is_held():
            return
        try:
            self._close_dropped()
        finally:  # other registries of the file share the queue
            self._queue.release_abandoned()

    def _close_dropped(self) -> None:
        if self._queue is not None:
            with self._queue.ticket(Deadline(0)) as ticket:
                if ticket.number is not None and ticket.is_guarded():
                    self._connections.close_dropped()

    def release_after(self, error: BaseException) -> None:
        """Release whatever an error, which may have come between any two bytecodes, has left this thread holding.

        What a call around this one holds stays: this call came from a signal's handler or a finaliser.
        """
        self._connections.release_abandoned()
        FORKS.release_abandoned()
        if self._queue is not None:
            self._queue.release_abandoned()

    def is_held(self) -> bool:
        """Return whether this thread holds a connection or a place in the queue."""
        return self._connections.is_held() or (self._queue is not None and self._queue.is_held())

    def _renew(self) -> None:
        """Look again how the file can be read, where it can't be written and what is read is only of one moment."""
        if self._access is not Access.READ:
            return
        with self._connections.watch(Deadline(self._settings.busy_timeout)) as watching:
            if self.file.is_unchanged() and is_outdated(self._real, watching.watcher()):
                self._connections.renew()

    @contextmanager
    def _begun(
        self, hold: Hold, statement: str, kind: Callable[[Handle], R], deadline: Deadline
    ) -> Iterator[tuple[Handle, R]]:
        """Begin a transaction, waiting for other processes a slice at a time, outside any slot; leave none open."""
        may_reconnect = True
        while True:
            with hold(deadline) as handle:
                begun = self._tried(handle, statement, kind, deadline)
                if begun is not None and not begun.is_refused:
                    yield handle, begun
                    return
                if begun is not None and not (may_reconnect and readonly.is_writable(self._real)):
                    raise may_not_write(self.path, self._real)
            if begun is None:
                time.sleep(BUSY_PAUSE)
            else:
                may_reconnect = False
                self._connections.reconnect()

    def _require_writable(self) -> None:
        """Raise `StorageReadOnlyError` where this process may not write the file, or not publish what it writes.

        That is asked at this moment, as what it found when it opened may have been mended.
        """
        if self._access is Access.READ:
            self._become_writable()
        elif not self.signal.is_writable:
            with self._diagnosis.translating():
                self.require_signal()
        if not self.signal.is_writable:
            raise may_not_write(self.path, self._real)

    def _become_writable(self) -> None:
        """Go on as a registry that writes, if the file can be written by now."""
        if not readonly.is_writable(self._real):
            return
        with self._diagnosis.translating(), FORKS.opening():
            self.file.require_unchanged()
            access, first = open_first(self.path, self._real, self._settings)
            first.close()
            if access is Access.WRITE and self._access is Access.READ:  # else another thread was faster
                self._queue, self.signal = self._open_queue(access), self._open_signal(access)
                self._follow_forks()
                self.file.record(self._real + WAL)
                self._connections.reconnect(*self._openers(access))
                self._access = access

    def _tried(self, handle: Handle, statement: str, kind: Callable[[Handle], R], deadline: Deadline) -> R | None:
        """Begin, and read, which is what takes the snapshot; None where others hold the lock and there is time left."""
        try:
            handle.connection.execute(statement)
            self.require_known_schema(handle.connection)
            return kind(handle)
        except sqlite3.OperationalError as error:
            if is_busy(error) and deadline.left():
                return None
            raise

    def require_known_schema(self, connection: sqlite3.Connection) -> None:
        """Raise where the transaction sees a schema that this release does not know (see `opening.py`)."""
        oldest = READABLE_SCHEMA if self._access is Access.READ else SCHEMA_VERSION
        require_known_schema(connection, self.path, oldest)

    def _ticket(self, deadline: Deadline) -> AbstractContextManager[Ticket]:
        return nullcontext(NO_QUEUE) if self._queue is None else self._queue.ticket(deadline)

    def require_signal(self) -> None:
        """Make the sidecar anew where somebody removed it; who still looks at the old one is told there too."""
        if not self.signal.is_current_file():
            last, self.signal = self.signal, self._open_signal(self._access)
            if last.is_writable:
                self._old_signal = last

    def publish(self, revision: int) -> None:
        """Publish what was read before it is returned, where its writer died before it could.

        Where that fails, wait until every cache that may hold what was before has expired, once for each revision.
        """
        try:
            self.signal.publish(revision)
        except OSError as error:
            if is_applications(error):
                raise
            if revision != self.waited_for:
                time.sleep(CHECK_SECONDS)
                self.waited_for = revision

    def _outwait(self, revision: int) -> None:
        """Try again to publish what is committed, for as long as a cache may hold what was before."""
        end = time.monotonic() + CHECK_SECONDS
        while time.monotonic() < end:
            with suppress(OSError):
                self._publish(revision)
                return
            time.sleep(PUBLISH_PAUSE)
        self.waited_for = revision

    def _publish(self, revision: int) -> None:
        self.signal.publish(revision)
        if self._old_signal is not None:
            self._old_signal.publish(revision)

    def note_erasing(self) -> None:
        """Learn that bytes of deleted prompts may still be there: the next call erases them."""
        if self._erasing_again_at is None:
            self._erasing_again_at = 0.0

    def _erase(self, handle: Handle, *, patience_ms: int = erasure.PATIENCE_MS, rewrites: bool = True) -> None:
        """Erase what is due, as who has the writers' turn."""
        if self._access is Access.WRITE:
            is_done = erasure.erase(handle, self.path, patience_ms, rewrites=rewrites)
            self._erasing_again_at = None if is_done else time.monotonic() + erasure.RETRY_SECONDS

    def _erase_in_turn(
        self, deadline: Deadline, *, patience_ms: int = erasure.PATIENCE_MS, rewrites: bool = True
    ) -> None:
        """Erase what is due once the writers' turn comes, and leave it for later where it does not come in time."""
        self._erasing_again_at = time.monotonic() + erasure.RETRY_SECONDS
        with self._ticket(deadline) as ticket:
            if ticket.is_guarded():
                with self._connections.writer(deadline) as handle:
                    self._erase_or_retry(handle, patience_ms=patience_ms, rewrites=rewrites)

    def _erase_if_due(self) -> None:
        """Cut the log, if that is due and nobody writes; not where this thread itself is in the queue."""
        if not self._is_erasing_due() or self._access is not Access.WRITE:
            return
        if self._queue is None or not self._queue.is_held():
            with suppress(StorageError):
                self._erase_in_turn(Deadline(0), patience_ms=0, rewrites=False)

    def _is_erasing_due(self) -> bool:
        due = self._erasing_again_at
        return due is not None and time.monotonic() > due

    def _erase_or_retry(self, handle: Handle, **how: Any) -> None:
        """Erase behind a call whose own work is done: whatever fails is no failure of that call, and is tried again."""
        try:
            self._erase(handle, **how)
        except (StorageError, *SYSTEMS) as error:
            if is_applications(error):
                raise
            self._erasing_again_at = time.monotonic() + erasure.RETRY_SECONDS

    def _commit(self, handle: Handle, revision: int) -> bool:
        """Commit, and publish before anybody learns of it; return whether that could be published.

        Interrupted, publish all the same that something may have changed, but no revision that may not hold.
        """
        handle.require_own()
        try:
            handle.connection.execute("COMMIT")
        except BaseException as error:
            is_unknown = settling.may_hold(error)
            if is_unknown:
                settling.note_unknown(self._real)
            with suppress(OSError):
                self._publish(revision - 1)
            if is_unknown:
                raise CommitUnknownError(
                    f"The commit to {self.path} failed ({error}) and may or may not hold; read before you try again.",
                    reason="commit_unknown",
                ) from error
            raise
        try:
            self._publish(revision)
        except BaseException as error:
            with suppress(OSError):
                self._publish(revision - 1)
            if isinstance(error, OSError) and not is_applications(error):
                return False
            raise
        return True

    def is_unsettled(self) -> bool:
        """Return whether a commit may or may not hold that this registry can settle."""
        return self._access is Access.WRITE and settling.is_unsettled(self._real)

    def is_damage(self, error: sqlite3.Error) -> bool | None:
        """Return whether the file is damaged where SQLite says so, or could not be read."""
        return self._diagnosis.is_damage(error)

    def _require_settled(self) -> None:
        if self.is_unsettled():
            self._settle(Deadline(self._settings.busy_timeout))

    def _settle(self, deadline: Deadline) -> None:
        """Settle a commit that may or may not hold, by one of nothing but a revision, before anything is answered.

        Raises `StorageError` where that fails as well.
        """
        try:
            with (
                self._ticket(deadline) as ticket,
                self._begun(self._connections.writer, "BEGIN IMMEDIATE", SQLiteWriter, deadline) as (handle, writer),
            ):
                if not self.is_unsettled():  # as another thread was faster
                    return
                self.require_signal()
                self._require_writable()
                writer.advance()
                handle.let_commits_checkpoint(ticket.is_guarded())
                is_published = self._commit(handle, writer.revision)
                settling.note_settled(self._real)
        except StorageError as error:
            settling.note_failed(self._real)
            if error.details.get("reason") in settling.NOT_THE_DISK:
                raise
            raise settling.unsettled(self.path) from error
        if not is_published:
            self._outwait(writer.revision)


def open_sqlite(settings: StorageSettings) -> SQLiteStorage:
    """Open the database; after an error, even an interrupt, leave nothing open, though the error be kept."""
    try:
        return SQLiteStorage(settings)
    except BaseException as error:
        clear_frames(error.__traceback__)
        if settings.target != ":memory:":  # other registries of the file share its queue
            queue_of(os.path.realpath(settings.target)).release_abandoned()
        FORKS.release_abandoned()
        raise


def _nothing() -> None:
    """Do nothing."""


def _lost(path: str, real: str, settings: StorageSettings) -> NoReturn:
    raise StorageError(f"The database {path} is lost; open a new registry.", reason="removed")


def _open_memory(settings: StorageSettings) -> tuple[Access, Handle]:
    return Access.MEMORY, open_memory(settings)
