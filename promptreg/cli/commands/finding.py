"""`promptreg list`, `search` and `namespaces`: which prompts there are."""

from collections.abc import Callable, Iterable
from itertools import islice
from typing import Any, TypeVar

import click

from promptreg.cli.context import Settings, output_options, registry_options
from promptreg.cli.limits import ALL, SHOWN, limit_option
from promptreg.cli.output import note, print_many, say
from promptreg.cli.tables import Cell, Column, print_table
from promptreg.harmless import one_line
from promptreg.prompt import Prompt
from promptreg.registry import Registry
from promptreg.rules.inputs import STATUSES

F = TypeVar("F", bound=Callable[..., Any])

HEADS = (
    Column("NAME", least=36, keeps_ends=True),
    Column("LIVE", True),
    Column("LATEST", True),
    Column("STATUS"),
    Column("TITLE"),
)
STATUS_STYLES = {"active": "", "disabled": "bad", "archived": "quiet"}


def filter_options(command: F) -> F:
    """Add the filters that `list` and `search` share."""
    for option in (
        click.option("--category", metavar="WORD", help="Only this category."),
        click.option("--tag", multiple=True, metavar="TAG", help="Only with this tag; with several, all of them."),
        click.option("--status", multiple=True, type=click.Choice(STATUSES), help="Only this status; may be repeated."),
    ):
        command = option(command)
    return command


@click.command("list")
@filter_options
@click.option("--prefix", metavar="TEXT", help="Only names that begin with this.")
@click.option("--label", metavar="LABEL", help="Only with this label, as the version that has it.")
@click.option("--created-by", metavar="USER", help="Only of this owner.")
@limit_option("all")
@output_options
@registry_options
@click.pass_obj
def list_(settings: Settings, /, limit: int | None, **filters: Any) -> None:
    """List the prompts of the namespace.

    Without --status they are the active and the disabled ones.
    """
    with settings.registry() as registry:
        found = islice(registry.iterate(**_given(filters)), limit)
        print_many(settings, found, lambda prompts: _show(prompts, lambda: _nothing_listed(registry, filters)))


@click.command()
@click.argument("words", nargs=-1, required=True)
@filter_options
@limit_option()
@output_options
@registry_options
@click.pass_obj
def search(settings: Settings, /, words: tuple[str, ...], limit: int | None, **filters: Any) -> None:
    """Find prompts by the words in them.

    All WORDS must be in the name, title, description, tags or template. The best matches are first.
    """
    most = limit or (ALL if settings.for_programs else SHOWN)
    with settings.registry() as registry:
        found = registry.search(" ".join(words), limit=most + 1, **_given(filters))
    print_many(settings, found[:most], lambda prompts: _show(prompts, lambda: "No prompt contains all these words."))
    if len(found) > most and not settings.for_programs:
        note("More prompts contain them; --limit N shows more.")


@click.command()
@output_options
@registry_options
@click.pass_obj
def namespaces(settings: Settings) -> None:
    """List the namespaces in which you may read."""
    with settings.registry() as registry:
        print_many(settings, registry.namespaces(), _show_namespaces)


def _given(filters: dict[str, Any]) -> dict[str, Any]:
    """Return the filters that were passed, as the registry takes them."""
    return {name: value for name, value in filters.items() if value not in {None, ()}}


def _show(prompts: Iterable[Prompt], nothing: Callable[[], str]) -> None:
    if not print_table(HEADS, map(_row, prompts)):
        note(nothing())


def _row(prompt: Prompt) -> list[Cell]:
    live = prompt.production_version
    return [
        (prompt.name, "name"),
        "-" if live is None else (str(live), "live"),
        (str(prompt.latest_version), "" if prompt.latest_version == live else "draft"),
        (prompt.status, STATUS_STYLES[prompt.status]),
        prompt.title,
    ]


def _nothing_listed(registry: Registry, filters: dict[str, Any]) -> str:
    if _given(filters):
        return f"No prompt of the namespace {registry.namespace!r} is like that."
    known = registry.namespaces()
    if registry.namespace in known:
        return "All prompts are archived; `promptreg list --status archived` lists them."
    what = "`promptreg namespaces` lists others" if known else "`promptreg new NAME` makes the first one"
    return f"There is no prompt in the namespace {registry.namespace!r}; {what}."


def _show_namespaces(names: Iterable[str]) -> None:
    for name in names:
        say(one_line(name))
