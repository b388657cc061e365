"""Telling damage from a failing disk, which SQLite reports by the same code.

If the operating system refuses a read (EIO), the statement fails with `SQLITE_CORRUPT`, as it does for a damaged page.
So the file is copied page by page, by SQLite's own backup: that fails with the system's error where the disk does, and
an integrity check of the copy finds damage.
"""

import sqlite3
from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from time import monotonic

from promptreg.errors import PromptregError, StorageCorruptError, StorageError
from promptreg.storage.base import StorageSettings
from promptreg.storage.sqlite.connections import connect, file_uri
from promptreg.storage.sqlite.failures import DRIVER_ERRORS, DriverError, is_from_application, primary_code, translate

LARGEST = 64 * 2**20  # bytes of a file that is copied and checked, which takes up to half a second
REMEMBERED = 1.0  # seconds for which a damaged file is not checked again
_DAMAGE = frozenset({sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR})  # codes of the check


class Diagnosis:
    """Translates the errors of one database."""

    def __init__(self, path: str, real: str | None, settings: StorageSettings) -> None:
        """Begin for the database at a path; `real` is the path without links, None in memory."""
        self._path = path
        self._real = real
        self._settings = settings
        self._damaged_until = 0.0

    @contextmanager
    def translating(self) -> Iterator[None]:
        """Raise our errors in place of those of SQLite and the operating system."""
        try:
            yield
        except DRIVER_ERRORS as error:
            if is_from_application(error):
                raise
            raise self.translated(error) from error

    def translated(self, error: DriverError) -> PromptregError:
        """Return our error for one of SQLite or the operating system."""
        if self._real is None or not (isinstance(error, sqlite3.Error) and _is_doubtful(error)):
            return translate(error, self._path)
        is_damaged = self.is_damage(error)
        if is_damaged:
            return translate(error, self._path)
        if is_damaged is None:
            return StorageCorruptError(
                f"{self._path} is damaged, or its disk can't be read ({error}): copy it to another disk, which fails"
                " where the disk does, and run verify() on the copy.",
                reason="damaged",
            )
        return StorageError(
            f"{self._path} could not be read ({error}), and is not damaged; see that its disk works, and try again.",
            reason="io_error",
        )

    def is_damage(self, error: sqlite3.Error) -> bool | None:
        """Return whether an error that SQLite calls damage is damage; None where the file is too large to find out."""
        if self._real is None or not _is_doubtful(error) or monotonic() < self._damaged_until:
            return True
        is_damaged = _is_damaged(self._real, self._settings)
        if is_damaged:
            self._damaged_until = monotonic() + REMEMBERED
        return is_damaged


def _is_doubtful(error: sqlite3.Error) -> bool:
    """Return whether the error may be a failed read; an extended code says what is damaged."""
    return getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_CORRUPT


def _is_damaged(path: str, settings: StorageSettings) -> bool | None:
    try:
        with ExitStack() as opened:
            original = opened.enter_context(closing(connect(file_uri(path, "mode=ro"), settings))).connection
            copy = opened.enter_context(closing(sqlite3.connect(":memory:")))
            pages, size = (original.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "page_size"))
            if pages * size > LARGEST:
                return None
            original.backup(copy)
            return bool(copy.execute("PRAGMA integrity_check(1)").fetchone() != ("ok",))
    except (sqlite3.Error, UnicodeDecodeError) as error:
        code = primary_code(error) if isinstance(error, sqlite3.Error) else sqlite3.SQLITE_CORRUPT
        if code == sqlite3.SQLITE_IOERR:
            return False
        return True if code in _DAMAGE else None
