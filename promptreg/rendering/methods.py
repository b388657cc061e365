"""The calls of the policy: methods of builtin types, and `range`, `dict` and `namespace`, each measured.

A method is never a value that a template holds: `x.upper()` is one step, from the value and the name.
"""

import re
from collections.abc import Callable
from types import FunctionType
from typing import Any

from jinja2 import Undefined
from jinja2.runtime import LoopContext, Macro
from jinja2.utils import Namespace

from promptreg.rendering.containers import joined
from promptreg.rendering.meter import Meter
from promptreg.rendering.policy import METHODS
from promptreg.rendering.texts import replaced, require_slow, require_steps
from promptreg.rendering.values import Refused, kind_of_method, readable

MAX_FORMAT = 1_000
_PADDED = re.compile(r"%[-_0^#]*\d")


def call_method(meter: Meter, obj: Any, name: str, /, *args: Any, **kwargs: Any) -> Any:
    """Be `obj.name(…)`. Raises `Refused` for all that is no method of a builtin type."""
    kind = _EXACT.get((type(obj), name)) or kind_of_method(obj, name)
    if kind is None:
        if isinstance(obj, Undefined):
            str(obj)
        raise Refused(f"{name} of a value of type {type(obj).__name__} can't be called")
    handle = _HANDLERS.get((kind, name))
    if handle is not None:
        return handle(meter, obj, *args, **kwargs)
    for value in (*args, *kwargs.values()):
        meter.weigh(value)
    if isinstance(obj, str):
        meter.soft(obj)
    return getattr(obj, name)(*args, **kwargs)


_EXACT: dict[tuple[type, str], str] = {
    (kind, name): method
    for kind, method in ((str, "str"), (dict, "dict"), (list, "sequence"), (tuple, "sequence"), (LoopContext, "loop"))
    for name in METHODS[method]
}


def call(meter: Meter, function: Any, /, *args: Any, **kwargs: Any) -> Any:
    """Be `name(…)`: a macro, a builtin of the template language, or the loop itself. Raises `Refused` for others."""
    if type(function) is Macro:
        return meter.called(function, *args, **kwargs)
    if type(function) is FunctionType and function in _BUILTINS:
        return function(meter, *args, **kwargs)
    if type(function) is LoopContext:
        return meter.called(function, *(meter.each(arg) for arg in args), **kwargs)
    if isinstance(function, Undefined):
        str(function)
    raise Refused(f"a value of type {type(function).__name__} can't be called")


def _range(meter: Meter, *bounds: Any) -> range:
    made = range(*bounds)
    if made and abs(made[-1] - made[0]) // abs(made.step) >= meter.limits.range_items:
        raise meter.too_big("range_items", "a range gets too long")
    return made


def _dict(meter: Meter, *pairs: Any, **items: Any) -> dict[Any, Any]:
    if pairs and not isinstance(pairs[0], dict):
        pairs = ([(meter.weigh(key), value) for key, value in meter.counted(pairs[0])], *pairs[1:])
    elif pairs:
        meter.spend(len(pairs[0]))
    return dict(*pairs, **items)


class OwnNamespace(Namespace):
    """A namespace that the template made: the only thing that it may assign to."""


def _namespace(meter: Meter, *pairs: Any, **items: Any) -> OwnNamespace:
    return OwnNamespace(_dict(meter, *pairs, **items))


BUILTIN_FUNCTIONS: dict[str, Callable[..., Any]] = {"range": _range, "dict": _dict, "namespace": _namespace}
_BUILTINS = frozenset(BUILTIN_FUNCTIONS.values())


def _split(meter: Meter, text: str, sep: Any = None, maxsplit: int = -1) -> list[str]:
    return _checked_split(meter, text, sep, maxsplit, str.split)


def _rsplit(meter: Meter, text: str, sep: Any = None, maxsplit: int = -1) -> list[str]:
    if isinstance(sep, str):
        require_steps(meter, len(text), len(sep))
    return _checked_split(meter, text, sep, maxsplit, str.rsplit)


def _checked_split(meter: Meter, text: str, sep: Any, maxsplit: int, split: Callable[..., list[str]]) -> list[str]:
    meter.soft(text)
    most = meter.limits.items
    parts = split(text, sep, most if maxsplit < 0 else min(maxsplit, most))
    meter.require_items(len(parts))
    return parts


def _splitlines(meter: Meter, text: str, keepends: bool = False) -> list[str]:
    lines = meter.soft(text).splitlines(keepends)
    meter.require_items(len(lines))
    return lines


def _replace(meter: Meter, text: str, old: str, new: str, count: int = -1, /) -> str:
    return replaced(meter, meter.soft(text), old, new, count)


def _join(meter: Meter, separator: str, iterable: Any, /) -> str:
    return joined(meter, separator, [_text(item) for item in meter.counted(iterable)])


def _text(item: Any) -> str:
    if not isinstance(item, str):
        raise TypeError("join takes texts")
    return item


def _stripped(name: str) -> Callable[..., str]:
    method = getattr(str, name)

    def run(meter: Meter, text: str, chars: str | None = None, /) -> str:
        if isinstance(chars, str):
            require_steps(meter, len(text), len(chars))
        stripped: str = method(meter.soft(text), chars)
        return stripped

    return run


def _title(meter: Meter, text: str) -> str:
    require_slow(meter, text)
    return text.title()


def _get(meter: Meter, mapping: dict[Any, Any], key: Any, default: Any = None, /) -> Any:
    return readable(mapping.get(meter.weigh(key), default))


def _position(name: str) -> Callable[..., int]:
    def run(meter: Meter, items: Any, value: Any, *bounds: Any) -> int:
        meter.weigh(items)
        found: int = getattr(items, name)(meter.weigh(value), *bounds)
        return found

    return run


def _strftime(meter: Meter, moment: Any, format: str) -> str:
    if len(format) > MAX_FORMAT or _PADDED.search(format):
        raise Refused(f"strftime takes at most {MAX_FORMAT:,} characters and no widths")
    return meter.joined([moment.strftime(format)])


_HANDLERS: dict[tuple[str, str], Callable[..., Any]] = {
    ("str", "split"): _split,
    ("str", "rsplit"): _rsplit,
    ("str", "splitlines"): _splitlines,
    ("str", "replace"): _replace,
    ("str", "join"): _join,
    ("str", "title"): _title,
    **{("str", name): _stripped(name) for name in ("strip", "lstrip", "rstrip")},
    ("dict", "get"): _get,
    **{("sequence", name): _position(name) for name in ("index", "count")},
    ("moment", "strftime"): _strftime,
}
