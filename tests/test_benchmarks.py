"""The benchmarks run; what they measure is never asserted, because machines differ."""

import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
PROGRAMS = sorted(path.name for path in BENCHMARKS.glob("*.py") if "__main__" in path.read_text(encoding="utf-8"))


@pytest.mark.parametrize("program", [program for program in PROGRAMS if program != "all.py"])
def test_a_benchmark_runs_and_its_two_sides_give_the_same(program: str) -> None:
    """Each program checks that both sides of a row come to the same before it measures them."""
    assert "median" in run(program)


def test_one_command_prints_one_table() -> None:
    """`all.py` runs the programs that are named, here those that take no time to speak of, and prints them together."""
    lines = run("all.py", "sizes", "rendering").splitlines()
    assert len([line for line in lines if "median" in line]) == 1
    assert any(line.startswith("100 prompts of") for line in lines)
    assert any(line.startswith("compiling /") for line in lines)


def run(program: str, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, BENCHMARKS / program, "--rounds", "1", "--size", "100", *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_every_benchmark_is_in_the_table() -> None:
    """benchmarks/README.md has a row for each program."""
    table = (BENCHMARKS / "README.md").read_text(encoding="utf-8")
    assert [program for program in PROGRAMS if f"| `{program}` |" not in table] == []
