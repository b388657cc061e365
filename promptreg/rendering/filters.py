"""The filters and tests of the policy, each measured before it runs; what they give is what Jinja's own give.

Each takes the render's `Meter` first. Where Jinja's function does the work it is called as it is, on
operands that were measured; the others are written out because theirs run through Python's C code unseen
(sorting, summing, joining), print what no template may print, or change what they are given.
"""

import json
from collections.abc import Callable, Container, Iterable, Iterator, Mapping
from decimal import Decimal
from fractions import Fraction
from inspect import getattr_static
from itertools import groupby
from typing import Any, NamedTuple

from jinja2 import Undefined
from jinja2.exceptions import FilterArgumentError
from jinja2.filters import FILTERS as JINJA_FILTERS
from jinja2.tests import TESTS as JINJA_TESTS
from jinja2.utils import htmlsafe_json_dumps, url_quote
from markupsafe import Markup, escape

from promptreg.rendering.meter import Meter
from promptreg.rendering.policy import FILTERS, format_offence
from promptreg.rendering.values import Absent, Refused, read_attribute, read_item

MAX_ATTRIBUTE = 1_000
MAX_COUNTED = 500_000  # 65 ms for the words of twice as many
MAX_DIGITS = 4_300  # Python's own limit for base 10, here for every base
MAX_INDENT = 64
MAX_PRECISION = 300
MAX_SLOW_TEXT = 100_000  # characters for what goes through a text word by word
MAX_STEPS = 10_000_000  # characters × characters, where two texts are matched the slow way
TRUNCATE_LEEWAY = 5
SORTED_A_UNIT = 8  # comparisons

Getter = Callable[[Any], Any]


