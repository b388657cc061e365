"""Asking before what can't be taken back, or what goes live. Where nobody can be asked, `--yes` is the answer."""

import sys
from collections.abc import Callable
from typing import Any, TypeVar

import click

from promptreg.harmless import one_line

F = TypeVar("F", bound=Callable[..., Any])


class Declined(click.ClickException):
    """The answer was no; nothing is changed, and the exit status is 1."""

    def format_message(self) -> str:
        """Return what stands after the name of the program."""
        return "nothing is changed."


def yes_option(command: F) -> F:
    """Add the option that answers the question."""
    return click.option("--yes", "-y", is_flag=True, help="Don't ask.")(command)


def require_answer(yes: bool, doing: str) -> None:
    """Refuse, as wrong usage, to go on where neither `--yes` was passed nor a terminal is there to ask on.

    >>> require_answer(yes=True, doing="delete greet")
    """
    if not (yes or can_ask()):
        raise click.UsageError(f"there is no terminal to ask on whether to {doing}; pass --yes")


def ask(question: str) -> None:
    """Print a question to standard error; raise `Declined` unless the answer is yes.

    Standard output stays that of the result, which `click.confirm` writes a space to.
    """
    print(f"{one_line(question)} [y/N] ", end="", file=sys.stderr, flush=True)
    answer = _read_line()
    if not answer:
        print(file=sys.stderr)  # ends the line after Ctrl-D
    if answer.strip().lower() not in {"y", "yes"}:
        raise Declined("")


def _read_line() -> str:
    """Return the line that is typed; what is no text is no answer."""
    try:
        return sys.stdin.readline()
    except UnicodeDecodeError:
        return ""


def can_ask() -> bool:
    """Return whether a question is seen on a terminal, and answered on one."""
    return sys.stdin.isatty() and sys.stderr.isatty()
