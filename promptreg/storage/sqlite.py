"""SQLite behind the seam: plain SQL through one connection a thread.

A verb's write is one short `BEGIN IMMEDIATE` transaction, so what it read stays true; a read is one
deferred transaction, so what it reads is one moment's. sqlite-utils makes and maintains the database.
"""

import json
import os
import sqlite3
import time
from collections.abc import Callable, Hashable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext, suppress
from functools import partial
from typing import Any, NoReturn, TypeVar

from promptreg.errors import CommitUnknownError, StorageError, StorageReadOnlyError
from promptreg.jsonvalues import digest
from promptreg.models import Event
from promptreg.records import Audience, Change, Container, Query, Shown, VersionRecord
from promptreg.rules.names import Reference
from promptreg.storage import erasure, journal
from promptreg.storage.base import Mark, News, Page, StorageSettings
from promptreg.storage.connections import Connections, Handle, Watching
from promptreg.storage.failures import is_busy, primary_code, translated
from promptreg.storage.gate import FORKS
from promptreg.storage.opening import open_first, open_memory, open_to_read, open_to_watch, open_to_write
from promptreg.storage.place import Place
from promptreg.storage.queue import Deadline, WriterQueue
from promptreg.storage.readonly import Access, is_outdated
from promptreg.storage.rows import (
    PROMPT_COLUMNS,
    VERSION_COLUMNS,
    damaged,
    prompt_row,
    read_prompt,
    read_version,
    searched_text,
    version_row,
)
from promptreg.storage.sidecar import SUFFIX as SIDECAR
from promptreg.storage.sidecar import Board, MemoryBoard, NoBoard, Sidecar, revision_of

R = TypeVar("R", bound="SQLiteReader")

MAX_INTEGER = 2**63 - 1
BUSY_PAUSE = 0.001  # seconds outside the gate, between two waits in SQLite
ROUNDS = 5
MAX_CHANGED = 1_000  # prompts that a cache drops one by one
MAX_RANKED = 1_000  # hits; bm25 looks at each, which takes 60 ms for a word in 100,000 prompts

_PROMPT = ", ".join(f"p.{column}" for column in PROMPT_COLUMNS)
_VERSION = ", ".join(f"v.{column}" for column in VERSION_COLUMNS)
_WIDTH = len(PROMPT_COLUMNS)
_KEY = "(SELECT key FROM prompts WHERE id = ?)"
_SHOWN = "JOIN versions v ON v.prompt = p.key AND v.version = coalesce(p.production_version, p.latest_version)"
_READABLE = (
    "(:sees_all OR p.created_by = :actor OR EXISTS (SELECT 1 FROM json_each(p.access_grants) AS granted"
    " WHERE json_extract(granted.value, '$[0]') IN (SELECT value FROM json_each(:principals))))"
)


