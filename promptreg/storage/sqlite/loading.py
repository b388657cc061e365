"""Writing everything into an empty database (`Storage.load`): first into staging tables, then all at once.

The entries may come slowly, from a pipe, and each is checked by their reader. So their rows are first written into a
temporary database, which has no name and disappears with its connection, without any lock on the registry's own. Then
one write transaction copies them. Nobody sees anything before it commits, and a process that is killed leaves nothing.
"""

import sqlite3
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from typing import Any

from promptreg.dump import DeletionEntry, Entry, EventEntry, PromptEntry
from promptreg.errors import PromptregError
from promptreg.jsonvalues import canonical, compact
from promptreg.records import Container, VersionRecord
from promptreg.storage.hashing import DETAIL_COLUMNS, EVENT_COLUMNS, GENESIS, publication_hash
from promptreg.storage.rows import PROMPT_COLUMNS, VERSION_COLUMNS, prompt_row, version_row
from promptreg.storage.searched import SEARCH_COLUMNS, searched_text
from promptreg.storage.sqlite.failures import DriverError, full_copy

TABLES = {
    "prompts": ("key", *PROMPT_COLUMNS),
    "versions": ("prompt", *VERSION_COLUMNS),
    "publications": ("prompt", "depth", "version", "hash"),
    "search": ("rowid", *SEARCH_COLUMNS),
    "events": EVENT_COLUMNS,
    "event_details": DETAIL_COLUMNS,
    "deletions": ("prompt_id", "at", "synced"),
}
"""The columns that are staged, by table, in the order in which the tables are filled; `_REVISED` have one more."""
_REVISED = frozenset({"prompts", "deletions"})


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
        self._key, self._link = 0, GENESIS
        self._container: Container | None = None

    def add(self, entry: Entry) -> None:
        """Write the rows of an entry; a version belongs to the prompt before it."""
        if isinstance(entry, PromptEntry):
            self._add_prompt(entry)
        elif isinstance(entry, VersionRecord):
            self._add_version(entry)
        elif isinstance(entry, EventEntry):
            self._add_event(entry)
        else:
            self._add_deletion(entry)

    def _add_prompt(self, entry: PromptEntry) -> None:
        self._container, self._key = entry.container, self._key + 1
        self._insert("prompts", (self._key, *prompt_row(entry.container)))
        for depth, version in enumerate(entry.publications, start=1):
            hash_ = publication_hash(entry.container.id, depth, version)
            self._insert("publications", (self._key, depth, version, hash_))

    def _add_version(self, version: VersionRecord) -> None:
        container = self._container
        if container is None:
            raise ValueError("a version must follow its prompt")
        self._insert("versions", (self._key, *version_row(container.id, version)))
        if version.number == container.shown_version:
            self._insert("search", (self._key, *searched_text(container, version.snapshot)))

    def _add_event(self, entry: EventEntry) -> None:
        values = {**entry._asdict(), "prev": self._link}
        self._link = entry.hash
        self._insert("events", [values[column] for column in EVENT_COLUMNS])
        if entry.details is not None:
            values["details"] = canonical(entry.details)
            self._insert("event_details", [values[column] for column in DETAIL_COLUMNS])

    def _add_deletion(self, entry: DeletionEntry) -> None:
        places = None if entry.places is None else compact(entry.places)
        self._insert("deletions", (entry.prompt_id, entry.at, places))

    def _insert(self, table: str, row: Sequence[Any]) -> None:
        try:
            self._connection.execute(self._inserts[table], row)
        except sqlite3.Error as error:
            raise (full_copy(error) or self._translated(error)) from error

    def copy_to(self, connection: sqlite3.Connection, revision: int) -> None:
        """Write all rows into a database whose tables are empty, with this revision."""
        for table, columns in TABLES.items():
            more = {"revision": str(revision)} if table in _REVISED else {}
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
