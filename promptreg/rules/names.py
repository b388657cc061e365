"""Names, namespaces, labels, version numbers and references (rule 19): parsing and checking them.

A reference is how a caller refers to a prompt: by its name or its id, and where a verb takes a version, as `name@3` or
`name@staging`. Nothing in here looks up whether a prompt exists.
"""

import binascii
import re
import unicodedata
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, TypeAlias

from promptreg.errors import InvalidInputError
from promptreg.jsonvalues import NotJSON, checked_text
from promptreg.models import Value
from promptreg.untrusted import FieldReader, bounded_list, read_each, reads_untrusted

MAX_NAME = 128
MAX_NUMBER = 10**30
MAX_NAMES = 100_000  # of one call
MAX_READ = 10_000  # prompts that one call returns
MAX_SLUGGED = 1_000  # characters of a text for `slugify`: normalising is quadratic in combining marks
SEPARATORS = "_-./"
RESERVED_LABELS = frozenset({"production", "latest"})

Selector: TypeAlias = int | str
"""A version as a caller names it: its number, or a label of it."""

UUID_LENGTH = 36
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
_USUAL = re.compile(r"[a-z0-9]+(?:[_./-][a-z0-9]+)*")  # most names, which need no closer check
_LABEL = re.compile(r"[A-Za-z0-9_.-]{1,50}")
_NUMBER = re.compile(r"[0-9]{1,30}")
_NO_LABEL = "must be 1 to 50 of A-Z a-z 0-9 _ . - and not only digits"


class Reference(NamedTuple):
    """How a caller refers to a prompt, and the version chosen with `@`, if any."""

    text: str
    is_id: bool
    selector: Selector | None = None


Versioned: TypeAlias = tuple[Reference, Selector | None]
"""A prompt, and the version of it that a call chooses, if any."""

_UNNAMED = Reference("", is_id=False)


@reads_untrusted("text")
def slugify(text: str) -> str:
    """Return a name made from any text: lower case, at most 128 characters, other characters replaced by `_`.

    Letters and digits of every script are kept. Only the first 1,000 characters of the text count. Raises
    `InvalidInputError` where none is a letter or digit, or for a value that is no text (rule 19).

    >>> slugify("`position` Interviewer"), slugify("Çay, ☕ & Simit!")
    ('position_interviewer', 'çay_simit')
    """
    if not isinstance(text, str):
        raise InvalidInputError.of("text", f"must be text, not {type(text).__name__}")
    start = text.strip()[:MAX_SLUGGED]
    lowered = unicodedata.normalize("NFC", unicodedata.normalize("NFC", start).lower())
    spelled = "".join(character if is_word(character) else " " for character in lowered)
    name = "_".join(spelled.split())[:MAX_NAME].rstrip("_")
    if not name:
        raise InvalidInputError.of("text", "holds no letter or digit to make a name of")
    return name


@reads_untrusted("name")
def checked_name(value: object, field: str = "name") -> str:
    """Return a well-formed name or namespace; raise `InvalidInputError` with the reason for any other value."""
    require_no_value(value, field)
    text = _text(value, field)
    reason = _flaw(text)
    if reason:
        raise InvalidInputError.of(field, reason)
    return text


@reads_untrusted("label")
def checked_label(value: object, field: str = "label", *, is_own: bool = False) -> str:
    """Return a well-formed label, `production` and `latest` included; `is_own` says that it chooses no version."""
    text = _text(value, field)
    if field == "label" and not is_own and _NUMBER.fullmatch(text):
        raise InvalidInputError.of(field, f"{text!r} is no label but a number; pass version={int(text)}")
    if not _is_label(text):
        raise InvalidInputError.of(field, _NO_LABEL)
    return text


def checked_own_label(value: object) -> str:
    """Return a label that a caller may move: not `production` or `latest`, in any case, which the registry keeps."""
    label = checked_label(value, "label", is_own=True)
    if label.lower() in RESERVED_LABELS:
        raise InvalidInputError.of("label", f"{label.lower()} is kept by the registry; publish or update moves it")
    return label


