"""The table of operations: the calls of the last day that are made once (`Registry.once`), and what each wrote."""

import sqlite3
from collections.abc import Iterator

from promptreg.clock import day_before
from promptreg.records import Operation
from promptreg.storage.hashing import operation_hash, require_whole

COLUMNS = "key", "at", "result", "hash"


def remember(connection: sqlite3.Connection, operation: Operation) -> None:
    """Remember an operation, and forget those that are older than a day."""
    connection.execute("DELETE FROM operations WHERE at <= ?", (day_before(operation.at),))
    connection.execute(
        "INSERT INTO operations (key, at, result, hash) VALUES (?, ?, ?, ?)",
        (*operation, operation_hash(operation.key, operation.result)),
    )


def result_of(connection: sqlite3.Connection, key: str, now: str) -> str | None:
    """Return the result of an operation that was remembered less than a day before `now`.

    Raises `StorageCorruptError` where it is not what was written.
    """
    row = connection.execute(
        "SELECT result, hash FROM operations WHERE key = ? AND at > ?", (key, day_before(now))
    ).fetchone()
    if row is None:
        return None
    result, stored = row
    require_whole(stored, "the operation", key, operation_hash, key, result)
    return str(result)


def problems(connection: sqlite3.Connection) -> Iterator[str]:
    """Yield what is wrong with the remembered operations."""
    from promptreg.storage.problems import problems_of_operations  # noqa: PLC0415 (only for `verify`)

    yield from problems_of_operations(
        connection.execute("SELECT key, result, hash FROM operations ORDER BY key").fetchall()
    )
