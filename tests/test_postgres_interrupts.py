"""Soft time limits, nested calls and forks at any time: no connection is stuck, and nothing is lost or done twice."""

import random
import signal
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest

from promptreg import Registry
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
from tests.forks import target
from tests.places import listen
from tests.remote import run_program
from tests.test_postgres_pool import connections, named

pytestmark = pytest.mark.postgres
WING = "change_check connecting listening pool sessions signals slices storage transactions wire writer reader".split()
FILES = ("contextlib.py", "storage/slots.py", *(f"postgres/{name}.py" for name in WING))
PLACES = 40


@pytest.fixture
def registry(postgres_target: str) -> Iterator[Registry]:
    """A registry on which each call was made twice, as Python 3.12 traces bytecodes of a function from then on."""
    with Registry(postgres_target, busy_timeout=5) as opened:
        opened.create("greet", "Hello")
        for verb in VERBS:
            places_of(verb, opened, FILES)
        yield opened


def is_free(registry: Registry) -> bool:
    """Return whether another thread can take every connection."""
    pool: Any = registry._core.storage._connections  # type: ignore[attr-defined]

    def take_all() -> bool:
        frame = sys._getframe()
        taken = [lock for lock in pool._locks if lock.acquire(frame, 5)]
        for lock in taken:
            lock.release()
        return len(taken) == len(pool._locks)

    return in_thread(take_all) is True


TRACED = Traced(FILES, is_free)


def places(verb: str, registry: Registry, request: pytest.FixtureRequest) -> list[int]:
    """Return places that each run of a verb has, also where it need not wait for an answer in several steps."""
    count = min(places_of(verb, registry, FILES) for _ in range(5))
    return chosen(count, request, PLACES)


@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.usefixtures("destructors_may_be_interrupted")
def test_an_exception_between_two_bytecodes_leaves_no_connection_held(
    registry: Registry, verb: str, request: pytest.FixtureRequest
) -> None:
    """After an exception at any place, even if it is kept, other threads can read and write at once."""
    assert_raising_leaves_nothing_held(registry, verb, places(verb, registry, request), TRACED)
    assert registry.verify() == []


@pytest.mark.stress
@pytest.mark.parametrize("verb", VERBS)
@pytest.mark.usefixtures("destructors_may_be_interrupted")
def test_an_exception_between_any_two_bytecodes_leaves_no_connection_held(
    registry: Registry, verb: str, request: pytest.FixtureRequest
) -> None:
    """At each place."""
    assert_raising_leaves_nothing_held(registry, verb, places(verb, registry, request), TRACED)
    assert registry.verify() == []


@pytest.mark.parametrize("verb", VERBS)
def test_a_call_between_two_bytecodes_is_made_or_refused(
    registry: Registry, verb: str, request: pytest.FixtureRequest
) -> None:
    """A call of a handler or finaliser never gets the connection that the call around it uses."""
    assert refusals_of_nested_calls(registry, verb, places(verb, registry, request), TRACED) <= {"nested"}


@pytest.mark.usefixtures("destructors_may_be_interrupted")
def test_frequent_signals_block_nothing(registry: Registry) -> None:
    """Signals at random times, like a worker's soft time limit, leave no connection held beside two busy threads."""
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
    end = time.monotonic() + 2
    latest = end + 60  # on a busy machine, where hardly a call ends in time

    def goes_on() -> bool:
        now, least = time.monotonic(), min(counts[name] for name in ("others", "interrupts", *VERBS))
        return now < end or (least == 0 and now < latest)

    while goes_on():
        try:
            delay = 0.2 if counts["interrupts"] % 16 == 15 else random.random() * 0.02 + 1e-6
            signal.setitimer(signal.ITIMER_REAL, delay)
            while goes_on():  # as a destructor may swallow the interrupt
                for verb, call in VERBS.items():
                    call(registry, time.monotonic_ns())
                    counts[verb] += 1
        except SoftTimeLimitExceeded:
            counts["interrupts"] += 1
        finally:
            with suppress(SoftTimeLimitExceeded):
                signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)
    stop.set()
    for thread in threads:
        thread.join(30)
        assert not thread.is_alive()
    assert is_free(registry)
    assert set(counts) == {"others", "interrupts", *VERBS}
    assert registry.verify() == []


# Forks


def test_forks_with_busy_threads_lose_nothing(postgres_target: str) -> None:
    """After forks with three busy threads every write is stored, and there was no error or hang."""
    report = run_program("tests.forks", "busy", postgres_target, 12, seconds=120)
    assert report["errors"] == []
    for history, written in zip(report["histories"], report["written"], strict=True):
        assert history["numbers"] == list(range(1, len(history["numbers"]) + 1))
        assert history["parent"] == written > 0
    assert [history["children"] for history in report["histories"]] == [24, 24, 0]
    for name in ("a", "b"):
        with Registry(target(postgres_target, name)) as registry:
            assert registry.verify() == []


def test_forked_pools_can_use_a_registry_opened_before(postgres_target: str) -> None:
    """Each worker's write is stored, with `multiprocessing` and with `concurrent.futures`."""
    report = run_program("tests.forks", "pools", postgres_target, seconds=60)
    assert (report["pooled"], report["own"]) == (list(range(2, 42)), 42)
    assert report["numbers"] == list(range(1, 43))


def test_a_child_that_ends_leaves_the_connections_of_its_parent(postgres_target: str) -> None:
    """Neither the end of a child nor closing the registry there ends a session of the parent's."""
    with Registry(named(postgres_target)) as registry:
        registry.create("greet", "1")
        registry.history("greet")
        listen(registry)
        before = connections(postgres_target)
        assert len(before) == 2
        assert in_child(registry.close) == 0
        assert in_child(lambda: registry.update("greet", template="2")) == 0
        assert in_child(lambda: None) == 0
        registry.history("greet")
        assert set(before) <= set(connections(postgres_target))
        assert registry.update("greet", template="3").version == 3


def in_child(work: Callable[[], object]) -> int:
    """Do this in a forked child, and return its exit status."""
    import os
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        child = os.fork()
    if child == 0:
        signal.alarm(20)
        status = 1
        try:
            work()
            status = 0
        finally:
            os._exit(status)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
