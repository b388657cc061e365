"""Rules 1, 4 and 6 with concurrent writers: no number repeats, and no write is lost."""

import os
import threading
import warnings
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from multiprocessing import get_context

import pytest

from promptreg import (
    Actor,
    PromptregError,
    Registry,
    VersionConflictError,
)
from tests.refusals import prepare


def write_updates(path: str, who: str, count: int) -> list[int]:
    """Create versions as a separate process would, half of them drafts."""
    with Registry(path, actor=Actor(who, "team_editor"), busy_timeout=60) as registry:
        return [
            registry.update("x", template=f"{who} {i}", commit_message=f"{who} {i}", is_production=i % 2 == 0).version
            for i in range(count)
        ]


def add_ones(path: str, count: int) -> None:
    """Add one to a number in the config, `count` times, each time to the number that was read."""
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
    """Concurrent writers get different numbers, every version exists, and the last one published is live."""
    registry.create("x", "start")
    jobs = {who: pool.submit(write_updates, path, who, 10) for who in ("ana", "bo", "cy", "di")}
    results = {f"{who} {i}": number for who, job in jobs.items() for i, number in enumerate(job.result())}
    assert sorted(results.values()) == list(range(2, 42))
    versions = registry.history("x", limit=100)
    assert {v.template: v.version for v in versions if v.version > 1} == results
    assert all((v.author, v.commit_message) == (v.template.split()[0], v.template) for v in versions if v.version > 1)
    published = [v.version for v in versions if v.state == "published"]
    assert (len(published), registry.get("x").version) == (21, max(published))
    assert [e.version for e in registry.events("x", limit=500) if e.action == "update"] == list(range(2, 42))
    for before in sorted(published[:-1], reverse=True)[1:]:
        assert registry.rollback("x", reason="r").version == before


def test_rule_4_expected_version_loses_no_update(pool, registry, path):
    """No addition is lost if each writer reads, adds one, updates what it read, and retries after a conflict."""
    registry.create("x", "t", config={"n": 0})
    for job in [pool.submit(add_ones, path, 6) for _ in range(4)]:
        job.result()
    assert (registry.get("x").config, registry.get("x").version) == ({"n": 24}, 25)


def test_rule_1_concurrent_saves_create_one_prompt_of_one_version(pool, registry, path):
    """Of many concurrent saves of one prompt all but the first find it equal, and all return the same version."""
    saved = {job.result() for job in [pool.submit(seed, path, who) for who in range(8)]}
    assert saved == {(registry.get("seeded").id, 1)}
    assert [event.action for event in registry.events()] == ["create", "publish"]


def test_rule_4_of_writers_that_expect_the_same_production_one_succeeds(registry):
    """Of eight threads that publish over version 1 at the same time one succeeds, and seven get a conflict."""
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
        results = list(threads.map(publish, numbers))
    (winner,) = [number for number in results if isinstance(number, int)]
    assert registry.get("x").version == winner
    assert [e.details for e in results if e is not winner] == [{"expected": 1, "actual": winner}] * 7


def release(path: str, label: str, count: int) -> set[tuple[int, ...]]:
    """Publish three prompts at a label, `count` times; return the production versions that were seen together."""
    with Registry(path, busy_timeout=60) as registry:
        seen = set()
        for _ in range(count):
            assert len(registry.publish(["x", "y", "z"], label)) == 3
            for prompts in (registry.list(), registry.get_many(["x", "y", "z"])):
                seen.add(tuple(prompt.production_version for prompt in prompts))
        return seen


def test_rule_23_sets_over_the_same_prompts_are_all_or_nothing(pool, registry, path):
    """Whoever publishes at the same time, no reader ever sees some prompts of one set and some of another."""
    for name in ("x", "y", "z"):
        registry.create(name, "red")
        registry.update(name, template="blue")
        for label, version in (("red", 1), ("blue", 2)):
            registry.set_label(name, label, version)
    jobs = [pool.submit(release, path, label, 8) for label in ("red", "blue", "red", "blue")]
    seen = set().union(*(job.result() for job in jobs))
    assert seen == {(1, 1, 1), (2, 2, 2)}
    moves = [(event.name, event.version) for event in registry.events(limit=1000) if event.action == "publish"][6:]
    assert [{version for _, version in moves[i : i + 3]} for i in range(0, len(moves), 3)] == [
        {moves[i][1]} for i in range(0, len(moves), 3)
    ]


def test_rule_23_of_sets_that_expect_the_same_one_is_published(registry):
    """Of eight threads that publish two prompts over their version 1 one succeeds, with both; seven change nothing."""
    for name in ("x", "y"):
        registry.create(name, "start")
        for i in range(8):
            registry.update(name, template=f"t{i}", is_production=False)
    barrier = threading.Barrier(8)

    def publish(number: int) -> int:
        barrier.wait()
        names = ["x", "y"] if number % 2 else ["y", "x"]
        try:
            return registry.publish(names, number, expected_production={"x": 1, "y": 1})[0].version
        except VersionConflictError as error:
            return -(error.details["names"] == names)

    with ThreadPoolExecutor(8) as threads:
        (winner,) = {*threads.map(publish, range(2, 10))} - {-1}
    assert {registry.get("x").version, registry.get("y").version} == {winner}
    assert [event.action for event in registry.events(limit=1000)].count("publish") == 4


def append(path: str, who: str, count: int) -> None:
    """Add a line to the draft, `count` times, each time to the text that was read."""
    with Registry(path, busy_timeout=60) as registry:
        while count:
            read = registry.get("x@2")
            try:
                registry.update("x@2", template=f"{read.template}\n{who}", expected_hash=read.content_hash)
                count -= 1
            except VersionConflictError:
                pass


def test_rule_4_expected_hash_loses_no_edit_of_a_draft(pool, registry, path):
    """No line is lost if each writer reads, adds a line, updates what it read, and retries after a conflict."""
    prepare(registry)
    for job in [pool.submit(append, path, who, 6) for who in ("ana", "bo", "cy", "di")]:
        job.result()
    assert sorted(registry.get("x@2").template.split("\n")) == sorted(["two", *["ana", "bo", "cy", "di"] * 6])


@pytest.mark.parametrize("children", [2, pytest.param(10, marks=pytest.mark.slow)])
def test_forks_while_threads_are_busy_lose_nothing(registry: Registry, children: int) -> None:
    """Each child, forked while threads read and write, writes once, and so does the parent's thread."""
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
    for i in range(children):
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
    assert (codes, failures) == ([0] * children, [])
    assert [v.version for v in history] == list(range(len(history), 0, -1))
    assert sum(v.template.startswith("child") for v in history) == children
