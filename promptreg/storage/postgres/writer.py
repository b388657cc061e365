"""The one write transaction, and every statement that writes (what a row holds is in `promptreg/storage/rows.py`).

What is applied is queued, and sent in one round trip with the commit, or with the next read before it. So nothing can
be checked between two statements: where a row must be found, the statement that writes it raises otherwise
(`$.require`), and the commit behind it does nothing. Beginning and committing are in `transactions.py`.
"""

import os
from collections.abc import Callable, Hashable, Mapping, Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

from promptreg.bases import encoded_places
from promptreg.records import Change, Container, Link, Operation, Snapshot
from promptreg.storage.entry_rows import not_empty
from promptreg.storage.hashing import (
    DETAIL_COLUMNS,
    EVENT_COLUMNS,
    chained,
    damaged,
    operation_hash,
    publication_hash,
)
from promptreg.storage.postgres.batches import inserts, literal, parts, updates
from promptreg.storage.postgres.event_pages import LAST_LINK, read_last_link
from promptreg.storage.postgres.heads import HEAD_FIELDS, Head, read_head
from promptreg.storage.postgres.reader import PostgresReader
from promptreg.storage.postgres.schema import KINDS
from promptreg.storage.postgres.selecting import VERSION_FIELDS
from promptreg.storage.postgres.sessions import Session
from promptreg.storage.postgres.statements import Statement
from promptreg.storage.postgres.transactions import allow_silence
from promptreg.storage.postgres.words import search_row
from promptreg.storage.rows import PROMPT_COLUMNS, VERSION_COLUMNS, prompt_row, read_version, version_row
from promptreg.storage.written import subjects_of

if TYPE_CHECKING:
    from promptreg.storage.postgres.loading import Staging

LOCK = Statement(f"SELECT {HEAD_FIELDS}, r.last_event, r.last_hash FROM $.registry r FOR UPDATE")
STAMP_BYTES = 8


