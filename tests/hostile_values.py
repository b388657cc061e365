"""The variables of hostile templates: an application's objects as targets of escapes, and data to overuse.

Each function returns new values, and `watch()`, whose result is the same before and after a render without side
effects.
"""

import asyncio
import sqlite3
import sys
import tempfile
import threading
from array import array
from collections import Counter, OrderedDict, UserList, defaultdict, deque, namedtuple
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from functools import lru_cache, partial, wraps
from io import StringIO
from itertools import count, repeat
from pathlib import Path
from types import MappingProxyType, ModuleType, SimpleNamespace
from typing import Any, NamedTuple

from jinja2 import Template
from jinja2.utils import Namespace
from pydantic import BaseModel, SecretStr

SECRET = "swordfish"


class World(NamedTuple):
    """The variables of a template, and the state that it must not change."""

    variables: dict[str, Any]
    watch: Callable[[], Any] = lambda: None


def nothing() -> World:
    """Return no variable."""
    return World({})


def application() -> World:
    """Return objects that record in `done` every call that a template makes."""
    done: list[str] = []

    def send(*_: Any, **__: Any) -> str:
        done.append("sent")
        return "sent"

    send.token = SECRET

    class Account:
        kind = SECRET

        class Meta:
            token = SECRET

        def __init__(self, name: str = "Ada") -> None:
            done.append("made")
            self.name = name

        @property
        def _secret(self) -> str:
            done.append("read")
            return SECRET

        def close(self, *_: Any, **__: Any) -> str:
            done.append("closed")
            return "closed"

        def __call__(self, *_: Any) -> str:
            done.append("called")
            return "called"

        @classmethod
        def load(cls) -> str:
            done.append("loaded")
            return "loaded"

        @staticmethod
        def wipe() -> str:
            done.append("wiped")
            return "wiped"

    class Plain:
        pass

    @lru_cache
    @wraps(send)
    def cached() -> str:
        done.append("cached")
        return SECRET

    def generated() -> Iterator[str]:
        secret = SECRET
        yield secret

    def delegated() -> Iterator[Any]:
        yield from iter([Plain()])

    async def awaited() -> None:
        secret = SECRET
        await asyncio.sleep(len(secret))

    module = ModuleType("settings")
    module.token = SECRET
    account, boss = Account(), Account("Bob")
    account.boss, account.send, account.module = boss, send, module
    account.frame = sys._getframe()
    account.later = partial(send, token=SECRET)
    account.stream = generated()
    going = delegated()
    next(going)
    done.clear()
    variables = {
        "account": account,
        "accounts": [account, boss],
        "Account": Account,
        "plain": Plain(),
        "send": send,
        "later": account.later,
        "cached": cached,
        "hooks": [send],
        "tools": {"send": send},
        "module": module,
        "frame": account.frame,
        "stream": generated(),
        "going": going,
        "waiting": awaited(),
        "private": "_secret",
    }
    return World(variables, lambda: tuple(done))


def data() -> World:
    """Return data of the application that a template could change."""
    kept = {
        "numbers": [3, 1, 2],
        "settings": {"a": 1, "b": 2},
        "tags": {"a"},
        "queue": deque([1, 2]),
        "counter": Counter("aab"),
        "ordered": OrderedDict(a=1, b=2),
        "default": defaultdict(list, a=[1]),
        "buffer": bytearray(b"ab"),
        "shorts": array("h", [1, 2]),
        "users": UserList([1, 2]),
        "config": Namespace(name="kept"),
        "bag": SimpleNamespace(items=[1]),
    }
    file, event, lines = StringIO(SECRET), threading.Event(), StringIO("a\nb")
    variables = {**kept, "file": file, "event": event, "lines": lines}
    return World(variables, lambda: (repr(kept), event.is_set(), file.getvalue(), file.tell(), lines.tell()))


def printable() -> World:
    """Return values whose text would reveal a function, a class or an address."""

    def hook() -> None: ...

    @dataclass
    class Job:
        name: str
        run: Any = hook

    class Model(BaseModel):
        run: Any = hook
        key: SecretStr = SecretStr(SECRET)

    class Kind(Enum):
        TEXT = str

    class Plain:
        pass

    class Listed(list):
        pass

    @dataclass
    class Box:
        inner: Any = field(default_factory=Plain)

    row = namedtuple("row", "run")
    variables = {
        "job": Job("a"),
        "model": Model(),
        "kind": Kind.TEXT,
        "default": defaultdict(list, a=[1]),
        "later": partial(hook),
        "row": row(hook),
        "queue": deque([hook]),
        "functions": {hook},
        "frozen": frozenset([hook]),
        "view": MappingProxyType({"run": hook}),
        "bag": SimpleNamespace(run=hook),
        "users": UserList([hook]),
        "listed": Listed([hook]),
        "box": Box(),
        "keyed": {hook: 1},
        "deep": [[[{"a": (hook,)}]]],
        "lock": threading.Lock(),
        "steps": iter([1]),
        "error": ValueError(hook),
        "plain": Plain(),
    }
    return World(variables)


