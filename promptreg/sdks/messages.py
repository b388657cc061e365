"""A message of the neutral form, that of OpenAI's Chat Completions API, read for an SDK, or for MCP.

A template's message has this form; what a placeholder brings may have any. `read_message` refuses what has not, and
names the message and the field. What an SDK takes of this form, and how it looks there, is decided in its module, which
passes its `Readers`.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any, Generic, NamedTuple, NoReturn, TypeVar

from promptreg.nearest import did_you_mean
from promptreg.sdks.fields import (
    ValueReader,
    choice_at,
    filled_text_at,
    object_at,
    optional_text_at,
    read_all,
    refuse,
    text_at,
)
from promptreg.untrusted import FieldReader

B = TypeVar("B")
"""What a part of a message becomes in an SDK."""

ROLES = ("system", "developer", "user", "assistant", "tool")
_ROLES_ELSEWHERE = {"model": "assistant", "human": "user", "ai": "assistant"}

_MESSAGES_OF_ANSWERS: Mapping[str, str] = {
    "choices": "choices[0].message",
    "output": "the items of output",
    "candidates": "candidates[0].content",
}
"""What is a message of an answer of Chat Completions, Responses and Gemini, by the key that holds it."""

PARTS: Mapping[str, tuple[str, ...]] = {
    "text": ("text",),
    "image_url": ("image_url.url",),
    "input_audio": ("input_audio.data", "input_audio.format"),
    "file": (),
    "refusal": ("refusal",),
}
"""The types of parts, each with the texts that it must have. Servers that speak this API too have more."""

PARTS_OF_RESPONSES = frozenset({"input_text", "input_image", "input_file", "output_text"})
PARTS_OF_ANTHROPIC = frozenset(
    "image document search_result thinking redacted_thinking tool_use tool_result server_tool_use".split()
)
"""The types of what stands in a message's content in other APIs, so that it is not taken for this one's."""

CALLS: Mapping[str, tuple[str, str]] = {
    "function": ("function.name", "function.arguments"),
    "custom": ("custom.name", "custom.input"),
}
"""The types of tool calls, each with where its name and its input stand."""

FIELDS = ("role", "content", "tool_calls", "tool_call_id", "name")
IGNORED = frozenset({"refusal", "annotations", "parsed"})
"""The fields of an answer that need no place: a refusal is read as its text, and the others are made of it."""


def refuse_others(others: Mapping[str, Any], where: str) -> None:
    """Refuse fields that would be lost, but for what an answer of Chat Completions has beside its text."""
    if any(value != {} for key, value in others.items() if key not in IGNORED):
        refuse(where, f"has fields that this API has no place for; it may have {', '.join(FIELDS)}")


class Part(NamedTuple):
    """A part of a content: its type, the part itself, where it stands, for errors, and the role of its message."""

    type: str
    fields: dict[str, Any]
    where: str
    role: str


class Call(NamedTuple):
    """A tool call of an answer: its type, and what it holds."""

    type: str
    id: str | None
    name: str
    input: Any


class Message(NamedTuple, Generic[B]):
    """A message as an SDK reads it: `content` is a text, or what the parts became; of a refusal, what was refused with.

    `call_id` is the id of the call that a tool's message answers.
    """

    role: str
    content: str | list[B] | None
    calls: list[Call]
    call_id: str | None
    name: str | None


class Readers(NamedTuple, Generic[B]):
    """What an SDK takes of a message, as the readers of what it holds.

    `part` converts a part, or leaves it out. `id` reads the id of a call, and of the call that a result answers.
    `inputs` has the types of calls, each with what reads its input. `others` reads the fields that a template's message
    can't have, of which none is None or an empty list.
    """

    part: Callable[[Part], B | None]
    id: ValueReader = text_at
    inputs: Mapping[str, ValueReader] = dict.fromkeys(CALLS, text_at)
    others: Callable[[Mapping[str, Any], str], None] = refuse_others


def read_message(message: Mapping[str, Any], where: str, readers: Readers[B]) -> Message[B]:
    """Read a message; raise `InvalidInputError` with everything in it that has not the neutral form, or is not taken.

    A field that is None or an empty list counts as absent, as the SDKs' own `model_dump` writes it; a call without a
    type is one of a function, and a tool's message without a content says that it returned nothing.

    >>> message = {"role": "tool", "tool_call_id": "c1", "content": [{"type": "text", "text": "Rain"}]}
    >>> read_message(message, "message 1 of 1", Readers(lambda part: part.fields["text"]))
    Message(role='tool', content=['Rain'], calls=[], call_id='c1', name=None)
    >>> read_message({"role": "model", "parts": []}, "message 1 of 1", Readers(lambda part: part))
    Traceback (most recent call last):
        ...
    promptreg.errors.InvalidInputError: message 1 of 1, role: must be one of system, developer, user, assistant, tool; \
