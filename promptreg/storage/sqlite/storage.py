"""The SQLite storage: read and write transactions, checks for changes, and what surrounds them on opening and closing.

A read is one deferred transaction, so it sees one snapshot. A write is one `BEGIN IMMEDIATE` transaction, so what it
read stays true; it first waits in the queue of writers. This module says in which order things happen; SQL,
connections, locks and files are in the modules that it imports.
"""

import os
import sqlite3
import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from typing import TYPE_CHECKING, TypeAlias, TypeVar

from promptreg.errors import CommitUnknownError, StorageError
from promptreg.rules.names import Versioned
from promptreg.storage.base import ChangeMonitor, Lookup, StorageProfile, StorageSettings, VerificationStep
from promptreg.storage.deadlines import Deadline
from promptreg.storage.finding import look_up
from promptreg.storage.slots import release_own
from promptreg.storage.sqlite import connecting, erasure, event_chain, readonly, system, unknown_commits
from promptreg.storage.sqlite.change_check import SQLiteMonitor
from promptreg.storage.sqlite.connections import Handle
from promptreg.storage.sqlite.diagnosis import Diagnosis
from promptreg.storage.sqlite.erasure import Eraser
from promptreg.storage.sqlite.failures import is_busy, is_from_application, may_not_write
from promptreg.storage.sqlite.files import WAL, FileIdentity
from promptreg.storage.sqlite.forks import FORKS
from promptreg.storage.sqlite.pool import ConnectionPool
from promptreg.storage.sqlite.queue import NO_QUEUE, NO_TICKET, Ticket, WriterQueue, queue_of
from promptreg.storage.sqlite.reader import Moment, SQLiteReader
from promptreg.storage.sqlite.readonly import Access, is_outdated
from promptreg.storage.sqlite.revisions import Publisher
from promptreg.storage.sqlite.sidecar import CHECK_SECONDS
from promptreg.storage.written import Written

if TYPE_CHECKING:
    from promptreg.dump import Dump, Entry
    from promptreg.storage.sqlite.writer import SQLiteWriter

R = TypeVar("R", bound=Moment | SQLiteReader)
Hold: TypeAlias = Callable[[Deadline], AbstractContextManager[Handle]]

BUSY_PAUSE = 0.001  # seconds outside any slot, between two waits in SQLite
CLOSING_PATIENCE = 0.5  # seconds that opening and closing wait in the writers' queue, to erase and to checkpoint


