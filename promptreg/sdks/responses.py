"""A render as the arguments of `client.responses.create` of the package `openai`.

A message of the neutral form becomes one or more items; an item that a placeholder brings passes as it is. An answer's
texts become plain contents: that is all that both the types and the API take of an assistant without an item's id.
"""

from collections.abc import Callable, Mapping, Sequence, Set
from typing import TYPE_CHECKING, Any

from promptreg.sdks.chat_completions import MARK, PARTS_OF_ROLES, require_detail, require_file, with_mark
from promptreg.sdks.fields import refuse
from promptreg.sdks.messages import (
    PARTS,
    PARTS_OF_ANTHROPIC,
    PARTS_OF_RESPONSES,
    Call,
    Part,
    Readers,
    blocks_of,
    read_message,
    refuse_part,
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
    read = read_message(message, where, Readers(_part))
    if read.role == "assistant":  # a message for each text, and then its tool calls; none has a part to carry a mark
        texts = [item for item in blocks_of(read.content, _said) if item["content"] or not read.calls]
        return [*texts, *map(_call_item, read.calls)]
    content = with_mark(blocks_of(read.content, _input_text)) if is_marked else read.content
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


def _call_item(call: Call) -> Item:
    if call.type == "custom":
        return {"type": "custom_tool_call", "call_id": call.id, "name": call.name, "input": call.input}
    return {"type": "function_call", "call_id": call.id, "name": call.name, "arguments": call.input}


def _part(part: Part) -> Item:
    """Return the input that a part becomes, or of an answer the message that a text does."""
    taken = PARTS_OF_ROLES["assistant"] if part.role == "assistant" else CONVERTERS
    if part.type not in taken:
        refuse_part(part, taken)
    if part.role == "assistant":
        return _said(part.fields[part.type])
    if not part.fields.keys() <= {"type", part.type, MARK}:
        refuse(part.where, f"has fields that this API has no place for; it may have type, {part.type}")
    mark = {MARK: part.fields[MARK]} if MARK in part.fields else {}
    return {**CONVERTERS[part.type](part), **mark}


def _said(text: str) -> Item:
    return {"role": "assistant", "content": text}


def _input_text(text: str) -> Item:
    return {"type": "input_text", "text": text}


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
    "text": lambda part: _input_text(part.fields["text"]),
    "image_url": _input_image,
    "file": _input_file,
}
"""The parts of the neutral form that this API takes, audio not among them."""
