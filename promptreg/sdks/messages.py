"""A message of the neutral form, that of OpenAI's Chat Completions API, read into its parts and tool calls.

A template's message has this form; what a placeholder brings may have any. `read_message` refuses what has not, and
names the message and the field. What an SDK takes of this form is decided in its module.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, NamedTuple, NoReturn, TypeVar

from promptreg.errors import InvalidInputError
from promptreg.nearest import did_you_mean
from promptreg.untrusted import FieldReader

T = TypeVar("T")
R = TypeVar("R")

ROLES = ("system", "developer", "user", "assistant", "tool")
_ROLES_ELSEWHERE = {"model": "assistant", "human": "user", "ai": "assistant"}

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


class Part(NamedTuple):
    """A part of a content: its type, the part itself, and where it stands, for errors."""

    type: str
    fields: dict[str, Any]
    where: str


class Call(NamedTuple):
    """A tool call of an answer: its type, and what it holds."""

    type: str
    id: str
    name: str
    input: str
    where: str


class NeutralMessage(NamedTuple):
    """A message of the neutral form. `others` are the fields that no template's message has, but for absent ones."""

    role: str
    content: str | list[Part] | None
    calls: list[Call]
    call_id: str | None
    name: str | None
    others: dict[str, Any]
    where: str

    def parts(self) -> list[Part]:
        """Return the parts of the content; a text is one part, and no content is none."""
        if isinstance(self.content, str):
            return [Part("text", {"type": "text", "text": self.content}, self.where)]
        return self.content or []


def read_message(message: Mapping[str, Any], where: str) -> NeutralMessage:
    """Read a message; raise `InvalidInputError` with everything in it that has not the neutral form.

    A field that is None or an empty list counts as absent, as the SDKs' own `model_dump` writes it.

    >>> message = read_message({"role": "tool", "tool_call_id": "c1", "content": "Rain"}, "message 1 of 1")
    >>> message.call_id, message.content
    ('c1', 'Rain')
    >>> read_message({"role": "model", "parts": []}, "message 1 of 1")
    Traceback (most recent call last):
        ...
    promptreg.errors.InvalidInputError: message 1 of 1, role: must be one of system, developer, user, assistant, tool; \
did you mean 'assistant'?
    """
    fields, given = FieldReader(), present(message)
    role = fields.read(read_role, given, where)
    content = fields.read(_content, given, where, role)
    calls = fields.read(_calls, given, where, role)
    call_id = fields.read(_call_id, given, where, role)
    name = fields.read(_name, given, where)
    fields.require_valid()
    others = {key: value for key, value in given.items() if key not in _FIELDS}
    return NeutralMessage(role, content, calls, call_id, name, others, where)


def read_all(reader: Callable[[T], R], items: Iterable[T]) -> list[R]:
    """Read each item; raise one `InvalidInputError` with everything that is wrong with any of them."""
    fields = FieldReader()
    read = [fields.read(reader, item) for item in items]
    fields.require_valid()
    return read


def refuse(field: str, reason: str) -> NoReturn:
    """Raise the error for one field."""
    raise InvalidInputError.of(field, reason)


def present(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields that are neither None nor an empty list."""
    return {key: value for key, value in fields.items() if value is not None and value != []}


def text_at(holder: Mapping[str, Any], path: str, where: str) -> str:
    """Return the text at a path such as `function.name`; raise `InvalidInputError` where there is none."""
    value = value_at(holder, path)
    if not isinstance(value, str):
        found = "is absent; it must be text" if value is None else f"must be text, not {type(value).__name__}"
        refuse(f"{where}, {path}", found)
    return value


def value_at(holder: Any, path: str) -> Any:
    """Return what stands at a path; None where there is nothing."""
    for key in path.split("."):
        holder = holder.get(key) if isinstance(holder, dict) else None
    return holder


def choice_at(holder: Mapping[str, Any], path: str, where: str, choices: Collection[str]) -> str:
    """Return the text at a path, which must be one of a few."""
    value = value_at(holder, path)
    if not isinstance(value, str) or value not in choices:
        refuse(f"{where}, {path}", f"must be one of {', '.join(choices)}")
    return value


_FIELDS = frozenset({"role", "content", "name", "tool_calls", "tool_call_id"})

_MESSAGES_OF_ANSWERS: Mapping[str, str] = {
    "choices": "choices[0].message",
    "output": "the items of output",
    "candidates": "candidates[0].content",
}
"""What is a message of an answer of Chat Completions, Responses and Gemini, by the key that holds it."""


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


def _content(given: Mapping[str, Any], where: str, role: str) -> str | list[Part] | None:
    content = given.get("content")
    if content is None and role != "assistant":
        refuse(f"{where}, content", "is absent; it must be text or a list of parts")
    if content is None or isinstance(content, str):
        return content
    if not isinstance(content, list):
        found = type(content).__name__
        refuse(f"{where}, content", f"must be text or a list of parts, not {found}")
    return read_all(lambda item: _part(item[1], f"{where}, part {item[0]}"), enumerate(content, 1))


def _part(part: object, where: str) -> Part:
    if not isinstance(part, dict):
        refuse(where, f"must be an object with a type, not {type(part).__name__}")
    kind, fields = text_at(part, "type", where), FieldReader()
    for path in PARTS.get(kind, ()):
        fields.read(text_at, part, path, where)
    if kind == "file":
        fields.read(_require_object, part, "file", where)
    fields.require_valid()
    return Part(kind, part, where)


def _require_object(part: Mapping[str, Any], key: str, where: str) -> None:
    if not isinstance(part.get(key), dict):
        refuse(f"{where}, {key}", "must be an object")


def _calls(given: Mapping[str, Any], where: str, role: str) -> list[Call]:
    calls = given.get("tool_calls", [])
    if calls and role != "assistant":
        refuse(f"{where}, tool_calls", "only an assistant's message may have it")
    if not isinstance(calls, list):
        refuse(f"{where}, tool_calls", f"must be a list, not {type(calls).__name__}")
    return read_all(lambda item: _call(item[1], f"{where}, tool call {item[0]}"), enumerate(calls, 1))


def _call(call: object, where: str) -> Call:
    if not isinstance(call, dict):
        refuse(where, f"must be an object, not {type(call).__name__}")
    kind, fields = choice_at(call, "type", where, CALLS), FieldReader()
    name, text = CALLS[kind]
    id_, name, text = (fields.read(text_at, call, path, where) for path in ("id", name, text))
    fields.require_valid()
    return Call(kind, id_, name, text, where)


def _call_id(given: Mapping[str, Any], where: str, role: str) -> str | None:
    if role == "tool":
        return text_at(given, "tool_call_id", where)
    if "tool_call_id" in given:
        refuse(f"{where}, tool_call_id", "only a tool's message may have it")
    return None


def _name(given: Mapping[str, Any], where: str) -> str | None:
    return text_at(given, "name", where) if "name" in given else None
