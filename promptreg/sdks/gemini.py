"""A render as the arguments of `client.models.generate_content` of the package `google-genai`."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from promptreg.jsonvalues import thaw
from promptreg.sdks.fields import optional_text_at, refuse, value_at
from promptreg.sdks.gemini_parts import (
    function_call_part,
    function_name,
    function_response_part,
    gemini_text,
    read_gemini_part,
)
from promptreg.sdks.messages import blocks_of
from promptreg.sdks.neutral import (
    FILLED_BY_MESSAGES,
    IN_CONFIG,
    IN_KEYWORDS,
    Marked,
    marked_messages,
    require_any,
    require_free,
    require_valid,
    thawed,
)
from promptreg.sdks.turns import Block, read_turn, turn_readers, with_results_together
from promptreg.untrusted import FieldReader, read_untrusted

if TYPE_CHECKING:
    from promptreg.rendered import Rendered

Names = dict[str, str]
"""The names of the functions that were called so far, by the id of the call."""

SDK = "Gemini's API"
READERS = turn_readers(read_gemini_part, optional_text_at)

ROLES = ("user", "model", "tool", "function")
"""The roles of contents. A function's response may have one of the latter two, as in the examples of the package."""

_CALLS = (("tool_calls", "id", "function.name"), ("parts", "function_call.id", "function_call.name"))
"""Where messages of Chat Completions and of Gemini have calls, and where a call has its id and its name."""

FILLED = (*FILLED_BY_MESSAGES, "systemInstruction")  # which the SDK reads as well


class Converted(NamedTuple):
    """What a message became; with the role `system`, a part of the system instruction."""

    role: str
    content: dict[str, Any]
    is_result: bool = False


def arguments(rendered: "Rendered", overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of the call; raise `InvalidInputError` with everything that Gemini can't take."""
    fields = FieldReader()
    version = fields.read(_settings, thaw(rendered.config), "config.", IN_CONFIG)
    given = fields.read(_settings, thawed(overrides), "", IN_KEYWORDS)
    converted = fields.read(_converted_messages, marked_messages(rendered))
    require_valid(fields, rendered, SDK)
    settings = {**version, **given}
    model = {"model": settings.pop("model")} if "model" in settings else {}
    config = {**settings, **_system_instruction(converted)}
    return {**model, "contents": _contents(converted), **({"config": config} if config else {})}


# The config


def _settings(given: Mapping[str, Any], prefix: str, remedy: str) -> dict[str, Any]:
    """Return what is given for the model and its config in one mapping, with the keys of `config` beside the others."""
    fields = FieldReader()
    flat = {key: value for key, value in given.items() if key != "config"}
    nested = fields.read(_config, given.get("config"), f"{prefix}config")
    fields.read(require_free, flat, prefix, remedy, FILLED)
    fields.read(require_free, nested, f"{prefix}config.", remedy, FILLED)
    fields.require_valid()
    return {**nested, **flat}


def _config(value: object, field: str) -> dict[str, Any]:
    if value is None:
        return {}
    fields_set = getattr(value, "model_fields_set", None)
    if isinstance(fields_set, set):  # of a `GenerateContentConfig`, whose values may be objects of the SDK
        return {key: getattr(value, key) for key in sorted(fields_set)}
    if not isinstance(value, Mapping):
        refuse(field, f"must be a mapping or a GenerateContentConfig, not {type(value).__name__}")
    return read_untrusted(field, dict, value)


# The messages


def _converted_messages(marked: Sequence[Marked]) -> list[Converted]:
    """Return what the messages become, without what says nothing; Gemini has no place for cache marks."""
    require_any(marked)
    names: Names = {}
    fields = FieldReader()
    read = []
    for message, _, where in marked:
        reader = _own_content if "parts" in message else _converted
        read.append(fields.read(reader, message, where, names=names))
        names.update(_call_names(message))
    fields.require_valid()
    return [message for message in read if message.content["parts"]]


def _converted(message: Mapping[str, Any], where: str, *, names: Names) -> Converted:
    """Return a message as a content; one of the system that says nothing has no parts."""
    fields = FieldReader()
    turn = fields.read(read_turn, message, where, READERS)
    name = fields.read(function_name, message, names, where)
    fields.require_valid()
    if name is not None:
        return Converted("user", _content("user", [function_response_part(turn, name)]), is_result=True)
    parts = [*blocks_of(turn.content, gemini_text), *map(function_call_part, turn.calls)]
    role = "model" if turn.role == "assistant" else turn.role
    return Converted(role, _content(role, parts))


def _own_content(message: Mapping[str, Any], where: str, *, names: Names) -> Converted:
    """Return a message that is a content of Gemini already, unchanged."""
    role, parts = message.get("role") or "user", message["parts"]
    if role not in ROLES:
        refuse(f"{where}, role", f"must be one of {', '.join(ROLES)} in a content of Gemini")
    if any(key not in {"role", "parts"} and value is not None for key, value in message.items()):
        refuse(where, "must hold role and parts and nothing else, as a content of Gemini")
    if not isinstance(parts, list) or not parts or not all(isinstance(part, dict) and part for part in parts):
        refuse(f"{where}, parts", "must be a list of objects, none of them empty")
    return Converted(role, dict(message))


def _call_names(message: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    """Yield the ids and names of the calls in a message of either form, whatever else may be wrong with it."""
    for key, id_path, name_path in _CALLS:
        calls = message.get(key)
        for call in calls if isinstance(calls, list) else ():
            call_id, name = value_at(call, id_path), value_at(call, name_path)
            if isinstance(call_id, str) and isinstance(name, str) and call_id:
                yield call_id, name


def _content(role: str, parts: list[Block]) -> dict[str, Any]:
    return {"role": role, "parts": parts}


def _system_instruction(converted: list[Converted]) -> dict[str, Any]:
    """Return the texts of all system messages in their order, wherever they stand; nothing where there are none."""
    parts = [part for message in converted if message.role == "system" for part in message.content["parts"]]
    return {"system_instruction": {"parts": parts}} if parts else {}


def _contents(converted: list[Converted]) -> list[dict[str, Any]]:
    """Return the other messages, with the tools' results of one turn in one, which is how Gemini takes them."""
    others = ((message.content, message.is_result) for message in converted if message.role != "system")
    return with_results_together(others, "parts")