@reads_untrusted("version")
def checked_selector(value: object, field: str = "version") -> Selector:
    """Return a version number, at least 1, or a label."""
    if isinstance(value, str) and _NUMBER.fullmatch(value):
        raise InvalidInputError.of(field, f"{value!r} is a text of digits, which no label is; pass {int(value)}")
    if isinstance(value, str):
        return checked_label(value, field)
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidInputError.of(field, f"must be a number or a label, not {type(value).__name__}")
    return checked_number(value, field, least=1)


@reads_untrusted("value")
def checked_number(value: object, field: str, *, least: int) -> int:
    """Return an integer of at least `least`; a boolean is refused."""
    if isinstance(value, bool) or not isinstance(value, int):
        raise InvalidInputError.of(field, f"must be an integer, not {type(value).__name__}")
    value = int.__index__(value)
    if value < least:
        raise InvalidInputError.of(field, f"must be at least {least}")
    if value > MAX_NUMBER:
        raise InvalidInputError.of(field, "has more than 30 digits")
    return value


@reads_untrusted("name")
def parse_reference(value: object, field: str = "name") -> Reference:
    """Read a name or an id, with an optional `@version` or `@label`."""
    if type(value) is str and _is_usual(value):
        return Reference(value, is_id=False)
    require_no_value(value, field)
    name, at, chosen = _text(value, field).partition("@")
    is_id = _is_id(name)
    reason = None if is_id else _flaw(name)
    if reason:
        raise InvalidInputError.of(field, reason)
    if not at:
        return Reference(name, is_id)
    if _NUMBER.fullmatch(chosen):
        if int(chosen) < 1:
            raise InvalidInputError.of(field, "the version after @ must be at least 1")
        return Reference(name, is_id, int(chosen))
    if not _is_label(chosen):
        raise InvalidInputError.of(field, f"what follows @ {_NO_LABEL}, or a version's number")
    return Reference(name, is_id, chosen)


def require_no_value(given: object, field: str) -> None:
    """Refuse a `Prompt`, or another of the registry's values that has a name, where the name itself is asked for."""
    kind: type = type(given)
    if issubclass(kind, Value) and "name" in kind.model_fields:
        raise InvalidInputError.of(field, f"must be text, not {kind.__name__}; pass its name")


def plain_reference(value: object, field: str = "name") -> Reference:
    """Read a name or an id for a verb that takes no version."""
    reference = parse_reference(value, field)
    if reference.selector is not None:
        raise InvalidInputError.of(field, "this verb takes a prompt, not a version: leave out the @ and what follows")
    return reference


def chosen_version(reference: Reference, version: object = None, label: object = None) -> Selector | None:
    """Return the version chosen by `@`, `version=` or `label=`; raise `InvalidInputError` for more than one."""
    chosen = [x for x in (reference.selector, version, label) if x is not None]
    if len(chosen) > 1:
        ways = "@ or version=" if label is None else "@, version= or label="
        raise InvalidInputError.of("version", f"choose one version: with {ways}, once")
    if label is not None:
        return checked_label(label)
    if version is not None:
        return checked_selector(version)
    return reference.selector


def read_versioned(name: object, version: object = None, label: object = None) -> tuple[Reference, Selector | None]:
    """Read a name or an id, and the one version chosen with `@`, `version=` or `label=`, if any."""
    fields = FieldReader()
    reference = fields.read(parse_reference, name)
    selector = fields.read(chosen_version, reference if fields.are_valid() else _UNNAMED, version, label)
    fields.require_valid()
    return reference, selector


def read_one_version(name: object, version: object = None) -> tuple[Reference, Selector]:
    """Read a name or an id, and the version chosen with `@` or `version=`; raise `InvalidInputError` without one."""
    reference, selector = read_versioned(name, version)
    if selector is None:
        raise InvalidInputError.of("version", "choose a version: with @ after the name, or with version=")
    return reference, selector


