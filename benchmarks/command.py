"""What the command costs: `promptreg list` from the start of its process to the end, as people wait for it.

The floor is a process that imports promptreg and does nothing. Both are the same interpreter, with bytecode caches, in
wall-clock time; the listing is written into a pipe.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from timing import Goals, Measured, Options, Tables, alternate, run, seconds

from promptreg import Registry

ROUNDS = 15
REPEATS = 5  # processes of either side in a round; the median counts
LIST = (1.5, 1.3)

COMMAND = ["-c", "import sys; from promptreg.cli import main; sys.exit(main())", "list"]  # what the console script does
FLOOR = ["-c", "import promptreg"]


def measured(options: Options) -> Tables:
    with tempfile.TemporaryDirectory() as folder:
        return {
            'the command, from start to end / python -c "import promptreg"': [
                listing(str(Path(folder, f"{size}.db")), size, options.rounds or ROUNDS, goals)
                for size, goals in ((20, LIST), (500, None))
            ]
        }


def listing(path: str, size: int, rounds: int, goals: Goals | None) -> Measured:
    """Return the row of a registry with so many prompts; a run before it fills the bytecode caches, and is checked."""
    with Registry(path, durability="normal") as registry:
        for number in range(size):
            registry.create(f"team/prompt-{number}", "Hello {{ name }}!", title=f"Prompt {number}")
    arguments = [*COMMAND, "--db", path]
    if len(process(arguments).splitlines()) != size + 1:
        sys.exit("promptreg list has not listed every prompt")
    process(FLOOR)

    def ours() -> float:
        return seconds(lambda: process(arguments))

    def floor() -> float:
        return seconds(lambda: process(FLOOR))

    pairs = [alternate(ours, floor, min(REPEATS, rounds)) for _ in range(rounds)]
    return Measured(f"promptreg list, {size} prompts", pairs, goals)


def process(arguments: list[str]) -> str:
    """Run Python in a new process that caches bytecode, as for installed modules; return what it prints."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    done = subprocess.run(
        [sys.executable, *arguments], stdout=subprocess.PIPE, text=True, encoding="utf-8", env=environment, check=True
    )
    return done.stdout


if __name__ == "__main__":
    run(__doc__, measured)
