"""Servers that stop, crash, freeze and are replaced: nothing acknowledged is lost, nothing hangs, everything heals.

They are the tests' own, and sync to the disk.
"""

import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from promptreg import Registry, StorageBusyError, StorageError
from promptreg.errors import PromptregError
from tests.postgres import MISSING, Server, fresh_target, own_server, programs
from tests.test_postgres_connections import BUSY, MARGIN, timed, until

pytestmark = pytest.mark.postgres
SYNCHRONOUS = "ALTER SYSTEM SET synchronous_standby_names = '*'"


@pytest.fixture(scope="module")
def running() -> Iterator[Server]:
    if programs() is None:
        pytest.skip(MISSING)
    with own_server() as server:
        yield server


@pytest.fixture
def server(running: Server) -> Server:
    """A server that a test may stop, freeze and crash, and starts again."""
    return running


@pytest.fixture
def target(server: Server) -> Iterator[str]:
    with fresh_target(server.url) as made:
        yield made


@pytest.fixture
def registry(target: str) -> Iterator[Registry]:
    with Registry(target, busy_timeout=BUSY) as opened:
        opened.create("greet", "1")
        opened.create("other", "Other")
        assert opened.get("greet").template == "1"
        yield opened


def execute(url: str, *statements: str) -> list[Any]:
    """Execute statements on a connection of the test's own, and return the rows of the last."""
    import psycopg

    with psycopg.connect(url, autocommit=True) as connection:
        for statement in statements:
            cursor = connection.execute(statement)
        return [] if cursor.description is None else cursor.fetchall()


class Writers:
    """Threads that publish as fast as they can, through registries of their own, and note what was acknowledged."""

    def __init__(self, target: str, count: int = 3) -> None:
        self.acknowledged: list[str] = []
        self.errors: list[BaseException] = []
        self._stop = threading.Event()
        self._registries = [Registry(target, busy_timeout=BUSY) for _ in range(count)]
        self._threads = [threading.Thread(target=self._run, args=(registry,)) for registry in self._registries]

    @contextmanager
    def writing(self) -> Iterator[None]:
        for thread in self._threads:
            thread.start()
        try:
            yield
        finally:
            self._stop.set()
            for thread in self._threads:
                thread.join(3 * BUSY + MARGIN)
            stuck = [thread for thread in self._threads if thread.is_alive()]
            for registry in self._registries:
                registry.close()
            assert stuck == []

    def _run(self, registry: Registry) -> None:
        while not self._stop.is_set():
            template = f"{threading.get_ident()} {time.monotonic_ns()}"
            outcome, seconds = timed(lambda: registry.update("greet", template=template))  # noqa: B023
            if not isinstance(outcome, PromptregError):
                self.acknowledged.append(template)
            elif not isinstance(outcome, StorageError) or seconds > 2 * BUSY + MARGIN:
                self.errors.append(outcome)
                return


def stored(registry: Registry) -> list[str]:
    history = registry.history("greet", limit=1_000_000)
    assert [version.version for version in history] == list(range(len(history), 0, -1))
    return [str(version.template) for version in history]


def works(call: Callable[[], object]) -> bool:
    with suppress(StorageError):
        call()
        return True
    return False


def crash(server: Server) -> None:
    server.stop("immediate")


def stop(server: Server) -> None:
    server.stop("fast")


# Stops and crashes


@pytest.mark.parametrize("end", [stop, crash])
def test_what_was_acknowledged_outlives_the_server(
    server: Server, target: str, registry: Registry, end: Callable[[Server], None]
) -> None:
    """Writers are stopped in the middle; after the start every acknowledged version is there, in an unbroken row."""
    writers = Writers(target)
    with writers.writing():
        time.sleep(0.5)
        end(server)
        time.sleep(0.2)
        server.start()
        before = len(writers.acknowledged)
        until(lambda: len(writers.acknowledged) > before + 10)  # they go on by themselves
    assert writers.errors == []
    until(lambda: works(lambda: registry.update("greet", template="healed")))
    found = stored(registry)
    assert set(writers.acknowledged) <= set(found)
    assert len(found) == len(set(found))
    assert registry.verify() == []


