"""Ratios to a floor, both measured in turn, because machines are noisy, and the one table that tells them.

Each round gives one ratio; what is printed is the median of the rounds, beside minimum and maximum. Statements are
measured in short slices of processor time, and a round takes the fastest slice of either side; what waits for
the disk or for others is measured by the clock, and a round takes the median of its turns.
"""

import argparse
import os
import platform
import sqlite3
import statistics
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from time import perf_counter, process_time
from timeit import Timer
from typing import Any, TypeAlias

import jinja2

ROUNDS = 40
SIZE = 100_000
TURNS = 3  # slices of either side a round
SLICE = 0.0005  # seconds, at least
Pair: TypeAlias = tuple[float, float]
Goals: TypeAlias = tuple[float, float]
HEADS = (("median", 10), ("min", 10), ("max", 10), ("must", 8), ("aim", 8), ("ours µs", 12), ("floor µs", 12))
NAME_WIDTH = 52
MARKS = MUST_MISSED, AIM_MISSED = "!", "·"


@dataclass(frozen=True, slots=True)
class Row:
    """Two statements over the same names: what is measured, and the floor it is measured against.

    `goals` are the ratios that it must and aims to stay under. `by_clock` measures by the clock.
    """

    name: str
    ours: str
    floor: str
    names: Mapping[str, Any]
    goals: Goals | None = None
    by_clock: bool = False

    def results(self) -> tuple[Any, Any]:
        """Give what the two statements, which are expressions here, come to."""
        names = dict(self.names)
        return eval(self.ours, names), eval(self.floor, names)


@dataclass(frozen=True, slots=True)
class Measured:
    """A row's rounds, each the seconds of ours and of the floor, or other amounts where not `in_seconds`.

    Smaller ratios are better, unless `is_rate`: then the goals are what it must and aims to reach at least.
    """

    name: str
    pairs: Sequence[Pair]
    goals: Goals | None = None
    is_rate: bool = False
    in_seconds: bool = True

    @property
    def ratios(self) -> list[float]:
        """What the rounds came to."""
        return [ours / floor for ours, floor in self.pairs]

    @property
    def mark(self) -> str:
        """What is printed before a row whose median misses one of its goals."""
        median = statistics.median(self.ratios)
        missed = [median < goal if self.is_rate else median > goal for goal in self.goals or ()]
        return next((mark for mark, is_missed in zip(MARKS, missed, strict=False) if is_missed), " ")


Tables: TypeAlias = dict[str, list[Measured]]
"""Measured rows by what they are ratios of."""


@dataclass(frozen=True, slots=True)
class Options:
    """How much to measure: ratios a row, None for what each program usually takes; prompts in the large registry."""

    rounds: int | None = None
    size: int = SIZE


def run(description: str | None, measured: Callable[[Options], Tables]) -> None:
    """Be one program: read its options, measure, print."""
    options = read_options(option_parser(description).parse_args())
    print_machine()
    print_tables(measured(options))


def option_parser(description: str | None) -> argparse.ArgumentParser:
    """Give what reads the options that all programs have."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--rounds", type=int, help="ratios a row; without it, what each program usually takes")
    parser.add_argument("--size", type=int, default=SIZE, help=f"prompts in the large registry, {SIZE:,} by default")
    return parser


def read_options(given: argparse.Namespace) -> Options:
    """Give the options that all programs have."""
    return Options(given.rounds, given.size)


def require_same(rows: Iterable[Row], shown: Callable[[Any], object]) -> None:
    """Exit unless the two statements of every row come to the same, as `shown` tells it."""
    for row in rows:
        ours, floor = map(shown, row.results())
        require_equal(row.name, ours, floor)


def require_equal(name: str, ours: object, floor: object) -> None:
    """Exit unless both sides of a row gave the same."""
    if ours != floor:
        sys.exit(f"{name}: not the same.\n--- ours\n{ours}\n--- the floor\n{floor}")


def measure(rows: Sequence[Row], rounds: int) -> list[Measured]:
    """Measure all rows in turn, round after round."""
    meters = [Meter(row) for row in rows]
    measured = [[meter.measure() for meter in meters] for _ in range(rounds)]
    return [Measured(row.name, pairs, row.goals) for row, *pairs in zip(rows, *measured, strict=True)]


def alternate(ours: Callable[[], float], floor: Callable[[], float], turns: int) -> Pair:
    """Give a round of two functions, each of which gives its own seconds: the median of their turns."""
    pairs = [(ours(), floor()) for _ in range(turns)]
    return statistics.median(pair[0] for pair in pairs), statistics.median(pair[1] for pair in pairs)


def seconds(function: Callable[[], object]) -> float:
    """Give the seconds that a call takes, by the clock."""
    began = perf_counter()
    function()
    return perf_counter() - began


def print_machine() -> None:
    """Print what the figures depend on most, and the day."""
    print(
        f"{datetime.now(UTC):%Y-%m-%d}: {platform.python_implementation()} {platform.python_version()},"
        f" Jinja2 {jinja2.__version__}, SQLite {sqlite3.sqlite_version},"
        f" {platform.machine()} {platform.system()}, {os.cpu_count()} cores"
    )


def print_tables(tables: Tables) -> None:
    """Print one table of all rows under its heads, each group told by what it is a ratio of."""
    heads = "".join(f"{head:>{width}}" for head, width in HEADS)
    legend = f"{MUST_MISSED} misses what it must   {AIM_MISSED} misses its aim"
    print(f"\n{legend:<{NAME_WIDTH}}{heads}")
    for title, rows in tables.items():
        print(title)
        for row in rows:
            print(_line(row))


def _line(row: Measured) -> str:
    ratios = row.ratios
    spread = "".join(f"{ratio:10.3f}" for ratio in (statistics.median(ratios), min(ratios), max(ratios)))
    sign = "≥" if row.is_rate else ""
    told = "".join(f"{f'{sign}{goal:g}':>8}" for goal in row.goals) if row.goals else " " * 16
    factor = 1e6 if row.in_seconds else 1
    amounts = [statistics.median(side) * factor for side in zip(*row.pairs, strict=True)]
    shown = "".join(f"{amount:12,.2f}" for amount in amounts) if row.in_seconds else ""
    return f"{row.mark} {row.name:<{NAME_WIDTH - 2}}{spread}{told}{shown}"


class Meter:
    """A row, ready to be measured as often as is asked."""

    def __init__(self, row: Row) -> None:
        self._ours, self._floor = _Side(row.ours, row), _Side(row.floor, row)

    def measure(self) -> Pair:
        """Give one round: the seconds of the fastest slice of either side, measured in turn."""
        turns = [(self._ours.slice(), self._floor.slice()) for _ in range(TURNS)]
        return min(turn[0] for turn in turns), min(turn[1] for turn in turns)


class _Side:
    """One statement, run as often at a time as a slice takes."""

    def __init__(self, statement: str, row: Row) -> None:
        self._timer = Timer(statement, timer=perf_counter if row.by_clock else process_time, globals=dict(row.names))
        self._times = 1
        while min(self._timer.repeat(TURNS, self._times)) < SLICE:  # as one may meet a stall
            self._times *= 2

    def slice(self) -> float:
        """Give the seconds of one run of the statement."""
        return self._timer.timeit(self._times) / self._times
