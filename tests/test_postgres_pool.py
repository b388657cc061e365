"""The connections of a registry in PostgreSQL: how many there are, who uses which, and what a fork does with them."""

import gc
import os
import signal
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from promptreg import Registry, StorageBusyError, StorageError
from tests.conftest import until
from tests.places import PATIENT, listen
from tests.postgres import split_target

pytestmark = pytest.mark.postgres

BUSY = 2.0


@pytest.fixture
def registry(postgres_target: str) -> Iterator[Registry]:
    with Registry(named(postgres_target), busy_timeout=PATIENT) as opened:
        opened.create("greet", "Hello")
        yield opened


def named(target: str) -> str:
    """Return the target with a name by which `connections` finds the connections of its registries."""
    return f"{target}&application_name={split_target(target)[1]}"


def connections(target: str) -> list[int]:
    """Return the processes of the server that serve registries of the target."""
    import psycopg

    url, schema = split_target(target)
    with psycopg.connect(url) as connection:
        rows = connection.execute(
            "SELECT pid FROM pg_stat_activity WHERE application_name = %s ORDER BY 1", (schema,)
        ).fetchall()
    return [pid for (pid,) in rows]


def test_calls_that_follow_one_another_need_two_connections(registry: Registry, postgres_target: str) -> None:
    """One reads, plans and writes; the other one listens."""
    for number in range(5):
        registry.update("greet", template=str(number))
        assert registry.render("greet").text == str(number)
        registry.history("greet")
    listen(registry)  # the server does not list a connection that is still being made
    assert len(connections(postgres_target)) == 2


def test_a_registry_has_four_connections_at_most(registry: Registry, postgres_target: str) -> None:
    """Whatever its threads do at once: two readers, a writer and a listener."""

    def work(number: int) -> None:
        for step in range(10):
            registry.save(f"p{number}", str(step))
            registry.history(f"p{number}")
            registry.list()
            assert registry.get(f"p{number}").template == str(step)

    with ThreadPoolExecutor(12) as threads:
        list(threads.map(work, range(12)))
    listen(registry, "p0")
    assert 2 <= len(connections(postgres_target)) <= 4


@pytest.fixture
def hasty(registry: Registry, postgres_target: str) -> Iterator[Registry]:
    """Another registry of the same schema, which does not wait for long."""
    with Registry(postgres_target, busy_timeout=BUSY) as opened:
        yield opened


def test_threads_that_find_no_free_connection_are_busy_in_time(hasty: Registry) -> None:
    """It is `StorageBusyError` with the reason `busy`."""
    storage: Any = hasty._core.storage
    held, release = threading.Barrier(3), threading.Event()

    def hold() -> None:
        with storage.read() as reader:
            _ = reader.snapshot
            held.wait()
            release.wait()

    holders = [threading.Thread(target=hold) for _ in range(2)]
    for holder in holders:
        holder.start()
    held.wait()
    try:
        with pytest.raises(StorageBusyError, match="use every connection") as caught:
            hasty.history("greet")
        assert caught.value.details == {"reason": "busy", "retry_after": 1.0}
    finally:
        release.set()
        for holder in holders:
            holder.join()
    assert len(hasty.history("greet")) == 1


def test_a_nested_call_is_refused(registry: Registry) -> None:
    """One from a signal handler in the middle of a transaction raises, and the transaction goes on."""
    storage: Any = registry._core.storage
    with storage.read() as reader:
        for call in (lambda: registry.history("greet"), lambda: registry.create("a", "x"), registry.close):
            with pytest.raises(StorageError) as caught:
                call()
            assert caught.value.details["reason"] == "nested"
        assert reader.snapshot.revision == 1
    assert registry.create("a", "x").version == 1


def test_a_transaction_that_was_torn_is_rolled_back_by_the_next_call(registry: Registry) -> None:
    """`release_after` frees what a call holds that runs no more, and its lock is gone."""
    storage: Any = registry._core.storage
    for begin in (storage.read, storage.write):
        transaction = begin()

        def torn(transaction: Any = transaction) -> None:
            transaction.__enter__()

        torn()
        storage.release_after(KeyboardInterrupt())
        assert registry.create(f"p{len(registry.list())}", "x").version == 1
        assert storage._connections._slots[0].handle.is_idle()


def test_closing_ends_every_connection_and_leaves_nothing(postgres_target: str, registry: Registry) -> None:
    """Later calls are `StorageError`; closing twice is fine."""
    registry.list()
    assert registry.render("greet").text == "Hello"
    registry.close()
    registry.close()
    until(lambda: connections(postgres_target) == [])
    for call in (registry.list, lambda: registry.create("a", "x"), lambda: registry.get("greet")):
        with pytest.raises(StorageError) as caught:
            call()
        assert caught.value.details["reason"] == "closed"


