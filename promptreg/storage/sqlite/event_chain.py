"""The end of the chain of events, and the link of any one; `promptreg.storage.hashing` says how they are chained."""

import sqlite3

from promptreg.records import Link
from promptreg.storage.hashing import GENESIS, damaged

UNKNOWN = (None, None)
"""What the registry's row holds of the last event in a file of an earlier schema that can't be written."""


def last_link(connection: sqlite3.Connection) -> Link:
    """Return the number and the hash of the last event; the hash covers all events before it."""
    last = connection.execute("SELECT seq, hash FROM events ORDER BY seq DESC LIMIT 1").fetchone()
    return last or (0, GENESIS)


def require_last(connection: sqlite3.Connection, last: Link) -> None:
    """Raise `StorageCorruptError` unless this is the last event that was written."""
    written = connection.execute("SELECT last_event, last_hash FROM registry").fetchone()
    if written not in {last, UNKNOWN}:
        raise damaged("the record of events after event", last[0])


def link(connection: sqlite3.Connection, seq: int) -> Link | None:
    """Return the number and the hash of an event, or None where it does not exist."""
    found: Link | None = connection.execute("SELECT seq, hash FROM events WHERE seq = ?", (seq,)).fetchone()
    return found or ((0, GENESIS) if seq == 0 else None)
