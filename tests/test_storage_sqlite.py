"""The SQLite storage: the triggers of its schema, the hash chain of events, row hashes, opening and erasing."""

import errno
import json
import multiprocessing
import os
import sqlite3
import threading
import time
import traceback
from collections.abc import Callable
from contextlib import closing, suppress
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from sqlite_utils import Database

from promptreg import (
    Actor,
    ConflictError,
    NotFoundError,
    PromptregError,
    Registry,
    Role,
    SchemaTooNewError,
    StorageBusyError,
    StorageCorruptError,
    StorageError,
    StorageFullError,
    StorageReadOnlyError,
    VersionNotFoundError,
)
from promptreg.jsonvalues import canonical
from promptreg.rules.names import Reference
from promptreg.storage import rows
from promptreg.storage.sqlite.connecting import APPLICATION_ID, SCHEMA_VERSION
from promptreg.storage.sqlite.event_log import EVENT_COLUMNS
from promptreg.storage.sqlite.failures import ANOTHER_TYPE, translate
from promptreg.storage.sqlite.migrations import GUARDS, MIGRATIONS
from promptreg.storage.sqlite.storage import SQLiteStorage
from tests.storages import everything

OWN_TABLES = {"registry", "prompts", "versions", "publications", "deletions", "events", "event_details"}


def raw(path: str) -> sqlite3.Connection:
    """Open the file as other tools do: no foreign keys, no recursive triggers, autocommit; but wait for no disk."""
    connection = sqlite3.connect(path, isolation_level=None)
    connection.execute("PRAGMA synchronous = OFF")
    return connection


@pytest.fixture
def filled(registry: Registry) -> Registry:
    """A registry with a published version 1, a published version 2 and a draft 3 of one prompt, and another prompt."""
    registry.create("greet", "Hello {{ name }}")
    registry.update("greet", template="Hi {{ name }}", commit_message="Shorter")
    registry.update("greet", template="Hey {{ name }}", is_production=False)
    registry.create("other", "Other")
    return registry


# The schema


def test_every_table_is_strict_and_the_file_identifies_itself(filled: Registry) -> None:
    """The file has STRICT tables, WAL, promptreg's application id and schema version, and no views."""
    with closing(raw(filled.path)) as connection:
        tables = connection.execute("PRAGMA table_list").fetchall()
        strict = {name: bool(is_strict) for _, name, _, _, _, is_strict in tables}
        kinds = connection.execute("SELECT type, tbl_name, sql FROM sqlite_master").fetchall()
        assert {strict[table] for table in OWN_TABLES} == {True}
        assert connection.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
        assert connection.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert [row for row in kinds if row[0] == "view" or (row[0] == "trigger" and "search" in row[2])] == []
    assert len([row for row in kinds if row[0] == "trigger"]) == len(GUARDS) + 3  # those that count, and the registry's


def test_a_check_finds_changes_by_an_index(filled: Registry) -> None:
    """A check searches prompts and deletions by an index on their revision, and scans neither table."""
    asked: list[str] = []
    with Registry(filled.path) as other, filled._core.storage.monitor() as changes_since:
        position = changes_since(changes_since(None).position).position
        other.update("greet", template="Good day")
        changes_since.__self__._watching.watcher().connection.set_trace_callback(asked.append)  # type: ignore[attr-defined]
        assert changes_since(position).changed is not None
    with closing(raw(filled.path)) as connection:
        (select,) = [statement for statement in asked if " FROM prompts " in statement]
        plan = [step for _, _, _, step in connection.execute(f"EXPLAIN QUERY PLAN {select}")]
    found = [step.split(" USING ") for step in plan if "prompts" in step or "deletions" in step]
    assert [what for what, *_ in found] == ["SEARCH prompts", "SEARCH deletions"]
    assert all("(revision>?)" in how for _, how in found)


def test_prompt_and_version_number_are_unique_and_versions_belong_to_prompts(filled: Registry) -> None:
    """The schema has UNIQUE(prompt, version) and the foreign keys."""
    with closing(raw(filled.path)) as connection:
        uniques = [
            [column for _, _, column in connection.execute(f'PRAGMA index_info("{name}")')]
            for _, name, is_unique, *_ in connection.execute("PRAGMA index_list(versions)")
            if is_unique
        ]
        keys = {
            table: [row[2:5] for row in connection.execute(f"PRAGMA foreign_key_list({table})")]
            for table in ("versions", "publications", "event_details")
        }
    assert ["prompt", "version"] in uniques
    assert keys == {
        "versions": [("prompts", "prompt", "key")],
        "publications": [("prompts", "prompt", "key")],
        "event_details": [("events", "seq", "seq")],
    }


PUBLISHED = "prompt = (SELECT key FROM prompts WHERE name = 'greet') AND version = 1"
DRAFT = "prompt = (SELECT key FROM prompts WHERE name = 'greet') AND version = 3"
VERSION_COLUMNS = "prompt, version, state, name, access_grants, kind, template, variables, config, title, description,"
VERSION_COLUMNS += " category, tags, meta, examples, commit_message, created_at, content_hash, hash"
COPY = VERSION_COLUMNS.replace(" template", " 'changed'")


