"""The PostgreSQL storage: read and write transactions, and what surrounds them on opening and closing."""

from collections.abc import Generator, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any

import psycopg

from promptreg.errors import StorageError
from promptreg.storage.base import ChangeMonitor, ChangeReport, Position, StorageProfile, StorageSettings
from promptreg.storage.postgres import schema
from promptreg.storage.postgres.sessions import Session, Statement
from promptreg.storage.postgres.url import read_url

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
        self.profile = StorageProfile(f"PostgreSQL, schema {self._url.schema}", 0, 0.001, path=None)
        self.is_closed = False
        with self._session() as session:
            ((found,),) = session.query("SELECT to_regclass(%s) IS NOT NULL", (f"{self._url.schema}.registry",))
            if not found:
                if not settings.create:
                    raise StorageError(f"{self.profile.location} is no registry.", reason="missing_schema")
                session.run(Statement("BEGIN"), *schema.creation(self._url.schema), COMMIT)

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
            yield PostgresReader(session)

    @contextmanager
    def write(self) -> Iterator["PostgresWriter"]:
        """Open the write transaction; leaving it commits what was applied, an exception rolls it back.

        The writer runs `LOCK` first, together with what was queued here. It queues what it applies with
        `session.begin`, so that it goes in one round trip with the commit.
        """
        from promptreg.storage.postgres.writer import PostgresWriter  # noqa: PLC0415

        with self._session() as session:
            session.begin(WRITE)
            writer = PostgresWriter(session)
            yield writer
            if writer.has_applied:
                session.run(COMMIT)

    @contextmanager
    def monitor(self) -> Iterator[ChangeMonitor]:
        """Check for changes, one thread at a time."""

        def changes_since(_: Position | None) -> ChangeReport:
            with self._session() as session:
                ((revision, stamp),) = session.query("SELECT revision, stamp FROM $.registry")
            position = Position((revision, stamp), revision)
            return ChangeReport(position, position.stamp, None)

        yield changes_since

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
