"""What `create`, `save` and `update` take, read into frozen values: the fields of a version, and what goes with them.

Which fields there are is the table in `promptreg.records`; the readers of other arguments are in `inputs.py`. Reading
comes before anything is looked up, as invalid input is the first refusal (rule 18); nothing is read from storage here.
"""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from typing import Any, NamedTuple, TypeVar, get_args

from promptreg.errors import InvalidInputError
from promptreg.jsonvalues import FrozenDict, FrozenList, canonical, hashed
from promptreg.messages import length_of, with_read_line_ends
from promptreg.models import UNSET, Grant, Syntax
from promptreg.records import CONTENT, Container, Snapshot, content_text
from promptreg.rules.inputs import (
    MAX_METADATA_BYTES,
    MAX_STORED,
    read_any_text,
    read_choice,
    read_filled_text,
    read_flag,
    read_grants,
    read_json,
    read_object,
    read_text,
    require_length,
)
from promptreg.rules.messages import read_messages
from promptreg.rules.names import Reference, Selector, checked_name
from promptreg.untrusted import FieldReader, bounded_list, read_each, reads_untrusted
from promptreg.variables import declared

T = TypeVar("T")

FITS_SURELY = MAX_METADATA_BYTES // 4  # characters, each of at most 4 bytes
MAX_EXAMPLES = 100
_SYNTAXES_ELSEWHERE = {
    **{"j2": "jinja", "trim": "jinja-trim"},
    **dict.fromkeys(("text", "raw", "none", "literal", "verbatim", "markdown"), "plain"),
}


class Edit(NamedTuple):
    """The fields of a version's content that a call passes; the other ones come from the base."""

    passed: Mapping[str, Any]

    def applied_to(self, base: Mapping[str, Any]) -> Snapshot:
        """Return the base's content with the passed fields replaced; raise `InvalidInputError` if it is too large."""
        fields = {**base, **self.passed}
        fields["template"] = with_read_line_ends(fields["template"], fields["syntax"])
        text = content_text(fields)
        require_size(fields, text)
        return Snapshot(**fields, content_hash=hashed(text))


class Draft(NamedTuple):
    """What `create`, `save` and `update` are to make of a prompt; a None `name` or `grants` was not passed."""

    edit: Edit
    message: str
    is_production: bool
    name: str | None = None
    grants: tuple[Grant, ...] | None = None

    def moves(self, container: Container) -> list[str]:
        """Return which actions on the container this amounts to: `rename`, `grant`, both or none (rule 3)."""
        renames = self.name is not None and self.name != container.name
        grants = self.grants is not None and set(self.grants) != set(container.access_grants)
        return ["rename"] * renames + ["grant"] * grants


def read_draft(
    edit: Edit,
    message: object,
    is_production: object,
    *,
    grants: object = UNSET,
    new_name: object = UNSET,
) -> Draft:
    """Read what `create`, `save` and `update` take beside the fields of a version."""
    fields = FieldReader()
    draft = Draft(
        edit=edit,
        message="" if message is UNSET else fields.read(read_text, message, "commit_message"),
        is_production=is_production is UNSET or fields.read(read_flag, is_production, "is_production"),
        name=None if new_name is UNSET else fields.read(checked_name, new_name, "new_name"),
        grants=None if grants is UNSET else fields.read(read_grants, grants),
    )
    fields.require_valid()
    return draft


def require_in_place(versioned: tuple[Reference, Selector | None], *, is_production: object, **given: object) -> None:
    """Refuse what does not go with an edit in place, which an update with a version is (rules 3, 4 and 7)."""
    if versioned[1] is None:
        return
    errors = [{"field": field, "reason": _NOT_IN_PLACE[field]} for field, value in given.items() if value is not UNSET]
    if is_production is True:
        errors.insert(0, {"field": "is_production", "reason": "an edit in place never publishes; publish() does"})
    if errors:
        raise InvalidInputError.of_all(errors)


_NOT_IN_PLACE = {
    "expected_version": "an edit in place has no base; expected_hash says what the version must hold",
    **dict.fromkeys(("new_name", "access_grants"), "belongs to the prompt; update() without version= changes it"),
}


def read_edit(*, most: int = MAX_STORED, required: Collection[str] = (), **given: object) -> Edit:
    """Read the fields of a version: those that are passed, or required; a template has `most` characters at most."""
    fields = FieldReader()
    passed = {
        name: fields.read(_reader_of(name, most), value, name)
        for name, value in given.items()
        if value is not UNSET or name in required
    }
    fields.require_valid()
    _require_size(passed)
    return Edit(passed)


