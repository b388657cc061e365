"""Whether the entries of a full export fit together, and are what a registry could have written.

Prompts, versions and publications say what is; the events say how it came to be. So the events of each prompt are
replayed, and must lead to exactly what its prompt and versions hold: numbers, states, names, authors, times,
hashes, publications, labels, grants and status. A prompt without events, or an event that no verb could have made, is
refused.

Of each prompt a few hashes are kept in memory, about 200 bytes; what must come out of its events, and they themselves,
wait in temporary files (`spool.py`), and are compared when all are there.
"""

from array import array
from collections.abc import Iterator

from promptreg.dump import Counts, DeletionEntry, Entry, EventEntry, PromptEntry
from promptreg.errors import InvalidInputError
from promptreg.files.full.expected import Expectation, ExpectedState
from promptreg.files.full.replay import EventFields, Inconsistent, Replay
from promptreg.files.full.spool import Record, Spool
from promptreg.jsonvalues import canonical
from promptreg.records import VersionRecord
from promptreg.storage.hashing import GENESIS, commitment_of, link_of


class History:
    """The entries so far, which `add` takes one after the other; `place` is where an entry stands, for errors."""

    def __init__(self) -> None:
        self._spool = Spool()
        self._order = array("q")  # hashes of the ids of prompts
        self._ids: set[int] = set()  # the same
        self._names: set[int] = set()  # hashes of namespaces and names
        self._created = 0  # of the prompts that are there, in their order
        self._deleted: set[int] = set()  # hashes of ids
        self._deletions = array("q")  # hashes of ids and times, in the order of the events
        self._going: dict[str, str] = {}  # namespaces of prompts whose deletion is still to come, by id
        self._open: tuple[int, Expectation] | None = None
        self._kinds = [0, 0, 0, 0]
        self.last_hash = GENESIS

    @property
    def counts(self) -> Counts:
        """How many entries there were."""
        return Counts(*self._kinds)

    def add(self, place: int, entry: Entry) -> None:
        """Check the next entry; raise `InvalidInputError` with its place."""
        try:
            self._add(place, entry)
        except Inconsistent as error:
            raise _refused(place, str(error)) from None

    def finish(self, place: int) -> None:
        """Check that nothing is missing after the last entry."""
        try:
            self._close_prompt()
            self._require_replayed()
            if self._kinds[3] != len(self._deletions):
                raise Inconsistent("a deletion is missing that an event records")
        except Inconsistent as error:
            raise _refused(place, str(error)) from None

    def close(self) -> None:
        """Remove the temporary files."""
        self._spool.close()

    def _add(self, place: int, entry: Entry) -> None:
        if isinstance(entry, VersionRecord):
            self._add_version(entry)
            return
        self._close_prompt()
        if isinstance(entry, PromptEntry):
            self._add_prompt(place, entry)
        elif isinstance(entry, EventEntry):
            self._add_event(place, entry)
        else:
            self._add_deletion(entry)

    def _require_before(self, kind: int) -> None:
        if any(self._kinds[kind + 1 :]):
            raise Inconsistent("it must come before: prompts with their versions, then events, then deletions")

    def _add_prompt(self, place: int, entry: PromptEntry) -> None:
        self._require_before(1)
        container = entry.container
        if hash(container.id) in self._ids:
            raise Inconsistent("there is a prompt with this id already")
        name = hash((container.namespace, container.name))
        if name in self._names:
            raise Inconsistent("there is a prompt with this name in its namespace already")
        self._names.add(name)
        self._ids.add(hash(container.id))
        self._order.append(hash(container.id))
        self._open = place, Expectation(entry)
        self._kinds[0] += 1

    def _add_version(self, version: VersionRecord) -> None:
        if self._open is None:
            raise Inconsistent("a version must follow its prompt, or another version of it")
        self._open[1].add(version)
        self._kinds[1] += 1

    def _close_prompt(self) -> None:
        """Note what must come out of the events of the prompt whose versions are complete."""
        if self._open is None:
            return
        place, expectation = self._open
        self._open = None
        prompt_id = expectation.entry.container.id
        try:
            expected = expectation.state()
        except Inconsistent as error:
            raise _refused(place, str(error)) from None
        self._spool.put(prompt_id, (place, prompt_id, *expected.packed()))

    def _add_event(self, place: int, event: EventEntry) -> None:
        self._require_before(2)
        self._require_chained(event)
        self._kinds[2] += 1
        if hash(event.prompt_id) not in self._ids:
            self._add_event_of_deleted(event)
            return
        if event.details is None:
            raise Inconsistent("an event of a prompt that is there has its salt, name and details")
        if event.action == "create":
            self._require_in_order(event.prompt_id)
        self._spool.put(event.prompt_id, (place, event.prompt_id, *EventFields.of(event)))

    def _require_in_order(self, prompt_id: str) -> None:
        if self._created == len(self._order) or self._order[self._created] != hash(prompt_id):
            raise Inconsistent("the prompts must come in the order in which they were created, each once")
        self._created += 1

    def _require_chained(self, event: EventEntry) -> None:
        if event.seq != self._kinds[2] + 1:
            raise Inconsistent("the events must be numbered from 1 without a gap")
        fields = event.at, event.actor, event.action, event.namespace, event.prompt_id, event.version
        if link_of(self.last_hash, event.seq, *fields, event.commitment) != event.hash:
            raise Inconsistent("its hash is not that of the event, or does not continue the one before")
        self.last_hash = event.hash
        if event.salt is None or event.name is None:
            return
        if commitment_of(event.salt, event.name, canonical(event.details)) != event.commitment:
            raise Inconsistent("its name and details are not those that its commitment is of")

    def _add_event_of_deleted(self, event: EventEntry) -> None:
        """Check an event of a prompt that is not there; nothing but its deletion has a name and details."""
        id_ = event.prompt_id
        if hash(id_) in self._deleted:
            raise Inconsistent("nothing can happen to a prompt after its deletion")
        if (event.action == "create") == (id_ in self._going):
            raise Inconsistent("a prompt is created once, before anything else happens to it")
        if self._going.setdefault(id_, event.namespace) != event.namespace:
            raise Inconsistent("a prompt never leaves its namespace")
        if event.action == "delete":
            if event.details is None or event.details["previous"] == "archived" or event.version is not None:
                raise Inconsistent(
                    "a deletion has its salt, name and details, and is of no version and no archived prompt"
                )
            del self._going[id_]
            self._deleted.add(hash(id_))
            self._deletions.append(hash((id_, event.at)))
        elif event.details is not None:
            raise Inconsistent("an event of a deleted prompt has no salt, name and details")

    def _add_deletion(self, entry: DeletionEntry) -> None:
        if self._kinds[3] == 0:
            self._require_replayed()
        at = self._kinds[3]
        if at == len(self._deletions) or self._deletions[at] != hash((entry.prompt_id, entry.at)):
            raise Inconsistent("the deletions must be those of the events, with their times and in their order")
        self._kinds[3] += 1

    def _require_replayed(self) -> None:
        """Check that the events lead to what there is."""
        if self._going:
            raise Inconsistent("a prompt is missing of which there are events, and none of its deletion")
        if self._kinds[3] == 0:
            for part in self._spool.parts():
                _require_replayed(part)


def _require_replayed(records: Iterator[Record]) -> None:
    """Check that the events of these prompts lead to what there is; a prompt comes before its events."""
    prompts: dict[str, tuple[int, ExpectedState]] = {}
    replays: dict[str, Replay] = {}
    for place, id_, *fields in records:
        if id_ not in prompts:
            prompts[id_] = place, ExpectedState.unpacked(*fields)
            continue
        try:
            replays.setdefault(id_, Replay()).apply(EventFields(*fields))
        except Inconsistent as error:
            raise _refused(place, str(error)) from None
    for id_, (place, expected) in prompts.items():
        reason = expected.difference(replays[id_]) if id_ in replays else "there is no event of the prompt"
        if reason:
            raise _refused(place, reason)


def _refused(place: int, reason: str) -> InvalidInputError:
    return InvalidInputError.of(f"line {place}", reason)
