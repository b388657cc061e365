"""What went wrong in SQLite, told as one of our errors with the cause kept."""

import errno
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeAlias

from promptreg.errors import (
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
DAMAGED = frozenset(  # what no write of ours meets in a whole file
    {ANOTHER_TYPE, sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY, sqlite3.SQLITE_CONSTRAINT_NOTNULL}
)
NOT_PERMITTED = frozenset({errno.EACCES, errno.EPERM, errno.EROFS})
UNDECODED = "Could not decode to UTF-8"
DriverError: TypeAlias = sqlite3.Error | OSError | UnicodeDecodeError
SYSTEMS = sqlite3.Error, OSError, UnicodeDecodeError  # the last where SQLite's own message quotes damaged text
RETRY_AFTER = 1.0


def primary_code(error: sqlite3.Error) -> int:
    """Give SQLite's primary result code, or 0 where the driver itself refused."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def is_busy(error: sqlite3.Error) -> bool:
    """Tell whether somebody else holds the lock."""
    return primary_code(error) in BUSY


def is_applications(error: BaseException) -> bool:
    """Tell what an application raises, such as a `TimeoutError` for its alarm, from a failure of the system."""
    return isinstance(error, OSError) and error.errno is None


@contextmanager
def translated(path: str) -> Iterator[None]:
    """Raise our errors in place of the driver's."""
    try:
        yield
    except SYSTEMS as error:
        if is_applications(error):
            raise
        raise translate(error, path) from error


def translate(error: DriverError, path: str) -> PromptregError:
    """Give our error for the driver's, or the system's."""
    if isinstance(error, UnicodeDecodeError):
        return _undecoded(path)
    if isinstance(error, OSError):
        if error.errno in {errno.ENOSPC, errno.EDQUOT}:
            return _full(path)
        if error.errno == errno.EIO:
            return _unreadable(path, error.strerror or "EIO")
        reason = error.strerror or type(error).__name__
        return StorageError(
            f"{path} can't be used: {reason}; see that this process may use it, and its folder.", reason="unusable"
        )
    code = primary_code(error)
    if str(error).startswith(UNDECODED):
        error.args = (UNDECODED,)  # the driver goes on with the text
        return _undecoded(path)
    if code in BUSY:
        return StorageBusyError(
            f"Somebody else is writing to {path}; try again, or wait longer with busy_timeout.",
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
    """Return the refusal of a write, which names what this process may not write; `real` is where the file lies."""
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


def _undecoded(path: str) -> StorageCorruptError:
    return StorageCorruptError(
        f"{path} is damaged: it holds a text that is not UTF-8; restore a copy.", reason="damaged"
    )
