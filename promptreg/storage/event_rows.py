"""Conversion of rows of events to events, for any database. Each row is checked against its hash and the chain.

A page of events is checked to be complete too: `listed_range` says what that means.
"""

from collections.abc import Sequence
from datetime import datetime
from operator import itemgetter
from typing import Any, NamedTuple

from promptreg.jsonvalues import FrozenDict, parse
from promptreg.models import Event, built
from promptreg.records import EventQuery
from promptreg.storage import hashing
from promptreg.storage.hashing import EVENT_COLUMNS, GENESIS, damaged, require_whole

_READ = (*EVENT_COLUMNS, "salt", "name", "details", "is_deleted")
_linked = itemgetter("prev", *EVENT_COLUMNS[: EVENT_COLUMNS.index("prev")])  # what the hash of an event covers


def read_event(row: Sequence[Any], preceding: str | None) -> Event:
    """Return the event of a row of `_READ`; `preceding` is the hash of the event before, None for the first.

    Raises `StorageCorruptError` where it is not as it was written, or does not continue the chain.
    """
    event = dict(zip(_READ, row, strict=True))
    seq = event["seq"]
    require_whole(event["hash"], "the event", seq, hashing.link_of, *_linked(event))
    if event["prev"] != (GENESIS if seq == 1 else preceding):
        raise damaged("the event", seq - 1)
    kept = event["salt"], event["name"], event["details"]
    if not event["is_deleted"] or event["action"] == "delete" or kept != (None, None, None):
        require_whole(event["commitment"], "the event", seq, hashing.commitment_of, *kept)
    return built(  # what its hash covers needs no validation
        Event,
        {
            "seq": seq,
            "at": datetime.fromisoformat(event["at"]),
            "actor": event["actor"],
            "action": event["action"],
            "namespace": event["namespace"],
            "prompt_id": event["prompt_id"],
            "name": event["name"],
            "version": event["version"],
            "details": FrozenDict() if event["details"] is None else parse(event["details"]),
        },
    )


class ListedRange(NamedTuple):
    """Of which events a query has listed every one that matches: above the first number, up to the second.

    With `reaches_end` the last of them must be the last event that was written.
    """

    above: int
    last: int
    reaches_end: bool


def listed_range(query: EventQuery, listed: Sequence[int], newest: int) -> ListedRange:
    """Return the range of a page, whose events have these numbers, where `newest` is the highest that there is."""
    is_full = len(listed) == query.limit
    above = (listed[-1] - 1 if is_full else 0) if query.newest_first else query.after
    if is_full and not query.newest_first:
        return ListedRange(above, listed[-1], reaches_end=False)
    if query.newest_first and 0 < query.after <= newest:
        return ListedRange(above, query.after - 1, reaches_end=False)
    return ListedRange(above, newest, reaches_end=True)
