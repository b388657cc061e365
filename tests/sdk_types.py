"""Whether values have the type that an SDK declares for them.

The types are `TypedDict`s, from which pydantic makes a validator. Strictly, they hold nothing but their own fields.
"""

from collections.abc import Mapping
from typing import Any

from pydantic import ConfigDict, TypeAdapter


class Declared:
    """Validates lists of values that an SDK declares with a type."""

    def __init__(self, type_: Any) -> None:
        self._strict: TypeAdapter[Any] = TypeAdapter(list[type_], config=ConfigDict(extra="forbid", strict=True))
        self._open: TypeAdapter[Any] = TypeAdapter(list[type_], config=ConfigDict(extra="allow", strict=True))

    def require(self, values: list[Any], *, may_have_more: bool = False) -> None:
        """Raise pydantic's `ValidationError` where a value has not the type, or more fields than it."""
        adapter = self._open if may_have_more else self._strict
        assert consumed(adapter.validate_python(values)) == values


def consumed(value: Any) -> Any:
    """Return what was validated as builtin values; an `Iterable` of a type is validated only as it is read."""
    if isinstance(value, Mapping):
        return {key: consumed(item) for key, item in value.items()}
    if value is None or isinstance(value, str | int | float | bytes):
        return value
    return [consumed(item) for item in value]
