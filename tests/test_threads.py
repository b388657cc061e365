"""One registry in many threads and in an event loop: no error, no lost write, no transaction left open."""

import asyncio
import gc
import math
import os
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager
from typing import Any

import pytest

from promptreg import Actor, NameTakenError, Registry, StorageBusyError
from promptreg.storage.sqlite import event_log
from promptreg.storage.sqlite import storage as sqlite
from promptreg.storage.sqlite.connections import Handle
from promptreg.storage.sqlite.reader import SQLiteReader
from tests.test_storage_sqlite import raw

THREADS = 32
UPDATES = 4
LOCKS = (type(threading.Lock()), type(threading.RLock()))


@pytest.fixture(params=["file", pytest.param("memory", marks=pytest.mark.sqlite)])
def shared(request: pytest.FixtureRequest, path: str):
    """A registry in a file, and one in memory."""
    with Registry(path if request.param == "file" else ":memory:", busy_timeout=30) as opened:
        yield opened


def in_threads(count: int, work: Callable[[int], object]) -> list[object]:
    """Do the work in threads that begin at the same time, and return the results; errors are raised."""
    barrier = threading.Barrier(count)

    def begin(number: int) -> object:
        barrier.wait()
        return work(number)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(begin, range(count)))


@pytest.mark.slow
def test_32_threads_of_one_registry_read_and_write(shared: Registry) -> None:
    """Among mixed gets, renders, lists and updates each thread reads what it wrote, and every write is stored."""
    shared.create("shared", "start")
    for number in range(THREADS):
        shared.create(f"own/{number}", "start")

    def work(number: int) -> list[int]:
        versions = []
        for i in range(UPDATES):
            made = shared.update("shared", template=f"{number} {i}")
            versions.append(made.version)
            assert shared.get("shared").version >= made.version
            shared.update(f"own/{number}", template=f"{i} {{{{ a }}}}")
            for _ in range(20):
                assert shared.render(f"own/{number}", a=number).text == f"{i} {number}"
                assert shared.render("shared").version >= made.version
            assert shared.history(f"own/{number}", limit=1)[0].template == f"{i} {{{{ a }}}}"
        assert len(shared.list(limit=100)) == THREADS + 1
        return versions

    results = in_threads(THREADS, work)
    numbers = sorted(number for each in results for number in each)
    versions = shared.history("shared", limit=1000)
    assert numbers == list(range(2, THREADS * UPDATES + 2))
    assert {version.template for version in versions} == {
        "start",
        *(f"{number} {i}" for number in range(THREADS) for i in range(UPDATES)),
    }
    assert [shared.get(f"own/{number}").version for number in range(THREADS)] == [UPDATES + 1] * THREADS


def test_threads_that_switch_at_every_step_never_share_a_transaction(shared: Registry) -> None:
    """With the shortest switch interval, no write is seen before it is complete, and a refused one never."""
    shared.create("taken", "taken")
    shared.create("pair", "0", config={"template": "0"})
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)

    def write(number: int) -> None:
        for i in range(10):
            text = f"{number} {i}"
            with pytest.raises(NameTakenError):
                shared.update("pair", template="refused", config={"template": "refused"}, new_name="taken")
            shared.update("pair", template=text, config={"template": text})

    def read(_: int) -> None:
        last = 0
        for _ in range(300):
            prompt = shared.get("pair")
            assert prompt.template == prompt.config["template"] != "refused"
            assert prompt.version >= last
            last = prompt.version

    try:
        in_threads(8, lambda number: (write if number % 2 else read)(number))
    finally:
        sys.setswitchinterval(before)
    assert shared.get("pair").version == 41


def test_ended_threads_leave_no_connection_open(shared: Registry, path: str) -> None:
    """After 50 threads that each wrote and ended, all writes are stored, and closing removes the log."""
    shared.create("shared", "start")
    for number in range(50):
        thread = threading.Thread(target=lambda number=number: shared.update("shared", template=str(number)))
        thread.start()
        thread.join()
    assert shared.get("shared").version == 51
    shared.close()
    assert not os.path.exists(f"{path}-wal")


