"""What a caller passes, read into frozen values; every bad input is an `InvalidInputError` (400).

All of this happens before anything is looked up: invalid input is the first refusal (rule 18).
"""

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias, TypeVar, get_args

from pydantic import BaseModel

from promptreg.errors import InvalidInputError
from promptreg.jsonvalues import FrozenDict, FrozenList, NotJSON, canonical, checked_text, freeze, hashed
from promptreg.models import UNSET, Grant, Status, TargetStatus, Unset
from promptreg.nearest import did_you_mean
from promptreg.records import Container, Snapshot, content_text
from promptreg.rules.names import Reference, Selector, checked_name, checked_number
from promptreg.untrusted import (
    MAX_LISTED,
    FieldReader,
    bounded_dict,
    bounded_list,
    read_each,
    read_untrusted,
    reads_untrusted,
)
from promptreg.variables import declared, is_readable

T = TypeVar("T")
Progress: TypeAlias = Callable[[int, int], object]
"""What a long call tells how far it has come: so many of so many rows."""

MAX_TEMPLATE_BYTES = 256 * 1024
MAX_METADATA_BYTES = 1024 * 1024
SURELY_FITS = MAX_METADATA_BYTES // 4  # characters, each of at most 4 bytes
MAX_PASSED = 100_000  # variables of a render, of a mapping that may have no end
MAX_EXAMPLES = 100
MAX_SOUGHT = 1_000  # characters of what is searched for
MAX_TERMS = 64
ROLES = ("system", "developer", "user", "assistant", "tool")
MESSAGE_FORMS = '{"role", "content"} or {"placeholder"}'
_HASH = re.compile(r"[0-9a-f]{64}")
STATUSES: tuple[str, ...] = get_args(Status)
TARGET_STATUSES: tuple[str, ...] = get_args(TargetStatus)
SYNONYMS = {"enabled": "active", "enable": "active"}  # spelled most like its opposite, which nobody means


class Edit(NamedTuple):
    """What a call says of a snapshot; what it does not say is `UNSET` and comes from the base."""

    template: str | FrozenList | Unset = UNSET
    title: str | Unset = UNSET
    description: str | Unset = UNSET
    category: str | Unset = UNSET
    tags: FrozenList | Unset = UNSET
    variables: FrozenList | Unset = UNSET
    config: FrozenDict | Unset = UNSET
    meta: FrozenDict | Unset = UNSET
    examples: FrozenList | Unset = UNSET

    @property
    def says_something(self) -> bool:
        """Return whether any field was passed."""
        return any(value is not UNSET for value in self)

    def applied_to(self, base: Mapping[str, Any]) -> Snapshot:
        """Give the fields of the base with what was said put over; `InvalidInputError` if that grows too large."""
        said = {name: value for name, value in zip(self._fields, self, strict=True) if value is not UNSET}
        fields = {**base, **said}
        text = content_text(fields)
        if len(text) > SURELY_FITS:
            _require_size(fields)
        return Snapshot(**fields, content_hash=hashed(text))


class Draft(NamedTuple):
    """What `create`, `save` and `update` are asked to make of a prompt."""

    edit: Edit
    message: str
    is_production: bool
    name: str | None = None
    grants: tuple[Grant, ...] | None = None

    def moves(self, container: Container) -> list[str]:
        """Give the actions on the container that this amounts to: `rename`, `grant`, both or none (rule 3)."""
        renames = self.name is not None and self.name != container.name
        grants = self.grants is not None and set(self.grants) != set(container.access_grants)
        return ["rename"] * renames + ["grant"] * grants


class Expected(NamedTuple):
    """What a caller expects to find (rule 4), None where it expects nothing.

    `version` is the base of an update; `production` the live version, 0 for none; `content_hash` that of the version
    which is edited or published, or of the base.
    """

    version: int | None = None
    production: int | None = None
    content_hash: str | None = None


