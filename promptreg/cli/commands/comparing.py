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
@click.argument("versions", metavar="[OLD NEW]", nargs=-1)
@output_options
@registry_options
@click.pass_obj
def diff(settings: Settings, name: str, versions: tuple[str, ...]) -> None:
    """Show what changed between two versions, which are numbers or labels.

    Without them it is from what is live to the latest version.
    """
    if len(versions) not in {0, 2}:
        raise click.UsageError("pass two versions, OLD and NEW, or none: from what is live to the latest version")
    old, new = versions or ("production", "latest")
    with settings.registry() as registry:
        text = registry.diff(name, selector(old), selector(new))
    value = {"name": name, "old": selector(old), "new": selector(new), "diff": text}
    print_one(settings, value, lambda _: print_diff(text, sys.stdout))
