"""Tables for people: aligned columns that fit into the terminal, whatever characters their cells hold."""

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple, TypeAlias

from promptreg.cli.output import paint, say
from promptreg.cli.text import columns, padded, shorten, shorten_middle, width, wrapped
from promptreg.harmless import one_line

CHUNK = 200  # rows that are aligned together, so that the first ones are printed before the last ones are read
GAP = "  "
MOST_READ = 1_000  # characters of a cell, as a title may have a million

Cell: TypeAlias = str | tuple[str, str]
"""A text, or a text and one of `output.STYLES`."""


class Column(NamedTuple):
    """The heading of a column, on which side its cells begin, and the width down to which others give way first.

    Cells are cut to the width of their column, where it `keeps_ends` in their middle; those of a last column that
    `wraps` go on in more lines.
    """

    heading: str
    is_right: bool = False
    least: int = 10
    wraps: bool = False
    keeps_ends: bool = False


def print_table(heads: Sequence[Column], rows: Iterable[Sequence[Cell]]) -> int:
    """Print rows under headings, and return how many there were; without a row, print nothing."""
    printed, widths = 0, [width(head.heading) for head in heads]
    for chunk in _chunks(rows):
        cells = [[_cell(cell) for cell in row] for row in chunk]
        natural = [min(max(width(text) for text, _ in column), columns()) for column in zip(*cells, strict=True)]
        widths = fitted([*map(max, widths, natural)], [head.least for head in heads])
        if not printed:
            _print_row(heads, widths, [(head.heading, "heading") for head in heads])
        for row in cells:
            _print_row(heads, widths, row)
        printed += len(cells)
    return printed


def _chunks(rows: Iterable[Sequence[Cell]]) -> Iterator[list[Sequence[Cell]]]:
    remaining = iter(rows)
    while chunk := list(islice(remaining, CHUNK)):
        yield chunk


def _cell(cell: Cell) -> tuple[str, str]:
    text, style = (cell, "") if isinstance(cell, str) else cell
    return one_line(text if len(text) <= MOST_READ else f"{text[:MOST_READ]}…"), style


def fitted(widths: list[int], least: Sequence[int]) -> list[int]:
    """Return widths that fit into the terminal together: the widest column that is above its least gives way.

    >>> fitted([40, 5, 60], [32, 5, 10])
    [35, 5, 36]
    """
    widths = list(widths)
    excess = sum(widths) + len(GAP) * (len(widths) - 1) - columns()
    for _ in range(excess):
        roomy = [place for place, wide in enumerate(widths) if wide > least[place]] or range(len(widths))
        widths[max(roomy, key=widths.__getitem__)] -= 1
    return [max(wide, 1) for wide in widths]


def _print_row(heads: Sequence[Column], widths: Sequence[int], row: Sequence[tuple[str, str]]) -> None:
    lines = wrapped(row[-1][0], widths[-1]) if heads[-1].wraps else [shorten(row[-1][0], widths[-1])]
    before = [_aligned(*of_column) for of_column in zip(heads[:-1], widths[:-1], row[:-1], strict=True)]
    say(GAP.join([*before, paint(lines[0], row[-1][1])]).rstrip())
    for line in lines[1:]:
        say(padded("", sum(widths[:-1]) + len(GAP) * len(before)) + paint(line, row[-1][1]))


def _aligned(head: Column, wide: int, cell: tuple[str, str]) -> str:
    short = shorten_middle(cell[0], wide) if head.keeps_ends else shorten(cell[0], wide)
    space = " " * (wide - width(short))
    return space + paint(short, cell[1]) if head.is_right else paint(short, cell[1]) + space
