"""`promptreg diff`."""

import sys

import click

from promptreg.cli.completion import name_argument
from promptreg.cli.context import Settings, output_options, registry_options
from promptreg.cli.differences import print_diff
from promptreg.cli.expectations import selector
from promptreg.cli.output import print_one


@click.command()
@name_argument
@click.argument("old")
@click.argument("new")
@output_options
@registry_options
@click.pass_obj
def diff(settings: Settings, name: str, old: str, new: str) -> None:
    """Show what changed between two versions, which are numbers or labels."""
    with settings.registry() as registry:
        text = registry.diff(name, selector(old), selector(new))
    value = {"name": name, "old": selector(old), "new": selector(new), "diff": text}
    print_one(settings, value, lambda _: print_diff(text, sys.stdout))
