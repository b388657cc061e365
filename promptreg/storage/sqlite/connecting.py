"""Opening a database: whether the file is a registry, whether to create or migrate one, and what schema it has.

Any number of processes may do so at once. A file is recognised by the application id and the schema version in its
header. How a file that can't be written is read is in `readonly.py`; the schema itself is in `migrations.py`.
"""

import os
import sqlite3
import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import NoReturn, TypeVar

from promptreg.errors import SchemaTooNewError, StorageError, StorageReadOnlyError
from promptreg.storage.base import StorageSettings
from promptreg.storage.deadlines import Deadline
from promptreg.storage.sqlite import readonly
from promptreg.storage.sqlite.connections import Handle, connect, file_uri
from promptreg.storage.sqlite.failures import is_busy
from promptreg.storage.sqlite.files import NONE, WAL, identity_at, record_files, refuse_foreign_wal
from promptreg.storage.sqlite.queue import queue_of
from promptreg.storage.sqlite.readonly import Access

APPLICATION_ID = 0x50524547  # "PREG", in the file's header
SCHEMA_VERSION = 8
READABLE_SCHEMA = 1  # the oldest that can be read without being migrated, where it can't be written
RETRY_SECONDS = 0.005
CREATION_SECONDS = 2.0  # that another process may take to create a registry, once its file exists
SYNCHRONOUS = {"full": "FULL", "normal": "NORMAL"}

T = TypeVar("T")


def open_first(path: str, real: str, settings: StorageSettings) -> tuple[Access, Handle]:
    """Find out whether this process may write the file, create or migrate it where needed, and connect.

    `real` is the path without links. Raises `StorageError` for a folder, a missing folder, a missing file with
    `create=False` and another kind of database, `StorageCorruptError` for a file that is no database,
    `SchemaTooNewError`, and `StorageReadOnlyError` where there is no file and none can be created.
    """
    if path == ":memory:":
        return Access.MEMORY, open_memory(settings)
    _require_path(path, settings.create)
    if readonly.is_writable(real):
        return Access.WRITE, _open_to_write(path, real, settings, create=settings.create)
    return Access.READ, open_to_read(path, real, settings)


def openers(
    access: Access, path: str, real: str, settings: StorageSettings
) -> tuple[Callable[[], Handle], Callable[[], Handle]]:
    """Return functions that connect once more: to read and write as far as access permits, and to check for changes.

    They hold no reference to the storage, so that a storage that is dropped is no cycle, and closes at once.
    """
    opener = {Access.READ: open_to_read, Access.WRITE: open_to_write, Access.MEMORY: _refuse_memory}[access]
    watcher_opener = partial(open_to_watch, path, settings)
    if access is Access.READ:
        watcher_opener = partial(readonly.open_to_read, real, settings, readonly.Way.LIVE)
    return partial(opener, path, real, settings), watcher_opener


def _refuse_memory(path: str, real: str, settings: StorageSettings) -> NoReturn:
    raise StorageError(f"The database {path} is lost; open a new registry.", reason="removed")


def open_to_read(path: str, real: str, settings: StorageSettings) -> Handle:
    """Connect to a file that this process can't write, in the way that it can be read at this moment."""
    refuse_foreign_wal(real)
    handle = readonly.open_to_read(real, settings, readonly.way_to_read(real, settings))
    try:
        if not _is_current(handle.connection, path, create=False, oldest=READABLE_SCHEMA):
            raise StorageReadOnlyError(
                f"{path} has an older schema; open it once where it can be written.",
                reason="old_schema",
                retry_after=None,
            )
        readonly.show_later_columns(handle.connection)
    except BaseException:
        handle.close()
        raise
    return handle


def open_to_write(path: str, real: str, settings: StorageSettings) -> Handle:
    """Connect once more to a file that was found to be a registry."""
    handle = _open_to_write(path, real, settings, create=False)
    record_files(real)
    return handle


