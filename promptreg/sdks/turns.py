"""A message of a render, read for an SDK whose messages have another form than Chat Completions.

What Chat Completions says in fields of their own (tool calls, the call that a result answers, a refusal) is read here;
the module of each SDK says what a part becomes, which may be in the form of the SDK already, and which ids it needs.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from promptreg import strictjson
from promptreg.jsonvalues import NotJSON, freeze, thaw
from promptreg.sdks.messages import read_all, read_role, refuse, text_at, value_at
from promptreg.untrusted import FieldReader

Block = dict[str, Any]
PartReader = Callable[[Mapping[str, Any], str], Block]

_ANY_ROLES = frozenset({"role", "content", "name", "refusal", "annotations", "parsed"})
"""Fields of any role that `read_turn` reads, or that tell the model nothing."""

_OWN_FIELDS: Mapping[str, str] = {"assistant": "tool_calls", "tool": "tool_call_id"}


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


def read_turn(message: Mapping[str, Any], where: str, read_part: PartReader, *, needs_ids: bool = False) -> Turn:
    """Return a message as it is read; raise `InvalidInputError` with everything that is wrong with it.

    `needs_ids` says whether a call of a tool and its result must have an id.

    >>> read_turn({"role": "developer", "content": "Be brief."}, "message 1 of 1", lambda part, where: dict(part))
    Turn(role='system', content='Be brief.', calls=[], answers=None, name=None)
    """
    role = read_role(message, where)
    fields = FieldReader()
    fields.read(_require_known, message, where)
    content = fields.read(_content, message, where, read_part)
    calls = fields.read(_tool_calls, message, where, needs_ids=needs_ids)
    answers = fields.read(_id, message, "tool_call_id", where, is_needed=needs_ids and role == "tool")
    name = fields.read(_optional_text, message, "name", where)
    fields.require_valid()
    return Turn("system" if role == "developer" else role, content, calls, answers, name)


def is_blank(content: str | list[Any]) -> bool:
    """Return whether a content is empty or a text of white space, which providers refuse."""
    return not (content.strip() if isinstance(content, str) else content)


def require_said(turn: Turn, where: str, provider: str) -> None:
    """Refuse a message that says nothing, but for a system message, which is left out, and the result of a tool."""
    if turn.is_empty and turn.role in {"user", "assistant"}:
        refuse(f"{where}, content", f"is empty or white space, which {provider} refuses; give it text, or leave it out")


def with_results_together(messages: Iterable[tuple[dict[str, Any], bool]], key: str) -> list[dict[str, Any]]:
    """Return messages of an SDK, of which those that are tools' results and follow each other become one.

    Each is given with whether it is a result; `key` is where a message has its list of blocks.

    >>> results = [({"parts": [1]}, True), ({"parts": [2]}, True)]
    >>> with_results_together([*results, ({"parts": [3]}, False)], "parts")
    [{'parts': [1, 2]}, {'parts': [3]}]
    """
    together: list[dict[str, Any]] = []
    joins = False
    for message, is_result in messages:
        if is_result and joins:
            together[-1][key] += message[key]
        else:
            together.append(message)
        joins = is_result
    return together


def read_object(text: object) -> dict[str, Any] | None:
    """Return the JSON object that a text holds; None where it holds none, or one that `freeze` refuses.

    That is one with a lone surrogate, which JSON can spell but no client can send.

    >>> read_object('{"a": 1}'), read_object("[]"), read_object("{")
    ({'a': 1}, None, None)
    """
    try:
        value = freeze(strictjson.read(text) if isinstance(text, str) else text)
    except (strictjson.MalformedJSON, NotJSON):
        return None
    return thaw(value) if isinstance(value, dict) else None


def call_names(message: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the id and the name of each tool call of a message that has both, whatever else may be wrong with it."""
    calls = message.get("tool_calls")
    for call in calls if isinstance(calls, list) else ():
        call_id, name = value_at(call, "id"), value_at(call, "function.name")
        if isinstance(call_id, str) and isinstance(name, str):
            yield call_id, name


def _require_known(message: Mapping[str, Any], where: str) -> None:
    """Refuse fields that have no counterpart; those that are empty count as absent, as SDKs' own models write them."""
    given = {key for key, value in message.items() if value not in (None, [], {})}
    unknown = given - _ANY_ROLES - {_OWN_FIELDS.get(message["role"])}
    for role, key in _OWN_FIELDS.items():
        if key in unknown:
            refuse(f"{where}, {key}", f"only a message of the role {role} may have it")
    if unknown:
        refuse(where, "has a field that has no counterpart here; it may have role, content, tool_calls, tool_call_id")


def _content(message: Mapping[str, Any], where: str, read_part: PartReader) -> str | list[Block]:
    content = message.get("content")
    if content is None:
        content = message.get("refusal") or ""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        refuse(f"{where}, content", f"must be text or a list of parts, not {type(content).__name__}")
    parts = [(part, f"{where}, part {number}") for number, part in enumerate(content, 1) if not _is_blank_text(part)]
    is_system = message["role"] in {"system", "developer"}
    return read_all(lambda placed: _part(*placed, read_part, is_system=is_system), parts)


def _is_blank_text(part: object) -> bool:
    text = value_at(part, "text") if value_at(part, "type") == "text" else None
    return isinstance(text, str) and is_blank(text)


def _part(part: Any, where: str, read_part: PartReader, *, is_system: bool) -> Block:
    if not isinstance(value_at(part, "type"), str):
        refuse(where, "must be an object with a type")
    if part["type"] == "text":
        text_at(part, "text", where)
    elif is_system:
        refuse(f"{where}, type", "must be text, as the message is a system message")
    return read_part(part, where)


def _tool_calls(message: Mapping[str, Any], where: str, *, needs_ids: bool) -> list[ToolCall]:
    calls = message.get("tool_calls") or []
    if not isinstance(calls, list):
        refuse(f"{where}, tool_calls", f"must be a list, not {type(calls).__name__}")
    numbered = enumerate(calls, 1)
    return read_all(lambda item: _tool_call(item[1], f"{where}, tool call {item[0]}", needs_ids=needs_ids), numbered)


def _tool_call(call: Any, where: str, *, needs_ids: bool) -> ToolCall:
    if not isinstance(value_at(call, "function"), dict):
        refuse(where, 'must be {"id", "type": "function", "function": {"name", "arguments"}}')
    fields = FieldReader()
    call_id = fields.read(_id, call, "id", where, is_needed=needs_ids)
    name = fields.read(_filled_text, call, "function.name", where)
    arguments = fields.read(_arguments, call, where)
    fields.require_valid()
    return ToolCall(call_id, name, arguments)


def _arguments(call: Mapping[str, Any], where: str) -> dict[str, Any]:
    arguments = read_object(value_at(call, "function.arguments"))
    if arguments is None:
        refuse(f"{where}, function.arguments", "must be a JSON object, such as {}, that a client can send")
    return arguments


def _id(holder: Mapping[str, Any], path: str, where: str, *, is_needed: bool) -> str | None:
    return _filled_text(holder, path, where) if is_needed else _optional_text(holder, path, where)


def _optional_text(holder: Mapping[str, Any], path: str, where: str) -> str | None:
    return None if value_at(holder, path) is None else _filled_text(holder, path, where)


def _filled_text(holder: Mapping[str, Any], path: str, where: str) -> str:
    text = text_at(holder, path, where)
    if not text:
        refuse(f"{where}, {path}", "must not be empty")
    return text
