"""A database that is made beside its place, and takes its name at once or never (`Registry.backup`).

It is made in a folder of its own, together with its log and its other companions, so that nobody opens it half made,
and all of it can be removed at once. A process that is killed leaves the folder, and nothing of the name.
"""

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from promptreg.errors import ConflictError, StorageError, StorageFullError
from promptreg.storage.sqlite import connecting, system
from promptreg.storage.sqlite.failures import NOT_PERMITTED, is_from_application, may_not_write, translate
from promptreg.storage.sqlite.files import SHM, SIDECAR, WAL

PART = ".part"  # how the name of the folder ends
DATABASE = "prompts.db"
JOURNAL = "-journal"
MAX_PREFIX = 40  # characters of the name that begin the folder's, as its length is limited
COMPANIONS = (WAL, SHM, JOURNAL, SIDECAR, f"{SIDECAR}-queue")


@contextmanager
def made(path: str) -> Iterator[str]:
    """Yield where to make the database and to close it; then it is at `path`, where nothing may be before.

    Raises `ConflictError` where anything is there, before the block and once more after it, and `StorageError`.
    """
    path = connecting.absolute(path)
    with _translating(path):
        _require_free(path)
        folder = _made_folder(path)
    owner, database = os.getpid(), os.path.join(folder, DATABASE)
    try:
        yield database
        with _translating(path):
            _put_in_place(database, path)
    except StorageError as error:
        _restate(error, database, path)
        raise
    finally:
        if os.getpid() == owner:  # and not in a fork, whose parent goes on
            shutil.rmtree(folder, ignore_errors=True)


def _made_folder(path: str) -> str:
    folder, name = os.path.split(path)
    try:
        return tempfile.mkdtemp(PART, f"{name[:MAX_PREFIX]}.", folder)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise StorageError(f"There is no folder {folder}; make it first.", reason="missing_folder") from error


def _require_free(path: str) -> None:
    """Raise `ConflictError` where anything has the name, or is what SQLite would take for a part of the database."""
    if os.path.lexists(path):
        raise ConflictError(f"There is {path} already, and a backup replaces nothing; name a new file.", path=path)
    for suffix in (WAL, JOURNAL):
        if os.path.lexists(path + suffix):
            raise ConflictError(
                f"There is {path + suffix}, the log of another database of that name, which would damage a backup;"
                " move it away, or name another file.",
                path=path,
            )
    for suffix in COMPANIONS:
        if path.endswith(suffix) and os.path.lexists(path.removesuffix(suffix)):
            raise ConflictError(
                f"{path} is the name of a file that belongs to {path.removesuffix(suffix)}; name another.", path=path
            )


def _put_in_place(database: str, path: str) -> None:
    if os.path.exists(database + WAL):
        raise StorageError(f"{path} could not be written whole; see that its disk works.", reason="io_error")
    system.sync(database)
    _require_free(path)
    try:
        system.move_new(database, path)
    except FileExistsError:
        _require_free(path)
        raise
    try:
        system.sync_folder(os.path.dirname(path))
    except OSError:
        os.unlink(path)
        raise


@contextmanager
def _translating(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        if is_from_application(error):
            raise
        if error.errno in NOT_PERMITTED:
            raise may_not_write(path, path) from error
        raise translate(error, path) from error


def _restate(error: StorageError, database: str, path: str) -> None:
    """Have an error name the path that the caller knows."""
    if database not in error.message:
        return
    if isinstance(error, StorageFullError):
        error.restate(f"The disk of {path} is full, so it was not made; make room on it, or name a file on another.")
    else:
        error.restate(error.message.replace(database, path))
