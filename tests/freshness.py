"""A stress of commits and reads: `python -m tests.freshness TARGET COMMITS FRESHNESS` prints what the readers saw.

Writers publish versions of a few prompts, and record on a shared board which version each call returned. Some are
killed at random moments, others kill themselves right after a COMMIT, and new ones replace them. Each thread of the
readers first reads the board and then the registry: what it reads must be no older than the board (else stale), and
no older than what any thread of its process has read before (else backwards). Where the storage declares that reads may
be behind for a while, the board of that long ago counts; and what is marked as stale is only counted.
"""

import json
import mmap
import os
import random
import signal
import sqlite3
import sys
import threading
import time
import traceback
from collections import deque
from collections.abc import Callable
from typing import Any

from promptreg import Prompt, Registry
from tests.storages import POSTGRES

WRITERS, READERS, THREADS, PROMPTS = 3, 4, 4, 3
NAMES = [f"counter/{number}" for number in range(PROMPTS)]
KILL_EVERY_SECONDS = 0.3
LONGEST_LIFE = 80  # commits of a writer that record_death after one


class Board:
    """The state that all processes share: 64-bit words in shared memory, each written by one process."""

    def __init__(self) -> None:
        self._words = memoryview(mmap.mmap(-1, 8 * 1024)).cast("Q")

    @property
    def is_over(self) -> bool:
        """Whether all processes should end."""
        return bool(self._words[0])

    def end(self) -> None:
        """Make all processes end."""
        self._words[0] = 1

    def returned(self, writer: int, prompt: int, version: int) -> None:
        """Record that a call returned which published that version."""
        self._words[1 + prompt * WRITERS + writer] = version
        self._words[512 + writer] += 1

    def least(self, prompt: int) -> int:
        """Return the newest version whose call returned."""
        return max(self._words[1 + prompt * WRITERS : 1 + (prompt + 1) * WRITERS])

    def record_death(self, writer: int) -> None:
        """Record that a writer is killing itself after a commit."""
        self._words[768 + writer] += 1

    def read(self, reader: int, count: int) -> None:
        """Record how many reads a thread of the readers has made."""
        self._words[900 + reader] = count

    @property
    def reads(self) -> int:
        """The number of reads that the readers have recorded."""
        return sum(self._words[900 : 900 + READERS * THREADS])

    @property
    def calls(self) -> int:
        """The number of calls that returned."""
        return sum(self._words[512 : 512 + WRITERS])

    @property
    def deaths(self) -> int:
        """The number of writers that died after a commit."""
        return sum(self._words[768 : 768 + WRITERS])


def _die_after_commit(target: str, number: int, before_death: Callable[[], None]) -> None:
    """Make every connection of this process kill the process after that many commits."""
    left = number

    def committed() -> None:
        nonlocal left
        left -= 1
        if left == 0:
            before_death()
            os.kill(os.getpid(), signal.SIGKILL)

    (_call_after_commit_in_postgres if target.startswith(POSTGRES) else _call_after_commit_in_sqlite)(committed)


def _call_after_commit_in_postgres(committed: Callable[[], None]) -> None:
    from promptreg.storage.postgres.sessions import COMMIT, Session
    from promptreg.storage.postgres.statements import Result, Statement  # needs the driver

    run = Session.run

    def run_and_call(session: Session, *statements: Statement) -> list[Result]:
        results = run(session, *statements)
        if COMMIT in statements:
            committed()
        return results

    Session.run = run_and_call  # type: ignore[method-assign]


def _call_after_commit_in_sqlite(committed: Callable[[], None]) -> None:
    connect = sqlite3.connect

    class Dying(sqlite3.Connection):
        def execute(self, sql: str, *operands: Any) -> sqlite3.Cursor:
            cursor = super().execute(sql, *operands)
            if sql.strip().upper().startswith("COMMIT"):
                committed()
            return cursor

    def connect_dying(*args: Any, **more: Any) -> sqlite3.Connection:
        return connect(*args, **{"factory": Dying, **more})

    sqlite3.connect = connect_dying  # type: ignore[assignment]


