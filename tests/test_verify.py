"""`registry.verify()` finds every kind of damage and reports it by name, while others write."""

import re
import sqlite3
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from promptreg import Actor, ForbiddenError, InvalidInputError, Registry, Role, StorageError
from promptreg.storage.sqlite import diagnosis, verification
from tests.conftest import holds_anything
from tests.faulty import CORRUPT, IOERR_READ, Faults, install
from tests.test_missing_rows import EVENT_INDEXES, VERSIONS, hide, make_earlier
from tests.test_storage_sqlite import drop_checks, raw, write_quoted

GREET = "prompt 'greet' in namespace 'default'"
DELETED = 21, 22, 23  # the events of the deleted prompt, whose details were deleted
INTERRUPTED = "interrupted", sqlite3.OperationalError, sqlite3.SQLITE_INTERRUPT


def fill(registry: Registry) -> None:
    """Call every verb that writes."""
    registry.create("greet", "One {{ name }}", tags=["t", "straße"])
    registry.update("greet", template="Two")
    registry.update("greet", template="Three", is_production=False)
    registry.discard("greet", 3)
    registry.publish("greet", 1)
    registry.update("greet", template="Four", is_production=False)
    registry.set_label("greet", "staging", 2)
    registry.create("chat", [{"role": "system", "content": "Be kind"}, {"placeholder": "history"}], config={"a": [1]})
    registry.update("chat", new_name="talk", access_grants=[("anyone", "read")])
    registry.rollback("talk", reason="x")
    registry.create("draft", "Never {{ live }}", is_production=False)
    registry.create("old", "Old {{ '請翻譯' }} “…”")
    registry.archive("old")
    registry.create("gone", "Gone")
    registry.set_status(["gone", "draft"], "disabled")
    registry.set_status("gone", "deleted")
    write_quoted(registry)


@pytest.fixture
def filled(registry: Registry) -> Registry:
    """A registry in which every verb has written."""
    fill(registry)
    return registry