@contextmanager
def reached(patch: pytest.MonkeyPatch, room: object, name: str, *, is_held: bool = False) -> Iterator[threading.Event]:
    """Yield an event that is set when a thread calls this function; `is_held` blocks it there until the block ends."""
    original, comes, goes = getattr(room, name), threading.Event(), threading.Event()

    def begun(*args: Any, **more: Any) -> Any:
        comes.set()
        if is_held:
            goes.wait()
        return original(*args, **more)

    with patch.context() as within:
        within.setattr(room, name, begun)
        try:
            yield comes
        finally:
            goes.set()


@pytest.mark.sqlite
def test_cached_reads_do_not_wait_for_a_thread_that_waits_to_write(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a thread waits for SQLite's lock, other threads' cached reads return."""
    with Registry(path, busy_timeout=60) as registry, closing(raw(path)) as holder, ThreadPoolExecutor(1) as pool:
        registry.create("greet", "Hello")
        registry.render("greet")
        holder.execute("BEGIN IMMEDIATE")
        with reached(monkeypatch, sqlite.SQLiteStorage, "_tried") as waits:
            writing = pool.submit(registry.update, "greet", template="Hi")
            assert waits.wait(60)
        for _ in range(1_000):
            assert registry.render("greet").text == registry.get("greet").template == "Hello"
        assert not writing.done()
        holder.execute("ROLLBACK")
        assert writing.result(60).version == 2


def locks_of(*roots: object) -> list[Any]:
    """Return every lock that is reachable from an object through objects, classes and containers of promptreg."""
    locks, seen, ahead = [], set(), list(roots)
    while ahead:
        each = ahead.pop()
        kind = each if isinstance(each, type) else type(each)
        if id(each) in seen:
            continue
        seen.add(id(each))
        if isinstance(each, LOCKS):
            locks.append(each)
        elif isinstance(each, (dict, list, tuple, set)) or kind.__module__.startswith(("promptreg", "threading")):
            ahead += gc.get_referents(each)
    return locks


@pytest.mark.sqlite
def test_cached_reads_take_no_lock(shared: Registry) -> None:
    """`get` and `render` return while every lock of the registry and of its modules is held."""
    view = shared.scope(actor=Actor("ana", "org_admin"))
    reads: list[Callable[[], object]] = [
        lambda: shared.get("greet").template,
        lambda: shared.get("greet@production").template,
        lambda: shared.get("greet", version=1).template,
        lambda: shared.render("greet").text,
        lambda: view.get("greet").template,
        lambda: view.render("greet").text,
    ]
    shared.create("greet", "Hello")
    assert {read() for read in reads} == {"Hello"}
    shared._core.cache.generation.until = math.inf  # because the check every 50 ms takes some
    modules = [vars(module) for name, module in sys.modules.items() if name.startswith("promptreg")]
    connections = shared._core.storage._connections  # type: ignore[attr-defined]
    locks = locks_of(shared, *modules)
    assert {slot._lock for slot in connections._all} < set(locks)
    results: list[object] = []
    reading = threading.Thread(target=lambda: results.extend(read() for read in reads), daemon=True)
    with ExitStack() as held:
        for lock in locks:
            held.enter_context(lock)
        reading.start()
        reading.join(30)
        assert results == ["Hello"] * len(reads)


@pytest.mark.sqlite
def test_a_thread_that_ends_with_an_error_has_its_connection_closed(path: str) -> None:
    """A kept error keeps frames in a cycle, but the connection is closed explicitly (Python 3.13 warns otherwise)."""
    with Registry(path, busy_timeout=0) as registry, closing(raw(path)) as holder:
        registry.create("greet", "Hello")
        holder.execute("BEGIN IMMEDIATE")

        def write() -> None:
            with pytest.raises(StorageBusyError) as caught:
                registry.update("greet", template="Hi")
            caught.value.__dict__["kept"] = caught

        with warnings.catch_warnings(record=True) as recorded:
            warnings.simplefilter("always")
            for _ in range(4):
                thread = threading.Thread(target=write)
                thread.start()
                thread.join()
            gc.collect()
    assert [str(warning.message) for warning in recorded] == []


# asyncio


def assert_no_transaction_is_open(path: str) -> None:
    """Assert that another registry can write, at the latest when the running call ends."""
    with Registry(path, busy_timeout=30) as other:
        other.save("probe", f"at {time.monotonic_ns()}")


@pytest.mark.sqlite
def test_writing_from_an_event_loop(registry: Registry) -> None:
    """All writes of `asyncio.to_thread` are stored while the loop reads."""
    registry.create("greet", "0")

    async def run() -> list[int]:
        writes = [
            asyncio.create_task(asyncio.to_thread(registry.update, "greet", template=str(i))) for i in range(1, 21)
        ]
        while not all(write.done() for write in writes):
            registry.render("greet")
            await asyncio.sleep(0)
        return [write.result().version for write in writes]

    assert sorted(asyncio.run(run())) == list(range(2, 22))


MOMENTS = {
    "plan": (SQLiteReader, "find"),
    "begin": (sqlite.SQLiteStorage, "_tried"),
    "write": (event_log, "append"),
    "commit": (Handle, "roll_back"),
}


@pytest.mark.sqlite
@pytest.mark.parametrize("moment", MOMENTS)
def test_a_cancelled_task_leaves_no_transaction(path: str, moment: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a task was cancelled at this point of its write, its thread completes the write, and others can write."""
    with Registry(path, busy_timeout=30) as registry:
        registry.create("greet", "start", config={"n": "start"})

        async def run() -> None:
            with reached(monkeypatch, *MOMENTS[moment], is_held=True) as comes:
                write = asyncio.to_thread(registry.update, "greet", template="new", config={"n": "new"})
                task = asyncio.create_task(write)
                assert await asyncio.to_thread(comes.wait, 60)
                assert task.cancel()
                with pytest.raises(asyncio.CancelledError):
                    await task
            await asyncio.to_thread(assert_no_transaction_is_open, path)

        asyncio.run(run())  # which waits for the thread
        assert [(v.version, v.template, v.config["n"]) for v in registry.history("greet")] == [
            (2, "new", "new"),
            (1, "start", "start"),
        ]
        assert registry.update("greet", template="last").version == 3


@pytest.mark.sqlite
def test_a_task_cancelled_while_it_waits_for_the_lock_leaves_no_transaction(path: str) -> None:
    """Its thread writes when it gets the lock, unless the busy timeout is over; others can write after it."""
    with Registry(path, busy_timeout=60) as registry, closing(raw(path)) as holder:
        registry.create("greet", "start")
        begun: list[int] = []

        def write(number: int) -> None:
            begun.append(number)
            registry.update("greet", template=str(number))

        async def run() -> None:
            holder.execute("BEGIN IMMEDIATE")
            tasks = [asyncio.create_task(asyncio.to_thread(write, number)) for number in range(4)]
            while len(begun) < len(tasks):
                await asyncio.sleep(0)
            for task in tasks:
                assert task.cancel()
            ended = await asyncio.gather(*tasks, return_exceptions=True)
            assert [type(each) for each in ended] == [asyncio.CancelledError] * 4
            with Registry(path, busy_timeout=0.1) as hasty, pytest.raises(StorageBusyError):
                await asyncio.to_thread(hasty.update, "greet", template="late")
            holder.execute("ROLLBACK")
            await asyncio.to_thread(assert_no_transaction_is_open, path)

        asyncio.run(run())  # which waits for the threads
        assert {version.template for version in registry.history("greet")} == {"start", "0", "1", "2", "3"}
        assert registry.update("greet", template="last").version == 6
