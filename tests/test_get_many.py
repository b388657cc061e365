"""`get_many` returns several prompts of one moment, from the cache or in one read transaction."""

import math
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest

from promptreg import (
    Actor,
    InvalidInputError,
    NoProductionVersionError,
    NotFoundError,
    Prompt,
    Registry,
    StorageError,
    VersionNotFoundError,
)
from promptreg.storage.sqlite.storage import SQLiteStorage
from tests.conftest import holds_anything
from tests.otel import tracing
from tests.storages import target_of
from tests.test_cache import counted

Views = Callable[[Registry], Registry]
VIEWS: dict[str, Views] = {
    "the application": lambda r: r,
    "a member": lambda r: r.scope(actor=Actor("mia", "team_member")),
    "another namespace": lambda r: r.scope(namespace="other"),
}


@pytest.fixture
def registry(path: str) -> Iterator[Registry]:
    """A new registry in a file."""
    with Registry(path, durability="normal") as opened:
        yield opened


@pytest.fixture(params=VIEWS)
def view(request: pytest.FixtureRequest, registry: Registry) -> Registry:
    """A view of a file with a to e: e has only a draft, a a label, d is archived and c disabled."""
    seen_by = VIEWS[request.param]
    making = registry.scope(namespace=seen_by(registry).namespace)
    for name in "abcd":
        making.create(name, f"{name}1")
        making.update(name, template=f"{name}2")
    making.create("e", "draft", is_production=False)
    making.set_label("a", "eu", 1)
    making.archive("d")
    making.set_status("c", "disabled")
    return seen_by(registry)


def templates(prompts: list[Prompt]) -> list[object]:
    return [prompt.template for prompt in prompts]


def test_prompts_are_returned_in_the_order_of_their_names(view: Registry) -> None:
    """Each is what `get` returns, whatever its status, and what is named twice is returned twice."""
    for names in (
        ["c", "a", "d", "b"],
        ["b", "b", "a", "b"],
        ["e@1", "a@eu", "a", "a@1", "a@latest"],
        ["d@production"],
    ):
        expected = [view.get(name) for name in names]
        assert view.get_many(names) == expected == view.get_many(names)
    with Registry(target_of(view)) as cold:
        again = cold.scope(namespace=view.namespace, **({"actor": view.actor} if view.actor else {}))
        assert templates(again.get_many(["b", "a@eu", "b", "c"])) == ["b2", "a1", "b2", "c2"]


def test_ids_are_names_too(view: Registry) -> None:
    """An id, alone or with a version, is resolved in the view's namespace."""
    prompt = view.get("a")
    assert view.get_many([prompt.id, "a", f"{prompt.id}@1"]) == [prompt, prompt, view.get("a@1")]
    with pytest.raises(NotFoundError):
        view.scope(namespace="elsewhere").get_many([prompt.id])


def test_names_may_come_from_any_iterable(view: Registry) -> None:
    """Tuples, sets, generators and keys are read once; no names give no prompts."""
    expected = view.get_many(["a", "b"])
    for names in (("a", "b"), iter("ab"), (n for n in "ab"), {"a": 1, "b": 2}.keys()):
        assert view.get_many(names) == expected
    assert view.get_many({"a"}) == expected[:1]
    names = ["a", "b"]
    assert view.get_many(names) is not view.get_many(names)
    assert names == ["a", "b"]
    for nothing in ([], (), iter(())):
        assert view.get_many(nothing) == []


def test_a_text_of_a_subclass_is_its_text(view: Registry) -> None:
    """A subclass with a hash of its own finds what its text means."""

    class Odd(str):
        __slots__ = ()

        def __hash__(self) -> int:
            return 7

        def __eq__(self, other: object) -> bool:
            return True

    for _ in range(2):
        assert templates(view.get_many([Odd("a"), "b"])) == ["a2", "b2"]


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        ("a", "must be a list of names; get() takes one name"),
        (b"a", "must be a list of names, not bytes"),
        ({"a": 1}, "must be a list of names, not dict"),
        (None, "must be a list of names, not NoneType"),
        (["a"] * 10_001, "holds more than 10,000 names; that is the most"),
        (iter(lambda: "a", ""), "holds more than 10,000 names; that is the most"),
    ],
    ids=["text", "bytes", "dict", "None", "many", "endless"],
)
def test_what_is_no_list_of_names_is_refused(view: Registry, names: Any, reason: str) -> None:
    """One name is none either, and at most 10,000 are read."""
    with pytest.raises(InvalidInputError) as caught:
        view.get_many(names)
    assert caught.value.details == {"errors": [{"field": "names", "reason": reason}]}


