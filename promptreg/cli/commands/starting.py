"""`promptreg init`."""

import os

import click

from promptreg.cli.context import Settings, output_options, registry_options
from promptreg.cli.output import note, print_one
from promptreg.cli.text import one_line


@click.command()
@output_options
@registry_options
@click.pass_obj
def init(settings: Settings) -> None:
    """Create the database.

    One that is there already stays, and is brought up to date.
    """
    is_there = os.path.exists(settings.target)
    with settings.registry(create=True) as registry:
        made: dict[str, object] = {"path": registry.path, "created": not is_there}
    print_one(settings, made, _note)


def _note(made: dict[str, object]) -> None:
    said = "is created" if made["created"] else "was there already"
    note(f"{one_line(str(made['path']))} {said}.")
