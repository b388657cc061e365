"""Rule 15: no byte of a deleted prompt remains in any file of the registry, however it was written and deleted.

The words begin with letters with which no other word begins, because the full-text index stores only the difference
of a word from the previous one.
"""

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

import pytest

from promptreg import PublishCheckError, Registry
from promptreg.storage.sqlite import connections, erasure
from promptreg.storage.sqlite.connections import Handle

WORDS = ["zanzibar", "quokka", "jubilee", "yclept", "xylophone"]
LIVE, EDITED, DRAFT, DISCARDED, FAILED = WORDS


@pytest.fixture(params=["as built", "ON", "OFF"])
def registry(path: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[Registry]:
    """A registry over SQLite with its default for `secure_delete`, and with each other setting."""
    if request.param != "as built":
        settings = f"{connections.SETTINGS}; PRAGMA secure_delete = {request.param}"
        monkeypatch.setattr(connections, "SETTINGS", settings)
    with Registry(path, publish_checks=[_complain]) as opened:
        yield opened


def _complain(prompt: object) -> None:
    if FAILED in str(prompt):
        raise ValueError(f"says {FAILED}")


def traces(path: str) -> set[str]:
    """Return the words that occur in any file of the folder, ignoring case."""
    held = b"\n".join(file.read_bytes() for file in Path(path).parent.iterdir()).lower()
    return {word for word in WORDS if word.encode() in held}


def _one_alone(registry: Registry) -> list[str]:
    registry.create("a", LIVE)
    return ["a"]


def _the_last_of_two(registry: Registry) -> list[str]:
    registry.create("b", "other")
    registry.create("a", LIVE)
    registry.set_status("b", "deleted")
    return ["a"]


def _many(registry: Registry) -> list[str]:
    for i in range(40):
        registry.create(f"p{i}", f"{LIVE} {i} " * 300)
    return [f"p{i}" for i in range(40)]


def _edited(registry: Registry) -> list[str]:
    registry.create("a", f"{LIVE} first", title=EDITED)
    for i in range(20):
        registry.update("a", template=f"something else {i}", title="Other", is_production=i % 2 == 0)
    return ["a"]


def _drafts(registry: Registry) -> list[str]:
    registry.create("kept", "stays")
    registry.create("a", LIVE, is_production=False)  # it is listed, so its words are indexed
    registry.update("a@1", template=EDITED)
    registry.update("a@1", template="plain")
    registry.publish("a", 1)
    registry.update("a", template=DRAFT, is_production=False)
    registry.update("a", template=DISCARDED, is_production=False)
    registry.discard("a", 3)
    registry.update("a", template=FAILED, is_production=False)
    with suppress(PublishCheckError):
        registry.publish("a", 4)
    return ["a"]


def _renamed(registry: Registry) -> list[str]:
    registry.create(LIVE, "text")
    registry.update(LIVE, new_name=EDITED)
    registry.update(EDITED, new_name="a")
    return ["a"]


def _rolled_back(registry: Registry) -> list[str]:
    registry.create("a", "text")
    registry.update("a", template=LIVE)
    registry.rollback("a", reason=EDITED)
    return ["a"]


KINDS: dict[str, Callable[[Registry], list[str]]] = {
    make.__name__.strip("_"): make
    for make in (_one_alone, _the_last_of_two, _many, _edited, _drafts, _renamed, _rolled_back)
}


@pytest.mark.parametrize("among", [0, pytest.param(30, marks=pytest.mark.slow)])
@pytest.mark.parametrize("kind", KINDS)
def test_no_word_remains_in_any_file(registry: Registry, path: str, kind: str, among: int) -> None:
    """This holds for one or many, deleted together or one by one; the other prompts remain and are found."""
    for i in range(among):
        registry.create(f"noise-{i}", f"common number {i}")
    names = KINDS[kind](registry)
    assert traces(path), "the kind writes none of the words"
    for name in names[:2]:
        registry.set_status(name, "deleted")
    registry.set_status(names[2:], "deleted")
    assert traces(path) == set()
    assert len(registry.search("common", limit=50)) == among


def test_deletions_in_two_registries_leave_no_word(registry: Registry, path: str) -> None:
    """Two registries write and delete alternately, and neither restores what the other has erased."""
    with Registry(path) as other:
        for round_ in range(3):
            registry.create("a", LIVE)
            other.create("b", EDITED)
            other.update("a", template=DRAFT)
            registry.update("b", template="plain")
            registry.set_status("b", "deleted")
            assert traces(path) == {LIVE, DRAFT}, round_
            other.set_status("a", "deleted")
            assert traces(path) == set(), round_


def test_after_a_deletion_the_index_is_valid_for_any_sqlite(registry: Registry, path: str) -> None:
    """FTS5's integrity check passes, and the index has the format of the oldest supported SQLite."""
    for name in "abc":
        registry.create(name, f"common {name}")
    registry.set_status("b", "deleted")
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        connection.execute("INSERT INTO search (search, rank) VALUES ('integrity-check', 1)")
        assert connection.execute("SELECT v FROM search_config WHERE k = 'version'").fetchone() == (4,)
    assert [prompt.name for prompt in registry.search("common")] == ["a", "c"]


def test_writers_hardly_wait_for_an_older_reader(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a tool reads an older snapshot for hours, like a slow backup, only deletions wait for it briefly."""
    patience: list[int] = []
    erase = erasure.erase

    def recorded(handle: Handle, path: str, patience_ms: int, *, rewrites: bool) -> bool:
        patience.append(patience_ms)
        return erase(handle, path, patience_ms, rewrites=rewrites)

    monkeypatch.setattr(erasure, "erase", recorded)
    with Registry(path) as registry, closing(sqlite3.connect(path, isolation_level=None)) as reader:
        registry.create("stays", "One")
        registry.create("goes", "One")
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM sqlite_master").fetchone()
        registry.set_status("goes", "deleted")
        assert patience.pop() == erasure.PATIENCE_MS
        for template in ("Two", "Three", "Four"):
            registry.update("stays", template=template)
        assert patience
        assert max(patience) <= erasure.BRIEF_MS < erasure.PATIENCE_MS / 5
