"""The cache: the reads that it saves, that it is never stale, and its bound."""

import math
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import NamedTuple

import pytest

from promptreg import NotModifiableError, Registry, StorageError
from promptreg.cache import Cache
from promptreg.storage import written
from promptreg.storage.base import ChangeReport, Position
from promptreg.storage.sqlite.reader import SQLiteReader
from promptreg.storage.sqlite.storage import SQLiteStorage
from promptreg.templates import Memo
from tests.storages import target_of

Change = Callable[[Registry], object]


@contextmanager
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Collect the reads of rows inside the block."""
    reads: list[str] = []
    with monkeypatch.context() as patch:
        for name in ("find", "versions"):
            original = getattr(SQLiteReader, name)

            def read(self, *args, _original=original, _name=name, **more):
                reads.append(_name)
                return _original(self, *args, **more)

            patch.setattr(SQLiteReader, name, read)
        yield reads


@pytest.mark.sqlite
def test_a_second_read_reads_no_row(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """`get` and `render`, by name, id, number or label, read a prompt's rows once."""
    prompt = registry.create("greet", "Hello {{ name }}")
    with counted(monkeypatch) as reads:
        for key in ("greet", prompt.id, "greet@1", "greet@production"):
            first = registry.get(key)
            assert len(reads) == 2
            assert registry.get(key) is first
            assert registry.render(key, name="Ana").prompt is first
            assert len(reads) == 2
            reads.clear()


