"""Reading a database that this process may not write: in another user's folder, or on read-only media.

SQLite needs two more files even to read a database in WAL mode. Where they can't be created, it opens the database
only as `immutable`, ignoring any WAL; that is safe on read-only media without a WAL. In a folder that other processes
can write, a copy in memory is read, taken while there is no WAL. Both show a single moment; so each check finds out
whether the file has changed or has a WAL now, and then reopens it.

Such a file can't be migrated either, so one of an earlier schema is read through temporary views with later columns.
"""

import os
import sqlite3
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Any, TypeAlias

from promptreg.errors import RETRY_AFTER, StorageReadOnlyError
from promptreg.storage.base import StorageSettings
from promptreg.storage.rows import LATER_PROMPT_COLUMNS, LATER_VERSION_COLUMNS
from promptreg.storage.sqlite import operations, system
from promptreg.storage.sqlite.connections import Handle, connect, file_uri
from promptreg.storage.sqlite.files import WAL

FORMAT_BYTES = slice(18, 20)  # of the header: 2 is WAL mode, which a database in memory can't have
TRIES = 20

# By table, the columns that later schemas added, and what they hold for earlier rows: NULL, or a text. A table of which
# they are all the columns was added as a whole.
LATER_COLUMNS: dict[str, Mapping[str, Any]] = {
    "prompts": LATER_PROMPT_COLUMNS,
    "versions": LATER_VERSION_COLUMNS,
    "deletions": {"synced": None},
    "registry": {"last_event": None, "last_hash": None},
    "operations": dict.fromkeys(operations.COLUMNS),
}

Signature: TypeAlias = tuple[int, int, int, int]  # device, inode, size and mtime


class Access(Enum):
    """What a process may do with a database."""

    MEMORY = "memory"
    WRITE = "write"
    READ = "read"


class Way(Enum):
    """How a database is read that can't be written: with its WAL, as an immutable file, or as a copy in memory."""

    LIVE = "live"
    IMMUTABLE = "immutable"
    COPY = "copy"


def is_writable(path: str) -> bool:
    """Return whether this process may write the file, and create others next to it."""
    folder = os.path.dirname(path)
    return system.may_write(folder) and (system.may_write(path) or not os.path.exists(path))


def way_to_read(path: str, settings: StorageSettings) -> Way:
    """Return how the file can be read; raise `StorageReadOnlyError` where it can't, or does not exist."""
    if not os.path.exists(path):
        raise StorageReadOnlyError(
            f"There is no file {path}, and its folder can't be written; make it, or pass another path.",
            reason="missing_file",
            retry_after=None,
        )
    try:
        open_to_read(path, settings, Way.LIVE).close()
        return Way.LIVE
    except sqlite3.OperationalError:
        pass
    _require_no_wal(path)
    return Way.IMMUTABLE if system.is_on_fixed_media(path) else Way.COPY


def open_to_read(path: str, settings: StorageSettings, way: Way) -> Handle:
    """Connect to read only."""
    if way is Way.COPY:
        return _open_copy(path, settings)
    extra = "&immutable=1" if way is Way.IMMUTABLE else ""
    before = signature(path) if way is Way.IMMUTABLE else None
    handle = connect(file_uri(path, f"mode=ro{extra}"), settings)
    try:
        handle.snapshot_signature = before
        handle.connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except BaseException:
        handle.close()
        raise
    return handle


def signature(path: str) -> Signature:
    """Return what differs once the file has been written."""
    found = os.stat(path)
    return found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns


def is_outdated(path: str, handle: Handle) -> bool:
    """Return whether a connection shows a single moment, and the file has been written since or may be soon."""
    known = handle.snapshot_signature
    return known is not None and (known != signature(path) or os.path.exists(path + WAL))


def show_later_columns(connection: sqlite3.Connection) -> None:
    """Put temporary views with the later columns in front of tables of an earlier schema; the file stays as it is."""
    for table, columns in LATER_COLUMNS.items():
        present = {name for _, name, *_ in connection.execute(f"PRAGMA table_info({table})").fetchall()}
        missing = [f"{_literal(value)} AS {column}" for column, value in columns.items() if column not in present]
        if not present:
            _create_view(connection, f"CREATE TEMP VIEW {table} AS SELECT {', '.join(missing)} WHERE 0")
        elif missing:
            _create_view(connection, f"CREATE TEMP VIEW {table} AS SELECT *, {', '.join(missing)} FROM main.{table}")


def _literal(value: str | None) -> str:
    return "NULL" if value is None else f"'{value}'"


def _create_view(connection: sqlite3.Connection, statement: str) -> None:
    """Create a temporary view, for which `query_only` must be off for a moment."""
    (query_only,) = connection.execute("PRAGMA query_only").fetchone()
    connection.execute("PRAGMA query_only = OFF")
    try:
        connection.execute(statement)
    finally:
        connection.execute(f"PRAGMA query_only = {query_only}")


def _open_copy(path: str, settings: StorageSettings) -> Handle:
    """Read a copy that was taken while nobody wrote.

    SQLite has no connection of this process to the file, so closing it here drops no lock of ours.
    """
    for _ in range(TRIES):
        _require_no_wal(path)
        before = signature(path)
        image = bytearray(Path(path).read_bytes())
        if signature(path) == before and not os.path.exists(path + WAL):
            image[FORMAT_BYTES] = b"\1\1"
            handle = connect("file::memory:", settings)
            handle.connection.deserialize(bytes(image))
            handle.connection.execute("PRAGMA query_only = ON")
            handle.snapshot_signature, handle.is_in_memory = before, True
            return handle
    raise _in_use(path)


def _require_no_wal(path: str) -> None:
    if os.path.exists(path + WAL):
        raise _in_use(path)


def _in_use(path: str) -> StorageReadOnlyError:
    return StorageReadOnlyError(
        f"{path} is in use and this process may not write its folder; let it write there, or close the other"
        " registries, or read a copy made by VACUUM INTO.",
        reason="in_use",
        retry_after=RETRY_AFTER,
    )
