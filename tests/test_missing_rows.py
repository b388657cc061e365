"""Missing rows: a missing event, publication or version is always reported."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from hashlib import sha256

import pytest

from promptreg import Registry, StorageCorruptError, StorageReadOnlyError
from promptreg.jsonvalues import canonical
from promptreg.storage.rows import LATER_PROMPT_COLUMNS, LATER_VERSION_COLUMNS, PROMPT_COLUMNS
from tests.test_storage_sqlite import drop_checks, raw


@pytest.fixture
def many(registry: Registry) -> Registry:
    """Two namespaces with alternating events; `greet` was live as 1, 2, 1; its 3 was discarded, and 4 is a draft."""
    registry.create("greet", "One")
    other = registry.scope(namespace="other")
    other.create("greet", "Other")
    registry.update("greet", template="Two")
    other.update("greet", template="Other two")
    registry.publish("greet", 1)
    registry.update("greet", template="Three", is_production=False)
    registry.discard("greet", 3)
    registry.update("greet", template="Four", is_production=False)
    other.update("greet", template="Other three")
    return registry


def damage(registry: Registry, table: str, statement: str) -> None:
    """Change a table without its triggers."""
    with closing(raw(registry.path)) as connection:
        drop_checks(connection, table)
    with closing(raw(registry.path)) as connection:
        assert connection.execute(statement).rowcount > 0


def paged(registry: Registry, name: str | None = None) -> list[int]:
    """Read all events, three at a time."""
    found: list[int] = []
    while page := registry.events(name, after=found[-1] if found else 0, limit=3):
        found += [event.seq for event in page]
    return found


# Events


READS: dict[str, Callable[[Registry], object]] = {
    "all": lambda r: r.events(),
    "of a prompt": lambda r: r.events("greet"),
    "in pages": paged,
    "of a prompt, in pages": lambda r: paged(r, "greet"),
}


@pytest.mark.parametrize("read", READS.values(), ids=READS)
@pytest.mark.parametrize("which", ["1", "2", "5", "8", "(SELECT max(seq) - 3 FROM events)"])
def test_reading_past_a_missing_event_is_an_error(
    many: Registry, which: str, read: Callable[[Registry], object]
) -> None:
    """This holds for the first event and one in the middle, of this namespace and of another one."""
    read(many)
    damage(many, "events", f"DELETE FROM events WHERE seq = {which}")
    with Registry(many.path) as again, pytest.raises(StorageCorruptError, match="event"):
        read(again)


@pytest.mark.parametrize("lost", [1, 2, 3])
def test_missing_last_events_are_an_error_of_reads_and_of_the_next_write(many: Registry, lost: int) -> None:
    """The remaining chain is valid but does not end at the event in the registry's row; nothing is appended to it."""
    damage(many, "events", f"DELETE FROM events WHERE seq > (SELECT max(seq) - {lost} FROM events)")
    with Registry(many.path) as again:
        for read in READS.values():
            with pytest.raises(StorageCorruptError, match="event"):
                read(again)
        for write in (
            lambda: again.update("greet", template="New"),
            lambda: again.set_status("greet", "disabled"),
            lambda: again.create("new", "New"),
        ):
            with pytest.raises(StorageCorruptError, match="event"):
                write()
        assert again.get("greet").latest_version == 4


def test_a_replaced_last_event_is_an_error(many: Registry) -> None:
    """An event with a valid hash that continues the chain, but was not the one written last, raises an error."""
    with closing(raw(many.path)) as connection:
        drop_checks(connection, "events")
        connection.execute("DROP TABLE event_details")
        (prev, seq, *rest) = connection.execute(
            "SELECT prev, seq, at, actor, action, namespace, prompt_id, version, commitment"
            " FROM events ORDER BY seq DESC LIMIT 1"
        ).fetchone()
        rest[2] = "archive"
        forged = sha256(canonical([prev, seq, *rest]).encode()).hexdigest()
        connection.execute("UPDATE events SET action = 'archive', hash = ? WHERE seq = ?", (forged, seq))
    with Registry(many.path) as again, pytest.raises(StorageCorruptError, match="event"):
        again.update("greet", template="New")


def test_a_replaced_event_in_the_middle_is_an_error(many: Registry) -> None:
    """An event with a valid hash that the next event does not continue raises an error."""
    with closing(raw(many.path)) as connection:
        drop_checks(connection, "events")
        event = "prev, seq, at, actor, action, namespace, prompt_id, version, commitment"
        values = list(connection.execute(f"SELECT {event} FROM events WHERE seq = 4").fetchone())
        values[3] = "mallory"
        forged = sha256(canonical(values).encode()).hexdigest()
        connection.execute("UPDATE events SET actor = 'mallory', hash = ? WHERE seq = 4", (forged,))
    with Registry(many.path) as again:
        with pytest.raises(StorageCorruptError, match="event 4"):
            again.events()
        assert "event 5 does not continue the one before" in again.verify()