def read_draft(
    edit: Edit,
    message: object,
    is_production: object,
    *,
    grants: object = UNSET,
    new_name: object = UNSET,
) -> Draft:
    """Read what `create`, `save` and `update` take beside the snapshot."""
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
    """Refuse what an edit in place can't do, which an update with a version is (rules 3, 4 and 7)."""
    if versioned[1] is None:
        return
    errors = [{"field": field, "reason": _ELSEWHERE[field]} for field, value in given.items() if value is not UNSET]
    if is_production is True:
        errors.insert(0, {"field": "is_production", "reason": "an edit in place never publishes; publish() does"})
    if errors:
        raise InvalidInputError.of_all(errors)


_ELSEWHERE = {
    "expected_version": "an edit in place has no base; expected_hash says what the version must hold",
    **dict.fromkeys(("new_name", "access_grants"), "belongs to the prompt; update() without version= changes it"),
}


def read_expected(*, version: object = UNSET, production: object = UNSET, content_hash: object = UNSET) -> Expected:
    """Read what must be found; `UNSET` expects nothing, and 0 that nothing is in production."""
    fields = FieldReader()
    expected = Expected(
        version=fields.read(_expected_number, version, "expected_version"),
        production=fields.read(_expected_number, production, "expected_production"),
        content_hash=None if content_hash is UNSET else fields.read(_hash, content_hash, "expected_hash"),
    )
    fields.require_valid()
    return expected


def _expected_number(value: object, field: str) -> int | None:
    return None if value is UNSET else checked_number(value, field, least=0)


def read_given(value: Any, field: str) -> Any:
    """Give an optional argument, None where it was not passed; None itself says nothing, so it is refused."""
    if value is None:
        raise InvalidInputError.of(field, "must not be None; leave it out")
    return None if value is UNSET else value


def read_edit(*, required: Collection[str] = (), **given: object) -> Edit:
    """Read the snapshot arguments of `create`, `save` and `update`: those that are passed or required."""
    fields = FieldReader()
    said = {
        name: fields.read(_READERS[name], value, name)
        for name, value in given.items()
        if value is not UNSET or name in required
    }
    fields.require_valid()
    _require_size(said)
    return Edit(**said)


@reads_untrusted("template")
def read_template(value: object, field: str = "template") -> str | FrozenList:
    """Read a template: text, or a list of messages `{"role", "content"}` and `{"placeholder"}`."""
    template: str | FrozenList
    if isinstance(value, str):
        template = read_text(value, field)
        size = len(template.encode())
    elif isinstance(value, list | tuple):
        template = FrozenList(read_each(_message, bounded_list(value, field, "messages"), field))
        size = sum(len(text.encode()) for message in template for text in message.values())
    else:
        raise InvalidInputError.of(field, f"must be text or a list of messages, not {type(value).__name__}")
    if not template:
        raise InvalidInputError.of(field, "must not be empty")
    if size > MAX_TEMPLATE_BYTES:
        raise InvalidInputError.of(field, f"takes {size} bytes of UTF-8; {MAX_TEMPLATE_BYTES} is the most")
    return template


@reads_untrusted("default")
def read_default(value: object) -> str | FrozenList:
    """Read the `default` of a render: a template, and an empty text too."""
    if isinstance(value, str) and not value:
        return ""
    return read_template(value, "default")


@reads_untrusted("text")
def read_text(value: object, field: str) -> str:
    """Read any text, the empty one too; it can't hold NUL or a lone surrogate, nor take over 1 MiB."""
    if not isinstance(value, str):
        raise InvalidInputError.of(field, f"must be text, not {type(value).__name__}")
    text = _json(value, field, checked_text)
    size = len(text.encode())
    if size > MAX_METADATA_BYTES:
        raise InvalidInputError.of(field, f"takes {size} bytes of UTF-8; {MAX_METADATA_BYTES} is the most")
    return text


def read_filled_text(value: object, field: str) -> str:
    """Read text that says something."""
    text = read_text(value, field)
    if not text or text.isspace():
        raise InvalidInputError.of(field, "must not be empty")
    return text


