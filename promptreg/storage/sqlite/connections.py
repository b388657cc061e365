"""One connection to a database: opened with the right settings, and never used or closed by another process."""

import itertools
import os
import sqlite3
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING
from urllib.parse import unquote

from promptreg.errors import StorageError
from promptreg.storage.base import StorageSettings
from promptreg.storage.sqlite.system import uri_path

if TYPE_CHECKING:
    from sqlite_utils import Database

# On macOS a sync reaches the disk only with `fullfsync`, which changes nothing elsewhere. `temp_store`: a statement
# that deletes would otherwise put what it deletes into a temporary file. `wal_autocheckpoint`: only a writer whose turn
# it is in the queue makes checkpoints (see `queue.py`).
SETTINGS = (
    "PRAGMA foreign_keys = ON; PRAGMA trusted_schema = OFF; PRAGMA recursive_triggers = ON;"
    " PRAGMA cell_size_check = ON; PRAGMA temp_store = MEMORY; PRAGMA fullfsync = ON; PRAGMA wal_autocheckpoint = 0"
)
LOG_PAGES = 1_000  # of a WAL that the next commit checkpoints; SQLite's own default
BUSY_SECONDS = 0.05  # for which SQLite waits for a lock at a time, as a fork waits for it too
IN_MEMORY = "file::memory:"

_NUMBERS = itertools.count()
_OPEN: dict[int, tuple[int, str]] = {}  # process and URI of each open connection to a file, by its number
_INHERITED: list[sqlite3.Connection] = []  # of another process: kept, as the garbage collector would close them


class Handle:
    """A connection and its state; no two of a process have the same number."""

    def __init__(self, connection: sqlite3.Connection, uri: str) -> None:
        """Hold a connection that was opened by a URI."""
        self.connection = connection
        self._process = os.getpid()
        self.number = next(_NUMBERS)
        self.is_in_memory = uri == IN_MEMORY  # so that each side of a fork goes on with its own copy
        self.snapshot_signature: object = None  # the signature of the file that a copy in memory was taken of
        self.may_be_interrupted = False  # by a fork, which does not wait for what can be repeated
        self.is_interrupted = False
        self._log_pages = 0
        if not self.is_in_memory:
            _OPEN[self.number] = self._process, uri

    @property
    def database(self) -> "Database":
        """The connection for sqlite-utils, which takes 40 ms to import and which no usual read or write needs."""
        from sqlite_utils import Database  # noqa: PLC0415

        return Database(self.connection, execute_plugins=False)

    def close(self) -> None:
        """Close the connection, unless this process inherited it by a fork."""
        if self._is_own():
            self.connection.close()
            _OPEN.pop(self.number, None)
        else:
            _INHERITED.append(self.connection)

    def let_closing_checkpoint(self) -> None:
        """Let closing checkpoint and remove the WAL, if this is the last connection of all processes."""
        if self._is_own():
            _checkpoint_on_close(self.connection, may=True)

    def let_commits_checkpoint(self, may: bool) -> None:
        """Set whether a commit may checkpoint a long WAL; at first it may not."""
        pages = LOG_PAGES if may else 0
        if pages != self._log_pages:
            self.connection.execute(f"PRAGMA wal_autocheckpoint = {pages}")
            self._log_pages = pages

    def roll_back(self) -> None:
        """Roll back the open transaction, if there is one and this process began it."""
        if self.connection.in_transaction and self._is_own():
            self.connection.execute("ROLLBACK")

    def require_own(self) -> None:
        """Raise `StorageError` where a fork in the middle of a call left the connection to this process."""
        if not self._is_own():
            raise forked()

    @contextmanager
    def interruptible(self, may_be: bool) -> Iterator[None]:
        """Let a fork interrupt what runs meanwhile."""
        self.may_be_interrupted, self.is_interrupted = may_be, False
        try:
            yield
        finally:
            self.may_be_interrupted = False

    def interrupt(self) -> None:
        """Interrupt the statement that runs, if that may be."""
        if self.may_be_interrupted:
            self.is_interrupted = True
            self.connection.interrupt()

    def _is_own(self) -> bool:
        return self.is_in_memory or self._process == os.getpid()

    def __del__(self) -> None:
        self.close()


def _checkpoint_on_close(connection: sqlite3.Connection, *, may: bool) -> None:
    """Set whether closing may checkpoint the WAL.

    Before Python 3.12 this can't be set; there SQLite does so only where it can lock the whole file, so no other
    connection is open and no commit can be under way.
    """
    if sys.version_info >= (3, 12):
        connection.setconfig(sqlite3.SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, not may)


def forked() -> StorageError:
    """Return the refusal of a process that inherited an open connection to the database."""
    return StorageError(
        "This process was forked behind Python's hooks, or by a signal handler in the middle of a call, and SQLite"
        " would take its parent's locks for its own; use the registry in a new process, started by exec or spawn.",
        reason="fork",
    )


def file_uri(path: str, options: str) -> str:
    """Return the URI by which SQLite opens the file at an absolute path, with these options."""
    return f"file://{uri_path(path)}?{options}"


def connect(uri: str, settings: StorageSettings) -> Handle:
    """Open a connection with our settings; the `sqlite3` module begins no transaction on it.

    None of the statements makes SQLite read the schema, which takes 0.5 ms. Raises `StorageError` where this process
    inherited a connection to the same database by a fork: SQLite would take the locks of the parent for its own.
    """
    _require_none_inherited(uri)
    connection = sqlite3.connect(
        uri,
        uri=True,
        timeout=min(settings.busy_timeout, BUSY_SECONDS),
        isolation_level=None,
        check_same_thread=False,
        cached_statements=256,
    )
    try:
        connection.executescript(SETTINGS)
        _checkpoint_on_close(connection, may=False)
        return Handle(connection, uri)
    except BaseException:
        connection.close()
        raise


def _require_none_inherited(uri: str) -> None:
    me = os.getpid()
    inherited = [other for process, other in list(_OPEN.values()) if process != me]
    if inherited and _database(uri) in map(_database, inherited):
        raise forked()


def _database(uri: str) -> str:
    path, _, _ = uri.removeprefix("file://").partition("?")
    return os.path.realpath(unquote(path))
