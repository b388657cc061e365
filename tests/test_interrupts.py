"""Ctrl-C at any time: the registry keeps working, no transaction remains open, and no cache is stale."""

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
from tests.conftest import assert_other_threads_open, holds_anything
from tests.storages import target_of
from tests.test_storage_sqlite import raw, traces


def _interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def _work(registry: Registry, trial: int) -> None:
    """Read and write for long; in a function, because in Python 3.13 an interrupt can escape a loop in a `with`."""
    view = registry.scope(namespace="elsewhere").scope(namespace=registry.namespace)
    for i in range(10_000):
        registry.get("greet")
        view.render("greet@1")
        if i % 20 == 0:
            registry.list()
            registry.update("greet", template=f"{trial} {i}")


@pytest.mark.usefixtures("destructors_may_be_interrupted")
def test_a_registry_works_after_an_interrupt_at_any_time(registry: Registry) -> None:
    """After signals at random times during reads and writes, each next call works, and no write is lost or partial."""
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
            with Registry(target_of(registry), busy_timeout=1) as other:
                latest = other.update("greet", template=f"after {trial}").version
            assert registry.get("greet").version == latest
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    history = registry.history("greet", limit=100_000)
    assert interrupted > 0
    assert [v.version for v in history] == list(range(len(history), 0, -1))


def test_an_interrupt_at_the_beginning_of_a_write_leaves_no_transaction(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """This holds right after BEGIN, before anything is read."""
    registry.create("greet", "Hello")
    with monkeypatch.context() as patch:
        patch.setattr(SQLiteWriter, "__init__", _interrupt)
        with pytest.raises(KeyboardInterrupt):
            registry.update("greet", template="Hi")
    with Registry(target_of(registry), busy_timeout=0) as other:
        assert other.update("greet", template="Hi").version == 2
    assert registry.update("greet", template="Hey").version == 3


def test_an_interrupt_after_a_commit_leaves_no_stale_cache(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rule 16: the next read of the same thread sees the commit."""
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
        ),  # of an alarm: an OSError that is no failure of the system
        (OSError(errno.EIO, "I/O"), nullcontext()),
    ],
)
def test_others_see_at_once_a_commit_whose_publication_fails(
    registry: Registry, monkeypatch: pytest.MonkeyPatch, failure: Any, outcome: Any
) -> None:
    """The next read of another registry sees a commit that was interrupted before publication, without a check."""
    registry.create("greet", "Hello")
    publish, failures = Sidecar.publish, [failure]

    def fail_once(self: Sidecar, revision: int) -> None:
        if failures:
            raise failures.pop()
        publish(self, revision)

    with Registry(target_of(registry)) as other:
        assert other.get("greet").template == "Hello"
        other._core.cache.generation.until = math.inf  # so that no check every 50 ms helps
        monkeypatch.setattr(Sidecar, "publish", fail_once)
        with outcome:
            registry.update("greet", template="Hi")
        assert failures == []
        assert other.get("greet").template == "Hi"


@pytest.mark.sqlite
def test_a_registry_sees_its_own_commit_that_was_interrupted_and_could_not_be_published(
    path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its first check used the connection that commits, to which its own commits don't show."""
    Registry(path).create("greet", "Hello")
    failures = [OSError(errno.EIO, "I/O"), KeyboardInterrupt()]

    def fail(self: Sidecar, revision: int) -> None:
        raise failures.pop()

    with Registry(path) as registry:
        assert registry.get("greet").template == "Hello"
        with monkeypatch.context() as patch:
            patch.setattr(Sidecar, "publish", fail)
            with pytest.raises(KeyboardInterrupt):
                registry.update("greet", template="Hi")
        assert failures == []
        for _ in range(2):
            registry._core.cache.generation.until = -math.inf  # so that it checks, as it does every 50 ms
            assert registry.get("greet").template == "Hi"


def test_closing_closes_even_if_erasing_fails(registry: Registry, path: str) -> None:
    """If bytes can't be erased, erasing remains due, and the registry is closed; closing again does nothing."""
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
def test_rule_15_any_reader_erases_what_another_registry_could_not(registry: Registry, path: str, verb: str) -> None:
    """If the log could not be truncated by the deletion, any next read of another registry truncates it."""
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
            assert not holds_anything(registry)
        assert len(kept) + destructors_may_be_interrupted.count(KeyboardInterrupt) == 80
        other = threading.Thread(target=registry.update, args=("greet",), kwargs={"template": "other"})
        other.start()
        other.join(30)
        assert registry.get("greet").template == "other"
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)


def test_an_interrupted_write_whose_error_is_kept_is_rolled_back(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Others can write at once, and freeing the error during a later write of this thread does not affect it."""
    registry.create("greet", "Hello")
    kept: list[BaseException] = []
    begin, apply = SQLiteStorage.write, SQLiteWriter.apply

    class Interrupted(ExitStack):
        """An interrupt between the beginning of a transaction and the first step in its `with`."""

        def __enter__(self) -> NoReturn:
            self.enter_context(begin(registry._core.storage))  # type: ignore[arg-type]
            raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(SQLiteStorage, "write", lambda _: Interrupted())
        try:
            registry.update("greet", template="Hi")
        except KeyboardInterrupt as error:
            kept.append(error)
    with Registry(target_of(registry), busy_timeout=0) as other:
        assert other.update("greet", template="Hi").version == 2

    def apply_and_free_error(self: SQLiteWriter, changes: Sequence[Change], *more: Any) -> object:
        assert kept.pop().__traceback__ is not None
        assert self._connection.in_transaction
        return apply(self, changes, *more)

    monkeypatch.setattr(SQLiteWriter, "apply", apply_and_free_error)
    assert registry.update("greet", template="Hey").version == 3
    assert registry.get("greet").template == "Hey"


@pytest.mark.usefixtures("destructors_may_be_interrupted")
def test_an_interrupted_close_can_be_repeated_by_another_thread(path: str) -> None:
    """The slots are released, wherever the interrupt occurred."""
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
            again.join(30)
            assert not again.is_alive()
        assert_other_threads_open(path)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, previous)
    assert interrupted > 0
