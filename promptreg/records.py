"""What is stored and what changes it: the values that rules, storage and registry hand to each other.

A planner of `rules/` decides and gives `Change`s; a storage persists them, whole or not at all. Moments are text
here, as they are stored: what `clock.moment` gives.
Named tuples here and elsewhere: Python makes the class in 0.1 ms on import, and a frozen dataclass in 0.7.
"""

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from promptreg.jsonvalues import FrozenDict, FrozenList, canonical, frozen_dict
from promptreg.models import Action, Grant, Kind, State, Status
from promptreg.variables import canonical_form


class Snapshot(NamedTuple):
    """Everything that a version says, frozen, and its hash; `variables` are the declared ones, as plain JSON."""

    template: str | FrozenList
    variables: FrozenList
    config: FrozenDict
    title: str
    description: str
    category: str
    tags: FrozenList
    meta: FrozenDict
    examples: FrozenList
    content_hash: str

    @property
    def kind(self) -> Kind:
        """Tell a text prompt from a chat prompt."""
        return _kind(self.template)

    def fields(self) -> dict[str, Any]:
        """Give what it says, by name."""
        return dict(zip(SNAPSHOT_FIELDS, self, strict=False))


SNAPSHOT_FIELDS = Snapshot._fields[:-1]
_CONTENT = sorted((*SNAPSHOT_FIELDS, "kind"))


def _kind(template: str | FrozenList) -> Kind:
    return "text" if isinstance(template, str) else "chat"


def content_of(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Give what `content_hash` covers."""
    return {**{name: _counted(name, value) for name, value in fields.items()}, "kind": _kind(fields["template"])}


def content_text(fields: Mapping[str, Any]) -> str:
    """Give the canonical JSON of which `content_hash` is the SHA-256: equal content, equal hash (rule 1)."""
    content = content_of(fields)
    return "{" + ",".join([f'"{name}":{canonical(content[name])}' for name in _CONTENT]) + "}"


def differing(old: Snapshot, new: Snapshot) -> list[str]:
    """Name the fields that differ, by the equality of rule 1: of what they say now, whatever hashes are stored."""
    return list(_differing(old, new))


def is_equal(old: Snapshot, new: Snapshot) -> bool:
    """Return whether two snapshots are equal by rule 1, whatever their stored hashes are."""
    return next(_differing(old, new), None) is None


def _differing(old: Snapshot, new: Snapshot) -> Iterator[str]:
    for name, before, after in zip(SNAPSHOT_FIELDS, old, new, strict=False):
        if before is not after and not _equal(name, before, after):
            yield name


def _equal(name: str, before: Any, after: Any) -> bool:
    one, other = _counted(name, before), _counted(name, after)
    if name == "tags" or (isinstance(one, str) and isinstance(other, str)):
        return bool(one == other)
    return canonical(one) == canonical(other)


def _counted(name: str, value: Any) -> Any:
    """Return what counts of a field: tags are a set, and declared variables are in their canonical form."""
    if name == "tags":
        return sorted(value)
    return canonical_form(value) if name == "variables" else value


class VersionRecord(NamedTuple):
    """A version as stored; `name` and `access_grants` are the container's when it was made."""

    number: int
    state: State
    snapshot: Snapshot
    name: str
    access_grants: tuple[Grant, ...]
    commit_message: str
    author: str | None
    base_version: int | None
    created_at: str
    published_at: str | None = None
    failure: FrozenList | None = None


class Container(NamedTuple):
    """A prompt without its versions; `labels` are the callers' own.

    `last_version` is the highest number ever given, `latest_version` the highest that exists. `publications` is how
    many the stack of publications holds; None where an earlier schema wrote the prompt, and nobody has counted since.
    """

    id: str
    namespace: str
    name: str
    is_archived: bool
    is_disabled: bool
    access_grants: tuple[Grant, ...]
    labels: FrozenDict
    production_version: int | None
    latest_version: int
    last_version: int
    created_by: str | None
    created_at: str
    updated_at: str
    publications: int | None = None

    @property
    def status(self) -> Status:
        """Give the status; a prompt archived while disabled stays disabled underneath (rule 14)."""
        if self.is_archived:
            return "archived"
        return "disabled" if self.is_disabled else "active"

    def moved(self, *, is_archived: bool, is_disabled: bool, at: str) -> "Container":
        """Give it with another status; `_replace` would take a tenth of a bulk change."""
        return Container._make(
            (*self[:_FLAGS], is_archived, is_disabled, *self[_FLAGS + 2 : _UPDATED], at, *self[_UPDATED + 1 :])
        )

    def publications_after(self, published: int | None, kept: int | None = None) -> int | None:
        """Return how many publications there are once they are cut to `kept` and `published` is pushed."""
        if self.publications is None:
            return None
        return (self.publications if kept is None else kept) + (published is not None)

    @property
    def shown_version(self) -> int:
        """Give the version that `list` and `search` show: production, else the latest."""
        return self.production_version or self.latest_version

    def all_labels(self) -> FrozenDict:
        """Give every label, the two that the registry keeps included."""
        kept = {"latest": self.latest_version}
        if self.production_version is not None:
            kept["production"] = self.production_version
        return frozen_dict({**self.labels, **kept})


_FLAGS = Container._fields.index("is_archived")  # `is_disabled` follows
_UPDATED = Container._fields.index("updated_at")


class NewEvent(NamedTuple):
    """An event to be written; the storage adds the prompt, its name, the time and the chain."""

    action: Action
    actor: str | None
    version: int | None = None
    details: Mapping[str, Any] = FrozenDict()


class Change(NamedTuple):
    """What one call does to one prompt.

    `before` is None for a new prompt, `after` for a deleted one. `added` is a new version, `edited`
    replaces a draft or failed one, `removed` is the number of one thrown away. `published` is pushed on
    the stack of publications; `kept_publications` cuts the stack to that depth first.
    """

    before: Container | None
    after: Container | None
    events: tuple[NewEvent, ...]
    at: str
    added: VersionRecord | None = None
    edited: VersionRecord | None = None
    removed: int | None = None
    published: int | None = None
    kept_publications: int | None = None

    @property
    def subject(self) -> Container:
        """Give the prompt as it is, or as it was when it is deleted."""
        container = self.after or self.before
        if container is None:
            raise ValueError("a change is about a prompt")
        return container

    def moves_only(self) -> bool:
        """Tell whether nothing but the prompt's own status, labels and pointers changes."""
        return self[_VERSIONS:] == _NOTHING and not self.reindexes()

    def reindexes(self) -> bool:
        """Tell whether what `search` finds of the prompt differs afterwards."""
        if self.before is None or self.after is None:
            return True
        shown = self.after.shown_version
        return (
            self.before.name != self.after.name
            or self.before.shown_version != shown
            or (self.edited is not None and self.edited.number == shown)
        )


_VERSIONS = Change._fields.index("added")  # what follows is of versions
_NOTHING = (None,) * len(Change._fields[_VERSIONS:])


class Audience(NamedTuple):
    """Whose eyes a listing is for: everybody's prompts, or those owned by or granted to somebody."""

    sees_all: bool
    actor: str | None = None
    principals: tuple[str, ...] = ()


class Query(NamedTuple):
    """What `list` and `search` ask a storage for; `text` makes it a search, best matches first."""

    namespace: str
    audience: Audience
    statuses: tuple[str, ...]
    limit: int
    text: str | None = None
    tag: str | None = None
    category: str | None = None
    created_by: str | None = None
    after: str = ""


Shown = tuple[Container, VersionRecord]
"""A prompt and the version that listings show of it."""
