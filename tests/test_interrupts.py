"""Ctrl-C at any moment: the registry goes on, no transaction stays open, and no cache is stale."""

import errno
import math
import signal
import threading
from collections.abc import Sequence
from contextlib import ExitStack, closing, nullcontext
from typing import Any, NoReturn

import pytest

from promptreg import Registry, StorageError
from promptreg.records import Change
from promptreg.storage.sqlite.sidecar import Sidecar
from promptreg.storage.sqlite.storage import SQLiteStorage
from promptreg.storage.sqlite.writer import SQLiteWriter
from tests.conftest import assert_other_threads_open
from tests.test_storage_sqlite import raw, traces


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _work(registry: Registry, trial: int) -> None:
    """Read and write for long; in a function, because Python 3.13 lets an interrupt out of a loop in a `with`."""
    view = registry.scope(namespace="elsewhere").scope(namespace=registry.namespace)
    for i in range(10_000):
        registry.get("greet")
        view.render("greet@1")
        if i % 20 == 0:
            registry.list()
            registry.update("greet", template=f"{trial} {i}")


@pytest.mark.usefixtures("destructors_may_be_interrupted")
def test_an_interrupt_at_any_moment_leaves_a_registry_that_works(registry: Registry) -> None:
    """Signals at random moments of reads and writes: each next call answers, and no write is lost or half-done."""
    registry.create("greet", "0")
    interrupted, previous = 0, signal.signal(signal.SIGALRM, _interrupt)
    try:
        for trial in range(60):
            try:
                signal.setitimer(signal.ITIMER_REAL, 0.0005 + trial * 0.00013)
                _work(registry, trial)
            except KeyboardInterrupt:
                interrupted += 1
            signal.setitimer(signal.ITIMER_REAL, 0)
            with Registry(registry.path, busy_timeout=1) as other:
                latest = other.update("greet", template=f"after {trial}").version
            assert registry.get("greet").version == latest
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    history = registry.history("greet", limit=100_000)
    assert interrupted > 0
    assert [v.version for v in history] == list(range(len(history), 0, -1))


