"""The benchmarks run; their figures are never asserted, because machines differ."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

BENCHMARKS = Path(__file__).parents[1] / "benchmarks"
PROGRAMS = sorted(path.name for path in BENCHMARKS.glob("*.py") if "__main__" in path.read_text(encoding="utf-8"))


MARKS = {"rendering.py": [], "postgres.py": [pytest.mark.postgres]}


@pytest.mark.parametrize(
    "program",
    [pytest.param(name, marks=MARKS.get(name, [pytest.mark.slow])) for name in PROGRAMS if name != "all.py"],
)
def test_a_benchmark_runs_and_its_two_sides_are_equal(
    program: str, request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each program checks that both sides of a row have equal results before it measures them."""
    if program == "postgres.py":
        monkeypatch.setenv("PROMPTREG_TEST_POSTGRES", request.getfixturevalue("postgres_url"))
    assert "median" in run(program)


@pytest.mark.slow
def test_without_a_server_the_benchmark_of_postgresql_says_so() -> None:
    """It prints the reason, and no row."""
    program = "import postgres, timing; postgres.programs = lambda: None; print(postgres.measured(timing.Options()))"
    environment = {key: value for key, value in os.environ.items() if key != "PROMPTREG_TEST_POSTGRES"}
    environment["PYTHONPATH"] = os.pathsep.join([str(BENCHMARKS), str(BENCHMARKS.parent)])
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True, env=environment)
    assert done.stdout == "{}\n"
    assert done.stderr.startswith("postgres: skipped, ")


@pytest.mark.slow
def test_one_command_prints_one_table() -> None:
    """`all.py` runs the named programs, here two quick ones, and prints their rows in one table."""
    lines = run("all.py", "sizes", "rendering").splitlines()
    assert len([line for line in lines if "median" in line]) == 1
    assert any(line.startswith("100 prompts of") for line in lines)
    assert any(line.startswith("compiling /") for line in lines)


MADE_UP = """
import all
from timing import Measured

def measured(name, ratios, goals, **more):
    return Measured(name, [(ratio, 1) for ratio in ratios], goals, **more)

rows = [
    measured("over", [1.9, 2.1, 2.1], (2, 1)),
    measured("too few", [0.4, 0.4, 0.9], (0.5, 0.8), is_rate=True),
    measured("within", [1.9, 2, 9], (2, 1)),
    measured("enough", [0.1, 0.5, 0.9], (0.5, 0.8), is_rate=True),
    measured("without a goal", [9], None),
]
all.PROGRAMS = {"met": lambda _: {"met": rows[2:]}, "missed": lambda _: {"missed": rows[:2]}}
all.main()
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "code", "missed"),
    [(["--check", "met"], 0, []), (["--check"], 1, ["over", "too few"]), ([], 0, ["over", "too few"])],
)
def test_a_row_whose_median_misses_a_goal_is_marked(arguments: list[str], code: int, missed: list[str]) -> None:
    """With `--check` the command fails for a missed must goal, and not for a missed aim, of made-up measurements."""
    done = subprocess.run(
        [sys.executable, "-c", MADE_UP, *arguments],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(BENCHMARKS), str(BENCHMARKS.parent)])},
    )
    assert done.returncode == code, done.stderr
    rows = [line for line in done.stdout.splitlines() if "median" not in line]
    marked = {mark: [row[2:].split("  ")[0] for row in rows if row.startswith(f"{mark} ")] for mark in "!·"}
    assert marked == {"!": missed, "·": ["within", "enough"]}


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


@pytest.mark.slow
def test_the_worker_of_promptreg_equals_the_floor_and_measures() -> None:
    """benchmarks/peers/worker.py runs promptreg's side without a network; the peers' sides need their environments."""
    run = subprocess.run(
        [sys.executable, BENCHMARKS / "peers" / "worker.py", "promptreg"],
        input="0\n",
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(BENCHMARKS), str(BENCHMARKS.parent)])},
    )
    assert run.returncode == 0, run.stderr
    about, measured = map(json.loads, run.stdout.splitlines())
    assert {"short", "medium", "chat"} == {prompt for _, prompt, _ in about["ways"]}
    assert min(measured) > 0
