"""What no SQL of the owner's role may change in PostgreSQL, and what caches notice of a write by another tool.

Each statement is one that a hostile or careless user of the database might run, with triggers left alone.
"""

from collections.abc import Iterator
from typing import Any, TypeAlias

import psycopg
import pytest

from promptreg import Registry, SchemaTooNewError, StorageError
from promptreg.storage.postgres import schema
from tests.postgres import connected, fresh_target, split_target
from tests.storages import everything

pytestmark = pytest.mark.postgres
Sql: TypeAlias = "psycopg.Connection[tuple[Any, ...]]"

GONE = "(SELECT prompt_id FROM deletions)"
DELETED_EVENT = f"(SELECT seq FROM events WHERE prompt_id = {GONE} AND action = 'delete')"
LAST = "(SELECT max(seq) FROM events)"


def fill(registry: Registry) -> None:
    """Write a published and a draft version of `greet`, another prompt, and a deleted one."""
    registry.create("greet", "Hello")
    registry.update("greet", template="Draft", is_production=False)
    registry.create("other", "Other")
    registry.create("gone", "Gone")
    registry.delete("gone")


@pytest.fixture
def registry(postgres_target: str) -> Iterator[Registry]:
    with Registry(postgres_target) as opened:
        fill(opened)
        yield opened


@pytest.fixture
def sql(registry: Registry, postgres_target: str) -> Iterator[Sql]:
    with connected(postgres_target) as connection:
        yield connection


@pytest.fixture(scope="module")
def kept(postgres_url: str) -> Iterator[str]:
    """The target of a registry that no test changes."""
    with fresh_target(postgres_url) as target:
        with Registry(target) as registry:
            fill(registry)
        yield target


@pytest.fixture(scope="module")
def kept_sql(kept: str) -> Iterator[Sql]:
    with connected(kept) as connection:
        yield connection


FOREIGN_PROMPT = (
    "INSERT INTO prompts (id, namespace, name, status, is_disabled, access_grants, labels, latest_version,"
    " last_version, created_at, updated_at, hash, revision)"
    " SELECT 'x', namespace, 'new', status, 0, '[]', '{}', 1, 1, created_at, updated_at, hash, 0"
    " FROM prompts WHERE name = 'greet'"
)

REFUSED = {
    "a published version never changes": (
        "UPDATE versions SET template = 'x' WHERE state = 'published'",
        "UPDATE versions SET state = 'draft' WHERE state = 'published'",
        "UPDATE versions SET author = author",
        "UPDATE versions SET version = 9 WHERE state = 'draft'",
        "UPDATE versions SET prompt = (SELECT key FROM prompts WHERE name = 'other') WHERE state = 'draft'",
        "INSERT INTO versions SELECT * FROM versions WHERE version = 1"
        " ON CONFLICT (prompt, version) DO UPDATE SET template = 'x'",
        "MERGE INTO versions USING (SELECT 1) AS s ON state = 'published' WHEN MATCHED THEN UPDATE SET template = 'x'",
    ),
    "a published version is only deleted with its prompt": (
        "DELETE FROM versions",
        "WITH d AS (DELETE FROM versions WHERE state = 'published' RETURNING 1) SELECT * FROM d",
    ),
    "published versions are only deleted with their prompt": (
        "TRUNCATE versions",
        "TRUNCATE versions, search",
    ),
    "a prompt keeps its key, its id and its namespace": (
        "UPDATE prompts SET id = 'x' WHERE name = 'greet'",
        "UPDATE prompts SET namespace = 'x' WHERE name = 'greet'",
        "UPDATE prompts SET key = DEFAULT WHERE name = 'greet'",
    ),
    "a prompt is only deleted by its registry": (f"{FOREIGN_PROMPT}; DELETE FROM prompts WHERE id = 'x'",),
    "prompts are only deleted by their registry": ("TRUNCATE prompts CASCADE",),
    "publications are only deleted with their prompt": ("TRUNCATE publications",),
    "a deletion is for ever": (
        "UPDATE deletions SET at = 'x'",
        "UPDATE deletions SET synced = NULL",
        "DELETE FROM deletions",
        "TRUNCATE deletions",
    ),
    "events never change": (
        "UPDATE events SET action = 'x'",
        "UPDATE events SET hash = hash",
        f"UPDATE events SET seq = seq + 1 WHERE seq = {LAST}",
        f"DELETE FROM events WHERE seq = {LAST}",
        f"DELETE FROM events WHERE prompt_id = {GONE}",
    ),
    "events are never deleted": ("TRUNCATE events CASCADE",),
    "events are only appended": tuple(
        "INSERT INTO events SELECT {seq}, at, actor, action, namespace, prompt_id, version, commitment, {prev}, hash"
        f" FROM events WHERE seq = {LAST}".format(seq=seq, prev=prev)
        for seq, prev in (("seq + 1", "prev"), ("seq + 2", "hash"), ("0", "repeat('0', 64)"), ("-1", "hash"))
    ),
    "details of events never change": (
        "UPDATE event_details SET name = 'x'",
        f"UPDATE event_details SET details = '{{}}' WHERE seq = {DELETED_EVENT}",
    ),
    "details of events are only deleted with their prompt": (
        "DELETE FROM event_details WHERE seq = 1",
        "DELETE FROM event_details",
        "TRUNCATE event_details",
    ),
    "the registry keeps its row": ("DELETE FROM registry", "TRUNCATE registry"),
    "the registry keeps the last event that there is": (
        "UPDATE registry SET last_event = last_event - 1",
        "UPDATE registry SET last_hash = repeat('0', 64)",
        "UPDATE registry SET (last_event, last_hash) = (SELECT seq, hash FROM events WHERE seq = 1)",
    ),
}


