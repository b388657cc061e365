"""Locks whose call has ended without releasing them, as after an interrupt within the clean-up of another one.

The thread of that call may be idle or have ended. Other threads that wait for the lock take it over, each lock once,
and never that of a call that runs.
"""

import os
import random
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path

import pytest

from promptreg import Registry
from promptreg.storage.compat import may_be_running, owner_of
from promptreg.storage.deadlines import Deadline
from promptreg.storage.slots import CallLock, acquire_any
from promptreg.storage.sqlite import forks
from promptreg.storage.sqlite.forks import FORKS
from promptreg.storage.sqlite.queue import WriterQueue
from promptreg.storage.sqlite.storage import SQLiteStorage
from tests.bytecodes import VERBS, At, SoftTimeLimitExceeded, in_thread, places_of
from tests.conftest import holds_anything
from tests.test_slots import FILES


@pytest.fixture(params=["idle", "ended"])
def leave(request: pytest.FixtureRequest) -> Iterator[Callable[[Callable[[], object]], None]]:
    """Return a function that makes a call in another thread, which is idle afterwards, or ends."""
    over, threads = threading.Event(), []

    def run(call: Callable[[], object], done: threading.Event) -> None:
        call()
        done.set()
        if request.param == "idle":
            over.wait()

    def left(call: Callable[[], object]) -> None:
        done = threading.Event()
        threads.append(threading.Thread(target=run, args=(call, done)))
        threads[-1].start()
        assert done.wait(30)
        if request.param == "ended":
            threads[-1].join()

    yield left
    over.set()
    for thread in threads:
        thread.join()


def in_the_middle_of_a_write(registry: Registry) -> None:
    """Return with the queue, every slot, and a transaction of the first one left as an interrupted write does."""
    storage = registry._core.storage
    queue: WriterQueue | None = storage._queue  # type: ignore[attr-defined]
    frame = sys._getframe()
    if queue is not None:
        assert queue.acquire(frame)
        queue._ticket = queue._enter(Deadline(5))
    for slot in storage._connections._all:  # type: ignore[attr-defined]
        assert slot.acquire(frame)
    first = storage._connections._all[0]  # type: ignore[attr-defined]
    first.handle.connection.execute("BEGIN IMMEDIATE")
    first.handle.connection.execute("UPDATE registry SET revision = revision + 100")


def forked(registry: Registry) -> int:
    """Return the exit code of a child that writes."""
    child = os.fork()
    if child == 0:
        os._exit(0 if registry.update("greet", template="child").version == 2 else 1)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


AFTERWARDS: dict[str, Callable[[Registry], object]] = {
    "read": lambda registry: len(registry.history("greet")),
    "write": lambda registry: registry.update("greet", template="Hi").version,
    "fork": forked,
    "close": lambda registry: registry.close(),
}


@pytest.mark.parametrize("verb", AFTERWARDS)
@pytest.mark.parametrize("is_file", [True, False])
def test_what_another_thread_has_abandoned_blocks_nobody(
    path: str, is_file: bool, verb: str, leave: Callable[[Callable[[], object]], None]
) -> None:
    """Reads, writes, forks and closing wait for nothing, and what the abandoned write had done is rolled back."""
    registry = Registry(path if is_file else ":memory:", busy_timeout=0)
    registry.create("greet", "Hello")
    revision = in_thread(lambda: revision_of(registry))
    leave(lambda: in_the_middle_of_a_write(registry))
    given = in_thread(lambda: AFTERWARDS[verb](registry))
    assert given == {"read": 1, "write": 2, "fork": 0, "close": None}[verb]
    if verb == "read":
        assert revision_of(registry) == revision
    registry.close()


def revision_of(registry: Registry) -> int:
    storage = registry._core.storage
    assert isinstance(storage, SQLiteStorage)
    with storage.read() as reader:
        return reader.revision


