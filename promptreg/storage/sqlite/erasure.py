"""Erasing deleted prompts from the disk (rule 15): from the full-text index, the file's free pages and the WAL.

Deleting rows leaves their bytes in free pages, in full-text segments that are not merged yet, and in the WAL. So after
a deletion the index is rebuilt, the file is rewritten by VACUUM, and the WAL is truncated by a checkpoint. (FTS5's
`optimize` keeps the words of deleted rows where there is a single segment; its `secure-delete` makes a file that SQLite
before 3.42 can't read.)

All steps wait for other writers, and the checkpoint also waits for readers of older snapshots. How far erasing has come
is kept in the database; until it is done, each call of any process tries again, at most every `RETRY_SECONDS`. Reads
only try the checkpoint, as they must be short; writes, opening and closing take the other steps. No thread is started.
"""

import sqlite3
import time
from typing import NamedTuple

from promptreg.errors import SchemaTooNewError, StorageError
from promptreg.storage.hashing import damaged
from promptreg.storage.sqlite.connecting import require_known_schema
from promptreg.storage.sqlite.connections import Handle
from promptreg.storage.sqlite.failures import DRIVER_ERRORS, is_from_application

RETRY_SECONDS = 0.05
PATIENCE_MS = 50  # that a deletion, opening or closing waits for readers of older snapshots
BRIEF_MS = 5  # that any other write waits for them, as all writers wait meanwhile


class Progress(NamedTuple):
    """The revisions of the last deletion, and of the last ones that VACUUM and the checkpoint have erased."""

    deleted: int
    vacuumed: int
    erased: int

    @property
    def is_due(self) -> bool:
        """Whether bytes of deleted prompts may still be there."""
        return self.erased < self.deleted


def progress(connection: sqlite3.Connection) -> Progress:
    """Return how far erasing has come."""
    row = connection.execute("SELECT deleted_revision, vacuumed_revision, erased_revision FROM registry").fetchone()
    if row is None or any(type(revision) is not int for revision in row):
        raise damaged("the registry's", "revision")
    return Progress(*row)


def erase(handle: Handle, path: str, patience_ms: int, *, rewrites: bool) -> bool:
    """Take the steps that are due, those before the checkpoint only if `rewrites`; return whether nothing is left.

    The caller holds the writers' queue, as there must be no other checkpoint. A lock of another process, a full disk, a
    fork that interrupts or an unwritable file is not reported: the verb has done its work, and the step stays due. In a
    file of a newer release nothing is done.
    """
    connection = handle.connection
    (usual,) = connection.execute("PRAGMA busy_timeout").fetchone()
    connection.execute(f"PRAGMA busy_timeout = {min(usual, patience_ms)}")
    try:
        due = progress(connection)
        if not due.is_due:
            return True
        handle.may_be_interrupted = True
        handle.let_commits_checkpoint(False)  # the one at the end is enough
        return _steps(handle, path, due, rewrites)
    except (sqlite3.OperationalError, SchemaTooNewError):
        return False
    finally:
        handle.may_be_interrupted = False
        handle.roll_back()
        connection.execute(f"PRAGMA busy_timeout = {usual}")


class Eraser:
    """When a storage is to erase, and what happens when that fails: nothing but another attempt later."""

    def __init__(self, path: str) -> None:
        self._path = path
        self.due_at: float | None = None  # monotonic time

    def note(self) -> None:
        """Note that bytes of deleted prompts may still be on the disk."""
        if self.due_at is None:
            self.due_at = 0.0

    def is_noted(self) -> bool:
        """Return whether there is anything to erase."""
        return self.due_at is not None

    def is_due(self) -> bool:
        """Return whether it is time to try."""
        return self.due_at is not None and time.monotonic() > self.due_at

    def postpone(self) -> None:
        """Try again later."""
        self.due_at = time.monotonic() + RETRY_SECONDS

    def erase(self, handle: Handle, *, patience_ms: int, rewrites: bool) -> None:
        """Take the steps that are due; the caller holds the writers' queue."""
        try:
            is_done = erase(handle, self._path, patience_ms, rewrites=rewrites)
        except (StorageError, *DRIVER_ERRORS) as error:
            if is_from_application(error):
                raise
            is_done = False
        if is_done:
            self.due_at = None
        else:
            self.postpone()


def _steps(handle: Handle, path: str, at: Progress, rewrites: bool) -> bool:
    connection = handle.connection
    if at.vacuumed < at.deleted:
        if not rewrites:
            return False
        _change(connection, path, "INSERT INTO search (search) VALUES ('rebuild')")
        _rewrite(handle)
        _change(connection, path, "UPDATE registry SET vacuumed_revision = ?", at.deleted)
    (is_blocked, _, _) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    if is_blocked:
        return False
    _change(connection, path, "UPDATE registry SET erased_revision = ?", at.deleted)
    return True


def _change(connection: sqlite3.Connection, path: str, statement: str, *values: int) -> None:
    """Run a statement in a transaction, if it sees the schema that this release knows."""
    connection.execute("BEGIN IMMEDIATE")
    require_known_schema(connection, path)
    connection.execute(statement, values)
    connection.execute("COMMIT")


def _rewrite(handle: Handle) -> None:
    """Rewrite the file by way of a temporary one, as the database may not fit into memory."""
    try:
        handle.connection.execute("PRAGMA temp_store = FILE")
        handle.database.vacuum()
    finally:
        handle.connection.execute("PRAGMA temp_store = MEMORY")
