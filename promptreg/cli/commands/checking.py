"""`promptreg check` and `verify`: what is wrong with a prompt, and with the stored data."""

from collections.abc import Iterable

import click

from promptreg.cli.completion import reference_argument
from promptreg.cli.context import Settings, output_options, registry_options
from promptreg.cli.failures import in_commands
from promptreg.cli.output import note, paint, print_many, say
from promptreg.cli.progress import progress
from promptreg.cli.text import one_line


@click.command()
@reference_argument
@output_options
@registry_options
@click.pass_context
def check(ctx: click.Context, name: str) -> None:
    """Say why a version could not be published.

    It exits with 1 where there is a reason. Without @VERSION it is the draft, or where there is none what is live.
    """
    settings: Settings = ctx.obj
    with settings.registry() as registry:
        reasons = registry.check(name)
    _finish(ctx, reasons, f"{name} could be published.")


@click.command()
@output_options
@registry_options
@click.pass_context
def verify(ctx: click.Context) -> None:
    """Check every row of the database.

    It exits with 1 where something is wrong, and prints what.
    """
    settings: Settings = ctx.obj
    with settings.registry() as registry, progress("Checking") as advance:
        problems = registry.verify(progress=advance)
    _finish(ctx, problems, "All that is stored is whole.")


def _finish(ctx: click.Context, problems: list[str], good: str) -> None:
    print_many(ctx.obj, problems, _print_problems)
    if problems:
        ctx.exit(1)
    note(good)


def _print_problems(problems: Iterable[str]) -> None:
    for problem in problems:
        say(paint(one_line(in_commands(problem)), "bad"))
