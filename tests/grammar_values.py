"""The variables of the random templates: usual values, and one of every unusual kind that an application may pass."""

import itertools
import math
from collections import Counter, OrderedDict, defaultdict, deque, namedtuple
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from fractions import Fraction
from pathlib import PurePosixPath
from random import Random
from types import MappingProxyType, SimpleNamespace
from typing import Any
from uuid import UUID

from markupsafe import Markup
from pydantic import BaseModel

FRIENDLY, NORMAL, HOSTILE = "friendly", "normal", "hostile"

NAMES = {
    "text": ("name", "title", "question", "body"),
    "num": ("n", "m", "price"),
    "small": ("k",),
    "flag": ("flag", "draft"),
    "seq": ("tags", "docs", "numbers", "pairs", "tree"),
    "map": ("user", "config"),
    "any": ("x", "y", "gone"),
}


class Colour(StrEnum):
    """A text that is a member."""

    RED = "red"
    BLUE = "blue"


class Level(IntEnum):
    """A number that is a member."""

    LOW = 1
    HIGH = 2


class Kind(Enum):
    """A member of values of all kinds."""

    A = "a"
    PAIR = (1, 2)


@dataclass
class Doc:
    """A dataclass as applications have them."""

    title: Any = "T"
    n: Any = 1
    tags: Any = field(default_factory=list)
    _x: Any = "private"

    @property
    def name(self) -> str:
        """A property, which may be read."""
        return f"<{self.title}>"


class Model(BaseModel):
    """A pydantic model as applications have them."""

    title: str = "M"
    n: float = 2
    tags: list[str] = []
    children: list["Model"] = []


Row = namedtuple("Row", "title n tags")


class Said:
    """An object whose class defines its text."""

    title = "said"

    def __str__(self) -> str:
        """Return a text."""
        return "Said & done"


class Plain:
    """An object whose text is its address."""

    title = "plain"
    n = 3


class Shout(str):
    """A text subclass with another text."""

    __slots__ = ()

    def __str__(self) -> str:
        """Return a louder text."""
        return self.upper() + "!"


class Loud(str):
    """A text subclass that overrides methods."""

    __slots__ = ()

    def upper(self) -> str:
        """Return a louder text."""
        return "LOUD"

    def __len__(self) -> int:
        """Return a wrong length."""
        return 3


class Caps(dict):
    """A dict subclass that returns other items."""

    def __getitem__(self, key: Any) -> Any:
        """Return a louder text."""
        return str(super().__getitem__(key)).upper()


class Wide(int):
    """A number whose text is not numeric."""

    def __str__(self) -> str:
        """Return a wide text."""
        return f"wide {int(self)}"


class Failing:
    """An application's object of which every use fails."""

    def __str__(self) -> str:
        """Fail."""
        raise ValueError("sesame")

    def __iter__(self) -> Iterator[Any]:
        """Fail."""
        raise KeyError("sesame")

    @property
    def title(self) -> str:
        """Fail."""
        raise LookupError("sesame")


class Answering:
    """An object that has every attribute and every item."""

    def __getattr__(self, name: str) -> str:
        """Return a value for any name."""
        if name.startswith("_"):
            raise AttributeError(name)
        return f"attribute {name}"

    def __getitem__(self, key: Any) -> str:
        """Return a value for any name."""
        if isinstance(key, int) and key > 2:
            raise IndexError(key)
        return f"item {key}"


TOUCHED: list[str] = []


class App:
    """An object that no template may use: it records every use."""

    _secret = "sesame"
    title = "app"

    def save(self, *_: Any, **__: Any) -> str:
        """Record the use."""
        TOUCHED.append("save")
        return "saved"

    touch = delete = update = pop = send = read = replace = save

    def __call__(self, *_: Any, **__: Any) -> str:
        """Record the use."""
        TOUCHED.append("call")
        return "called"

    def __setattr__(self, name: str, value: Any) -> None:
        """Record the use."""
        TOUCHED.append("setattr")

    def __setitem__(self, key: Any, value: Any) -> None:
        """Record the use."""
        TOUCHED.append("setitem")


def touching(*_: Any, **__: Any) -> str:
    """Record the call, as a function of the application."""
    TOUCHED.append("function")
    return "touched"


touching._secret = "sesame"  # type: ignore[attr-defined]


async def waiting() -> None:
    """Stand for a coroutine function, which is never called."""


def telling() -> Iterator[str]:
    """Yield items, for a generator that may be iterated over and never printed."""
    yield "told"


def counting(limit: int) -> Iterator[int]:
    """Yield items, for a generator of the application."""
    yield from range(limit)


