"""Calls in templates, for the metered tier: methods of builtin types, macros, `range`, `dict` and `namespace`.

Each is measured before it runs. A template never holds a method as a value: `x.upper()` is one step, of the value
and the name.
"""

import re
from collections.abc import Callable, Mapping, Sequence
from types import FunctionType
from typing import Any

from jinja2 import Undefined
from markupsafe import Markup, escape

from promptreg.rendering.compat import LoopContext, Macro, Namespace
from promptreg.rendering.metered.containers import joined
from promptreg.rendering.metered.meter import Exceeded, Meter
from promptreg.rendering.metered.texts import replaced, require_slow, require_steps
from promptreg.rendering.values import METHODS, Refused, method_of, readable

MAX_FORMAT = 1_000
MAX_SAME_HASH = 200  # keys: each look-up compares with all of them
_PADDED = re.compile(r"%[-_0^#]*\d")


def call_method(meter: Meter, obj: Any, name: str, /, *args: Any, **kwargs: Any) -> Any:
    """Implement `obj.name(…)`; raise `Refused` for anything but a method of a builtin type."""
    found = _EXACT.get((type(obj), name)) or method_of(obj, name)
    if found is None:
        if isinstance(obj, Undefined):
            str(obj)
        raise Refused(f"{name} of a value of type {type(obj).__name__} can't be called")
    kind, function = found
    if type(obj) is Markup:
        return _of_markup(meter, obj, name, args, kwargs)
    measured = _MEASURED.get((kind, name))
    if measured is not None:
        return measured(meter, obj, *args, **kwargs)
    for value in (*args, *kwargs.values()):
        meter.weigh(value)
    if isinstance(obj, str):
        meter.soft(obj)
    return function(obj, *args, **kwargs)


def _of_markup(meter: Meter, obj: Markup, name: str, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Any:
    """Call a method of Markup: the text's own, with text arguments escaped, and Markup as its result."""
    if getattr(Markup, name) is getattr(str, name):
        return call_method(meter, str(obj), name, *args, **kwargs)
    if name == "join":
        pieces = [str(escape(meter.soft(item))) for item in meter.counted(*args, **kwargs)]
        return Markup(joined(meter, str(obj), pieces))
    if name in {"split", "rsplit", "splitlines"}:
        return [Markup(part) for part in call_method(meter, str(obj), name, *args, **kwargs)]
    # Which arguments Markup escapes depends on its version, so the longer result is measured, and Markup's returned.
    escaped = [str(escape(meter.soft(arg))) if isinstance(arg, str) else arg for arg in args]
    call_method(meter, str(obj), name, *escaped, **kwargs)
    if name == "replace":
        call_method(meter, str(obj), name, args[0], *escaped[1:])
    return getattr(Markup, name)(obj, *args, **kwargs)


_EXACT: dict[tuple[type, str], tuple[str, Callable[..., Any]]] = {
    (kind, name): (method, getattr(kind, name))
    for kind, method in ((str, "str"), (dict, "dict"), (list, "sequence"), (tuple, "sequence"), (LoopContext, "loop"))
    for name in METHODS[method]
}


def call(meter: Meter, function: Any, /, *args: Any, **kwargs: Any) -> Any:
    """Implement `name(…)` for a macro, a builtin function or the loop itself; raise `Refused` for anything else."""
    if type(function) is OwnMacro:
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


class OwnMacro(Macro):
    """A macro of the template; one that the application passes as a variable can't be called."""


class OwnNamespace(Namespace):
    """A namespace of the template: the only object that it may assign attributes of."""


def _namespace(meter: Meter, /, *pairs: Any, **items: Any) -> OwnNamespace:
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
    most = meter.limits.range_items
    parts = split(text, sep, most if maxsplit < 0 else min(maxsplit, most))
    meter.require_length(len(parts))
    return parts


def _splitlines(meter: Meter, text: str, keepends: bool = False) -> list[str]:
    lines = meter.soft(text).splitlines(keepends)
    meter.require_length(len(lines))
    return lines


def _replace(meter: Meter, text: str, old: str, new: str, count: int = -1, /) -> str:
    return replaced(meter, meter.soft(text), old, new, count)


def _join(meter: Meter, separator: str, iterable: Any, /) -> str:
    return joined(meter, separator, [_text(item) for item in meter.counted(iterable)])


def _text(item: Any) -> str:
    if not isinstance(item, str):
        raise Refused("join takes texts")
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
    return str.title(text)


def _get(meter: Meter, mapping: dict[Any, Any], key: Any, default: Any = None, /) -> Any:
    return readable(dict.get(mapping, meter.weigh(key), default))


def _position(name: str) -> Callable[..., int]:
    def run(meter: Meter, items: Any, value: Any, *bounds: Any) -> int:
        meter.weigh(items)
        kind: Any = list if isinstance(items, list) else tuple
        found: int = getattr(kind, name)(items, meter.weigh(value), *bounds)
        return found

    return run


def _strftime(meter: Meter, moment: Any, format: str) -> str:
    if len(format) > MAX_FORMAT or _PADDED.search(format):
        raise Refused(f"strftime takes at most {MAX_FORMAT:,} characters and no widths")
    return meter.joined([moment.strftime(format)])


_MEASURED: dict[tuple[str, str], Callable[..., Any]] = {
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
