"""The table of deletions: what remains of a deleted prompt, which is its id and the places where it was synchronised.

A place is a hash of which no name can be read (`bases.place`), so rule 15 holds. The rows are kept for ever.
"""

import sqlite3
from collections.abc import Iterator

from promptreg.bases import encoded_places
from promptreg.records import Change
from promptreg.storage.rows import read_places

_PLACES = "SELECT prompt_id, synced FROM deletions WHERE synced IS NOT NULL"  # by the index of those that have any


def record(connection: sqlite3.Connection, change: Change, revision: int) -> None:
    """Record the deletion of a prompt."""
    deleted = change.subject
    connection.execute(
        "INSERT INTO deletions (prompt_id, revision, at, synced) VALUES (?, ?, ?, ?)",
        (deleted.id, revision, change.at, encoded_places(deleted.namespace, deleted.synced)),
    )


def places(connection: sqlite3.Connection) -> Iterator[str]:
    """Return the places of deleted prompts; raise `StorageCorruptError` for a row that holds none."""
    return read_places(connection.execute(_PLACES).fetchall())


def problems(connection: sqlite3.Connection) -> Iterator[str]:
    """Yield what is wrong with the recorded deletions."""
    from promptreg.storage.problems import deletion_problem, problems_of_places  # noqa: PLC0415 (only for `verify`)

    unrecorded = connection.execute(
        "SELECT d.prompt_id, e.at FROM deletions d LEFT JOIN events e ON e.prompt_id = d.prompt_id"
        " AND e.action = 'delete' WHERE e.at IS NOT d.at"
    ).fetchall()
    for prompt_id, at in unrecorded:
        yield deletion_problem(prompt_id, at)
    yield from problems_of_places(connection.execute(_PLACES).fetchall())
