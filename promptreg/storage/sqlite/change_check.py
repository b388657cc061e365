"""The check for changes: what has been committed since a position, and whether the file is still the same.

This is the reader's half of the protocol in `sidecar.py`. The stamp shows commits of registries. Commits of other tools
show in `PRAGMA data_version` of a connection, which differs once another connection has committed; a file that another
one has replaced shows in its identity, or in what it holds.
"""

import sqlite3
from collections.abc import Hashable
from contextlib import closing
from typing import NamedTuple, Protocol

from promptreg.errors import StorageCorruptError
from promptreg.storage.base import ChangeReport, Position
from promptreg.storage.sqlite import erasure, event_chain
from promptreg.storage.sqlite.connections import Handle
from promptreg.storage.sqlite.diagnosis import Diagnosis
from promptreg.storage.sqlite.erasure import Eraser
from promptreg.storage.sqlite.failures import primary_code
from promptreg.storage.sqlite.files import FileIdentity
from promptreg.storage.sqlite.pool import Watching
from promptreg.storage.sqlite.reader import data_version, revision_in
from promptreg.storage.sqlite.revisions import Publisher
from promptreg.storage.sqlite.sidecar import revision_of
from promptreg.storage.sqlite.unknown_commits import unsettled
from promptreg.storage.written import Written

MAX_ROUNDS = 5  # of reading the stamp and a snapshot, until they agree
# Codes that reading a registry never fails with, so another file was copied over it.
FOREIGN_FILE_CODES = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR})
MAX_CHANGED = 1_000  # prompts; of more, everything counts as changed


class Watched(Protocol):
    """What a check needs of its storage."""

    file: FileIdentity
    publisher: Publisher
    eraser: Eraser
    diagnosis: Diagnosis

    def is_unsettled(self) -> bool:
        """Return whether an earlier commit has an unknown outcome."""
        ...

    def require_known_schema(self, connection: sqlite3.Connection) -> None:
        """Raise where the transaction sees a schema that this release does not know."""
        ...


class Detail(NamedTuple):
    """The detail of a position: the stamp's bytes, the last event's number and hash, and `_commits_seen`.

    `written` is what this process had written last: the position has seen that, or the cache has dropped it.
    """

    content: bytes
    link: tuple[int, str]
    seen: tuple[int, int]
    written: Written | None


