"""The PostgreSQL storage: read and write transactions, and what surrounds them on opening and closing.

A read is one REPEATABLE READ transaction, so it sees one snapshot; a cold read is one statement. A write begins by
locking the registry's row, so that there is one at a time, and what it read stays true. This module says in which order
things happen; SQL, connections and errors are in the modules that it imports.
"""

import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, closing, contextmanager
from functools import partial
from typing import TYPE_CHECKING

import psycopg
from psycopg.pq.abc import PGconn

from promptreg.errors import PromptregError
from promptreg.rules.names import Versioned
from promptreg.storage.base import ChangeMonitor, Lookup, StorageProfile, StorageSettings, VerificationStep
from promptreg.storage.deadlines import Deadline, Patience, TimeLimit
from promptreg.storage.finding import look_up
from promptreg.storage.postgres import lookups, making, schema
from promptreg.storage.postgres.change_check import ChangeCheck, freshness
from promptreg.storage.postgres.connecting import Connector
from promptreg.storage.postgres.failures import Place, commit_unknown, translate
from promptreg.storage.postgres.heads import Head
from promptreg.storage.postgres.listening import Listener
from promptreg.storage.postgres.pool import LEAST_WAIT, ConnectionPool
from promptreg.storage.postgres.sessions import COMMIT, Session
from promptreg.storage.postgres.signals import Mark, mark_of, signal_of
from promptreg.storage.postgres.transactions import begin_read, begin_write, commit
from promptreg.storage.postgres.url import read_url
from promptreg.storage.written import Written

if TYPE_CHECKING:
    from promptreg.dump import Dump, Entry
    from promptreg.storage.postgres.reader import PostgresReader
    from promptreg.storage.postgres.writer import PostgresWriter