def files() -> World:
    """Return a file and a database, each with a secret in it."""
    folder = Path(tempfile.mkdtemp())
    path = folder / "secret.txt"
    path.write_text(SECRET)
    database = sqlite3.connect(":memory:", check_same_thread=False)
    database.execute("CREATE TABLE secrets AS SELECT ? AS secret", (SECRET,))

    def watch() -> Any:
        contents = {file: file.is_file() and file.read_text() for file in folder.iterdir()}
        return contents, database.execute("SELECT * FROM secrets").fetchall()

    return World({"path": path, "database": database, "included": Template(SECRET)}, watch)


def quoted() -> World:
    """Return values that an error could quote, and objects that quote one when they fail."""

    class Failing:
        def fail(self, *_: Any) -> Any:
            raise RuntimeError(SECRET)

        __str__ = __repr__ = __iter__ = __len__ = __bool__ = __lt__ = __hash__ = fail
        __eq__ = __contains__ = __getitem__ = __int__ = __float__ = __add__ = __mod__ = fail

        def __getattr__(self, name: str) -> Any:
            if name.startswith("__"):
                raise AttributeError(name)
            return self.fail()

    def broken() -> Iterator[int]:
        yield 1
        raise KeyError(SECRET)

    class Sealed(BaseModel):
        @property
        def word(self) -> str:
            raise LookupError(SECRET)

    day = datetime(2026, 1, 1, tzinfo=UTC)
    variables = {"secret": SECRET, "failing": Failing(), "broken": broken(), "sealed": Sealed(), "day": day, "d": {}}
    return World(variables)


def long() -> World:
    """Return documents of a million characters, and lists of thousands."""
    return World(
        {
            "mega": "x" * 1_000_000,
            "same": "".join(["x" * 999_999, "x"]),
            "items": list(range(10_000)),
            "names": [f"name {i:06}" for i in range(30_000)],
            "day": datetime(2026, 1, 1, tzinfo=UTC),
            "n": 9,
        }
    )


def huge() -> World:
    """Return texts longer than any prompt."""
    return World(
        {
            "text": "x" * 50_000_000,
            "marks": "&<" * 15_000_000,
            "words": "ab " * 5_000_000,
            "lines": "ab\n" * 5_000_000,
            "hex": "f" * 20_000_000,
            "tags": "<a>" * 3_000_000,
            "comments": "<!---->" * 2_500_000,
        }
    )


def shared() -> World:
    """Return small values that contain themselves, or one part many times, so that a full traversal never ends."""

    @dataclass
    class Pair:
        left: Any
        right: Any

    @dataclass(frozen=True)
    class Frozen:
        left: Any
        right: Any

    class Model(BaseModel):
        left: Any
        right: Any

    def doubled(make: Callable[[Any], Any], times: int = 60) -> Any:
        value: Any = make(1)
        for _ in range(times):
            value = make(value)
        return value

    def nested(make: Callable[[Any], Any]) -> Any:
        value = make(1)
        for _ in range(200_000):  # more than the stack of any interpreter
            value = make(value)
        return value

    circle: list[Any] = []
    circle.append(circle)
    other: list[Any] = []
    other.append(other)
    makers: dict[str, Callable[[Any], Any]] = {
        "tree": lambda v: [v, v],
        "pair": lambda v: (v, v),
        "table": lambda v: {"a": v, "b": v},
        "record": lambda v: Pair(v, v),
        "frozen": lambda v: Frozen(v, v),
        "model": lambda v: Model.model_construct(left=v, right=v),
        "users": lambda v: UserList([v, v]),
        "view": lambda v: MappingProxyType({"a": v, "b": v}),
        "bag": lambda v: SimpleNamespace(a=v, b=v),
    }
    variables = {name: doubled(make) for name, make in makers.items()}
    variables |= {f"{name}2": doubled(make) for name, make in makers.items()}
    variables |= {"circle": circle, "circle2": other, "chain": nested(lambda v: (v,))}
    variables |= {name: nested(lambda v: [v]) for name in ("nest", "nest2")}
    return World(variables)


def endless() -> World:
    """Return endless iterators, a lazy range, and numbers that grow fast."""
    number = (1 << 50_000_000) - 1

    class Liar:
        def __len__(self) -> int:
            return 1

        def __iter__(self) -> Iterator[int]:
            return count()

    class Sneaky(list):
        def __iter__(self) -> Iterator[int]:
            return count()

    class Tricky(dict):
        def items(self) -> Any:
            return ((str(i), i) for i in count())

    return World(
        {
            "numbers": count(),
            "words": repeat("word"),
            "pairs": ((i, i) for i in count()),
            "lists": repeat([1]),
            "lazy": range(10**12),
            "big": number,
            "root": (1 << 25_000_000) + 12_345,
            "half": Fraction(1, 3),
            "vast": Decimal("1E+999999999"),
            "relative": Path("a/b"),
            "liar": Liar(),
            "sneaky": Sneaky([1, 2]),
            "tricky": Tricky(a=1),
        }
    )


WORLDS: dict[str, Callable[[], World]] = {
    make.__name__: make for make in (nothing, application, data, printable, files, quoted, long, huge, shared, endless)
}
