"""The one write transaction, and every statement that writes prompts and versions (`event_log.py` writes events).

What a row holds is in `rows.py`. Beginning, committing and rolling back are in `storage.py`.
"""

import sqlite3
from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING

from promptreg.records import Change, Container, Link, Operation
from promptreg.storage.entry_rows import not_empty
from promptreg.storage.hashing import damaged, publication_hash
from promptreg.storage.rows import PROMPT_COLUMNS, VERSION_COLUMNS, prompt_row, version_row
from promptreg.storage.sqlite import deletions, event_chain, event_log, operations
from promptreg.storage.sqlite.batches import inserts, updates
from promptreg.storage.sqlite.connections import Handle
from promptreg.storage.sqlite.failures import primary_code
from promptreg.storage.sqlite.reader import SQLiteReader
from promptreg.storage.written import subjects_of

if TYPE_CHECKING:
    from promptreg.storage.sqlite.loading import Staging


class SQLiteWriter(SQLiteReader):
    """The write transaction: what it has read stays true until it commits."""

    def __init__(self, handle: Handle) -> None:
        super().__init__(handle)
        self.has_applied = self.has_deleted = False
        self.is_refused = _is_read_only(handle.connection)
        self.written: set[Hashable] | None = set()
        """Ids of the prompts that were written, and their namespaces and names; None where everything was loaded."""

    def apply(self, changes: Sequence[Change], operation: Operation | None = None) -> Link | None:
        """Write the changes, remember the operation, increase the revision by one, and return the first event."""
        self.revision += 1
        self.has_applied = True
        self._last = None
        if self.written is not None:
            self.written.update(subjects_of(changes))
        moved: list[Container] = []
        for change in changes:
            if change.after is None:
                self._delete(change)
            elif change.moves_only():
                moved.append(change.after)
            else:
                self._save(change, change.after)
        if moved:
            self._move([(container, container.name) for container in moved])
        first = event_log.append(self._connection, changes)
        self._connection.execute(_ADVANCE if first is None else _ADVANCE_WITH_EVENTS, (self.revision,))
        for change in changes:
            if change.after is None:
                self._forget_details(change.subject.id)
        if operation is not None:
            operations.remember(self._connection, operation)
        return first

    def load(self, staging: "Staging") -> None:
        """Write everything that was staged into a database that holds nothing; raise `ConflictError` for any other."""
        self.require_empty()
        self.revision += 1
        self.has_applied, self.written = True, None
        staging.copy_to(self._connection, self.revision)
        last = event_chain.last_link(self._connection)
        written = "UPDATE registry SET revision = ?, last_event = ?, last_hash = ?"
        self._connection.execute(written, (self.revision, *last))

    def require_empty(self) -> None:
        """Raise `ConflictError` where anything was ever written."""
        any_row = " OR ".join(f"EXISTS (SELECT 1 FROM {table})" for table in ("events", "prompts", "deletions"))
        if self._connection.execute(f"SELECT {any_row}").fetchone() != (0,):
            raise not_empty()

    def advance(self) -> None:
        """Increase the revision by one, and change nothing else."""
        self.revision += 1
        self._connection.execute(_ADVANCE, (self.revision,))

    def _move(self, moved: Sequence[tuple[Container, str]], first: str = "status") -> None:
        """Update prompts, each given with the name of its row before; write the columns from `first` on."""
        unchanged = PROMPT_COLUMNS.index(first)
        rows = [(*prompt_row(after)[unchanged:], self.revision, after.id, name) for after, name in moved]
        if _MOVES[first].execute(self._connection, rows) != len(moved):
            raise damaged("the index of", "prompts")

    def _key(self, container: Container) -> int:
        """Return the primary key of a prompt, read from its row, so that no other prompt's rows are written."""
        row = self._connection.execute(
            "SELECT key FROM prompts WHERE id = ? AND name = ?", (container.id, container.name)
        ).fetchone()
        if row is None:
            raise damaged("the index of", "prompts")
        return int(row[0])

    def _save(self, change: Change, after: Container) -> None:
        if change.before is not None and after.publications is None:  # a row of an earlier schema
            counted = change.before._replace(publications=len(self._publications(change.before)))
            depth = counted.publications_after(change.published, change.kept_publications)
            after = after._replace(publications=depth)
        if change.before is None:
            self._connection.execute(_INSERT_PROMPT, (*prompt_row(after), self.revision))
        else:
            is_renamed = change.before.name != after.name
            self._move([(after, change.before.name)], first="name" if is_renamed else "status")
        key = self._key(after)
        if change.removed is not None:
            self._connection.execute("DELETE FROM versions WHERE prompt = ? AND version = ?", (key, change.removed))
        if change.edited is not None:
            self._connection.execute(
                _UPDATE_VERSION, (*version_row(after.id, change.edited), key, change.edited.number)
            )
        added = () if change.added is None else (*(change.earlier or ()), change.added)
        for version in added:
            self._connection.execute(_INSERT_VERSION, (key, *version_row(after.id, version)))
        self._publish(change, after, key)
        if change.reindexes():
            self._reindex(after, key, change)

    def _publish(self, change: Change, after: Container, key: int) -> None:
        if change.kept_publications is not None:
            self._connection.execute(
                "DELETE FROM publications WHERE prompt = ? AND depth > ?", (key, change.kept_publications)
            )
        if change.published is not None:
            (depth,) = self._connection.execute(
                "SELECT coalesce(max(depth), 0) + 1 FROM publications WHERE prompt = ?", (key,)
            ).fetchone()
            if depth != after.publications:
                raise damaged("the publications of the prompt", after.id)
            self._connection.execute(
                "INSERT INTO publications (prompt, depth, version, hash) VALUES (?, ?, ?, ?)",
                (key, depth, change.published, publication_hash(after.id, depth, change.published)),
            )

    def _reindex(self, container: Container, key: int, change: Change) -> None:
        written = [v for v in (change.added, change.edited) if v is not None and v.number == container.shown_version]
        shown = written[0] if written else self.versions(container, before=container.shown_version + 1, limit=1)[0]
        from promptreg.storage.sqlite import fulltext  # noqa: PLC0415 (with the word tables, which most reads never need)

        fulltext.index(self._connection, key, container, shown.snapshot)

    def _delete(self, change: Change) -> None:
        self.has_deleted = True
        key = self._key(change.subject)
        deletions.record(self._connection, change, self.revision)
        self._connection.execute("DELETE FROM search WHERE rowid = ?", (key,))
        self._connection.execute("DELETE FROM publications WHERE prompt = ?", (key,))
        while self._connection.execute(_DELETE_VERSIONS, (key,)).rowcount:
            pass
        self._connection.execute("DELETE FROM prompts WHERE key = ?", (key,))
        self._connection.execute("UPDATE registry SET deleted_revision = ?", (self.revision,))

    def _forget_details(self, prompt_id: str) -> None:
        """Delete the names and details of a deleted prompt's events; the delete event keeps its name."""
        self._connection.execute(
            "DELETE FROM event_details WHERE seq IN"
            " (SELECT seq FROM events WHERE prompt_id = ? AND action <> 'delete')",
            (prompt_id,),
        )


