"""What every verb of `Registry` does around its body: a span, refusing calls once closed, clean-up after errors."""

from collections.abc import Callable
from functools import wraps
from typing import Any, TypeVar, cast

from promptreg.telemetry.spans import traced

F = TypeVar("F", bound=Callable[..., Any])


def verb(operation: str, *, takes_name: bool = True, requires_open: bool = True) -> Callable[[F], F]:
    """Make a method a verb, whose span has this operation and, with `takes_name`, the name of a prompt.

    A closed registry raises `StorageError` before the arguments are read. With `requires_open=False` the body does this
    itself, because a `default` answers for a closed registry too. After an error, whatever the thread still holds of
    the storage is released, and an error for an absent name or label gets its suggestion.
    """

    def decorate(method: F) -> F:
        @wraps(method)
        def run(view: Any, /, *args: Any, **kwargs: Any) -> Any:
            try:
                if requires_open:
                    view._core.require_open()
                return method(view, *args, **kwargs)
            except BaseException as error:
                view._core.release_after(error)
                view._core.explain(error, view._view)
                raise

        return traced(operation, takes_name=takes_name)(cast(F, run))

    return decorate
