"""Many writers of one file: none loses a write, starves, exceeds its timeout, or blocks the others when it stops."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from itertools import permutations
from pathlib import Path
from typing import Any

import pytest

from promptreg import Registry, StorageBusyError
from promptreg.storage.deadlines import Deadline
from promptreg.storage.sqlite import queue
from promptreg.storage.sqlite.queue import NUMBERS, SUFFIX
from tests.conftest import until
from tests.remote import ROOT, Remote
from tests.test_storage_sqlite import raw

GRACE_SECONDS = 4.0  # that a call may take longer, on a busy machine; without a limit it would never end


def assert_processes_lose_nothing(registry: Registry, processes: int, seconds: float) -> list[dict[str, Any]]:
    registry.create("shared", "start")
    command = [sys.executable, "-m", "tests.writers", registry.path, str(processes), str(seconds)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, timeout=seconds + 200)
    assert done.returncode == 0, done.stderr
    reports = json.loads(done.stdout)
    assert [error for each in reports for error in each["errors"]] == []
    numbers = sorted(number for each in reports for number in each["numbers"])
    assert numbers == list(range(2, len(numbers) + 2))
    assert registry.get("shared").version == len(numbers) + 1
    with closing(raw(registry.path)) as connection:
        assert connection.execute("SELECT count(*) FROM versions").fetchone() == (len(numbers) + 1,)
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
    counts = [len(each["numbers"]) for each in reports]
    print(f"writes of each: {counts}; longest wait: {max(each['longest'] for each in reports):.3f} s")
    return reports


@pytest.mark.slow
def test_writers_of_eight_processes_lose_nothing_and_none_starves(registry: Registry) -> None:
    """After two seconds of publishing all version numbers are distinct and stored, and no writer has starved."""
    reports = assert_processes_lose_nothing(registry, 8, 2)
    counts = [len(each["numbers"]) for each in reports]
    assert min(counts) >= 0.1 * max(counts) > 0
    assert max(each["longest"] for each in reports) < 5 * GRACE_SECONDS


@pytest.mark.stress
def test_writers_of_eight_processes_over_a_minute(registry: Registry) -> None:
    """In a minute the slowest writes at least 0.6 as often as the fastest."""
    counts = [len(each["numbers"]) for each in assert_processes_lose_nothing(registry, 8, 60)]
    assert min(counts) >= 0.6 * max(counts)


# The queue


def test_processes_write_in_the_order_of_their_requests(path: str, holder: Remote) -> None:
    """Three processes request a write in each order while a fourth holds the lock, and write in that order."""
    with ExitStack() as stack:
        registry = stack.enter_context(Registry(path))
        registry.create("shared", "start")
        writers = [stack.enter_context(Remote(path, busy_timeout=60)) for _ in range(3)]
        for writer in writers:
            writer.call("trust")
            writer.call("get", "shared")
        for order in permutations(writers):
            holder.call("hold")
            for writer in order:
                asked = tickets_issued(path)
                writer.ask("update", "shared", template=f"{asked}")
                until(lambda asked=asked: tickets_issued(path) == asked + 1)
            holder.call("release")
            made = [writer.answer().version for writer in order]
            assert made == list(range(made[0], made[0] + 3))


def tickets_issued(path: str) -> int:
    """Return how many tickets the queue has issued."""
    taken, *_ = NUMBERS.unpack(Path(path + SUFFIX).read_bytes()[: NUMBERS.size])
    return int(taken)


# Waiting too long


@pytest.fixture
def holder(path: str) -> Iterator[Remote]:
    """Another process, which can hold the write lock."""
    with Remote(path) as remote:
        yield remote


@pytest.mark.slow
@pytest.mark.parametrize("timeout", [0, 0.7])
def test_a_writer_waits_for_its_timeout_and_gets_a_time_to_retry(path: str, holder: Remote, timeout: float) -> None:
    """`StorageBusyError` is raised after the timeout, and not much later; reads work in the meantime."""
    with Registry(path, busy_timeout=timeout) as registry:
        for name in ("cached", "uncached", "other"):
            registry.create(name, f"text {name}")
        registry.get("cached")
        holder.call("hold")
        stop, reads, slowest = threading.Event(), [0], [0.0]

        def read() -> None:
            with Registry(path, cache_size=0) as reader:
                while not stop.is_set():
                    begin = time.monotonic()
                    assert registry.render("cached").text == "text cached"
                    assert reader.render("uncached").text == "text uncached"
                    assert len(registry.history("other")) == 1
                    slowest[0], reads[0] = max(slowest[0], time.monotonic() - begin), reads[0] + 1
                    time.sleep(0.001)

        with ThreadPoolExecutor(1) as pool:
            reading = pool.submit(read)
            try:
                until(lambda: reads[0] > 0 or reading.done())
                for write in (lambda: registry.update("cached", template="x"), lambda: registry.create("new", "New")):
                    begin = time.monotonic()
                    with pytest.raises(StorageBusyError) as caught:
                        write()
                    waited = time.monotonic() - begin
                    assert timeout - 0.05 <= waited <= timeout + GRACE_SECONDS
                    assert caught.value.details["retry_after"] > 0
                before = reads[0]
                until(lambda: reads[0] > before + 10 or reading.done())
            finally:
                stop.set()
            reading.result(30)
        assert slowest[0] < GRACE_SECONDS
        holder.call("release")
        assert registry.update("cached", template="x").version == 2


@pytest.mark.slow
def test_writers_that_wait_together_wait_no_longer(path: str, holder: Remote) -> None:
    """Four blocked threads of this process and two blocked processes: each one's timeout is kept."""

    def waited(write: Any) -> float:
        begin = time.monotonic()
        with pytest.raises(StorageBusyError):
            write()
        return time.monotonic() - begin

    with ExitStack() as stack:
        registry = stack.enter_context(Registry(path, busy_timeout=0.6))
        registry.create("shared", "start")
        others = [stack.enter_context(Remote(path, busy_timeout=0.6)) for _ in range(2)]
        for other in others:
            other.call("get", "shared")
        holder.call("hold")
        with ThreadPoolExecutor(6) as pool:
            writes = [lambda i=i: registry.update("shared", template=f"t{i}") for i in range(4)]
            writes += [lambda other=other: other.call("update", "shared", template="p") for other in others]
            times = list(pool.map(waited, writes))
        assert all(0.55 <= seconds <= 0.6 + GRACE_SECONDS for seconds in times), times
        holder.call("release")
        assert registry.update("shared", template="then").version == 2


