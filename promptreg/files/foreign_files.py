"""Reading the files of an import: one file, or all of a folder with certain endings, in order.

Nothing outside the folder is read. Files are UTF-8, or UTF-16 with a byte order mark; one that begins with `.` or `_`,
and one in such a folder, is skipped.
"""

import codecs
import json
import os
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, NoReturn

from promptreg.errors import InvalidInputError
from promptreg.files.foreign import ForeignFile
from promptreg.untrusted import FieldReader

MAX_BYTES = 100_000_000
MAX_FILES = 100_000


def read_texts(path: str | os.PathLike[str], endings: Collection[str]) -> list[ForeignFile]:
    """Return the texts of a file, or of the files of a folder with these endings, each with its path.

    A path in a folder is relative to it, with `/` between names. Raises `InvalidInputError` with everything that can't
    be read.
    """
    root = Path(path)
    fields = FieldReader()
    found = fields.read(lambda: list(_files(root, endings)))
    fields.require_valid()
    texts = [fields.read(_text, root, file, shown) for file, shown in found]
    fields.require_valid()
    return texts


def read_json(path: str | os.PathLike[str]) -> list[ForeignFile]:
    """Return the JSON values of a file, or of the `.json` and `.jsonl` files of a folder.

    A file may hold one value, or several one after the other; then the place of each is its line.
    """
    fields = FieldReader()
    values = [fields.read(_values, file) for file in read_texts(path, (".json", ".jsonl"))]
    fields.require_valid()
    return [value for listed in values for value in listed]


def _files(root: Path, endings: Collection[str]) -> Iterator[tuple[Path, str]]:
    if not root.exists():
        raise InvalidInputError.of(root.name or str(root), "is no file and no folder")
    if not root.is_dir():
        yield root, root.name
        return
    count = 0
    for folder, folders, names in os.walk(root):
        folders[:] = sorted(name for name in folders if name[0] not in "._")
        for name in sorted(names):
            if name[0] in "._" or not name.lower().endswith(tuple(endings)):
                continue
            count += 1
            if count > MAX_FILES:
                raise InvalidInputError.of(root.name, f"holds more than {MAX_FILES:,} files")
            file = Path(folder, name)
            yield file, file.relative_to(root).as_posix()
    if not count:
        raise InvalidInputError.of(root.name or str(root), f"holds no file that ends in {', '.join(endings)}")


def _text(root: Path, file: Path, shown: str) -> ForeignFile:
    if root.is_dir() and not file.resolve().is_relative_to(root.resolve()):
        raise InvalidInputError.of(shown, "leads outside the folder")
    try:
        if not file.is_file():
            raise InvalidInputError.of(shown, "is no file")
        with file.open("rb") as opened:
            data = opened.read(MAX_BYTES + 1)
    except OSError as error:
        raise InvalidInputError.of(shown, f"can't be read: {error.strerror}") from None
    if len(data) > MAX_BYTES:
        raise InvalidInputError.of(shown, f"has over {MAX_BYTES:,} bytes")
    return ForeignFile(shown, _decoded(data, shown))


def _decoded(data: bytes, shown: str) -> str:
    encoding = "utf-16" if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise InvalidInputError.of(f"{shown}:{line}", f"is not {encoding.removesuffix('-sig').upper()}") from None


def _values(file: ForeignFile) -> list[ForeignFile]:
    path, text = file
    values: list[ForeignFile] = []
    at = _after_space(text, 0)
    while at < len(text) or not values:
        line = text.count("\n", 0, at) + 1
        value, at = _value(text, at, f"{path}:{line}")
        values.append(ForeignFile(f"{path}:{line}", value))
        at = _after_space(text, at)
    return values if len(values) > 1 else [ForeignFile(path, values[0].content)]


def _value(text: str, at: int, where: str) -> tuple[Any, int]:
    try:
        return _DECODER.raw_decode(text, at)
    except json.JSONDecodeError as error:
        place = f"{where.rpartition(':')[0]}:{error.lineno}"
        raise InvalidInputError.of(place, f"is not JSON: {error.msg} (column {error.colno})") from None
    except RecursionError:
        raise InvalidInputError.of(where, "can't be read: nested too deep") from None
    except ValueError as error:
        reason = _NOT_JSON if error.args == (_NOT_JSON,) else "a number has too many digits"
        raise InvalidInputError.of(where, f"can't be read: {reason}") from None


def _after_space(text: str, at: int) -> int:
    while at < len(text) and text[at] in " \t\r\n":
        at += 1
    return at


_NOT_JSON = "NaN and infinities are not JSON"


def _refuse_constant(_: str) -> NoReturn:
    raise ValueError(_NOT_JSON)


_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)
