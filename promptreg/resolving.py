"""Finding out what has become of a commit whose outcome is unknown: whether its first event is there.

That is asked in a write transaction, which begins only once the earlier one has ended; and asked again for a while,
as after a lost connection the database may take a moment to answer. What follows from it is in `committing.py`.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from time import monotonic, sleep
from typing import TYPE_CHECKING, Protocol, TypeVar

from promptreg.errors import CommitUnknownError, StorageError
from promptreg.records import Link
from promptreg.storage.base import Reader, Storage, Writer

if TYPE_CHECKING:
    from promptreg.dump import Entry

T = TypeVar("T")


class Transactions(Protocol):
    """What a commit needs of `Core`."""

    busy_timeout: float

    def read(self) -> AbstractContextManager[Reader]:
        """Begin a read transaction."""
        ...

    def write(self) -> AbstractContextManager[Writer]:
        """Begin the one write transaction."""
        ...

    def note_written(self) -> None:
        """Have this registry see at once what it has written."""
        ...

    def expire(self) -> None:
        """Have the next read check for changes, whatever the stamp shows."""
        ...

    def release_after(self, error: BaseException) -> None:
        """Release whatever this thread still holds of the storage after an error."""
        ...


PASSING = frozenset({"unreachable", "refused", "connection_lost"})
"""Reasons of a `StorageError` after which the same may succeed a moment later, as when a server starts again."""
PAUSE = 0.05  # seconds until it is tried again
READ = "Read what is stored before you try again."


def resolved(
    transactions: Transactions, unknown: CommitUnknownError, resolve: Callable[[], T], has_asked: Callable[[], bool]
) -> T:
    """Return what a function returns once it can ask the database about a commit of unknown outcome.

    It is called again, for `busy_timeout`, while the database can't be reached. Raises `unknown` where that does not
    help, and the function's own error where `has_asked`.
    """
    transactions.release_after(unknown)
    deadline = monotonic() + transactions.busy_timeout
    while True:
        try:
            return resolve()
        except StorageError as error:
            if has_asked():
                raise
            transactions.release_after(error)
            is_passing = error.details.get("reason") in PASSING and monotonic() < deadline
        if not is_passing:
            raise unknown
        sleep(PAUSE)


def load_into(storage: Storage, transactions: Transactions, entries: "Iterable[Entry]") -> None:
    """Load everything into a storage that holds nothing; where the commit's outcome is unknown, find it out.

    The entries can't be taken twice, so what did not happen is `StorageError`, and nothing was written.
    """
    noted: list[Link] = []
    try:
        storage.load(_noting(entries, noted))
        return
    except CommitUnknownError as error:
        unknown = error
    try:
        is_there = resolved(transactions, unknown, lambda: _has_event(transactions, noted), lambda: False)
    except CommitUnknownError:
        unknown.restate(f"{unknown.message} {READ}")
        raise
    finally:
        transactions.expire()
    if not is_there:
        raise StorageError("The commit failed, and nothing was imported; import again.", reason="io_error")


def _noting(entries: "Iterable[Entry]", noted: list[Link]) -> "Iterator[Entry]":
    """Yield entries, and note the number and the hash of the first event among them."""
    from promptreg.dump import EventEntry  # noqa: PLC0415 (only an import needs it)

    for entry in entries:
        if not noted and isinstance(entry, EventEntry):
            noted.append((entry.seq, entry.hash))
        yield entry


def _has_event(transactions: Transactions, noted: Sequence[Link]) -> bool:
    with transactions.write() as writer:
        return bool(noted) and writer.has_event(noted[0])