@pytest.mark.parametrize("verb", ["UPDATE", "UPDATE OR REPLACE", "UPDATE OR IGNORE", "UPDATE OR ROLLBACK"])
@pytest.mark.parametrize(
    ("statement", "message"),
    [
        (f"{{}} versions SET template = 'changed' WHERE {PUBLISHED}", "a published version never changes"),
        (f"{{}} versions SET state = 'draft' WHERE {PUBLISHED}", "a published version never changes"),
        (f"{{}} versions SET version = 1 WHERE {DRAFT}", "a published version never changes"),
        (
            f"{{}} versions SET key = (SELECT key FROM versions WHERE {PUBLISHED}) WHERE {DRAFT}",
            "a published version never changes",
        ),
        (
            f"{{}} versions SET prompt = (SELECT key FROM prompts WHERE name = 'other'), version = 1 WHERE {DRAFT}",
            "a published version never changes",
        ),
        (
            "{} prompts SET name = 'greet' WHERE name = 'other'",
            "a prompt keeps its id and namespace, and a name has one prompt",
        ),
        (
            "{} prompts SET key = (SELECT key FROM prompts WHERE name = 'greet') WHERE name = 'other'",
            "prompts.key|a prompt keeps its key",
        ),
        (
            "{} prompts SET rowid = (SELECT key FROM prompts WHERE name = 'greet') WHERE name = 'other'",
            "prompts.key|a prompt keeps its key",
        ),
        ("{} prompts SET oid = 100 WHERE name = 'other'", "a prompt keeps its key"),
        (
            "{} prompts SET namespace = 'elsewhere' WHERE name = 'other'",
            "a prompt keeps its id and namespace, and a name has one prompt",
        ),
        (
            "{} prompts SET id = (SELECT id FROM prompts WHERE name = 'greet') WHERE name = 'other'",
            "a prompt keeps its id and namespace, and a name has one prompt",
        ),
        ("{} events SET actor = 'mallory' WHERE seq = 1", "events never change"),
        ("{} events SET seq = 1 WHERE seq = 2", "events never change"),
        ("{} event_details SET details = '{{}}' WHERE seq = 1", "details of events never change"),
        ("{} event_details SET seq = 1 WHERE seq = 2", "details of events never change"),
        ("{} deletions SET prompt_id = 'x'", "a deletion is for ever"),
    ],
)
def test_no_form_of_update_bypasses_the_triggers(
    filled: Registry, verb: str, statement: str, message: str, unchanged: Any
) -> None:
    """Published versions, events and the identity of prompts can't be updated, whatever the statement's OR clause."""
    filled.create("gone", "…")
    filled.set_status("gone", "deleted")
    with closing(raw(filled.path)) as connection, unchanged():
        if verb == "UPDATE OR IGNORE" and statement.startswith(("{} prompts SET key", "{} prompts SET rowid")):
            assert connection.execute(statement.format(verb)).rowcount == 0, "a row whose key exists is ignored"
            return
        with pytest.raises(sqlite3.IntegrityError, match=message):
            connection.execute(statement.format(verb))


@pytest.mark.parametrize("verb", ["INSERT", "INSERT OR REPLACE", "REPLACE", "INSERT OR IGNORE"])
@pytest.mark.parametrize(
    ("statement", "message"),
    [
        (
            f"{{}} INTO versions ({VERSION_COLUMNS}) SELECT {COPY} FROM versions WHERE {PUBLISHED}",
            "the prompt has that version already",
        ),
        (
            f"{{}} INTO versions (key, {VERSION_COLUMNS}) SELECT key, {COPY.replace('version,', '9,', 1)}"
            f" FROM versions WHERE {PUBLISHED}",
            "the prompt has that version already",
        ),
        ("{} INTO prompts SELECT * FROM prompts WHERE name = 'greet'", "there is such a prompt already"),
        ("{} INTO events SELECT * FROM events WHERE seq = 1", "events are only appended"),
        (
            "{} INTO events SELECT seq + 100, at, action, namespace, prompt_id, commitment, prev, hash, actor, version"
            " FROM events WHERE seq = 1",
            "events are only appended",
        ),
        ("{} INTO event_details SELECT * FROM event_details WHERE seq = 1", "details of events never change"),
    ],
)
def test_no_form_of_insert_replaces_a_row(
    filled: Registry, verb: str, statement: str, message: str, unchanged: Any
) -> None:
    """OR REPLACE, which by default bypasses update and delete triggers, is refused by triggers on insert."""
    with closing(raw(filled.path)) as connection, unchanged(), pytest.raises(sqlite3.IntegrityError, match=message):
        connection.execute(statement.format(verb))


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        (f"DELETE FROM versions WHERE {PUBLISHED}", "a published version is only deleted with its prompt"),
        ("DELETE FROM prompts", "a prompt is only deleted by its registry"),
        ("DELETE FROM events", "events are never deleted"),
        ("DELETE FROM event_details", "details of events are only deleted with their prompt"),
        ("DELETE FROM deletions", "a deletion is for ever"),
    ],
)
def test_nothing_published_or_recorded_is_deleted(
    filled: Registry, statement: str, message: str, unchanged: Any
) -> None:
    """SQL can't delete a published version or an event; only the registry can."""
    filled.create("gone", "…")
    filled.set_status("gone", "deleted")
    with closing(raw(filled.path)) as connection, unchanged(), pytest.raises(sqlite3.IntegrityError, match=message):
        connection.execute(statement)


