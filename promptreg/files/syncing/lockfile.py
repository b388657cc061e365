"""`promptreg.lock`: the id of a folder of prompts as a source, which is committed beside them.

It holds nothing else, so it is the same in every branch and for every registry, and git never merges it.
"""

import errno
import os
import re
from contextlib import suppress
from pathlib import Path

from promptreg.clock import new_id
from promptreg.errors import InvalidInputError
from promptreg.files.paths import LOCK

_ID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_MOST = 100  # bytes
_NO_LINKS = {
    errno.EPERM,
    errno.ENOTSUP,
    errno.EMLINK,
    errno.ENOSYS,
    errno.EINVAL,
}  # of a file system without hard links


def read_source(folder: Path) -> str | None:
    """Return the id of a folder, or None where it was never synchronised.

    Raise `InvalidInputError` if the file is damaged, can't be read, or is no regular file.
    """
    file = folder / LOCK
    try:
        if file.is_symlink() or (file.exists() and not file.is_file()):
            raise _damaged("is not a regular file")
        with file.open("rb") as lock:
            text = lock.read(_MOST).decode("ascii").strip()
    except FileNotFoundError:
        return None
    except UnicodeDecodeError:
        text = ""
    except OSError as error:
        raise InvalidInputError.of(LOCK, f"can't be read: {error.strerror}") from error
    if not _ID.fullmatch(text):
        raise _damaged("is damaged: it does not hold one id")
    return text


def make_source(folder: Path, wanted: str | None = None) -> str:
    """Make the file with an id, by default a new one, unless it is there, and return what it holds.

    Of two calls at once one makes it. Raise `InvalidInputError` if it can't be written or is damaged.
    """
    source = wanted or new_id()
    temporary = folder / f".{LOCK}.{source}"
    try:
        with temporary.open("xb") as file:
            file.write(f"{source}\n".encode())
            file.flush()
            os.fsync(file.fileno())
        _move_unless_there(temporary, folder / LOCK)
    except OSError as error:
        raise InvalidInputError.of(
            LOCK, f"can't be written: {error.strerror}; the first synchronisation makes it, to be committed"
        ) from error
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
    return read_source(folder) or source


def _move_unless_there(temporary: Path, file: Path) -> None:
    """Move a file to its place, unless there is one."""
    try:
        file.hardlink_to(temporary)
    except FileExistsError:
        return
    except (OSError, NotImplementedError) as error:
        if isinstance(error, OSError) and error.errno not in _NO_LINKS:
            raise
        if not file.exists():
            temporary.replace(file)


def _damaged(reason: str) -> InvalidInputError:
    return InvalidInputError.of(
        LOCK,
        f"{reason}. Restore it from git (`git checkout -- {LOCK}`), or of a merge keep the id of either side."
        " With a new id, as after it is deleted, the folder is another source, whose missing files archive nothing",
    )
