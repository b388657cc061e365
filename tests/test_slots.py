"""The slots of connections: no slot remains held after an exception, wherever between two bytecodes it is raised.

Between two bytecodes of the code that acquires, uses and releases slots an exception is raised or a call is made, once
at each place (`tests/bytecodes.py`).
"""

import random
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager, suppress
from types import FrameType

import pytest

from promptreg import Registry, StorageBusyError, StorageError
from promptreg.storage.compat import calling_frame, is_running, ownership
from promptreg.storage.slots import CallLock, Slot, acquire_any, require_outside
from promptreg.storage.sqlite import pool
from promptreg.storage.sqlite.storage import SQLiteStorage
from tests.bytecodes import (
    VERBS,
    SoftTimeLimitExceeded,
    Traced,
    assert_raising_leaves_nothing_held,
    chosen,
    in_thread,
    places_of,
    refusals_of_nested_calls,
)

WING = ("storage/slots", "sqlite/pool", "sqlite/queue", "sqlite/storage")
FILES = ("contextlib.py", "storage/compat.py", *(f"{name}.py" for name in WING))


# The lock


@contextmanager
def outer() -> Iterator[FrameType]:
    with inner() as frame:
        yield frame


@contextmanager
def inner() -> Iterator[FrameType]:
    yield calling_frame()


def test_the_private_names_of_python_exist() -> None:
    """A lock shows which thread owns it; frames show whose `with` a context manager is in, and which functions run."""
    lock = threading.RLock()
    is_owned = ownership(lock)
    assert not is_owned()
    with lock:
        assert is_owned()
        assert in_thread(is_owned) is False
    here = sys._getframe()
    with outer() as frame, ExitStack() as stack:
        assert frame is here
        assert stack.enter_context(outer()) is here
    assert is_running(here, frozenset())
    assert not is_running(None, frozenset())
    assert in_thread(lambda: is_running(here, frozenset())) is False


def take(lock: CallLock) -> None:
    """Acquire the lock in a call that ends without releasing it, like an interrupted one."""
    assert lock.acquire(sys._getframe())


def test_a_lock_of_a_call_that_runs_is_kept_and_an_abandoned_one_is_released() -> None:
    lock = CallLock()
    take(lock)
    assert (lock.is_held(), lock.is_entered()) == (True, False)
    require_outside([lock])
    assert not lock.is_held()
    assert lock.acquire(sys._getframe())
    with pytest.raises(StorageError, match="middle of another call"):
        require_outside([lock])
    lock.release_abandoned()
    assert in_thread(lambda: lock.acquire(sys._getframe())) is False
    lock.release_after(sys._getframe())
    assert in_thread(lambda: lock.acquire(sys._getframe())) is True


def test_a_later_call_keeps_its_lock_when_an_earlier_one_ends() -> None:
    """It does so even though the frames of an interrupted call are kept with its error and freed later."""
    lock, earlier = CallLock(), take.__code__
    with suppress(StorageError):
        take(lock)
    frame = lock.frame
    assert frame is not None
    assert frame.f_code is earlier
    lock.release_abandoned()
    assert lock.acquire(sys._getframe())
    lock.release_after(frame)
    assert lock.is_held()


def test_a_slot_found_in_a_transaction_is_rolled_back_before_its_next_use(path: str) -> None:
    with Registry(path) as registry:
        registry.create("greet", "Hello")
        slot = registry._core.storage._connections._all[0]  # type: ignore[attr-defined]
        slot.handle.connection.execute("BEGIN IMMEDIATE")
        assert registry.update("greet", template="Hi").version == 2
        assert not slot.handle.connection.in_transaction


def test_the_first_free_slot_is_taken_and_none_is_busy() -> None:
    """Readers beyond the number of slots wait, and time out at their deadline."""
    made, here = [Slot() for _ in range(2)], sys._getframe()
    taken, over = threading.Event(), threading.Event()

    def hold() -> Slot | None:
        slot = acquire_any(made, sys._getframe(), lambda: 0.0)
        taken.set()
        over.wait(30)
        return slot

    with ThreadPoolExecutor(1) as pool:
        assert acquire_any(made, here, lambda: 0.0) is made[0]
        second = pool.submit(hold)
        assert taken.wait(30)
        assert in_thread(lambda: acquire_any(made, sys._getframe(), lambda: 0.01)) is None
        over.set()
        assert second.result(30) is made[1]


