"""The operators of templates (`+`, `==`, `in`, `x[…]`) for the metered tier, on operands that are measured first.

Each takes the render's `Meter` first. Operators that need no measuring (`and`, `or`, `not`, unary minus, and
arithmetic of two small integers) are written in place by `generator.py`.
"""

import operator
from collections.abc import Callable, Mapping, Sized
from decimal import Decimal
from fractions import Fraction
from pathlib import PurePath
from typing import Any

from promptreg.rendering.limits import CHARACTERS_A_UNIT, COMPARED_A_UNIT, MAX_NEEDLE
from promptreg.rendering.metered.meter import SCANNED_A_UNIT, Exceeded, Meter
from promptreg.rendering.values import (
    SCALARS,
    Absent,
    Refused,
    children,
    read_item,
    readable,
    require_open,
    require_present,
)

MAX_OPERAND_BITS = 20_000  # of an integer that the application passed: arithmetic takes the square of its length
MAX_OPERAND = 1 << MAX_OPERAND_BITS
MAX_SCAN = 1_000_000  # items
_POWERS = (int, float, complex, Decimal)


def add(meter: Meter, left: Any, right: Any) -> Any:
    """Implement `+`."""
    if type(left) is str and type(right) is str:
        meter.require_characters(len(left) + len(right))
        return left + right
    if type(left) is int and type(right) is int:
        return _integer(meter, left + right)
    if type(left) is float or type(right) is float:
        return left + right
    if issubclass(type(left), str) and issubclass(type(right), str):
        meter.require_characters(str.__len__(left) + str.__len__(right))
    elif hasattr(type(left), "__len__") and hasattr(type(right), "__len__"):
        meter.require_length(len(left) + len(right))
    return _number(meter, left + right)


def subtract(meter: Meter, left: Any, right: Any) -> Any:
    """Implement `-`, which sets have too."""
    if type(left) is int and type(right) is int:
        return _integer(meter, left - right)
    for operand in (left, right):
        meter.weigh(operand)
    if hasattr(type(left), "__len__") and hasattr(type(right), "__len__") and len(left) * len(right) > MAX_SCAN:
        raise Exceeded(f"two sets are too big: the product of their lengths may be at most {MAX_SCAN:,}")
    return _number(meter, left - right)


def multiply(meter: Meter, left: Any, right: Any) -> Any:
    """Implement `*`, which repeats texts and lists too."""
    if isinstance(left, int) and isinstance(right, int):
        _require_operands(left, right)
        return _integer(meter, left * right)
    for repeated, times in ((left, right), (right, left)):
        if isinstance(times, int) and hasattr(type(repeated), "__len__"):
            if isinstance(repeated, str | bytes | bytearray):
                meter.require_characters(len(repeated) * max(times, 0))
            else:
                meter.require_length(len(repeated) * max(times, 0))
    return _number(meter, left * right)


def divide(meter: Meter, left: Any, right: Any) -> Any:
    """Implement `/`, which joins paths too."""
    if isinstance(left, PurePath) or isinstance(right, PurePath):
        meter.require_characters(len(str(left)) + len(str(right)))
    _require_operands(left, right)
    return _number(meter, left / right)