def write(path: str, board: Board, writer: int) -> None:
    """Publish until the end of the run, or until killed."""
    parent = os.getppid()
    if random.random() < 0.5:
        _die_after_commit(path, random.randint(1, LONGEST_LIFE), lambda: board.record_death(writer))
    with Registry(path, busy_timeout=60) as registry:
        for i in range(sys.maxsize):
            if board.is_over or os.getppid() != parent:
                return
            prompt = random.randrange(PROMPTS)
            updated = registry.update(NAMES[prompt], template=f"{os.getpid()} {i}")
            board.returned(writer, prompt, updated.version)


Read = Callable[[Registry, str], tuple[int, bool]]
"""Returns the version, and whether it is marked as stale."""


def _seen(prompt: Prompt) -> tuple[int, bool]:
    return prompt.version, prompt.stale


def _production(prompt: Prompt) -> tuple[int, bool]:
    return prompt.labels["production"], prompt.stale


READS: list[Read] = [
    lambda registry, name: _seen(registry.get(name)),
    lambda registry, name: _seen(registry.render(name).prompt),  # type: ignore[arg-type]
    lambda registry, name: _seen(registry.get(f"{name}@latest")),
    lambda registry, name: _production(registry.get(name)),
]
SLOW_READS: list[Read] = [
    lambda registry, name: (registry.history(name, limit=1)[0].version, False),
    lambda registry, name: next(_seen(prompt) for prompt in registry.list() if prompt.name == name),
]


class Past:
    """What the board said a while ago."""

    def __init__(self, board: Board, seconds: float) -> None:
        self._board, self._seconds = board, seconds
        self._said: deque[tuple[float, list[int]]] = deque([(0.0, [0] * PROMPTS)])

    def least(self, prompt: int) -> int:
        """Return the newest version whose call had returned that long ago."""
        said = [self._board.least(number) for number in range(PROMPTS)]
        now = time.monotonic()  # after the board was read, as this thread may have to wait in between
        self._said.append((now, said))
        while len(self._said) > 1 and self._said[1][0] <= now - self._seconds:
            self._said.popleft()
        return self._said[0][1][prompt]