@pytest.mark.parametrize(("message", "statement"), [(m, s) for m, statements in REFUSED.items() for s in statements])
def test_what_never_changes_is_refused_by_the_database(kept: str, kept_sql: Sql, message: str, statement: str) -> None:
    """Each statement fails with the reason, and nothing of it remains."""
    if statement.startswith("MERGE") and kept_sql.info.server_version < 150_000:
        pytest.skip("this server has no MERGE")
    before = everything(kept)
    with pytest.raises(psycopg.errors.IntegrityConstraintViolation, match=message):
        kept_sql.execute(statement)
    assert everything(kept) == before


ALSO_REFUSED = (
    "INSERT INTO versions SELECT * FROM versions WHERE version = 1",
    "INSERT INTO events SELECT * FROM events WHERE seq = 1",
    "INSERT INTO event_details SELECT * FROM event_details WHERE seq = 1",
    "UPDATE prompts SET name = 'other' WHERE name = 'greet'",
    "UPDATE prompts SET key = 99 WHERE name = 'greet'",
    "INSERT INTO registry SELECT 2, 1, identity, 0, stamp, 0, last_hash FROM registry",
    "DROP TABLE events",
)


@pytest.mark.parametrize("statement", ALSO_REFUSED)
def test_keys_keep_rows_from_being_replaced(kept: str, kept_sql: Sql, statement: str) -> None:
    """A second row of the same key, a name in use, a key of choice and a table that others refer to are refused."""
    before = everything(kept)
    with pytest.raises(psycopg.Error):
        kept_sql.execute(statement)
    assert everything(kept) == before


ALLOWED = (
    "UPDATE versions SET failure = '[]' WHERE state = 'draft'",
    "DELETE FROM versions WHERE state = 'draft'",
    f"DELETE FROM event_details WHERE seq = {DELETED_EVENT}",
    "DELETE FROM publications WHERE prompt = (SELECT key FROM prompts WHERE name = 'other')",
    "DELETE FROM events WHERE false",
    "UPDATE events SET at = at WHERE false",
    "DELETE FROM search",
    "DELETE FROM commits",
)


@pytest.mark.parametrize("statement", ALLOWED)
def test_other_rows_are_not_guarded(kept_sql: Sql, statement: str) -> None:
    """As in SQLite: drafts, the words of searches, and what a deletion leaves may be written; hashes show damage."""
    with kept_sql.transaction(force_rollback=True):
        kept_sql.execute(statement)


def test_deleting_a_prompt_deletes_its_published_versions(registry: Registry, sql: Sql) -> None:
    """Its registry may: of its rows only the deletion, its events, and the name in the last of them remain."""
    registry.update("greet", template="Secret words", tags=["hidden"])
    greet = registry.get("greet").id
    registry.delete("greet")
    (left,) = sql.execute("SELECT count(*) FROM prompts").fetchall()
    assert left == (1,)
    for table in ("versions", "publications", "search"):
        (rows,) = sql.execute(f"SELECT count(*) FROM {table} WHERE prompt NOT IN (SELECT key FROM prompts)").fetchall()
        assert rows == (0,), table
    details = sql.execute(
        "SELECT e.action, d.name FROM events e JOIN event_details d USING (seq) WHERE e.prompt_id = %s", (greet,)
    ).fetchall()
    assert details == [("delete", "greet")]
    assert sql.execute("SELECT count(*) FROM deletions WHERE prompt_id = %s", (greet,)).fetchall() == [(1,)]


FOREIGN = (
    "UPDATE prompts SET name = name WHERE name = 'greet'",
    "UPDATE prompts SET revision = 0 WHERE name = 'greet'",
    FOREIGN_PROMPT,
)


