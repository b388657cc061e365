"""The meter of one render: its fuel, its clock, and the size of every text and container that it makes.

Operands are measured before each call of Python's C code, so that no call takes long or allocates more than
`RenderLimits` allows; all that a render makes is paid for in fuel, which bounds the whole. The operations that are
metered are in the other files: operators, filters, tests, methods and functions.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from time import monotonic
from typing import Any, ClassVar, TypeAlias

from promptreg.rendering.limits import CHARACTERS_A_UNIT, RenderLimits
from promptreg.rendering.values import PLAIN, SCALARS, Refused, children, printing, require_no_leak

CLOCK_INTERVAL = 500  # fuel between two readings of the clock
SCANNED_A_UNIT = 8  # items of a container that C code goes through, for one unit of fuel
MAX_SHALLOW = 500  # values that are visited to show that a container is not nested deep
MAX_LAZY = 100  # 150, each in lists in a namespace, crash a thread with a 128 KiB stack on Python 3.13
MAX_LEVELS = 2_500  # of containers that a render nests in each other by way of its namespaces
_END = object()

Parts: TypeAlias = Callable[[Any, bool], Iterator[Any] | None]
"""A function of a value, and of whether it is inside another; it returns the parts, or None where there are none."""


class Exceeded(Exception):
    """A render exceeds a limit: the one of this name, or a fixed one that has no name."""

    def __init__(self, message: str, limit: str | None = None) -> None:
        super().__init__(message)
        self.limit = limit


class Meter:
    """Counts what one render spends; `start` begins.

    `tank` is the fuel that is left until the next reading of the clock: compiled code takes it from there in place, and
    calls `refill` when it is empty. `filters` and `tests` are the functions by name, for the filters that call others.
    """

    limits: RenderLimits
    filters: ClassVar[Mapping[str, Callable[..., Any]]]
    tests: ClassVar[Mapping[str, Callable[..., Any]]]

    def start(self, limits: RenderLimits) -> None:
        """Begin with all the fuel, and start the clock."""
        self.limits = limits
        self.max_integer = 1 << limits.integer_bits
        self.tank = 0
        self._reserve = limits.fuel  # beside what is in the tank
        self._deadline = monotonic() + limits.seconds
        self._calls = 0
        self._result = self._data = 0
        self._levels = MAX_LEVELS
        self._lazy = 0

    def spend(self, units: int) -> None:
        """Pay; raise `Exceeded` when the fuel or the time is used up."""
        self.tank -= units
        if self.tank < 0:
            self.refill()

    def refill(self) -> None:
        """Fill the tank from the reserve; raise `Exceeded` when the fuel or the time is used up."""
        self._reserve += self.tank
        if self._reserve < 0:
            raise self.too_big("fuel", "the template does too much")
        if monotonic() > self._deadline:
            raise self.too_big("seconds", "the render takes too long")
        self.tank = min(CLOCK_INTERVAL, self._reserve)
        self._reserve -= self.tank

    def too_big(self, limit: str, what: str) -> Exceeded:
        """Return the error for the limit of this name."""
        most = getattr(self.limits, limit)
        return Exceeded(f"{what}: the limit {limit} is {most:,}; RenderLimits({limit}=…) allows more", limit)

    # Containers

    def weigh(self, value: Any) -> Any:
        """Return the value, paid for as if all of it were compared, hashed or copied; raise `Exceeded` if too big."""
        if type(value) in {list, tuple} and len(value) <= self.limits.items and SCALARS.issuperset(map(type, value)):
            characters = sum(_printed_length(item) for item in value if type(item) in {str, int})
            self._pay_for(len(value), characters)
        elif type(value) not in SCALARS:
            self._weigh_parts(value, lambda item, _: children(item))
        elif type(value) is str:
            self.spend(len(value) // CHARACTERS_A_UNIT)
        return value

    def _pay_for(self, items: int, characters: int) -> None:
        if characters > self.limits.characters:
            raise self.too_big("characters", "a container holds too much text")
        self.spend(items + characters // CHARACTERS_A_UNIT)

    def _weigh_parts(self, value: Any, parts: Parts) -> None:
        count = characters = 0
        for item in self._walk(value, parts):
            count += 1
            if issubclass(type(item), str | bytes | bytearray | int):
                characters += _printed_length(item)
                if characters > self.limits.characters:
                    raise self.too_big("characters", "a container holds too much text")
        self._pay_for(count, characters)

    def _walk(self, value: Any, parts: Parts) -> Iterator[Any]:
        """Yield a value and everything in it, shared parts each time; raise `Exceeded` for too many or too deep."""
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

    def as_list(self, iterable: Iterable[Any]) -> list[Any]:
        """Return the items as a list, each paid for."""
        if isinstance(iterable, str):
            self.require_length(len(iterable))
        elif type(iterable) in PLAIN:
            self.spend(len(iterable))  # type: ignore[arg-type]
            return list(iterable)
        return list(self.counted(iterable))

    def counted(self, iterable: Iterable[Any]) -> Iterator[Any]:
        """Yield the items, each paid for when it is read."""
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
        """Return what a loop iterates over: the iterable itself where it has a length, else its items, paid for."""
        return iterable if hasattr(type(iterable), "__len__") else self.counted(iterable)

    def pairs(self, mapping: Any) -> Any:
        """Return a mapping that is unpacked into a call, paid for by its length."""
        self.require_length(len(mapping))
        return mapping

    def require_items(self, count: int) -> None:
        """Pay for so many items that fill up a list; raise `Exceeded` for more than the limit `items`."""
        if count > self.limits.items:
            raise self.too_big("items", "a list gets too long")
        self.spend(count)

    def require_length(self, count: int) -> None:
        """Pay for a list of so many items before it is made; raise `Exceeded` for more than `range_items`."""
        if count > self.limits.range_items:
            raise self.too_big("range_items", "a list gets too long")
        self.spend(count)

    # Texts

    def text(self, value: Any) -> str:
        """Return a value as it is printed; raise `Refused` for one that may not be printed."""
        kind = type(value)
        if kind is str:
            return value  # type: ignore[no-any-return]
        if kind in SCALARS:
            return str(value)
        return self._printed(value)

    def _printed(self, value: Any) -> str:
        runs_class_code = False

        def parts(item: Any, is_inside: bool) -> Iterator[Any] | None:
            nonlocal runs_class_code
            found = printing(item, is_inside=is_inside)
            runs_class_code = runs_class_code or found.runs_class_code
            return found.parts

        self._weigh_parts(value, parts)
        text = self.paid(str(value))
        return require_no_leak(text) if runs_class_code else text

    def soft(self, value: Any) -> str:
        """Return a text as it is, Markup included, or the printed text of another value; pay for its length."""
        return self.paid(value if issubclass(type(value), str) else self.text(value))

    def paid(self, text: str) -> str:
        """Return the text, paid for by its length; raise `Exceeded` for more than the limit `characters`."""
        self.require_characters(str.__len__(text))
        return text

    def require_characters(self, count: int) -> None:
        """Pay for a text of so many characters before it is made; raise `Exceeded` for more than `characters`."""
        if not isinstance(count, int):
            raise Refused("a length must be a whole number")
        if count > self.limits.characters:
            raise self.too_big("characters", "a text gets too long")
        if count > 0:
            self.tank -= count // CHARACTERS_A_UNIT
            if self.tank < 0:
                self.refill()

    def joined(self, pieces: Sequence[str]) -> str:
        """Join pieces of text."""
        self.require_characters(sum(map(len, pieces)))
        return "".join(pieces)

    def concat(self, values: Iterable[Any]) -> str:
        """Implement the operator `~`."""
        return self.joined([self.text(value) for value in values])

    def printed(self, text: str) -> str:
        """Return one of the texts of the result, all of which together count against the limit `characters`."""
        self._result += len(text)
        if self._result > self.limits.characters:
            raise self.too_big("characters", "the result gets too long")
        return text

    def data(self, texts: Sequence[str]) -> str:
        """Join the texts of an image, audio or a file; all data of a render counts against `data_characters`."""
        self._data += sum(map(len, texts))
        if self._data > self.limits.data_characters:
            raise self.too_big("data_characters", "the images, audio and files get too long")
        return "".join(texts)

    # Nesting

    def called(self, function: Callable[..., Any], /, *args: Any, **kwargs: Any) -> Any:
        """Call a macro, or a loop recursively; raise `Exceeded` where calls are nested too deep."""
        self.enter()
        try:
            return function(*args, **kwargs)
        finally:
            self.leave()

    def enter(self) -> None:
        """Count a call that begins: each takes some of the thread's stack."""
        if self._calls >= self.limits.calls:
            raise self.too_big("calls", "calls, loops or filters lie too deep in each other")
        self._calls += 1

    def leave(self) -> None:
        """Count a call that ends."""
        self._calls -= 1

    def begin_lazy(self, levels: int) -> None:
        """Count a lazy filter until it is exhausted: freeing a chain of thousands crashes the interpreter."""
        self._lazy += levels
        if self._lazy > MAX_LAZY:
            raise Exceeded(f"more than {MAX_LAZY:,} lazy filters are made and not gone through")

    def end_lazy(self, levels: int) -> None:
        """Count a lazy filter that is exhausted or dropped."""
        self._lazy -= levels

    def nested(self, value: Any, levels: int) -> Any:
        """Return a value assigned to a namespace, which may be so many levels deeper than what was assigned before.

        Raises `Exceeded` for too many levels in all. Python frees deep containers by recursion: 10,000 lists in each
        other crash a small thread.
        """
        if type(value) not in SCALARS and not self._is_shallow(value):
            self._levels -= levels
            if self._levels < 0:
                raise Exceeded(f"namespaces nest containers in each other by more than {MAX_LEVELS:,} levels")
        return value

    def _is_shallow(self, value: Any) -> bool:
        """Return whether a bounded check shows that a value holds plain data only, not nested deep."""
        level, count = [value], 0
        for _ in range(self.limits.depth):
            level = [part for part in level if type(part) not in SCALARS]
            if not level:
                self.spend(count // SCANNED_A_UNIT)
                return True
            if not PLAIN.issuperset(map(type, level)):
                return False
            count += sum(map(len, level))
            if count > MAX_SHALLOW:
                return False
            level = [item for part in level for item in ((*part, *part.values()) if type(part) is dict else part)]
        return False


def _printed_length(value: Any) -> int:
    """Return about how many characters a text, bytes or an integer is printed with, which is also the work it takes."""
    kind = type(value)
    if issubclass(kind, str):
        return str.__len__(value)
    if issubclass(kind, int):
        return max(int.bit_length(value) // 3 - 20, 0)
    return 4 * len(value)
