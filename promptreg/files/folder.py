"""A folder of prompts: every file of it, read together, and files written into it, each all or nothing."""

import os
from collections.abc import Iterable, Mapping
from contextlib import suppress
from hashlib import sha256
from pathlib import Path, PurePosixPath
from secrets import token_hex
from types import MappingProxyType

from promptreg.errors import InvalidInputError
from promptreg.files.flaws import FormatError, flaw, require_none
from promptreg.files.format import PromptFile, from_text
from promptreg.files.paths import BARE_SUFFIXES, SUFFIXES, path_of
from promptreg.files.walking import MAX_TOTAL, checked_folder, files_in, is_within, read_bytes, root_of, shown
from promptreg.rules.inputs import Progress, read_progress

__all__ = ["path_of", "read_folder", "scan_folder", "write_files"]


def read_folder(
    folder: str | os.PathLike[str], *, bare: bool = False, progress: Progress | None = None
) -> list[PromptFile]:
    """Return the prompts of a folder and the folders in it, in the order of their paths.

    `.md` files have front matter, `.prompty` files are read as Prompty; with `bare`, `.md`, `.txt`, `.j2` and `.jinja`
    files without front matter are templates. Raises one `InvalidInputError` with everything that is wrong in any file,
    and with the files of prompts whose name another file has. `progress(done, total)` is called with numbers of files.
    """
    files, flaws = scan_folder(folder, bare=bare, report=read_progress(progress))
    require_none(flaws)
    return files


def scan_folder(
    folder: str | os.PathLike[str], *, bare: bool, report: Progress
) -> tuple[list[PromptFile], list[dict[str, str]]]:
    """Return the prompts of a folder, as `read_folder` does, and everything that is wrong in its other files."""
    root = root_of(folder)
    files: list[PromptFile] = []
    flaws: list[dict[str, str]] = []
    left = MAX_TOTAL
    listed = list(files_in(root, (*SUFFIXES, *(BARE_SUFFIXES if bare else ()))))
    for done, found in enumerate(listed, 1):
        try:
            data = read_bytes(root, found)
            left -= len(data)
            if left >= 0:
                files.append(from_text(data, found.path, bare=bare))
        except FormatError as error:
            flaws += error.flaws(found.path)
        except InvalidInputError as error:
            flaws += error.details["errors"]
        if left < 0:
            raise InvalidInputError.of("folder", f"holds more than {MAX_TOTAL:,} bytes of prompts")
        report(done, len(listed))
    return files, [*flaws, *_shared_names(files)]


def _shared_names(files: Iterable[PromptFile]) -> list[dict[str, str]]:
    """Return an error for each file of a prompt that another file holds as well."""
    first: dict[str, PromptFile] = {}
    return [
        {"field": file.where(), "reason": f"is the prompt {file.name!r}, as is {other.path}; keep one"}
        for file in files
        if (other := first.setdefault(file.name, file)) is not file
    ]


def write_files(
    folder: str | os.PathLike[str],
    files: Mapping[str, str] | Iterable[tuple[str, str]],
    *,
    expected: Mapping[str, str | None] = MappingProxyType({}),
) -> list[str]:
    """Write files, each a path with `/` and its text, and return the paths of those that were left as they were.

    The folder, and the folders in it, are created. Each file appears or is replaced as a whole. Where `expected` has
    its path, it is left unless it has that SHA-256, or for None is not there. Raises `InvalidInputError` for a path
    that leads out of the folder, by `..` or by a symlink, and for what can't be written; what came before is written.

    >>> from tempfile import TemporaryDirectory
    >>> from promptreg.files.format import to_text
    >>> with TemporaryDirectory() as folder:
    ...     left = write_files(folder, {"support/greet.md": to_text("support/greet", {"template": "Hello"})})
    ...     [file.name for file in read_folder(folder)], left
    (['support/greet'], [])
    """
    root = _made(folder)
    pairs = files.items() if isinstance(files, Mapping) else files
    return [path for path, text in pairs if not _write(root, path, text.encode(), expected)]


def _made(folder: str | os.PathLike[str]) -> Path:
    path = checked_folder(folder)
    try:
        with suppress(FileNotFoundError):
            os.stat(path)  # else a path that is too long is an error of recursion
            return root_of(path)
        os.makedirs(path, exist_ok=True)
    except FileExistsError:
        raise InvalidInputError.of("folder", f"{shown(folder)} is no folder") from None
    except OSError as error:
        raise InvalidInputError.of("folder", f"{shown(folder)} can't be made: {error.strerror}") from error
    return root_of(folder)


def _write(root: Path, path: str, data: bytes, expected: Mapping[str, str | None]) -> bool:
    """Write a file unless another content is expected, and return whether it holds the data now."""
    target = _target(root, path)
    try:
        found = target.read_bytes() if target.is_file() else None
        if found == data:
            return True
        if path in expected and expected[path] != (None if found is None else sha256(found).hexdigest()):
            return False
        target.parent.mkdir(parents=True, exist_ok=True)
        _put(target, data)
    except OSError as error:
        raise InvalidInputError.of_all([flaw(path, 0, f"can't be written: {error.strerror}")]) from error
    return True


def _target(root: Path, path: str) -> Path:
    """Return the real path of a file, which is in the folder."""
    parts = PurePosixPath(path).parts
    is_plain = parts and path == "/".join(parts) and ".." not in parts and not {"\\", ":", "\0"} & {*path}
    real = os.path.realpath(root.joinpath(*parts)) if is_plain else ""
    if not is_within(real, str(root)) or real == str(root):
        raise InvalidInputError.of_all([flaw(path, 0, "leads out of the folder")])
    return Path(real)


def _put(target: Path, data: bytes) -> None:
    """Write a file as a whole: to another one beside it, which then takes its place."""
    temporary = target.with_name(f".{token_hex(8)}.tmp")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0), 0o666)
        with open(descriptor, "wb") as opened:
            opened.write(data)
        if target.exists():
            os.chmod(temporary, target.stat().st_mode & 0o777)
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