def floor_divide(meter: Meter, left: Any, right: Any) -> Any:
    """Implement `//`."""
    _require_operands(left, right)
    return _number(meter, left // right)


def remainder(meter: Meter, left: Any, right: Any) -> Any:
    """Implement `%` of numbers; raise `Refused` for a text, which it would format."""
    if isinstance(left, str | bytes | bytearray):
        raise Refused("% on text is not allowed; use the filter format")
    _require_operands(left, right)
    return _number(meter, left % right)


def power(meter: Meter, left: Any, right: Any) -> Any:
    """Implement `**` of builtin numbers."""
    if not (isinstance(left, _POWERS) and isinstance(right, _POWERS)):
        require_present(left, right)
        raise Refused("** takes numbers only")
    if isinstance(left, int) and isinstance(right, int) and abs(left) > 1:
        _require_bits(meter, (abs(left).bit_length() - 1) * right + 1)
    return _number(meter, left**right)


def _require_bits(meter: Meter, bits: int) -> None:
    if bits > meter.limits.integer_bits:
        raise meter.too_big("integer_bits", "an integer gets too big")


def _require_operands(left: Any, right: Any) -> None:
    for operand in (left, right):
        if isinstance(operand, int) and not -MAX_OPERAND < operand < MAX_OPERAND:
            raise Exceeded(f"an integer is too big to calculate with: it may have at most {MAX_OPERAND_BITS:,} bits")


def _integer(meter: Meter, value: int) -> int:
    if not -meter.max_integer < value < meter.max_integer:
        raise meter.too_big("integer_bits", "an integer gets too big")
    return value


def _number(meter: Meter, value: Any) -> Any:
    if isinstance(value, int):
        _require_bits(meter, value.bit_length())
    elif isinstance(value, Fraction):
        _require_bits(meter, max(value.numerator.bit_length(), value.denominator.bit_length()))
    return value


def _comparison(name: str) -> Callable[[Meter, Any, Any], Any]:
    """Return a comparison whose operands are measured; the smaller one bounds it, so one scalar is enough."""
    compare = getattr(operator, name)

    def run(meter: Meter, left: Any, right: Any) -> Any:
        if type(left) is str and type(right) is str:
            meter.spend(min(len(left), len(right)) // COMPARED_A_UNIT)
        elif type(left) not in SCALARS and type(right) not in SCALARS:
            _weigh_smaller(meter, left, right)
        return compare(left, right)

    return run


def _weigh_smaller(meter: Meter, left: Any, right: Any) -> None:
    try:
        meter.weigh(left)
    except Exceeded:
        meter.weigh(right)


eq = _comparison("eq")
ne = _comparison("ne")
lt = _comparison("lt")
le = _comparison("le")
gt = _comparison("gt")
ge = _comparison("ge")


def contains(meter: Meter, value: Any, container: Any) -> bool:
    """Implement `in`; what is absent is in no container, not even asked of an empty one (rule 20)."""
    if type(value) not in SCALARS:
        require_present(value)
    return is_among(meter, value, container)


def is_among(meter: Meter, value: Any, container: Any) -> bool:
    """Implement the test `in`, which answers as Jinja's: it compares what is absent only where there is an item."""
    if type(value) not in SCALARS:
        meter.weigh(value)
    if issubclass(type(container), str):
        meter.spend(str.__len__(container) // CHARACTERS_A_UNIT)
    elif isinstance(container, range):
        _require_scan(meter, 1 if type(value) in {int, bool} else len(container))
    elif isinstance(container, dict | set | frozenset):
        meter.spend(1)
    elif children(container) is not None:
        _weigh_scan(meter, value, container)
    elif not hasattr(type(container), "__contains__"):
        container = meter.counted(container)
    return value in container


def not_contains(meter: Meter, value: Any, container: Any) -> bool:
    """Implement `not in`."""
    return not contains(meter, value, container)


def _weigh_scan(meter: Meter, value: Any, container: Sized) -> None:
    is_short = type(value) in SCALARS and (type(value) is not str or len(value) <= MAX_NEEDLE)
    if is_short and type(container) in {list, tuple}:
        _require_scan(meter, len(container))
        is_short = SCALARS.issuperset(map(type, container))  # type: ignore[call-overload]
    if not is_short:
        meter.weigh(container)


def _require_scan(meter: Meter, count: int) -> None:
    if count > MAX_SCAN:
        raise Exceeded(f"a container is too long to look through, which takes at most {MAX_SCAN:,} items")
    meter.spend(count // SCANNED_A_UNIT)


def item(meter: Meter, obj: Any, key: Any) -> Any:
    """Implement `obj[key]` for a key that is not a literal, and that no error may quote.

    An absent key gives an absent item, as in Jinja; its error is the key's.
    """
    value = read_item(obj, meter.weigh(key))
    if isinstance(value, Absent):
        return key if isinstance(key, Absent) else Absent(obj=obj)
    return value


def slice_of(meter: Meter, obj: Any, key: slice) -> Any:
    """Implement `obj[start:stop:step]`."""
    require_present(obj, key.start, key.stop, key.step)
    require_open(obj)
    if isinstance(obj, Mapping):
        raise Refused("a mapping has no slices")
    if hasattr(type(obj), "__len__"):
        count = len(range(*key.indices(len(obj))))
        if isinstance(obj, str):
            meter.require_characters(count)
        elif not isinstance(obj, range):
            _require_scan(meter, count)
            meter.spend(count)
    return readable(obj[key])


OPERATORS: dict[str, Callable[..., Any]] = {
    **{"add": add, "subtract": subtract, "multiply": multiply, "divide": divide, "floor_divide": floor_divide},
    **{"remainder": remainder, "power": power, "eq": eq, "ne": ne, "lt": lt, "le": le, "gt": gt, "ge": ge},
    **{"contains": contains, "not_contains": not_contains, "item": item, "slice": slice_of},
}
