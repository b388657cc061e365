"""The cache: what it saves, what it never serves, and its bound."""

import math
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import pytest

from promptreg import Registry
from promptreg.cache import Cache, Memo
from promptreg.storage.base import Mark, News
from promptreg.storage.looks import SQLiteReader

Change = Callable[[Registry], object]


@contextmanager
def counted(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[str]]:
    """Collect the rows that are read meanwhile."""
    reads: list[str] = []
    with monkeypatch.context() as patch:
        for name in ("find", "version"):
            original = getattr(SQLiteReader, name)

            def read(self, *args, _original=original, _name=name, **more):
                reads.append(_name)
                return _original(self, *args, **more)

            patch.setattr(SQLiteReader, name, read)
        yield reads


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


def test_a_read_of_an_unchanged_prompt_asks_the_database_nothing(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between two looks that come every 50 ms, a cached read calls no storage at all."""
    registry.create("greet", "Hello")
    registry.get("greet")
    registry._core.cache.generation.until = math.inf
    monkeypatch.setattr(registry._core, "storage", None)
    assert registry.get("greet").template == "Hello"
    assert registry.render("greet").text == "Hello"


def test_only_what_has_changed_is_read_again(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """A change of one prompt leaves the others, and names that are known to be absent, in the cache."""
    for name in ("a", "b"):
        registry.create(name, "Hello")
        registry.get(name)
    registry.get("absent", default=None)
    with Registry(registry.path) as other:
        other.update("a", template="Hi")
    with counted(monkeypatch) as reads:
        registry.get("b")
        registry.get("absent", default=None)
        assert reads == []
        assert registry.get("a").template == "Hi"
        assert reads == ["find", "version"]


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


@pytest.mark.parametrize(("change", "look"), [pytest.param(c, look, id=name) for name, c, look in CHANGES])
def test_the_very_next_read_sees_any_change_of_another_registry(
    registry: Registry, change: Change, look: Change
) -> None:
    """Rule 16: names, labels, grants and statuses included, in a warm cache."""
    registry.create("greet", "Hello")
    registry.update("greet", template="Hello again")
    registry.rollback("greet", reason="x")
    registry.update("greet", template="Draft", is_production=False)
    registry.set_label("greet", "kept", 2)
    with Registry(registry.path) as other:
        before = look(registry)
        assert look(registry) == before
        change(other)
        assert look(registry) != before
        assert look(registry) == look(other)


def test_a_change_by_another_process_is_seen_by_the_next_read(registry: Registry) -> None:
    """The writer is another Python altogether."""
    registry.create("greet", "Hello")
    assert registry.render("greet").text == "Hello"
    program = "import sys, promptreg; promptreg.Registry(sys.argv[1]).update('greet', template='Hi')"
    subprocess.run([sys.executable, "-c", program, registry.path], check=True)
    assert registry.render("greet").text == "Hi"


def test_readers_never_see_a_prompt_older_than_the_writer_told(registry: Registry) -> None:
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
    """It holds at most `cache_size` prompts, and reads are right at any size."""
    with Registry(path, cache_size=size) as registry:
        for i in range(6):
            registry.create(f"p{i}", f"text {i}")
        for _ in range(2):
            assert [registry.render(f"p{i}").text for i in range(6)] == [f"text {i}" for i in range(6)]
        assert len(registry._core.cache) == size


class Fact(NamedTuple):
    about: str


def test_a_late_load_never_enters_a_newer_generation() -> None:
    """What was loaded for an older generation stays there; the newer one begins with what has not changed."""
    cache: Cache[Fact, Fact] = Cache(9, compares=True)
    old = cache.renew(b"1", News(Mark(b"1", 1, (1, "")), None), math.inf)
    cache.keep(old, "a", Fact("a"))
    cache.keep(old, "b", Fact("b"))
    new = cache.renew(b"2", News(Mark(b"2", 2, (2, "")), frozenset({"b"})), math.inf)
    cache.keep(old, "b", Fact("b"))
    assert (set(old.found), set(new.found), cache.generation) == ({"a", "b"}, {"a"}, new)


def test_a_memo_makes_each_value_once_and_keeps_the_newest() -> None:
    """The oldest makes room."""
    made: list[str] = []
    memo: Memo[str, str] = Memo(2)
    for key in ("a", "a", "b", "c", "a"):
        memo.get(key, lambda key=key: made.append(key) or key)
    assert made == ["a", "b", "c", "a"]


def test_a_refusal_leaves_the_cache_as_it_was(registry: Registry) -> None:
    """After a refused write the very same cached object is given."""
    registry.create("greet", "Hello")
    before = registry.get("greet")
    with pytest.raises(Exception, match="published"):
        registry.update("greet@1", template="Hi")
    assert registry.get("greet") is before