def test_a_write_is_not_blocked_by_the_transaction_of_an_abandoned_slot(
    registry: Registry, leave: Callable[[Callable[[], object]], None]
) -> None:
    """Its own slot and the queue are free, so that SQLite alone reports that the file is locked.

    The write rolls that transaction back, because otherwise it would raise `StorageBusyError` at its timeout.
    """
    registry.create("greet", "Hello")
    first = registry._core.storage._connections._all[0]  # type: ignore[attr-defined]

    def begin() -> None:
        assert first.acquire(sys._getframe())
        first.handle.connection.execute("BEGIN IMMEDIATE")

    leave(begin)
    assert registry.update("greet", template="Hi").version == 2


def test_an_abandoned_opening_or_fork_blocks_no_fork(leave: Callable[[Callable[[], object]], None]) -> None:
    def take() -> None:
        for lock in (FORKS._forking, *FORKS._opening):
            assert lock.acquire(sys._getframe())

    def fork() -> int:
        child = os.fork()
        if child == 0:
            os._exit(3)
        return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])

    leave(take)
    assert in_thread(fork) == 3


@pytest.mark.parametrize("torn", ["acquire", "release"])
def test_a_lock_abandoned_before_or_after_its_frame_is_known_is_taken_over(
    torn: str, leave: Callable[[Callable[[], object]], None]
) -> None:
    """An interrupt within acquiring or releasing leaves the lock held and the frame unset."""
    lock = CallLock()
    leave(lock._lock.acquire if torn == "acquire" else lambda: unreleased(lock))
    here = sys._getframe()
    assert acquire_any([lock], here, lambda: 5.0) is lock
    assert lock.is_entered()
    lock.release_after(here)


def unreleased(lock: CallLock) -> None:
    assert lock.acquire(sys._getframe())
    lock.frame = None


def test_a_lock_that_is_replaced_while_it_is_acquired_is_not_held() -> None:
    """The thread that replaces it has seen no frame yet, and holds the new one."""
    lock, here = CallLock(), sys._getframe()
    old = lock._lock

    class Replaced:
        def acquire(self, timeout: float) -> bool:
            lock.renew()
            return old.acquire(timeout=timeout)

        def release(self) -> None:
            old.release()

    lock._lock = Replaced()  # type: ignore[assignment]
    assert not lock.acquire(here, 0.1)
    assert lock.frame is None
    assert in_thread(lambda: old.acquire(timeout=0)) is True
    assert lock.acquire(here, 0.1)
    lock.release_after(here)


def reconnect_and_write(registry: Registry, template: str) -> int:
    """Take every slot, as forking and closing do, and write."""
    storage = registry._core.storage
    assert isinstance(storage, SQLiteStorage)
    storage._connections.reconnect()
    return registry.update("greet", template=template).version


@pytest.mark.parametrize("places_tried", [25, pytest.param(60, marks=pytest.mark.slow)])
@pytest.mark.parametrize("verb", VERBS)
def test_an_interrupt_of_the_cleanup_after_another_blocks_no_other_thread(
    path: str, verb: str, places_tried: int, destructors_may_be_interrupted: list[type[BaseException]]
) -> None:
    """A second signal comes soon after the first one; the interrupted thread makes no call until another one has."""
    left = 0

    def again(*_: object) -> None:
        raise SoftTimeLimitExceeded

    def twice() -> None:
        signal.setitimer(signal.ITIMER_REAL, random.random() * 0.00006 + 1e-6)
        raise SoftTimeLimitExceeded

    before = signal.signal(signal.SIGALRM, again)
    try:
        with Registry(path) as registry:
            registry.create("greet", "Hello")
            for each in VERBS:
                places_of(each, registry, FILES)
            places = places_of(verb, registry, FILES)
            for number in random.sample(range(places), places_tried):
                with suppress(SoftTimeLimitExceeded):
                    try:
                        At(number, twice, FILES).run(partial(VERBS[verb], registry, number))
                    finally:
                        signal.setitimer(signal.ITIMER_REAL, 0)
                left += holds_anything(registry)
                version = in_thread(partial(reconnect_and_write, registry, f"then {number}"))
                assert isinstance(version, int), version
            assert registry.get("greet").version == version
            versions = registry.history("greet", limit=100_000)
            assert [each.version for each in versions] == list(range(len(versions), 0, -1))
    finally:
        signal.signal(signal.SIGALRM, before)
    print(left, "left held by their thread")


