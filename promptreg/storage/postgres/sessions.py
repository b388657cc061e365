"""One connection to a server, on which several statements take one round trip."""

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import Any, NamedTuple, TypeAlias

import psycopg
from psycopg import pq

Row: TypeAlias = tuple[Any, ...]
SCHEMA = "$."


class Statement(NamedTuple):
    """A statement in which `$.` stands for the schema, with values for its placeholders, as psycopg takes them."""

    text: str
    values: Sequence[Any] | Mapping[str, Any] | None = None


class Result(NamedTuple):
    """The rows that a statement returned, and how many it returned or wrote (-1: neither)."""

    rows: list[Row]
    written: int


class Session:
    """A connection; it is in autocommit mode, so a transaction is what `BEGIN` and `COMMIT` enclose."""

    def __init__(self, connection: "psycopg.Connection[Row]", schema: str) -> None:
        """Hold a connection that was just opened; `schema` is the name of the registry's schema."""
        self.connection, self.schema = connection, schema
        self._pending: list[Statement] = []

    @cached_property
    def _prefix(self) -> str:
        return f'"{self.schema}".'

    def begin(self, *statements: Statement) -> None:
        """Send these statements together with the next ones."""
        self._pending += statements

    def run(self, *statements: Statement) -> list[Result]:
        """Send statements in one round trip, and return what each returned; the first that fails ends it."""
        sent = [*self._pending, *statements]
        own = len(self._pending)
        self._pending.clear()
        cursors = []
        with self.connection.pipeline():
            for statement in sent:
                cursor = self.connection.cursor()
                cursor.execute(statement.text.replace(SCHEMA, self._prefix), statement.values)
                cursors.append(cursor)
        return [_result(cursor) for cursor in cursors[own:]]

    def query(self, text: str, values: Sequence[Any] | Mapping[str, Any] | None = None) -> list[Row]:
        """Send one statement, and return its rows."""
        (result,) = self.run(Statement(text, values))
        return result.rows

    def roll_back(self) -> None:
        """End the open transaction, if there is one."""
        self._pending.clear()
        if self.connection.info.transaction_status != pq.TransactionStatus.IDLE:
            self.connection.execute("ROLLBACK")


def _result(cursor: "psycopg.Cursor[Row]") -> Result:
    return Result([] if cursor.description is None else cursor.fetchall(), cursor.rowcount)
