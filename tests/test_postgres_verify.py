"""`verify()` of a PostgreSQL registry finds every kind of damage and reports it by name, while others write."""

import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from promptreg import Registry, StorageCorruptError
from promptreg.storage.hashing import EVENT_COLUMNS, GENESIS, link_of
from tests.postgres import UNGUARDED, connected, fresh_target, split_target
from tests.storages import everything
from tests.test_verify import DELETED, GREET, fill

pytestmark = pytest.mark.postgres

NOT_THERE = re.compile("the head [0-9a-f]{64} is not in the chain of events: ")
TABLES = "registry prompts versions publications deletions events event_details search commits operations".split()

Run = Callable[..., Any]


@contextmanager
def unguarded(target: str) -> Iterator[Run]:
    """Yield what runs statements that neither triggers nor foreign keys refuse; `$.` is the schema."""
    schema = split_target(target)[1]
    with connected(target, UNGUARDED) as connection:
        yield lambda text, values=None: connection.execute(text.replace("$.", f'"{schema}".'), values)


@pytest.fixture(scope="module")
def target(postgres_url: str) -> Iterator[str]:
    """The target of a registry in which every verb has written."""
    with fresh_target(postgres_url) as made:
        with Registry(made) as registry:
            fill(registry)
        yield made


@pytest.fixture(scope="module")
def filled(target: str) -> Iterator[Registry]:
    """That registry."""
    with Registry(target) as registry:
        yield registry


@pytest.fixture
def run(target: str) -> Iterator[Run]:
    """What runs statements that damage the registry, which is as it was after the test."""
    with unguarded(target) as run:
        kept = {name: run(f"SELECT * FROM $.{name}").fetchall() for name in TABLES}
        yield run
        for name, rows in kept.items():
            run(f"DELETE FROM $.{name}")
            for row in rows:
                override = "OVERRIDING SYSTEM VALUE " if name == "prompts" else ""
                run(f"INSERT INTO $.{name} {override}VALUES ({', '.join(['%s'] * len(row))})", row)


