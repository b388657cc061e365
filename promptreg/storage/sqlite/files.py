"""The database's files on disk: has the database been replaced or removed, and does the WAL belong to it.

SQLite does not notice when another file takes the database's name while it is open, or when its WAL is deleted: it goes
on with files that nobody else sees. So this module remembers device and inode of both. It also records in the sidecar
which database, WAL and sidecar belong together, since SQLite would apply the WAL of a replaced database to the new one.

Nothing here opens the database or its WAL: closing any descriptor of them would drop SQLite's POSIX locks.
"""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from struct import Struct
from typing import TypeAlias

from promptreg.errors import StorageError
from promptreg.storage.sqlite import system

WAL = "-wal"
SHM = "-shm"
SIDECAR = "-promptreg"
STAMP_BYTES = 16  # the stamp at the start of the sidecar; the record of files follows it

Identity: TypeAlias = tuple[int, int]  # device and inode

NONE: Identity = (0, 0)
_REPLACED: Identity = (-1, -1)  # equals no file's
_RECORD = Struct("<6Q")  # the identities of the database, the WAL and the sidecar


def identity(found: os.stat_result) -> Identity:
    """Return what distinguishes a file from all others that exist at the same time."""
    return found.st_dev, found.st_ino


def identity_at(path: str) -> Identity:
    """Return the identity of the file at a path, or `NONE`."""
    try:
        return identity(os.stat(path))
    except OSError:
        return NONE


class FileIdentity:
    """The file that was opened as the database, and its WAL."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._identity: Identity | None = None
        self._written: tuple[int, int] | None = None
        self._wal: str | None = None
        self._wal_identity: Identity | None = None

    def record(self, wal: str | None) -> None:
        """Remember the file at the path, and the WAL at `wal`, which must stay; None if others may delete it."""
        found = self._stat()
        if found is not None:
            self._identity, self._written, self._wal = identity(found), _written(found), wal
            self.record_wal()

    def record_wal(self) -> None:
        """Remember the WAL, unless one is remembered."""
        if self._wal is not None and self._wal_identity is None:
            found = identity_at(self._wal)
            self._wal_identity = None if found == NONE else found

    def forget_wal(self) -> None:
        """Expect no WAL any longer: our last connection is about to close, which may delete it."""
        self._wal_identity = None

    def is_unchanged(self) -> bool:
        """Return whether database and WAL are still the files that were opened."""
        if self._identity is None:
            return True
        return identity_at(self.path) == self._identity and self._is_wal_unchanged()

    def _is_wal_unchanged(self) -> bool:
        known = self._wal_identity
        if known is None or self._wal is None or identity_at(self._wal) == known:
            return True
        return self._wal_identity is not known  # another thread has forgotten it meanwhile

    def has_same_content(self, is_same: Callable[[], bool | None]) -> bool:
        """Return whether the file still holds our database; `is_same` decides that if the file's mtime or size differ.

        None from `is_same` means that it could not decide: it is asked again the next time.
        """
        found = self._stat()
        if self._identity is None or found is None or _written(found) == self._written:
            return True
        answer = is_same()
        if answer:
            self._written = _written(found)
        return answer is not False

    def mark_replaced(self) -> None:
        """Note that another database was copied over the file: from now on it never counts as unchanged."""
        self._identity = _REPLACED

    def require_unchanged(self) -> None:
        """Raise `StorageError` where the database or its WAL was replaced or removed; nothing else is ever read."""
        if self.is_unchanged():
            return
        if not os.path.lexists(self.path):
            raise StorageError(
                f"The file {self.path} was removed while it was open; put it back, or close this registry, and the next"
                " one makes it anew.",
                reason="removed",
            )
        if identity_at(self.path) != self._identity:
            raise StorageError(
                f"The file {self.path} was replaced while it was open; close every registry of it, in every process,"
                " and open it anew.",
                reason="replaced",
            )
        raise StorageError(
            f"The file {self.path} lost its log {self._wal} while it was open, as it does where a process that has it"
            " open reads it by other means than SQLite; close this registry and open it anew.",
            reason="log_lost",
        )

    def _stat(self) -> os.stat_result | None:
        try:
            return os.stat(self.path)
        except OSError:
            return None


def _written(found: os.stat_result) -> tuple[int, int]:
    return found.st_size, found.st_mtime_ns


def record_files(database: str) -> None:
    """Record in the sidecar which files belong together; where it can't be written, nothing is recorded."""
    with suppress(OSError), _open_sidecar(database, os.O_RDWR) as sidecar:
        record_files_in(sidecar, database)


def record_files_in(sidecar: int, database: str) -> None:
    """Record in the sidecar with that descriptor which files belong together, unless it says so already."""
    record = _RECORD.pack(*identity_at(database), *identity_at(database + WAL), *identity(os.fstat(sidecar)))
    if system.read_at(sidecar, _RECORD.size, STAMP_BYTES) != record:
        system.write_at(sidecar, record, STAMP_BYTES)


def refuse_foreign_wal(database: str) -> None:
    """Raise `StorageError` where the database was replaced and the WAL is that of the database before.

    Without a record that is about this WAL and this sidecar nothing is known, and nothing is refused.
    """
    wal = identity_at(database + WAL)
    if wal == NONE:
        return
    try:
        with _open_sidecar(database, os.O_RDONLY) as sidecar:
            record, itself = system.read_at(sidecar, _RECORD.size, STAMP_BYTES), identity(os.fstat(sidecar))
    except OSError:
        return
    if len(record) < _RECORD.size:
        return
    recorded = _RECORD.unpack(record)
    now = identity_at(database)
    if (wal, itself) == (recorded[2:4], recorded[4:]) and now not in {recorded[:2], NONE}:
        raise StorageError(
            f"{database} was replaced, and {database}{WAL} is the log of the file before, which would damage it; close"
            f" every registry of it, and move {database}{WAL} and {database}{SHM} away.",
            reason="foreign_log",
        )


def unwritable_files(database: str) -> list[str]:
    """Return which of the folder, the database and its companions this process may not write."""
    files = [os.path.dirname(database), *(database + suffix for suffix in ("", WAL, SHM, SIDECAR))]
    return [file for file in files if os.path.lexists(file) and not system.may_write(file)]


@contextmanager
def _open_sidecar(database: str, access: int) -> Iterator[int]:
    descriptor = system.open_file(database + SIDECAR, access)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
