"""Text that people see in a terminal: how wide it is, and cut to a width."""

import shutil
from datetime import UTC, datetime
from unicodedata import category, east_asian_width

WIDEST = 80
LEAST_OF_ENDS = 7  # columns in which both ends of a text say something

_ZERO_WIDTH = {"Mn", "Me", "Cf"}
_EMOJI_STYLE = "\ufe0f"


def columns() -> int:
    """Return the width to print for: the terminal's, and at most 80 columns."""
    return max(20, min(shutil.get_terminal_size((WIDEST, 24)).columns, WIDEST))


def width(text: str) -> int:
    """Return how many columns a harmless line takes: wide characters and emoji two, combining ones none.

    >>> width("abc"), width("東京"), width("e\u0301")
    (3, 4, 1)
    """
    return len(text) if text.isascii() else sum(map(_columns_of, text))


def _columns_of(character: str) -> int:
    if character == _EMOJI_STYLE:
        return 1  # it widens the character before it
    if category(character) in _ZERO_WIDTH:
        return 0
    return 2 if east_asian_width(character) in {"W", "F"} else 1


def shorten(text: str, most: int) -> str:
    """Return a line cut to at most so many columns, with `…` in place of what was cut.

    >>> shorten("Summarize", 6), shorten("東京タワー", 6)
    ('Summa…', '東京…')
    """
    if width(text) <= most:
        return text
    return cut(text, most - 1) + "…"


def shorten_middle(text: str, most: int) -> str:
    """Return a line as `shorten` does, with what was cut from its middle: the ends of names tell them apart.

    >>> shorten_middle("support/tier-2/reply", 12), shorten_middle("東京タワー", 7)
    ('suppo…/reply', '東…ワー')
    """
    if width(text) <= most or most < LEAST_OF_ENDS:
        return shorten(text, most)
    head = cut(text, (most - 1) // 2)
    start, room = len(text), most - 1 - width(head)
    while (room := room - _columns_of(text[start - 1])) >= 0:
        start -= 1
    while _columns_of(text[start]) == 0:  # a mark belongs to the character before it
        start += 1
    return f"{head}…{text[start:]}"


def wrapped(text: str, most: int) -> list[str]:
    """Return the lines of a harmless text, broken between words, and within those that are wider than a line.

    >>> wrapped("Summarize this text", 12)
    ['Summarize', 'this text']
    """
    return [line for paragraph in text.split("\n") for line in _broken(paragraph.replace("\t", " "), most)]


def _broken(paragraph: str, most: int) -> list[str]:
    lines, start = [], 0
    while (end := _end(paragraph, start, most)) < len(paragraph):
        space = paragraph.rfind(" ", start, end + 1)
        stop = space if paragraph[start : max(space, start)].strip() else end
        lines.append(paragraph[start:stop].rstrip())
        start = stop
        while paragraph[start : start + 1] == " ":
            start += 1
    return [*lines, paragraph[start:]] if start < len(paragraph) or not lines else lines


def cut(text: str, most: int) -> str:
    """Return the beginning of a line that fits into so many columns, at least one character."""
    return text[: _end(text, 0, most)]


def _end(text: str, start: int, most: int) -> int:
    """Return where a line that begins at a position ends, with at least one character."""
    taken = 0
    for position in range(start, len(text)):
        taken += _columns_of(text[position])
        if taken > most and position > start:
            return position
    return len(text)


def padded(text: str, to: int) -> str:
    """Return a line with spaces after it, up to a width."""
    return text + " " * (to - width(text))


def moment(at: datetime) -> str:
    """Return a time in UTC, to the minute.

    >>> moment(datetime(2026, 11, 30, 3, 14, tzinfo=UTC))
    '2026-11-30 03:14Z'
    """
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%MZ}"
