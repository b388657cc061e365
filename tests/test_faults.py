"""Faults: a commit with an unknown outcome, a failing disk, a file that was temporarily not writable."""

import itertools
import math
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from promptreg import (
    CommitUnknownError,
    NotFoundError,
    PromptregError,
    Registry,
    StorageBusyError,
    StorageCorruptError,
    StorageError,
    StorageReadOnlyError,
)
from promptreg.storage.sqlite import diagnosis, unknown_commits
from promptreg.storage.sqlite.sidecar import Sidecar
from tests.faulty import CORRUPT, IOERR_FSYNC, IOERR_READ, Faults, copied, install, unknown_commits_left
from tests.test_storage_sqlite import raw, traces


@pytest.fixture
def faults(monkeypatch: pytest.MonkeyPatch) -> Faults:
    """The statements that fail on connections that are opened from now on."""
    return install(monkeypatch)


@pytest.fixture
def opened(faults: Faults, path: str) -> Iterator[Registry]:
    """A registry with `greet`, version 1, and `other` in its cache, and `uncached`; its statements can fail."""
    with Registry(path) as registry:
        registry.create("greet", "One")
        registry.create("other", "Other")
        registry.create("uncached", "Uncached")
        registry.get("greet")
        registry.get("other")
        yield registry
    unknown_commits.note_settled(path)


@pytest.fixture(scope="module")
def leave_unknown_commit() -> Iterator[Callable[[str, str], None]]:
    """A function that appends a commit to a log, which SQLite ignores until it recovers from a crash."""
    with unknown_commits_left() as leave:
        yield leave


NUMBERS = itertools.count()


def after_a_crash(path: str, tmp_path: Path) -> int:
    """Return which version of `greet` is live in the file after a crash at this moment."""
    with Registry(copied(path, str(tmp_path / f"crash-{next(NUMBERS)}"))) as registry:
        return registry.get("greet").version


# A commit with an unknown outcome


def roll_back(connection: sqlite3.Connection) -> None:
    sqlite3.Connection.execute(connection, "ROLLBACK")


def commit(connection: sqlite3.Connection) -> None:
    sqlite3.Connection.execute(connection, "COMMIT")


ANSWERS: dict[str, Callable[[Registry], object]] = {
    "cached": lambda r: until_it_is_not_stale(r) == 1,
    "what it wrote": lambda r: r.get("greet").version == 1,
    "render": lambda r: r.render("greet").text == "One",
    "uncached": lambda r: r.get("uncached").version == 1,
    "absent": lambda r: r.get("absent", default=None) is None,
    "list": lambda r: [prompt.version for prompt in r.list()] == [1, 1, 1],
    "events": lambda r: len(r.events()) == 6,
    "history": lambda r: len(r.history("greet")) == 1,
    "update": lambda r: r.update("greet", template="One").version == 1,
    "another registry": lambda r: open_and_get(r.path) == 1,
}


def until_it_is_not_stale(registry: Registry) -> int:
    while registry.get("other").stale:
        time.sleep(0.01)
    return registry.get("other").version


def open_and_get(path: str) -> int:
    with Registry(path) as registry:
        return registry.get("greet").version


@pytest.mark.parametrize("answer", ANSWERS.values(), ids=ANSWERS)
@pytest.mark.parametrize("staleness", [0, pytest.param(0.05, marks=pytest.mark.slow)])
def test_a_read_after_a_commit_of_unknown_outcome_resolves_it_first(
    opened: Registry,
    faults: Faults,
    path: str,
    tmp_path: Path,
    leave_unknown_commit: Callable[[str, str], None],
    answer: Callable[[Registry], bool],
    staleness: float,
) -> None:
    """After a read without a commit that is in the WAL, a crash does not bring that commit back."""
    with Registry(path, max_staleness=staleness) as registry:
        registry.get("greet"), registry.get("other")

        def fail(connection: sqlite3.Connection) -> None:
            roll_back(connection)
            if faults.count == 1:  # but not when it is resolved
                leave_unknown_commit(path, str(tmp_path / "copy"))

        with faults.failing("COMMIT", IOERR_FSYNC, fail), pytest.raises(CommitUnknownError):
            registry.update("greet", template="Two")
        assert after_a_crash(path, tmp_path) == 2
        assert answer(registry)
        assert after_a_crash(path, tmp_path) == 1
        assert registry.update("greet", template="Three").version == 2
        assert after_a_crash(path, tmp_path) == 2


