"""Ratios to a floor, both sides measured alternately, because machines are noisy, and the table that shows them.

Each round yields one ratio; the median of the rounds is printed, with minimum and maximum. Statements are measured in
short slices of processor time, and a round takes the fastest slice of either side. What waits for the disk or for
other processes is measured in wall-clock time, and a round takes the median of its repeats.
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
REPEATS = 3  # slices of either side in a round
SLICE = 0.0005  # seconds, at least
Pair: TypeAlias = tuple[float, float]
Goals: TypeAlias = tuple[float, float]
HEADS = (("median", 10), ("min", 10), ("max", 10), ("must", 8), ("aim", 8), ("ours µs", 12), ("floor µs", 12))
NAME_WIDTH = 52
MARKS = MUST_MISSED, AIM_MISSED = "!", "·"


@dataclass(frozen=True, slots=True)
class Row:
    """Two statements over the same names: the one that is measured, and its floor.

    `goals` are two upper bounds of the ratio: `must` and `aim`. `by_clock` measures wall-clock time.
    """

    name: str
    ours: str
    floor: str
    names: Mapping[str, Any]
    goals: Goals | None = None
    by_clock: bool = False

    def results(self) -> tuple[Any, Any]:
        """Return the values of the two statements, which are expressions here."""
        names = dict(self.names)
        return eval(self.ours, names), eval(self.floor, names)


@dataclass(frozen=True, slots=True)
class Measured:
    """The rounds of a row, each the seconds of ours and of the floor, or other amounts unless `in_seconds`.

    Smaller ratios are better, unless `is_rate`: then the goals are lower bounds.
    """

    name: str
    pairs: Sequence[Pair]
    goals: Goals | None = None
    is_rate: bool = False
    in_seconds: bool = True

    @property
    def ratios(self) -> list[float]:
        """The ratio of each round."""
        return [ours / floor for ours, floor in self.pairs]

    @property
    def mark(self) -> str:
        """The mark of a row whose median misses one of its goals, or a space."""
        median = statistics.median(self.ratios)
        missed = [median < goal if self.is_rate else median > goal for goal in self.goals or ()]
        return next((mark for mark, is_missed in zip(MARKS, missed, strict=False) if is_missed), " ")


Tables: TypeAlias = dict[str, list[Measured]]
"""Measured rows by the title of their table."""


@dataclass(frozen=True, slots=True)
class Options:
    """How much to measure: rounds a row, None for each program's default, and prompts in the large registry."""

    rounds: int | None = None
    size: int = SIZE


def run(description: str | None, measured: Callable[[Options], Tables]) -> None:
    """Run one program: read its options, measure and print."""
    options = read_options(option_parser(description).parse_args())
    print_machine()
    print_tables(measured(options))


def option_parser(description: str | None) -> argparse.ArgumentParser:
    """Return the parser of the options that all programs have."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--rounds", type=int, help="ratios a row; default: each program's own")
    parser.add_argument("--size", type=int, default=SIZE, help=f"prompts in the large registry, {SIZE:,} by default")
    return parser


def read_options(arguments: argparse.Namespace) -> Options:
    """Return the options that all programs have."""
    return Options(arguments.rounds, arguments.size)


def require_same(rows: Iterable[Row], normalized: Callable[[Any], object]) -> None:
    """Exit unless the two statements of every row have equal values, once `normalized`."""
    for row in rows:
        ours, floor = map(normalized, row.results())
        require_equal(row.name, ours, floor)


def require_equal(name: str, ours: object, floor: object) -> None:
    """Exit unless both sides of a row returned the same."""
    if ours != floor:
        sys.exit(f"{name}: not the same.\n--- ours\n{ours}\n--- the floor\n{floor}")


def measure(rows: Sequence[Row], rounds: int) -> list[Measured]:
    """Measure all rows once in each round."""
    meters = [Meter(row) for row in rows]
    measured = [[meter.measure() for meter in meters] for _ in range(rounds)]
    return [Measured(row.name, pairs, row.goals) for row, *pairs in zip(rows, *measured, strict=True)]


def alternate(ours: Callable[[], float], floor: Callable[[], float], repeats: int) -> Pair:
    """Return one round of two functions that return seconds: the median of each, called alternately."""
    pairs = [(ours(), floor()) for _ in range(repeats)]
    return statistics.median(pair[0] for pair in pairs), statistics.median(pair[1] for pair in pairs)


def seconds(function: Callable[[], object]) -> float:
    """Return the wall-clock seconds that a call takes."""
    began = perf_counter()
    function()
    return perf_counter() - began


def print_machine() -> None:
    """Print the date, and the versions and the machine on which the figures depend."""
    print(
        f"{datetime.now(UTC):%Y-%m-%d}: {platform.python_implementation()} {platform.python_version()},"
        f" Jinja2 {jinja2.__version__}, SQLite {sqlite3.sqlite_version},"
        f" {platform.machine()} {platform.system()}, {os.cpu_count()} cores"
    )


def print_tables(tables: Tables) -> None:
    """Print one table of all rows, each group under its title."""
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
    goals = "".join(f"{f'{sign}{goal:g}':>8}" for goal in row.goals) if row.goals else " " * 16
    factor = 1e6 if row.in_seconds else 1
    amounts = [statistics.median(side) * factor for side in zip(*row.pairs, strict=True)]
    shown = "".join(f"{amount:12,.2f}" for amount in amounts) if row.in_seconds else ""
    return f"{row.mark} {row.name:<{NAME_WIDTH - 2}}{spread}{goals}{shown}"


class Meter:
    """A row that can be measured any number of times."""

    def __init__(self, row: Row) -> None:
        self._ours, self._floor = _Side(row.ours, row), _Side(row.floor, row)

    def measure(self) -> Pair:
        """Return one round: the seconds of the fastest slice of either side, measured alternately."""
        pairs = [(self._ours.slice(), self._floor.slice()) for _ in range(REPEATS)]
        return min(pair[0] for pair in pairs), min(pair[1] for pair in pairs)


class _Side:
    """One statement, run in slices of enough repetitions."""

    def __init__(self, statement: str, row: Row) -> None:
        self._timer = Timer(statement, timer=perf_counter if row.by_clock else process_time, globals=dict(row.names))
        self._times = 1
        while min(self._timer.repeat(REPEATS, self._times)) < SLICE:  # the minimum, because a slice may be interrupted
            self._times *= 2

    def slice(self) -> float:
        """Return the seconds of one run of the statement, averaged over a slice."""
        return self._timer.timeit(self._times) / self._times
