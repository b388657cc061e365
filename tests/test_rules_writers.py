"""Rules 1, 4, 6 and 9 under many writers at once: nothing repeats, nothing is lost, nothing goes live unchecked."""

import os
import threading
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context

import pytest

from promptreg import (
    Actor,
    NameTakenError,
    NotModifiableError,
    Prompt,
    PromptregError,
    PublishCheckError,
    Registry,
    VersionConflictError,
    VersionNotFoundError,
)
from promptreg.storage.sqlite import SQLiteStorage
from tests.refusals import stand


def write_updates(path: str, who: str, count: int) -> list[int]:
    """Make versions as a process of its own would: half of them drafts."""
    with Registry(path, actor=Actor(who, "team_editor"), busy_timeout=60) as registry:
        return [
            registry.update("x", template=f"{who} {i}", commit_message=f"{who} {i}", is_production=i % 2 == 0).version
            for i in range(count)
        ]


def add_ones(path: str, count: int) -> None:
    """Add one to a number in the config, count times, each over what was read."""
    with Registry(path, busy_timeout=60) as registry:
        while count:
            read = registry.get("x")
            try:
                registry.update("x", config={"n": read.config["n"] + 1}, expected_version=read.version)
                count -= 1
            except VersionConflictError:
                pass


def seed(path: str, who: int) -> tuple[str, int]:
    """Save the same prompt as all the others do."""
    with Registry(path, busy_timeout=60) as registry:
        saved = registry.save("seeded", "one {{ a }}", tags=["t"], examples=[{"a": who - who}])
        return saved.id, saved.version


@pytest.fixture(scope="module", params=["threads", "processes"])
def pool(request):
    """Four workers: threads, or processes that share nothing with this one."""
    if request.param == "threads":
        with ThreadPoolExecutor(4) as workers:
            yield workers
    else:
        with ProcessPoolExecutor(4, mp_context=get_context("spawn")) as workers:
            yield workers


def test_rule_6_concurrent_writers_lose_nothing_and_repeat_no_number(pool, registry, path):
    """Of writers at once each gets numbers of its own, every version is there, and the last published is live."""
    registry.create("x", "start")
    jobs = {who: pool.submit(write_updates, path, who, 10) for who in ("ana", "bo", "cy", "di")}
    given = {f"{who} {i}": number for who, job in jobs.items() for i, number in enumerate(job.result())}
    assert sorted(given.values()) == list(range(2, 42))
    versions = registry.history("x", limit=100)
    assert {v.template: v.version for v in versions if v.version > 1} == given
    assert all((v.author, v.commit_message) == (v.template.split()[0], v.template) for v in versions if v.version > 1)
    published = [v.version for v in versions if v.state == "published"]
    assert (len(published), registry.get("x").version) == (21, max(published))
    assert [e.version for e in registry.events("x", limit=500) if e.action == "update"] == list(range(2, 42))
    for before in sorted(published[:-1], reverse=True)[1:]:
        assert registry.rollback("x", reason="r").version == before


def test_rule_4_expected_version_loses_no_update(pool, registry, path):
    """Read, add one, and update over what was read, again when somebody was faster: no addition is lost."""
    registry.create("x", "t", config={"n": 0})
    for job in [pool.submit(add_ones, path, 6) for _ in range(4)]:
        job.result()
    assert (registry.get("x").config, registry.get("x").version) == ({"n": 24}, 25)


def test_rule_1_seeding_at_once_makes_one_prompt_of_one_version(pool, registry, path):
    """Many savers of one prompt find it equal but for the first, and all are given the same version."""
    saved = {job.result() for job in [pool.submit(seed, path, who) for who in range(8)]}
    assert saved == {(registry.get("seeded").id, 1)}
    assert [event.action for event in registry.events()] == ["create", "publish"]


def test_rule_4_of_those_who_expect_the_same_production_one_wins(registry):
    """Eight threads publish over version 1 at the same moment: one does, seven are told of it."""
    registry.create("x", "start")
    numbers = [registry.update("x", template=f"t{i}", is_production=False).version for i in range(8)]
    barrier = threading.Barrier(8)

    def publish(number: int) -> int | VersionConflictError:
        barrier.wait()
        try:
            return registry.publish("x", number, expected_production=1).version
        except VersionConflictError as error:
            return error

    with ThreadPoolExecutor(8) as threads:
        given = list(threads.map(publish, numbers))
    (winner,) = [number for number in given if isinstance(number, int)]
    assert registry.get("x").version == winner
    assert [e.details for e in given if e is not winner] == [{"expected": 1, "actual": winner}] * 7


# While checks run


