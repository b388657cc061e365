"""The filters on one text or one number, for the metered tier: each measures its operands, then does Jinja's work.

Where Jinja's own function is safe on measured operands it is called; the others are written out here, because
Jinja's print what no template may print, or change the value that they are given. Filters on containers are in
`containers.py`. Every filter takes the render's `Meter` first.
"""

import re
from collections.abc import Callable, Iterable
from decimal import Decimal
from fractions import Fraction
from typing import Any

from markupsafe import Markup, escape

from promptreg.rendering.compat import JINJA_FILTERS, url_quote, wordwrap
from promptreg.rendering.metered.meter import Exceeded, Meter
from promptreg.rendering.values import Refused, require_no_leak, require_present

MAX_COUNTED = 500_000  # characters: 65 ms for the words of twice as many
MAX_DIGITS = 4_300  # Python's own limit for base 10, here for every base
MAX_EXPONENT = 300
MAX_BITS = 1_024  # as many as the greatest float has
MAX_WIDTH = 64  # of a conversion of `format`
MAX_CONVERSIONS = 500
MAX_PRECISION = 300
MAX_SLOW_TEXT = 100_000  # characters that Python code goes through word by word
MAX_WRAPPED = 20_000  # lines: 130 ms for five times as many
MAX_PIECES = 50_000  # that a text may be cut into: 70 ms for twice as many
MAX_MOVED = 500_000_000  # characters × tags: older versions of MarkupSafe move the text for each tag
MAX_STEPS = 20_000_000  # characters × characters, where two texts are matched in quadratic time
TRUNCATE_LEEWAY = 5
_CONVERSION = r"%(?:\(\w++\))?[-+ #0]*+(\d*+)(?:\.(\d*+))?([sdiufFeEgGxXoc%])"
"""Possessive, as `0` is both a flag and a digit: with backtracking 20,000 of them took 9 s."""


