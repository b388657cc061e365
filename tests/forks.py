"""Programs that fork with registries open: `python -m tests.forks NAME …` prints the outcome as JSON.

Each runs in a separate process, so that a hang ends with it, and a fork copies nothing of the test runner.
"""

import ctypes
import json
import multiprocessing
import os
import pickle
import signal
import statistics
import sys
import threading
import time
import traceback
import warnings
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from typing import Any

from promptreg import PromptregError, Registry
from tests.remote import Remote

POSTGRES = "postgresql://"
CHILD_SECONDS = 30
AT_ONCE = 4

Report = dict[str, Any]


def target(place: str, name: str) -> str:
    """Return the target of a registry in a folder, or in a schema of its own beside that of a PostgreSQL target."""
    return f"{place}_{name}" if place.startswith(POSTGRES) else f"{place}/{name}.db"


def fork() -> tuple[int, float]:
    """Fork, and return the child's id and the seconds that the call took."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        begin = time.perf_counter()
        child = os.fork()
        return child, time.perf_counter() - begin


def in_child(work: Callable[[], Any], out: int) -> None:
    """Do the work, write its result or its traceback, and end this process, after at most 30 s."""
    signal.signal(signal.SIGALRM, signal.SIG_DFL)
    signal.alarm(CHILD_SECONDS)
    try:
        answer = [None, work()]
    except BaseException:
        answer = [traceback.format_exc(), None]
    try:
        os.write(out, pickle.dumps(answer))
    finally:
        os._exit(0)


def of_child(child: int, out: int) -> Any:
    """Wait for a child's end and return its result."""
    with os.fdopen(out, "rb") as pipe:
        payload = pipe.read()
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    error, value = pickle.loads(payload) if payload else (f"a child ended with {code}", None)
    if error:
        raise RuntimeError(error)
    return value


class Busy:
    """Two registries in a folder or on a server, and one in memory, with two threads that read and one that writes."""

    def __init__(self, place: str) -> None:
        self.registries = [
            Registry(each, busy_timeout=25) for each in (target(place, "a"), target(place, "b"), ":memory:")
        ]
        self.written = [0, 0, 0]
        self.failures: list[str] = []
        self.reads = 0
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._run, args=(work,)) for work in (self._read, self._read, self._write)
        ]
        for registry in self.registries:
            registry.create("shared", "0")

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _run(self, work: Callable[[int], None]) -> None:
        try:
            for i in range(sys.maxsize):
                if self._stop.is_set():
                    break
                work(i)
        except PromptregError:
            self.failures.append(traceback.format_exc())

    def _read(self, i: int) -> None:
        registry = self.registries[i % 3]
        registry.render("shared")
        if i % 20 == 0:
            registry.history("shared", limit=2)
            registry.list()
        self.reads += 1

    def _write(self, i: int) -> None:
        self.registries[i % 3].update("shared", template=f"parent {i}")
        self.written[i % 3] += 1

    def work_of_child(self, number: int, least: list[int]) -> None:
        """Read what the parent wrote before the fork, write, and read that; twice in each registry."""
        for _ in range(2):
            for registry, written in zip(self.registries, least, strict=True):
                assert registry.get("shared").latest_version > written
                made = registry.update("shared", template=f"child {number} {time.monotonic_ns()}")
                assert registry.get("shared").version >= made.version
                assert registry.history("shared", limit=1)[0].version >= made.version


def busy(place: str, count: str) -> Report:
    """Fork repeatedly while three threads are busy; each child reads and writes all registries."""
    work = Busy(place)
    work.start()
    times, running, errors = [], [], []
    for number in range(int(count)):
        least = list(work.written)
        out, into = os.pipe()
        child, seconds = fork()
        if child == 0:
            in_child(lambda number=number, least=least: work.work_of_child(number, least), into)
        os.close(into)
        times.append(seconds)
        running.append((child, out))
        time.sleep(0.005)
        while len(running) > (0 if number == int(count) - 1 else AT_ONCE - 1):
            try:
                of_child(*running.pop(0))
            except RuntimeError as error:
                errors.append(str(error))
    work.stop()
    return {
        "errors": errors + work.failures,
        "median": statistics.median(times),
        "longest": max(times),
        "reads": work.reads,
        "written": work.written,
        "histories": [_history(registry) for registry in work.registries],
    }


def _history(registry: Registry) -> Report:
    versions = registry.history("shared", limit=100_000)
    return {
        "numbers": [version.version for version in reversed(versions)],
        "children": sum(version.template.startswith("child") for version in versions),
        "parent": sum(version.template.startswith("parent") for version in versions),
    }


