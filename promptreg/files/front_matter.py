"""The front matter of a prompt's file: one `key: JSON` a line as it is written, and any YAML of JSON's values as read.

A line of JSON is read as JSON, which takes a twentieth of the time, and has no limit where YAML limits keys to 1,024
characters. Where any line is not, YAML reads all of them (`yaml_subset.py`). What the keys mean is in `format.py`.
"""

import json
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from promptreg import strictjson
from promptreg.files.flaws import FormatError

FENCE = "---"
_JSON_LINE = re.compile(r"([A-Za-z_][A-Za-z0-9_]*(?: [0-9]+)?): +(\S.*)")
_UNSAFE = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")


class Entry(NamedTuple):
    """The value of a key, and its line in the file."""

    value: Any
    line: int


def written(entries: Mapping[str, Any]) -> str:
    r"""Return the front matter of these entries, between its two lines `---`.

    >>> print(written({"title": "A\u2028b", "tags": ["x"]}), end="")
    ---
    title: "A\u2028b"
    tags: ["x"]
    ---
    """
    return "".join(f"{line}\n" for line in (FENCE, *(f"{k}: {as_json(v)}" for k, v in entries.items()), FENCE))


def as_json(value: Any) -> str:
    """Return JSON on one line, in which what YAML or an editor may take for a line end or refuse is escaped."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False)
    return _UNSAFE.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def split(text: str) -> tuple[str, str, int] | None:
    r"""Return the front matter, the body, and the body's first line; None where the text begins with no `---`.

    >>> split("---\ntitle: A\n---\nHello\n"), split("Hello")
    (('title: A\n', 'Hello\n', 4), None)
    """
    first, found, rest = text.partition("\n")
    if first.rstrip(" \t") != FENCE:
        return None
    end = re.search(r"^---[ \t]*(?:\n|\Z)", rest, re.MULTILINE) if found else None
    if end is None:
        raise FormatError(1, "the front matter has no end: put a line --- after its last key")
    front = rest[: end.start()]
    return front, rest[end.end() :], front.count("\n") + 3


def read(front: str) -> dict[str, Entry]:
    """Return the entries of a front matter, whose first line is the second one of the file; raise `FormatError`."""
    entries = _read_json_lines(front)
    if entries is None:
        from promptreg.files.yaml_subset import read_mapping  # noqa: PLC0415 (PyYAML takes 25 ms)

        entries = {key: Entry(value, line + 2) for key, (value, line) in read_mapping(front, first=2).items()}
    return entries


def _read_json_lines(front: str) -> dict[str, Entry] | None:
    """Return the entries, or None where any line is not a key and its JSON."""
    entries: dict[str, Entry] = {}
    for number, line in enumerate(front.split("\n"), 2):
        found = _JSON_LINE.fullmatch(line)
        if found is None:
            if line.strip() and not line.startswith("#"):
                return None
            continue
        try:
            value = strictjson.read(found[2])
        except strictjson.MalformedJSON as error:
            if error.line or found[2][0] not in "{[":  # of a plain scalar, YAML says what may be meant
                return None
            raise FormatError(number, error.reason) from None
        if found[1] in entries:
            raise FormatError(number, "stands here for the second time; keep one")
        entries[found[1]] = Entry(value, number)
    return entries