@pytest.mark.parametrize("end", [stop, crash])
def test_cached_reads_go_on_without_a_server(server: Server, registry: Registry, end: Callable[[Server], None]) -> None:
    """They are stale, all else is `StorageError` in time, and both heal when the server is back."""
    end(server)
    try:
        until(lambda: registry.get("greet").stale, 2)
        assert registry.get("greet").template == "1"
        assert registry.render("greet").text == "1"
        for call in (registry.list, lambda: registry.update("greet", template="2")):
            outcome, seconds = timed(call)
            assert isinstance(outcome, StorageError)
            assert seconds < BUSY + MARGIN
    finally:
        server.start()
    assert registry.update("greet", template="2").version == 2
    until(lambda: not registry.get("greet").stale)
    assert registry.get("greet").template == "2"


def test_opening_without_a_server_is_an_error_in_time(server: Server, target: str) -> None:
    """Opening connects, so an absent server is `StorageError`."""
    server.stop()
    try:
        outcome, seconds = timed(lambda: Registry(target, busy_timeout=BUSY))
        assert isinstance(outcome, StorageError)
        assert seconds < BUSY + MARGIN
    finally:
        server.start()


def test_a_backend_that_is_killed_takes_nothing_with_it(server: Server, target: str, registry: Registry) -> None:
    """The server ends all connections then, and recovers; writers go on by themselves, and nothing is lost."""
    writers = Writers(target)
    with writers.writing():
        for _ in range(3):
            time.sleep(0.3)
            ((pid,), *_) = execute(server.url, "SELECT pid FROM pg_stat_activity WHERE query LIKE '%FOR UPDATE%'") or [
                (None,)
            ]
            if pid is not None:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            before = len(writers.acknowledged)
            until(lambda: len(writers.acknowledged) > before + 10)  # noqa: B023 (it is called at once)
    assert writers.errors == []
    assert set(writers.acknowledged) <= set(stored(registry))
    assert registry.verify() == []


# Freezing


def test_a_frozen_server_makes_nobody_wait_past_busy_timeout(server: Server, target: str, registry: Registry) -> None:
    """Calls end in time, cached reads are stale, and all that was acknowledged is there when it thaws."""
    writers = Writers(target)
    with writers.writing():
        time.sleep(0.3)
        with server.frozen():
            for call in (
                registry.list,
                lambda: registry.update("other", template="2"),
                lambda: Registry(target, busy_timeout=BUSY),
            ):
                outcome, seconds = timed(call)
                assert isinstance(outcome, StorageError)
                assert seconds < BUSY + MARGIN
            prompt, seconds = timed(lambda: registry.get("greet"))
            assert prompt.stale
            assert seconds < 0.05 + MARGIN
        before = len(writers.acknowledged)
        until(lambda: len(writers.acknowledged) > before + 10)
    assert writers.errors == []
    until(lambda: not registry.get("greet").stale)
    assert set(writers.acknowledged) <= set(stored(registry))
    assert registry.verify() == []


# Failover


@contextmanager
def primary_and_standby(tmp: Path, *, is_synchronous: bool) -> Iterator[tuple[Server, Server]]:
    with ExitStack() as stack:
        primary = stack.enter_context(own_server())
        standby = primary.standby(primary.folder / "standby")
        stack.callback(lambda: works_quietly(lambda: standby.stop("immediate")))
        if is_synchronous:
            execute(primary.url, SYNCHRONOUS, "SELECT pg_reload_conf()")
            state = "SELECT sync_state FROM pg_stat_replication"
            until(lambda: execute(primary.url, state) == [("sync",)])
        yield primary, standby


def works_quietly(call: Callable[[], object]) -> None:
    with suppress(Exception):
        call()


def both(primary: Server, standby: Server) -> str:
    """Return a URL of both, by which libpq finds the one that takes writes."""
    hosts = f"127.0.0.1:{primary.port},127.0.0.1:{standby.port}"
    return f"postgresql://postgres@{hosts}/postgres?target_session_attrs=read-write"


