"""Rows of events and deletions as the entries of a dump, for any database; each event is checked with the chain."""

from collections.abc import Iterable, Iterator

from promptreg.dump import DeletionEntry, EventEntry
from promptreg.jsonvalues import FrozenList
from promptreg.records import Link
from promptreg.storage.event_rows import read_event
from promptreg.storage.hashing import EVENT_COLUMNS, GENESIS, damaged
from promptreg.storage.rows import Row, read_places

_STORED = (*EVENT_COLUMNS, "salt", "name", "details")


def event_entries(rows: Iterable[Row], written: Link | None) -> Iterator[EventEntry]:
    """Yield the events of rows that `read_event` takes, by their numbers.

    Raises `StorageCorruptError` where one is missing or does not continue the chain, or where the last one is not
    `written`, which is None where nobody knows.
    """
    seq, link = 0, GENESIS
    for row in rows:
        event = read_event(row, link)
        if event.seq != seq + 1:
            raise damaged("the event", seq + 1)
        stored = dict(zip(_STORED, row, strict=False))
        seq, link = event.seq, stored["hash"]
        stored["details"] = None if stored["details"] is None else event.details
        yield EventEntry._make(map(stored.__getitem__, EventEntry._fields))
    if written not in {(seq, link), None}:
        raise damaged("the record of events after event", seq)


def deletion_entry(row: Row) -> DeletionEntry:
    """Return the deletion of a row: the id of the prompt, its time, and the places as they are stored."""
    prompt_id, at, synced = row
    places = None if synced is None else FrozenList(read_places([(prompt_id, synced)]))
    return DeletionEntry(prompt_id, at, places)