class SQLiteStorage:
    """A registry in one SQLite file, or with `":memory:"` in this process."""

    def __init__(self, settings: StorageSettings) -> None:
        is_file = settings.target != ":memory:"
        self._settings, self.path = settings, connecting.absolute(settings.target)
        self.profile = StorageProfile(self.path, staleness=0, check_interval=CHECK_SECONDS, path=self.path)
        self._real = os.path.realpath(self.path) if is_file else self.path
        self.diagnosis = Diagnosis(self.path, self._real if is_file else None, settings)
        self.eraser = Eraser(self.path)
        with self.diagnosis.translating(), FORKS.opening():
            self.file = FileIdentity(self.path)
            self._access, first = connecting.open_first(self.path, self._real, settings)
            if is_file:
                self.file.record(self._real + WAL if self._access is Access.WRITE else None)
            self._queue = self._open_queue(self._access)
            self.publisher = Publisher(self._real, self._access)
            self._connections = ConnectionPool(
                self.file,
                *connecting.openers(self._access, self.path, self._real, settings),
                first,
                is_shared=self._access is not Access.WRITE,
                translated=self.diagnosis.translated,
            )
        self._follow_forks()
        try:
            with self._connections.writer(Deadline(settings.busy_timeout)) as handle:
                is_due = self._access is Access.WRITE and erasure.progress(handle.connection).is_due
            if is_due:
                self._erase_in_turn(Deadline(min(settings.busy_timeout, CLOSING_PATIENCE)))
        except BaseException:  # leave nothing open, even if the caller keeps the error
            self._connections.close(may_checkpoint=False)
            raise
        with suppress(StorageError):
            self._require_settled()

    def _open_queue(self, access: Access) -> WriterQueue | None:
        return queue_of(self._real) if access is Access.WRITE and system.LOCKS else None

    def _follow_forks(self) -> None:
        if self._queue is not None:
            self._connections.after_fork_in_child = self._queue.forked

    # The seam

    def read(self) -> AbstractContextManager[SQLiteReader]:
        """Open a read transaction."""
        return self._begun_read(self._reader)

    def _reader(self, handle: Handle) -> SQLiteReader:
        """Return what reads a snapshot, whose revision is published here if its writer could not."""
        reader = SQLiteReader(handle)
        if self.publisher.signal.is_behind(reader.revision):
            self.publisher.publish_seen(reader.revision)
        return reader

    @contextmanager
    def write(self) -> Iterator["SQLiteWriter"]:
        """Open the write transaction; leaving it commits what was applied, an exception rolls it back."""
        self._connections.require_free()
        self._require_writable()
        self._require_settled()
        deadline, is_published = self._deadline(), True
        with self._begun_write(deadline) as (ticket, handle, writer):
            yield writer
            if writer.has_applied:
                handle.let_commits_checkpoint(ticket.is_guarded())
                is_published = self._commit(handle, writer)
            if writer.has_deleted:
                self.eraser.note()
            if self.eraser.is_noted() and ticket.is_guarded():
                briefly = erasure.BRIEF_MS if self.eraser.is_due() else 0
                self._erase(handle, patience_ms=erasure.PATIENCE_MS if writer.has_deleted else briefly)
        if not is_published:
            self.publisher.publish_late(writer.revision)

    def look_up(self, namespace: str, wanted: Sequence[Versioned]) -> tuple[int, list[Lookup]]:
        """Return the revision, and each prompt with the version that is wanted of it, all of one moment."""
        with self.read() as reader:
            return reader.revision, look_up(reader, namespace, wanted)

    @contextmanager
    def monitor(self, patience: float | None = None) -> Iterator[ChangeMonitor]:
        """Check for changes, one thread at a time; the file itself answers at once."""
        self._renew()
        if self.is_unsettled() and unknown_commits.is_due(self._real):
            with suppress(StorageError):  # without waiting for others, as the cache can answer
                self._settle(Deadline(0))
        with self._connections.watch(self._deadline(patience)) as watching:
            yield SQLiteMonitor(self, watching).changes_since
        self._erase_if_due()

    def verify(self, head: str | None = None) -> Generator[VerificationStep, None, None]:
        """Check all stored data, some rows at each step, and that an event has the hash `head`."""
        from promptreg.storage.sqlite.verification import verified  # noqa: PLC0415 (4 ms that no other verb needs)

        return verified(self._snapshot, self.path, head)

    def dump(self) -> "AbstractContextManager[Dump]":
        """Read everything, as it is at this moment."""
        from promptreg.storage.sqlite.dumping import dumped  # noqa: PLC0415 (only an export needs it)

        return dumped(self._snapshot, self.diagnosis.translating)

    def load(self, entries: "Iterable[Entry]") -> None:
        """Take everything outside any transaction, and write it into an empty database at once."""
        from promptreg.storage.sqlite.loading import staged  # noqa: PLC0415 (only an import needs it)

        with self.write() as writer:
            writer.require_empty()
        with staged(entries, self.diagnosis.translated) as staging, self.write() as writer:
            writer.load(staging)

    def release_after(self, error: BaseException) -> None:
        """Release whatever an error has left this thread holding; it may have come between any two bytecodes.

        An outer call of this thread, which a signal handler or a finaliser has interrupted, keeps what it holds.
        """
        self._connections.release_own()
        FORKS.release_own()
        if self._queue is not None:
            release_own([self._queue])

    def close(self) -> None:
        """Erase what is due, and close every connection; closing twice is fine.

        The last connection of all processes to close checkpoints the WAL and deletes it. What other writers delay stays
        due, for the next one that opens the file.
        """
        self._connections.require_outside()
        with self._ticket_to_close() as ticket:
            try:
                if self.eraser.is_noted() and ticket.is_guarded():
                    with suppress(StorageError), self._connections.writer(Deadline(CLOSING_PATIENCE)) as handle:
                        self._erase(handle)
            finally:
                self._connections.close(may_checkpoint=ticket.is_guarded())
        self._queue, self._connections.after_fork_in_child = None, lambda: None
        self.publisher.close()

    def _ticket_to_close(self) -> AbstractContextManager[Ticket]:
        """Wait in the queue for a short time; not at all in the middle of a write to another registry of the file."""
        if self._queue is not None and self._queue.is_entered():
            return nullcontext(NO_TICKET)
        return self._ticket(Deadline(min(self._settings.busy_timeout, CLOSING_PATIENCE)))

    def __del__(self) -> None:
        """Close what was not closed; checkpoint only if nobody is writing at this moment.

        In a cycle that the garbage collector takes apart, the queue's file may be closed already: then do not.
        """
        connections: ConnectionPool | None = getattr(self, "_connections", None)
        if connections is None or connections.is_closed or self._queue is None or self._queue.is_held():
            return
        try:
            self._close_dropped(self._queue)
        finally:  # other registries of the file share the queue
            self._queue.release_abandoned()

    def _close_dropped(self, queue: WriterQueue) -> None:
        with queue.ticket(Deadline(0)) as ticket:
            if ticket.number is not None and ticket.is_guarded():
                self._connections.close_dropped()

    def _deadline(self, patience: float | None = None) -> Deadline:
        longest = self._settings.busy_timeout
        return Deadline(longest if patience is None else min(patience, longest))

    def _ticket(self, deadline: Deadline) -> AbstractContextManager[Ticket]:
        return nullcontext(NO_QUEUE) if self._queue is None else self._queue.ticket(deadline)

    @contextmanager
    def _snapshot(self) -> Iterator[Handle]:
        """Open a read transaction that reads no row, as any may be damaged."""
        with self._begun_read(Moment) as moment:
            yield moment.handle

    def _begun_read(self, kind: Callable[[Handle], R]) -> AbstractContextManager[R]:
        self._renew()
        self._require_settled()
        return self._begun(self._connections.reader, "BEGIN", kind, self._deadline())

    @contextmanager
    def _begun_write(self, deadline: Deadline) -> Iterator[tuple[Ticket, Handle, "SQLiteWriter"]]:
        from promptreg.storage.sqlite.writer import SQLiteWriter  # noqa: PLC0415 (0.4 ms that no read needs)

        with (
            self._ticket(deadline) as ticket,
            self._begun(self._connections.writer, "BEGIN IMMEDIATE", SQLiteWriter, deadline) as writer,
        ):
            self.publisher.require_signal()
            self._require_writable()
            yield ticket, writer.handle, writer

    @contextmanager
    def _begun(self, hold: Hold, statement: str, kind: Callable[[Handle], R], deadline: Deadline) -> Iterator[R]:
        """Begin a transaction, waiting for other processes a slice at a time, outside any slot; leave none open."""
        may_reconnect = True
        while True:
            with hold(deadline) as handle:
                begun = self._tried(handle, statement, kind, deadline)
                if begun is not None and not begun.is_refused:
                    yield begun
                    break
                if begun is not None and not (may_reconnect and readonly.is_writable(self._real)):
                    raise may_not_write(self.path, self._real)
            if begun is None:  # perhaps as a call that has ended left a transaction open
                self._connections.release_abandoned()
                time.sleep(BUSY_PAUSE)
            else:
                may_reconnect = False
                self._connections.reconnect()
        self._erase_if_due()

    def _tried(self, handle: Handle, statement: str, kind: Callable[[Handle], R], deadline: Deadline) -> R | None:
        """Begin, and read, which takes the snapshot; return None if others hold the lock and there is time left."""
        try:
            handle.connection.execute(statement)
            self.require_known_schema(handle.connection)
            return kind(handle)
        except sqlite3.OperationalError as error:
            if is_busy(error) and deadline.left():
                return None
            raise

    def require_known_schema(self, connection: sqlite3.Connection) -> None:
        """Raise where the transaction sees a schema that this release does not know."""
        oldest = connecting.READABLE_SCHEMA if self._access is Access.READ else connecting.SCHEMA_VERSION
        connecting.require_known_schema(connection, self.path, oldest)

    def _renew(self) -> None:
        """Reopen a file that is only read, if its connection shows a single moment and the file has changed."""
        if self._access is not Access.READ:
            return
        with self._connections.watch(self._deadline()) as watching:
            outdated = self.file.is_unchanged() and is_outdated(self._real, watching.watcher())
        if outdated:
            self._connections.reconnect()

    def _require_writable(self) -> None:
        """Raise `StorageReadOnlyError` if this process can't write the file, or can't publish what it writes.

        Permissions may have changed since the file was opened, so they are checked now.
        """
        if self._access is Access.READ:
            self._become_writable()
        elif not self.publisher.signal.is_writable:
            with self.diagnosis.translating():
                self.publisher.require_signal()
        if not self.publisher.signal.is_writable:
            raise may_not_write(self.path, self._real)

    def _become_writable(self) -> None:
        """Reopen the file for writing, if that is possible by now."""
        if not readonly.is_writable(self._real):
            return
        with self.diagnosis.translating(), FORKS.opening():
            self.file.require_unchanged()
            access, first = connecting.open_first(self.path, self._real, self._settings)
            first.close()
            if access is Access.WRITE and self._access is Access.READ:  # else another thread was faster
                self._queue, self.publisher = self._open_queue(access), Publisher(self._real, access)
                self._follow_forks()
                self.file.record(self._real + WAL)
                self._connections.reconnect(*connecting.openers(access, self.path, self._real, self._settings))
                self._access = access

    # Committing

    def _commit(self, handle: Handle, writer: "SQLiteWriter") -> bool:
        """Commit, and publish before anybody learns of it; return whether it could be published.

        If interrupted, publish that something may have changed, but no revision that may not have been committed.
        """
        handle.require_own()
        mark = writer.revision, event_chain.last_link(handle.connection)  # as revisions are used again after a restore
        written, is_committed = Written(mark, writer.written), False
        try:
            handle.connection.execute("COMMIT")
            is_committed = True
            self.publisher.own_writes.note_written(written)
            self.publisher.publish(writer.revision)
        except BaseException as error:
            is_unknown = not is_committed and unknown_commits.may_hold(error)
            if is_unknown:
                unknown_commits.note_unknown(self._real)
            self.publisher.own_writes.note_written(written)
            self.publisher.publish_doubt(writer.revision)
            if is_unknown:
                raise CommitUnknownError(
                    f"The commit to {self.path} failed ({error}), and whether it holds could not be found out.",
                    reason="commit_unknown",
                ) from error
            if is_committed and isinstance(error, OSError) and not is_from_application(error):
                return False
            raise
        return True

    def is_unsettled(self) -> bool:
        """Return whether a commit has an unknown outcome that this registry can settle."""
        return self._access is Access.WRITE and unknown_commits.is_unsettled(self._real)

    def _require_settled(self) -> None:
        if self.is_unsettled():
            self._settle(self._deadline())

    def _settle(self, deadline: Deadline) -> None:
        """Settle a commit with an unknown outcome by a further one; raise `StorageError` where that fails as well."""
        try:
            with self._begun_write(deadline) as (ticket, handle, writer):
                if not self.is_unsettled():  # another thread was faster
                    return
                writer.advance()
                handle.let_commits_checkpoint(ticket.is_guarded())
                is_published = self._commit(handle, writer)
                unknown_commits.note_settled(self._real)
        except StorageError as error:
            unknown_commits.note_failed(self._real)
            if error.details.get("reason") in unknown_commits.NOT_THE_DISK:
                raise
            raise unknown_commits.unsettled(self.path) from error
        if not is_published:
            self.publisher.publish_late(writer.revision)

    # Erasing

    def _erase(self, handle: Handle, *, patience_ms: int = erasure.PATIENCE_MS, rewrites: bool = True) -> None:
        """Erase what is due; the caller holds the queue."""
        if self._access is Access.WRITE:
            self.eraser.erase(handle, patience_ms=patience_ms, rewrites=rewrites)

    def _erase_in_turn(
        self, deadline: Deadline, *, patience_ms: int = erasure.PATIENCE_MS, rewrites: bool = True
    ) -> None:
        """Erase what is due if the queue can be entered in time; otherwise leave it for later."""
        self.eraser.postpone()
        with self._ticket(deadline) as ticket:
            if ticket.is_guarded():
                with self._connections.writer(deadline) as handle:
                    self._erase(handle, patience_ms=patience_ms, rewrites=rewrites)

    def _erase_if_due(self) -> None:
        """Truncate the WAL if that is due and nobody writes, and this thread is not in the queue itself."""
        if not self.eraser.is_due() or self._access is not Access.WRITE:
            return
        if self._queue is None or not self._queue.is_held():
            with suppress(StorageError):
                self._erase_in_turn(Deadline(0), patience_ms=0, rewrites=False)
