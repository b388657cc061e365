"""The checks that verification consists of, table by table: rows against their hashes, counts, indexes and each other.

What they say, and what needs no SQL, is in `promptreg.storage.problems`.
"""

import sqlite3
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, suppress
from functools import partial
from time import monotonic
from typing import Any, NamedTuple, TypeAlias

from promptreg.errors import StorageCorruptError
from promptreg.records import Container
from promptreg.storage.event_rows import read_event
from promptreg.storage.hashing import GENESIS
from promptreg.storage.problems import (
    missing_events,
    missing_head,
    problems_of_end,
    problems_of_numbers,
    problems_of_publications,
    prompt_named,
)
from promptreg.storage.rows import read_prompt, read_version
from promptreg.storage.searched import searched_text
from promptreg.storage.sqlite import deletions, erasure, event_chain, event_log, operations
from promptreg.storage.sqlite.failures import UNDECODED, primary_code
from promptreg.storage.sqlite.fulltext import is_folded
from promptreg.storage.sqlite.selecting import PROMPT_FIELDS, VERSION_FIELDS
from promptreg.tokenizer import folded

BATCH = 500  # keys read at a time
_FIRST_INDEXES = "prompts_id prompts_namespace_name versions_prompt_version events_namespace events_prompt_id"
# With the schema since which there is each.
INDEXES = dict.fromkeys((f"idx_{name}" for name in _FIRST_INDEXES.split()), 1)
INDEXES |= {"prompts_labelled": 6, "deletions_synced": 7, "operations_at": 8}
FIRST, LAST = -(2**63), 2**63 - 1  # of all keys
DAMAGE = StorageCorruptError, sqlite3.Error, UnicodeDecodeError  # what reading a damaged row may raise
MAX_WORDS = 64  # in one query
MAX_MESSAGES = 1_000  # of SQLite's own check
CHECKS_FULL_TEXT = (3, 44)  # the version of SQLite since which its own check includes full-text indexes

Result: TypeAlias = tuple[int, object, list[str]]
"""Of a slice: how many rows were checked, the position where the next one begins (None: no more), and the problems."""


class UnreadableRow(Exception):
    """A row in a damaged page: its key, what it belongs to, and SQLite's error."""

    def __init__(self, key: int, what: str, cause: Exception) -> None:
        super().__init__(what)
        self.key, self.what, self.cause = key, what, cause


class Check(NamedTuple):
    """A check: its subject, the table and key column of its rows, its first position, and the function for a slice.

    The function is called with a connection, a position, the last key of all, and the monotonic time to stop at.
    """

    what: str
    table: str | None
    key: str
    start: object
    slice: Callable[[sqlite3.Connection, Any, int, float], Result]


# SQLite's own checks


def _pages(connection: sqlite3.Connection, _: object, last: int, until: float) -> Result:
    messages: list[str] = []
    with suppress(sqlite3.DatabaseError):  # a search makes SQLite reload what it has cached of the index from before
        connection.execute("SELECT rowid FROM search WHERE search MATCH 'a' LIMIT 1").fetchone()
    with closing(connection.execute(f"PRAGMA quick_check({MAX_MESSAGES})")) as cursor:
        try:
            messages += [message for (message,) in iter(cursor.fetchone, None) if message != "ok"]
        except sqlite3.DatabaseError as error:  # the check ends here; what it has found so far says more
            if not messages:
                raise
            messages.append(str(error))
    found = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'index'").fetchall()}
    (schema,) = connection.execute("PRAGMA user_version").fetchone()
    problems = [f"the index {n} is missing" for n, since in INDEXES.items() if n not in found and since <= schema]
    return 0, None, problems + [f"SQLite: {message}" for message in messages]


def _belongings(connection: sqlite3.Connection, _: object, last: int, until: float) -> Result:
    """Find publications without a prompt, and details without an event."""
    problems = []
    for table in ("publications", "event_details"):
        rows = connection.execute(f"PRAGMA foreign_key_check({table})").fetchall()
        problems += [f"{table}: row {row} is of none of the {parent}" for _, row, parent, _ in rows]
    return 0, None, problems


# The registry's own row


