"""The benchmarks run; what they measure is never asserted, because machines differ."""

import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
PROGRAMS = sorted(path.name for path in BENCHMARKS.glob("*.py") if "__main__" in path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("program", PROGRAMS)
def test_a_benchmark_runs_and_its_two_sides_give_the_same(program: str) -> None:
    """Each program checks that both sides of a row come to the same before it measures them."""
    run = subprocess.run(
        [sys.executable, BENCHMARKS / program, "--rounds", "1"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    assert "median" in run.stdout


def test_every_benchmark_is_in_the_table() -> None:
    """benchmarks/README.md has a row for each program."""
    table = (BENCHMARKS / "README.md").read_text(encoding="utf-8")
    assert [program for program in PROGRAMS if f"| `{program}` |" not in table] == []
