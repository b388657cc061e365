"""What is kept of prompts and events until a full export ends: in temporary files, each of some of the prompts.

So the memory that it takes to bring together what is said of each prompt at different places of the export does not
grow with the export. The files have no name, and disappear with the process.
"""

import errno
import marshal
import os
from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryFile
from typing import Any, TypeAlias

from promptreg.discarding import discard
from promptreg.errors import StorageError, StorageFullError

PARTS = 16  # files; a sixteenth of the prompts is in memory at a time
Record: TypeAlias = tuple[Any, ...]
"""Of builtin types only."""


class Spool:
    """Records of prompts, which are returned part by part: all of one prompt in one part, in their order."""

    def __init__(self) -> None:
        self._owner = os.getpid()
        with _translating():
            self._files = [TemporaryFile() for _ in range(PARTS)]  # noqa: SIM115 (closed by `close`)

    def put(self, prompt_id: str, record: Record) -> None:
        """Keep a record of a prompt."""
        with _translating():
            marshal.dump(record, self._files[hash(prompt_id) % PARTS])

    def parts(self) -> Iterator[Iterator[Record]]:
        """Yield the parts."""
        for file in self._files:
            with _translating():  # what is still buffered is written now
                file.seek(0)
            yield _records(file)

    def close(self) -> None:
        """Remove the files."""
        for file in self._files:
            discard(file, self._owner)


def _records(file: Any) -> Iterator[Record]:
    while True:
        try:
            record: Record = marshal.load(file)
        except EOFError:
            return
        yield record


@contextmanager
def _translating() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _failed(error) from error


def _failed(error: OSError) -> StorageError:
    where = "The folder for temporary files (TMPDIR) can't be written"
    if error.errno == errno.ENOSPC:
        return StorageFullError(f"{where}: it is full.", reason="full", retry_after=None)
    return StorageError(f"{where}: {error.strerror}.", reason="io_error")
