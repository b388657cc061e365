"""The replay of the events of one prompt, and the state that they must lead to.

Each event is checked by the rule of its verb (rules 1 to 15): what `lifecycle.py`, `publishing.py` and `statuses.py`
would refuse is refused here, and what they change is changed. Facts are kept as hashes, as there may be many prompts.
"""

from array import array
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from promptreg.entries import EventEntry, PromptEntry
from promptreg.jsonvalues import thaw
from promptreg.models import Grant
from promptreg.records import Container, VersionRecord
from promptreg.rules.lifecycle import MAX_LABELS

DRAFT, FAILED, PUBLISHED, DISCARDED = b"dfpx"
_STATES = {"draft": DRAFT, "failed": FAILED, "published": PUBLISHED}
FACTS = 3  # of each version: how it was made, its content, when it first went live


class Inconsistent(Exception):
    """What an entry says can't be, given those before it."""


class EventFields(NamedTuple):
    """What is needed of an event, all of builtin types."""

    at: str
    actor: str | None
    action: str
    namespace: str
    version: int | None
    name: str | None
    details: Mapping[str, Any]

    @classmethod
    def of(cls, event: EventEntry) -> "EventFields":
        """Return what is needed of an event that has its details."""
        details = thaw(event.details)
        return cls(event.at, event.actor, event.action, event.namespace, event.version, event.name, details)


class ExpectedState(NamedTuple):
    """What the events of a prompt must lead to: its facts, those in `NAMES`, the states of its versions, their facts.

    There is a state for each number, and as many facts as `FACTS` for each version that is there.
    """

    facts: "array[int]"
    states: bytes
    versions: "array[int]"

    @classmethod
    def of(cls, entry: PromptEntry, versions: Sequence[VersionRecord]) -> "ExpectedState":
        """Return what a prompt and its versions say; raise `Inconsistent` where they contradict each other."""
        container = entry.container
        numbers = {version.number for version in versions}
        if not numbers or not container.latest_version == max(numbers) <= container.last_version <= MAX_LAST:
            raise Inconsistent("its numbers are not those of its versions")
        states = bytearray([DISCARDED]) * container.last_version
        facts = array("q")
        for version in versions:
            _require_consistent(version, numbers)
            states[version.number - 1] = _STATES[version.state]
            facts.extend(_facts_of_version(version))
        _require_pointers(container, entry.publications, states)
        return cls(array("q", map(hash, _facts_of_prompt(container, entry.publications))), bytes(states), facts)

    def packed(self) -> tuple[bytes, ...]:
        """Return the same as bytes."""
        return self.facts.tobytes(), self.states, self.versions.tobytes()

    @classmethod
    def unpacked(cls, facts: bytes, states: bytes, versions: bytes) -> "ExpectedState":
        """Return what `packed` was called on."""
        return cls(array("q", facts), states, array("q", versions))

    def difference(self, replay: "Replay") -> str | None:
        """Return what the events don't lead to; None where they lead to all of it."""
        for name, said, replayed in zip(NAMES, self.facts, map(hash, replay.facts()), strict=True):
            if said != replayed:
                return f"the {name} of the prompt is not what its events lead to"
        if replay.expected_name is not None:
            return "an event has another name than the prompt has then"
        at = 0
        for number, (state, replayed) in enumerate(zip(self.states, replay.states, strict=True), 1):
            own = replay.versions[FACTS * (number - 1) : FACTS * number]
            if state != replayed or (state != DISCARDED and own != self.versions[at : at + FACTS]):
                return f"version {number} of the prompt is not what its events lead to"
            at += FACTS * (state != DISCARDED)
        return None


MAX_LAST = 10_000_000  # versions of a prompt, of which each takes some bytes until the end
NAMES = (
    "name", "creation", "last change", "status", "highest version number", "stack of publications", "set of labels",
    "list of grants",
)  # fmt: skip
"""The facts of a prompt, as messages name them, in the order of `_facts_of_prompt` and `Replay.facts`."""


def _facts_of_prompt(container: Container, publications: Sequence[int]) -> Iterable[Any]:
    return (
        (container.namespace, container.name),
        (container.created_at, container.created_by),
        container.updated_at,
        (container.is_archived, container.is_disabled),
        container.last_version,
        tuple(publications),
        frozenset(container.labels.items()),
        tuple(_described(container.access_grants)),
    )


def _described(grants: Iterable[Grant]) -> Iterable[str]:
    return (f"{grant.principal} {grant.permission}" for grant in grants)


def _facts_of_version(version: VersionRecord) -> Iterable[int]:
    made = version.created_at, version.author, version.name
    return hash(made), hash(version.snapshot.content_hash), hash(version.published_at)


