"""Commits with an unknown outcome: the COMMIT failed in such a way that it may have reached the disk all the same.

If an fsync of the WAL fails (EIO), SQLite answers reads from before the commit, but the WAL may hold all of it. After a
crash the next process that opens the file reads it from there, and takes back what was answered in between. A further
commit settles the matter, as it overwrites the WAL after the last commit that SQLite knows of. So a process with such a
commit makes a further one before it answers anything but what it had cached.
"""

import sqlite3
from time import monotonic

from promptreg.errors import StorageError
from promptreg.storage.sqlite.failures import BUSY, primary_code
from promptreg.storage.sqlite.sidecar import CHECK_SECONDS

# Codes of a failed COMMIT that surely did not happen: SQLite had written nothing yet, or rolled it back.
ROLLED_BACK = BUSY | {
    sqlite3.SQLITE_FULL,
    sqlite3.SQLITE_CONSTRAINT,
    sqlite3.SQLITE_READONLY,
    sqlite3.SQLITE_INTERRUPT,
    sqlite3.SQLITE_MISUSE,
    sqlite3.SQLITE_ERROR,
}

# Reasons of a `StorageError` which explain by themselves why nothing can be settled or read at this moment.
NOT_THE_DISK = frozenset(
    {"busy", "closed", "fork", "log_lost", "nested", "old_schema", "removed", "replaced", "schema_too_new"}
)

_UNSETTLED: dict[str, float] = {}  # real paths of this process's databases, and when to try again


def may_hold(error: BaseException) -> bool:
    """Return whether a COMMIT that failed with this error may have reached the disk."""
    if isinstance(error, MemoryError):
        return True
    return isinstance(error, sqlite3.Error) and primary_code(error) not in ROLLED_BACK


def is_unsettled(path: str) -> bool:
    """Return whether a commit of this process to the database has an unknown outcome."""
    return path in _UNSETTLED


def is_due(path: str) -> bool:
    """Return whether it is time to try again; reads that the cache can answer try no more often."""
    at = _UNSETTLED.get(path)
    return at is not None and monotonic() >= at


def note_unknown(path: str) -> None:
    """Note that a commit to the database has an unknown outcome."""
    _UNSETTLED[path] = 0.0


def note_failed(path: str) -> None:
    """Note that settling it has just failed."""
    if path in _UNSETTLED:
        _UNSETTLED[path] = monotonic() + CHECK_SECONDS


def note_settled(path: str) -> None:
    """Note that a further commit has succeeded."""
    _UNSETTLED.pop(path, None)


def unsettled(path: str) -> StorageError:
    """Return the refusal to read before the outcome is settled."""
    return StorageError(
        f"An earlier commit to {path} failed, may or may not hold, and can't be settled at this moment; see that its"
        " disk works, and try again.",
        reason="unsettled",
    )