def read_stored(given: Mapping[str, Any]) -> dict[str, Any]:
    """Read all fields of a version as they are stored; a template may be as long as any storage takes."""
    fields = FieldReader()
    read = {name: fields.read(_reader_of(name, MAX_STORED), given[name], name) for name in CONTENT}
    fields.require_valid()
    return read


def require_size(fields: Mapping[str, Any], text: str) -> None:
    """Raise `InvalidInputError` where fields are too large whose canonical JSON this is."""
    if len(text) > FITS_SURELY:
        _require_size(fields)


@reads_untrusted("template")
def read_template(value: object, field: str = "template", *, most: int) -> str | FrozenList:
    """Read a template: text, or a list of messages.

    One of more than `most` characters is refused before anything else is done with it.
    """
    template: str | FrozenList
    most = min(most, MAX_STORED)
    if isinstance(value, str):
        require_length(str.__len__(value), field, most)
        template = read_any_text(value, field)
    elif isinstance(value, list | tuple):
        template = read_messages(value, field, most=most)
        require_length(length_of(template), field, most)
    else:
        raise InvalidInputError.of(field, f"must be text or a list of messages, not {type(value).__name__}")
    if not template:
        raise InvalidInputError.of(field, "must not be empty")
    return template


@reads_untrusted("default")
def read_default(value: object, *, most: int) -> str | FrozenList:
    """Read the `default` of a render: a template, or an empty text."""
    if isinstance(value, str) and not value:
        return ""
    return read_template(value, "default", most=most)


def _require_size(fields: Mapping[str, Any]) -> None:
    """Raise `InvalidInputError` where the fields but the template take over 1 MiB of JSON."""
    sizes = {
        name: len(canonical(value).encode())
        for name, value in fields.items()
        if name != "template" and not CONTENT[name].is_omitted(value)
    }
    total = sum(sizes.values())
    if total > MAX_METADATA_BYTES:
        raise InvalidInputError.of(
            max(sizes, key=sizes.__getitem__),
            f"the metadata takes {total} bytes of JSON; {MAX_METADATA_BYTES} is the most",
        )


@reads_untrusted("tags")
def _tags(value: object, field: str) -> FrozenList:
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
        raise InvalidInputError.of(field, "must be a list of texts")
    taken = bounded_list(value, field, "tags")
    given = sorted(taken, key=repr) if isinstance(value, set | frozenset) else taken
    tags = FrozenList(dict.fromkeys(read_each(read_filled_text, given, field)))
    return _frozen_list(tags, field)


@reads_untrusted("config")
def _object(value: object, field: str) -> FrozenDict:
    if value is None:
        return FrozenDict()
    return read_object(value, field)


@reads_untrusted("examples")
def _examples(value: object, field: str) -> FrozenList:
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
        raise InvalidInputError.of(field, "must be a list of mappings of variables")
    examples = bounded_list(value, field, "examples", MAX_EXAMPLES)
    read_each(_example, examples, field)
    return _frozen_list(examples, field)


def _example(value: object, where: str) -> None:
    if not isinstance(value, Mapping):
        raise InvalidInputError.of(where, f"must be a mapping, not {type(value).__name__}")


def _syntax(value: Any, field: str) -> str:
    return read_choice(value, field, get_args(Syntax), _SYNTAXES_ELSEWHERE)


def _variables(value: Any, field: str) -> FrozenList:
    return _frozen_list(declared(value), field)


def _frozen_list(items: Sequence[Any], field: str) -> FrozenList:
    """Freeze a list as one value, as the bounds are those of all its items together."""
    frozen: FrozenList = read_json(items, field)
    return frozen


Reader = Callable[[Any, str], Any]
_READERS: dict[str, Reader] = {
    "syntax": _syntax,
    "title": read_filled_text,
    "tags": _tags,
    "variables": _variables,
    "examples": _examples,
}
_READERS_BY_TYPE: dict[type, Reader] = {str: read_text, FrozenDict: _object}


def _reader_of(name: str, most: int) -> Reader:
    """Return what reads a field: its own reader, or the one of all texts or of all objects."""
    if name == "template":
        return partial(read_template, most=most)
    return _READERS.get(name) or _READERS_BY_TYPE[type(CONTENT[name].empty)]