@reads_untrusted("names")
def read_references(given: object) -> list[Reference]:
    """Read one reference or many; raise `InvalidInputError` with every malformed one."""
    if isinstance(given, str):
        return [plain_reference(given, "names")]
    require_no_value(given, "names")
    if isinstance(given, bytes | Mapping) or not isinstance(given, Iterable):
        raise InvalidInputError.of("names", "must be a name or a list of names")
    return read_each(plain_reference, bounded_list(given, "names", "names", MAX_NAMES), "names")


@reads_untrusted("names")
def read_names(given: object) -> list[str]:
    """Return the names of `get_many` as builtin texts; `parse_many` reads them, where that is needed."""
    names = given.copy() if type(given) is list and len(given) <= MAX_READ else _listed_names(given)
    if not {*map(type, names)} <= {str}:
        parse_many(names)
        return [str.__str__(name) for name in names]
    return names


def _listed_names(given: object) -> list[Any]:
    if isinstance(given, str):
        raise InvalidInputError.of("names", "must be a list of names; get() takes one name")
    require_no_value(given, "names")
    if isinstance(given, bytes | Mapping) or not isinstance(given, Iterable):
        raise InvalidInputError.of("names", f"must be a list of names, not {type(given).__name__}")
    return bounded_list(given, "names", "names", MAX_READ)


def parse_many(names: Iterable[object]) -> None:
    """Raise `InvalidInputError` with every name that is malformed; each may choose a version with `@`."""
    read_each(parse_reference, names, "names")


def cursor(name: str) -> str:
    """Return the opaque cursor of a page that ends with this name."""
    return urlsafe_b64encode(name.encode()).decode()


@reads_untrusted("after")
def read_cursor(after: object) -> str:
    """Return the name of a cursor."""
    try:
        name = checked_name(urlsafe_b64decode(_text(after, "after").encode()).decode())
    except (binascii.Error, UnicodeError, InvalidInputError):
        name = ""
    if not name or cursor(name) != after:
        raise InvalidInputError.of("after", "must be the next of a page that list() returned")
    return name


@reads_untrusted("prefix")
def read_prefix(value: object) -> str:
    """Return how names begin, in NFC as names are; None is any. No character in it means anything but itself."""
    if value is None:
        return ""
    prefix = _text(value, "prefix")
    if len(prefix) <= MAX_SLUGGED:
        prefix = unicodedata.normalize("NFC", prefix)
    if len(prefix) > MAX_NAME:
        raise InvalidInputError.of("prefix", f"has {len(prefix):,} characters; a name has {MAX_NAME} at most")
    return prefix


def _text(value: object, field: str) -> str:
    if not isinstance(value, str):
        raise InvalidInputError.of(field, f"must be text, not {type(value).__name__}")
    try:
        return checked_text(value)
    except NotJSON as error:
        raise InvalidInputError.of(field, str(error)) from None


def _flaw(name: str) -> str | None:
    if _is_usual(name):
        return None
    if not name:
        return "must not be empty"
    if len(name) > MAX_NAME:
        return f"has {len(name)} characters; {MAX_NAME} is the most"
    if name != unicodedata.normalize("NFC", name):
        return "is not in Unicode's NFC; pass unicodedata.normalize('NFC', name)"
    if name != name.lower():
        return "must be lower case; slugify() makes a name of any text"
    if not all(is_word(character) or character in SEPARATORS for character in name):
        return "takes letters, digits and _ - . / only; slugify() makes a name of any text"
    if name[0] in SEPARATORS or name[-1] in SEPARATORS:
        return "must start and end with a letter or a digit"
    if ".." in name or "//" in name:
        return "must not hold .. or //"
    if _is_id(name):
        return "must not be a UUID: those are ids"
    return None


def _is_label(text: str) -> bool:
    return _LABEL.fullmatch(text) is not None and not text.isdigit()


def _is_usual(name: str) -> bool:
    return UUID_LENGTH != len(name) <= MAX_NAME and _USUAL.fullmatch(name) is not None


def _is_id(name: str) -> bool:
    return len(name) == UUID_LENGTH and _UUID.fullmatch(name) is not None


def is_word(character: str) -> bool:
    """Return whether a name may hold a character anywhere: a letter or digit of any script, or a combining mark."""
    category = unicodedata.category(character)
    return category[0] in "LM" or category == "Nd"
