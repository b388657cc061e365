"""Commits that failed so that they may or may not hold.

When the system can't sync the log (EIO), SQLite goes on with the state before the commit, but the log may hold all of
it, and after a crash whoever opens the file next reads it from there: an answer given in between would be taken back. A
further commit settles it, as it overwrites what the log holds beyond the last commit that SQLite goes by. So whoever
is to answer makes one first; while that fails too, nothing but what was cached is answered.
"""

import sqlite3
from time import monotonic

from promptreg.errors import StorageError
from promptreg.storage.sqlite.failures import BUSY, primary_code
from promptreg.storage.sqlite.sidecar import CHECK_SECONDS

# What a COMMIT fails with that surely does not hold: SQLite had not written it, or rolled it back.
SURE = BUSY | {
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CONSTRAINT,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_INTERRUPT,
    sqlite3.SQLITE_MISUSE,
    sqlite3.SQLITE_ERROR,
}

# Reasons of a `StorageError` that say by themselves why nothing can be settled, nor answered, at this moment.
NOT_THE_DISK = frozenset(
    {"busy", "closed", "fork", "log_lost", "nested", "old_schema", "removed", "replaced", "schema_too_new"}
)

_UNSETTLED: dict[str, float] = {}  # of this process: the database's real path, and when it is to be tried again


def may_hold(error: BaseException) -> bool:
    """Return whether a commit that failed so may hold all the same."""
    if isinstance(error, MemoryError):
        return True
    return isinstance(error, sqlite3.Error) and primary_code(error) not in SURE


def is_unsettled(path: str) -> bool:
    """Return whether a commit of this process to the database may or may not hold."""
    return path in _UNSETTLED


def is_due(path: str) -> bool:
    """Return whether it is time to try to settle it; reads of what is cached try no more often."""
    at = _UNSETTLED.get(path)
    return at is not None and monotonic() >= at


def note_unknown(path: str) -> None:
    """Remember that a commit to the database failed so."""
    _UNSETTLED[path] = 0.0


def note_failed(path: str) -> None:
    """Remember that settling it failed, at this moment."""
    if path in _UNSETTLED:
        _UNSETTLED[path] = monotonic() + CHECK_SECONDS


def note_settled(path: str) -> None:
    """Remember that a later commit holds."""
    _UNSETTLED.pop(path, None)


def unsettled(path: str) -> StorageError:
    """Return the refusal to answer before it is settled."""
    return StorageError(
        f"An earlier commit to {path} failed, may or may not hold, and can't be settled at this moment; see that its"
        " disk works, and try again.",
        reason="unsettled",
    )