def test_a_draft_can_be_edited_and_deleted_in_sql(filled: Registry) -> None:
    """The triggers refuse changes of published rows alone, which shows that only they refuse in the tests above."""
    with closing(raw(filled.path)) as connection:
        assert connection.execute(f"UPDATE versions SET template = 'x' WHERE {DRAFT}").rowcount == 1
        assert connection.execute(f"DELETE FROM versions WHERE {DRAFT}").rowcount == 1


# Events


def test_events_are_a_hash_chain_from_the_first_on(filled: Registry) -> None:
    """Each hash covers the row and the hash before it; each commitment its salt, name and details."""
    filled.archive("greet")
    write_quoted(filled)
    fields = "seq, at, actor, action, namespace, prompt_id, version, commitment"
    with closing(raw(filled.path)) as connection:
        rows = connection.execute(f"SELECT {fields}, prev, hash FROM events ORDER BY seq").fetchall()
        rest = connection.execute("SELECT seq, salt, name, details FROM event_details")
        details = {seq: columns for seq, *columns in rest}
    last = "0" * 64
    for *event, prev, link in rows:
        assert prev == last
        assert link == sha256(canonical([prev, *event]).encode()).hexdigest()
        salt, name, text = details[event[0]]
        assert event[7] == sha256((salt + canonical([name, json.loads(text)])).encode()).hexdigest()
        last = link
    assert [row[0] for row in rows] == list(range(1, len(rows) + 1))
    assert len({salt for salt, _, _ in details.values()}) == len(rows)


def test_the_hash_of_a_prompt_is_of_the_canonical_json_of_its_row(filled: Registry) -> None:
    """It covers every column in the order of the table, whatever the names of actors and grants."""
    filled.seed("seeded", "Hello")
    filled.archive("other")
    write_quoted(filled)
    with closing(raw(filled.path)) as connection:
        found = connection.execute(f"SELECT {', '.join(rows.PROMPT_COLUMNS)} FROM prompts").fetchall()
    assert len(found) == 4
    for *values, seed, synced, stored in found:  # a column of a later schema is left out where it holds its default
        covered = [*values, *(later for later in (seed, synced) if later is not None)]
        assert stored == sha256(canonical(covered).encode()).hexdigest()


def write_quoted(registry: Registry) -> None:
    """Write characters that JSON escapes, wherever a caller may pass them, and names that it must not escape."""
    view = registry.scope(namespace="équipe/日本", actor=Actor('o"b\\rien\n', Role.ORG_ADMIN))
    view.create("çay_1.0-x", "…", access_grants=[('user:a"b', "read")])
    view.set_label("çay_1.0-x", "canary", 1)
    view.set_status("çay_1.0-x", "disabled")


def test_the_chain_is_valid_after_a_deletion(filled: Registry) -> None:
    """Deleting clears names and details, and leaves the rows of the chain unchanged."""
    before = everything(filled.path)["events"]
    filled.set_status("greet", "deleted")
    after = everything(filled.path)["events"]
    assert [row for row in after if row in before] == before
    assert len(after) == len(before) + 1


# Searching


