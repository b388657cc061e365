"""Whether the entries of a full export fit together, and are what a registry could have written.

Prompts, versions and publications say what is; the events say how it came to be. So the events of each prompt are
played again, and must lead to exactly what its prompt and versions hold: numbers, states, names, authors, times,
hashes, publications, labels, grants and status. A prompt without events, or an event that no verb could have made, is
refused.

Of each prompt only hashes of what must come out are kept until the end, about 1 KB with what its events have led to so
far, so that 100,000 prompts take less than 100 MB.
"""

from collections.abc import Iterator
from typing import Any

from promptreg.entries import Counts, DeletionEntry, Entry, EventEntry, PromptEntry
from promptreg.errors import InvalidInputError
from promptreg.files.full_life import Life, Prospect, Untrue
from promptreg.jsonvalues import canonical
from promptreg.records import VersionRecord
from promptreg.storage.hashing import GENESIS, commitment_of, link_of


class History:
    """The entries so far, which `add` takes one after the other; `place` is where an entry stands, for errors."""

    def __init__(self) -> None:
        self._prompts: dict[str, tuple[int, Prospect]] = {}
        self._lives: dict[str, Life] = {}
        self._names: set[int] = set()  # hashes of namespaces and names
        self._created = 0  # of the prompts that are there, in their order
        self._deleted: dict[str, tuple[str, str]] = {}  # namespaces and times, by id, in the order of the events
        self._going: dict[str, str] = {}  # namespaces of prompts whose deletion is still to come, by id
        self._open: tuple[int, PromptEntry, list[VersionRecord]] | None = None
        self._kinds = [0, 0, 0, 0]
        self._deletions: Iterator[tuple[str, tuple[str, str]]] | None = None
        self.last_hash = GENESIS

    @property
    def counts(self) -> Counts:
        """How many entries there were."""
        return Counts(*self._kinds)

    def add(self, place: int, entry: Entry) -> None:
        """Check the next entry; raise `InvalidInputError` with its place."""
        try:
            self._add(place, entry)
        except Untrue as error:
            raise _refused(place, str(error)) from None

    def finish(self, place: int) -> None:
        """Check that nothing is missing after the last entry."""
        try:
            self._close_prompt()
            self._require_led()
            if self._kinds[3] != len(self._deleted):
                raise Untrue("a deletion is missing that an event tells of")
        except Untrue as error:
            raise _refused(place, str(error)) from None

    def _add(self, place: int, entry: Entry) -> None:
        if isinstance(entry, VersionRecord):
            self._add_version(entry)
            return
        self._close_prompt()
        if isinstance(entry, PromptEntry):
            self._add_prompt(place, entry)
        elif isinstance(entry, EventEntry):
            self._add_event(entry)
        else:
            self._add_deletion(entry)

    def _require_before(self, kind: int) -> None:
        if any(self._kinds[kind + 1 :]):
            raise Untrue("it must come before: prompts with their versions, then events, then deletions")

    def _add_prompt(self, place: int, entry: PromptEntry) -> None:
        self._require_before(1)
        container = entry.container
        if container.id in self._prompts:
            raise Untrue("there is a prompt with this id already")
        name = hash((container.namespace, container.name))
        if name in self._names:
            raise Untrue("there is a prompt with this name in its namespace already")
        self._names.add(name)
        self._open = place, entry, []
        self._kinds[0] += 1

    def _add_version(self, version: VersionRecord) -> None:
        if self._open is None or len(self._open[2]) == self._open[1].versions:
            raise Untrue("a version must follow its prompt, which says how many there are")
        versions = self._open[2]
        if versions and versions[-1].number >= version.number:
            raise Untrue("the versions of a prompt must come in the order of their numbers")
        versions.append(version._replace(snapshot=version.snapshot._replace(template="", examples=_NOTHING)))
        self._kinds[1] += 1

    def _close_prompt(self) -> None:
        """Note what must come out of the events of the prompt whose versions are complete."""
        if self._open is None:
            return
        place, entry, versions = self._open
        self._open = None
        if len(versions) != entry.versions:
            raise _refused(place, "the prompt has another number of versions than it says")
        try:
            self._prompts[entry.container.id] = place, Prospect.of(entry, versions, len(self._prompts))
        except Untrue as error:
            raise _refused(place, str(error)) from None

    def _add_event(self, event: EventEntry) -> None:
        self._require_before(2)
        self._require_chained(event)
        self._kinds[2] += 1
        prospect = self._prompts.get(event.prompt_id)
        if prospect is None:
            self._add_event_of_deleted(event)
            return
        if event.details is None:
            raise Untrue("an event of a prompt that is there has its salt, name and details")
        life = self._lives.get(event.prompt_id)
        if life is None:
            if prospect[1].order != self._created:
                raise Untrue("the prompts must come in the order in which they were created")
            self._created += 1
            life = self._lives[event.prompt_id] = Life(event)
        life.apply(event)

    def _require_chained(self, event: EventEntry) -> None:
        if event.seq != self._kinds[2] + 1:
            raise Untrue("the events must be numbered from 1 without a gap")
        fields = event.at, event.actor, event.action, event.namespace, event.prompt_id, event.version
        if link_of(self.last_hash, event.seq, *fields, event.commitment) != event.hash:
            raise Untrue("its hash is not that of the event, or does not continue the one before")
        self.last_hash = event.hash
        if event.salt is None or event.name is None:
            return
        if commitment_of(event.salt, event.name, canonical(event.details)) != event.commitment:
            raise Untrue("its name and details are not those that its commitment is of")

    def _add_event_of_deleted(self, event: EventEntry) -> None:
        """Check an event of a prompt that is not there; nothing but its deletion has a name and details."""
        id_ = event.prompt_id
        if id_ in self._deleted:
            raise Untrue("nothing can happen to a prompt after its deletion")
        if (event.action == "create") == (id_ in self._going):
            raise Untrue("a prompt is created once, before anything else happens to it")
        if self._going.setdefault(id_, event.namespace) != event.namespace:
            raise Untrue("a prompt never leaves its namespace")
        if event.action == "delete":
            if event.details is None or event.details["previous"] == "archived" or event.version is not None:
                raise Untrue("a deletion has its salt, name and details, and is of no version and no archived prompt")
            self._deleted[id_] = self._going.pop(id_), event.at
        elif event.details is not None:
            raise Untrue("an event of a deleted prompt has no salt, name and details")

    def _add_deletion(self, entry: DeletionEntry) -> None:
        if self._deletions is None:
            self._require_led()
            self._deletions = iter(self._deleted.items())
        id_, (namespace, at) = next(self._deletions, (None, ("", "")))
        if (entry.prompt_id, entry.at) != (id_, at):
            raise Untrue("the deletions must be those of the events, with their times and in their order")
        if entry.synced is not None and entry.synced["namespace"] != namespace:
            raise Untrue("the deleted prompt was in another namespace")
        self._kinds[3] += 1

    def _require_led(self) -> None:
        """Check that the events lead to what there is."""
        if self._going:
            raise Untrue("a prompt is missing of which there are events, and none of its deletion")
        for id_, (place, prospect) in self._prompts.items():
            life = self._lives.pop(id_, None)
            reason = "there is no event of the prompt" if life is None else prospect.difference(life)
            if reason:
                raise _refused(place, reason)
        self._prompts.clear()


_NOTHING: Any = ()


def _refused(place: int, reason: str) -> InvalidInputError:
    return InvalidInputError.of(f"line {place}", reason)
