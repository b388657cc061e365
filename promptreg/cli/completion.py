"""The arguments NAME and NAME[@VERSION]; a shell completes them from the registry that the line names."""

from collections.abc import Callable
from itertools import islice
from typing import Any, NoReturn, TypeVar

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


class ReferenceCommand(click.Command):
    """A command whose first argument is `reference_argument`."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        """Parse the arguments; where one is left over and one is a number, say how that version is chosen."""
        ctx.allow_extra_args = True
        left = super().parse_args(ctx, args)
        if left and not ctx.resilient_parsing:
            _refuse(ctx, left)
        return left


def _refuse(ctx: click.Context, left: list[str]) -> NoReturn:
    arguments = [parameter.name or "" for parameter in ctx.command.params if isinstance(parameter, click.Argument)]
    given: list[str] = [ctx.params[name] for name in arguments] + left
    reference, *others = given
    numbers = [text for text in others if text.isdecimal()]
    if len(left) == len(numbers) == 1:
        words = [f"{reference.partition('@')[0]}@{numbers[0]}", *(text for text in others if text not in numbers)]
        ctx.fail(f"the version stands with the name: `{ctx.command_path} {' '.join(words)}`")
    ctx.fail(f"Got unexpected extra arguments ({' '.join(left)})")