def _columns_from(first: str) -> tuple[str, ...]:
    return PROMPT_COLUMNS[PROMPT_COLUMNS.index(first) :]


# One statement a prompt, as triggers take a second one for another tool's. Unchanged indexed columns are not written.
# The name identifies the row too: a damaged index of ids must not lead to another prompt's row.
_MOVES = {
    first: updates("prompts", (*_columns_from(first), "revision"), by=("id", "name")) for first in ("name", "status")
}
_ADVANCE = "UPDATE registry SET revision = ?"
_ADVANCE_WITH_EVENTS = f"{_ADVANCE}, (last_event, last_hash) = (SELECT seq, hash FROM events ORDER BY seq DESC LIMIT 1)"
_INSERT_PROMPT = inserts("prompts", (*PROMPT_COLUMNS, "revision")).one
_INSERT_VERSION = inserts("versions", ("prompt", *VERSION_COLUMNS)).one
_UPDATE_VERSION = updates("versions", VERSION_COLUMNS, by=("prompt", "version")).one
# Some at a time, as SQLite keeps in memory what undoes a statement.
_DELETE_VERSIONS = "DELETE FROM versions WHERE key IN (SELECT key FROM versions WHERE prompt = ? LIMIT 100)"


def _is_read_only(connection: sqlite3.Connection) -> bool:
    """Return whether a write transaction can only read, as on a connection opened where the file could not be written.

    SQLite begins one without an error, and Python has no call that asks; a statement that updates no row does.
    """
    try:
        connection.execute("UPDATE registry SET revision = revision WHERE 0")
    except sqlite3.OperationalError as error:
        if primary_code(error) != sqlite3.SQLITE_READONLY:
            raise
        return True
    return False
