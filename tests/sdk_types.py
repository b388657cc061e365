"""Whether a value has the type that an SDK declares for an argument.

The types consist of `TypedDict`s, from which pydantic makes a validator.
"""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import ConfigDict, TypeAdapter


class Strict:
    """Validates values by a type. Its dictionaries hold nothing but their own fields, unless more are allowed."""

    def __init__(self, type_: Any, *, extra: Literal["forbid", "allow"] = "forbid") -> None:
        self._adapter: TypeAdapter[Any] = TypeAdapter(list[type_], config=ConfigDict(extra=extra, strict=True))

    def require(self, value: Any) -> None:
        """Raise pydantic's `ValidationError`, a `ValueError`, where the value has not the type."""
        assert consumed(self._adapter.validate_python([value])) == [value]


def consumed(value: Any) -> Any:
    """Return what was validated as builtin values; an `Iterable` of a type is validated only as it is read."""
    if isinstance(value, Mapping):
        return {key: consumed(item) for key, item in value.items()}
    if value is None or isinstance(value, str | int | float | bytes):
        return value
    return [consumed(item) for item in value]
