"""`promptreg new`, `update` and `seed`: versions from a file, or from standard input."""

import logging
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any, get_args

import click

from promptreg.cli.completion import ReferenceCommand, name_argument, reference_argument
from promptreg.cli.context import Settings, output_options, registry_options
from promptreg.cli.fields import emptying_options, field_options, read_fields, sources_named
from promptreg.cli.output import print_one
from promptreg.cli.results import show_saved
from promptreg.errors import InvalidInputError
from promptreg.harmless import one_line
from promptreg.models import OnConflict
from promptreg.prompt import Prompt
from promptreg.registry import Registry


def _number(text: str) -> float:
    """Return an integer as it is, however large, and another number as a float."""
    try:
        return int(text) if text.lstrip("-").isdecimal() else float(text)
    except ValueError:  # no number, or more digits than Python reads
        raise click.BadParameter("must be a number of at most 30 digits") from None


FILES = """
    \b
    The template is a text; or a chat prompt, as a JSON list of messages; or a
    file as `promptreg export` writes it, which says all that a version holds:
    what it leaves out has its default. `--format text`, `messages` or `file`
    says which; by default it is as it looks. A line break at the end is left out.
"""


@click.command(epilog=FILES)
@name_argument
@click.option("--draft", is_flag=True, help="Make a draft, which `promptreg publish` makes live.")
@field_options
@output_options
@registry_options
@click.pass_obj
def new(settings: Settings, /, name: str, draft: bool, **given: Any) -> None:
    """Create the prompt NAME, and make it live."""
    fields, file = read_fields(given, name, is_new=True)
    with settings.registry(create=True) as registry, sources_named(given, file):
        prompt = registry.create(name, **fields, is_production=not draft)
    print_one(settings, prompt, show_saved)


@click.command(cls=ReferenceCommand, epilog=FILES)
@reference_argument
@click.option("--draft", is_flag=True, help="Make a draft, which `promptreg publish` makes live.")
@click.option("--name", "new_name", metavar="NAME", help="Rename the prompt.")
@field_options
@emptying_options
@click.option("--expect-version", "expected_version", type=int, metavar="N", help="The version that is changed now.")
@click.option("--expect-hash", "expected_hash", metavar="HASH", help="The content hash that it has now.")
@output_options
@registry_options
@click.pass_obj
def update(settings: Settings, /, name: str, draft: bool, **given: Any) -> None:
    """Make a new version of NAME, and make it live; or edit a draft in place.

    What isn't passed stays as it is. Tags and grants that are passed replace those there are.
    """
    more = {name: given[name] for name in ("new_name", "expected_version", "expected_hash") if given[name] is not None}
    if draft:
        more["is_production"] = False
    with settings.registry(create=True) as registry:
        before = _present(registry, name)
        own_name = before.name if before else name.partition("@")[0]
        fields, file = read_fields(given, own_name, is_moved=given["new_name"] is not None)
        if before and before.kind == "chat" and file is None and given["template_format"] is None:
            _require_no_text(fields.get("template"), before.name)
        with sources_named(given, file):
            prompt = registry.update(name, **fields, **more)
    print_one(settings, prompt, partial(show_saved, before=before))


def _require_no_text(template: Any, name: str) -> None:
    """Refuse a text in place of a chat where nobody has said that it is one: it may be what `show` prints of a chat."""
    if isinstance(template, str):
        raise click.UsageError(
            f"{name!r} is a chat, and the template is a text: pass a JSON list of messages, or a file with "
            f'type: "chat", as `promptreg edit {name}` opens it; --format text makes the prompt a text'
        )


@click.command(epilog=FILES)
@name_argument
@field_options
@click.option(
    "--on-conflict",
    type=click.Choice(get_args(OnConflict)),
    default="draft",
    help="Where people have changed it: see above.",
)
@click.option("--release", type=_number, metavar="NUMBER", help="The release that seeds: a lower one does nothing.")
@output_options
@registry_options
@click.pass_obj
def seed(settings: Settings, /, name: str, on_conflict: OnConflict, release: float | None, **given: Any) -> None:
    """Bring in a prompt that code ships, unless people have changed it.

    Where they have, what is live stays, and a draft is made; --on-conflict
    publish makes it live, and error refuses.
    """
    fields, file = read_fields(given, name, is_new=True)
    with settings.registry(create=True) as registry, sources_named(given, file), _logged():
        before = _present(registry, name)
        prompt = registry.seed(name, **fields, on_conflict=on_conflict, release=release)
    print_one(settings, prompt, partial(show_saved, before=before))


def _present(registry: Registry, name: str) -> Prompt | None:
    """Return a prompt before it is written, in the version that an update starts from; None where it can't be read."""
    with suppress(InvalidInputError):  # which the call itself raises, with all else that is invalid
        chosen = registry.get(name, default=None)
        return chosen or registry.get(name.partition("@")[0], label="latest", default=None)
    return None


class _Line(logging.Formatter):
    """Formats what is logged as one line, with the command in place of the call."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line."""
        return one_line(re.sub(r"publish\('(\S+)', (\d+)\)", r"`promptreg publish \1@\2`", super().format(record)))


@contextmanager
def _logged() -> Iterator[None]:
    """Print what a seed logs, which is for people, to standard error."""
    logger, handler = logging.getLogger("promptreg"), logging.StreamHandler(sys.stderr)
    handler.setFormatter(_Line("promptreg: %(message)s"))
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
