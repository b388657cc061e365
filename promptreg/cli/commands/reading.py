"""`promptreg show`, `history` and `events`: one prompt, its versions, and who did what."""

from collections.abc import Iterable, Iterator
from functools import partial
from itertools import islice
from typing import TypeVar

import click

from promptreg.cli.completion import ReferenceCommand, complete_names, name_argument, reference_argument
from promptreg.cli.context import Settings, output_options, registry_options
from promptreg.cli.limits import SHOWN, limit_option
from promptreg.cli.output import note, print_many, print_one
from promptreg.cli.showing import print_events, print_prompt
from promptreg.cli.timeline import print_timeline
from promptreg.errors import NoProductionVersionError
from promptreg.models import Action, Event, Version
from promptreg.prompt import Prompt
from promptreg.registry import Registry
from promptreg.rules.inputs import ACTIONS

V = TypeVar("V")

PAGE = 100  # versions, or events, that are read at a time


@click.command(cls=ReferenceCommand)
@reference_argument
@output_options
@registry_options
@click.pass_obj
def show(settings: Settings, name: str) -> None:
    """Show everything of a prompt.

    The version is the one after @, else that in production, or the latest where none is.
    """
    with settings.registry() as registry:
        prompt = shown_version(registry, name)
    print_one(settings, prompt, print_prompt)


def shown_version(registry: Registry, name: str) -> Prompt:
    """Return a prompt as `list` shows it: in its production version, or the latest where none is live."""
    try:
        return registry.get(name)
    except NoProductionVersionError:
        if "@" in name:
            raise
        return registry.get(name, label="latest")


@click.command()
@name_argument
@click.option("--before", type=click.IntRange(min=1), metavar="N", help="Only versions before this number.")
@limit_option()
@output_options
@registry_options
@click.pass_obj
def history(settings: Settings, name: str, before: int | None, limit: int | None) -> None:
    """Draw the versions of a prompt as a timeline.

    The newest is first; production and labels stand at their versions.
    """
    with settings.registry() as registry:
        versions = _versions(registry, name, before)
        if settings.for_programs:
            print_many(settings, islice(versions, limit), _print_nothing)
            return
        shown = list(islice(versions, limit or SHOWN))
        print_timeline(registry.get(name, label="latest"), shown)
        if next(versions, None) is not None:
            note("There are older versions; --limit N shows more.")


@click.command()
@click.argument("name", required=False, shell_complete=complete_names)
@click.option(
    "--action",
    multiple=True,
    type=click.Choice(ACTIONS),
    metavar="ACTION",
    help=f"Only this action; may be repeated. The actions are {', '.join(ACTIONS)}.",
)
@click.option(
    "--after",
    type=click.IntRange(min=0),
    metavar="SEQ",
    help="Only those above this number, the lowest first; with --newest-first those below it.",
)
@click.option("--newest-first", is_flag=True, help="Print the newest first.")
@limit_option()
@output_options
@registry_options
@click.pass_obj
def events(
    settings: Settings,
    name: str | None,
    action: tuple[Action, ...],
    after: int | None,
    newest_first: bool,
    limit: int | None,
) -> None:
    """Show who did what, in the namespace or to one prompt.

    They are the newest ones, and the newest is last.
    """
    most = limit or (None if settings.for_programs else SHOWN)
    is_reversed = most is not None and after is None and not newest_first
    with settings.registry() as registry:
        every = _events(registry, name, action, after or 0, is_reversed or newest_first)
        found = islice(every, most)
        print_many(settings, reversed([*found]) if is_reversed else found, print_events)
        if not settings.for_programs and next(every, None) is not None:
            note("There are more events; --limit N shows more.")


def _versions(registry: Registry, name: str, before: int | None) -> Iterator[Version]:
    page = registry.history(name, limit=PAGE, before=before)
    while page:
        yield from page
        page = registry.history(name, limit=PAGE, before=page[-1].version)


def _events(
    registry: Registry, name: str | None, action: tuple[Action, ...], after: int, newest_first: bool
) -> Iterator[Event]:
    read = partial(registry.events, name, limit=PAGE, newest_first=newest_first, action=action or None)
    page = read(after=after)
    while page:
        yield from page
        page = read(after=page[-1].seq)


def _print_nothing(_: Iterable[V]) -> None:
    """Print nothing, as programs read JSON."""
