"""The change signal: how every process learns of a commit for the price of comparing 16 bytes.

Next to the database lies a small file, its sidecar. It holds a stamp: the revision in 8 bytes, and 8 random bytes that
are new with each publication. A publication is one `pwrite`; readers map the file and compare.

The protocol: nobody returns or caches data of a revision before the sidecar has shown that revision or a later one. So
a writer publishes after its COMMIT and before its caller learns of it; a reader whose snapshot is newer than the
sidecar, as its writer died in between, publishes first or, where it may not write, waits until every cache has expired;
and what a cache has loaded is current for as long as the stamp is the one that was read before the snapshot was taken.

The sidecar is never shortened and never locked. If another tool truncates it, a process that reads its map at that
moment is ended by SIGBUS. So the map is only read for `CHECK_SECONDS` after a check; a check reads the file by `pread`,
and makes it whole again.
"""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager

from promptreg.storage.base import Stamp
from promptreg.storage.sqlite import system
from promptreg.storage.sqlite.companion_files import open_beside
from promptreg.storage.sqlite.failures import is_from_application
from promptreg.storage.sqlite.files import SIDECAR, STAMP_BYTES, Identity, identity, record_files_in

REVISION_BYTES = 8
CHECK_SECONDS = 0.05  # between checks; no stamp shows another tool's commit, a replaced file or a fork


class ChangeSignal:
    """Where revisions are published. This base class has no place to publish them, so that every read checks."""

    stamp: Stamp = b""
    """The live stamp, which readers compare."""
    is_shared = False
    """Whether others see what is published here."""
    is_writable = False
    """Whether this process can publish, and so may commit."""

    def read(self) -> bytes:
        """Return the stamp of this moment; nothing (`b""`) where it is damaged, so that it is published anew."""
        return b"none"

    def as_stamp(self, content: bytes) -> Stamp:
        """Return what was read as a stamp to be compared with the live one."""
        return content

    def is_unchanged_since(self, content: bytes) -> bool:
        """Return whether, as far as the signal shows, nothing was published since that was read."""
        return self.read() == content

    def is_behind(self, revision: int) -> bool:
        """Return whether others have not been shown a revision that is committed, as its writer died in between."""
        return self.is_shared and revision_of(self.read()) < revision

    def publish(self, revision: int) -> None:
        """Publish a revision."""

    def is_current_file(self) -> bool:
        """Return whether others find this signal too; if not, it is opened anew."""
        return True

    def close(self) -> None:
        """Close what is open."""


class UnwritableSidecar(ChangeSignal):
    """A sidecar that this process may not write: it only reads, and can't show others what it has read."""

    def __init__(self, database: str) -> None:
        """Begin for a real path, beside which there may be none."""
        self._path = database + SIDECAR

    def is_behind(self, revision: int) -> bool:
        """Return whether others have not been shown that revision; False where there is no sidecar to be read."""
        try:
            descriptor = system.open_file(self._path, os.O_RDONLY)
            try:
                return revision_of(_read_stamp(descriptor)) < revision
            finally:
                os.close(descriptor)
        except OSError as error:
            if is_from_application(error):
                raise
            return False

    def publish(self, revision: int) -> None:
        """Raise `OSError`."""
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), self._path)

    def is_current_file(self) -> bool:
        """Return False, so that each check tries again."""
        return False


class MemorySignal(ChangeSignal):
    """The stamp of a database in memory."""

    is_shared = is_writable = True

    def __init__(self) -> None:
        self._content = bytearray(STAMP_BYTES)
        self.stamp = self.as_stamp(self._content)

    def read(self) -> bytes:
        """Return the stamp of this moment."""
        return bytes(self._content)

    def as_stamp(self, content: bytes | bytearray) -> memoryview:
        """Return a view of two numbers, which compare faster than sixteen bytes."""
        return memoryview(content).cast("Q")

    def publish(self, revision: int) -> None:
        """Publish a revision."""
        self._content[:] = _new_stamp(revision)


