"""The storage seam: the protocols that a database implements to hold a registry.

A storage promises:

- A read transaction sees one snapshot. What a write transaction has read stays true until it commits.
- A write is atomic: all of its changes commit, or none; leaving `write()` by an exception rolls back.
- The `base_version` of a version is read as None once that version has been discarded.
- A deletion is remembered for ever, with the places where the prompt was synchronised, and nothing else of it.
- A second version with the same number of the same prompt is a `ConflictError`.
- An operation is remembered for a day, by the transaction that writes what it did; its key is unique.
- The revision grows by one in the transaction of each write, and in one that settles an earlier commit whose outcome
  was unknown; of a registry's own in no other. What another tool writes to a prompt raises it too.
- Whatever a read returns is announced: within the staleness that the profile declares, no later read anywhere sees
  older data; where that is 0, it has been announced to all processes before it is returned.
- Every error is a `PromptregError`; the driver's own is its cause.
- A connection is never used by two threads at once, nor on the other side of a fork.
- The storage's profile says how old cached data may be.

`tests/test_storage_contract.py` runs against every storage and has a test for each of these.

The seam has twenty-one methods: nine in `Storage`, eleven in `Reader`, one in `Writer`. Besides, a storage declares two
values, `Storage.profile` and `Reader.snapshot`. SQL, files, connections and the contents of stamps are no part of it.
"""

from collections.abc import Generator, Hashable, Iterable, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, TypeAlias

from promptreg.models import Event
from promptreg.records import (
    Audience,
    Change,
    Container,
    EventQuery,
    Link,
    Operation,
    Query,
    Shown,
    Synced,
    VersionRecord,
)
from promptreg.rules.names import Reference, Versioned

if TYPE_CHECKING:
    from promptreg.dump import Dump, Entry

Stamp: TypeAlias = object  # a change stamp: anything that `==` compares


class StorageSettings(NamedTuple):
    """What to open, and how: `busy_timeout` in seconds, `durability` "full" or "normal".

    `max_staleness` is for how many seconds cached data may be returned without asking whether it is current; with
    `is_strict` each check asks, and its outcome holds for no time.
    """

    target: str
    create: bool
    durability: str
    busy_timeout: float
    max_staleness: float = 0.0
    is_strict: bool = False


class StorageProfile(NamedTuple):
    """Where a storage keeps its data, and how fresh its reads are.

    `location` is the absolute path of the file, or whatever else users know the database by, without a password.
    `staleness` is for how many seconds a committed change may be unseen by another process's cache: 0 where the next
    read sees it. `check_interval` is for how many seconds the outcome of a check for changes holds, as long as the
    stamp stays the same. `path` is the absolute path of the file, or `":memory:"`; None where there is neither.
    """

    location: str
    staleness: float
    check_interval: float
    path: str | None


class Position(NamedTuple):
    """A point in the history of a database, as a cache remembers what it has loaded.

    The live stamp differs from `stamp` once anything was committed after it, and always differs where a storage has no
    live stamp, so that every read checks. `detail` is for the storage alone.
    """

    stamp: Stamp
    revision: int
    detail: Any = None


class ChangeReport(NamedTuple):
    """The outcome of a check for changes.

    `stamp` is the live stamp, to be compared with the stamp of `position`. `changed` holds the ids of the prompts that
    have changed since the position that was asked about, and their (namespace, name) pairs; None stands for everything.
    With `is_unavailable` the database was removed or replaced, does not answer, or the outcome of its last commit is
    unknown: cached data may only be returned as stale, without what has changed up to `position`.
    """

    position: Position
    stamp: Stamp
    changed: frozenset[Hashable] | None
    is_unavailable: bool = False


class ChangeMonitor(Protocol):
    """A check for changes."""

    def __call__(self, since: Position | None, /) -> ChangeReport:
        """Return what has changed since a position; None stands for the beginning."""
        ...


class Snapshot(NamedTuple):
    """Which state of the database a transaction sees.

    Two snapshots that one thread takes one after the other are equal only if nothing was committed between them.
    """

    revision: int
    signature: Hashable


class VerificationStep(NamedTuple):
    """Progress of a verification: rows checked so far, rows in all, and the problems found since the last step."""

    done: int
    total: int
    problems: list[str]


class Lookup(NamedTuple):
    """A prompt, and the version that is wanted of it; None for what does not exist."""

    container: Container | None
    version: VersionRecord | None


