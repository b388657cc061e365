"""The seam between the registry and a database: what every storage promises, and no more.

- What a reader read is one moment's truth; what a writer read stays true until it commits.
- A writer's changes are kept whole or not at all, and a `with` left by an exception keeps nothing.
- A version's `base_version` is read as None once that version is discarded.
- A second version with the same number of the same prompt is a `ConflictError`.
- The revision grows by one in the same transaction as any change, or as settles a failed commit, and never otherwise.
- What is read is on the stamp of every process before it is returned, so no later read is older.
- Every error is one of ours.
- Connections never cross threads or forks.

`tests/test_storage_contract.py` shows each of these; every storage runs it.
"""

from collections.abc import Generator, Hashable, Sequence
from contextlib import AbstractContextManager
from typing import NamedTuple, Protocol, TypeAlias

from promptreg.models import Event
from promptreg.records import Audience, Change, Container, Query, Shown, VersionRecord
from promptreg.rules.names import Reference

Stamp: TypeAlias = memoryview | bytes

LOOK_SECONDS = 0.05  # between two looks at what no stamp tells: other tools' commits, a file replaced, a fork


class StorageSettings(NamedTuple):
    """Where the database lies, and how it is used: `busy_timeout` in seconds, `durability` full or normal."""

    path: str
    create: bool
    durability: str
    busy_timeout: float


class Mark(NamedTuple):
    """A moment of a database: what its stamp showed before, its revision, and the number and hash of its last event.

    `seen` differs once anything was committed, with a revision or without.
    """

    stamp: bytes
    revision: int
    link: tuple[int, str]
    seen: Hashable = None


class News(NamedTuple):
    """What is true now, and what has changed since a mark: ids, and pairs of namespace and name; None is everything.

    `is_gone` says that the database is not there any more, is another one, or can't say yet whether its last commit
    holds, so nothing more is known.
    """

    mark: Mark
    changed: frozenset[Hashable] | None
    is_gone: bool = False


class Verified(NamedTuple):
    """How many rows of how many a whole check has looked at, and what it found wrong since it last told."""

    done: int
    total: int
    wrong: list[str]


class Watch(Protocol):
    """A look at whether anything has changed, by one thread at a time."""

    @property
    def stamp(self) -> Stamp:
        """What differs from a mark's stamp once anything may have changed."""
        ...

    def news(self, since: Mark | None) -> News:
        """Tell what has changed."""
        ...


class Reader(Protocol):
    """One consistent look at the database."""

    @property
    def revision(self) -> int:
        """The number of changes that this look sees."""
        ...

    @property
    def moment(self) -> Hashable:
        """What is equal in two looks of one thread, one after the other, only where nothing changed between them."""
        ...

    def find(self, namespace: str, reference: Reference) -> Container | None:
        """Give the prompt of that name or id in that namespace."""
        ...

    def find_all(self, namespace: str, references: Sequence[Reference]) -> list[Container | None]:
        """Give the prompts of many names and ids, in their order."""
        ...

    def version(self, container: Container, number: int) -> VersionRecord | None:
        """Give one version."""
        ...

    def versions(self, container: Container, *, before: int | None, limit: int) -> list[VersionRecord]:
        """Give versions, newest first, below the number `before`."""
        ...

    def unpublished(self, container: Container) -> list[int]:
        """Return the numbers of its drafts and failed versions, newest first."""
        ...

    def publications(self, container: Container) -> list[int]:
        """Give the stack of publications, the live one last."""
        ...

    def query(self, query: Query) -> list[Shown]:
        """Give the prompts that a listing or a search finds, each with the version that it shows."""
        ...

    def names_near(self, namespace: str, audience: Audience, name: str, *, limit: int) -> list[str]:
        """Return names that the audience may read, at most so many, those that sort next to a name."""
        ...

    def events(
        self, namespace: str, audience: Audience, *, prompt_id: str | None, after: int, limit: int
    ) -> list[Event]:
        """Give events after that number, oldest first."""
        ...

    def namespaces(self, audience: Audience, home: str | None) -> list[str]:
        """Give the namespaces in which the audience may read something; all of `home`, if that is given."""
        ...


class Writer(Reader, Protocol):
    """A look that nobody else can change until it commits."""

    def apply(self, changes: Sequence[Change]) -> None:
        """Persist the changes, and make the revision grow by one."""
        ...


class Storage(Protocol):
    """A database of prompts."""

    @property
    def path(self) -> str:
        """Where it lies."""
        ...

    def read(self) -> AbstractContextManager[Reader]:
        """Open a consistent look."""
        ...

    def write(self) -> AbstractContextManager[Writer]:
        """Open the one write transaction; leaving it commits what was applied."""
        ...

    def watch(self) -> AbstractContextManager[Watch]:
        """Look for changes; nothing slow and nothing of a caller's is done within."""
        ...

    def verify(self) -> Generator[Verified, None, None]:
        """Check all that is stored, a slice at each step; nothing is held between two."""
        ...

    def require_outside(self) -> None:
        """Raise `StorageError` where this thread is in the middle of a call."""
        ...

    def is_held(self) -> bool:
        """Tell whether this thread holds anything of it, a transaction or a turn."""
        ...

    def abandon(self) -> None:
        """Leave all that an interrupt may have left this thread holding."""
        ...

    def close(self) -> None:
        """Close every connection; afterwards each call is `StorageError`."""
        ...
