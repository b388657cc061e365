"""What a template may see of a value: which attributes and items it reads, and which texts it prints.

Values are the application's own objects. Reading one gives data or an error: never something to call,
a class, a module, or a view into the running program. Every refusal here happens before any effect.

What is measured or taken apart as a builtin is of that type itself: proxies say by `__class__` to be what they are not.
"""

import re
from collections import Counter, OrderedDict, deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from datetime import date, datetime, time, timedelta
from decimal import Decimal
from functools import partial
from itertools import chain
from pathlib import PurePath
from types import (
    AsyncGeneratorType,
    BuiltinFunctionType,
    CodeType,
    CoroutineType,
    FrameType,
    FunctionType,
    GeneratorType,
    MappingProxyType,
    MethodType,
    ModuleType,
    NoneType,
    TracebackType,
)
from typing import Any, NamedTuple
from uuid import UUID

from jinja2 import StrictUndefined, Undefined, UndefinedError
from jinja2.runtime import LoopContext, Macro
from jinja2.utils import Namespace, missing
from markupsafe import Markup
from pydantic import BaseModel

METHODS: dict[str, frozenset[str]] = {
    "str": frozenset(
        (
            "strip lstrip rstrip split rsplit splitlines replace join upper lower title capitalize startswith "
            "endswith find count removeprefix removesuffix isdigit isalpha"
        ).split()
    ),
    "dict": frozenset({"get", "items", "keys", "values"}),
    "sequence": frozenset({"index", "count"}),
    "moment": frozenset({"strftime", "isoformat", "date", "time"}),
    "loop": frozenset({"cycle", "changed"}),
}
"""The methods that a template may call, by kind of value."""

SCALARS = frozenset({str, int, float, bool, NoneType})
"""The exact types that are data through and through: reading, comparing and printing them runs no other code."""

PLAIN = SCALARS | {list, tuple, dict}
_SIMPLE = frozenset({Decimal, UUID, date, datetime, time, timedelta, complex, range})
_SEQUENCES: tuple[Any, ...] = (list, tuple, set, frozenset, deque)
_VIEWS: tuple[Any, ...] = (type({}.keys()), type({}.values()), type({}.items()))
_CONTAINERS = (*_SEQUENCES, *_VIEWS, dict, MappingProxyType)
_WITH_REPR = frozenset({*_CONTAINERS, OrderedDict})
_HIDDEN = (
    *(type, ModuleType, FunctionType, BuiltinFunctionType, MethodType, Macro),
    *(GeneratorType, CoroutineType, AsyncGeneratorType, FrameType, CodeType, TracebackType),
)
DICT_NAMES = frozenset(dir(dict))
_LOOP_NAMES = frozenset("index index0 revindex revindex0 first last length depth depth0 previtem nextitem".split())
_LEAKING = re.compile(
    r"<(?:function |class '|built-in |bound method |module '|method '|enum '|slot wrapper '|member '|attribute ')"
    r"|\bat 0x[0-9a-fA-F]"
)


class Refused(Exception):
    """What a template tried is against the policy; the message holds no value."""


class _Absent(UndefinedError):
    def __init__(self, name: Any, message: str | None = None) -> None:
        super().__init__(message)
        self.name = name


class AbsentVariable(_Absent):
    """The render read a variable that was not passed."""


class AbsentAttribute(_Absent):
    """The render read an attribute or item that a value, `obj`, does not have."""

    def __init__(self, name: Any, obj: Any, message: str | None = None) -> None:
        super().__init__(name, message)
        self.obj = obj


class HintedAbsence(UndefinedError):
    """What is absent is not a name: the first item of an empty list, a macro's argument; the message says what."""


class Absent(StrictUndefined):
    """Jinja's strict undefined, which tells an absent variable from an absent attribute."""

    __slots__ = ()

    def __init__(
        self,
        hint: str | None = None,
        obj: Any = missing,
        name: str | None = None,
        exc: Callable[..., Exception] = UndefinedError,
    ) -> None:
        if obj is missing and name is not None and hint is None:
            exc = partial(AbsentVariable, name)
        elif obj is not missing and hint is None:
            exc = partial(AbsentAttribute, name, obj)
        elif hint is not None:
            exc = HintedAbsence
        super().__init__(hint, obj, name, exc)  # type: ignore[arg-type]

    def __repr__(self) -> str:
        """Fail as any other reading does: printing a list prints the reprs of its items."""
        return str(self)