def test_a_read_that_finds_every_slot_in_use_times_out(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It raises StorageBusyError after its `busy_timeout`; the calls of other threads are unaffected."""
    monkeypatch.setattr(pool, "LEAST_WAIT", 0.0)
    monkeypatch.setattr(pool, "READERS", 1)
    with Registry(path, busy_timeout=0.05) as registry:
        registry.create("greet", "Hello")
        with registry._core.storage.read() as reader:
            assert reader.revision == 1
            with pytest.raises(StorageBusyError, match="Other threads") as caught:
                raise in_thread(lambda: caught_of(registry.list))
            assert caught.value.details["reason"] == "busy"
        assert len(registry.list()) == 1


def caught_of(call: Callable[[], object]) -> BaseException | None:
    try:
        call()
    except BaseException as error:
        return error
    return None


def test_readers_at_the_same_time_use_several_connections_and_no_more(path: str) -> None:
    """Concurrent readers open at most one connection for each slot; consecutive calls open one."""
    with Registry(path) as registry:
        registry.create("greet", "Hello")
        connections = registry._core.storage._connections  # type: ignore[attr-defined]
        registry.list()
        registry.update("greet", template="Hi")
        assert sum(slot.handle is not None for slot in connections._readers) == 1
        barrier = threading.Barrier(pool.READERS)

        def read() -> None:
            with registry._core.storage.read() as reader:
                barrier.wait(30)
                assert reader.revision == 2

        threads = [threading.Thread(target=read) for _ in range(pool.READERS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(set(connections.open_handles())) <= pool.READERS + 2
        assert sum(slot.handle is not None for slot in connections._readers) == pool.READERS


# Between any two bytecodes


def is_free(registry: Registry) -> bool:
    """Return whether another thread can take every slot, the queue, and the right to open a registry."""
    storage = registry._core.storage
    assert isinstance(storage, SQLiteStorage)

    def take_all() -> bool:
        frame = sys._getframe()
        locks: list[CallLock] = [*storage._connections._all, *pool.FORKS._opening, pool.FORKS._forking]
        if storage._queue is not None:
            locks.append(storage._queue)
        taken = [lock for lock in locks if lock.acquire(frame, 5)]
        for lock in taken:
            lock.release()
        return len(taken) == len(locks)

    return in_thread(take_all) is True


TRACED = Traced(FILES, is_free)


def places(verb: str, registry: Registry, request: pytest.FixtureRequest) -> list[int]:
    return chosen(places_of(verb, registry, FILES), request, 60)


@pytest.fixture(params=["file", "memory"])
def shared(request: pytest.FixtureRequest, path: str) -> Iterator[Registry]:
    """A registry in a file, and one in memory, on which each call was made once."""
    with Registry(path if request.param == "file" else ":memory:") as registry:
        registry.create("greet", "Hello")
        for verb in VERBS:
            places_of(verb, registry, FILES)  # as Python 3.12 traces bytecodes of a function from its second call on
        yield registry


@pytest.mark.slow
@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.usefixtures("destructors_may_be_interrupted")
def test_an_exception_between_two_bytecodes_leaves_no_slot_held(
    shared: Registry, verb: str, request: pytest.FixtureRequest
) -> None:
    """After an exception at any place, even if it is kept, other threads can read, write and fork at once."""
    assert_raising_leaves_nothing_held(shared, verb, places(verb, shared, request), TRACED)


@pytest.mark.parametrize("verb", VERBS)
def test_a_call_between_two_bytecodes_is_made_or_refused(
    shared: Registry, verb: str, request: pytest.FixtureRequest
) -> None:
    """A call of a handler or finaliser never gets the connection that the call around it uses."""
    assert refusals_of_nested_calls(shared, verb, places(verb, shared, request), TRACED) == {"nested"}


@pytest.mark.stress
@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.usefixtures("destructors_may_be_interrupted")
def test_an_exception_between_any_two_bytecodes_leaves_no_slot_held(
    shared: Registry, verb: str, request: pytest.FixtureRequest
) -> None:
    """At each place."""
    assert_raising_leaves_nothing_held(shared, verb, places(verb, shared, request), TRACED)


@pytest.mark.stress
@pytest.mark.parametrize("verb", VERBS)
def test_a_call_between_any_two_bytecodes_is_made_or_refused(
    shared: Registry, verb: str, request: pytest.FixtureRequest
) -> None:
    """At each place."""
    assert refusals_of_nested_calls(shared, verb, places(verb, shared, request), TRACED) == {"nested"}


def assert_interrupts_block_nothing(registry: Registry, seconds: float) -> None:
    """Interrupt reads and checks, mostly after 0.3 ms, beside two busy threads; assert that all make progress."""
    counts: Counter[str] = Counter()
    stop = threading.Event()

    def others() -> None:
        while not stop.is_set():
            registry.history("greet", limit=1)
            counts["others"] += 1

    def interrupt(*_: object) -> None:
        raise SoftTimeLimitExceeded

    threads = [threading.Thread(target=others) for _ in range(2)]
    before = signal.signal(signal.SIGALRM, interrupt)
    for thread in threads:
        thread.start()
    end = time.monotonic() + seconds
    latest = end + 60  # on a busy machine, where hardly a call ends in time

    def goes_on() -> bool:
        now, least = time.monotonic(), min(counts["uses"], counts["interrupts"], counts["others"])
        return now < end or (least <= seconds and now < latest)

    while goes_on():
        try:
            # Each 32nd comes late, so that calls beside two busy threads can end at all.
            delay = 0.05 if counts["interrupts"] % 32 == 31 else random.random() * 0.0006 + 1e-6
            signal.setitimer(signal.ITIMER_REAL, delay)
            while goes_on():  # as a destructor may swallow the interrupt
                VERBS["read"](registry, 0)
                VERBS["check"](registry, 0)
                counts["uses"] += 1
        except SoftTimeLimitExceeded:
            counts["interrupts"] += 1
        except StorageError as error:
            counts[error.details["reason"]] += 1
        finally:
            with suppress(SoftTimeLimitExceeded):
                signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)
    stop.set()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()
    print(dict(counts))
    assert is_free(registry)
    assert set(counts) == {"others", "uses", "interrupts"}
    assert min(counts.values()) > seconds


@pytest.mark.slow
@pytest.mark.usefixtures("destructors_may_be_interrupted")
def test_many_interrupts_block_nothing(shared: Registry) -> None:
    """Frequent signals, like a worker's soft time limit, leave no slot held."""
    assert_interrupts_block_nothing(shared, 1)


@pytest.mark.stress
@pytest.mark.usefixtures("destructors_may_be_interrupted")
def test_many_interrupts_for_long_block_nothing(shared: Registry) -> None:
    """The same holds in a long run."""
    assert_interrupts_block_nothing(shared, 25)
