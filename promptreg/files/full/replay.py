"""The replay of the events of one prompt: the state that they lead to.

Each event is checked by the rule of its verb (rules 1 to 15): what `lifecycle.py`, `publishing.py` and `statuses.py`
would refuse is refused here, and what they change is changed. Facts are kept as hashes, as there may be many prompts.
"""

from array import array
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

from promptreg.dump import EventEntry
from promptreg.jsonvalues import thaw
from promptreg.models import Grant
from promptreg.records import VersionRecord
from promptreg.rules.lifecycle import MAX_LABELS

DRAFT, FAILED, PUBLISHED, DISCARDED = b"dfpx"
STATES = {"draft": DRAFT, "failed": FAILED, "published": PUBLISHED}
MADE, BASE, GRANTS, CONTENT, LIVE_AT, FAILURE = range(6)
FACTS = 6  # of each version, at these places; its base is a number, or 0
ANY_REASONS = 0  # of a failure: the event of an earlier release has only their number


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


def described(grants: Iterable[Grant]) -> tuple[str, ...]:
    """Return grants as events have them."""
    return tuple(f"{grant.principal} {grant.permission}" for grant in grants)


def facts_of_version(version: VersionRecord) -> tuple[int, ...]:
    """Return the facts of a version, as hashes."""
    made = version.created_at, version.author, version.name
    failure = None if version.failure is None else tuple(version.failure)
    other = map(hash, (described(version.access_grants), version.snapshot.content_hash, version.published_at, failure))
    return hash(made), version.base_version or 0, *other


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
        self._stack: list[int] = []
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
            tuple(self._stack),
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

    def facts_of(self, number: int) -> "array[int]":
        """Return the facts of a version; a base that was discarded is none any more."""
        facts = self.versions[FACTS * (number - 1) : FACTS * number]
        if facts[BASE] and self.states[facts[BASE] - 1] == DISCARDED:
            facts[BASE] = 0
        return facts

    def _state(self, event: EventFields, allowed: Iterable[int]) -> int:
        """Return the state of the event's version, which must be one of these."""
        number = event.version or 0
        state = self.states[number - 1] if 0 < number <= len(self.states) else None
        if state is None or state not in allowed:
            raise Inconsistent("the version of the event is not there then, or not in a state that allows it")
        return state

    def _add_version(self, event: EventFields, details: Mapping[str, Any], base: int = 0) -> None:
        if event.version != len(self.states) + 1:
            raise Inconsistent("the versions of a prompt are numbered from 1 without a gap")
        self.states.append(DRAFT)
        made = event.at, event.actor, event.name
        content = hash(details["content_hash"])
        self.versions.extend((hash(made), base, hash(self._grants), content, hash(None), hash(None)))

    def _create(self, event: EventFields, details: Mapping[str, Any]) -> None:
        if self.states:
            raise Inconsistent("a prompt is created once")
        self._born = hash((event.at, event.actor))
        self._add_version(event, details)

    def _update(self, event: EventFields, details: Mapping[str, Any]) -> None:
        base = details["base"]
        if base > len(self.states) or self.states[base - 1] == DISCARDED:
            raise Inconsistent("the base of the update is not there then")
        self._add_version(event, details, base)
        if event.name != self._name:
            self.expected_name = event.name

    def _edit(self, event: EventFields, details: Mapping[str, Any]) -> None:
        self._state(event, (DRAFT, FAILED))
        self._set(event, DRAFT)
        self._note(event, CONTENT, hash(details["content_hash"]))

    def _check_failed(self, event: EventFields, details: Mapping[str, Any]) -> None:
        self._state(event, (DRAFT, FAILED))
        self._set(event, FAILED)
        self._note(event, FAILURE, hash(tuple(details["reasons"])) if "reasons" in details else ANY_REASONS)

    def _discard(self, event: EventFields, details: Mapping[str, Any]) -> None:
        self._state(event, (DRAFT, FAILED))
        if event.version in self._labels.values():
            raise Inconsistent("a version that is labelled is not discarded")
        self._set(event, DISCARDED)
        if not self.states.strip(bytes([DISCARDED])):
            raise Inconsistent("the only version of a prompt is not discarded")

    def _set(self, event: EventFields, state: int) -> None:
        self.states[(event.version or 0) - 1] = state
        self._note(event, FAILURE, hash(None))

    def _note(self, event: EventFields, fact: int, value: int) -> None:
        """Set a fact of the event's version."""
        self.versions[FACTS * ((event.version or 0) - 1) + fact] = value

    def _require_previous(self, details: Mapping[str, Any], number: int, event: EventFields) -> None:
        live = self._stack[-1] if self._stack else 0
        if details["previous"] != live or number == live:
            raise Inconsistent("what was live before the event is not what it says")

    def _publish(self, event: EventFields, details: Mapping[str, Any]) -> None:
        number = event.version or 0
        state = self._state(event, (DRAFT, FAILED, PUBLISHED))
        self._require_previous(details, number, event)
        self._stack.append(number)
        if state != PUBLISHED:
            self._set(event, PUBLISHED)
            self._note(event, LIVE_AT, hash(event.at))

    def _rollback(self, event: EventFields, details: Mapping[str, Any]) -> None:
        number = event.version or 0
        self._state(event, (PUBLISHED,))
        self._require_previous(details, number, event)
        depth = next((depth for depth in range(len(self._stack), 0, -1) if self._stack[depth - 1] == number), None)
        if depth is None:
            self._stack.append(number)
        else:
            del self._stack[depth:]

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
        self._note(event, GRANTS, hash(self._grants))

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
