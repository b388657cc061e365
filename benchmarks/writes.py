"""Durable writes against bare SQL that writes as much: one update, and a bulk change of status; and a seed of the same.

Both sides write alternately, with full durability, to separate files in one folder, and are measured in wall-clock
time, because the disk counts. The floor of the update has plain tables and an index, with rows as wide as ours. The
floor of the bulk change writes the same rows as ours to a copy of the registry whose triggers were dropped. A seed that
is the same as the last one writes nothing; it is measured against a `save` that finds what is live equal.
"""

import sqlite3
import tempfile
from itertools import count
from pathlib import Path
from typing import Any

from library import fill, name_of
from prompts import MEDIUM
from timing import Measured, Options, Tables, alternate, require_equal, run, seconds

from promptreg import Registry

ROUNDS = 20
BULK_ROUNDS = 7
REPEATS = 5
UPDATE = (2, 1.5)
BULK = (3, 1.8)
SEED = (1.2, 1)
SEEDS = 100
OTHERS = 100  # prompts besides the one that is updated
FRACTION = 10  # a bulk change is of a tenth of the size in the options

PLAIN_SCHEMA = """
CREATE TABLE prompts (id INTEGER PRIMARY KEY, name TEXT UNIQUE, version INTEGER, hash TEXT);
CREATE TABLE versions (prompt INTEGER, version INTEGER, template TEXT, fields TEXT, at TEXT, hash TEXT,
    PRIMARY KEY (prompt, version));
CREATE TABLE events (seq INTEGER PRIMARY KEY, at TEXT, action TEXT, prompt INTEGER, version INTEGER, details TEXT,
    hash TEXT);
CREATE VIRTUAL TABLE search USING fts5(name, title, description, tags, template);
"""
INDEX = "INSERT INTO search (rowid, name, title, description, tags, template) VALUES (?, ?, ?, ?, ?, ?)"
DESCRIPTIONS = ("Answers from the handbook, for the help desk", "Answers from the manual, for the help desk")
UNCHANGED = frozenset({"key", "id", "namespace", "name"})  # columns that a change of status leaves alone
FIELDS = '{"variables":[],"config":{"model":"large"},"category":"","tags":["support"],"meta":{},"examples":[]}'
HASH = "0123456789abcdef" * 4
AT = "2026-01-01T00:00:00.000000+00:00"


