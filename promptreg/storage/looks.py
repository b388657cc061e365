"""One look at the database: what a transaction reads, and what it writes; all the SQL of prompts and versions."""

import json
import sqlite3
from collections.abc import Sequence
from typing import Any, get_args

from promptreg.jsonvalues import digest
from promptreg.models import Event, Status
from promptreg.records import Audience, Change, Container, Query, Shown, VersionRecord
from promptreg.rules.names import Reference
from promptreg.storage import journal
from promptreg.storage.batches import inserts, updates
from promptreg.storage.rows import (
    PROMPT_COLUMNS,
    VERSION_COLUMNS,
    damaged,
    prompt_row,
    read_prompt,
    read_version,
    require_whole,
    searched_text,
    version_row,
)

MAX_INTEGER = 2**63 - 1
MAX_SOUGHT = 128  # characters of a tag; full text takes a second for a phrase of 10,000 equal words
MAX_RANKED = 1_000  # hits; bm25 looks at each, which takes 60 ms for a word in 100,000 prompts
MAX_SCANNED = 10_000  # versions that one statement looks at, which takes 25 ms

_PROMPT = ", ".join(f"p.{column}" for column in PROMPT_COLUMNS)
# A base that is not there was discarded, and an event tells of it, or else the file is damaged: then it is NULL.
_IS_BASE_GONE = (
    "CASE WHEN v.base_version IS NULL OR EXISTS"
    " (SELECT 1 FROM versions b WHERE b.prompt = v.prompt AND b.version = v.base_version) THEN 0"
    " WHEN EXISTS (SELECT 1 FROM events d WHERE d.prompt_id = (SELECT id FROM prompts WHERE key = v.prompt)"
    " AND d.action = 'discard' AND d.version = v.base_version) THEN 1 END"
)
_VERSION = ", ".join([*(f"v.{column}" for column in VERSION_COLUMNS), _IS_BASE_GONE])
_EVENT = ", ".join(f"e.{column}" for column in journal.EVENT_COLUMNS)
_WIDTH = len(PROMPT_COLUMNS)
_STATUSES = ", ".join(f"'{status}'" for status in get_args(Status))  # what has none of them is damaged, and told
_KEY = "(SELECT key FROM prompts WHERE id = ?)"
_SHOWN = "LEFT JOIN versions v ON v.prompt = p.key AND v.version = coalesce(p.production_version, p.latest_version)"
_READABLE = (
    "(:sees_all OR p.created_by = :actor OR EXISTS (SELECT 1 FROM json_each(p.access_grants) AS granted"
    " WHERE json_extract(granted.value, '$[0]') IN (SELECT value FROM json_each(:principals))))"
)


