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
from hashlib import sha256
from typing import Any

from promptreg.jsonvalues import canonical, digest, parse
from promptreg.models import Event
from promptreg.records import Change
from promptreg.storage.rows import damaged

GENESIS = "0" * 64

INSERT_EVENT = (
    "INSERT INTO events (seq, at, actor, action, namespace, prompt_id, version, commitment, prev, hash)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)


def append(connection: sqlite3.Connection, changes: Sequence[Change]) -> None:
    """Write the events of these changes at the end of the chain."""
    seq, prev = last_link(connection)
    events, details = [], []
    salts = _salts(sum(len(change.events) for change in changes))
    told: dict[int, str] = {}  # the details of each event, which many changes may share
    for change in changes:
        subject = change.subject
        name = subject.name
        for event in change.events:
            seq += 1
            text = told.get(id(event)) or told.setdefault(id(event), canonical(event.details))
            salt = next(salts)
            fields = (
                seq,
                change.at,
                event.actor,
                event.action,
                subject.namespace,
                subject.id,
                event.version,
                _commitment(salt, name, text),
            )
            link = digest([prev, *fields])
            events.append((*fields, prev, link))
            details.append((seq, salt, name, text))
            prev = link
    connection.executemany(INSERT_EVENT, events)
    connection.executemany("INSERT INTO event_details (seq, salt, name, details) VALUES (?, ?, ?, ?)", details)


def last_link(connection: sqlite3.Connection) -> tuple[int, str]:
    """Give the number and the hash of the last event, which stand for all before."""
    last = connection.execute("SELECT seq, hash FROM events ORDER BY seq DESC LIMIT 1").fetchone()
    return last or (0, GENESIS)


def link(connection: sqlite3.Connection, seq: int) -> tuple[int, str] | None:
    """Give the number and the hash of an event."""
    found: tuple[int, str] | None = connection.execute("SELECT seq, hash FROM events WHERE seq = ?", (seq,)).fetchone()
    return found or ((0, GENESIS) if seq == 0 else None)


def _salts(number: int) -> Iterator[str]:
    """Give that many random salts."""
    random = os.urandom(16 * number).hex()
    return (random[at : at + 32] for at in range(0, len(random), 32))


def commitment(salt: str, name: str, details: Any) -> str:
    """Give what an event row says of its details without telling them."""
    return _commitment(salt, name, canonical(details))


def _commitment(salt: str, name: str, details: str) -> str:
    return sha256(f"{salt}[{canonical(name)},{details}]".encode()).hexdigest()


def read_events(rows: Iterable[Sequence[Any]]) -> list[Event]:
    """Give events of rows (seq, at, actor, action, namespace, prompt_id, version, commitment, salt, name, details)."""
    return [_event(row) for row in rows]


def _event(row: Sequence[Any]) -> Event:
    seq, at, actor, action, namespace, prompt_id, version, committed, salt, name, text = row
    details = {} if text is None else parse(text)
    if salt is not None and commitment(salt, name, details) != committed:
        raise damaged("the event", seq)
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