class UnmappedSidecar(ChangeSignal):
    """The sidecar on a system that can't map it: written for others, and opened anew for each use.

    There is no live stamp: each read asks the database for commits.
    """

    is_shared = is_writable = True

    def __init__(self, database: str) -> None:
        """Open or create it, for a real path; raise `OSError`, or `StorageError` where it is no ordinary file."""
        self.path = database + SIDECAR
        self._database = database
        with self._opened() as descriptor:
            self._identity = _prepare(descriptor, database)

    def read(self) -> bytes:
        """Return the stamp of this moment."""
        with self._opened() as descriptor:
            return _read_stamp(descriptor)

    def is_unchanged_since(self, content: bytes) -> bool:
        """Return True: every publication follows a commit, and each read asks the database for those."""
        return True

    def publish(self, revision: int) -> None:
        """Publish a revision."""
        with self._opened() as descriptor:
            system.write_at(descriptor, _new_stamp(revision), 0)

    def is_current_file(self) -> bool:
        """Return whether this is the file that others find at its path, and whole."""
        return _is_in_place(self.path, self._identity)

    @contextmanager
    def _opened(self) -> Iterator[int]:
        descriptor = open_beside(self.path, self._database, _new_stamp(0))
        try:
            yield descriptor
        finally:
            os.close(descriptor)


class Sidecar(ChangeSignal):
    """The sidecar, mapped. Both sides of a fork may go on using it, as it holds no lock."""

    is_shared = is_writable = True

    def __init__(self, database: str) -> None:
        """Open or create it, for a real path; raise `OSError`, or `StorageError` where it is no ordinary file."""
        self.path = database + SIDECAR
        self._descriptor: int | None = open_beside(self.path, database, _new_stamp(0))
        try:
            self._identity = _prepare(self._descriptor, database)
            self.stamp = system.map_to_read(self._descriptor, STAMP_BYTES).cast("Q")
        except BaseException:
            self.close()
            raise

    def read(self) -> bytes:
        """Return the stamp of this moment: of the file, as reading the map of a truncated one would be a SIGBUS."""
        return b"" if self._descriptor is None else _read_stamp(self._descriptor)

    def as_stamp(self, content: bytes) -> memoryview:
        """Return a view of two numbers, which compare faster than sixteen bytes."""
        return memoryview(content).cast("Q")

    def publish(self, revision: int) -> None:
        """Publish a revision; nothing once closed."""
        if self._descriptor is not None:
            system.write_at(self._descriptor, _new_stamp(revision), 0)

    def is_current_file(self) -> bool:
        """Return whether this is the file that others find at its path, and whole."""
        return _is_in_place(self.path, self._identity)

    def close(self) -> None:
        """Close the file; its map lives on for those who still compare the stamp."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def __del__(self) -> None:
        if hasattr(self, "_descriptor"):
            self.close()


def open_sidecar(database: str) -> ChangeSignal:
    """Open the sidecar in the way that this system can; raises what `Sidecar` raises."""
    return Sidecar(database) if system.MAPS else UnmappedSidecar(database)


def revision_of(content: bytes) -> int:
    """Return the revision in a stamp."""
    return int.from_bytes(content[:REVISION_BYTES], "little")


def _new_stamp(revision: int) -> bytes:
    return revision.to_bytes(REVISION_BYTES, "little") + os.urandom(STAMP_BYTES - REVISION_BYTES)


def _read_stamp(descriptor: int) -> bytes:
    content = system.read_at(descriptor, STAMP_BYTES, 0)
    return content if len(content) == STAMP_BYTES else b""


def _prepare(descriptor: int, database: str) -> Identity:
    """Make a short file whole, record which files belong together, and return which file it is."""
    found = os.fstat(descriptor)
    if found.st_size < STAMP_BYTES:
        system.write_at(descriptor, _new_stamp(0), 0)
    record_files_in(descriptor, database)
    return identity(found)


def _is_in_place(path: str, known: Identity) -> bool:
    try:
        found = os.stat(path, follow_symlinks=False)
    except OSError:
        return False
    return identity(found) == known and found.st_size >= STAMP_BYTES
