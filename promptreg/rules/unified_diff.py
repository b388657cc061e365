"""A unified diff of two texts, and which words of them differ, in bounded work.

`difflib` compares each line with all of its repetitions, once for each block that it finds: for 10,000 numbers in
another order it takes 12 s. So its work is counted; above a limit, everything between the first and the last difference
is one block. Importing `difflib` takes 1.3 ms, so this module is imported where a diff is made.
"""

from collections.abc import Iterator, Sequence
from difflib import Match, SequenceMatcher
from itertools import accumulate, takewhile
from typing import TypeAlias

MAX_WORK = 3_000_000  # comparisons: 0.3 s
Operation: TypeAlias = tuple[str, int, int, int, int]
COARSE = " too much has changed to compare it line by line: all of it is one block"


def unified(
    old: Sequence[str], new: Sequence[str], old_name: str, new_name: str, work: "Work | None" = None
) -> list[str]:
    """Return the lines of a unified diff, in the form of `difflib.unified_diff`; none where the texts are equal.

    Above the limit of work, what differs is one block, whose heading says so.
    """
    matcher, heading = _Matcher(old, new, work or Work()), ""
    try:
        matcher.get_opcodes()
    except _TooMuch:
        matcher.opcodes, heading = _one_block(old, new), COARSE
    hunks = [line for group in matcher.get_grouped_opcodes() for line in _hunk(group, old, new, heading)]
    return [f"--- {old_name}", f"+++ {new_name}", *hunks] if hunks else []


class Work:
    """How many comparisons may still be made; several diffs may share it."""

    def __init__(self, left: int = MAX_WORK) -> None:
        self.left = left


def operations(old: Sequence[str], new: Sequence[str], work: Work, *, autojunk: bool = True) -> Sequence[Operation]:
    """Return the operations that turn one text into another; where no work is left, all that differs is one of them.

    `autojunk` is that of `difflib`: what is repeated often is left out of the search for what is equal.
    """
    try:
        return _Matcher(old, new, work, autojunk=autojunk).get_opcodes()
    except _TooMuch:
        return _one_block(old, new)


def changes(old: Sequence[str], new: Sequence[str], work: Work) -> Iterator[tuple[slice, slice]]:
    """Yield what differs: the part of `old`, and the part of `new` that is in its place.

    What both begin and end with costs nothing. Where no work is left, all that is between is one change.

    >>> [(old.start, old.stop, new.start, new.stop) for old, new in changes("abcd", "aXcd", Work())]
    [(1, 2, 1, 2)]
    """
    for kind, start, end, new_start, new_end in _one_block(old, new):
        if kind == "equal":
            continue
        for what, a, b, c, d in operations(old[start:end], new[new_start:new_end], work, autojunk=False):
            if what != "equal":
                yield slice(start + a, start + b), slice(new_start + c, new_start + d)


class _TooMuch(Exception):
    """The comparison exceeds the limit of work."""


class _Matcher(SequenceMatcher[str]):
    """A `SequenceMatcher` that counts its work, and raises `_TooMuch` where none is left.

    `b2j` is documented: it holds the positions of each line in the second text. `opcodes` caches `get_opcodes`.
    """

    b2j: dict[str, list[int]]
    opcodes: list[Operation] | None

    def __init__(self, old: Sequence[str], new: Sequence[str], work: Work, *, autojunk: bool = True) -> None:
        super().__init__(None, old, new, autojunk)
        self._costs = [0, *accumulate(3 + len(self.b2j.get(line, ())) for line in old)]
        self._work = work

    def find_longest_match(self, alo: int = 0, ahi: int | None = None, blo: int = 0, bhi: int | None = None) -> Match:
        """Return the longest match; `SequenceMatcher` calls this once a block."""
        end = len(self._costs) - 1 if ahi is None else ahi
        self._work.left -= 10 + self._costs[end] - self._costs[alo]
        if self._work.left < 0:
            raise _TooMuch
        return super().find_longest_match(alo, ahi, blo, bhi)


def _one_block(old: Sequence[str], new: Sequence[str]) -> list[Operation]:
    """Return the operations that replace everything between the first and the last difference."""
    start = _equal(zip(old, new, strict=False))
    rest = min(len(old), len(new)) - start
    end = min(_equal(zip(reversed(old), reversed(new), strict=False)), rest)
    last, new_last = len(old) - end, len(new) - end
    blocks: list[Operation] = [
        ("equal", 0, start, 0, start),
        ("replace", start, last, start, new_last),
        ("equal", last, len(old), new_last, len(new)),
    ]
    return [block for block in blocks if block[1] < block[2] or block[3] < block[4]]


def _equal(pairs: Iterator[tuple[str, str]]) -> int:
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))


def _hunk(group: Sequence[Operation], old: Sequence[str], new: Sequence[str], heading: str) -> Iterator[str]:
    first, last = group[0], group[-1]
    yield f"@@ -{_range(first[1], last[2])} +{_range(first[3], last[4])} @@{heading}"
    for kind, start, end, new_start, new_end in group:
        if kind == "equal":
            yield from (f" {line}" for line in old[start:end])
        else:
            yield from (f"-{line}" for line in old[start:end])
            yield from (f"+{line}" for line in new[new_start:new_end])


def _range(start: int, end: int) -> str:
    """Return a range of lines in the form of the format: counted from 1, and a single line by its number alone."""
    length = end - start
    return str(start + 1) if length == 1 else f"{start + (length > 0)},{length}"
