"""A backup: everything that a storage holds at one moment, as a new file of SQLite, whatever database it is from."""

from collections.abc import Iterator
from contextlib import contextmanager

from promptreg.dump import Dump, Entry, EventEntry
from promptreg.errors import StorageCorruptError
from promptreg.rules.inputs import Progress
from promptreg.storage.base import Storage, StorageSettings
from promptreg.storage.hashing import GENESIS
from promptreg.storage.opening import new_file, open_storage

BATCH = 500  # entries between two reports of progress
BUSY_TIMEOUT = 5.0  # seconds, though nobody else has the new file


def back_up(storage: Storage, path: str, report: Progress) -> None:
    """Make a registry at a path, where nothing may be; it is verified before it takes its name.

    `report(done, total)` is called outside any transaction: with the entries that were read, and then with as many
    again as the verification goes on.
    """
    with new_file(path) as made:
        with storage.dump() as dump, _opened(made, create=True) as copy:
            backup = _Backup(dump, report)
            copy.load(backup.entries())
        with _opened(made, create=False) as copy:
            backup.require_whole(copy)


class _Backup:
    """What a backup must hold: the entries of a dump, and the hash of the last event among them."""

    def __init__(self, dump: Dump, report: Progress) -> None:
        self._dump, self._report = dump, report
        self._count, self._read, self._head = sum(dump.counts), 0, GENESIS

    def entries(self) -> Iterator[Entry]:
        """Yield the entries of the dump."""
        for entry in self._dump.entries:
            if not self._read % BATCH:
                self._report(self._read, 2 * self._count)
            self._read += 1
            if isinstance(entry, EventEntry):
                self._head = entry.hash
            yield entry

    def require_whole(self, copy: Storage) -> None:
        """Raise `StorageCorruptError` unless the copy is whole, of all rows, and ends with the dump's last event."""
        with copy.read() as reader:
            problems = [] if reader.head() == self._head else ["the last event is another one"]
        if self._read != self._count:
            problems.append("there are versions without a prompt, or deletions without an event")
        for step in copy.verify():
            problems += step.problems
            self._report(self._count + self._count * step.done // max(step.total, 1), 2 * self._count)
        if problems:
            more = f", and {len(problems) - 1:,} more" if len(problems) > 1 else ""
            raise StorageCorruptError(
                f"The backup is not whole ({problems[0]}{more}), so it was not kept; verify() says whether the registry"
                " itself is damaged.",
                reason="damaged",
            )


@contextmanager
def _opened(path: str, *, create: bool) -> Iterator[Storage]:
    """Open the new file, and close it; after an interrupt nothing is held of it."""
    storage = open_storage(StorageSettings(path, create=create, durability="full", busy_timeout=BUSY_TIMEOUT))
    try:
        yield storage
    except BaseException as error:
        storage.release_after(error)
        raise
    finally:
        storage.close()
