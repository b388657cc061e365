"""What a template may read of a value, and print of it: attributes, items and text.

Values are objects of the application. A read returns data or raises: never something callable, a class, a module, or
a frame of the running program. Every refusal comes before any effect. What a render may do is counted in
`metered/meter.py`, and not here.

Where a value is treated as a builtin, `type(value)` decides, as proxies claim another class in `__class__`.
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
from pydantic import BaseModel

from promptreg.rendering.compat import LoopContext, Macro, Namespace, missing

SCALARS = frozenset({str, int, float, bool, NoneType})
"""Exact types that are data: reading, comparing and printing them runs no code of the application."""

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
    """A template does what the policy forbids; the message holds no value."""


class Raised(Refused):
    """A template calls `raise_exception`; the message is the literal text that it passes, or holds no text of it."""


class _Absent(UndefinedError):
    def __init__(self, name: Any, message: str | None = None) -> None:
        super().__init__(message)
        self.name = name


class AbsentVariable(_Absent):
    """The template reads a variable that was not passed."""


class AbsentAttribute(_Absent):
    """The template reads an attribute or item that `obj` does not have."""

    def __init__(self, name: Any, obj: Any, message: str | None = None) -> None:
        super().__init__(name, message)
        self.obj = obj


class HintedAbsence(UndefinedError):
    """The template reads something absent without a name, as the first item of an empty list; the message says what."""


class Absent(StrictUndefined):
    """Jinja's strict undefined, but false where its truth is tested (rule 20).

    It raises different errors for an absent variable and an absent attribute.
    """

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

    def __bool__(self) -> bool:  # type: ignore[override]  # which Jinja's never returns
        return False

    def __repr__(self) -> str:
        """Raise, because printing a list prints the reprs of its items."""
        return str(self)


def require_present(*values: Any) -> None:
    """Raise the error of what is absent, for operations that would not fail on it themselves, or without naming it."""
    for value in values:
        if issubclass(type(value), Undefined):
            str(value)


def read_attribute(obj: Any, name: str) -> Any:
    """Return `obj.name`: the attribute, else the item, as Jinja reads them, or `Absent` if there is neither.

    Raises `Refused` for anything callable, a class, a module, a generator, coroutine or frame, and for names that
    start with `_`, unless they are keys of a mapping.
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
    """Return `obj[key]`: the item, else the attribute of that name, or `Absent` if there is neither.

    Raises `Refused` like `read_attribute`.
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
    """Return whether a mapping has a key, before it is read: reading an absent one may add it."""
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
    """Raise `Refused` for a value of which nothing may be read: a function, class, module, or running code."""
    if isinstance(obj, _HIDDEN) or (callable(obj) and not isinstance(obj, Undefined | LoopContext)):
        raise Refused(f"nothing can be read of {_kind(obj)}")


def readable(value: Any) -> Any:
    """Return the value; raise `Refused` for one that no template may hold."""
    return value if type(value) in PLAIN else _readable(value)


def _readable(value: Any, hint: Callable[[Any, Any], str] | None = None, obj: Any = None, name: Any = None) -> Any:
    if isinstance(value, Undefined):
        return value
    if callable(value) or isinstance(value, _HIDDEN):
        raise Refused(f"{_kind(value)} can't be read from a value{'' if hint is None else hint(obj, name)}")
    return value


def _about_method(obj: Any, name: str) -> str:
    """Return a hint for a method of a mapping that was read as an attribute."""
    is_method = isinstance(obj, Mapping) and hasattr(type(obj), name)
    return "; it is a method: call it with (), or read the item of that name with ['…']" if is_method else ""


def _about_item(obj: Any, key: Any) -> str:
    """Return a hint for a method of a mapping that was read as an item, where there is no such item."""
    is_method = isinstance(obj, Mapping) and key not in obj
    return "; there is a method of that name and no such item: give a default with get('…', '')" if is_method else ""


def children(value: Any) -> Iterator[Any] | None:
    """Return the parts of a container, or of an object that is compared by its fields; None for other values.

    Builtin containers are read without running code of subclasses.
    """
    exact = type(value)
    if issubclass(exact, dict):
        return _pairs(value)
    for kind in (*_SEQUENCES, *_VIEWS):
        if issubclass(exact, kind):
            items: Iterator[Any] = kind.__iter__(value)
            return items
    if issubclass(exact, MappingProxyType):
        return chain.from_iterable(value.items())
    return None if issubclass(exact, str | Undefined) else _fields(value)


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
    """How a value is printed: the parts that its text shows, and whether code of its class writes the text."""

    parts: Iterator[Any] | None
    runs_class_code: bool


def printing(value: Any, *, is_inside: bool) -> Printing:
    """Return how a value is printed; inside a container its repr is printed.

    May be printed: text, numbers, None, Decimal, UUID, paths, dates, Enum, containers of these, namedtuples,
    dataclasses, and objects whose class defines `__str__`. Raises `Refused` for anything else.
    """
    kind: Any = type(value)
    if kind in SCALARS or kind in _SIMPLE or issubclass(kind, str | PurePath | Undefined):
        return Printing(None, False)
    if isinstance(value, (*_HIDDEN, Namespace, LoopContext)):
        raise Refused(f"{_kind(value)} can't be printed")
    runs_class_code = not any(kind.__repr__ is base.__repr__ for base in kind.__mro__ if base in _WITH_REPR)
    if issubclass(kind, _CONTAINERS):
        return Printing(children(value), runs_class_code)
    if is_dataclass(value) and kind.__repr__ is not object.__repr__:
        parts = iter([getattr(value, field.name) for field in fields(value) if field.repr])
        is_generated = hasattr(kind.__repr__, "__wrapped__")  # by `dataclass`
        return Printing(parts, not is_generated)
    if issubclass(kind, BaseException) and kind.__str__ is BaseException.__str__:
        return Printing(iter(value.args), is_inside)
    if kind.__str__ is object.__str__ or (is_inside and kind.__repr__ is object.__repr__):
        raise Refused(f"{_kind(value)} can't be printed; its class defines no {'__repr__' if is_inside else '__str__'}")
    if issubclass(kind, BaseModel):
        runs_class_code = kind.__repr__ is not BaseModel.__repr__ or kind.__str__ is not BaseModel.__str__
        return Printing(children(value), runs_class_code or bool(value.model_extra))
    return Printing(None, True)


def require_no_leak(text: str) -> str:
    """Return the text; raise `Refused` if it shows a function, a class or a memory address."""
    if _LEAKING.search(text):
        raise Refused("the text of an object holds a function, a class or a memory address")
    return text


def _kind(value: Any) -> str:
    return f"a value of type {type(value).__name__}"