class ReaderProcess:
    """What the threads of one process read, and which of it was wrong."""

    def __init__(self, path: str, board: Board, freshness: str, number: int) -> None:
        self.board, self.number = board, number
        self.registry = Registry(path, busy_timeout=60, freshness=freshness)
        self.staleness = self.registry._core.storage.profile.staleness
        self.marked = [0] * THREADS
        self.seen = [[0] * PROMPTS for _ in range(THREADS)]
        self.reads = [0] * THREADS
        self.wrong: dict[str, list[Any]] = {"stale": [], "backwards": [], "errors": []}

    def run(self) -> dict[str, Any]:
        """Read in every thread until the end of the run, at low priority, or the writers would hardly run."""
        os.nice(10)
        threads = [threading.Thread(target=self._read, args=(number,)) for number in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.registry.close()
        return {
            "reads": sum(self.reads),
            "marked": sum(self.marked),
            **{what: errors[:5] for what, errors in self.wrong.items()},
        }

    def _read(self, index: int) -> None:
        try:
            parent, rng, past = os.getppid(), random.Random(index), Past(self.board, self.staleness)
            while not self.board.is_over and os.getppid() == parent:
                for _ in range(50):
                    self._check_read(index, past, rng.randrange(PROMPTS), rng.choice(READS))
                self._check_read(index, past, rng.randrange(PROMPTS), rng.choice(SLOW_READS))
                self.board.read(self.number * THREADS + index, self.reads[index])
        except Exception:
            self.wrong["errors"].append(traceback.format_exc())

    def _check_read(self, index: int, past: Past, prompt: int, read: Read) -> None:
        earlier = max(seen[prompt] for seen in self.seen)
        least = past.least(prompt)
        version, is_marked = read(self.registry, NAMES[prompt])
        self.marked[index] += is_marked
        if is_marked:
            return
        if version < least:
            self.wrong["stale"].append([prompt, version, least])
        if version < earlier:
            self.wrong["backwards"].append([prompt, version, earlier])
        self.seen[index][prompt] = max(self.seen[index][prompt], version)
        self.reads[index] += 1


def _start(work: Callable[[], Any]) -> tuple[int, int]:
    """Fork a process that does the work; return its id and the pipe that its result comes from."""
    out, into = os.pipe()
    child = os.fork()
    if child:
        os.close(into)
        return child, out
    try:
        os.write(into, json.dumps(work()).encode())
        os._exit(0)
    except BaseException:
        traceback.print_exc()
    finally:
        os._exit(1)


def _result(child: int, out: int) -> Any:
    with os.fdopen(out) as pipe:
        text = pipe.read()
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return json.loads(text) if code == 0 else {"reads": 0, "errors": [f"a process ended with {code}"]}


def _seed(path: str) -> None:
    with Registry(path) as registry:
        for name in NAMES:
            registry.create(name, "0")


def _count(path: str) -> int:
    with Registry(path) as registry:
        return sum(registry.get(name).latest_version - 1 for name in NAMES)


class WriterPool:
    """The writers, which are killed and replaced until enough of their calls have returned."""

    def __init__(self, path: str, board: Board) -> None:
        self._path, self._board = path, board
        self._writers = [self._writer(number) for number in range(WRITERS)]
        self.killed = 0
        self.errors: list[str] = []

    def _writer(self, number: int) -> tuple[int, int]:
        return _start(lambda: write(self._path, self._board, number))

    def run(self, commits: int, seconds: float) -> None:
        """Run until there were enough calls and reads and a writer died after its commit, or until the time is over."""
        deadline, kill_at = time.monotonic() + seconds, time.monotonic() + KILL_EVERY_SECONDS
        board = self._board
        while (
            (board.calls < commits or board.reads < 2 * commits or not board.deaths)
            and time.monotonic() < deadline
            and not self.errors
        ):
            time.sleep(0.002)
            if time.monotonic() > kill_at:
                os.kill(random.choice(self._writers)[0], signal.SIGKILL)
                kill_at = time.monotonic() + KILL_EVERY_SECONDS * random.uniform(0.2, 1.8)
            self._replace_the_dead()
        self._board.end()
        for child, out in self._writers:
            os.close(out)
            self._judge(os.waitpid(child, 0)[1], ends=True)

    def _replace_the_dead(self) -> None:
        for number, (child, out) in enumerate(self._writers):
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                os.close(out)
                self._judge(status, ends=False)
                self._writers[number] = self._writer(number)

    def _judge(self, status: int, *, ends: bool) -> None:
        code = os.waitstatus_to_exitcode(status)
        if code == -signal.SIGKILL:
            self.killed += 1
        elif code != 0 or not ends:
            self.errors.append(f"a writer ended with {code}")


def main(path: str, commits: int, freshness: str) -> dict[str, Any]:
    """Run writers and readers, and return what was seen."""
    board = Board()
    if path.startswith(POSTGRES):  # here, as a writer would be killed before it has done so
        import promptreg.storage.postgres.writer  # noqa: F401
    _result(*_start(lambda: _seed(path)))
    readers = [
        _start(lambda number=number: ReaderProcess(path, board, freshness, number).run()) for number in range(READERS)
    ]
    writers = WriterPool(path, board)
    writers.run(commits, 240 + commits * 0.05)
    reports = [_result(*reader) for reader in readers]
    counted = _result(*_start(lambda: _count(path)))
    return {
        "commits": board.calls,
        "counted": counted,
        "killed": writers.killed,
        "killed_behind_commit": board.deaths,
        "reads": sum(each["reads"] for each in reports),
        "marked": sum(each.get("marked", 0) for each in reports),
        "stale": [wrong for each in reports for wrong in each.get("stale", [])],
        "backwards": [wrong for each in reports for wrong in each.get("backwards", [])],
        "errors": writers.errors + [wrong for each in reports for wrong in each["errors"]],
    }


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], int(sys.argv[2]), sys.argv[3])))
