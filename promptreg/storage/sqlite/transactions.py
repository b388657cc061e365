"""One look at the database: what a transaction reads, and what it writes; all the SQL of prompts and versions."""

import json
import sqlite3
from collections.abc import Sequence
from typing import Any, Literal, get_args

from promptreg.jsonvalues import digest
from promptreg.models import Event, Status
from promptreg.records import Audience, Change, Container, Query, Shown, VersionRecord
from promptreg.rules.names import Reference
from promptreg.storage.base import Snapshot
from promptreg.storage.sqlite import journal
from promptreg.storage.sqlite.batches import inserts, updates
from promptreg.storage.sqlite.failures import primary_code
from promptreg.storage.sqlite.rows import (
    PROMPT_COLUMNS,
    PROMPT_FIELDS,
    SHOWN,
    VERSION_COLUMNS,
    VERSION_FIELDS,
    damaged,
    prompt_row,
    read_prompt,
    read_publications,
    read_version,
    version_row,
)

MAX_INTEGER = 2**63 - 1
MAX_SEEN = 5_000  # prompts, for names that may be meant: 10 ms where each one's grants are read
MAX_RANKED = 1_000  # hits; bm25 looks at each, which takes 60 ms for a word in 100,000 prompts
MAX_SCANNED = 10_000  # versions that one statement looks at, which takes 25 ms

_EVENT = ", ".join(f"e.{column}" for column in journal.EVENT_COLUMNS)
_WIDTH = len(PROMPT_COLUMNS)
_STATUSES = ", ".join(f"'{status}'" for status in get_args(Status))  # what has none of them is damaged, and told
_KEY = "(SELECT key FROM prompts WHERE id = ?)"
_READABLE = (
    "(:sees_all OR p.created_by = :actor OR EXISTS (SELECT 1 FROM json_each(p.access_grants) AS granted"
    " WHERE json_extract(granted.value, '$[0]') IN (SELECT value FROM json_each(:principals))))"
)


class Moment:
    """What a slice needs of a snapshot: that it was taken; `is_refused` only a write is."""

    is_refused = False

    def __init__(self, connection: sqlite3.Connection) -> None:
        connection.execute("SELECT count(*) FROM sqlite_master").fetchone()


