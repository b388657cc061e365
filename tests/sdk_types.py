"""Whether a value has the type that an SDK declares for an argument, fields that the type has not refused as well."""

from collections.abc import Mapping
from typing import Any

from pydantic import ConfigDict, TypeAdapter


class Strict:
    """Validates values by a type that consists of `TypedDict`s, which may hold nothing but their fields."""

    def __init__(self, type_: Any) -> None:
        self._adapter: TypeAdapter[Any] = TypeAdapter(list[type_], config=ConfigDict(extra="forbid", strict=True))

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