def hide(path: str, index: str, definition: str, where: str) -> None:
    """Remove rows from an index, as if a page of it were lost."""
    with closing(raw(path)) as connection:
        connection.execute(f"DROP INDEX {index}")
        connection.execute(f"CREATE {definition} {'AND' if 'WHERE' in definition else 'WHERE'} {where}")
        connection.execute("PRAGMA writable_schema = ON")
        connection.execute("UPDATE sqlite_master SET sql = ? WHERE name = ?", (f"CREATE {definition}", index))


EVENT_INDEXES = {
    "namespace": ("idx_events_namespace", "INDEX idx_events_namespace ON events (namespace)"),
    "prompt": ("idx_events_prompt_id", "INDEX idx_events_prompt_id ON events (prompt_id)"),
}


@pytest.mark.parametrize("which", ["seq <> 1", "seq <> 5", "action <> 'discard'", "seq < 10", "seq > 99"])
@pytest.mark.parametrize("index", EVENT_INDEXES)
def test_an_event_that_a_damaged_index_hides_is_an_error(many: Registry, index: str, which: str) -> None:
    """A listing raises an error, and does not silently omit the event, whose row exists."""
    hide(many.path, *EVENT_INDEXES[index], which)
    name = None if index == "namespace" else "greet"
    with Registry(many.path) as again, pytest.raises(StorageCorruptError, match="event"):
        again.events(name)


def test_the_registrys_row_can_only_name_the_last_event(many: Registry) -> None:
    """SQL that sets it to another event is refused."""
    with closing(raw(many.path)) as connection:
        for change in ("last_event = last_event - 1", "last_event = NULL", "last_hash = prev", "last_hash = 'x'"):
            with pytest.raises(sqlite3.IntegrityError, match="last event that there is"):
                connection.execute(f"UPDATE OR REPLACE registry SET {change.replace('prev', chr(39) * 2)}")
        last = connection.execute("SELECT seq, hash FROM events ORDER BY seq DESC LIMIT 1").fetchone()
        assert connection.execute("SELECT last_event, last_hash FROM registry").fetchone() == last


# Publications


@pytest.mark.parametrize("depths", ["1", "2", "3", "2, 3", "1, 2", "1, 2, 3"])
@pytest.mark.parametrize("version", [None, 2])
def test_a_missing_publication_is_an_error_of_a_rollback(many: Registry, depths: str, version: int | None) -> None:
    """Whichever publications are missing, no rollback uses the remaining ones."""
    many.scope(namespace="other").rollback("greet", reason="x")
    damage(many, "publications", f"DELETE FROM publications WHERE prompt = 1 AND depth IN ({depths})")
    with Registry(many.path) as again:
        with pytest.raises(StorageCorruptError, match="publications"):
            again.rollback("greet", version, reason="x")
        assert again.get("greet").version == 1


def test_a_missing_publication_is_an_error_of_the_next_one(many: Registry) -> None:
    """The next publication raises an error, because it would be pushed at the depth of the missing one."""
    damage(many, "publications", "DELETE FROM publications WHERE prompt = 1 AND depth > 1")
    with Registry(many.path) as again, pytest.raises(StorageCorruptError, match="publications"):
        again.publish("greet", 2)


def test_the_count_of_publications_is_that_of_the_stack(registry: Registry) -> None:
    """It is after every verb that pushes or pops."""

    def counts() -> tuple[int, int]:
        with closing(raw(registry.path)) as connection:
            counted = connection.execute("SELECT publications FROM prompts").fetchone()
            return *counted, *connection.execute("SELECT count(*) FROM publications").fetchone()

    registry.create("greet", "One", is_production=False)
    assert counts() == (0, 0)
    registry.publish("greet", 1)
    for number in range(2, 5):
        registry.update("greet", template=f"{number}")
    assert counts() == (4, 4)
    registry.update("greet", template="Draft", is_production=False)
    registry.update("greet@latest", template="Draft again")
    registry.set_label("greet", "staging", 5)
    registry.set_status("greet", "disabled")
    registry.update("greet", new_name="hello")
    assert counts() == (5, 5)
    registry.rollback("hello", reason="x")
    assert counts() == (4, 4)
    registry.rollback("hello", 2, reason="x")
    assert counts() == (2, 2)
    registry.rollback("hello", 4, reason="x")
    assert counts() == (3, 3)


# Versions


VERSIONS = "idx_versions_prompt_version", "UNIQUE INDEX idx_versions_prompt_version ON versions (prompt, version)"