def open_to_watch(path: str, settings: StorageSettings) -> Handle:
    """Connect once more to a file that was found to be a registry, to check for changes and never to write.

    The header is read at once, as SQLite deletes no WAL that a connection has read; so its identity can be remembered.
    """
    handle = connect(file_uri(path, "mode=rw"), settings)
    try:
        _retrying(lambda: handle.connection.execute("PRAGMA user_version").fetchone(), settings.busy_timeout)
    except BaseException:
        handle.close()
        raise
    return handle


def _open_to_write(path: str, real: str, settings: StorageSettings, *, create: bool) -> Handle:
    """Connect to the registry in a file, created or migrated where needed."""
    refuse_foreign_wal(real)
    deadline = time.monotonic() + CREATION_SECONDS
    while True:
        try:
            return _connect_to_write(path, real, settings, create=create)
        except StorageError as error:
            if error.details.get("reason") != "log_missing" or time.monotonic() > deadline:
                raise
        time.sleep(RETRY_SECONDS)


def _connect_to_write(path: str, real: str, settings: StorageSettings, *, create: bool) -> Handle:
    had_wal = identity_at(real + WAL) != NONE
    handle = connect(file_uri(path, "mode=rwc" if create else "mode=rw"), settings)
    try:
        synchronous = f"PRAGMA synchronous = {SYNCHRONOUS[settings.durability]}"
        _retrying(lambda: handle.connection.execute(synchronous), settings.busy_timeout)
        if not _retrying(lambda: _is_current(handle.connection, path, create), settings.busy_timeout):
            with queue_of(real).ticket(Deadline(settings.busy_timeout)):  # so that nobody checkpoints meanwhile
                _prepare(handle, path, settings.busy_timeout)
        _use_wal(handle.connection, settings.busy_timeout)
        if identity_at(real + WAL) == NONE:  # SQLite creates it at the first read
            _retrying(lambda: handle.connection.execute("PRAGMA user_version"), settings.busy_timeout)
    except BaseException:
        if not had_wal:  # delete the empty one that opening has created; leave one that was there
            handle.let_closing_checkpoint()
        handle.close()
        raise
    return handle


def open_memory(settings: StorageSettings) -> Handle:
    """Create a registry in memory."""
    handle = connect("file::memory:", settings)
    handle.is_in_memory = True
    _prepare(handle, ":memory:", settings.busy_timeout)
    return handle


def require_known_schema(connection: sqlite3.Connection, path: str, oldest: int = SCHEMA_VERSION) -> None:
    """Raise where this transaction sees another schema than the one that the file was opened with.

    `SchemaTooNewError` if a newer release has migrated it, whose rows this one must neither read nor write;
    `StorageError` if an older copy was restored into it.
    """
    (schema,) = connection.execute("PRAGMA user_version").fetchone()
    if schema > SCHEMA_VERSION:
        raise _too_new(path, schema)
    if schema < oldest:
        raise StorageError(
            f"{path} has the older schema {schema} now, as a restored copy has; close this registry and open it anew,"
            f" which brings it up to {SCHEMA_VERSION}.",
            reason="old_schema",
        )


def _too_new(path: str, schema: int) -> SchemaTooNewError:
    return SchemaTooNewError(
        f"{path} has schema {schema}; this promptreg knows {SCHEMA_VERSION}: upgrade it.", reason="schema_too_new"
    )


def _require_path(path: str, create: bool) -> None:
    if os.path.isfile(path):
        return
    if os.path.isdir(path):
        raise StorageError(f"{path} is a folder; pass the path of a file in it.", reason="folder")
    if os.path.exists(path):
        return
    if not create:
        raise StorageError(
            f"There is no file {path}, and create=False; check the path, or pass create=True.", reason="missing_file"
        )
    folder = os.path.dirname(os.path.realpath(path))
    if not os.path.isdir(folder):
        raise StorageError(f"There is no folder {folder}; make it first.", reason="missing_folder")


