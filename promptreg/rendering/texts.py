"""The filters that take one text or number, each measured before it runs; what they give is what Jinja's own give.

Where Jinja's function does the work it is called as it is, on operands that were measured; the others are
written out because theirs print what no template may print, or change what they are given.
"""

from collections.abc import Callable, Iterable
from decimal import Decimal
from fractions import Fraction
from typing import Any, NamedTuple

from jinja2 import Undefined
from jinja2.exceptions import FilterArgumentError
from jinja2.filters import FILTERS as JINJA_FILTERS
from jinja2.utils import url_quote
from markupsafe import Markup, escape

from promptreg.rendering.meter import Meter
from promptreg.rendering.policy import format_offence
from promptreg.rendering.values import Refused

MAX_COUNTED = 500_000  # characters: 65 ms for the words of twice as many
MAX_DIGITS = 4_300  # Python's own limit for base 10, here for every base
MAX_PRECISION = 300
MAX_SLOW_TEXT = 100_000  # characters for what goes through a text word by word
MAX_STEPS = 10_000_000  # characters × characters, where two texts are matched the slow way
TRUNCATE_LEEWAY = 5


def require_steps(meter: Meter, first: int, second: int) -> None:
    """Raise `Exceeded` before two texts of these lengths are matched character by character."""
    if first * second > MAX_STEPS:
        raise meter.too_big("characters", "matching two texts takes too long")
    meter.spend(first * second // (MAX_STEPS // 10_000))


def require_slow(meter: Meter, text: str | bytes) -> None:
    """Raise `Exceeded` before Python code goes through a text that is long for that."""
    if len(text) > MAX_SLOW_TEXT:
        raise meter.too_big("characters", f"a text of over {MAX_SLOW_TEXT:,} characters is too long for this filter")
    meter.spend(len(text) // 2)


def _on_text(name: str) -> Callable[..., Any]:
    """Give a filter that takes one text and makes another of about its length."""
    jinja = JINJA_FILTERS[name]

    def run(meter: Meter, value: Any) -> Any:
        return meter.made(jinja(meter.soft(value)))

    return run


def _escape(meter: Meter, value: Any) -> Any:
    return meter.made(escape(value if hasattr(value, "__html__") else meter.soft(value)))


def _forceescape(meter: Meter, value: Any) -> Any:
    return meter.made(escape(meter.soft(value.__html__() if hasattr(value, "__html__") else meter.text(value))))


def _safe(meter: Meter, value: Any) -> Any:
    return Markup(value if hasattr(value, "__html__") else meter.soft(value))


def _striptags(meter: Meter, value: Any) -> Any:
    text = meter.soft(value.__html__() if hasattr(value, "__html__") else meter.text(value))
    require_steps(meter, text.count("<"), len(text))
    return meter.made(Markup(text).striptags())


def _trim(meter: Meter, value: Any, chars: str | None = None) -> Any:
    text = meter.soft(value)
    if isinstance(chars, str):
        require_steps(meter, len(text), len(chars))
    return text.strip(chars)


def _title(meter: Meter, value: Any) -> Any:
    text = meter.soft(value)
    require_slow(meter, text)
    return meter.made(JINJA_FILTERS["title"](text))


def _center(meter: Meter, value: Any, width: int = 80) -> Any:
    meter.require_characters(width)
    return meter.soft(value).center(width)


def _indent(meter: Meter, s: str, width: int | str = 4, first: bool = False, blank: bool = False) -> Any:
    text = _text_only(meter, s)
    unit = str.__len__(width) if isinstance(width, str) else width
    meter.require_characters(unit)
    meter.require_characters(len(text) + (len(text.splitlines()) + 2) * unit)
    return JINJA_FILTERS["indent"](text, width, first, blank)


def _text_only(meter: Meter, value: Any) -> str:
    """Some filters would change a list that they are given as if it were text."""
    if isinstance(value, Undefined):
        str(value)
    if not isinstance(value, str):
        raise TypeError("takes text")
    return meter.soft(value)


def _truncate(
    meter: Meter, s: str, length: int = 255, killwords: bool = False, end: str = "...", leeway: int | None = None
) -> Any:
    text = s if isinstance(s, str) else _text_only(meter, s)
    meter.require_characters(min(length, str.__len__(text)) + len(end))
    leeway = TRUNCATE_LEEWAY if leeway is None else leeway
    if length < len(end) or leeway < 0:
        raise FilterArgumentError("length must hold the end, and leeway must not be negative")
    if len(text) <= length + leeway:
        return text
    kept = text[: length - len(end)]
    return (kept if killwords else kept.rsplit(" ", 1)[0]) + end


def _wordwrap(
    meter: Meter,
    s: str,
    width: int = 79,
    break_long_words: bool = True,
    wrapstring: str | None = None,
    break_on_hyphens: bool = True,
) -> Any:
    text = _text_only(meter, s)
    require_slow(meter, text)
    longest = max(map(len, text.split()), default=0)
    require_steps(meter, longest, longest)
    wrapped = "\n" if wrapstring is None else wrapstring
    meter.require_characters((len(text) + 1) * (1 + len(wrapped)))
    jinja: Any = JINJA_FILTERS["wordwrap"]
    return jinja(_ENVIRONMENT, text, width, break_long_words, wrapped, break_on_hyphens)


class _Newline(NamedTuple):
    newline_sequence: str


_ENVIRONMENT: Any = _Newline("\n")


def _wordcount(meter: Meter, value: Any) -> Any:
    text = meter.soft(value)
    if len(text) > MAX_COUNTED:
        raise meter.too_big("characters", f"a text of over {MAX_COUNTED:,} characters is too long to count its words")
    return JINJA_FILTERS["wordcount"](text)


def _replace(meter: Meter, s: Any, old: Any, new: Any, count: int | None = None) -> str:
    return replaced(
        meter, str(meter.soft(s)), str(meter.soft(old)), str(meter.soft(new)), -1 if count is None else count
    )


def replaced(meter: Meter, text: str, old: str, new: str, count: int = -1, /) -> str:
    """Be `str.replace`, on texts that are not too long for what comes out."""
    found = text.count(old)
    times = found if count < 0 else min(found, count)
    meter.require_characters(len(text) + times * (len(new) - len(old)))
    return text.replace(old, new, count)


def _format(meter: Meter, value: Any, *args: Any, **kwargs: Any) -> str:
    reason = format_offence(value) if type(value) is str else "takes a literal text"
    if reason:
        raise Refused(f"the filter format {reason}")
    if args and kwargs:
        raise FilterArgumentError("can't handle positional and keyword arguments at the same time")
    shown = tuple(_shown(meter, arg) for arg in args)
    named = {name: _shown(meter, arg) for name, arg in kwargs.items()}
    texts = [arg for arg in (*shown, *named.values()) if isinstance(arg, str)]
    meter.require_characters(len(value) * (1 + max(map(len, texts), default=0)) if texts else len(value))
    formatted: str = value % (named or shown)
    return formatted


def _shown(meter: Meter, value: Any) -> Any:
    return value if isinstance(value, int | float | complex | Decimal | Fraction) else str(meter.soft(value))


def _urlencode(meter: Meter, value: Any) -> str:
    if isinstance(value, str) or not isinstance(value, Iterable):
        return _quoted(meter, value, for_qs=False)
    pairs = value.items() if isinstance(value, dict) else value
    told = [f"{_quoted(meter, k, for_qs=True)}={_quoted(meter, v, for_qs=True)}" for k, v in meter.counted(pairs)]
    return meter.joined(["&".join(told)])


def _quoted(meter: Meter, value: Any, *, for_qs: bool) -> str:
    text = value if isinstance(value, str | bytes) else meter.text(value)
    require_slow(meter, text)
    return url_quote(text, for_qs=for_qs)


def _digits(meter: Meter, value: Any) -> Any:
    if isinstance(value, str | bytes) and len(value) > MAX_DIGITS:
        raise meter.too_big("integer_bits", f"a number of over {MAX_DIGITS:,} digits is too long")
    return value


def _int(meter: Meter, value: Any, default: Any = 0, base: int = 10) -> Any:
    return JINJA_FILTERS["int"](_digits(meter, value), default, base)


def _float(meter: Meter, value: Any, default: Any = 0.0) -> Any:
    return JINJA_FILTERS["float"](_digits(meter, value), default)


def _filesizeformat(meter: Meter, value: Any, binary: bool = False) -> str:
    return str(JINJA_FILTERS["filesizeformat"](_digits(meter, value), binary))


def _round(meter: Meter, value: Any, precision: int = 0, method: str = "common") -> Any:
    if isinstance(precision, int) and abs(precision) > MAX_PRECISION:
        raise Refused(f"round takes a precision of at most {MAX_PRECISION}")
    _digits(meter, value)
    return JINJA_FILTERS["round"](value, precision, method)


def _abs(_meter: Meter, value: Any) -> Any:
    return abs(value)


TEXT_FILTERS: dict[str, Callable[..., Any]] = {
    **{name: _on_text(name) for name in ("capitalize", "lower", "upper", "string")},
    **{"escape": _escape, "e": _escape, "forceescape": _forceescape, "safe": _safe, "striptags": _striptags},
    **{"trim": _trim, "title": _title, "center": _center, "indent": _indent, "truncate": _truncate},
    **{"wordwrap": _wordwrap, "wordcount": _wordcount, "replace": _replace, "format": _format},
    **{"urlencode": _urlencode, "int": _int, "float": _float, "filesizeformat": _filesizeformat, "round": _round},
    "abs": _abs,
}
