"""What a shell completes by itself: names of prompts, read from the registry that the line names."""

from collections.abc import Callable
from itertools import islice
from typing import Any, TypeVar

import click
from click.shell_completion import CompletionItem

from promptreg.cli.context import Settings
from promptreg.errors import PromptregError
from promptreg.harmless import one_line
from promptreg.rules.inputs import STATUSES, TARGET_STATUSES

F = TypeVar("F", bound=Callable[..., Any])
MOST = 200  # names, as a shell shows them all at once


def complete_names(ctx: click.Context, _: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return the names that begin with what is typed; none where the registry can't be read, as nobody reads errors."""
    settings = ctx.find_object(Settings) or Settings()
    try:
        with settings.registry() as registry:
            prompts = islice(registry.iterate(prefix=incomplete or None, status=STATUSES), MOST)
            return [CompletionItem(prompt.name, help=one_line(prompt.title)) for prompt in prompts]
    except (PromptregError, click.ClickException):
        return []


def complete_statuses(_: click.Context, __: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Return the statuses that begin with what is typed."""
    return [CompletionItem(status) for status in TARGET_STATUSES if status.startswith(incomplete)]


def name_argument(command: F) -> F:
    """Add the argument NAME, which the shell completes."""
    return click.argument("name", shell_complete=complete_names)(command)


def reference_argument(command: F) -> F:
    """Add the argument NAME[@VERSION]; the version is a number or a label."""
    return click.argument("name", metavar="NAME[@VERSION]", shell_complete=complete_names)(command)
