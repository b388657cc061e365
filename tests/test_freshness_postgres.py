"""Freshness of PostgreSQL: how soon a change is seen without a thread that listens, and what is returned meanwhile.

`apart` gives each registry a signal of its own, as if it were alone in its process.
"""

import itertools
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from promptreg import NotFoundError, Prompt, Registry, StorageBusyError, StorageError
from tests.conftest import until
from tests.forks import in_child, of_child
from tests.otel import tracing
from tests.places import BUSY, MARGIN, Place, healed, listen, listener_of, warm
from tests.postgres import connected, fresh_target, split_target
from tests.proxy import Link, Proxy
from tests.remote import Remote
from tests.storages import wait_for_answers
from tests.test_freshness import CHANGES, assert_seen_at_once, run_stress
from tests.test_postgres_connections import fill, timed

pytestmark = pytest.mark.postgres

LONG = 1_000.0  # seconds
SECOND = 1.0  # for which nobody waits again


@pytest.fixture
def place(postgres_target: str) -> Iterator[Place]:
    """A registry through a proxy, and another past it, with a signal each."""
    with closing(Place(postgres_target, fill)) as made:
        yield made


@pytest.fixture
def mute(monkeypatch: pytest.MonkeyPatch) -> Callable[[Registry], None]:
    """Return what ends the listener of a registry for good, while the server answers all else."""

    def end(registry: Registry) -> None:
        listener = listener_of(registry)
        monkeypatch.setattr(listener, "_connect", lambda now: None)
        listener.close()

    return end