def measured(options: Options) -> Tables:
    with tempfile.TemporaryDirectory() as folder:
        update = update_row(Path(folder), options.rounds or ROUNDS)
        seed = seed_row(Path(folder), options.rounds or ROUNDS)
        bulk = bulk_row(Path(folder), max(options.size // FRACTION, 1), options.rounds or BULK_ROUNDS)
    return {
        "an update that makes a version / BEGIN, SELECT, 2 INSERTs, full text, COMMIT": [update],
        "set_status of many / executemany of the same rows": [bulk],
        "a seed of the same / a save of the same": [seed],
    }


def update_row(folder: Path, rounds: int) -> Measured:
    """Measure an update that alternates between two descriptions, so that no template is compiled."""
    fill(folder / "update.db", OTHERS, 1)
    plain = connected(folder / "plain.db")
    plain.executescript(PLAIN_SCHEMA)
    for number in range(OTHERS + 1):
        name = "answer" if number == OTHERS else name_of(number)
        plain.execute("INSERT INTO prompts VALUES (?, ?, 1, ?)", (number, name, HASH))
        plain.execute(INDEX, (number, name, name, DESCRIPTIONS[0], "support", MEDIUM))
    with Registry(folder / "update.db") as registry:
        registry.create("answer", MEDIUM, tags=["support"], config={"model": "large"}, description=DESCRIPTIONS[1])
        numbers = count(2)

        def ours() -> None:
            number = next(numbers)
            made = registry.update("answer", description=DESCRIPTIONS[number % 2])
            require_equal("update", made.version, number)

        versions = count(2)

        def floor() -> None:
            write_version(plain, next(versions))

        both = [lambda: seconds(ours), lambda: seconds(floor)]
        alternate(*both, 2)
        pairs = [alternate(*both, REPEATS) for _ in range(rounds)]
    plain.close()
    return Measured("update, full durability, compiled before", pairs, UPDATE)


def seed_row(folder: Path, rounds: int) -> Measured:
    """Measure what an application does for each of its prompts when it is started again."""
    fill(folder / "seed.db", OTHERS, 1)
    fields: dict[str, Any] = {"tags": ["support"], "config": {"model": "large"}, "description": DESCRIPTIONS[0]}
    with Registry(folder / "seed.db") as registry:

        def ours() -> None:
            require_equal("seed", registry.seed("answer", MEDIUM, **fields).version, 1)

        def floor() -> None:
            require_equal("save", registry.save("answer", MEDIUM, **fields).version, 1)

        both = [lambda: seconds(ours), lambda: seconds(floor)]
        alternate(*both, 2)
        pairs = [alternate(*both, SEEDS) for _ in range(rounds)]
    return Measured("seed, the same as the last one", pairs, SEED)


def write_version(plain: sqlite3.Connection, version: int) -> None:
    """Write with bare SQL the least that an update writes."""
    plain.execute("BEGIN IMMEDIATE")
    (key,) = plain.execute("SELECT id FROM prompts WHERE name = ?", ("answer",)).fetchone()
    row = (key, version, MEDIUM, FIELDS, AT, HASH)
    plain.execute("INSERT INTO versions VALUES (?, ?, ?, ?, ?, ?)", row)
    row = (None, AT, "update", key, version, FIELDS, HASH)
    plain.execute("INSERT INTO events VALUES (?, ?, ?, ?, ?, ?, ?)", row)
    plain.execute("DELETE FROM search WHERE rowid = ?", (key,))
    plain.execute(INDEX, (key, "answer", "answer", DESCRIPTIONS[version % 2], "support", MEDIUM))
    plain.execute("COMMIT")


def bulk_row(folder: Path, prompts: int, rounds: int) -> Measured:
    """Measure a status change of all prompts, against writing the same rows to a copy without triggers."""
    path, copy = folder / "bulk.db", folder / "copy.db"
    fill(path, prompts, 1)
    names = [name_of(number) for number in range(prompts)]
    with Registry(path) as registry, sqlite3.connect(path) as reader:
        reader.execute("VACUUM INTO ?", (str(copy),))
        bare = connected(copy)
        for (trigger,) in bare.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
            bare.execute(f"DROP TRIGGER {trigger}")
        pairs = []
        for number in range(rounds):
            target = ("disabled", "active")[number % 2]
            elapsed = seconds(lambda target=target: registry.set_status(names, target))
            rows = rows_written(reader, prompts)
            pairs.append((elapsed, seconds(lambda rows=rows: write_rows(bare, rows))))
            same = "SELECT status, count(*), max(hash) FROM prompts GROUP BY status"
            require_equal("set_status", reader.execute(same).fetchall(), bare.execute(same).fetchall())
        bare.close()
    reader.close()
    return Measured(f"set_status of {prompts:,} prompts", pairs, BULK)


def rows_written(reader: sqlite3.Connection, prompts: int) -> dict[str, list[Any]]:
    """Return the rows that a bulk change wrote, by the statement that writes them."""
    last = "ORDER BY seq DESC LIMIT ?"
    events = reader.execute(f"SELECT * FROM events {last}", (prompts,)).fetchall()[::-1]
    details = reader.execute(f"SELECT * FROM event_details {last}", (prompts,)).fetchall()[::-1]
    columns = [name for _, name, *_ in reader.execute("PRAGMA table_info(prompts)") if name not in UNCHANGED]
    changed = reader.execute(f"SELECT {', '.join(columns)}, id FROM prompts").fetchall()
    return {
        f"UPDATE prompts SET ({', '.join(columns)}) = ({marks(len(columns))}) WHERE id = ?": changed,
        f"INSERT INTO events VALUES ({marks(len(events[0]))})": events,
        f"INSERT INTO event_details VALUES ({marks(len(details[0]))})": details,
    }


def marks(number: int) -> str:
    return ", ".join("?" * number)


def write_rows(bare: sqlite3.Connection, rows: dict[str, list[Any]]) -> None:
    """Write all rows in one transaction."""
    bare.execute("BEGIN IMMEDIATE")
    for statement, values in rows.items():
        bare.executemany(statement, values)
    bare.execute("COMMIT")


def connected(path: Path) -> sqlite3.Connection:
    """Connect with full durability, as a registry does."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")
    return connection


if __name__ == "__main__":
    run(__doc__, measured)
