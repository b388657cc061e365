"""A newer release migrates the file while this one has it open: each transaction is refused, without harm."""

import math
import sqlite3
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, suppress

import pytest

from promptreg import Registry, SchemaTooNewError, StorageCorruptError, StorageError
from promptreg.storage.deadlines import Deadline
from promptreg.storage.sqlite.connecting import SCHEMA_VERSION
from promptreg.storage.sqlite.storage import SQLiteStorage
from tests.storages import everything
from tests.test_erasing import LIVE
from tests.test_storage_sqlite import raw

CHANGES = {
    "only the number": [],
    "a column": ["ALTER TABLE versions ADD COLUMN next_release TEXT NOT NULL DEFAULT 'jinja'"],
    "another registry table": ["ALTER TABLE registry RENAME COLUMN revision TO revisions"],
    "other prompts": ["DROP TRIGGER prompts_update_counts", "ALTER TABLE prompts RENAME TO prompts_2"],
    "another index": ["DROP TABLE search", "CREATE VIRTUAL TABLE search USING fts5(text, content='')"],
    "nothing that is known": ["DROP TABLE registry", "CREATE TABLE registry (name TEXT) STRICT"],
}


def migrate(path: str, change: str = "a column", version: int = SCHEMA_VERSION + 1) -> None:
    """Migrate the file as a newer release does, in one transaction."""
    with closing(raw(path)) as connection:
        connection.execute("BEGIN IMMEDIATE")
        for statement in CHANGES[change]:
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {version}")
        connection.execute("COMMIT")


READS: dict[str, Callable[[Registry], object]] = {
    "get": lambda r: r.get("uncached"),
    "get a version": lambda r: r.get("cached", version=1),
    "render": lambda r: r.render("uncached"),
    "history": lambda r: r.history("cached"),
    "diff": lambda r: r.diff("cached", 1, 1),
    "list": lambda r: r.list(),
    "search": lambda r: r.search("text"),
    "events": lambda r: r.events(),
    "namespaces": lambda r: r.namespaces(),
}
WRITES: dict[str, Callable[[Registry], object]] = {
    "create": lambda r: r.create("new", "text"),
    "save": lambda r: r.save("cached", "other text"),
    "seed": lambda r: r.seed("cached", "other text"),
    "update": lambda r: r.update("cached", template="other text"),
    "publish": lambda r: r.publish("draft", 1),
    "label": lambda r: r.set_label("cached", "canary", 1),
    "status": lambda r: r.set_status(["cached", "uncached"], "disabled"),
    "delete": lambda r: r.set_status("cached", "deleted"),
}


@pytest.fixture
def opened(registry: Registry) -> Registry:
    """A registry with one prompt in its cache, which is current until the test requests a check."""
    for name in ("cached", "uncached"):
        registry.create(name, f"text {name}")
    registry.create("draft", "text draft", is_production=False)
    assert registry.get("cached").version == 1
    registry._core.cache.generation.until = math.inf  # type: ignore[attr-defined]
    return registry


def assert_too_new(call: Callable[[], object]) -> None:
    """Assert that the error is `SchemaTooNewError`, without advice to restore a copy."""
    with pytest.raises(SchemaTooNewError, match=rf"has schema {SCHEMA_VERSION + 1}; .* upgrade it") as caught:
        call()
    assert (caught.value.code, caught.value.details["reason"]) == ("schema_too_new", "schema_too_new")


@pytest.mark.parametrize("change", CHANGES)
def test_each_transaction_notices_the_migration(opened: Registry, path: str, change: str) -> None:
    """Every read and write raises, in threads with and without an earlier connection, and nothing is written."""
    with ThreadPoolExecutor(1) as pool:
        pool.submit(opened.history, "cached").result()
        migrate(path, change)
        before = everything(path)
        for call in (READS | WRITES).values():
            assert_too_new(lambda call=call: call(opened))
            assert_too_new(lambda call=call: pool.submit(call, opened).result())
        thread = threading.Thread(target=lambda: assert_too_new(lambda: opened.history("cached")))
        thread.start()
        thread.join()
        with pytest.raises(SchemaTooNewError), opened._core.storage.write():
            pytest.fail("a transaction was begun")
        assert everything(path) == before


