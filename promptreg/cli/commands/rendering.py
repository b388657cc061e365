"""`promptreg render`."""

import json
import sys
from collections.abc import Iterable, Mapping
from typing import Any

import click

from promptreg.cli.completion import ReferenceCommand, reference_argument
from promptreg.cli.context import Settings, output_options, registry_options
from promptreg.cli.output import as_json, print_one, write
from promptreg.cli.sources import read_json, read_json_file
from promptreg.harmless import harmless
from promptreg.models import Variable
from promptreg.rendered import Rendered

TEXTS = {"string", "any"}


@click.command(cls=ReferenceCommand)
@reference_argument
@click.option("--var", "pairs", multiple=True, metavar="NAME=VALUE", help="A variable; may be repeated.")
@click.option(
    "--vars",
    "file",
    type=click.Path(allow_dash=True),
    metavar="FILE.json",
    help="A file of variables, a JSON object; - is standard input.",
)
@click.option("--messages", is_flag=True, help="Print the messages, as JSON.")
@output_options
@registry_options
@click.pass_obj
def render(settings: Settings, name: str, pairs: tuple[str, ...], file: str | None, messages: bool) -> None:
    """Render a prompt with variables.

    Printed is the text, with one line break after it. --var wins over --vars. Its value is a text, and JSON where the
    prompt declares the variable as another type.
    """
    given = {} if file is None else _read_file(file)
    texts = dict(map(_read_pair, pairs))
    with settings.registry() as registry:
        prompt = registry.get(name)
    typed = _typed(texts, prompt.variables)
    _require_no_text(typed, prompt.template)
    rendered = prompt.render({**given, **typed})
    if not messages:
        print_one(settings, _as_object(rendered), lambda _: _print_text(rendered.text))
    elif settings.for_programs:
        write(f"{as_json(rendered.messages)}\n")
    else:
        write(json.dumps(rendered.messages, ensure_ascii=False, indent=2) + "\n")


def _as_object(rendered: Rendered) -> dict[str, Any]:
    return {
        "name": rendered.name,
        "version": rendered.version,
        "text": rendered.text,
        "messages": rendered.messages,
        "config": rendered.config,
    }


def _print_text(text: str) -> None:
    """Print the text as it is, and on a terminal without what would steer it."""
    write((harmless(text) if sys.stdout.isatty() else text) + "\n")


def _read_pair(pair: str) -> tuple[str, str]:
    name, equals, value = pair.partition("=")
    if not (name and equals):
        raise click.BadParameter("must be NAME=VALUE", param_hint="--var")
    return name, value


def _typed(texts: dict[str, str], variables: Iterable[Variable]) -> dict[str, Any]:
    """Return the values of `--var`, read as JSON where the prompt declares another type than text."""
    types = {variable.name: variable.type for variable in variables}
    return {name: _from_json(text) if types.get(name, "any") not in TEXTS else text for name, text in texts.items()}


def _require_no_text(values: dict[str, Any], template: str | Iterable[Mapping[str, Any]]) -> None:
    """Refuse a text in place of the messages of a placeholder, and say how a list is passed."""
    for message in () if isinstance(template, str) else template:
        name = message.get("placeholder", "")
        if isinstance(values.get(name), str):
            reason = f"{name} is a list of messages: pass it with --vars FILE.json"
            raise click.BadParameter(reason, param_hint="--var")


def _from_json(text: str) -> Any:
    """Return what a text is as JSON; one that is none stays a text, which the render refuses with the type."""
    try:
        return read_json(text, "--var")
    except click.UsageError:
        return text


def _read_file(file: str) -> dict[str, Any]:
    """Read a JSON object; no error quotes what is in it, as a value may be a secret."""
    try:
        values = read_json_file(file)
    except click.UsageError as error:
        raise click.BadParameter(error.message, param_hint="--vars") from None
    if not isinstance(values, dict):
        raise click.BadParameter(f"{file} must hold a JSON object, of variables by name", param_hint="--vars")
    return values
