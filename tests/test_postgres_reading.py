"""How PostgreSQL is read: in how many round trips, all of one moment, and damage that no read takes for data."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest

from promptreg import Actor, ConflictError, NotFoundError, Registry, StorageCorruptError, VersionNotFoundError
from promptreg.records import Audience, Query
from promptreg.rules.names import Reference
from promptreg.storage.base import Lookup
from tests.postgres import UNGUARDED, connected

pytestmark = pytest.mark.postgres
Call = Callable[[Registry], object]
MANY = [f"m{i}" for i in range(10)]


@pytest.fixture
def registry(postgres_target: str) -> Iterator[Registry]:
    """A registry with a prompt of three versions, of which the last is a draft, and others."""
    with Registry(postgres_target) as opened:
        opened.create("a", "one", tags=["t"], access_grants=[("user:bob", "read")])
        opened.update("a", template="two")
        opened.update("a", template="three", is_production=False)
        opened.set_label("a@3", "staging")
        opened.create("b", "one")
        opened.seed("seeded", "one")
        opened.get("seeded")
        yield opened


@pytest.fixture
def several(registry: Registry) -> Registry:
    """The same with ten prompts, each with two published versions and a draft."""
    for name in MANY:
        registry.create(name, "one")
        registry.update(name, template="two")
        registry.update(name, template="three", is_production=False)
    return registry


@pytest.fixture
def trips(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A list that grows by the number of statements sent at each round trip that is waited for."""
    from promptreg.storage.postgres.wire import Wire  # needs the driver

    sent: list[int] = []
    exchange = Wire.exchange

    def counted(wire: Any, commands: Any, left: Any) -> Any:
        sent.append(len(commands))
        return exchange(wire, commands, left)

    monkeypatch.setattr(Wire, "exchange", counted)
    return sent


# Round trips

READS: dict[str, tuple[int, Call]] = {
    "get": (1, lambda r: r.get("a")),
    "get of a number": (1, lambda r: r.get("a@1")),
    "get of a label": (1, lambda r: r.get("a@staging")),
    "get_many": (1, lambda r: r.get_many(["a", "b@1", "a@staging"])),
    "render": (1, lambda r: r.render("a")),
    "history": (2, lambda r: r.history("a")),
    "diff": (1, lambda r: r.diff("a", 1, 2)),
    "check": (1, lambda r: r.check("a")),
    "list": (1, lambda r: r.list()),
    "list by a tag": (1, lambda r: r.list(tag="t")),
    "search": (1, lambda r: r.search("two")),
    "events": (2, lambda r: r.events()),
    "events of an actor": (1, lambda r: r.scope(actor=Actor("bob")).events()),
    "namespaces": (1, lambda r: r.namespaces()),
    "an update that changes nothing": (1, lambda r: r.update("a", template="two")),
    "a seed that changes nothing": (1, lambda r: r.seed("seeded", "one")),
    "a dry run": (1, lambda r: r.set_status(["a", "b"], "disabled", dry_run=True)),
}
WRITES: dict[str, tuple[int, Call]] = {
    "create": (1, lambda r: r.create("new", "x")),
    "update": (1, lambda r: r.update("a", template="other")),
    "edit": (1, lambda r: r.update("a@3", template="other")),
    "save": (1, lambda r: r.save("a", "other")),
    "seed": (2, lambda r: r.seed("seeded", "other")),
    "publish of the draft": (1, lambda r: r.publish("a")),
    "publish of a label": (1, lambda r: r.publish("a@staging")),
    "rollback": (2, lambda r: r.rollback("a", reason="bad")),
    "rollback to a version": (2, lambda r: r.rollback("a", 1, reason="bad")),
    "set_label": (1, lambda r: r.set_label("a@1", "eu")),
    "remove_label": (1, lambda r: r.remove_label("a", "staging")),
    "archive": (1, lambda r: r.archive("a")),
    "disable": (1, lambda r: r.disable("a")),
    "delete": (1, lambda r: r.delete("a")),
    "set_status of several": (1, lambda r: r.set_status(["a", "b"], "disabled")),
}
OF_SEVERAL: dict[str, tuple[int, Call]] = {
    "publish of drafts": (3, lambda r: r.publish(MANY)),
    "publish of numbers": (2, lambda r: r.publish([f"{name}@3" for name in MANY])),
    "rollback": (2, lambda r: r.rollback(MANY, reason="bad")),
    "get_many": (1, lambda r: r.get_many(MANY)),
}


@pytest.mark.parametrize(("expected", "call"), READS.values(), ids=READS)
def test_a_read_takes_as_few_round_trips_as_this_table_says(
    registry: Registry, trips: list[int], expected: int, call: Call
) -> None:
    """What plans usually ask next comes along with a prompt, and a transaction begins with its first statement."""
    call(registry)
    assert len(trips) == expected