@pytest.mark.slow
@pytest.mark.slow
def test_the_lock_of_a_call_that_runs_is_never_taken_over() -> None:
    """However deep the call is in generators, which are resumed and suspended at any moment."""
    lock, over, held = CallLock(), threading.Event(), threading.Event()

    def numbers(depth: int) -> Iterator[int]:
        if depth:
            yield from numbers(depth - 1)
        else:
            yield from range(50)

    def call() -> None:
        here = sys._getframe()
        while not over.is_set():
            assert lock.acquire(here, 5)
            held.set()
            assert sum(sum(1 for _ in numbers(20)) for _ in range(20)) == 1_000
            assert lock.is_held()
            lock.release_after(here)

    failed: list[BaseException] = []

    def run() -> None:
        try:
            call()
        except BaseException as error:
            failed.append(error)

    before = sys.getswitchinterval()
    thread = threading.Thread(target=run)
    try:
        sys.setswitchinterval(1e-6)
        thread.start()
        assert held.wait(30)
        end = time.monotonic() + 1
        while time.monotonic() < end:
            lock.release_abandoned()
    finally:
        sys.setswitchinterval(before)
        over.set()
        thread.join()
    assert failed == []


@pytest.mark.slow
def test_an_abandoned_lock_is_taken_over_by_one_of_many_that_wait() -> None:
    """At each moment one call holds the lock, though each abandons it and many wait for it."""
    lock, inside, most, uses = CallLock(), [0], [0], [0]
    end = time.monotonic() + 1

    def abandon() -> None:
        taken = acquire_any([lock], sys._getframe(), lambda: 5.0)
        assert taken is lock
        inside[0] += 1
        most[0] = max(most[0], inside[0])
        uses[0] += 1
        inside[0] -= 1

    def run() -> None:
        while time.monotonic() < end:
            abandon()
            time.sleep(0.0001)
            lock.release_abandoned()

    before = sys.getswitchinterval()
    threads = [threading.Thread(target=run) for _ in range(6)]
    try:
        sys.setswitchinterval(1e-6)
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
    finally:
        sys.setswitchinterval(before)
    assert not any(thread.is_alive() for thread in threads)
    assert most == [1]
    assert uses[0] > len(threads)
    assert acquire_any([lock], sys._getframe(), lambda: 5.0) is lock


def test_the_owner_of_a_lock_and_the_stack_of_another_thread_are_shown() -> None:
    """Python's private names that this relies on exist."""
    lock, me = threading.RLock(), threading.get_ident()
    assert owner_of(lock) is None
    assert owner_of(object()) is None
    with lock:
        with lock:
            assert owner_of(lock) == me
        assert in_thread(lambda: owner_of(lock)) == me
    here = sys._getframe()
    assert in_thread(lambda: may_be_running(here, frozenset(), me)) is True
    assert in_thread(lambda: may_be_running(None, frozenset({here.f_code}), me)) is True
    assert in_thread(lambda: may_be_running(None, frozenset(), me)) is False
    assert may_be_running(here, frozenset(), -1) is False


def test_opening_in_the_middle_of_a_call_does_not_wait_for_ever_for_a_fork(
    path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A handler or finaliser may open a registry in a call whose slot the fork of another thread waits for."""
    monkeypatch.setattr(forks, "LONGEST_FORK", 0.2)

    def fork() -> None:
        child = os.fork()
        if child == 0:
            os._exit(0)
        os.waitpid(child, 0)

    with Registry(path) as registry:
        forking = threading.Thread(target=fork, daemon=True)
        with registry._core.storage.read():
            forking.start()
            while FORKS._opening[-1].frame is None:
                time.sleep(0.001)
            Registry(str(tmp_path / "other.db")).close()
        forking.join(30)
        assert not forking.is_alive()
        assert registry.create("greet", "Hello").version == 1