def test_of_very_many_hits_the_newest_come_first(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """Up to a number of hits the best come first, and beyond it the newest prompts; filters apply to both."""
    for name, template in (("b", "tea tea tea"), ("a", "tea and more of it"), ("c", "tea and much more of it")):
        registry.create(name, template)
    registry.archive("c")
    assert [prompt.name for prompt in registry.search("tea")] == ["b", "a"]
    monkeypatch.setattr("promptreg.storage.sqlite.queries.MAX_RANKED", 3)
    assert [prompt.name for prompt in registry.search("tea")] == ["b", "a"]
    monkeypatch.setattr("promptreg.storage.sqlite.queries.MAX_RANKED", 2)
    assert [prompt.name for prompt in registry.search("tea")] == ["a", "b"]
    assert [prompt.name for prompt in registry.search("tea", limit=1)] == ["a"]
    assert [prompt.name for prompt in registry.search("tea", status="archived")] == ["c"]


# Hashes on rows


@pytest.mark.parametrize(
    ("change", "guard"),
    [
        ("UPDATE prompts SET status = 'disabled'", "prompts_update"),
        ("UPDATE prompts SET production_version = 1", "prompts_update"),
        ("UPDATE prompts SET labels = '{\"x\":1}'", "prompts_update"),
        ('UPDATE prompts SET access_grants = \'[["anyone","read"]]\'', "prompts_update"),
        ("UPDATE versions SET template = 'other'", "versions_update"),
        ("UPDATE versions SET version = 5 - version WHERE version IN (2, 3)", "versions_update"),
        ("UPDATE versions SET prompt = 3 - prompt WHERE prompt IN (1, 2) AND version = 1", "versions_update"),
    ],
)
def test_a_row_that_was_tampered_with_is_never_returned(filled: Registry, change: str, guard: str) -> None:
    """Loading a changed status, pointer, label, grant, text, number or owner raises StorageCorruptError."""
    filled.close()
    with closing(raw(filled.path)) as connection:
        connection.execute(f"DROP TRIGGER {guard}")
        connection.execute("DROP INDEX idx_versions_prompt_version")
        connection.execute(change)
    with Registry(filled.path) as again, pytest.raises(StorageCorruptError) as caught:
        [again.get(name) for name in ("greet", "other")]
    assert caught.value.code == "storage_corrupt"


GREET = "prompt = (SELECT key FROM prompts WHERE name = 'greet')"


@pytest.mark.parametrize(
    "damage",
    [
        f"UPDATE publications SET version = 1 WHERE {GREET} AND depth = 2",
        f"UPDATE publications SET version = 3 - version WHERE {GREET} AND depth < 3",
        f"UPDATE publications SET depth = -depth WHERE {GREET} AND depth = 1",
        f"DELETE FROM publications WHERE {GREET} AND depth = 3",
        f"DELETE FROM publications WHERE {GREET}",
    ],
)
@pytest.mark.parametrize("name", ["greet", "greet@1"])
def test_no_rollback_uses_a_damaged_stack_of_publications(filled: Registry, name: str, damage: str) -> None:
    """With a changed, moved or missing row a rollback raises StorageCorruptError, and production does not move."""
    filled.publish("greet", 3)
    with closing(raw(filled.path)) as connection:
        drop_checks(connection, "publications")
        assert connection.execute(damage).rowcount > 0
    with Registry(filled.path) as registry:
        with pytest.raises(StorageCorruptError, match="publications"):
            registry.rollback(name, reason="Too terse")
        assert registry.get("greet").version == 3


def reopened(registry: Registry) -> None:
    """Open the file again, and read."""
    with Registry(registry.path) as again:
        again.get("greet")


@pytest.mark.parametrize(
    "damage", ["DELETE FROM registry", *(f"UPDATE registry SET revision = {number}" for number in (-5, 2**63 - 1))]
)
def test_a_damaged_revision_is_reported(filled: Registry, damage: str) -> None:
    """If its row is missing, or the revision is impossible, every call and opening raises StorageCorruptError."""
    with closing(raw(filled.path)) as connection:
        connection.execute(damage)
    for call in (
        lambda: filled.get("other"),
        filled.list,
        lambda: filled.update("greet", template="New"),
        lambda: reopened(filled),
    ):
        with pytest.raises(StorageCorruptError):
            call()
    assert filled.get("other", default=None) is None


def test_a_full_disk_is_reported_when_the_sidecar_is_created(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The error names the full disk, and no permissions."""

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr("promptreg.storage.sqlite.companion_files.make", full)
    with pytest.raises(StorageFullError):
        Registry(path)


COLUMNS = {
    "prompts": rows.PROMPT_COLUMNS,
    "versions": rows.VERSION_COLUMNS,
    "events": EVENT_COLUMNS[1:],
    "event_details": ("salt", "name", "details"),
}
READS: tuple[Callable[[Registry], Any], ...] = (
    lambda registry: [registry.get("greet")],
    lambda registry: [registry.get("greet@1")],
    lambda registry: registry.list(),
    lambda registry: registry.search("hi name"),
    lambda registry: registry.history("greet"),
    lambda registry: registry.events(),
)


def drop_checks(connection: sqlite3.Connection, table: str) -> None:
    """Make a table accept any value, as a damaged file may contain."""
    for (trigger,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'trigger'").fetchall():
        connection.execute(f"DROP TRIGGER {trigger}")
    connection.execute("PRAGMA writable_schema = ON")
    lenient = "UPDATE sqlite_master SET sql = replace(replace(sql, 'STRICT', ''), 'NOT NULL', '') WHERE name = ?"
    connection.execute(lenient, (table,))


@pytest.mark.slow
@pytest.mark.parametrize("damage", ["NULL", "7", "1.5", "x'ff'", "CAST(x'ff' AS TEXT)", "'x'", "'[]'"])
@pytest.mark.parametrize("table", ["prompts", "versions", "events", "event_details"])
def test_a_damaged_value_of_any_type_is_never_returned(filled: Registry, table: str, damage: str) -> None:
    """A flipped bit may produce any value: a read returns what was written, or raises a PromptregError."""
    written = [list(read(filled)) for read in READS]
    changed, refused = set(), set()
    with closing(raw(filled.path)) as connection:
        drop_checks(connection, table)
    for column in COLUMNS[table]:
        with closing(raw(filled.path)) as connection:
            (kept,) = connection.execute(f"SELECT {column} FROM {table} WHERE rowid = 1").fetchone()
            connection.execute(f"UPDATE {table} SET {column} = {damage} WHERE rowid = 1")
            same = f"SELECT quote({column}) = quote(?) FROM {table} WHERE rowid = 1"
            if connection.execute(same, (kept,)).fetchone() != (1,):
                changed.add(column)
        with Registry(filled.path) as registry:
            for read, expected in zip(READS, written, strict=True):
                try:
                    assert all(item in expected for item in read(registry))
                except StorageCorruptError:
                    refused.add(column)
                except NotFoundError:
                    pass
        with closing(raw(filled.path)) as connection:
            connection.execute(f"UPDATE {table} SET {column} = ? WHERE rowid = 1", (kept,))
    assert refused >= changed - {"namespace", "name", "version"}, (
        "these columns are searched, so that the row may not be found"
    )


@pytest.mark.parametrize("column", ["revision", "deleted_revision", "vacuumed_revision", "erased_revision"])
def test_an_invalid_count_is_reported(filled: Registry, column: str) -> None:
    """A damaged counter raises StorageCorruptError, on opening too."""
    filled.close()
    with closing(raw(filled.path)) as connection:
        drop_checks(connection, "registry")
    with closing(raw(filled.path)) as connection:
        connection.execute(f"UPDATE registry SET {column} = NULL")
    with pytest.raises(StorageCorruptError):
        reopened(filled)


def test_invalid_utf_8_is_reported_and_not_quoted(filled: Registry) -> None:
    """Neither the message nor any chained error contains the text, although the driver's error would quote it."""
    with closing(raw(filled.path)) as connection:
        drop_checks(connection, "versions")
        connection.execute("UPDATE versions SET template = CAST(x'73656372657420ff' AS TEXT)")
    with Registry(filled.path) as registry, pytest.raises(StorageCorruptError, match="not UTF-8") as caught:
        registry.get("greet")
    assert "secret" not in "".join(traceback.format_exception(caught.value))


def test_a_damaged_schema_that_sqlite_can_not_quote_is_reported(filled: Registry) -> None:
    """The error of a schema whose text is not UTF-8 is StorageCorruptError, although SQLite's message isn't UTF-8."""
    filled.close()
    data = bytearray(Path(filled.path).read_bytes())
    data[data.rindex(b'CREATE TABLE "prompts"') + 9] ^= 0x80
    Path(filled.path).write_bytes(data)
    with pytest.raises(StorageCorruptError):
        Registry(filled.path)


@pytest.mark.parametrize("change", ["status = 'ctive'", "status = x'616374697665'", "production_version = 9"])
def test_a_prompt_that_damage_hides_is_reported_by_listings(filled: Registry, change: str) -> None:
    """A listing raises StorageCorruptError, and does not silently omit the prompt."""
    with closing(raw(filled.path)) as connection:
        drop_checks(connection, "prompts")
    with closing(raw(filled.path)) as connection:
        connection.execute(f"UPDATE prompts SET {change} WHERE name = 'greet'")
    with Registry(filled.path) as registry:
        for call in (registry.list, lambda: registry.search("hi"), lambda: registry.get("greet")):
            with pytest.raises(StorageCorruptError):
                call()


def test_a_missing_live_version_is_reported(filled: Registry) -> None:
    """The error is StorageCorruptError, and not the `VersionNotFoundError` of a version that never existed."""
    with closing(raw(filled.path)) as connection:
        drop_checks(connection, "versions")
        connection.execute("DELETE FROM versions WHERE version > 1")
    with Registry(filled.path) as registry:
        for version in (None, 2, 3, "latest"):
            with pytest.raises(StorageCorruptError):
                registry.get("greet", version=version)
        with pytest.raises(VersionNotFoundError):
            registry.get("greet", version=4)


@pytest.mark.parametrize("at", [35, 36], ids=["the id", "whose it is"])
def test_a_damaged_index_leads_to_no_other_prompt(filled: Registry, at: int) -> None:
    """After one bit of an entry in the index of ids has flipped, a write is refused, and changes no other prompt."""
    other = filled.create("third", "Third").id
    filled.close()
    with closing(raw(filled.path)) as connection:
        (root,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'idx_prompts_id'").fetchone()
        (size,) = connection.execute("PRAGMA page_size").fetchone()
        (key,) = connection.execute("SELECT key FROM prompts WHERE id = ?", (other,)).fetchone()
    data = bytearray(Path(filled.path).read_bytes())
    entry = data.index(other.encode(), (root - 1) * size, root * size)
    assert data[entry + 36] == key == 3
    data[entry + at] ^= 1
    Path(filled.path).write_bytes(data)
    calls = (
        lambda registry: registry.set_status(["greet", "third"], "disabled"),
        lambda registry: registry.update("third", template="New"),
        lambda registry: registry.update("third", new_name="new"),
        lambda registry: registry.set_label("third", "staging", 1),
        lambda registry: registry.set_status("third", "deleted"),
        lambda registry: registry.get(other, version=1).name == "third" or pytest.fail("another prompt"),
    )
    for call in calls:
        with Registry(filled.path) as registry, pytest.raises((StorageCorruptError, NotFoundError)):
            call(registry)
    with Registry(filled.path) as registry:
        assert [(p.name, p.status) for p in registry.list()] == [
            ("greet", "active"),
            ("other", "active"),
            ("third", "active"),
        ]
        assert registry.get("other").template == "Other"


def test_an_event_whose_details_are_lost_is_an_error(filled: Registry) -> None:
    """Only events of deleted prompts may have no details."""
    with closing(raw(filled.path)) as connection:
        connection.execute("DROP TRIGGER event_details_delete")
        connection.execute("DELETE FROM event_details WHERE seq = 2")
    with pytest.raises(StorageCorruptError, match="event 2"):
        filled.events()


def test_the_event_of_a_deletion_keeps_its_name(filled: Registry) -> None:
    """A missing name of a `delete` event is an error, because that event keeps it."""
    filled.set_status("other", "deleted")
    assert filled.events()[-1].name == "other"
    with closing(raw(filled.path)) as connection:
        drop_checks(connection, "event_details")
        connection.execute("DELETE FROM event_details WHERE seq = (SELECT max(seq) FROM events)")
    with Registry(filled.path) as registry, pytest.raises(StorageCorruptError, match="event"):
        registry.events()


def test_a_text_that_became_a_number_is_reported(registry: Registry) -> None:
    """A number that prints like the text that was written raises StorageCorruptError."""
    registry.create("5", "Five")
    with closing(raw(registry.path)) as connection:
        drop_checks(connection, "event_details")
    with closing(raw(registry.path)) as connection:
        connection.execute("ALTER TABLE event_details RENAME COLUMN name TO old")
        connection.execute("ALTER TABLE event_details ADD COLUMN name")
        connection.execute("UPDATE event_details SET name = 5")
    with Registry(registry.path) as again, pytest.raises(StorageCorruptError):
        again.events()


# Opening


def _open_and_save(path: str, worker: int, start: Any, results: Any) -> None:
    start.wait()
    try:
        with Registry(path, busy_timeout=60) as registry:
            saved = registry.save("seed", "The same for all")
            own = registry.create(f"own-{worker}", "…")
            results.put((saved.version, own.version))
    except PromptregError as error:
        results.put(repr(error))


@pytest.mark.slow
def test_eight_processes_open_one_new_file_at_once(path: str) -> None:
    """All of them open the same registry, and see the same version 1."""
    context = multiprocessing.get_context("spawn")
    start, results = context.Event(), context.Queue()
    workers = [context.Process(target=_open_and_save, args=(path, n, start, results)) for n in range(8)]
    for worker in workers:
        worker.start()
    start.set()
    assert [results.get(timeout=60) for _ in workers] == [(1, 1)] * 8
    for worker in workers:
        worker.join()
    with Registry(path) as registry:
        assert len(registry.list()) == 9
        assert [version.version for version in registry.history("seed")] == [1]
    with closing(raw(path)) as connection:
        assert connection.execute("SELECT count(*) FROM _sqlite_migrations").fetchone() == (SCHEMA_VERSION,)


def test_an_empty_file_becomes_a_registry(path: str) -> None:
    """An empty file, such as a temporary file, is opened as a new registry."""
    Path(path).touch()
    with Registry(path) as registry:
        assert registry.create("greet", "Hello").version == 1
    with Registry(path, create=False) as again:
        assert again.get("greet").version == 1


def test_a_name_with_every_awkward_character_opens(tmp_path: Path) -> None:
    """Question marks, hashes, percent signs and spaces in a path are not interpreted as parts of a URI."""
    path = tmp_path / "a b?c#d%20é.db"
    with Registry(path) as registry:
        registry.create("greet", "Hello")
        assert registry.path == str(path)
    assert path.exists()


def _refused(path: Path, kind: type[StorageError], unchanged_bytes: bytes) -> None:
    with pytest.raises(kind):
        Registry(path)
    assert path.read_bytes() == unchanged_bytes
    assert [p.name for p in path.parent.iterdir()] == [path.name]


def test_another_applications_database_is_refused_and_untouched(tmp_path: Path) -> None:
    """A database with other tables, or with another application id, is refused, and not a byte of it changes."""
    for i, statement in enumerate(("CREATE TABLE t (x)", "PRAGMA application_id = 7", "PRAGMA user_version = 7")):
        path = tmp_path / str(i) / "theirs.db"
        path.parent.mkdir()
        with closing(raw(str(path))) as connection:
            connection.execute(statement)
        _refused(path, StorageError, path.read_bytes())


def test_a_file_that_is_not_a_database_is_refused_and_untouched(tmp_path: Path) -> None:
    """A text file raises StorageCorruptError, because it may be a damaged database."""
    path = tmp_path / "notes.txt"
    path.write_text("not a database, but long enough to have a header of its own " * 20)
    _refused(path, StorageCorruptError, path.read_bytes())


def test_a_newer_schema_is_refused(registry: Registry) -> None:
    """A file of a newer promptreg raises SchemaTooNewError."""
    registry.close()
    with closing(raw(registry.path)) as connection:
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION + 1}")
    with pytest.raises(SchemaTooNewError) as caught:
        Registry(registry.path)
    assert caught.value.code == "schema_too_new"


def test_a_crash_during_the_creation_leaves_a_file_that_can_be_opened(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The schema is created in one transaction: after an interrupt there is none, and the next opening creates it."""

    def crash(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(type(MIGRATIONS), "_record_applied", crash)
        with pytest.raises(KeyboardInterrupt):
            Registry(path)
    with closing(raw(path)) as connection:
        assert connection.execute("SELECT count(*) FROM sqlite_master").fetchone() == (0,)
    with Registry(path) as registry:
        assert registry.create("greet", "Hello").version == 1


@pytest.mark.parametrize(("settings", "level"), [({}, 2), ({"durability": "full"}, 2), ({"durability": "normal"}, 1)])
def test_every_connection_that_writes_is_as_durable_as_asked(path: str, settings: dict[str, Any], level: int) -> None:
    """On every connection FULL, the default, syncs each commit, and NORMAL does not."""
    levels: list[int] = []

    def write() -> None:
        with registry._core.storage.write() as writer:
            connection = writer._connection  # type: ignore[attr-defined]
            levels.extend(connection.execute("PRAGMA synchronous").fetchone())

    with Registry(path, **settings) as registry:
        write()
        thread = threading.Thread(target=write)
        thread.start()
        thread.join()
    with Registry(path, **settings) as registry:
        write()
    assert levels == [level] * 3


def test_memory_is_one_database_for_all_threads_of_one_registry() -> None:
    """Two `:memory:` registries share nothing; views of one share all."""
    with Registry(":memory:") as one, Registry(":memory:") as two:
        one.create("greet", "Hello")
        assert two.get("greet", default=None) is None
        assert one.scope(namespace="x").scope(namespace="default").get("greet").version == 1


# Failures


@pytest.mark.slow
def test_a_writer_that_exceeds_busy_timeout_gets_a_time_to_retry(registry: Registry) -> None:
    """StorageBusyError has `retry_after`; readers are not delayed, and nothing is written."""
    registry.create("greet", "Hello")
    with Registry(registry.path, busy_timeout=0) as hasty, closing(raw(registry.path)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(StorageBusyError) as caught:
            hasty.update("greet", template="Hi")
        assert hasty.render("greet").text == "Hello"
        other.execute("ROLLBACK")
        assert caught.value.code == "service_unavailable"
        assert caught.value.details["retry_after"] > 0
        assert hasty.update("greet", template="Hi").version == 2


@pytest.mark.slow
def test_opening_waits_for_others_as_long_as_a_write_does(path: str) -> None:
    """Opening waits for another tool that locks the entire file for half a second."""
    Registry(path).close()

    def locking() -> sqlite3.Connection:
        other = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        other.execute("PRAGMA locking_mode = EXCLUSIVE")
        other.execute("UPDATE registry SET revision = revision")
        return other

    release = threading.Timer(0.5, locking().close)
    release.start()
    with Registry(path, busy_timeout=30) as registry:
        assert registry.create("greet", "Hello").version == 1
    release.join()
    with closing(locking()), pytest.raises(StorageBusyError):
        Registry(path, busy_timeout=0.1)


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (sqlite3.SQLITE_BUSY_SNAPSHOT, StorageBusyError),
        (sqlite3.SQLITE_LOCKED, StorageBusyError),
        (sqlite3.SQLITE_FULL, StorageFullError),
        (sqlite3.SQLITE_READONLY_DIRECTORY, StorageReadOnlyError),
        (sqlite3.SQLITE_CORRUPT_INDEX, StorageCorruptError),
        (sqlite3.SQLITE_NOTADB, StorageCorruptError),
        (sqlite3.SQLITE_CONSTRAINT_UNIQUE, ConflictError),
        (sqlite3.SQLITE_CONSTRAINT_TRIGGER, ConflictError),
        (sqlite3.SQLITE_CONSTRAINT_NOTNULL, StorageCorruptError),
        (sqlite3.SQLITE_CONSTRAINT_FOREIGNKEY, StorageCorruptError),
        (ANOTHER_TYPE, StorageCorruptError),
        (sqlite3.SQLITE_IOERR_READ, StorageError),
    ],
)
def test_each_error_of_sqlite_is_translated(code: int, kind: type[PromptregError]) -> None:
    """Each result code, extended ones included, becomes exactly the class that the table of errors names."""
    error = sqlite3.OperationalError("it failed")
    error.sqlite_errorcode = code
    assert type(translate(error, "prompts.db")) is kind


def test_an_error_chains_the_drivers_error(registry: Registry) -> None:
    """The driver's error is the `__cause__` of the PromptregError."""
    registry.create("greet", "Hello")
    with closing(raw(registry.path)) as other:
        other.execute("DROP TABLE event_details")
    with pytest.raises(StorageError) as caught:
        registry.update("greet", template="Hi")
    assert isinstance(caught.value.__cause__, sqlite3.Error)


# Erasing


def traces(folder: str, words: list[bytes]) -> list[tuple[str, bytes]]:
    """Return those of the words that occur in the bytes of any file of a folder."""
    files = [path for path in Path(folder).iterdir() if path.is_file()]
    return [(path.name, word) for path in files for word in words if word in path.read_bytes()]


WORDS = ["zanzibar", "quokka", "lagniappe", "umbriel", "saudade", "kerfuffle", "ouagadougou", "wolpertinger", "yclept"]
SECRETS = [word.encode() for word in WORDS]


def fill_with_secrets(registry: Registry) -> None:
    """Create a prompt that has the words in every field, among many others, with edits, drafts and discards."""
    template, title, description, tag, meta, example, message, draft, discarded = WORDS
    for i in range(60):
        registry.create(f"noise-{i}", f"Noise {i} " * 40)
    registry.create(
        "secret",
        f"{template} {{{{ x }}}} " * 30,
        title=title,
        description=description * 9,
        category=meta,
        tags=[tag],
        config={meta: meta},
        meta={meta: [meta]},
        examples=[{"x": example}],
        variables=[{"name": "x", "description": description}],
        commit_message=message,
        access_grants=[("user:" + meta, "read")],
    )
    for i in range(8):
        registry.update("secret", template=f"{template} {i} " * 40, is_production=i % 2 == 0)
    registry.update("secret", template=draft * 50, is_production=False)
    registry.update("secret@latest", template=draft * 60)
    registry.update("secret", template=discarded * 50, is_production=False)
    registry.discard("secret@latest")
    registry.update("secret", new_name=f"secret-{tag}")
    for i in range(60):
        registry.update(f"noise-{i}", template=f"Noise {i} again " * 40)


def test_rule_15_no_byte_of_a_deleted_prompt_remains(registry: Registry, path: str) -> None:
    """When the call returns, no file of the registry contains a word of the prompt, and no SQL finds a row of it."""
    fill_with_secrets(registry)
    deleted = registry.get(f"secret-{WORDS[3]}")
    folder = str(Path(path).parent)
    assert {word for _, word in traces(folder, SECRETS)} >= set(SECRETS) - {WORDS[8].encode()}
    registry.update(deleted.id, new_name="secret")
    registry.set_status("secret", "deleted")
    assert traces(folder, SECRETS) == []
    rows = everything(path)
    assert [row for table in ("prompts", "versions", "publications") for row in rows[table] if deleted.id in row] == []
    assert len(rows["prompts"]) == 60
    assert registry.search(WORDS[0]) == []


@pytest.mark.slow
def test_rule_15_deleted_content_is_written_to_no_temporary_file(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Deleting a long prompt uses no temporary file; rewriting a large file uses one that holds only what remains."""
    with Registry(path) as registry:
        registry.create("long", "zanzibar")
        for i in range(60):
            registry.update("long", template=f"{i} zanzibar " * 300)
            registry.create(f"other-{i}", "…", description=f"{i}" * 50_000)
    seen: dict[str, bool] = {}

    class Watched(sqlite3.Connection):
        def __init__(self, *args: Any, **more: Any) -> None:
            super().__init__(*args, **more)
            self.statement = ""
            self.set_trace_callback(self._begins)
            self.set_progress_handler(self._continue, 10)

        def _begins(self, statement: str) -> None:
            self._continue()
            self.statement = statement.split(maxsplit=1)[0]

        def _continue(self) -> None:
            seen[self.statement] = seen.get(self.statement, False) or has_temporary_file()

    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda *args, **more: connect(*args, **{**more, "factory": Watched}))
    with Registry(path) as registry:
        registry.set_status("long", "deleted")
    assert {statement for statement, is_seen in seen.items() if is_seen} == {"VACUUM;"}
    assert {"DELETE", "INSERT", "UPDATE"} <= set(seen)


def has_temporary_file() -> bool:
    """Return whether SQLite has a temporary file open in this process; such a file has been unlinked."""
    opened = Path("/proc/self/fd")
    with suppress(FileNotFoundError):
        return any("/etilqs_" in os.readlink(descriptor) for descriptor in opened.iterdir())
    return False


def test_rule_15_an_older_reader_delays_the_erasing_until_it_ends(registry: Registry, path: str) -> None:
    """While another tool has a read transaction open, the WAL can't be truncated; the next call after it does so."""
    folder = str(Path(path).parent)
    registry.create("secret", "zanzibar")
    with closing(raw(path)) as reader:
        reader.execute("BEGIN")
        assert reader.execute("SELECT count(*) FROM versions").fetchone() == (1,)
        registry.set_status("secret", "deleted")
        assert registry.get("secret", default=None) is None
        assert traces(folder, [b"zanzibar"]) != []
        reader.execute("COMMIT")
    registry.create("next", "…")
    assert traces(folder, [b"zanzibar"]) == []


def _delete_and_die(path: str) -> None:
    registry = Registry(path)
    reader = raw(path)
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM versions").fetchone()
    registry.set_status("secret", "deleted")
    os._exit(0)


@pytest.mark.slow
def test_rule_15_erasing_that_a_crash_cut_short_is_done_at_the_next_opening(path: str) -> None:
    """If a process dies between deletion and erasing, the next process that opens the file erases the prompt."""
    folder = str(Path(path).parent)
    with Registry(path) as registry:
        registry.create("secret", "zanzibar")
    process = multiprocessing.get_context("spawn").Process(target=_delete_and_die, args=(path,))
    process.start()
    process.join()
    assert traces(folder, [b"zanzibar"]) != []
    with Registry(path):
        assert traces(folder, [b"zanzibar"]) == []


@pytest.mark.parametrize("step", ["update", "open", "close"])
def test_rule_15_no_read_rewrites_the_file_and_the_next_write_does(
    path: str, step: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If the deleting process has died, writing, opening and closing erase; reads do not, as they must be short."""
    folder = str(Path(path).parent)
    with Registry(path) as registry:
        registry.create("secret", "zanzibar")
        registry.create("greet", "Hello")
        with monkeypatch.context() as patch:
            patch.setattr(SQLiteStorage, "_erase", lambda *_, **__: None)
            with Registry(path) as dying:
                dying.set_status("secret", "deleted")
        with monkeypatch.context() as patch:
            patch.setattr(Database, "vacuum", lambda _: pytest.fail("a read rewrote the file"))
            for _ in range(3):
                time.sleep(0.06)
                registry.get("greet")
                registry.render("greet")
                registry.list()
                registry.get("absent", default=None)
        assert traces(folder, [b"zanzibar"]) != []
        if step == "update":
            registry.update("greet", template="Hi")
        elif step == "open":
            Registry(path).close()
        else:
            registry.close()
        assert traces(folder, [b"zanzibar"]) == []


# Threads and interruptions


def test_an_interrupted_write_leaves_no_transaction_open(
    registry: Registry, unchanged: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A KeyboardInterrupt in the middle of a write rolls it back, and the next write works."""
    registry.create("greet", "Hello")

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, unchanged():
        patch.setattr("promptreg.storage.sqlite.event_log.append", interrupt)
        with pytest.raises(KeyboardInterrupt):
            registry.update("greet", template="Hi")
    assert registry.update("greet", template="Hi").version == 2


def test_unpublished_versions_are_found_however_many_there_are(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every draft is listed once, although one statement reads a limited number of versions."""
    registry.create("x", "t1", is_production=False)
    for number in range(2, 8):
        registry.update("x", template=f"t{number}", is_production=number in {3, 4, 6})
    for at_once in (1, 2, 3, 7, 100):
        monkeypatch.setattr("promptreg.storage.sqlite.reader.MAX_SCANNED", at_once)
        with registry._core.storage.read() as reader:
            (container,) = reader.find("default", [Reference("x", is_id=False)])
            assert container is not None
            assert reader.version_numbers(container, "unpublished") == [7, 5, 2, 1]
