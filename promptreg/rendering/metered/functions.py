"""Calls of functions in templates, for the metered tier: macros, the loop itself, `range`, `dict`, `zip` and others.

Methods of values are in `methods.py`.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from types import FunctionType
from typing import Any, NoReturn

from promptreg.rendering.compat import LoopContext, Macro, Namespace
from promptreg.rendering.metered.containers import lazy
from promptreg.rendering.metered.meter import Exceeded, Meter
from promptreg.rendering.values import Raised, Refused, require_present

MAX_SAME_HASH = 200  # keys: each look-up compares with all of them


def call(meter: Meter, function: Any, /, *args: Any, **kwargs: Any) -> Any:
    """Implement `name(…)` for a macro, a builtin function or the loop itself; raise `Refused` for anything else."""
    if type(function) is TemplateMacro:
        return meter.called(function, *args, **kwargs)
    if type(function) is FunctionType and function in _BUILTINS:
        return function(meter, *args, **kwargs)
    if type(function) is LoopContext:
        return meter.called(function, *(meter.each(arg) for arg in args), **kwargs)
    require_present(function)
    raise Refused(f"a value of type {type(function).__name__} can't be called")


def _range(meter: Meter, *bounds: Any) -> range:
    require_present(*bounds)
    made = range(*bounds)
    if made and abs(made[-1] - made[0]) // abs(made.step) >= meter.limits.range_items:
        raise meter.too_big("range_items", "a range gets too long")
    return made


def _dict(meter: Meter, /, *pairs: Any, **items: Any) -> dict[Any, Any]:
    if len(pairs) > 1:
        raise Refused("dict takes one mapping or list of pairs")
    made: dict[Any, Any] = {}
    hashes: dict[int, int] = {}
    for source in pairs:
        for key, value in meter.counted(source.items() if isinstance(source, Mapping) else source):
            hashed = hash(meter.weigh(key))
            hashes[hashed] = count = hashes.get(hashed, 0) + (key not in made)
            if count > MAX_SAME_HASH:
                raise Exceeded(f"a dict holds more than {MAX_SAME_HASH:,} keys whose hashes are the same")
            made[key] = value
    return made | items


class TemplateMacro(Macro):
    """A macro of the template; one that the application passes as a variable can't be called."""


class TemplateNamespace(Namespace):
    """A namespace of the template: the only object that it may assign attributes of."""


def _namespace(meter: Meter, /, *pairs: Any, **items: Any) -> TemplateNamespace:
    return TemplateNamespace(_dict(meter, *pairs, **items))


def _zip(meter: Meter, /, *iterables: Any, strict: Any = False) -> Iterator[Any]:
    meter.require_items(len(iterables))
    for iterable in iterables:
        iter(iterable)  # fails where Python's function does: when it is called
    return _lazy_rows(meter, iterables, bool(strict))


def _rows(meter: Meter, iterables: Iterable[Any], strict: bool) -> Iterator[Any]:
    return zip(*(meter.counted(iterable) for iterable in iterables), strict=strict)


_lazy_rows = lazy(_rows, levels=2)  # freeing one takes twice as much of the stack as freeing a filter


def _raise_exception(_meter: Meter, /, *_: Any, **__: Any) -> NoReturn:
    """Raise without the text, because a text that is computed may hold a value."""
    raise Raised("the template calls raise_exception")


def raise_literal(_meter: Meter, text: str) -> NoReturn:
    """Raise with a text that the template spells out."""
    raise Raised(text)


BUILTIN_FUNCTIONS: dict[str, Callable[..., Any]] = {"range": _range, "dict": _dict, "namespace": _namespace}
"""Functions whose names mean them wherever no variable of that name was passed."""

CALLED_FUNCTIONS: dict[str, Callable[..., Any]] = {"zip": _zip, "raise_exception": _raise_exception}
"""Functions whose names mean them only where they are called, and variables elsewhere (rule 20)."""

_BUILTINS = frozenset([*BUILTIN_FUNCTIONS.values(), *CALLED_FUNCTIONS.values(), raise_literal])
