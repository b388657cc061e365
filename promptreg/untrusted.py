"""Reading the arguments of a caller, whose own code may raise: properties, iterators, comparisons, conversions.

Such an exception becomes an `InvalidInputError` that names its type alone, because its text may quote anything. Where
a value consists of builtin types no such code has run; then the exception comes from a signal handler and is passed
on. All bad fields of a call are reported at once. What a well-formed argument is, is decided in `rules/`.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from itertools import islice
from typing import Any, Final, ParamSpec, TypeVar, cast

from promptreg.errors import InvalidInputError, PromptregError
from promptreg.jsonvalues import is_builtin, unreadable_reason

F = TypeVar("F", bound=Callable[..., Any])
P = ParamSpec("P")
T = TypeVar("T")

MAX_LISTED = 1_000  # tags, grants, messages, statuses or functions


class CallerError(Exception):
    """An exception of a caller's code, reduced to the name of its type."""


def unreadable_error(field: str, error: BaseException) -> InvalidInputError:
    """Return the error for an argument whose own code raised this exception."""
    refusal = InvalidInputError.of(field, unreadable_reason(error))
    refusal.__cause__ = CallerError(type(error).__name__)
    return refusal


def read_untrusted(field: str, read: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Return what a function reads of an argument; raise `InvalidInputError` of the field where its own code raises.

    >>> read_untrusted("tags", list, (1 / 0 for _ in "a"))
    Traceback (most recent call last):
        ...
    promptreg.errors.InvalidInputError: tags: can't be read: its own code raised ZeroDivisionError
    """
    try:
        return read(*args, **kwargs)
    except PromptregError:
        raise
    except Exception as error:
        if args and is_builtin(args):
            raise
        refusal = unreadable_error(field, error)
    raise refusal  # out here, so that no context is chained that quotes a value


def reads_untrusted(field: str) -> Callable[[F], F]:
    """Decorate a reader to do what `read_untrusted` does; its second argument, if any, names the field."""

    def decorate(read: F) -> F:
        @wraps(read)
        def run(value: Any, *args: Any, **kwargs: Any) -> Any:
            try:  # repeated here, because calling `read_untrusted` takes as long again
                return read(value, *args, **kwargs)
            except PromptregError:
                raise
            except Exception as error:
                if is_builtin(value):
                    raise
                refusal = unreadable_error(args[0] if args else field, error)
            raise refusal

        return cast(F, run)

    return decorate


def bounded_list(items: Iterable[T], field: str, what: str, most: int = MAX_LISTED) -> list[T]:
    """Return the items of an iterable; raise `InvalidInputError` for too many, also where it has no end.

    >>> bounded_list(iter(int, 1), "tags", "tags")
    Traceback (most recent call last):
        ...
    promptreg.errors.InvalidInputError: tags: holds more than 1,000 tags; that is the most
    """
    taken = list(islice(items, most + 1))
    if len(taken) > most:
        raise InvalidInputError.of(field, f"holds more than {most:,} {what}; that is the most")
    return taken


def bounded_dict(mapping: Mapping[Any, T], field: str, what: str, most: int) -> dict[Any, T]:
    """Return the items of a mapping; raise `InvalidInputError` for too many, as `bounded_list` does."""
    return {key: mapping[key] for key in bounded_list(mapping, field, what, most)}


class FieldReader:
    """Reads the fields of one call and collects what is wrong with them.

    >>> from promptreg.rules.names import checked_label, checked_number
    >>> fields = FieldReader()
    >>> label, number = fields.read(checked_label, "canary"), fields.read(checked_number, 0, "number", least=1)
    >>> label, fields.are_valid()
    ('canary', False)
    >>> fields.require_valid()
    Traceback (most recent call last):
        ...
    promptreg.errors.InvalidInputError: number: must be at least 1
    """

    __slots__ = ("_cause", "_errors")

    def __init__(self) -> None:
        self._cause: BaseException | None = None  # of the first error that has one
        self._errors: dict[tuple[str, str], dict[str, str]] = {}  # by field and reason, so that each is listed once

    def read(self, reader: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Return what a reader makes of an argument, or for a bad one a placeholder.

        The placeholder may only be passed to `read` again. As one of `args` it is returned at once, because what
        depends on a bad argument can't be read; in `kwargs` it is passed on.
        """
        for argument in args:  # written out: `any` takes a third of the time of reading a good argument
            if argument is _BAD:
                return cast(T, _BAD)
        try:
            return reader(*args, **kwargs)
        except InvalidInputError as error:
            if self._cause is None:
                self._cause = error.__cause__
            for flaw in error.details["errors"]:
                self._errors.setdefault((flaw["field"], flaw["reason"]), flaw)
            return cast(T, _BAD)

    def are_valid(self) -> bool:
        """Return whether every field that was read so far is valid."""
        return not self._errors

    def require_valid(self) -> None:
        """Raise one `InvalidInputError` with everything that is wrong."""
        if self._errors:
            raise InvalidInputError.of_all([*self._errors.values()]) from self._cause


def read_each(reader: Callable[[Any, str], T], items: Iterable[Any], field: str) -> list[T]:
    """Read each item of a list, as `field[0]` and so on; raise `InvalidInputError` with every bad one.

    >>> from promptreg.rules.names import checked_label
    >>> read_each(checked_label, ["canary", "staging"], "labels")
    ['canary', 'staging']
    """
    fields = FieldReader()
    read = [fields.read(reader, item, f"{field}[{i}]") for i, item in enumerate(items)]
    fields.require_valid()
    return read


class _Bad:
    """The type of the placeholder for a field that can't be read."""


_BAD: Final = _Bad()
