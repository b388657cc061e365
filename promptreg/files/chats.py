"""The messages of a chat as the body of a file, and back.

A line that is exactly `user:`, `placeholder NAME:` or the like begins a message; a line of content that looks like one
has a backslash before it. What does not fit between such lines, a message with parts or with control characters, stands
in the front matter as JSON, by its number.
"""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from promptreg import strictjson
from promptreg.files.flaws import FormatError
from promptreg.files.front_matter import Entry, as_json
from promptreg.nearest import did_you_mean
from promptreg.rules.messages import ROLES

Message = Mapping[str, Any]
MARKERS = ", ".join(f"{role}:" for role in ROLES) + " or placeholder NAME:"
_MARKER = re.compile(rf"({'|'.join(ROLES)})(?: (\{{(?![{{%#]).*\}}))?:|placeholder (\S+):")
_UNFIT = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029]")
_NUMBERED = re.compile(r"message ([0-9]{1,9})")


def fits_body(text: str) -> bool:
    r"""Return whether a text may stand in a body, which an editor, git or Windows leave as it is.

    >>> fits_body("a\n\tb"), fits_body("a\r\nb")
    (True, False)
    """
    return not text.startswith("\ufeff") and _UNFIT.search(text) is None


def written(template: Sequence[Message]) -> tuple[dict[str, Any], str]:
    r"""Return the entries of the front matter for the messages of a chat, and the body.

    >>> written([{"role": "user", "content": "system:\nHi", "name": "ana"}, {"placeholder": "history"}])
    ({}, 'user {"name": "ana"}:\n\\system:\nHi\nplaceholder history:\n')
    """
    entries: dict[str, Any] = {}
    body: list[str] = []
    for number, message in enumerate(template, 1):
        text = _written(message)
        if text is None:
            entries[f"message {number}"] = message
        else:
            body.append(text)
    return entries, "".join(body)


def _written(message: Message) -> str | None:
    """Return the lines of a message, or None where it has to be JSON."""
    content = message.get("content", "")
    marker = _marker(message)
    if not isinstance(content, str) or not fits_body(content) or not _is_marker(marker):
        return None
    lines = [_escaped(line) for line in content.split("\n")] if "content" in message else []
    return "".join(f"{line}\n" for line in (marker, *lines))


def _marker(message: Message) -> str:
    if "placeholder" in message:
        return f"placeholder {message['placeholder']}:"
    more = {key: value for key, value in message.items() if key not in {"role", "content"}}
    return f"{message['role']} {as_json(more)}:" if more else f"{message['role']}:"


def _is_marker(line: str) -> bool:
    found = _MARKER.fullmatch(line) if line.endswith(":") else None
    return found is not None and (found[3] is None or found[3].isidentifier())


def _escaped(line: str) -> str:
    return f"\\{line}" if _is_marker(line.lstrip("\\")) else line


def _unescaped(line: str) -> str:
    return line[1:] if line.startswith("\\") and _is_marker(line.lstrip("\\")) else line


class Chat(NamedTuple):
    """The messages that a file holds, and the line of each."""

    messages: list[Any]
    lines: list[int]


def read(body: str, first: int, entries: Mapping[str, Entry]) -> Chat:
    """Return the messages of a body that begins in line `first`, among those of the front matter, by their numbers."""
    found = _read_body(body, first)
    whole = {_number_of(key, entry): entry for key, entry in entries.items()}
    total = len(found) + len(whole)
    for number, entry in whole.items():
        if number > total:
            raise FormatError(entry.line, f"there are {total} messages in all; the last one is `message {total}`")
    others = iter(found)
    placed = [whole[number] if number in whole else next(others) for number in range(1, total + 1)]
    return Chat([message for message, _ in placed], [line for _, line in placed])


def is_numbered(key: str) -> bool:
    """Return whether a key of the front matter is that of a message, as `message 2` is."""
    return _NUMBERED.fullmatch(key) is not None


def _number_of(key: str, entry: Entry) -> int:
    number = int(key.removeprefix("message "))
    if number < 1 or key != f"message {number}":
        raise FormatError(entry.line, "messages are numbered from 1: the first one is `message 1`")
    return number


def _read_body(body: str, first: int) -> list[Entry]:
    lines = body.removesuffix("\n").split("\n")
    starts = [at for at, line in enumerate(lines) if _is_marker(line)]
    before = lines[: starts[0]] if starts else lines
    _require_blank(before, first, f"a chat begins with a line that is {MARKERS}")
    ends = [*starts, len(lines)][1:]
    found: list[Entry] = []
    errors: list[FormatError] = []
    for start, end in zip(starts, ends, strict=True):
        try:
            found.append(Entry(_message(lines[start], lines[start + 1 : end], first + start), first + start))
        except FormatError as error:
            errors.append(error)
    if errors:
        raise FormatError(errors[0].line, errors[0].reason, errors[1:])
    return found


def _message(marker: str, lines: list[str], line: int) -> dict[str, Any]:
    found = _MARKER.fullmatch(marker)
    role, more, placeholder = found.groups() if found else ("", None, None)
    if placeholder is not None:
        _require_blank(lines, line + 1, f"a placeholder has no content; the next message begins with {MARKERS}")
        return {"placeholder": placeholder}
    others = _others(more, line) if more else {}
    if not lines and role == "assistant" and "tool_calls" in others:
        return {"role": role, **others}
    return {"role": role, "content": "\n".join(map(_unescaped, lines)), **others}


def _others(text: str, line: int) -> dict[str, Any]:
    """Return the other keys of a message, from its marker."""
    try:
        others: dict[str, Any] = strictjson.read(text)
    except strictjson.MalformedJSON:
        reason = "what stands before the colon is no JSON; where the line is content, put a backslash before it"
        raise FormatError(line, reason) from None
    held = [key for key in ("role", "content", "placeholder") if key in others]
    if held:
        raise FormatError(line, f"{' and '.join(held)} can't stand in the marker of a message")
    return others


def _require_blank(lines: Sequence[str], first: int, reason: str) -> None:
    for number, line in enumerate(lines, first):
        if line.strip():
            meant = did_you_mean(line[:-1], ROLES) if line.endswith(":") else ""
            raise FormatError(number, reason + meant)
