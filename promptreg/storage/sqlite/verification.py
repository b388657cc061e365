"""The whole check of a database (`Registry.verify`), in slices: what each of them looks at is in `wholeness.py`.

A slice takes about 50 ms, sees one moment, and nothing is held afterwards. So the check goes on beside writers, holds
back neither the log nor erasing, and lets a fork in; one snapshot of everything would do neither. That is enough, as
each fact is checked within one slice: a prompt with all that belongs to it, a version with its prompt, an event with
the one before it, whose hash the next slice begins with. Only SQLite's own checks are single statements, which a fork
interrupts, so that they begin again.
"""

import itertools
import re
import sqlite3
from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from time import monotonic

from promptreg.errors import StorageCorruptError, StorageError
from promptreg.storage.base import VerificationStep
from promptreg.storage.sqlite.connections import Handle
from promptreg.storage.sqlite.failures import primary_code
from promptreg.storage.sqlite.wholeness import CHECKS, FIRST, LAST, Check, Found, UnreadableRow

SLICE_SECONDS = 0.05
MAX_WRONG = 1_000  # lines; of more only the number is told
INTERRUPTIONS = 20  # of one slice, after which a fork waits for it
_ERROR_CODE = re.compile(r"error code=(\d+)")

Snapshot = Callable[[], AbstractContextManager[Handle]]


def verified(snapshot: Snapshot, path: str) -> Generator[VerificationStep, None, None]:
    """Check everything, and yield after each slice how far that has come and what it found wrong.

    `snapshot` opens a snapshot. Raises `StorageError` where the database can't be read, which is no damage.
    """
    extents = [_extent(snapshot, check) for check in CHECKS]  # first, as what is written meanwhile would have no end
    done, total, found = 0, sum(rows for rows, _ in extents), 0
    for check, (_, last) in zip(CHECKS, extents, strict=True):
        position = check.start
        while position is not None:
            rows, position, wrong = _slice(snapshot, path, check, position, last)
            done, told = done + rows, wrong[: max(MAX_WRONG - found, 0)]
            found += len(wrong)
            yield VerificationStep(min(done, total), total, told)
    yield VerificationStep(total, total, [f"and {found - MAX_WRONG:,} more"] if found > MAX_WRONG else [])


def _extent(snapshot: Snapshot, check: Check) -> tuple[int, int]:
    """Return how many rows a check is of, and the last key; of a table that is damaged none are counted."""
    if check.table is None:
        return 0, LAST
    with suppress(StorageCorruptError), snapshot() as handle:
        rows, last = handle.connection.execute(f"SELECT count(*), max({check.key}) FROM {check.table}").fetchone()
        return rows, FIRST if last is None else last
    return 0, LAST


def _slice(snapshot: Snapshot, path: str, check: Check, position: object, last: int) -> Found:
    """Return how many rows were checked, where the next slice begins (None: nowhere), and what is wrong."""
    for attempt in itertools.count():
        row: UnreadableRow | None = None
        try:
            with snapshot() as handle, _interruptible(handle, attempt < INTERRUPTIONS):
                try:
                    found = check.slice(handle.connection, position, last, monotonic() + SLICE_SECONDS)
                except UnreadableRow as error:
                    row = error
                    raise row.cause from None  # so that a disk that fails is told from damage
            break
        except StorageCorruptError as error:
            if row is not None:
                return 1, row.key, [f"{row.what} can't be read ({row.cause})"]
            return 0, None, [f"{check.what}: what follows can't be read ({error.__cause__ or error.message})"]
        except StorageError as error:
            if not _is_interrupted(error):
                raise
    for line in found[2]:
        _require_readable(line, path)
    return found


@contextmanager
def _interruptible(handle: Handle, is_so: bool) -> Iterator[None]:
    """Let a fork interrupt what is done meanwhile."""
    handle.may_be_interrupted = is_so
    try:
        yield
    finally:
        handle.may_be_interrupted = False


def _is_interrupted(error: StorageError) -> bool:
    cause = error.__cause__
    return isinstance(cause, sqlite3.Error) and primary_code(cause) == sqlite3.SQLITE_INTERRUPT


def _require_readable(line: str, path: str) -> None:
    """Raise `StorageError` where what SQLite's own check reports is a page that the disk could not read."""
    found = _ERROR_CODE.search(line)
    if found is not None and int(found[1]) & 0xFF == sqlite3.SQLITE_IOERR:
        raise StorageError(
            f"{path} could not be read ({line}); see that its disk works, and try again.", reason="io_error"
        )
