"""Whether anything has changed since a mark, and what: the reader's half of the protocol in `sidecar.py`."""

import sqlite3
from collections.abc import Hashable
from contextlib import closing
from typing import NamedTuple, Protocol

from promptreg.errors import StorageCorruptError
from promptreg.storage.base import ChangeReport, Position
from promptreg.storage.sqlite import erasure, journal
from promptreg.storage.sqlite.connections import Handle, Watching
from promptreg.storage.sqlite.failures import primary_code
from promptreg.storage.sqlite.files import FileIdentity
from promptreg.storage.sqlite.reader import data_version, revision_in
from promptreg.storage.sqlite.settling import unsettled
from promptreg.storage.sqlite.sidecar import ChangeSignal, revision_of

ROUNDS = 5
# SQLite's codes that a registry's file never gives
FOREIGN_FILE_CODES = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR})
MAX_CHANGED = 1_000  # prompts that a cache drops one by one


class Watched(Protocol):
    """What is watched."""

    file: FileIdentity
    signal: ChangeSignal
    waited_for: int
    """The last revision that could not be published, but was waited for until every cache had expired."""

    def require_signal(self) -> None:
        """See that the signal is the one that others look at."""
        ...

    def publish(self, revision: int) -> None:
        """Publish the revision of a snapshot; where that can't be done, wait until every cache has expired."""
        ...

    def is_unsettled(self) -> bool:
        """Return whether an earlier commit may or may not hold."""
        ...

    def is_damage(self, error: sqlite3.Error) -> bool | None:
        """Return whether the file is damaged where SQLite says so, or could not be read."""
        ...

    def require_known_schema(self, connection: sqlite3.Connection) -> None:
        """Raise where the transaction sees a schema that this release does not know."""
        ...

    def note_erasing(self) -> None:
        """Learn that bytes of deleted prompts may still be there."""
        ...


class Detail(NamedTuple):
    """What SQLite's positions remember: the sidecar's content, the last event's number and hash, and `_seen`."""

    content: bytes
    link: tuple[int, str]
    seen: tuple[int, int]


class SQLiteMonitor:
    """A check for changes since a position."""

    def __init__(self, storage: Watched, watching: Watching) -> None:
        self._storage = storage
        self._watching = watching

    def changes_since(self, since: Position | None) -> ChangeReport:
        """Return what has changed; see `sidecar.py` for the protocol."""
        storage = self._storage
        if storage.is_unsettled():
            if since is None:
                raise unsettled(storage.file.path)
            return self._unavailable(since)
        if since is not None and not storage.file.is_unchanged():
            return self._unavailable(since)
        storage.file.require_unchanged()
        storage.require_signal()
        signal = storage.signal
        # Of a process that reads once, the first look is the only one: no second connection is opened for it.
        handle = self._watching.usual() if since is None else self._watching.watcher()
        if since is not None and since.revision >= storage.waited_for:
            same = self._if_same(handle, since) if signal.is_unchanged_since(since.detail.content) else None
            if same is not None:
                if not signal.is_shared or storage.file.has_same_content(lambda: self._still_holds(since)):
                    return self._report(same, frozenset())
                if _seen(handle) == same.detail.seen:  # so it was no commit
                    storage.file.mark_replaced()
                    return self._unavailable(since)
        for _ in range(ROUNDS):
            content = signal.read()
            report = self._checked(handle, content, since)
            if not signal.is_shared or revision_of(content) == report.position.revision:
                break
            storage.publish(report.position.revision)
        return report

    def _report(
        self, position: Position, changed: frozenset[Hashable] | None, *, is_unavailable: bool = False
    ) -> ChangeReport:
        return ChangeReport(position, self._storage.signal.stamp, changed, is_unavailable)

    def _unavailable(self, since: Position) -> ChangeReport:
        return self._report(since, frozenset(), is_unavailable=True)

    def _if_same(self, handle: Handle, since: Position) -> Position | None:
        """Give the mark where nothing was committed since, as this connection is to see it from now on."""
        seen = _seen(handle)
        if seen == since.detail.seen:
            return since
        # The one that made that look, unless another thread did: then nothing is known to be as it was. Asked last. It
        # does not see what it committed itself, which the stamp tells, compared or not.
        is_same = (
            self._storage.signal.read() == since.detail.content and _seen(self._watching.usual()) == since.detail.seen
        )
        return since._replace(detail=since.detail._replace(seen=seen)) if is_same else None

    def _still_holds(self, since: Position) -> bool | None:
        """Tell whether the file, read anew, is what the mark tells of; None where it can't be read at this moment."""
        try:
            with closing(self._watching.another()) as another:
                connection = another.connection
                found = revision_in(connection), journal.last_link(connection)
                return found == (since.revision, since.detail.link)
        except StorageCorruptError:
            return False
        except sqlite3.Error as error:
            is_anothers = primary_code(error) in FOREIGN_FILE_CODES and self._storage.is_damage(error) is not False
            return False if is_anothers else None

    def _checked(self, handle: Handle, content: bytes, since: Position | None) -> ChangeReport:
        seen = _seen(handle)  # before anything is read, so that whatever follows counts as a change
        connection = handle.connection
        try:
            connection.execute("BEGIN")
            self._storage.require_known_schema(connection)
            detail = Detail(content, journal.last_link(connection), seen)
            position = Position(self._storage.signal.as_stamp(content), revision_in(connection), detail)
            if erasure.progress(connection).is_due:
                self._storage.note_erasing()
            return self._report(position, _changed(connection, since, position))
        finally:
            handle.roll_back()


def _seen(handle: Handle) -> tuple[int, int]:
    """Give what differs once another connection has committed, or this is another one."""
    return handle.number, data_version(handle.connection)


def _changed(connection: sqlite3.Connection, since: Position | None, now: Position) -> frozenset[Hashable] | None:
    """Give what has changed since a mark; None where the revisions do not tell it.

    A commit without a revision is another tool's, and a database without the mark's last event is a restored one.
    """
    if since is None or now.revision < since.revision:
        return None
    link = since.detail.link
    if journal.link(connection, link[0]) != link:
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
