"""SQLite connections whose statements fail on request, as on a failing disk.

`python -m tests.faulty` reads pairs of PATH and FOLDER, a JSON list on each line. It leaves in the write-ahead log of
PATH a commit that is missing from SQLite's index of it, as a failed fsync does: it commits in a copy, in FOLDER, and
appends to the log what that added to the copy's. Then it prints `done`.
"""

import json
import os
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from promptreg import Registry

IOERR_FSYNC = "disk I/O error", sqlite3.OperationalError, sqlite3.SQLITE_IOERR | 4 << 8
IOERR_READ = "disk I/O error", sqlite3.OperationalError, sqlite3.SQLITE_IOERR_CORRUPTFS
CORRUPT = "database disk image is malformed", sqlite3.DatabaseError, sqlite3.SQLITE_CORRUPT


def failure(message: str, kind: type[sqlite3.Error], code: int) -> sqlite3.Error:
    """Create an error as the driver does."""
    error = kind(message)
    error.sqlite_errorcode = code
    return error


class Faults:
    """Which statements fail in this process, and with which error; `as_well` is called before one fails."""

    def __init__(self) -> None:
        self.pattern: re.Pattern[str] | None = None
        self.failure = IOERR_FSYNC
        self.backup: tuple[str, type[sqlite3.Error], int] | None = None
        self.count = 0

    @contextmanager
    def failing(
        self, pattern: str, failure: tuple[str, type[sqlite3.Error], int], as_well: Any = None
    ) -> Iterator[None]:
        """Make the statements that match the pattern at their start fail, for this block only."""
        self.pattern, self.failure, self.as_well, self.count = re.compile(pattern), failure, as_well, 0
        try:
            yield
        finally:
            self.pattern = None

    def before(self, connection: sqlite3.Connection, statement: str) -> None:
        """Raise the error if this statement is to fail."""
        if self.pattern is not None and self.pattern.match(statement):
            self.count += 1
            if self.as_well is not None:
                self.as_well(connection)
            raise failure(*self.failure)


def install(monkeypatch: pytest.MonkeyPatch) -> Faults:
    """Make every connection that is opened from now on fail as the returned faults say."""
    faults, connect = Faults(), sqlite3.connect

    class Faulty(sqlite3.Connection):
        def execute(self, statement: str, *operands: Any) -> sqlite3.Cursor:
            faults.before(self, statement)
            return super().execute(statement, *operands)

        def backup(self, *operands: Any, **more: Any) -> None:
            if faults.backup is not None:
                raise failure(*faults.backup)
            super().backup(*operands, **more)

    monkeypatch.setattr(sqlite3, "connect", lambda *args, **more: connect(*args, **{"factory": Faulty, **more}))
    return faults


def copied(path: str, folder: str) -> str:
    """Copy a database and its log as they are now, by another process: what a crash would leave."""
    os.makedirs(folder)
    files = [file for file in (path, path + "-wal") if os.path.exists(file)]
    subprocess.run(["cp", *files, folder], check=True)
    return os.path.join(folder, os.path.basename(path))


@contextmanager
def unknown_commits_left() -> Iterator[Callable[[str, str], None]]:
    """Start another process, and give a function that lets it append a commit, `greet` version 2, to a log.

    SQLite ignores that commit until it recovers from a crash. The function takes the file and a folder for a copy.
    """
    command, root = [sys.executable, "-m", "tests.faulty"], Path(__file__).parent.parent
    with subprocess.Popen(command, cwd=root, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        asked, answered = process.stdin, process.stdout
        assert asked is not None
        assert answered is not None

        def leave(path: str, folder: str) -> None:
            print(json.dumps([path, folder]), file=asked, flush=True)
            assert answered.readline() == "done\n"

        yield leave


def append_commit(path: str, folder: str) -> None:
    """Commit in a copy, and append what that added to its log."""
    copy = copied(path, folder)
    before = os.path.getsize(copy + "-wal")
    with Registry(copy) as registry:
        registry.update("greet", template="Two")
        with open(copy + "-wal", "rb") as log, open(path + "-wal", "ab") as ours:
            assert ours.tell() == before, "the log has bytes behind its last commit"
            log.seek(before)
            shutil.copyfileobj(log, ours)


if __name__ == "__main__":
    for line in sys.stdin:
        append_commit(*json.loads(line))
        print("done", flush=True)
