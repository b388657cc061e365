"""Statements that write one row, or many rows at once, which takes up to half as long a row."""

import sqlite3
from collections.abc import Sequence
from typing import Any, NamedTuple

ROWS = 32  # in a statement that writes many


class Batched(NamedTuple):
    """The statement that writes one row, the one that writes `ROWS`, and how many values a row has."""

    one: str
    many: str
    width: int

    def execute(self, connection: sqlite3.Connection, values: Sequence[Any]) -> int:
        """Write rows, whose values follow one another; give how many were written."""
        batch = ROWS * self.width
        rest, written = len(values) - len(values) % batch, 0
        for at in range(0, rest, batch):
            written += connection.execute(self.many, values[at : at + batch]).rowcount
        for at in range(rest, len(values), self.width):
            written += connection.execute(self.one, values[at : at + self.width]).rowcount
        return written


def inserts(table: str, columns: Sequence[str]) -> Batched:
    """Insert rows of these columns."""
    row = _placeholders(len(columns))
    into = f"INSERT INTO {table} ({', '.join(columns)}) VALUES "
    return Batched(into + row, into + _rows(row), len(columns))


def updates(table: str, columns: Sequence[str], by: Sequence[str]) -> Batched:
    """Update these columns; the last values of each row tell, in the columns `by`, which one it is, each another."""
    width = len(columns) + len(by)
    new = [f"{column} = new.column{number}" for number, column in enumerate(columns, start=1)]
    same = [f"{table}.{column} = new.column{number}" for number, column in enumerate(by, start=len(columns) + 1)]
    is_it = " AND ".join(f"{column} = ?" for column in by)
    one = f"UPDATE {table} SET ({', '.join(columns)}) = {_placeholders(len(columns))} WHERE {is_it}"
    values = _rows(_placeholders(width))
    many = f"UPDATE {table} SET {', '.join(new)} FROM (VALUES {values}) AS new WHERE {' AND '.join(same)}"
    return Batched(one, many, width)


def _placeholders(count: int) -> str:
    """Give a row of as many values that are given when a statement is run."""
    return f"({', '.join('?' * count)})"


def _rows(row: str) -> str:
    return ", ".join([row] * ROWS)
