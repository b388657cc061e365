"""Which files beside a database are its own, so that no log is read into another file than the one it was written for.

SQLite knows a log by its name alone. Where a file is put in the place of a database whose log is still there, it would
read that log into it: old prompts come back, or the file is damaged. So who connects to write notes behind the
sidecar's page which file the database is, which the log, and which the sidecar, as a copy of all three tells nothing.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from struct import Struct

from promptreg.errors import StorageError
from promptreg.storage import system
from promptreg.storage.place import NONE, identity, identity_at

LOG = "-wal"
SHARED = "-shm"
SIDECAR = "-promptreg"
PAGE = 16  # bytes of the sidecar that come before the note

_NOTE = Struct("<6Q")  # device and number of the database, of the log and of the sidecar


def note(database: str) -> None:
    """Note which files belong together now; what can't be noted is not known."""
    with suppress(OSError), _opened(database, os.O_RDWR) as sidecar:
        note_in(sidecar, database)


def note_in(sidecar: int, database: str) -> None:
    """Note it in the sidecar of that descriptor, unless that is what is noted."""
    text = _NOTE.pack(*identity_at(database), *identity_at(database + LOG), *identity(os.fstat(sidecar)))
    if system.read_at(sidecar, _NOTE.size, PAGE) != text:
        system.write_at(sidecar, text, PAGE)


def require_own_log(database: str) -> None:
    """Raise `StorageError` where the database was replaced and the log is still that of the file before."""
    log = identity_at(database + LOG)
    if log == NONE:
        return
    try:
        with _opened(database, os.O_RDONLY) as sidecar:
            text, itself = system.read_at(sidecar, _NOTE.size, PAGE), identity(os.fstat(sidecar))
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


def unwritable(database: str) -> list[str]:
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