@pytest.fixture
def apart(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("psycopg")
    from promptreg.storage.postgres import signals, storage

    monkeypatch.setattr(storage, "signal_of", lambda _: signals.Signal())


@pytest.fixture
def no_notification(monkeypatch: pytest.MonkeyPatch) -> None:
    """LISTEN on a channel that nobody notifies, as a pooler in transaction mode has it."""
    pytest.importorskip("psycopg")
    monkeypatch.setattr("promptreg.storage.postgres.listening.channel_of", lambda _: "nobody")


@pytest.fixture
def no_beat(monkeypatch: pytest.MonkeyPatch) -> None:
    """Send no query for the newest commit but where a read waits for it."""
    pytest.importorskip("psycopg")
    monkeypatch.setattr("promptreg.storage.postgres.change_check.BEAT_SECONDS", LONG)
    monkeypatch.setattr("promptreg.storage.postgres.change_check.YOUNG_SECONDS", LONG)


def execute(target: str, *statements: str) -> None:
    """Execute statements in one transaction, as another tool would."""
    with connected(target) as connection, connection.transaction():
        for statement in statements:
            connection.execute(statement)  # type: ignore[arg-type]


def lose_listener(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """End the listener's connection, and have it find no server that it could connect to."""
    connector: Any = registry._core.storage._connector  # type: ignore[attr-defined]
    monkeypatch.setattr(type(connector), "known", lambda _: [b"host=127.0.0.1 port=1"])
    listener_of(registry).close()


def unanswered(registry: Registry, name: str = "greet") -> Prompt:
    """Read until a cached prompt is stale, and return it."""
    until(lambda: registry.get(name).stale)
    stale: Prompt = registry.get(name)
    return stale


# A server that answers


@pytest.mark.parametrize("commits", [100, pytest.param(2_000, marks=pytest.mark.stress)])
def test_no_read_in_any_process_is_behind_for_longer_than_declared(
    path: str, commits: int, postgres_target: str
) -> None:
    """While writers are killed, no read is behind for longer than the storage declares, and none goes backwards."""
    run_stress(postgres_target, commits, 400, "bounded")


@pytest.mark.usefixtures("no_beat")
def test_a_notification_alone_shows_a_change_of_another_process(postgres_target: str) -> None:
    """Nothing is asked until the notification has come: a warm cache learns of the change by that."""
    with Registry(postgres_target) as registry, Remote(postgres_target) as other:
        registry.create("greet", "0")
        registry.get("greet")
        listen(registry)
        for number in range(1, 4):
            assert registry.get("greet").template == str(number - 1)
            other.call("update", "greet", template=str(number))
            until(lambda number=number: registry.get("greet").template == str(number))


@pytest.mark.usefixtures("no_notification", "apart")
def test_a_change_is_seen_within_the_declared_time_where_listening_is_lost(postgres_target: str) -> None:
    """The questions alone show it, to a registry that is read all the time and to one that was idle."""
    with Registry(postgres_target) as reader, Registry(postgres_target) as writer:
        writer.create("greet", "0")
        staleness = reader._core.storage.profile.staleness
        for number in range(1, 6):
            assert reader.get("greet").template == str(number - 1)
            writer.update("greet", template=str(number))
            end, is_read_meanwhile = time.monotonic() + staleness, number % 2
            while time.monotonic() < end:
                _ = reader.get("greet") if is_read_meanwhile else time.sleep(0.01)
            prompt = reader.get("greet")
            assert prompt.stale or prompt.template == str(number)
            until(lambda number=number: reader.get("greet").template == str(number))


@pytest.mark.usefixtures("no_notification", "no_beat")
def test_a_process_sees_its_own_writes_at_once_in_every_registry_and_thread(postgres_target: str) -> None:
    """Two registries of one process, and another thread, see a write as soon as it has returned."""
    with Registry(postgres_target) as writer, Registry(postgres_target) as reader:
        writer.create("greet", "0")
        seen: list[str] = []
        for number in range(1, 9):
            reader.get("greet")
            writer.update("greet", template=str(number))
            thread = threading.Thread(target=lambda: seen.append(reader.get("greet").template))
            thread.start()
            thread.join()
            assert (reader.get("greet").template, seen[-1], writer.get("greet").template) == (str(number),) * 3


@pytest.mark.usefixtures("no_notification", "no_beat")
def test_a_copy_of_a_database_is_another_one(postgres_url: str) -> None:
    """What is read of the copy in the same process does not hide what was written to the original."""
    import psycopg

    base, _, options = postgres_url.rpartition("/")
    names = [f"copied_{os.getpid()}_{number}" for number in range(2)]
    urls = [f"{base}/{name}" + options.partition("?")[1] + options.partition("?")[2] for name in names]
    with psycopg.connect(postgres_url, autocommit=True) as connection:
        try:
            connection.execute(f"CREATE DATABASE {names[0]} TEMPLATE template0 ENCODING 'UTF8'")  # type: ignore[arg-type]
            with Registry(urls[0]) as first:
                first.create("greet", "0")
            connection.execute(f"CREATE DATABASE {names[1]} TEMPLATE {names[0]}")  # type: ignore[arg-type]
            with Registry(urls[0]) as original, Registry(urls[1]) as copy:
                for registry in (original, copy):
                    registry.get("greet")
                    listen(registry)
                original.update("greet", template="1")
                assert [registry.get("greet").template for registry in (copy, original)] == ["0", "1"]
        finally:
            for name in names:
                connection.execute(f"DROP DATABASE IF EXISTS {name} WITH (FORCE)")  # type: ignore[arg-type]


@pytest.mark.usefixtures("no_notification", "no_beat")
def test_strict_reads_see_each_write_of_another_process_at_once(postgres_target: str) -> None:
    """Each read asks, so that neither notifications nor beats are needed."""
    with Registry(postgres_target, freshness="strict") as registry, Remote(postgres_target) as other:
        registry.create("greet", "0")
        for number in range(1, 9):
            assert registry.get("greet").template == str(number - 1)
            other.call("update", "greet", template=str(number))
            assert registry.render("greet").text == str(number)


def test_the_very_next_strict_read_sees_any_change_of_another_process(postgres_url: str) -> None:
    """Rule 16, as it holds for a file: whatever was changed, with a warm cache."""
    with Remote("") as other:
        for change in CHANGES:
            with fresh_target(postgres_url) as target, Registry(target, freshness="strict") as registry:
                assert_seen_at_once(registry, other, change)
                other.call("close")


def test_what_has_not_changed_stays_in_the_cache(postgres_target: str) -> None:
    """After another process's changes, only the prompts that it has changed, made or deleted are read again."""
    with Registry(postgres_target) as registry, Remote(postgres_target) as other:
        cache = registry._core.cache
        for name in ("kept", "changed", "gone"):
            registry.create(name, "Hello")

        def are_cached() -> bool:
            are_absent = [registry.get(name, default=None) is None for name in ("new", "absent")]
            return all(are_absent) and cache.generation.negative.keys() == {"new", "absent"}

        warm(registry, "kept", "changed", "gone")
        until(are_cached)
        kept = cache.generation.entries["kept"].prompt
        other.call("update", "changed", template="Hi")
        other.call("delete", "gone")
        other.call("create", "new", "New")
        registry.wait_for(other.call("revision"))
        assert set(cache.generation.entries) == {"kept"}
        assert set(cache.generation.negative) == {"absent"}
        until(lambda: registry.get("kept") is kept)  # and no copy that is stale, as an answer came late
        assert (registry.get("changed").template, registry.get("new").template) == ("Hi", "New")
        with pytest.raises(NotFoundError):
            registry.get("gone")


@pytest.mark.usefixtures("apart")
def test_notifications_that_no_commit_has_sent_do_no_harm(postgres_target: str) -> None:
    """Anybody may notify the channel: of nothing, of nonsense, and of revisions that do not exist."""
    schema = split_target(postgres_target)[1]
    payloads = ["", "x", "1", "-1 x", "99999999999999999999 x", "1000000 0123456789abcdef", "² x", "é" * 2_000]
    with Registry(postgres_target) as registry, Registry(postgres_target) as other:
        registry.create("greet", "0")
        for number, payload in enumerate(payloads, 1):
            assert registry.get("greet").template == str(number - 1)
            execute(postgres_target, f"SELECT pg_notify('{schema}', '{payload}')")
            assert registry.get("greet").template == str(number - 1)
            other.update("greet", template=str(number))
            until(lambda number=number: registry.get("greet").template == str(number))


# A server that has lost commits

LOSE = (
    "UPDATE registry SET revision = revision - 1, stamp = 'ffffffffffffffff'",
    "DELETE FROM commits WHERE revision > (SELECT revision FROM registry)",
    "UPDATE commits c SET stamp = r.stamp FROM registry r WHERE c.revision = r.revision",
)
REPLACE = (
    "UPDATE registry SET stamp = 'ffffffffffffffff'",
    "UPDATE commits c SET stamp = r.stamp FROM registry r WHERE c.revision = r.revision",
)


@pytest.mark.parametrize("statements", [LOSE, REPLACE], ids=["lower", "equal"])
@pytest.mark.parametrize("settings", [{}, {"max_staleness": 0.2}, {"freshness": "strict"}], ids=str)
def test_another_history_empties_the_caches(
    postgres_target: str, statements: tuple[str, ...], settings: dict[str, Any]
) -> None:
    """After a failover that lost commits, at a lower revision or an equal one, nothing cached is returned.

    Negative entries neither: the row that another tool brings back here has no revision that shows it.
    """
    with Registry(postgres_target, **settings) as registry:
        registry.create("greet", "Hello")
        registry.create("absent", "Hidden")
        execute(postgres_target, "UPDATE prompts SET name = 'aside' WHERE name = 'absent'")
        registry.update("greet", title="Changed")
        cache = registry._core.cache

        def are_cached() -> bool:
            assert registry.get("absent", default=None) is None
            assert registry.get("greet").template == "Hello"
            return "greet" in cache.generation.entries and "absent" in cache.generation.negative

        until(are_cached)
        greet = cache.generation.entries["greet"]
        execute(postgres_target, *statements)
        until(lambda: not registry.get("greet").stale and cache.generation.entries.get("greet") is not greet)
        assert "absent" not in cache.generation.negative


def test_the_first_write_after_commits_were_lost_is_seen_at_once(postgres_target: str) -> None:
    """Its revision is that of a lost commit, and another registry of the process has cached that one."""
    with Registry(postgres_target) as writer, Registry(postgres_target) as reader:
        writer.create("other", "0")
        writer.create("greet", "0")
        writer.update("other", template="1")
        assert reader.get("greet").template == "0"
        execute(postgres_target, *LOSE)
        assert writer.revision == 2
        writer.update("greet", template="1")
        assert writer.revision == 3
        assert (writer.get("greet").template, reader.get("greet").template) == ("1", "1")


def test_a_write_after_commits_were_lost_is_seen_at_once_without_an_answer(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server says nothing of it in time, and it has the revision of a lost commit that the cache holds."""
    place.beside.update("other", template="Lost")
    warm(place.registry, "greet", "other")
    execute(place.target, *LOSE)
    lose_listener(place.registry, monkeypatch)
    place.beside.update("greet", template="2")
    assert place.registry.get("other").stale
    assert place.registry.get("greet").template == "2"


def test_an_answer_from_long_ago_is_no_proof(place: Place) -> None:
    """It was not read in time; the signal agrees with it, but nothing tells what was committed since."""
    registry, listener = place.registry, listener_of(place.registry)
    warm(registry, "greet", "other")
    listen(registry)
    place.beside.update("other", template="New")
    with place.proxy.frozen():
        assert registry.get("greet").stale
        assert listener._question.since is not None

    def is_answered() -> bool:
        listener.step()
        return listener._question is None

    until(is_answered)
    time.sleep(0.2)
    place.proxy.forget()
    assert registry.get("greet").stale


# A server that does not answer


def test_what_is_cached_is_stale_without_an_answer_and_heals_with_one(place: Place) -> None:
    """In a partition cached reads go on, marked as stale; afterwards they are current, and see what was missed."""
    registry = place.registry
    warm(registry, "greet")
    with place.proxy.frozen():
        stale = unanswered(registry)
        assert (stale.template, registry.render("greet").prompt.stale) == ("1", True)  # type: ignore[union-attr]
        assert registry.get_many(["greet"])[0].stale
    until(lambda: not registry.get("greet").stale)
    place.beside.update("greet", template="2")
    until(lambda: registry.get("greet").template == "2")


def test_without_an_answer_no_registry_of_a_process_returns_what_that_process_has_changed(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not even as stale, though what else has changed is not known: it is read from the database, or is an error."""
    with Registry(place.through, busy_timeout=BUSY) as reader:
        warm(reader, "greet", "other")
        with pytest.raises(NotFoundError):
            reader.get("new")
        lose_listener(reader, monkeypatch)
        place.beside.update("greet", template="2")
        place.beside.create("new", "New")
        assert (reader.get("other").stale, reader.get("greet").template) == (True, "2")
        assert reader.get("new").template == "New"
        with place.proxy.frozen():
            assert reader.get("other").stale
            with pytest.raises(StorageError):
                reader.get("greet")


def test_what_is_announced_before_its_commit_has_returned_stays_cached_without_an_answer(
    place: Place, mute: Callable[[Registry], None]
) -> None:
    """Another registry has cached it already, and needs no answer to return it as stale."""
    reader = place.beside
    warm(reader, "greet", "other")
    with Registry(place.through, busy_timeout=10 * MARGIN) as writer:
        place.proxy.at_completion("^COMMIT$", Link.freeze)
        thread = threading.Thread(target=writer.update, args=["greet"], kwargs={"template": "2"})
        thread.start()
        until(lambda: (now := reader.get("greet")).template == "2" and not now.stale)
        warm(reader, "greet", "other")
        assert thread.is_alive()
        for link in place.proxy._links:
            link.thaw()
        thread.join()
        mute(reader)
        assert unanswered(reader, "other").template == "Other"
        assert (reader.get("greet").template, reader.get("greet").stale) == ("2", True)


def test_a_commit_that_was_found_to_have_happened_is_written_by_this_process(
    place: Place, mute: Callable[[Registry], None]
) -> None:
    """Its outcome was unknown at first; no registry of the process returns what was before, not even as stale."""
    reader = place.beside
    warm(reader, "greet", "other")
    mute(reader)
    place.proxy.at_completion("^COMMIT$")
    assert place.registry.update("greet", template="2").version == 2
    assert not place.proxy.disarm()
    assert (reader.get("other").stale, reader.get("greet").template) == (True, "2")


def test_a_commit_that_happened_after_all_is_written_by_this_process(
    place: Place, mute: Callable[[Registry], None]
) -> None:
    """A registry has cached what was before: it was opened once no answer had come, and before the server went on."""
    signal = place.beside._core.storage.signal  # type: ignore[attr-defined]
    before = signal.last_written()
    with Registry(place.through, busy_timeout=MARGIN) as writer, ExitStack() as opened:
        place.proxy.at_statement("^COMMIT$", Link.freeze)
        thread = threading.Thread(target=writer.update, args=["greet"], kwargs={"template": "2"})
        thread.start()
        until(lambda: signal.last_written() is not before, 3 * MARGIN)
        reader = opened.enter_context(Registry(place.target))
        warm(reader, "greet", "other")
        assert reader.get("greet").template == "1"
        mute(reader)
        for link in place.proxy._links:
            link.thaw()
        thread.join()
        assert unanswered(reader, "other").template == "Other"
        assert reader.get("greet").template == "2"


@pytest.mark.usefixtures("no_notification", "no_beat")
@pytest.mark.parametrize("step", ["observe", "note_written"])
def test_a_write_that_was_interrupted_after_its_commit_is_seen_at_once(
    place: Place, mute: Callable[[Registry], None], monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """A signal handler raised before the other registries were told; they return nothing from before."""
    reader, signal = place.beside, place.registry._core.storage.signal  # type: ignore[attr-defined]
    warm(reader, "greet", "other")
    mute(reader)
    with monkeypatch.context() as patched:
        todo, calls = getattr(signal, step), itertools.count()
        nth = 2 if step == "observe" else 0  # after those of the plan and of the lock

        def interrupted(*values: Any) -> None:
            if next(calls) == nth:
                raise KeyboardInterrupt
            todo(*values)

        patched.setattr(signal, step, interrupted)
        with pytest.raises(KeyboardInterrupt):
            place.registry.update("greet", template="2")
    assert (reader.get("other").stale, reader.get("greet").template) == (True, "2")


def test_what_a_process_has_loaded_is_found_at_once_without_an_answer(
    postgres_target: str, tmp_path: Path, mute: Callable[[Registry], None]
) -> None:
    """Another registry of the process has cached that there is nothing."""
    with Registry(postgres_target) as reader, Registry(postgres_target) as loader:
        until(lambda: reader.get("greet", default=None) is None and reader._core.cache.generation.negative)
        mute(reader)
        with Registry(tmp_path / "prompts.db") as source:
            source.create("greet", "Hello")
            with source._core.storage.dump() as dump:
                loader._core.load(dump.entries)
        assert reader.get("greet").template == "Hello"


def test_what_a_process_has_changed_is_dropped_once_without_an_answer(
    place: Place, mute: Callable[[Registry], None]
) -> None:
    """The next stale reads copy no cache, however long the server does not answer."""
    reader = place.registry
    warm(reader, "greet", "other")
    mute(reader)
    place.beside.update("greet", template="2")
    assert reader.get("other").stale
    generation = reader._core.cache.generation
    assert "greet" not in generation.entries
    assert reader.get("other").stale
    assert reader._core.cache.generation is generation


@pytest.mark.parametrize("way", ["cut", "refusing"])
def test_a_lost_connection_is_made_anew_and_no_read_fails(place: Place, way: str) -> None:
    """While the server is away cached reads go on; when it is back they are current again."""
    registry = place.registry
    for _ in range(3):
        warm(registry, "greet")
        if way == "cut":
            place.proxy.cut()
        else:
            with place.proxy.refusing():
                unanswered(registry)
        until(lambda: not registry.get("greet").stale)
        place.beside.update("other", title=str(time.monotonic()))
        assert registry.get("greet").template == "1"


def test_a_read_waits_once_and_then_not_for_a_second(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """After an answer did not come within 50 ms, no read waits for one until a second has passed."""
    registry, waits = place.registry, []
    listen(registry)
    warm(registry, "greet")
    wait = type(listener_of(registry)).wait

    def timed_wait(self: Any, left: float) -> None:
        begin = time.monotonic()
        wait(self, left)
        waits.append((begin, time.monotonic()))

    monkeypatch.setattr(type(listener_of(registry)), "wait", timed_wait)
    with place.proxy.frozen():
        unanswered(registry)
        waits[:-1] = []  # what came before it may have been answered
        for _ in range(100):
            assert registry.get("greet").stale
    assert all(later > end + SECOND / 2 for (_, end), (later, _) in pairwise(waits))
    assert waits


def test_max_staleness_allows_cached_reads_for_longer(place: Place) -> None:
    """With `max_staleness=60` a minute without an answer is young enough, and no read is marked."""
    with Registry(place.through, max_staleness=60) as relaxed:
        warm(relaxed, "greet")
        warm(place.registry, "greet")
        with place.proxy.frozen():
            unanswered(place.registry)
            assert not relaxed.get("greet").stale


def test_a_strict_read_without_an_answer_is_busy(place: Place) -> None:
    """It is `StorageBusyError` after `busy_timeout`, or the default, and never stale; and it heals."""
    with Registry(place.through, freshness="strict", busy_timeout=BUSY) as strict:
        assert strict.get("greet").template == "1"
        with place.proxy.frozen():
            begin = time.monotonic()
            with pytest.raises(StorageBusyError, match="freshness='strict'") as caught:
                strict.get("greet")
            assert time.monotonic() - begin < BUSY + MARGIN
            assert caught.value.details["retry_after"] > 0
            assert strict.render("greet", default="Default").text == "Default"
        place.beside.update("greet", template="2")
        assert healed(lambda: strict.get("greet").template) == "2"
        with place.proxy.refusing(), pytest.raises(StorageBusyError):
            strict.get("greet")
        assert healed(lambda: strict.get("greet").template) == "2"


def test_threads_whose_strict_reads_have_no_answer_are_busy_together(place: Place) -> None:
    """None waits for the time of another one as well, nor does a `wait_for` of less time."""
    with Registry(place.through, freshness="strict", busy_timeout=BUSY) as strict:
        listen(strict)
        calls = [*[lambda: strict.get("greet")] * 4, lambda: strict.wait_for(10**6, timeout=0.1)]
        with place.proxy.frozen(), ThreadPoolExecutor(len(calls)) as pool:
            outcomes = [*pool.map(timed, calls)]
        assert [type(outcome) for outcome, _ in outcomes] == [StorageBusyError] * len(calls)
        assert max(seconds for _, seconds in outcomes) < BUSY + MARGIN
        assert outcomes[-1][1] < 0.1 + MARGIN


def test_strict_reads_of_threads_that_wait_share_a_check(postgres_target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A check that began after a read did answers it too: of those who wait for one another, one asks for all."""
    from promptreg.storage.postgres.change_check import ChangeCheck

    with Registry(postgres_target, freshness="strict") as registry:
        registry.create("greet", "Hello")
        registry.get("greet")
        checks: list[Any] = []
        check = ChangeCheck.changes_since

        def slow(*given: Any) -> Any:
            checks.append(given)
            time.sleep(0.2)
            return check(*given)

        monkeypatch.setattr(ChangeCheck, "changes_since", slow)
        with ThreadPoolExecutor(8) as pool:
            assert [prompt.template for prompt in pool.map(registry.get, ["greet"] * 8)] == ["Hello"] * 8
        assert len(checks) < 8


def test_strict_reads_without_a_busy_timeout_are_answered(postgres_target: str) -> None:
    """As with every call, a server has some time for its answer, whatever `busy_timeout` says of waiting for others."""
    with Registry(postgres_target, freshness="strict", busy_timeout=0) as registry:
        registry.create("greet", "Hello")
        assert [registry.get("greet").template for _ in range(3)] == ["Hello"] * 3


@pytest.mark.usefixtures("apart")
def test_a_short_time_to_wait_makes_nothing_stale(postgres_target: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a rest `wait_for` asks, also with no time; where the revision does not come, reads go on as before."""
    wait_for_answers(monkeypatch)
    with Registry(postgres_target) as registry, Registry(postgres_target) as other:
        registry.create("greet", "0")
        listen(registry)
        for timeout in (0, 0.001):
            time.sleep(0.2)  # until what is known of the database is too old to be returned unasked
            other.update("greet", template=str(timeout))
            registry.wait_for(other.revision, timeout)
            time.sleep(0.2)
            with pytest.raises(StorageBusyError):
                registry.wait_for(10**6, timeout)
            time.sleep(0.2)
            prompt = registry.get("greet")
            assert (prompt.template, prompt.stale) == (str(timeout), False)


def test_a_short_wait_without_an_answer_keeps_no_read_from_waiting(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It proves nothing, so the next read waits for an answer itself."""
    registry, waits = place.registry, []
    warm(registry, "greet")
    listen(registry)
    wait = type(listener_of(registry)).wait
    with place.proxy.frozen():
        time.sleep(0.2)  # until what is known of the database is too old to be returned unasked
        with pytest.raises(StorageBusyError):
            registry.wait_for(10**6, 0)
        monkeypatch.setattr(
            type(listener_of(registry)), "wait", lambda self, left: (waits.append(left), wait(self, left))
        )
        assert registry.get("greet").stale
    assert waits


@pytest.mark.parametrize("freshness", ["bounded", "strict"])
def test_waiting_for_a_revision_ends_with_its_time_without_an_answer(place: Place, freshness: str) -> None:
    """`wait_for` takes as long as it was told, also where a read would wait for longer; afterwards it succeeds."""
    with Registry(place.through, freshness=freshness, busy_timeout=30) as registry:
        registry.get("greet")
        revision = registry.revision
        with place.proxy.frozen():
            time.sleep(0.2)
            begin = time.monotonic()
            with pytest.raises(StorageBusyError):
                registry.wait_for(revision, timeout=0.3)
            assert time.monotonic() - begin < 0.3 + MARGIN
        registry.wait_for(revision)


@pytest.mark.usefixtures("apart")
def test_only_the_listener_is_down(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the server answers all but the listener, cached reads are stale, and uncached ones current."""
    registry = place.registry
    warm(registry, "greet")
    lose_listener(registry, monkeypatch)
    stale = unanswered(registry)
    place.beside.update("greet", template="2")
    assert registry.get("greet").template == stale.template == "1"
    assert (registry.get("other").template, registry.history("greet")[0].template) == ("Other", "2")
    monkeypatch.undo()
    until(lambda: registry.get("greet").template == "2" and not registry.get("greet").stale)


def test_no_name_is_resolved_while_a_read_waits(
    postgres_target: str, postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The system may take long to resolve a name, so that a thread waits for it, and no read."""
    with closing(Proxy(postgres_url)) as proxy:
        through = postgres_target.replace(postgres_url.partition("?")[0], proxy.url.replace("127.0.0.1", "localhost"))
        with Registry(through) as registry:
            registry.create("greet", "Hello")
            warm(registry, "greet")
            resolving: list[threading.Thread] = []
            resolve = socket.getaddrinfo
            monkeypatch.setattr(
                socket,
                "getaddrinfo",
                lambda *a, **m: (resolving.append(threading.current_thread()), resolve(*a, **m))[1],
            )
            with proxy.refusing():
                unanswered(registry)
                until(lambda: bool(registry.get("greet") and resolving))
            until(lambda: not registry.get("greet").stale)
            assert threading.current_thread() not in resolving


def test_spans_and_metrics_say_that_a_read_is_stale(place: Place) -> None:
    """A stale render has a span that says so, as for a file that is gone."""
    registry = place.registry
    warm(registry, "greet")
    with place.proxy.frozen(), tracing() as spans:
        unanswered(registry)
        spans()
        assert registry.render("greet").prompt.stale  # type: ignore[union-attr]
        (span,) = spans()
        assert span.attributes["promptreg.cache"] == "stale"


# Forks


def test_a_child_of_a_fork_listens_anew_and_its_parent_goes_on(postgres_target: str) -> None:
    """After the fork both see each other's changes, and neither has ended the other's connection."""
    with Registry(postgres_target) as registry:
        registry.create("greet", "0")
        registry.get("greet")
        listen(registry)
        out, into = os.pipe()
        child = os.fork()
        if not child:
            in_child(lambda: publish_when_seen(registry), into)
        os.close(into)
        registry.update("greet", template="1")
        until(lambda: registry.get("greet").template == "2", 30)
        assert of_child(child, out) == "seen"
        until(lambda: not registry.get("greet").stale)


def publish_when_seen(registry: Registry) -> str:
    until(lambda: registry.get("greet").template == "1", 20)
    registry.update("greet", template="2")
    return "seen"
