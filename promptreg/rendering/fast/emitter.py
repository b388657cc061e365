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


class Emitter:
    """Writes the lines of one function, whose text may have `most` characters."""

    def __init__(self, most: int) -> None:
        self.lines: list[str] = []
        self.piece = Piece()
        self._most = most
        self._indent = 1
        self._loops = 0
        self._is_begun = False
        self._values = 0  # in the piece
        self._paths: set[Path] = set()  # of the values in the piece whose length is not checked before

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
        self._loops += is_loop
        start = len(self.lines)
        yield
        self.flush()
        if len(self.lines) == start:
            self.write("pass")
        self._loops -= is_loop
        self._indent -= 1

    @contextmanager
    def branch(self, result: str) -> Iterator[Piece]:
        """Write a block that assigns what it prints to a local."""
        outer, self.piece = self.piece, Piece()
        self._indent += 1
        yield self.piece
        self._check_lengths()
        self.write(f"{result} = {self.piece.code}")
        self._indent -= 1
        self.piece = outer

    # The text

    def literal(self, text: str) -> None:
        """Add static text."""
        self.piece.parts.append(repr(text))

    def value(self, local: str, *, is_measured: bool) -> None:
        """Add the text that a local holds; check its length before, where that is asked for."""
        self.piece.parts.append(f"f'{{{local}}}'")
        if is_measured:
            self.piece.lengths.append(f"len({local})")

    def is_repeated(self, path: Path | None) -> bool:
        """Return whether the value of this path may be in the piece already; count it as being there from now on."""
        if path is None or path in self._paths:
            return True
        self._paths.add(path)
        return False

    def make_room(self, values: int = 1) -> None:
        """Count one more value in the piece, and first begin another where this one can't take so many."""
        if self._values + values > MAX_PIECES:
            self.flush()
        self._values += 1

    def flush(self) -> None:
        """Add the piece to the text, and begin another."""
        self._check_lengths()
        if not self._is_begun:  # the first piece, whose length is checked together with that of what follows
            self.write(f"o = {self.piece.code}")
        elif self.piece.parts:
            self.write(f"o += {self.piece.code}")
            if self._loops:
                self.write(f"if len(o) > {min(self._most, CHUNK)}: out, o = add_chunk({self._most}, out, o), ''")
            else:
                self.check_text()
        self._is_begun = True
        self._values = 0
        self.piece, self._paths = Piece(), set()

    def check_text(self) -> None:
        """Check the length of the text so far."""
        line = f"{' ' * self._indent}if len(o) > {self._most}: bail_out()"
        if self.lines[-1] != line:
            self.lines.append(line)

    def _check_lengths(self) -> None:
        if self.piece.lengths:
            self.write(f"if {' + '.join(self.piece.lengths)} > {self._most}: bail_out()")
