"""Connections to SQLite whose statements fail when a test says so, as they do on a disk that fails.

`python -m tests.faulty PATH FOLDER` leaves in the log of PATH a commit that SQLite does not know of: what a failed
fsync leaves there. It makes the commit in a copy, in FOLDER, and appends what that added to the copy's log.
"""

import os
import re
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

from promptreg import Registry

IOERR_FSYNC = "disk I/O error", sqlite3.OperationalError, sqlite3.SQLITE_IOERR | 4 << 8
IOERR_READ = "disk I/O error", sqlite3.OperationalError, sqlite3.SQLITE_IOERR_CORRUPTFS
CORRUPT = "database disk image is malformed", sqlite3.DatabaseError, sqlite3.SQLITE_CORRUPT


def failure(message: str, kind: type[sqlite3.Error], code: int) -> sqlite3.Error:
    """Make an error as the driver does."""
    error = kind(message)
    error.sqlite_errorcode = code
    return error


class Faults:
    """Which statements fail in this process, with what; `as_well` is called before one does."""

    def __init__(self) -> None:
        self.pattern: re.Pattern[str] | None = None
        self.failure = IOERR_FSYNC
        self.backup: tuple[str, type[sqlite3.Error], int] | None = None
        self.count = 0

    @contextmanager
    def failing(
        self, pattern: str, failure: tuple[str, type[sqlite3.Error], int], as_well: Any = None
    ) -> Iterator[None]:
        """Have the statements fail that begin with the pattern, meanwhile."""
        self.pattern, self.failure, self.as_well, self.count = re.compile(pattern), failure, as_well, 0
        try:
            yield
        finally:
            self.pattern = None

    def before(self, connection: sqlite3.Connection, statement: str) -> None:
        """Fail, if that is what the statement is to do."""
        if self.pattern is not None and self.pattern.match(statement):
            self.count += 1
            if self.as_well is not None:
                self.as_well(connection)
            raise failure(*self.failure)


def install(monkeypatch: pytest.MonkeyPatch) -> Faults:
    """Have every connection that is made from now on fail as the faults say."""
    made, connect = Faults(), sqlite3.connect

    class Faulty(sqlite3.Connection):
        def execute(self, statement: str, *operands: Any) -> sqlite3.Cursor:
            made.before(self, statement)
            return super().execute(statement, *operands)

        def backup(self, *operands: Any, **more: Any) -> None:
            if made.backup is not None:
                raise failure(*made.backup)
            super().backup(*operands, **more)

    monkeypatch.setattr(sqlite3, "connect", lambda *args, **more: connect(*args, **{"factory": Faulty, **more}))
    return made


def copied(path: str, folder: str) -> str:
    """Copy a database with its log, as they are at this moment, by another process: what a crash leaves."""
    os.makedirs(folder)
    files = [file for file in (path, path + "-wal") if os.path.exists(file)]
    subprocess.run(["cp", *files, folder], check=True)
    return os.path.join(folder, os.path.basename(path))


def leave_unknown_commit(path: str, folder: str) -> None:
    """Have the log hold a further commit, `greet` version 2, that SQLite does not go by until a crash."""
    subprocess.run([sys.executable, "-m", "tests.faulty", path, folder], check=True, cwd=Path(__file__).parent.parent)


def main(path: str, folder: str) -> None:
    """Make the commit in a copy, and append what its log gained."""
    copy = copied(path, folder)
    before = os.path.getsize(copy + "-wal")
    registry = Registry(copy)
    registry.update("greet", template="Two")
    with open(copy + "-wal", "rb") as log, open(path + "-wal", "ab") as ours:
        assert ours.tell() == before, "the log has bytes behind its last commit"
        log.seek(before)
        shutil.copyfileobj(log, ours)


if __name__ == "__main__":
    with suppress(BrokenPipeError):
        main(*sys.argv[1:])
