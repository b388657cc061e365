"""How many values a command prints at most: `--limit`."""

from collections.abc import Callable
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])

ALL = 1_000_000_000  # more than any registry holds, and a number that Python and SQLite can count to
SHOWN = 20  # values that people see where they say nothing else


class _Limit(click.IntRange):
    """A number of at least 1; a larger one than `ALL` means all."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return min(super().convert(value, param, ctx), ALL)


def limit_option(otherwise: str = f"{SHOWN}, and in JSON all") -> Callable[[F], F]:
    """Add the option; `otherwise` says how many there are without it."""
    return click.option("--limit", type=_Limit(min=1), metavar="N", help=f"At most so many; else {otherwise}.")
