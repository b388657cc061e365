"""Texts that anybody may have written, without what steers a terminal, turns the direction of lines, or is not seen."""

import re

_UNSEEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\xad\u034f\u061c\u070f\u0890\u0891\u08e2\u115f\u1160\u17b4\u17b5\u180e\u200b\u200e\u200f"
    "\u2028-\u202e\u2060-\u206f\u3164\ud800-\udfff\ufe00-\ufe0d\ufeff\uffa0\ufff0-\ufffb\U000110bd\U000110cd\U00013430-\U0001343f"
    "\U0001bca0-\U0001bca3\U0001d173-\U0001d17a\U000e0000-\U000e0fff]"
)
"""Control and format characters, lone surrogates, and all that Unicode lets a font leave out (Default_Ignorable).

Not joiners, the visible signs of Arabic, nor selectors of the variants of emoji and of Mongolian letters.
"""
_BREAKS = re.compile("[\t\n]")


def harmless(text: str) -> str:
    r"""Return a text with control characters, marks that turn the direction of lines, and invisible ones as escapes.

    Tabs and line breaks stay, and so do joiners and the selectors of variants of emoji.

    >>> print(harmless("a title\x1b[2J"))
    a title\x1b[2J
    """
    return _UNSEEN.sub(_escape, text)


def one_line(text: str) -> str:
    r"""Return a text as one harmless line.

    >>> print(one_line("a\nb"))
    a\nb
    """
    return _BREAKS.sub(_escape, harmless(text))


def _escape(found: re.Match[str]) -> str:
    return found[0].encode("unicode_escape").decode("ascii")
