"""`promptreg list`."""

from collections.abc import Iterable

import click

from promptreg.cli.context import Settings, output_options, registry_options
from promptreg.cli.output import print_many
from promptreg.prompt import Prompt


@click.command("list")
@output_options
@registry_options
@click.pass_obj
def list_(settings: Settings) -> None:
    """List the prompts of the namespace."""
    with settings.registry() as registry:
        print_many(settings, registry.iterate(), _show)


def _show(prompts: Iterable[Prompt]) -> None:
    for prompt in prompts:
        click.echo(f"{prompt.name}  {prompt.version}  {prompt.title}")
