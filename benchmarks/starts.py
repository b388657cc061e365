"""The costs of a new process: importing promptreg, and the first get and render of an existing registry.

Each figure is processor time that a child process measures inside itself, after its interpreter has started.
The floor of the first render is a plain table in a SQLite file with a write-ahead log. The modules that promptreg
loads only when a registry opens are imported in advance, like the floor's; the last row counts them as part of
opening. Creating the Jinja2 environment counts for the floor, because importing promptreg creates ours.
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
REPEATS = 3  # child processes of either side in a round; the fastest counts
IMPORT = (1.4, 1.2)
COLD = (1.2, 0.9)

IMPORTING_OURS = "import promptreg"
IMPORTING_FLOOR = "from pydantic import BaseModel\nimport jinja2.sandbox\nimport opentelemetry.trace"

OPENING_OURS = "import promptreg"
STORAGE = "import promptreg.storage.sqlite.opening"
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
    """Create the registry, and beside it the plain file."""
    with Registry(path) as registry, sqlite3.connect(path + ".plain") as plain:
        plain.execute("PRAGMA journal_mode = WAL")
        plain.execute("CREATE TABLE prompts (name TEXT PRIMARY KEY, template TEXT NOT NULL)")
        for name, source in (("short", SHORT), ("medium", MEDIUM)):
            registry.create(name, source)
            plain.execute("INSERT INTO prompts VALUES (?, ?)", (name, source))
    plain.close()


def cold(path: str, name: str, values: dict[str, object], loaded: str = "") -> "Sides":
    """Return the programs of both sides, which open, find and render a prompt, and print the same.

    Neither runs the garbage collector: a run of it takes a third of what is measured, and whether one falls into that
    depends on how many objects were imported before.
    """
    inputs = f"import gc\ngc.disable()\npath, name, values = {path!r}, {name!r}, {values!r}\n"
    result = "print(hash_of(text))"
    hashing = "from hashlib import sha256\nhash_of = lambda text: sha256(text.encode()).hexdigest()\n"
    ours = timed(f"{inputs}{hashing}{OPENING_OURS}\n{loaded}", OURS, result)
    return Sides(ours, timed(f"{inputs}{hashing}{OPENING_FLOOR}", FLOOR, result))


def timed(before: str, statements: str, after: str = "print()") -> str:
    """Return a program that prints the processor time of the statements in seconds, then runs `after`."""
    return (
        f"{before}\nfrom time import process_time\nbegan = process_time()\n{statements}\n"
        f"print(process_time() - began)\n{after}"
    )


class Sides:
    """Two programs, run alternately, each time in a new process."""

    def __init__(self, ours: str, floor: str) -> None:
        self._ours = ours
        self._floor = floor

    def measured(self, name: str, rounds: int, goals: Goals | None = None) -> Measured:
        """Return the row; one run before it checks that both print the same, and fills Python's bytecode cache."""
        require_equal(name, child(self._ours)[1], child(self._floor)[1])
        return Measured(name, [self._round(min(REPEATS, rounds)) for _ in range(rounds)], goals)

    def _round(self, repeats: int) -> Pair:
        pairs = [(child(self._ours)[0], child(self._floor)[0]) for _ in range(repeats)]
        return min(pair[0] for pair in pairs), min(pair[1] for pair in pairs)


def child(program: str) -> tuple[float, str]:
    """Run a program in a new process that caches bytecode, as for installed modules; return what it prints."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=False)
    if run.returncode:
        sys.exit(run.stderr)
    elapsed, result = run.stdout.splitlines()
    return float(elapsed), result


if __name__ == "__main__":
    run(__doc__, measured)
