"""A storm of commits with readers in it: `python -m tests.freshness PATH COMMITS` tells what the readers saw.

Writers publish versions of a few prompts, and write on a shared board which version each call returned. Some
are killed at random moments, others by themselves right behind a COMMIT, and new ones take their places.
Each of the readers' threads looks at the board first and reads then: what it is given must be no older than
the board (stale), and no older than what any thread of its process was given before (backwards).
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
from collections.abc import Callable
from typing import Any

from promptreg import Registry

WRITERS, READERS, THREADS, PROMPTS = 3, 4, 4, 3
NAMES = [f"counter/{number}" for number in range(PROMPTS)]
KILL_EVERY_SECONDS = 0.3
LONGEST_LIFE = 80  # commits, of a writer that dies behind one


class Board:
    """What all the processes know: 64-bit words in shared memory, each written by one process."""

    def __init__(self) -> None:
        self._words = memoryview(mmap.mmap(-1, 8 * 1024)).cast("Q")

    @property
    def is_over(self) -> bool:
        """Whether everybody should end."""
        return bool(self._words[0])

    def end(self) -> None:
        """Tell everybody to end."""
        self._words[0] = 1

    def returned(self, writer: int, prompt: int, version: int) -> None:
        """Say that a call returned which published that version."""
        self._words[1 + prompt * WRITERS + writer] = version
        self._words[512 + writer] += 1

    def least(self, prompt: int) -> int:
        """Give the newest version of which a call returned."""
        return max(self._words[1 + prompt * WRITERS : 1 + (prompt + 1) * WRITERS])

    def dies(self, writer: int) -> None:
        """Say that a writer is killing itself behind a commit."""
        self._words[768 + writer] += 1

    @property
    def calls(self) -> int:
        """How many calls returned."""
        return sum(self._words[512 : 512 + WRITERS])

    @property
    def deaths(self) -> int:
        """How many writers died behind a commit."""
        return sum(self._words[768 : 768 + WRITERS])


def _die_behind_commit(number: int, last_words: Callable[[], None]) -> None:
    """Make every connection of this process kill it once that many of its commits are in the file."""
    left = number
    connect = sqlite3.connect

    class Dying(sqlite3.Connection):
        def execute(self, sql: str, *operands: Any) -> sqlite3.Cursor:
            done = super().execute(sql, *operands)
            if sql.strip().upper().startswith("COMMIT"):
                nonlocal left
                left -= 1
                if left == 0:
                    last_words()
                    os.kill(os.getpid(), signal.SIGKILL)
            return done

    def connect_dying(*args: Any, **more: Any) -> sqlite3.Connection:
        return connect(*args, **{"factory": Dying, **more})

    sqlite3.connect = connect_dying  # type: ignore[assignment]


def write(path: str, board: Board, writer: int) -> None:
    """Publish until it is over, or until death."""
    parent = os.getppid()
    if random.random() < 0.5:
        _die_behind_commit(random.randint(1, LONGEST_LIFE), lambda: board.dies(writer))
    with Registry(path, busy_timeout=60) as registry:
        for i in range(sys.maxsize):
            if board.is_over or os.getppid() != parent:
                return
            prompt = random.randrange(PROMPTS)
            made = registry.update(NAMES[prompt], template=f"{os.getpid()} {i}")
            board.returned(writer, prompt, made.version)


LOOKS: list[Callable[[Registry, str], int]] = [
    lambda registry, name: registry.get(name).version,
    lambda registry, name: registry.render(name).version,
    lambda registry, name: registry.get(f"{name}@latest").version,
    lambda registry, name: registry.get(name).labels["production"],
]
SLOW_LOOKS: list[Callable[[Registry, str], int]] = [
    lambda registry, name: registry.history(name, limit=1)[0].version,
    lambda registry, name: next(prompt.version for prompt in registry.list() if prompt.name == name),
]


class Watch:
    """What the threads of one process read, and what was wrong with it."""

    def __init__(self, path: str, board: Board) -> None:
        self.board = board
        self.registry = Registry(path, busy_timeout=60)
        self.seen = [[0] * PROMPTS for _ in range(THREADS)]
        self.reads = [0] * THREADS
        self.wrong: dict[str, list[Any]] = {"stale": [], "backwards": [], "errors": []}

    def run(self) -> dict[str, Any]:
        """Read in every thread until it is over; politely, or the writers hardly get a turn."""
        os.nice(10)
        threads = [threading.Thread(target=self._read, args=(number,)) for number in range(THREADS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.registry.close()
        return {"reads": sum(self.reads), **{what: found[:5] for what, found in self.wrong.items()}}

    def _read(self, me: int) -> None:
        try:
            parent, mine = os.getppid(), random.Random(me)
            while not self.board.is_over and os.getppid() == parent:
                for _ in range(50):
                    self._look(me, mine.randrange(PROMPTS), mine.choice(LOOKS))
                self._look(me, mine.randrange(PROMPTS), mine.choice(SLOW_LOOKS))
        except Exception:
            self.wrong["errors"].append(traceback.format_exc())

    def _look(self, me: int, prompt: int, look: Callable[[Registry, str], int]) -> None:
        earlier = max(seen[prompt] for seen in self.seen)
        least = self.board.least(prompt)
        version = look(self.registry, NAMES[prompt])
        if version < least:
            self.wrong["stale"].append([prompt, version, least])
        if version < earlier:
            self.wrong["backwards"].append([prompt, version, earlier])
        self.seen[me][prompt] = max(self.seen[me][prompt], version)
        self.reads[me] += 1


def _start(work: Callable[[], Any]) -> tuple[int, int]:
    """Fork a process that does the work, and give its id and the pipe with its result."""
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


class Storm:
    """The writers, who are killed and replaced until enough of their calls returned."""

    def __init__(self, path: str, board: Board) -> None:
        self._path, self._board = path, board
        self._writers = [self._writer(number) for number in range(WRITERS)]
        self.killed = 0
        self.errors: list[str] = []

    def _writer(self, number: int) -> tuple[int, int]:
        return _start(lambda: write(self._path, self._board, number))

    def blow(self, commits: int, seconds: float) -> None:
        """Go on until that many calls returned and a writer died behind its commit, or so many seconds passed."""
        over, kill_at = time.monotonic() + seconds, time.monotonic() + KILL_EVERY_SECONDS
        while (self._board.calls < commits or not self._board.deaths) and time.monotonic() < over and not self.errors:
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


def main(path: str, commits: int) -> dict[str, Any]:
    """Let it storm, and tell what was seen."""
    board = Board()
    _result(*_start(lambda: _seed(path)))
    readers = [_start(lambda: Watch(path, board).run()) for _ in range(READERS)]
    storm = Storm(path, board)
    storm.blow(commits, 60 + commits * 0.05)
    watched = [_result(*reader) for reader in readers]
    counted = _result(*_start(lambda: _count(path)))
    return {
        "commits": board.calls,
        "counted": counted,
        "killed": storm.killed,
        "killed_behind_commit": board.deaths,
        "reads": sum(each["reads"] for each in watched),
        "stale": [wrong for each in watched for wrong in each.get("stale", [])],
        "backwards": [wrong for each in watched for wrong in each.get("backwards", [])],
        "errors": storm.errors + [wrong for each in watched for wrong in each["errors"]],
    }


if __name__ == "__main__":
    print(json.dumps(main(sys.argv[1], int(sys.argv[2]))))
