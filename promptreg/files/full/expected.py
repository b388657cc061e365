"""What the events of a prompt must lead to, as the prompt and its versions in a full export say it.

Facts are kept as hashes, as there may be many versions.
"""

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from promptreg.dump import PromptEntry
from promptreg.files.full.replay import (
    ANY_REASONS,
    DISCARDED,
    FACTS,
    FAILURE,
    PUBLISHED,
    STATES,
    Inconsistent,
    Replay,
    described,
    facts_of_version,
)
from promptreg.records import Container, VersionRecord

NAMES = (
    "name", "creation", "last change", "status", "highest version number", "stack of publications", "set of labels",
    "list of grants",
)  # fmt: skip
"""The facts of a prompt, as messages name them, in the order of `_facts_of_prompt` and `Replay.facts`."""

WIDTH = 2 + FACTS  # of a version: its number, its state, its facts


class ExpectedState(NamedTuple):
    """What the events must lead to: the facts of the prompt, and number, state and facts of each version."""

    facts: "array[int]"
    versions: "array[int]"

    def packed(self) -> tuple[bytes, ...]:
        """Return the same as bytes."""
        return self.facts.tobytes(), self.versions.tobytes()

    @classmethod
    def unpacked(cls, facts: bytes, versions: bytes) -> "ExpectedState":
        """Return what `packed` was called on."""
        return cls(array("q", facts), array("q", versions))

    def difference(self, replay: Replay) -> str | None:
        """Return what the events don't lead to; None where they lead to all of it."""
        for name, said, replayed in zip(NAMES, self.facts, map(hash, replay.facts()), strict=True):
            if said != replayed:
                return f"the {name} of the prompt is not what its events lead to"
        if replay.expected_name is not None:
            return "an event has another name than the prompt has then"
        number = self._differing(replay)
        return None if number is None else f"version {number} of the prompt is not what its events lead to"

    def _differing(self, replay: Replay) -> int | None:
        """Return the number of the first version that differs or is missing; there is none above the last number."""
        left = bytearray(replay.states)
        for at in range(0, len(self.versions), WIDTH):
            number, state = self.versions[at : at + 2]
            said, facts = self.versions[at + 2 : at + WIDTH], replay.facts_of(number)
            if facts[FAILURE] == ANY_REASONS:
                said[FAILURE] = ANY_REASONS
            if left[number - 1] != state or facts != said:
                return number
            left[number - 1] = DISCARDED
        return next((number for number, state in enumerate(left, 1) if state != DISCARDED), None)


class Expectation:
    """A prompt whose versions come one after the other."""

    def __init__(self, entry: PromptEntry) -> None:
        self.entry = entry
        self._numbers = array("q")
        self._states = bytearray()
        self._versions = array("q")
        self._bases: set[int] = set()

    def add(self, version: VersionRecord) -> None:
        """Add the next version; raise `Inconsistent` where it is not one of the prompt."""
        if len(self._numbers) == self.entry.versions:
            raise Inconsistent("the prompt has another number of versions than it says")
        if self._numbers and self._numbers[-1] >= version.number:
            raise Inconsistent("the versions of a prompt must come in the order of their numbers")
        _require_consistent(version)
        state = STATES[version.state]
        self._numbers.append(version.number)
        self._states.append(state)
        self._versions.extend((version.number, state, *facts_of_version(version)))
        if version.base_version is not None:
            self._bases.add(version.base_version)

    def state(self) -> ExpectedState:
        """Return what the events must lead to; raise `Inconsistent` where prompt and versions contradict each other."""
        container, numbers = self.entry.container, self._numbers
        if len(numbers) != self.entry.versions:
            raise Inconsistent("the prompt has another number of versions than it says")
        if not container.latest_version == numbers[-1] <= container.last_version:
            raise Inconsistent("its numbers are not those of its versions")
        if not self._bases.issubset(numbers):
            raise Inconsistent("the base of a version is no version of the prompt")
        self._require_pointers(container)
        facts = _facts_of_prompt(container, self.entry.publications)
        return ExpectedState(array("q", map(hash, facts)), self._versions)

    def _state_of(self, number: int) -> int:
        at = bisect_left(self._numbers, number)
        return self._states[at] if at < len(self._numbers) and self._numbers[at] == number else DISCARDED

    def _require_pointers(self, container: Container) -> None:
        """Check that what the prompt refers to exists."""
        publications, seed = self.entry.publications, container.seed
        if any(self._state_of(number) != PUBLISHED for number in publications):
            raise Inconsistent("its publications must be of versions that are published")
        if container.production_version != (publications[-1] if publications else None):
            raise Inconsistent("its production version must be the last of its publications")
        if any(self._state_of(number) == DISCARDED for number in container.labels.values()):
            raise Inconsistent("a label is of a version that is not there")
        if seed is not None and seed.version is not None and self._state_of(seed.version) != PUBLISHED:
            raise Inconsistent("what was last seeded is of a version that is not published")
        if seed is not None and seed.draft is not None and seed.draft > container.last_version:
            raise Inconsistent("what was last seeded is of a draft that never was")
        if any(base.version > container.last_version for base in (container.synced or {}).values()):
            raise Inconsistent("what was last synchronised is of a version that never was")


def _require_consistent(version: VersionRecord) -> None:
    if (version.state == "published") != (version.published_at is not None):
        raise Inconsistent("a version has a time of publication if it is published, and only then")
    if (version.state == "failed") != (version.failure is not None):
        raise Inconsistent("a version has the reasons if it failed, and only then")
    if version.base_version == version.number:
        raise Inconsistent("the base of a version is no other version of the prompt")


def _facts_of_prompt(container: Container, publications: Sequence[int]) -> Iterable[Any]:
    return (
        (container.namespace, container.name),
        (container.created_at, container.created_by),
        container.updated_at,
        (container.is_archived, container.is_disabled),
        container.last_version,
        tuple(publications),
        frozenset(container.labels.items()),
        described(container.access_grants),
    )
