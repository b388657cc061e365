"""A full export, import and backup of 100,000 prompts with one version each: seconds, and the memory of the process.

The floor of the seconds is what moves the same rows and checks nothing: of an export, each row of each table is written
as a line of JSON; of an import, these lines are read and inserted into tables of the same columns without indexes or
triggers, with the full text, in one transaction. Of a backup it is SQLite's own copy of the file, and `verify` of that.
That of the memory is what the issue asks for, 200 MB.
"""

import hashlib
import json
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import closing
from functools import partial
from pathlib import Path

from library import TEMPLATE, name_of
from timing import Measured, Options, Tables, require_equal, run, seconds

from promptreg import Registry
from promptreg.clock import new_id
from promptreg.files.full import export_full, import_full
from promptreg.records import Change
from promptreg.rules.lifecycle import plan_create
from promptreg.rules.outcomes import Author
from promptreg.rules.version_fields import Draft, read_edit

BATCH = 1_000  # prompts in a transaction
TABLES = ("prompts", "versions", "publications", "search", "events", "event_details", "deletions")
MOST = 200.0  # MB
EXPORT, IMPORT, BACKUP, MEMORY = (8, 4), (10, 6), (3, 1.5), (1, 0.5)
AUTHOR = Author("ana", "2026-01-01T00:00:00.000000+00:00")

MEASURED = """
import resource, sys
from pathlib import Path
from promptreg import Registry
from promptreg.files.full import export_full, import_full
with Registry(sys.argv[2]) as registry:
    {"export": export_full, "import": import_full, "backup": Registry.backup}[sys.argv[1]](registry, sys.argv[3])
status = Path("/proc/self/status")
if status.exists():  # as Linux's `ru_maxrss` begins with that of the process that started this one
    peak = int(status.read_text().split("VmHWM:")[1].split()[0]) / 1024
else:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 * 1024 if sys.platform == "darwin" else 1024)
print(peak)
"""


def measured(options: Options) -> Tables:
    rounds = min(options.rounds or 1, 3)
    exports: list[tuple[float, float]] = []
    imports: list[tuple[float, float]] = []
    backups: list[tuple[float, float]] = []
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        fill(folder / "from.db", options.size)
        for number in range(rounds):
            exports.append(export_pair(folder))
            imports.append(import_pair(folder, number))
            backups.append(backup_pair(folder, number))
        peaks = {what: peak(what, folder) for what in ("export", "import", "backup")}
    rows = [
        Measured("export", exports, EXPORT),
        Measured("import", imports, IMPORT),
        Measured("backup", backups, BACKUP),
        *(Measured(f"{what}, peak memory in MB", [(mb, MOST)], MEMORY, in_seconds=False) for what, mb in peaks.items()),
    ]
    return {f"Everything of {options.size:,} prompts": rows}


def fill(path: Path, size: int) -> None:
    """Create a registry of that many prompts as its verbs would, many in one transaction."""
    with Registry(path, durability="normal") as registry:
        for begin in range(0, size, BATCH):
            with registry._core.storage.write() as writer:
                writer.apply([creation(number) for number in range(begin, min(begin + BATCH, size))])


def creation(number: int) -> Change:
    edit = read_edit(
        template=TEMPLATE % (number, ""),
        title=f"Ticket summary {number}",
        description="Used by the help desk",
        tags=["support", "summary"],
        config={"model": "large", "temperature": 0.2},
    )
    change = plan_create(new_id(), "default", name_of(number), Draft(edit, "First", is_production=True), AUTHOR).change
    if change is None:
        sys.exit("a creation changes nothing")
    return change


def export_pair(folder: Path) -> tuple[float, float]:
    with Registry(folder / "from.db") as registry:
        ours = seconds(partial(export_full, registry, folder / "ours.jsonl"))
    return ours, seconds(partial(dump_rows, folder / "from.db", folder / "floor.jsonl"))


def import_pair(folder: Path, number: int) -> tuple[float, float]:
    with Registry(folder / f"ours{number}.db") as registry:
        ours = seconds(partial(import_full, registry, folder / "ours.jsonl"))
        export_full(registry, folder / "again.jsonl")
    require_equal("import", digest(folder / "again.jsonl"), digest(folder / "ours.jsonl"))
    return ours, seconds(partial(load_rows, folder / "floor.jsonl", folder / f"floor{number}.db"))


def backup_pair(folder: Path, number: int) -> tuple[float, float]:
    ours, floor = folder / f"backup{number}.db", folder / f"copy{number}.db"
    with Registry(folder / "from.db") as registry:
        elapsed = seconds(partial(registry.backup, ours))
        head = registry.head()
    with Registry(ours, create=False) as backup:
        require_equal("backup", backup.head(), head)
    return elapsed, seconds(partial(copy_and_verify, folder / "from.db", floor))


def copy_and_verify(path: Path, copy: Path) -> None:
    with closing(sqlite3.connect(path)) as source, closing(sqlite3.connect(copy)) as target:
        source.backup(target)
    with Registry(copy, create=False) as registry:
        require_equal("verify", registry.verify(), [])


def digest(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def dump_rows(path: Path, out: Path) -> None:
    with closing(sqlite3.connect(path)) as connection, out.open("w", encoding="utf-8") as file:
        for table in TABLES:
            for row in connection.execute(f"SELECT * FROM {table}"):
                file.write(json.dumps([table, row], ensure_ascii=False) + "\n")


def load_rows(source: Path, path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection, source.open(encoding="utf-8") as file:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("BEGIN")
        known: set[str] = set()
        for table, row in map(json.loads, file):
            values = ", ".join("?" * len(row))
            if table not in known:
                known.add(table)
                columns = ", ".join(f"c{number}" for number in range(len(row)))
                create = "CREATE VIRTUAL TABLE search USING fts5" if table == "search" else f"CREATE TABLE {table} "
                connection.execute(f"{create}({columns})")
            connection.execute(f"INSERT INTO {table} VALUES ({values})", row)
        connection.execute("COMMIT")


def peak(what: str, folder: Path) -> float:
    """Return the peak memory, in MB, of a process that exports or imports."""
    database = folder / ("peak.db" if what == "import" else "from.db")
    arguments = [
        sys.executable,
        "-c",
        MEASURED,
        what,
        database,
        folder / ("peak" if what == "backup" else "ours.jsonl"),
    ]
    done = subprocess.run(arguments, check=True, capture_output=True, text=True)
    return float(done.stdout)


if __name__ == "__main__":
    run(__doc__, measured)
