"""Statements that write one row, or many rows at once: then each row takes as little as half the time."""

import sqlite3
from collections.abc import Sequence
from itertools import chain
from typing import Any, NamedTuple

ROWS = 32  # in a statement that writes many


class Batched(NamedTuple):
    """A statement that writes one row, and one that writes `ROWS`."""

    one: str
    many: str

    def execute(self, connection: sqlite3.Connection, rows: Sequence[Sequence[Any]]) -> int:
        """Write the rows, and return how many were written."""
        alone, written = len(rows) - len(rows) % ROWS, 0
        for at in range(0, alone, ROWS):
            values = [*chain.from_iterable(rows[at : at + ROWS])]
            written += connection.execute(self.many, values).rowcount
        for row in rows[alone:]:
            written += connection.execute(self.one, row).rowcount
        return written


def inserts(table: str, columns: Sequence[str]) -> Batched:
    """Return the statements that insert rows of these columns."""
    row = _placeholders(len(columns))
    into = f"INSERT INTO {table} ({', '.join(columns)}) VALUES "
    return Batched(into + row, into + _rows(row))


def updates(table: str, columns: Sequence[str], by: Sequence[str]) -> Batched:
    """Return the statements that update these columns; each row ends with the columns `by`, which identify it."""
    new = [f"{column} = new.column{number}" for number, column in enumerate(columns, start=1)]
    same = [f"{table}.{column} = new.column{number}" for number, column in enumerate(by, start=len(columns) + 1)]
    matches = " AND ".join(f"{column} = ?" for column in by)
    one = f"UPDATE {table} SET ({', '.join(columns)}) = {_placeholders(len(columns))} WHERE {matches}"
    values = _rows(_placeholders(len(columns) + len(by)))
    many = f"UPDATE {table} SET {', '.join(new)} FROM (VALUES {values}) AS new WHERE {' AND '.join(same)}"
    return Batched(one, many)


def _placeholders(count: int) -> str:
    return f"({', '.join('?' * count)})"


def _rows(row: str) -> str:
    return ", ".join([row] * ROWS)
