"""Reading what a command is given: a file, standard input, or JSON, each of bounded size."""

import json
import sys
from pathlib import Path
from typing import Any

import click

from promptreg import strictjson
from promptreg.cli.output import note

MOST = 16 * 1024 * 1024  # bytes: more than any prompt takes, escaped as JSON
STDIN = "-"


def read_file(path: str) -> bytes:
    """Return the bytes of a file, `-` being standard input; raise a usage error where it can't be read."""
    if path == STDIN:
        return read_stdin()
    try:
        with Path(path).open("rb") as file:
            content = file.read(MOST + 1)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise click.UsageError(f"{path} can't be read: {reason}") from error
    return _bounded(content, path)


def read_stdin() -> bytes:
    """Return the bytes of standard input; on a terminal, say that it is read."""
    if sys.stdin.isatty():
        note("Reading from the terminal; end with Ctrl-D (on Windows Ctrl-Z and Enter).")
    try:
        content = sys.stdin.buffer.read(MOST + 1)
    except OSError as error:  # a folder, for example
        raise click.UsageError(f"standard input can't be read: {error.strerror or error}") from error
    return _bounded(content, "standard input")


def _bounded(content: bytes, source: str) -> bytes:
    if len(content) > MOST:
        raise click.UsageError(f"{source} is larger than {MOST // 1024 // 1024} MiB, the most that is read")
    return content


def decode(content: bytes, source: str) -> str:
    r"""Return a text of UTF-8, without a byte order mark; raise a usage error for another encoding.

    >>> decode(b"\xef\xbb\xbfHello", "greet.txt")
    'Hello'
    """
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        looks = "; it looks like UTF-16" if content[:2] in {b"\xff\xfe", b"\xfe\xff"} else ""
        raise click.UsageError(f"{source}: line {line} is not UTF-8{looks}; save it as UTF-8") from None


def read_json(text: str, source: str) -> Any:
    """Return a JSON value; raise a usage error that says where it is malformed, and quotes no text of it.

    >>> read_json('{"model": "m"}', "--config")
    {'model': 'm'}
    """
    try:
        return strictjson.read(text)
    except strictjson.MalformedJSON as error:
        where = f", at line {error.line}, column {error.column}" if error.line else ""
        raise click.UsageError(f"{source} {error.reason}{where}") from None


def read_json_file(path: str) -> Any:
    """Return the JSON of a file, `-` being standard input, in any encoding of Unicode; raise a usage error."""
    content, source = read_file(path), "standard input" if path == STDIN else path
    if json.detect_encoding(content) in {"utf-8", "utf-8-sig"}:
        return read_json(decode(content, source), source)
    try:
        return read_json(content.decode(json.detect_encoding(content)), source)
    except UnicodeDecodeError:
        raise click.UsageError(f"{source} is not text of any encoding of Unicode; save it as UTF-8") from None


def read_json_option(value: str, option: str) -> Any:
    """Return the JSON of an option, or of the file that it names as `@FILE`; raise a usage error."""
    if not value.startswith("@"):
        return read_json(value, option)
    path = value[1:]
    if path == STDIN:
        raise click.UsageError(f"{option}: standard input is the template's; name a file")
    try:
        return read_json_file(path)
    except click.UsageError as error:
        raise click.UsageError(f"{option}: {error.message}") from error