def _require_consistent(version: VersionRecord, numbers: set[int]) -> None:
    if (version.state == "published") != (version.published_at is not None):
        raise Inconsistent(
            f"version {version.number} must have a time of publication if it is published, and only then"
        )
    if (version.state == "failed") != (version.failure is not None):
        raise Inconsistent(f"version {version.number} must have the reasons if it failed, and only then")
    if version.base_version is not None and version.base_version not in numbers - {version.number}:
        raise Inconsistent(f"the base of version {version.number} is no other version of the prompt")


def _require_pointers(container: Container, publications: Sequence[int], states: bytearray) -> None:
    """Check that what the prompt refers to exists."""

    def state(number: int) -> int:
        return states[number - 1] if number <= len(states) else DISCARDED

    if any(state(number) != PUBLISHED for number in publications):
        raise Inconsistent("its publications must be of versions that are published")
    if container.production_version != (publications[-1] if publications else None):
        raise Inconsistent("its production version must be the last of its publications")
    if any(state(number) == DISCARDED for number in container.labels.values()):
        raise Inconsistent("a label is of a version that is not there")
    seed = container.seed
    if seed is not None and seed.version is not None and state(seed.version) != PUBLISHED:
        raise Inconsistent("what was last seeded is of a version that is not published")
    if seed is not None and seed.draft is not None and seed.draft > len(states):
        raise Inconsistent("what was last seeded is of a draft that never was")
    if any(base.version > len(states) for base in (container.synced or {}).values()):
        raise Inconsistent("what was last synchronised is of a version that never was")


