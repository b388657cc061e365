"""Making a call once (`Registry.once`): what is remembered of its outcome, and the outcome that a repeat returns.

What identifies a call, and who may repeat it, is in `rules/operations.py`; when this is asked is in `committing.py`.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from promptreg.lookup import find_readable, load_shown, load_version
from promptreg.models import Event
from promptreg.records import Audience, Container, EventQuery, Operation, VersionRecord
from promptreg.rules.access import View
from promptreg.rules.names import Reference
from promptreg.rules.operations import (
    Call,
    Entry,
    UnknownCommit,
    decoded,
    encoded,
    entry_of,
    gone,
    in_order,
    require_allowed,
    unknown_commit,
)
from promptreg.rules.outcomes import Outcome, Outcomes
from promptreg.rules.statuses import StatusPlan
from promptreg.storage.base import Reader

EVERYBODY = Audience(sees_all=True)
MAX_EVENTS = 10**9  # of one query, which is no limit
PAGE = 10_000  # events read at a time


class Remembered(NamedTuple):
    """A prompt of a call that was made before: how the call names it, what was remembered, and what it is now."""

    reference: Reference
    entry: Entry
    container: Container | None


class Once:
    """One call that is to be made once: in this view, which has its operation id, at this time."""

    def __init__(self, view: View, operation_id: str, call: Call, now: str) -> None:
        self._view, self._call, self._now = view, call, now
        self._key = call.key(view, operation_id)
        self._commit = unknown_commit(operation_id)

    def recalled(self, reader: Reader) -> Any | None:
        """Return the outcome of the call if it was made before, as things are now; None where it was not.

        Raises `NotFoundError` where a prompt or version has gone since, and `ForbiddenError` (rules 17 and 18).
        """
        entries = self._entries(reader)
        if entries is None:
            return None
        readable = find_readable(reader, self._view, [Reference(entry.prompt_id, is_id=True) for _, entry in entries])
        require_allowed(self._view, entries, readable)
        found = [Remembered(*pair, container) for pair, container in zip(entries, readable, strict=True)]
        return _SHAPES.get(self._call.verb, _ONE).answer(reader, self._view, found)

    def operation(self, done: Any) -> Operation:
        """Return what is to be remembered of an outcome."""
        named = _SHAPES.get(self._call.verb, _ONE).entries(self._call, done)
        entries = [named[reference.text] for reference in in_order(self._call.references)]
        return Operation(self._key, self._now, encoded(entries))

    def _entries(self, reader: Reader) -> list[tuple[Reference, Entry]] | None:
        """Return what is known of each prompt, in the order of the call; None where the call was not made before."""
        stored = reader.operation(self._key, self._now)
        references = self._call.references
        if stored is not None:
            named = dict(zip(in_order(references), decoded(stored), strict=True))
            return [(reference, named[reference]) for reference in references]
        commit = self._commit
        if commit is None or commit.call != self._call.hash(self._view) or not reader.has_event(commit.first):
            return None
        return list(_entries_of_commit(reader, self._view, self._call, commit))


def _entries_of_commit(
    reader: Reader, view: View, call: Call, commit: UnknownCommit
) -> Iterator[tuple[Reference, Entry]]:
    """Yield what the events of a commit say of each prompt, and of others that the call had left as they were."""
    query = EventQuery(view.namespace, EVERYBODY, commit.events, after=commit.first[0] - 1)
    events: dict[str, list[Event]] = {}
    for event in reader.events(query):
        events.setdefault(event.prompt_id, []).append(event)
    written = {
        key: entry_of(call, prompt_id, _last_version(own), own)
        for prompt_id, own in events.items()
        for key in (prompt_id, *(event.name for event in own if event.name is not None))
    }
    others = [reference for reference in call.references if reference.text not in written]
    if len(call.references) == 1 == len(events):  # also where it was renamed, or its name is gone
        (written[call.references[0].text],) = set(written.values())
        others = []
    readable = find_readable(reader, view, others)
    renamed = _named_since(reader, view, commit) if others else frozenset()
    absent = [
        reference.text
        for reference, container in zip(others, readable, strict=True)
        if container is None or (container.id in renamed and not reference.is_id)
    ]
    if absent:
        raise gone(absent)
    left = {c.id: entry_of(call, c.id, c.shown_version, ()) for c in readable if c is not None}
    named = {ref.text: left[c.id] for ref, c in zip(others, readable, strict=True) if c is not None}
    yield from ((reference, {**named, **written}[reference.text]) for reference in call.references)


def _named_since(reader: Reader, view: View, commit: UnknownCommit) -> frozenset[str]:
    """Return the ids of prompts whose name has another meaning now: those made or renamed after the commit."""
    last = commit.first[0] + commit.events - 1
    query = EventQuery(view.namespace, EVERYBODY, MAX_EVENTS, after=last, actions=("create", "rename"))
    return frozenset(event.prompt_id for event in reader.events(query))


def _last_version(events: Sequence[Event]) -> int | None:
    return next((event.version for event in reversed(events) if event.version is not None), None)


# What is remembered of an outcome, by the ids and the names of its prompts


def _entries_of_outcomes(call: Call, outcomes: Iterable[Outcome]) -> Mapping[str, Entry]:
    entries = {}
    for outcome in outcomes:
        events = () if outcome.change is None else outcome.change.events
        entry = entry_of(call, outcome.container.id, outcome.version.number, events)
        entries[outcome.container.id] = entries[outcome.named.name] = entry
    return entries


def _entries_of_statuses(call: Call, done: StatusPlan) -> Mapping[str, Entry]:
    events = {change.subject.id: change.events for change in done.changes}
    entries = {}
    for container in done.containers:
        entry = entry_of(call, container.id, None, events.get(container.id, ()))
        entries[container.id] = entries[container.name] = entry
    return entries


def _entries_of_import(call: Call, done: Outcomes) -> Mapping[str, Entry]:
    return {change.subject.name: entry_of(call, change.subject.id, None, change.events) for change in done.changes}


# What a repeat returns


def _answer_of_one(reader: Reader, _: View, found: Sequence[Remembered]) -> Outcome:
    return _outcome(reader, found[0])


def _answer_of_many(reader: Reader, _: View, found: Sequence[Remembered]) -> Outcomes:
    distinct = {remembered.entry.prompt_id: remembered for remembered in found}
    return Outcomes(tuple(_outcome(reader, remembered) for remembered in distinct.values()))


def _outcome(reader: Reader, remembered: Remembered) -> Outcome:
    reference, entry, container = remembered
    if container is None:
        raise gone([reference.text])
    version: VersionRecord = (
        load_shown(reader, container) if entry.version is None else load_version(reader, container, entry.version)
    )
    return Outcome(container, version)


def _answer_of_statuses(reader: Reader, view: View, found: Sequence[Remembered]) -> StatusPlan:
    distinct = {remembered.entry.prompt_id: remembered for remembered in reversed(found)}
    ordered = [remembered for remembered in found if distinct[remembered.entry.prompt_id] is remembered]
    names = _names(reader, view, ordered)
    updated = tuple(names[each.entry.prompt_id] for each in ordered if each.entry.actions != ("read",))
    skipped = tuple(names[each.entry.prompt_id] for each in ordered if each.entry.actions == ("read",))
    return StatusPlan((), updated, skipped)


def _names(reader: Reader, view: View, found: Sequence[Remembered]) -> Mapping[str, str]:
    """Return by id the names that the call has returned: of a prompt named by id that of now, or of its deletion."""
    names = {}
    deleted = set()
    for reference, entry, container in found:
        if reference.is_id and container is None:
            deleted.add(entry.prompt_id)
        else:
            names[entry.prompt_id] = container.name if reference.is_id and container else reference.text
    deletions = EventQuery(view.namespace, EVERYBODY, PAGE, newest_first=True, actions=("delete",))
    while not deleted <= names.keys():
        events = reader.events(deletions)
        names |= {event.prompt_id: event.name or "" for event in events if event.prompt_id in deleted}
        deletions = deletions._replace(after=events[-1].seq)
    return names


def _answer_of_import(_: Reader, __: View, found: Sequence[Remembered]) -> Outcomes:
    return Outcomes(())


class _Shape(NamedTuple):
    """What the outcomes of a verb are like: how they are remembered, and returned again."""

    entries: Callable[[Call, Any], Mapping[str, Entry]]
    answer: Callable[[Reader, View, Sequence[Remembered]], Any]


_ONE = _Shape(lambda call, done: _entries_of_outcomes(call, [done]), _answer_of_one)
_MANY = _Shape(lambda call, done: _entries_of_outcomes(call, done.outcomes), _answer_of_many)
_STATUSES = _Shape(_entries_of_statuses, _answer_of_statuses)
_IMPORT = _Shape(_entries_of_import, _answer_of_import)
_SHAPES: Mapping[str, _Shape] = {
    **dict.fromkeys(("publish_all", "rollback_all"), _MANY),
    **dict.fromkeys(("set_status", "delete"), _STATUSES),
    "import": _IMPORT,
}
