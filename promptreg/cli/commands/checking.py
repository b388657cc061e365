"""`promptreg check`, `verify` and `head`: what is wrong with a prompt, and with the stored data."""

from collections.abc import Iterable

import click

from promptreg.cli.completion import ReferenceCommand, reference_argument
from promptreg.cli.context import Settings, output_options, registry_options
from promptreg.cli.failures import in_commands
from promptreg.cli.output import note, paint, print_many, print_one, say
from promptreg.cli.progress import progress
from promptreg.harmless import one_line


@click.command(cls=ReferenceCommand)
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
@click.option("--head", metavar="HASH", help="What `promptreg head` printed before: it must be in the chain of events.")
@output_options
@registry_options
@click.pass_context
def verify(ctx: click.Context, head: str | None) -> None:
    """Check every row of the database.

    It exits with 1 where something is wrong, and prints what. With --head it also proves that no event up to that one
    was changed or cut since.
    """
    settings: Settings = ctx.obj
    with settings.registry() as registry, progress("Checking") as advance:
        problems = registry.verify(head=head, progress=advance)
    good = "All that is stored is whole"
    _finish(ctx, problems, f"{good}." if head is None else f"{good}, and the head is in the chain of events.")


@click.command()
@output_options
@registry_options
@click.pass_obj
def head(settings: Settings) -> None:
    """Print the hash of the last event, to be kept elsewhere.

    `promptreg verify --head HASH` then proves that no event up to that one was changed or cut.
    """
    with settings.registry() as registry:
        last = registry.head()
    print_one(settings, {"head": last}, lambda made: say(made["head"]))


def _finish(ctx: click.Context, problems: list[str], good: str) -> None:
    print_many(ctx.obj, problems, _print_problems)
    if problems:
        ctx.exit(1)
    note(good)


def _print_problems(problems: Iterable[str]) -> None:
    for problem in problems:
        say(paint(one_line(in_commands(problem)), "bad"))
