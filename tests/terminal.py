"""The command line in this process, with streams of its own, which may be terminals; used by the tests of commands."""

import io
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple
from unittest import mock

import pytest

from promptreg.cli import main


class Done(NamedTuple):
    """What a command line has printed, and its exit status."""

    status: int
    out: str
    err: str


class Stream(io.TextIOWrapper):
    """A text stream in memory, which may be a terminal."""

    def __init__(self, content: bytes = b"", *, is_terminal: bool = False, encoding: str = "utf-8") -> None:
        super().__init__(io.BytesIO(content), encoding=encoding)
        self._is_terminal = is_terminal

    def isatty(self) -> bool:
        return self._is_terminal

    def written(self) -> str:
        self.flush()
        return self.buffer.getvalue().decode(self.encoding)  # type: ignore[attr-defined]


class Terminal:
    """Runs command lines in a folder, without the environment's variables that a command reads."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __call__(
        self,
        *arguments: str,
        stdin: str | bytes = b"",
        is_terminal: bool = False,
        encoding: str = "utf-8",
        **environment: str,
    ) -> Done:
        content = stdin.encode() if isinstance(stdin, str) else stdin
        out, err = (Stream(is_terminal=is_terminal, encoding=encoding) for _ in range(2))
        with (
            in_folder(self.folder),
            mock.patch.object(sys, "stdin", Stream(content, is_terminal=is_terminal)),
            mock.patch.object(sys, "stdout", out),
            mock.patch.object(sys, "stderr", err),
            mock.patch.dict(os.environ, {**_environment(), **environment}, clear=True),
        ):
            return Done(main(arguments), out.written(), err.written())


def _environment() -> dict[str, str]:
    ignored = ("PROMPTREG_", "_PROMPTREG_", "NO_COLOR", "COLUMNS", "TERM")
    return {name: value for name, value in os.environ.items() if not name.startswith(ignored)} | {"LOGNAME": "sam"}


def open_terminal() -> tuple[int, int]:
    """Return the two ends of a terminal of the system, ours and the program's; skip the test where it has none."""
    if not hasattr(os, "openpty"):
        pytest.skip("this system has no terminals of this kind")
    try:
        return os.openpty()
    except OSError as error:  # as in a container without /dev/pts
        pytest.skip(f"this system gives no terminal: {error}")


@contextmanager
def in_folder(folder: Path) -> Iterator[None]:
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)
