"""A read transaction: one consistent snapshot of the database, and every statement that reads prompts and versions.

What a row becomes is in `rows.py`; what writes is in `writer.py`. Whether anything has changed is in `change_check.py`.
"""

import json
import sqlite3
from collections.abc import Sequence
from typing import Any, Literal, get_args

from promptreg.models import Event, Status
from promptreg.records import Audience, Container, Query, Shown, VersionRecord
from promptreg.rules.names import Reference
from promptreg.storage.base import Snapshot
from promptreg.storage.hashing import damaged
from promptreg.storage.sqlite import event_log
from promptreg.storage.sqlite.connections import Handle
from promptreg.storage.sqlite.rows import (
    PROMPT_FIELDS,
    SHOWN,
    SHOWN_FIELDS,
    VERSION_FIELDS,
    read_prompt,
    read_publications,
    read_shown,
    read_version,
)

MAX_INTEGER = 2**63 - 1
MAX_SEEN = 5_000  # prompts searched for a similar name: 10 ms where the grants of each are read
MAX_RANKED = 1_000  # hits; bm25 reads each of them, which takes 60 ms for a word in 100,000 prompts
MAX_SCANNED = 10_000  # versions read by one statement, which takes 25 ms

_STATUSES = ", ".join(f"'{status}'" for status in get_args(Status))
_KEY = "(SELECT key FROM prompts WHERE id = ?)"
_READABLE = (
    "(:sees_all OR p.created_by = :actor OR EXISTS (SELECT 1 FROM json_each(p.access_grants) AS granted"
    " WHERE json_extract(granted.value, '$[0]') IN (SELECT value FROM json_each(:principals))))"
)


class Moment:
    """A snapshot of which nothing is read yet, for a slice of `verify`; only a write transaction can be refused."""

    is_refused = False

    def __init__(self, handle: Handle) -> None:
        self.handle = handle
        handle.connection.execute("SELECT count(*) FROM sqlite_master").fetchone()


