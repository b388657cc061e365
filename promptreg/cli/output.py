"""What commands print: values for people, and JSON for programs. Messages go to standard error."""

import json
import sys
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

import click
from pydantic import BaseModel

from promptreg.cli.context import Settings

V = TypeVar("V", bound=BaseModel)


def print_many(settings: Settings, values: Iterable[V], show: Callable[[Iterable[V]], None]) -> None:
    """Print values: for people with `show`, for programs as a JSON array, or with `--nl` as one object a line."""
    if settings.nl:
        for value in values:
            click.echo(_json(value))
    elif settings.json:
        click.echo("[" + ",\n ".join(map(_json, values)) + "]")
    else:
        show(values)


def print_one(settings: Settings, value: V, show: Callable[[V], None]) -> None:
    """Print a value: for people with `show`, for programs as a JSON object."""
    if settings.nl or settings.json:
        click.echo(_json(value))
    else:
        show(value)


def note(text: str) -> None:
    """Print a message for people, to standard error."""
    print(text, file=sys.stderr)


def _json(value: BaseModel) -> str:
    dumped: dict[str, Any] = value.model_dump(mode="json")
    return json.dumps(dumped, ensure_ascii=False)
