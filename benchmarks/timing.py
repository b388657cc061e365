"""Ratios to a floor, both measured in turn, in short slices of processor time, because machines are noisy.

Each round gives one ratio, of the fastest slice of either side; what is printed is the median of the rounds.
"""

import argparse
import platform
import statistics
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from time import process_time
from timeit import Timer
from typing import Any, TypeAlias

import jinja2

ROUNDS = 40
TURNS = 3  # slices of either side a round
SLICE = 0.0005  # seconds, at least
Pair: TypeAlias = tuple[float, float]
HEADS = (("median", 10), ("min", 10), ("max", 10), ("must", 8), ("aim", 8), ("ours µs", 10), ("floor µs", 10))


@dataclass(frozen=True, slots=True)
class Row:
    """Two statements over the same names: what is measured, and the floor it is measured against.

    `goals` are the ratios that it must and aims to stay under.
    """

    name: str
    ours: str
    floor: str
    names: Mapping[str, Any]
    goals: tuple[float, float] | None = None

    def results(self) -> tuple[Any, Any]:
        """Give what the two statements, which are expressions here, come to."""
        names = dict(self.names)
        return eval(self.ours, names), eval(self.floor, names)


def rounds_asked(description: str | None, usual: int = ROUNDS) -> int:
    """Read the program's only option."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--rounds", type=int, default=usual, help=f"ratios a row, {usual} by default")
    return int(parser.parse_args().rounds)


def require_same(rows: Iterable[Row], shown: Callable[[Any], object]) -> None:
    """Exit unless the two statements of every row come to the same, as `shown` tells it."""
    for row in rows:
        ours, floor = map(shown, row.results())
        if ours != floor:
            sys.exit(f"{row.name}: not the same.\n--- {row.ours}\n{ours}\n--- {row.floor}\n{floor}")


def print_machine() -> None:
    """Print what the figures depend on most."""
    print(f"Python {platform.python_version()}, Jinja2 {jinja2.__version__}, {platform.machine()}, {sys.platform}")


def print_ratios(title: str, rows: Sequence[Row], rounds: int) -> None:
    """Measure all rows in turn, round after round; print each one's ratios and times."""
    sides = [(_Side(row.ours, row.names), _Side(row.floor, row.names)) for row in rows]
    measured = [[_round(ours, floor) for ours, floor in sides] for _ in range(rounds)]
    print_table(title, [(row.name, row.goals, pairs) for row, *pairs in zip(rows, *measured, strict=True)])


def print_table(title: str, rows: Iterable[tuple[str, tuple[float, float] | None, Sequence[Pair]]]) -> None:
    """Print rows of a name, goals and the pairs measured, each the seconds of ours and of the floor."""
    heads = "".join(f"{head:>{width}}" for head, width in HEADS)
    print(f"\n{title:<44}{heads}")
    for name, goals, pairs in rows:
        ratios = [ours / floor for ours, floor in pairs]
        spread = "".join(f"{ratio:10.3f}" for ratio in (statistics.median(ratios), min(ratios), max(ratios)))
        told = "".join(f"{goal:8}" for goal in goals) if goals else " " * 16
        times = "".join(f"{statistics.median(side) * 1e6:10.2f}" for side in zip(*pairs, strict=True))
        print(f"{name:<44}{spread}{told}{times}")


class _Side:
    """One statement, run as often at a time as a slice takes."""

    def __init__(self, statement: str, names: Mapping[str, Any]) -> None:
        self._timer = Timer(statement, timer=process_time, globals=dict(names))
        self._times = 1
        while self._timer.timeit(self._times) < SLICE:
            self._times *= 2

    def slice(self) -> float:
        """Give the seconds of one run of the statement."""
        return self._timer.timeit(self._times) / self._times


def _round(ours: _Side, floor: _Side) -> Pair:
    turns = [(ours.slice(), floor.slice()) for _ in range(TURNS)]
    return min(turn[0] for turn in turns), min(turn[1] for turn in turns)
