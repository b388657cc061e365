"""The progress bar of long work: on standard error, only on a terminal, and only where the work takes a while."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Protocol

from promptreg.cli.text import columns, shorten
from promptreg.harmless import one_line

BEGIN, PAUSE = 0.4, 0.1  # seconds: before the bar is drawn at first, and between two drawings
CELLS = 24


class Advance(Protocol):
    """What the work calls as it goes on."""

    def __call__(self, done: int, total: int | None = None, /) -> None:
        """Report how much is done in all; `total` where it is known by now, or has changed."""


@contextmanager
def progress(text: str, total: int = 0) -> Iterator[Advance]:
    """Draw a bar while the block runs, and remove it at its end, also after an error or Ctrl-C.

    The function that it returns is called as often as the work likes.

    >>> with progress("Checking", 100) as advance:
    ...     advance(50)
    """
    if not sys.stderr.isatty():
        yield _ignore
        return
    bar = Bar(text, total, monotonic)
    try:
        yield bar.advance
    finally:
        bar.remove()


def _ignore(done: int, total: int | None = None, /) -> None:
    """Draw nothing."""


class Bar:
    """The bar as it is drawn on a terminal; `now` returns seconds."""

    def __init__(self, text: str, total: int, now: Callable[[], float]) -> None:
        self._text = one_line(text)
        self._total = total
        self._now = now
        self._due = now() + BEGIN
        self._drawn = 0

    def advance(self, done: int, total: int | None = None, /) -> None:
        """Draw how much is done, unless the bar was drawn a moment ago."""
        self._total = self._total if total is None else total
        if self._now() >= self._due:
            self._draw(bar_line(self._text, done, self._total))
            self._due = self._now() + PAUSE

    def remove(self) -> None:
        """Blank the line, where anything was drawn."""
        if self._drawn:
            self._draw("")
            sys.stderr.write("\r")
            sys.stderr.flush()

    def _draw(self, line: str) -> None:
        sys.stderr.write("\r" + line.ljust(self._drawn))
        sys.stderr.flush()
        self._drawn = len(line)


def bar_line(text: str, done: int, total: int) -> str:
    """Return the bar as a line that fits into the terminal; without a total, the number alone.

    >>> bar_line("Checking", 500, 2000)
    'Checking [######------------------] 25 % of 2,000'
    >>> bar_line("Reading", 1234, 0)
    'Reading 1,234'
    """
    if total <= 0:
        return shorten(f"{text} {done:,}", columns() - 1)
    share = min(max(done / total, 0.0), 1.0)
    cells = "#" * int(share * CELLS)
    return shorten(f"{text} [{cells:-<{CELLS}}] {int(share * 100)} % of {total:,}", columns() - 1)
