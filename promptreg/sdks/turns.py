"""A message of a render, read for an SDK whose messages have another form than Chat Completions.

What Chat Completions says in fields of their own (tool calls, the call that a result answers, a refusal) is read here,
once; the module of each SDK says what a part becomes. All flaws of a message are reported in one error, which quotes
nothing.
"""

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

from promptreg import strictjson
from promptreg.errors import InvalidInputError
from promptreg.untrusted import FieldReader

ROLES = ("system", "developer", "user", "assistant", "tool")
_COMMON = frozenset({"role", "content", "name", "refusal", "annotations"})
"""Fields of any role that `read_turn` reads, or that tell the model nothing."""

Block = dict[str, Any]
PartReader = Callable[[Mapping[str, Any], str], Block]


class ToolCall(NamedTuple):
    """A call of a tool by the model; `id` is None where the message has none."""

    id: str | None
    name: str
    arguments: dict[str, Any]


class Turn(NamedTuple):
    """A message: a text or what the parts became, without those that are blank.

    `role` is system, user, assistant or tool. `answers` is the id of the call that a tool's message answers, and `name`
    the name of the message.
    """

    role: str
    content: str | list[Block]
    calls: list[ToolCall]
    answers: str | None
    name: str | None

    @property
    def is_empty(self) -> bool:
        """Whether it says nothing at all."""
        return not self.calls and is_blank(self.content)


def read_turn(message: Mapping[str, Any], where: str, read_part: PartReader) -> Turn:
    """Return a message as it is read; raise `InvalidInputError` with everything that is wrong with it.

    >>> read_turn({"role": "developer", "content": "Be brief."}, "message 1 of 1", dict)
    Turn(role='system', content='Be brief.', calls=[], answers=None, name=None)
    """
    role = _role(message, where)
    fields = FieldReader()
    fields.read(_require_known, message, where)
    content = fields.read(_content, message, where, read_part=read_part)
    calls = fields.read(_tool_calls, message, where)
    answers = fields.read(_optional_text, message.get("tool_call_id"), f"{where}, tool_call_id")
    name = fields.read(_optional_text, message.get("name"), f"{where}, name")
    fields.require_valid()
    return Turn(role, content, calls, answers, name)


def is_blank(content: object) -> bool:
    """Return whether a content is empty or a text of white space, which providers refuse."""
    return not (content.strip() if isinstance(content, str) else content)


def read_object(text: object) -> dict[str, Any] | None:
    """Return the JSON object that a text holds, or None.

    >>> read_object('{"a": 1}'), read_object("[]"), read_object("{")
    ({'a': 1}, None, None)
    """
    try:
        value = strictjson.read(text) if isinstance(text, str) else text
    except strictjson.MalformedJSON:
        return None
    return value if isinstance(value, dict) else None


def call_names(message: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the id and the name of each tool call of a message that has both, whatever else may be wrong with it."""
    calls = message.get("tool_calls")
    for call in calls if isinstance(calls, list) else ():
        function = call.get("function") if isinstance(call, Mapping) else None
        call_id, name = (call.get("id"), function.get("name")) if isinstance(function, Mapping) else (None, None)
        if isinstance(call_id, str) and isinstance(name, str):
            yield call_id, name


def _role(message: Mapping[str, Any], where: str) -> str:
    role = message.get("role")
    if role not in ROLES:
        raise InvalidInputError.of(f"{where}, role", f"must be one of {', '.join(ROLES)}")
    return "system" if role == "developer" else str(role)


def _require_known(message: Mapping[str, Any], where: str) -> None:
    own = {"assistant": "tool_calls", "tool": "tool_call_id"}.get(message["role"])
    unknown = [key for key, value in message.items() if value not in (None, [], {}) and key not in _COMMON | {own}]
    for key in ("tool_calls", "tool_call_id"):
        if key in unknown:
            raise InvalidInputError.of(f"{where}, {key}", "does not go with the role of the message")
    if unknown:
        raise InvalidInputError.of(
            where, "has a field that this SDK has no counterpart of, beside its role and content"
        )


def _content(message: Mapping[str, Any], where: str, *, read_part: PartReader) -> str | list[Block]:
    content = message.get("content")
    if content is None:
        content = message.get("refusal") or ""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise InvalidInputError.of(f"{where}, content", "must be a text or a list of parts")
    fields = FieldReader()
    blocks = [
        fields.read(_part, part, f"{where}, part {number}", read_part=read_part)
        for number, part in enumerate(content, 1)
        if not _is_blank_text(part)
    ]
    fields.require_valid()
    return blocks


def _is_blank_text(part: object) -> bool:
    text = part.get("text") if isinstance(part, Mapping) and part.get("type") == "text" else None
    return isinstance(text, str) and is_blank(text)


def _part(part: object, where: str, *, read_part: PartReader) -> Block:
    if not isinstance(part, Mapping) or not isinstance(part.get("type"), str):
        raise InvalidInputError.of(where, "must be an object with a type")
    if part["type"] == "text" and not isinstance(part.get("text"), str):
        raise InvalidInputError.of(f"{where}, text", "must be a text")
    return read_part(part, where)


def _tool_calls(message: Mapping[str, Any], where: str) -> list[ToolCall]:
    calls = message.get("tool_calls") or []
    if not isinstance(calls, list):
        raise InvalidInputError.of(f"{where}, tool_calls", "must be a list of tool calls")
    fields = FieldReader()
    read = [fields.read(_tool_call, call, f"{where}, tool call {number}") for number, call in enumerate(calls, 1)]
    fields.require_valid()
    return read


def _tool_call(call: object, field: str) -> ToolCall:
    function = call.get("function") if isinstance(call, Mapping) else None
    if not isinstance(call, Mapping) or not isinstance(function, Mapping):
        raise InvalidInputError.of(field, 'must be {"id", "type": "function", "function": {"name", "arguments"}}')
    fields = FieldReader()
    call_id = fields.read(_optional_text, call.get("id"), f"{field}, id")
    name = fields.read(_filled_text, function.get("name"), f"{field}, function.name")
    arguments = fields.read(_arguments, function, f"{field}, function.arguments")
    fields.require_valid()
    return ToolCall(call_id, name, arguments)


def _arguments(function: Mapping[str, Any], field: str) -> dict[str, Any]:
    arguments = read_object(function.get("arguments"))
    if arguments is None:
        raise InvalidInputError.of(field, "must be a JSON object")
    return arguments


def _optional_text(value: object, field: str) -> str | None:
    return None if value is None else _filled_text(value, field)


def _filled_text(value: object, field: str) -> str:
    if not isinstance(value, str) or not value:
        raise InvalidInputError.of(field, "must be a text that is not empty")
    return value
