"""A read transaction: one consistent snapshot of the database, and the statements that read prompts and versions.

That of `list` and `search` is in `queries.py`. What a row becomes is in `rows.py`; what writes is in `writer.py`.
Whether anything has changed is in `change_check.py`.
"""

import json
import sqlite3
from collections.abc import Sequence
from functools import partial
from typing import Literal

from promptreg.models import Event
from promptreg.records import Audience, Container, EventQuery, Link, Query, Shown, Synced, VersionRecord
from promptreg.rules.names import Reference
from promptreg.storage.base import Snapshot
from promptreg.storage.hashing import damaged
from promptreg.storage.rows import read_prompt, read_publications, read_version, require_versions, synced_from
from promptreg.storage.sqlite import deletions, event_chain
from promptreg.storage.sqlite.connections import Handle
from promptreg.storage.sqlite.queries import MAX_INTEGER, READABLE, audience_values, bounded, read_matching
from promptreg.storage.sqlite.selecting import PROMPT_FIELDS, VERSION_FIELDS

MAX_SEEN = 5_000  # prompts searched for a similar name: 10 ms where the grants of each are read
MAX_SCANNED = 10_000  # versions read by one statement, which takes 25 ms

_KEY = "(SELECT key FROM prompts WHERE id = ?)"


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
            (container.id, bounded(MAX_INTEGER if before is None else before), bounded(limit)),
        ).fetchall()
        records = [read_version(container.id, row) for row in rows]
        require_versions(container, records, before=before, limit=limit, discarded=partial(self._discarded, container))
        if limit == 1:
            self._last = wanted, records
        return records

    def _discarded(self, container: Container, oldest: int, newest: int) -> list[int]:
        """Return the numbers of discarded versions between two."""
        rows = self._connection.execute(
            "SELECT version FROM events WHERE prompt_id = ? AND action = 'discard' AND version BETWEEN ? AND ?",
            (container.id, oldest, newest),
        ).fetchall()
        return [number for (number,) in rows]

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
        """Return the prompts that a listing or a search finds, each with the version that it shows."""
        return read_matching(self._connection, query)

    def synced(self, namespace: str, source: str) -> Synced:
        """Return what was synchronised from a source; the hash of every prompt with a base is checked."""
        rows = self._connection.execute(
            f"SELECT {PROMPT_FIELDS} FROM prompts p WHERE p.namespace = ? AND p.synced IS NOT NULL ORDER BY p.name",
            (namespace,),
        ).fetchall()
        return Synced(synced_from(source, rows), frozenset(deletions.places(self._connection)))

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
            f" p WHERE {READABLE} LIMIT :limit",
            {**audience_values(audience), "namespace": namespace, "name": name, "limit": limit},
        ).fetchall()
        return [found for (found,) in rows if isinstance(found, str)]  # hashes are not checked here

    def events(self, query: EventQuery) -> list[Event]:
        """Return the events that match, by their numbers; of deleted prompts only to those who see all.

        Raises `StorageCorruptError` where an event is damaged, or missing among those of somebody who sees all.
        """
        from promptreg.storage.sqlite.event_log import read_events  # noqa: PLC0415 (with four modules, for no prompt)

        return read_events(self._connection, query)

    def namespaces(self, audience: Audience, home: str | None) -> list[str]:
        """Return the namespaces in which the audience may read a prompt; `home` too, if it has any prompt."""
        rows = self._connection.execute(
            f"SELECT DISTINCT p.namespace FROM prompts p WHERE p.namespace = :home OR {READABLE} ORDER BY p.namespace",
            {**audience_values(audience), "home": home},
        ).fetchall()
        return [namespace for (namespace,) in rows]

    def operation(self, key: str, now: str) -> str | None:
        """Return the result of an operation that was remembered less than a day before `now`."""
        from promptreg.storage.sqlite import operations  # noqa: PLC0415 (only for calls that are made once)

        return operations.result_of(self._connection, key, now)

    def has_event(self, link: Link) -> bool:
        """Return whether the chain has an event with this number and hash."""
        return link[0] > 0 and event_chain.link(self._connection, bounded(link[0])) == link

    def head(self) -> str:
        """Return the hash of the last event; raise `StorageCorruptError` unless it is the last that was written."""
        last = event_chain.last_link(self._connection)
        event_chain.require_last(self._connection, last)
        return last[1]


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