def test_nothing_acknowledged_is_lost_when_a_synchronous_standby_is_promoted(tmp_path: Path) -> None:
    """The primary crashes under writers, and they go on by themselves on the standby."""
    if programs() is None:
        pytest.skip(MISSING)
    with primary_and_standby(tmp_path, is_synchronous=True) as (primary, standby):
        target = both(primary, standby)
        with Registry(target, busy_timeout=BUSY) as registry:
            registry.create("greet", "1")
            registry.get("greet")
            writers = Writers(target)
            with writers.writing():
                time.sleep(0.5)
                primary.stop("immediate")
                standby.control("promote")
                before = len(writers.acknowledged)
                until(lambda: len(writers.acknowledged) > before + 10)
            assert writers.errors == []
            until(lambda: not registry.get("greet").stale)
            assert set(writers.acknowledged) <= set(stored(registry))
            assert registry.verify() == []


def test_caches_notice_that_an_asynchronous_standby_had_not_received_everything(tmp_path: Path) -> None:
    """What it had not received is lost, and no cache returns it, though the next commit has its revision."""
    if programs() is None:
        pytest.skip(MISSING)
    with primary_and_standby(tmp_path, is_synchronous=False) as (primary, standby):
        target = both(primary, standby)
        with Registry(target, busy_timeout=BUSY) as registry, Registry(target, busy_timeout=BUSY) as idle:
            registry.create("greet", "1")
            registry.create("other", "Other")
            received = (
                f"SELECT pg_last_wal_replay_lsn() >= '{execute(primary.url, 'SELECT pg_current_wal_lsn()')[0][0]}'"
            )
            until(lambda: execute(standby.url, received) == [(True,)])
            with standby.frozen():
                registry.update("greet", template="lost")
                assert registry.get("greet").template == "lost"
                until(lambda: idle.get("greet").template == "lost")
                assert idle.get("other").template == "Other"
                primary.stop("immediate")
            standby.control("promote")
            until(lambda: not registry.get("greet").stale)
            assert registry.get("greet").template == "1"
            until(lambda: works(lambda: registry.update("other", template="New")))
            until(lambda: not idle.get("greet").stale)
            assert (idle.get("greet").template, idle.get("other").template) == ("1", "New")
            assert registry.verify() == []


def test_a_standby_is_read_and_refuses_writes(tmp_path: Path) -> None:
    """A registry of a standby reads, sees changes, and a write is `StorageReadOnlyError`."""
    from promptreg import StorageReadOnlyError

    if programs() is None:
        pytest.skip(MISSING)
    with primary_and_standby(tmp_path, is_synchronous=True) as (primary, standby):
        execute(primary.url, "ALTER SYSTEM SET synchronous_commit = remote_apply", "SELECT pg_reload_conf()")
        with Registry(primary.url) as writing:
            writing.create("greet", "1")
            with Registry(standby.url, create=False, busy_timeout=BUSY) as reading:
                assert reading.get("greet").template == "1"
                writing.update("greet", template="2")
                until(lambda: reading.get("greet").template == "2")
                with pytest.raises(StorageReadOnlyError):
                    reading.update("greet", template="3")


def test_a_server_without_a_free_connection_is_busy() -> None:
    """All calls that need a new connection are `StorageBusyError`, in time, and work when one is free."""
    import psycopg

    if programs() is None:
        pytest.skip(MISSING)
    with own_server(max_connections="8", superuser_reserved_connections="0", fsync="off") as server:
        with Registry(server.url) as first:
            first.create("greet", "1")
        with ExitStack() as taken:
            with suppress(psycopg.OperationalError):
                for _ in range(20):
                    taken.enter_context(psycopg.connect(server.url))
            outcome, seconds = timed(lambda: Registry(server.url, busy_timeout=BUSY))
            assert isinstance(outcome, StorageBusyError)
            assert seconds < BUSY + MARGIN
        with Registry(server.url) as again:
            assert again.get("greet").template == "1"