def absolute(path: str) -> str:
    """Return the path as absolute, or `":memory:"`; raise `StorageError` where the current folder was removed."""
    try:
        return path if path == ":memory:" else os.path.abspath(path)
    except FileNotFoundError as error:
        message = f"The current folder was removed, so {path} names nothing; pass an absolute path."
        raise StorageError(message, reason="missing_folder") from error


def _is_current(connection: sqlite3.Connection, path: str, create: bool, oldest: int = SCHEMA_VERSION) -> bool:
    """Return whether the file is a registry with a schema of `oldest` or later; False for one to create or migrate.

    In one read transaction, as another process may be creating it at this moment.
    """
    connection.execute("BEGIN")
    try:
        schema = _schema(connection, path)
        if schema is None:
            _require_new(connection, path, create)
        return schema is not None and schema >= oldest
    finally:
        connection.execute("ROLLBACK")


def _schema(connection: sqlite3.Connection, path: str) -> int | None:
    """Return the schema of a registry, None for an empty database; raise `StorageError` for any other."""
    (application,) = connection.execute("PRAGMA application_id").fetchone()
    (schema,) = connection.execute("PRAGMA user_version").fetchone()
    if application == APPLICATION_ID:
        if schema > SCHEMA_VERSION:
            raise _too_new(path, schema)
        return int(schema)
    (objects,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if application or schema or objects:
        raise _no_registry(path)
    return None


def _require_new(connection: sqlite3.Connection, path: str, create: bool) -> None:
    """Raise `StorageError` unless an empty database may become a registry.

    The file of a registry that was never checkpointed is empty but for its WAL mode, as all its data is in the WAL. So
    such a file without a WAL is an incomplete copy; to start a new registry in it would hide the loss.
    """
    (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    if mode == "wal" or (pages and not create):  # a read-only connection may not report the mode
        raise StorageError(
            f"{path} has no registry in it. If it was copied from an open one, its log {path}{WAL}, which holds what"
            " was written, was not copied: make the copy with VACUUM INTO or SQLite's backup API. If its making was"
            " cut short, remove it.",
            reason="log_missing",
        )
    if not create:
        raise _no_registry(path)


def _no_registry(path: str) -> StorageError:
    return StorageError(
        f"{path} is not a promptreg registry; pass the path of one, or of a new file.", reason="not_a_registry"
    )


def _prepare(handle: Handle, path: str, busy_timeout: float) -> None:
    """Create or migrate the schema in one transaction; a process that comes second finds it done."""
    from promptreg.storage.sqlite import fulltext  # noqa: PLC0415 (only needed here)
    from promptreg.storage.sqlite.migrations import MIGRATIONS  # noqa: PLC0415 (loads sqlite-utils, 40 ms)

    connection = handle.connection
    try:
        _use_wal(connection, busy_timeout)
        _retrying(lambda: connection.execute("BEGIN IMMEDIATE"), busy_timeout)
        schema = _schema(connection, path)
        if schema is None or schema < SCHEMA_VERSION:
            MIGRATIONS.apply(handle.database)
            fulltext.rebuild(connection)
            connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        _undo_wal(connection, path)
        raise


def _undo_wal(connection: sqlite3.Connection, path: str) -> None:
    """Turn WAL mode off in a file that is still empty, so that it does not look like an incomplete copy."""
    with suppress(sqlite3.Error, StorageError):
        if _schema(connection, path) is None:
            connection.execute("PRAGMA journal_mode = DELETE")


def _use_wal(connection: sqlite3.Connection, busy_timeout: float) -> None:
    """Switch to WAL mode; SQLite's busy handler does not wait here, so we do."""
    _retrying(lambda: connection.execute("PRAGMA journal_mode = WAL"), busy_timeout)


def _retrying(step: Callable[[], T], busy_timeout: float) -> T:
    """Repeat a step for as long as others hold the lock that it needs."""
    deadline = time.monotonic() + busy_timeout
    while True:
        try:
            return step()
        except sqlite3.OperationalError as error:
            if not is_busy(error) or time.monotonic() > deadline:
                raise
            time.sleep(RETRY_SECONDS)
