"""Two versions side by side: rows of lines, with the changed words marked, as plain JSON data.

The lines are those of `Registry.diff`. The work of a whole report is bounded: above the bound, what differs between two
versions is one block.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from typing import Any, TypeAlias

from promptreg.records import VersionRecord, differing
from promptreg.rules.changed_words import Piece, mark_block
from promptreg.rules.diffing import compared_lines
from promptreg.rules.unified_diff import COARSE, MAX_WORK, Work, changes

CONTEXT = 3  # equal lines that are shown before and after a change
TOTAL_WORK = 100 * MAX_WORK  # comparisons of a whole report: 30 s
LEAST_WORK = 2_000  # of two versions, however much was compared before them
MAX_PAIRED = 2_500  # pairs of lines of one block that are compared; of more, lines are paired in their order
PAIR_WORK = 5  # comparisons that take as long as to look for a word in another line
PAIRED, ALIKE = 1, 10  # what it is worth to show two lines beside each other, and each word that both have

Row: TypeAlias = dict[str, Any]
Pair: TypeAlias = tuple[int | None, int | None]
"""The places of two lines that stand beside each other; None where there is nothing on that side."""


class Comparing:
    """Compares versions until the work of a report is done."""

    def __init__(self, work: int = TOTAL_WORK) -> None:
        self._left = work

    def rows(self, old: VersionRecord, new: VersionRecord) -> list[Row]:
        """Return the rows that differ, with the lines around them; none where the content is equal."""
        if not differing(old.snapshot, new.snapshot):
            return []
        most = max(min(MAX_WORK, self._left), LEAST_WORK)
        work = Work(most)
        rows = side_by_side(*compared_lines(old, new), work)
        self._left -= most - max(work.left, 0)
        return rows


def side_by_side(old: Sequence[str], new: Sequence[str], work: Work) -> list[Row]:
    """Return the rows of two texts: `same`, `changed`, `removed` and `added` lines, and a `gap` where lines are equal.

    A line is `{"line": number, "pieces": [[text, is_changed], ...]}`; that on the right of a `same` row has no pieces,
    as they are those on the left. Where all that differs is one block, because no work is left, a `heading` says so.

    >>> [row["kind"] for row in side_by_side(["a", "b"], ["a", "c", "d"], Work())]
    ['same', 'changed', 'added']
    """
    blocks = list(changes(old, new, work))
    rows: list[Row] = [] if work.left >= 0 else [{"kind": "heading", "text": COARSE.strip()}]
    end, new_end = 0, 0
    for part, other in blocks:
        rows += _equal(old[end : part.start], end, new_end, before=bool(end or new_end), after=True)
        rows += _changed(old[part], new[other], part.start, other.start, work)
        end, new_end = part.stop, other.stop
    return [*rows, *_equal(old[end:], end, new_end, before=True, after=False)]


def _equal(lines: Sequence[str], first: int, new_first: int, *, before: bool, after: bool) -> Iterator[Row]:
    """Yield equal lines: those next to a change, `before` or `after` them, and a gap for the others."""
    head, tail = CONTEXT * before, CONTEXT * after
    hidden = len(lines) - head - tail
    shown = range(len(lines))
    if hidden > 1:  # a gap takes a row itself
        shown = range(head)
        yield from (_same(first + at, new_first + at, lines[at]) for at in shown)
        yield {"kind": "gap", "lines": hidden}
        shown = range(len(lines) - tail, len(lines))
    yield from (_same(first + at, new_first + at, lines[at]) for at in shown)


def _same(at: int, new_at: int, text: str) -> Row:
    """Return the row of a line that is equal on both sides; its text stands once, as it makes up most of a page."""
    return {"kind": "same", "old": _line(at, [Piece(text)] if text else []), "new": {"line": new_at + 1}}


def _line(at: int, pieces: Sequence[Piece]) -> dict[str, Any]:
    return {"line": at + 1, "pieces": [[piece.text, piece.is_changed] for piece in pieces]}


def _changed(old: Sequence[str], new: Sequence[str], first: int, new_first: int, work: Work) -> Iterator[Row]:
    removed, added = mark_block(old, new, work)
    for at, other in paired(old, new, work):
        before = None if at is None else _line(first + at, removed[at])
        after = None if other is None else _line(new_first + other, added[other])
        kind = "added" if before is None else "removed" if after is None else "changed"
        yield {"kind": kind, "old": before, "new": after}


def paired(old: Sequence[str], new: Sequence[str], work: Work) -> list[Pair]:
    """Return which lines stand beside each other: those that share most words, in their order.

    >>> paired(["Say hello"], ["Be kind.", "Say hello to Ana"], Work())
    [(None, 0), (0, 1)]
    """
    if 1 < len(old) * len(new) <= MAX_PAIRED:
        words, others = ([Counter(line.split()) for line in lines] for lines in (old, new))
        work.left -= PAIR_WORK * len(others) * sum(1 + len(mine) for mine in words)
        if work.left >= 0:
            return _best([[PAIRED + ALIKE * (mine & other).total() for other in others] for mine in words])
    return [*zip_longest(range(len(old)), range(len(new)))]


def _best(worth: Sequence[Sequence[int]]) -> list[Pair]:
    """Return the pairs, in order on both sides, that are worth most together; `worth` has a row for each old line."""
    rows, columns = len(worth), len(worth[0])
    best = [[0] * (columns + 1) for _ in range(rows + 1)]
    for at in reversed(range(rows)):
        for other in reversed(range(columns)):
            both = worth[at][other] + best[at + 1][other + 1]
            best[at][other] = max(both, best[at + 1][other], best[at][other + 1])
    return [*_followed(worth, best)]


def _followed(worth: Sequence[Sequence[int]], best: Sequence[Sequence[int]]) -> Iterator[Pair]:
    at = other = 0
    while at < len(worth) and other < len(worth[0]):
        if best[at][other] == worth[at][other] + best[at + 1][other + 1]:
            yield at, other
            at, other = at + 1, other + 1
        elif best[at][other] == best[at + 1][other]:
            yield at, None
            at += 1
        else:
            yield None, other
            other += 1
    yield from ((place, None) for place in range(at, len(worth)))
    yield from ((None, place) for place in range(other, len(worth[0])))