class PostgresWriter(PostgresReader):
    """The write transaction, which holds the lock of the registry's row: what it has read stays true until it commits.

    `notice` is called with the registry's row as it was found; it may raise.
    """

    def __init__(self, session: Session, notice: Callable[[Head], None]) -> None:
        locked, last = (result.rows for result in session.run(LOCK, LAST_LINK))  # the lock comes first
        head = read_head([row[: len(Head._fields)] for row in locked])
        notice(head)
        super().__init__(session, notice, head)
        self._links = last, [locked[0][len(Head._fields) :]]
        self._last_link: Link | None = None
        self.has_applied = False
        self.written: set[Hashable] | None = set()
        """Ids of the prompts that were written, and their namespaces and names; None where everything was loaded."""

    def apply(self, changes: Sequence[Change], operation: Operation | None = None) -> Link | None:
        """Write the changes, remember the operation, increase the revision by one, and return the first event."""
        allow_silence(self.session, len(changes))
        last = self._last_link or read_last_link(*self._links)
        head = self._raise_revision()
        shown = self._shown_before(changes)
        if self.written is not None:
            self.written.update(subjects_of(changes))
        self.forget()
        moved: list[Container] = []
        for is_deletion, group in groupby(changes, key=lambda change: change.after is None):
            if is_deletion:
                self._delete([*group])
                continue
            for change in group:
                if change.moves_only():
                    moved.append(change.subject)
                else:
                    self._save(change, change.subject, shown)
        if moved:
            self._move([(container, container.name) for container in moved])
        events, details = chained(changes, last)
        self.session.begin(*_INTO_EVENTS.of(events), *_INTO_DETAILS.of(details))
        first, self._last_link = (_link(events[0]), _link(events[-1])) if events else (None, last)
        self._queue(_ADVANCE, (head.revision, head.stamp, *self._last_link))
        self._forget_details([change.subject.id for change in changes if change.after is None])
        if operation is not None:
            self._remember_operation(operation)
        return first

    def load(self, staging: "Staging") -> None:
        """Write everything that was staged into a database that holds nothing; raise `ConflictError` for any other."""
        self.require_empty()
        head, self.written = self._raise_revision(), None
        for statement in staging.statements(head.revision):
            self.session.run(statement)
        self._last_link = staging.last
        self._queue(_ADVANCE, (head.revision, head.stamp, *staging.last))

    def require_empty(self) -> None:
        """Raise `ConflictError` where anything was ever written."""
        any_row = " OR ".join(f"EXISTS (SELECT 1 FROM $.{table})" for table in ("events", "prompts", "deletions"))
        if self._rows(f"SELECT {any_row}") != [(False,)]:
            raise not_empty()

    def _raise_revision(self) -> Head:
        """Increase the revision by one, and make a new stamp, of what is written now."""
        head = self.registry_row
        self._head = head._replace(revision=head.revision + 1, stamp=os.urandom(STAMP_BYTES).hex())
        self.has_applied = True
        return self._head

    def _queue(self, text: str, values: Sequence[Any]) -> None:
        self.session.begin(Statement(text, values))

    def _move(self, moved: Sequence[tuple[Container, str]], first: str = "status") -> None:
        """Update prompts, each given with the name of its row before; write the columns from `first` on."""
        unchanged = PROMPT_COLUMNS.index(first)
        rows = [(*prompt_row(after)[unchanged:], self.registry_row.revision, after.id, name) for after, name in moved]
        self.session.begin(*_MOVES[first].of(rows))

    def _save(self, change: Change, after: Container, shown: Mapping[str, Snapshot]) -> None:
        if change.before is not None and after.publications is None:  # a row of an earlier schema
            counted = change.before._replace(publications=len(self.version_numbers(change.before, "publications")))
            depth = counted.publications_after(change.published, change.kept_publications)
            after = after._replace(publications=depth)
        if change.before is None:
            self._queue(_INSERT_PROMPT, (*prompt_row(after), self.registry_row.revision))
        else:
            is_renamed = change.before.name != after.name
            self._move([(after, change.before.name)], first="name" if is_renamed else "status")
        key = after.id, after.name
        if change.removed is not None:
            self._queue(_DELETE_VERSION, (*key, change.removed))
        if change.edited is not None:
            self._queue(_UPDATE_VERSION, (*version_row(after.id, change.edited), *key, change.edited.number))
        added = () if change.added is None else (*(change.earlier or ()), change.added)
        for version in added:
            self._queue(_INSERT_VERSION, (*key, *version_row(after.id, version)))
        self._publish(change, after)
        if change.reindexes():
            self._reindex(change, after, shown)

    def _publish(self, change: Change, after: Container) -> None:
        key = after.id, after.name
        if change.kept_publications is not None:
            self._queue(_CUT_PUBLICATIONS, (*key, change.kept_publications))
        if change.published is not None:
            depth = after.publications or 0
            hash_ = publication_hash(after.id, depth, change.published)
            otherwise = damaged("the publications of the prompt", after.id).message
            self._queue(_PUBLISH, (depth, change.published, hash_, *key, depth, otherwise))

    def _shown_before(self, changes: Sequence[Change]) -> Mapping[str, Snapshot]:
        """Return, by prompt, the versions that will be shown and are not written by these changes, in one round trip.

        They are those that a rollback brings back.
        """
        wanted = [
            change.subject
            for change in changes
            if change.before and change.after and change.reindexes() and not _written(change)
        ]
        if not wanted:
            return {}
        rows = self._rows(
            f"SELECT p.id, {VERSION_FIELDS} FROM unnest(%(ids)s::text[], %(numbers)s::bigint[]) AS wanted (id, number)"
            " JOIN $.prompts p ON p.id = wanted.id JOIN $.versions v ON v.prompt = p.key AND v.version = wanted.number",
            ids=[container.id for container in wanted],
            numbers=[container.shown_version for container in wanted],
        )
        return {prompt_id: read_version(prompt_id, row).snapshot for prompt_id, *row in rows}

    def _reindex(self, change: Change, after: Container, shown: Mapping[str, Snapshot]) -> None:
        snapshot = _written(change) or shown.get(after.id)
        if snapshot is None:  # another change wrote it
            snapshot = self.versions(after, before=after.shown_version + 1, limit=1)[0].snapshot
        self._queue(_INDEX, (*search_row(after, snapshot), after.id, after.name))

    def _delete(self, changes: Sequence[Change]) -> None:
        """Delete prompts with their versions, and record that; the names and details of their events come last."""
        rows = [
            (change.subject.id, self.registry_row.revision, change.at, places)
            for change in changes
            for places in [encoded_places(change.subject.namespace, change.subject.synced)]
        ]
        self.session.begin(*_RECORD_DELETIONS.of(rows))
        for part in parts([change.subject for change in changes]):
            ids, names = [container.id for container in part], [container.name for container in part]
            for table in ("search", "publications", "versions"):
                self._queue(f"DELETE FROM $.{table} WHERE prompt IN ({_KEYS})", (ids, names))
            self._queue(_DELETE_PROMPTS, (ids, names, len(part)))

    def _remember_operation(self, operation: Operation) -> None:
        """Remember an operation at the server's time, and forget those that are older than a day."""
        key, result = operation.key, operation.result
        self._queue(_FORGET_OPERATIONS, ())
        self._queue(_REMEMBER_OPERATION, (key, result, operation_hash(key, result)))

    def _forget_details(self, prompt_ids: Sequence[str]) -> None:
        """Delete the names and details of deleted prompts' events; the delete event keeps its name."""
        for part in parts(prompt_ids):
            self._queue(_FORGET_DETAILS, (part,))


