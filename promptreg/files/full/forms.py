"""Reading the values of an untrusted JSON object by a table of its keys, as strictly as arguments of verbs are read."""

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any, TypeAlias

from promptreg.errors import InvalidInputError
from promptreg.models import Actor
from promptreg.rules.inputs import read_text
from promptreg.rules.names import checked_name, checked_number

Reader: TypeAlias = Callable[[Any, str], Any]
"""A function that returns a value as it is stored, or raises `InvalidInputError` of the field."""
Form: TypeAlias = Mapping[str, Reader]
"""The keys of an object, all of which must be there, with a reader for each."""

REMEMBERED = 1_000  # texts
MAX_VERSION = 2**53  # no registry gets there, and every database and reader of JSON holds it exactly


def read_object(value: Any, field: str, form: Form) -> dict[str, Any]:
    """Return the values of an object that has exactly the keys of a form."""
    if not isinstance(value, dict):
        raise InvalidInputError.of(field, f"must be an object, not {type(value).__name__}")
    if value.keys() != form.keys():
        missing = [key for key in form if key not in value]
        wrong = f"has no {', '.join(missing)}" if missing else f"may hold nothing but {', '.join(form)}"
        raise InvalidInputError.of(field, wrong)
    try:
        return {key: read(value[key], key) for key, read in form.items()}
    except InvalidInputError as error:
        raise error.within(field) from None


def optional(read: Reader) -> Reader:
    """Return what also reads None."""
    return lambda value, field: None if value is None else read(value, field)


def list_of(read: Reader) -> Reader:
    """Return what reads a list of such values."""

    def read_list(value: Any, field: str) -> list[Any]:
        if not isinstance(value, list):
            raise InvalidInputError.of(field, f"must be a list, not {type(value).__name__}")
        return [read(item, f"{field}[{number}]") for number, item in enumerate(value)]

    return read_list


def matching(pattern: str, what: str) -> Reader:
    """Return what reads a text that matches as a whole; `what` says in errors what that is."""
    compiled = re.compile(pattern)

    def read(value: Any, field: str) -> str:
        if not isinstance(value, str) or not compiled.fullmatch(value):
            raise InvalidInputError.of(field, f"must be {what}")
        return value

    return read


def remembered(read: Reader) -> Reader:
    """Return a reader of texts that remembers those that it has read, as many lines hold the same ones."""
    known = lru_cache(maxsize=REMEMBERED)(lambda text: read(text, ""))

    def run(value: Any, field: str) -> Any:
        try:
            return known(value) if type(value) is str else read(value, field)
        except InvalidInputError:
            return read(value, field)

    return run


@remembered
def read_time(value: Any, field: str) -> str:
    """Read a time as `clock.moment` writes it."""
    if isinstance(value, str) and len(value) == len("2026-01-02T03:04:05.000000+00:00") and value.endswith("+00:00"):
        try:
            if datetime.fromisoformat(value).isoformat(timespec="microseconds") == value:
                return value
        except ValueError:
            pass
    raise InvalidInputError.of(field, "must be a time in UTC such as 2026-01-02T03:04:05.000000+00:00")


@remembered
def read_identity(value: Any, field: str) -> str:
    """Read the id of an actor."""
    try:
        return Actor(read_text(value, field)).id
    except InvalidInputError:
        raise InvalidInputError.of(field, "must be the id of an actor") from None


read_name = remembered(checked_name)
"""Read the name of a prompt, or of a namespace."""


def read_count(value: Any, field: str) -> int:
    """Read a number from 0."""
    return checked_number(value, field, least=0)


def read_number(value: Any, field: str) -> int:
    """Read the number of a version or an event."""
    number = checked_number(value, field, least=1)
    if number > MAX_VERSION:
        raise InvalidInputError.of(field, "is too large a number")
    return number
