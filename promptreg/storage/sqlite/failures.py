"""Translation of errors of SQLite and of the operating system into ours, with the cause kept."""

import errno
import os
import sqlite3
from typing import TypeAlias

from promptreg.errors import (
    RETRY_AFTER,
    ConflictError,
    PromptregError,
    StorageBusyError,
    StorageCorruptError,
    StorageError,
    StorageFullError,
    StorageReadOnlyError,
)
from promptreg.storage.sqlite.files import SIDECAR, unwritable_files

BUSY = frozenset({sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})
ANOTHER_TYPE = sqlite3.SQLITE_CONSTRAINT | 12 << 8  # SQLITE_CONSTRAINT_DATATYPE, for which Python has no name
DAMAGED = frozenset(  # extended codes that our own writes never cause in an undamaged file
    {ANOTHER_TYPE, sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY, sqlite3.SQLITE_CONSTRAINT_NOTNULL}
)
NOT_PERMITTED = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
UNDECODED = "Could not decode to UTF-8"  # how the message of the driver begins, which goes on with the text
DriverError: TypeAlias = sqlite3.Error | OSError | UnicodeDecodeError
DRIVER_ERRORS = sqlite3.Error, OSError, UnicodeDecodeError  # the last where SQLite's message quotes damaged text


def primary_code(error: sqlite3.Error) -> int:
    """Return SQLite's primary result code, or 0 for an error of the `sqlite3` module itself."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def is_busy(error: sqlite3.Error) -> bool:
    """Return whether another connection holds the lock."""
    return primary_code(error) in BUSY


def is_from_application(error: BaseException) -> bool:
    """Return whether an application raised it (a `TimeoutError` in its signal handler), not the operating system."""
    return isinstance(error, OSError) and error.errno is None


def translate(error: DriverError, path: str) -> PromptregError:
    """Return our error for one of SQLite or the operating system, about the database at a path."""
    if isinstance(error, UnicodeDecodeError):
        return _undecoded(path)
    if isinstance(error, OSError):
        return _of_system(error, path)
    if str(error).startswith(UNDECODED):
        error.args = (UNDECODED,)  # so that the cause quotes nothing either
        return _undecoded(path)
    return _of_sqlite(error, path)


def _of_system(error: OSError, path: str) -> StorageError:
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return _full(path)
    if error.errno == errno.EIO:
        return _unreadable(path, error.strerror or "EIO")
    reason = error.strerror or type(error).__name__
    return StorageError(
        f"{path} can't be used: {reason}; see that this process may use it, and its folder.", reason="unusable"
    )


def _of_sqlite(error: sqlite3.Error, path: str) -> PromptregError:
    code = primary_code(error)
    if code in BUSY:
        return StorageBusyError(
            f"Another writer holds {path}; try again, or wait longer with busy_timeout.",
            reason="busy",
            retry_after=RETRY_AFTER,
        )
    if code == sqlite3.SQLITE_IOERR:
        return _unreadable(path, str(error))
    if code == sqlite3.SQLITE_FULL:
        return _full(path)
    if code == sqlite3.SQLITE_READONLY:
        return may_not_write(path, os.path.realpath(path))
    if code == sqlite3.SQLITE_NOTADB:
        return StorageCorruptError(
            f"{path} is not a SQLite database, or its header is damaged; pass another path, or restore a copy.",
            reason="not_a_registry",
        )
    if code == sqlite3.SQLITE_CORRUPT or getattr(error, "sqlite_errorcode", 0) in DAMAGED:
        return StorageCorruptError(f"{path} is damaged ({error}); restore a copy.", reason="damaged")
    if code == sqlite3.SQLITE_CONSTRAINT:
        return ConflictError(f"The database refused the change: {error}.")
    return StorageError(f"{path} can't be used: {error}.", reason="unusable")


def may_not_write(path: str, real: str) -> StorageReadOnlyError:
    """Return the refusal of a write, naming what this process can't write; `real` is the path without links."""
    files = unwritable_files(real)
    what = ", ".join(files) if files else f"it, its folder, and {real}{SIDECAR}"
    return StorageReadOnlyError(
        f"{path} can't be written by this process; let it write {what}.", reason="read_only", retry_after=None
    )


def _unreadable(path: str, fact: str) -> StorageError:
    return StorageError(
        f"{path} could not be read or written ({fact}); see that its disk works, and try again.", reason="io_error"
    )


def _full(path: str) -> StorageFullError:
    return StorageFullError(
        f"The disk of {path} is full; nothing was written. Make room on it: deleting prompts takes some first.",
        reason="full",
        retry_after=None,
    )


def full_copy(error: sqlite3.Error) -> StorageFullError | None:
    """Return our error where a temporary database has no room, which is not on the disk of the registry's own."""
    if primary_code(error) != sqlite3.SQLITE_FULL:
        return None
    return StorageFullError(
        "The folder for temporary files (SQLITE_TMPDIR) is full; make room in it, or name another.",
        reason="full",
        retry_after=None,
    )


def _undecoded(path: str) -> StorageCorruptError:
    return StorageCorruptError(
        f"{path} is damaged: it holds a text that is not UTF-8; restore a copy.", reason="damaged"
    )