@pytest.mark.parametrize("statement", FOREIGN)
def test_a_write_of_another_tool_to_a_prompt_is_a_commit(sql: Sql, postgres_target: str, statement: str) -> None:
    """It raises the revision of the registry and of the prompt, changes the stamp, is kept, and is announced."""
    _, name = split_target(postgres_target)
    before = sql.execute("SELECT revision, stamp, last_event, last_hash FROM registry").fetchone()
    assert before is not None
    with connected(postgres_target) as listener:
        listener.execute(f'LISTEN "{name}"')
        sql.execute(statement)
        (notification,) = listener.notifies(timeout=10, stop_after=1)
    after = sql.execute("SELECT revision, stamp, last_event, last_hash FROM registry").fetchone()
    assert after is not None
    assert after[0] == before[0] + 1
    assert after[1] != before[1]
    assert len(str(after[1])) == 16
    assert after[2:] == before[2:]
    assert notification.payload == f"{after[0]} {after[1]}"
    assert sql.execute("SELECT revision, stamp FROM commits ORDER BY revision DESC LIMIT 1").fetchone() == after[:2]
    assert sql.execute("SELECT max(revision) FROM prompts").fetchone() == (after[0],)


def test_a_write_of_another_tool_in_the_middle_of_a_write_waits(
    registry: Registry, sql: Sql, postgres_target: str
) -> None:
    """It takes the lock of the registry first, as each write does, so that neither waits for the other in a circle."""
    with connected(postgres_target) as writer, writer.transaction():
        writer.execute("SELECT 1 FROM registry FOR UPDATE")
        sql.execute("SET lock_timeout = '50ms'")
        with pytest.raises(psycopg.errors.LockNotAvailable):
            sql.execute("UPDATE prompts SET name = name")
        writer.execute("UPDATE prompts SET name = name")
    sql.execute("UPDATE prompts SET name = name")


def test_functions_look_into_the_systems_schema_only(registry: Registry, sql: Sql) -> None:
    """A function, an operator or a table of a hostile user's schema never takes the place of the system's own."""
    (name,) = sql.execute("SELECT current_schema()").fetchone() or ("",)
    settings = sql.execute(
        "SELECT proname, proconfig, prosecdef FROM pg_catalog.pg_proc WHERE pronamespace = %s::regnamespace", (name,)
    ).fetchall()
    assert len(settings) == len(schema.FUNCTIONS)
    for function, config, is_definer in settings:
        assert config[0] == "search_path=pg_catalog, pg_temp", function
        assert is_definer is False, function
    sql.execute(
        "CREATE TEMP TABLE registry (revision bigint, stamp text, last_event bigint, last_hash text);"
        "CREATE TEMP TABLE deletions (prompt_id text);"
        "INSERT INTO pg_temp.deletions SELECT id FROM prompts;"
        "CREATE TEMP TABLE events (seq bigint, hash text)"
    )
    with pytest.raises(psycopg.errors.IntegrityConstraintViolation, match="only deleted with its prompt"):
        sql.execute("DELETE FROM versions")


# Schemas of other releases


def test_another_schema_than_that_of_this_release_is_refused() -> None:
    """A newer one as `SchemaTooNewError`, of a newer release; an older one, of a restored copy, with what to do."""
    with pytest.raises(SchemaTooNewError, match="schema 9; this promptreg knows 1: upgrade it") as caught:
        schema.require_known(9, "the database")
    assert caught.value.details["reason"] == "schema_too_new"
    schema.require_known(schema.SCHEMA_VERSION, "the database")
    with pytest.raises(StorageError, match="older schema 0 now") as old:
        schema.require_known(0, "the database")
    assert old.value.details["reason"] == "old_schema"


def test_a_registry_that_a_newer_release_has_migrated_is_neither_read_nor_written(registry: Registry, sql: Sql) -> None:
    """A process that has it open notices at its next read and write."""
    sql.execute("UPDATE registry SET schema_version = schema_version + 1")
    with pytest.raises(SchemaTooNewError):
        registry.get("other", version=1)
    with pytest.raises(SchemaTooNewError):
        registry.update("greet", template="x")


def test_the_schemas_version_is_the_number_of_its_migrations(kept_sql: Sql) -> None:
    """A new one has had them all, and a current one needs none."""
    assert kept_sql.execute("SELECT schema_version FROM registry").fetchone() == (len(schema.MIGRATIONS),)
    (only,) = schema.migration("x", schema.SCHEMA_VERSION)
    assert only.text == "UPDATE $.registry SET schema_version = %s"


def test_all_texts_compare_by_code_points(kept: str, kept_sql: Sql) -> None:
    """In every table, so that each index serves each comparison, whatever the locale of the database is."""
    others = kept_sql.execute(
        "SELECT table_name, column_name FROM information_schema.columns"
        " WHERE table_schema = %s AND data_type = 'text' AND collation_name IS DISTINCT FROM 'C'",
        (split_target(kept)[1],),
    ).fetchall()
    assert others == []


def test_no_write_reads_the_whole_record_of_events(sql: Sql) -> None:
    """The check that the registry keeps the last event finds it by the index, however many there are."""
    with sql.transaction(force_rollback=True):
        with pytest.raises(psycopg.errors.IntegrityConstraintViolation), sql.transaction():
            sql.execute("UPDATE registry SET last_event = last_event + 1")
        scans = sql.execute(
            "SELECT seq_scan, idx_scan FROM pg_stat_xact_user_tables"
            " WHERE schemaname = current_schema() AND relname = 'events'"
        ).fetchall()
    assert scans == [(0, 1)]