class AbsentDeclared(Absent):
    """An absent variable that is declared: false where its truth is tested (rule 21)."""

    __slots__ = ()

    def __bool__(self) -> bool:  # type: ignore[override]  # which Jinja's never returns
        return False


def read_attribute(obj: Any, name: str) -> Any:
    """Give `obj.name`: the attribute, else the item, as Jinja looks them up; `Absent` where there is neither.

    Raises `Refused` for what is to call, a class, a module, a generator, coroutine or frame, and for names
    that start with `_` anywhere but in a mapping.
    """
    if type(obj) is dict and name not in DICT_NAMES:
        try:
            value = obj[name]
        except KeyError:
            return Absent(obj=obj, name=name)
    else:
        value = _attribute(obj, name)
    return value if type(value) in PLAIN else _readable(value, _about_method, obj, name)


def _attribute(obj: Any, name: str) -> Any:
    require_open(obj)
    if name.startswith("_") and not (isinstance(obj, Mapping) and not hasattr(obj, name)):
        raise Refused(f"names that start with _ can be read only as keys of a mapping, not of {_kind(obj)}")
    _require_loop_part(obj, name)
    try:
        return getattr(obj, name)
    except AttributeError:
        if type(obj) is not dict and isinstance(obj, Mapping) and not _has_key(obj, name):
            return Absent(obj=obj, name=name)
        try:
            return obj[name]
        except (TypeError, LookupError):
            return Absent(obj=obj, name=name)


def read_item(obj: Any, key: Any) -> Any:
    """Give `obj[key]`: the item, else the attribute of that name; `Absent` where there is neither.

    Raises `Refused` for the same as `read_attribute`.
    """
    if type(obj) is not dict:
        require_open(obj)
    try:
        is_there = type(obj) in PLAIN or not isinstance(obj, Mapping) or _has_key(obj, key)
        value = obj[key] if is_there else _named(obj, key)
    except (TypeError, LookupError):
        value = _named(obj, key)
    return value if type(value) in PLAIN else _readable(value, _about_item, obj, key)


def _named(obj: Any, key: Any) -> Any:
    if not isinstance(key, str) or isinstance(obj, Undefined):
        return Absent(obj=obj, name=key)
    if key.startswith("_"):
        if isinstance(obj, Mapping):
            return Absent(obj=obj, name=key)
        raise Refused(f"names that start with _ can be read only as keys of a mapping, not of {_kind(obj)}")
    _require_loop_part(obj, key)
    try:
        return getattr(obj, str(key))
    except AttributeError:
        return Absent(obj=obj, name=key)


def _require_loop_part(obj: Any, name: str) -> None:
    if type(obj) is LoopContext and name not in _LOOP_NAMES:
        raise Refused("loop has no such part that a template can read")


def _has_key(obj: Mapping[Any, Any], key: Any) -> bool:
    """Tell whether a key is there before it is read: reading one that is not may put it there."""
    try:
        is_there = key in obj
    except TypeError:
        return True
    if not is_there and isinstance(obj, dict) and hasattr(type(obj), "__missing__"):
        if isinstance(obj, Counter):
            return True
        raise Refused(f"a {type(obj).__name__} has no such key, and a template can't add one; use get")
    return is_there


def require_open(obj: Any) -> None:
    """Raise `Refused` for what a template may read nothing of: functions, classes, modules, running code."""
    if isinstance(obj, _HIDDEN) or (callable(obj) and not isinstance(obj, Undefined | LoopContext)):
        raise Refused(f"nothing can be read of {_kind(obj)}")


def readable(value: Any) -> Any:
    """Give the value, unless it is something that no template may hold."""
    return value if type(value) in PLAIN else _readable(value)


def _readable(value: Any, hint: Callable[[Any, Any], str] | None = None, obj: Any = None, name: Any = None) -> Any:
    if isinstance(value, Undefined):
        return value
    if callable(value) or isinstance(value, _HIDDEN):
        raise Refused(f"{_kind(value)} can't be read from a value{'' if hint is None else hint(obj, name)}")
    return value


def _about_method(obj: Any, name: str) -> str:
    """Return what to write where a method of a mapping was read as an attribute."""
    is_method = isinstance(obj, Mapping) and hasattr(type(obj), name)
    return "; it is a method: call it with (), or read the item of that name with ['…']" if is_method else ""


