"""`promptreg mcp`."""

import sys

import click

from promptreg.cli.context import Settings, registry_options
from promptreg.cli.output import note

INSTALL = "python -m pip install 'promptreg-embedded[mcp]'"


@click.command()
@registry_options
@click.pass_obj
def mcp(settings: Settings) -> None:
    """Serve the prompts to an MCP client, on standard input and output.

    A client starts this command itself, and acts as who is named with --as. It ends with standard input.
    """
    try:
        from promptreg.mcp.stdio import serve  # noqa: PLC0415 (0.5 s, and an extra)
    except ImportError as error:
        if (error.name or "").startswith("promptreg"):
            raise
        raise click.ClickException(f"the MCP server needs the package mcp, 2.3 or later ({error}): {INSTALL}") from None
    with settings.registry() as registry:
        if sys.stdin.isatty():
            note("An MCP client starts this command, and writes to it; Ctrl-C ends it.")
        serve(registry)
