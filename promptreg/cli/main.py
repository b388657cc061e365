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
from promptreg.cli.failures import failure_line
from promptreg.cli.masking import masked
from promptreg.cli.output import prepare_streams
from promptreg.errors import PromptregError, StorageError
from promptreg.harmless import one_line
from promptreg.nearest import did_you_mean

REFUSED, USAGE, STORAGE, INTERRUPTED, BROKEN_PIPE = 1, 2, 3, 128 + 2, 128 + 13

NAME = "promptreg"
COMPLETE = "_PROMPTREG_COMPLETE"
MOST_SAID = 200  # characters of a command in the list of all

COMMANDS = {
    "init": "starting",
    "list": "finding",
    "show": "reading",
    "render": "rendering",
    "new": "writing",
    "edit": "editing",
    "update": "writing",
    "diff": "comparing",
    "history": "reading",
    "publish": "publishing",
    "rollback": "publishing",
    "label": "labelling",
    "grant": "labelling",
    "status": "statuses",
    "enable": "statuses",
    "disable": "statuses",
    "archive": "statuses",
    "restore": "statuses",
    "delete": "statuses",
    "discard": "publishing",
    "search": "finding",
    "events": "reading",
    "namespaces": "finding",
    "check": "checking",
    "seed": "writing",
    "export": "transfer",
    "import": "transfer",
    "report": "reporting",
    "verify": "checking",
    "head": "checking",
    "backup": "backup",
    "sync": "syncing",
    "mcp": "serving",
    "demo": "demo",
}
"""The module of `promptreg.cli.commands` that has each command, as a function of the command's name.

A name that Python has a use for, such as `list`, ends with an underscore there.
"""


MEANT = {
    "add": "new",
    "dump": "export --full",
    "cat": "show",
    "create": "new",
    "find": "search",
    "get": "show",
    "help": "--help",
    "log": "history",
    "promote": "publish",
    "pull": "sync --pull",
    "remove": "delete",
    "rename": "update --name",
    "revert": "rollback",
    "rm": "delete",
    "tag": "label",
    "undo": "rollback",
    "versions": "history",
}
"""What is meant by names that commands have elsewhere."""


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
        command: click.Command = getattr(module, f"{cmd_name}_", None) or getattr(module, cmd_name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands with the first sentence of each, which is wrapped, not cut."""
        commands = [(name, self.get_command(ctx, name)) for name in COMMANDS]
        with formatter.section("Commands"):
            formatter.write_dl([(name, command.get_short_help_str(MOST_SAID)) for name, command in commands if command])

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Return the command that the arguments begin with; raise a usage error that has the nearest name."""
        if args[0] not in COMMANDS and not ctx.resilient_parsing and not args[0].startswith("-"):
            hint = f"; did you mean {MEANT[args[0]]!r}?" if args[0] in MEANT else did_you_mean(args[0], COMMANDS)
            ctx.fail(f"there is no command {args[0]!r}{hint}")
        return super().resolve_command(ctx, args)


def _print_version(ctx: click.Context, _: click.Parameter, asked: bool) -> None:
    if asked:
        from promptreg.telemetry.metrics import installed_version  # noqa: PLC0415 (14 ms, of the 30 that click takes)

        click.echo(f"{NAME} {installed_version()}")
        ctx.exit()


@click.command(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 80})
@click.option(
    "--version", is_flag=True, expose_value=False, is_eager=True, callback=_print_version, help="Print the version."
)
@registry_options
def promptreg() -> None:
    """Versioned, governed prompts in one file, or in PostgreSQL: write, review, publish, compare, take back."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line, and return the exit status.

    It is 0; 1 where the registry refuses, 2 for wrong usage, 3 for a `StorageError`, 130 after Ctrl-C, and 141 where
    standard output is a closed pipe, as after `| head -1`.
    """
    given = sys.argv[1:] if arguments is None else arguments
    try:
        prepare_streams()
        try:
            return _run(given)
        finally:
            print(end="", flush=True)
    except KeyboardInterrupt:
        print(file=sys.stderr)  # ends the line of the terminal's ^C
        return INTERRUPTED
    except BrokenPipeError:
        _discard_output()
        return BROKEN_PIPE
    except OSError as error:
        _discard_output()
        what = "the output can't be written" if error.filename is None else f"{error.filename} can't be used"
        return _failed(f"{what}: {error.strerror}", REFUSED, given)


def _run(arguments: Sequence[str]) -> int:
    if instruction := os.environ.get(COMPLETE):
        return _complete(instruction)
    try:
        with promptreg.make_context(NAME, [*arguments], obj=Settings()) as context:
            promptreg.invoke(context)
    except click.exceptions.Exit as left:
        return left.exit_code
    except click.Abort:
        return INTERRUPTED
    except click.exceptions.NoArgsIsHelpError as error:
        print(error.format_message(), file=sys.stderr)
        return USAGE
    except click.ClickException as error:
        return _failed(error.format_message(), error.exit_code, arguments, _help_of(error))
    except PromptregError as error:
        status = STORAGE if isinstance(error, StorageError) else REFUSED
        return _failed(failure_line(error), status, arguments)
    return 0


def _failed(message: str, status: int, arguments: Sequence[str], more: str = "") -> int:
    print(f"promptreg: {one_line(masked(message, arguments))}{more}", file=sys.stderr)
    return status


def _help_of(error: click.ClickException) -> str:
    """Return what a usage error ends with: which help to read."""
    context = error.ctx if isinstance(error, click.UsageError) else None
    if isinstance(error, click.NoSuchOption) and not error.option_name.startswith("--"):
        return " (what begins with - and is no option stands after --)"
    return f" (see `{context.command_path} --help`)" if context else ""


def _complete(instruction: str) -> int:
    """Answer a shell that completes a command line, or print what it has to evaluate for that."""
    from click.shell_completion import shell_complete  # noqa: PLC0415 (only a shell asks)

    return shell_complete(promptreg, {"obj": Settings()}, NAME, COMPLETE, instruction)


def _discard_output() -> None:
    """Redirect standard output, if there is any, to the null device: Python would fail again at exit."""
    with suppress(OSError, AttributeError), open(os.devnull, "w") as nothing:
        os.dup2(nothing.fileno(), sys.stdout.fileno())
