"""The filters on containers, for the metered tier: each measures its operands, and returns what Jinja's returns.

They are written out here, because Jinja's own leave sorting, summing and joining to C code that can't be metered.
Filters on one text or number are in `texts.py`; those that call others by name in `selecting.py`.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from decimal import Decimal
from inspect import getattr_static
from itertools import groupby
from typing import Any, NamedTuple

from jinja2 import Undefined
from pydantic import BaseModel

from promptreg.rendering.metered.meter import Exceeded, Meter
from promptreg.rendering.metered.operators import add
from promptreg.rendering.values import (
    SCALARS,
    Absent,
    Refused,
    read_attribute,
    read_item,
    require_open,
    require_present,
)

MAX_ATTRIBUTE = 1_000
MAX_COLUMNS = 8
MAX_INDENT = 16
_JSON_SCALARS = (str, int, float)
SORTED_A_UNIT = 8  # comparisons by C code
MAX_OBJECTS = 2_000  # that Python code compares: 200 ms for five times as many
MAX_ADDED = 1 << 1_000

Getter = Callable[[Any], Any]


def lazy(filter_: Callable[..., Iterator[Any]], levels: int = 1) -> Callable[..., Iterator[Any]]:
    """Count each iterator that a filter returns as so many open ones until it is exhausted or dropped."""

    def items(meter: Meter, found: Iterator[Any]) -> Iterator[Any]:
        try:
            yield None
            yield from found
        finally:
            meter.end_lazy(levels)

    def run(meter: Meter, /, *args: Any, **kwargs: Any) -> Iterator[Any]:
        require_present(*args[:1])  # which Jinja's do when they are gone through, and `map` and `items` never
        meter.begin_lazy(levels)
        begun = items(meter, filter_(meter, *args, **kwargs))
        next(begun)  # into its try block, so that dropping it counts too
        return begun

    return run


def getter(meter: Meter, attribute: str | int | None, default: Any = None) -> Getter:
    """Return a function that reads `a.b.0` of an item, as a template may read it."""
    if attribute is None:
        return lambda item: item
    _require_name(attribute)
    names = attribute.split(".") if isinstance(attribute, str) else [attribute]
    parts = [int(name) if isinstance(name, str) and name.isdigit() else name for name in names]

    def get(item: Any) -> Any:
        meter.spend(len(parts))
        for part in parts:
            found = read_item(item, part)
            item = Absent(obj=item) if isinstance(found, Absent) else found  # no error may quote the name
            if default is not None and isinstance(item, Undefined):
                item = default
        return item

    return get


def _require_name(attribute: object) -> None:
    if type(attribute) not in {str, int}:
        raise Refused("an attribute is named by a text or a number")
    if isinstance(attribute, str) and len(attribute) > MAX_ATTRIBUTE:
        raise Refused(f"the name of an attribute has more than {MAX_ATTRIBUTE:,} characters")


def _folded(value: Any) -> Any:
    return value.lower() if isinstance(value, str) else value


def _keys(meter: Meter, items: list[Any], get: Getter, case_sensitive: bool) -> list[Any]:
    """Return what items are compared by, all of it weighed before any is compared; pay for the sorting."""
    keys = meter.weigh([get(item) for item in items])
    work = len(keys) * len(keys).bit_length()
    if SCALARS.issuperset(map(type, keys)):
        meter.spend(work // SORTED_A_UNIT)
    elif len(keys) > MAX_OBJECTS:
        raise Exceeded(f"more than {MAX_OBJECTS:,} values that are not all texts or numbers are put in order")
    else:
        meter.spend(work)
    return keys if case_sensitive else [_folded(key) for key in keys]


def do_sort(
    meter: Meter,
    value: Iterable[Any],
    reverse: bool = False,
    case_sensitive: bool = False,
    attribute: str | int | None = None,
) -> list[Any]:
    """Sort by the items, or by up to eight of their attributes."""
    if attribute is not None:
        _require_name(attribute)
    names = attribute.split(",") if isinstance(attribute, str) else [attribute]
    if len(names) > MAX_COLUMNS:
        raise Refused(f"sort takes at most {MAX_COLUMNS} attributes")
    items = meter.as_list(value)
    columns = [_keys(meter, items, getter(meter, name), case_sensitive) for name in names]
    keys = list(zip(*columns, strict=True))
    return [items[i] for i in sorted(range(len(items)), key=keys.__getitem__, reverse=reverse)]


def do_dictsort(
    meter: Meter, value: Mapping[Any, Any], case_sensitive: bool = False, by: str = "key", reverse: bool = False
) -> list[Any]:
    """Return the pairs of a mapping, sorted by key or by value."""
    if by not in {"key", "value"}:
        raise Refused("dictsort sorts by key or by value")
    require_present(value)
    if not isinstance(value, Mapping):
        raise Refused("dictsort takes a mapping")
    items = list(do_items(meter, value))
    keys = _keys(meter, items, lambda item: item[by == "value"], case_sensitive)
    return [items[i] for i in sorted(range(len(items)), key=keys.__getitem__, reverse=reverse)]


@lazy
def do_items(meter: Meter, value: Any) -> Iterator[tuple[Any, Any]]:
    """Yield the pairs of a mapping; none for the missing `else` of `x if y`, as in Jinja."""
    if isinstance(value, Undefined):
        return
    if not isinstance(value, Mapping):
        raise Refused("items takes a mapping")
    yield from meter.counted(value.items())


@lazy
def do_unique(
    meter: Meter, value: Iterable[Any], case_sensitive: bool = False, attribute: str | int | None = None
) -> Iterator[Any]:
    """Yield each item once."""
    get, seen = getter(meter, attribute), set()
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
        keys = _keys(meter, items, getter(meter, attribute), case_sensitive)
        return items[choose(range(len(items)), key=keys.__getitem__)]

    return run


do_max = _extreme(max)
do_min = _extreme(min)


class Group(NamedTuple):
    """A result of `groupby`: the value that the items have in common, and the items."""

    grouper: Any
    list: list[Any]

    def __repr__(self) -> str:
        return tuple.__repr__(self)


def do_groupby(
    meter: Meter, value: Iterable[Any], attribute: str | int, default: Any = None, case_sensitive: bool = False
) -> list[Group]:
    """Group the items by an attribute."""
    get = getter(meter, attribute, default)
    items = meter.as_list(value)
    keys = _keys(meter, items, get, case_sensitive)
    order = sorted(range(len(items)), key=keys.__getitem__)
    groups = [(key, [items[i] for i in group]) for key, group in groupby(order, keys.__getitem__)]
    return [Group(key if case_sensitive else get(group[0]), group) for key, group in groups]


def do_join(meter: Meter, value: Iterable[Any], d: Any = "", attribute: str | int | None = None) -> str:
    """Join the texts of the items."""
    separator, get = meter.text(d), getter(meter, attribute)
    return joined(meter, separator, [meter.text(get(item)) for item in meter.counted(value)])


def joined(meter: Meter, separator: str, pieces: list[str]) -> str:
    """Implement `str.join`."""
    meter.require_characters(sum(map(len, pieces)) + len(separator) * max(len(pieces) - 1, 0))
    return separator.join(pieces)


def do_first(_meter: Meter, seq: Iterable[Any]) -> Any:
    """Return the first item."""
    return next(iter(seq), _EMPTY)


def do_last(_meter: Meter, seq: Any) -> Any:
    """Return the last item."""
    return next(iter(reversed(seq)), _EMPTY)


_EMPTY = Absent("The sequence was empty.")


def do_length(_meter: Meter, value: Any) -> int:
    """Return the number of items."""
    return len(value)


def do_list(meter: Meter, value: Iterable[Any]) -> list[Any]:
    """Return the items as a list."""
    return meter.as_list(value)


def do_reverse(meter: Meter, value: Any) -> Any:
    """Reverse a text or a sequence."""
    if issubclass(type(value), str):
        return meter.soft(value)[::-1]
    try:
        return reversed(value)
    except TypeError:
        return meter.as_list(value)[::-1]


@lazy
def do_batch(meter: Meter, value: Iterable[Any], linecount: int, fill_with: Any = None) -> Iterator[list[Any]]:
    """Yield lists of `linecount` items each."""
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


@lazy
def do_slice(meter: Meter, value: Iterable[Any], slices: int, fill_with: Any = None) -> Iterator[list[Any]]:
    """Yield `slices` lists of about the same length."""
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


def do_default(_meter: Meter, value: Any, default_value: Any = "", boolean: bool = False) -> Any:
    """Return a default where the value is absent, or with `boolean` where it is false."""
    if isinstance(value, Undefined) or (boolean and not value):
        return default_value
    return value


def do_attr(_meter: Meter, obj: Any, name: str) -> Any:
    """Return an attribute, never an item."""
    if name.startswith("_"):
        raise Refused("names that start with _ can't be read by the filter attr")
    require_open(obj)
    try:
        getattr_static(obj, name)
    except AttributeError:
        if not hasattr(obj, name):
            return Absent(obj=obj)
    return read_attribute(obj, name)


def do_sum(meter: Meter, iterable: Iterable[Any], attribute: str | int | None = None, start: Any = 0) -> Any:
    """Add up the items."""
    get = getter(meter, attribute)
    items = [get(item) for item in meter.counted(iterable)]
    if isinstance(start, str | bytes | bytearray):
        raise Refused("sum takes no text")
    # Python adds floats more precisely in one sum; only what may take long is added one by one.
    integers = [item for item in (start, *items) if type(item) not in {float, Decimal}]
    if all(type(item) in {int, bool} and -MAX_ADDED < item < MAX_ADDED for item in integers):
        return add(meter, sum(items, start), 0) if type(start) is int else sum(items, start)
    total = start
    for item in items:
        total = add(meter, total, item)
    return total


def do_tojson(
    meter: Meter,
    value: Any,
    indent: Any = None,
    *,
    ensure_ascii: Any = False,
    separators: Any = None,
    sort_keys: Any = False,
) -> str:
    """Write what `json.dumps(value, ensure_ascii=False)` writes: nothing is escaped for HTML, no key is moved.

    Beside Jinja's `indent` it takes the keywords that the templates of language models pass to theirs.
    """
    meter.weigh(value)
    options = {"indent": _json_indent(indent), "separators": _json_separators(separators)}
    plain = _plain(meter, value, meter.limits.depth)
    return meter.paid(json.dumps(plain, ensure_ascii=bool(ensure_ascii), sort_keys=bool(sort_keys), **options))


def _json_indent(indent: Any) -> int | str | None:
    require_present(indent)
    if indent is None or (isinstance(indent, int) and indent <= MAX_INDENT):
        return indent
    if isinstance(indent, str) and len(indent) <= MAX_INDENT:
        return str(indent)
    raise Refused(f"tojson takes an indent of at most {MAX_INDENT}")


def _json_separators(separators: Any) -> Any:
    if separators is None:
        return None
    is_pair = type(separators) in {list, tuple} and len(separators) == 2
    if is_pair and all(type(part) is str and len(part) <= MAX_INDENT for part in separators):
        return tuple(separators)
    raise Refused(f"tojson takes two separators, of at most {MAX_INDENT} characters each")


def _plain(meter: Meter, value: Any, depth: int) -> Any:
    """Return containers as builtin ones, with items paid for, as JSON's C code reads subclasses unmetered.

    Raises `Refused` for what `json.dumps` refuses; an absent value raises that it is absent.
    """
    kind = type(value)
    if kind in SCALARS:
        return value
    if depth < 0:
        raise meter.too_big("depth", "a container is nested too deep")
    if issubclass(kind, dict):
        return {_require_json_key(key): _plain(meter, item, depth - 1) for key, item in _counted_pairs(meter, value)}
    if issubclass(kind, list | tuple):
        return [_plain(meter, item, depth - 1) for item in meter.as_list(value)]
    require_present(value)
    if value is not None and not issubclass(kind, _JSON_SCALARS):
        raise Refused(f"a value of type {kind.__name__} can't be written as JSON{_json_hint(value)}")
    return value


def _counted_pairs(meter: Meter, value: Any) -> Iterable[tuple[Any, Any]]:
    if type(value) is not dict:
        return meter.counted(value.items())
    meter.spend(len(value))
    return value.items()


def _require_json_key(key: Any) -> Any:
    if type(key) is str:
        return key
    require_present(key)
    if key is not None and not issubclass(type(key), _JSON_SCALARS):
        raise Refused(f"a key of type {type(key).__name__} can't be written as JSON")
    return key


def _json_hint(value: Any) -> str:
    """Return what to do with a value that JSON has no form for, as an addition to the message."""
    if issubclass(type(value), BaseModel):
        return "; pass what its model_dump(mode='json') returns"
    return "; use the filter list first" if issubclass(type(value), Iterator) else ""