did you mean 'assistant'?
    """
    given = {key: value for key, value in message.items() if value is not None and value != []}
    role = read_role(given, where)  # first and alone: a message without one has another form, so nothing else is read
    fields = FieldReader()
    content = fields.read(_content, given, where, role, readers)
    calls = fields.read(_calls, given, where, role, readers)
    call_id = fields.read(_call_id, given, where, role, readers)
    name = fields.read(optional_text_at, given, "name", where)
    refusal = fields.read(optional_text_at, given, "refusal", where)
    fields.read(readers.others, {key: value for key, value in given.items() if key not in FIELDS}, where)
    fields.require_valid()
    return Message(role, refusal if content is None else content, calls, call_id, name)


def refuse_part(part: Part, taken: Iterable[str]) -> NoReturn:
    """Refuse a part of a type that an SDK does not take; the type is quoted where it is one of these here."""
    kind = part.type if part.type in PARTS else "such part"
    refuse(f"{part.where}, type", f"a message of the role {part.role} takes no {kind}, but {', '.join(taken)}")


def blocks_of(content: str | list[B] | None, block_of_text: Callable[[str], B]) -> list[B]:
    """Return a content as a list: a text is one block, and no content is none."""
    return [block_of_text(content)] if isinstance(content, str) else content or []


def text_part(text: str) -> dict[str, Any]:
    """Return the part of a text, which is a block of Anthropic too."""
    return {"type": "text", "text": text}


def read_role(given: Mapping[str, Any], where: str) -> str:
    """Return the role of a message; raise `InvalidInputError` for one that Chat Completions does not know."""
    role = given.get("role")
    if not isinstance(role, str) or role not in ROLES:
        meant = did_you_mean(_ROLES_ELSEWHERE.get(role, role), ROLES) if isinstance(role, str) else _part_meant(given)
        refuse(f"{where}, role", f"must be one of {', '.join(ROLES)}{meant}")
    return role


def _part_meant(answer: Mapping[str, Any]) -> str:
    """Return what to pass of an answer that was passed whole, as an end of an error's sentence."""
    held = (part for key, part in _MESSAGES_OF_ANSWERS.items() if isinstance(answer.get(key), list))
    part = next(held, None) if "type" not in answer else None
    return f"; of a whole answer, pass {part}" if part else ""


def _content(given: Mapping[str, Any], where: str, role: str, readers: Readers[Any]) -> str | list[Any] | None:
    content = given.get("content", "" if role == "tool" else None)
    if content is None and role != "assistant":
        refuse(f"{where}, content", "is absent or empty; it must be text or a list of parts")
    if content is None or isinstance(content, str):
        return content
    if not isinstance(content, list):
        refuse(f"{where}, content", f"must be text or a list of parts, not {type(content).__name__}")
    numbered = enumerate(content, 1)
    parts = read_all(lambda item: readers.part(_part(item[1], f"{where}, part {item[0]}", role)), numbered)
    return [part for part in parts if part is not None]


def _part(part: object, where: str, role: str) -> Part:
    if not isinstance(part, dict):
        refuse(where, f"must be an object with a type, not {type(part).__name__}")
    kind, fields = text_at(part, "type", where), FieldReader()
    for path in PARTS.get(kind, ()):
        fields.read(text_at, part, path, where)
    if kind == "file":
        fields.read(object_at, part, "file", where)
    fields.require_valid()
    return Part(kind, part, where, role)


def _calls(given: Mapping[str, Any], where: str, role: str, readers: Readers[Any]) -> list[Call]:
    calls = given.get("tool_calls", [])
    if calls and role != "assistant":
        refuse(f"{where}, tool_calls", "only an assistant's message may have it")
    if not isinstance(calls, list):
        refuse(f"{where}, tool_calls", f"must be a list, not {type(calls).__name__}")
    return read_all(lambda item: _call(item[1], f"{where}, tool call {item[0]}", readers), enumerate(calls, 1))


def _call(call: object, where: str, readers: Readers[Any]) -> Call:
    if not isinstance(call, dict):
        refuse(where, f"must be an object, not {type(call).__name__}")
    kind = "function" if call.get("type") is None else choice_at(call, "type", where, readers.inputs)
    (name_path, input_path), fields = CALLS[kind], FieldReader()
    id_ = fields.read(readers.id, call, "id", where)
    name = fields.read(filled_text_at, call, name_path, where)
    value = fields.read(readers.inputs[kind], call, input_path, where)
    fields.require_valid()
    return Call(kind, id_, name, value)


def _call_id(given: Mapping[str, Any], where: str, role: str, readers: Readers[Any]) -> str | None:
    if role == "tool":
        call_id: str | None = readers.id(given, "tool_call_id", where)
        return call_id
    if "tool_call_id" in given:
        refuse(f"{where}, tool_call_id", "only a tool's message may have it")
    return None