def test_what_every_verb_wrote_is_reported_as_undamaged(
    filled: Registry, target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also in slices of one row; and nothing is changed."""
    before = everything(target)
    assert filled.verify() == []
    monkeypatch.setattr("promptreg.storage.postgres.integrity.BYTES", 1)
    assert filled.verify() == []
    assert everything(target) == before


DAMAGE: dict[str, tuple[str, list[str]]] = {
    "a status": ("UPDATE $.prompts SET status = 'disabled' WHERE key = 1", [f"{GREET} is not what was written"]),
    "a pointer": ("UPDATE $.prompts SET production_version = 2 WHERE key = 1", [f"{GREET} is not what was written"]),
    "a name": (
        "UPDATE $.prompts SET name = 'zanzibar secret!' WHERE key = 1",
        ["row 1 of the prompts is not what was written"],
    ),
    "a template": (
        "UPDATE $.versions SET template = 'zanzibar' WHERE prompt = 1 AND version = 2",
        [f"{GREET}: version 2 is not what was written"],
    ),
    "a lost version": (
        "DELETE FROM $.versions WHERE prompt = 1 AND version = 2",
        [f"{GREET}: version 2 is missing", f"{GREET}: a publication is of a version that is not there"],
    ),
    "a lost newest version": (
        "DELETE FROM $.versions WHERE prompt = 1 AND version = 4",
        [f"{GREET}: version 4 is missing"],
    ),
    "a version more": (
        "UPDATE $.versions SET version = 9 WHERE prompt = 1 AND version = 4",
        [f"{GREET}: version 4 is missing", f"{GREET}: version 9 is not what was written"],
    ),
    "a version without a prompt": (
        "UPDATE $.versions SET prompt = 99 WHERE prompt = 1 AND version = 4",
        [f"{GREET}: version 4 is missing", "version 4 of row 99: its prompt is not there"],
    ),
    "a lost prompt": (
        "DELETE FROM $.prompts WHERE key = 1",
        [
            "version 1 of row 1: its prompt is not there",
            "version 2 of row 1: its prompt is not there",
            "version 4 of row 1: its prompt is not there",
            "the full text holds row 1, which is of no prompt",
            f"{GREET} of event 1 is missing",
            "publications: 1 of row 1 is of none of the prompts",
            "publications: 2 of row 1 is of none of the prompts",
            "publications: 3 of row 1 is of none of the prompts",
        ],
    ),
    "a lost publication": (
        "DELETE FROM $.publications WHERE prompt = 1 AND depth > 1",
        [f"{GREET}: its publications are not what was written"],
    ),
    "a publication": (
        "UPDATE $.publications SET version = 1 WHERE prompt = 1 AND depth = 2",
        [f"{GREET}: its publications are not what was written"],
    ),
    "a lost row of the full text": (
        "DELETE FROM $.search WHERE prompt = 1",
        [f"{GREET}: it is missing in the full text"],
    ),
    "words of the full text": (
        "UPDATE $.search SET words = '{zanzibar}' WHERE prompt = 1",
        [f"{GREET}: the full text is of something else"],
    ),
    "tags of the full text": (
        "UPDATE $.search SET tags = '{}' WHERE prompt = 1",
        [f"{GREET}: the full text is of something else"],
    ),
    "a text of the full text": (
        "UPDATE $.search SET content = 'zanzibar' WHERE prompt = 1",
        [f"{GREET}: the full text is of something else"],
    ),
    "a row of the full text more": (
        "INSERT INTO $.search (prompt, words, tags, content) VALUES (99, '{}', '{}', 'zanzibar')",
        ["the full text holds row 99, which is of no prompt"],
    ),
    "an event": ("UPDATE $.events SET actor = 'mallory' WHERE seq = 3", ["event 3 is not what was written"]),
    "an event's hash": (
        "UPDATE $.events SET hash = 'x' WHERE seq = 3",
        ["event 3 is not what was written", "event 4 does not continue the one before"],
    ),
    "details": (
        "UPDATE $.event_details SET details = '{\"zanzibar\":1}' WHERE seq = 3",
        ["event 3 is not what was written"],
    ),
    "lost details": ("DELETE FROM $.event_details WHERE seq = 3", ["event 3 is not what was written"]),
    "details more": (
        "INSERT INTO $.event_details (seq, salt, name, details) VALUES (999, 'x', 'x', '{}')",
        ["event_details: row 999 is of none of the events"],
    ),
    "the first event": (
        "DELETE FROM $.events WHERE seq = 1",
        ["event 1 is missing", "event_details: row 1 is of none of the events"],
    ),
    "events": (
        "DELETE FROM $.events WHERE seq IN (2, 3)",
        [
            "events 2 to 3 are missing",
            "event_details: row 2 is of none of the events",
            "event_details: row 3 is of none of the events",
        ],
    ),
    "a deletion": ("DELETE FROM $.deletions", [f"event {seq} is not what was written" for seq in DELETED]),
    "a deletion more": (
        "INSERT INTO $.deletions (prompt_id, revision, at) SELECT id, 1, '' FROM $.prompts WHERE key = 1",
        ["prompt 'ID': its deletion is no event"],
    ),
    "the time of a deletion": (
        "UPDATE $.deletions SET at = '2020-01-01T00:00:00.000000+00:00'",
        ["prompt 'ID': its deletion is of another time than its event"],
    ),
    "the places of a deletion": (
        "UPDATE $.deletions SET synced = 'zanzibar'",
        ["prompt 'ID': where it was synchronised before its deletion is not what was written"],
    ),
    "an operation": (
        "INSERT INTO $.operations (key, at, result, hash) VALUES ('k', now(), 'zanzibar', 'x')",
        ["the operation 'k' is not what was written"],
    ),
    "the revision": (
        "UPDATE $.registry SET revision = 1",
        ["the registry: its revision is not what was written"],
    ),
    "the stamp": (
        "UPDATE $.registry SET stamp = 'zanzibar'",
        ["the registry: its last commit is not what was written"],
    ),
    "the last commit": (
        "DELETE FROM $.commits WHERE revision = (SELECT max(revision) FROM $.commits)",
        ["the registry: its last commit is not what was written"],
    ),
    "every commit": ("DELETE FROM $.commits", ["the registry: its last commit is not what was written"]),
    "the last event": (
        "DELETE FROM $.events WHERE seq = (SELECT max(seq) FROM $.events)",
        ["event LAST is missing", "event_details: row LAST is of none of the events"],
    ),
    "the last events": (
        "DELETE FROM $.events WHERE seq >= (SELECT max(seq) - 1 FROM $.events)",
        [
            "events PENULTIMATE to LAST are missing",
            "event_details: row PENULTIMATE is of none of the events",
            "event_details: row LAST is of none of the events",
        ],
    ),
    "what the last event was": (
        "UPDATE $.registry SET last_hash = repeat('1', 64)",
        ["event LAST is not the last that was written"],
    ),
}


@pytest.mark.parametrize(("statement", "expected"), DAMAGE.values(), ids=DAMAGE)
def test_each_kind_of_damage_is_reported_by_name(
    filled: Registry, target: str, run: Run, statement: str, expected: list[str]
) -> None:
    """Nothing else is reported; the content of a damaged row is never quoted; the check changes nothing."""
    ((last,),) = run("SELECT max(seq) FROM $.events").fetchall()
    assert run(statement).rowcount > 0
    before = everything(target)
    found = [re.sub(r"[0-9a-f]{8}-[0-9a-f-]{27}", "ID", line) for line in filled.verify()]
    assert everything(target) == before
    assert "zanz" not in str(found)
    assert found == [line.replace("LAST", str(last)).replace("PENULTIMATE", str(last - 1)) for line in expected]


# What no hash covers: keys that stand for no more than other rows' references, and what only caches and opening read.
UNCOVERED = {
    "registry": {"id", "identity", "schema_version"},
    "prompts": {"key", "revision"},
    "deletions": {"revision"},
}


@pytest.mark.parametrize("table", [name for name in TABLES if name not in {"commits", "operations"}])
def test_a_changed_value_of_any_column_is_reported(filled: Registry, target: str, run: Run, table: str) -> None:
    """A row that holds another value than was written is found, whatever its column, and the value is not quoted."""
    columns = run(
        "SELECT column_name, data_type FROM information_schema.columns WHERE table_schema = %s AND table_name = %s",
        (split_target(target)[1], table),
    ).fetchall()
    others = {"text": "'Zanzibar!'", "ARRAY": "'{Zanzibar!}'::text[]", "bigint": "777"}
    for column, kind in columns:
        if column in UNCOVERED.get(table, ()):
            continue
        place, kept = run(f"SELECT ctid::text, {column} FROM $.{table} ORDER BY ctid LIMIT 1").fetchone()
        run(f"UPDATE $.{table} SET {column} = {others[kind]} WHERE ctid = %s::tid", (place,))
        lines = filled.verify()
        assert lines, column
        assert "Zanzibar" not in str(lines) or column == "prompt_id"
        run(f"UPDATE $.{table} SET {column} = %s WHERE {column} = {others[kind]}", (kept,))
    assert filled.verify() == []


# The head


def test_every_earlier_head_is_in_the_chain_and_no_other(postgres_target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """In slices of any size."""
    with Registry(postgres_target) as registry:
        heads = [registry.head()]
        for number in range(2):
            registry.create(f"p{number}", "Hello")
            heads.append(registry.head())
        assert heads[0] == GENESIS
        for size in (1, 4):
            monkeypatch.setattr("promptreg.storage.postgres.integrity.HASHES", size)
            assert [registry.verify(head=head) for head in heads] == [[]] * 3
            (line,) = registry.verify(head="1" * 64)
            assert NOT_THERE.match(line)


@pytest.mark.parametrize(
    "statement", ["UPDATE $.events SET actor = 'mallory' WHERE seq = 3", "DELETE FROM $.events WHERE seq > 3"]
)
def test_a_head_that_was_kept_proves_that_the_record_was_forged(filled: Registry, run: Run, statement: str) -> None:
    """Though every hash was made to fit, it no longer leads to what was kept, and the first line says so."""
    head = filled.head()
    run(statement)
    run("DELETE FROM $.event_details d WHERE NOT EXISTS (SELECT 1 FROM $.events e WHERE e.seq = d.seq)")
    link, seq = GENESIS, 0
    columns = ", ".join(column for column in EVENT_COLUMNS if column not in {"prev", "hash"})
    for row in run(f"SELECT {columns} FROM $.events ORDER BY seq").fetchall():
        hash_ = link_of(link, *row)
        run("UPDATE $.events SET prev = %s, hash = %s WHERE seq = %s", (link, hash_, row[0]))
        link, seq = hash_, row[0]
    run("UPDATE $.registry SET last_event = %s, last_hash = %s", (seq, link))
    assert not any(NOT_THERE.match(line) for line in filled.verify())
    assert NOT_THERE.match(filled.verify(head=head)[0])


def test_a_record_that_was_cut_has_no_head(filled: Registry, run: Run) -> None:
    """The registry's row names the last event that was written: nobody keeps the hash of an earlier one instead."""
    run("DELETE FROM $.events WHERE seq = (SELECT max(seq) FROM $.events)")
    with pytest.raises(StorageCorruptError) as caught:
        filled.head()
    assert caught.value.details == {"reason": "damaged"}


# While others write, and between two slices


def test_it_works_while_others_write(postgres_target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """No write between any two rows is reported as damage."""
    monkeypatch.setattr("promptreg.storage.postgres.integrity.BYTES", 1)
    stop = threading.Event()
    failed: list[BaseException] = []

    def write(number: int) -> None:
        name, step = f"busy-{number}", 0
        try:
            with Registry(postgres_target, busy_timeout=60) as other:
                while not stop.is_set():
                    step += 1
                    other.create(name, f"{step}")
                    other.update(name, template=f"{step} again", is_production=False)
                    other.update(name, template=f"{step} and again", is_production=False)
                    other.discard(name, 2)
                    other.publish(name, 3)
                    other.update(name, new_name=f"{name}-{step}")
                    other.rollback(f"{name}-{step}", reason="x")
                    other.delete(f"{name}-{step}")
        except BaseException as error:
            failed.append(error)

    with Registry(postgres_target) as registry:
        for number in range(5):
            registry.create(f"p{number}", "Hello")
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


def test_nothing_is_held_on_the_server_between_two_slices(
    postgres_target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Progress is reported there: no transaction is open then, and the function may write."""
    monkeypatch.setattr("promptreg.storage.postgres.integrity.BYTES", 1)
    steps: list[tuple[int, int]] = []
    schema = split_target(postgres_target)[1]
    with Registry(postgres_target) as registry, unguarded(postgres_target) as run:
        for number in range(4):
            registry.create(f"p{number}", "Hello")

        def progress(done: int, total: int) -> None:
            steps.append((done, total))
            held = run(
                "SELECT count(*) FROM pg_locks l JOIN pg_class c ON c.oid = l.relation"
                " JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = %s",
                (schema,),
            ).fetchone()
            assert held == (0,)
            registry.set_label("p1", f"at-{len(steps)}", 1)

        assert registry.verify(progress=progress) == []
        (total,) = {total for _, total in steps}
        done = [done for done, _ in steps]
        assert (done, done[-1]) == (sorted(done), total)
        assert len(steps) > 12

        def failing(done: int, total: int) -> None:
            raise KeyError("mine")

        with pytest.raises(KeyError, match="mine"):
            registry.verify(progress=failing)
        assert registry.get("p1").labels["at-1"] == 1


def test_of_very_many_lines_the_number_is_reported(filled: Registry, run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """The number of further problems is reported, because all lines would fill the memory."""
    run("UPDATE $.versions SET title = 'x'")
    every = filled.verify()
    monkeypatch.setattr("promptreg.storage.problems.MAX_PROBLEMS", 2)
    assert filled.verify() == [*every[:2], f"and {len(every) - 2} more"]
    assert NOT_THERE.match(filled.verify(head="1" * 64)[0])
