"""Writing a file that only its owner may read, from the moment that it is there."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from tempfile import mkstemp

from promptreg.errors import InvalidInputError
from promptreg.files.overwriting import require_no_database


def write_private(path: str, make: Callable[[], bytes], database: str | None) -> int:
    """Write what `make` returns to a file, and return its length; a file that is there stays until all is written.

    The new file is written beside it, with the mode 0600, and then takes its name. Raises `InvalidInputError` where
    that can't be done, and where there is a folder, a device or a link, which is not followed, or a database;
    `database` is the path of the open one. All of this but a failed write comes before `make` is called.
    """
    with _translating(path):
        _require_replaceable(path, database)
        descriptor, part = mkstemp(prefix=".", suffix=".part", dir=os.path.dirname(os.path.abspath(path)))
    try:
        with open(descriptor, "wb") as file:
            data = make()
            with _translating(path):
                file.write(data)
                file.flush()
                os.fsync(descriptor)
        with _translating(path):
            os.replace(part, path)
    except BaseException:
        with suppress(OSError):
            os.unlink(part)
        raise
    return len(data)


def _require_replaceable(path: str, database: str | None) -> None:
    """Raise `InvalidInputError` unless there is nothing at the path, or a file that may be replaced."""
    if os.path.islink(path):
        raise _refused(path, "is a symbolic link, which is not followed; name another file")
    if os.path.exists(path) and not os.path.isfile(path):
        raise _refused(path, "is no file; name a file, or - for standard output")
    require_no_database(path, database, field="-o")


@contextmanager
def _translating(path: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _refused(
            path, f"can't be written: {error.strerror}; name a file in a folder that you may write"
        ) from error


def _refused(path: str, reason: str) -> InvalidInputError:
    return InvalidInputError.of("-o", f"{path} {reason}")
