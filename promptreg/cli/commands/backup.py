"""`promptreg backup`: everything as a new database in one file."""

import os

import click

from promptreg.cli.context import Settings, output_options, registry_options
from promptreg.cli.output import note, print_one
from promptreg.cli.progress import progress
from promptreg.harmless import one_line


@click.command()
@click.argument("path", type=click.Path())
@output_options
@registry_options
@click.pass_obj
def backup(settings: Settings, path: str) -> None:
    """Copy everything, of all namespaces, into a new database.

    The copy is of one moment, and is verified before it takes its name. Nothing that is there is ever replaced.
    """
    with settings.registry() as registry, progress("Copying and checking") as advance:
        registry.backup(path, progress=advance)
    made = {"path": os.path.abspath(path)}
    print_one(settings, made, lambda _: note(f"{one_line(path)} is made, and is whole."))
