"""Opening a file: is it a registry, is it ours to create, and is its schema the one we know."""

import os
import sqlite3
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from promptreg.errors import SchemaTooNewError, StorageError, StorageReadOnlyError
from promptreg.storage.base import StorageSettings
from promptreg.storage.sqlite import readonly
from promptreg.storage.sqlite.connections import Handle, connect, file_uri
from promptreg.storage.sqlite.failures import is_busy
from promptreg.storage.sqlite.files import NONE, WAL, identity_at, record_files, refuse_foreign_wal
from promptreg.storage.sqlite.queue import Deadline, queue_of
from promptreg.storage.sqlite.readonly import Access

APPLICATION_ID = 0x50524547  # "PREG", in the file's header
SCHEMA_VERSION = 5
READABLE_SCHEMA = 1  # the oldest that can be read as it is, where it can't be brought up to date
RETRY_SECONDS = 0.005
MAKING_SECONDS = 2.0  # that another process may take to make a registry, once its file is there
SYNCHRONOUS = {"full": "FULL", "normal": "NORMAL"}

T = TypeVar("T")


def open_first(path: str, real: str, settings: StorageSettings) -> tuple[Access, Handle]:
    """Find out how this process may use the file, which is made or migrated where needed, and connect.

    `real` is where the file lies, whatever links lead to it.

    Raises `StorageError` for a folder, a missing folder, an absent file with `create=False` and a database
    that is something else, `StorageCorruptError` for what is no database, `SchemaTooNewError`, and
    `StorageReadOnlyError` where there is nothing to be read and nothing can be made.
    """
    _require_place(path, settings.create)
    if readonly.is_writable(real):
        return Access.WRITE, _open_to_write(path, real, settings, create=settings.create)
    return Access.READ, open_to_read(path, real, settings)


def open_to_read(path: str, real: str, settings: StorageSettings) -> Handle:
    """Connect in the way that the file can be read at this moment."""
    refuse_foreign_wal(real)
    handle = readonly.open_to_read(real, settings, readonly.way_to_read(real, settings))
    try:
        if not _seen_current(handle.connection, path, create=False, oldest=READABLE_SCHEMA):
            raise StorageReadOnlyError(
                f"{path} has an older schema; open it once where it can be written.",
                reason="old_schema",
                retry_after=None,
            )
        _complete(handle)
    except BaseException:
        handle.close()
        raise
    return handle


def _complete(handle: Handle) -> None:
    from promptreg.storage.sqlite.earlier import complete  # noqa: PLC0415 (for a file that can only be read)

    complete(handle.connection)


def open_to_write(path: str, real: str, settings: StorageSettings) -> Handle:
    """Connect once more to what was found to be a registry."""
    handle = _open_to_write(path, real, settings, create=False)
    record_files(real)
    return handle


def open_to_watch(path: str, settings: StorageSettings) -> Handle:
    """Connect once more to what was found to be a registry, to look for changes and never to write.

    It reads the header at once: from then on nobody else takes the log away, which whoever opens it is to remember.
    """
    handle = connect(file_uri(path, "mode=rw"), settings)
    try:
        _patiently(lambda: handle.connection.execute("PRAGMA user_version").fetchone(), settings.busy_timeout)
    except BaseException:
        handle.close()
        raise
    return handle


def _open_to_write(path: str, real: str, settings: StorageSettings, *, create: bool) -> Handle:
    """Connect to the registry in a file, made or migrated where needed; safe for many processes at once."""
    refuse_foreign_wal(real)
    deadline = time.monotonic() + MAKING_SECONDS
    while True:
        try:
            return _connect_to_write(path, real, settings, create=create)
        except StorageError as error:
            if error.details.get("reason") != "log_missing" or time.monotonic() > deadline:
                raise
        time.sleep(RETRY_SECONDS)


