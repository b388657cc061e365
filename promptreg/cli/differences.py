"""Showing what differs between two versions: with colours and marked words on a terminal, else as it is."""

from collections.abc import Iterator
from typing import TextIO

import click

from promptreg.cli.output import STYLES, takes_colours
from promptreg.harmless import harmless
from promptreg.rules.changed_words import Line, Piece, mark_words

_SIDES = {"-": ("removed", "[-{}-]"), "+": ("added", "{{+{}+}}")}


def print_diff(diff: str, stream: TextIO) -> None:
    """Print a unified diff: on a terminal with the changed words marked, else exactly as `Registry.diff` returns it.

    Without colours `[-…-]` and `{+…+}` are the marks.
    """
    if not diff:
        return
    if not stream.isatty():
        stream.write(f"{diff}\n")
        return
    for line in shown_lines(diff, coloured=takes_colours(stream)):
        click.echo(line, file=stream, color=True)


def shown_lines(diff: str, *, coloured: bool) -> Iterator[str]:
    r"""Yield the lines of a unified diff with the changed words marked.

    >>> list(shown_lines("--- a@1\n+++ a@2\n@@ -1 +1 @@\n-Say hello to me\n+Say hi to me", coloured=False))[3:]
    ['-Say [-hello-] to me', '+Say {+hi+} to me']
    """
    for line in mark_words(diff):
        yield _coloured(line) if coloured else _plain(line)


def _plain(line: Line) -> str:
    if line.kind not in _SIDES:
        return harmless(line.text)
    mark = _SIDES[line.kind][1]
    return line.kind + "".join(mark.format(harmless(p.text)) if p.is_changed else harmless(p.text) for p in line.pieces)


def _coloured(line: Line) -> str:
    if line.kind not in _SIDES:
        return _styled(line.text, "heading") if line.kind == "@" else harmless(line.text)
    style = _SIDES[line.kind][0]
    pieces = [Piece(line.kind), *line.pieces]
    return "".join(_styled(piece.text, f"word_{style}" if piece.is_changed else style) for piece in pieces)


def _styled(text: str, style: str) -> str:
    return click.style(harmless(text), **STYLES[style])