TEXTS = (
    *["", "Ana", "Ana", "two words", "a, b,c", "apple Banana", "línea\nzwei\r\n\tdrei ", "<b>&amp; \"'</b><!-- x -->"],
    *["{{ x }} {% raw %}", "日本 ☕ \u2028 ß İ ŉ", "  padded\t", "42", "-1.5", "0x1F", "100%", "%s {0} {x}", "true"],
    *["\x00\x85\x1c", "a-b_c.d/e?f=g&h", "some long words " * 6, "x" * 40, "\ud800", "b\n\n  c\n", "title", "1e400"],
)
NUMBERS = (
    *[0, 1, 2, 3, 7, 12, 64, -1, -12, 10**20, -(10**30), 2**64],
    *[0.0, -0.0, 0.5, -2.5, 1.005, 1e16, 1e-7, 1e22, math.nan, math.inf, -math.inf],
)
COMMON_TEXTS, COMMON_NUMBERS = TEXTS[:12], (0, 1, 2, 3, 7, 12, -1, 0.5, 2.25)

ODD: tuple[Callable[[Random], Any], ...] = (
    *[lambda r: None] * 2,
    lambda r: r.choice(TEXTS),
    lambda r: r.choice(NUMBERS),
    lambda r: Markup(r.choice(TEXTS)),
    lambda r: [Markup("<i>"), "<i>"],
    lambda r: Shout(r.choice(TEXTS)),
    lambda r: Loud(r.choice(TEXTS)),
    lambda r: [Shout("a"), Loud("b")],
    lambda r: Wide(5),
    lambda r: r.choice([Colour.RED, Level.HIGH, Kind.A, Kind.PAIR]),
    lambda r: [Colour.RED, Level.HIGH, Kind.A],
    lambda r: {Colour.RED: Level.LOW, Level.HIGH: 1},
    lambda r: Decimal(r.choice(["1.10", "0", "-1E+5", "NaN", "1E-30"])),
    lambda r: Fraction(1, 3),
    lambda r: UUID(int=5),
    lambda r: [UUID(int=5), Decimal("1.0"), date(2026, 1, 2), PurePosixPath("a/b")],
    lambda r: date(2026, 2, 3),
    lambda r: datetime(2026, 2, 3, 4, 5, 6, tzinfo=r.choice([None, UTC])),
    lambda r: time(4, 5, 6, 700),
    lambda r: timedelta(days=1, seconds=2),
    lambda r: PurePosixPath("a/b"),
    lambda r: Doc(r.choice(TEXTS), 1, ["a"]),
    lambda r: Model(title="M", tags=["x"], children=[Model()]),
    lambda r: Row("r", 2, ()),
    lambda r: [Doc("b", 2), Doc("a", 1)],
    lambda r: [Row("b", 2, ()), Row("a", 1, ("x",))],
    lambda r: [Model(title="b"), Model(title="a", n=1)],
    lambda r: Said(),
    lambda r: [Said(), Said()],
    lambda r: Plain(),
    lambda r: [Plain()],
    lambda r: Failing(),
    lambda r: Answering(),
    lambda r: SimpleNamespace(title="simple", n=1),
    lambda r: counting(3),
    lambda r: counting(0),
    lambda r: iter(["a", "b", "c"]),
    lambda r: (text for text in ("x", "y")),
    lambda r: map(str, [1, 2]),
    lambda r: zip("ab", "cd", strict=True),
    lambda r: reversed([1, 2]),
    lambda r: enumerate(["a"]),
    lambda r: touching,
    lambda r: str.upper,
    lambda r: {"f": touching, "title": "t"},
    lambda r: [len, max],
    lambda r: Doc(touching, App, math),
    lambda r: Plain,
    lambda r: math,
    lambda r: waiting,
    lambda r: {3, 1, 2},
    lambda r: frozenset({1}),
    lambda r: {"one"},
    lambda r: set(),
    lambda r: defaultdict(list, title=["x"]),
    lambda r: OrderedDict(b=1, a=2),
    lambda r: Counter("abca"),
    lambda r: Caps(title="caps", n=1),
    lambda r: MappingProxyType({"title": "proxy", "a": 1}),
    lambda r: deque(["a", "b", 3]),
    lambda r: range(4),
    lambda r: range(0, -6, -2),
    lambda r: {"b": 1, "a": 2}.keys(),
    lambda r: {"b": 1, "a": 2}.values(),
    lambda r: {"b": 1, "a": 2}.items(),
    lambda r: b"bytes",
    lambda r: bytearray(b"ab"),
    lambda r: 1 + 2j,
    lambda r: ...,
    lambda r: {
        "items": "I",
        "keys": "K",
        "get": "G",
        "_x": "X",
        "__class__": "C",
        1: "one",
        None: "none",
        (1, 2): "pair",
    },
    lambda r: {"title": {"title": {"title": ["deep", ("er", {"x": None})]}}},
    lambda r: [1, 1.0, True, "1", None],
    lambda r: [3, 1, 2, 2, 10**20],
    lambda r: ["b", "a", "B", "A", "ä"],
    lambda r: [[1, 2], [3], []],
    lambda r: (("a", 1), ("b", 2)),
    lambda r: ({"title": "b", "n": 2}, {"title": "a"}, {"title": "B", "n": 1}),
    lambda r: [math.nan, 1.0, math.inf],
    lambda r: ValueError("bad", 1),
)