def waiting(place: str) -> Report:
    """Fork while a thread waits for the write lock, which another process holds."""
    registry = Registry(target(place, "a"), busy_timeout=60)
    registry.create("shared", "0")
    outcome: list[Any] = []

    def write() -> None:
        try:
            outcome.append(registry.update("shared", template="waited").version)
        except PromptregError as error:
            outcome.append(repr(error))

    with Remote(registry.path) as other:
        other.call("hold")
        thread = threading.Thread(target=write)
        thread.start()
        time.sleep(0.3)
        times, seen = [], []
        for _ in range(3):
            out, into = os.pipe()
            child, seconds = fork()
            if child == 0:
                in_child(lambda: registry.render("shared").text, into)
            os.close(into)
            times.append(seconds)
            seen.append(of_child(child, out))
        still_waiting = thread.is_alive()
        other.call("release")
        thread.join()
    return {"longest": max(times), "still_waiting": still_waiting, "seen": seen, "outcome": outcome}


def queued(place: str) -> Report:
    """Fork while a thread waits in the writers' queue; then both sides write.

    The child has no such thread, and its `busy_timeout` is ten times as long as it may live.
    """
    registry = Registry(target(place, "a"), busy_timeout=10 * CHILD_SECONDS)
    registry.create("shared", "0")
    queue = registry._core.storage._queue  # type: ignore[attr-defined]
    with Remote(registry.path) as other:
        other.call("hold")
        thread = threading.Thread(target=registry.update, args=("shared",), kwargs={"template": "parent"})
        thread.start()
        while queue.frame is None:
            time.sleep(0.001)
        out, into = os.pipe()
        child, _ = fork()
        if child == 0:
            in_child(lambda: registry.update("shared", template="child").version, into)
        os.close(into)
        other.call("release")
        made = of_child(child, out)
        thread.join()
    return {"made": made, "history": _history(registry)}


REGISTRY: list[Registry] = []


def _pooled(number: int) -> int:
    (registry,) = REGISTRY
    assert registry.get("shared").version >= 1
    return registry.update("shared", template=f"pool {number}").version


def pools(place: str) -> Report:
    """Use a registry opened before the fork in a pool of multiprocessing and in one of concurrent.futures."""
    warnings.simplefilter("ignore", DeprecationWarning)
    REGISTRY.append(Registry(target(place, "a"), busy_timeout=30))
    REGISTRY[0].create("shared", "0")
    context = multiprocessing.get_context("fork")
    with context.Pool(4) as pool:
        pooled = pool.map(_pooled, range(20))
    with ProcessPoolExecutor(4, mp_context=context) as executor:
        pooled += executor.map(_pooled, range(20, 40))
    own = REGISTRY[0].update("shared", template="own").version
    return {"pooled": sorted(pooled), "own": own, "numbers": _history(REGISTRY[0])["numbers"]}


def without_hooks(place: str) -> Report:
    """Fork with libc's call, which runs none of Python's hooks; the child reports what works in it."""
    registry = Registry(target(place, "a"))
    registry.create("cached", "text")
    registry.create("uncached", "text")
    with Registry(registry.path) as seeding:
        seeding.create("absent", "text")
    registry.render("cached")
    inside, forked = threading.Event(), threading.Event()

    def stay() -> None:
        with registry._core.storage.read():
            inside.set()
            forked.wait()

    busy = threading.Thread(target=stay)
    busy.start()
    inside.wait()
    out, into = os.pipe()
    child = ctypes.PyDLL(None).fork()
    if child == 0:
        in_child(lambda: _results_of_calls(registry), into)
    os.close(into)
    forked.set()
    busy.join()
    fares = of_child(child, out)
    after = registry.update("cached", template="parent").version
    return {"child": fares, "after": after, "text": registry.render("cached").text}


def _results_of_calls(registry: Registry) -> Report:
    calls: dict[str, Callable[[], Any]] = {
        "cached get": lambda: (time.sleep(0.06), registry.get("cached")),
        "update": lambda: registry.update("cached", template="child"),
        "create": lambda: registry.create("new", "child"),
        "uncached get": lambda: registry.get("uncached"),
        "list": registry.list,
        "history": lambda: registry.history("cached"),
        "cached render": lambda: registry.render("cached"),
        "opening anew": lambda: Registry(registry.path),
    }
    refusals = {name: _refusal(call) for name, call in calls.items()}
    handles = registry._core.storage._connections.open_handles()  # type: ignore[attr-defined]
    registry.close()
    changes = [handle.connection.total_changes for handle in handles]  # which a closed connection would not tell
    return {**refusals, "connections left": len(changes)}


def _refusal(call: Callable[[], Any]) -> list[str]:
    try:
        return ["answered", repr(call())]
    except PromptregError as error:
        return [type(error).__name__, error.message]


if __name__ == "__main__":
    scenario = {"busy": busy, "waiting": waiting, "queued": queued, "pools": pools, "without_hooks": without_hooks}[
        sys.argv[1]
    ]
    print(json.dumps(scenario(*sys.argv[2:])))
