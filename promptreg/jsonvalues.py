"""JSON values: checking, freezing, canonical text and hashes. Nothing here knows prompts.

Every thread gets the same value of a registry, so it must be read-only: objects become `FrozenDict` and arrays
`FrozenList`, at every depth. Both equal the plain dict or list with the same items, and `json.dumps` accepts them.
"""

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from hashlib import sha256
from math import isfinite
from typing import TYPE_CHECKING, Any, NoReturn

MAX_DEPTH = 64
MAX_NODES = 100_000  # more take one call over 50 ms to write or to read
MAX_CHARACTERS = 4 * 1024 * 1024  # of texts, where a shared one counts each time; more than any but a template has
MAX_KEY = 50  # characters of a key in a path, which is built anew for each value
MAX_CHECKED = 10_000
_SCALARS = frozenset({str, int, float, bool, bytes, type(None)})
_COLLECTIONS = frozenset({list, tuple, dict, set, frozenset})


def _refuse(self: object, *_: object, **__: object) -> NoReturn:
    raise TypeError(f"{type(self).__name__} is read-only; copy it with dict(...) or list(...) to change it")


class _Once(type):
    """The metaclass of frozen containers: it fills them when they are made, so that `__init__` can refuse to later."""

    if not TYPE_CHECKING:  # to a type checker they are made as dict and list are

        def __call__(cls, *items: Any, **more: Any) -> Any:
            value = cls.__new__(cls)
            cls.__mro__[-2].__init__(value, *items, **more)  # that of dict or list
            return value


class FrozenDict(dict[str, Any], metaclass=_Once):
    r"""A dict whose methods can't change it.

    >>> config = freeze({"stop": ["\n"]})
    >>> config == {"stop": ["\n"]}, json.dumps(config)
    (True, '{"stop": ["\\n"]}')
    >>> config["stop"] = []
    Traceback (most recent call last):
        ...
    TypeError: FrozenDict is read-only; copy it with dict(...) or list(...) to change it
    """

    __slots__ = ()
    __setattr__ = __delattr__ = __setitem__ = __delitem__ = __ior__ = _refuse
    clear = pop = popitem = setdefault = update = _refuse
    if not TYPE_CHECKING:
        __init__ = _refuse

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(frozenset(self.items()))

    def __reduce__(self) -> tuple[Any, ...]:
        return FrozenDict, (dict(self),)


class FrozenList(list[Any], metaclass=_Once):
    """A list whose methods can't change it."""

    __slots__ = ()
    __setattr__ = __delattr__ = __setitem__ = __delitem__ = __iadd__ = __imul__ = _refuse
    append = clear = extend = insert = pop = remove = reverse = sort = _refuse
    if not TYPE_CHECKING:
        __init__ = _refuse

    def __hash__(self) -> int:  # type: ignore[override]
        return hash(tuple(self))

    def __reduce__(self) -> tuple[Any, ...]:
        return FrozenList, (list(self),)


def frozen_dict(items: Mapping[str, Any] | Iterable[tuple[str, Any]]) -> FrozenDict:
    """Return a `FrozenDict` of these items, in half the time that calling the class takes."""
    made = _new_dict(FrozenDict)
    _fill_dict(made, items)
    return made


def frozen_list(items: Iterable[Any]) -> FrozenList:
    """Return a `FrozenList` of these items, in half the time that calling the class takes."""
    made = _new_list(FrozenList)
    _fill_list(made, items)
    return made


_new_dict, _fill_dict = dict.__new__, dict.update
_new_list, _fill_list = list.__new__, list.extend


class NotJSON(ValueError):
    """The value can't be held in JSON; the message gives the path and the reason, and quotes nothing but keys."""


def freeze(value: object, *, characters: int = MAX_CHARACTERS) -> Any:
    """Return a read-only copy of a JSON value, at every depth; tuples become lists, mappings objects.

    Raises `NotJSON` for what JSON can't hold (NaN, infinities, bytes, other objects, keys that are not text, cycles),
    for text with lone surrogates, which UTF-8 can't hold, or with NUL, where SQLite would cut it, and for more than 64
    levels, 100,000 values or so many characters of text.

    >>> freeze({"a": (1, 2)})
    {'a': [1, 2]}
    >>> freeze({"a": float("nan")})
    Traceback (most recent call last):
        ...
    promptreg.jsonvalues.NotJSON: at $.a: NaN and infinities are not JSON
    """
    try:
        return _frozen(value, "$", 0, _Size(characters))
    except NotJSON:
        raise
    except Exception as error:  # raised by the value's code; its text may quote anything
        if is_builtin(value):
            raise
        reason = unreadable_reason(error)
    raise NotJSON(reason)


def unreadable_reason(error: BaseException) -> str:
    """Return the reason that a value can't be read whose own code raised this error.

    Only the error's type is in it, as its text may quote anything.

    >>> unreadable_reason(KeyError("secret"))
    "can't be read: its own code raised KeyError"
    """
    return f"can't be read: its own code raised {type(error).__name__}"


def is_builtin(value: object) -> bool:
    """Return whether a value consists of at most 10,000 values of exact builtin types.

    Reading one runs no code of the caller, so whatever is raised meanwhile comes from a signal handler.

    >>> is_builtin({"a": [1, None]}), is_builtin([object()])
    (True, False)
    """
    waiting: list[Any] = [value]
    for _ in range(MAX_CHECKED):
        if not waiting:
            return True
        item = waiting.pop()
        if type(item) in _COLLECTIONS:
            waiting += item.items() if type(item) is dict else item
        elif type(item) not in _SCALARS:
            return False
    return False