def overtaking(path: str, change: Callable[[Registry], object], reason: str | None = None) -> Registry:
    """Give a registry during whose checks another one makes a change; its check fails when there is a reason."""

    def check(prompt: Prompt) -> None:
        with Registry(path) as other:
            change(other)
        if reason is not None:
            raise ValueError(reason)

    return Registry(path, publish_checks=[check])


@pytest.mark.parametrize("reason", [None, "bad"])
def test_rule_9_an_edit_during_the_checks_is_a_conflict(registry, path, reason):
    """A draft that is edited while it is checked is neither published nor marked failed."""
    stand(registry)
    with overtaking(path, lambda r: r.update("x@2", title="Other"), reason) as slow:
        with pytest.raises(VersionConflictError):
            slow.publish("x", 2)
        assert (slow.get("x").version, slow.get("x@2").state, slow.get("x@2").title) == (1, "draft", "Other")
        assert slow.events("x")[-1].action == "edit"


@pytest.mark.parametrize(
    ("change", "call", "error"),
    [
        (lambda r: r.update("x", title="Other"), lambda r: r.update("x", template="three"), VersionConflictError),
        (
            lambda r: r.update("x", title="Other"),
            lambda r: r.update("x", template="three", expected_version=1),
            VersionConflictError,
        ),
        (
            lambda r: r.update("x", title="Other"),
            lambda r: r.publish("x", 2, expected_production=1),
            VersionConflictError,
        ),
        (lambda r: r.archive("x"), lambda r: r.publish("x", 2), NotModifiableError),
        (lambda r: r.create("y", "one"), lambda r: r.update("x", new_name="y"), NameTakenError),
        (lambda r: r.create("y", "one"), lambda r: r.create("y", "two"), NameTakenError),
        (
            lambda r: (r.remove_label("x", "staging"), r.discard("x", 2)),
            lambda r: r.publish("x", 2),
            VersionNotFoundError,
        ),
    ],
)
def test_rule_9_what_changed_during_the_checks_is_compared_again(registry, path, change, call, error):
    """What a check let through is refused when the prompt has become another, and only the other's change is there."""
    stand(registry)
    with Registry(path) as twin, overtaking(path, change) as slow:
        with pytest.raises(error):
            call(slow)
        assert [v.title for v in twin.history("x")].count("Other") <= 1
        assert "three" not in [v.template for v in twin.history("x")]
        assert twin.get("x@production").template == "one"


@pytest.mark.parametrize(
    "call",
    [
        lambda r: r.update("x", template="three"),
        lambda r: r.update("x", template="three", expected_version=1),
        lambda r: r.publish("x", 2, expected_production=1),
    ],
)
def test_rule_9_an_overtaken_write_says_what_it_was_made_against_and_what_is_there(registry, path, call):
    """The details are the live version's numbers: the one that was read, and the one that is live by now."""
    stand(registry)
    with overtaking(path, lambda r: r.update("x", title="Other")) as slow:
        with pytest.raises(VersionConflictError) as caught:
            call(slow)
        assert caught.value.details == {"expected": 1, "actual": 3}
        assert slow.get("x").version == 3


def test_rule_9_examples_that_arrive_meanwhile_are_checked_too(registry, path, monkeypatch):
    """An update is not put live over examples, stored by another writer since it was planned, that it fails."""
    registry.create("x", "Hello")
    write = SQLiteStorage.write

    def overtaken(storage):
        monkeypatch.setattr(SQLiteStorage, "write", write)
        with Registry(path) as other:
            other.update("x", examples=[{}])
        return write(storage)

    monkeypatch.setattr(SQLiteStorage, "write", overtaken)
    with pytest.raises((PublishCheckError, VersionConflictError)):
        registry.update("x", template="Hello {{ n }}")
    assert (registry.get("x").version, registry.get("x").template) == (2, "Hello")


def test_forks_while_threads_are_busy_lose_nothing(registry: Registry) -> None:
    """Ten children forked while threads read and write: each writes once, and so does the parent's thread."""
    registry.create("shared", "0")
    stop, failures = threading.Event(), []

    def work(*, writes: bool) -> None:
        while not stop.is_set():
            try:
                registry.render("shared")
                if writes:
                    registry.update("shared", template=f"parent {registry.get('shared').latest_version}")
            except PromptregError as error:
                failures.append(error)

    threads = [threading.Thread(target=work, kwargs={"writes": i == 0}) for i in range(3)]
    for thread in threads:
        thread.start()
    codes = []
    for i in range(10):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            child = os.fork()
        if child == 0:
            try:
                registry.update("shared", template=f"child {i}")
                os._exit(0)
            finally:
                os._exit(1)
        codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
    stop.set()
    for thread in threads:
        thread.join()
    history = registry.history("shared", limit=10_000)
    assert (codes, failures) == ([0] * 10, [])
    assert [v.version for v in history] == list(range(len(history), 0, -1))
    assert sum(v.template.startswith("child") for v in history) == 10