class SQLiteReader:
    """One consistent look.

    Each statement is read to its end at once: while one is half read its snapshot stays, whatever is rolled back, and
    an error that is kept would keep it so.
    """

    is_refused = False  # which only a write is

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        # Kept, as production is often the latest version too.
        self._last: tuple[tuple[str, int | None], list[VersionRecord]] | None = None
        self.revision = revision_in(connection)
        self._data_version = data_version(connection)

    @property
    def snapshot(self) -> Snapshot:
        """What this transaction sees."""
        return Snapshot(self.revision, self._data_version)

    def find(self, namespace: str, references: Sequence[Reference]) -> list[Container | None]:
        """Return the prompts of a namespace with these names and ids, in their order."""
        if len(references) == 1:
            return [self._find_one(namespace, references[0])]
        return self._find_many(namespace, references)

    def _find_one(self, namespace: str, reference: Reference) -> Container | None:
        column = "id" if reference.is_id else "name"
        row = self._connection.execute(
            f"SELECT {PROMPT_FIELDS} FROM prompts p WHERE p.namespace = ? AND p.{column} = ?",
            (namespace, reference.text),
        ).fetchone()
        return None if row is None else read_prompt(row)

    def _find_many(self, namespace: str, references: Sequence[Reference]) -> list[Container | None]:
        found: dict[str, Container] = {}
        for column, is_id in (("id", True), ("name", False)):
            texts = [reference.text for reference in references if reference.is_id is is_id]
            rows = self._connection.execute(
                f"SELECT {PROMPT_FIELDS} FROM json_each(?) AS asked"
                f" CROSS JOIN prompts p ON p.namespace = ? AND p.{column} = asked.value",
                (json.dumps(texts), namespace),
            ).fetchall()
            for container in map(read_prompt, rows):
                found[getattr(container, column)] = container
        return [found.get(reference.text) for reference in references]

    def versions(self, container: Container, *, before: int | None, limit: int) -> list[VersionRecord]:
        """Return versions with numbers below `before`, newest first."""
        if limit > 1:
            return self._read_versions(container, before, limit)
        asked = (container.id, before)
        if self._last is None or self._last[0] != asked:
            self._last = asked, self._read_versions(container, before, limit)
        return self._last[1]

    def _read_versions(self, container: Container, before: int | None, limit: int) -> list[VersionRecord]:
        rows = self._connection.execute(
            f"SELECT {VERSION_FIELDS} FROM versions v WHERE v.prompt = {_KEY} AND v.version < ?"
            " ORDER BY v.version DESC LIMIT ?",
            (container.id, _bounded(MAX_INTEGER if before is None else before), _bounded(limit)),
        ).fetchall()
        records = [read_version(container.id, row) for row in rows]
        above = container.latest_version if before is None else min(before - 1, container.latest_version)
        self._require_complete(container, records, above, 1 if len(records) < limit else records[-1].number)
        return records

    def _require_complete(
        self, container: Container, records: Sequence[VersionRecord], newest: int, oldest: int
    ) -> None:
        """Raise `StorageCorruptError` unless these are all the versions between two numbers that were not discarded."""
        if newest - oldest + 1 == len(records):
            return
        discarded = self._connection.execute(
            "SELECT version FROM events WHERE prompt_id = ? AND action = 'discard' AND version BETWEEN ? AND ?",
            (container.id, oldest, newest),
        ).fetchall()
        known = {record.number for record in records}.union(number for (number,) in discarded)
        missing = set(range(oldest, newest + 1)) - known
        if missing:
            raise damaged(f"version {max(missing)} of the prompt", container.id)

    def version_numbers(self, container: Container, which: Literal["unpublished", "publications"]) -> list[int]:
        """Return the numbers of drafts and failed versions, newest first; or the stack of publications."""
        return self._unpublished(container) if which == "unpublished" else self._publications(container)

    def _unpublished(self, container: Container) -> list[int]:
        numbers: list[int] = []
        for newest in range(container.last_version, 0, -MAX_SCANNED):
            rows = self._connection.execute(
                f"SELECT version FROM versions WHERE prompt = {_KEY} AND version > ? AND version <= ?"
                " AND state <> 'published' ORDER BY version DESC",
                (container.id, newest - MAX_SCANNED, newest),
            ).fetchall()
            numbers += [number for (number,) in rows]
        return numbers

    def _publications(self, container: Container) -> list[int]:
        rows = self._connection.execute(
            f"SELECT depth, version, hash FROM publications WHERE prompt = {_KEY} ORDER BY depth", (container.id,)
        ).fetchall()
        return read_publications(container, rows)

    def query(self, query: Query) -> list[Shown]:
        """Give the prompts that a listing or a search finds, each with the version that it shows."""
        from promptreg.storage.sqlite import fulltext  # noqa: PLC0415 (as in `_reindex`)

        origin, order, sought = "prompts p", "p.name", None
        if query.text is not None:
            sought = fulltext.matching(self._connection, query.text)
            if sought is None:
                return []
            order = "search.rank, p.name" if self._has_few_hits(sought) else "search.rowid DESC"
        elif query.tag is not None:  # else all prompts would be looked at for a rare tag
            tagged = fulltext.tagged(self._connection, query.tag)
            sought = tagged if tagged is not None and self._has_few_hits(tagged) else None
        conditions = ["p.namespace = :namespace", "p.name > :after", _READABLE]
        if sought is not None:
            origin = "search CROSS JOIN prompts p ON p.key = search.rowid"
            conditions.append("search MATCH :sought")
        conditions.append(f"(p.status IN (SELECT value FROM json_each(:statuses)) OR p.status NOT IN ({_STATUSES}))")
        for column, value in (("p.created_by", query.created_by), ("v.category", query.category)):
            if value is not None:
                conditions.append(f"{column} = :{column[2:]}")
        if query.tag is not None:
            conditions.append("EXISTS (SELECT 1 FROM json_each(v.tags) AS tagged WHERE tagged.value = :tag)")
        rows = self._connection.execute(
            f"SELECT {PROMPT_FIELDS}, {VERSION_FIELDS} FROM {origin} {SHOWN}"
            f" WHERE {' AND '.join(conditions)} ORDER BY {order} LIMIT :limit",
            {
                **_audience(query.audience),
                "namespace": query.namespace,
                "after": query.after,
                "statuses": json.dumps(query.statuses),
                "created_by": query.created_by,
                "category": query.category,
                "tag": query.tag,
                "sought": sought,
                "limit": _bounded(query.limit),
            },
        ).fetchall()
        return [_shown(row) for row in rows]

    def names_near(self, namespace: str, audience: Audience, name: str, *, limit: int) -> list[str]:
        """Return names that the audience may read, at most so many, those that sort next to a name.

        On each side at most 5,000 are looked at, as an actor may read none of many.
        """
        after = self._names(namespace, audience, name, ">= :name ORDER BY name", limit)
        room = max(limit - len(after), limit // 2)
        before = self._names(namespace, audience, name, "< :name ORDER BY name DESC", room)
        return before + after[: limit - len(before)]

    def _names(self, namespace: str, audience: Audience, name: str, side: str, limit: int) -> list[str]:
        rows = self._connection.execute(
            f"SELECT p.name FROM (SELECT * FROM prompts WHERE namespace = :namespace AND name {side} LIMIT {MAX_SEEN})"
            f" p WHERE {_READABLE} LIMIT :limit",
            {**_audience(audience), "namespace": namespace, "name": name, "limit": limit},
        ).fetchall()
        return [found for (found,) in rows if isinstance(found, str)]  # of damaged rows too, which nothing checks here

    def _has_few_hits(self, sought: str) -> bool:
        """Tell whether few enough prompts, of all namespaces, are found so to rank or sort them."""
        (hits,) = self._connection.execute(
            "SELECT count(*) FROM (SELECT rowid FROM search WHERE search MATCH ? LIMIT ?)", (sought, MAX_RANKED + 1)
        ).fetchone()
        return bool(hits <= MAX_RANKED)

    def events(
        self, namespace: str, audience: Audience, *, prompt_id: str | None, after: int, limit: int
    ) -> list[Event]:
        """Give events after that number, oldest first; of deleted prompts only to those who see all."""
        rows = self._connection.execute(
            f"SELECT {_EVENT}, d.salt, d.name, d.details,"
            " EXISTS (SELECT 1 FROM deletions WHERE deletions.prompt_id = e.prompt_id),"
            " (SELECT hash FROM events AS before WHERE before.seq = e.seq - 1)"
            " FROM events e LEFT JOIN event_details d ON d.seq = e.seq"
            f" WHERE e.{'namespace' if prompt_id is None else 'prompt_id'} = :where AND e.seq > :after"
            f" AND (:sees_all OR EXISTS (SELECT 1 FROM prompts p WHERE p.id = e.prompt_id AND {_READABLE}))"
            " ORDER BY e.seq LIMIT :limit",
            {
                **_audience(audience),
                "where": namespace if prompt_id is None else prompt_id,
                "after": _bounded(after),
                "limit": _bounded(limit),
            },
        ).fetchall()
        events = journal.read_events(rows)
        if audience.sees_all:
            last = events[-1].seq if len(events) == limit else None
            about, value = ("namespace", namespace) if prompt_id is None else ("prompt_id", prompt_id)
            listed = [event.seq for event in events]
            journal.require_complete(self._connection, about, value, after=after, last=last, listed=listed)
        return events

    def namespaces(self, audience: Audience, home: str | None) -> list[str]:
        """Give the namespaces in which the audience may read something; all of `home`, if that is given."""
        rows = self._connection.execute(
            f"SELECT DISTINCT p.namespace FROM prompts p WHERE p.namespace = :home OR {_READABLE} ORDER BY p.namespace",
            {**_audience(audience), "home": home},
        ).fetchall()
        return [namespace for (namespace,) in rows]


class SQLiteWriter(SQLiteReader):
    """A look that nobody else can change until it commits."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        super().__init__(connection)
        self.has_applied = self.has_deleted = False
        self.is_refused = _is_read_only(connection)

    def apply(self, changes: Sequence[Change]) -> None:
        """Persist the changes, and make the revision grow by one."""
        self.revision += 1
        self.has_applied = True
        self._last = None
        moved: list[tuple[Container, str]] = []
        for change in changes:
            if change.after is None:
                self._delete(change)
            elif change.moves_only():
                moved.append((change.after, change.after.name))
            else:
                self._save(change, change.after)
        if moved:
            self._move(moved)
        journal.append(self._connection, changes)
        self._connection.execute(
            "UPDATE registry SET revision = ?,"
            " (last_event, last_hash) = (SELECT seq, hash FROM events ORDER BY seq DESC LIMIT 1)",
            (self.revision,),
        )
        for change in changes:
            if change.after is None:
                self._forget_details(change.subject.id)

    def advance(self) -> None:
        """Make the revision grow by one, and change nothing else."""
        self.revision += 1
        self._connection.execute("UPDATE registry SET revision = ?", (self.revision,))

    def _move(self, moved: Sequence[tuple[Container, str]], first: str = "status") -> None:
        """Write the columns from the first on, of prompts with the names that they had."""
        statement, at = _MOVES[first], PROMPT_COLUMNS.index(first)
        values: list[Any] = []
        for container, name in moved:
            values += *prompt_row(container)[at:], self.revision, container.id, name
        if statement.execute(self._connection, values) != len(moved):
            raise damaged("the index of", "prompts")

    def _key(self, container: Container) -> int:
        """Give what the rows of a prompt are found by, from its own row: nothing of another one is ever written."""
        row = self._connection.execute(
            "SELECT key FROM prompts WHERE id = ? AND name = ?", (container.id, container.name)
        ).fetchone()
        if row is None:
            raise damaged("the index of", "prompts")
        return int(row[0])

    def _save(self, change: Change, after: Container) -> None:
        if change.before is not None and after.publications is None:  # of an earlier schema: counted now
            known = change.before._replace(publications=len(self._publications(change.before)))
            counted = known.publications_after(change.published, change.kept_publications)
            after = after._replace(publications=counted)
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
        if change.added is not None:
            self._connection.execute(_INSERT_VERSION, (key, *version_row(after.id, change.added)))
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
                (key, depth, change.published, digest([change.subject.id, depth, change.published])),
            )

    def _reindex(self, container: Container, key: int, change: Change) -> None:
        written = [v for v in (change.added, change.edited) if v is not None and v.number == container.shown_version]
        shown = written[0] if written else self.versions(container, before=container.shown_version + 1, limit=1)[0]
        from promptreg.storage.sqlite import fulltext  # noqa: PLC0415 (with the words, which no usual read needs)

        fulltext.index(self._connection, key, container, shown.snapshot)

    def _delete(self, change: Change) -> None:
        self.has_deleted = True
        prompt_id, key = change.subject.id, self._key(change.subject)
        self._connection.execute(
            "INSERT INTO deletions (prompt_id, revision, at) VALUES (?, ?, ?)",
            (prompt_id, self.revision, change.at),
        )
        self._connection.execute("DELETE FROM search WHERE rowid = ?", (key,))
        self._connection.execute("DELETE FROM publications WHERE prompt = ?", (key,))
        while self._connection.execute(_DELETE_VERSIONS, (key,)).rowcount:
            pass
        self._connection.execute("DELETE FROM prompts WHERE key = ?", (key,))
        self._connection.execute("UPDATE registry SET deleted_revision = ?", (self.revision,))

    def _forget_details(self, prompt_id: str) -> None:
        """Clear what the events tell of a deleted prompt; the delete event keeps its name."""
        self._connection.execute(
            "DELETE FROM event_details WHERE seq IN"
            " (SELECT seq FROM events WHERE prompt_id = ? AND action <> 'delete')",
            (prompt_id,),
        )


# In one statement, as a second one would pass for another tool's; what stays the same and is indexed is left alone.
# By the name too, which the index of ids does not hold, so that no damage of it leads to another prompt's row.
_MOVES = {
    first: updates("prompts", (*PROMPT_COLUMNS[PROMPT_COLUMNS.index(first) :], "revision"), by=("id", "name"))
    for first in ("name", "status")
}
_INSERT_PROMPT = inserts("prompts", (*PROMPT_COLUMNS, "revision")).one
_INSERT_VERSION = inserts("versions", ("prompt", *VERSION_COLUMNS)).one
_UPDATE_VERSION = updates("versions", VERSION_COLUMNS, by=("prompt", "version")).one
# A slice at a time, as what could undo a statement lies in memory.
_DELETE_VERSIONS = "DELETE FROM versions WHERE key IN (SELECT key FROM versions WHERE prompt = ? LIMIT 100)"


def data_version(connection: sqlite3.Connection) -> int:
    (version,) = connection.execute("PRAGMA data_version").fetchone()
    return int(version)


def revision_in(connection: sqlite3.Connection) -> int:
    row = connection.execute("SELECT revision FROM registry").fetchone()
    if row is None or type(row[0]) is not int or not 0 <= row[0] < MAX_INTEGER:
        raise damaged("the registry's", "revision")
    return int(row[0])


def _is_read_only(connection: sqlite3.Connection) -> bool:
    """Return whether a transaction to write is one to read: a connection is so for life, made where it can't write.

    SQLite begins one without a word, and Python can't ask it; a statement that writes no row finds out.
    """
    try:
        connection.execute("UPDATE registry SET revision = revision WHERE 0")
    except sqlite3.OperationalError as error:
        if primary_code(error) != sqlite3.SQLITE_READONLY:
            raise
        return True
    return False


def _shown(row: Sequence[Any]) -> Shown:
    container = read_prompt(row[:_WIDTH])
    return container, read_version(container.id, row[_WIDTH:])


def _audience(audience: Audience) -> dict[str, Any]:
    return {
        "sees_all": audience.sees_all,
        "actor": audience.actor,
        "principals": json.dumps(audience.principals),
    }


def _bounded(number: int) -> int:
    return min(number, MAX_INTEGER)
