"""What a render may do, counted while it runs: every operation whose cost depends on values goes through here.

A render has fuel, seconds, and a size for each text and number that it makes (`RenderLimits`). Before any
single call into Python's own code its operands are measured, so no one call takes long or allocates
more than the limits allow; what is made is paid for in fuel, so all that a render makes together is bounded too.
"""

import operator
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence, Sized
from decimal import Decimal
from fractions import Fraction
from pathlib import PurePath
from time import monotonic
from typing import Any, ClassVar, TypeAlias

from promptreg.rendering.limits import CHARACTERS_A_UNIT, COMPARED_A_UNIT, MAX_NEEDLE, RenderLimits
from promptreg.rendering.values import (
    PLAIN,
    SCALARS,
    Absent,
    Refused,
    children,
    printing,
    read_item,
    readable,
    require_no_leak,
    require_open,
)

LOOK_EVERY = 500  # fuel between two looks at the clock
SCANNED_A_UNIT = 8  # items of a container that is looked through by C code
MAX_OPERAND_BITS = 20_000  # of an integer of the application's own: arithmetic takes the square of its length
MAX_OPERAND = 1 << MAX_OPERAND_BITS
MAX_SCAN = 1_000_000
MAX_GLANCE = 500  # values that are looked at to see that what is kept is not deep
MAX_LAZY = 400
MAX_LEVELS = 2_500  # of containers that a render nests in each other by way of its namespaces
_END = object()


