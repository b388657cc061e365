"""Where the database lies: whether the file at its path is still the one that was opened."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from struct import Struct
from typing import TypeAlias

from promptreg.errors import StorageError
from promptreg.storage.sqlite import system

Identity: TypeAlias = tuple[int, int]

NONE: Identity = (0, 0)


def identity(found: os.stat_result) -> Identity:
    """Give what tells a file from all others that are there at the same time."""
    return found.st_dev, found.st_ino


def identity_at(path: str) -> Identity:
    """Give the identity of the file that is there, or `NONE`."""
    try:
        return identity(os.stat(path))
    except OSError:
        return NONE


class FileIdentity:
    """The path of a file, and which file was found there, with which log.

    SQLite goes on with a log that has lost its name, which nobody else sees; so it counts as the file's loss.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._identity: Identity | None = None
        self._written: tuple[int, int] | None = None
        self._log: str | None = None
        self._log_identity: Identity | None = None

    def record(self, log: str | None) -> None:
        """Remember the file that is there now, and its log, where one stays for as long as we are connected."""
        found = self._found()
        if found is not None:
            self._identity, self._written, self._log = identity(found), _written(found), log
            self.record_wal()

    def record_wal(self) -> None:
        """Remember the log that is there, if none is remembered."""
        if self._log is not None and self._log_identity is None:
            found = identity_at(self._log)
            self._log_identity = None if found == NONE else found

    def forget_wal(self) -> None:
        """Expect no log any more, as our last connection is about to close, which may remove it."""
        self._log_identity = None

    def is_unchanged(self) -> bool:
        """Tell whether the file is there, and the same."""
        if self._identity is None:
            return True
        return identity_at(self.path) == self._identity and self._has_its_log()

    def _has_its_log(self) -> bool:
        known = self._log_identity
        if known is None or self._log is None or identity_at(self._log) == known:
            return True
        return self._log_identity is not known  # as it was forgotten meanwhile

    def has_same_content(self, is_same: Callable[[], bool | None]) -> bool:
        """Ask, where the file was written since this was last asked, whether what it holds is what was there.

        None is no answer: it is asked again.
        """
        found = self._found()
        if self._identity is None or found is None or _written(found) == self._written:
            return True
        answer = is_same()
        if answer:
            self._written = _written(found)
        return answer is not False

    def mark_replaced(self) -> None:
        """Know that another database was copied over the file: it is never again the one that was opened."""
        self._identity = _NOWHERE

    def require_unchanged(self) -> None:
        """Raise `StorageError` where the file, or its log, was replaced or removed: nothing else is ever read."""
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
            f"The file {self.path} lost its log {self._log} while it was open, as it does where a process that has it"
            " open reads it by other means than SQLite; close this registry and open it anew.",
            reason="log_lost",
        )

    def _found(self) -> os.stat_result | None:
        try:
            return os.stat(self.path)
        except OSError:
            return None


_NOWHERE: Identity = (-1, -1)


def _written(found: os.stat_result) -> tuple[int, int]:
    return found.st_size, found.st_mtime_ns


LOG = "-wal"
SHARED = "-shm"
SIDECAR = "-promptreg"
STAMP_BYTES = 16  # bytes of the sidecar that come before the note

_NOTE = Struct("<6Q")  # device and number of the database, of the log and of the sidecar


def record_files(database: str) -> None:
    """Note which files belong together now; what can't be noted is not known."""
    with suppress(OSError), _opened(database, os.O_RDWR) as sidecar:
        record_files_in(sidecar, database)


def record_files_in(sidecar: int, database: str) -> None:
    """Note it in the sidecar of that descriptor, unless that is what is noted."""
    text = _NOTE.pack(*identity_at(database), *identity_at(database + LOG), *identity(os.fstat(sidecar)))
    if system.read_at(sidecar, _NOTE.size, STAMP_BYTES) != text:
        system.write_at(sidecar, text, STAMP_BYTES)


def refuse_foreign_wal(database: str) -> None:
    """Raise `StorageError` where the database was replaced and the log is still that of the file before."""
    log = identity_at(database + LOG)
    if log == NONE:
        return
    try:
        with _opened(database, os.O_RDONLY) as sidecar:
            text, itself = system.read_at(sidecar, _NOTE.size, STAMP_BYTES), identity(os.fstat(sidecar))
    except OSError:  # there is none, or none that this process may read: nothing is known
        return
    if len(text) < _NOTE.size:
        return
    noted = _NOTE.unpack(text)
    now = identity_at(database)
    if (log, itself) == (noted[2:4], noted[4:]) and now not in {noted[:2], NONE}:
        raise StorageError(
            f"{database} was replaced, and {database}{LOG} is the log of the file before, which would damage it; close"
            f" every registry of it, and move {database}{LOG} and {database}{SHARED} away.",
            reason="foreign_log",
        )


def unwritable_files(database: str) -> list[str]:
    """Return which of the folder, the database and the files beside it this process may not write."""
    files = [os.path.dirname(database), *(database + suffix for suffix in ("", LOG, SHARED, SIDECAR))]
    return [file for file in files if os.path.lexists(file) and not system.may_write(file)]


@contextmanager
def _opened(database: str, access: int) -> Iterator[int]:
    descriptor = system.open_file(database + SIDECAR, access)
    try:
        yield descriptor
    finally:
        os.close(descriptor)
