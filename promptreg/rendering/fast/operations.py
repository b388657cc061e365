"""The operations that generated code calls: operators, filters, tests and methods on exact builtin values.

Each returns what the metered tier returns, because it is the same Python operation, and bails out on other values.
Where it goes through a text or a container, `most` is the number of characters that it may take or make. The filters
and tests are declared in `rendering/filters.py`; which operation a template needs is decided in `expressions.py`.
"""

import json
from collections.abc import Callable
from functools import partial
from operator import is_
from types import NoneType
from typing import Any

from promptreg.rendering.compat import JINJA_FILTERS
from promptreg.rendering.fast.guards import (
    ABSENT,
    ITERABLES,
    MAX_NUMBER,
    bail_out,
    exact,
    iterable,
    most_items,
    number,
    sequence,
    short,
    short_scalar,
    small_scalars,
    small_sequence,
    tested,
    text,
)
from promptreg.rendering.limits import MAX_NEEDLE
from promptreg.rendering.values import DICT_NAMES, PLAIN, SCALARS

MAX_INDENT = 8
MAX_STRIPPED = 8  # characters that are removed, as Python looks for each of them in turn
MAX_ROWS = 20_000  # of a loop, which has no fuel for more
MAX_TITLE = 50_000
MAX_PRECISION = 20
MAX_DIGITS = 18
TITLE_COST = 3  # as much as so many other filters
MAX_DEPTH = 6  # of what is written as JSON
_SLICED = frozenset({str, list, tuple})
_title: Callable[[str], str] = JINJA_FILTERS["title"]
_round: Callable[[Any, int], Any] = JINJA_FILTERS["round"]

# Output and operators


def add_chunk(most: int, chunks: list[str] | None, chunk: str) -> list[str]:
    """Append a chunk of the text to those before it; together they may have so many characters."""
    chunks = [] if chunks is None else chunks
    chunks.append(chunk)
    return chunks if sum(map(len, chunks)) <= most else bail_out()


def small_range(*bounds: Any) -> range:
    """Return a `range` of integers; the loop pays for its length."""
    return range(*(exact(bound, int) for bound in bounds))


def zipped(*values: Any) -> list[Any]:
    """Return the rows of a `zip` of exact builtin containers; the loop pays for their number."""
    if min(map(len, map(iterable, values))) > MAX_ROWS:
        bail_out()
    return list(zip(*values, strict=False))


def get_item(most: int, container: Any, key: Any) -> Any:
    """Return `container[key]`, of an exact dict or sequence."""
    if type(container) is dict:
        return container[short(key, most)]
    return container[key] if type(container) in _SLICED and type(key) is int else bail_out()


def find_item(most: int, container: Any, key: Any) -> Any:
    """Return `container[key]`, or `ABSENT` where a dict has no such key, nor a method of that name."""
    if type(container) is dict and short(key, most) not in container:
        return ABSENT if key not in DICT_NAMES else bail_out()
    return get_item(most, container, key)


def get_slice(most: int, value: Any, start: Any, stop: Any, step: Any) -> Any:
    """Return `value[start:stop:step]`."""
    length = len(value) if type(value) in _SLICED else bail_out()
    taken = len(range(*slice(start, stop, step).indices(length)))
    return value[start:stop:step] if taken <= (most if type(value) is str else most_items(most)) else bail_out()


def contains(most: int, value: Any, container: Any) -> bool:
    """Return `value in container`."""
    if type(container) is str:
        return exact(value, str) in short(container, most)
    if type(container) is dict:
        return short_scalar(most, value) in container
    return short_scalar(min(most, MAX_NEEDLE), value) in small_scalars(most, container)


def concat(most: int, *values: Any) -> str:
    """Return the printed texts of scalars, joined (`~`)."""
    texts = [text(value) for value in values]
    return "".join(texts) if sum(map(len, texts)) <= most else bail_out()


def neighbour(items: Any, position: int) -> Any:
    """Return the item of a list or tuple at that position; `ABSENT` before the first and after the last."""
    return sequence(items)[position] if 0 <= position < len(items) else ABSENT


