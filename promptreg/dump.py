"""What all of a registry consists of, as one stream of entries: what a storage dumps, and loads into an empty database.

An entry is a prompt, a version, an event or a deletion. The prompts come in the order in which they were created, each
followed by its versions, oldest first; then the events by their numbers; then the deletions in the order of their
events. The same data is the same stream in any database, so it holds no keys of rows and no revisions.
"""

from collections.abc import Iterator
from typing import NamedTuple, TypeAlias

from promptreg.jsonvalues import FrozenDict, FrozenList
from promptreg.records import Container, VersionRecord


class PromptEntry(NamedTuple):
    """A prompt, its stack of publications, the live one last, and how many versions follow."""

    container: Container
    publications: tuple[int, ...]
    versions: int


class EventEntry(NamedTuple):
    """An event with its place in the chain (`promptreg.storage.hashing`).

    `salt`, `name` and `details` are None where the deletion of the prompt has removed them.
    """

    seq: int
    at: str
    actor: str | None
    action: str
    namespace: str
    prompt_id: str
    version: int | None
    salt: str | None
    name: str | None
    details: FrozenDict | None
    commitment: str
    hash: str


class DeletionEntry(NamedTuple):
    """A deleted prompt; `places` are hashes of where it was synchronised (`promptreg.bases.place`), or None."""

    prompt_id: str
    at: str
    places: FrozenList | None = None


Entry: TypeAlias = PromptEntry | VersionRecord | EventEntry | DeletionEntry


class Counts(NamedTuple):
    """How many entries of each kind there are."""

    prompts: int
    versions: int
    events: int
    deletions: int


class Dump(NamedTuple):
    """Everything that a database holds at one moment."""

    counts: Counts
    entries: Iterator[Entry]