def _connect_to_write(path: str, real: str, settings: StorageSettings, *, create: bool) -> Handle:
    had_log = identity_at(real + WAL) != NONE
    handle = connect(file_uri(path, "mode=rwc" if create else "mode=rw"), settings)
    try:
        synchronous = f"PRAGMA synchronous = {SYNCHRONOUS[settings.durability]}"
        _patiently(lambda: handle.connection.execute(synchronous), settings.busy_timeout)
        if not _is_known(handle, path, create, settings.busy_timeout):
            with queue_of(real).ticket(Deadline(settings.busy_timeout)):  # so that nobody makes a checkpoint meanwhile
                _prepare(handle, path, settings.busy_timeout)
        _use_wal(handle.connection, settings.busy_timeout)
        if identity_at(real + WAL) == NONE:  # of a file that had none: the first to read makes it
            _patiently(lambda: handle.connection.execute("PRAGMA user_version"), settings.busy_timeout)
    except BaseException:
        if not had_log:  # so that an empty one, made by looking, goes again; another's is left as it is
            handle.let_closing_checkpoint()
        handle.close()
        raise
    return handle


def open_memory(settings: StorageSettings) -> Handle:
    """Make a registry that lives in this process only."""
    handle = connect("file::memory:", settings)
    handle.is_in_memory = True
    _prepare(handle, ":memory:", settings.busy_timeout)
    return handle


def require_known_schema(connection: sqlite3.Connection, path: str, oldest: int = SCHEMA_VERSION) -> None:
    """Raise where the file has another schema than when it was opened, as this transaction sees it.

    `SchemaTooNewError` where a newer release has brought it up to date, whose rows must not be read or written by the
    rules of this one, and `StorageError` where an older copy was restored into it.
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


def _require_place(path: str, create: bool) -> None:
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


def _is_known(handle: Handle, path: str, create: bool, busy_timeout: float) -> bool:
    return _patiently(lambda: _seen_current(handle.connection, path, create), busy_timeout)


def _seen_current(connection: sqlite3.Connection, path: str, create: bool, oldest: int = SCHEMA_VERSION) -> bool:
    """Return whether the file is a registry whose schema will do; False where one is to be made or migrated.

    Looks in one read transaction, as the file may be becoming a registry at this moment.
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
    """Return the schema of a registry, None of an empty database; refuse anything else."""
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

    Of a registry that was never checkpointed the file says only that there is a log, as everything is in that. So such
    a file without its log is a copy, and to take it for a new one would lose without a word what it was copied for.
    """
    (mode,) = connection.execute("PRAGMA journal_mode").fetchone()
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    if mode == "wal" or (pages and not create):  # a connection that only reads may not say which mode it is
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
    """Bring the schema up to date in one transaction; who comes second finds it done."""
    from promptreg.storage.sqlite import fulltext  # noqa: PLC0415 (for a new file, or an older one, as this is)
    from promptreg.storage.sqlite.migrations import MIGRATIONS  # noqa: PLC0415 (with sqlite-utils, for a new file only)

    connection = handle.connection
    try:
        _use_wal(connection, busy_timeout)
        _patiently(lambda: connection.execute("BEGIN IMMEDIATE"), busy_timeout)
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
    """Have a file that is still empty not look as if its log was lost; nothing where others have it open."""
    with suppress(sqlite3.Error, StorageError):
        if _schema(connection, path) is None:
            connection.execute("PRAGMA journal_mode = DELETE")


def _use_wal(connection: sqlite3.Connection, busy_timeout: float) -> None:
    """Switch to the write-ahead log; SQLite does not wait for others here, so we do."""
    _patiently(lambda: connection.execute("PRAGMA journal_mode = WAL"), busy_timeout)


def _patiently(step: Callable[[], T], busy_timeout: float) -> T:
    """Take a step again for as long as others are in its way."""
    deadline = time.monotonic() + busy_timeout
    while True:
        try:
            return step()
        except sqlite3.OperationalError as error:
            if not is_busy(error) or time.monotonic() > deadline:
                raise
            time.sleep(RETRY_SECONDS)
