"""The options of `new`, `update` and `seed`: the fields of a version, and where the template comes from."""

import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar, get_args

import click

from promptreg.cli.sources import read_json_option
from promptreg.cli.templates import FORMATS, Given, named_lines, read_template
from promptreg.errors import InvalidInputError
from promptreg.models import Permission, Syntax

if TYPE_CHECKING:
    from promptreg.files.format import PromptFile

F = TypeVar("F", bound=Callable[..., Any])

JSON_OR_FILE = "JSON|@FILE"

OPTIONS: dict[str, tuple[list[str], dict[str, Any]]] = {
    "template": (
        ["--file", "-f"],
        {"metavar": "FILE", "help": "The template; - or by default, standard input."},
    ),
    "title": (["--title"], {"metavar": "TEXT", "help": "The title; of a new prompt, the name by default."}),
    "description": (["--description"], {"metavar": "TEXT", "help": "What it is for."}),
    "category": (["--category"], {"metavar": "TEXT", "help": "A word for grouping."}),
    "tags": (["--tag"], {"metavar": "TAG", "multiple": True, "help": "A tag; once for each."}),
    "syntax": (["--syntax"], {"type": click.Choice(get_args(Syntax)), "help": "The template's language."}),
    "variables": (["--variables"], {"metavar": JSON_OR_FILE, "help": "Declared variables, as a list."}),
    "config": (["--config"], {"metavar": JSON_OR_FILE, "help": "Settings of the model call, as an object."}),
    "meta": (["--meta"], {"metavar": JSON_OR_FILE, "help": "Your own data, as an object."}),
    "examples": (["--examples"], {"metavar": JSON_OR_FILE, "help": "Variables to render before it goes live, a list."}),
    "access_grants": (
        ["--grant"],
        {
            "type": (str, click.Choice(get_args(Permission))),
            "metavar": "PRINCIPAL PERMISSION",
            "multiple": True,
            "help": "Give user:ID, group:ID or anyone access, read or write; once for each.",
        },
    ),
    "commit_message": (["--message", "-m"], {"metavar": "TEXT", "help": "Why; kept with the version."}),
}
"""The option of each argument of `create`; all but the last two and the template are fields of a version."""

_EMPTYING: dict[str, tuple[list[str], dict[str, Any]]] = {
    "tags": (["--no-tags"], {"is_flag": True, "help": "Remove all tags."}),
    "access_grants": (["--no-grants"], {"is_flag": True, "help": "Take all given access away."}),
}
_JSON = ("variables", "config", "meta", "examples")
_ABSENT = (None, (), False)
_BESIDE = {
    "new_name": "--name",
    "is_production": "--draft",
    "expected_version": "--expect-version",
    "expected_hash": "--expect-hash",
}
"""The options of arguments that only `update` has."""


def field_options(command: F) -> F:
    """Add an option for each field of a version, and for what goes with it."""
    for field, (names, more) in reversed(OPTIONS.items()):
        command = click.option(*names, field, **more)(command)
    help_text = "What FILE is; by default, as it looks."
    return click.option("--format", "template_format", type=click.Choice(FORMATS), help=help_text)(command)


def emptying_options(command: F) -> F:
    """Add the options that empty the lists of an existing prompt."""
    for field, (names, more) in reversed(_EMPTYING.items()):
        command = click.option(*names, f"no_{field}", **more)(command)
    return command


def read_fields(given: Mapping[str, Any], name: str, *, is_new: bool = False, is_moved: bool = False) -> Given:
    """Return what the options pass, by the arguments of `create`.

    A file in the format of `promptreg export` says all that a version holds: what it leaves out has its default, and
    what an option says wins. A new prompt needs a template, and so does an update that would change nothing else.
    Raises one usage error with everything that can't be read.
    """
    fields, errors = _passed(given)
    template = Given({})
    try:
        template = read_template(
            given["template"], given["template_format"], name, is_needed=is_new or not (fields or is_moved)
        )
    except click.UsageError as error:
        errors.append(error.message)
    if errors:
        raise click.UsageError("; ".join(errors))
    return template._replace(arguments={**template.arguments, **fields})


@contextmanager
def sources_named(given: Mapping[str, Any], file: "PromptFile | None") -> Iterator[None]:
    """Have an error name where what is wrong came from: an option, or a line of the file."""
    try:
        with named_lines(file):
            yield
    except InvalidInputError as error:
        flaws = [{**flaw, "field": _as_option(flaw["field"], given)} for flaw in error.details["errors"]]
        raise InvalidInputError.of_all(flaws) from error


def _as_option(field: str, given: Mapping[str, Any]) -> str:
    argument = re.split(r"\W", field, maxsplit=1)[0]
    is_passed = argument in OPTIONS and given[argument] not in _ABSENT
    return (_option(argument) if is_passed else _BESIDE.get(argument, argument)) + field[len(argument) :]


def _passed(given: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """Return the fields that options pass, and why others can't be read."""
    fields, errors = {}, []
    for field in OPTIONS:
        value = given[field]
        if given.get(f"no_{field}"):
            errors += [f"{_option(field)} and --no-{_option(field)[2:]}s exclude each other"] if value else []
            fields[field] = ()
        elif field != "template" and value not in _ABSENT:
            try:
                fields[field] = read_json_option(value, _option(field)) if field in _JSON else value
            except click.UsageError as error:
                errors.append(error.message)
    return fields, errors


def _option(field: str) -> str:
    return OPTIONS[field][0][0]
