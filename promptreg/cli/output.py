"""What commands print: values for people, and JSON for programs. Messages go to standard error."""

import errno
import io
import json
import os
import sys
from collections.abc import Callable, Iterable
from typing import Any, TextIO, TypeVar

import click
from pydantic import BaseModel

from promptreg.cli.context import Settings
from promptreg.harmless import harmless

V = TypeVar("V")

STYLES: dict[str, dict[str, Any]] = {
    "live": {"fg": "green"},
    "draft": {"fg": "yellow"},
    "bad": {"fg": "red"},
    "name": {"fg": "cyan"},
    "quiet": {"dim": True},
    "heading": {"bold": True},
    "added": {"fg": "green"},
    "removed": {"fg": "red"},
    "word_added": {"fg": "green", "reverse": True},
    "word_removed": {"fg": "red", "reverse": True},
}
"""The styles by their meaning, as `click.style` takes them."""


def print_many(settings: Settings, values: Iterable[V], show: Callable[[Iterable[V]], None]) -> None:
    """Print values: for people with `show`, for programs as a JSON array, or with `--nl` as one value a line.

    A value is a model, or JSON as it is. Each is printed as it comes, so that an iterator of any length can be passed.
    """
    if settings.nl:
        for value in values:
            write(f"{as_json(value)}\n")
    elif settings.json:
        _print_array(values)
    else:
        show(values)


def _print_array(values: Iterable[Any]) -> None:
    before = "["
    for value in values:
        write(before + as_json(value))
        before = ",\n "
    write("]\n" if before != "[" else "[]\n")


def print_one(settings: Settings, value: V, show: Callable[[V], None]) -> None:
    """Print a value: for people with `show`, for programs as a JSON object."""
    if settings.for_programs:
        write(f"{as_json(value)}\n")
    else:
        show(value)


def as_json(value: Any) -> str:
    """Return a model, or JSON, as JSON on one line."""
    return json.dumps(value.model_dump(mode="json") if isinstance(value, BaseModel) else value, ensure_ascii=False)


def write(data: str) -> None:
    """Write data to standard output as it is, without a line break after it."""
    sys.stdout.write(data)


def say(text: str = "") -> None:
    """Print a line for people to standard output; it may hold what `paint` returned, and must be harmless else."""
    click.echo(text, file=sys.stdout, color=True)


def note(text: str) -> None:
    """Print a message for people, to standard error."""
    print(harmless(text), file=sys.stderr)


def paint(text: str, style: str) -> str:
    """Return a text in one of `STYLES`, where standard output is a terminal that takes colours."""
    return click.style(text, **STYLES[style]) if style and takes_colours(sys.stdout) else text


def takes_colours(stream: TextIO) -> bool:
    """Return whether a stream is a terminal, one that is not dumb, and NO_COLOR is not set (https://no-color.org)."""
    return stream.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"


def prepare_streams() -> None:
    """Have the standard streams write every character: as UTF-8, or on a terminal of another encoding as an escape.

    Where standard input is closed there is nothing to read; messages without a standard error are dropped. Closed
    output is `OSError`.
    """
    sys.stdin = sys.stdin or io.TextIOWrapper(io.BytesIO())
    sys.stderr = sys.stderr or io.StringIO()
    if sys.stdout is None:
        raise OSError(errno.EBADF, os.strerror(errno.EBADF))
    for stream in (sys.stdout, sys.stderr):
        if not isinstance(stream, io.TextIOWrapper):
            continue
        if stream.isatty():
            stream.reconfigure(errors="backslashreplace")
        else:
            stream.reconfigure(encoding="utf-8", errors="backslashreplace", newline="\n")