def _written(change: Change) -> Snapshot | None:
    """Return the content that the prompt shows after the change, if the change writes it."""
    for version in (change.added, change.edited, *(change.earlier or ())):
        if version is not None and version.number == change.subject.shown_version:
            return version.snapshot
    return None


def _link(event: Sequence[Any]) -> Link:
    return event[0], event[-1]


def _columns_from(first: str) -> tuple[str, ...]:
    return PROMPT_COLUMNS[PROMPT_COLUMNS.index(first) :]


# The name identifies the row too: a damaged index of ids must not lead to another prompt's row.
_KEY = "SELECT key FROM $.prompts WHERE id = %s AND name = %s"
_KEYS = (
    "SELECT p.key FROM $.prompts p JOIN unnest(%s::text[], %s::text[]) AS d (id, name)"
    " ON p.id = d.id AND p.name = d.name"
)
_DAMAGED_INDEX = damaged("the index of", "prompts").message
# Columns that have an index and stay as they are, are not written.
_MOVES = {
    first: updates(
        "prompts",
        (*_columns_from(first), "revision"),
        by=("id", "name"),
        kinds=KINDS,
        otherwise=_DAMAGED_INDEX,
    )
    for first in ("name", "status")
}
_INSERT_PROMPT = inserts("prompts", (*PROMPT_COLUMNS, "revision"), KINDS).one
_INSERT_VERSION = (
    f"INSERT INTO $.versions (prompt, {', '.join(VERSION_COLUMNS)}) VALUES (({_KEY}){', %s' * len(VERSION_COLUMNS)})"
)
_UPDATE_VERSION = (
    f"UPDATE $.versions SET ({', '.join(VERSION_COLUMNS)}) = ROW ({', '.join(['%s'] * len(VERSION_COLUMNS))})"
    f" WHERE prompt = ({_KEY}) AND version = %s"
)
_DELETE_VERSION = f"DELETE FROM $.versions WHERE prompt = ({_KEY}) AND version = %s"
_CUT_PUBLICATIONS = f"DELETE FROM $.publications WHERE prompt = ({_KEY}) AND depth > %s"
_PUBLISH = (
    "INSERT INTO $.publications (prompt, depth, version, hash)"
    f" SELECT of.key, %s, %s, %s FROM ({_KEY}) AS of"
    " WHERE $.require((SELECT coalesce(max(depth), 0) + 1 FROM $.publications WHERE prompt = of.key) = %s, %s)"
)
_INDEX = (
    "INSERT INTO $.search (words, tags, content, prompt)"
    f" VALUES (%s, %s, %s, ({_KEY})) ON CONFLICT (prompt)"
    " DO UPDATE SET words = excluded.words, tags = excluded.tags, content = excluded.content"
)
_RECORD_DELETIONS = inserts("deletions", ("prompt_id", "revision", "at", "synced"), KINDS)
_DELETE_PROMPTS = (
    f"WITH written AS (DELETE FROM $.prompts WHERE key IN ({_KEYS}) RETURNING 1)"
    f" SELECT $.require(count(*) = %s, {literal(_DAMAGED_INDEX)}) FROM written"
)
_FORGET_DETAILS = (
    "DELETE FROM $.event_details d USING $.events e"
    " WHERE e.seq = d.seq AND e.prompt_id = ANY(%s) AND e.action <> 'delete'"
)
_INTO_EVENTS = inserts("events", EVENT_COLUMNS, KINDS)
_INTO_DETAILS = inserts("event_details", DETAIL_COLUMNS, KINDS)
_FORGET_OPERATIONS = "DELETE FROM $.operations WHERE at <= pg_catalog.now() - interval '24 hours'"
_REMEMBER_OPERATION = "INSERT INTO $.operations (key, at, result, hash) VALUES (%s, pg_catalog.now(), %s, %s)"
_ADVANCE = "SELECT $.advance(%s, %s, %s, %s)"
