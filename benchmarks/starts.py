"""What a new process pays: importing promptreg, and the first get and render of a registry that is there.

Each figure is processor time that a child process measures inside itself, after its interpreter has started.
The floor of the first render is a plain table of a SQLite file of the same kind, with a write-ahead log. What
promptreg loads only when a registry opens is imported before, as the floor's modules are; the last rows count it
as opening. Making Jinja2's environment counts too, for ours is made by importing.
"""

import os
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path

from prompts import MEDIUM, SHORT, VALUES
from rendering import read_by
from timing import Goals, Measured, Options, Pair, Tables, require_equal, run

from promptreg import Registry

ROUNDS = 15
TURNS = 3  # children of either side a round: the fastest counts
IMPORT = (1.4, 1.2)
COLD = (1.2, 0.9)

IMPORTING_OURS = "import promptreg"
IMPORTING_FLOOR = "from pydantic import BaseModel\nimport jinja2.sandbox\nimport opentelemetry.trace"

OPENING_OURS = "import promptreg"
STORAGE = "import promptreg.storage.sqlite.storage"
OURS = """
registry = promptreg.Registry(path)
text = registry.render(name, values).text
"""
OPENING_FLOOR = "import sqlite3, jinja2"
FLOOR = """
connection = sqlite3.connect(path + ".plain")
row = connection.execute("SELECT template FROM prompts WHERE name = ?", (name,)).fetchone()
text = jinja2.Environment().from_string(row[0]).render(**values)
"""


def measured(options: Options) -> Tables:
    rounds = options.rounds or ROUNDS
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder, "prompts.db"))
        fill(path)
        rows = {
            "get + render, short": cold(path, "short", read_by(SHORT, VALUES), STORAGE),
            "get + render, medium": cold(path, "medium", read_by(MEDIUM, VALUES), STORAGE),
        }
        loading = cold(path, "short", read_by(SHORT, VALUES))
        importing = Sides(timed("", IMPORTING_OURS), timed("", IMPORTING_FLOOR))
        return {
            "importing promptreg / pydantic's BaseModel, jinja2.sandbox, opentelemetry.trace": [
                importing.measured("import", rounds, IMPORT)
            ],
            "cold, in a new process, after import / SELECT + from_string + render": [
                *(sides.measured(name, rounds, COLD) for name, sides in rows.items()),
                loading.measured("get + render, short, and loading the storage", rounds),
            ],
        }


def fill(path: str) -> None:
    """Make the registry, and beside it the plain file."""
    with Registry(path) as registry, sqlite3.connect(path + ".plain") as plain:
        plain.execute("PRAGMA journal_mode = WAL")
        plain.execute("CREATE TABLE prompts (name TEXT PRIMARY KEY, template TEXT NOT NULL)")
        for name, source in (("short", SHORT), ("medium", MEDIUM)):
            registry.create(name, source)
            plain.execute("INSERT INTO prompts VALUES (?, ?)", (name, source))
    plain.close()


def cold(path: str, name: str, values: dict[str, object], loaded: str = "") -> "Sides":
    """Give the programs that open, find and render a prompt, and print the same."""
    given = f"path, name, values = {path!r}, {name!r}, {values!r}\n"
    told = "print(hash_of(text))"
    hashing = "from hashlib import sha256\nhash_of = lambda text: sha256(text.encode()).hexdigest()\n"
    ours = timed(f"{given}{hashing}{OPENING_OURS}\n{loaded}", OURS, told)
    return Sides(ours, timed(f"{given}{hashing}{OPENING_FLOOR}", FLOOR, told))


def timed(before: str, statements: str, after: str = "print()") -> str:
    """Give a program that prints the processor seconds of some of its statements, then what comes after."""
    return (
        f"{before}\nfrom time import process_time\nbegan = process_time()\n{statements}\n"
        f"print(process_time() - began)\n{after}"
    )


class Sides:
    """Two programs, run in turn in processes of their own."""

    def __init__(self, ours: str, floor: str) -> None:
        self._ours = ours
        self._floor = floor

    def measured(self, name: str, rounds: int, goals: Goals | None = None) -> Measured:
        """Give the row, once both sides have told the same and Python has kept what it compiled."""
        require_equal(name, child(self._ours)[1], child(self._floor)[1])
        return Measured(name, [self._round(min(TURNS, rounds)) for _ in range(rounds)], goals)

    def _round(self, turns: int) -> Pair:
        turns = [(child(self._ours)[0], child(self._floor)[0]) for _ in range(turns)]
        return min(turn[0] for turn in turns), min(turn[1] for turn in turns)


def child(program: str) -> tuple[float, str]:
    """Run a program in a new process that keeps compiled modules, as installed ones are kept."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=False)
    if run.returncode:
        sys.exit(run.stderr)
    taken, told = run.stdout.splitlines()
    return float(taken), told


if __name__ == "__main__":
    run(__doc__, measured)
