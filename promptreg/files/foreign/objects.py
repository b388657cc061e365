"""The objects in JSON of other tools, each with its place for errors, and what they must hold."""

from collections.abc import Iterable, Iterator
from typing import Any

from promptreg.errors import InvalidInputError
from promptreg.files.foreign.results import ForeignFile


def objects_of(files: Iterable[ForeignFile], held: str) -> Iterator[ForeignFile]:
    """Yield the objects of JSON files, each with its place: of an array, of an object's array `held`, or alone."""
    for path, content in files:
        if isinstance(content, dict) and isinstance(content.get(held), list):
            yield from _each(content[held], f"{path}.{held}")
        elif isinstance(content, list):
            yield from _each(content, path)
        else:
            yield ForeignFile(path, require(content, dict, path, "an object, or an array of objects"))


def _each(items: list[Any], path: str) -> Iterator[ForeignFile]:
    for i, item in enumerate(items):
        yield ForeignFile(f"{path}[{i}]", require(item, dict, f"{path}[{i}]", "an object"))


def require(value: Any, form: type | tuple[type, ...], where: str, what: str) -> Any:
    """Return a value of the form that a format has at this place; raise `InvalidInputError` for any other."""
    if isinstance(value, form) and not (form is int and isinstance(value, bool)):
        return value
    raise InvalidInputError.of(where, f"must be {what}, not {json_type(value)}")


def json_type(value: object) -> str:
    """Return what JSON calls a value.

    >>> json_type([]), json_type(True), json_type(None)
    ('an array', 'a boolean', 'null')
    """
    return _JSON_TYPES.get(type(value), type(value).__name__)


_JSON_TYPES: dict[type, str] = {
    dict: "an object",
    list: "an array",
    str: "text",
    bool: "a boolean",
    int: "a number",
    float: "a number",
    type(None): "null",
}
