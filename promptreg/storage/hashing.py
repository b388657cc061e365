"""The hashes that reveal damage, in any database: of rows, of publications, and of the chain of events.

A row's hash is stored in it and checked whenever the row is read: a flipped bit, or a row in the place of another one,
is `StorageCorruptError` and never a wrong answer. Each event also holds the hash of the event before, so that none can
be changed or lost unnoticed:

    hash       = SHA-256 of canonical JSON of [prev, seq, at, actor, action, namespace, prompt_id, version, commitment]
    commitment = SHA-256 of salt + canonical JSON of [name, details]

The name and the details of an event are stored beside it, with the random salt. Deleting a prompt deletes them, and the
chain still holds. No SQL lives here.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias

from promptreg.errors import StorageCorruptError
from promptreg.jsonvalues import canonical, digest, hashed
from promptreg.records import Change

Row: TypeAlias = tuple[Any, ...]
Later: TypeAlias = Sequence[tuple[int, Any]]
"""The columns that a later schema added, which a row's hash leaves out where they hold their default.

Each is given as its position among the hashed values and its default, the last one first.
"""

GENESIS = "0" * 64
"""The `prev` of the first event."""
SALT_BYTES = 16

EVENT_COLUMNS = "seq", "at", "actor", "action", "namespace", "prompt_id", "version", "commitment", "prev", "hash"
"""What is kept of an event for ever."""
DETAIL_COLUMNS = "seq", "salt", "name", "details"
"""What a deletion removes of an event; `details` is JSON."""


def row_hash(values: Sequence[Any], later: Later) -> str:
    """Return the hash of a row: of its values in the order of the columns, without the hash itself."""
    for position, default in later:
        if values[position] == default:
            values = [*values[:position], *values[position + 1 :]]
    return digest(values)


def publication_hash(prompt_id: str, depth: int, version: int) -> str:
    """Return the hash of one entry of a prompt's stack of publications."""
    return digest([prompt_id, depth, version])


def operation_hash(key: str, result: str) -> str:
    """Return the hash of what is remembered of an operation."""
    return digest([key, result])


def chained(changes: Sequence[Change], last: tuple[int, str]) -> tuple[list[Row], list[Row]]:
    """Return the rows of these changes' events, and those of their details, which continue the chain.

    `last` is the number and the hash of the last event that is stored.
    """
    events: list[Row] = []
    details: list[Row] = []
    seq, prev = last
    salts = _salts(sum(len(change.events) for change in changes))
    texts: dict[int, str] = {}  # a bulk change shares its event
    for change in changes:
        subject = change.subject
        for event in change.events:
            seq += 1
            text = texts.get(id(event)) or texts.setdefault(id(event), canonical(event.details))
            salt = next(salts)
            commitment = commitment_of(salt, subject.name, text)
            fields = seq, change.at, event.actor, event.action, subject.namespace, subject.id, event.version, commitment
            link = link_of(prev, *fields)
            events.append((*fields, prev, link))
            details.append((seq, salt, subject.name, text))
            prev = link
    return events, details


def link_of(*fields: Any) -> str:
    """Return the hash of an event: of `prev` and the columns up to the commitment, in the order of the JSON above."""
    return digest(fields)


def commitment_of(salt: str, name: str, details: str) -> str:
    """Return the commitment to the name and the details of an event; `details` is JSON already."""
    return hashed(f"{salt}[{canonical(name)},{details}]")


def _salts(count: int) -> Iterator[str]:
    """Return that many random salts."""
    random = os.urandom(SALT_BYTES * count).hex()
    return (random[at : at + 2 * SALT_BYTES] for at in range(0, len(random), 2 * SALT_BYTES))


def require_whole(stored: object, what: str, identity: object, compute: Callable[..., str], *args: Any) -> None:
    """Raise `StorageCorruptError` unless the stored hash is the one that these arguments hash to."""
    try:
        is_whole = compute(*args) == stored
    except (TypeError, ValueError):  # a damaged row may hold what JSON can't: bytes, an infinity
        is_whole = False
    if not is_whole:
        raise damaged(what, identity)


def damaged(what: str, identity: object) -> StorageCorruptError:
    """Return the error for what is not as it was written."""
    return StorageCorruptError(
        f"What the database holds of {what} {identity!r} is not what was written; restore a copy.",
        reason="damaged",
    )