def _reading(registry: Registry, trips: list[int], monkeypatch: pytest.MonkeyPatch, call: Call) -> int:
    """Return how many round trips a call takes until it begins to write."""
    read: list[int] = []
    write = registry._core.storage.write

    def begun() -> Any:
        read.append(len(trips))
        return write()

    monkeypatch.setattr(registry._core.storage, "write", begun)
    call(registry)
    return read[0]


@pytest.mark.parametrize(("expected", "call"), WRITES.values(), ids=WRITES)
def test_a_write_reads_in_as_few_round_trips_as_this_table_says(
    registry: Registry, trips: list[int], monkeypatch: pytest.MonkeyPatch, expected: int, call: Call
) -> None:
    """These come before the two of the write itself, which are the lock, and what is written with the commit."""
    assert _reading(registry, trips, monkeypatch, call) == expected


@pytest.mark.parametrize(("expected", "call"), OF_SEVERAL.values(), ids=OF_SEVERAL)
def test_a_call_about_several_prompts_takes_as_many_as_about_two(
    several: Registry, trips: list[int], monkeypatch: pytest.MonkeyPatch, expected: int, call: Call
) -> None:
    """What is asked of one of the prompts that were found together is read of all of them."""
    if call is OF_SEVERAL["get_many"][1]:
        call(several)
        assert len(trips) == expected
    else:
        assert _reading(several, trips, monkeypatch, call) == expected


def test_an_update_takes_three_round_trips(registry: Registry, trips: list[int]) -> None:
    """One reads, one locks, and one writes and commits."""
    registry.update("a", template="other")
    assert len(trips) == 3


def test_prompts_beyond_those_that_are_read_together_are_read_too(
    several: Registry, monkeypatch: pytest.MonkeyPatch, trips: list[int]
) -> None:
    """Each of them is found with its own versions, some at a time."""
    monkeypatch.setattr("promptreg.storage.postgres.versions.TOGETHER", 3)
    published = several.publish(MANY)
    assert [(prompt.name, prompt.version, prompt.template) for prompt in published] == [(n, 3, "three") for n in MANY]
    assert len(trips) == 1 + 2 * 4 + 2
    assert {prompt.version for prompt in several.rollback(MANY, reason="bad")} == {2}


def test_a_prompt_with_many_drafts_says_that_they_are_several(registry: Registry) -> None:
    """Also where more of them exist than come along with the prompt."""
    for i in range(120):
        registry.update("b", template=f"draft {i}", is_production=False)
    with pytest.raises(ConflictError) as caught:
        registry.publish("b")
    assert caught.value.details["versions"] == list(range(2, 122))


# Looking up


def test_a_look_up_is_what_a_transaction_finds(registry: Registry) -> None:
    """Of one prompt or several, by name or id, with a number, a label or nothing; and with the revision."""
    storage = registry._core.storage
    registry.update("b", template="draft", is_production=False)
    registry.update("b", template="later", is_production=False)
    registry.discard("b", 2)
    references = [Reference("a", is_id=False), Reference(registry.get("b").id, is_id=True), Reference("c", is_id=False)]
    selectors = [None, 1, 2, 3, 4, 2**80, "staging", "production", "latest", "stagin.", "x-y"]
    wanted = [(reference, selector) for reference in references for selector in selectors]
    with storage.read() as reader:
        revision = reader.snapshot.revision
        containers = [reader.find("default", [reference])[0] for reference, _ in wanted]
        expected = []
        for container, (_, selector) in zip(containers, wanted, strict=True):
            number = None if container is None else container.number_of(selector)
            found = (
                [] if container is None or number is None else reader.versions(container, before=number + 1, limit=1)
            )
            expected.append(Lookup(container, found[0] if found and found[0].number == number else None))
    assert storage.look_up("default", wanted) == (revision, expected)
    for pair, single in zip(wanted, expected, strict=True):
        assert storage.look_up("default", [pair]) == (revision, [single])
        assert storage.look_up("other", [pair]) == (revision, [Lookup(None, None)])
    assert storage.look_up("default", []) == (revision, [])


def test_a_discarded_version_is_not_found_and_a_lost_one_is_damage(registry: Registry, postgres_target: str) -> None:
    """A cold read tells the one from the other, by a second read."""
    registry.update("a", template="four", is_production=False)
    registry.discard("a", 4)
    with pytest.raises(VersionNotFoundError):
        registry.get("a@4")
    damage(postgres_target, "DELETE FROM versions WHERE version = 3")
    with Registry(postgres_target) as again, pytest.raises(StorageCorruptError, match="version 3 of the prompt"):
        again.get("a@3")
    with Registry(postgres_target) as again, pytest.raises(StorageCorruptError):
        again.get_many(["a", "a@staging"])


