"""The record of who did what: an append-only chain of events, and their details beside it.

An event row holds fixed fields, `prev` (the hash of the row before) and
`hash = SHA256(canonical JSON of [prev, seq, at, actor, action, namespace, prompt_id, version, commitment])`.
What could tell content (the name, the details, with their content hashes) lies in `event_details`
with a random salt; the event holds only `commitment = SHA256(salt + canonical JSON of [name, details])`.
So deleting a prompt can clear its details, and the chain still holds.
"""

import os
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

from promptreg.jsonvalues import canonical, hashed, parse, quoted
from promptreg.models import Event
from promptreg.records import Change
from promptreg.storage.sqlite.batches import inserts
from promptreg.storage.sqlite.rows import damaged, require_whole

GENESIS = "0" * 64
UNKNOWN = (None, None)  # in a file of an earlier schema that can't be written

EVENT_COLUMNS = "seq", "at", "actor", "action", "namespace", "prompt_id", "version", "commitment", "prev", "hash"
DETAIL_COLUMNS = "seq", "salt", "name", "details"
COUNTED = 4_000  # events that a page of them is checked against, in about 1 ms

_INTO_EVENTS, _INTO_DETAILS = inserts("events", EVENT_COLUMNS), inserts("event_details", DETAIL_COLUMNS)


def append(connection: sqlite3.Connection, changes: Sequence[Change]) -> None:
    """Write the events of these changes at the end of the chain.

    Raise `StorageCorruptError` where the chain does not end with the event that the registry's row names.
    """
    last = last_link(connection)
    require_last(connection, last)
    events, details = _chained(changes, *last)
    _INTO_EVENTS.execute(connection, events)
    _INTO_DETAILS.execute(connection, details)


def _chained(changes: Sequence[Change], seq: int, prev: str) -> tuple[list[Any], list[Any]]:
    """Give the values of the rows of the events after the last one, and those of their details."""
    events: list[Any] = []
    details: list[Any] = []
    salts = _salts(sum(len(change.events) for change in changes))
    told: dict[tuple[int, str, str], tuple[str, str]] = {}  # of each event, which many changes may share
    for change in changes:
        subject = change.subject
        for event in change.events:
            seq += 1
            deed = change.at, event.actor, event.action, subject.namespace
            key = id(event), change.at, subject.namespace
            text, deed_text = told.get(key) or told.setdefault(key, (canonical(event.details), _deed_text(*deed)))
            salt = next(salts)
            committed = _commitment(salt, subject.name, text)
            link = _link(prev, seq, deed_text, subject.id, event.version, committed)
            events += seq, *deed, subject.id, event.version, committed, prev, link
            details += seq, salt, subject.name, text
            prev = link
    return events, details


def last_link(connection: sqlite3.Connection) -> tuple[int, str]:
    """Give the number and the hash of the last event, which stand for all before."""
    last = connection.execute("SELECT seq, hash FROM events ORDER BY seq DESC LIMIT 1").fetchone()
    return last or (0, GENESIS)


def require_last(connection: sqlite3.Connection, last: tuple[int, str]) -> None:
    """Raise `StorageCorruptError` unless this is the last event that was written."""
    written = connection.execute("SELECT last_event, last_hash FROM registry").fetchone()
    if written not in {last, UNKNOWN}:
        raise damaged("the record of events after event", last[0])


def require_complete(
    connection: sqlite3.Connection, about: str, value: str, *, after: int, last: int | None, listed: Sequence[int]
) -> None:
    """Raise `StorageCorruptError` where an event is missing among those above `after`, up to `last`.

    `last` None is the end of the record. `listed` are the numbers of the events there whose column `about` has that
    value. Others' events may lie between them, so only the last `COUNTED` numbers are looked at.
    """
    if last is None:
        last, link = last_link(connection)
        require_last(connection, (last, link))
    first = max(after, last - COUNTED)
    if first >= last:
        return
    count, mine = connection.execute(
        f"SELECT count(*), total({about} = ?) FROM events NOT INDEXED WHERE seq > ? AND seq <= ?", (value, first, last)
    ).fetchone()
    if (count, mine) != (last - first, sum(seq > first for seq in listed)):
        raise damaged("the record of events up to event", last)


def link(connection: sqlite3.Connection, seq: int) -> tuple[int, str] | None:
    """Give the number and the hash of an event."""
    found: tuple[int, str] | None = connection.execute("SELECT seq, hash FROM events WHERE seq = ?", (seq,)).fetchone()
    return found or ((0, GENESIS) if seq == 0 else None)


def _deed_text(at: str, actor: str | None, action: str, namespace: str) -> str:
    return f"{quoted(at)},{'null' if actor is None else quoted(actor)},{quoted(action)},{quoted(namespace)}"


def _link(prev: str, seq: int, deed: str, prompt_id: str, version: int | None, committed: str) -> str:
    """Give the hash of an event; `deed` is JSON already, and we write nothing else that JSON would escape."""
    number = "null" if version is None else version
    return hashed('["' + prev + f'",{seq},{deed},"' + prompt_id + f'",{number},"' + committed + '"]')


def _link_of(prev: str, seq: int, *fields: Any) -> str:
    """Give the hash of an event as it was read, whatever its columns hold."""
    *deed, prompt_id, version, committed = fields
    return _link(prev, seq, _deed_text(*deed), prompt_id, version, committed)


def _salts(number: int) -> Iterator[str]:
    """Give that many random salts."""
    random = os.urandom(16 * number).hex()
    return (random[at : at + 32] for at in range(0, len(random), 32))


def _commitment(salt: str, name: str, details: str) -> str:
    return hashed(salt + '["' + name + '",' + details + "]")


def read_events(rows: Iterable[Sequence[Any]]) -> list[Event]:
    """Return the events of rows of `EVENT_COLUMNS`, salt, name, details, whether the prompt was deleted, and the link.

    The link is the hash of the event before, which the chain continues.
    """
    return [_event(row) for row in rows]


def _event(row: Sequence[Any]) -> Event:
    seq, at, actor, action, namespace, prompt_id, version, committed, prev, stored, *rest = row
    salt, name, text, is_deleted, before = rest
    require_whole(stored, _link_of, (prev, *row[:8]), "the event", seq)
    if prev != (GENESIS if seq == 1 else before):
        raise damaged("the event", seq - 1)
    if not is_deleted or action == "delete" or (salt, name, text) != (None, None, None):
        require_whole(committed, _commitment, (salt, name, text), "the event", seq)
    details = {} if text is None else parse(text)
    return Event(
        seq=seq,
        at=datetime.fromisoformat(at),
        actor=actor,
        action=action,
        namespace=namespace,
        prompt_id=prompt_id,
        name=name,
        version=version,
        details=details,
    )