def require_steps(meter: Meter, first: int, second: int) -> None:
    """Raise `Exceeded` before two texts of these lengths are matched in quadratic time."""
    if first * second > MAX_STEPS:
        raise Exceeded(f"texts are too long for this step, which goes over characters at most {MAX_STEPS:,} times")
    meter.spend(first * second // 2_000)


def require_slow(meter: Meter, text: str | bytes) -> None:
    """Raise `Exceeded` before Python code goes through a text that is too long for that."""
    if len(text) > MAX_SLOW_TEXT:
        raise Exceeded(f"a text is too long for this step, which takes at most {MAX_SLOW_TEXT:,} characters")
    meter.spend(len(text) // 2)


def _on_text(name: str) -> Callable[[Meter, Any], Any]:
    """Return Jinja's filter of that name, which makes another text of about the same length."""
    jinja = JINJA_FILTERS[name]

    def run(meter: Meter, value: Any) -> Any:
        return meter.paid(jinja(meter.soft(value)))

    return run


do_capitalize = _on_text("capitalize")
do_lower = _on_text("lower")
do_string = _on_text("string")
do_upper = _on_text("upper")


def do_escape(meter: Meter, value: Any) -> Any:
    """Escape for HTML, unless the value is Markup already."""
    return meter.paid(escape(_html(meter, value)))


def do_forceescape(meter: Meter, value: Any) -> Any:
    """Escape for HTML, Markup too."""
    return meter.paid(escape(str(_html(meter, value))))


def do_safe(meter: Meter, value: Any) -> Any:
    """Mark a text as HTML."""
    return Markup(_html(meter, value))


def _html(meter: Meter, value: Any) -> str:
    """Return a text, or the HTML of an object that has `__html__`, as Markup."""
    if issubclass(type(value), str) or not hasattr(value, "__html__"):
        return meter.soft(value)
    return Markup(require_no_leak(meter.paid(str(value.__html__()))))


def do_striptags(meter: Meter, value: Any) -> Any:
    """Remove HTML tags, and collapse whitespace."""
    text = str(_html(meter, value))
    if text.count("<") * len(text) > MAX_MOVED:
        raise Exceeded(f"a text holds too many tags: their number times its length may be at most {MAX_MOVED:,}")
    if "&" in text:
        require_slow(meter, text)
    return meter.paid(Markup(text).striptags())


def do_trim(meter: Meter, value: Any, chars: str | None = None) -> Any:
    """Strip whitespace, or the characters given, from both ends."""
    text = meter.soft(value)
    if isinstance(chars, str):
        require_steps(meter, len(text), len(chars))
    return text.strip(chars)


def do_title(meter: Meter, value: Any) -> Any:
    """Capitalise each word."""
    text = meter.soft(value)
    require_slow(meter, text)
    return meter.paid(JINJA_FILTERS["title"](text))


def do_center(meter: Meter, value: Any, width: int = 80) -> Any:
    """Centre in a field of that width."""
    meter.require_characters(width)
    return meter.soft(value).center(width)


def do_indent(meter: Meter, s: str, width: int | str = 4, first: bool = False, blank: bool = False) -> Any:
    """Indent each line but the first."""
    text = _text_only(meter, s)
    is_markup = isinstance(text, Markup)  # with which Jinja takes the width for Markup, and escapes lines to no effect
    plain = str(text) if is_markup else text
    by = str(width) if is_markup and isinstance(width, str) else width
    unit = str.__len__(by) if isinstance(by, str) else by
    lines = len(plain.splitlines())
    meter.require_characters(unit)
    meter.require_length(lines)
    meter.require_characters(len(plain) + (lines + 2) * unit)
    indented: str = JINJA_FILTERS["indent"](plain, by, first, blank)
    return Markup(indented) if is_markup else indented


def _text_only(meter: Meter, value: Any) -> str:
    """Return a text; raise `Refused` for a list, which Jinja's filter would change as if it were text."""
    require_present(value)
    if not issubclass(type(value), str):
        raise Refused(f"this filter takes text, not a value of type {type(value).__name__}")
    return meter.soft(value)


def do_truncate(
    meter: Meter, s: str, length: int = 255, killwords: bool = False, end: str = "...", leeway: int | None = None
) -> Any:
    """Cut a text that is longer than `length` by more than the leeway."""
    text = s if issubclass(type(s), str) else _text_only(meter, s)
    meter.require_characters(min(length, str.__len__(text)) + len(end))
    leeway = TRUNCATE_LEEWAY if leeway is None else leeway
    if length < len(end) or leeway < 0:
        raise Refused("truncate takes a length that holds its end, and a leeway of at least 0")
    if len(text) <= length + leeway:
        return text
    kept = text[: length - len(end)]
    return (kept if killwords else kept.rsplit(" ", 1)[0]) + end


def do_wordwrap(
    meter: Meter,
    s: str,
    width: int = 79,
    break_long_words: bool = True,
    wrapstring: str | None = None,
    break_on_hyphens: bool = True,
) -> Any:
    """Break lines at that width."""
    text = _text_only(meter, s)
    require_slow(meter, text)
    if len(str.splitlines(text)) > MAX_WRAPPED:
        raise Exceeded(f"a text is too long for wordwrap, which takes at most {MAX_WRAPPED:,} lines")
    least = max(width, 1) if isinstance(width, int) else 1
    if len(text) > MAX_PIECES * least:
        raise Exceeded(f"a text is too long for wordwrap, which cuts it into at most {MAX_PIECES:,} pieces")
    slowest = sum(len(word) ** 2 for word in _WORDS.findall(text))
    slowest += sum(len(blank) ** 2 for blank in _BLANKS.findall(text)) // least
    require_steps(meter, slowest, 1)
    wrapped = "\n" if wrapstring is None else wrapstring
    meter.require_characters((len(text) + 1) * (1 + len(wrapped)))
    return wordwrap(text, width, break_long_words, wrapped, break_on_hyphens)


_WORDS = re.compile(r"[^\t\n\x0b\x0c\r ]+")  # as textwrap splits them, in a time that grows with the square of a word
_BLANKS = re.compile(r"[\t\n\x0b\x0c\r ]+")  # from which textwrap cuts one width at a time, copying the rest


def do_wordcount(meter: Meter, value: Any) -> Any:
    """Count the words."""
    text = meter.soft(value)
    if len(text) > MAX_COUNTED:
        raise Exceeded(f"a text is too long for wordcount, which takes at most {MAX_COUNTED:,} characters")
    return JINJA_FILTERS["wordcount"](text)


def do_replace(meter: Meter, s: Any, old: Any, new: Any, count: int | None = None) -> str:
    """Replace a text, everywhere or `count` times."""
    return replaced(
        meter, str(meter.soft(s)), str(meter.soft(old)), str(meter.soft(new)), -1 if count is None else count
    )


def replaced(meter: Meter, text: str, old: str, new: str, count: int = -1, /) -> str:
    """Implement `str.replace`; raise `Exceeded` before the result gets too long."""
    found = text.count(old)
    times = found if count < 0 else min(found, count)
    meter.require_characters(len(text) + times * (len(new) - len(old)))
    return text.replace(old, new, count)


def do_format(meter: Meter, value: Any, /, *args: Any, **kwargs: Any) -> str:
    """Format with `%` and plain conversions."""
    reason = format_offence(value) if type(value) is str else "takes a literal text"
    if reason:
        raise Refused(f"the filter format {reason}")
    if args and kwargs:
        raise Refused("format takes positional or named values, not both")
    if value.count("%") > MAX_CONVERSIONS:
        raise Refused(f"the filter format takes at most {MAX_CONVERSIONS} conversions")
    positional = tuple(_formatted(meter, arg) for arg in args)
    named = {name: _formatted(meter, arg) for name, arg in kwargs.items()}
    texts = [arg for arg in (*positional, *named.values()) if isinstance(arg, str)]
    meter.require_characters(len(value) * (1 + max(map(len, texts), default=0)) if texts else len(value))
    formatted: str = value % (named or positional)
    return formatted


def format_offence(pattern: str) -> str | None:
    """Return what is wrong with a pattern of `format`, which takes plain conversions, widths and precisions up to 64.

    >>> format_offence("%5.1f of %s"), format_offence("%999d")
    (None, 'takes widths and precisions up to 64')
    """
    rest = re.sub(_CONVERSION, "", pattern)
    if "%" in rest:
        return "takes plain conversions such as %s, %d and %.2f"
    for width, precision, _kind in re.findall(_CONVERSION, pattern):
        if any(len(number) > 2 or int(number or 0) > MAX_WIDTH for number in (width, precision)):
            return f"takes widths and precisions up to {MAX_WIDTH}"
    return None


def _formatted(meter: Meter, value: Any) -> Any:
    """Return a value for `%`: a number as it is, anything else as its text."""
    if type(value) not in _NUMBERS:
        return str(meter.soft(value))
    if isinstance(value, int) and value.bit_length() > MAX_BITS:
        raise Exceeded(f"an integer is too big for format, which takes at most {MAX_BITS:,} bits")
    return _digits(meter, value)


_NUMBERS = frozenset({int, float, bool, complex, Decimal, Fraction})


def do_urlencode(meter: Meter, value: Any) -> str:
    """Quote a text for a URL, or a mapping or list of pairs as a query."""
    if isinstance(value, str) or not isinstance(value, Iterable):
        return _quoted(meter, value, for_qs=False)
    pairs = value.items() if isinstance(value, dict) else value
    quoted = [f"{_quoted(meter, k, for_qs=True)}={_quoted(meter, v, for_qs=True)}" for k, v in meter.counted(pairs)]
    return meter.joined(["&".join(quoted)])


def _quoted(meter: Meter, value: Any, *, for_qs: bool) -> str:
    text = value if isinstance(value, str | bytes) else meter.text(value)
    require_slow(meter, text)
    return url_quote(text, for_qs=for_qs)


def _digits(meter: Meter, value: Any) -> Any:
    """Return a value that is to be read as a number; raise `Exceeded` where it has too many digits."""
    if isinstance(value, str | bytes) and len(value) > MAX_DIGITS:
        raise Exceeded(f"a number is too long: it may have at most {MAX_DIGITS:,} characters")
    if isinstance(value, Decimal) and value.is_finite() and value.adjusted() > MAX_EXPONENT:
        raise Exceeded(f"the exponent of a number is too big: it may be at most {MAX_EXPONENT:,}")
    return value


def do_int(meter: Meter, value: Any, default: Any = 0, base: int = 10) -> Any:
    """Convert to an integer, or return the default."""
    number = JINJA_FILTERS["int"](_digits(meter, value), default, base)
    if isinstance(number, int) and number.bit_length() > MAX_BITS:
        raise Exceeded(f"an integer gets too big for int, which gives at most {MAX_BITS:,} bits")
    return number


def do_float(meter: Meter, value: Any, default: Any = 0.0) -> Any:
    """Convert to a float, or return the default."""
    return JINJA_FILTERS["float"](_digits(meter, value), default)


def do_filesizeformat(meter: Meter, value: Any, binary: bool = False) -> str:
    """Format a number of bytes as a size (`13 kB`)."""
    return str(JINJA_FILTERS["filesizeformat"](_digits(meter, value), binary))


def do_round(meter: Meter, value: Any, precision: int = 0, method: str = "common") -> Any:
    """Round to that many decimals."""
    if isinstance(precision, int) and abs(precision) > MAX_PRECISION:
        raise Refused(f"round takes a precision of at most {MAX_PRECISION}")
    require_present(value)
    _digits(meter, value)
    return JINJA_FILTERS["round"](value, precision, method)


def do_abs(_meter: Meter, value: Any) -> Any:
    """Return the absolute value."""
    require_present(value)
    return abs(value)
