"""The entry point: the group of all commands, and what becomes of errors, one line and an exit status.

A command's module is imported when the command is run, so that each starts as fast as its own imports allow.
"""

import os
import sys
from collections.abc import Sequence
from contextlib import suppress
from importlib import import_module

import click

from promptreg.cli.context import Settings, registry_options
from promptreg.errors import PromptregError, StorageError
from promptreg.telemetry.metrics import installed_version

REFUSED, USAGE, STORAGE, INTERRUPTED, BROKEN_PIPE = 1, 2, 3, 128 + 2, 128 + 13

COMMANDS = {
    "list": "finding",
    "demo": "demo",
}
"""The module of `promptreg.cli.commands` that has each command, as a function of the command's name.

A name that Python has a use for, such as `list`, ends with an underscore there.
"""


class Commands(click.Group):
    """A group that imports a command when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names, in the order of `COMMANDS`."""
        return [*COMMANDS]

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return the command of this name, or None."""
        if cmd_name not in COMMANDS:
            return None
        module = import_module(f"promptreg.cli.commands.{COMMANDS[cmd_name]}")
        command: click.Command = getattr(module, cmd_name, None) or getattr(module, f"{cmd_name}_")
        return command


@click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80})
@click.version_option(installed_version(), message="promptreg %(version)s")
@registry_options
def promptreg() -> None:
    """Versioned, governed prompts in one file: write, review, publish, compare and take back prompts."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line, and return the exit status.

    It is 0; 1 where the registry refuses, 2 for wrong usage, 3 for a `StorageError`, 130 after Ctrl-C, and 141 where
    standard output is a closed pipe, as after `| head -1`.
    """
    try:
        try:
            return _run(arguments)
        finally:
            print(end="", flush=True)
    except BrokenPipeError:
        _discard_output()
        return BROKEN_PIPE
    except OSError as error:
        _discard_output()
        print(f"promptreg: the output can't be written: {error.strerror}", file=sys.stderr)
        return REFUSED


def _run(arguments: Sequence[str] | None) -> int:
    try:
        promptreg.main(arguments, prog_name="promptreg", standalone_mode=False, obj=Settings())
    except click.exceptions.Exit as left:
        return left.exit_code
    except click.Abort:
        return INTERRUPTED
    except click.ClickException as error:
        print(f"promptreg: {error.format_message()}", file=sys.stderr)
        return error.exit_code
    except PromptregError as error:
        print(f"promptreg: {error.code}: {error.message}", file=sys.stderr)
        return STORAGE if isinstance(error, StorageError) else REFUSED
    return 0


def _discard_output() -> None:
    """Redirect standard output to the null device, as Python would fail again as it flushes it at exit."""
    with suppress(OSError), open(os.devnull, "w") as nothing:
        os.dup2(nothing.fileno(), sys.stdout.fileno())
