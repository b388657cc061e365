"""What the fast tier's functions call: each takes exact builtin values, and fails on any other.

Given these, each gives what the metered tier's filter, test or method gives, because it is the same Python
operation. Where that goes through a text or a container, texts longer than the first argument and containers of over
a thousand items are left to that tier.
"""

import json
import operator
from collections.abc import Callable, Iterable
from types import NoneType
from typing import Any, Final, NoReturn

from promptreg.rendering.compat import JINJA_FILTERS
from promptreg.rendering.limits import MAX_NEEDLE
from promptreg.rendering.values import PLAIN, SCALARS

MAX_ITEMS = 1_000
CHARACTERS_AN_ITEM = 24  # an item costs as much as so many characters, as `join` pays six for what `map` reads of one
MAX_INDENT = 8
MAX_TITLE = 50_000
TITLE_COST = 3  # as much as so many other filters
MAX_DEPTH = 6  # of what is written as JSON
MAX_NUMBER = 2**64
_NUMBERS = frozenset({int, float})
_SEQUENCES = frozenset({list, tuple})
_SLICED = frozenset({str, list, tuple})
_ITERABLES = frozenset({list, tuple, dict})


class Bailout(Exception):
    """The values are outside the subset."""


class _Absent:
    """An absent variable: of no type that anything here takes; false, where the truth of a declared one is tested."""

    def __bool__(self) -> bool:
        return False


ABSENT: Final = _Absent()
TESTED: Final = PLAIN | {_Absent}


def unfit() -> NoReturn:
    """Give up."""
    raise Bailout


class _Numbers(dict[int, str]):
    """Integers as they are printed; most that prompts print are at hand."""

    def __missing__(self, number: int) -> str:
        return str(number) if -MAX_NUMBER < number < MAX_NUMBER else unfit()


NUMBERS: Final = _Numbers((number, str(number)) for number in range(1_000))


def text(value: Any) -> str:
    """Print a scalar."""
    if type(value) is int:
        return NUMBERS[value]
    return str(value) if type(value) in SCALARS else unfit()


def grown(most: int, chunks: list[str] | None, chunk: str) -> list[str]:
    """Give the chunks of a text with one more, of so many characters at most."""
    chunks = [] if chunks is None else chunks
    chunks.append(chunk)
    return chunks if sum(map(len, chunks)) <= most else unfit()


def exact(value: Any, kind: type) -> Any:
    """Give a value of exactly this type."""
    return value if type(value) is kind else unfit()


def short(value: Any, most: int) -> str:
    """Give a text of at most so many characters."""
    return value if type(value) is str and len(value) <= most else unfit()


def iterable(value: Any) -> Any:
    """Give what can be gone through: an exact list, tuple or dict."""
    return value if type(value) in _ITERABLES else unfit()


def sequence(value: Any) -> Any:
    """Give what can be unpacked."""
    return value if type(value) in _SEQUENCES else unfit()


