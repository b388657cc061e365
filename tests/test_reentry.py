"""Calls in the middle of another call of the same thread: from signal handlers, finalisers and fork hooks."""

import gc
import math
import os
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, NoReturn

import pytest

from promptreg import NotFoundError, PromptregError, Registry, StorageCorruptError, StorageError
from promptreg.records import Container
from promptreg.storage.deadlines import Deadline
from promptreg.storage.sqlite import event_log, queue, sidecar, writer
from promptreg.storage.sqlite.connections import Handle
from promptreg.storage.sqlite.forks import FORKS
from promptreg.storage.sqlite.pool import ConnectionPool
from promptreg.storage.sqlite.queue import SUFFIX
from promptreg.storage.sqlite.reader import SQLiteReader
from tests.conftest import assert_other_threads_open, holds_anything

NESTED: dict[str, Callable[[Registry], object]] = {
    "get": lambda registry: registry.get("other"),
    "list": lambda registry: registry.list(),
    "update": lambda registry: registry.update("other", template="handler"),
    "set_status": lambda registry: registry.set_status("other", "archived"),
}


class SoftTimeLimitExceeded(Exception):
    """The exception that task queues raise from a signal handler; an application may catch and keep it."""


@pytest.fixture
def on_signal() -> Iterator[Callable[[Callable[[], object]], None]]:
    """Return a function that sets what happens at each SIGALRM."""
    before = signal.getsignal(signal.SIGALRM)
    yield lambda act: signal.signal(signal.SIGALRM, lambda *_: act())
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


def test_a_timeout_of_the_application_ends_a_queued_write(
    path: str, monkeypatch: pytest.MonkeyPatch, on_signal: Callable[[Callable[[], object]], None]
) -> None:
    """A `TimeoutError` of an alarm handler ends the call, and is not taken for a failure of the queue's file."""

    def raise_timeout() -> NoReturn:
        raise TimeoutError

    def locked(descriptor: int, start: int, length: int) -> bool:
        """Fail to take the lock, as if another process were writing, while the alarm rings."""
        if start == queue.FIRST:
            signal.raise_signal(signal.SIGALRM)
            return False
        return lock(descriptor, start, length)

    lock = queue._locked
    on_signal(raise_timeout)
    with Registry(path) as registry:
        registry.create("greet", "0")
        with monkeypatch.context() as patch:
            patch.setattr(queue, "_locked", locked)
            with pytest.raises(TimeoutError):
                registry.update("greet", template="1")
        assert registry.get("greet").version == 1
        assert registry.update("greet", template="2").version == 2


@pytest.mark.parametrize("moment", ["write", "read", "opening"])
def test_a_timeout_of_the_application_is_no_storage_error(
    path: str, moment: str, monkeypatch: pytest.MonkeyPatch, on_signal: Callable[[Callable[[], object]], None]
) -> None:
    """In the middle of a write, a read or an opening it is raised unchanged, and the next call works."""

    def raise_timeout() -> NoReturn:
        raise TimeoutError

    def interrupted(*_: object) -> None:
        signal.raise_signal(signal.SIGALRM)

    on_signal(raise_timeout)
    with Registry(path) as registry:
        registry.create("greet", "0")
        calls: dict[str, tuple[object, str, Callable[[], object]]] = {
            "write": (event_log, "append", lambda: registry.update("greet", template="1")),
            "read": (event_log, "read_event", registry.events),
            "opening": (sidecar, "open_beside", lambda: Registry(path)),
        }
        room, name, call = calls[moment]
        with monkeypatch.context() as patch:
            patch.setattr(room, name, interrupted)
            with pytest.raises(TimeoutError):
                call()
        assert registry.update("greet", template="2").version == 2
        assert len(registry.events()) == 4


