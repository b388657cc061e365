"""Which words of a unified diff's lines have changed, for people who read it on a terminal.

Removed lines are compared with the lines that are added in their place, word by word. The work of a whole diff is
bounded; above the bound, or where too little is the same, no word of a line is marked.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import NamedTuple

from promptreg.rules.unified_diff import Work, changes

SHARED = 0.25  # of the characters of the words; where less is the same, marks would show nothing
_TOKEN = re.compile(
    r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003fffd]"  # Han and kana have no spaces between words
    r"|[^\s!-/:-@\[-^`{-~\u3000-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003fffd]+|\n|[^\S\n]+|."
)


class Piece(NamedTuple):
    """A part of a line, and whether it is marked as changed."""

    text: str
    is_changed: bool = False


class Line(NamedTuple):
    """A line of a unified diff, in its parts, without its first character, which is `kind`; of a heading it is `@`."""

    kind: str
    pieces: list[Piece]

    @property
    def text(self) -> str:
        """The whole line as the diff has it."""
        return "".join([self.kind.strip("@"), *(piece.text for piece in self.pieces)])


def mark_words(diff: str) -> Iterator[Line]:
    r"""Yield the lines of a unified diff as `Registry.diff` returns it, with the changed words marked.

    >>> diff = "--- greet@1\n+++ greet@2\n@@ -1 +1 @@\n-Hello dear {{ name }}\n+Hello {{ name }}"
    >>> [piece for line in mark_words(diff) for piece in line.pieces if piece.is_changed]
    [Piece(text='dear ', is_changed=True)]
    """
    lines, work = diff.split("\n"), Work()
    yield from (Line("@", [Piece(line)]) for line in lines[:2] if diff)
    for is_change, run in groupby(lines[2:], lambda line: line[0] in "-+"):
        block = list(run)
        if is_change:
            yield from _changed(block, work)
        else:
            yield from (Line("@", [Piece(x)]) if x[0] == "@" else Line(" ", [Piece(x[1:])]) for x in block)


def _changed(block: Sequence[str], work: Work) -> Iterator[Line]:
    old, new = ("\n".join(line[1:] for line in block if line[0] == kind) for kind in "-+")
    is_replaced = block[0][0] != block[-1][0]
    marked = _mark(old, new, work) if is_replaced else ([Piece(old or new)], [Piece(old or new)])
    for kind, pieces in zip("-+", marked, strict=True):
        if is_replaced or kind == block[0][0]:
            yield from (Line(kind, line) for line in _split_lines(pieces))


def _mark(old: str, new: str, work: Work) -> tuple[list[Piece], list[Piece]]:
    tokens, new_tokens = _TOKEN.findall(old), _TOKEN.findall(new)
    found = list(changes(tokens, new_tokens, work))
    marked = _pieces(tokens, [part for part, _ in found]), _pieces(new_tokens, [part for _, part in found])
    if any(_shared(pieces) < SHARED for pieces in marked):
        return [Piece(old)], [Piece(new)]
    return marked


def _pieces(tokens: Sequence[str], changed: Sequence[slice]) -> list[Piece]:
    pieces, end = [], 0
    for part in changed:
        pieces += [Piece("".join(tokens[end : part.start])), Piece("".join(tokens[part]), is_changed=True)]
        end = part.stop
    return [piece for piece in [*pieces, Piece("".join(tokens[end:]))] if piece.text]


def _shared(pieces: Sequence[Piece]) -> float:
    """Return which part of the characters, but for white space, is not marked; of nothing it is all."""
    lengths = [0, 0]
    for piece in pieces:
        lengths[piece.is_changed] += len("".join(piece.text.split()))
    return 1.0 if not any(lengths) else lengths[False] / sum(lengths)


def _split_lines(pieces: Sequence[Piece]) -> Iterator[list[Piece]]:
    line: list[Piece] = []
    for piece in pieces:
        first, *rest = piece.text.split("\n")
        line.append(piece._replace(text=first))
        for text in rest:
            yield [part for part in line if part.text]
            line = [piece._replace(text=text)]
    yield [part for part in line if part.text]
