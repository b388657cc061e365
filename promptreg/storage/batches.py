"""Statements that write one row, or many rows at once, which takes a third less a row."""

import sqlite3
from collections.abc import Sequence
from typing import Any, NamedTuple

ROWS = 32  # that one statement writes of many


class Batched(NamedTuple):
    """The statement that writes one row, the one that writes `ROWS`, and how many values a row has."""

    one: str
    many: str
    width: int

    def execute(self, connection: sqlite3.Connection, values: Sequence[Any]) -> None:
        """Write rows, whose values follow one another."""
        batch = ROWS * self.width
        rest = len(values) - len(values) % batch
        for at in range(0, rest, batch):
            connection.execute(self.many, values[at : at + batch])
        for at in range(rest, len(values), self.width):
            connection.execute(self.one, values[at : at + self.width])


def inserts(table: str, columns: Sequence[str]) -> Batched:
    """Insert rows of these columns."""
    row = placeholders(len(columns))
    into = f"INSERT INTO {table} ({', '.join(columns)}) VALUES "
    return Batched(into + row, into + _rows(row), len(columns))


def updates(table: str, columns: Sequence[str], by: str) -> Batched:
    """Update these columns of the rows that have the last value in the column `by`."""
    width = len(columns) + 1
    new = [f"{column} = new.column{number}" for number, column in enumerate(columns, start=1)]
    one = f"UPDATE {table} SET ({', '.join(columns)}) = {placeholders(len(columns))} WHERE {by} = ?"
    values = _rows(placeholders(width))
    many = f"UPDATE {table} SET {', '.join(new)} FROM (VALUES {values}) AS new WHERE {table}.{by} = new.column{width}"
    return Batched(one, many, width)


def placeholders(count: int) -> str:
    """Give a row of as many values that are given when a statement is run."""
    return f"({', '.join('?' * count)})"


def _rows(row: str) -> str:
    return ", ".join([row] * ROWS)
