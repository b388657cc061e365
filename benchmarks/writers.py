"""Eight processes that write to one registry with full durability, against one that does alone, in turn.

Each writer updates a prompt of its own as fast as it may, for the same time. Its longest wait is its longest
call; disks stall at times, so that is held against 300 ms and twice the run's longest commit.
"""

import multiprocessing
import sqlite3
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from multiprocessing.synchronize import Barrier
from pathlib import Path
from time import perf_counter
from typing import Any

from prompts import MEDIUM
from timing import Measured, Options, Tables, run, seconds

from promptreg import Registry

ROUNDS = 5
WRITERS = 8
SECONDS = 1.5  # of writing, a round and side
SECONDS_A_ROUND = 0.3  # that a short run spares
DESCRIPTIONS = "Answers in short", "Answers at length"
PATIENCE = 60.0  # seconds: nobody gives up
ALLOWED_WAIT = 0.3  # seconds, and twice the longest commit

THROUGHPUT = (0.5, 0.8)
FAIRNESS = (0.6, 0.8)
WAIT = (1, 1)
KEPT = (1, 1)


@dataclass(frozen=True)
class Told:
    """What one writer tells: its updates, and in seconds its time, its longest call and its longest commit."""

    updates: int
    seconds: float
    longest_wait: float
    longest_commit: float


def measured(options: Options) -> Tables:
    rates, waits, shares, kept = [], [], [], []
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "prompts.db")
        with Registry(path) as registry:
            for number in range(WRITERS):
                registry.create(name_of(number), MEDIUM, description=DESCRIPTIONS[0])
        rounds = options.rounds or ROUNDS
        lasts = min(SECONDS, rounds * SECONDS_A_ROUND)
        for _ in range(rounds):
            before = latest(path)
            alone, together = written(path, 1, lasts), written(path, WRITERS, lasts)
            commit = max(told.longest_commit for told in together)
            rates.append((rate(together), rate(alone)))
            waits.append((max(told.longest_wait for told in together), ALLOWED_WAIT + 2 * commit))
            shares.append((min(told.updates for told in together), max(told.updates for told in together)))
            updates = sum(told.updates + len(DESCRIPTIONS) for told in [*alone, *together])
            kept.append((latest(path) - before, updates))
    return {
        f"{WRITERS} processes that write, full durability": [
            Measured("updates a second / one writer's", rates, THROUGHPUT, is_rate=True, in_seconds=False),
            Measured("longest wait / 300 ms + twice the longest commit", waits, WAIT),
            Measured("slowest writer / fastest", shares, FAIRNESS, is_rate=True, in_seconds=False),
            Measured("versions kept / updates that returned", kept, KEPT, is_rate=True, in_seconds=False),
        ]
    }


def name_of(number: int) -> str:
    return f"writer-{number}"


def latest(path: Path) -> int:
    """Give how many versions there are of all writers' prompts."""
    with Registry(path) as registry:
        return sum(registry.get(name_of(number)).latest_version for number in range(WRITERS))


def rate(all_told: Iterable[Told]) -> float:
    """Give the updates a second of all writers together."""
    return sum(told.updates / told.seconds for told in all_told)


def written(path: Path, count: int, lasts: float) -> list[Told]:
    """Let so many processes write at once, and give what each tells."""
    context = multiprocessing.get_context("spawn")
    start, answers = context.Barrier(count), context.SimpleQueue()
    writers = [context.Process(target=write, args=(path, number, lasts, start, answers)) for number in range(count)]
    for writer in writers:
        writer.start()
    told = [answers.get() for _ in writers]
    for writer in writers:
        writer.join()
    return told


def write(path: Path, number: int, lasts: float, start: Barrier, answers: Any) -> None:
    """Be one writer: alternate between two descriptions, so that no template is compiled."""
    TimedConnection.longest_commit = 0.0
    sqlite3.connect = partial(sqlite3.connect, factory=TimedConnection)  # type: ignore[assignment]
    with Registry(path, busy_timeout=PATIENCE) as registry:
        name = name_of(number)
        said = registry.get(name).description

        def update() -> float:
            nonlocal said
            said = DESCRIPTIONS[said == DESCRIPTIONS[0]]
            return seconds(lambda: registry.update(name, description=said))

        for _ in DESCRIPTIONS:
            update()
        start.wait()
        began, updates, longest = perf_counter(), 0, 0.0
        while perf_counter() < began + lasts:
            longest = max(longest, update())
            updates += 1
        taken = perf_counter() - began
    answers.put(Told(updates, taken, longest, TimedConnection.longest_commit))


class TimedConnection(sqlite3.Connection):
    """A connection that notes its longest commit."""

    longest_commit = 0.0

    def execute(self, sql: str, *args: Any) -> sqlite3.Cursor:
        if sql != "COMMIT":
            return super().execute(sql, *args)
        began = perf_counter()
        cursor = super().execute(sql, *args)
        TimedConnection.longest_commit = max(TimedConnection.longest_commit, perf_counter() - began)
        return cursor


if __name__ == "__main__":
    run(__doc__, measured)
