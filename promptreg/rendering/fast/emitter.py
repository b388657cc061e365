"""Emitting Python source: the lines of a fast function, and the text that these lines put together.

The text is put together piece by piece, and its length is checked after each. So that a piece is hardly longer than
what was passed to the render, it holds each passed value once; the length of a value that may be repeated, or that was
computed, is checked before it is added.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from promptreg.rendering.fast.scope import Path
from promptreg.rendering.fast.syntax import MAX_PIECES

CHUNK = 20_000  # characters that text grows to in a loop, as growing may copy it


class Piece:
    """What one expression adds to the text: literals and values, and those lengths that are checked before."""

    def __init__(self) -> None:
        self.parts: list[str] = []
        self.lengths: list[str] = []

    @property
    def code(self) -> str:
        """The expression; literals stand beside the f-strings, as doubled braces compile slowly on Python 3.13."""
        return " ".join(self.parts) or "''"


class Text:
    """The text that one function puts together in its local `o`: `most` is code that says how long it may get."""

    def __init__(self, most: str) -> None:
        self.most = most
        self.piece = Piece()
        self.loops = 0  # around the current line
        self.has_loops = False
        self.is_begun = False
        self.values = 0  # in the piece
        self.paths: set[Path] = set()  # of the values in the piece whose length is not checked before


class Emitter:
    """Writes the lines of one function, whose text may have `most` characters."""

    def __init__(self, most: int) -> None:
        self.lines: list[str] = []
        self._text = Text(str(most))
        self._most = most
        self._indent = 1

    @property
    def piece(self) -> Piece:
        """The piece that is put together now."""
        return self._text.piece

    def write(self, line: str) -> None:
        """Write a line."""
        self.lines.append(" " * self._indent + line)

    def insert(self, number: int, line: str) -> None:
        """Write a line before that of this number, which has the same indentation."""
        self.lines.insert(number, " " * self._indent + line)

    @contextmanager
    def indented(self, *, is_loop: bool = False) -> Iterator[None]:
        """Write a block of lines, and pieces of text of its own."""
        self._indent += 1
        self._text.loops += is_loop
        self._text.has_loops |= is_loop
        start = len(self.lines)
        yield
        self.flush()
        if len(self.lines) == start:
            self.write("pass")
        self._text.loops -= is_loop
        self._indent -= 1

    @contextmanager
    def branch(self, result: str) -> Iterator[Piece]:
        """Write a block that assigns what it prints to a local."""
        text = self._text
        outer, text.piece = text.piece, Piece()
        self._indent += 1
        yield text.piece
        self._check_lengths()
        self.write(f"{result} = {self._text.piece.code}")
        self._indent -= 1
        text.piece = outer

    @contextmanager
    def function(self, header: str, most: str) -> Iterator[None]:
        """Write a function in the function, with a text of its own, which it returns."""
        self.write(header)
        outer, self._text = self._text, Text(most)
        self._indent += 1
        start = len(self.lines)
        yield
        self.finish()
        if self._text.has_loops:
            self.insert(start, "nonlocal fuel")
            self.insert(start + 1, "out = None")
        self._indent -= 1
        self._text = outer

    def finish(self) -> None:
        """Write the end of a function: the text is returned."""
        self.flush()
        self.check_text()
        chunks = f" if out is None else ''.join(add_chunk({self._text.most}, out, o))"
        self.write(f"return o{chunks if self._text.has_loops else ''}")

    # The text

    def literal(self, text: str) -> None:
        """Add static text."""
        self._text.piece.parts.append(repr(text))

    def value(self, local: str, *, is_measured: bool) -> None:
        """Add the text that a local holds; check its length before, where that is asked for."""
        self._text.piece.parts.append(f"f'{{{local}}}'")
        if is_measured:
            self._text.piece.lengths.append(f"len({local})")

    def is_repeated(self, path: Path | None) -> bool:
        """Return whether the value of this path may be in the piece already; count it as being there from now on."""
        if path is None or path in self._text.paths:
            return True
        self._text.paths.add(path)
        return False

    def make_room(self, values: int = 1) -> None:
        """Count one more value in the piece, and first begin another where this one can't take so many."""
        if self._text.values + values > MAX_PIECES:
            self.flush()
        self._text.values += 1

    def flush(self) -> None:
        """Add the piece to the text, and begin another."""
        text = self._text
        self._check_lengths()
        if not text.is_begun:  # the first piece, whose length is checked together with that of what follows
            self.write(f"o = {text.piece.code}")
        elif text.piece.parts:
            self.write(f"o += {text.piece.code}")
            if text.loops:
                self.write(f"if len(o) > {min(self._most, CHUNK)}: out, o = add_chunk({text.most}, out, o), ''")
            else:
                self.check_text()
        text.is_begun = True
        text.values = 0
        text.piece, text.paths = Piece(), set()

    def check_text(self) -> None:
        """Check the length of the text so far."""
        line = f"{' ' * self._indent}if len(o) > {self._text.most}: bail_out()"
        if self.lines[-1] != line:
            self.lines.append(line)

    def _check_lengths(self) -> None:
        if self._text.piece.lengths:
            self.write(f"if {' + '.join(self._text.piece.lengths)} > {self._text.most}: bail_out()")
