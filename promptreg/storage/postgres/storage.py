"""The PostgreSQL storage: read and write transactions, and what surrounds them on opening and closing."""

import time
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any

import psycopg

from promptreg.errors import StorageBusyError, StorageError
from promptreg.rules.names import Versioned
from promptreg.storage.base import ChangeMonitor, Lookup, StorageProfile, StorageSettings
from promptreg.storage.deadlines import Deadline
from promptreg.storage.finding import look_up
from promptreg.storage.postgres import lookups, schema
from promptreg.storage.postgres.change_check import ChangeCheck, freshness
from promptreg.storage.postgres.heads import Head
from promptreg.storage.postgres.listening import Listener
from promptreg.storage.postgres.sessions import Session, Statement
from promptreg.storage.postgres.signals import signal_of
from promptreg.storage.postgres.url import read_url
from promptreg.storage.slots import CallLock, holding

if TYPE_CHECKING:
    from promptreg.dump import Dump, Entry
    from promptreg.storage.postgres.reader import PostgresReader
    from promptreg.storage.postgres.writer import PostgresWriter

READ = Statement("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
WRITE = Statement("BEGIN ISOLATION LEVEL READ COMMITTED")
LOCK = Statement("SELECT revision, stamp FROM $.registry FOR UPDATE")
COMMIT = Statement("COMMIT")


class PostgresStorage:
    """A registry in a schema of a PostgreSQL database."""

    def __init__(self, settings: StorageSettings) -> None:
        self._settings, self._url = settings, read_url(settings.target)
        self.profile = StorageProfile(f"PostgreSQL, schema {self._url.schema}", *freshness(settings), path=None)
        self.is_closed = False
        opened_at = time.monotonic()
        with self._session() as session:
            ((found,),) = session.query("SELECT to_regclass(%s) IS NOT NULL", (f"{self._url.schema}.registry",))
            if not found:
                if not settings.create:
                    raise StorageError(f"{self.profile.location} is no registry.", reason="missing_schema")
                session.run(Statement("BEGIN"), *schema.creation(self._url.schema), COMMIT)
            ((identity, revision, stamp),) = session.query("SELECT identity, revision, stamp FROM $.registry")
        self.signal = signal_of(identity)
        self.signal.begin(revision, stamp)
        self._listener = Listener(self._url.conninfo, self._url.schema, self.signal, proven_at=opened_at)
        self._watch = CallLock()
        self._check = ChangeCheck(self._listener, self.signal, settings)

    def _noticing(self) -> Callable[[Head], None]:
        """Return what tells the signal the registry's row, in answer to a statement that is not sent yet."""
        seen = self.signal.read()
        return lambda head: self.signal.observe(head.revision, head.stamp, seen)

    @contextmanager
    def _session(self) -> Iterator[Session]:
        if self.is_closed:
            raise StorageError(f"The registry of {self.profile.location} is closed; open a new one.", reason="closed")
        connection = psycopg.connect(self._url.conninfo, autocommit=True, prepare_threshold=None)
        try:
            yield Session(connection, self._url.schema)
        finally:
            connection.close()

    @contextmanager
    def read(self) -> Iterator["PostgresReader"]:
        """Open a read transaction."""
        from promptreg.storage.postgres.reader import PostgresReader  # noqa: PLC0415

        with self._session() as session:
            session.begin(READ)
            yield PostgresReader(session, notice=self._noticing())

    def look_up(self, namespace: str, wanted: Sequence[Versioned]) -> tuple[int, list[Lookup]]:
        """Return the revision, and each prompt with the version that is wanted of it, all of one moment."""
        notice = self._noticing()
        with self._session() as session:
            head, found = lookups.look_up(session, namespace, wanted)
        notice(head)
        if found is not None:
            return head.revision, found
        with self.read() as reader:
            return reader.snapshot.revision, look_up(reader, namespace, wanted)

    @contextmanager
    def write(self) -> Iterator["PostgresWriter"]:
        """Open the write transaction; leaving it commits what was applied, an exception rolls it back.

        The writer runs `LOCK` first, together with what was queued here. It queues what it applies with
        `session.begin`, so that it goes in one round trip with the commit.
        """
        from promptreg.storage.postgres.writer import PostgresWriter  # noqa: PLC0415

        with self._session() as session:
            session.begin(WRITE)
            writer = PostgresWriter(session, notice=self._noticing())
            seen = self.signal.read()
            yield writer
            if writer.has_applied:
                try:
                    session.run(COMMIT)
                except BaseException:
                    self.signal.doubt()
                    raise
                self.signal.observe(writer.registry_row.revision, writer.registry_row.stamp, seen)

    @contextmanager
    def monitor(self) -> Iterator[ChangeMonitor]:
        """Check for changes, one thread at a time."""
        with holding([self._watch], Deadline(self._settings.busy_timeout).left) as lock:
            if lock is None:
                raise StorageBusyError(
                    f"Another thread has checked {self.profile.location} for changes for longer than busy_timeout.",
                    retry_after=0.1,
                )
            yield self._check.changes_since

    def verify(self) -> Generator[Any, None, None]:
        """Check all stored data, some rows at each step."""
        raise NotImplementedError

    def dump(self) -> "AbstractContextManager[Dump]":
        """Read everything, as it is at this moment."""
        raise NotImplementedError

    def load(self, entries: "Iterable[Entry]") -> None:
        """Take everything outside any transaction, and write it into an empty database at once."""
        raise NotImplementedError

    def release_after(self, error: BaseException) -> None:
        """Release whatever an error has left this thread holding."""

    def close(self) -> None:
        """Close every connection."""
        self.is_closed = True
        self._listener.close()
