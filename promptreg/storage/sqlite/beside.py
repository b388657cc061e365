"""Our files beside a database: opened, made where they are not there, and kept to its owner, group and mode.

They follow the database: whoever may write it is to write them too, however they came by another mode (another user
made them, the database's mode was changed, a copy lost it). Who may mend that, their owner or root, does so in
opening them.
"""

import errno
import os
import stat
from contextlib import suppress

from promptreg.errors import StorageError
from promptreg.storage.sqlite import system

IN_THE_WAY = frozenset({errno.ELOOP, errno.EISDIR, errno.ENXIO})


def open_beside(path: str, database: str, begin: bytes = b"") -> int:
    """Return a descriptor of a file of ours beside the database, made with its rights where it is not there.

    `begin` is what a file that is made holds. Raises `OSError`, and `StorageError` where something else has the name.
    """
    try:
        descriptor = _opened(path, database, begin)
    except OSError as error:
        if error.errno in IN_THE_WAY or os.path.isdir(path):
            raise _in_the_way(path) from None
        raise
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise _in_the_way(path)
    _mend(descriptor, database)
    return descriptor


def _opened(path: str, database: str, begin: bytes) -> int:
    try:
        return system.open_file(path, os.O_RDWR)
    except FileNotFoundError:
        make(path, os.stat(database), begin)
    except PermissionError:
        _mend_unwritable(path, database)
    return system.open_file(path, os.O_RDWR)


def _mend(descriptor: int, database: str) -> None:
    """Set a file of ours to the database's rights; none that has another name too, as that one may not be ours."""
    with suppress(OSError):
        found = os.fstat(descriptor)
        if stat.S_ISREG(found.st_mode) and found.st_nlink == 1:
            system.follow_rights(descriptor, os.stat(database))


def _mend_unwritable(path: str, database: str) -> None:
    """Mend a file that its owner can read and not write."""
    with suppress(OSError):
        descriptor = system.open_file(path, os.O_RDONLY)
        try:
            _mend(descriptor, database)
        finally:
            os.close(descriptor)


def make(path: str, database: os.stat_result, begin: bytes) -> None:
    """Make a file with the rights of the database, under another name, so that nobody meets it half-made.

    On a file system without links it is made under its own; who meets it half-made then can't write it for a moment,
    or finds it short and goes on.
    """
    making = f"{path}.{os.urandom(8).hex()}"
    try:
        _write_new(making, database, begin)
        is_made = system.take_name(making, path)
    finally:
        with suppress(FileNotFoundError):
            os.unlink(making)
    if not is_made:
        with suppress(FileExistsError):
            _write_new(path, database, begin)


def _write_new(path: str, database: os.stat_result, begin: bytes) -> None:
    descriptor = system.open_file(path, os.O_RDWR | os.O_CREAT | os.O_EXCL)
    try:
        system.write_at(descriptor, begin, 0)
        system.follow_rights(descriptor, database)
    finally:
        os.close(descriptor)


def _in_the_way(path: str) -> StorageError:
    return StorageError(
        f"{path} must be a file of the registry's own, and is something else; remove it.", reason="sidecar"
    )