@pytest.mark.parametrize("is_file", [True, False])
@pytest.mark.parametrize("verb", NESTED)
def test_a_handlers_call_within_a_write_is_refused_and_the_write_commits(
    path: str,
    is_file: bool,
    verb: str,
    monkeypatch: pytest.MonkeyPatch,
    on_signal: Callable[[Callable[[], object]], None],
) -> None:
    """Between two statements of a write, a handler's call is refused without effect, and the write is complete."""
    with Registry(path if is_file else ":memory:") as registry:
        registry.create("greet", "0")
        registry.create("other", "0")
        registry.get("greet")
        registry._core.cache.generation.until = math.inf  # or a check 50 ms later would be refused to the handler
        outcomes: list[PromptregError] = []
        append = event_log.append

        def handle() -> None:
            assert registry.render("greet").text in {"0", "1"}
            with pytest.raises(StorageError, match="middle of another call") as caught:
                NESTED[verb](registry)
            outcomes.append(caught.value)

        def interrupted(*arguments: object) -> object:
            signal.raise_signal(signal.SIGALRM)
            return append(*arguments)  # type: ignore[arg-type]

        on_signal(handle)
        with monkeypatch.context() as patch:
            patch.setattr(event_log, "append", interrupted)
            assert registry.update("greet", template="1").version == 2
        assert len(outcomes) == 1
        assert registry.update("greet", template="2").version == 3
        assert [v.version for v in registry.history("greet")] == [3, 2, 1]
        assert len(registry.events()) == 2 * 4
        assert registry.get("other").template == "0"


def test_handlers_at_any_time_neither_fail_a_call_nor_block(
    registry: Registry, on_signal: Callable[[Callable[[], object]], None]
) -> None:
    """Handlers that read and write at any time leave the interrupted calls intact."""
    registry.create("greet", "0")
    registry.create("other", "0")
    handled: Counter[str] = Counter()

    def handle() -> None:
        for verb in ("get", "update"):
            try:
                NESTED[verb](registry)
                handled["done"] += 1
            except StorageError as error:
                handled[error.message] += 1

    on_signal(handle)
    for trial in range(400):
        signal.setitimer(signal.ITIMER_REAL, 0.00002 + trial % 100 * 0.00002)
        assert registry.update("greet", template=f"trial {trial}").version == trial + 2
        assert len(registry.history("greet", limit=1)) == 1
    signal.setitimer(signal.ITIMER_REAL, 0)
    assert handled.pop("done") > 0
    (refusal,) = handled
    assert "middle of another call" in refusal
    versions = len(registry.history("greet", limit=1_000)) + len(registry.history("other", limit=1_000))
    assert len(registry.events(limit=10_000)) == 2 * versions


class Session:
    """An object whose finaliser reads a prompt."""

    def __init__(self, registry: Registry, outcomes: Counter[str]) -> None:
        self.me = self
        self.registry = registry
        self.outcomes = outcomes

    def __del__(self) -> None:
        try:
            self.registry.history("bye")
            self.outcomes["done"] += 1
        except StorageError:
            self.outcomes["refused"] += 1


@pytest.mark.slow
def test_finalisers_that_read_harm_no_write(registry: Registry) -> None:
    """Finalisers that read harm no write, although the collector runs them in the middle of one."""
    registry.create("greet", "0")
    registry.create("bye", "Goodbye")
    outcomes: Counter[str] = Counter()
    before = gc.get_threshold()
    try:
        for trial in range(500):
            gc.set_threshold(50 + trial % 100)
            Session(registry, outcomes)
            assert registry.update("greet", template=f"trial {trial}").version == trial + 2
    finally:
        gc.set_threshold(*before)
        gc.collect()
    assert min(outcomes["done"], outcomes["refused"]) > 0
    assert len(registry.history("greet", limit=1_000)) == 501
    assert len(registry.events(limit=10_000)) == 2 * 502


def test_an_error_of_a_handler_leaves_no_lock_held(
    registry: Registry,
    on_signal: Callable[[Callable[[], object]], None],
    destructors_may_be_interrupted: list[type[BaseException]],
) -> None:
    """After an `Exception` of a handler, raised at any time, caught and kept, another thread can write and fork."""
    registry.create("greet", "0")
    kept: list[Exception] = []

    def limit() -> None:
        raise SoftTimeLimitExceeded

    def work() -> None:
        ignored = len(destructors_may_be_interrupted)
        for i in range(10_000):
            registry.update("greet", template=f"{len(kept)} {i}")
            registry.list()
            if len(destructors_may_be_interrupted) > ignored:
                return

    on_signal(limit)
    for trial in range(80):
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.0003 + trial * 0.00003)
            work()
        except SoftTimeLimitExceeded as error:
            kept.append(error)
        signal.setitimer(signal.ITIMER_REAL, 0)
        assert not holds_anything(registry)
    assert len(kept) + destructors_may_be_interrupted.count(SoftTimeLimitExceeded) == 80
    with Registry(registry.path, busy_timeout=1) as other:
        latest = other.update("greet", template="other").version
    assert registry.get("greet").version == latest


