"""A render as the arguments of `client.chat.completions.create` of the package `openai`.

Messages pass as they are, because they have this API's form. Refused is what its types have no place for. A message of
a placeholder may have more fields than theirs, and parts of more types, since other servers that speak this API take
more.
"""

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from promptreg.sdks.fields import choice_at, refuse, text_at
from promptreg.sdks.messages import (
    PARTS,
    PARTS_OF_ANTHROPIC,
    PARTS_OF_RESPONSES,
    Part,
    Readers,
    blocks_of,
    read_message,
    refuse_part,
    text_part,
)
from promptreg.sdks.neutral import Marked, converted
from promptreg.untrusted import FieldReader

if TYPE_CHECKING:
    from promptreg.rendered import Rendered

SDK = "OpenAI's Chat Completions API"

PARTS_OF_ROLES: Mapping[str, Collection[str]] = {
    "system": ("text",),
    "developer": ("text",),
    "user": ("text", "image_url", "input_audio", "file"),
    "assistant": ("text", "refusal"),
    "tool": ("text",),
}
KNOWN_PARTS = PARTS.keys() | PARTS_OF_RESPONSES | PARTS_OF_ANTHROPIC
"""The types of parts of the APIs of OpenAI and Anthropic; one of another type is for a server that speaks this API."""

MARK = "prompt_cache_breakpoint"
"""The key of a cache mark on a part, here and in Responses."""

DETAILS = ("auto", "low", "high", "original")
AUDIO_FORMATS = ("wav", "mp3")
TEXTS_OF_ANSWERS = ("audio.id", "function_call.name", "function_call.arguments")
FILE_SOURCES = ("file_data", "file_id")


def arguments(rendered: "Rendered", overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of the call; raise `InvalidInputError` with everything that it can't take."""
    settings, messages = converted(rendered, overrides, SDK, _message, MARK)
    return {**settings, "messages": messages}


def with_mark(parts: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Mark the last part as one after which OpenAI's prompt cache may end."""
    parts[-1][MARK] = {"mode": "explicit"}
    return parts


def require_detail(part: Part) -> None:
    """Refuse an image with a `detail` that OpenAI doesn't know."""
    if "detail" in part.fields["image_url"]:
        choice_at(part.fields, "image_url.detail", part.where, DETAILS)


def require_file(part: Part, sources: Collection[str]) -> None:
    """Refuse a file without data, an id or a URL, as the API takes them, and one with fields that it doesn't take."""
    file, known, fields = part.fields["file"], (*sources, "filename"), FieldReader()
    where = f"{part.where}, file"
    if file.keys().isdisjoint(sources):
        fields.read(refuse, where, f"has no {' and no '.join(sources)}; it must have one of them")
    if not file.keys() <= {*known}:
        fields.read(refuse, where, f"may hold nothing but {', '.join(known)}")
    for key in known:
        if key in file:
            fields.read(text_at, part.fields, f"file.{key}", part.where)
    fields.require_valid()


def _message(marked: Marked) -> dict[str, Any]:
    message, is_marked, where = marked
    if message.get("type") is not None:
        reason = "has a type, as Responses' items and Anthropic's answers have; a message is {'role', 'content'}"
        refuse(where, reason)
    if message.get("role") == "function":
        return _function_result(message, where)
    read = read_message(message, where, Readers(_part, others=_require_texts))
    if is_marked and read.content is not None:
        message["content"] = with_mark(blocks_of(read.content, text_part))
    if read.role == "tool" and not read.content:  # it returned nothing
        message["content"] = ""
    for fields, call in zip(message.get("tool_calls") or (), read.calls, strict=True):
        fields["type"] = call.type
    return _without_absent(message)


def _require_texts(others: Mapping[str, Any], where: str) -> None:
    """Refuse what an answer has besides, where it lacks the texts that it must have; all other fields pass."""
    fields = FieldReader()
    for path in TEXTS_OF_ANSWERS:
        if path.partition(".")[0] in others:
            fields.read(text_at, others, path, where)
    fields.require_valid()


def _function_result(message: dict[str, Any], where: str) -> dict[str, Any]:
    """Return a message of the role that came before `tool`, which this API still takes."""
    text_at(message, "name", where)
    if message.setdefault("content", None) is not None:
        text_at(message, "content", where)
    return message


def _part(part: Part) -> dict[str, Any]:
    """Return a part as it is; refuse one that the types have no place for."""
    taken = PARTS_OF_ROLES[part.role]
    if part.type not in taken and part.type in KNOWN_PARTS:
        refuse_part(part, taken)
    if part.type == "image_url":
        require_detail(part)
    elif part.type == "input_audio":
        choice_at(part.fields, "input_audio.format", part.where, AUDIO_FORMATS)
    elif part.type == "file":
        require_file(part, FILE_SOURCES)
    return part.fields


def _without_absent(message: dict[str, Any]) -> dict[str, Any]:
    """Remove absent fields that the dump of a model has as None or as an empty list, which the types don't allow."""
    for key in ("type", "tool_calls", "tool_call_id", "name"):
        if key in message and message[key] in (None, []):
            del message[key]
    return message