def _cyclic() -> list[Any]:
    loop: list[Any] = [1]
    loop.append(loop)
    return loop


def _nested(depth: int, *, shared: bool) -> list[Any]:
    value: list[Any] = [1]
    for _ in range(depth):
        value = [value, value] if shared else [value]
    return value


NESTED = {depth: _nested(depth, shared=False) for depth in (40, 5000, 50_000)}
"""Kept for good: Python 3.13 frees deep lists by recursion, and crashes a small thread that happens to do it."""

HUGE: tuple[Callable[[Random], Any], ...] = (
    *[lambda r: App()] * 6,
    lambda r: [App(), App()],
    lambda r: {"app": App(), "save": App().save, "title": "x"},
    lambda r: Doc(App().save, App(), [touching]),
    lambda r: App,
    lambda r: App().save,
    lambda r: touching,
    lambda r: _cyclic(),
    lambda r: {"a": _cyclic(), "title": _cyclic()},
    lambda r: _nested(40, shared=True),
    lambda r: NESTED[r.choice([40, 5000, 50_000])],
    lambda r: ["x" * 1000] * 2000,
    lambda r: list(range(100_000)),
    lambda r: "word " * 100_000,
    lambda r: "x" * 1_000_000,
    lambda r: "{" * 100_000,
    lambda r: "9" * 5000,
    lambda r: 9**9999,
    lambda r: {str(n): [n] for n in range(20_000)},
    lambda r: itertools.count(),
    lambda r: itertools.cycle("ab"),
    lambda r: itertools.repeat("x" * 1000),
    lambda r: range(10**12),
    lambda r: telling(),
)


def _friendly(random: Random, texts: tuple[str, ...], numbers: tuple[float, ...]) -> dict[str, Any]:
    def text() -> str:
        return random.choice(texts)

    def some(make: Callable[[], Any]) -> list[Any]:
        return [make() for _ in range(random.choice([0, 1, 2, 2, 3]))]

    def number() -> float:
        return random.choice(numbers)

    def thing() -> dict[str, Any]:
        return {"title": text(), "name": text(), "n": number(), "tags": some(text), "author": {"name": text()}}

    def branch(depth: int) -> dict[str, Any]:
        return {"title": text(), "n": number(), "children": some(lambda: branch(depth + 1)) if depth < 2 else []}

    return {
        **{name: text() for name in NAMES["text"]},
        **{name: number() for name in NAMES["num"]},
        **{name: random.random() < 0.5 for name in NAMES["flag"]},
        "k": random.choice([0, 1, 2, 3, 5, 9]),
        "tags": some(text),
        "docs": some(thing),
        "numbers": some(number),
        "pairs": some(lambda: (text(), number())),
        "tree": some(lambda: branch(0)),
        "user": thing(),
        "config": {**thing(), text(): number()},
        "x": text(),
        "y": random.choice([None, text(), number()]),
    }


def variables(random: Random, mode: str = NORMAL) -> dict[str, Any]:
    """Return new variables: usual ones, some unusual, some absent."""
    common = mode == FRIENDLY
    values = _friendly(random, COMMON_TEXTS if common else TEXTS, COMMON_NUMBERS if common else NUMBERS)
    odd, absent = {FRIENDLY: (0.012, 0.006), NORMAL: (0.1, 0.015), HOSTILE: (0.1, 0.01)}[mode]
    for name in list(values):
        if name != "k" and random.random() < (0.85 if name in NAMES["any"] and not common else odd):
            makers = HUGE if mode == HOSTILE and random.random() < 0.5 else ODD
            values[name] = random.choice(makers)(random)
        if random.random() < absent:
            del values[name]
    return values