@pytest.mark.usefixtures("destructors_may_be_interrupted")
def test_an_interrupted_opening_blocks_no_fork(path: str, on_signal: Callable[[Callable[[], object]], None]) -> None:
    """After Ctrl-C at any time during opening, with the error kept, the thread does not count as still opening."""
    Registry(path).close()
    kept: list[BaseException] = []

    def interrupt() -> None:
        raise KeyboardInterrupt

    on_signal(interrupt)
    for trial in range(200):
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.00005 + trial * 0.000008)
            registry = Registry(path)
            signal.setitimer(signal.ITIMER_REAL, 0)
            registry.close()
        except KeyboardInterrupt as error:
            kept.append(error)
        signal.setitimer(signal.ITIMER_REAL, 0)
        assert not any(lock.is_held() for lock in FORKS._opening)
    assert kept
    assert_other_threads_open(path)


@pytest.mark.parametrize("is_file", [True, False])
def test_closing_in_the_middle_of_a_call_is_refused(
    path: str,
    is_file: bool,
    monkeypatch: pytest.MonkeyPatch,
    on_signal: Callable[[Callable[[], object]], None],
) -> None:
    """A close in the middle of a call is refused, because the connection is in use, even if another thread waits."""
    with Registry(path if is_file else ":memory:") as registry:
        registry.create("greet", "0")
        row = writer.prompt_row
        outcomes: list[str] = []
        waiting = threading.Thread(target=registry.list)

        def close() -> None:
            waiting.start()
            with pytest.raises(StorageError, match="middle of another call") as caught:
                registry.close()
            outcomes.append(type(caught.value).__name__)

        def interrupted(container: Container) -> tuple[object, ...]:
            if not outcomes:
                signal.raise_signal(signal.SIGALRM)
            return row(container)

        on_signal(close)
        with monkeypatch.context() as patch:
            patch.setattr(writer, "prompt_row", interrupted)
            assert registry.update("greet", template="1").version == 2
        waiting.join()
        assert outcomes == ["StorageError"]
        assert registry.update("greet", template="2").version == 3


def test_a_fork_in_the_middle_of_a_call_does_not_harm_the_call(
    registry: Registry, monkeypatch: pytest.MonkeyPatch, on_signal: Callable[[Callable[[], object]], None]
) -> None:
    """The parent's write commits; in the child the registry, and opening a new one, are refused to protect locks."""
    registry.create("greet", "0")
    append = event_log.append
    ends: list[int] = []

    def fork() -> None:
        child = os.fork()
        if child == 0:
            for call in (registry.list, lambda: Registry(registry.path)):
                try:
                    call()
                except StorageError as error:
                    if "middle of a call" not in error.message or "exec or spawn" not in error.message:
                        os._exit(8)
                else:
                    os._exit(9)
            os._exit(7)
        ends.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))

    def interrupted(*arguments: object) -> object:
        signal.raise_signal(signal.SIGALRM)
        return append(*arguments)  # type: ignore[arg-type]

    on_signal(fork)
    with monkeypatch.context() as patch:
        patch.setattr(event_log, "append", interrupted)
        assert registry.update("greet", template="1").version == 2
    assert ends == [7]
    assert registry.update("greet", template="2").version == 3


def test_a_nested_call_does_not_release_its_threads_queue_ticket(
    registry: Registry, on_signal: Callable[[Callable[[], object]], None]
) -> None:
    """While a write is queued, a handler may read, and its refusals and writes don't release the write's ticket."""
    registry.create("greet", "0")
    queue = registry._core.storage._queue  # type: ignore[attr-defined]
    outcomes: list[str] = []

    def handle() -> None:
        for call in (lambda: registry.get("absent"), lambda: registry.update("greet", template="handler")):
            with pytest.raises(PromptregError) as caught:
                call()
            outcomes.append(type(caught.value).__name__)

    on_signal(handle)
    with queue.ticket(Deadline(5)):
        signal.raise_signal(signal.SIGALRM)
        assert queue.is_held()
    assert outcomes == ["NotFoundError", "StorageError"]
    assert not queue.is_held()