def test_closing_waits_for_calls_of_other_threads(registry: Registry) -> None:
    """A transaction that was begun goes on to its end."""
    storage: Any = registry._core.storage
    begun, done = threading.Event(), []

    def read() -> None:
        with storage.read() as reader:
            _ = reader.snapshot
            begun.set()
            time.sleep(0.3)
            done.append(reader.namespaces)

    reader = threading.Thread(target=read)
    reader.start()
    begun.wait()
    registry.close()
    assert len(done) == 1
    reader.join()


def test_a_registry_that_is_dropped_closes_its_connections_without_a_warning(postgres_target: str) -> None:
    """Nobody has to close it."""
    dropped = Registry(f"{postgres_target}&application_name={split_target(postgres_target)[1]}")
    dropped.create("greet", "Hello")
    dropped.history("greet")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        del dropped
        gc.collect()
    until(lambda: connections(postgres_target) == [])


def in_child(work: Callable[[], str]) -> str:
    """Fork, and return what the work returns in the child, which ends as a program does, without `os._exit` before."""
    reading, writing = os.pipe()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        signal.alarm(30)
        try:
            said = work()
        except BaseException as error:
            said = repr(error)
        os.write(writing, said.encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading) as answer:
        said = answer.read()
    os.waitpid(child, 0)
    return said


def test_a_child_has_its_own_connections_and_the_parents_go_on(registry: Registry, postgres_target: str) -> None:
    """Both sides read and write after a fork, the child closes, and the parent's sessions are the same as before."""
    registry.list()
    before = connections(postgres_target)

    def work() -> str:
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            registry.update("greet", template="child's")
            gc.collect()
            own = set(connections(postgres_target)) - set(before)
            registry.close()
            del registry._core.storage._connections
            gc.collect()
        return f"{len(own) >= 1}"

    assert in_child(work) == "True"
    registry.history("greet")
    until(lambda: registry.get("greet").template == "child's")
    assert set(before) <= set(connections(postgres_target))


def test_a_child_keeps_no_connection_of_a_parent_that_has_ended(postgres_target: str, tmp_path: Path) -> None:
    """A child that calls nothing holds no socket of the parent's, so the server notices the parent's end at once."""
    written = tmp_path / "child"

    def end_with_a_child() -> None:
        registry = Registry(named(postgres_target))
        registry.create("greet", "1")
        until(lambda: not registry.get("greet").stale and len(connections(postgres_target)) == 2)
        child = os.fork()
        if child == 0:
            signal.pause()
        written.write_text(str(child))

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        parent = os.fork()
    if parent == 0:
        signal.alarm(30)
        try:
            end_with_a_child()
        finally:
            os._exit(0)
    os.waitpid(parent, 0)
    child = int(written.read_text())
    try:
        until(lambda: connections(postgres_target) == [])
        os.kill(child, 0)
    finally:
        os.kill(child, signal.SIGKILL)


def test_a_fork_beside_busy_threads_disturbs_neither_side(registry: Registry) -> None:
    """Threads go on reading and writing in the parent, while children read and write."""
    stop, failures = threading.Event(), []

    def work(name: str) -> None:
        number = 0
        try:
            while not stop.is_set():
                number += 1
                registry.save(name, str(number))
                assert registry.get(name).template == str(number)
                registry.history(name)
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(f"t{number}",)) for number in range(3)]
    for thread in threads:
        thread.start()
    try:
        answers = [
            in_child(lambda number=number: registry.save(f"c{number}", "x").name)  # type: ignore[misc]
            for number in range(5)
        ]
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert (answers, failures) == ([f"c{number}" for number in range(5)], [])
    assert registry.verify() == []


def test_a_fork_in_the_middle_of_a_call_is_refused_in_the_child_only(registry: Registry) -> None:
    """The parent's transaction goes on; the child's call fails, and its next one works."""
    storage: Any = registry._core.storage

    def work() -> str:
        try:
            registry.list()
        except StorageError as error:
            return str(error.details["reason"])
        return "read"

    with storage.read() as reader:
        assert reader.snapshot.revision == 1

        def go_on() -> str:
            try:
                reader.session.query("SELECT 1")
            except StorageError as error:
                return f"{error.details['reason']}, {work()}"
            return "read the parent's answer"

        assert in_child(go_on) == "fork, read"
        assert reader.session.query("SELECT 1") == [(1,)]