def _about_item(obj: Any, key: Any) -> str:
    """Return what to write where a method of a mapping was read as an item, which is not there."""
    is_method = isinstance(obj, Mapping) and key not in obj
    return "; there is a method of that name and no such item: give a default with get('…', '')" if is_method else ""


def children(value: Any) -> Iterator[Any] | None:
    """Give what a container holds, or an object that is compared by what it holds; None for what holds nothing.

    Builtin containers are walked without running code of their own.
    """
    own = type(value)
    if issubclass(own, dict):
        return _pairs(value)
    for kind in (*_SEQUENCES, *_VIEWS):
        if issubclass(own, kind):
            items: Iterator[Any] = kind.__iter__(value)
            return items
    if issubclass(own, MappingProxyType):
        return chain.from_iterable(value.items())
    return None if issubclass(own, str | Undefined) else _fields(value)


def _fields(value: Any) -> Iterator[Any] | None:
    if getattr(type(value), "__eq__", None) is object.__eq__:
        return None
    if is_dataclass(value):
        return iter([getattr(value, field.name) for field in fields(value)])
    held = getattr(value, "__dict__", None)
    return iter(held.values()) if type(held) is dict else None


def _pairs(value: dict[Any, Any]) -> Iterator[Any]:
    for key, item in dict.items(value):
        yield key
        yield item


class Printing(NamedTuple):
    """What printing a value shows: the values inside it, and whether its class's own code writes the text."""

    parts: Iterator[Any] | None
    is_own: bool


def printing(value: Any, *, is_inside: bool) -> Printing:
    """Tell how a value is printed, where inside a container it is its repr that is.

    Raises `Refused` for what no template may print: only text, numbers, None, Decimal, UUID, paths,
    dates, Enum, containers of these, namedtuples, dataclasses, and objects whose class defines `__str__`.
    """
    kind: Any = type(value)
    if kind in SCALARS or kind in _SIMPLE or issubclass(kind, str | PurePath | Undefined):
        return Printing(None, False)
    if isinstance(value, (*_HIDDEN, Namespace, LoopContext)):
        raise Refused(f"{_kind(value)} can't be printed")
    is_own = not any(kind.__repr__ is base.__repr__ for base in kind.__mro__ if base in _WITH_REPR)
    if issubclass(kind, _CONTAINERS):
        return Printing(children(value), is_own)
    if is_dataclass(value) and kind.__repr__ is not object.__repr__:
        parts = iter([getattr(value, field.name) for field in fields(value) if field.repr])
        return Printing(parts, not hasattr(kind.__repr__, "__wrapped__"))  # dataclasses wrap the one that they make
    if issubclass(kind, BaseException) and kind.__str__ is BaseException.__str__:
        return Printing(iter(value.args), is_inside)
    if kind.__str__ is object.__str__ or (is_inside and kind.__repr__ is object.__repr__):
        raise Refused(f"{_kind(value)} can't be printed; its class defines no {'__repr__' if is_inside else '__str__'}")
    if issubclass(kind, BaseModel):
        is_own = kind.__repr__ is not BaseModel.__repr__ or kind.__str__ is not BaseModel.__str__
        return Printing(children(value), is_own or bool(value.model_extra))
    return Printing(None, True)


def require_no_leak(text: str) -> str:
    """Raise `Refused` where a class's own text shows a function, a class or a memory address."""
    if _LEAKING.search(text):
        raise Refused("the text of an object holds a function, a class or a memory address")
    return text


def method_of(obj: Any, name: str) -> tuple[str, Any] | None:
    """Give which of the policy's `METHODS` is meant by `obj.name(…)`, and the builtin's own function for it.

    A subclass counts where it leaves the builtin's method as it is; what an instance holds under that name does not.
    """
    for kind, bases in _METHOD_BASES:
        if name in METHODS[kind] and isinstance(obj, bases):
            own: Any = getattr(type(obj), name, missing)
            for base in bases:
                if isinstance(obj, base) and own is getattr(base, name, None):
                    return kind, own
    return None


_METHOD_BASES: tuple[tuple[str, tuple[type, ...]], ...] = (
    ("str", (str, Markup)),
    ("dict", (dict, OrderedDict)),
    ("sequence", (list, tuple)),
    ("moment", (datetime, date, time)),
    ("loop", (LoopContext,)),
)


def _kind(value: Any) -> str:
    return f"a value of type {type(value).__name__}"
