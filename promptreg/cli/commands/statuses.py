"""`promptreg status`, `enable`, `disable`, `archive`, `restore` and `delete`."""

from functools import partial
from typing import get_args

import click

from promptreg.cli.asking import ask, require_answer, yes_option
from promptreg.cli.completion import complete_names, complete_statuses, name_argument
from promptreg.cli.context import Settings, output_options, registry_options
from promptreg.cli.output import print_one
from promptreg.cli.results import show_status, show_update
from promptreg.errors import counted
from promptreg.models import TargetStatus
from promptreg.registry import Registry

DELETED: TargetStatus = "deleted"
TARGETS = get_args(TargetStatus)


@click.command()
@click.argument("status", shell_complete=complete_statuses)
@click.argument("names", metavar="NAME...", nargs=-1, required=True, shell_complete=complete_names)
@click.option("--dry-run", is_flag=True, help="Check everything, say what would be done, and write nothing.")
@yes_option
@output_options
@registry_options
@click.pass_obj
def status(settings: Settings, status: TargetStatus, names: tuple[str, ...], dry_run: bool, yes: bool) -> None:
    """Make prompts active, disabled, archived or deleted; all of them, or none.

    Only `deleted` asks, as `promptreg delete` does.
    """
    if status not in TARGETS and names[-1] in TARGETS:
        raise click.UsageError(f"the status stands before the names: `promptreg status {names[-1]} NAME...`")
    asks = status == DELETED and not dry_run
    if asks:
        require_answer(yes, f"delete {counted(len(names), 'prompt')}")
    with settings.registry(create=True) as registry:
        if asks and not yes:
            _ask_to_delete(registry, names)
        update = registry.set_status(names, status, dry_run=dry_run)
    print_one(settings, update, partial(show_update, status=status))


@click.command()
@name_argument
@yes_option
@output_options
@registry_options
@click.pass_obj
def delete(settings: Settings, name: str, yes: bool) -> None:
    """Delete a prompt for good, with its history."""
    require_answer(yes, f"delete {name}")
    with settings.registry(create=True) as registry:
        if not yes:
            _ask_to_delete(registry, (name,))
        update = registry.set_status(name, DELETED)
    print_one(settings, update, partial(show_update, status=DELETED))


def _ask_to_delete(registry: Registry, names: tuple[str, ...]) -> None:
    """Confirm a deletion; raise what would refuse it anyway, without a prompt for confirmation."""
    found = registry.set_status(names, DELETED, dry_run=True).updated
    what = found[0] if len(found) == 1 else counted(len(found), "prompt")
    ask(f"Delete {what} for good, with all versions? `promptreg archive` keeps them.")


@click.command()
@name_argument
@output_options
@registry_options
@click.pass_obj
def enable(settings: Settings, name: str) -> None:
    """Have a disabled prompt render again."""
    with settings.registry(create=True) as registry:
        print_one(settings, registry.enable(name), show_status)


@click.command()
@name_argument
@output_options
@registry_options
@click.pass_obj
def disable(settings: Settings, name: str) -> None:
    """Have a prompt refuse to render; nothing of it is lost."""
    with settings.registry(create=True) as registry:
        print_one(settings, registry.disable(name), show_status)


@click.command()
@name_argument
@output_options
@registry_options
@click.pass_obj
def archive(settings: Settings, name: str) -> None:
    """Put a prompt into the archive: it renders, and can't be changed."""
    with settings.registry(create=True) as registry:
        print_one(settings, registry.archive(name), show_status)


@click.command()
@name_argument
@output_options
@registry_options
@click.pass_obj
def restore(settings: Settings, name: str) -> None:
    """Take a prompt out of the archive."""
    with settings.registry(create=True) as registry:
        print_one(settings, registry.restore(name), show_status)