@pytest.mark.parametrize("which", ["version <> 1", "version <> 2", "version <> 4", "version < 2", "FALSE"])
def test_a_missing_or_hidden_version_is_an_error_of_history(many: Registry, which: str) -> None:
    """This holds for the newest, the oldest, one between, or all; a discarded number is not missing."""
    assert [version.version for version in many.history("greet")] == [4, 2, 1]
    hide(many.path, *VERSIONS, f"prompt <> 1 OR {which}")
    with Registry(many.path) as again:
        with pytest.raises(StorageCorruptError, match="version"):
            again.history("greet")
        assert [version.version for version in again.scope(namespace="other").history("greet")] == [3, 2, 1]


def test_a_page_of_history_checks_the_versions_of_that_page_alone(many: Registry) -> None:
    """Versions that are not between `before` and `limit` are not read."""
    hide(many.path, *VERSIONS, "version <> 2")
    with Registry(many.path) as again:
        assert [v.version for v in again.history("greet", limit=1)] == [4]
        assert [v.version for v in again.history("greet", before=2)] == [1]
        assert again.history("greet", before=1) == []
        for limits in ({"limit": 2}, {"before": 4}, {"before": 3, "limit": 1}, {"before": 9}):
            with pytest.raises(StorageCorruptError, match="version"):
                again.history("greet", **limits)


def test_discarded_numbers_are_not_missing_wherever_they_are(registry: Registry) -> None:
    """This holds for the first, the newest and those between, on every page."""
    registry.create("greet", "One", is_production=False)
    for number in range(2, 7):
        registry.update("greet", template=f"{number}", is_production=False)
    for number in (1, 6, 3, 4):
        registry.discard("greet", number)
    for limit in range(1, 4):
        for before in (None, *range(1, 9)):
            numbers = [number for number in (5, 2) if before is None or number < before][:limit]
            assert [v.version for v in registry.history("greet", limit=limit, before=before)] == numbers


# A file of an earlier schema


def make_earlier(path: str) -> None:
    """Turn a closed file into the file that schema 3 wrote for the same prompts."""
    with closing(raw(path)) as connection:
        connection.execute("DROP TRIGGER registry_update")
        connection.execute("DROP TRIGGER prompts_update_counts")
        connection.execute("DROP INDEX prompts_labelled")
        connection.execute("DROP TABLE operations")
        connection.execute("DROP INDEX deletions_synced")
        connection.execute("ALTER TABLE deletions DROP COLUMN synced")
        columns = ", ".join(column for column in PROMPT_COLUMNS if column not in {*LATER_PROMPT_COLUMNS, "hash"})
        for key, *values in connection.execute(f"SELECT key, {columns} FROM prompts").fetchall():
            earlier = sha256(canonical(values).encode()).hexdigest()
            connection.execute("UPDATE prompts SET hash = ? WHERE key = ?", (earlier, key))
        for table, later in (("prompts", LATER_PROMPT_COLUMNS), ("versions", LATER_VERSION_COLUMNS)):
            for column in later:
                connection.execute(f"ALTER TABLE {table} DROP COLUMN {column}")
        connection.execute("ALTER TABLE registry DROP COLUMN last_event")
        connection.execute("ALTER TABLE registry DROP COLUMN last_hash")
        connection.execute("DELETE FROM _sqlite_migrations WHERE name > 'm0004'")
        connection.execute("PRAGMA user_version = 3")


def everything(registry: Registry) -> list[object]:
    """Read everything."""
    listed = [prompt.model_dump() for prompt in [*registry.list(), *registry.list(label="first", prefix="gr")]]
    return [listed, registry.history("greet"), registry.events(), [p.name for p in registry.search("two OR one")]]


def test_a_file_of_the_previous_schema_is_read_and_migrated(many: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is read even if it can't be written; prompts keep their hashes, and have no count, until the next write."""
    many.set_label("greet", "first", 1)
    before = everything(many)
    many.close()
    make_earlier(many.path)
    with monkeypatch.context() as patch:
        patch.setattr("promptreg.storage.sqlite.readonly.is_writable", lambda path: False)
        with Registry(many.path) as readonly:
            assert everything(readonly) == before
            with pytest.raises(StorageReadOnlyError):
                readonly.update("greet", template="New")
    with Registry(many.path) as again:
        assert everything(again) == before
        again.set_label("greet", "staging", 2)
        assert again.get("greet@staging").version == 2
        again.rollback("greet", reason="x")
        assert again.get("greet").version == 2
        with closing(raw(many.path)) as connection:
            counts = connection.execute("SELECT name, namespace, publications FROM prompts ORDER BY key").fetchall()
        assert counts == [("greet", "default", 2), ("greet", "other", None)]
    damage(again, "publications", "DELETE FROM publications WHERE prompt = 1 AND depth = 1")
    with Registry(many.path) as damaged, pytest.raises(StorageCorruptError, match="publications"):
        damaged.rollback("greet", 1, reason="x")