def test_a_kept_refusal_does_not_affect_later_calls(
    registry: Registry, on_signal: Callable[[Callable[[], object]], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    """After a handler has raised its refusal, and a default was returned for it, the thread can make calls."""
    registry.create("greet", "0")
    kept: list[BaseException] = []
    find = SQLiteReader.find

    def handle() -> None:
        try:
            registry.list()
        except StorageError as error:
            kept.append(error)
            raise

    def interrupted(self: SQLiteReader, *arguments: object) -> object:
        signal.raise_signal(signal.SIGALRM)
        return find(self, *arguments)  # type: ignore[arg-type]

    on_signal(handle)
    with monkeypatch.context() as patch:
        patch.setattr(SQLiteReader, "find", interrupted)
        assert registry.get("greet@1", default="default") == "default"
        assert registry.render("greet@1", default="default").text == "default"
    assert len(kept) == 2
    assert [version.version for version in registry.history("greet")] == [1]
    assert registry.update("greet", template="1").version == 2


def test_an_error_that_the_application_handles_keeps_its_frames(
    registry: Registry, monkeypatch: pytest.MonkeyPatch, on_signal: Callable[[Callable[[], object]], None]
) -> None:
    """When a call within an `except` block is interrupted, only frames of that call are cleared."""
    registry.create("greet", "0")

    def fail() -> None:
        local = "of the application"
        raise KeyError(local)

    def limit() -> None:
        raise SoftTimeLimitExceeded

    on_signal(limit)
    monkeypatch.setattr(event_log, "append", lambda *_: signal.raise_signal(signal.SIGALRM))
    try:
        fail()
    except KeyError as error:
        with pytest.raises(SoftTimeLimitExceeded):
            registry.update("greet", template="1")
        failed = error.__traceback__.tb_next  # type: ignore[union-attr]
        assert failed is not None
        assert failed.tb_frame.f_locals == {"local": "of the application"}
    assert not holds_anything(registry)


HOOKED = """
import os, sys
os.register_at_fork(**{sys.argv[2]: lambda: box and outcomes.append(refusal())})
box, outcomes = [], []
from promptreg import Registry, StorageError
def refusal():
    try:
        box[0].list()
    except StorageError as error:
        return error.message
registry = Registry(sys.argv[1])
registry.create("greet", "Hello")
box.append(registry)
child = os.fork()
if child:
    os.waitpid(child, 0)
version = registry.update("greet", template="Hello").version
print(len(outcomes), all(outcomes), registry.get("greet").template, version, flush=True)
os._exit(0)
"""


BUSY_HOOK = """
import os, sys, threading, time
def hook():
    try:
        box and box[0].list()
    except Exception:
        time.sleep(0.02)
os.register_at_fork(before=hook)
box = []
from promptreg import Registry
registry = Registry(sys.argv[1])
registry.create("greet", "Hello")
box.append(registry)
over = threading.Event()
def work():
    number = 0
    while not over.is_set():
        registry.update("greet", template=str(number := number + 1))
threads = [threading.Thread(target=work) for _ in range(2)]
for thread in threads:
    thread.start()
for _ in range(8):
    child = os.fork()
    if child == 0:
        registry.get("greet")
        registry.update("greet", template=str(os.getpid()))
        os._exit(0)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
over.set()
for thread in threads:
    thread.join()
"""


@pytest.mark.slow
def test_a_refused_call_of_a_hook_leaves_the_registry_locked_for_the_fork(path: str) -> None:
    """While threads write, no child inherits a connection in use, and none hangs."""
    run = [sys.executable, "-W", "ignore", "-c", BUSY_HOOK, path]
    done = subprocess.run(run, capture_output=True, text=True, timeout=120, check=True)
    assert done.stdout.split() == ["0"] * 8


@pytest.mark.slow
@pytest.mark.parametrize("hook", ["before", "after_in_parent", "after_in_child"])
def test_calls_of_a_fork_hook_are_refused_while_the_registry_is_locked(path: str, hook: str) -> None:
    """Hooks that were registered before promptreg's run while it is locked; afterwards parent and child work."""
    run = [sys.executable, "-c", HOOKED, path, hook]
    done = subprocess.run(run, capture_output=True, text=True, timeout=60, check=True)
    counts = {"before": {"1"}, "after_in_parent": {"0", "1"}, "after_in_child": {"0", "1"}}[hook]
    lines = [line.split() for line in done.stdout.splitlines()]
    assert {count for count, *_ in lines} == counts
    assert [line[1:] for line in lines] == [["True", "Hello", "1"]] * 2


HOLDER = "import fcntl, sys\nfcntl.lockf(int(sys.argv[1]), fcntl.LOCK_EX, 1, 0)\nprint(flush=True)\ninput()"


@pytest.mark.slow
def test_closing_while_a_writer_waits_in_the_queue_touches_no_other_file(
    path: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The queue's file remains open while the writer waits, so that no other file gets its descriptor."""
    monkeypatch.setattr("promptreg.storage.sqlite.queue.STUCK", 60)
    registry = Registry(path, busy_timeout=60)
    registry.create("greet", "0")
    queue = registry._core.storage._queue  # type: ignore[attr-defined]
    ahead = os.open(path + SUFFIX, os.O_RDWR)
    run = [sys.executable, "-c", HOLDER, str(ahead)]
    with subprocess.Popen(run, pass_fds=[ahead], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()

        def wait() -> None:
            with pytest.raises(StorageError, match="closed"):
                registry.update("greet", template="1")

        writer = threading.Thread(target=wait)
        writer.start()
        while queue.frame is None:
            time.sleep(0.001)
        time.sleep(0.05)
        registry.close()
        del queue
        own = [os.open(tmp_path / f"own-{number}", os.O_RDWR | os.O_CREAT) for number in range(8)]
        for descriptor in own:
            os.write(descriptor, b"of the application")
        holder.communicate(b"\n")
        writer.join()
    for descriptor in (*own, ahead):
        os.close(descriptor)
    assert {file.read_bytes() for file in tmp_path.glob("own-*")} == {b"of the application"}


def test_an_error_of_a_handler_is_not_cached(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """After a handler has raised an error, even a PromptregError, the next read finds the prompt."""

    def interrupted(*_: object, **__: object) -> NoReturn:
        raise NotFoundError("of another call", names=["other"])

    registry.create("greet", "Hello")
    with monkeypatch.context() as patch:
        patch.setattr(SQLiteReader, "versions", interrupted)
        with pytest.raises(NotFoundError, match="of another call"):
            registry.get("greet")
    assert registry.get("greet").template == "Hello"


def test_closing_in_the_middle_of_closing_is_refused(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A handler's close within a close is refused, as it would wait for itself; the registry is closed afterwards."""
    registry = Registry(path)
    close, outcomes = Handle.close, []

    def nested(handle: Handle) -> None:
        monkeypatch.setattr(Handle, "close", close)
        with pytest.raises(StorageError, match="closing the registry"):
            registry.close()
        outcomes.append(True)
        close(handle)

    monkeypatch.setattr(Handle, "close", nested)
    registry.close()
    assert outcomes == [True]
    with pytest.raises(StorageError, match="is closed"):
        registry.list()


FORKING = """
import os, sys, threading
from promptreg import Registry
from promptreg.storage.sqlite.pool import ConnectionPool
children = []
def fork():
    child = os.fork()
    if child == 0:
        os._exit(0)
    children.append(child)
method, parent = getattr(ConnectionPool, sys.argv[3]), os.getpid()
def nested(connections, **more):
    if os.getpid() == parent and len(children) < 3:
        fork()
    method(connections, **more)
registries = [Registry(path) for path in sys.argv[1:3]]
for registry in registries:
    registry.create("greet", "0")
setattr(ConnectionPool, sys.argv[3], nested)
fork()
setattr(ConnectionPool, sys.argv[3], method)
codes = [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]
def write():
    print(len(codes) > 2, any(codes), [registry.update("greet", template="1").version for registry in registries])
for registry in registries:
    registry.get("greet")
thread = threading.Thread(target=write)
thread.start()
thread.join()
"""


@pytest.mark.slow
@pytest.mark.parametrize("moment", ["before_fork", "after_fork"])
def test_a_fork_in_the_middle_of_a_fork_blocks_nothing(path: str, tmp_path: Path, moment: str) -> None:
    """If a signal handler forks while its thread forks, all processes end, and both registries work in the parent.

    The process has only the hooks of Python, because those of some libraries deadlock then.
    """
    run = [sys.executable, "-c", FORKING, path, str(tmp_path / "other.db"), moment]
    done = subprocess.run(run, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.split("\n") == ["True False [2, 2]", ""]


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_an_interrupt_after_a_fork_leaves_no_registry_locked(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Python ignores what a hook raises, but the registries that it had not unlocked yet are unlocked on both sides."""
    after, parent = ConnectionPool.after_fork, os.getpid()
    interrupted = []

    def nested(connections: ConnectionPool, **more: Any) -> None:
        if not interrupted:
            interrupted.append(True)
            raise KeyboardInterrupt
        after(connections, **more)

    with Registry(path) as registry:
        registry.create("greet", "0")
        monkeypatch.setattr(ConnectionPool, "after_fork", nested)
        child = os.fork()
        if child == 0:
            os._exit(0 if registry.update("greet", template="child").version == 2 else 1)
        assert os.getpid() == parent
        assert os.waitpid(child, 0)[1] == 0
        assert interrupted == [True]
        assert in_thread(lambda: registry.update("greet", template="parent").version) == 3


def test_a_child_forked_in_the_middle_of_a_write_does_not_finish_it(
    path: str, monkeypatch: pytest.MonkeyPatch, on_signal: Callable[[Callable[[], object]], None]
) -> None:
    """The child's call is refused, because the write and the connection are its parent's, and no version is lost."""
    append, children, parent = event_log.append, [], os.getpid()

    def interrupted(*arguments: Any) -> Any:
        signal.raise_signal(signal.SIGALRM)
        if os.getpid() != parent:
            time.sleep(0.2)
        return append(*arguments)

    on_signal(lambda: children.append(os.fork()))
    with Registry(path) as registry:
        registry.create("greet", "0")
        monkeypatch.setattr(event_log, "append", interrupted)
        try:
            outcome = str(registry.update("greet", template="1").version)
        except StorageError as error:
            outcome = error.message
        if os.getpid() != parent:
            os._exit(0 if "forked" in outcome else 1)
        monkeypatch.undo()
        assert outcome == "2"
        assert registry.update("greet", template="2").version == 3
        assert os.waitpid(children[0], 0)[1] == 0
        assert [version.template for version in registry.history("greet")] == ["2", "1", "0"]
        assert registry.update("greet", template="3").version == 4


def in_thread(call: Callable[[], Any]) -> Any:
    """Return the result of a call in another thread, which a lock that is never released would block for ever."""
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(call()), daemon=True)
    thread.start()
    thread.join(timeout=30)
    return results[0] if results else "it still waits"


@pytest.mark.parametrize("verb", ["history", "list", "search", "events", "set_status"])
def test_a_kept_error_keeps_no_snapshot_open(registry: Registry, path: str, verb: str) -> None:
    """After a kept error about the first row of many, later writes of others are seen and can be overwritten."""
    for name in ("bad", "good"):
        registry.create(name, "word 0")
        registry.update(name, template="word 1")
    with closing(sqlite3.connect(path)) as connection:
        for trigger in ("versions_update", "events_update", "prompts_update"):
            connection.execute(f"DROP TRIGGER {trigger}")
        connection.execute("UPDATE versions SET title = 'damaged' WHERE name = 'bad'")
        connection.execute("UPDATE events SET at = 'damaged' WHERE seq = 1")
        if verb == "set_status":
            connection.execute("UPDATE prompts SET created_at = 'damaged' WHERE name = 'bad'")
        connection.commit()
    calls: dict[str, Callable[[], object]] = {
        "history": lambda: registry.history("bad"),
        "list": registry.list,
        "search": lambda: registry.search("word"),
        "events": registry.events,
        "set_status": lambda: registry.set_status(["bad", "good"], "disabled"),
    }
    with pytest.raises(StorageCorruptError) as kept:
        calls[verb]()
    with Registry(path) as other:
        other.set_label("good", "staging", 2)
    assert registry.get("good").labels["staging"] == 2
    assert registry.update("good", template="word 2").version == 3
    assert kept.value.code == "storage_corrupt"
