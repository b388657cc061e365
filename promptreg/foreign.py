"""Reading what a caller passes, whose own code may raise: its properties, iterators, comparisons, conversions.

What it raises is told by its type alone, in an error of ours, for its text may quote anything; and so is the cause.
Where all that is read is builtin no such code ran: then a signal's handler has raised, and its error is let out.
"""

from collections.abc import Callable, Iterable, Mapping
from functools import wraps
from itertools import islice
from typing import Any, ParamSpec, TypeVar, cast

from promptreg.errors import InvalidInputError, PromptregError
from promptreg.jsonvalues import is_builtin, unreadable_reason

F = TypeVar("F", bound=Callable[..., Any])
P = ParamSpec("P")
T = TypeVar("T")

MAX_LISTED = 1_000  # tags, grants, messages, statuses or functions


class Cause(Exception):
    """What code that is not ours raised, reduced to the name of its type, because its text may quote a value."""


def unreadable(field: str, error: BaseException) -> InvalidInputError:
    """Return the refusal of an argument whose own code raised this error."""
    refusal = InvalidInputError.of(field, unreadable_reason(error))
    refusal.__cause__ = Cause(type(error).__name__)
    return refusal


def guarded(field: str, read: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Return what a reader makes of an argument; raise `InvalidInputError` of the field where its own code raises.

    >>> guarded("tags", list, (1 / 0 for _ in "a"))
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
        refusal = unreadable(field, error)
    raise refusal  # out here, where no context is chained to it that quotes a value


def few(items: Iterable[T], field: str, what: str, most: int = MAX_LISTED) -> list[T]:
    """Return the items of a list; raise `InvalidInputError` for too many, endless ones included.

    >>> few(iter(int, 1), "tags", "tags")
    Traceback (most recent call last):
        ...
    promptreg.errors.InvalidInputError: tags: holds more than 1,000 tags; that is the most
    """
    taken = list(islice(items, most + 1))
    if len(taken) > most:
        raise InvalidInputError.of(field, f"holds more than {most:,} {what}; that is the most")
    return taken


def few_items(mapping: Mapping[Any, T], field: str, what: str, most: int) -> dict[Any, T]:
    """Return the items of a mapping; raise `InvalidInputError` for too many, as `few` does."""
    return {key: mapping[key] for key in few(mapping, field, what, most)}


def reading(field: str) -> Callable[[F], F]:
    """Guard a reader, which takes an argument and the name of its field, by default this one."""

    def decorate(read: F) -> F:
        @wraps(read)
        def run(value: Any, *args: Any, **kwargs: Any) -> Any:
            try:  # as `guarded` does, which takes as long again
                return read(value, *args, **kwargs)
            except PromptregError:
                raise
            except Exception as error:
                if is_builtin(value):
                    raise
                refusal = unreadable(args[0] if args else field, error)
            raise refusal

        return cast(F, run)

    return decorate