class _Size:
    """The size of the part of a value that is frozen already."""

    __slots__ = ("_most", "characters", "nodes")

    def __init__(self, most: int) -> None:
        self._most = most
        self.nodes = self.characters = 0

    def text(self, text: str, where: str) -> str:
        """Add a text to the size, and return it; raise `NotJSON` where it is too much or invalid."""
        self.characters += len(text)
        if self.characters > self._most:
            raise NotJSON(f"more than {self._most} characters of text")
        return checked_text(text, where)


def _frozen(value: object, where: str, depth: int, size: _Size) -> Any:
    size.nodes += 1
    if size.nodes > MAX_NODES:
        raise NotJSON(f"more than {MAX_NODES} values (is it a cycle?)")
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return size.text(value, where)
    if isinstance(value, int):
        return _checked_int(value, where)
    if isinstance(value, float):
        if not isfinite(value):
            raise NotJSON(f"at {where}: NaN and infinities are not JSON")
        return float(value)
    if depth == MAX_DEPTH:
        raise NotJSON(f"at {where[:100]}: more than {MAX_DEPTH} levels (is it a cycle?)")
    if isinstance(value, Mapping):
        return frozen_dict(_frozen_items(value, where, depth, size))
    if isinstance(value, list | tuple):
        return frozen_list(_frozen(item, f"{where}[{i}]", depth + 1, size) for i, item in enumerate(value))
    raise NotJSON(f"at {where}: {type(value).__name__} is not JSON")


def _frozen_items(value: Mapping[Any, Any], where: str, depth: int, size: _Size) -> Iterator[tuple[str, Any]]:
    for key, item in value.items():
        if not isinstance(key, str):
            raise NotJSON(f"at {where}: a key is {type(key).__name__}, not text")
        yield size.text(key, where), _frozen(item, f"{where}.{key[:MAX_KEY]}", depth + 1, size)


def _checked_int(value: int, where: str) -> int:
    number = int.__index__(value)  # runs no code of a subclass
    try:
        str(number)
    except ValueError:
        raise NotJSON(f"at {where}: an integer of too many digits") from None
    return number


def checked_text(value: str, where: str = "$") -> str:
    """Return the text as an exact `str`; raise `NotJSON` where it holds NUL or a lone surrogate."""
    if "\0" in value:
        raise NotJSON(f"at {where}: a NUL character")
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise NotJSON(f"at {where}: a lone surrogate at character {error.start}") from None
    return str.__str__(value)


def thaw(value: Any) -> Any:
    """Return a copy of plain dicts and lists, which may be changed.

    >>> messages = thaw(freeze([{"role": "user", "content": "hi"}]))
    >>> messages[0]["role"] = "system"
    """
    if isinstance(value, Mapping):
        return {key: thaw(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [thaw(item) for item in value]
    return value


def _encoder(*, sort_keys: bool) -> Callable[[Any, int], Iterable[str]]:
    """Return an encoder that is made once; `JSONEncoder.encode` makes one a call, a fifth of a bulk change."""
    slow = json.JSONEncoder(sort_keys=sort_keys, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    make = getattr(json.encoder, "c_make_encoder", None)
    if make is None:
        return lambda value, _: slow.iterencode(value)
    encoder: Callable[[Any, int], Iterable[str]] = make(
        None, slow.default, json.encoder.encode_basestring, None, ":", ",", sort_keys, False, False
    )
    return encoder


_canonical = _encoder(sort_keys=True)
_compact = _encoder(sort_keys=False)
_decode = json.JSONDecoder().decode


def canonical(value: Any) -> str:
    """Return the canonical JSON of a value: sorted keys, no spaces, no escapes that UTF-8 does not need.

    Raises `TypeError` or `ValueError` for what JSON can't hold.

    >>> canonical({"b": [1, "é"], "a": None})
    '{"a":null,"b":[1,"é"]}'
    """
    return "".join(_canonical(value, 0))


def compact(value: Any) -> str:
    """Return JSON without spaces, whose keys keep their order."""
    return "".join(_compact(value, 0))


def is_same(one: Any, other: Any) -> bool:
    """Return whether two values are equal as JSON, where `1`, `1.0` and `true` are three values, as in no `==`.

    >>> is_same({"a": 1, "b": []}, {"b": [], "a": 1}), is_same([1], [True])
    (True, False)
    """
    if one is other:
        return True
    if isinstance(one, str) and isinstance(other, str):
        return one == other
    return bool(one == other) and canonical(one) == canonical(other)


def digest(value: Any) -> str:
    """Return the SHA-256 of the canonical JSON, as 64 hex digits."""
    return sha256(canonical(value).encode()).hexdigest()


def hashed(text: str) -> str:
    """Return the SHA-256 of a text in UTF-8, as 64 hex digits."""
    return sha256(text.encode()).hexdigest()


def parse(text: str) -> Any:
    """Return the frozen value of JSON text that `compact` or `canonical` wrote."""
    empty = _EMPTY.get(text)
    return refrozen(_decode(text)) if empty is None else empty


def refrozen(value: Any) -> Any:
    """Return a read-only copy of plain dicts and lists that hold JSON, which is not checked."""
    kind = type(value)
    if kind is dict:  # inlined `frozen_dict`: a prompt has a dozen of these
        made = _new_dict(FrozenDict)
        _fill_dict(made, {key: refrozen(item) for key, item in value.items()})
        return made
    if kind is list:
        items = _new_list(FrozenList)
        _fill_list(items, map(refrozen, value))
        return items
    return value


_EMPTY: dict[str, Any] = {"[]": FrozenList(), "{}": FrozenDict()}
