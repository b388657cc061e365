"""The difference between three texts: a file, what was last synchronised, and what the registry shows."""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from promptreg.rules.unified_diff import Operation, Work, operations

CONTEXT = 2  # equal lines around a difference
MAX_LINES = 400


class Side(NamedTuple):
    """A text by lines, and what it is called."""

    title: str
    lines: Sequence[str]


class _Region(NamedTuple):
    """Where three texts differ: a range of the base, and the ranges that take its place in the other two."""

    base: slice
    ours: slice
    theirs: slice


def three_way(ours: Side, base: Side, theirs: Side, *, work: Work | None = None) -> list[str]:
    """Return the lines of a difference in the style of git's `diff3`, of at most `MAX_LINES` lines.

    Each place where they differ shows all three, with a line number of the file; where both sides made the same change
    of the base there is nothing to show. Where no work is left, all that differs is one place.

    >>> sides = [Side("file", ["a", "x"]), Side("version 1", ["a", "b"]), Side("version 2", ["a", "y"])]
    >>> three_way(*sides)[:6]
    ['@@ line 2 @@', 'a', '<<<<<<< file', 'x', '||||||| version 1', 'b']
    >>> three_way(*sides)[6:]
    ['=======', 'y', '>>>>>>> version 2']
    """
    lines: list[str] = []
    for region in _regions(ours.lines, base.lines, theirs.lines, work or Work()):
        lines += _hunk(region, ours, base, theirs)
    return shortened(lines)


def first_line(ours: Sequence[str], other: Sequence[str]) -> int:
    """Return the number of the first line of a text that differs from another; its last one where all that has differ.

    >>> first_line(["a", "b"], ["a", "c"]), first_line(["a"], ["a", "b"])
    (2, 1)
    """
    pairs = enumerate(zip(ours, other, strict=False), 1)
    return next((number for number, (one, two) in pairs if one != two), max(min(len(ours), len(other) + 1), 1))


def shortened(lines: list[str]) -> list[str]:
    """Return at most `MAX_LINES` lines, and how many more there are."""
    rest = len(lines) - MAX_LINES
    return lines if rest <= 0 else [*lines[:MAX_LINES], f"… {rest:,} more lines"]


def _regions(ours: Sequence[str], base: Sequence[str], theirs: Sequence[str], work: Work) -> Iterator[_Region]:
    """Yield the places where not all three are equal, but for those where both others are."""
    mine, others = operations(base, ours, work), operations(base, theirs, work)
    for start, end in _changed(mine, others):
        region = _Region(slice(start, end), _mapped(mine, start, end), _mapped(others, start, end))
        if ours[region.ours] != theirs[region.theirs]:
            yield region


def _changed(*edits: Sequence[Operation]) -> list[tuple[int, int]]:
    """Return the ranges of the base that any edit changes; those that overlap or touch are one."""
    ranges = sorted((start, end) for edit in edits for kind, start, end, _, _ in edit if kind != "equal")
    merged: list[tuple[int, int]] = []
    for start, end in ranges:
        if merged and start <= merged[-1][1]:
            merged[-1] = merged[-1][0], max(end, merged[-1][1])
        else:
            merged.append((start, end))
    return merged


def _mapped(edit: Sequence[Operation], start: int, end: int) -> slice:
    """Return the range of the new text that takes the place of a range of the base, whose ends no change crosses."""
    first = next((new + start - old for _, old, stop, new, _ in edit if old <= start <= stop), 0)
    last = next((new_stop + end - stop for _, old, stop, _, new_stop in reversed(edit) if old <= end <= stop), 0)
    return slice(first, last)


def _hunk(region: _Region, ours: Side, base: Side, theirs: Side) -> Iterator[str]:
    """Yield the lines of one place, with those of the file around it."""
    start, stop = region.ours.start, region.ours.stop
    yield f"@@ line {start + 1} @@"
    yield from ours.lines[max(start - CONTEXT, 0) : start]
    yield f"<<<<<<< {ours.title}"
    yield from ours.lines[region.ours]
    yield f"||||||| {base.title}"
    yield from base.lines[region.base]
    yield "======="
    yield from theirs.lines[region.theirs]
    yield f">>>>>>> {theirs.title}"
    yield from ours.lines[stop : stop + CONTEXT]
