"""Writing everything into an empty database (`Storage.load`): first into temporary files, then all at once.

The entries may come slowly, from a pipe, and each is checked by their reader. So their rows are first written to files
without a name, which disappear with the process, while nothing waits in the database. Then one transaction inserts
them, a thousand at a time, as the JSON that the files hold. (COPY takes two thirds of the time, but can't be pipelined,
and would have to ask for the keys of the prompts.)
"""

import json
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from errno import EDQUOT, ENOSPC
from tempfile import TemporaryFile
from typing import IO

from promptreg.dump import Entry
from promptreg.errors import StorageError, StorageFullError
from promptreg.records import Link
from promptreg.storage.entry_rows import COLUMNS, OWNED, REVISED, EntryRows, Row
from promptreg.storage.postgres.batches import ROWS, source
from promptreg.storage.postgres.schema import KINDS
from promptreg.storage.postgres.statements import Statement
from promptreg.storage.postgres.words import SearchRow, search_row

MAX_BYTES = 1024 * 1024  # of rows that one statement takes, unless one alone has more


class Staging:
    """The rows of everything that is loaded, in a file for each table."""

    def __init__(self, files: dict[str, IO[bytes]]) -> None:
        self._files = files
        self._rows = EntryRows(search_row)

    @property
    def last(self) -> Link:
        """The number and the hash of the last event."""
        return self._rows.last

    def add(self, entry: Entry) -> None:
        """Write the rows of an entry; a version belongs to the prompt before it."""
        for table, row in self._rows.of(entry):
            self._write(table, (self._rows.owner.id, *row) if table in OWNED else row)

    def _write(self, table: str, row: Row) -> None:
        with _translating():
            self._files[table].write(json.dumps(row, ensure_ascii=False).encode() + b"\n")

    def finish(self) -> None:
        """Write what is still buffered, before anything is held in the database."""
        with _translating():
            for file in self._files.values():
                file.flush()

    def statements(self, revision: int) -> Iterator[Statement]:
        """Yield the statements that insert all rows, with this revision."""
        with _translating():
            for table, file in self._files.items():
                file.seek(0)
                for rows in _arrays(file):
                    values = (revision, rows) if table in REVISED else (rows,)
                    yield Statement(INSERTS[table], values)


def _arrays(lines: Iterable[bytes]) -> Iterator[str]:
    """Yield lines as JSON arrays, each of no more rows and bytes than one statement takes."""
    rows: list[bytes] = []
    size = 0
    for line in lines:
        if rows and (len(rows) == ROWS or size + len(line) > MAX_BYTES):
            yield f"[{b','.join(rows).decode()}]"
            rows, size = [], 0
        rows.append(line)
        size += len(line)
    if rows:
        yield f"[{b','.join(rows).decode()}]"


@contextmanager
def staged(entries: Iterable[Entry]) -> Iterator[Staging]:
    """Take all entries, and yield their rows."""
    with ExitStack() as stack:
        staging = Staging({table: _file(stack) for table in COLUMNS})
        for entry in entries:
            staging.add(entry)
        staging.finish()
        yield staging


def _file(stack: ExitStack) -> IO[bytes]:
    """Return a new file, which the stack closes."""
    with _translating():
        file = TemporaryFile()  # noqa: SIM115 (closed by the stack)
    stack.callback(_close, file)
    return file


def _close(file: IO[bytes]) -> None:
    with suppress(OSError):  # closing writes what is still buffered, which nobody needs any more
        file.close()


@contextmanager
def _translating() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _unwritten(error) from error


def _unwritten(error: OSError) -> StorageError:
    if error.errno in {ENOSPC, EDQUOT}:
        return StorageFullError(
            "The folder for temporary files (TMPDIR) is full; make room in it, or name another.",
            reason="full",
            retry_after=None,
        )
    fact = error.strerror or type(error).__name__
    return StorageError(
        f"The folder for temporary files (TMPDIR) can't be used: {fact}; name another.", reason="unusable"
    )


def _insert(table: str) -> str:
    """Return the statement that inserts rows, whose prompts are given by their ids."""
    columns = COLUMNS[table] or SearchRow._fields
    kinds = dict.fromkeys(("words", "tags"), "text[]") if table == "search" else KINDS
    if table in REVISED:
        names = ", ".join(("revision", *columns))
        return f"INSERT INTO $.{table} ({names}) SELECT %s::bigint, new.* FROM ({source(columns, kinds)}) AS new"
    if table not in OWNED:
        return f"INSERT INTO $.{table} ({', '.join(columns)}) {source(columns, kinds)}"
    fields = ", ".join(f"new.{column}" for column in columns)
    return (
        f"INSERT INTO $.{table} (prompt, {', '.join(columns)}) SELECT p.key, {fields}"
        f" FROM ({source(['owner', *columns], kinds)}) AS new JOIN $.prompts p ON p.id = new.owner"
    )


INSERTS = {table: _insert(table) for table in COLUMNS}
