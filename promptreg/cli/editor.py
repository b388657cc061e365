"""Editing a text in the user's editor, which must never lose what they wrote."""

import os
import shutil
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import mkdtemp
from typing import TypeVar

import click

from promptreg.cli.asking import can_ask
from promptreg.cli.sources import read_file

T = TypeVar("T")

LONGEST = 40  # characters of a prompt's name in the name of its file


def require_editor() -> None:
    """Refuse, as wrong usage, to open an editor that nobody named where there is no terminal for it."""
    if not (os.environ.get("VISUAL") or os.environ.get("EDITOR") or can_ask()):
        raise click.UsageError("there is no terminal to edit on; set VISUAL or EDITOR, or use `promptreg update`")


def edit_text(text: str, name: str, save: Callable[[bytes, Path], T], *, retry: Callable[[Path], str]) -> T | None:
    """Open a prompt's text in $VISUAL or $EDITOR, and pass what it leaves, with its path, to `save`.

    Returns what `save` returns, or None where the text is as it was. The file is in a new folder that nobody else may
    read, and is removed with it. Only where the text was changed and isn't saved, whatever the reason, the file is
    kept, and its path printed with `retry`, which says how to save it.
    """
    original = text.encode()
    path = _written(original, name)
    try:
        _run_editor(path)
        edited = _read(path)
        saved = None if edited == original else save(edited, path)
    except BaseException:
        _keep_changed(path, original, retry)
        raise
    shutil.rmtree(path.parent, ignore_errors=True)
    return saved


def _written(content: bytes, name: str) -> Path:
    """Write the file that is edited, and return its path."""
    try:
        path = Path(mkdtemp(prefix="promptreg-"), f"edit-{name.replace('/', '_')[:LONGEST]}.md")
        path.write_bytes(content)
    except OSError as error:
        raise click.ClickException(f"no file can be made to edit, so nothing is changed: {error.strerror}") from None
    return path


def _run_editor(path: Path) -> None:
    try:
        with _ctrl_c_is_the_editors():
            click.edit(filename=str(path))
    except (click.ClickException, ValueError) as error:  # ValueError: a quote in $EDITOR that is not closed
        reason = error.message if isinstance(error, click.ClickException) else str(error)
        raise click.ClickException(
            f"the editor failed, so nothing is changed: {reason}. $VISUAL, else $EDITOR, says which one is used."
        ) from error


@contextmanager
def _ctrl_c_is_the_editors() -> Iterator[None]:
    """Ignore Ctrl-C while the editor handles it; raise `KeyboardInterrupt` where it has ended the editor."""
    if threading.current_thread() is not threading.main_thread():  # where no handler can be set
        yield
        return
    pressed = list[int]()
    before = signal.signal(signal.SIGINT, lambda number, _: pressed.append(number))
    try:
        yield
    except click.ClickException:
        if pressed:
            raise KeyboardInterrupt from None
        raise
    finally:
        signal.signal(signal.SIGINT, before)


def _read(path: Path) -> bytes:
    try:
        content = read_file(str(path))
    except click.UsageError as error:
        raise click.ClickException(f"the editor left no text, so nothing is changed: {error.message}") from None
    if not content.strip():
        raise click.ClickException("the editor left an empty text, so nothing is changed")
    return content


def _keep_changed(path: Path, original: bytes, retry: Callable[[Path], str]) -> None:
    """Keep a text that was changed, and say where it is; remove any other."""
    try:
        is_kept = path.read_bytes().strip() not in {b"", original.strip()}
    except OSError:
        is_kept = path.exists()
    if is_kept:
        print(f"promptreg: your text is kept in {path}; {retry(path)}", file=sys.stderr)
    else:
        shutil.rmtree(path.parent, ignore_errors=True)


def quoted(path: Path) -> str:
    """Return a path as it is typed in a shell.

    >>> quoted(Path("my prompts/greet.md"))
    "'my prompts/greet.md'"
    """
    if os.sep == "\\":
        return f'"{path}"'
    from shlex import quote  # noqa: PLC0415 (0.5 ms, for a text that is kept)

    return quote(str(path))
