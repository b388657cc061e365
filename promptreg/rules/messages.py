"""The messages of a chat template, read into frozen values: which fields they have, and of what kind ("Chat messages").

Each form is one table of fields: a message, a placeholder, a part of each type. The errors name the message, the part
and what may have been meant. They quote nothing that was passed, because even the name of a field may be a secret.
"""

from collections.abc import Callable, Collection, Mapping
from typing import Any, NamedTuple

from promptreg.errors import LISTED, InvalidInputError
from promptreg.jsonvalues import MAX_DEPTH, MAX_NODES, FrozenDict, FrozenList, frozen_dict
from promptreg.nearest import did_you_mean
from promptreg.rules.inputs import (
    MAX_STORED,
    read_any_text,
    read_choice,
    read_filled_text,
    read_flag,
    read_object,
    read_text,
    require_filled,
    require_length,
)
from promptreg.untrusted import FieldReader, bounded_dict, bounded_list, read_each
from promptreg.variables import is_readable

ROLES = ("system", "developer", "user", "assistant", "tool")
MESSAGE_FORMS = '{"role", "content"} or {"placeholder"}'
MAX_FIELDS = 100  # of a message or a part, known or not
_ROLES_ELSEWHERE = {"human": "user", "ai": "assistant", "model": "assistant", "function": "tool"}
_TYPES_ELSEWHERE = {
    **dict.fromkeys(("input_text", "output_text"), "text"),
    **dict.fromkeys(("image", "input_image"), "image_url"),
    **{"audio": "input_audio", "document": "file", "input_file": "file"},
}
"""The words of other formats, of which the nearest spelling would be wrong."""

Reader = Callable[[Any, str], Any]


class Form(NamedTuple):
    """The form of a mapping: a reader for each field, the required fields, and the form as errors show it."""

    readers: Mapping[str, Reader]
    required: Collection[str]
    text: str


def read_messages(value: list[Any] | tuple[Any, ...], field: str, *, most: int = MAX_STORED) -> FrozenList:
    """Read a list of messages; raise `InvalidInputError` with everything that is wrong with any of them.

    More than `most` characters of text are refused before any is read. What counts as absent is left out: a content of
    None, and a `cache` that is false.
    """
    items = bounded_list(value, field, "messages")
    _require_bounded(items, field, most)
    return FrozenList(read_each(_message, items, field))


def _require_bounded(items: list[Any], field: str, most: int) -> None:
    """Refuse what is too big or too deep as a whole, before each message is read by itself."""
    waiting: list[tuple[Any, int]] = [(items, 0)]
    count = characters = 0
    while waiting:
        held, depth = waiting.pop()
        if depth >= MAX_DEPTH:
            raise InvalidInputError.of(field, f"has more than {MAX_DEPTH} levels (is it a cycle?)")
        for key, item in held.items() if isinstance(held, Mapping) else enumerate(held):
            count += 1
            if isinstance(item, str) and key != "role":
                characters += str.__len__(item)
            if depth > 1 and isinstance(key, str):  # as `texts_in` counts
                characters += str.__len__(key)
            if count > MAX_NODES:
                raise InvalidInputError.of(field, f"holds more than {MAX_NODES:,} values (is it a cycle?)")
            if type(item) is not str and isinstance(item, (Mapping, list, tuple)):
                waiting.append((item, depth + 1))
    require_length(characters, field, most)


def _message(item: object, where: str) -> FrozenDict:
    if not isinstance(item, Mapping):
        raise InvalidInputError.of(where, f"must be {MESSAGE_FORMS}, not {type(item).__name__}")
    given = _given(item, where)
    if "placeholder" in given:
        return _read(given, where, _PLACEHOLDER)
    for key, nothing in (("content", None), ("cache", False)):
        if key in given and given[key] is nothing:
            del given[key]
    is_answer = "tool_calls" in given and given.get("role") == "assistant"
    return _read(given, where, _ANSWER if is_answer else _MESSAGE)


def _given(item: Mapping[Any, Any], where: str) -> dict[Any, Any]:
    return bounded_dict(item, where, "fields", MAX_FIELDS)


def _read(given: dict[Any, Any], where: str, form: Form) -> FrozenDict:
    """Read the fields of a mapping, and report all that are bad, unknown or absent."""
    fields = FieldReader()
    fields.read(_require_all, given, where, form=form)
    fields.read(_require_known, given, where, form=form)
    read = {
        str.__str__(key): fields.read(form.readers[key], value, f"{where}.{key}")
        for key, value in given.items()
        if key in form.readers
    }
    fields.require_valid()
    return frozen_dict(read)


