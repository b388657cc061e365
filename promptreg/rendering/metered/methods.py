"""Calls of methods in templates, for the metered tier: the methods of builtin types in `METHODS`, and no others.

A template never holds a method as a value: `x.upper()` is one step, of the value and the name. Calls of functions
and macros are in `functions.py`.
"""

import re
from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, time
from typing import Any, TypeAlias

from markupsafe import Markup, escape

from promptreg.rendering.compat import LoopContext, missing
from promptreg.rendering.metered.containers import joined
from promptreg.rendering.metered.meter import Meter
from promptreg.rendering.metered.texts import replaced, require_slow, require_steps
from promptreg.rendering.values import Refused, readable, require_present

MAX_FORMAT = 1_000
_PADDED = re.compile(r"%[-_0^#]*\d")
Measured: TypeAlias = Callable[..., Any] | None


def _split(meter: Meter, text: str, sep: Any = None, maxsplit: int = -1) -> list[str]:
    return _checked_split(meter, text, sep, maxsplit, str.split)


def _rsplit(meter: Meter, text: str, sep: Any = None, maxsplit: int = -1) -> list[str]:
    _require_backward(meter, text, sep)
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


def _strip(name: str) -> Callable[..., str]:
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


def _count_item(meter: Meter, items: Any, value: Any, /) -> int:
    meter.weigh(items)
    return (list if isinstance(items, list) else tuple).count(items, meter.weigh(value))


def _index_item(meter: Meter, items: Any, value: Any, /, *bounds: Any) -> int:
    meter.weigh(items)
    kind: Any = list if isinstance(items, list) else tuple
    try:
        found: int = kind.index(items, meter.weigh(value), *bounds)
    except ValueError:  # its message quotes the value
        raise Refused("index finds no such item; test for it with in before") from None
    return found


def _rfind(meter: Meter, text: str, part: str, /, *bounds: Any) -> int:
    _require_backward(meter, text, part)
    return str.rfind(meter.soft(text), meter.weigh(part), *bounds)


def _index(meter: Meter, text: str, part: str, /, *bounds: Any) -> int:
    return _found("index", str.find(meter.soft(text), meter.weigh(part), *bounds))


def _rindex(meter: Meter, text: str, part: str, /, *bounds: Any) -> int:
    return _found("rindex", _rfind(meter, text, part, *bounds))


def _found(name: str, position: int) -> int:
    if position < 0:
        raise Refused(f"{name} finds no such text; {name.replace('index', 'find')} returns -1 there")
    return position


def _rpartition(meter: Meter, text: str, sep: str, /) -> tuple[str, str, str]:
    _require_backward(meter, text, sep)
    return str.rpartition(meter.soft(text), sep)


def _require_backward(meter: Meter, text: str, part: object) -> None:
    """Raise `Exceeded` before a text is searched from its end, which takes quadratic time."""
    if isinstance(part, str):
        require_steps(meter, len(text), len(part))


def _padded(name: str) -> Callable[..., str]:
    method = getattr(str, name)

    def run(meter: Meter, text: str, width: int, /, *fill: str) -> str:
        meter.require_characters(width)
        padded: str = method(meter.soft(text), width, *fill)
        return padded

    return run


def _strftime(meter: Meter, moment: Any, format: str) -> str:
    if len(format) > MAX_FORMAT or _PADDED.search(format):
        raise Refused(f"strftime takes at most {MAX_FORMAT:,} characters and no widths")
    return meter.joined([moment.strftime(format)])


TYPES: dict[str, tuple[type, ...]] = {
    "str": (str, Markup),
    "dict": (dict, OrderedDict),
    "sequence": (list, tuple),
    "moment": (datetime, date, time),
    "loop": (LoopContext,),
}
"""The builtin types of each kind of value that has methods."""

METHODS: dict[str, dict[str, Measured]] = {
    "str": {
        "capitalize": None,
        "casefold": None,
        "center": _padded("center"),
        "count": None,
        "endswith": None,
        "find": None,
        "index": _index,
        "isalnum": None,
        "isalpha": None,
        "isdecimal": None,
        "isdigit": None,
        "islower": None,
        "isnumeric": None,
        "isspace": None,
        "isupper": None,
        "join": _join,
        "ljust": _padded("ljust"),
        "lower": None,
        "lstrip": _strip("lstrip"),
        "partition": None,
        "removeprefix": None,
        "removesuffix": None,
        "replace": _replace,
        "rfind": _rfind,
        "rindex": _rindex,
        "rjust": _padded("rjust"),
        "rpartition": _rpartition,
        "rsplit": _rsplit,
        "rstrip": _strip("rstrip"),
        "split": _split,
        "splitlines": _splitlines,
        "startswith": None,
        "strip": _strip("strip"),
        "swapcase": None,
        "title": _title,
        "upper": None,
        "zfill": _padded("zfill"),
    },
    "dict": {"get": _get, "items": None, "keys": None, "values": None},
    "sequence": {"count": _count_item, "index": _index_item},
    "moment": {"date": None, "isoformat": None, "strftime": _strftime, "time": None},
    "loop": {"changed": None, "cycle": None},
}
"""The methods that a template may call, by kind of value: a function that measures the call before it makes it.

With None the text and the arguments are measured, and the builtin's method is called.
"""

_EXACT: dict[tuple[type, str], tuple[Measured, Callable[..., Any]]] = {
    (kind, name): (measured, getattr(kind, name))
    for key, kinds in TYPES.items()
    for kind in kinds
    for name, measured in METHODS[key].items()
    if hasattr(kind, name)
}


def call_method(meter: Meter, obj: Any, name: str, /, *args: Any, **kwargs: Any) -> Any:
    """Implement `obj.name(…)`; raise `Refused` for anything but a method of a builtin type."""
    found = _EXACT.get((type(obj), name)) or _method_of(obj, name)
    if found is None:
        require_present(obj)
        raise Refused(f"{name} of a value of type {type(obj).__name__} can't be called")
    measured, function = found
    if type(obj) is Markup:
        return _of_markup(meter, obj, name, args, kwargs)
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


def _method_of(obj: Any, name: str) -> tuple[Measured, Callable[..., Any]] | None:
    """Return the measured function and the builtin's own that `obj.name(…)` calls, or None if it is no such method.

    A subclass counts if it does not override the builtin's method; attributes of the instance don't count.
    """
    for key, kinds in TYPES.items():
        if name in METHODS[key] and isinstance(obj, kinds):
            method: Callable[..., Any] = getattr(type(obj), name, missing)
            if any(isinstance(obj, kind) and method is getattr(kind, name, None) for kind in kinds):
                return METHODS[key][name], method
    return None