def most_items(most: int) -> int:
    """Give how many items a step may take."""
    return min(MAX_ITEMS, most // CHARACTERS_AN_ITEM)


def scalars(most: int, value: Any) -> Any:
    """Give a list or tuple of scalars that is not long."""
    if len(sequence(value)) > most_items(most) or not SCALARS.issuperset(map(type, value)):
        unfit()
    return value


def small_range(*bounds: Any) -> range:
    """Be `range`, on integers; its length is paid for by the loop."""
    return range(*(exact(bound, int) for bound in bounds))


def picked(most: int, container: Any, key: Any) -> Any:
    """Be `container[key]`: the item of an exact dict or sequence."""
    if type(container) is dict:
        return container[short(key, most)]
    return container[key] if type(container) in _SEQUENCES and type(key) is int else unfit()


def small(most: int, value: Any) -> Any:
    """Give a scalar, a text of at most so many characters."""
    if type(value) not in SCALARS or (type(value) is str and len(value) > most):
        unfit()
    return value


def contains(most: int, value: Any, container: Any) -> bool:
    """Be `in`."""
    if type(container) is str:
        return exact(value, str) in short(container, most)
    if type(container) is dict:
        return small(most, value) in container
    return small(min(most, MAX_NEEDLE), value) in scalars(most, container)


def concat(most: int, *values: Any) -> str:
    """Be `~`."""
    texts = [text(value) for value in values]
    return "".join(texts) if sum(map(len, texts)) <= most else unfit()


def sliced(most: int, value: Any, start: int | None, stop: int | None) -> Any:
    """Be `value[start:stop]`."""
    length = len(value) if type(value) in _SLICED else unfit()
    taken = len(range(*slice(start, stop).indices(length)))
    return value[start:stop] if taken <= (most if type(value) is str else most_items(most)) else unfit()


def column(most: int, value: Any, key: str) -> list[Any]:
    """Give the items of that name, of exact dicts."""
    if len(sequence(value)) > most_items(most):
        unfit()
    return [item[key] if type(item) is dict else unfit() for item in value]


def _plus(most: int, left: Any, right: Any) -> Any:
    if type(left) is str and type(right) is str:
        return left + right if len(left) + len(right) <= most else unfit()
    return _add(left, right)


def _arithmetic(calculate: Callable[[Any, Any], Any]) -> Callable[[Any, Any], Any]:
    def run(left: Any, right: Any) -> Any:
        for number in (left, right):
            if type(number) not in _NUMBERS or not -MAX_NUMBER < number < MAX_NUMBER:
                unfit()
        return calculate(left, right)

    return run


_add = _arithmetic(operator.add)


def _on_text(method: Callable[[str], Any]) -> Callable[[int, Any], Any]:
    return lambda most, value: method(short(value, most))


def _titled(method: Callable[[str], str]) -> Callable[[int, Any], str]:
    return lambda most, value: method(short(value, min(most // TITLE_COST, MAX_TITLE)))


do_upper = _on_text(str.upper)
do_lower = _on_text(str.lower)
do_capitalize = _on_text(str.capitalize)
do_trim = _on_text(str.strip)
do_title = _titled(JINJA_FILTERS["title"])


def do_replace(most: int, value: Any, old: Any, new: Any) -> str:
    """Replace a text everywhere."""
    source, old, new = short(value, most), short(old, most), short(new, most)
    if len(source) + source.count(old) * len(new) > most:
        unfit()
    return source.replace(old, new)


def do_join(most: int, value: Any, separator: Any = "") -> str:
    """Join the texts of scalars."""
    texts, between = [text(item) for item in scalars(most, value)], short(separator, most)
    return between.join(texts) if sum(map(len, texts)) + len(between) * len(texts) <= most else unfit()


def do_length(value: Any) -> int:
    """Return the length of a builtin text or container."""
    return len(value) if type(value) in PLAIN else unfit()


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
        unfit()
    margin = "\n" + " " * (width if type(width) is int and 0 <= width <= MAX_INDENT else unfit())
    return lines[0] + "".join(margin + line if line else "\n" for line in lines[1:])


def do_round(value: Any, precision: Any = 0) -> Any:
    """Round a float."""
    if type(value) is not float or type(precision) is not int or not 0 <= precision <= 100:
        unfit()
    return round(value, precision)


def do_int(value: Any) -> int:
    """Return an integer as it is, and a boolean as 0 or 1."""
    return int(value) if type(value) is bool or (type(value) is int and -MAX_NUMBER < value < MAX_NUMBER) else unfit()


_encode = json.JSONEncoder(sort_keys=True).encode


def do_tojson(most: int, value: Any, indent: Any = None) -> str:
    """Write builtin values as JSON."""
    _require_small(value, most_items(most), most // 6)
    if indent is not None and not (type(indent) is int and 0 <= indent <= MAX_INDENT):
        unfit()
    written = _encode(value) if indent is None else json.dumps(value, sort_keys=True, indent=indent)
    if len(written) * 6 > most:
        unfit()
    for character, escape in (("<", "\\u003c"), (">", "\\u003e"), ("&", "\\u0026"), ("'", "\\u0027")):
        if character in written:
            written = written.replace(character, escape)
    return written


def _require_small(value: Any, most: int, characters: int) -> None:
    """Give up on what holds more values or characters than that, shared ones each time, or other than exact ones."""
    parts, level_ends, depth = [value], 1, 1
    for i, part in enumerate(parts):  # which grows on the way, level by level
        if i == level_ends:
            level_ends, depth = len(parts), depth + 1
        kind = type(part)
        if kind is str:
            characters -= len(part)
        elif kind in _ITERABLES:
            if len(parts) + 2 * len(part) > most or depth == MAX_DEPTH:
                unfit()
            parts += part if kind is not dict else (*part, *part.values())
        elif kind not in SCALARS or (kind is int and not -MAX_NUMBER < part < MAX_NUMBER):
            unfit()
    if characters < 0:
        unfit()


def do_truncate(most: int, value: Any, length: Any = 255) -> str:
    """Cut a text that is longer than that, at a space."""
    source = short(value, most - 3)
    if type(length) is not int or length < 3:
        unfit()
    return source if len(source) <= length + 5 else source[: length - 3].rsplit(" ", 1)[0] + "..."


def do_string(most: int, value: Any) -> str:
    """Return the text of a scalar."""
    return short(text(value), most)


def _got(most: int, value: Any, key: Any, default: Any = None) -> Any:
    return exact(value, dict).get(short(key, most), default)


def _is(kinds: Iterable[type]) -> Callable[[Any], bool]:
    allowed = frozenset(kinds)
    return lambda value: type(value) in allowed


is_boolean = _is([bool])
is_float = _is([float])
is_integer = _is([int])
is_mapping = _is([dict])
is_none = _is([NoneType])
is_number = _is([int, float, bool])
is_sequence = is_iterable = _is([str, list, tuple, dict])
is_string = _is([str])


def is_true(value: Any) -> bool:
    """Return whether a value is True."""
    return value is True


def is_false(value: Any) -> bool:
    """Return whether a value is False."""
    return value is False


def is_eq(value: Any, other: Any) -> Any:
    """Compare a scalar with `==`."""
    return value == other if type(value) in SCALARS else unfit()


def is_ne(value: Any, other: Any) -> Any:
    """Compare a scalar with `!=`."""
    return value != other if type(value) in SCALARS else unfit()


METHODS: dict[str, tuple[int, ...]] = {
    **dict.fromkeys(("upper", "lower", "capitalize", "title"), (0,)),
    "strip": (0,),
    "startswith": (1,),
    "endswith": (1,),
    "get": (1, 2),
}
"""Each method's numbers of arguments."""

GLOBALS: dict[str, Any] = {
    **{
        "ABSENT": ABSENT,
        "SCALARS": SCALARS,
        "PLAIN": PLAIN,
        "TESTED": TESTED,
        "unfit": unfit,
        "text": text,
        "numbers": NUMBERS,
    },
    **{
        "grown": grown,
        "iterable": iterable,
        "sequence": sequence,
        "small_range": small_range,
        "picked": picked,
        "contains": contains,
        "small": small,
        "concat": concat,
    },
    **{"plus": _plus, "minus": _arithmetic(operator.sub), "times": _arithmetic(operator.mul)},
    **{"divided": _arithmetic(operator.truediv), "divided_whole": _arithmetic(operator.floordiv)},
    **{"remainder": _arithmetic(operator.mod), "sliced": sliced, "column": column},
    **{f"call_{name}": _on_text(getattr(str, name)) for name in ("upper", "lower", "capitalize", "strip")},
    "call_title": _titled(str.title),
    "call_startswith": lambda most, value, start: short(value, most).startswith(short(start, most)),
    "call_endswith": lambda most, value, end: short(value, most).endswith(short(end, most)),
    "call_get": _got,
}