@pytest.mark.slow
def test_a_write_succeeds_if_the_other_transaction_ends_in_time(path: str, holder: Remote) -> None:
    """A writer waits up to its timeout, and writes soon after the lock was released."""
    with Registry(path, busy_timeout=60) as registry, ThreadPoolExecutor(1) as pool:
        registry.create("shared", "start")
        holder.call("hold")
        writing = pool.submit(registry.update, "shared", template="waited")
        time.sleep(0.7)
        assert not writing.done()
        holder.call("release")
        begin = time.monotonic()
        assert writing.result(30).version == 2
        assert time.monotonic() - begin < GRACE_SECONDS


# Writers that stop


@pytest.mark.slow
@pytest.mark.parametrize("waiting", [1, 3])
def test_a_writer_stopped_in_the_queue_does_not_block_the_others_for_long(
    path: str, holder: Remote, waiting: int
) -> None:
    """If the head of the queue, or others too, are stopped by a signal, the rest write within seconds."""
    with ExitStack() as stack:
        registry = stack.enter_context(Registry(path, busy_timeout=1))
        registry.create("shared", "start")
        queue = [stack.enter_context(Remote(path, busy_timeout=3 if number == 0 else 60)) for number in range(waiting)]
        for other in queue:
            other.call("get", "shared")
        holder.call("hold")
        for number, other in enumerate(queue):
            asked = tickets_issued(path)
            other.ask("update", "shared", template=f"queued {number}")
            until(lambda asked=asked: tickets_issued(path) > asked)
        queue[0].stop()
        stack.callback(queue[0].go)
        holder.call("release")
        for i in range(5):
            assert seconds_to_write(registry, f"ours {i}") < 2 + GRACE_SECONDS
        queue[0].go()
        answers = [answer_or_busy(other) for other in queue]
        assert all(isinstance(answer, int) for answer in answers[1:])
        written = {version.template for version in registry.history("shared", limit=100)}
        assert {f"ours {i}" for i in range(5)} < written
        assert {number for number, answer in enumerate(answers) if isinstance(answer, int)} == {
            number for number in range(waiting) if f"queued {number}" in written
        }


class Clock:
    """The clock of this process's queue: time passes only while the queue sleeps."""

    def __init__(self) -> None:
        self.slept = 0.0

    def monotonic(self) -> float:
        return self.slept

    def sleep(self, seconds: float) -> None:
        self.slept += seconds