def add(most: int, left: Any, right: Any) -> Any:
    """Return the sum of two numbers, or two texts or lists joined."""
    kind = type(left)
    if kind in _SLICED and kind is type(right):
        return left + right if len(left) + len(right) <= (most if kind is str else most_items(most)) else bail_out()
    return number(left) + number(right)


def repeated(most: int, value: Any, times: Any) -> str:
    """Return a text repeated."""
    source, count = short(value, most), times if type(times) is int else bail_out()
    return source * count if len(source) * count <= most else bail_out()


def column(most: int, value: Any, key: str) -> list[Any]:
    """Return the item of that key of each of the exact dicts in a list."""
    return [item[key] if type(item) is dict else bail_out() for item in small_sequence(most, value)]


def with_value(most: int, value: Any, key: str, other: Any, is_wanted: bool) -> list[Any]:
    """Return the exact dicts in a list whose item of that key is equal to another value, or those where it is not."""
    items = small_sequence(most, value)
    return [item for item in items if (short_scalar(most, exact(item, dict)[key]) == other) is is_wanted]


def with_truth(most: int, value: Any, key: str, is_wanted: bool) -> list[Any]:
    """Return the exact dicts in a list whose item of that key is true, or those where it is false or absent."""
    items = small_sequence(most, value)
    return [item for item in items if bool(tested(exact(item, dict).get(key, ABSENT))) is is_wanted]


# Filters


def _on_text(method: Callable[[str], str]) -> Callable[[int, Any], str]:
    return lambda most, value: method(short(value, most))


do_upper = _on_text(str.upper)
do_lower = _on_text(str.lower)
do_capitalize = _on_text(str.capitalize)
do_trim = _on_text(str.strip)


