"""`promptreg show`, `history` and `events`: one prompt, its versions, and who did what."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import TypeVar

import click

from promptreg.cli.completion import complete_names, name_argument, reference_argument
from promptreg.cli.context import Settings, output_options, registry_options
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
SHOWN = 20  # versions, or events, that people see where they say nothing else

limit_option = click.option(
    "--limit", type=click.IntRange(min=1), metavar="N", help=f"At most so many; else {SHOWN}, and in JSON all."
)


@click.command()
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
@limit_option
@output_options
@registry_options
@click.pass_obj
def history(settings: Settings, name: str, limit: int | None) -> None:
    """Draw the versions of a prompt as a timeline.

    The newest is first; production and labels stand at their versions.
    """
    with settings.registry() as registry:
        versions = _versions(registry, name)
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
    "--action", multiple=True, type=click.Choice(ACTIONS), metavar="ACTION", help="Only this action; may be repeated."
)
@click.option("--after", type=click.IntRange(min=0), metavar="SEQ", help="Only those after this one.")
@limit_option
@output_options
@registry_options
@click.pass_obj
def events(
    settings: Settings, name: str | None, action: tuple[Action, ...], after: int | None, limit: int | None
) -> None:
    """Show who did what, in the namespace or to one prompt.

    The newest is last.
    """
    with settings.registry() as registry:
        if settings.for_programs or after is not None:
            most = limit if settings.for_programs else limit or SHOWN
            print_many(settings, islice(_events(registry, name, action, after or 0), most), print_events)
            return
        newest = registry.events(name, newest_first=True, limit=limit or SHOWN, action=action or None)
    print_events(reversed(newest))


def _versions(registry: Registry, name: str) -> Iterator[Version]:
    page = registry.history(name, limit=PAGE)
    while page:
        yield from page
        page = registry.history(name, limit=PAGE, before=page[-1].version)


def _events(registry: Registry, name: str | None, action: tuple[Action, ...], after: int) -> Iterator[Event]:
    page = registry.events(name, after=after, limit=PAGE, action=action or None)
    while page:
        yield from page
        page = registry.events(name, after=page[-1].seq, limit=PAGE, action=action or None)


def _print_nothing(_: Iterable[V]) -> None:
    """Print nothing, as programs read JSON."""