class SQLiteStorage:
    """A registry in one SQLite file, or with `":memory:"` in this process."""

    def __init__(self, settings: StorageSettings) -> None:
        self._is_file = settings.path != ":memory:"
        self._settings = settings
        self._erasing_again_at: float | None = None
        with translated(settings.path), FORKS.opening.passing():
            self.path = os.path.abspath(settings.path) if self._is_file else settings.path
            place = self._place = Place(self.path)
            self._access, first = open_first(self.path, settings) if self._is_file else _open_memory(settings)
            if self._is_file:
                place.settle()
            self._queue = WriterQueue(self.path) if self._access is Access.WRITE else None
            self._board: Board = self._open_board()
            self._old_board: Board | None = None
            # Functions and no methods, so that a registry that is dropped is no cycle, and closes at once.
            opener = {Access.READ: open_to_read, Access.WRITE: open_to_write, Access.MEMORY: _lost}[self._access]
            self._connections = Connections(
                place,
                partial(opener, self.path, settings),
                partial(open_to_watch, self.path, settings),
                first,
                is_shared=self._access is not Access.WRITE,
            )
        if self._queue is not None:
            self._connections.after_fork_in_child = self._queue.forked
        with self._connections.use() as handle:
            self._erase(handle)

    def _open_board(self) -> Board:
        if self._access is Access.MEMORY:
            return MemoryBoard()
        if self._access is not Access.WRITE:
            return NoBoard()
        try:
            return Sidecar(self.path)
        except OSError as error:
            raise StorageError(
                f"{self.path}{SIDECAR} can't be used ({error.strerror}); let this process write it."
            ) from error

    @contextmanager
    def watch(self) -> Iterator["SQLiteWatch"]:
        """Look for changes, one thread at a time."""
        self._renew()
        with self._connections.watch() as watching:
            yield SQLiteWatch(self, watching)
        if self._erasing_again_at is not None:
            with self._connections.use() as handle:
                self._erase_if_due(handle)

    @contextmanager
    def read(self) -> Iterator["SQLiteReader"]:
        """Open a consistent look."""
        self._renew()
        with self._begun("BEGIN", SQLiteReader, Deadline(self._settings.busy_timeout)) as (handle, reader):
            self._show(reader.revision)
            yield reader
            _roll_back(handle.connection)
            self._erase_if_due(handle)

    @contextmanager
    def write(self) -> Iterator["SQLiteWriter"]:
        """Open the one write transaction; leaving it commits what was applied, an exception nothing."""
        if self._access is Access.READ:
            raise StorageReadOnlyError(
                f"{self.path} can't be written by this process, or its folder can't; let it write both.",
                retry_after=None,
            )
        deadline = Deadline(self._settings.busy_timeout)
        with self._turn(deadline), self._begun("BEGIN IMMEDIATE", SQLiteWriter, deadline) as (handle, writer):
            self._require_board()
            yield writer
            if writer.has_applied:
                self._commit(handle, writer.revision)
            if writer.has_deleted or self._erasing_again_at is not None:
                self._erase(handle)

    def close(self) -> None:
        """Erase what is still to be erased, and close every connection; closing twice is fine.

        What can't be erased now stays due, and whoever opens the file next does it.
        """
        try:
            if self._erasing_again_at is not None:
                with suppress(StorageError), self._connections.use() as handle:
                    self._erase(handle)
        finally:
            self._connections.close()
            for held in (self._queue, self._board, self._old_board):
                if held is not None:
                    held.close()

    def abandon(self) -> None:
        """Leave all that an interrupt may have left this thread holding: a transaction, a turn, the gate, the queue."""
        self._connections.abandon()
        if self._queue is not None:
            self._queue.abandon()

    def _renew(self) -> None:
        """Look again how the file can be read, where it can't be written and what is read is only of one moment."""
        if self._access is not Access.READ:
            return
        with self._connections.watch() as watching:
            if self._place.is_kept() and is_outdated(os.path.realpath(self.path), watching.watcher()):
                self._connections.renew()

    @contextmanager
    def _begun(
        self, statement: str, kind: Callable[[sqlite3.Connection], R], deadline: Deadline
    ) -> Iterator[tuple[Handle, R]]:
        """Begin a transaction, waiting for others a slice at a time, outside the gate; leave none open."""
        while True:
            with self._connections.use() as handle:
                try:
                    begun = _tried(handle.connection, statement, kind, deadline)
                    if begun is not None:
                        yield handle, begun
                        return
                finally:
                    _roll_back(handle.connection)
            time.sleep(BUSY_PAUSE)

    def _turn(self, deadline: Deadline) -> AbstractContextManager[None]:
        return nullcontext() if self._queue is None else self._queue.turn(deadline)

    def _require_board(self) -> None:
        """Make the sidecar anew where somebody removed it; who still looks at the old one is told there too."""
        if isinstance(self._board, Sidecar) and not self._board.is_in_place():
            self._old_board, self._board = self._board, self._open_board()

    def _show(self, revision: int) -> None:
        """Show what was read before it is returned, where its writer died before it could."""
        if self._board.is_shown and revision_of(self._board.read()) < revision:
            self._board.publish(revision)

    def _publish(self, revision: int) -> None:
        self._board.publish(revision)
        if self._old_board is not None:
            self._old_board.publish(revision)

    def _erase(self, handle: Handle, *, patience_ms: int = erasure.PATIENCE_MS) -> None:
        if self._access is Access.WRITE:
            is_done = erasure.erase(handle, patience_ms)
            self._erasing_again_at = None if is_done else time.monotonic() + erasure.RETRY_SECONDS

    def _erase_if_due(self, handle: Handle) -> None:
        if self._erasing_again_at is not None and time.monotonic() > self._erasing_again_at:
            self._erase(handle, patience_ms=0)

    def _commit(self, handle: Handle, revision: int) -> None:
        """Commit, and publish before anybody learns of it; interrupted, publish all the same that it may hold."""
        try:
            handle.connection.execute("COMMIT")
            self._publish(revision)
        except BaseException as error:
            with suppress(OSError):
                self._publish(revision - 1)
            if isinstance(error, OSError) or (
                isinstance(error, sqlite3.OperationalError) and primary_code(error) == sqlite3.SQLITE_IOERR
            ):
                raise CommitUnknownError(
                    f"The commit to {self.path} failed ({error}) and may or may not hold; read before you try again."
                ) from error
            raise