@reads_untrusted("text")
def read_search(value: object) -> str:
    """Read what is searched for: at most 1,000 characters and 64 terms, which spaces or punctuation part (rule 24)."""
    text = read_filled_text(value, "text")
    if len(text) > MAX_SOUGHT:
        raise InvalidInputError.of("text", f"has {len(text):,} characters; {MAX_SOUGHT:,} is the most")
    from promptreg.tokenizer import terms  # noqa: PLC0415 (for a search alone)

    count = len(terms(text))
    if count > MAX_TERMS:
        raise InvalidInputError.of("text", f"has {count} terms; {MAX_TERMS} is the most")
    return text


@reads_untrusted("value")
def read_flag(value: object, field: str) -> bool:
    """Read an exact boolean."""
    if not isinstance(value, bool):
        raise InvalidInputError.of(field, f"must be True or False, not {type(value).__name__}")
    return value


@reads_untrusted("access_grants")
def read_grants(value: object, field: str = "access_grants") -> tuple[Grant, ...]:
    """Read grants: `Grant`s, pairs, or mappings; one a principal, and of two for it the wider."""
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
        raise InvalidInputError.of(field, "must be a list of grants")
    grants: dict[str, Grant] = {}
    for grant in read_each(_grant, bounded_list(value, field, "grants"), field):
        if grant.principal not in grants or grant.permission == "write":
            grants[grant.principal] = grant
    return tuple(grants.values())


@reads_untrusted("status")
def read_statuses(value: object) -> tuple[str, ...]:
    """Read the `status` filter of `list` and `search`; None is active and disabled."""
    if value is None:
        return ("active", "disabled")
    if isinstance(value, str) or not isinstance(value, Iterable):
        return (read_choice(value, "status", STATUSES),)
    fields = FieldReader()
    statuses = tuple(
        fields.read(read_choice, item, "status", STATUSES) for item in bounded_list(value, "status", "statuses")
    )
    fields.require_valid()
    return statuses


@reads_untrusted("value")
def read_choice(value: object, field: str, choices: Iterable[str]) -> str:
    """Read one of a few words."""
    allowed = tuple(choices)
    if not isinstance(value, str) or value not in allowed:
        meant = did_you_mean(SYNONYMS.get(value.lower(), value), allowed) if isinstance(value, str) else ""
        raise InvalidInputError.of(field, f"must be one of {', '.join(allowed)}{meant}")
    return str.__str__(value)


def read_progress(value: object) -> Progress:
    """Read what is told how far a call has come: a function of two numbers, or None for nobody."""
    if value is None:
        return _ignore
    if not callable(value):
        raise InvalidInputError.of("progress", f"must be a function of two numbers, not {type(value).__name__}")
    return value


def _ignore(done: int, total: int) -> None:
    """Report to nobody."""


def read_variables(mapping: object, more: Mapping[str, Any]) -> dict[str, Any]:
    """Read what `render` gets: a mapping or pydantic model, and keywords, which win; nothing changes what it gives."""
    if mapping is None:
        return dict(more)
    if type(mapping) is dict and not more:
        for key in mapping:  # written out: on each render, and half the time of `all` with a generator
            if type(key) is not str:
                break
        else:
            return mapping
    return read_untrusted("variables", _named, mapping, more)


def _named(mapping: object, more: Mapping[str, Any]) -> dict[str, Any]:
    if isinstance(mapping, BaseModel):
        return {**dict(mapping), **more}
    if not isinstance(mapping, Mapping):
        raise InvalidInputError.of("variables", f"must be a mapping or a pydantic model, not {type(mapping).__name__}")
    named = bounded_dict(mapping, "variables", "variables", MAX_PASSED)
    if not all(isinstance(key, str) for key in named):
        raise InvalidInputError.of("variables", "the names must be text")
    return {**{str.__str__(key): value for key, value in named.items()}, **more}