def do_title(most: int, value: Any) -> str:
    """Write each word of a text with a capital, as Jinja does by Python code."""
    return _title(short(value, min(most // TITLE_COST, MAX_TITLE)))


def do_replace(most: int, value: Any, old: Any, new: Any) -> str:
    """Replace a text everywhere."""
    source, old, new = short(value, most), short(old, most), short(new, most)
    if len(source) + source.count(old) * len(new) > most:
        bail_out()
    return source.replace(old, new)


def do_join(most: int, value: Any, separator: Any = "") -> str:
    """Join the texts of scalars."""
    texts, between = [text(item) for item in small_scalars(most, value)], short(separator, most)
    return between.join(texts) if sum(map(len, texts)) + len(between) * len(texts) <= most else bail_out()


def do_length(value: Any) -> int:
    """Return the length of a builtin text or container."""
    return len(value) if type(value) in PLAIN else bail_out()


def do_list(most: int, value: Any) -> list[Any]:
    """Return a list of the items."""
    return list(value) if len(iterable(value)) <= most_items(most) else bail_out()


def do_round(value: Any, precision: Any = 0) -> Any:
    """Round a number."""
    return _round(number(value), precision if type(precision) is int and abs(precision) < MAX_PRECISION else bail_out())


def do_int(value: Any) -> int:
    """Convert a number, or a short text that is an integer."""
    return int(short(value, MAX_DIGITS) if type(value) is str else number(value))


def do_first(value: Any) -> Any:
    """Return the first item."""
    return sequence(value)[0]


def do_last(value: Any) -> Any:
    """Return the last item."""
    return sequence(value)[-1]


def do_indent(most: int, value: Any, width: Any = 4) -> str:
    """Indent each line but the first."""
    lines = (short(value, most) + "\n").splitlines()
    if len(lines) + 2 > most_items(most):
        bail_out()
    margin = "\n" + " " * _indentation(width)
    return lines[0] + "".join(margin + line if line else "\n" for line in lines[1:])


def _indentation(width: Any) -> int:
    return width if type(width) is int and 0 <= width <= MAX_INDENT else bail_out()


_encode = json.JSONEncoder(ensure_ascii=False, check_circular=False).encode  # of what is not nested deep


def do_tojson(most: int, value: Any, indent: Any = None) -> str:
    """Write builtin values as JSON."""
    _require_small(value, most_items(most), most)
    written = _encode(value) if indent is None else json.dumps(value, ensure_ascii=False, indent=_indentation(indent))
    return written if len(written) <= most else bail_out()


def _require_small(value: Any, most: int, characters: int) -> None:
    """Bail out on more values or characters than that, shared ones counted each time, and on other types."""
    level = [value]
    for _ in range(MAX_DEPTH):
        inner: list[Any] = []
        for part in level:
            kind = type(part)
            if kind is str:
                characters -= len(part)
            elif kind in ITERABLES:
                most -= 2 * len(part)
                if most < 0:
                    bail_out()
                inner += part
                if kind is dict:
                    inner += part.values()
            elif kind not in SCALARS or (kind is int and not -MAX_NUMBER < part < MAX_NUMBER):
                bail_out()
        level = inner
    if level or characters < 0:
        bail_out()


def do_truncate(most: int, value: Any, length: Any = 255) -> str:
    """Cut a text that is longer than that, at a space."""
    source = short(value, most - 3)
    if type(length) is not int or length < 3:
        bail_out()
    return source if len(source) <= length + 5 else source[: length - 3].rsplit(" ", 1)[0] + "..."


def do_string(most: int, value: Any) -> str:
    """Return the text of a scalar."""
    return short(text(value), most)


# Tests


def _is(*kinds: type) -> Callable[[Any], bool]:
    allowed = frozenset(kinds)
    return lambda value: type(value) in allowed


is_boolean = _is(bool)
is_float = _is(float)
is_integer = _is(int)
is_mapping = _is(dict)
is_none = _is(NoneType)
is_number = _is(int, float, bool)
is_sequence = is_iterable = _is(str, list, tuple, dict)
is_string = _is(str)
is_true = partial(is_, True)
is_false = partial(is_, False)

# Methods


def call_strip(most: int, value: Any, characters: Any = None) -> str:
    """Remove white space, or a few given characters, on both sides of a text."""
    return short(value, most).strip(_few(characters))


def call_lstrip(most: int, value: Any, characters: Any = None) -> str:
    """Remove white space, or a few given characters, at the start of a text."""
    return short(value, most).lstrip(_few(characters))


def call_rstrip(most: int, value: Any, characters: Any = None) -> str:
    """Remove white space, or a few given characters, at the end of a text."""
    return short(value, most).rstrip(_few(characters))


def _few(characters: Any) -> str | None:
    return None if characters is None else short(characters, MAX_STRIPPED)


def call_split(most: int, value: Any, separator: Any = None) -> list[str]:
    """Split a text."""
    parts = short(value, most).split(None if separator is None else short(separator, most))
    return parts if len(parts) <= most_items(most) else bail_out()


def call_startswith(most: int, value: Any, start: Any) -> bool:
    """Return whether a text starts with another."""
    return short(value, most).startswith(short(start, most))


def call_endswith(most: int, value: Any, end: Any) -> bool:
    """Return whether a text ends with another."""
    return short(value, most).endswith(short(end, most))


def call_get(most: int, value: Any, key: Any, default: Any = None) -> Any:
    """Return the item of a dict, or the default."""
    return exact(value, dict).get(short(key, most), default)


METHODS: dict[str, tuple[Callable[..., Any], tuple[int, ...]]] = {
    "upper": (do_upper, (0,)),
    "lower": (do_lower, (0,)),
    "strip": (call_strip, (0, 1)),
    "lstrip": (call_lstrip, (0, 1)),
    "rstrip": (call_rstrip, (0, 1)),
    "split": (call_split, (0, 1)),
    "replace": (do_replace, (2,)),
    "startswith": (call_startswith, (1,)),
    "endswith": (call_endswith, (1,)),
    "get": (call_get, (1, 2)),
}
"""Each method's function, and its numbers of arguments."""