def _lost(path: str, settings: StorageSettings) -> NoReturn:
    raise StorageError(f"The database {path} is lost; open a new registry.")


def _open_memory(settings: StorageSettings) -> tuple[Access, Handle]:
    return Access.MEMORY, open_memory(settings)


class SQLiteWatch:
    """A look at whether anything has changed since a mark."""

    def __init__(self, storage: SQLiteStorage, watching: Watching) -> None:
        self._storage = storage
        self._watching = watching

    @property
    def page(self) -> Page:
        """What differs from a mark's token once anything may have changed."""
        return self._storage._board.page

    def news(self, since: Mark | None) -> News:
        """Tell what has changed; see `sidecar.py` for the protocol."""
        storage = self._storage
        if since is not None and not storage._place.is_kept():
            return News(since, frozenset(), is_gone=True)
        storage._place.require_kept()
        storage._require_board()
        handle, board = self._watching.watcher(), storage._board
        if since is not None and board.read() == since.token and _seen(handle) == since.seen:
            return News(since, frozenset())
        for _ in range(ROUNDS):
            token = board.read()
            news = self._looked(handle, token, since)
            if not board.is_shown or revision_of(token) == news.mark.revision:
                break
            board.publish(news.mark.revision)
        return news

    def _looked(self, handle: Handle, token: bytes, since: Mark | None) -> News:
        seen = _seen(handle)  # before anything is read, so that whatever follows is news
        # Where what has changed is not asked for, a connection looks that has read the schema already.
        connection = self._watching.usual().connection if since is None else handle.connection
        try:
            connection.execute("BEGIN")
            mark = Mark(token, _revision(connection), journal.last_link(connection), seen)
            if self._storage._erasing_again_at is None and erasure.progress(connection).is_due:
                self._storage._erasing_again_at = 0.0
            return News(mark, _changed(connection, since, mark))
        finally:
            _roll_back(connection)


def _seen(handle: Handle) -> tuple[int, int]:
    """Give what differs once another connection has committed, or this is another one."""
    return handle.number, _data_version(handle.connection)


def _changed(connection: sqlite3.Connection, since: Mark | None, now: Mark) -> frozenset[Hashable] | None:
    """Give what has changed since a mark; None where the revisions do not tell it.

    A commit without a revision is another tool's, and a database without the mark's last event is a restored one.
    """
    if since is None or now.revision < since.revision or journal.link(connection, since.link[0]) != since.link:
        return None
    if now.revision == since.revision:
        return frozenset() if now.seen == since.seen else None
    rows = connection.execute(
        "SELECT id, namespace, name FROM prompts WHERE revision > :since UNION ALL"
        " SELECT prompt_id, NULL, NULL FROM deletions WHERE revision > :since LIMIT :most",
        {"since": since.revision, "most": MAX_CHANGED + 1},
    ).fetchall()
    if len(rows) > MAX_CHANGED:
        return None
    return frozenset([id_ for id_, _, _ in rows] + [(namespace, name) for _, namespace, name in rows])


def _tried(
    connection: sqlite3.Connection, statement: str, kind: Callable[[sqlite3.Connection], R], deadline: Deadline
) -> R | None:
    """Begin, and read, which is what takes the snapshot; None where others hold the lock and there is time left."""
    try:
        connection.execute(statement)
        return kind(connection)
    except sqlite3.OperationalError as error:
        if is_busy(error) and deadline.left():
            return None
        raise


def _data_version(connection: sqlite3.Connection) -> int:
    (version,) = connection.execute("PRAGMA data_version").fetchone()
    return int(version)


