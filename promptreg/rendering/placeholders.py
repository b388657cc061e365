"""The messages that a variable passes for a placeholder of a chat prompt, as plain JSON values (rule 20).

A message is a mapping of any shape that an SDK takes, or a pydantic model; it passes through whole. A value that JSON
has no form for is refused with the name of the variable, and no error quotes a part of it. Nothing is rendered here.
"""

from collections.abc import Iterator, Mapping
from enum import Enum
from itertools import count
from math import isfinite
from types import NoneType
from typing import Any

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from promptreg.errors import InvalidVariablesError, RenderError
from promptreg.jsonvalues import MAX_DEPTH, MAX_NODES
from promptreg.messages import Message
from promptreg.rendering.compat import is_root_model
from promptreg.untrusted import CallerError
from promptreg.variables import invalid

_KINDS = (("role", str), ("content", (str, list, dict, NoneType)))
"""The types of these fields of a message, where it has them."""


class _NotPlain(Exception):
    """A message holds a value that JSON has no form for; the error's text says which."""


class _TooMuch(Exception):
    """A message holds too many values or levels, or itself; the error's text says which."""


def passed_messages(name: str, value: object) -> list[Message]:
    """Return the messages of a placeholder, given the variable's name and value.

    Raises `InvalidVariablesError` for anything but a list of mappings or models of JSON values, and `RenderError` for
    messages that are too big or whose own code raises; the error then names the type of that exception alone.
    """
    try:
        return _messages(name, value)
    except InvalidVariablesError:
        raise
    except Exception as error:
        reason = str(error) if isinstance(error, _TooMuch) else type(error).__name__
        failure = RenderError(f"The messages in {name} can't be read ({reason}).", line=None)
        failure.__cause__ = CallerError(type(error).__name__)
    raise failure  # out here, where no context is chained to it that quotes a value


def _messages(name: str, value: object) -> list[Message]:
    if not isinstance(value, list | tuple):
        raise _refusal(name, f"must be a list of messages, not {type(value).__name__}")
    messages: list[Message] = []
    nodes = count(1)
    for i, item in enumerate(value):
        if type(item) is not dict and not isinstance(item, Mapping | BaseModel):
            raise _refusal(name, f"must be a list of messages, mappings or models, but [{i}] is {type(item).__name__}")
        try:
            message = _plain(item, 0, nodes)
        except _NotPlain as error:
            reason = f"must be messages of JSON values, but [{i}] holds {error}"
        else:
            flaw = _flaw(message)
            if flaw is None:
                messages.append(message)
                continue
            reason = f"must be a list of messages, but [{i}] {flaw}"
        raise _refusal(name, reason)
    return messages


def _flaw(message: Any) -> str | None:
    """Return what is wrong with the role or the content of a message, if it has them."""
    if not isinstance(message, dict):
        return "is a model that is no mapping"
    for key, kinds in _KINDS:
        if key in message and not isinstance(message[key], kinds):
            return f"has a {key} of type {type(message[key]).__name__}"
    return None


def _refusal(name: str, reason: str) -> InvalidVariablesError:
    return invalid([{"field": name, "reason": reason}])


def _plain(value: Any, depth: int, nodes: Iterator[int]) -> Any:
    """Return a value as JSON holds it: new builtin values of exact types, all the way down."""
    if next(nodes) > MAX_NODES:
        raise _TooMuch(f"more than {MAX_NODES:,} values; is it a cycle?")
    if value is None or value is True or value is False or type(value) in {str, int}:
        return value
    if depth > MAX_DEPTH:
        raise _TooMuch(f"more than {MAX_DEPTH} levels; is it a cycle?")
    if type(value) is dict:  # checked first, as asking whether it is a model takes longer than all else
        return {_key(key): _plain(item, depth + 1, nodes) for key, item in value.items()}
    if type(value) is list:
        return [_plain(item, depth + 1, nodes) for item in value]
    if isinstance(value, BaseModel):
        return _plain(_of_model(value, _dumped(value)), depth + 1, nodes)
    if isinstance(value, Enum):
        return _plain(value.value, depth + 1, nodes)
    if isinstance(value, Mapping):
        return {_key(key): _plain(item, depth + 1, nodes) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(item, depth + 1, nodes) for item in value]
    return _scalar(value)


def _key(key: object) -> str:
    if not isinstance(key, str):
        raise _NotPlain(f"a key of type {type(key).__name__}")
    return str.__str__(key)


def _scalar(value: Any) -> str | int | float:
    if isinstance(value, str):
        return str.__str__(value)
    if isinstance(value, int):
        return int.__index__(value)
    if isinstance(value, float):
        number = float.__float__(value)
        if isfinite(number):
            return number
        raise _NotPlain("NaN or an infinity")
    raise _NotPlain(f"a value of type {type(value).__name__}")


def _dumped(value: BaseModel) -> Any:
    return value.model_dump(mode="json", warnings=False, exclude=_never_sent(value))


def _of_model(value: Any, dumped: Any) -> Any:
    """Return the dump of a model without the fields that are None and were not set, all the way down."""
    if isinstance(value, BaseModel) and is_root_model(value):
        return _of_model(value.root, dumped)  # type: ignore[attr-defined]
    if isinstance(value, BaseModel) and isinstance(dumped, dict):
        return dict(_of_fields(value, dumped if _is_whole(value, dumped) else _dumped(value)))
    if isinstance(value, Mapping) and isinstance(dumped, dict):
        return {key: _of_model(value.get(key), item) for key, item in dumped.items()}
    if isinstance(value, list | tuple) and isinstance(dumped, list) and len(value) == len(dumped):
        return [_of_model(item, plain) for item, plain in zip(value, dumped, strict=True)]
    return dumped


def _is_whole(value: BaseModel, dumped: dict[str, Any]) -> bool:
    """Return whether the dump has every field of a model; where a base class is declared it has only those of that."""
    fields = type(value).model_fields.items()
    return all(name in dumped or field.exclude or field.serialization_alias in dumped for name, field in fields)


def _of_fields(value: BaseModel, dumped: dict[str, Any]) -> Iterator[tuple[str, Any]]:
    fields = type(value).model_fields
    names = {field.serialization_alias: name for name, field in fields.items()}  # of models that are dumped by alias
    never_sent = _never_sent(value)
    left_out = () if never_sent is None or isinstance(never_sent, Mapping) else never_sent  # else the parts say it too
    for key, item in dumped.items():
        name = names.get(key, key)
        if (item is not None or name in value.model_fields_set) and name not in left_out:
            yield _sent_name(key, fields.get(name)), _of_model(getattr(value, name, None), item)


def _never_sent(value: BaseModel) -> Any:
    """Return what the SDKs of OpenAI and Anthropic leave out of a model that they send, as `model_dump` takes it.

    These are names of fields, or a mapping of them to what is left out of their values; None for nothing.
    """
    return getattr(value, "__api_exclude__", None)


def _sent_name(key: str, field: FieldInfo | None) -> str:
    """Return the name that an API knows a field by: `async` of a field `async_`, which Python could not name so."""
    alias = field.serialization_alias if field is not None and key.endswith("_") else None
    return alias or key