@pytest.fixture
def waits(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """A clock that measures how long the queue of this process waited, however slow the machine is."""
    made = Clock()
    monkeypatch.setattr(queue, "time", made)
    return made


@pytest.fixture(params=[1, 2])
def stopped(path: str, holder: Remote, request: pytest.FixtureRequest) -> Iterator[list[Remote]]:
    """Two processes stopped in the queue: the first at its head, the second behind it."""
    with ExitStack() as stack:
        stack.enter_context(Registry(path)).create("shared", "start")
        others = [stack.enter_context(Remote(path, busy_timeout=60)) for _ in range(request.param)]
        for other in others:
            other.call("trust")
            other.call("get", "shared")
        holder.call("hold")
        for number, other in enumerate(others):
            asked = tickets_issued(path)
            other.ask("update", "shared", template=f"stopped {number}")
            until(lambda asked=asked: tickets_issued(path) == asked + 1)
        for other in others:
            other.stop()
            stack.callback(other.go)
        holder.call("release")
        yield others


def test_a_stopped_process_is_waited_for_once(path: str, stopped: list[Remote], waits: Clock) -> None:
    """Ten writes together wait once for the detection of each stopped process, and not ten times."""
    with Registry(path) as registry:
        for i in range(10):
            registry.update("shared", template=f"ours {i}")
        least = len(stopped) * queue.STUCK
        assert least <= waits.slept <= least + 10 * queue.LONGEST_WAIT
        with queue.queue_of(registry.path).ticket(Deadline(5)) as turn:
            assert (turn.has_come, turn.is_guarded()) == (True, False)


def test_no_process_waits_for_what_another_has_detected(path: str, stopped: list[Remote], waits: Clock) -> None:
    """Once one process has detected a stopped one, others don't wait for it, even one that would wait for ever."""
    with Registry(path) as registry, Remote(path, busy_timeout=600) as other:
        registry.update("shared", template="ours")
        other.call("trust")
        assert other.call("update", "shared", template="another's").version == 3


@pytest.mark.slow
def test_a_resumed_process_takes_a_new_ticket(path: str, stopped: list[Remote], holder: Remote) -> None:
    """It is behind those that came in the meantime; no write is lost, and later writers wait for nobody."""
    with Registry(path) as registry:
        registry.update("shared", template="ours")
        holder.call("queue")
        asked = tickets_issued(path)
        for other in stopped:
            other.go()
        until(lambda: tickets_issued(path) == asked + len(stopped) - 1)
        holder.call("leave")
        assert sorted(other.answer().version for other in stopped) == list(range(3, 3 + len(stopped)))
        written = [version.template for version in registry.history("shared")][::-1]
        assert written[:2] == ["start", "ours"]
        assert sorted(written[2:]) == [f"stopped {number}" for number in range(len(stopped))]
        with queue.queue_of(registry.path).ticket(Deadline(5)) as turn:
            assert (turn.has_come, turn.is_guarded()) == (True, True)


def test_a_process_stopped_while_it_takes_a_ticket_is_waited_for_once(path: str, waits: Clock) -> None:
    """As no ticket can be taken then, writers write without one, until a ticket can be taken again."""
    with Registry(path) as registry, closing(TicketLock(path)) as lock:
        registry.create("shared", "start")
        lock.hold()
        for i in range(10):
            registry.update("shared", template=f"ours {i}")
        assert queue.STUCK <= waits.slept <= queue.STUCK + 10 * queue.LONGEST_WAIT
        lock.release()
        asked = tickets_issued(path)
        registry.update("shared", template="at last")
        assert tickets_issued(path) == asked + 1


class TicketLock:
    """Another process that can hold the lock under which tickets are issued."""

    def __init__(self, path: str) -> None:
        program = (
            "import fcntl, sys\nfile = open(sys.argv[1], 'r+b')\n"
            "for line in sys.stdin:\n"
            "    fcntl.lockf(file, fcntl.LOCK_EX if line == 'hold\\n' else fcntl.LOCK_UN, 1, 0)\n"
            "    print(flush=True)"
        )
        command = [sys.executable, "-c", program, path + SUFFIX]
        self._path, self._command = path, command
        self._process: subprocess.Popen[str] | None = None

    def _send(self, line: str) -> None:
        if self._process is None:
            self._process = subprocess.Popen(self._command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(line + "\n")
        self._process.stdin.flush()
        assert self._process.stdout.readline() == "\n"

    def hold(self) -> None:
        self._send("hold")

    def release(self) -> None:
        self._send("let go")

    def close(self) -> None:
        if self._process is not None:
            self._process.communicate()


def test_a_writer_killed_in_the_queue_blocks_nobody(path: str, holder: Remote, waits: Clock) -> None:
    """The system releases the locks of a killed writer, so that the others don't wait."""
    with Registry(path, busy_timeout=5) as registry, Remote(path, busy_timeout=60) as other:
        registry.create("shared", "start")
        other.call("get", "shared")
        holder.call("hold")
        asked = tickets_issued(path)
        other.ask("update", "shared", template="never")
        until(lambda: tickets_issued(path) == asked + 1)
        other.kill()
        holder.call("release")
        registry.update("shared", template="ours")
        assert waits.slept < queue.STUCK
        assert [version.template for version in registry.history("shared")] == ["ours", "start"]


def seconds_to_write(registry: Registry, text: str) -> float:
    """Write, retrying while others hold the lock, and return the seconds that it took."""
    begin = time.monotonic()
    while True:
        try:
            registry.update("shared", template=text)
        except StorageBusyError:
            assert time.monotonic() - begin < 30, "no write within 30 s"
        else:
            return time.monotonic() - begin


def answer_or_busy(other: Remote) -> int | StorageBusyError:
    """Return the version that a queued update created, or its error code."""
    try:
        return int(other.answer().version)
    except StorageBusyError as error:
        return error
