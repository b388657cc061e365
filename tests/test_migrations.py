"""A migrated file of each earlier schema reads the same, keeps its published rows, and can be written.

`tests/schemas` holds files of the releases of some schemas, and what those releases read from them. For later schemas
a file is created by the migrations up to that schema.
"""

import json
import sqlite3
from collections.abc import Callable
from contextlib import closing
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from sqlite_utils import Database

from promptreg import Registry, StorageCorruptError, StorageReadOnlyError
from promptreg.storage.sqlite import fulltext
from promptreg.storage.sqlite.connecting import APPLICATION_ID, READABLE_SCHEMA, SCHEMA_VERSION
from promptreg.storage.sqlite.migrations import MIGRATIONS
from promptreg.storage.sqlite.readonly import show_later_columns
from tests.schemas import make
from tests.test_storage_sqlite import raw

SCHEMAS = Path(make.__file__).parent
DUMPED = sorted(int(file.stem) for file in SCHEMAS.glob("*.sql"))
KEPT = ["prompts", "versions", "publications", "deletions", "events", "event_details"]

Rows = dict[str, tuple[str, list[Any]]]


@pytest.fixture(params=range(1, SCHEMA_VERSION))
def version(request: pytest.FixtureRequest) -> int:
    """Each earlier schema."""
    return int(request.param)


@pytest.fixture
def dumped(version: int) -> int:
    """The newest schema with a dump, from which the file is created."""
    return max(schema for schema in DUMPED if schema <= version)


@pytest.fixture
def old(tmp_path: Path, version: int, dumped: int) -> str:
    """The path of a file of that schema, as a release wrote it."""
    path = str(tmp_path / "old.db")
    with closing(raw(path)) as connection:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.executescript(f"BEGIN; {(SCHEMAS / f'{dumped}.sql').read_text(encoding='utf-8')} COMMIT")
        assert connection.execute("PRAGMA user_version").fetchone() == (dumped,)
        if dumped < version:
            later = [step.name for step in MIGRATIONS.pending(Database(connection))][version - dumped]
            MIGRATIONS.apply(Database(connection), stop_before=later)
            if fulltext.is_folded(connection):  # emptied by a step, and filled when a release opens the file
                show_later_columns(connection)
                fulltext.rebuild(connection)
            connection.execute(f"PRAGMA user_version = {version}")
    return path


@pytest.fixture
def expected(dumped: int) -> Any:
    """What the release read from it."""
    return json.loads((SCHEMAS / f"{dumped}.json").read_text(encoding="utf-8"))