class SQLiteReader:
    """One consistent snapshot.

    The rows of each statement are all fetched at once: a cursor that is read in part keeps the snapshot open, even
    after a rollback, and whoever keeps an error would keep its cursor.
    """

    is_refused = False  # only a write transaction can be

    def __init__(self, handle: Handle) -> None:
        self.handle = handle
        connection = self._connection = handle.connection
        # The last version that was read, as production is often the latest one too.
        self._last: tuple[tuple[str, int | None], list[VersionRecord]] | None = None
        self.revision = revision_in(connection)
        self._signature = handle.number, data_version(connection)

    @property
    def snapshot(self) -> Snapshot:
        """What two transactions compare to know that nothing changed between them."""
        return Snapshot(self.revision, self._signature)

    def find(self, namespace: str, references: Sequence[Reference]) -> list[Container | None]:
        """Return the prompts of a namespace with these names and ids, in their order."""
        if len(references) != 1:
            return self._find_many(namespace, references)
        (reference,) = references
        column = "id" if reference.is_id else "name"
        row = self._connection.execute(
            f"SELECT {PROMPT_FIELDS} FROM prompts p WHERE p.namespace = ? AND p.{column} = ?",
            (namespace, reference.text),
        ).fetchone()
        return [None if row is None else read_prompt(row)]

    def _find_many(self, namespace: str, references: Sequence[Reference]) -> list[Container | None]:
        found: dict[str, Container] = {}
        for column, is_id in (("id", True), ("name", False)):
            texts = [reference.text for reference in references if reference.is_id is is_id]
            rows = self._connection.execute(
                f"SELECT {PROMPT_FIELDS} FROM json_each(?) AS wanted"
                f" CROSS JOIN prompts p ON p.namespace = ? AND p.{column} = wanted.value",
                (json.dumps(texts), namespace),
            ).fetchall()
            for container in map(read_prompt, rows):
                found[getattr(container, column)] = container
        return [found.get(reference.text) for reference in references]

    def versions(self, container: Container, *, before: int | None, limit: int) -> list[VersionRecord]:
        """Return at most `limit` versions with numbers below `before`, newest first.

        Raises `StorageCorruptError` where one among them is missing that was not discarded.
        """
        wanted = (container.id, before)
        if limit == 1 and self._last is not None and self._last[0] == wanted:
            return self._last[1]
        rows = self._connection.execute(
            f"SELECT {VERSION_FIELDS} FROM versions v WHERE v.prompt = {_KEY} AND v.version < ?"
            " ORDER BY v.version DESC LIMIT ?",
            (container.id, _bounded(MAX_INTEGER if before is None else before), _bounded(limit)),
        ).fetchall()
        records = [read_version(container.id, row) for row in rows]
        above = container.latest_version if before is None else min(before - 1, container.latest_version)
        self._require_complete(container, records, above, 1 if len(records) < limit else records[-1].number)
        if limit == 1:
            self._last = wanted, records
        return records

    def _require_complete(
        self, container: Container, records: Sequence[VersionRecord], newest: int, oldest: int
    ) -> None:
        """Raise `StorageCorruptError` unless these are all the versions between two numbers but the discarded ones."""
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
        """Return the prompts that a listing or a search finds, each with the version that it shows.

        A prompt whose status is damaged is read by every listing, so that its hash is checked.
        """
        from promptreg.storage.sqlite import fulltext  # noqa: PLC0415 (with the word tables, which most reads never need)

        origin, order, sought = "prompts p", "p.name", None
        if query.text is not None:
            sought = fulltext.matching(self._connection, query.text)
            if sought is None:
                return []
            order = "search.rank, p.name" if self._has_few_hits(sought) else "search.rowid DESC"
        elif query.tag is not None:  # a rare tag is found by full text, without reading every prompt
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
            f"SELECT {SHOWN_FIELDS} FROM {origin} {SHOWN}"
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
        return [read_shown(row) for row in rows]

    def names_near(self, namespace: str, audience: Audience, name: str, *, limit: int) -> list[str]:
        """Return at most `limit` names that the audience may read, those that sort next to a name.

        On each side at most 5,000 prompts are read, as an actor may be allowed none of many.
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
        return [found for (found,) in rows if isinstance(found, str)]  # hashes are not checked here

    def _has_few_hits(self, sought: str) -> bool:
        """Return whether the full text finds few enough prompts, of all namespaces, to rank or sort them."""
        (hits,) = self._connection.execute(
            "SELECT count(*) FROM (SELECT rowid FROM search WHERE search MATCH ? LIMIT ?)", (sought, MAX_RANKED + 1)
        ).fetchone()
        return bool(hits <= MAX_RANKED)

    def events(
        self, namespace: str, audience: Audience, *, prompt_id: str | None, after: int, limit: int
    ) -> list[Event]:
        """Return at most `limit` events after that number, oldest first; of deleted prompts only to those who see all.

        Raises `StorageCorruptError` where an event is damaged, or missing among those of somebody who sees all.
        """
        rows = self._connection.execute(
            f"SELECT {event_log.EVENT_FIELDS}, {event_log.PRECEDING_HASH} FROM events e"
            " LEFT JOIN event_details d ON d.seq = e.seq"
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
        events = [event_log.read_event(row, preceding) for *row, preceding in rows]
        if audience.sees_all:
            last = events[-1].seq if len(events) == limit else None
            column, value = ("namespace", namespace) if prompt_id is None else ("prompt_id", prompt_id)
            listed = [event.seq for event in events]
            event_log.require_complete(self._connection, column, value, after=after, last=last, listed=listed)
        return events

    def namespaces(self, audience: Audience, home: str | None) -> list[str]:
        """Return the namespaces in which the audience may read a prompt; `home` too, if it has any prompt."""
        rows = self._connection.execute(
            f"SELECT DISTINCT p.namespace FROM prompts p WHERE p.namespace = :home OR {_READABLE} ORDER BY p.namespace",
            {**_audience(audience), "home": home},
        ).fetchall()
        return [namespace for (namespace,) in rows]


def data_version(connection: sqlite3.Connection) -> int:
    """Return the number that differs once another connection has committed."""
    (version,) = connection.execute("PRAGMA data_version").fetchone()
    return int(version)


def revision_in(connection: sqlite3.Connection) -> int:
    """Return the revision; raise `StorageCorruptError` where the registry's row holds none."""
    row = connection.execute("SELECT revision FROM registry").fetchone()
    if row is None or type(row[0]) is not int or not 0 <= row[0] < MAX_INTEGER:
        raise damaged("the registry's", "revision")
    return int(row[0])


def _audience(audience: Audience) -> dict[str, Any]:
    return {
        "sees_all": audience.sees_all,
        "actor": audience.actor,
        "principals": json.dumps(audience.principals),
    }


def _bounded(number: int) -> int:
    return min(number, MAX_INTEGER)