def test_10_000_names_are_read(registry: Registry) -> None:
    """That is the most."""
    registry.create("a", "x")
    assert len(registry.get_many(["a"] * 10_000)) == 10_000


def test_every_malformed_name_is_told(view: Registry) -> None:
    """They are refused before anything is looked up, cached names beside them or not, closed storage or not."""
    for _ in range(2):
        with pytest.raises(InvalidInputError) as caught:
            view.get_many(["a", "B", "absent", "a@", 3, "b@0"])  # type: ignore[list-item]
        assert [error["field"] for error in caught.value.details["errors"]] == [f"names[{i}]" for i in (1, 3, 4, 5)]
        view.get("a")


def test_every_unknown_name_is_in_one_error(view: Registry) -> None:
    """Each once, with the nearest that there is, before anything that is wrong with a version."""
    unknown = "00000000-0000-7000-8000-000000000000"
    for names in (["x", "a", "bb", "x@3", unknown], ["a@9", "x", "e", "bb", "a@nope", "x@3", unknown]):
        for _ in range(2):
            with pytest.raises(NotFoundError) as caught:
                view.get_many(names)
            assert (type(caught.value), caught.value.details) == (NotFoundError, {"names": ["x", "bb", unknown]})
            assert "did you mean 'b' for 'bb'?" in str(caught.value)


def test_then_unknown_versions_are_told_and_then_prompts_without_production(view: Registry) -> None:
    """Each kind is looked for in all names before the next."""
    for names, version in ((["e", "a@9", "a@nope"], 9), (["e", "a", "a@nope", "a@9"], "nope")):
        for _ in range(2):
            with pytest.raises(VersionNotFoundError) as caught:
                view.get_many(names)
            assert caught.value.details == {"name": "a", "version": version}
    for names in (["a", "e"], ["e@production", "b"]):
        with pytest.raises(NoProductionVersionError) as without:
            view.get_many(names)
        assert without.value.details == {"name": "e", "version": None}


def test_what_may_not_be_read_is_not_found(registry: Registry) -> None:
    """The error is that of an absent prompt, from the cache and from the file; what is granted is returned."""
    registry.create("hidden", "x", access_grants=[("user:gus", "read")])
    registry.create("shown", "x", access_grants=[("user:gus", "read"), ("user:eve", "read")])
    gus, eve = registry.scope(actor=Actor("gus")), registry.scope(actor=Actor("eve"))
    for _ in range(2):
        assert [prompt.name for prompt in gus.get_many(["shown", "hidden"])] == ["shown", "hidden"]
        assert [prompt.name for prompt in eve.get_many(["shown"])] == ["shown"]
        for names in (["shown", "hidden"], ["hidden@9", "shown@9"], ["hidden@nope"]):
            with pytest.raises(NotFoundError) as caught:
                eve.get_many(names)
            assert (type(caught.value), caught.value.details) == (NotFoundError, {"names": ["hidden"]})
            assert "did you mean" not in str(caught.value)
    registry.update("shown", access_grants=[])
    with pytest.raises(NotFoundError):
        gus.get_many(["hidden", "shown"])


