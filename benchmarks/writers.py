"""Eight processes that write to one registry with full durability, alternating with one that writes alone.

Each writer updates another prompt as fast as it can, for the same time. Its longest wait is its longest call; since
disks stall at times, that is compared with 300 ms plus twice the longest commit of the run.
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
SECONDS = 1.5  # of writing, for each round and side
SECONDS_A_ROUND = 0.3  # the limit of a short run
DESCRIPTIONS = "Answers in short", "Answers at length"
PATIENCE = 60.0  # seconds, so that no writer times out
ALLOWED_WAIT = 0.3  # seconds, and twice the longest commit

THROUGHPUT = (0.5, 0.8)
FAIRNESS = (0.6, 0.8)
WAIT = (1, 1)
KEPT = (1, 1)


@dataclass(frozen=True)
class WriterReport:
    """What one writer reports: its updates, and in seconds its time, its longest call and its longest commit."""

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
        duration = min(SECONDS, rounds * SECONDS_A_ROUND)
        for _ in range(rounds):
            before = latest(path)
            alone, together = write_in_processes(path, 1, duration), write_in_processes(path, WRITERS, duration)
            commit = max(report.longest_commit for report in together)
            rates.append((rate(together), rate(alone)))
            waits.append((max(report.longest_wait for report in together), ALLOWED_WAIT + 2 * commit))
            shares.append((min(report.updates for report in together), max(report.updates for report in together)))
            updates = sum(report.updates + len(DESCRIPTIONS) for report in [*alone, *together])
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
    """Return the number of versions of all writers' prompts."""
    with Registry(path) as registry:
        return sum(registry.get(name_of(number)).latest_version for number in range(WRITERS))


def rate(reports: Iterable[WriterReport]) -> float:
    """Return the updates a second of all writers together."""
    return sum(report.updates / report.seconds for report in reports)


def write_in_processes(path: Path, count: int, duration: float) -> list[WriterReport]:
    """Let `count` processes write at the same time, and return what each reports."""
    context = multiprocessing.get_context("spawn")
    start, reports = context.Barrier(count), context.SimpleQueue()
    writers = [context.Process(target=write, args=(path, number, duration, start, reports)) for number in range(count)]
    for writer in writers:
        writer.start()
    received = [reports.get() for _ in writers]
    for writer in writers:
        writer.join()
    return received


def write(path: Path, number: int, duration: float, start: Barrier, reports: Any) -> None:
    """Run one writer, which alternates between two descriptions, so that no template is compiled."""
    TimedConnection.longest_commit = 0.0
    sqlite3.connect = partial(sqlite3.connect, factory=TimedConnection)  # type: ignore[assignment]
    with Registry(path, busy_timeout=PATIENCE) as registry:
        name = name_of(number)
        description = registry.get(name).description

        def update() -> float:
            nonlocal description
            description = DESCRIPTIONS[description == DESCRIPTIONS[0]]
            return seconds(lambda: registry.update(name, description=description))

        for _ in DESCRIPTIONS:
            update()
        start.wait()
        began, updates, longest = perf_counter(), 0, 0.0
        while perf_counter() < began + duration:
            longest = max(longest, update())
            updates += 1
        elapsed = perf_counter() - began
    reports.put(WriterReport(updates, elapsed, longest, TimedConnection.longest_commit))


class TimedConnection(sqlite3.Connection):
    """A connection that records its longest commit."""

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
