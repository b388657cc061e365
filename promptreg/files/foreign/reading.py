"""Reading the files of an import: one file, or all of a folder with certain endings, in order.

Nothing outside the folder is read. Files are UTF-8, or UTF-16 with a byte order mark.
"""

import codecs
import os
from collections.abc import Collection
from pathlib import Path
from typing import Any

from promptreg import strictjson
from promptreg.errors import InvalidInputError
from promptreg.files.flaws import FormatError, flaw, require_none
from promptreg.files.foreign.results import ForeignFile
from promptreg.files.walking import Found, files_in, read_bytes, root_of
from promptreg.untrusted import FieldReader

MAX_BYTES = 100_000_000  # of a file


def read_texts(path: str, endings: Collection[str]) -> list[ForeignFile]:
    """Return the texts of a file, or of the files of a folder with these endings, each with its path.

    A path in a folder is relative to it, with `/` between names; `README*`, and what begins with `.` or `_`, is left
    out. Raises `InvalidInputError` with everything that can't be read.
    """
    given = Path(path)
    if os.path.isdir(given):
        root = root_of(given)
        files = list(files_in(root, endings))
        if not files:
            raise InvalidInputError.of("path", f"holds no file that ends in {', '.join(endings)}")
    else:
        root, files = given.parent, [Found(given.name, None if os.path.exists(given) else "is no file and no folder")]
    texts: list[ForeignFile] = []
    flaws: list[dict[str, str]] = []
    for found in files:
        try:
            texts.append(ForeignFile(found.path, _decoded(read_bytes(root, found, MAX_BYTES))))
        except FormatError as error:
            flaws += error.flaws(found.path)
    require_none(flaws)
    return texts


def read_json(path: str) -> list[ForeignFile]:
    """Return the JSON values of a file, or of the `.json` and `.jsonl` files of a folder.

    A file may hold one value, or several one after the other; then the place of each is its line.
    """
    fields = FieldReader()
    values = [fields.read(_values, file) for file in read_texts(path, (".json", ".jsonl"))]
    fields.require_valid()
    return [value for listed in values for value in listed]


def _decoded(data: bytes) -> str:
    encoding = "utf-16" if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
    try:
        return data.decode(encoding)
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        raise FormatError(line, f"is not {encoding.removesuffix('-sig').upper()}") from None


def _values(file: ForeignFile) -> list[ForeignFile]:
    path, text = file
    values: list[ForeignFile] = []
    at, line = _after_space(text, 0), 1
    counted = 0
    while at < len(text) or not values:
        line += text.count("\n", counted, at)
        counted = at
        value, at = _value(text, at, path, line)
        values.append(ForeignFile(f"{path}:{line}", value))
        at = _after_space(text, at)
    return values if len(values) > 1 else [ForeignFile(path, values[0].content)]


def _value(text: str, at: int, path: str, line: int) -> tuple[Any, int]:
    try:
        return strictjson.read_next(text, at)
    except strictjson.MalformedJSON as error:
        raise InvalidInputError.of_all([flaw(path, error.line or line, error.reason_in_line)]) from None


def _after_space(text: str, at: int) -> int:
    while at < len(text) and text[at] in " \t\r\n":
        at += 1
    return at
