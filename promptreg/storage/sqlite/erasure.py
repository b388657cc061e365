"""Erasing what was deleted (rule 15): from the full-text index, the file's free pages, and the log.

Deleting rows leaves their bytes behind: in pages that SQLite moved, in full-text segments not merged yet, in the
write-ahead log. So after a deletion the index is rebuilt, the file rewritten, and the log cut to nothing. (Merging the
index's segments is not enough: FTS5's `optimize` leaves a single segment as it is, with the words of rows that are
gone. Its `secure-delete` would make a file that SQLite before 3.42 can't read.) The last step waits for readers of
older snapshots, and all for writers; until it is done every call that comes to the file tries again, in any process, at
most each 50 ms. A read only cuts the log: it must be short, so what a killed deleter has not rewritten, the next write,
closing or opening does. There is no thread.
"""

import sqlite3
from typing import NamedTuple

from promptreg.errors import SchemaTooNewError
from promptreg.storage.hashing import damaged
from promptreg.storage.sqlite.connecting import require_known_schema
from promptreg.storage.sqlite.connections import Handle

RETRY_SECONDS = 0.05
PATIENCE_MS = 50  # of who deletes, opens or closes, for readers of older snapshots
BRIEF_MS = 5  # of any other write, at most each 50 ms, as all writers wait for it meanwhile


class Progress(NamedTuple):
    """Up to which revision deletions have been made, rewritten out of the file, and cut from the log."""

    deleted: int
    vacuumed: int
    erased: int

    @property
    def is_due(self) -> bool:
        """Tell whether bytes of deleted prompts may still be there."""
        return self.erased < self.deleted


def progress(connection: sqlite3.Connection) -> Progress:
    """Read how far erasing has come."""
    row = connection.execute("SELECT deleted_revision, vacuumed_revision, erased_revision FROM registry").fetchone()
    if row is None or any(type(revision) is not int for revision in row):
        raise damaged("the registry's", "revision")
    return Progress(*row)


def erase(handle: Handle, path: str, patience_ms: int, *, rewrites: bool) -> bool:
    """Take the steps that are due, rewriting the file only if told; wait that long for others; tell if nothing is left.

    For who has the writers' turn, as it makes checkpoints. A lock of somebody else's, a full disk, a fork that
    interrupts or a file that can't be written here is no failure of the verb, whose own work is done: the database goes
    on saying that the step is due, and it is tried again. A file of a newer release is left to its rules.
    """
    connection = handle.connection
    (usual,) = connection.execute("PRAGMA busy_timeout").fetchone()
    connection.execute(f"PRAGMA busy_timeout = {min(usual, patience_ms)}")
    try:
        due = progress(connection)
        if not due.is_due:
            return True
        handle.may_be_interrupted = True
        handle.let_commits_checkpoint(False)  # one at the end is enough
        return _steps(handle, path, due, rewrites)
    except (sqlite3.OperationalError, SchemaTooNewError):
        return False
    finally:
        handle.may_be_interrupted = False
        handle.roll_back()
        connection.execute(f"PRAGMA busy_timeout = {usual}")


def _steps(handle: Handle, path: str, at: Progress, rewrites: bool) -> bool:
    connection = handle.connection
    if at.vacuumed < at.deleted:
        if not rewrites:
            return False
        _changed(connection, path, "INSERT INTO search (search) VALUES ('rebuild')")
        _rewrite(handle)
        _changed(connection, path, "UPDATE registry SET vacuumed_revision = ?", at.deleted)
    (is_blocked, _, _) = connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()
    if is_blocked:
        return False
    _changed(connection, path, "UPDATE registry SET erased_revision = ?", at.deleted)
    return True


def _changed(connection: sqlite3.Connection, path: str, statement: str, *values: int) -> None:
    """Run a statement in a transaction that sees the schema that this release knows."""
    connection.execute("BEGIN IMMEDIATE")
    require_known_schema(connection, path)
    connection.execute(statement, values)
    connection.execute("COMMIT")


def _rewrite(handle: Handle) -> None:
    """Rewrite the file by way of a temporary one, as memory may be too small for all that is kept."""
    try:
        handle.connection.execute("PRAGMA temp_store = FILE")
        handle.database.vacuum()
    finally:
        handle.connection.execute("PRAGMA temp_store = MEMORY")