def _registry(connection: sqlite3.Connection, _: object, last: int, until: float) -> Result:
    problems = []
    rows = connection.execute("SELECT revision FROM registry").fetchall()
    (newest,) = connection.execute("SELECT max(revision) FROM prompts").fetchone()
    if len(rows) != 1 or type(rows[0][0]) is not int or rows[0][0] < (newest or 0):
        problems.append("the registry: its revision is not what was written")
    try:
        erasure.progress(connection)
    except StorageCorruptError:
        problems.append("the registry: how far erasing has come is not what was written")
    problems += deletions.problems(connection)
    problems += operations.problems(connection)
    return 0, None, [*problems, *_problems_of_end(connection)]


# Prompts, with all that belongs to them


def _prompts(connection: sqlite3.Connection, after: int, last: int, until: float) -> Result:
    return _by_key(connection, "prompts", after, last, until, _problems_of_prompt)


def _problems_of_prompt(connection: sqlite3.Connection, key: int) -> Iterator[str]:
    row = connection.execute(f"SELECT {PROMPT_FIELDS} FROM prompts p WHERE key = ?", (key,)).fetchone()
    container = read_prompt(row)
    what = prompt_named(container.namespace, container.name)
    for index, found in (
        ("ids", connection.execute("SELECT key FROM prompts WHERE id = ?", (container.id,))),
        (
            "names",
            connection.execute(
                "SELECT key FROM prompts WHERE namespace = ? AND name = ?", (container.namespace, container.name)
            ),
        ),
    ):
        if found.fetchall() != [(key,)]:
            yield f"{what}: the index of {index} does not lead to it"
    if container.labels and not _is_in_label_index(connection, container):
        yield f"{what}: the index of labels does not lead to it"
    numbers = {number for (number,) in connection.execute(_NUMBERS, (key,)).fetchall()}
    discarded = partial(_discarded, connection, container)
    yield from (f"{what}: {message}" for message in problems_of_numbers(container, numbers, discarded))
    publications = connection.execute(_PUBLICATIONS, (key,)).fetchall()
    yield from (f"{what}: {message}" for message in problems_of_publications(container, publications, numbers))
    if container.shown_version in numbers:
        yield from (f"{what}: {message}" for message in _problems_of_full_text(connection, container, key))


def _is_in_label_index(connection: sqlite3.Connection, container: Container) -> bool:
    """Return whether the index has the prompt; where there is no such index, as in an earlier schema, True."""
    if connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'prompts_labelled'").fetchone() is None:
        return True
    return connection.execute(_LABELLED, (container.namespace, container.name)).fetchone() is not None


def _discarded(connection: sqlite3.Connection, container: Container) -> list[int]:
    """Return the numbers of the versions that were discarded."""
    return [number for (number,) in connection.execute(_DISCARDED, (container.id,)).fetchall()]


def _problems_of_full_text(connection: sqlite3.Connection, container: Container, key: int) -> Iterator[str]:
    """Compare the full-text index with the version that the prompt shows; damaged versions are another check's."""
    shown = f"SELECT {VERSION_FIELDS} FROM versions v WHERE {_AT}"
    row = connection.execute(shown, (key, container.shown_version)).fetchone()
    try:
        record = read_version(container.id, row)
    except StorageCorruptError:
        return
    if container.production_version is not None and record.state != "published":
        yield f"version {record.number}: it is in production and not published"
    texts = searched_text(container, record.snapshot)
    try:
        held = connection.execute("SELECT * FROM search WHERE rowid = ?", (key,)).fetchone()
        if held is None:
            yield "it is missing in the full text"
        elif _folded_words(connection, held) != tuple(texts):
            yield "the full text is of something else"
        elif sqlite3.sqlite_version_info < CHECKS_FULL_TEXT and not _is_found(connection, key, held):
            yield "the full text does not find it by its words"
    except sqlite3.DatabaseError as error:
        if getattr(error, "sqlite_errorcode", 0) != sqlite3.SQLITE_CORRUPT_VTAB:
            raise
        yield "the full text is damaged"


