"""All bad fields of a call, told at once."""

from collections.abc import Callable, Iterable
from typing import Any, Final, ParamSpec, TypeVar, cast

from promptreg.errors import InvalidInputError

P = ParamSpec("P")
T = TypeVar("T")


class BadFields:
    """The bad fields that reading the arguments of one call has found so far.

    >>> from promptreg.rules.names import checked_label, checked_number
    >>> bad = BadFields()
    >>> label, number = bad.read(checked_label, "canary"), bad.read(checked_number, 0, "number", least=1)
    >>> label, bad.are_none()
    ('canary', False)
    >>> bad.require_none()
    Traceback (most recent call last):
        ...
    promptreg.errors.InvalidInputError: number: must be at least 1
    """

    __slots__ = ("_errors",)

    def __init__(self) -> None:
        self._errors: dict[tuple[str, str], dict[str, str]] = {}  # by what they say, as one may be found twice

    def read(self, reader: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Return what a reader makes of an argument; of a bad one, something for `require_none` and this alone.

        Where one of `args` is such a thing, as what is read depends on it, nothing is read; in `kwargs` it may be.
        """
        for argument in args:  # written out: `any` takes a third of reading what is good
            if argument is _BAD:
                return cast(T, _BAD)
        try:
            return reader(*args, **kwargs)
        except InvalidInputError as error:
            for told in error.details["errors"]:
                self._errors.setdefault((told["field"], told["reason"]), told)
            return cast(T, _BAD)

    def are_none(self) -> bool:
        """Return whether none was found yet."""
        return not self._errors

    def require_none(self) -> None:
        """Raise `InvalidInputError` with all that were found."""
        if self._errors:
            raise InvalidInputError.of_all([*self._errors.values()])


def read_each(reader: Callable[[Any, str], T], items: Iterable[Any], field: str) -> list[T]:
    """Read each item of a list, as `field[0]` and so on; raise `InvalidInputError` with every bad one.

    >>> from promptreg.rules.names import checked_label
    >>> read_each(checked_label, ["canary", "staging"], "labels")
    ['canary', 'staging']
    """
    bad = BadFields()
    read = [bad.read(reader, item, f"{field}[{i}]") for i, item in enumerate(items)]
    bad.require_none()
    return read


class _Bad:
    """Stands for what could not be read."""


_BAD: Final = _Bad()