def require_steps(meter: Meter, first: int, second: int) -> None:
    """Raise `Exceeded` before two texts of these lengths are matched character by character."""
    if first * second > MAX_STEPS:
        raise meter.too_big("characters", "matching two texts takes too long")
    meter.spend(first * second // (MAX_STEPS // 10_000))


def require_slow(meter: Meter, text: str | bytes) -> None:
    """Raise `Exceeded` before Python code goes through a text that is long for that."""
    if len(text) > MAX_SLOW_TEXT:
        raise meter.too_big("characters", f"a text of over {MAX_SLOW_TEXT:,} characters is too long for this filter")
    meter.spend(len(text) // 2)


# Text to text


def _on_text(name: str) -> Callable[..., Any]:
    """Give a filter that takes one text and makes another of about its length."""
    jinja = JINJA_FILTERS[name]

    def run(meter: Meter, value: Any) -> Any:
        return _made(meter, jinja(meter.soft(value)))

    return run


def _made(meter: Meter, text: str) -> str:
    meter.require_characters(str.__len__(text))
    return text


def _escape(meter: Meter, value: Any) -> Any:
    return _made(meter, escape(value if hasattr(value, "__html__") else meter.soft(value)))


def _forceescape(meter: Meter, value: Any) -> Any:
    return _made(meter, escape(meter.soft(value.__html__() if hasattr(value, "__html__") else meter.text(value))))


def _safe(meter: Meter, value: Any) -> Any:
    return Markup(value if hasattr(value, "__html__") else meter.soft(value))


def _striptags(meter: Meter, value: Any) -> Any:
    text = meter.soft(value.__html__() if hasattr(value, "__html__") else meter.text(value))
    require_steps(meter, text.count("<"), len(text))
    return _made(meter, Markup(text).striptags())


def _trim(meter: Meter, value: Any, chars: str | None = None) -> Any:
    text = meter.soft(value)
    if isinstance(chars, str):
        require_steps(meter, len(text), len(chars))
    return text.strip(chars)


def _title(meter: Meter, value: Any) -> Any:
    text = meter.soft(value)
    require_slow(meter, text)
    return _made(meter, JINJA_FILTERS["title"](text))


def _center(meter: Meter, value: Any, width: int = 80) -> Any:
    meter.require_characters(width)
    return meter.soft(value).center(width)


def _indent(meter: Meter, s: str, width: int | str = 4, first: bool = False, blank: bool = False) -> Any:
    text = _text_only(meter, s)
    unit = str.__len__(width) if isinstance(width, str) else width
    meter.require_characters(unit)
    meter.require_characters(len(text) + (len(text.splitlines()) + 2) * unit)
    return JINJA_FILTERS["indent"](text, width, first, blank)


def _text_only(meter: Meter, value: Any) -> str:
    """Some filters would change a list that they are given as if it were text."""
    if isinstance(value, Undefined):
        str(value)
    if not isinstance(value, str):
        raise TypeError("takes text")
    return meter.soft(value)


def _truncate(
    meter: Meter, s: str, length: int = 255, killwords: bool = False, end: str = "...", leeway: int | None = None
) -> Any:
    text = s if isinstance(s, str) else _text_only(meter, s)
    meter.require_characters(min(length, str.__len__(text)) + len(end))
    leeway = TRUNCATE_LEEWAY if leeway is None else leeway
    if length < len(end) or leeway < 0:
        raise FilterArgumentError("length must hold the end, and leeway must not be negative")
    if len(text) <= length + leeway:
        return text
    kept = text[: length - len(end)]
    return (kept if killwords else kept.rsplit(" ", 1)[0]) + end


def _wordwrap(
    meter: Meter,
    s: str,
    width: int = 79,
    break_long_words: bool = True,
    wrapstring: str | None = None,
    break_on_hyphens: bool = True,
) -> Any:
    text = _text_only(meter, s)
    require_slow(meter, text)
    longest = max(map(len, text.split()), default=0)
    require_steps(meter, longest, longest)
    wrapped = "\n" if wrapstring is None else wrapstring
    meter.require_characters((len(text) + 1) * (1 + len(wrapped)))
    jinja: Any = JINJA_FILTERS["wordwrap"]
    return jinja(_ENVIRONMENT, text, width, break_long_words, wrapped, break_on_hyphens)


class _Newline(NamedTuple):
    newline_sequence: str


_ENVIRONMENT: Any = _Newline("\n")


def _wordcount(meter: Meter, value: Any) -> Any:
    text = meter.soft(value)
    if len(text) > MAX_COUNTED:
        raise meter.too_big("characters", f"a text of over {MAX_COUNTED:,} characters is too long to count its words")
    return JINJA_FILTERS["wordcount"](text)


def _replace(meter: Meter, s: Any, old: Any, new: Any, count: int | None = None) -> str:
    return replaced(
        meter, str(meter.soft(s)), str(meter.soft(old)), str(meter.soft(new)), -1 if count is None else count
    )


def replaced(meter: Meter, text: str, old: str, new: str, count: int = -1, /) -> str:
    """Be `str.replace`, on texts that are not too long for what comes out."""
    found = text.count(old)
    times = found if count < 0 else min(found, count)
    meter.require_characters(len(text) + times * (len(new) - len(old)))
    return text.replace(old, new, count)


def _format(meter: Meter, value: Any, *args: Any, **kwargs: Any) -> str:
    reason = format_offence(value) if type(value) is str else "takes a literal text"
    if reason:
        raise Refused(f"the filter format {reason}")
    if args and kwargs:
        raise FilterArgumentError("can't handle positional and keyword arguments at the same time")
    shown = tuple(_shown(meter, arg) for arg in args)
    named = {name: _shown(meter, arg) for name, arg in kwargs.items()}
    texts = [arg for arg in (*shown, *named.values()) if isinstance(arg, str)]
    meter.require_characters(len(value) * (1 + max(map(len, texts), default=0)) if texts else len(value))
    formatted: str = value % (named or shown)
    return formatted


def _shown(meter: Meter, value: Any) -> Any:
    return value if isinstance(value, int | float | complex | Decimal | Fraction) else str(meter.soft(value))


def _urlencode(meter: Meter, value: Any) -> str:
    if isinstance(value, str) or not isinstance(value, Iterable):
        return _quoted(meter, value, for_qs=False)
    pairs = value.items() if isinstance(value, dict) else value
    told = [f"{_quoted(meter, k, for_qs=True)}={_quoted(meter, v, for_qs=True)}" for k, v in meter.counted(pairs)]
    return meter.joined(["&".join(told)])


def _quoted(meter: Meter, value: Any, *, for_qs: bool) -> str:
    text = value if isinstance(value, str | bytes) else meter.text(value)
    require_slow(meter, text)
    return url_quote(text, for_qs=for_qs)


# Numbers


def _digits(meter: Meter, value: Any) -> Any:
    if isinstance(value, str | bytes) and len(value) > MAX_DIGITS:
        raise meter.too_big("integer_bits", f"a number of over {MAX_DIGITS:,} digits is too long")
    return value


def _int(meter: Meter, value: Any, default: Any = 0, base: int = 10) -> Any:
    return JINJA_FILTERS["int"](_digits(meter, value), default, base)


def _float(meter: Meter, value: Any, default: Any = 0.0) -> Any:
    return JINJA_FILTERS["float"](_digits(meter, value), default)


def _filesizeformat(meter: Meter, value: Any, binary: bool = False) -> str:
    return str(JINJA_FILTERS["filesizeformat"](_digits(meter, value), binary))


def _round(meter: Meter, value: Any, precision: int = 0, method: str = "common") -> Any:
    if isinstance(precision, int) and abs(precision) > MAX_PRECISION:
        raise Refused(f"round takes a precision of at most {MAX_PRECISION}")
    _digits(meter, value)
    return JINJA_FILTERS["round"](value, precision, method)


def _abs(_meter: Meter, value: Any) -> Any:
    return abs(value)


def _sum(meter: Meter, iterable: Iterable[Any], attribute: str | int | None = None, start: Any = 0) -> Any:
    get = _getter(meter, attribute)
    items = [get(item) for item in meter.counted(iterable)]
    if isinstance(start, str | bytes | bytearray):
        raise TypeError("sum takes no text")
    if not any(hasattr(type(item), "__len__") for item in (start, *items)):
        return meter.add(sum(items, start), 0) if type(start) is int else sum(items, start)
    total = start
    for item in items:
        total = meter.add(total, item)
    return total


# Containers


def _getter(meter: Meter, attribute: str | int | None, default: Any = None) -> Getter:
    """Give what reads `a.b.0` of an item, by the policy's rules."""
    if attribute is None:
        return lambda item: item
    _require_short(attribute)
    names = attribute.split(".") if isinstance(attribute, str) else [attribute]
    parts = [int(name) if isinstance(name, str) and name.isdigit() else name for name in names]

    def get(item: Any) -> Any:
        meter.spend(len(parts))
        for part in parts:
            item = read_item(item, part)
            if default is not None and isinstance(item, Undefined):
                item = default
        return item

    return get


def _require_short(attribute: str | int) -> None:
    if isinstance(attribute, str) and len(attribute) > MAX_ATTRIBUTE:
        raise Refused(f"the name of an attribute has more than {MAX_ATTRIBUTE:,} characters")


def _folded(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value


def _keys(meter: Meter, items: list[Any], get: Getter, case_sensitive: bool) -> list[Any]:
    """Give what items are compared by: weighed all together before any is copied or compared."""
    keys = meter.weigh([get(item) for item in items])
    meter.spend(len(keys) * len(keys).bit_length() // SORTED_A_UNIT)
    return keys if case_sensitive else [_folded(key) for key in keys]


def _sort(
    meter: Meter,
    value: Iterable[Any],
    reverse: bool = False,
    case_sensitive: bool = False,
    attribute: str | int | None = None,
) -> list[Any]:
    if attribute is not None:
        _require_short(attribute)
    names = attribute.split(",") if isinstance(attribute, str) else [attribute]
    items = meter.as_list(value)
    columns = [_keys(meter, items, _getter(meter, name), case_sensitive) for name in names]
    keys = list(zip(*columns, strict=True))
    return [items[i] for i in sorted(range(len(items)), key=keys.__getitem__, reverse=reverse)]


def _dictsort(
    meter: Meter, value: Mapping[Any, Any], case_sensitive: bool = False, by: str = "key", reverse: bool = False
) -> list[Any]:
    if by not in {"key", "value"}:
        raise FilterArgumentError('You can only sort by either "key" or "value"')
    if isinstance(value, Undefined):
        str(value)
    items = list(_items(meter, value))
    keys = _keys(meter, items, lambda item: item[by == "value"], case_sensitive)
    return [items[i] for i in sorted(range(len(items)), key=keys.__getitem__, reverse=reverse)]


def _items(meter: Meter, value: Any) -> Iterator[tuple[Any, Any]]:
    if isinstance(value, Undefined):
        return
    if not isinstance(value, Mapping):
        raise TypeError("Can only get item pairs from a mapping.")
    yield from meter.counted(value.items())


def _unique(
    meter: Meter, value: Iterable[Any], case_sensitive: bool = False, attribute: str | int | None = None
) -> Iterator[Any]:
    get, seen = _getter(meter, attribute), set()
    for item in meter.counted(value):
        found = meter.weigh(get(item))
        key = found if case_sensitive else _folded(found)
        if key not in seen:
            seen.add(key)
            yield item


def _extreme(choose: Callable[..., int]) -> Callable[..., Any]:
    def run(
        meter: Meter, value: Iterable[Any], case_sensitive: bool = False, attribute: str | int | None = None
    ) -> Any:
        items = meter.as_list(value)
        if not items:
            return Absent("No aggregated item, sequence was empty.")
        keys = _keys(meter, items, _getter(meter, attribute), case_sensitive)
        return items[choose(range(len(items)), key=keys.__getitem__)]

    return run


class Group(NamedTuple):
    """What `groupby` gives: what the items have in common, and the items."""

    grouper: Any
    list: list[Any]

    def __repr__(self) -> str:
        return tuple.__repr__(self)


def _groupby(
    meter: Meter, value: Iterable[Any], attribute: str | int, default: Any = None, case_sensitive: bool = False
) -> list[Group]:
    get = _getter(meter, attribute, default)
    items = meter.as_list(value)
    keys = _keys(meter, items, get, case_sensitive)
    order = sorted(range(len(items)), key=keys.__getitem__)
    groups = [(key, [items[i] for i in group]) for key, group in groupby(order, keys.__getitem__)]
    return [Group(key if case_sensitive else get(group[0]), group) for key, group in groups]


def _join(meter: Meter, value: Iterable[Any], d: Any = "", attribute: str | int | None = None) -> str:
    separator, get = meter.text(d), _getter(meter, attribute)
    return joined(meter, separator, [meter.text(get(item)) for item in meter.counted(value)])


def joined(meter: Meter, separator: str, pieces: list[str]) -> str:
    """Be `str.join`."""
    meter.require_characters(sum(map(len, pieces)) + len(separator) * max(len(pieces) - 1, 0))
    return separator.join(pieces)


def _first(_meter: Meter, seq: Iterable[Any]) -> Any:
    return next(iter(seq), _EMPTY)


def _last(_meter: Meter, seq: Any) -> Any:
    return next(iter(reversed(seq)), _EMPTY)


_EMPTY = Absent("The sequence was empty.")


def _length(_meter: Meter, value: Any) -> int:
    return len(value)


def _list(meter: Meter, value: Iterable[Any]) -> list[Any]:
    return meter.as_list(value)


def _reverse(meter: Meter, value: Any) -> Any:
    if isinstance(value, str):
        return meter.soft(value)[::-1]
    try:
        return reversed(value)
    except TypeError:
        return meter.as_list(value)[::-1]


def _batch(meter: Meter, value: Iterable[Any], linecount: int, fill_with: Any = None) -> Iterator[list[Any]]:
    row: list[Any] = []
    for item in meter.counted(value):
        if len(row) == linecount:
            yield row
            row = []
        row.append(item)
    if row:
        if fill_with is not None and len(row) < linecount:
            meter.require_items(linecount)
            row += [fill_with] * (linecount - len(row))
        yield row


def _slice(meter: Meter, value: Iterable[Any], slices: int, fill_with: Any = None) -> Iterator[list[Any]]:
    items = meter.as_list(value)
    size, longer = divmod(len(items), slices)
    start = 0
    for i in range(slices):
        meter.spend(1)
        end = start + size + (i < longer)
        row = items[start:end]
        if fill_with is not None and i >= longer:
            row.append(fill_with)
        yield row
        start = end


def _default(_meter: Meter, value: Any, default_value: Any = "", boolean: bool = False) -> Any:
    if isinstance(value, Undefined) or (boolean and not value):
        return default_value
    return value


def _attr(_meter: Meter, obj: Any, name: str) -> Any:
    if name.startswith("_"):
        raise Refused("names that start with _ can't be read by the filter attr")
    try:
        getattr_static(obj, name)
    except AttributeError:
        if not hasattr(obj, name):
            return Absent(obj=obj, name=name)
    return read_attribute(obj, name)


# Item by item


def call_filter(meter: Meter, name: Any, value: Any, args: Iterable[Any], kwargs: Mapping[str, Any]) -> Any:
    """Call a filter by its name, as `map` does; a pattern of `format` must be spelled in the template."""
    if not isinstance(name, str) or name not in FILTERS or name == "format":
        raise Refused("map takes the name of a filter that may be used there")
    return TEMPLATE_FILTERS[name](meter, value, *args, **kwargs)


def call_test(meter: Meter, name: Any, value: Any, args: Iterable[Any], kwargs: Mapping[str, Any]) -> Any:
    """Call a test by its name, as `select` does."""
    if not isinstance(name, str) or name not in TEMPLATE_TESTS:
        raise Refused("there is no test of that name")
    return TEMPLATE_TESTS[name](meter, value, *args, **kwargs)


def _map(meter: Meter, value: Iterable[Any], *args: Any, **kwargs: Any) -> Iterator[Any]:
    if not value:
        return
    if not args and "attribute" in kwargs:
        get = _getter(meter, kwargs.pop("attribute"), kwargs.pop("default", None))
        if kwargs:
            raise FilterArgumentError("Unexpected keyword argument")
    elif not args:
        raise FilterArgumentError("map requires a filter argument")
    else:
        get = lambda item: call_filter(meter, args[0], item, args[1:], kwargs)  # noqa: E731
    for item in meter.counted(value):
        meter.spend(4)
        yield meter.called(get, item)


def _choosing(*, wanted: bool, by_attribute: bool) -> Callable[..., Iterator[Any]]:
    def run(meter: Meter, value: Iterable[Any], *args: Any, **kwargs: Any) -> Iterator[Any]:
        if not value:
            return
        if by_attribute and not args:
            raise FilterArgumentError("Missing parameter for attribute name")
        get = _getter(meter, args[0]) if by_attribute else _getter(meter, None)
        test = args[1:] if by_attribute else args
        for item in meter.counted(value):
            meter.spend(4)
            found = get(item)
            is_so = meter.called(call_test, meter, test[0], found, test[1:], kwargs) if test else found
            if bool(is_so) is wanted:
                yield item

    return run


# JSON


def _tojson(meter: Meter, value: Any, indent: int | str | None = None) -> Any:
    meter.weigh(value)
    size = len(indent) if isinstance(indent, str) else indent or 0
    if isinstance(size, int) and size > MAX_INDENT:
        raise Refused(f"tojson takes an indent of at most {MAX_INDENT}")
    extra: dict[str, Any] = {} if indent is None else {"indent": indent}
    plain = _plain(meter, value, meter.limits.depth)
    return _made(meter, htmlsafe_json_dumps(plain, json.dumps, sort_keys=True, default=_refuse_json, **extra))


def _plain(meter: Meter, value: Any, depth: int) -> Any:
    """Give containers as builtin ones: those of a class of its own are gone through item by item, paid for."""
    if depth < 0:
        raise meter.too_big("depth", "a container is nested too deep")
    if isinstance(value, dict):
        return {key: _plain(meter, item, depth - 1) for key, item in meter.counted(value.items())}
    if isinstance(value, list | tuple):
        return [_plain(meter, item, depth - 1) for item in meter.counted(value)]
    return value


def _refuse_json(value: object) -> str:
    """Be json's last resort: an absent variable tells that it is absent, anything else can't be told."""
    if isinstance(value, Undefined):
        return str(value)
    raise TypeError(f"{type(value).__name__} is not JSON")


TEMPLATE_FILTERS: dict[str, Callable[..., Any]] = {
    **{name: _on_text(name) for name in ("capitalize", "lower", "upper", "string")},
    **{"escape": _escape, "e": _escape, "forceescape": _forceescape, "safe": _safe, "striptags": _striptags},
    **{"trim": _trim, "title": _title, "center": _center, "indent": _indent, "truncate": _truncate},
    **{"wordwrap": _wordwrap, "wordcount": _wordcount, "replace": _replace, "format": _format},
    **{"urlencode": _urlencode, "int": _int, "float": _float, "filesizeformat": _filesizeformat, "round": _round},
    **{"abs": _abs, "sum": _sum, "sort": _sort, "dictsort": _dictsort, "items": _items, "unique": _unique},
    **{"min": _extreme(min), "max": _extreme(max), "groupby": _groupby, "join": _join, "first": _first},
    **{"last": _last, "length": _length, "count": _length, "list": _list, "reverse": _reverse, "batch": _batch},
    **{"slice": _slice, "default": _default, "d": _default, "attr": _attr, "map": _map, "tojson": _tojson},
    "select": _choosing(wanted=True, by_attribute=False),
    "reject": _choosing(wanted=False, by_attribute=False),
    "selectattr": _choosing(wanted=True, by_attribute=True),
    "rejectattr": _choosing(wanted=False, by_attribute=True),
}


def _unmeasured(name: str) -> Callable[..., bool]:
    """Give a test that only looks at the type."""
    jinja: Any = JINJA_TESTS[name]
    return lambda _meter, value, *args: bool(jinja(value, *args))


def _compared(method: str) -> Callable[..., Any]:
    return lambda meter, value, other: getattr(meter, method)(value, other)


def _remainder_is(divisor: int, wanted: int) -> Callable[..., bool]:
    return lambda meter, value: meter.remainder(value, divisor) == wanted


def _named(names: Callable[[], Container[str]]) -> Callable[..., bool]:
    return lambda meter, value: meter.weigh(value) in names()


TEMPLATE_TESTS: dict[str, Callable[..., Any]] = {
    **{
        name: _unmeasured(name)
        for name in (
            "boolean callable defined escaped false float integer iterable mapping none "
            "number sameas sequence string true undefined"
        ).split()
    },
    **dict.fromkeys(("==", "eq", "equalto"), _compared("eq")),
    **dict.fromkeys(("!=", "ne"), _compared("ne")),
    **dict.fromkeys((">", "gt", "greaterthan"), _compared("gt")),
    **dict.fromkeys((">=", "ge"), _compared("gteq")),
    **dict.fromkeys(("<", "lt", "lessthan"), _compared("lt")),
    **dict.fromkeys(("<=", "le"), _compared("lteq")),
    "in": _compared("contains"),
    "odd": _remainder_is(2, 1),
    "even": _remainder_is(2, 0),
    "divisibleby": lambda meter, value, num: meter.remainder(value, num) == 0,
    "lower": lambda meter, value: str(meter.soft(value)).islower(),
    "upper": lambda meter, value: str(meter.soft(value)).isupper(),
    "filter": _named(lambda: TEMPLATE_FILTERS),
    "test": _named(lambda: TEMPLATE_TESTS),
}