class Replay:
    """What the events of a prompt have led to so far."""

    __slots__ = (
        "_born", "_grants", "_is_archived", "_is_disabled", "_labels", "_name", "_namespace", "_stack", "_updated",
        "expected_name", "states", "versions",
    )  # fmt: skip

    def __init__(self) -> None:
        self._namespace: str | None = None
        self._name: str | None = None
        self._born = self._updated = 0
        self._is_archived = self._is_disabled = False
        self._stack: tuple[int, ...] = ()
        self._labels: Mapping[str, int] = {}
        self._grants: tuple[str, ...] = ()
        self.expected_name: str | None = None  # that a rename must follow, as an update came with a new one
        self.states = bytearray()
        self.versions = array("q")

    def facts(self) -> Iterable[Any]:
        """Return the facts of the prompt."""
        return (
            (self._namespace, self._name),
            _Hashed(self._born),
            _Hashed(self._updated),
            (self._is_archived, self._is_disabled),
            len(self.states),
            self._stack,
            frozenset(self._labels.items()),
            self._grants,
        )

    def apply(self, event: EventFields) -> None:
        """Change what the event changes; raise `Inconsistent` where no verb could have made it."""
        if not self.states and event.action == "create":
            self._namespace, self._name = event.namespace, event.name
        if event.namespace != self._namespace:
            raise Inconsistent("a prompt is created before anything else happens to it, and never leaves its namespace")
        if self.expected_name is not None and event.action != "rename":
            raise Inconsistent("after an update with another name the prompt is renamed")
        if event.name != self._name and event.action not in {"update", "rename"}:
            raise Inconsistent("it must have the name that the prompt has then")
        if self._is_archived and event.action != "restore":
            raise Inconsistent("nothing of an archived prompt changes before it is restored")
        _APPLY[event.action](self, event, event.details or {})
        self._updated = hash(event.at)

    def _state(self, event: EventFields, allowed: Iterable[int]) -> int:
        """Return the state of the event's version, which must be one of these."""
        number = event.version or 0
        state = self.states[number - 1] if 0 < number <= len(self.states) else None
        if state is None or state not in allowed:
            raise Inconsistent("the version of the event is not there then, or not in a state that allows it")
        return state

    def _add_version(self, event: EventFields, details: Mapping[str, Any]) -> None:
        if event.version != len(self.states) + 1:
            raise Inconsistent("the versions of a prompt are numbered from 1 without a gap")
        self.states.append(DRAFT)
        made = event.at, event.actor, event.name
        self.versions.extend((hash(made), hash(details["content_hash"]), hash(None)))

    def _create(self, event: EventFields, details: Mapping[str, Any]) -> None:
        if self.states:
            raise Inconsistent("a prompt is created once")
        self._born = hash((event.at, event.actor))
        self._add_version(event, details)

    def _update(self, event: EventFields, details: Mapping[str, Any]) -> None:
        base = details["base"]
        if base > len(self.states) or self.states[base - 1] == DISCARDED:
            raise Inconsistent("the base of the update is not there then")
        self._add_version(event, details)
        if event.name != self._name:
            self.expected_name = event.name

    def _edit(self, event: EventFields, details: Mapping[str, Any]) -> None:
        self._state(event, (DRAFT, FAILED))
        self._set(event, DRAFT)
        self.versions[FACTS * (event.version or 0) - 2] = hash(details["content_hash"])

    def _check_failed(self, event: EventFields, details: Mapping[str, Any]) -> None:
        self._state(event, (DRAFT, FAILED))
        self._set(event, FAILED)

    def _discard(self, event: EventFields, details: Mapping[str, Any]) -> None:
        self._state(event, (DRAFT, FAILED))
        if event.version in self._labels.values():
            raise Inconsistent("a version that is labelled is not discarded")
        self._set(event, DISCARDED)
        if not self.states.strip(bytes([DISCARDED])):
            raise Inconsistent("the only version of a prompt is not discarded")

    def _set(self, event: EventFields, state: int) -> None:
        self.states[(event.version or 0) - 1] = state

    def _require_previous(self, details: Mapping[str, Any], number: int, event: EventFields) -> None:
        live = self._stack[-1] if self._stack else 0
        if details["previous"] != live or number == live:
            raise Inconsistent("what was live before the event is not what it says")

    def _publish(self, event: EventFields, details: Mapping[str, Any]) -> None:
        number = event.version or 0
        state = self._state(event, (DRAFT, FAILED, PUBLISHED))
        self._require_previous(details, number, event)
        self._stack = *self._stack, number
        if state != PUBLISHED:
            self._set(event, PUBLISHED)
            self.versions[FACTS * number - 1] = hash(event.at)

    def _rollback(self, event: EventFields, details: Mapping[str, Any]) -> None:
        number = event.version or 0
        self._state(event, (PUBLISHED,))
        self._require_previous(details, number, event)
        depths = [depth for depth, at in enumerate(self._stack, 1) if at == number]
        self._stack = self._stack[: depths[-1]] if depths else (*self._stack, number)

    def _set_label(self, event: EventFields, details: Mapping[str, Any]) -> None:
        label, number = details["label"], event.version
        self._state(event, (DRAFT, FAILED, PUBLISHED))
        if details["previous"] != self._labels.get(label, 0) or details["previous"] == number:
            raise Inconsistent("the label was not where the event says")
        self._labels = {**self._labels, label: number or 0}
        if len(self._labels) > MAX_LABELS:
            raise Inconsistent(f"a prompt has at most {MAX_LABELS:,} labels")

    def _remove_label(self, event: EventFields, details: Mapping[str, Any]) -> None:
        number = self._labels.get(details["label"])
        if number is None or (number, number) != (event.version, details["previous"]):
            raise Inconsistent("the label was not where the event says")
        self._labels = {label: at for label, at in self._labels.items() if label != details["label"]}

    def _rename(self, event: EventFields, details: Mapping[str, Any]) -> None:
        if (details["previous"], details["to"], self.expected_name) != (self._name, event.name, event.name):
            raise Inconsistent("a prompt is renamed by an update, from the name that it has to that of the event")
        self._require_newest(event)
        self._name, self.expected_name = event.name, None

    def _require_newest(self, event: EventFields) -> None:
        if event.version != len(self.states):
            raise Inconsistent("the event is of the version that the change has made")

    def _grant(self, event: EventFields, details: Mapping[str, Any]) -> None:
        self._require_newest(event)
        self._grants = tuple(details["grants"])

    def _change_status(self, event: EventFields, details: Mapping[str, Any]) -> None:
        if event.version is not None:
            raise Inconsistent("a change of the status is of no version")
        action = event.action
        status = "archived" if self._is_archived else "disabled" if self._is_disabled else "active"
        if details["previous"] != status or status not in _ALLOWED_STATUSES[action]:
            raise Inconsistent("the prompt has not the status then from which it is changed")
        self._is_archived = action == "archive"
        if action in {"disable", "enable"}:
            self._is_disabled = action == "disable"


class _Hashed(NamedTuple):
    """A hash that stands for what it is of."""

    value: int

    def __hash__(self) -> int:
        return self.value


_ALLOWED_STATUSES = {
    "disable": {"active"},
    "enable": {"disabled"},
    "archive": {"active", "disabled"},
    "restore": {"archived"},
}


def _refuse_deletion(replay: Replay, event: EventFields, details: Mapping[str, Any]) -> None:
    raise Inconsistent("the prompt was deleted, and is there")


_APPLY: Mapping[str, Callable[[Replay, EventFields, Mapping[str, Any]], None]] = {
    "create": Replay._create,
    "update": Replay._update,
    "edit": Replay._edit,
    "check_failed": Replay._check_failed,
    "discard": Replay._discard,
    "publish": Replay._publish,
    "rollback": Replay._rollback,
    "set_label": Replay._set_label,
    "remove_label": Replay._remove_label,
    "rename": Replay._rename,
    "grant": Replay._grant,
    **dict.fromkeys(("disable", "enable", "archive", "restore"), Replay._change_status),
    "delete": _refuse_deletion,
}
