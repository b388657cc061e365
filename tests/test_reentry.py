"""Calls that come in the middle of a call of the same thread: handlers of signals, finalisers, hooks of forks."""

import gc
import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from promptreg import PromptregError, Registry, StorageError
from promptreg.storage import journal
from promptreg.storage.gate import FORKS, Gate
from promptreg.storage.queue import SUFFIX, Deadline, WriterQueue

NESTED: dict[str, Callable[[Registry], object]] = {
    "get": lambda registry: registry.get("other"),
    "list": lambda registry: registry.list(),
    "update": lambda registry: registry.update("other", template="handler"),
    "set_status": lambda registry: registry.set_status("other", "archived"),
}


class SoftTimeLimitExceeded(Exception):
    """What task queues raise from a signal's handler; an application may catch and keep it."""


@pytest.fixture
def on_signal() -> Iterator[Callable[[Callable[[], object]], None]]:
    """Give what says what is to happen at each SIGALRM."""
    before = signal.getsignal(signal.SIGALRM)
    yield lambda act: signal.signal(signal.SIGALRM, lambda *_: act())
    signal.setitimer(signal.ITIMER_REAL, 0)
    signal.signal(signal.SIGALRM, before)


@pytest.mark.parametrize("is_file", [True, False])
@pytest.mark.parametrize("verb", NESTED)
def test_a_handler_in_the_middle_of_a_write_is_refused_and_the_write_is_whole(
    path: str,
    is_file: bool,
    verb: str,
    monkeypatch: pytest.MonkeyPatch,
    on_signal: Callable[[Callable[[], object]], None],
) -> None:
    """Between two statements of the write: nothing of it is lost, and nothing of the handler's call is done."""
    with Registry(path if is_file else ":memory:") as registry:
        registry.create("greet", "0")
        registry.create("other", "0")
        registry.get("greet")
        told: list[PromptregError] = []
        append = journal.append

        def handle() -> None:
            assert registry.render("greet").text in {"0", "1"}
            with pytest.raises(StorageError, match="middle of another call") as caught:
                NESTED[verb](registry)
            told.append(caught.value)

        def interrupted(*arguments: object) -> None:
            signal.raise_signal(signal.SIGALRM)
            append(*arguments)  # type: ignore[arg-type]

        on_signal(handle)
        with monkeypatch.context() as patch:
            patch.setattr(journal, "append", interrupted)
            assert registry.update("greet", template="1").version == 2
        assert len(told) == 1
        assert registry.update("greet", template="2").version == 3
        assert [v.version for v in registry.history("greet")] == [3, 2, 1]
        assert len(registry.events()) == 2 * 4
        assert registry.get("other").template == "0"


def test_handlers_at_any_moment_refuse_no_call_and_wait_for_nothing(
    registry: Registry, on_signal: Callable[[Callable[[], object]], None]
) -> None:
    """Handlers that read and write, whatever is going on: the calls that they come into all hold."""
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
    """What asks for a prompt when the collector finds it."""

    def __init__(self, registry: Registry, told: Counter[str]) -> None:
        self.me = self
        self.registry = registry
        self.told = told

    def __del__(self) -> None:
        try:
            self.registry.history("bye")
            self.told["done"] += 1
        except StorageError:
            self.told["refused"] += 1


def test_finalisers_that_read_harm_no_write(registry: Registry) -> None:
    """The collector runs them in the middle of writes too."""
    registry.create("greet", "0")
    registry.create("bye", "Goodbye")
    told: Counter[str] = Counter()
    before = gc.get_threshold()
    try:
        for trial in range(500):
            gc.set_threshold(50 + trial % 100)
            Session(registry, told)
            assert registry.update("greet", template=f"trial {trial}").version == trial + 2
    finally:
        gc.set_threshold(*before)
        gc.collect()
    assert min(told["done"], told["refused"]) > 0
    assert len(registry.history("greet", limit=1_000)) == 501
    assert len(registry.events(limit=10_000)) == 2 * 502


