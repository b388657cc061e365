"""What stands at a path in a JSON object, such as `function.name`, or an error that names the message and the field.

`where` says in which message, part or call the object stands.
"""

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, NoReturn, TypeAlias, TypeVar

from promptreg.errors import InvalidInputError
from promptreg.untrusted import FieldReader

T = TypeVar("T")
R = TypeVar("R")

ValueReader: TypeAlias = Callable[[Mapping[str, Any], str, str], Any]
"""Takes an object, a path and where the object stands."""


def read_all(reader: Callable[[T], R], items: Iterable[T]) -> list[R]:
    """Read each item; raise one `InvalidInputError` with everything that is wrong with any of them."""
    fields = FieldReader()
    read = [fields.read(reader, item) for item in items]
    fields.require_valid()
    return read


def refuse(field: str, reason: str) -> NoReturn:
    """Raise the error for one field."""
    raise InvalidInputError.of(field, reason)


def text_at(holder: Mapping[str, Any], path: str, where: str) -> str:
    """Return the text at a path such as `function.name`; raise `InvalidInputError` where there is none."""
    value = value_at(holder, path)
    if not isinstance(value, str):
        found = "is absent; it must be text" if value is None else f"must be text, not {type(value).__name__}"
        refuse(f"{where}, {path}", found)
    return value


def optional_text_at(holder: Mapping[str, Any], path: str, where: str) -> str | None:
    """Return the text at a path; None where there is nothing."""
    return None if value_at(holder, path) is None else text_at(holder, path, where)


def filled_text_at(holder: Mapping[str, Any], path: str, where: str) -> str:
    """Return the text at a path, which must not be blank."""
    text = text_at(holder, path, where)
    if not text.strip():
        refuse(f"{where}, {path}", "must not be empty or white space")
    return text


def object_at(holder: Mapping[str, Any], path: str, where: str) -> dict[str, Any]:
    """Return the object at a path."""
    value = value_at(holder, path)
    if not isinstance(value, dict):
        refuse(f"{where}, {path}", "must be an object")
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
