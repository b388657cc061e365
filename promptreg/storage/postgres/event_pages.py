"""Reading the record of events, a page at a time; `writer.py` appends to it.

How events are chained by hashes is in `promptreg/storage/hashing.py`. A page of somebody who sees all is checked to be
complete, which takes a second round trip; what is counted there is what the index of primary keys holds.
"""

from collections.abc import Callable, Sequence

from promptreg.models import Event
from promptreg.records import EventQuery, Link
from promptreg.storage.event_rows import listed_range, read_event
from promptreg.storage.hashing import EVENT_COLUMNS, GENESIS, damaged
from promptreg.storage.postgres.audiences import ARE_DAMAGED, audience_values, readable_or_damaged
from promptreg.storage.postgres.selecting import MAX_INTEGER, bounded
from promptreg.storage.postgres.statements import Row, Statement

Run = Callable[..., list[list[Row]]]

COUNTED = 4_000  # events that a page is checked against, in about 1 ms

EVENT_FIELDS = ", ".join(
    [
        *(f"e.{column}" for column in EVENT_COLUMNS),
        "d.salt, d.name, d.details",
        "(SELECT x.prompt_id FROM $.deletions x WHERE x.prompt_id = e.prompt_id) IS NOT NULL",
    ]
)
"""What a statement selects of `$.events e LEFT JOIN $.event_details d` for `read_event`."""
PRECEDING_HASH = "(SELECT hash FROM $.events before WHERE before.seq = e.seq - 1)"
"""The hash of the event before `$.events e`."""
LAST_LINK = Statement("SELECT seq, hash FROM $.events ORDER BY seq DESC LIMIT 1")
WRITTEN_LINK = Statement("SELECT last_event, last_hash FROM $.registry")
"""The number and the hash of the last event: that there is, and that was written."""


def read_events(run: Run, query: EventQuery) -> list[Event]:
    """Return the events that match, by their numbers; of deleted prompts only to those who see all.

    Raises `StorageCorruptError` where an event is damaged, or missing among those of somebody who sees all.
    """
    rows, last, written = run(_page(query), LAST_LINK, WRITTEN_LINK)
    if any(is_hidden for *_, is_hidden in rows):
        raise damaged("the grants of a prompt of", query.namespace)
    events = [read_event(row, preceding) for *row, preceding, _ in rows]
    if query.audience.sees_all:
        _require_complete(run, query, [event.seq for event in events], last, written)
    return events


def read_last_link(last: Sequence[Row], written: Sequence[Row]) -> Link:
    """Return the number and the hash of the last event; raise `StorageCorruptError` unless it is the last written."""
    link: Link = last[0] if last else (0, GENESIS)
    if written != [link]:
        raise damaged("the record of events after event", link[0])
    return link


def _page(query: EventQuery) -> Statement:
    side, direction = ("<", "DESC") if query.newest_first else (">", "ASC")
    ends_at_newest = query.newest_first and not query.after
    join, condition, is_hidden = "", "TRUE", "FALSE"
    if not query.audience.sees_all:
        join = " JOIN $.prompts p ON p.id = e.prompt_id"
        condition, is_hidden = readable_or_damaged(query.audience), ARE_DAMAGED
    return Statement(
        f"SELECT {EVENT_FIELDS}, {PRECEDING_HASH}, {is_hidden} FROM $.events e"
        f" LEFT JOIN $.event_details d ON d.seq = e.seq{join}"
        f" WHERE {_of(query)} AND e.seq {side} %(after)s AND {condition} ORDER BY e.seq {direction} LIMIT %(limit)s",
        {
            **audience_values(query.audience),
            **_values(query),
            "after": MAX_INTEGER if ends_at_newest else bounded(query.after),
            "limit": bounded(query.limit),
        },
    )


def _of(query: EventQuery) -> str:
    column = "namespace" if query.prompt_id is None else "prompt_id"
    return f"e.{column} = %(value)s" + ("" if query.actions is None else " AND e.action = ANY(%(actions)s::text[])")


def _values(query: EventQuery) -> dict[str, object]:
    value = query.namespace if query.prompt_id is None else query.prompt_id
    return {"value": value, "actions": None if query.actions is None else [*query.actions]}


def _require_complete(
    run: Run, query: EventQuery, listed: Sequence[int], last: Sequence[Row], written: Sequence[Row]
) -> None:
    """Raise `StorageCorruptError` where an event is missing among those that were listed.

    As other events may lie between them, only the last `COUNTED` numbers are counted.
    """
    above, newest, reaches_end = listed_range(query, listed, last[0][0] if last else 0)
    if reaches_end:
        read_last_link(last, written)
    first = max(above, newest - COUNTED)
    if first >= newest:
        return
    counting = Statement(
        f"SELECT count(*), count(*) FILTER (WHERE {_of(query)}) FROM $.events e"
        " WHERE e.seq > %(first)s AND e.seq <= %(last)s",
        {**_values(query), "first": first, "last": newest},
    )
    if run(counting) != [[(newest - first, sum(seq > first for seq in listed))]]:
        raise damaged("the record of events up to event", newest)