def test_what_every_verb_wrote_is_reported_as_undamaged(
    filled: Registry, path: str, unchanged: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """This holds in a file, in memory, in a read-only file, and in slices of one row; nothing is changed."""
    with Registry(":memory:") as memory:
        assert memory.verify() == []
        fill(memory)
        assert memory.verify() == []
    with unchanged():
        assert filled.verify() == []
    monkeypatch.setattr(verification, "SLICE_SECONDS", 0.0)
    assert filled.verify() == []
    filled.close()
    with monkeypatch.context() as patch:
        patch.setattr("promptreg.storage.sqlite.readonly.is_writable", lambda path: False)
        with Registry(path) as readonly:
            assert readonly.verify() == []
        make_earlier(path)
        with Registry(path) as earlier:
            assert earlier.verify() == []
    with Registry(path) as again:
        assert again.verify() == []
        assert sqlite3.sqlite_version_info >= (3, 40)


DAMAGE: dict[str, tuple[str, str, list[str]]] = {
    "a status": (
        "prompts",
        "UPDATE prompts SET status = 'disabled' WHERE key = 1",
        [f"{GREET} is not what was written"],
    ),
    "a pointer": (
        "prompts",
        "UPDATE prompts SET production_version = 2 WHERE key = 1",
        [f"{GREET} is not what was written"],
    ),
    "a name": (
        "prompts",
        "UPDATE prompts SET name = 'zanzibar secret!' WHERE key = 1",
        ["row 1 of the prompts is not what was written"],
    ),
    "a name that is no text": (
        "prompts",
        "UPDATE prompts SET name = CAST(x'ff' AS TEXT) WHERE key = 1",
        ["row 1 of the prompts is not what was written"],
    ),
    "a template": (
        "versions",
        "UPDATE versions SET template = 'zanzibar' WHERE prompt = 1 AND version = 2",
        [f"{GREET}: version 2 is not what was written"],
    ),
    "a template that is no text": (
        "versions",
        "UPDATE versions SET template = CAST(x'7a616e7aff' AS TEXT) WHERE prompt = 1 AND version = 2",
        [f"{GREET}: version 2 is not what was written"],
    ),
    "a lost version": (
        "versions",
        "DELETE FROM versions WHERE prompt = 1 AND version = 2",
        [
            f"{GREET}: version 2 is missing",
            f"{GREET}: a publication is of a version that is not there",
        ],
    ),
    "a lost newest version": (
        "versions",
        "DELETE FROM versions WHERE prompt = 1 AND version = 4",
        [f"{GREET}: version 4 is missing"],
    ),
    "a version more": (
        "versions",
        "UPDATE versions SET version = 9 WHERE prompt = 1 AND version = 4",
        [
            f"{GREET}: version 4 is missing",
            f"{GREET}: version 9 is not what was written",
        ],
    ),
    "a version without a prompt": (
        "versions",
        "UPDATE versions SET prompt = 99 WHERE prompt = 1 AND version = 4",
        [f"{GREET}: version 4 is missing", "version 4 in row 3: its prompt is not there"],
    ),
    "a lost prompt": (
        "prompts",
        "DELETE FROM prompts WHERE key = 1",
        [
            "version 1 in row 1: its prompt is not there",
            "version 2 in row 2: its prompt is not there",
            "version 4 in row 3: its prompt is not there",
            "the full text holds row 1, which is of no prompt",
            f"{GREET} of event 1 is missing",
            "publications: row 1 is of none of the prompts",
            "publications: row 2 is of none of the prompts",
            "publications: row 3 is of none of the prompts",
        ],
    ),
    "a lost publication": (
        "publications",
        "DELETE FROM publications WHERE prompt = 1 AND depth > 1",
        [f"{GREET}: its publications are not what was written"],
    ),
    "a publication": (
        "publications",
        "UPDATE publications SET version = 1 WHERE prompt = 1 AND depth = 2",
        [f"{GREET}: its publications are not what was written"],
    ),
    "a lost row of the full text": (
        "search",
        "DELETE FROM search WHERE rowid = 1",
        [f"{GREET}: it is missing in the full text"],
    ),
    "a row of the full text": (
        "search",
        "UPDATE search SET title = 'zanzibar' WHERE rowid = 1",
        [f"{GREET}: the full text is of something else"],
    ),
    "a row of the full text more": (
        "search",
        "INSERT INTO search (rowid, title) VALUES (99, 'zanzibar')",
        ["the full text holds row 99, which is of no prompt"],
    ),
    "an event": ("events", "UPDATE events SET actor = 'mallory' WHERE seq = 3", ["event 3 is not what was written"]),
    "an event's hash": (
        "events",
        "UPDATE events SET hash = 'x' WHERE seq = 3",
        ["event 3 is not what was written", "event 4 does not continue the one before"],
    ),
    "details": (
        "event_details",
        "UPDATE event_details SET details = '{\"zanzibar\":1}' WHERE seq = 3",
        ["event 3 is not what was written"],
    ),
    "lost details": ("event_details", "DELETE FROM event_details WHERE seq = 3", ["event 3 is not what was written"]),
    "details more": (
        "event_details",
        "INSERT INTO event_details VALUES (999, 'x', 'x', '{}')",
        ["event_details: row 999 is of none of the events"],
    ),
    "the first event": (
        "events",
        "DELETE FROM events WHERE seq = 1",
        ["event 1 is missing", "event_details: row 1 is of none of the events"],
    ),
    "events": (
        "events",
        "DELETE FROM events WHERE seq IN (2, 3)",
        [
            "events 2 to 3 are missing",
            "event_details: row 2 is of none of the events",
            "event_details: row 3 is of none of the events",
        ],
    ),
    "a deletion": ("deletions", "DELETE FROM deletions", [f"event {seq} is not what was written" for seq in DELETED]),
    "a deletion more": (
        "deletions",
        "INSERT INTO deletions (prompt_id, revision, at) SELECT id, 1, '' FROM prompts WHERE key = 1",
        ["prompt 'ID': its deletion is no event"],
    ),
    "the time of a deletion": (
        "deletions",
        "UPDATE deletions SET at = '2020-01-01T00:00:00.000000+00:00'",
        ["prompt 'ID': its deletion is of another time than its event"],
    ),
    "the revision": (
        "registry",
        "UPDATE registry SET revision = 1",
        ["the registry: its revision is not what was written"],
    ),
    "the registry": (
        "registry",
        "DELETE FROM registry",
        [
            "the registry: its revision is not what was written",
            "the registry: how far erasing has come is not what was written",
        ],
    ),
    "how far erasing has come": (
        "registry",
        "UPDATE registry SET erased_revision = NULL",
        ["the registry: how far erasing has come is not what was written"],
    ),
}


@pytest.mark.parametrize(("table", "statement", "expected"), DAMAGE.values(), ids=DAMAGE)
def test_each_kind_of_damage_is_reported_by_name(
    filled: Registry, table: str, statement: str, expected: list[str]
) -> None:
    """Nothing else is reported; the content of a damaged row is never quoted; the check changes nothing."""
    filled.close()
    with Registry(filled.path) as registry:
        with closing(raw(filled.path)) as connection:
            drop_checks(connection, table)
        with closing(raw(filled.path)) as connection:
            assert connection.execute(statement).rowcount > 0
        wrong = registry.verify()
        assert registry.verify() == wrong
    assert "zanz" not in str(wrong)
    own = [line for line in wrong if not line.startswith("SQLite: ")]  # SQLite's check finds some of it as well
    assert [re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", "ID", line) for line in own] == expected


def test_lost_last_events_are_reported(filled: Registry) -> None:
    """The registry's row names the last event that was written."""
    for lost in (1, 2):
        with closing(raw(filled.path)) as connection:
            drop_checks(connection, "events")
            (last,) = connection.execute("SELECT last_event FROM registry").fetchone()
            connection.execute("DELETE FROM events WHERE seq > ?", (last - lost,))
        with Registry(filled.path) as registry:
            expected = f"event {last} is missing" if lost == 1 else f"events {last - 1} to {last} are missing"
            assert registry.verify()[0] == expected


@pytest.mark.parametrize(
    ("index", "expected"),
    [
        (EVENT_INDEXES["namespace"], "event 1: the index of its namespace does not lead to it"),
        (EVENT_INDEXES["prompt"], "event 1: the index of its prompt_id does not lead to it"),
        (VERSIONS, f"{GREET}: version 2 is missing"),
        (
            ("idx_prompts_id", "UNIQUE INDEX idx_prompts_id ON prompts (id)"),
            f"{GREET}: the index of ids does not lead to it",
        ),
        (
            ("idx_prompts_namespace_name", "UNIQUE INDEX idx_prompts_namespace_name ON prompts (namespace, name)"),
            f"{GREET}: the index of names does not lead to it",
        ),
        (
            (
                "prompts_labelled",
                "INDEX prompts_labelled ON prompts (namespace, (labels <> '{}'), name, labels) WHERE labels <> '{}'",
            ),
            f"{GREET}: the index of labels does not lead to it",
        ),
    ],
)
def test_rows_that_a_damaged_index_hides_are_reported(filled: Registry, index: tuple[str, str], expected: str) -> None:
    """`quick_check` does not check that an index has every row."""
    table = index[1].split(" ON ")[1].split()[0]
    where = {"events": "seq <> 1", "versions": "key <> 2", "prompts": "key <> 1"}[table]
    hide(filled.path, *index, where)
    with Registry(filled.path) as registry:
        assert expected in registry.verify()


def test_a_missing_index_is_reported_once(filled: Registry) -> None:
    """The checks of single rows that need it are left out."""
    with closing(raw(filled.path)) as connection:
        connection.execute("DROP INDEX idx_events_namespace")
        connection.execute("DROP INDEX prompts_labelled")
    assert filled.verify() == ["the index idx_events_namespace is missing", "the index prompts_labelled is missing"]


def test_full_text_that_does_not_find_a_row_is_reported(filled: Registry) -> None:
    """The texts are stored, but the index that searches use has lost them."""
    with closing(raw(filled.path)) as connection:
        connection.execute("DELETE FROM search_data WHERE id > 10")
    with Registry(filled.path) as registry:
        wrong = registry.verify()
    assert f"{GREET}: the full text is damaged" in wrong or "fts5" in str(wrong), "SQLite's check, since 3.44"


# A disk, and pages


@pytest.fixture
def faults(monkeypatch: pytest.MonkeyPatch) -> Faults:
    """The statements that fail on new connections."""
    return install(monkeypatch)


@pytest.mark.parametrize("kind", [CORRUPT, IOERR_READ])
@pytest.mark.parametrize(
    "statement",
    ["SELECT count", "PRAGMA quick_check", "SELECT p.id", "SELECT prompt, version", "SELECT seq", "PRAGMA f"],
)
def test_a_failing_disk_is_not_damage(faults: Faults, path: str, statement: str, kind: Any) -> None:
    """Wherever the disk fails, the error is `StorageError` with the reason `io_error`, and the next check succeeds."""
    with Registry(path) as registry:
        fill(registry)
        with faults.failing(statement, kind), pytest.raises(StorageError) as caught:
            registry.verify()
        assert type(caught.value) is StorageError
        assert caught.value.details == {"reason": "io_error"}
        assert registry.verify() == []


def test_a_page_that_sqlites_check_could_not_read_is_not_damage() -> None:
    """SQLite reports the system's error as a line with its code."""
    with pytest.raises(StorageError) as caught:
        verification._require_readable("Tree 7 page 9: unable to get the page. error code=8458", "prompts.db")
    assert caught.value.details == {"reason": "io_error"}
    verification._require_readable("Tree 7 page 9: btreeInitPage() returns error code 11", "prompts.db")


@pytest.mark.parametrize("largest", [diagnosis.LARGEST, 4096])
def test_damaged_pages_are_reported_and_the_rest_is_checked(
    path: str, largest: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a damaged page of versions, the prompts that can't be read and a damaged row elsewhere are reported."""
    monkeypatch.setattr(diagnosis, "LARGEST", largest)
    with Registry(path) as registry:
        for number in range(60):
            registry.create(f"p{number}", f"text {number} " * 40, description="zanzibar")
    with closing(raw(path)) as connection:
        drop_checks(connection, "versions")
        (size,) = connection.execute("PRAGMA page_size").fetchone()
    with closing(raw(path)) as connection:
        connection.execute("UPDATE versions SET title = 'x' WHERE version = 1 AND prompt = 60")
    data = bytearray(Path(path).read_bytes())
    at = data.index(b"text 30 text 30") // size * size
    assert data[at] == 13, "a leaf of a table"
    data[at : at + 8] = b"\7" * 8
    Path(path).write_bytes(data)
    with Registry(path) as registry:
        wrong = registry.verify()
    assert any(line.startswith(("SQLite: ", "the file: ")) for line in wrong)
    assert "prompt 'p59' in namespace 'default': version 1 is not what was written" in wrong
    unread = [line for line in wrong if "can't be read" in line]
    assert "prompt 'p30' in namespace 'default' can't be read (database disk image is malformed)" in unread
    assert 0 < len(unread) < 60
    assert "zanzibar" not in str(wrong)


def test_a_slice_that_a_fork_interrupts_begins_again(faults: Faults, path: str) -> None:
    """A fork interrupts SQLite's check, which may take long, and that slice begins again."""
    with Registry(path) as registry:
        fill(registry)

        def interrupt(connection: sqlite3.Connection) -> None:
            assert [h for h in registry._core.storage._connections.open_handles() if h.may_be_interrupted]  # type: ignore[attr-defined]
            if faults.count == 3:
                faults.pattern = None

        with faults.failing("PRAGMA quick_check", INTERRUPTED, interrupt):
            assert registry.verify() == []
        assert faults.count == 3


# While others write


def test_it_works_while_others_write(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """No write between any two rows is reported as damage."""
    fill(registry)
    monkeypatch.setattr(verification, "SLICE_SECONDS", 0.0)
    stop = threading.Event()
    failed: list[BaseException] = []

    def write(number: int) -> None:
        name, step = f"busy-{number}", 0
        try:
            with Registry(registry.path, busy_timeout=60) as other:
                while not stop.is_set():
                    step += 1
                    other.create(name, f"{step}")
                    other.update(name, template=f"{step} again", is_production=False)
                    other.update(name, template=f"{step} and again", is_production=False)
                    other.discard(name, 2)
                    other.publish(name, 3)
                    other.update(name, new_name=f"{name}-{step}")
                    other.rollback(f"{name}-{step}", reason="x")
                    if step % 3 == 0:
                        other.set_status(f"{name}-{step}", "deleted")
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=write, args=(number,)) for number in range(2)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(4):
            assert registry.verify() == []
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert failed == []
    assert registry.verify() == []


def test_progress_is_reported_between_slices(filled: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """It receives the counts of checked and of all rows, and may call the registry and write, as no lock is held."""
    monkeypatch.setattr(verification, "SLICE_SECONDS", 0.0)
    steps: list[tuple[int, int]] = []

    def progress(done: int, total: int) -> None:
        assert not holds_anything(filled)
        steps.append((done, total))
        filled.set_label("greet", f"at-{len(steps)}", 1)

    assert filled.verify(progress=progress) == []
    (total,) = {total for _, total in steps}
    done = [done for done, _ in steps]
    assert done == sorted(done)
    assert done[-1] == total
    assert len(steps) > 40
    assert filled.get("greet").labels["at-1"] == 1


def test_an_error_of_progress_ends_the_call_cleanly(filled: Registry) -> None:
    """The error is raised unchanged, and the registry still works."""

    def progress(done: int, total: int) -> None:
        raise KeyError("mine")

    for _ in range(3):
        with pytest.raises(KeyError, match="mine"):
            filled.verify(progress=progress)
        assert not holds_anything(filled)
    assert filled.update("greet", template="New").version == 5


@pytest.mark.parametrize("progress", [0, "x", [], object()])
def test_a_progress_that_can_not_be_called_is_invalid(filled: Registry, progress: Any) -> None:
    """It is refused before anything is read, and before `ForbiddenError`."""
    for view in (filled, filled.scope(actor=Actor("eve"))):
        with pytest.raises(InvalidInputError, match="progress"):
            view.verify(progress=progress)


@pytest.mark.parametrize(
    ("actor", "may"),
    [
        (Actor("olga", Role.ORG_ADMIN), True),
        (Actor("tom", Role.TEAM_ADMIN), False),
        (Actor("ed", Role.TEAM_EDITOR), False),
        (Actor("mia", Role.TEAM_MEMBER), False),
        (Actor("eve"), False),
    ],
)
def test_rule_17_the_application_and_org_admins_verify(filled: Registry, actor: Actor, may: bool) -> None:
    """A role in one namespace is not enough, because `verify` reads every namespace."""
    view = filled.scope(actor=actor)
    if may:
        assert view.verify() == []
        assert view.scope(namespace="elsewhere").verify() == []
        return
    with pytest.raises(ForbiddenError) as caught:
        view.verify()
    assert caught.value.details == {"names": [], "action": "verify"}


def test_of_very_many_lines_the_number_is_reported(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The number of further problems is reported, because all lines would fill the memory."""
    with Registry(path) as registry:
        for number in range(9):
            registry.create(f"p{number}", "…")
        with closing(raw(path)) as connection:
            drop_checks(connection, "versions")
            connection.execute("UPDATE versions SET title = 'x'")
        assert len(registry.verify()) == 9
        monkeypatch.setattr("promptreg.storage.problems.MAX_PROBLEMS", 4)
        assert registry.verify()[3:] == [
            "prompt 'p3' in namespace 'default': version 1 is not what was written",
            "and 5 more",
        ]