def test_an_interrupt_within_a_look_up_holds_nothing(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """The next call reads as before."""

    def interrupted(*_: object) -> object:
        raise KeyboardInterrupt

    for names in (["a"], ["a", "b"]):
        with monkeypatch.context() as patch:
            patch.setattr("promptreg.storage.postgres.lookups.read_prompt", interrupted)
            with pytest.raises(KeyboardInterrupt):
                registry.get_many([*names])
        assert [prompt.name for prompt in registry.get_many([*names])] == names


# One moment


def test_a_transaction_sees_one_moment(registry: Registry, postgres_target: str) -> None:
    """What another registry commits meanwhile is in none of its reads, whichever it asks first."""
    with Registry(postgres_target) as other, registry._core.storage.read() as reader:
        before = reader.snapshot
        other.update("a", template="new")
        other.create("c", "x")
        (container,) = reader.find("default", [Reference("a", is_id=False)])
        assert container is not None
        assert container.production_version == 2
        assert reader.find("default", [Reference("c", is_id=False)]) == [None]
        assert len(reader.query(Query("default", Audience(sees_all=True), ("active",), 9))) == 3
        assert reader.snapshot == before
    with registry._core.storage.read() as reader:
        assert reader.snapshot.revision == before.revision + 2
        assert reader.snapshot.signature != before.signature


def test_the_stamp_belongs_to_the_snapshot(registry: Registry, postgres_target: str) -> None:
    """Two states with one revision, as after a failover, are not the same snapshot."""
    with registry._core.storage.read() as reader:
        before = reader.snapshot
    damage(postgres_target, "UPDATE registry SET stamp = 'ffffffffffffffff'")
    with registry._core.storage.read() as reader:
        assert reader.snapshot.revision == before.revision
        assert reader.snapshot != before


# Damage


def damage(target: str, statement: str, *values: object) -> None:
    """Change rows as no registry does."""
    with connected(target, UNGUARDED) as connection:
        assert connection.execute(statement, values).rowcount != 0


ANYTHING = ["", "{", "null", "[[[[", '{"staging":99999999999999999999}', "'"]
TEXTS = ["access_grants", "labels", "status", "id", "name", "seed", "synced", "updated_at", "created_by"]
OF_VERSION = [
    "tags",
    "variables",
    "config",
    "template",
    "kind",
    "state",
    "failure",
    "access_grants",
    "examples",
    "name",
]


@pytest.mark.parametrize("column", TEXTS)
def test_a_damaged_column_of_a_prompt_is_never_an_error_of_the_driver(
    registry: Registry, postgres_target: str, column: str
) -> None:
    """Whatever it holds: each call says that it is damaged, or does not see the prompt."""
    for text in ANYTHING:
        if column != "name" or text:
            damage(
                postgres_target,
                f"UPDATE prompts SET {column} = %s WHERE created_at = (SELECT min(created_at) FROM prompts)",
                text,
            )
            _refuses_or_leaves_out(postgres_target)


@pytest.mark.parametrize("column", OF_VERSION)
def test_a_damaged_column_of_a_version_is_never_an_error_of_the_driver(
    registry: Registry, postgres_target: str, column: str
) -> None:
    """Whatever it holds: each call says that it is damaged, or does not see the version."""
    for text in ANYTHING:
        damage(
            postgres_target, f"UPDATE versions SET {column} = %s WHERE prompt = (SELECT min(key) FROM prompts)", text
        )
        _refuses_or_leaves_out(postgres_target)


def _refuses_or_leaves_out(target: str) -> None:
    """Make every kind of read of a prompt that is damaged: none returns it."""
    with Registry(target) as again:
        bob = again.scope(actor=Actor("bob"))
        for call in (
            lambda: again.get("a"),
            lambda: again.get("a@staging"),
            lambda: again.get_many(["b", "a", "a@1"]),
            lambda: again.history("a"),
            lambda: again.publish("a@3"),
            lambda: again.rollback("a", reason="x"),
            lambda: bob.get("a"),
        ):
            with pytest.raises((StorageCorruptError, NotFoundError)):
                call()
        for listed in (
            again.list,
            lambda: again.list(tag="t"),
            lambda: again.list(label="staging"),
            lambda: again.list(label="latest", category=""),
            lambda: again.search("one"),
            lambda: again.search("two", tag="t"),
            bob.list,
            lambda: bob.search("two"),
            bob.namespaces,
        ):
            with suppress(StorageCorruptError):
                assert "a" not in [getattr(item, "name", item) for item in listed()]
        for view in (again, bob):
            with suppress(StorageCorruptError):
                view.events()


@pytest.mark.parametrize("labels", ["{", '{"staging":2}', '{"staging":"1"}', '{"staging":99}', '{"staging":3'])
def test_damaged_labels_are_an_error_of_a_listing_by_label(
    registry: Registry, postgres_target: str, labels: str
) -> None:
    """A row whose labels were changed by other means is never taken for a prompt that has the label."""
    damage(postgres_target, "UPDATE prompts SET labels = %s WHERE name = 'a'", labels)
    with pytest.raises(StorageCorruptError):
        registry.list(label="staging")


@pytest.mark.parametrize("grants", ["", "[", '[["user:bob","read"]', '[["user:bob"]]', '[["user:eve","own"]]', "null"])
def test_damaged_grants_are_an_error_of_an_actors_listing(
    registry: Registry, postgres_target: str, grants: str
) -> None:
    """The prompt is not taken for one that the actor may not read, nor for one that it may."""
    damage(postgres_target, "UPDATE prompts SET access_grants = %s WHERE name = 'a'", grants)
    bob = registry.scope(actor=Actor("bob"))
    for call in (bob.list, lambda: bob.search("two"), bob.events):
        with pytest.raises(StorageCorruptError):
            call()


READ_ALL: dict[str, Call] = {
    "all": lambda r: r.events(),
    "newest first": lambda r: r.events(newest_first=True),
    "of a prompt": lambda r: r.events("a"),
    "of an action": lambda r: [r.events(action=action) for action in ("create", "update", "publish", "set_label")],
    "in pages": lambda r: [r.events(after=after, limit=3) for after in range(0, 12, 3)],
}


@pytest.mark.parametrize("read", READ_ALL.values(), ids=READ_ALL)
@pytest.mark.parametrize("which", ["1", "3", "(SELECT max(seq) FROM events)"])
def test_a_missing_event_is_an_error_of_each_listing_that_reads_past_it(
    registry: Registry, postgres_target: str, read: Call, which: str
) -> None:
    """This holds for the first, one in the middle, and the last."""
    read(registry)
    damage(postgres_target, f"DELETE FROM event_details WHERE seq = {which}")
    damage(postgres_target, f"DELETE FROM events WHERE seq = {which}")
    with pytest.raises(StorageCorruptError, match="event"):
        read(registry)


def test_a_changed_event_and_changed_details_are_errors(registry: Registry, postgres_target: str) -> None:
    """Each is compared with its hash, and with the chain."""
    damage(postgres_target, "UPDATE event_details SET details = '{' WHERE seq = 2")
    with pytest.raises(StorageCorruptError, match="event"):
        registry.events()
    assert len(registry.events(after=2)) > 2
    damage(postgres_target, "UPDATE events SET actor = 'eve' WHERE seq = 5")
    with pytest.raises(StorageCorruptError, match="event"):
        registry.events(after=2)


def test_a_missing_publication_is_an_error_of_a_rollback(registry: Registry, postgres_target: str) -> None:
    """The stack is compared with what the prompt's row says of it."""
    damage(postgres_target, "DELETE FROM publications WHERE depth = 1 AND version = 1 AND prompt = 1")
    with pytest.raises(StorageCorruptError, match="publications"):
        registry.rollback("a", reason="bad")


def test_a_missing_version_is_an_error_of_history_and_a_lost_base_of_its_version(
    registry: Registry, postgres_target: str
) -> None:
    """Nothing was discarded, so each number up to the latest must be there."""
    damage(postgres_target, "DELETE FROM versions WHERE prompt = 1 AND version = 1")
    with pytest.raises(StorageCorruptError, match="version 1 of the prompt"):
        registry.history("a")
    with Registry(postgres_target) as again, pytest.raises(StorageCorruptError, match="version 1 of the prompt"):
        again.get("a")


def test_a_registrys_row_that_is_missing_is_an_error_of_every_read(registry: Registry, postgres_target: str) -> None:
    """Nothing is returned without the revision that it belongs to."""
    damage(postgres_target, "DELETE FROM registry")
    for call in (lambda: registry.get("b"), registry.list, lambda: registry.get_many(["b", "a"])):
        with pytest.raises(StorageCorruptError):
            call()


def test_the_places_of_deleted_prompts_are_checked(registry: Registry, postgres_target: str) -> None:
    """What is no place is damage."""
    registry.delete("b")
    damage(postgres_target, "UPDATE deletions SET synced = '['")
    with registry._core.storage.read() as reader, pytest.raises(StorageCorruptError, match="deletion"):
        reader.synced("default", "folder")
