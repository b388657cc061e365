"""Which words of changed lines have changed, for people who read a diff on a terminal or a report.

Removed lines are compared with the lines that are added in their place, word by word. The work of a whole diff is
bounded; above the bound, or where too little is the same, no word of a line is marked.
"""

import re
from collections.abc import Iterator, Sequence
from itertools import groupby
from typing import NamedTuple, TypeAlias

from promptreg.rules.unified_diff import Work, changes

SHARED = 0.25  # of the characters of the words; where less is the same, marks would show nothing
_UNSPACED = r"\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"  # Han and kana: each character is a word
_TOKEN = re.compile(rf"(\s*)([{_UNSPACED}]|[^\s!-/:-@\[-^`{{-~{_UNSPACED}]+|\S|\Z)")


Token: TypeAlias = tuple[str, str]
"""White space, and the word or the sign that follows it."""


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


def mark_block(old: Sequence[str], new: Sequence[str], work: Work) -> tuple[list[list[Piece]], list[list[Piece]]]:
    """Return lines, and those in their place, with the changed words marked; where either is empty, nothing is.

    >>> removed, added = mark_block(["Hello dear Ana"], ["Hello Ana"], Work())
    >>> [piece.text for piece in removed[0] if piece.is_changed], added
    (['dear '], [[Piece(text='Hello Ana', is_changed=False)]])
    """
    if not (old and new):
        return [[Piece(line)] if line else [] for line in old], [[Piece(line)] if line else [] for line in new]
    removed, added = _mark("\n".join(old), "\n".join(new), work)
    return [*_split_lines(removed)], [*_split_lines(added)]


def _changed(block: Sequence[str], work: Work) -> Iterator[Line]:
    old, new = ([line[1:] for line in block if line[0] == kind] for kind in "-+")
    for kind, lines in zip("-+", mark_block(old, new, work), strict=True):
        yield from (Line(kind, line) for line in lines)


def _mark(old: str, new: str, work: Work) -> tuple[list[Piece], list[Piece]]:
    tokens, others = _TOKEN.findall(old), _TOKEN.findall(new)
    removed, added = list[Piece](), list[Piece]()
    end = other_end = 0
    for part, other in _changes(tokens, others, work):
        equal = zip(tokens[end : part.start], others[other_end : other.start], strict=True)
        for (space, word), (other_space, _) in equal:
            removed += [Piece(space, space != other_space), Piece(word)]
            added += [Piece(other_space, space != other_space), Piece(word)]
        keeps_space = _begin_alike(tokens[part], others[other])
        removed += _marked(tokens[part], keeps_space)
        added += _marked(others[other], keeps_space)
        end, other_end = part.stop, other.stop
    marked = _slid(_joined(removed)), _slid(_joined(added))
    return ([Piece(old)], [Piece(new)]) if any(_shared(pieces) < SHARED for pieces in marked) else marked


def _changes(tokens: Sequence[Token], others: Sequence[Token], work: Work) -> Iterator[tuple[slice, slice]]:
    """Yield what differs, and at last the end of both; white space before words is no difference of the words."""
    yield from changes([word for _, word in tokens], [word for _, word in others], work)
    yield slice(len(tokens), len(tokens)), slice(len(others), len(others))


def _begin_alike(tokens: Sequence[Token], others: Sequence[Token]) -> bool:
    return bool(tokens and others) and tokens[0][0] == others[0][0]


def _marked(tokens: Sequence[Token], keeps_space: bool) -> list[Piece]:
    """Return words as changed, with the space between them, and before them unless it stays."""
    text = "".join(map("".join, tokens))
    space = tokens[0][0] if keeps_space else ""
    return [Piece(space), Piece(text[len(space) :], is_changed=True)]


def _joined(pieces: Sequence[Piece]) -> list[Piece]:
    """Return pieces without empty ones, and those of one kind that follow each other as one."""
    runs = groupby((piece for piece in pieces if piece.text), lambda piece: piece.is_changed)
    return [Piece("".join(piece.text for piece in run), is_changed) for is_changed, run in runs]


def _slid(pieces: Sequence[Piece]) -> list[Piece]:
    """Return pieces in which words are marked with the space after them, where that before them is the same."""
    slid = [*pieces]
    for i in range(1, len(slid) - 1):
        before, piece, after = slid[i - 1 : i + 2]
        space = piece.text[: len(piece.text) - len(piece.text.lstrip())]
        if piece.is_changed and space != piece.text and after.text.startswith(space):
            moved = piece.text[len(space) :] + space
            slid[i - 1 : i + 2] = [Piece(before.text + space), Piece(moved, True), Piece(after.text[len(space) :])]
    return slid


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
