"""Conversion of rows of events to events, for any database. Each row is checked against its hash and the chain."""

from collections.abc import Sequence
from datetime import datetime
from operator import itemgetter
from typing import Any

from promptreg.jsonvalues import FrozenDict, parse
from promptreg.models import Event, built
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