def _require_all(given: dict[Any, Any], where: str, *, form: Form) -> None:
    absent = [key for key in form.required if key not in given]
    if absent:
        raise InvalidInputError.of(where, f"has no {' and no '.join(absent)}; it must be {form.text}")


def _require_known(given: dict[Any, Any], where: str, *, form: Form) -> None:
    unknown = [key for key in given if key not in form.readers]
    if unknown:
        hints = (did_you_mean(key, form.readers) for key in unknown[:LISTED] if isinstance(key, str))
        meant = next(filter(None, hints), "")
        raise InvalidInputError.of(where, f"may hold nothing but {', '.join(form.readers)}{meant}")


# The fields of a message


def _role(value: object, field: str) -> str:
    return read_choice(read_text(value, field), field, ROLES, _ROLES_ELSEWHERE)


def _content(value: object, field: str) -> str | FrozenList:
    if isinstance(value, str):
        return read_any_text(value, field)
    if not isinstance(value, list | tuple):
        raise InvalidInputError.of(field, f"must be text or a list of parts, not {type(value).__name__}")
    return FrozenList(read_each(_part, _filled_list(value, field, "parts"), field))


def _tool_calls(value: object, field: str) -> FrozenList:
    if not isinstance(value, list | tuple):
        raise InvalidInputError.of(field, f"must be a list of tool calls, not {type(value).__name__}")
    return FrozenList(read_each(_object, _filled_list(value, field, "tool calls"), field))


def _filled_list(value: list[Any] | tuple[Any, ...], field: str, what: str) -> list[Any]:
    if not value:
        raise InvalidInputError.of(field, "must not be empty")
    return bounded_list(value, field, what)


def _object(value: object, field: str) -> FrozenDict:
    frozen = read_object(value, field, characters=MAX_STORED)  # fewer, as all were counted before
    if not frozen:
        raise InvalidInputError.of(field, "must not be empty")
    return frozen


def _placeholder(value: object, field: str) -> str:
    name = read_text(value, field)
    if not is_readable(name):
        raise InvalidInputError.of(field, "must be a variable's name, such as history")
    return name


_MESSAGE = Form(
    {
        "role": _role,
        "content": _content,
        "name": read_filled_text,
        "tool_calls": _tool_calls,
        "tool_call_id": read_filled_text,
        "cache": read_flag,
    },
    ("role", "content"),
    MESSAGE_FORMS,
)
_ANSWER = _MESSAGE._replace(required=("role",))
"""An assistant's message with tool calls."""

_PLACEHOLDER = Form({"placeholder": _placeholder}, ("placeholder",), MESSAGE_FORMS)

# The parts of a content


def _part(item: object, where: str) -> FrozenDict:
    if not isinstance(item, Mapping):
        raise InvalidInputError.of(
            where, f'must be a part such as {{"type": "text", "text"}}, not {type(item).__name__}'
        )
    if "type" not in item:
        raise InvalidInputError.of(where, f"has no type; it must be one of {', '.join(_PARTS)}")
    kind = read_choice(item["type"], f"{where}.type", _PARTS, _TYPES_ELSEWHERE)
    return _read(_given(item, where), where, _PARTS[kind])


def _image_url(value: object, field: str) -> FrozenDict:
    return _held(value, field, _IMAGE_URL)


def _input_audio(value: object, field: str) -> FrozenDict:
    return _held(value, field, _INPUT_AUDIO)


def _filled(value: object, field: str) -> str:
    return require_filled(read_any_text(value, field), field)


def _held(value: object, field: str, form: Form) -> FrozenDict:
    if not isinstance(value, Mapping):
        raise InvalidInputError.of(field, f"must be {form.text}, not {type(value).__name__}")
    return _read(_given(value, field), field, form)


def _part_form(kind: str, reader: Reader) -> Form:
    return Form({"type": read_text, kind: reader}, ("type", kind), f'{{"type": "{kind}", "{kind}"}}')


_IMAGE_URL = Form({"url": _filled, "detail": read_filled_text}, ("url",), '{"url", "detail"?}')
_INPUT_AUDIO = Form({"data": _filled, "format": read_filled_text}, ("data", "format"), '{"data", "format"}')
_PARTS = {
    kind: _part_form(kind, reader)
    for kind, reader in (
        ("text", read_any_text),
        ("image_url", _image_url),
        ("input_audio", _input_audio),
        ("file", _object),
    )
}
