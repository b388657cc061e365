"""The tables `events` and `event_details`: the record of who did what, which is only ever appended to.

How the events are chained by hashes is in `promptreg.storage.hashing`; where the chain ends is in `event_chain.py`.
"""

import json
import sqlite3
from collections.abc import Sequence

from promptreg.models import Event
from promptreg.records import Change, EventQuery, Link
from promptreg.storage.event_rows import listed_range, read_event
from promptreg.storage.hashing import DETAIL_COLUMNS, EVENT_COLUMNS, chained, damaged
from promptreg.storage.sqlite.batches import inserts
from promptreg.storage.sqlite.event_chain import last_link, require_last
from promptreg.storage.sqlite.queries import MAX_INTEGER, READABLE, audience_values, bounded

COUNTED = 4_000  # events that a page is checked against, in about 1 ms

EVENT_FIELDS = ", ".join(
    [
        *(f"e.{column}" for column in EVENT_COLUMNS),
        "d.salt, d.name, d.details",
        "EXISTS (SELECT 1 FROM deletions WHERE deletions.prompt_id = e.prompt_id)",
    ]
)
"""What a statement selects of `events e LEFT JOIN event_details d` for `read_event`."""
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


def read_events(connection: sqlite3.Connection, query: EventQuery) -> list[Event]:
    """Return the events that match, by their numbers; of deleted prompts only to those who see all.

    Raises `StorageCorruptError` where an event is damaged, or missing among those of somebody who sees all.
    """
    column, value = ("namespace", query.namespace) if query.prompt_id is None else ("prompt_id", query.prompt_id)
    side, direction = ("<", "DESC") if query.newest_first else (">", "ASC")
    ends_at_newest = query.newest_first and not query.after
    of_actions = "" if query.actions is None else " AND e.action IN (SELECT value FROM json_each(:actions))"
    rows = connection.execute(
        f"SELECT {EVENT_FIELDS}, {PRECEDING_HASH} FROM events e"
        " LEFT JOIN event_details d ON d.seq = e.seq"
        f" WHERE e.{column} = :value AND e.seq {side} :after{of_actions}"
        f" AND (:sees_all OR EXISTS (SELECT 1 FROM prompts p WHERE p.id = e.prompt_id AND {READABLE}))"
        f" ORDER BY e.seq {direction} LIMIT :limit",
        {
            **audience_values(query.audience),
            "value": value,
            "after": MAX_INTEGER if ends_at_newest else bounded(query.after),
            "actions": json.dumps(query.actions),
            "limit": bounded(query.limit),
        },
    ).fetchall()
    events = [read_event(row, preceding) for *row, preceding in rows]
    if query.audience.sees_all:
        _require_complete(connection, column, value, query, [event.seq for event in events])
    return events


def _require_complete(
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
