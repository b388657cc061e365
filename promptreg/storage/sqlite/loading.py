"""Writing everything into an empty database (`Storage.load`): first into staging tables, then all at once.

The entries may come slowly, from a pipe, and each is checked by their reader. So their rows are first written into a
temporary database, which has no name and disappears with its connection, without any lock on the registry's own. Then
one write transaction copies them. Nobody sees anything before it commits, and a process that is killed leaves nothing.
"""

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any

from promptreg.dump import Entry
from promptreg.errors import PromptregError
from promptreg.storage.entry_rows import COLUMNS, OWNED, REVISED, EntryRows
from promptreg.storage.searched import SEARCH_COLUMNS, searched_text
from promptreg.storage.sqlite.failures import DriverError, full_copy

KEYS = {"prompts": "key", "search": "rowid", **dict.fromkeys(OWNED - {"search"}, "prompt")}
"""The columns that hold the key of a prompt."""
TABLES = {
    table: (*([KEYS[table]] if table in KEYS else []), *(columns or SEARCH_COLUMNS))
    for table, columns in COLUMNS.items()
}
"""The columns that are staged, by table."""


class Staging:
    """The rows of everything that is loaded."""

    def __init__(self, connection: sqlite3.Connection, translated: Callable[[DriverError], PromptregError]) -> None:
        self._connection, self._translated = connection, translated
        self._inserts = {}
        for table, columns in TABLES.items():
            placeholders = ", ".join("?" * len(columns))
            names = [f"c{number}" for number in range(len(columns))]
            connection.execute(f"CREATE TABLE {table} ({', '.join(names)})")
            self._inserts[table] = f"INSERT INTO {table} VALUES ({placeholders})"
        self._rows = EntryRows(searched_text)

    def add(self, entry: Entry) -> None:
        """Write the rows of an entry; a version belongs to the prompt before it."""
        for table, row in self._rows.of(entry):
            self._insert(table, (self._rows.count, *row) if table in KEYS else row)

    def _insert(self, table: str, row: Sequence[Any]) -> None:
        try:
            self._connection.execute(self._inserts[table], row)
        except sqlite3.Error as error:
            raise (full_copy(error) or self._translated(error)) from error

    def copy_to(self, connection: sqlite3.Connection, revision: int) -> None:
        """Write all rows into a database whose tables are empty, with this revision."""
        for table, columns in TABLES.items():
            more = {"revision": str(revision)} if table in REVISED else {}
            names, values = ", ".join([*columns, *more]), ", ".join(["?"] * len(columns) + [*more.values()])
            rows = self._connection.execute(f"SELECT * FROM {table} ORDER BY rowid")
            connection.executemany(f"INSERT INTO {table} ({names}) VALUES ({values})", rows)


@contextmanager
def staged(entries: Iterable[Entry], translated: Callable[[DriverError], PromptregError]) -> Iterator[Staging]:
    """Take all entries, and yield their rows."""
    with closing(sqlite3.connect("", isolation_level=None, check_same_thread=False)) as connection:
        connection.execute("BEGIN")
        staging = Staging(connection, translated)
        for entry in entries:
            staging.add(entry)
        yield staging