class SQLiteMonitor:
    """A check for changes since a position."""

    def __init__(self, storage: Watched, watching: Watching) -> None:
        self._storage = storage
        self._watching = watching

    def changes_since(self, since: Position | None, /) -> ChangeReport:
        """Return what has changed since a position; None stands for the beginning."""
        storage = self._storage
        if since is None:
            if storage.is_unsettled():
                raise unsettled(storage.file.path)
            storage.file.require_unchanged()
        elif storage.is_unsettled() or not storage.file.is_unchanged():
            return self._unavailable(since)
        storage.publisher.require_signal()
        if since is None:  # a process that reads once opens no second connection for it
            return self._changes(self._watching.usual(), None)
        handle = self._watching.watcher()
        return self._if_unchanged(handle, since) or self._changes(handle, since)

    def _if_unchanged(self, handle: Handle, since: Position) -> ChangeReport | None:
        """Return the report that nothing has changed, or that the file was copied over; None if neither is sure."""
        publisher, file = self._storage.publisher, self._storage.file
        signal = publisher.signal
        if not publisher.has_shown_all_since(since.revision) or not signal.is_unchanged_since(since.detail.content):
            return None
        same = self._if_same(handle, since)
        if same is None:
            return None
        is_reopened = handle.snapshot_signature is not None  # where the file is written, see `readonly.is_outdated`
        if is_reopened or file.has_same_content(lambda: self._still_holds(since)):
            return self._report(same, frozenset())
        if _commits_seen(handle) != same.detail.seen:
            return None
        file.mark_replaced()  # as it was written without a commit
        return self._unavailable(since)

    def _changes(self, handle: Handle, since: Position | None) -> ChangeReport:
        """Read what has changed; publish the snapshot's revision if its writer could not."""
        for _ in range(MAX_ROUNDS):
            signal = self._storage.publisher.signal
            content = signal.read()
            report = self._read_changes(handle, content, since)
            if not signal.is_shared or revision_of(content) == report.position.revision:
                break
            self._storage.publisher.publish_seen(report.position.revision)
        return report

    def _report(
        self, position: Position, changed: frozenset[Hashable] | None, *, is_unavailable: bool = False
    ) -> ChangeReport:
        return ChangeReport(position, self._storage.publisher.signal.stamp, changed, is_unavailable)

    def _unavailable(self, since: Position) -> ChangeReport:
        """Report that what is cached may only be returned as stale, without what this process has written since."""
        own_writes = self._storage.publisher.own_writes
        last = own_writes.last_written()  # read first, as another thread may write meanwhile
        written = own_writes.written_since(since.detail.written, (since.revision, since.detail.link))
        if last is not since.detail.written:
            since = since._replace(detail=since.detail._replace(written=last))
        return self._report(since, written, is_unavailable=True)

    def _if_same(self, handle: Handle, since: Position) -> Position | None:
        """Return the position if nothing was committed since, with what this connection has seen."""
        seen = _commits_seen(handle)
        if seen == since.detail.seen:
            return since
        # The last check may have used the usual connection, whose own commits don't change its `data_version`; the
        # stamp shows those, so it is compared first.
        is_same = (
            self._storage.publisher.signal.read() == since.detail.content
            and _commits_seen(self._watching.usual()) == since.detail.seen
        )
        return since._replace(detail=since.detail._replace(seen=seen)) if is_same else None

    def _still_holds(self, since: Position) -> bool | None:
        """Return whether the file, read by a new connection, is at that position; None if it can't be read now."""
        try:
            with closing(self._watching.another()) as another:
                connection = another.connection
                found = revision_in(connection), event_chain.last_link(connection)
                return found == (since.revision, since.detail.link)
        except StorageCorruptError:
            return False
        except sqlite3.Error as error:
            is_doubtful = primary_code(error) in FOREIGN_FILE_CODES
            return False if is_doubtful and self._storage.diagnosis.is_damage(error) is not False else None

    def _read_changes(self, handle: Handle, content: bytes, since: Position | None) -> ChangeReport:
        # Both are read first, so that the next check sees a commit that comes in between.
        seen, written = _commits_seen(handle), self._storage.publisher.own_writes.last_written()
        connection = handle.connection
        try:
            connection.execute("BEGIN")
            self._storage.require_known_schema(connection)
            detail = Detail(content, event_chain.last_link(connection), seen, written)
            position = Position(self._storage.publisher.signal.as_stamp(content), revision_in(connection), detail)
            if erasure.progress(connection).is_due:
                self._storage.eraser.note()
            return self._report(position, _changed(connection, since, position))
        finally:
            handle.roll_back()


def _commits_seen(handle: Handle) -> tuple[int, int]:
    """Return what differs once another connection than this has committed, and between connections."""
    return handle.number, data_version(handle.connection)


def _changed(connection: sqlite3.Connection, since: Position | None, now: Position) -> frozenset[Hashable] | None:
    """Return what has changed between two positions; None, for everything, if revisions don't show it.

    They don't if another tool has committed, or if an older copy was restored, which lacks the last event.
    """
    if since is None or now.revision < since.revision:
        return None
    link = since.detail.link
    if event_chain.link(connection, link[0]) != link:
        return None
    if now.revision == since.revision:
        return frozenset() if now.detail.seen == since.detail.seen else None
    rows = connection.execute(
        "SELECT id, namespace, name FROM prompts WHERE revision > :since UNION ALL"
        " SELECT prompt_id, NULL, NULL FROM deletions WHERE revision > :since LIMIT :most",
        {"since": since.revision, "most": MAX_CHANGED + 1},
    ).fetchall()
    if len(rows) > MAX_CHANGED:
        return None
    return frozenset([id_ for id_, _, _ in rows] + [(namespace, name) for _, namespace, name in rows])
