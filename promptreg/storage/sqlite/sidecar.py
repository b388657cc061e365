"""What tells every process at once that the database has changed, for the price of comparing 16 bytes.

Beside the database lies a small file, its sidecar: a revision of 8 bytes, and 8 random ones, written anew at
each publication by one `pwrite`. Readers map it. The protocol: nobody returns or caches what a revision holds before
the sidecar has shown that revision or a later one. So a writer publishes after its COMMIT, and before its caller
learns of it; a reader whose snapshot is newer publishes first; and a cache that holds for one reading of the
16 bytes holds until they differ, in whatever way.

The sidecar is an ordinary file that we never shorten and never lock. One that another tool cuts short ends a process
that reads its map at that moment (SIGBUS). So the map is only read within 50 ms of a look, and a look reads the file
itself, and makes it whole again.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from promptreg.storage.base import Stamp
from promptreg.storage.sqlite import system
from promptreg.storage.sqlite.beside import open_beside
from promptreg.storage.sqlite.files import SIDECAR, STAMP_BYTES, Identity, identity, record_files_in

NUMBER = 8  # bytes of it are the revision
CHECK_SECONDS = 0.05  # for which a stamp is trusted: no stamp shows other tools' commits, a file replaced, or a fork


class ChangeSignal(Protocol):
    """Where revisions are shown."""

    @property
    def stamp(self) -> Stamp:
        """The live stamp, which readers compare."""
        ...

    def as_stamp(self, content: bytes) -> Stamp:
        """Return what was read as a stamp that equals the live one while nothing else is published."""
        ...

    @property
    def is_shared(self) -> bool:
        """Whether there is a stamp to be published on, which others compare."""
        ...

    @property
    def is_writable(self) -> bool:
        """Whether a commit can be published, so that this process may write."""
        ...

    def read(self) -> bytes:
        """Give what the stamp shows now."""
        ...

    def is_unchanged_since(self, stamp: bytes) -> bool:
        """Return whether, as far as the stamp tells, nothing was published since that was read."""
        ...

    def publish(self, revision: int) -> None:
        """Show a revision."""
        ...

    def is_current_file(self) -> bool:
        """Return whether it is the one that others look at."""
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


def revision_of(stamp: bytes) -> int:
    """Give the revision that a reading of the stamp tells."""
    return int.from_bytes(stamp[:NUMBER], "little")


def _stamp(revision: int) -> bytes:
    return revision.to_bytes(NUMBER, "little") + os.urandom(STAMP_BYTES - NUMBER)


class Sidecar:
    """The sidecar of a database in a file; a fork may go on using it, as nothing in it is held."""

    is_shared = is_writable = True

    def __init__(self, database: str) -> None:
        """Open it, made with the rights of the database, told by its real path, where it is not there.

        Raises `OSError` where it can't be written, and `StorageError` where something else has its name.
        """
        self.path = database + SIDECAR
        self._descriptor: int | None = open_beside(self.path, database, _stamp(0))
        try:
            self._identity = _prepared(self._descriptor, database)
            self.stamp = system.map_to_read(self._descriptor, STAMP_BYTES).cast("Q")
        except BaseException:
            self.close()
            raise

    def as_stamp(self, content: bytes) -> Stamp:
        """Return what was read as a stamp: two numbers, which compare faster than sixteen bytes."""
        return memoryview(content).cast("Q")

    def read(self) -> bytes:
        """Return what the stamp shows now; by way of the file, which may be too short to be read through the map.

        Of a short one, nothing: who reads that publishes, which makes it whole.
        """
        return b"" if self._descriptor is None else _whole(system.read_at(self._descriptor, STAMP_BYTES, 0))

    def is_unchanged_since(self, stamp: bytes) -> bool:
        """Return whether nothing was published since that was read."""
        return self.read() == stamp

    def publish(self, revision: int) -> None:
        """Show a revision, to every process; nothing once closed, where only a write that was under way could."""
        if self._descriptor is not None:
            system.write_at(self._descriptor, _stamp(revision), 0)

    def is_current_file(self) -> bool:
        """Return whether this is the file that others find at its path, and whole."""
        return _is_in_place(self.path, self._identity)

    def close(self) -> None:
        """Close the file; who still compares the stamp goes on."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    def __del__(self) -> None:
        if hasattr(self, "_descriptor"):
            self.close()