@pytest.mark.sqlite
def test_a_second_call_reads_nothing(view: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """What `get` or `get_many` has read is in the cache for both."""
    view.get("a")
    with counted(monkeypatch) as reads:
        view.get_many(["a", "b", "b@1", "b"])
        assert reads == ["find", "versions", "versions"]
        view.get_many(["b@1", "a", "b"])
        view.get("b")
        assert reads == ["find", "versions", "versions"]
        view.get_many(["a", "c"])
        assert reads == ["find", "versions", "versions", "find", "versions"]


@pytest.mark.sqlite
def test_all_that_is_not_cached_is_read_in_one_transaction(view: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """However many names are asked for, the file is read once."""
    begun: list[int] = []
    read = SQLiteStorage.read
    monkeypatch.setattr(SQLiteStorage, "read", lambda self: (begun.append(1), read(self))[1])
    view.get_many(["a", "b", "c", "d", "a@eu"])
    assert begun == [1]
    view.get_many(["a", "b", "c", "d", "a@eu"])
    assert begun == [1]


@pytest.mark.sqlite
@pytest.mark.parametrize("cached", [[], ["a"], ["b"], ["a", "b"]], ids=["none", "the first", "the second", "both"])
def test_a_write_between_the_check_and_the_read_is_seen_in_all_or_in_none(
    registry: Registry, monkeypatch: pytest.MonkeyPatch, cached: list[str]
) -> None:
    """What is cached is not returned with what is read at a later revision; the next call has the later one."""
    for name in ("a", "b"):
        registry.create(name, "x")
    for name in cached:
        registry.get(name)
    read = SQLiteStorage.read
    with Registry(target_of(registry)) as other:

        def late(self: SQLiteStorage) -> Any:
            monkeypatch.undo()
            other.set_status(["a", "b"], "disabled")
            return read(self)

        monkeypatch.setattr(SQLiteStorage, "read", late)
        statuses = [prompt.status for prompt in registry.get_many(["a", "b", "a"])]
    assert statuses == (["active"] * 3 if len(cached) == 2 else ["disabled"] * 3)
    if len(cached) < 2:
        assert [registry.get(name).status for name in ("a", "b")] == ["disabled"] * 2


@pytest.mark.parametrize("cache_size", [0, 1, 10_000])
def test_beside_a_writer_all_prompts_are_of_one_moment(path: str, cache_size: int) -> None:
    """While another registry moves several prompts at once, no call returns some as before and some as after."""
    names, done = [f"p{i}" for i in range(6)], Event()
    with (
        Registry(path, durability="normal", cache_size=cache_size) as registry,
        Registry(path, durability="normal") as other,
    ):
        for name in names:
            registry.create(name, "x")

        def write() -> None:
            for i in range(60):
                other.set_status(names, "disabled" if i % 2 else "active")
            done.set()

        thread = Thread(target=write)
        thread.start()
        seen = set()
        try:
            while not done.is_set():
                statuses = {prompt.status for prompt in registry.get_many(names)}
                assert len(statuses) == 1
                seen |= statuses
                registry.get(names[0])
        finally:
            thread.join()
    assert seen == {"active", "disabled"}


def test_a_change_is_seen_by_the_next_call(view: Registry) -> None:
    """A write of this registry, and of another one, is in the next result, and nothing else is read again."""
    making = Registry(target_of(view)).scope(namespace=view.namespace)
    assert templates(view.get_many(["a", "b"])) == ["a2", "b2"]
    making.update("b", template="b3")
    assert templates(view.get_many(["a", "b"])) == ["a2", "b3"]
    making.update("a", new_name="z")
    with pytest.raises(NotFoundError):
        view.get_many(["a", "b"])
    assert templates(view.get_many(["z", "b"])) == ["a2", "b3"]


@pytest.mark.sqlite
def test_where_the_file_has_gone_cached_prompts_are_stale_and_others_an_error(
    registry: Registry, tmp_path: Path
) -> None:
    """All of them must be cached; then each says that it may be outdated."""
    registry.create("a", "x"), registry.create("b", "x"), registry.create("c", "x")
    registry.get_many(["a", "b"])
    Path(registry.path).rename(tmp_path / "aside.db")
    time.sleep(0.06)
    assert [prompt.stale for prompt in registry.get_many(["a", "b", "a"])] == [True] * 3
    with pytest.raises(StorageError):
        registry.get_many(["a", "c"])
    assert [prompt.stale for prompt in registry.get_many(["b"])] == [True]
    (tmp_path / "aside.db").rename(registry.path)
    time.sleep(0.06)
    assert [prompt.stale for prompt in registry.get_many(["a", "b", "c"])] == [False] * 3


@pytest.mark.sqlite
def test_its_span_says_whether_all_were_cached(view: Registry) -> None:
    """The span has the number of prompts, and `miss` where one of them was read from the file."""
    with tracing() as spans:
        for names in (["a", "b"], ["b", "a"], ["a", "c"]):
            view.get_many(names)
            view._core.cache.generation.until = math.inf  # or a check every 50 ms makes a hit a fresh one
        recorded = [(span.name, span.attributes["promptreg.cache"]) for span in spans() if span.attributes]
        assert recorded == [("get_many_prompts", "miss"), ("get_many_prompts", "hit"), ("get_many_prompts", "miss")]
        view._core.cache.generation.until = -math.inf
        view.get_many(["a"])
        assert [span.attributes["promptreg.cache"] for span in spans() if span.attributes] == ["fresh"]


def test_a_closed_registry_refuses_any_names(view: Registry, registry: Registry) -> None:
    """Also none, and what is cached."""
    view.get_many(["a"])
    registry.close()
    for names in ([], ["a"], "a"):
        with pytest.raises(StorageError, match="closed"):
            view.get_many(names)


@pytest.mark.sqlite
def test_an_error_in_the_middle_holds_nothing(view: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """After an interrupt within the transaction the next call reads as before."""

    def interrupted(*_: object, **__: object) -> Iterator[object]:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("promptreg.storage.finding.find_version", interrupted)
        with pytest.raises(KeyboardInterrupt):
            view.get_many(["a", "b"])
    assert not holds_anything(view)
    assert templates(view.get_many(["a", "b"])) == ["a2", "b2"]