def test_a_failed_commit_that_was_stored_is_read(opened: Registry, faults: Faults, path: str, tmp_path: Path) -> None:
    """If the commit was stored, the next read of any registry sees it, also after a crash."""
    with Registry(path) as other:
        assert other.get("greet").version == 1
        with faults.failing("COMMIT", IOERR_FSYNC, commit), pytest.raises(CommitUnknownError):
            opened.update("greet", template="Two")
        assert opened.get("greet").version == other.get("greet").version == 2
        assert after_a_crash(path, tmp_path) == 2
        assert opened.update("greet", template="Three").version == 3


def refused(call: Callable[[Registry], object], registry: Registry) -> dict[str, Any]:
    """Return the details of a call's error, which is no `CommitUnknownError`, as that is about the call's commit."""
    with pytest.raises(StorageError) as caught:
        call(registry)
    assert type(caught.value) is StorageError
    return caught.value.details


def test_while_it_can_not_be_resolved_only_cached_prompts_are_returned_as_stale(
    opened: Registry, faults: Faults
) -> None:
    """Only cached prompts that this registry did not try to change are returned, until the disk works again."""
    with faults.failing("COMMIT", IOERR_FSYNC, roll_back):
        with pytest.raises(CommitUnknownError):
            opened.update("greet", template="Two")
        for _ in range(3):
            assert (opened.get("other").version, opened.get("other").stale) == (1, True)
            assert opened.render("other").text == "Other"
            for name, call in ANSWERS.items():
                if name not in {"cached", "absent", "another registry"}:
                    assert refused(call, opened)["reason"] == "unsettled", name
            assert refused(lambda r: r.create("new", "New"), opened) == {"reason": "unsettled"}
            time.sleep(0.06)
        assert opened.get("uncached", default=None) is None
    assert opened.get("uncached").version == 1
    assert (opened.get("other").stale, opened.get("greet").version) == (False, 1)
    assert opened.update("greet", template="Two").version == 2


