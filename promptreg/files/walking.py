"""The files of prompts in a folder: which there are, and their bytes. Nothing outside the folder is ever read.

Symlinks are followed within the folder. What can't be read, is no file or is too big is reported, never skipped.
"""

import os
import stat
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import NamedTuple

from promptreg.errors import InvalidInputError
from promptreg.files.flaws import FormatError
from promptreg.files.paths import is_skipped
from promptreg.rules.inputs import MAX_STORED

MAX_BYTES = 6 * MAX_STORED  # of a file: the longest template, each character as an escape of JSON
MAX_TOTAL = 1_000_000_000  # of all files of a folder
MAX_FILES = 100_000
MAX_FOLDERS = 100_000
_FLAGS = os.O_RDONLY | sum(getattr(os, name, 0) for name in ("O_CLOEXEC", "O_NONBLOCK", "O_BINARY", "O_NOCTTY"))


class Found(NamedTuple):
    """A file or folder of a folder: its path in it, with `/`, and why it can't be read, if it can't."""

    path: str
    reason: str | None = None


def root_of(folder: str | os.PathLike[str]) -> Path:
    """Return the folder's real path; raise `InvalidInputError` where there is none, or no folder."""
    path = os.path.realpath(checked_folder(folder))
    try:
        is_folder = stat.S_ISDIR(os.stat(path).st_mode)
    except FileNotFoundError:
        raise InvalidInputError.of("folder", f"there is no folder {shown(folder)}") from None
    except OSError as error:
        raise InvalidInputError.of("folder", f"{shown(folder)} can't be read: {error.strerror}") from error
    if not is_folder:
        raise InvalidInputError.of("folder", f"{shown(folder)} is no folder")
    return Path(path)


def shown(folder: str | os.PathLike[str]) -> str:
    """Return a path as messages show it."""
    return ascii(os.fspath(folder)) if not str(folder).isprintable() else repr(str(folder))


def checked_folder(folder: object) -> str:
    """Return the path of a folder as text; raise `InvalidInputError` for what is no path."""
    if not isinstance(folder, str | os.PathLike):
        raise InvalidInputError.of("folder", f"must be a path, not {type(folder).__name__}")
    text = os.fspath(folder)
    if not isinstance(text, str) or not text or "\0" in text:
        raise InvalidInputError.of("folder", "must be a path of a folder, as text")
    try:
        os.fsencode(text)
    except UnicodeEncodeError:
        raise InvalidInputError.of("folder", f"{shown(text)} is no path: a system can't encode it") from None
    return text


def files_in(root: Path, suffixes: Collection[str]) -> Iterator[Found]:
    """Yield the files with one of these suffixes, in the order of their paths; raise `InvalidInputError` for too many.

    `README*`, and files and folders whose names begin with `.` or `_`, are left out.
    """
    waiting: list[tuple[str, tuple[str, ...]]] = [("", (str(root),))]
    folders = files = 0
    while waiting:
        prefix, ancestors = waiting.pop()
        folders += 1
        below: list[tuple[str, tuple[str, ...]]] = []
        try:
            entries = _entries(root, prefix)
        except OSError as error:
            yield Found(prefix[:-1] or ".", f"can't be listed: {error.strerror}")
            continue
        for entry in entries:
            path = f"{prefix}{entry.name}"
            found = _kind_of(entry, path, ancestors, suffixes)
            if isinstance(found, str):
                below.append((f"{path}/", (*ancestors, found)))
            elif found is not None:
                files += 1
                yield found
        waiting += below[::-1]
        if files > MAX_FILES or folders > MAX_FOLDERS:
            raise InvalidInputError.of("folder", f"holds more than {MAX_FILES:,} prompts or folders")


def _entries(root: Path, prefix: str) -> list["os.DirEntry[str]"]:
    with os.scandir(root / prefix) as entries:
        return sorted((entry for entry in entries if not is_skipped(entry.name)), key=lambda entry: entry.name)


def _kind_of(
    entry: "os.DirEntry[str]", path: str, ancestors: tuple[str, ...], suffixes: Collection[str]
) -> Found | str | None:
    """Return a file of prompts, the real path of a folder, or None for any other entry."""
    is_named = entry.name.lower().endswith(tuple(suffixes))
    if not (entry.is_symlink() or getattr(entry, "is_junction", bool)()):  # a junction is Windows' symlink of a folder
        if entry.is_dir(follow_symlinks=False):
            return os.path.join(ancestors[-1], entry.name)
        if not is_named:
            return None
        return Found(path, None if entry.is_file(follow_symlinks=False) else "is no file, but a device, pipe or socket")
    real = os.path.realpath(entry.path)
    is_folder = os.path.isdir(real)
    if not is_folder and not is_named:
        return None
    if not is_within(real, ancestors[0]):
        return Found(path, "is a symlink that leads out of the folder")
    if is_folder:
        return Found(path, "is a symlink to a folder that it is in") if real in ancestors else real
    return Found(path, None if os.path.isfile(real) else "is a symlink that leads to no file")


def is_within(path: str, root: str) -> bool:
    """Return whether a real path is a folder, or in it."""
    return path == root or path.startswith(os.path.join(root, ""))


def read_bytes(root: Path, found: Found, most: int = MAX_BYTES) -> bytes:
    """Return what a file of the folder holds; raise `FormatError`, of line 0, where it can't be read or is too big."""
    if found.reason is not None:
        raise FormatError(0, found.reason)
    try:
        descriptor = os.open(root / found.path, _FLAGS)
    except OSError as error:
        raise FormatError(0, f"can't be read: {error.strerror}") from error
    with open(descriptor, "rb") as opened:
        status = os.fstat(descriptor)
        if not stat.S_ISREG(status.st_mode):
            raise FormatError(0, "is no file, but a device, pipe or socket")
        if status.st_size > most:
            raise FormatError(0, f"takes {status.st_size:,} bytes; {most:,} is the most")
        try:
            return opened.read()
        except OSError as error:
            raise FormatError(0, f"can't be read: {error.strerror}") from error
