"""Opening the file of a full export: a path, or a file that is open in binary mode; its errors are promptreg's."""

import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import partial
from io import TextIOBase
from secrets import token_hex
from typing import IO, Any, TypeAlias

from promptreg.discarding import discard
from promptreg.errors import InvalidInputError
from promptreg.files.overwriting import require_no_database

Place: TypeAlias = str | os.PathLike[str] | IO[bytes]
"""The path of a file, or a file that is open in binary mode."""


@contextmanager
def opened_to_write(out: Place, database: str | None) -> Iterator[Callable[[bytes], object]]:
    """Yield what writes to the file; what was at its path stays there until all is written."""
    if not isinstance(out, str | os.PathLike):
        yield partial(_write_whole, _method_of(out, "out", "write"))
        return
    with _translating("out", "written"):
        path = os.fsdecode(out)
        is_new = not os.path.exists(path)
        if is_new or os.path.isfile(path):
            path = os.path.realpath(path)
            part = f"{path}.{token_hex(4)}.part"
        else:  # a device or pipe stays; that behind /dev/stdout has no other path
            part = path
        if part != path:
            require_no_database(path, database)
        owner = os.getpid()
        file = open(part, "wb" if part == path else "xb")  # noqa: SIM115 (closed below, before it is renamed)
    try:
        yield _translated(file.write)
        with _translating("out", "written"):
            _put_in_place(file, part, path, is_new=is_new)
    except BaseException:
        discard(file, owner)
        if part != path and os.getpid() == owner:  # and not in a fork, whose parent goes on
            with suppress(OSError):
                os.unlink(part)
        raise


def _put_in_place(file: IO[bytes], part: str, path: str, *, is_new: bool) -> None:
    file.flush()
    if part != path:
        os.fsync(file.fileno())
    file.close()
    if part != path:
        if not is_new:
            shutil.copymode(path, part)
        os.replace(part, path)


def _write_whole(write: Callable[[bytes], object], data: bytes) -> None:
    """Write the data; an unbuffered file may take a part of it at a time."""
    while data:
        written = write(data)
        data = data[written:] if isinstance(written, int) else b""


def _translated(write: Callable[[bytes], object]) -> Callable[[bytes], object]:
    def translated(data: bytes) -> None:
        try:
            write(data)
        except OSError as error:
            raise _unusable("out", "written", error) from error

    return translated


@contextmanager
def opened_to_read(source: Place) -> Iterator[Callable[[int], object]]:
    """Yield what reads a line of at most so many bytes."""
    if not isinstance(source, str | os.PathLike):
        yield _method_of(source, "source", "readline")
        return
    with _translating("source", "read"):
        file = open(source, "rb")  # noqa: SIM115 (closed below)
    with file:

        def readline(most: int) -> bytes:
            try:
                return file.readline(most)
            except OSError as error:
                raise _unusable("source", "read", error) from error

        yield readline


def _method_of(file: object, field: str, name: str) -> Callable[[Any], object]:
    """Return a method of a file that is open in binary mode; raise `InvalidInputError` of the argument for others."""
    method: Callable[[Any], object] | None = getattr(file, name, None)
    if isinstance(file, TextIOBase) or not callable(method):
        raise InvalidInputError.of(field, f"must be a path, or a file that is open in binary mode and has {name}()")
    return method


@contextmanager
def _translating(field: str, what: str) -> Iterator[None]:
    """Raise the block's errors of the file as `_unusable`; `what` can't be done, such as `written`."""
    try:
        yield
    except (OSError, ValueError) as error:  # a path with NUL is a ValueError
        raise _unusable(field, what, error) from error


def _unusable(field: str, what: str, error: OSError | ValueError) -> InvalidInputError:
    """Return the error of an argument whose file can't be read or written."""
    reason = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
    return InvalidInputError.of(field, f"the file can't be {what}: {reason}")