class Reader(Protocol):
    """A read transaction."""

    @property
    def snapshot(self) -> Snapshot:
        """What this transaction sees; in a write transaction, with what it has written."""
        ...

    def find(self, namespace: str, references: Sequence[Reference]) -> list[Container | None]:
        """Return the prompts of a namespace with these names and ids, in their order; None for each that is absent.

        The selector of a reference says which version will be asked for next, and changes nothing of what is returned.
        """
        ...

    def versions(self, container: Container, *, before: int | None, limit: int) -> list[VersionRecord]:
        """Return at most `limit` versions with numbers below `before` (None: all), newest first."""
        ...

    def version_numbers(self, container: Container, which: Literal["unpublished", "publications"]) -> list[int]:
        """Return the numbers of drafts and failed versions, newest first, or the stack of publications, live last."""
        ...

    def query(self, query: Query) -> list[Shown]:
        """Return the prompts that match a listing or a search, each with the version that it resolves to."""
        ...

    def synced(self, namespace: str, source: str) -> Synced:
        """Return the prompts, by name, that were synchronised from a source; and the places of deleted prompts."""
        ...

    def names_near(self, namespace: str, audience: Audience, name: str, *, limit: int) -> list[str]:
        """Return at most `limit` names that the audience may read: those that sort next to `name`."""
        ...

    def events(self, query: EventQuery) -> list[Event]:
        """Return the events that match, by their numbers, oldest or newest first."""
        ...

    def namespaces(self, audience: Audience, home: str | None) -> list[str]:
        """Return the namespaces in which the audience may read a prompt; of `home` it may read every one."""
        ...

    def operation(self, key: str, now: str) -> str | None:
        """Return the result of the operation with this key, if it was remembered less than a day before `now`.

        A database that many machines use goes by its own clock.
        """
        ...

    def has_event(self, link: Link) -> bool:
        """Return whether the chain has an event with this number and hash."""
        ...

    def head(self) -> str:
        """Return the hash of the last event, or `hashing.GENESIS` before the first.

        Raises `StorageCorruptError` where the last event is not the last one that was written.
        """
        ...


class Writer(Reader, Protocol):
    """A write transaction; there is one at a time."""

    def apply(self, changes: Sequence[Change], operation: Operation | None = None) -> Link | None:
        """Write the changes, raise the revision by one, and return the first event that was written, if any was.

        An operation is remembered, also where there is no change, and those that are older than a day are forgotten.
        """
        ...


class Storage(Protocol):
    """A database of prompts."""

    @property
    def profile(self) -> StorageProfile:
        """What this storage declares about itself."""
        ...

    def read(self) -> AbstractContextManager[Reader]:
        """Open a read transaction."""
        ...

    def write(self) -> AbstractContextManager[Writer]:
        """Open the write transaction; leaving it commits what was applied, an exception rolls it back."""
        ...

    def look_up(self, namespace: str, wanted: Sequence[Versioned]) -> tuple[int, list[Lookup]]:
        """Return the revision, and each prompt with the version that is wanted of it, all as they were at one moment.

        Which version that is, `Container.number_of` says. This is what a read transaction would find, in one round trip
        to the database where it can be.
        """
        ...

    def monitor(self, patience: float | None = None) -> AbstractContextManager[ChangeMonitor]:
        """Check for changes, one thread at a time; the body must be short and call no user code.

        For other threads, and for an answer from elsewhere, it waits as long as the settings say, or in all for
        `patience` seconds if that is less.
        """
        ...

    def verify(self, head: str | None = None) -> Generator[VerificationStep, None, None]:
        """Check all stored data, some rows at each step; no lock or transaction is held between two steps.

        The first problem is that no event has the hash `head`, where one is passed and none has; `hashing.GENESIS` is
        before all events.
        """
        ...

    def dump(self) -> "AbstractContextManager[Dump]":
        """Read everything, as it is at this moment; raise `StorageCorruptError` where any of it is damaged.

        Entries may be taken slowly: no lock is held meanwhile, and nothing prevents writers, forks or erasing.
        """
        ...

    def load(self, entries: "Iterable[Entry]") -> None:
        """Write everything into a database that holds nothing, in one transaction that raises the revision by one.

        All entries are taken before it begins, as they may come slowly and may raise. They are written as they are: the
        caller has checked that they are what a registry could have written. Raises `ConflictError` where the database
        has any event, before the first entry is taken.
        """
        ...

    def release_after(self, error: BaseException) -> None:
        """Release whatever this thread still holds after an error, which may have come between any two bytecodes."""
        ...

    def close(self) -> None:
        """Close every connection; later calls raise `StorageError`, but for `close`.

        Raises `StorageError` with the reason "nested", and stays open, in the middle of another call of this thread.
        """
        ...