class SQLiteReader:
    """One consistent look.

    Each statement is read to its end at once: while one is half read its snapshot stays, whatever is rolled back, and
    an error that is kept would keep it so.
    """

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._read: tuple[str, int, VersionRecord | None] | None = None  # production is often the latest too
        self.revision = revision_in(connection)
        self.moment = (self.revision, data_version(connection))

    def find(self, namespace: str, reference: Reference) -> Container | None:
        """Give the prompt of that name or id in that namespace."""
        column = "id" if reference.is_id else "name"
        row = self._connection.execute(
            f"SELECT {_PROMPT} FROM prompts p WHERE p.namespace = ? AND p.{column} = ?",
            (namespace, reference.text),
        ).fetchone()
        return None if row is None else read_prompt(row)

    def find_all(self, namespace: str, references: Sequence[Reference]) -> list[Container | None]:
        """Give the prompts of many names and ids, in their order."""
        found: dict[str, Container] = {}
        for column, is_id in (("id", True), ("name", False)):
            texts = [reference.text for reference in references if reference.is_id is is_id]
            rows = self._connection.execute(
                f"SELECT {_PROMPT} FROM json_each(?) AS asked"
                f" CROSS JOIN prompts p ON p.namespace = ? AND p.{column} = asked.value",
                (json.dumps(texts), namespace),
            ).fetchall()
            for container in map(read_prompt, rows):
                found[getattr(container, column)] = container
        return [found.get(reference.text) for reference in references]

    def version(self, container: Container, number: int) -> VersionRecord | None:
        """Give one version."""
        if number > MAX_INTEGER:
            return None
        if self._read is not None and self._read[:2] == (container.id, number):
            return self._read[2]
        row = self._connection.execute(
            f"SELECT {_VERSION} FROM versions v WHERE v.prompt = {_KEY} AND v.version = ?",
            (container.id, number),
        ).fetchone()
        if row is None and number in {container.latest_version, container.production_version}:
            raise damaged(f"version {number} of the prompt", container.id)
        record = None if row is None else read_version(container.id, row)
        self._read = container.id, number, record
        return record

    def versions(self, container: Container, *, before: int | None, limit: int) -> list[VersionRecord]:
        """Give versions, newest first, below the number `before`."""
        rows = self._connection.execute(
            f"SELECT {_VERSION} FROM versions v WHERE v.prompt = {_KEY} AND v.version < ?"
            " ORDER BY v.version DESC LIMIT ?",
            (container.id, _bounded(MAX_INTEGER if before is None else before), _bounded(limit)),
        ).fetchall()
        return [read_version(container.id, row) for row in rows]

    def unpublished(self, container: Container) -> list[int]:
        """Return the numbers of its drafts and failed versions, newest first."""
        numbers: list[int] = []
        for newest in range(container.last_version, 0, -MAX_SCANNED):
            rows = self._connection.execute(
                f"SELECT version FROM versions WHERE prompt = {_KEY} AND version > ? AND version <= ?"
                " AND state <> 'published' ORDER BY version DESC",
                (container.id, newest - MAX_SCANNED, newest),
            ).fetchall()
            numbers += [number for (number,) in rows]
        return numbers

    def publications(self, container: Container) -> list[int]:
        """Give the stack of publications, the live one last."""
        rows = self._connection.execute(
            f"SELECT depth, version, hash FROM publications WHERE prompt = {_KEY} ORDER BY depth", (container.id,)
        ).fetchall()
        what = "the publications of the prompt"
        for depth, number, stored in rows:
            require_whole(stored, digest, [[container.id, depth, number]], what, container.id)
        stack = [number for _, number, _ in rows]
        if (stack[-1] if stack else None) != container.production_version:
            raise damaged(what, container.id)
        return stack

    def query(self, query: Query) -> list[Shown]:
        """Give the prompts that a listing or a search finds, each with the version that it shows."""
        origin, order, sought = "prompts p", "p.name", None
        if query.text is not None:
            sought = _all_words(query.text)
            order = "search.rank, p.name" if self._has_few_hits(sought) else "search.rowid DESC"
        elif query.tag is not None and _is_sought(query.tag):  # else all prompts would be looked at for a rare tag
            tagged = f"tags : {_quoted(query.tag)}"
            sought = tagged if self._has_few_hits(tagged) else None
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
            f"SELECT {_PROMPT}, {_VERSION} FROM {origin} {_SHOWN}"
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
            " EXISTS (SELECT 1 FROM deletions WHERE deletions.prompt_id = e.prompt_id)"
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
        return journal.read_events(rows)

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

    def apply(self, changes: Sequence[Change]) -> None:
        """Persist the changes, and make the revision grow by one."""
        self.revision += 1
        self.has_applied = True
        self._read = None
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
        self._connection.execute("UPDATE registry SET revision = ?", (self.revision,))
        for change in changes:
            if change.after is None:
                self._forget_details(change.subject.id)

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
        self._publish(change, key)
        if change.reindexes():
            self._reindex(after, key, change)

    def _publish(self, change: Change, key: int) -> None:
        if change.kept_publications is not None:
            self._connection.execute(
                "DELETE FROM publications WHERE prompt = ? AND depth > ?", (key, change.kept_publications)
            )
        if change.published is not None:
            (depth,) = self._connection.execute(
                "SELECT coalesce(max(depth), 0) + 1 FROM publications WHERE prompt = ?", (key,)
            ).fetchone()
            self._connection.execute(
                "INSERT INTO publications (prompt, depth, version, hash) VALUES (?, ?, ?, ?)",
                (key, depth, change.published, digest([change.subject.id, depth, change.published])),
            )

    def _reindex(self, container: Container, key: int, change: Change) -> None:
        written = [v for v in (change.added, change.edited) if v is not None and v.number == container.shown_version]
        shown = written[0] if written else self.version(container, container.shown_version)
        if shown is None:
            raise LookupError("a change left a prompt without the version that it shows")
        self._connection.execute(
            "REPLACE INTO search (rowid, name, title, description, tags, template) VALUES (?, ?, ?, ?, ?, ?)",
            (key, *searched_text(container, shown.snapshot)),
        )

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


def _shown(row: Sequence[Any]) -> Shown:
    container = read_prompt(row[:_WIDTH])
    return container, read_version(container.id, row[_WIDTH:])


def _audience(audience: Audience) -> dict[str, Any]:
    return {
        "sees_all": audience.sees_all,
        "actor": audience.actor,
        "principals": json.dumps(audience.principals),
    }


def _all_words(text: str) -> str:
    """Quote each word for FTS5, so that all must match and none is an operator."""
    return " ".join(map(_quoted, dict.fromkeys(text.split())))


def _quoted(phrase: str) -> str:
    return '"' + phrase.replace('"', '""') + '"'


def _is_sought(tag: str) -> bool:
    """Tell whether full text surely knows a word of a tag, as it knows fewer letters than Python, and takes no long."""
    return len(tag) <= MAX_SOUGHT and any(character.isascii() and character.isalnum() for character in tag)


def _bounded(number: int) -> int:
    return min(number, MAX_INTEGER)
