"""Reading a database that this process may not write: in another's folder, or on media that nobody can write.

A database with a write-ahead log needs two files beside it even to be read. Where they can't be made, SQLite opens it
only as one that never changes, which ignores a log; so that is done only on media that are read-only and hold no
log. In a folder that only this process can't write, a copy is read, taken while no log is there. Both are of one
moment: before each look it is seen whether the file has changed, or a log is there, and then the way is looked for
again.
"""

import os
import sqlite3
from enum import Enum
from pathlib import Path

from promptreg.errors import StorageReadOnlyError
from promptreg.storage.base import StorageSettings
from promptreg.storage.sqlite import system
from promptreg.storage.sqlite.connections import Handle, connect, file_uri
from promptreg.storage.sqlite.files import WAL

VERSION_BYTES = slice(18, 20)  # of the header: 2 is a write-ahead log, which a database in memory can't have
TRIES = 20

Signature = tuple[int, int, int, int]


class Access(Enum):
    """What a process may do with a database."""

    MEMORY = "memory"
    WRITE = "write"
    READ = "read"


class Way(Enum):
    """How a database is read that can't be written: as it is, as one that never changes, or as a copy in memory."""

    LIVE = "live"
    IMMUTABLE = "immutable"
    COPY = "copy"


def is_writable(path: str) -> bool:
    """Tell whether this process may write the file, and make others beside it."""
    folder = os.path.dirname(path)
    return system.may_write(folder) and (system.may_write(path) or not os.path.exists(path))


def way_to_read(path: str, settings: StorageSettings) -> Way:
    """Find out how the file can be read; raise `StorageReadOnlyError` where it can't, or is not there."""
    if not os.path.exists(path):
        raise StorageReadOnlyError(
            f"There is no file {path}, and its folder can't be written; make it, or pass another path.",
            reason="missing_file",
            retry_after=None,
        )
    try:
        handle = open_to_read(path, settings, Way.LIVE)
        handle.close()
        return Way.LIVE
    except sqlite3.OperationalError:
        pass
    _require_no_log(path)
    return Way.IMMUTABLE if system.is_on_fixed_media(path) else Way.COPY


def open_to_read(path: str, settings: StorageSettings, way: Way) -> Handle:
    """Connect to read only."""
    if way is Way.COPY:
        return _open_copy(path, settings)
    extra = "&immutable=1" if way is Way.IMMUTABLE else ""
    taken = signature(path) if way is Way.IMMUTABLE else None
    handle = connect(file_uri(path, f"mode=ro{extra}"), settings)
    try:
        handle.taken = taken
        handle.connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except BaseException:
        handle.close()
        raise
    return handle


def signature(path: str) -> Signature:
    """Give what differs once the file was written."""
    found = os.stat(path)
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def is_outdated(path: str, handle: Handle) -> bool:
    """Tell whether a connection does not see what others write, and somebody has written since, or is about to."""
    return handle.taken is not None and (handle.taken != signature(path) or os.path.exists(path + WAL))


def _open_copy(path: str, settings: StorageSettings) -> Handle:
    """Read a copy, taken at a moment at which nobody wrote.

    No other connection of this process can be open on the file, so closing it here drops no lock of ours.
    """
    for _ in range(TRIES):
        _require_no_log(path)
        before = signature(path)
        image = bytearray(Path(path).read_bytes())
        if signature(path) == before and not os.path.exists(path + WAL):
            image[VERSION_BYTES] = b"\1\1"
            handle = connect("file::memory:", settings)
            handle.connection.deserialize(bytes(image))
            handle.connection.execute("PRAGMA query_only = ON")
            handle.taken, handle.is_in_memory = before, True
            return handle
    raise _unreadable(path)


def _require_no_log(path: str) -> None:
    if os.path.exists(path + WAL):
        raise _unreadable(path)


def _unreadable(path: str) -> StorageReadOnlyError:
    return StorageReadOnlyError(
        f"{path} is in use and this process may not write its folder; let it write there, or close the other"
        " registries, or read a copy made by VACUUM INTO.",
        reason="in_use",
        retry_after=1.0,
    )
