"""Files that are one prompt each, in a folder or alone: plain texts, or `.prompty` files. Their path is the name.

Of plain texts a `.md`, `.j2` or `.jinja` file is a template in Jinja, a `.txt` file is text as it is. As in every file
of prompts CRLF reads as LF, and one line end at the end is not content.
"""

from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import Any

from promptreg.errors import InvalidInputError
from promptreg.files.flaws import FormatError
from promptreg.files.foreign.prompty import read_prompty
from promptreg.files.foreign.results import CARRIAGE_RETURNS, ForeignFile, Read
from promptreg.rules.importing import ForeignPrompt, ForeignVersion
from promptreg.untrusted import FieldReader


def read_plain(files: Iterable[ForeignFile]) -> Read:
    r"""Return a prompt for each file.

    >>> read = read_plain([ForeignFile("team/Reply.md", "Dear {{ name }},\n"), ForeignFile("css.txt", "a {{ b }}")])
    >>> for prompt in read.prompts:
    ...     print(prompt.name, prompt.versions[0].fields)
    team/reply {'template': 'Dear {{ name }},', 'title': 'Reply'}
    css {'template': 'a {{ b }}', 'syntax': 'plain'}
    """
    listed = list(files)
    read = Read({path: _stem(path) for path, _ in listed})
    for path, text in listed:
        content = text.replace("\r\n", "\n").removesuffix("\n")
        fields: dict[str, Any] = {"template": content}
        if path.lower().endswith(".txt"):
            fields["syntax"] = "plain"
        elif "\r" in content:
            read.note(read.names[path], 1, CARRIAGE_RETURNS)
        if content.startswith("---\n"):
            read.note(read.names[path], 1, "front matter is part of the text")
        _add(read, path, fields)
    return read


def read_prompty_files(files: Iterable[ForeignFile]) -> Read:
    r"""Return a prompt for each `.prompty` file; raise `InvalidInputError` with everything that is wrong.

    >>> read_prompty_files([ForeignFile("chat/basic.prompty", "---\nname: Basic\n---\nHello")]).prompts[0].name
    'chat/basic'
    """
    listed = list(files)
    read, fields = Read({path: _stem(path) for path, _ in listed}), FieldReader()
    for path, text in listed:
        fields.read(_add_prompty, read, path, text)
    fields.require_valid()
    return read


def _add_prompty(read: Read, path: str, text: str) -> None:
    try:
        _, fields, notes = read_prompty(text)
    except FormatError as error:
        raise InvalidInputError.of_all(error.flaws(path)) from None
    for note in notes:
        read.note(read.names[path], 1, note)
    _add(read, path, fields)


def _add(read: Read, path: str, fields: dict[str, Any]) -> None:
    name, stem = read.names[path], _stem(path)
    if name != stem:
        fields.setdefault("title", PurePosixPath(stem).name)
    read.prompts.append(ForeignPrompt(name, [ForeignVersion(fields, path)], production=1))


def _stem(path: str) -> str:
    return PurePosixPath(path).with_suffix("").as_posix()
