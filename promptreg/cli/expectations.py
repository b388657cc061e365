"""Versions, and what a caller expects to find, as they are written in options."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import click

from promptreg.models import UNSET
from promptreg.rules.names import Selector

F = TypeVar("F", bound=Callable[..., Any])

PRODUCTION, HASH = "--expect-production", "--expect-hash"


def selector(text: str) -> Selector:
    """Return the version that a text means: a number, or a label.

    >>> selector("3"), selector("staging")
    (3, 'staging')
    """
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 30 else text


def expect_production(command: F) -> F:
    """Add the option that says which version must be live now."""
    help_text = "The version that must be live now, 0 for none; NAME=N for one of several prompts."
    return click.option(PRODUCTION, multiple=True, metavar="[NAME=]N", help=help_text)(command)


def expect_hash(command: F) -> F:
    """Add the option that says which content goes live."""
    help_text = "The content hash of the version to publish; NAME=HASH for one of several prompts."
    return click.option(HASH, multiple=True, metavar="[NAME=]HASH", help=help_text)(command)


def read_numbers(values: Sequence[str], references: Sequence[str]) -> Any:
    """Return what `--expect-production` says, as `Registry.publish` takes it; raise a usage error."""
    return _read(values, PRODUCTION, references, _number)


def read_hashes(values: Sequence[str], references: Sequence[str]) -> Any:
    """Return what `--expect-hash` says, as `Registry.publish` takes it; raise a usage error."""
    return _read(values, HASH, references, str)


def _read(values: Sequence[str], option: str, references: Sequence[str], convert: Callable[[str], Any]) -> Any:
    """Return one value for one prompt, or for several a mapping by name."""
    if not values:
        return UNSET
    if len(references) == 1:
        name = references[0].partition("@")[0]
        if len(values) > 1:
            raise click.UsageError(f"{option} is passed {len(values)} times for one prompt")
        return convert(values[0].removeprefix(f"{name}="))
    if not all("=" in value for value in values):
        raise click.UsageError(f"{option} takes NAME=… where several prompts are named")
    named = [value.split("=", 1) for value in values]
    if len(dict(named)) < len(named):
        raise click.UsageError(f"{option} is passed twice for one prompt")
    return {name: convert(value) for name, value in named}


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) <= 30):
        raise click.UsageError(f"{PRODUCTION} takes the number of a version")
    return int(text)