def test_cached_reads_try_to_resolve_it_at_most_every_50_ms(
    opened: Registry, faults: Faults, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cached reads try at most every 50 ms, because a failing disk is slow."""
    monkeypatch.setattr(unknown_commits, "CHECK_SECONDS", 3600.0)
    with faults.failing("COMMIT", IOERR_FSYNC, roll_back):
        with pytest.raises(CommitUnknownError):
            opened.update("greet", template="Two")
        for _ in range(100):
            assert opened.get("other").stale
        assert faults.count == 2


def test_a_call_that_can_not_resolve_it_because_others_write_is_busy(
    opened: Registry, faults: Faults, path: str
) -> None:
    """The error is `StorageBusyError` with the seconds to wait."""
    with Registry(path, busy_timeout=0) as hasty:
        with faults.failing("COMMIT", IOERR_FSYNC, roll_back), pytest.raises(CommitUnknownError):
            hasty.update("greet", template="Two")
        with closing(raw(path)) as other:
            other.execute("BEGIN IMMEDIATE")
            with pytest.raises(StorageBusyError):
                hasty.list()
            other.execute("ROLLBACK")
        assert len(hasty.list()) == 3


def test_a_cached_read_does_not_wait_to_resolve_it(opened: Registry, faults: Faults, path: str) -> None:
    """While others write, cached reads return stale prompts without waiting."""
    with faults.failing("COMMIT", IOERR_FSYNC, roll_back), pytest.raises(CommitUnknownError):
        opened.update("greet", template="Two")
    with closing(raw(path)) as other:
        other.execute("BEGIN IMMEDIATE")
        time.sleep(0.06)
        before = time.monotonic()
        assert opened.get("other").stale
        assert time.monotonic() - before < 4  # and not 5, the usual `busy_timeout`
        other.execute("ROLLBACK")


@pytest.mark.parametrize("reason", ["schema_too_new", "removed"])
def test_another_reason_why_it_can_not_be_resolved_is_reported(
    opened: Registry, faults: Faults, path: str, reason: str
) -> None:
    """The error has the actual reason, and does not mention the disk."""
    with faults.failing("COMMIT", IOERR_FSYNC, roll_back), pytest.raises(CommitUnknownError):
        opened.update("greet", template="Two")
    if reason == "removed":
        os.unlink(path)
    else:
        with closing(raw(path)) as other:
            other.execute("PRAGMA user_version = 99")
    for call in (lambda r: r.get("uncached"), lambda r: r.update("greet", template="Two")):
        with pytest.raises(StorageError) as caught:
            call(opened)
        assert caught.value.details["reason"] == reason


def test_a_commit_that_surely_failed_is_not_unknown(opened: Registry, faults: Faults) -> None:
    """On a full disk the commit has certainly failed, so that nothing must be resolved, and reads work."""
    full = "database or disk is full", sqlite3.OperationalError, sqlite3.SQLITE_FULL
    with faults.failing("COMMIT", full, roll_back):
        with pytest.raises(StorageError) as caught:
            opened.update("greet", template="Two")
        assert caught.value.code == "service_unavailable"
        assert [prompt.version for prompt in opened.list()] == [1, 1, 1]
        assert not opened.get("greet").stale


def test_if_not_even_the_unknown_commit_can_be_published_no_cached_prompt_is_returned(
    opened: Registry, faults: Faults, monkeypatch: pytest.MonkeyPatch
) -> None:
    """This registry's next read resolves it first, even though its cache has not expired."""

    def fail(self: Sidecar, revision: int) -> None:
        raise OSError(5, "Input/output error")

    opened._core.cache.generation.until = float("inf")
    with monkeypatch.context() as patch:
        patch.setattr(Sidecar, "publish", fail)
        with faults.failing("COMMIT", IOERR_FSYNC, roll_back):
            with pytest.raises(CommitUnknownError):
                opened.update("greet", template="Two")
            assert opened.get("other").stale
    time.sleep(0.06)
    assert not opened.get("other").stale
    assert not unknown_commits.is_unsettled(opened.path)


def test_a_commit_that_failed_for_lack_of_memory_is_unknown_too(opened: Registry, faults: Faults) -> None:
    """The outcome is resolved, because the WAL may have been written before the error."""
    with faults.failing("COMMIT", ("", MemoryError, 7), roll_back):  # type: ignore[arg-type]
        with pytest.raises(CommitUnknownError):
            opened.update("greet", template="Two")
        assert unknown_commits.is_unsettled(opened.path)
    assert (opened.get("greet").version, unknown_commits.is_unsettled(opened.path)) == (1, False)


# Failures after a commit


@pytest.mark.parametrize("attempts", [1, 2, pytest.param(10_000, marks=pytest.mark.slow)])
def test_a_failure_to_publish_does_not_fail_the_write_and_leaves_no_cache_stale(
    opened: Registry, path: str, monkeypatch: pytest.MonkeyPatch, attempts: int
) -> None:
    """Publishing is retried; if it keeps failing, the write returns once every cache has expired."""
    for where in ("storage", "revisions"):
        monkeypatch.setattr(f"promptreg.storage.sqlite.{where}.CHECK_SECONDS", 1.0)
    publish, left = Sidecar.publish, iter(range(attempts))

    def fail(self: Sidecar, revision: int) -> None:
        if next(left, None) is not None:
            raise OSError(5, "Input/output error")
        publish(self, revision)

    with Registry(path) as other, Registry(path, max_staleness=0.05) as stale:
        for registry in (other, stale, opened):
            registry._core._holds = 1.0
            registry.get("greet")
            registry._core.cache.generation.until = time.monotonic() + 1.0
        monkeypatch.setattr(Sidecar, "publish", fail)
        assert opened.update("greet", template="Two").version == 2
        assert other.get("greet").version == opened.get("greet").version == 2
        if attempts == 10_000:
            assert stale.get("greet").version == 2
        assert opened.get("uncached").version == other.get("uncached").version == 1


def test_no_thread_keeps_what_was_before_a_commit_that_can_not_be_published(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The check of another thread, while the writer waits for caches to expire, makes none last longer."""
    Registry(path).create("greet", "One")
    failures, seen = itertools.count(), []
    with Registry(path) as registry:
        assert registry.get("greet").version == 1
        cache = registry._core.cache

        def check() -> None:
            cache.generation.until = -math.inf
            seen.append(registry.get("greet").version)
            cache.generation.until = math.inf  # as if the writer returned before the outcome of this check expires

        def fail(self: Sidecar, revision: int) -> None:
            if next(failures) == 2:  # after the commit's own attempts
                thread = threading.Thread(target=check)
                thread.start()
                thread.join()
            raise OSError(5, "Input/output error")

        with monkeypatch.context() as patch:
            patch.setattr(Sidecar, "publish", fail)
            assert registry.update("greet", template="Two").version == 2
        assert len(seen) == 1
        assert registry.get("greet").version == 2


@pytest.mark.slow
def test_a_reader_that_can_not_publish_for_a_dead_writer_waits_until_all_caches_expire(
    opened: Registry, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It returns when no later read of another process can return older data."""
    for where in ("storage", "revisions"):
        monkeypatch.setattr(f"promptreg.storage.sqlite.{where}.CHECK_SECONDS", 1.0)

    def fail(self: Sidecar, revision: int) -> None:
        raise OSError(5, "Input/output error")

    with Registry(path) as other:
        other._core._holds = 1.0
        other.get("greet")
        other._core.cache.generation.until = time.monotonic() + 1.0
        with monkeypatch.context() as patch:
            patch.setattr(Sidecar, "publish", lambda self, revision: None)  # as if the writer had died before it
            opened.update("greet", template="Two")
        with Registry(path) as reader:
            monkeypatch.setattr(Sidecar, "publish", fail)
            assert reader.get("greet").version == 2
            assert other.get("greet").version == 2


def test_a_handlers_error_during_publishing_is_raised(opened: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """A `TimeoutError` of an alarm handler is the application's error, and not taken for a failure of the disk."""

    def alarm(self: Sidecar, revision: int) -> None:
        raise TimeoutError

    with monkeypatch.context() as patch:
        patch.setattr(Sidecar, "publish", alarm)
        with pytest.raises(TimeoutError):
            opened.update("greet", template="Two")


ERASING = [
    "VACUUM",
    "PRAGMA wal_checkpoint",
    "UPDATE registry SET (vacuumed|erased)",
    "PRAGMA b",
]


@pytest.mark.slow
@pytest.mark.parametrize("step", ERASING)
@pytest.mark.parametrize("kind", [CORRUPT, IOERR_READ])
def test_a_failure_to_erase_does_not_fail_the_deletion_and_is_retried(
    opened: Registry, faults: Faults, path: str, step: str, kind: Any
) -> None:
    """It does not fail a read or write that retries it either."""
    opened.create("secret", "zanzibar")
    with faults.failing(step, kind):
        assert opened.set_status("secret", "deleted").updated == ["secret"]
        assert faults.count == 1
        for _ in range(3):
            assert opened.get("secret", default=None) is None
            assert opened.get("uncached@1").version == 1
            opened.set_label("greet", "staging", 1)
            opened.remove_label("greet", "staging")
            time.sleep(0.06)
    opened.update("greet", template="Two")
    assert traces(os.path.dirname(path), [b"zanzibar"]) == []


def test_a_deletion_does_not_fail_if_the_progress_of_erasing_can_not_be_read(
    opened: Registry, faults: Faults, path: str
) -> None:
    """The deletion succeeds, because the progress is read after the commit."""
    opened.create("secret", "zanzibar")
    with faults.failing("SELECT deleted_revision", CORRUPT):
        assert opened.set_status("secret", "deleted").updated == ["secret"]
    opened.update("greet", template="Two")
    assert traces(os.path.dirname(path), [b"zanzibar"]) == []


# A disk that fails, and a file that is damaged


CALLS: dict[str, Callable[[Registry], object]] = {
    "get": lambda r: r.get("uncached"),
    "list": lambda r: r.list(),
    "search": lambda r: r.search("one"),
    "history": lambda r: r.history("greet"),
    "events": lambda r: r.events(),
    "update": lambda r: r.update("greet", template="Two"),
    "set_status": lambda r: r.set_status("greet", "deleted"),
    "open": lambda r: open_and_get(r.path),
}


@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
@pytest.mark.parametrize("again", [None, IOERR_READ], ids=["passing", "lasting"])
@pytest.mark.parametrize("fault", [CORRUPT, IOERR_READ], ids=["as damage", "as it is"])
def test_a_read_error_of_the_disk_is_not_reported_as_damage(
    opened: Registry, faults: Faults, call: Callable[[Registry], object], fault: Any, again: Any
) -> None:
    """SQLite reports damage, but the error is `StorageError` with reason `io_error`, without advice to restore."""
    faults.backup = again
    with faults.failing(r"SELECT (?!\S* FROM sqlite_master)", fault), pytest.raises(StorageError) as caught:
        call(opened)
    assert type(caught.value) is StorageError
    assert caught.value.details == {"reason": "io_error"}
    assert "restore" not in caught.value.message
    assert isinstance(caught.value.__cause__, sqlite3.Error)
    faults.backup = None
    assert opened.get("uncached").version == 1


@pytest.fixture
def damaged(path: str) -> str:
    """The path of a file in which the first page of `versions` is zeros."""
    with Registry(path) as registry:
        for number in range(40):
            registry.create(f"p{number}", "text " * 300)
    with closing(raw(path)) as connection:
        (root,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'versions'").fetchone()
        (size,) = connection.execute("PRAGMA page_size").fetchone()
    data = bytearray(Path(path).read_bytes())
    data[(root - 1) * size : root * size] = b"\7" * size
    Path(path).write_bytes(data)
    return path


def test_a_damaged_page_is_reported_as_damage(damaged: str) -> None:
    """A page whose copy is damaged too is reported with the advice to restore an earlier copy."""
    with Registry(damaged) as registry:
        for _ in range(3):
            with pytest.raises(StorageCorruptError, match="restore a copy"):
                registry.get("p1")


def test_for_a_large_file_the_error_says_how_to_find_out(damaged: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The check would take too long within a call, so that the error says how to run it."""
    monkeypatch.setattr(diagnosis, "LARGEST", 4096)
    with (
        Registry(damaged) as registry,
        pytest.raises(StorageCorruptError, match=r"or its disk .* verify\(\)") as caught,
    ):
        registry.get("p1")
    assert "restore" not in caught.value.message


def test_a_disk_error_during_the_check_of_the_file_is_not_taken_for_a_replacement(
    opened: Registry, faults: Faults
) -> None:
    """If the file's mtime has changed and it can't be read at that time, the registry keeps using it."""
    os.utime(opened.path, (1, 1))
    time.sleep(0.06)
    connect, made = sqlite3.connect, []

    def fail(connection: sqlite3.Connection) -> None:
        made.append(connection)

    with faults.failing("SELECT revision", CORRUPT, fail):
        opened.get("other")
    assert made
    assert connect is sqlite3.connect
    time.sleep(0.06)
    assert not opened.get("other").stale
    assert opened.update("greet", template="Two").version == 2


# A file that is temporarily not writable


def in_a_thread(
    *steps: tuple[threading.Event, threading.Event, Callable[[], object]],
) -> tuple[threading.Thread, list[Any]]:
    """Run steps in one thread, each after its first event is set; its second event is set when it is done."""
    results: list[Any] = []

    def run() -> None:
        for begin, done, step in steps:
            begin.wait(30)
            try:
                results.append(step())
            except PromptregError as error:
                results.append(error)
            done.set()

    thread = threading.Thread(target=run)
    thread.start()
    return thread, results


def unwritable(monkeypatch: pytest.MonkeyPatch) -> None:
    """Open each connection as SQLite does for a file that can't be opened for writing."""
    connect = sqlite3.connect
    monkeypatch.setattr(sqlite3, "connect", lambda name, **more: connect(name.replace("mode=rw", "mode=ro"), **more))


def test_a_read_only_connection_is_replaced_when_the_file_is_writable(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A connection that was opened read-only, which would refuse all writes, is replaced; others are kept."""
    with Registry(path) as registry:
        registry.create("greet", "One")
        events = [threading.Event() for _ in range(4)]
        thread, results = in_a_thread(
            (events[0], events[1], registry.list),
            (events[2], events[3], lambda: registry.update("greet", template="Two").version),
        )
        with monkeypatch.context() as patch:
            unwritable(patch)
            events[0].set()
            events[1].wait(30)
        events[2].set()
        thread.join()
        assert results[1:] == [2]
        assert registry.update("greet", template="Three").version == 3


def test_a_file_that_can_not_be_written_is_still_refused(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """If every new connection is read-only, the write is refused once, and reads work."""
    with Registry(path) as registry:
        registry.create("greet", "One")
        with monkeypatch.context() as patch:
            unwritable(patch)
            registry._core.storage._connections.reconnect()  # type: ignore[attr-defined]
            with pytest.raises(StorageReadOnlyError):
                registry.update("greet", template="Two")
            assert registry.get("greet").version == 1
        assert registry.update("greet", template="Two").version == 2


def test_a_registry_opened_on_a_read_only_file_writes_when_it_is_writable(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its first write after that succeeds, and its cache is fresh, also after a fork."""
    with Registry(path) as registry:
        registry.create("greet", "One")
    with monkeypatch.context() as patch:
        patch.setattr("promptreg.storage.sqlite.readonly.is_writable", lambda path: False)
        late = Registry(path)
        assert late.get("greet").version == 1
        with pytest.raises(StorageReadOnlyError):
            late.update("greet", template="Two")
    with late, Registry(path) as other:
        assert late.get("greet").version == 1
        assert late.update("greet", template="Two").version == 2
        assert (late.get("greet").version, other.get("greet").version) == (2, 2)
        for number in range(3, 6):
            assert other.update("greet", template=f"{number}").version == number
            assert late.get("greet").version == number
        threads = [
            threading.Thread(target=late.update, args=("greet",), kwargs={"template": f"t{n}"}) for n in range(4)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        child = os.fork()
        if child == 0:
            os._exit(late.update("greet", template="child").version)
        assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 10
        assert late.get("greet").version == 10
        with pytest.raises(NotFoundError):
            late.get("absent")