def test_a_read_of_an_unchanged_prompt_calls_no_storage(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between two checks for changes, 50 ms apart, a cached read calls no storage at all."""
    registry.create("greet", "Hello")
    registry.get("greet")
    registry._core.cache.generation.until = math.inf
    monkeypatch.setattr(registry._core, "storage", None)
    assert registry.get("greet").template == "Hello"
    assert registry.render("greet").text == "Hello"


@pytest.mark.sqlite
def test_only_changed_prompts_are_read_again(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """A change of one prompt leaves the others, and the negative entries of absent names, in the cache."""
    for name in ("a", "b"):
        registry.create(name, "Hello")
        registry.get(name)
    registry.get("absent", default=None)
    with Registry(target_of(registry)) as other:
        other.update("a", template="Hi")
    with counted(monkeypatch) as reads:
        registry.get("b")
        registry.get("absent", default=None)
        assert reads == []
        assert registry.get("a").template == "Hi"
        assert reads == ["find", "versions"]


@pytest.mark.sqlite
def test_a_write_of_the_registry_itself_leaves_the_rest_in_its_cache(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After its own update of one prompt it reads that one again, and no other."""
    for name in ("a", "b"):
        registry.create(name, "Hello")
        registry.get(name)
    other = registry.get("b")
    registry.update("a", template="Hi")
    with counted(monkeypatch) as reads:
        assert registry.get("b") is other
        assert reads == []
        assert registry.get("a").template == "Hi"
        assert reads == ["find", "versions"]


def disabled_elsewhere(registry: Registry, count: int) -> list[str]:
    """Create and read prompts, make another registry disable all of them in one call, and return their statuses.

    A prompt whose change was not reported would be returned from the cache, with its old status.
    """
    names = [f"p{number}" for number in range(count)]
    for name in names:
        registry.create(name, "Hello")
    assert [registry.get(name).status for name in names] == ["active"] * count
    with Registry(target_of(registry), durability="normal") as other:
        assert other.set_status(names, "disabled").updated_prompts == count
    return [registry.get(name).status for name in names]


def module_of_changes(registry: Registry) -> ModuleType:
    """Return the module that holds the bound of changes that are dropped individually."""
    is_file = isinstance(registry._core.storage, SQLiteStorage)
    return import_module(f"promptreg.storage.{'sqlite.change_check' if is_file else 'postgres.listening'}")


@pytest.mark.slow
@pytest.mark.parametrize("count", range(2, 9))
def test_no_prompt_of_many_that_one_call_changed_remains_in_the_cache(
    registry: Registry, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    """Each changed prompt is read again, for fewer, as many, and more than are dropped individually."""
    monkeypatch.setattr(module_of_changes(registry), "MAX_CHANGED", 4)
    assert disabled_elsewhere(registry, count) == ["disabled"] * count


@pytest.mark.slow
def test_no_prompt_of_a_thousand_and_three_that_one_call_changed_remains_in_the_cache(path: str) -> None:
    """The same holds at the real bound."""
    with Registry(path, durability="normal") as registry:
        assert disabled_elsewhere(registry, 1_003) == ["disabled"] * 1_003


def test_up_to_the_bound_changed_prompts_are_dropped_one_by_one(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Up to the bound an unchanged prompt remains in the cache; with one change more the entire cache is dropped."""
    monkeypatch.setattr(module_of_changes(registry), "MAX_CHANGED", 4)
    kept = registry.create("kept", "Hello")
    for count, is_kept in ((4, True), (5, False)):
        kept = registry.get("kept")
        disabled_elsewhere(registry, count)
        assert (registry.get("kept") is kept) is is_kept
        registry.set_status([f"p{number}" for number in range(count)], "deleted")


@pytest.mark.sqlite
@pytest.mark.parametrize("count", range(3, 7))
def test_after_any_number_of_its_changes_a_registry_returns_nothing_outdated(
    path: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, count: int
) -> None:
    """After fewer, as many, or more commits than are remembered, and removal of the file, none is returned outdated."""
    monkeypatch.setattr(written, "MAX_WRITTEN", 4)
    names = [f"p{number}" for number in range(count)]
    with Registry(path) as registry:
        for name in names:
            registry.create(name, "Hello")
        assert [registry.get(name).status for name in names] == ["active"] * count
        for name in names:
            registry.disable(name)
        Path(path).rename(tmp_path / "aside.db")
        for name in names:
            with pytest.raises(StorageError, match="was removed while it was open"):
                registry.get(name)
        (tmp_path / "aside.db").rename(path)


@pytest.mark.sqlite
@pytest.mark.parametrize(
    ("change", "template"),
    [
        (lambda r: r.update("greet", template="Hi"), "Hi"),
        (lambda r: r.set_status("greet", "deleted"), None),
    ],
    ids=["changed", "deleted"],
)
def test_a_load_of_a_later_revision_is_returned_and_not_cached(
    registry: Registry, monkeypatch: pytest.MonkeyPatch, change: Change, template: str | None
) -> None:
    """After a commit between the check and the load, the later prompt is returned, but not added to the cache."""
    registry.create("greet", "Hello")
    generation, _ = registry._core.current_generation()
    read = SQLiteStorage.read

    def overtaken(storage: SQLiteStorage) -> object:
        monkeypatch.setattr(SQLiteStorage, "read", read)
        with Registry(target_of(registry)) as other:
            change(other)
        return read(storage)

    monkeypatch.setattr(SQLiteStorage, "read", overtaken)
    for _ in range(2):
        prompt = registry.get("greet", default=None)
        assert (prompt and prompt.template) == template
        assert (generation.entries, generation.negative) == ({}, {})


CHANGES: list[tuple[str, Change, Change]] = [
    ("update", lambda r: r.update("greet", template="Hi"), lambda r: r.get("greet").template),
    ("draft", lambda r: r.update("greet", template="Hi", is_production=False), lambda r: r.get("greet@latest").version),
    ("edit", lambda r: r.update("greet@3", template="Edited"), lambda r: r.get("greet@3").template),
    ("publish", lambda r: r.publish("greet", 2), lambda r: r.get("greet").version),
    ("rollback", lambda r: r.rollback("greet@2", reason="x"), lambda r: r.get("greet").version),
    ("label", lambda r: r.set_label("greet", "staging", 1), lambda r: r.get("greet@staging", default=None)),
    ("unlabel", lambda r: r.remove_label("greet", "kept"), lambda r: r.get("greet@kept", default=None)),
    ("rename", lambda r: r.update("greet", new_name="hail"), lambda r: r.get("greet", default=None)),
    ("new name", lambda r: r.update("greet", new_name="hail"), lambda r: r.get("hail", default=None)),
    ("grant", lambda r: r.update("greet", access_grants=[("anyone", "read")]), lambda r: r.get("greet").access_grants),
    ("disable", lambda r: r.set_status("greet", "disabled"), lambda r: r.get("greet").status),
    ("archive", lambda r: r.archive("greet"), lambda r: r.get("greet").status),
    ("delete", lambda r: r.set_status("greet", "deleted"), lambda r: r.get("greet", default=None)),
    ("create", lambda r: r.create("new", "New"), lambda r: r.get("new", default=None)),
]


@pytest.mark.parametrize(("change", "read"), [pytest.param(c, read, id=name) for name, c, read in CHANGES])
def test_the_very_next_read_sees_any_change_of_another_registry(
    registry: Registry, change: Change, read: Change
) -> None:
    """Rule 16: with a warm cache, changes of names, labels, grants and statuses are seen too."""
    registry.create("greet", "Hello")
    registry.update("greet", template="Hello again")
    registry.rollback("greet", reason="x")
    registry.update("greet", template="Draft", is_production=False)
    registry.set_label("greet", "kept", 2)
    with Registry(target_of(registry)) as other:
        before = read(registry)
        assert read(registry) == before
        change(other)
        assert read(registry) != before
        assert read(registry) == read(other)


def test_a_change_by_another_process_is_seen_by_the_next_read(registry: Registry) -> None:
    """The writer runs in another process."""
    registry.create("greet", "Hello")
    assert registry.render("greet").text == "Hello"
    program = "import sys, promptreg; promptreg.Registry(sys.argv[1]).update('greet', template='Hi')"
    subprocess.run([sys.executable, "-c", program, target_of(registry)], check=True)
    assert registry.render("greet").text == "Hi"


def test_readers_never_see_a_prompt_older_than_the_last_publish_that_returned(registry: Registry) -> None:
    """Four threads read while one publishes: no read is older than a publish that returned before it began."""
    registry.create("counter", "0")
    published, stop, wrong = [0], threading.Event(), []

    def read() -> None:
        last = 0
        while not stop.is_set():
            least = published[0]
            seen = int(registry.render("counter").text)
            if seen < least or seen < last:
                wrong.append((seen, least, last))
            last = seen
            time.sleep(0.0002)  # or four spinning threads starve the writer of the interpreter's lock

    readers = [threading.Thread(target=read) for _ in range(4)]
    for thread in readers:
        thread.start()
    for number in range(1, 100):
        registry.update("counter", template=str(number))
        published[0] = number
    stop.set()
    for thread in readers:
        thread.join()
    assert wrong == []


@pytest.mark.parametrize("size", [0, 1, 3])
def test_the_cache_is_bounded(path: str, size: int) -> None:
    """The cache has at most `cache_size` prompts, and reads are correct at any size."""
    with Registry(path, cache_size=size) as registry:
        for i in range(6):
            registry.create(f"p{i}", f"text {i}")
        for _ in range(2):
            assert [registry.render(f"p{i}").text for i in range(6)] == [f"text {i}" for i in range(6)]
        assert len(registry._core.cache) == size


class Entry(NamedTuple):
    about: str


def test_a_late_load_never_enters_a_newer_generation() -> None:
    """An entry loaded for an older generation is added only to that; a newer one begins with the unchanged entries."""
    cache = Cache(9, compares=True)
    old = cache.renew(ChangeReport(Position(b"1", 1), b"1", None), math.inf)
    cache.add(old, "a", Entry("a"))
    cache.add(old, "b", Entry("b"))
    new = cache.renew(ChangeReport(Position(b"2", 2), b"2", frozenset({"b"})), math.inf)
    cache.add(old, "b", Entry("b"))
    assert (set(old.entries), set(new.entries), cache.generation) == ({"a", "b"}, {"a"}, new)


def test_a_memo_computes_each_value_once_and_keeps_the_newest() -> None:
    """A full memo drops the oldest value."""
    made: list[str] = []
    memo: Memo[str, str] = Memo(2)
    for key in ("a", "a", "b", "c", "a"):
        memo.get(key, lambda key=key: made.append(key) or key)
    assert made == ["a", "b", "c", "a"]


def test_a_refusal_does_not_change_the_cache(registry: Registry) -> None:
    """After a refused write `get` returns the same cached object."""
    registry.create("greet", "Hello")
    before = registry.get("greet")
    with pytest.raises(NotModifiableError, match="Version 1 of 'greet' is published"):
        registry.update("greet@1", template="Hi")
    assert registry.get("greet") is before
