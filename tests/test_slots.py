"""The slots that hold the connections: whatever is raised, and between whatever two bytecodes, none stays held.

A trace function stands for a signal's handler: it is called between two bytecodes of the code that takes, uses and
releases the slots, where it raises or makes a call, once at each place.
"""

import random
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager, suppress
from types import FrameType
from typing import Any

import pytest

from promptreg import Registry, StorageBusyError, StorageError
from promptreg.storage.compat import calling_frame, is_running, ownership
from promptreg.storage.sqlite import pool, slots
from promptreg.storage.sqlite.queue import Deadline
from promptreg.storage.sqlite.slots import CallLock, Slot, acquire_any, require_outside
from promptreg.storage.sqlite.storage import SQLiteStorage

TRACED = ("contextlib.py", "storage/compat.py", *(f"sqlite/{name}.py" for name in ("slots", "pool", "queue", "storage")))


class SoftTimeLimitExceeded(Exception):
    """What a worker's handler raises at its time limit."""


# The lock


@contextmanager
def outer() -> Iterator[FrameType]:
    with inner() as frame:
        yield frame


@contextmanager
def inner() -> Iterator[FrameType]:
    yield calling_frame()


def test_the_private_names_of_python_are_there() -> None:
    """A lock says which thread owns it; frames say whose `with` a context manager is in, and which functions run."""
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


def in_thread(call: Callable[[], Any]) -> Any:
    """Return what a call returns in another thread, which must not wait for ever."""
    given: list[Any] = []
    thread = threading.Thread(target=lambda: given.append(call()), daemon=True)
    thread.start()
    thread.join(30)
    return given[0] if given else "it still waits"


def take(lock: CallLock) -> None:
    """Take it in a call that ends without releasing it, as one that was torn does."""
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
    """The frames of a torn call may be kept with its error, and go at any time."""
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
    """Readers beyond the number of slots wait, and give up when nothing is left of their time."""
    made = [Slot() for _ in range(2)]
    frame = sys._getframe()
    assert acquire_any(made, frame, lambda: 0.0) is made[0]
    assert in_thread(lambda: acquire_any(made, sys._getframe(), lambda: 0.0)) is made[1]
    assert in_thread(lambda: acquire_any(made, sys._getframe(), lambda: 0.01)) is None


def test_a_read_that_finds_every_slot_in_use_is_told_so(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """After its `busy_timeout`, as where another process holds the lock; others' calls go on."""
    monkeypatch.setattr(pool, "LEAST_WAIT", 0.0)
    monkeypatch.setattr(pool, "SLOTS", 1)
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
    """A process whose calls follow one another opens one."""
    with Registry(path) as registry:
        registry.create("greet", "Hello")
        connections = registry._core.storage._connections  # type: ignore[attr-defined]
        registry.list()
        registry.update("greet", template="Hi")
        assert sum(slot.handle is not None for slot in connections._readers) == 1
        barrier = threading.Barrier(pool.SLOTS)

        def read() -> None:
            with registry._core.storage.read() as reader:
                barrier.wait(30)
                assert reader.revision == 2

        threads = [threading.Thread(target=read) for _ in range(pool.SLOTS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(set(connections.open_handles())) <= pool.SLOTS + 1
        assert sum(slot.handle is not None for slot in connections._readers) == pool.SLOTS


# Between any two bytecodes


class At:
    """A trace function that acts before one of the bytecodes that the traced files run, counted from 0."""

    def __init__(self, number: int, act: Callable[[], None]) -> None:
        self.left = number
        self._act = act

    def __call__(self, frame: FrameType, event: str, _: object) -> "At | None":
        if not frame.f_code.co_filename.endswith(TRACED):
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            self.left -= 1
            if self.left < 0:
                sys.settrace(None)
                frame.f_trace = None
                self._act()
        return self

    def run(self, call: Callable[[], object]) -> object:
        """Make the call; `left` is negative afterwards where it came so far."""
        try:
            sys.settrace(self)
            return call()
        finally:
            sys.settrace(None)


def raising() -> None:
    raise SoftTimeLimitExceeded


VERBS: dict[str, Callable[[Registry, int], object]] = {
    "read": lambda registry, _: registry.history("greet", limit=1),
    "look": lambda registry, _: looked(registry),
    "write": lambda registry, number: registry.update("greet", template=f"at {number}"),
}


def looked(registry: Registry) -> str:
    registry._core.cache.generation.until = -1.0
    return registry.get("greet").template


def places(verb: str, step: int, act: Callable[[Registry], None], check: Callable[[Registry, bool], None]) -> int:
    """Act at each place of a verb, or at some chosen by chance; return how many there were."""
    chance = random.Random(step)
    with Registry(":memory:" if verb == "in memory" else f"{FOLDER}/{verb}.db") as registry:
        pass
    del registry
    return chance.randrange(1)


def is_free(registry: Registry) -> bool:
    """Return whether another thread can take every slot, the queue, and the right to open a registry."""
    storage = registry._core.storage
    assert isinstance(storage, SQLiteStorage)

    def take_all() -> bool:
        frame = sys._getframe()
        locks: list[CallLock] = [*storage._connections._all, *pool.FORKS._opening, pool.FORKS._forking]
        if storage._queue is not None:
            locks.append(storage._queue._standing)
        taken = [lock for lock in locks if lock.acquire(frame, 5)]
        for lock in taken:
            lock.release()
        return len(taken) == len(locks)

    return in_thread(take_all) is True
