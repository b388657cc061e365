"""Our own files next to a database (its sidecar, the lock file of the queue): opening and creating them.

They follow the database's owner, group and mode, as every process that may write the database has to write them too. A
file whose mode has drifted (another user created it, the database's mode was changed, a copy lost it) is repaired when
a process of its owner or of root opens it.
"""

import errno
import os
import stat
from contextlib import suppress

from promptreg.errors import StorageError
from promptreg.storage.sqlite import system

NOT_A_FILE = frozenset({errno.ELOOP, errno.EISDIR, errno.ENXIO})  # what opening a link, a folder or a pipe fails with


def open_beside(path: str, database: str, content: bytes = b"") -> int:
    """Return a descriptor of the file, which is created with the database's permissions where it is missing.

    `content` is what a new file holds. Raises `OSError`, and `StorageError` where the path is not an ordinary file.
    """
    try:
        descriptor = _open_or_create(path, database, content)
    except OSError as error:
        if error.errno in NOT_A_FILE or os.path.isdir(path):
            raise _not_a_file(path) from None
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise _not_a_file(path)
    _repair_permissions(descriptor, database)
    return descriptor


def _open_or_create(path: str, database: str, content: bytes) -> int:
    try:
        return system.open_file(path, os.O_RDWR)
    except FileNotFoundError:
        make(path, os.stat(database), content)
    except PermissionError:
        _repair_unwritable(path, database)
    return system.open_file(path, os.O_RDWR)


def _repair_permissions(descriptor: int, database: str) -> None:
    with suppress(OSError):
        found = os.fstat(descriptor)
        if stat.S_ISREG(found.st_mode) and found.st_nlink == 1:  # with a second link it may be a file of somebody else
            system.follow_rights(descriptor, os.stat(database))


def _repair_unwritable(path: str, database: str) -> None:
    """Repair a file that its owner can read and not write."""
    with suppress(OSError):
        descriptor = system.open_file(path, os.O_RDONLY)
        try:
            _repair_permissions(descriptor, database)
        finally:
            os.close(descriptor)


def make(path: str, database: os.stat_result, content: bytes) -> None:
    """Create a file with the database's permissions under a temporary name, and link it, so that it appears complete.

    A file system without links gets it under its own name; a process that opens it too early then fails to write it
    for a moment, or finds it short, which it repairs.
    """
    temporary = f"{path}.{os.urandom(8).hex()}"
    try:
        _write_new(temporary, database, content)
        is_made = system.take_name(temporary, path)
    finally:
        with suppress(FileNotFoundError):
            os.unlink(temporary)
    if not is_made:
        with suppress(FileExistsError):
            _write_new(path, database, content)


def _write_new(path: str, database: os.stat_result, content: bytes) -> None:
    descriptor = system.open_file(path, os.O_RDWR | os.O_CREAT | os.O_EXCL)
    try:
        system.write_at(descriptor, content, 0)
        system.follow_rights(descriptor, database)
    finally:
        os.close(descriptor)


def _not_a_file(path: str) -> StorageError:
    return StorageError(
        f"{path} must be a file of the registry's own, and is something else; remove it.", reason="sidecar"
    )
