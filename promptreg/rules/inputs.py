"""What verbs take beside the fields of a version, read into frozen values; bad input is `InvalidInputError` (400).

The fields of a version are read in `version_fields.py`, names and numbers in `names.py`. Reading comes before anything
is looked up, as invalid input is the first refusal (rule 18); nothing is read from storage here.
"""

import re
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any, NamedTuple, TypeAlias, TypeVar, get_args

from pydantic import BaseModel

from promptreg.errors import InvalidInputError
from promptreg.jsonvalues import MAX_CHARACTERS, FrozenDict, NotJSON, checked_text, freeze
from promptreg.models import UNSET, Action, Grant, OnConflict, Status, TargetStatus
from promptreg.nearest import did_you_mean
from promptreg.rules.names import checked_number
from promptreg.untrusted import (
    MAX_LISTED,
    FieldReader,
    bounded_dict,
    bounded_list,
    read_each,
    read_untrusted,
    reads_untrusted,
)

T = TypeVar("T")
Progress: TypeAlias = Callable[[int, int], object]
"""What a long call reports its progress to: how many of how many rows are done."""

MAX_METADATA_BYTES = 1024 * 1024
MAX_STORED = 100_000_000  # characters of a template, each of at most 6 bytes; SQLite takes a billion bytes a row
MAX_PASSED = 100_000  # variables of one render, as a mapping may be endless
MAX_SOUGHT = 1_000  # characters of a search
MAX_TERMS = 64
MAX_RELEASE = 10**30
_HASH = re.compile(r"[0-9a-f]{64}")
ACTIONS: tuple[str, ...] = get_args(Action)
STATUSES: tuple[str, ...] = get_args(Status)
TARGET_STATUSES: tuple[str, ...] = get_args(TargetStatus)
ON_CONFLICT: tuple[str, ...] = get_args(OnConflict)
SYNONYMS = {"enabled": "active", "enable": "active"}  # else the nearest spelling is the opposite, `disabled`


class Expected(NamedTuple):
    """What a caller expects to find (rule 4); None where it may be anything.

    `version` is the base of an update; `production` the live version, 0 for none; `content_hash` that of the version
    which is edited or published, or of the base.
    """

    version: int | None = None
    production: int | None = None
    content_hash: str | None = None


ANYTHING = Expected()


def read_expected(*, version: object = UNSET, production: object = UNSET, content_hash: object = UNSET) -> Expected:
    """Read what a caller expects to find; `UNSET` may be anything, 0 is no production version."""
    fields = FieldReader()
    expected = Expected(
        version=fields.read(_expected_number, version, "expected_version"),
        production=fields.read(_expected_number, production, "expected_production"),
        content_hash=None if content_hash is UNSET else fields.read(read_content_hash, content_hash, "expected_hash"),
    )
    fields.require_valid()
    return expected


def _expected_number(value: object, field: str) -> int | None:
    return None if value is UNSET else checked_number(value, field, least=0)


def read_given(value: Any, field: str) -> Any:
    """Return an optional argument, None where it was not passed; raise `InvalidInputError` where None was passed."""
    if value is None:
        raise InvalidInputError.of(field, "must not be None; leave it out")
    return None if value is UNSET else value


@reads_untrusted("text")
def read_any_text(value: object, field: str) -> str:
    """Read a text of any length, also an empty one, without NUL and lone surrogates."""
    if not isinstance(value, str):
        raise InvalidInputError.of(field, f"must be text, not {type(value).__name__}")
    try:
        return checked_text(value)
    except NotJSON as error:
        raise InvalidInputError.of(field, str(error)) from None


def read_text(value: object, field: str) -> str:
    """Read a text as `read_any_text` does, of at most 1 MiB."""
    text = read_any_text(value, field)
    size = len(text.encode())
    if size > MAX_METADATA_BYTES:
        raise InvalidInputError.of(field, f"takes {size} bytes of UTF-8; {MAX_METADATA_BYTES} is the most")
    return text


def read_filled_text(value: object, field: str) -> str:
    """Read a text that is not blank."""
    return require_filled(read_text(value, field), field)


def require_filled(text: str, field: str) -> str:
    """Return a text that is not blank; raise `InvalidInputError` for any other."""
    if not text or text.isspace():
        raise InvalidInputError.of(field, "must not be empty")
    return text


def require_length(length: int, field: str, most: int) -> None:
    """Raise `InvalidInputError` for a template of more characters than can be read (`readable_characters`)."""
    if length > most:
        remedy = "no storage takes more" if most >= MAX_STORED else "RenderLimits(source_characters=…) allows more"
        raise InvalidInputError.of(field, f"has {length:,} characters; {most:,} is the most, {remedy}")


def read_object(value: object, field: str, *, characters: int = MAX_CHARACTERS) -> FrozenDict:
    """Read a mapping of JSON values, of at most so many characters of text."""
    if not isinstance(value, Mapping):
        raise InvalidInputError.of(field, f"must be a mapping, not {type(value).__name__}")
    frozen: FrozenDict = read_json(value, field, characters=characters)
    return frozen


def read_json(value: object, field: str, *, characters: int = MAX_CHARACTERS) -> Any:
    """Read a JSON value into a frozen one."""
    try:
        return freeze(value, characters=characters)
    except NotJSON as error:
        raise InvalidInputError.of(field, str(error)) from None


