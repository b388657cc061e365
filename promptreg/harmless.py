"""Texts that anybody may have written, without characters that steer a terminal or turn the direction of lines."""

import re

_STEERING = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufeff]"
)
_BREAKS = re.compile("[\t\n]")


def harmless(text: str) -> str:
    r"""Return a text with control characters, and marks that turn the direction of lines, written as escapes.

    Tabs and line breaks stay.

    >>> print(harmless("a title\x1b[2J"))
    a title\x1b[2J
    """
    return _STEERING.sub(_escape, text)


def one_line(text: str) -> str:
    r"""Return a text as one harmless line.

    >>> print(one_line("a\nb"))
    a\nb
    """
    return _BREAKS.sub(_escape, harmless(text))


def _escape(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode("ascii")
