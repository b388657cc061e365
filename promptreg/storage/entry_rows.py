"""The rows of everything that is loaded, for any database (`Storage.load`)."""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeAlias

from promptreg.dump import DeletionEntry, Entry, EventEntry, PromptEntry
from promptreg.errors import ConflictError
from promptreg.jsonvalues import canonical, compact
from promptreg.records import Container, Link, Snapshot, VersionRecord
from promptreg.storage.hashing import DETAIL_COLUMNS, EVENT_COLUMNS, GENESIS, publication_hash
from promptreg.storage.rows import PROMPT_COLUMNS, VERSION_COLUMNS, prompt_row, version_row

Row: TypeAlias = Sequence[Any]

COLUMNS = {
    "prompts": PROMPT_COLUMNS,
    "versions": VERSION_COLUMNS,
    "publications": ("depth", "version", "hash"),
    "search": (),
    "events": EVENT_COLUMNS,
    "event_details": DETAIL_COLUMNS,
    "deletions": ("prompt_id", "at", "synced"),
}
"""The columns of the rows, by table, in the order in which the tables are filled; those of `search` are the storage's.

Not among them are the prompt that a row of `OWNED` belongs to, and the revision that rows of `REVISED` have.
"""
OWNED = frozenset({"versions", "publications", "search"})
REVISED = frozenset({"prompts", "deletions"})


class EntryRows:
    """The rows of entries, which come in the order of a dump.

    `count` is the number of prompts so far, and `owner` the last of them, to which rows of `OWNED` belong. `last` is
    the number and the hash of the last event.
    """

    def __init__(self, searched: Callable[[Container, Snapshot], Row]) -> None:
        """Take what returns the row of `search` of a prompt that shows a version."""
        self.count = 0
        self.last: Link = (0, GENESIS)
        self._searched = searched
        self._owner: Container | None = None

    @property
    def owner(self) -> Container:
        """The prompt that the rows of `OWNED` belong to."""
        if self._owner is None:
            raise ValueError("a version must follow its prompt")
        return self._owner

    def of(self, entry: Entry) -> Iterator[tuple[str, Row]]:
        """Yield the rows of an entry, each with its table; a version belongs to the prompt before it."""
        if isinstance(entry, PromptEntry):
            return self._of_prompt(entry)
        if isinstance(entry, VersionRecord):
            return self._of_version(entry)
        if isinstance(entry, EventEntry):
            return self._of_event(entry)
        return _of_deletion(entry)

    def _of_prompt(self, entry: PromptEntry) -> Iterator[tuple[str, Row]]:
        self._owner, self.count = entry.container, self.count + 1
        yield "prompts", prompt_row(entry.container)
        for depth, version in enumerate(entry.publications, start=1):
            yield "publications", (depth, version, publication_hash(entry.container.id, depth, version))

    def _of_version(self, version: VersionRecord) -> Iterator[tuple[str, Row]]:
        yield "versions", version_row(self.owner.id, version)
        if version.number == self.owner.shown_version:
            yield "search", self._searched(self.owner, version.snapshot)

    def _of_event(self, entry: EventEntry) -> Iterator[tuple[str, Row]]:
        values = {**entry._asdict(), "prev": self.last[1]}
        self.last = entry.seq, entry.hash
        yield "events", [values[column] for column in EVENT_COLUMNS]
        if entry.details is not None:
            values["details"] = canonical(entry.details)
            yield "event_details", [values[column] for column in DETAIL_COLUMNS]


def _of_deletion(entry: DeletionEntry) -> Iterator[tuple[str, Row]]:
    yield "deletions", (entry.prompt_id, entry.at, None if entry.places is None else compact(entry.places))


def not_empty() -> ConflictError:
    """Return the refusal to load into a database to which anything was ever written."""
    return ConflictError("The registry has events already; import into a new one, to which nothing was written.")
