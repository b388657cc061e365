"""The prompts of an import from another tool, read into frozen values; everything that is wrong is reported at once."""

from collections.abc import Callable, Sequence
from typing import Any, TypeVar

from promptreg.errors import InvalidInputError
from promptreg.rules.importing import ForeignPrompt, ForeignVersion, NewPrompt
from promptreg.rules.names import MAX_NAMES, checked_name, checked_own_label
from promptreg.rules.version_fields import Draft, read_draft, read_edit
from promptreg.untrusted import FieldReader, bounded_list

T = TypeVar("T")


def read_import(prompts: Sequence[ForeignPrompt], most: int) -> list[NewPrompt]:
    """Read prompts of another tool, in which a template has `most` characters at most.

    The field of each error begins with the place in what was read.
    """
    fields = FieldReader()
    fields.read(bounded_list, prompts, "prompts", "prompts", MAX_NAMES)
    fields.require_valid()
    read = [fields.read(_read_prompt, prompt, most) for prompt in prompts]
    fields.require_valid()
    return read


def _read_prompt(prompt: ForeignPrompt, most: int) -> NewPrompt:
    fields = FieldReader()
    where = prompt.versions[0].where
    name = fields.read(_within, where, checked_name, prompt.name)
    drafts = [fields.read(_within, version.where, _read_version, version, most) for version in prompt.versions]
    labels = {fields.read(_within, where, checked_own_label, label): n for label, n in prompt.labels.items()}
    fields.require_valid()
    return NewPrompt(name, drafts, prompt.production, labels, prompt.is_disabled)


def _read_version(version: ForeignVersion, most: int) -> Draft:
    fields = FieldReader()
    edit = fields.read(read_edit, most=most, required=["template"], **version.fields)
    draft = fields.read(read_draft, edit, version.message, is_production=False)
    fields.require_valid()
    return draft


def _within(where: str, read: Callable[..., T], *given: Any) -> T:
    """Return what a function reads; raise its `InvalidInputError` with the place before each field."""
    try:
        return read(*given)
    except InvalidInputError as error:
        raise error.within(where) from None