@pytest.mark.parametrize("change", CHANGES)
def test_cached_reads_work_until_the_next_check(opened: Registry, path: str, change: str) -> None:
    """Cached prompts are returned until a check is due, which is a transaction; defaults are returned after it too."""
    migrate(path, change)
    assert opened.get("cached").template == opened.render("cached").text == "text cached"
    opened._core.cache.generation.until = 0
    for _ in range(2):
        assert_too_new(lambda: opened.get("cached"))
        assert_too_new(lambda: opened.render("cached"))
    assert opened.get("cached", default=None) is None
    assert opened.render("cached", default="instead").text == "instead"


@pytest.mark.parametrize("change", CHANGES)
def test_it_is_noticed_between_the_plan_and_the_write(path: str, change: str) -> None:
    """If the file is migrated during publish checks, after the last read, the write raises and writes nothing."""
    done = threading.Event()

    def check(_: object) -> None:
        if not done.is_set():
            done.set()
            migrate(path, change)

    with Registry(path) as made:
        made.create("cached", "text")
    with Registry(path, publish_checks=[check]) as registry:
        assert_too_new(lambda: registry.update("cached", template="other text"))
    assert done.is_set()
    with closing(raw(path)) as connection:
        assert connection.execute("SELECT count(*) FROM versions").fetchone() == (1,)


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("step", ["read", "write", "close"])
def test_the_newer_release_erases_what_is_due(opened: Registry, path: str, change: str, step: str) -> None:
    """An old process neither rewrites the file nor records that everything is erased."""
    opened.create("secret", LIVE)
    with pytest.MonkeyPatch.context() as patch:  # as where a full disk keeps it from erasing
        patch.setattr(SQLiteStorage, "_erase", lambda *_, **__: None)
        opened.set_status("secret", "deleted")
    migrate(path, change)
    before, statements = everything(path), []
    opened._core.storage.eraser.due_at = 0.0
    with opened._core.storage._connections.writer(Deadline(1)) as handle:
        handle.connection.set_trace_callback(statements.append)
    if step == "close":
        opened.close()
    else:
        with suppress(SchemaTooNewError):
            (READS["history"] if step == "read" else WRITES["update"])(opened)
    assert everything(path) == before
    assert not [statement for statement in statements if statement.startswith(("VACUUM", "INSERT", "UPDATE"))]


def test_erasing_stops_if_the_file_is_migrated_between_two_steps(
    opened: Registry, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A step of erasing that was not made because of a migration is not recorded."""
    opened.create("secret", LIVE)
    monkeypatch.setattr("promptreg.storage.sqlite.erasure._rewrite", lambda _: migrate(path))
    opened.set_status("secret", "deleted")
    with closing(raw(path)) as connection:
        deleted, vacuumed, erased = connection.execute(
            "SELECT deleted_revision, vacuumed_revision, erased_revision FROM registry"
        ).fetchone()
    assert deleted > vacuumed == erased == 0


def test_a_file_that_can_not_be_written_is_noticed_too(opened: Registry, path: str) -> None:
    """A process that only reads can read older schemas, but no newer one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("promptreg.storage.sqlite.readonly.is_writable", lambda _: False)
        reader = Registry(path)
    with reader:
        assert reader.get("cached").version == 1
        migrate(path)
        for name in ("get", "history", "list"):
            assert_too_new(lambda name=name: READS[name](reader))


def test_a_restored_copy_of_an_older_schema_is_not_reported_as_damage(opened: Registry, path: str) -> None:
    """The backup API can restore it at any time; opening it again migrates it."""
    with closing(sqlite3.connect(":memory:")) as older:
        with closing(raw(path)) as connection:
            connection.backup(older)
        older.execute(f"PRAGMA user_version = {SCHEMA_VERSION - 1}")
        older.commit()
        with closing(raw(path)) as connection:
            older.backup(connection)
    for call in (READS | WRITES).values():
        with pytest.raises(StorageError, match=r"older schema .* close this registry and open it anew") as caught:
            call(opened)
        assert not isinstance(caught.value, StorageCorruptError)
        assert caught.value.details["reason"] == "old_schema"
