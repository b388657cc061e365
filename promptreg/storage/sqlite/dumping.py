"""Reading everything, as one stream of entries (`Storage.dump`), from a copy of the database.

Whoever takes the entries may be slow: a pipe, a network. One read transaction for all of it would keep the WAL from
being checkpointed, deleted prompts from being erased and the process from forking, for as long. Slices, as `verify`
reads, would be many moments. So SQLite copies the database within one read transaction, a few pages at a time and at
the disk's speed, into a temporary database that has no name and disappears with its connection. A fork interrupts the
copying, which starts again. Writers go on meanwhile.
"""

import itertools
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager
from typing import TypeAlias

from promptreg.dump import Counts, Dump, Entry, EventEntry, PromptEntry
from promptreg.storage.entries import deletion_entry, event_entries
from promptreg.storage.rows import read_prompt, read_publications, read_version
from promptreg.storage.sqlite import event_chain, event_log
from promptreg.storage.sqlite.connections import Handle
from promptreg.storage.sqlite.failures import full_copy
from promptreg.storage.sqlite.readonly import show_later_columns
from promptreg.storage.sqlite.selecting import PROMPT_FIELDS, VERSION_FIELDS

PAGES = 1_000  # that are copied at a time, about 5 ms
MAX_INTERRUPTIONS = 20  # afterwards a fork waits for the copy

OpenSnapshot: TypeAlias = Callable[[], AbstractContextManager[Handle]]
Translating: TypeAlias = Callable[[], AbstractContextManager[None]]


class Interrupted(Exception):
    """A fork waits for the connection that is copied from."""


@contextmanager
def dumped(open_snapshot: OpenSnapshot, translating: Translating) -> Iterator[Dump]:
    """Yield everything that the database holds at this moment."""
    with translating():
        copy = _copied(open_snapshot)
    with closing(copy):
        with translating():
            counts = Counts(*(_count(copy, table) for table in ("prompts", "versions", "events", "deletions")))
        yield Dump(counts, _translated(copy, translating))


def _copied(open_snapshot: OpenSnapshot) -> sqlite3.Connection:
    """Return a connection to a copy of the database, all of one moment."""
    for attempt in itertools.count():
        copy = sqlite3.connect("", isolation_level=None, check_same_thread=False)
        try:
            with open_snapshot() as handle, handle.interruptible(attempt < MAX_INTERRUPTIONS):
                _copy(handle, copy)
            copy.execute("PRAGMA trusted_schema = OFF")
            show_later_columns(copy)
            break
        except Interrupted:
            copy.close()
        except BaseException:
            copy.close()
            raise
    return copy


def _copy(handle: Handle, copy: sqlite3.Connection) -> None:
    try:
        handle.connection.backup(copy, pages=PAGES, progress=_watching(handle), sleep=0)
    except sqlite3.Error as error:
        full = full_copy(error)  # as the database itself is only read
        if full is None:
            raise
        raise full from error


def _watching(handle: Handle) -> Callable[[int, int, int], None]:
    """Return what is called between two steps of the copying, and raises where a fork waits."""

    def watch(status: int, remaining: int, total: int) -> None:
        if handle.is_interrupted:
            raise Interrupted

    return watch


def _count(copy: sqlite3.Connection, table: str) -> int:
    (count,) = copy.execute(f"SELECT count(*) FROM {table}").fetchone()
    return int(count)


def _translated(copy: sqlite3.Connection, translating: Translating) -> Iterator[Entry]:
    with translating():
        yield from _prompts(copy)
        yield from _events(copy)
        yield from map(deletion_entry, copy.execute(_DELETIONS))


def _prompts(copy: sqlite3.Connection) -> Iterator[Entry]:
    """Yield the prompts by their keys, which grow in the order of their creation, each with its versions."""
    for key, count, *row in copy.execute(_PROMPTS):
        container = read_prompt(row)
        publications = read_publications(container, copy.execute(_PUBLICATIONS, (key,)).fetchall())
        yield PromptEntry(container._replace(publications=len(publications)), tuple(publications), count)
        for version in copy.execute(_VERSIONS, (key,)):
            yield read_version(container.id, version)


def _events(copy: sqlite3.Connection) -> Iterator[EventEntry]:
    written = copy.execute("SELECT last_event, last_hash FROM registry").fetchone()
    rows = copy.execute(f"{_EVENTS} ORDER BY e.seq")
    return event_entries(rows, None if written == event_chain.UNKNOWN else written)


_PROMPTS = (
    f"SELECT p.key, (SELECT count(*) FROM versions WHERE prompt = p.key), {PROMPT_FIELDS} FROM prompts p ORDER BY p.key"
)
_PUBLICATIONS = "SELECT depth, version, hash FROM publications WHERE prompt = ? ORDER BY depth"
_VERSIONS = f"SELECT {VERSION_FIELDS} FROM versions v WHERE v.prompt = ? ORDER BY v.version"
_EVENTS = f"SELECT {event_log.EVENT_FIELDS} FROM events e LEFT JOIN event_details d ON d.seq = e.seq"
_DELETIONS = (
    "SELECT prompt_id, d.at, synced FROM events e JOIN deletions d USING (prompt_id)"
    " WHERE e.action = 'delete' ORDER BY e.seq"
)
