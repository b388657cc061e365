"""Servers that stop, crash, freeze and are replaced: nothing acknowledged is lost, nothing hangs, everything heals.

They are the tests' own, and sync to the disk.
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing, contextmanager, suppress
from typing import Any, NamedTuple

import pytest

from promptreg import CommitUnknownError, Registry, StorageBusyError, StorageError, StorageReadOnlyError
from promptreg.errors import PromptregError
from tests.conftest import until
from tests.places import BUSY, MARGIN, PATIENT, healed, warm
from tests.postgres import MISSING_PROGRAMS, ROOT, Server, fresh_target, own_server, programs
from tests.proxy import Proxy
from tests.test_postgres_connections import timed

pytestmark = pytest.mark.postgres
SYNCHRONOUS = "ALTER SYSTEM SET synchronous_standby_names = '*'"


def require_programs() -> None:
    if programs() is None:
        pytest.skip(MISSING_PROGRAMS)


@pytest.fixture(scope="module")
def running() -> Iterator[Server]:
    require_programs()
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
    with Registry(target, busy_timeout=PATIENT) as making:  # the disk may take long
        making.create("greet", "1")
        making.create("other", "Other")
    with Registry(target, busy_timeout=BUSY) as opened:
        warm(opened, "greet")
        yield opened


@pytest.fixture
def patient(registry: Registry, target: str) -> Iterator[Registry]:
    """A registry that has cached a prompt, and would wait long for the server."""
    with Registry(target, busy_timeout=10 * MARGIN) as opened:
        warm(opened, "other")
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

    def go_on(self) -> None:
        """Wait until they have written some more, by themselves."""
        before = len(self.acknowledged)
        until(lambda: len(self.acknowledged) > before + 10)

    def _run(self, registry: Registry) -> None:
        while not self._stop.is_set():
            template = f"{threading.get_ident()} {time.monotonic_ns()}"
            outcome, seconds = timed(lambda: registry.update("greet", template=template))  # noqa: B023
            if not isinstance(outcome, PromptregError):
                self.acknowledged.append(template)
            elif not isinstance(outcome, StorageError) or seconds > 2 * BUSY + MARGIN:
                self.errors.append(outcome)
                return


class Elsewhere:
    """A process with a registry that tells what it reads."""

    def __init__(self, target: str) -> None:
        self._target = target

    def __enter__(self) -> "Elsewhere":
        program = [sys.executable, "-m", "tests.reading", self._target]
        self._process = subprocess.Popen(program, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT)
        return self

    def __exit__(self, *_: object) -> None:
        with self._process:
            self._process.stdin.close()

    def call(self, name: str) -> Any:
        """Return the template of a prompt, and whether it is stale."""
        print(name, file=self._process.stdin, flush=True)
        return json.loads(self._process.stdout.readline())


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
        writers.go_on()
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
        until(lambda: registry.get("greet").stale)
        assert registry.get("greet").template == "1"
        assert registry.render("greet").text == "1"
        for call in (registry.list, lambda: registry.update("greet", template="2")):
            outcome, seconds = timed(call)
            assert isinstance(outcome, StorageError)
            assert seconds < BUSY + MARGIN
    finally:
        server.start()
    assert healed(lambda: registry.update("greet", template="2").version) == 2
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
            writers.go_on()
    assert writers.errors == []
    assert set(writers.acknowledged) <= set(stored(registry))
    assert registry.verify() == []


# Freezing


def test_a_frozen_server_makes_nobody_wait_past_busy_timeout(
    server: Server, target: str, registry: Registry, patient: Registry
) -> None:
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
            prompt, seconds = timed(lambda: patient.get("other"))  # the writers of this process write another
            assert prompt.stale
            assert seconds < MARGIN
        writers.go_on()
    assert writers.errors == []
    until(lambda: not registry.get("greet").stale)
    assert set(writers.acknowledged) <= set(stored(registry))
    assert registry.verify() == []


# Failover


class Pair(NamedTuple):
    """A primary, and a standby that follows it through a proxy."""

    primary: Server
    standby: Server
    replication: Proxy

    @property
    def url(self) -> str:
        """A URL of both, by which libpq finds the one that takes writes."""
        hosts = f"127.0.0.1:{self.primary.port},127.0.0.1:{self.standby.port}"
        return f"postgresql://postgres@{hosts}/postgres?target_session_attrs=read-write"

    def synchronise(self) -> None:
        """Acknowledge commits only when the standby has them too."""
        execute(self.primary.url, SYNCHRONOUS, "SELECT pg_reload_conf()")
        self.until_primary_has([("sync",)], "SELECT sync_state FROM pg_stat_replication")

    def catch_up(self) -> None:
        """Wait until the standby has received everything."""
        self.until_primary_has([(True,)], "SELECT replay_lsn = pg_current_wal_lsn() FROM pg_stat_replication")

    def until_primary_has(self, rows: list[Any], statement: str) -> None:
        until(lambda: execute(self.primary.url, statement) == rows)

    def fail_over(self) -> None:
        """Crash the primary, and promote the standby; what was on its way to it is lost."""
        self.primary.stop("immediate")
        self.replication.close()
        self.standby.control("promote")


@pytest.fixture
def pair() -> Iterator[Pair]:
    require_programs()
    with own_server() as primary, closing(Proxy(primary.url)) as replication:
        standby = primary.standby(replication.url)
        try:
            yield Pair(primary, standby, replication)
        finally:
            standby.stop("immediate")


def test_nothing_acknowledged_is_lost_when_a_synchronous_standby_is_promoted(pair: Pair) -> None:
    """The primary crashes under writers, and they go on by themselves on the standby."""
    pair.synchronise()
    with Registry(pair.url, busy_timeout=PATIENT) as registry:
        registry.create("greet", "1")
        registry.get("greet")
        writers = Writers(pair.url)
        with writers.writing():
            time.sleep(0.5)
            pair.fail_over()
            writers.go_on()
        assert writers.errors == []
        until(lambda: not registry.get("greet").stale)
        assert set(writers.acknowledged) <= set(stored(registry))
        assert registry.verify() == []


def test_a_commit_that_no_standby_has_is_not_acknowledged_though_it_is_there(pair: Pair) -> None:
    """An administrator ends its session while it waits for the standby, so only the primary has it; then the id tells.

    Nobody who asks for it is told that it holds before the standby has it too.
    """
    with Registry(pair.url, busy_timeout=BUSY) as registry:
        registry.create("greet", "1")
        pair.synchronise()
        pair.replication.forget()
        with ThreadPoolExecutor(1) as pool:
            call = pool.submit(registry.update, "greet", template="2")
            ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE wait_event = 'SyncRep'"
            until(lambda: execute(pair.primary.url, ended) == [(True,)])
            with pytest.raises(CommitUnknownError) as caught:
                call.result()
        until(lambda: execute(pair.primary.url, ended) == [])
        view = registry.once(caught.value.details["operation_id"])
        with pytest.raises(StorageError):
            view.update("greet", template="2")
        pair.replication.thaw()
        assert [healed(lambda: view.update("greet", template="2").version) for _ in range(2)] == [2, 2]
        assert stored(registry) == ["2", "1"]


def test_caches_notice_that_an_asynchronous_standby_had_not_received_everything(pair: Pair) -> None:
    """What it had not received is lost, and no cache returns it, though the next commit has its revision."""
    with Registry(pair.url, busy_timeout=PATIENT) as registry, Elsewhere(pair.url) as elsewhere:
        registry.create("greet", "1")
        registry.create("other", "Other")
        pair.catch_up()
        pair.replication.forget()
        revision = registry.revision
        registry.update("greet", template="lost")
        assert registry.get("greet").template == "lost"
        until(lambda: elsewhere.call("greet") == ["lost", False])
        assert elsewhere.call("other") == ["Other", False]
        pair.fail_over()
        until(lambda: not registry.get("greet").stale)
        assert registry.get("greet").template == "1"
        until(lambda: works(lambda: registry.update("other", template="New")))
        assert registry.revision == revision + 1
        until(lambda: elsewhere.call("other") == ["New", False])
        assert elsewhere.call("greet") == ["1", False]
        assert registry.verify() == []


def test_a_standby_is_read_and_refuses_writes(pair: Pair) -> None:
    """A registry of a standby reads, sees changes, and a write is `StorageReadOnlyError`."""
    with Registry(pair.primary.url) as writing:
        writing.create("greet", "1")
        pair.catch_up()
        with Registry(pair.standby.url, create=False, busy_timeout=PATIENT) as reading:
            assert reading.get("greet").template == "1"
            writing.update("greet", template="2")
            until(lambda: reading.get("greet").template == "2")
            with pytest.raises(StorageReadOnlyError):
                reading.update("greet", template="3")


def test_a_server_without_a_free_connection_is_busy() -> None:
    """All calls that need a new connection are `StorageBusyError`, in time, and work when one is free."""
    import psycopg

    require_programs()
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