class SQLiteReader:
    """One consistent look."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._read: tuple[str, int, VersionRecord | None] | None = None  # production is often the latest too
        self.revision = _revision(connection)
        self.moment = (self.revision, _data_version(connection))

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
        for column in ("id", "name"):
            texts = [r.text for r in references if r.is_id == (column == "id")]
            rows = self._connection.execute(
                f"SELECT {_PROMPT} FROM json_each(?) AS asked"
                f" CROSS JOIN prompts p ON p.namespace = ? AND p.{column} = asked.value",
                (json.dumps(texts), namespace),
            )
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
        record = None if row is None else read_version(container.id, row)
        self._read = container.id, number, record
        return record

    def versions(self, container: Container, *, before: int | None, limit: int) -> list[VersionRecord]:
        """Give versions, newest first, below the number `before`."""
        rows = self._connection.execute(
            f"SELECT {_VERSION} FROM versions v WHERE v.prompt = {_KEY} AND v.version < ?"
            " ORDER BY v.version DESC LIMIT ?",
            (container.id, _bounded(MAX_INTEGER if before is None else before), _bounded(limit)),
        )
        return [read_version(container.id, row) for row in rows]

    def publications(self, container: Container) -> list[int]:
        """Give the stack of publications, the live one last."""
        rows = self._connection.execute(
            f"SELECT depth, version, hash FROM publications WHERE prompt = {_KEY} ORDER BY depth", (container.id,)
        ).fetchall()
        stack = [number for _, number, _ in rows]
        is_whole = all(stored == digest([container.id, depth, number]) for depth, number, stored in rows)
        if not is_whole or (stack[-1] if stack else None) != container.production_version:
            raise damaged("the publications of the prompt", container.id)
        return stack

    def query(self, query: Query) -> list[Shown]:
        """Give the prompts that a listing or a search finds, each with the version that it shows."""
        if query.text is None:
            origin, order = "prompts p", "p.name"
        else:
            origin = "search CROSS JOIN prompts p ON p.key = search.rowid"
            order = "search.rank, p.name" if self._is_ranked(query.text) else "search.rowid DESC"
        conditions = ["p.namespace = :namespace", "p.name > :after", _READABLE]
        conditions.append("p.status IN (SELECT value FROM json_each(:statuses))")
        for column, value in (("p.created_by", query.created_by), ("v.category", query.category)):
            if value is not None:
                conditions.append(f"{column} = :{column[2:]}")
        if query.tag is not None:
            conditions.append("EXISTS (SELECT 1 FROM json_each(v.tags) AS tagged WHERE tagged.value = :tag)")
        if query.text is not None:
            conditions.append("search MATCH :text")
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
                "text": query.text and _all_words(query.text),
                "limit": _bounded(query.limit),
            },
        )
        return [_shown(row) for row in rows]

    def _is_ranked(self, text: str) -> bool:
        """Tell whether few enough prompts, of all namespaces, hold these words to rank them."""
        (hits,) = self._connection.execute(
            "SELECT count(*) FROM (SELECT rowid FROM search WHERE search MATCH ? LIMIT ?)",
            (_all_words(text), MAX_RANKED + 1),
        ).fetchone()
        return bool(hits <= MAX_RANKED)

    def events(
        self, namespace: str, audience: Audience, *, prompt_id: str | None, after: int, limit: int
    ) -> list[Event]:
        """Give events after that number, oldest first; of deleted prompts only to those who see all."""
        rows = self._connection.execute(
            "SELECT e.seq, e.at, e.actor, e.action, e.namespace, e.prompt_id, e.version, e.commitment,"
            " d.salt, d.name, d.details"
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
        )
        return journal.read_events(rows)

    def namespaces(self, audience: Audience, home: str | None) -> list[str]:
        """Give the namespaces in which the audience may read something; all of `home`, if that is given."""
        rows = self._connection.execute(
            f"SELECT DISTINCT p.namespace FROM prompts p WHERE p.namespace = :home OR {_READABLE} ORDER BY p.namespace",
            {**_audience(audience), "home": home},
        )
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
        moved: list[Container] = []
        for change in changes:
            if change.after is None:
                self._delete(change)
            elif change.moves_only():
                moved.append(change.after)
            else:
                self._save(change, change.after)
        self._move(moved)
        journal.append(self._connection, changes)
        self._connection.execute("UPDATE registry SET revision = ?", (self.revision,))
        for change in changes:
            if change.after is None:
                self._forget_details(change.subject.id)

    def _move(self, moved: Sequence[Container]) -> None:
        rows = [(*prompt_row(container)[_KEPT:], self.revision, container.id) for container in moved]
        if rows:
            self._connection.executemany(_MOVE_PROMPT, rows)

    def _save(self, change: Change, after: Container) -> None:
        if change.before is None:
            self._connection.execute(_INSERT_PROMPT, (*prompt_row(after), self.revision))
        else:
            self._move([after])
            if change.before.name != after.name:
                self._connection.execute("UPDATE prompts SET name = ? WHERE id = ?", (after.name, after.id))
        if change.removed is not None:
            self._connection.execute(
                f"DELETE FROM versions WHERE prompt = {_KEY} AND version = ?", (after.id, change.removed)
            )
        if change.edited is not None:
            self._connection.execute(
                _UPDATE_VERSION, (*version_row(after.id, change.edited), after.id, change.edited.number)
            )
        if change.added is not None:
            self._connection.execute(_INSERT_VERSION, (after.id, *version_row(after.id, change.added)))
        self._publish(change, after)
        if change.reindexes():
            self._reindex(after, change)

    def _publish(self, change: Change, after: Container) -> None:
        if change.kept_publications is not None:
            self._connection.execute(
                f"DELETE FROM publications WHERE prompt = {_KEY} AND depth > ?",
                (after.id, change.kept_publications),
            )
        if change.published is not None:
            (depth,) = self._connection.execute(
                f"SELECT coalesce(max(depth), 0) + 1 FROM publications WHERE prompt = {_KEY}", (after.id,)
            ).fetchone()
            self._connection.execute(
                f"INSERT INTO publications (prompt, depth, version, hash) VALUES ({_KEY}, ?, ?, ?)",
                (after.id, depth, change.published, digest([after.id, depth, change.published])),
            )

    def _reindex(self, container: Container, change: Change) -> None:
        written = [v for v in (change.added, change.edited) if v is not None and v.number == container.shown_version]
        shown = written[0] if written else self.version(container, container.shown_version)
        if shown is None:
            raise LookupError("a change left a prompt without the version that it shows")
        self._connection.execute(
            f"REPLACE INTO search (rowid, name, title, description, tags, template) VALUES ({_KEY}, ?, ?, ?, ?, ?)",
            (container.id, *searched_text(container, shown.snapshot)),
        )

    def _delete(self, change: Change) -> None:
        self.has_deleted = True
        prompt_id = change.subject.id
        self._connection.execute(
            "INSERT INTO deletions (prompt_id, revision, at) VALUES (?, ?, ?)",
            (prompt_id, self.revision, change.at.isoformat(timespec="microseconds")),
        )
        self._connection.execute(f"DELETE FROM search WHERE rowid = {_KEY}", (prompt_id,))
        for table in ("publications", "versions"):
            self._connection.execute(f"DELETE FROM {table} WHERE prompt = {_KEY}", (prompt_id,))
        self._connection.execute("DELETE FROM prompts WHERE id = ?", (prompt_id,))
        self._connection.execute("UPDATE registry SET deleted_revision = ?", (self.revision,))

    def _forget_details(self, prompt_id: str) -> None:
        """Clear what the events tell of a deleted prompt; the delete event keeps its name."""
        self._connection.execute(
            "DELETE FROM event_details WHERE seq IN"
            " (SELECT seq FROM events WHERE prompt_id = ? AND action <> 'delete')",
            (prompt_id,),
        )


def _placeholders(count: int) -> str:
    return ", ".join("?" * count)


_INSERT_PROMPT = (
    f"INSERT INTO prompts ({', '.join(PROMPT_COLUMNS)}, revision) VALUES ({_placeholders(len(PROMPT_COLUMNS) + 1)})"
)
_KEPT = PROMPT_COLUMNS.index("status")  # what stands before it is indexed, and left alone where it stays the same
_MOVE_PROMPT = (
    f"UPDATE prompts SET ({', '.join(PROMPT_COLUMNS[_KEPT:])}, revision)"
    f" = ({_placeholders(len(PROMPT_COLUMNS) - _KEPT + 1)}) WHERE id = ?"
)
_INSERT_VERSION = (
    f"INSERT INTO versions (prompt, {', '.join(VERSION_COLUMNS)})"
    f" VALUES ({_KEY}, {_placeholders(len(VERSION_COLUMNS))})"
)
_UPDATE_VERSION = (
    f"UPDATE versions SET ({', '.join(VERSION_COLUMNS)}) = ({_placeholders(len(VERSION_COLUMNS))})"
    f" WHERE prompt = {_KEY} AND version = ?"
)


def _revision(connection: sqlite3.Connection) -> int:
    (revision,) = connection.execute("SELECT revision FROM registry").fetchone()
    return int(revision)


def _roll_back(connection: sqlite3.Connection) -> None:
    if connection.in_transaction:
        connection.execute("ROLLBACK")


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
    return " ".join('"' + word.replace('"', '""') + '"' for word in text.split())


def _bounded(number: int) -> int:
    return min(number, MAX_INTEGER)