def _printed_length(value: Any) -> int:
    """Give about how many characters a text, bytes or an integer is printed with, and how much work that is."""
    kind = type(value)
    if issubclass(kind, str):
        return str.__len__(value)
    if issubclass(kind, int):
        return max(int.bit_length(value) // 3 - 20, 0)
    return 4 * len(value)


Operation: TypeAlias = Callable[[Any, Any], Any]


class Exceeded(Exception):
    """A render went over the limit of this name, or over one that is fixed and has none."""

    def __init__(self, told: str, limit: str | None = None) -> None:
        super().__init__(told)
        self.limit = limit


class Meter:
    """The account of one render."""

    limits: RenderLimits
    filters: ClassVar[Mapping[str, Callable[..., Any]]]  # by name, for the filters that call others
    tests: ClassVar[Mapping[str, Callable[..., Any]]]

    def start(self, limits: RenderLimits) -> None:
        """Begin: full tank, clock running."""
        self.limits = limits
        self._reserve = limits.fuel  # beside what is in the tank, which lasts until the next look at the clock
        self.tank = 0
        self._deadline = monotonic() + limits.seconds
        self._calls = 0
        self._result = 0
        self._levels = MAX_LEVELS
        self._lazy = 0
        self._greatest = 1 << limits.integer_bits

    def spend(self, units: int) -> None:
        """Pay; raise `Exceeded` when the fuel or the time is used up."""
        self.tank -= units
        if self.tank < 0:
            self.refill()

    def refill(self) -> None:
        """Look at the clock; raise `Exceeded` when the time or the fuel is used up."""
        self._reserve += self.tank
        if self._reserve < 0:
            raise self.too_big("fuel", "the template does too much")
        if monotonic() > self._deadline:
            raise self.too_big("seconds", "the render takes too long")
        self.tank = min(LOOK_EVERY, self._reserve)
        self._reserve -= self.tank

    def too_big(self, limit: str, what: str) -> Exceeded:
        """Give the error for one of the limits."""
        return Exceeded(f"{what}: the limit {limit} is {getattr(self.limits, limit):,}", limit)

    # What values weigh

    def _walk(self, value: Any, parts: Callable[[Any, bool], Iterator[Any] | None]) -> Iterator[Any]:
        """Give a value and all that is in it, shared parts each time; raise `Exceeded` for too many, too deep."""
        count, most, open_iterators = 0, self.limits.items, [iter((value,))]
        while open_iterators:
            for item in open_iterators[-1]:
                count += 1
                if count > most:
                    raise self.too_big("items", "a container holds too much")
                yield item
                inner = None if type(item) in SCALARS else parts(item, len(open_iterators) > 1)
                if inner is not None:
                    if len(open_iterators) > self.limits.depth:
                        raise self.too_big("depth", "a container is nested too deep")
                    open_iterators.append(inner)
                    break
            else:
                open_iterators.pop()

    def _weigh_parts(self, value: Any, parts: Callable[[Any, bool], Iterator[Any] | None]) -> None:
        count = characters = 0
        for item in self._walk(value, parts):
            count += 1
            if issubclass(type(item), str | bytes | bytearray | int):
                characters += _printed_length(item)
                if characters > self.limits.characters:
                    raise self.too_big("characters", "a container holds too much text")
        self.spend(count + characters // CHARACTERS_A_UNIT)

    def weigh(self, value: Any) -> Any:
        """Give the value back when comparing, hashing or copying it all is within the limits; pay for that."""
        if type(value) in {list, tuple} and len(value) <= self.limits.items and SCALARS.issuperset(map(type, value)):
            characters = sum(_printed_length(item) for item in value if type(item) in {str, int})
            if characters > self.limits.characters:
                raise self.too_big("characters", "a container holds too much text")
            self.spend(len(value) + characters // CHARACTERS_A_UNIT)
        elif type(value) not in SCALARS:
            self._weigh_parts(value, lambda item, _: children(item))
        elif type(value) is str:
            self.spend(len(value) // CHARACTERS_A_UNIT)
        return value

    def as_list(self, iterable: Iterable[Any]) -> list[Any]:
        """Give a list of what an iterable gives, paid for one by one."""
        if isinstance(iterable, str):
            self.require_length(len(iterable))
        elif type(iterable) in PLAIN:
            self.spend(len(iterable))  # type: ignore[arg-type]
            return list(iterable)
        return list(self.counted(iterable))

    def counted(self, iterable: Iterable[Any]) -> Iterator[Any]:
        """Give what an iterable gives, each paid for when it is given."""
        if type(iterable) in PLAIN:
            for item in iterable:
                self.spend(1)
                yield item
            return
        iterator = iter(iterable)
        while True:
            self.enter()
            try:
                item = next(iterator, _END)
            finally:
                self.leave()
            if item is _END:
                return
            self.spend(1)
            yield item

    def each(self, iterable: Iterable[Any]) -> Iterable[Any]:
        """Give what a loop goes over: the iterable itself where it tells its length, else its items, paid for."""
        return iterable if hasattr(type(iterable), "__len__") else self.counted(iterable)

    def pairs(self, mapping: Any) -> Any:
        """Give a mapping that is unpacked into a call; pay for its length."""
        self.require_length(len(mapping))
        return mapping

    def require_items(self, count: int) -> None:
        """Raise `Exceeded` before a list of so many items is made of a text, or a container is filled up."""
        if count > self.limits.items:
            raise self.too_big("items", "a list gets too long")
        self.spend(count)

    # Texts

    def text(self, value: Any) -> str:
        """Give a value as it is printed; raise `Refused` for what may not be."""
        kind = type(value)
        if kind is str:
            return value  # type: ignore[no-any-return]
        if kind in SCALARS:
            return str(value)
        return self._printed(value)

    def _printed(self, value: Any) -> str:
        is_own = False

        def parts(item: Any, is_inside: bool) -> Iterator[Any] | None:
            nonlocal is_own
            shown = printing(item, is_inside=is_inside)
            is_own = is_own or shown.is_own
            return shown.parts

        self._weigh_parts(value, parts)
        text = str(value)
        self.require_characters(len(text))
        return require_no_leak(text) if is_own else text

    def soft(self, value: Any) -> str:
        """Give a text as it is, Markup included, and the printed text of anything else; pay for going through it."""
        return self.made(value if issubclass(type(value), str) else self.text(value))

    def made(self, text: str) -> str:
        """Give a text that was made, or that is about to be gone through; pay for it."""
        self.require_characters(str.__len__(text))
        return text

    def require_characters(self, count: int) -> None:
        """Raise `Exceeded` before a text of so many characters is made; pay for it."""
        if not isinstance(count, int):
            raise Refused("a length must be a whole number")
        if count > self.limits.characters:
            raise self.too_big("characters", "a text gets too long")
        self.spend(max(count, 0) // CHARACTERS_A_UNIT)

    def joined(self, pieces: Sequence[str]) -> str:
        """Join pieces of text."""
        self.require_characters(sum(map(len, pieces)))
        return "".join(pieces)

    def printed(self, text: str) -> str:
        """Add a text to the result of the render, all of whose texts count together."""
        self._result += len(text)
        if self._result > self.limits.characters:
            raise self.too_big("characters", "the result gets too long")
        return text

    def concat(self, values: Iterable[Any]) -> str:
        """Be the operator `~`."""
        return self.joined([self.text(value) for value in values])

    # Arithmetic

    def add(self, left: Any, right: Any) -> Any:
        """Be `+`."""
        if type(left) is int and type(right) is int:
            return self._integer(left + right)
        if type(left) is float or type(right) is float:
            return left + right
        if issubclass(type(left), str) and issubclass(type(right), str):
            self.require_characters(str.__len__(left) + str.__len__(right))
        elif hasattr(type(left), "__len__") and hasattr(type(right), "__len__"):
            self.require_length(len(left) + len(right))
        return self._number(left + right)

    def subtract(self, left: Any, right: Any) -> Any:
        """Be `-`."""
        if type(left) is int and type(right) is int:
            return self._integer(left - right)
        self._weigh_sets(left, right)
        return self._number(left - right)

    def multiply(self, left: Any, right: Any) -> Any:
        """Be `*`."""
        if isinstance(left, int) and isinstance(right, int):
            self._require_operands(left, right)
            return self._integer(left * right)
        for repeated, times in ((left, right), (right, left)):
            if isinstance(times, int) and hasattr(type(repeated), "__len__"):
                if isinstance(repeated, str | bytes | bytearray):
                    self.require_characters(len(repeated) * max(times, 0))
                else:
                    self.require_length(len(repeated) * max(times, 0))
        return self._number(left * right)

    def divide(self, left: Any, right: Any) -> Any:
        """Be `/`, which joins paths too."""
        if isinstance(left, PurePath) or isinstance(right, PurePath):
            self.require_characters(len(str(left)) + len(str(right)))
        self._require_operands(left, right)
        return self._number(left / right)

    def floor_divide(self, left: Any, right: Any) -> Any:
        """Be `//`."""
        self._require_operands(left, right)
        return self._number(left // right)

    def remainder(self, left: Any, right: Any) -> Any:
        """Be `%`, of numbers only: of a text it would format."""
        if isinstance(left, str | bytes | bytearray):
            raise Refused("% on text is not allowed; use the filter format")
        self._require_operands(left, right)
        return self._number(left % right)

    def power(self, left: Any, right: Any) -> Any:
        """Be `**`, of builtin numbers only."""
        if not (isinstance(left, _POWERS) and isinstance(right, _POWERS)):
            raise Refused("** takes numbers only")
        if isinstance(left, int) and isinstance(right, int) and abs(left) > 1:
            self._require_bits((abs(left).bit_length() - 1) * right + 1)
        return self._number(left**right)

    def require_length(self, count: int) -> None:
        """Raise `Exceeded` before a list of so many items is made; pay for it."""
        if count > self.limits.range_items:
            raise self.too_big("range_items", "a list gets too long")
        self.spend(count)

    def _require_bits(self, bits: int) -> None:
        if bits > self.limits.integer_bits:
            raise self.too_big("integer_bits", "an integer gets too big")

    def _require_operands(self, left: Any, right: Any) -> None:
        for operand in (left, right):
            if isinstance(operand, int) and not -MAX_OPERAND < operand < MAX_OPERAND:
                raise Exceeded(
                    f"an integer is too big to calculate with: it may have at most {MAX_OPERAND_BITS:,} bits"
                )

    def _weigh_sets(self, left: Any, right: Any) -> None:
        for operand in (left, right):
            self.weigh(operand)
        if hasattr(type(left), "__len__") and hasattr(type(right), "__len__") and len(left) * len(right) > MAX_SCAN:
            raise Exceeded(f"two sets are too big: the product of their lengths may be at most {MAX_SCAN:,}")

    def _integer(self, value: int) -> int:
        if not -self._greatest < value < self._greatest:
            raise self.too_big("integer_bits", "an integer gets too big")
        return value

    def _number(self, value: Any) -> Any:
        if isinstance(value, int):
            self._require_bits(value.bit_length())
        elif isinstance(value, Fraction):
            self._require_bits(max(value.numerator.bit_length(), value.denominator.bit_length()))
        return value

    # Comparing

    def compare(self, compared: Operation, left: Any, right: Any) -> Any:
        """Be a comparison: bounded by the smaller side, so one scalar is enough."""
        if type(left) is str and type(right) is str:
            self.spend(min(len(left), len(right)) // COMPARED_A_UNIT)
        elif type(left) not in SCALARS and type(right) not in SCALARS:
            self._weigh_smaller(left, right)
        return compared(left, right)

    def _weigh_smaller(self, left: Any, right: Any) -> None:
        try:
            self.weigh(left)
        except Exceeded:
            self.weigh(right)

    def eq(self, left: Any, right: Any) -> Any:
        """Be `==`."""
        return self.compare(operator.eq, left, right)

    def ne(self, left: Any, right: Any) -> Any:
        """Be `!=`."""
        return self.compare(operator.ne, left, right)

    def lt(self, left: Any, right: Any) -> Any:
        """Be `<`."""
        return self.compare(operator.lt, left, right)

    def lteq(self, left: Any, right: Any) -> Any:
        """Be `<=`."""
        return self.compare(operator.le, left, right)

    def gt(self, left: Any, right: Any) -> Any:
        """Be `>`."""
        return self.compare(operator.gt, left, right)

    def gteq(self, left: Any, right: Any) -> Any:
        """Be `>=`."""
        return self.compare(operator.ge, left, right)

    def contains(self, value: Any, container: Any) -> bool:
        """Be `in`."""
        if type(value) not in SCALARS:
            self.weigh(value)
        if issubclass(type(container), str):
            self.spend(str.__len__(container) // CHARACTERS_A_UNIT)
        elif isinstance(container, range):
            self._require_scan(1 if type(value) in {int, bool} else len(container))
        elif isinstance(container, dict | set | frozenset):
            self.spend(1)
        elif children(container) is not None:
            self._weigh_scan(value, container)
        elif not hasattr(type(container), "__contains__"):
            container = self.counted(container)
        return value in container

    def lacks(self, value: Any, container: Any) -> bool:
        """Be `not in`."""
        return not self.contains(value, container)

    def _weigh_scan(self, value: Any, container: Sized) -> None:
        is_short = type(value) in SCALARS and (type(value) is not str or len(value) <= MAX_NEEDLE)
        if is_short and type(container) in {list, tuple}:
            self._require_scan(len(container))
            is_short = SCALARS.issuperset(map(type, container))  # type: ignore[call-overload]
        if not is_short:
            self.weigh(container)

    def _require_scan(self, count: int) -> None:
        if count > MAX_SCAN:
            raise Exceeded(f"a container is too long to look through, which takes at most {MAX_SCAN:,} items")
        self.spend(count // SCANNED_A_UNIT)

    # Items, and calls

    def item(self, obj: Any, key: Any) -> Any:
        """Be `obj[key]`, for a key that the template does not spell, and no error may tell."""
        value = read_item(obj, self.weigh(key))
        return Absent(obj=obj) if isinstance(value, Absent) else value

    def sliced(self, obj: Any, key: slice) -> Any:
        """Be `obj[a:b:c]`."""
        require_open(obj)
        if isinstance(obj, Mapping):
            raise Refused("a mapping has no slices")
        if hasattr(type(obj), "__len__"):
            count = len(range(*key.indices(len(obj))))
            if isinstance(obj, str):
                self.require_characters(count)
            elif not isinstance(obj, range):
                self._require_scan(count)
                self.spend(count)
        return readable(obj[key])

    def called(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Call a macro, or a loop within itself; raise `Exceeded` where they lie too deep in each other."""
        self.enter()
        try:
            return function(*args, **kwargs)
        finally:
            self.leave()

    def begin_lazy(self) -> None:
        """Count a lazy filter that is not gone through yet: a chain of thousands crashes when it is taken apart."""
        self._lazy += 1
        if self._lazy > MAX_LAZY:
            raise Exceeded(f"more than {MAX_LAZY:,} lazy filters are made and not gone through")

    def end_lazy(self) -> None:
        """Count one that was gone through, or left."""
        self._lazy -= 1

    def enter(self) -> None:
        """Go one call deeper: each takes some of the thread's stack."""
        if self._calls >= self.limits.calls:
            raise self.too_big("calls", "calls, loops or filters lie too deep in each other")
        self._calls += 1

    def leave(self) -> None:
        """Come back from a call."""
        self._calls -= 1

    def kept(self, levels: int, value: Any) -> Any:
        """Give what is assigned to a namespace, which may nest what was assigned before so many levels deeper.

        Python takes deep containers apart by recursion: 10,000 lists in each other crash a small thread.
        """
        if type(value) not in SCALARS and not self._is_shallow(value):
            self._levels -= levels
            if self._levels < 0:
                raise Exceeded(f"namespaces nest containers in each other by more than {MAX_LEVELS:,} levels")
        return value

    def _is_shallow(self, value: Any) -> bool:
        """Tell whether a value is seen at a glance to hold only data, not nested deep."""
        level, count = [value], 0
        for _ in range(self.limits.depth):
            level = [part for part in level if type(part) not in SCALARS]
            if not level:
                self.spend(count // SCANNED_A_UNIT)
                return True
            if not PLAIN.issuperset(map(type, level)):
                return False
            count += sum(map(len, level))
            if count > MAX_GLANCE:
                return False
            level = [item for part in level for item in ((*part, *part.values()) if type(part) is dict else part)]
        return False


_POWERS = (int, float, complex, Decimal)
