"""Verification of a whole database (`Registry.verify`) in slices; the checks themselves are in `integrity.py`.

A slice is a read transaction of about 50 ms. One transaction for everything would keep the WAL from being checkpointed,
deleted prompts from being erased, and the process from forking. Slices are enough, as each check needs one snapshot of
one prompt and its rows, of one version, or of one event and the hash of the event before, which is passed on to the
next slice. SQLite's own checks are single statements; a fork interrupts them, and they start again.
"""

import itertools
import re
import sqlite3
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, suppress
from time import monotonic

from promptreg.errors import StorageCorruptError, StorageError
from promptreg.storage.base import VerificationStep
from promptreg.storage.problems import reported
from promptreg.storage.sqlite.connections import Handle
from promptreg.storage.sqlite.failures import primary_code
from promptreg.storage.sqlite.integrity import CHECKS, FIRST, LAST, Check, Result, UnreadableRow, check_of_head

SLICE_SECONDS = 0.05
MAX_INTERRUPTIONS = 20  # of one slice; afterwards a fork waits for it
_ERROR_CODE = re.compile(r"error code=(\d+)")

OpenSnapshot = Callable[[], AbstractContextManager[Handle]]


def verified(open_snapshot: OpenSnapshot, path: str, head: str | None) -> Generator[VerificationStep, None, None]:
    """Run all checks; yield the progress after each slice, and the problems that it found.

    Raises `StorageError` where the database can't be read, which is not a problem of the data.
    """
    checks = CHECKS if head is None else (check_of_head(head), *CHECKS)
    extents = [_extent(open_snapshot, check) for check in checks]  # fixed first, so that writers can't prolong it
    pairs = zip(checks, (last for _, last in extents), strict=True)
    slices = (checked for check, last in pairs for checked in _slices(open_snapshot, path, check, last))
    yield from reported(slices, sum(rows for rows, _ in extents))


def _slices(open_snapshot: OpenSnapshot, path: str, check: Check, last: int) -> Iterator[tuple[int, list[str]]]:
    """Run a check, and yield the rows and the problems of each slice."""
    position = check.start
    while position is not None:
        rows, position, problems = _slice(open_snapshot, path, check, position, last)
        yield rows, problems


def _extent(open_snapshot: OpenSnapshot, check: Check) -> tuple[int, int]:
    """Return how many rows a check covers, and the last of their keys; of a damaged table no row is counted."""
    if check.table is None:
        return 0, LAST
    with suppress(StorageCorruptError), open_snapshot() as handle:
        rows, last = handle.connection.execute(f"SELECT count(*), max({check.key}) FROM {check.table}").fetchone()
        return rows, FIRST if last is None else last
    return 0, LAST


def _slice(open_snapshot: OpenSnapshot, path: str, check: Check, position: object, last: int) -> Result:
    """Run a check from a position on, until the slice is over."""
    for attempt in itertools.count():
        row: UnreadableRow | None = None
        try:
            with open_snapshot() as handle, handle.interruptible(attempt < MAX_INTERRUPTIONS):
                try:
                    result = check.slice(handle.connection, position, last, monotonic() + SLICE_SECONDS)
                except UnreadableRow as error:
                    row = error
                    raise row.cause from None  # so that it is translated, which tells a failing disk from damage
            break
        except StorageCorruptError as error:
            if row is not None:
                return 1, row.key, [f"{row.what} can't be read ({row.cause})"]
            return 0, None, [f"{check.what}: what follows can't be read ({error.__cause__ or error.message})"]
        except StorageError as error:
            if not _is_interrupted(error):
                raise
    for problem in result[2]:
        _require_readable(problem, path)
    return result


def _is_interrupted(error: StorageError) -> bool:
    cause = error.__cause__
    return isinstance(cause, sqlite3.Error) and primary_code(cause) == sqlite3.SQLITE_INTERRUPT


def _require_readable(problem: str, path: str) -> None:
    """Raise `StorageError` where SQLite's own check reports a page that the disk could not read."""
    found = _ERROR_CODE.search(problem)
    if found is not None and int(found[1]) & 0xFF == sqlite3.SQLITE_IOERR:
        raise StorageError(
            f"{path} could not be read ({problem}); see that its disk works, and try again.", reason="io_error"
        )