@pytest.fixture
def unwritable(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Return a function after whose call no file is writable."""
    return lambda: monkeypatch.setattr("promptreg.storage.sqlite.readonly.is_writable", lambda path: False)


def schema(path: str) -> list[tuple[str, ...]]:
    """Return the whole schema."""
    with closing(raw(path)) as connection:
        return connection.execute("SELECT type, name, tbl_name, sql FROM sqlite_master ORDER BY name").fetchall()


def kept(path: str, like: Rows | None = None) -> Rows:
    """Return the columns of each table (those of `like`, if passed) and the values of every row."""
    found: Rows = {}
    with closing(raw(path)) as connection:
        for table in KEPT:
            columns = [name for _, name, *_ in connection.execute(f"PRAGMA table_info({table})")]
            names = ", ".join(columns) if like is None else like[table][0]
            found[table] = names, connection.execute(f"SELECT {names} FROM {table} ORDER BY rowid").fetchall()
    return found


def test_a_file_of_each_earlier_schema_reads_the_same(old: str, expected: Any) -> None:
    """Every prompt, version, event and rendered text is the same; no hash fails its check."""
    for _ in range(2):
        with Registry(old) as registry:
            assert make.read(registry) == expected
            versions = (version for prompt in registry.list(limit=100) for version in registry.history(prompt.name))
            assert {version.syntax for version in versions} == {"jinja"}
    assert len(expected["prompts"]) >= 11
    assert sum(len(prompt["versions"]) for prompt in expected["prompts"].values()) >= 25


def test_it_is_read_without_migration_if_it_can_not_be_written(
    old: str, expected: Any, unwritable: Any, version: int
) -> None:
    """From the oldest readable schema on the values are the same; for an older one the error says what to do."""
    before = schema(old)
    unwritable()
    if version < READABLE_SCHEMA:
        with pytest.raises(StorageReadOnlyError, match="older schema; open it once where it can be written"):
            Registry(old)
        return
    with Registry(old) as registry:
        assert make.read(registry) == expected
        with pytest.raises(StorageReadOnlyError):
            registry.create("new", "Hello")
    assert schema(old) == before


def test_a_read_only_file_is_reported_as_undamaged(old: str, unwritable: Any) -> None:
    """`verify` accepts its full-text index of unfolded words, which later schemas fold."""
    unwritable()
    with Registry(old) as registry:
        assert registry.verify() == []


def test_no_row_is_rewritten(old: str) -> None:
    """Published versions, events and all other hashed rows keep their earlier columns byte for byte."""
    before = kept(old)
    assert {table: bool(rows) for table, (_, rows) in before.items()} == dict.fromkeys(KEPT, True)
    Registry(old).close()
    assert kept(old, like=before) == before


def test_it_has_the_schema_of_a_new_file(old: str, path: str) -> None:
    """Opening applies the missing migrations, once."""
    assert_migrated(old, path)


@pytest.mark.parametrize("version", [1, 2], indirect=True)
def test_a_migration_replaces_a_trigger_that_was_dropped(old: str, path: str) -> None:
    """The migration to schema 3 replaces a trigger that another tool has dropped."""
    with closing(raw(old)) as connection:
        connection.execute("DROP TRIGGER prompts_update")
    assert_migrated(old, path)


def assert_migrated(old: str, path: str) -> None:
    """Assert that the old file gets the schema of a new one at `path`."""
    Registry(path).close()
    assert schema(old) != schema(path)
    for _ in range(2):
        Registry(old).close()
        assert schema(old) == schema(path)
    with closing(raw(old)) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (SCHEMA_VERSION,)
        assert connection.execute("PRAGMA application_id").fetchone() == (APPLICATION_ID,)
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_it_is_searched_and_written_like_a_new_one(old: str) -> None:
    """Old texts are found; drafts, publications, names, labels and statuses can be changed further."""
    with Registry(old) as registry:
        assert [prompt.name for prompt in registry.search("twice")] == ["everything"]
        assert {prompt.name for prompt in registry.search("kept", status="archived")} == {"archived", "archived_off"}
        assert registry.search("gone") == []
        assert registry.publish("draft", 1).production_version == 1
        assert registry.update("everything@3", template="Dear {{ customer }}").version == 3
        assert registry.rollback("everything", reason="old").version == 1
        assert registry.rollback("numbers", reason="old").version == 10
        assert registry.update("numbers", template="thirteen").version == 13
        assert registry.set_label("numbers", "staging", 13).labels["staging"] == 13
        assert registry.restore("archived_off").status == "disabled"
        assert registry.update("failed", new_name="fine").name == "fine"
        registry.set_status("disabled", "deleted")
        assert registry.create("deleted", "Born again").version == 1
        assert [prompt.name for prompt in registry.search("born thirteen")] == []
        assert [prompt.name for prompt in registry.search("thirteen")] == ["numbers"]
        last = make.read(registry)
    with Registry(old) as registry:
        assert make.read(registry) == last
    with closing(raw(old)) as connection:
        chain = connection.execute("SELECT prev, hash FROM events ORDER BY seq").fetchall()
        assert all(following == link for (_, link), (following, _) in pairwise(chain))
        assert connection.execute("INSERT INTO search (search, rank) VALUES ('integrity-check', 1)").fetchall() == []


@pytest.mark.parametrize("writable", [True, False])
def test_tampering_before_the_migration_is_noticed_after_it(
    old: str, unwritable: Any, writable: bool, version: int
) -> None:
    """Migrating computes no hash again, and reading an unmigrated file checks each."""
    with closing(raw(old)) as connection:
        connection.execute("DROP TRIGGER versions_update")
        key = "(SELECT key FROM prompts WHERE name = 'numbers')"
        changed = connection.execute(
            f"UPDATE versions SET template = 'x' WHERE version = 1 AND prompt = {key}"
        ).rowcount
        assert changed == 1
    if not writable:
        unwritable()
        if version < READABLE_SCHEMA:
            return
    with Registry(old) as registry:
        assert registry.get("numbers").version == 11
        with pytest.raises(StorageCorruptError, match="version 1"):
            registry.get("numbers@1")


def test_each_dump_is_of_the_schema_in_its_name() -> None:
    """There is also one of schema 1, so that every migration is tested on a file of a release."""
    assert DUMPED[0] == 1
    for version in DUMPED:
        with closing(sqlite3.connect(":memory:")) as connection:
            connection.executescript((SCHEMAS / f"{version}.sql").read_text(encoding="utf-8"))
            pending = [step.name for step in MIGRATIONS.pending(Database(connection))]
        assert len(pending) == SCHEMA_VERSION - version
