"""The `repr` of values and renders: one line of fewer than 300 characters, whatever they hold.

Values may be made by hand, so a field may be absent or of any type. Nothing is compiled, and no database is read.
Loaded at the first `repr`.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from promptreg.harmless import one_line

MOST = 299
MAX_LEVELS = 6
MAX_LAST = 80
LEAST_OF_LAST = 24
LIMITS = (200, 140, 100, 70, 50, 35, 25, 17, 12)
"""The most characters of one field: the first of these with which all fields fit."""

_BRACKETS: dict[Any, tuple[str, str]] = {
    list.__repr__: ("[", "]"),
    tuple.__repr__: ("(", ")"),
    dict.__repr__: ("{", "}"),
}

Pair = tuple[Any, Any]


class Verbatim(str):
    """A text that is its own `repr`."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def short(value: object, most: int) -> Verbatim:
    """Return the `repr` of a value, whatever it is, cut to so many characters.

    >>> short("Summarize", 99), short("Summarize", 9), short(["a", "b", {"c": 1}], 18)
    ('Summarize', 'Summar…', ['a', … 2 more])
    """
    try:
        shown = one_line(_shown(value, most, MAX_LEVELS))
    except Exception:  # of the value's own code
        shown = f"<{type(value).__name__}>"
    return Verbatim(shown if len(shown) <= most else shown[: most - 1] + "…")


def _shown(value: Any, most: int, levels: int) -> str:
    written_by: Any = type(value).__repr__
    if written_by is str.__repr__:
        return _text(value, most)
    if written_by not in _BRACKETS:
        return repr(value)
    left, right = _BRACKETS[written_by]
    if not levels:
        return f"{left}…{right}"
    if written_by is dict.__repr__:
        items = (f"{_shown(key, most, 0)}: {_shown(item, most, levels - 1)}" for key, item in value.items())
    else:
        items = (_shown(item, most, levels - 1) for item in value)
    return listed(left, items, ",)" if left == "(" and len(value) == 1 else right, len(value), most)


def _text(text: str, most: int) -> str:
    head = str.__str__(text)[:most]
    shown = repr(head)
    if len(shown) <= most and len(head) == len(text):
        return shown
    while head and len(shown := repr(head + "…")) > most:
        head = head[: -max(1, (len(shown) - most) // len(r"\U0001f600"))]
    return shown


def listed(left: str, items: Iterable[str], right: str, total: int, most: int) -> str:
    """Return as many items as fit, and how many there are more."""
    shown: list[str] = []
    room = most - len(left + right)
    for item in items:
        room -= len(item) + len(", ")
        if room < (len("… 100 more") if len(shown) + 1 < total else -len(", ")):
            shown.append(f"… {total - len(shown)} more")
            break
        shown.append(item)
    return left + ", ".join(shown) + right


def shortened(kind: str, fields: Iterable[Pair]) -> list[Pair]:
    """Return the fields of a value, with what is long cut where not all of them fit."""
    pairs, room = list(fields), _room(kind)
    for most in (MOST, *LIMITS):
        shown: list[Pair] = [(name, short(value, most)) for name, value in pairs]
        if _length(shown) <= room:
            break
    while _length(shown) > room:
        shown.pop()
    return shown


def chosen(kind: str, fields: Mapping[str, Any], names: Sequence[str]) -> list[Pair]:
    """Return those of these fields that are there; the last one, the longest, takes what room the others leave."""
    *others, last = [name for name in names if name in fields] or [""]
    room = _room(kind)
    for most in LIMITS:
        shown: list[Pair] = [(name, short(fields[name], most)) for name in others]
        left = room - _length(shown) - len(f"{last}=, ")
        if left >= LEAST_OF_LAST:
            break
    return [*shown, (last, short(fields[last], min(left, MAX_LAST)))] if last else []


def _room(kind: str) -> int:
    return MOST - len(f"{kind}()")


def _length(pairs: Iterable[Pair]) -> int:
    return sum(len(f"{name}={value!r}, ") for name, value in pairs)


def references(items: object) -> object:
    """Return the prompts of a page as `name@version`."""
    return [_reference(item) for item in items] if isinstance(items, list) else items


def _reference(item: object) -> object:
    fields = getattr(item, "__dict__", {})
    if not isinstance(fields.get("name"), str) or "version" not in fields:
        return item
    return Verbatim(f"{short(fields['name'], LIMITS[0])[1:-1]}@{short(fields['version'], LIMITS[-1])}")


def of_render(name: object, prompt: object, text: object) -> str:
    """Return the `repr` of a render, with the length of its text alone, as that holds what callers passed."""
    version = getattr(prompt, "__dict__", {}).get("version")
    size = len(text) if isinstance(text, str) else None
    pairs = shortened("Rendered", [("name", name), ("version", version), ("characters", size)])
    return f"Rendered({', '.join(f'{field}={value!r}' for field, value in pairs)})"
