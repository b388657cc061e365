"""The arguments of a call about several prompts, read into frozen values (rule 23)."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple, TypeVar

from promptreg.errors import InvalidInputError, VersionConflictError, listed
from promptreg.models import UNSET
from promptreg.records import Container
from promptreg.rules.conflicts import AGAIN
from promptreg.rules.inputs import Expected, read_content_hash
from promptreg.rules.names import (
    MAX_NAME,
    MAX_NAMES,
    Reference,
    Selector,
    Versioned,
    checked_number,
    checked_selector,
    parse_reference,
    plain_reference,
)
from promptreg.untrusted import FieldReader, bounded_dict, bounded_list, read_each, reads_untrusted

T = TypeVar("T")


class PromptSet(NamedTuple):
    """The prompts of one call, each with the version that it chooses, and what the caller expects of them.

    `production` and `content_hash` map the name or the id of a prompt to what is expected of it. They may use the name
    where `chosen` has the id, and the other way round.
    """

    chosen: tuple[Versioned, ...]
    production: Mapping[str, int]
    content_hash: Mapping[str, str]


def read_set(given: object, version: object, *, production: object, content_hash: object = UNSET) -> PromptSet:
    """Read several references, a version that is chosen for all, and what is expected, as mappings by name."""
    fields = FieldReader()
    references = fields.read(_read_all, given)
    selector = None if version is None else fields.read(checked_selector, version)
    chosen = fields.read(_chosen, references, selector)
    numbers = fields.read(_read_by_name, production, "expected_production", _production_number)
    hashes = fields.read(_read_by_name, content_hash, "expected_hash", read_content_hash)
    fields.read(_require_named, references, numbers, "expected_production")
    fields.read(_require_named, references, hashes, "expected_hash")
    fields.require_valid()
    return PromptSet(chosen, _by_text(numbers), _by_text(hashes))


@reads_untrusted("name")
def _read_all(given: object) -> list[Reference]:
    if isinstance(given, bytes | Mapping) or not isinstance(given, Iterable):
        raise InvalidInputError.of("name", f"must be a name or a list of names, not {type(given).__name__}")
    return read_each(parse_reference, bounded_list(given, "name", "names", MAX_NAMES), "name")


def _chosen(references: Sequence[Reference], selector: Selector | None) -> tuple[Versioned, ...]:
    choosing = [f"{reference.text}@{reference.selector}" for reference in references if reference.selector is not None]
    if selector is not None and choosing:
        reason = f"choose one version: with @ or version=, once; {listed(choosing)} did with @"
        raise InvalidInputError.of("version", reason)
    distinct, numbers = dict.fromkeys(references), dict[str, int]()
    for text, _, number in distinct:
        if isinstance(number, int) and numbers.setdefault(text, number) != number:
            raise two_versions(text, numbers[text], number)
    return tuple((reference, reference.selector if selector is None else selector) for reference in distinct)


def two_versions(name: str, one: int, other: int) -> InvalidInputError:
    """Return the error for a call that names one prompt at two versions."""
    reason = f"names {name!r} at two versions, {one} and {other}; one is in production at a time, so name one"
    return InvalidInputError.of("name", reason)


def fewer_prompts(named: int, found: int) -> VersionConflictError:
    """Return the error for a call whose names mean fewer prompts within the write, as some were renamed meanwhile."""
    message = f"The call named {named:,} prompts, which are {found:,} now, as some were renamed meanwhile; {AGAIN}."
    return VersionConflictError(message, expected=named, actual=found)


@reads_untrusted("expected")
def _read_by_name(given: object, field: str, read: Callable[[object, str], T]) -> dict[Reference, T]:
    if given is UNSET:
        return {}
    if not isinstance(given, Mapping):
        reason = f"must be a mapping by name, as the call takes several prompts, not {type(given).__name__}"
        raise InvalidInputError.of(field, reason)
    fields, named = FieldReader(), dict[Reference, T]()
    for key, value in bounded_dict(given, field, "names", MAX_NAMES).items():
        reference = fields.read(plain_reference, key, field)
        expected = fields.read(read, value, f"{field}[{key!r}]" if type(key) is str and len(key) <= MAX_NAME else field)
        if fields.are_valid():
            named[reference] = expected
    fields.require_valid()
    return named


def _production_number(value: object, field: str) -> int:
    return checked_number(value, field, least=0)


def _by_text(named: Mapping[Reference, T]) -> dict[str, T]:
    return {reference.text: value for reference, value in named.items()}


def _require_named(references: Sequence[Reference], expected: Mapping[Reference, object], field: str) -> None:
    """Refuse what is expected of a prompt that the call does not name, as far as that can be seen without a lookup."""
    texts, kinds = {reference.text for reference in references}, {reference.is_id for reference in references}
    unnamed = [key.text for key in expected if key.text not in texts and kinds <= {key.is_id}]
    if unnamed:
        raise _not_named(field, unnamed)


def expected_of_each(prompts: PromptSet, found: Sequence[Container | None]) -> list[Expected]:
    """Return what is expected of each prompt; `found` has the stored prompts, in the order of `prompts.chosen`.

    Raises `InvalidInputError` for what is expected of a prompt that the call does not name, or twice of one.
    """
    pairs = zip(prompts.chosen, found, strict=True)
    known = [(r.text,) if prompt is None else (r.text, prompt.name, prompt.id) for (r, _), prompt in pairs]
    numbers = _of_each(prompts.production, known, "expected_production")
    hashes = _of_each(prompts.content_hash, known, "expected_hash")
    return [Expected(None, number, content_hash) for number, content_hash in zip(numbers, hashes, strict=True)]


def _of_each(expected: Mapping[str, T], known: Sequence[Sequence[str]], field: str) -> list[T | None]:
    keys = [next((name for name in names if name in expected), None) for names in known]
    used = set(keys)
    unnamed = [name for name in expected if name not in used]
    if unnamed:
        raise _not_named(field, unnamed)
    return [None if key is None else expected[key] for key in keys]


def _not_named(field: str, names: Sequence[str]) -> InvalidInputError:
    return InvalidInputError.of(field, f"has {listed(names)}: no prompt of this call, or one that is here twice")
