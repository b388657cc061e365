"""`promptreg edit`."""

from functools import partial
from pathlib import Path
from typing import Any

import click

from promptreg.cli.completion import ReferenceCommand, reference_argument
from promptreg.cli.context import Settings, output_options, registry_options
from promptreg.cli.editor import edit_text, quoted, require_editor
from promptreg.cli.output import note, print_one
from promptreg.cli.results import show_saved
from promptreg.cli.templates import named_lines
from promptreg.errors import InvalidInputError
from promptreg.files.format import fields_of, from_text, to_text
from promptreg.prompt import Prompt
from promptreg.registry import Registry


@click.command(cls=ReferenceCommand)
@reference_argument
@click.option("--publish", is_flag=True, help="Make what was written live.")
@click.option("--message", "-m", metavar="TEXT", help="Why; kept with the version.")
@output_options
@registry_options
@click.pass_obj
def edit(settings: Settings, name: str, publish: bool, message: str | None) -> None:
    """Edit a prompt in $VISUAL or $EDITOR, as a file like those of `export`.

    Without a version it is the one draft that there is, or else what is live. A
    draft is changed in place; of any other version a new draft is made.
    """
    require_editor()
    with settings.registry(create=True) as registry:
        before = registry._plan_edit(name)
        saved = edit_text(
            to_text(before.name, fields_of(before)),
            before.name,
            partial(_save, registry, before, publish, message),
            retry=partial(_how_to_save, before, publish),
        )
    if saved is None:
        note("The text is as it was. An editor that returns at once needs an option to wait: EDITOR='code --wait'.")
    print_one(settings, saved or before, partial(show_saved, before=before))


def _save(registry: Registry, before: Prompt, publish: bool, message: str | None, text: bytes, path: Path) -> Prompt:
    """Save what was written in place of what was read, unless somebody has changed that meanwhile."""
    file = from_text(text, str(path), name=before.name)
    if file.name != before.name:
        reason = f"an edit renames nothing; `promptreg update {before.name} --name NAME` does"
        raise InvalidInputError.of(file.where("name"), reason)
    fields = {**file.content(), **({} if message is None else {"commit_message": message})}
    with named_lines(file):
        return _write(registry, before, publish, fields)


def _write(registry: Registry, before: Prompt, publish: bool, fields: dict[str, Any]) -> Prompt:
    if _is_draft(before):
        draft = registry.update(f"{before.name}@{before.version}", **fields, expected_hash=before.content_hash)
        if not publish:
            return draft
        return registry.publish(f"{draft.name}@{draft.version}", expected_hash=draft.content_hash)
    base = before.production_version or before.latest_version
    return registry.update(before.name, **fields, is_production=publish, expected_version=base)


def _is_draft(prompt: Prompt) -> bool:
    return prompt.state != "published"


def _how_to_save(before: Prompt, publish: bool, path: Path) -> str:
    """Return how to save a text that was kept."""
    if _is_draft(before):
        return f"`promptreg update {before.name}@{before.version} --format file --file {quoted(path)}` saves it"
    draft = "" if publish else " --draft"
    return f"`promptreg update {before.name}{draft} --format file --file {quoted(path)}` saves it"