def test_an_interrupt_as_a_write_begins_leaves_no_transaction(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Behind BEGIN already, before anything is read."""
    registry.create("greet", "Hello")
    with monkeypatch.context() as patch:
        patch.setattr(SQLiteWriter, "__init__", _interrupt)
        with pytest.raises(KeyboardInterrupt):
            registry.update("greet", template="Hi")
    with Registry(registry.path, busy_timeout=0) as other:
        assert other.update("greet", template="Hi").version == 2
    assert registry.update("greet", template="Hey").version == 3


def test_an_interrupt_behind_a_commit_leaves_no_stale_cache(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rule 16: the commit holds, so the very next read of the same thread sees it."""
    registry.create("greet", "Hello")
    assert registry.get("greet").template == "Hello"
    commit = SQLiteStorage._commit

    def commit_and_die(self: SQLiteStorage, *operands: object) -> None:
        commit(self, *operands)  # type: ignore[arg-type]
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(SQLiteStorage, "_commit", commit_and_die)
        with pytest.raises(KeyboardInterrupt):
            registry.update("greet", template="Hi")
    assert registry.get("greet").template == "Hi"


@pytest.mark.parametrize(
    ("failure", "outcome"),
    [
        (KeyboardInterrupt, pytest.raises(KeyboardInterrupt)),
        (
            TimeoutError(),
            pytest.raises(TimeoutError),
        ),  # an alarm's: an OSError that is no failure of the system
        (OSError(errno.EIO, "I/O"), nullcontext()),
    ],
)
def test_others_see_a_commit_at_once_whose_publishing_fails(
    registry: Registry, monkeypatch: pytest.MonkeyPatch, failure: Any, outcome: Any
) -> None:
    """Cut short behind its COMMIT, before it was shown: the next read of another registry sees it, without a look."""
    registry.create("greet", "Hello")
    publish, failures = Sidecar.publish, [failure]

    def fail_once(self: Sidecar, revision: int) -> None:
        if failures:
            raise failures.pop()
        publish(self, revision)

    with Registry(registry.path) as other:
        assert other.get("greet").template == "Hello"
        other._core.cache.generation.until = math.inf  # so that no look that comes every 50 ms helps
        monkeypatch.setattr(Sidecar, "publish", fail_once)
        with outcome:
            registry.update("greet", template="Hi")
        assert failures == []
        assert other.get("greet").template == "Hi"


def test_closing_closes_whatever_fails(registry: Registry, path: str) -> None:
    """Bytes that can't be erased now stay due; the registry is closed all the same, and closing again is fine."""
    registry.create("secret", "zanzibar")
    with closing(raw(path)) as reader:
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM versions").fetchone()
        registry.set_status("secret", "deleted")
        registry.close()
        registry.close()
    with pytest.raises(StorageError, match="closed"):
        registry.list()


@pytest.mark.parametrize("verb", ["get", "list", "events", "namespaces"])
def test_rule_15_any_reader_erases_what_another_left(registry: Registry, path: str, verb: str) -> None:
    """The deleter's log could not be cut; another registry's next reads, whatever they are, do it."""
    registry.create("secret", "zanzibar")
    with Registry(path) as other:
        with closing(raw(path)) as reader:
            reader.execute("BEGIN")
            reader.execute("SELECT count(*) FROM versions").fetchone()
            registry.set_status("secret", "deleted")
            other.get("secret", default=None)
        folder = path.rsplit("/", 1)[0]
        assert traces(folder, [b"zanzibar"]) != []
        read = {"get": lambda: other.get("secret", default=None)}.get(verb) or getattr(other, verb)
        for _ in range(200_000):
            read()
            if not traces(folder, [b"zanzibar"]):
                break
        assert traces(folder, [b"zanzibar"]) == []


def test_an_interrupt_whose_error_is_kept_leaves_nothing_held(
    registry: Registry, destructors_may_be_interrupted: list[type[BaseException]]
) -> None:
    """A console keeps the last error, with its frames: no slot, place in the queue or transaction stays with them."""
    registry.create("greet", "0")
    kept: list[BaseException] = []
    previous = signal.signal(signal.SIGALRM, _interrupt)
    try:
        for trial in range(80):
            try:
                signal.setitimer(signal.ITIMER_REAL, 0.0003 + trial * 0.00003)
                _work(registry, trial)
            except KeyboardInterrupt as error:
                kept.append(error)
            signal.setitimer(signal.ITIMER_REAL, 0)
            assert not registry._core.storage.is_held()
        assert len(kept) + destructors_may_be_interrupted.count(KeyboardInterrupt) == 80
        other = threading.Thread(target=registry.update, args=("greet",), kwargs={"template": "other"})
        other.start()
        other.join(4)
        assert registry.get("greet").template == "other"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


def test_an_interrupted_write_whose_error_is_kept_is_over(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """Others write at once; and the error, let go within a later write of this thread, takes nothing of it along."""
    registry.create("greet", "Hello")
    kept: list[BaseException] = []
    begin, apply = SQLiteStorage.write, SQLiteWriter.apply

    class Interrupted(ExitStack):
        """An interrupt between a transaction's beginning and the first step in its `with`."""

        def __enter__(self) -> NoReturn:
            self.enter_context(begin(registry._core.storage))  # type: ignore[arg-type]
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(SQLiteStorage, "write", lambda _: Interrupted())
        try:
            registry.update("greet", template="Hi")
        except KeyboardInterrupt as error:
            kept.append(error)
    with Registry(registry.path, busy_timeout=0) as other:
        assert other.update("greet", template="Hi").version == 2

    def apply_and_let_go(self: SQLiteWriter, changes: Sequence[Change]) -> None:
        assert kept.pop().__traceback__ is not None
        assert self._connection.in_transaction
        apply(self, changes)

    monkeypatch.setattr(SQLiteWriter, "apply", apply_and_let_go)
    assert registry.update("greet", template="Hey").version == 3
    assert registry.get("greet").template == "Hey"


@pytest.mark.usefixtures("destructors_may_be_interrupted")
def test_closing_that_is_interrupted_can_be_done_again_by_another_thread(path: str) -> None:
    """No slot stays held, wherever the interrupt came."""
    previous = signal.signal(signal.SIGALRM, _interrupt)
    interrupted = 0
    try:
        for trial in range(150):
            registry = Registry(path)
            registry.list()
            try:
                signal.setitimer(signal.ITIMER_REAL, 0.00001 + trial * 0.000004)
                registry.close()
                signal.setitimer(signal.ITIMER_REAL, 0)
            except KeyboardInterrupt:
                interrupted += 1
            signal.setitimer(signal.ITIMER_REAL, 0)
            again = threading.Thread(target=registry.close, daemon=True)
            again.start()
            again.join(5)
            assert not again.is_alive()
        assert_other_threads_open(path)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    assert interrupted > 0
