"""The template that a command is given: a text, a JSON list of messages, or a prompt as `promptreg export` writes."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from promptreg.cli.output import note
from promptreg.cli.sources import STDIN, decode, read_file, read_json
from promptreg.errors import InvalidInputError, TemplateError
from promptreg.messages import is_placeholder
from promptreg.rules.names import checked_name

if TYPE_CHECKING:
    from promptreg.files.format import PromptFile

FORMATS = ("text", "messages", "file")
FENCE = "---"


class Given(NamedTuple):
    """What a command is given, by the arguments of `create`, and the file in the format of prompts, if it was one."""

    arguments: dict[str, Any]
    file: "PromptFile | None" = None


def read_template(file: str | None, form: str | None, name: str, *, is_needed: bool) -> Given:
    """Return the template, or all fields of a version, that a file or standard input holds.

    Nothing is returned where neither is given and it is not needed. Empty standard input is nothing, as it is where a
    script or a job runs a command without one.
    """
    if file is None and sys.stdin.isatty():
        _require(not is_needed, "there is no template: write it to a file and pass --file FILE, or to standard input")
        return Given({})
    content = read_file(STDIN if file is None else file)
    if file is None and not content:
        _require(not is_needed, "standard input is empty: there is no template; pass --file FILE")
        return Given({})
    return parse_template(content, STDIN if file is None else file, form, name)


def _require(fact: bool, otherwise: str) -> None:
    if not fact:
        raise click.UsageError(otherwise)


def parse_template(content: bytes, file: str, form: str | None, name: str) -> Given:
    """Return what a file holds, read as `form` says, or else as it looks."""
    source = "standard input" if file == STDIN else file
    text = decode(content, source).replace("\r\n", "\n")
    is_guessed, form = form is None, form or _form_of(text, file)
    if form == "file":
        return _fields_of_file(content, source, name, is_guessed=is_guessed)
    return Given({"template": _messages(text, source) if form == "messages" else text.removesuffix("\n")})


def _form_of(text: str, file: str) -> str:
    """Return how a text is read: in the format of files where it begins with a fence, as messages where it is a list.

    >>> _form_of("Dear {{ name }}", "a.md"), _form_of('[{"role": "user", "content": "Why?"}]', "-")
    ('text', 'messages')
    """
    if text.split("\n", 1)[0].rstrip() == FENCE:
        return "file"
    if file.lower().endswith(".json") or (text.lstrip().startswith("[") and _is_chat(text)):
        return "messages"
    return "text"


def _is_chat(text: str) -> bool:
    try:
        messages = read_json(text, "")
    except click.UsageError:
        return False
    return bool(messages) and all(isinstance(m, dict) and ("role" in m or is_placeholder(m)) for m in messages)


def _messages(text: str, source: str) -> Any:
    messages = read_json(text, source)
    if not isinstance(messages, list):
        raise click.UsageError(f"{source} is no JSON list of messages; --format text reads it as a text")
    return messages


def _fields_of_file(content: bytes, path: str, name: str, *, is_guessed: bool) -> Given:
    from promptreg.files.format import from_text  # noqa: PLC0415 (25 ms, for a file in this format alone)

    own_name = checked_name(name)
    try:
        file = from_text(content, path, name=own_name)
    except InvalidInputError as error:
        if is_guessed:
            error.restate(f"{error.message}; --format text reads it as a text, as it begins with {FENCE}")
        raise
    for text in file.notes:
        note(f"{path}: {text}")
    return Given({**file.content(), "title": file.fields.get("title", name)}, file)


@contextmanager
def named_lines(file: "PromptFile | None") -> Iterator[None]:
    """Have an error about a text name the line of the file instead; that of a chat names the message and its line."""
    try:
        yield
    except TemplateError as error:
        line = error.details.get("line")
        if file is not None and isinstance(line, int) and isinstance(file.fields.get("template", ""), str):
            error.restate(error.message.replace(f"Line {line}: ", "", 1))  # two numbers of one line confuse
            error.put_before(file.where("template", line=line))
        raise
