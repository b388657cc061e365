"""What tells every process at once that the database has changed, for the price of comparing 16 bytes.

Beside the database lies a small file, its sidecar: a revision of 8 bytes, and 8 random ones, written anew at
each publication by one `pwrite`. Readers map it. The protocol: nobody returns or caches what a revision holds before
the sidecar has shown that revision or a later one. So a writer publishes after its COMMIT, and before its caller
learns of it; a reader whose snapshot is newer publishes first; and a cache that holds for one reading of the
16 bytes holds until they differ, in whatever way.

The sidecar is an ordinary file that never shrinks and is never locked: storing through a map of a file that was
cut short would kill the process.
"""

import errno
import mmap
import os
import stat
from contextlib import suppress
from typing import Protocol

from promptreg.errors import StorageError
from promptreg.storage.base import Page
from promptreg.storage.place import identity
from promptreg.storage.siblings import PAGE, SIDECAR, note_in

NUMBER = 8  # bytes of it are the revision


class Board(Protocol):
    """Where revisions are shown."""

    @property
    def page(self) -> Page:
        """What readers compare."""
        ...

    @property
    def is_shown(self) -> bool:
        """Whether a change is seen on the page; else each read must ask the database."""
        ...

    def read(self) -> bytes:
        """Give what the page shows now."""
        ...

    def publish(self, revision: int) -> None:
        """Show a revision."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


def revision_of(token: bytes) -> int:
    """Give the revision that a reading of the page tells."""
    return int.from_bytes(token[:NUMBER], "little")


def _token(revision: int) -> bytes:
    return revision.to_bytes(NUMBER, "little") + os.urandom(PAGE - NUMBER)


class Sidecar:
    """The sidecar of a database in a file; a fork may go on using it, as nothing in it is held."""

    is_shown = True

    def __init__(self, database: str) -> None:
        """Open it, made with the owner and mode of the database, told by its real path, where it is not there.

        Raises `OSError` where it can't be written, and `StorageError` where something else has its name.
        """
        self.path = database + SIDECAR
        self._descriptor: int | None = open_beside(self.path, database)
        try:
            found = os.fstat(self._descriptor)
            if found.st_size < PAGE:
                os.pwrite(self._descriptor, bytes(PAGE - found.st_size), found.st_size)
            self._identity = identity(found)
            self.page = memoryview(mmap.mmap(self._descriptor, PAGE, prot=mmap.PROT_READ))
            note_in(self._descriptor, database)
        except BaseException:
            self.close()
            raise

    def read(self) -> bytes:
        """Give what the page shows now."""
        return bytes(self.page)

    def publish(self, revision: int) -> None:
        """Show a revision, to every process; nothing once closed, where only a write that was under way could."""
        if self._descriptor is not None:
            os.pwrite(self._descriptor, _token(revision), 0)

    def is_in_place(self) -> bool:
        """Tell whether this is the file that others find at its path."""
        try:
            found = os.stat(self.path, follow_symlinks=False)
        except OSError:
            return False
        return identity(found) == self._identity

    def close(self) -> None:
        """Close the file; who still compares the page goes on."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def __del__(self) -> None:
        if hasattr(self, "_descriptor"):
            self.close()


class MemoryBoard:
    """The page of a database that lives in this process only."""

    is_shown = True

    def __init__(self) -> None:
        self._bytes = bytearray(PAGE)
        self.page = memoryview(self._bytes)

    def read(self) -> bytes:
        """Give what the page shows now."""
        return bytes(self._bytes)

    def publish(self, revision: int) -> None:
        """Show a revision."""
        self._bytes[:] = _token(revision)

    def close(self) -> None:
        """Hold nothing."""


class NoBoard:
    """Where no sidecar can be had: nothing is shown, so each read asks the database."""

    is_shown = False
    page = b""

    def read(self) -> bytes:
        """Give what never equals the page."""
        return b"none"

    def publish(self, revision: int) -> None:
        """Do nothing: who can't write the sidecar can't write the database either."""

    def close(self) -> None:
        """Hold nothing."""


def open_beside(path: str, database: str) -> int:
    """Give a descriptor of a file of ours beside the database, made with its owner and mode where it is not there.

    It is made under another name, so that nobody meets it half-made. Raises `OSError`, and `StorageError` where
    something else has its name.
    """
    flags = os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK
    try:
        try:
            descriptor = os.open(path, flags)
        except FileNotFoundError:
            _make(path, os.stat(database))
            descriptor = os.open(path, flags)
    except OSError as error:
        if error.errno in {errno.ELOOP, errno.EISDIR, errno.ENXIO}:
            raise _in_the_way(path) from None
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise _in_the_way(path)
    return descriptor


def _make(path: str, database: os.stat_result) -> None:
    making = f"{path}.{os.urandom(8).hex()}"
    descriptor = os.open(making, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        os.pwrite(descriptor, bytes(PAGE), 0)
        if os.geteuid() == 0:
            os.fchown(descriptor, database.st_uid, database.st_gid)
        os.fchmod(descriptor, stat.S_IMODE(database.st_mode))
        with suppress(FileExistsError):
            os.link(making, path)
    finally:
        os.close(descriptor)
        os.unlink(making)


def _in_the_way(path: str) -> StorageError:
    return StorageError(
        f"{path} must be a file of the registry's own, and is something else; remove it.", reason="sidecar"
    )
