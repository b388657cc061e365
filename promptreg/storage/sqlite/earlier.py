"""Reading a file of an earlier schema as it is, where this process can't bring it up to date."""

import sqlite3
from collections.abc import Mapping
from typing import Any

from promptreg.storage.sqlite.rows import LATER_PROMPT_COLUMNS, LATER_VERSION_COLUMNS

ADDED: dict[str, Mapping[str, Any]] = {
    "prompts": LATER_PROMPT_COLUMNS,
    "versions": LATER_VERSION_COLUMNS,
    "registry": {"last_event": None, "last_hash": None},
}
"""The columns that later schemas added, by table, with what earlier rows hold: None, or a text."""


def complete(connection: sqlite3.Connection) -> None:
    """Show the tables of this connection with the columns that they lack; nothing is written to the file."""
    for table, columns in ADDED.items():
        present = {name for _, name, *_ in connection.execute(f"PRAGMA table_info({table})").fetchall()}
        absent = [f"{_literal(value)} AS {column}" for column, value in columns.items() if column not in present]
        if absent:
            _create_view(connection, f"CREATE TEMP VIEW {table} AS SELECT *, {', '.join(absent)} FROM main.{table}")


def _literal(value: str | None) -> str:
    return "NULL" if value is None else f"'{value}'"


def _create_view(connection: sqlite3.Connection, statement: str) -> None:
    """Create a view of this connection alone, which a copy that is only read must be allowed for a moment."""
    (query_only,) = connection.execute("PRAGMA query_only").fetchone()
    connection.execute("PRAGMA query_only = OFF")
    try:
        connection.execute(statement)
    finally:
        connection.execute(f"PRAGMA query_only = {query_only}")