class UnmappedSidecar:
    """The sidecar on a system that can't map it: it is written for whoever else can, and opened for each use.

    Nothing is compared with its stamp. A commit is seen by asking the database, at each read.
    """

    is_shared = is_writable = True
    stamp = b""

    def __init__(self, database: str) -> None:
        """Make it where it is not there; raises as that of a `Sidecar` does."""
        self.path = database + SIDECAR
        self._database = database
        with self._opened() as descriptor:
            self._identity = _prepared(descriptor, database)

    def as_stamp(self, content: bytes) -> Stamp:
        """Return what was read, which never equals the live stamp."""
        return content

    def read(self) -> bytes:
        """Return what others see on the stamp now."""
        with self._opened() as descriptor:
            return _whole(system.read_at(descriptor, STAMP_BYTES, 0))

    def is_unchanged_since(self, stamp: bytes) -> bool:
        """Return that it may be so: whatever is published was committed before, and each read asks for commits."""
        return True

    def publish(self, revision: int) -> None:
        """Show a revision, to every process."""
        with self._opened() as descriptor:
            system.write_at(descriptor, _stamp(revision), 0)

    def is_current_file(self) -> bool:
        """Return whether this is the file that others find at its path, and whole."""
        return _is_in_place(self.path, self._identity)

    def close(self) -> None:
        """Hold nothing."""

    @contextmanager
    def _opened(self) -> Iterator[int]:
        descriptor = open_beside(self.path, self._database, _stamp(0))
        try:
            yield descriptor
        finally:
            os.close(descriptor)


def open_sidecar(database: str) -> Sidecar | UnmappedSidecar:
    """Open the sidecar in the way that this system can; raises as that of a `Sidecar` does."""
    return Sidecar(database) if system.MAPS else UnmappedSidecar(database)


def _prepared(descriptor: int, database: str) -> Identity:
    """Make a file long enough for its stamp, note what belongs together, and return which file it is."""
    found = os.fstat(descriptor)
    if found.st_size < STAMP_BYTES:  # a stamp that was never there, so that nobody takes it for one that they know
        system.write_at(descriptor, _stamp(0), 0)
    record_files_in(descriptor, database)
    return identity(found)


def _whole(stamp: bytes) -> bytes:
    return stamp if len(stamp) == STAMP_BYTES else b""


def _is_in_place(path: str, known: Identity) -> bool:
    try:
        found = os.stat(path, follow_symlinks=False)
    except OSError:
        return False
    return identity(found) == known and found.st_size >= STAMP_BYTES


class MemorySignal:
    """The stamp of a database that lives in this process only."""

    is_shared = is_writable = True

    def __init__(self) -> None:
        self._bytes = bytearray(STAMP_BYTES)
        self.stamp = memoryview(self._bytes).cast("Q")

    def as_stamp(self, content: bytes) -> Stamp:
        """Return what was read as a stamp: two numbers, which compare faster than sixteen bytes."""
        return memoryview(content).cast("Q")

    def read(self) -> bytes:
        """Give what the stamp shows now."""
        return bytes(self._bytes)

    def is_unchanged_since(self, stamp: bytes) -> bool:
        """Return whether nothing was published since that was read."""
        return self._bytes == stamp

    def publish(self, revision: int) -> None:
        """Show a revision."""
        self._bytes[:] = _stamp(revision)

    def is_current_file(self) -> bool:
        """Return True, as nobody can take it away."""
        return True

    def close(self) -> None:
        """Hold nothing."""


class NullSignal:
    """Where no sidecar can be had: nothing is shown, so each read asks the database."""

    is_shared = is_writable = False
    stamp = b""

    def as_stamp(self, content: bytes) -> Stamp:
        """Return what was read, which never equals the live stamp."""
        return content

    def read(self) -> bytes:
        """Give what never equals the stamp."""
        return b"none"

    def is_unchanged_since(self, stamp: bytes) -> bool:
        """Return whether that is what is read here."""
        return stamp == b"none"

    def publish(self, revision: int) -> None:
        """Do nothing: who can't write the sidecar can't write the database either."""

    def is_current_file(self) -> bool:
        """Return True, as there is none to look for."""
        return True

    def close(self) -> None:
        """Hold nothing."""


class UnwritableSidecar(NullSignal):
    """Where this process may write the database, but not its sidecar: it only reads, until that was mended."""

    def is_current_file(self) -> bool:
        """Return False, so that each look opens it again."""
        return False
