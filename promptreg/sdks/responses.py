"""A render as the arguments of `client.responses.create` of the package `openai`.

A message of the neutral form becomes one or more items; an item that a placeholder brings passes as it is. An answer's
texts become plain contents: that is all that both the types and the API take of an assistant without an item's id.
"""

from collections.abc import Callable, Mapping, Sequence, Set
from typing import TYPE_CHECKING, Any

from promptreg.sdks.chat_completions import MARK, require_detail, require_file, with_mark
from promptreg.sdks.messages import (
    PARTS,
    PARTS_OF_ANTHROPIC,
    PARTS_OF_RESPONSES,
    Call,
    NeutralMessage,
    Part,
    read_all,
    read_message,
    refuse,
    text_at,
)
from promptreg.sdks.neutral import Marked, converted

if TYPE_CHECKING:
    from promptreg.rendered import Rendered

SDK = "OpenAI's Responses API"

Item = dict[str, Any]

ROLES = frozenset({"system", "developer", "user", "assistant"})
OWN_PARTS = PARTS_OF_RESPONSES | {"refusal"}
EASY_FIELDS = frozenset({"role", "content", "phase"})
FILE_SOURCES = ("file_data", "file_id", "file_url")

PARTS_ELSEWHERE = PARTS_OF_RESPONSES | PARTS.keys() | PARTS_OF_ANTHROPIC
"""The types of what stands in a message's content, here and in other APIs, so that no item has them."""

TAKEN_FIELDS = ("role", "content", "tool_calls", "tool_call_id", "name")
IGNORED = frozenset({"annotations", "parsed", "refusal"})
"""The fields of an answer of Chat Completions that need no place: what is made of its text, and what is read as one."""


def arguments(rendered: "Rendered", overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of the call; raise `InvalidInputError` with everything that it can't take."""
    custom_calls = _custom_calls(rendered.messages)
    settings, items = converted(rendered, overrides, SDK, lambda marked: _items(marked, custom_calls), MARK)
    return {**settings, "input": [item for each in items for item in each]}


def _custom_calls(messages: Sequence[Mapping[str, Any]]) -> set[str]:
    """Return the ids of calls of custom tools, whose results are items of a type of their own."""
    ids = [message.get("call_id") for message in messages if message.get("type") == "custom_tool_call"]
    for message in messages:
        calls = message.get("tool_calls")
        if isinstance(calls, list):
            ids += [call.get("id") for call in calls if isinstance(call, dict) and call.get("type") == "custom"]
    return {id_ for id_ in ids if isinstance(id_, str)}


def _items(marked: Marked, custom_calls: Set[str]) -> list[Item]:
    message, is_marked, where = marked
    if not is_marked and _is_item(message):
        return [message]
    if message.get("type") is not None:
        refuse(where, "is no item that this API takes; its type or its content is another API's")
    read = read_message(message, where)
    _require_placed(read)
    if read.role == "assistant":
        return _answer(read)
    content = _content(read, is_marked=is_marked)
    if read.role != "tool":
        return [{"role": read.role, "content": content}]
    kind = "custom_tool_call_output" if read.call_id in custom_calls else "function_call_output"
    return [{"type": kind, "call_id": read.call_id, "output": content}]


def _is_item(message: Mapping[str, Any]) -> bool:
    """Return whether a message has the form of this API's items; of their types those to come pass too."""
    kind = message.get("type")
    if isinstance(kind, str) and kind != "message":
        return kind not in PARTS_ELSEWHERE
    if message.keys() == {"id"}:
        return True
    role, content = message.get("role"), message.get("content")
    has_form = kind == "message" or (message.keys() <= EASY_FIELDS and not _is_of_refusals(content))
    return has_form and isinstance(role, str) and role in ROLES and _is_content(content)


def _is_of_refusals(content: object) -> bool:
    """Return whether a content is of the one type of parts that Chat Completions has too."""
    return isinstance(content, list) and _types_in(content) <= {"refusal"}


def _is_content(content: object) -> bool:
    return isinstance(content, str) or (isinstance(content, list) and content != [] and _types_in(content) <= OWN_PARTS)


def _types_in(content: list[Any]) -> set[str | None]:
    kinds = [part.get("type") if isinstance(part, dict) else None for part in content]
    return {kind if isinstance(kind, str) else None for kind in kinds}


def _require_placed(read: NeutralMessage) -> None:
    """Refuse the fields of a message that no item has; the name of who speaks is left out."""
    if not read.others.keys() <= IGNORED:
        refuse(read.where, f"has fields that this API has no place for; it may have {', '.join(TAKEN_FIELDS)}")


def _answer(read: NeutralMessage) -> list[Item]:
    """Return a message for each text of an answer, and then its tool calls. None has a part that carries a mark."""
    texts = [text for text in _texts(read) if text or not read.calls]
    return [*({"role": "assistant", "content": text} for text in texts), *map(_call_item, read.calls)]


def _texts(read: NeutralMessage) -> list[str]:
    texts = read_all(_text, read.parts())
    return [*texts, text_at(read.others, "refusal", read.where)] if "refusal" in read.others else texts


def _text(part: Part) -> str:
    if part.type not in ("text", "refusal"):
        refuse(f"{part.where}, type", "a message of the role assistant takes no such part, but text, refusal")
    text: str = part.fields[part.type]
    return text


def _call_item(call: Call) -> Item:
    if call.type == "custom":
        return {"type": "custom_tool_call", "call_id": call.id, "name": call.name, "input": call.input}
    return {"type": "function_call", "call_id": call.id, "name": call.name, "arguments": call.input}


def _content(read: NeutralMessage, *, is_marked: bool) -> str | list[Item]:
    if isinstance(read.content, str) and not is_marked:
        return read.content
    parts = read_all(_part, read.parts())
    return with_mark(parts) if is_marked else parts


def _part(part: Part) -> Item:
    if part.type not in CONVERTERS:
        refuse(f"{part.where}, type", f"this API takes no such part, but {', '.join(CONVERTERS)}")
    if not part.fields.keys() <= {"type", part.type, MARK}:
        refuse(part.where, f"has fields that this API has no place for; it may have type, {part.type}")
    mark = {MARK: part.fields[MARK]} if MARK in part.fields else {}
    return {**CONVERTERS[part.type](part), **mark}


def _input_text(part: Part) -> Item:
    return {"type": "input_text", "text": part.fields["text"]}


def _input_image(part: Part) -> Item:
    require_detail(part)
    image = part.fields["image_url"]
    if not image.keys() <= {"url", "detail"}:
        refuse(f"{part.where}, image_url", "may hold nothing but url, detail")
    return {"type": "input_image", "image_url": image["url"], "detail": image.get("detail", "auto")}


def _input_file(part: Part) -> Item:
    require_file(part, FILE_SOURCES)
    return {"type": "input_file", **part.fields["file"]}


CONVERTERS: Mapping[str, Callable[[Part], Item]] = {
    "text": _input_text,
    "image_url": _input_image,
    "file": _input_file,
}
"""The parts of the neutral form that this API takes, audio not among them."""
