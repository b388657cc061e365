"""Registries of any size, written row by row, because filling a large one through the verbs would take hours.

The rows are those that the storage writes, with valid hashes. Triggers and indexes are dropped while the rows are
written, and created again afterwards. There are no events, because no benchmark reads any.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

from promptreg import Registry
from promptreg.jsonvalues import FrozenDict, FrozenList, digest, hashed
from promptreg.records import EMPTY, Container, Snapshot, VersionRecord, content_text
from promptreg.storage.rows import PROMPT_COLUMNS, VERSION_COLUMNS, prompt_row, version_row
from promptreg.storage.searched import searched_text

MADE = datetime(2026, 1, 1, tzinfo=UTC)
FOUND = 50  # prompts that contain the word RARE and have it as a tag and a label, whatever the size
RARE = "quokka"
COMMON = "summarize"  # in every prompt
TEMPLATE = """\
Summarize the ticket below for {{ team }} in at most {{ words }} words, as of revision %d.
Say what the customer wants, what was tried, and what is still open. Quote nothing.%s

{{ ticket }}"""


def name_of(number: int) -> str:
    """Return the name of the prompt with this number."""
    return f"team-{number % 100:02}/prompt-{number:06}"


def day(number: int) -> str:
    """Return the time that many days after the first, as the storage writes it."""
    return (MADE + timedelta(days=number)).isoformat(timespec="microseconds")


def fill(path: Path, prompts: int, versions: int) -> None:
    """Create a registry of that many prompts, each with that many published versions, the last one live."""
    Registry(path).close()
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute("BEGIN")
        existing = list(
            connection.execute("SELECT type, name, sql FROM sqlite_master WHERE type IN ('trigger', 'index')")
        )
        dropped = [(kind, name, sql) for kind, name, sql in existing if sql is not None]
        for kind, name, _ in dropped:
            connection.execute(f"DROP {kind} {name}")
        _write(connection, prompts, versions)
        for _, _, sql in sorted(dropped):
            connection.execute(sql)
        connection.execute("UPDATE registry SET revision = ?", (prompts,))
        connection.execute("COMMIT")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _write(connection: sqlite3.Connection, prompts: int, versions: int) -> None:
    spread = max(prompts // FOUND, 1)
    for number in range(prompts):
        word = f" Mind the {RARE}." if number % spread == 0 and number < spread * FOUND else ""
        container, history = _prompt(number, versions, word)
        key, published = number + 1, range(1, versions + 1)
        connection.execute(
            _insert("prompts", ("key", *PROMPT_COLUMNS, "revision")), (key, *prompt_row(container), number)
        )
        connection.executemany(
            _insert("versions", ("prompt", *VERSION_COLUMNS)),
            ((key, *version_row(container.id, version)) for version in history),
        )
        connection.executemany(
            _insert("publications", ("prompt", "depth", "version", "hash")),
            ((key, at, at, digest([container.id, at, at])) for at in published),
        )
        connection.execute(
            _insert("search", ("rowid", "name", "title", "description", "tags", "template")),
            (key, *searched_text(container, history[-1].snapshot)),
        )


def _prompt(number: int, versions: int, word: str) -> tuple[Container, list[VersionRecord]]:
    name = name_of(number)
    container = Container(
        id=str(UUID(int=(number << 64) + (0x7 << 76) + (2 << 62) + number)),
        namespace="default",
        name=name,
        is_archived=False,
        is_disabled=False,
        access_grants=(),
        labels=FrozenDict({RARE: 1} if word else {}),
        production_version=versions,
        latest_version=versions,
        last_version=versions,
        created_by=None,
        created_at=day(0),
        updated_at=day(versions),
    )
    fields = {
        "variables": FrozenList(),
        "config": FrozenDict({"model": "large", "temperature": 0.2}),
        "title": f"Ticket summary {number}",
        "description": "Used by the help desk",
        "category": "support",
        "tags": FrozenList(["support", "summary", *([RARE] if word else [])]),
        "meta": FrozenDict(),
        "examples": FrozenList(),
        "syntax": "jinja",
    }
    return container, list(_history(name, fields, versions, word))


def _history(name: str, fields: dict[str, Any], versions: int, word: str) -> Iterator[VersionRecord]:
    for number in range(1, versions + 1):
        created = day(number)
        yield VersionRecord(
            number=number,
            state="published",
            snapshot=_snapshot({"template": TEMPLATE % (number, word), **fields}),
            name=name,
            access_grants=(),
            commit_message=f"Revision {number}",
            author=None,
            base_version=number - 1 or None,
            created_at=created,
            published_at=created,
        )


def _snapshot(fields: dict[str, Any]) -> Snapshot:
    content = {**EMPTY, **fields}
    return Snapshot(**content, content_hash=hashed(content_text(content)))


def _insert(table: str, columns: tuple[Any, ...]) -> str:
    return f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({', '.join('?' * len(columns))})"