class PostgresStorage:
    """A registry in a schema of a PostgreSQL database."""

    def __init__(self, settings: StorageSettings) -> None:
        url = read_url(settings.target)
        self._busy_timeout = settings.busy_timeout
        self._place = Place(url.location, url.schema, role="")
        self._connector = Connector(url)
        self.profile = StorageProfile(url.location, *freshness(settings), path=None)
        self._connections = ConnectionPool(self._new_session, url.location)
        opened_at = time.monotonic()
        try:
            with self._connections.writer(self._deadline(), self._translated) as session:
                session.connected()  # which tells the role, for errors
                found = making.opened(session, self._place, may_create=settings.create)
        except BaseException:  # leave nothing open, even if the caller keeps the error
            self._connections.close()
            raise
        self.signal = signal_of(found.identity)
        self.signal.begin(found.revision, found.stamp)
        self._listener = Listener(self._connector, url.schema, self.signal, proven_at=opened_at)
        self._connections.keep_listener(self._listener)
        self._check = ChangeCheck(self._listener, self.signal, settings)
        self._unsettled: set[Written] = set()  # commits of unknown outcome

    # The seam

    @contextmanager
    def read(self) -> Iterator["PostgresReader"]:
        """Open a read transaction."""
        from promptreg.storage.postgres.reader import PostgresReader  # noqa: PLC0415

        with self._reading(self._deadline()) as session:
            yield PostgresReader(session, self._noticing())

    def look_up(self, namespace: str, wanted: Sequence[Versioned]) -> tuple[int, list[Lookup]]:
        """Return the revision, and each prompt with the version that is wanted of it, all of one moment."""
        deadline = self._deadline()
        is_one = len(wanted) == 1
        held = self._connections.reader(deadline, self._translated) if is_one else self._reading(deadline)
        with held as session:
            revision, found = lookups.look_up(session, namespace, wanted, self._noticing())
        if found is not None:
            return revision, found
        with self.read() as reader:
            return reader.snapshot.revision, look_up(reader, namespace, wanted)

    @contextmanager
    def write(self) -> Iterator["PostgresWriter"]:
        """Open the write transaction; leaving it commits what was applied, an exception rolls it back.

        What is applied is queued, and goes in one round trip with the commit.
        """
        with self._written(self._deadline()) as writer:
            yield writer

    @contextmanager
    def monitor(self, patience: float | None = None) -> Iterator[ChangeMonitor]:
        """Check for changes, one thread at a time."""
        longest = max(self._busy_timeout, LEAST_WAIT)
        limit = Deadline(longest if patience is None else min(patience, longest))
        with self._connections.watching(limit):
            yield partial(self._check.changes_since, limit)

    def verify(self, head: str | None = None) -> Generator[VerificationStep, None, None]:
        """Check all stored data, some rows at each step, and that an event has the hash `head`."""
        from promptreg.storage.postgres.verification import verified  # noqa: PLC0415 (that no other verb needs)

        return verified(
            lambda: self._connections.reader(self._patience(), self._translated),
            self._translating,
            self._place.schema,
            head,
        )

    def dump(self) -> "AbstractContextManager[Dump]":
        """Read everything, as it is at this moment."""
        from promptreg.storage.postgres.dumping import dumped  # noqa: PLC0415 (only an export and a backup need it)

        return dumped(self._own_session, self._translating)

    def load(self, entries: "Iterable[Entry]") -> None:
        """Take everything outside any transaction, and write it into an empty database at once."""
        from promptreg.storage.postgres.loading import staged  # noqa: PLC0415 (only an import needs it)

        with self.write() as writer:
            writer.require_empty()
        with staged(entries) as staging, self._written(self._patience()) as writer:
            writer.load(staging)

    def release_after(self, error: BaseException) -> None:
        """Release whatever an error has left this thread holding; it may have come between any two bytecodes.

        An outer call of this thread, which a signal handler or a finaliser has interrupted, keeps what it holds.
        """
        self._connections.release_own()

    def close(self) -> None:
        """Close every connection; closing twice is fine."""
        self._connections.require_outside()
        self._connections.close()

    # Transactions

    def _deadline(self) -> Deadline:
        return Deadline(self._busy_timeout)

    def _patience(self) -> Patience:
        """Return the limit of long work, where each statement takes a part of it and may take so long."""
        return Patience(max(self._busy_timeout, LEAST_WAIT))

    def _reading(self, limit: TimeLimit) -> "AbstractContextManager[Session]":
        return self._begun(self._connections.reader(limit, self._translated), begin_read)

    @contextmanager
    def _begun(self, held: "AbstractContextManager[Session]", begin: Callable[[Session], None]) -> "Iterator[Session]":
        with held as session:
            begin(session)
            yield session

    @contextmanager
    def _written(self, limit: TimeLimit) -> Iterator["PostgresWriter"]:
        from promptreg.storage.postgres.writer import PostgresWriter  # noqa: PLC0415

        held = self._connections.writer(limit, partial(self._translated, is_write=True))
        with self._begun(held, begin_write) as session:
            writer = PostgresWriter(session, self._noticing())
            session.begin_work()
            begun, seen = writer.registry_row, self.signal.read()
            self._settle()
            yield writer
            if writer.has_applied:
                self._commit(session, begun, writer, seen)
            else:  # what it has read may be of a commit that no standby has yet, and is waited for then
                session.run(COMMIT)

    def _commit(self, session: Session, begun: Head, writer: "PostgresWriter", seen: Mark) -> None:
        """Commit, and tell the signal; where the outcome is unknown, every cache asks before its next answer.

        An exception of a signal handler may come after the commit, and before the signal was told.
        """
        after = writer.registry_row
        written = Written(mark_of(after.revision, after.stamp), writer.written)
        try:
            commit(session, begun)
            self.signal.observe(after.revision, after.stamp, seen)
            self.signal.note_written(written)
        except BaseException as error:
            if session.may_have_committed or not isinstance(error, psycopg.Error):
                self.signal.doubt()
                self._unsettled.add(written)
                self.signal.note_written(written)
                if isinstance(error, psycopg.Error):
                    raise commit_unknown(error, self._place) from error
            raise

    def _settle(self) -> None:
        """Note commits of unknown outcome again: under the lock of writers, each has happened or never will.

        What was read since they were noted first may be from before them.
        """
        for written in [*self._unsettled]:
            self.signal.note_written(written.again())
            self._unsettled.discard(written)

    def _noticing(self) -> Callable[[Head], None]:
        """Return what checks the registry's row, and tells the signal: the answer to a statement not sent yet."""
        seen = self.signal.read()

        def notice(head: Head) -> None:
            schema.require_known(head.schema_version, self._place.location)
            self.signal.observe(head.revision, head.stamp, seen)

        return notice

    # Connections

    def _connect(self, limit: TimeLimit) -> PGconn:
        pgconn = self._connector.connect(limit)
        self._place = self._place._replace(role=pgconn.user.decode(errors="replace"))
        return pgconn

    def _new_session(self) -> Session:
        return Session(self._connect, self._place.schema, self._patience())

    @contextmanager
    def _own_session(self) -> Iterator[Session]:
        """Connect for one long piece of work, which lets go of no snapshot while its caller is slow."""
        self._connections.require_open()
        session = self._new_session()
        with self._connections.dropping(session), closing(session):
            session.start(self._patience())
            yield session

    @contextmanager
    def _translating(self) -> Iterator[None]:
        try:
            yield
        except psycopg.Error as error:
            raise self._translated(error) from error

    def _translated(self, error: psycopg.Error, *, is_write: bool = False) -> PromptregError:
        return translate(error, self._place, is_write=is_write)