@pytest.mark.usefixtures("destructors_may_be_interrupted")
def test_an_error_from_a_handler_leaves_nothing_held(
    registry: Registry, on_signal: Callable[[Callable[[], object]], None]
) -> None:
    """No interrupt but an `Exception`, at any moment, caught and kept: another thread writes, and may fork, at once."""
    registry.create("greet", "0")
    kept: list[Exception] = []

    def limit() -> None:
        raise SoftTimeLimitExceeded

    def work() -> None:
        for i in range(10_000):
            registry.update("greet", template=f"{len(kept)} {i}")
            registry.list()

    on_signal(limit)
    for trial in range(80):
        try:
            signal.setitimer(signal.ITIMER_REAL, 0.0003 + trial * 0.00003)
            work()
        except SoftTimeLimitExceeded as error:
            kept.append(error)
        signal.setitimer(signal.ITIMER_REAL, 0)
        assert not registry._core.storage.is_held()
    assert len(kept) == 80
    with Registry(registry.path, busy_timeout=1) as other:
        latest = other.update("greet", template="other").version
    assert registry.get("greet").version == latest


@pytest.mark.usefixtures("destructors_may_be_interrupted")
def test_opening_that_is_interrupted_keeps_no_fork_waiting(
    path: str, on_signal: Callable[[Callable[[], object]], None]
) -> None:
    """Ctrl-C at any moment of opening, the error kept: this thread is not taken for one that still opens."""
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
        assert not FORKS.opening.is_inside()
    assert kept


def test_a_stay_ends_with_the_call_that_holds_it() -> None:
    """What was cut short before its `finally` keeps nobody waiting."""
    gate = Gate()
    stay = gate.enter()
    with pytest.raises(StorageError, match="middle of another call"):
        gate.enter()
    del stay
    gate.leave(gate.enter())
    gate.shut()
    with pytest.raises(StorageError, match="forking, or closing"):
        gate.enter()
    gate.open()
    gate.leave(gate.enter())


HOOKED = """
import os, sys
os.register_at_fork(**{sys.argv[2]: lambda: box and told.append(refusal())})
box, told = [], []
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
print(len(told), all(told), registry.get("greet").template, version, flush=True)
os._exit(0)
"""


@pytest.mark.parametrize("hook", ["before", "after_in_parent", "after_in_child"])
def test_a_hook_of_the_application_is_refused_while_the_registry_is_shut(path: str, hook: str) -> None:
    """Hooks that were registered before promptreg's run while it is shut; then parent and child go on."""
    run = [sys.executable, "-c", HOOKED, path, hook]
    done = subprocess.run(run, capture_output=True, text=True, timeout=60, check=True)
    counts = {"before": {"1"}, "after_in_parent": {"0", "1"}, "after_in_child": {"0", "1"}}[hook]
    lines = [line.split() for line in done.stdout.splitlines()]
    assert {count for count, *_ in lines} == counts
    assert [line[1:] for line in lines] == [["True", "Hello", "1"]] * 2


HOLDER = "import fcntl, sys\nfcntl.lockf(int(sys.argv[1]), fcntl.LOCK_EX, 1, 0)\nprint(flush=True)\ninput()"


def test_closing_while_a_writer_waits_in_the_queue_touches_no_other_file(path: str, tmp_path: Path) -> None:
    """The queue's file stays open for as long as the writer waits in it: its number is nobody else's meanwhile."""
    Registry(path).close()
    queue = WriterQueue(path)
    with queue.turn(Deadline(5)):
        pass
    ahead = os.open(path + SUFFIX, os.O_RDWR)
    run = [sys.executable, "-c", HOLDER, str(ahead)]
    with subprocess.Popen(run, pass_fds=[ahead], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()

        def wait() -> None:
            with queue.turn(Deadline(5)):
                pass

        writer = threading.Thread(target=wait)
        writer.start()
        while queue._standing.holder() is None:
            time.sleep(0.001)
        time.sleep(0.05)
        queue.close()
        own = [os.open(tmp_path / f"own-{number}", os.O_RDWR | os.O_CREAT) for number in range(8)]
        for descriptor in own:
            os.write(descriptor, b"of the application")
        holder.communicate(b"\n")
        writer.join()
    for descriptor in (*own, ahead):
        os.close(descriptor)
    assert {file.read_bytes() for file in tmp_path.glob("own-*")} == {b"of the application"}