@reads_untrusted("text")
def read_search(value: object) -> str:
    """Read the text of a search: at most 1,000 characters and 64 terms, between spaces or punctuation (rule 24)."""
    text = read_filled_text(value, "text")
    if len(text) > MAX_SOUGHT:
        raise InvalidInputError.of("text", f"has {len(text):,} characters; {MAX_SOUGHT:,} is the most")
    from promptreg.tokenizer import terms  # noqa: PLC0415 (only a search needs it)

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


@reads_untrusted("release")
def read_release(value: object, field: str = "release") -> float | None:
    """Read the number of a release, such as that of a build or a time in seconds; None is no number."""
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise InvalidInputError.of(field, f"must be a number, such as that of a build, not {type(value).__name__}")
    release = int.__index__(value) if isinstance(value, int) else float.__float__(value)
    if not abs(release) < MAX_RELEASE:  # nor is NaN
        raise InvalidInputError.of(field, "must be a finite number of at most 30 digits")
    return release


@reads_untrusted("access_grants")
def read_grants(value: object, field: str = "access_grants") -> tuple[Grant, ...]:
    """Read grants: `Grant`s, pairs, or mappings. Each principal keeps one, the widest."""
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
        raise InvalidInputError.of(field, "must be a list of grants")
    grants: dict[str, Grant] = {}
    for grant in read_each(_grant, bounded_list(value, field, "grants"), field):
        if grant.principal not in grants or grant.permission == "write":
            grants[grant.principal] = grant
    return tuple(grants.values())


@reads_untrusted("status")
def read_statuses(value: object) -> tuple[str, ...]:
    """Read the `status` filter of `list` and `search`: one or several; None is active and disabled."""
    if value is None:
        return ("active", "disabled")
    return _one_or_several(partial(read_choice, choices=STATUSES), value, "status", "statuses")


@reads_untrusted("action")
def read_actions(value: object) -> tuple[str, ...] | None:
    """Read the `action` filter of `events`: one or several; None is every one."""
    if value is None:
        return None
    return _one_or_several(partial(read_choice, choices=ACTIONS), value, "action", "actions")


@reads_untrusted("tag")
def read_tag_filter(value: object) -> tuple[str, ...]:
    """Read the `tag` filter of `list` and `search`: one or several, each once; None is none."""
    tags = () if value is None else _one_or_several(read_text, value, "tag", "tags")
    if sum(map(len, tags)) > MAX_METADATA_BYTES:
        raise InvalidInputError.of(
            "tag", f"the tags take over {MAX_METADATA_BYTES} bytes, which no version has room for"
        )
    return tags


def read_text_filter(value: object, field: str) -> str | None:
    """Read a filter that is a text, also an empty one; None is no filter."""
    return None if value is None else read_text(value, field)


def _one_or_several(read: Callable[[Any, str], T], value: object, field: str, what: str) -> tuple[T, ...]:
    """Read one value, or an iterable of them, each once; raise `InvalidInputError` with every bad one."""
    if isinstance(value, str | bytes | Mapping) or not isinstance(value, Iterable):
        return (read(value, field),)
    fields = FieldReader()
    items = [fields.read(read, item, field) for item in bounded_list(value, field, what)]
    fields.require_valid()
    return tuple(dict.fromkeys(items))


@reads_untrusted("value")
def read_choice(value: object, field: str, choices: Iterable[str], synonyms: Mapping[str, str] = SYNONYMS) -> str:
    """Read one of a few words; the error names the nearest."""
    allowed = tuple(choices)
    if not isinstance(value, str) or value not in allowed:
        meant = did_you_mean(synonyms.get(value.lower(), value), allowed) if isinstance(value, str) else ""
        raise InvalidInputError.of(field, f"must be one of {', '.join(allowed)}{meant}")
    return str.__str__(value)


def read_progress(value: object) -> Progress:
    """Read the function of two numbers that progress is reported to; None reports to nobody."""
    if value is None:
        return _ignore
    if not callable(value):
        raise InvalidInputError.of("progress", f"must be a function of two numbers, not {type(value).__name__}")
    return value


def _ignore(done: int, total: int) -> None:
    """Report to nobody."""


def read_variables(mapping: object, more: Mapping[str, Any]) -> dict[str, Any]:
    """Read the variables of a render: a mapping or pydantic model, and keywords, which win.

    The caller must not change the result, which may be the mapping that was passed.
    """
    if mapping is None:
        return dict(more)
    if type(mapping) is dict and not more:
        for key in mapping:  # every render runs this; `all` with a generator takes twice as long
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


@reads_untrusted("expected_hash")
def read_content_hash(value: object, field: str) -> str:
    """Read the `content_hash` of a version."""
    if not isinstance(value, str) or not _HASH.fullmatch(value):
        raise InvalidInputError.of(field, "must be the content_hash of a version: 64 of 0-9 a-f")
    return str.__str__(value)


@reads_untrusted("head")
def read_head(value: object, field: str) -> str:
    """Read the hash of the last event, as `head()` returns it."""
    if not isinstance(value, str) or not _HASH.fullmatch(value):
        raise InvalidInputError.of(field, "must be what head() returned: 64 of 0-9 a-f")
    return str.__str__(value)


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