def _require_size(fields: Mapping[str, Any]) -> None:
    """Refuse fields that beside the template take over 1 MiB of JSON."""
    sizes = {name: _size(value) for name, value in fields.items() if name != "template"}
    total = sum(sizes.values())
    if total > MAX_METADATA_BYTES:
        raise InvalidInputError.of(
            max(sizes, key=sizes.__getitem__),
            f"the metadata takes {total} bytes of JSON; {MAX_METADATA_BYTES} is the most",
        )


def _size(value: Any) -> int:
    return len(canonical(value).encode())


def _json(value: Any, field: str, reader: Callable[[Any], T]) -> T:
    try:
        return reader(value)
    except NotJSON as error:
        raise InvalidInputError.of(field, str(error)) from None


def _message(item: object, where: str) -> FrozenDict:
    if not isinstance(item, Mapping):
        raise InvalidInputError.of(where, f"must be {MESSAGE_FORMS}, not {type(item).__name__}")
    flaw = _message_flaw(item)
    if flaw:
        raise InvalidInputError.of(where, flaw)
    fields = FieldReader()
    message = FrozenDict(
        (str.__str__(key), fields.read(_MESSAGE_READERS[key], item[key], f"{where}.{key}")) for key in item
    )
    fields.require_valid()
    return message


def _placeholder(value: object, field: str) -> str:
    name = read_text(value, field)
    if not is_readable(name):
        raise InvalidInputError.of(field, "must be a variable's name, such as history")
    return name


def _role(value: object, field: str) -> str:
    return read_choice(read_text(value, field), field, ROLES)


_MESSAGE_READERS: dict[str, Callable[[object, str], str]] = {
    "role": _role,
    "content": read_text,
    "placeholder": _placeholder,
}


def _message_flaw(item: Mapping[Any, Any]) -> str | None:
    """Return which keys a message lacks, or that it has others, which are the caller's and not told."""
    wanted = {"placeholder"} if "placeholder" in item else {"role", "content"}
    lacks = sorted([key for key in wanted if key not in item], reverse=True)
    if lacks:
        return f"has no {' and no '.join(lacks)}; it must be {MESSAGE_FORMS}"
    is_whole = all(key in wanted for key in item)  # which ends at the first other one, as there may be no last
    return None if is_whole else f"must be {MESSAGE_FORMS}, and hold nothing else"


@reads_untrusted("expected_hash")
def _hash(value: object, field: str) -> str:
    if not isinstance(value, str) or not _HASH.fullmatch(value):
        raise InvalidInputError.of(field, "must be the content_hash of a version: 64 of 0-9 a-f")
    return str.__str__(value)


def _title(value: object, field: str) -> str:
    return read_filled_text(value, field)


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
    if not isinstance(value, Mapping):
        raise InvalidInputError.of(field, f"must be a mapping, not {type(value).__name__}")
    frozen: FrozenDict = _json(value, field, freeze)
    return frozen


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


def _variables(value: Any, field: str) -> FrozenList:
    return _frozen_list(declared(value), field)


def _frozen_list(items: Sequence[Any], field: str) -> FrozenList:
    """Freeze a list whole: its items are bounded together."""
    frozen: FrozenList = _json(items, field, freeze)
    return frozen


def _grant(item: object, where: str) -> Grant:
    if isinstance(item, Grant):
        return item
    named = bounded_dict(item, where, "keys", MAX_LISTED) if isinstance(item, Mapping) else {}
    try:
        if isinstance(item, Mapping):
            return Grant(**named)
        if isinstance(item, tuple | list):
            return Grant(*item)
    except TypeError:
        pass
    except InvalidInputError as error:
        raise error.within(where) from None
    raise InvalidInputError.of(where, "must be a Grant or a pair (principal, permission)")


_READERS: dict[str, Callable[[object, str], Any]] = {
    "template": read_template,
    "title": _title,
    "description": read_text,
    "category": read_text,
    "tags": _tags,
    "variables": _variables,
    "config": _object,
    "meta": _object,
    "examples": _examples,
}
