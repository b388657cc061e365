"""The tables `events` and `event_details`: the record of who did what, which is only ever appended to.

How the events are chained by hashes is in `promptreg.storage.hashing`; which events a reader may see is in `reader.py`.
"""

import json
import sqlite3
from collections.abc import Sequence

from promptreg.records import Change, EventQuery, Link
from promptreg.storage.completeness import listed_range
from promptreg.storage.hashing import DETAIL_COLUMNS, EVENT_COLUMNS, GENESIS, chained, damaged
from promptreg.storage.sqlite.batches import inserts

UNKNOWN = (None, None)
"""What the registry's row holds of the last event in a file of an earlier schema that can't be written."""

COUNTED = 4_000  # events that a page is checked against, in about 1 ms

EVENT_FIELDS = ", ".join(
    [
        *(f"e.{column}" for column in EVENT_COLUMNS),
        "d.salt, d.name, d.details",
        "EXISTS (SELECT 1 FROM deletions WHERE deletions.prompt_id = e.prompt_id)",
    ]
)
"""What a statement selects of `events e LEFT JOIN event_details d` for `event_rows.read_event`."""
PRECEDING_HASH = "(SELECT hash FROM events AS before WHERE before.seq = e.seq - 1)"
"""The hash of the event before `events e`."""

_INTO_EVENTS, _INTO_DETAILS = inserts("events", EVENT_COLUMNS), inserts("event_details", DETAIL_COLUMNS)


def append(connection: sqlite3.Connection, changes: Sequence[Change]) -> Link | None:
    """Write the events of these changes at the end of the chain, and return the first one, if there is any.

    Raises `StorageCorruptError` where the chain does not end with the event that the registry's row names.
    """
    last = last_link(connection)
    require_last(connection, last)
    events, details = chained(changes, last)
    _INTO_EVENTS.execute(connection, events)
    _INTO_DETAILS.execute(connection, details)
    return (events[0][0], events[0][-1]) if events else None


def last_link(connection: sqlite3.Connection) -> tuple[int, str]:
    """Return the number and the hash of the last event; the hash covers all events before it."""
    last = connection.execute("SELECT seq, hash FROM events ORDER BY seq DESC LIMIT 1").fetchone()
    return last or (0, GENESIS)


def require_last(connection: sqlite3.Connection, last: tuple[int, str]) -> None:
    """Raise `StorageCorruptError` unless this is the last event that was written."""
    written = connection.execute("SELECT last_event, last_hash FROM registry").fetchone()
    if written not in {last, UNKNOWN}:
        raise damaged("the record of events after event", last[0])


def require_complete(
    connection: sqlite3.Connection, column: str, value: str, query: EventQuery, listed: Sequence[int]
) -> None:
    """Raise `StorageCorruptError` where an event is missing among those that a query has listed.

    `listed` are the numbers of the events with that value in the column, and with the actions of the query. As other
    events may lie between them, only the last `COUNTED` numbers are counted.
    """
    end = last_link(connection)
    above, last, reaches_end = listed_range(query, listed, end[0])
    if reaches_end:
        require_last(connection, end)
    first = max(above, last - COUNTED)
    if first >= last:
        return
    of_actions = "" if query.actions is None else " AND action IN (SELECT value FROM json_each(:actions))"
    count, matching = connection.execute(
        f"SELECT count(*), total({column} = :value{of_actions}) FROM events NOT INDEXED"
        " WHERE seq > :first AND seq <= :last",
        {"value": value, "actions": json.dumps(query.actions), "first": first, "last": last},
    ).fetchone()
    if (count, matching) != (last - first, sum(seq > first for seq in listed)):
        raise damaged("the record of events up to event", last)


def link(connection: sqlite3.Connection, seq: int) -> tuple[int, str] | None:
    """Return the number and the hash of an event, or None where it does not exist."""
    found: tuple[int, str] | None = connection.execute("SELECT seq, hash FROM events WHERE seq = ?", (seq,)).fetchone()
    return found or ((0, GENESIS) if seq == 0 else None)