def _folded_words(connection: sqlite3.Connection, held: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return a prompt's entry, folded here if it is in a file of an earlier schema, which is only read."""
    if is_folded(connection):
        return held
    return tuple(folded(text) if isinstance(text, str) else text for text in held)


def _is_found(connection: sqlite3.Connection, key: int, texts: Iterable[str]) -> bool:
    """Return whether a search for all words of these texts finds the row."""
    words = sorted(filter(_is_indexed, set(" ".join(texts).split())))
    for at in range(0, len(words), MAX_WORDS):
        sought = " ".join('"' + word.replace('"', '""') + '"' for word in words[at : at + MAX_WORDS])
        found = connection.execute("SELECT 1 FROM search WHERE search MATCH ? AND rowid = ?", (sought, key)).fetchone()
        if found is None:
            return False
    return True


def _is_indexed(word: str) -> bool:
    """Return whether FTS5 has surely indexed a part of it; long words take too long to search for."""
    return len(word) <= 64 and any(character.isascii() and character.isalnum() for character in word)


# Versions


def _versions(connection: sqlite3.Connection, after: int, last: int, until: float) -> Result:
    return _by_key(connection, "versions", after, last, until, _problems_of_version)


def _problems_of_version(connection: sqlite3.Connection, key: int) -> Iterator[str]:
    owner, number = connection.execute("SELECT prompt, version FROM versions WHERE key = ?", (key,)).fetchone()
    prompt = connection.execute("SELECT id FROM prompts WHERE key = ?", (owner,)).fetchone()
    if prompt is None:
        yield f"version {number} in row {key}: its prompt is not there"
        return
    try:
        row = connection.execute(f"SELECT {VERSION_FIELDS} FROM versions v WHERE key = ?", (key,)).fetchone()
        read_version(prompt[0], row)
    except DAMAGE as error:
        _require_damaged_row(error)
        yield f"{_row_named(connection, 'prompts', owner)}: version {number} is not what was written"


# Full text without a prompt


def _full_text(connection: sqlite3.Connection, after: int, last: int, until: float) -> Result:
    rows = connection.execute(
        "SELECT rowid FROM search WHERE rowid > ? AND rowid <= ? ORDER BY rowid LIMIT ?", (after, last, BATCH)
    ).fetchall()
    keys = [key for (key,) in rows]
    problems = [
        f"the full text holds row {key}, which is of no prompt"
        for key in keys
        if connection.execute("SELECT 1 FROM prompts WHERE key = ?", (key,)).fetchone() is None
    ]
    return len(keys), keys[-1] if keys else None, problems


# Events


def _events(connection: sqlite3.Connection, before: tuple[int, str], last: int, until: float) -> Result:
    """Follow the hash chain from the event with this number and hash."""
    problems: list[str] = []
    count, (seq, link) = 0, before
    indexes = {name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'index'").fetchall()}
    while monotonic() < until or not count:
        row = connection.execute(_NEXT_EVENT, (seq, last)).fetchone()
        if row is None:
            return count, None, problems
        if row[0] != seq + 1:
            problems.append(missing_events(seq + 1, row[0] - 1))
        elif row[1] != link:
            problems.append(f"event {row[0]} does not continue the one before")
        seq, link, count = row[0], row[2], count + 1
        problems += _problems_of_event(connection, seq, indexes)
    return count, (seq, link), problems


def _problems_of_end(connection: sqlite3.Connection) -> Iterable[str]:
    """Compare the last event with the one that the registry's row names, if it names one."""
    written = connection.execute("SELECT last_event, last_hash FROM registry").fetchone()
    if written in {event_chain.UNKNOWN, None}:
        return ()
    return problems_of_end(event_chain.last_link(connection), written)


def _problems_of_event(connection: sqlite3.Connection, seq: int, indexes: set[str]) -> Iterator[str]:
    what = f"event {seq}"
    try:
        *row, prev = connection.execute(_EVENT, (seq,)).fetchone()
        event = read_event(row, prev)  # the caller has checked the chain
    except DAMAGE as error:
        _require_damaged_row(error)
        yield f"{what} is not what was written"
        return
    for index, column, value in (
        ("idx_events_namespace", "namespace", event.namespace),
        ("idx_events_prompt_id", "prompt_id", event.prompt_id),
    ):
        if index not in indexes:  # reported once, by the check of the file
            continue
        found = connection.execute(
            f"SELECT 1 FROM events INDEXED BY {index} WHERE {column} = ? AND seq = ?", (value, seq)
        ).fetchone()
        if found is None:
            yield f"{what}: the index of its {column} does not lead to it"
    if event.action == "create" and connection.execute(_IS_KNOWN, (event.prompt_id,) * 2).fetchone() == (0,):
        yield f"{prompt_named(event.namespace, event.name)} of event {seq} is missing"


def check_of_head(head: str) -> Check:
    """Return the check that an event has this hash."""
    return Check("the head", None, "", FIRST, partial(_head, head))


def _head(head: str, connection: sqlite3.Connection, after: int, last: int, until: float) -> Result:
    while head != GENESIS:
        newest, is_found = connection.execute(_WITH_HASH, (head, after, BATCH)).fetchone()
        if is_found:
            break
        if newest is None:
            return 0, None, [missing_head(head)]
        after = newest
        if monotonic() > until:
            return 0, after, []
    return 0, None, []


# Shared by the checks


def _by_key(
    connection: sqlite3.Connection,
    table: str,
    after: int,
    last: int,
    until: float,
    problems_of: Callable[[sqlite3.Connection, int], Iterator[str]],
) -> Result:
    """Check rows in the order of their keys until the time is over, but at least one.

    Raises `UnreadableRow` if the first is in a damaged page; a slice ends before any other such row.
    """
    keys = connection.execute(
        f"SELECT key FROM {table} WHERE key > ? AND key <= ? ORDER BY key LIMIT ?", (after, last, BATCH)
    ).fetchall()
    problems: list[str] = []
    for count, (key,) in enumerate(keys):
        try:
            problems += problems_of(connection, key)
        except DAMAGE as error:
            if _is_damaged_page(error):
                if count:
                    return count, keys[count - 1][0], problems
                raise UnreadableRow(key, _row_named(connection, table, key), error) from error
            _require_damaged_row(error)
            problems.append(f"{_row_named(connection, table, key)} is not what was written")
        if monotonic() > until:
            return count + 1, key, problems
    return len(keys), keys[-1][0] if keys else None, problems


def _is_damaged_page(error: Exception) -> bool:
    return isinstance(error, sqlite3.Error) and primary_code(error) == sqlite3.SQLITE_CORRUPT


def _require_damaged_row(error: Exception) -> None:
    """Raise the error again if it is not about the row's content: a failing disk, or an interrupt."""
    if isinstance(error, sqlite3.Error) and not str(error).startswith(UNDECODED):
        raise error


def _row_named(connection: sqlite3.Connection, table: str, key: int) -> str:
    otherwise = f"row {key} of the {table}"
    try:
        names = connection.execute(_NAMES[table], (key,)).fetchone()
    except (sqlite3.Error, UnicodeDecodeError):
        return otherwise
    return otherwise if names is None else prompt_named(names[0], names[1], otherwise)


_NAMES = {
    "prompts": "SELECT namespace, name FROM prompts WHERE key = ?",
    "versions": "SELECT namespace, p.name FROM versions v JOIN prompts p ON p.key = v.prompt WHERE v.key = ?",
}
_AT = "prompt = ? AND version = ?"
_LABELLED = "SELECT 1 FROM main.prompts INDEXED BY prompts_labelled WHERE namespace = ? AND name = ? AND labels <> '{}'"
_NUMBERS = "SELECT version FROM versions WHERE prompt = ?"
_PUBLICATIONS = "SELECT depth, version, hash FROM publications WHERE prompt = ? ORDER BY depth"
_DISCARDED = "SELECT version FROM events WHERE prompt_id = ? AND action = 'discard'"
_IS_KNOWN = "SELECT EXISTS (SELECT 1 FROM prompts WHERE id = ?) OR EXISTS (SELECT 1 FROM deletions WHERE prompt_id = ?)"
_WITH_HASH = "SELECT max(seq), max(hash = ?) FROM (SELECT seq, hash FROM events WHERE seq > ? ORDER BY seq LIMIT ?)"
_NEXT_EVENT = "SELECT seq, prev, hash FROM events WHERE seq > ? AND seq <= ? ORDER BY seq LIMIT 1"
_EVENT = (
    f"SELECT {event_log.EVENT_FIELDS}, e.prev FROM events e LEFT JOIN event_details d ON d.seq = e.seq WHERE e.seq = ?"
)

CHECKS = (
    Check("the file", None, "", 0, _pages),
    Check("the registry", None, "", 0, _registry),
    Check("prompts", "prompts", "key", FIRST, _prompts),
    Check("versions", "versions", "key", FIRST, _versions),
    Check("the full text", "search", "rowid", FIRST, _full_text),
    Check("events", "events", "seq", (0, GENESIS), _events),
    Check("what belongs to prompts and events", None, "", 0, _belongings),
)
