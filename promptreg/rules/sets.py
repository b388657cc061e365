"""What a call about several prompts is about, and what it expects of each, read into frozen values (rule 23)."""

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import NamedTuple, TypeAlias, TypeVar

from promptreg.errors import InvalidInputError, listed
from promptreg.models import UNSET
from promptreg.records import Container
from promptreg.rules.inputs import ANYTHING, Expected, read_content_hash
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

ByName: TypeAlias = Mapping[Reference, T]


class PromptSet(NamedTuple):
    """The prompts of one call, each with the version that it chooses, and what is expected of some of them.

    What is expected is by the name or the id of a prompt, which need not be the one that the call names it by.
    """

    chosen: tuple[Versioned, ...]
    expected: Mapping[str, Expected]

    def expected_of(self, reference: Reference, container: Container | None) -> tuple[str | None, Expected]:
        """Return what is expected of a prompt, with the name or id that it is expected by; None where it is nothing."""
        known = (reference.text,) if container is None else (reference.text, container.name, container.id)
        name = next((name for name in known if name in self.expected), None)
        return name, ANYTHING if name is None else self.expected[name]


def read_set(given: object, version: object, *, production: object, content_hash: object = UNSET) -> PromptSet:
    """Read several references, a version that is chosen for all, and what is expected, as mappings by name."""
    fields = FieldReader()
    chosen = fields.read(_read_chosen, given, version)
    numbers = fields.read(_read_by_name, production, "expected_production", _production_number)
    hashes = fields.read(_read_by_name, content_hash, "expected_hash", read_content_hash)
    fields.read(_require_named, chosen, numbers, "expected_production")
    fields.read(_require_named, chosen, hashes, "expected_hash")
    fields.require_valid()
    named = dict.fromkeys([*numbers, *hashes])
    return PromptSet(chosen, {key.text: Expected(None, numbers.get(key), hashes.get(key)) for key in named})


@reads_untrusted("name")
def _read_chosen(given: object, version: object) -> tuple[Versioned, ...]:
    if isinstance(given, bytes | Mapping) or not isinstance(given, Iterable):
        raise InvalidInputError.of("name", f"must be a name or a list of names, not {type(given).__name__}")
    fields = FieldReader()
    items = fields.read(bounded_list, given, "name", "names", MAX_NAMES)
    references = fields.read(read_each, parse_reference, items, "name")
    selector = None if version is None else fields.read(checked_selector, version)
    chosen = fields.read(_chosen, references, selector)
    fields.require_valid()
    return chosen


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


def _require_named(chosen: Sequence[Versioned], expected: ByName[object], field: str) -> None:
    """Refuse what is expected of a prompt that the call does not name, as far as that can be seen without a lookup."""
    references = [reference for reference, _ in chosen]
    texts, kinds = {reference.text for reference in references}, {reference.is_id for reference in references}
    strangers = [key.text for key in expected if key.text not in texts and kinds <= {key.is_id}]
    if strangers:
        raise _not_named(field, strangers)


def require_all_named(expected: Mapping[str, Expected], used: Collection[str | None]) -> None:
    """Refuse what is expected of a prompt that the call does not name, or that it is expected of already."""
    for field, position in (("expected_production", 1), ("expected_hash", 2)):
        strangers = [name for name, what in expected.items() if name not in used and what[position] is not None]
        if strangers:
            raise _not_named(field, strangers)


def _not_named(field: str, names: Sequence[str]) -> InvalidInputError:
    return InvalidInputError.of(field, f"names {listed(names)}, and the call does not, or names it here already")
