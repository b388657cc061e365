"""The values that rules, storage and registry exchange, and the table of a version's fields.

A planner of `rules/` returns `Change`s; a storage writes them, all or none. Times are texts as they are stored, which
`clock.moment` returns. No SQL and no rule lives here.

The values are named tuples, here and elsewhere: creating the class takes 0.1 ms at import, a frozen dataclass 0.7 ms.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from typing import Annotated, Any, NamedTuple, TypeAlias, get_type_hints

from promptreg.bases import Seed, SyncBase
from promptreg.jsonvalues import FrozenDict, FrozenList, canonical, compact, digest, frozen_dict, is_same, parse
from promptreg.messages import with_read_line_ends
from promptreg.models import Action, Grant, Kind, State, Status, Syntax
from promptreg.variables import canonical_form

# The table of a version's fields


class Codec(NamedTuple):
    """How a value is converted to the text that a column holds, and back."""

    encode: Callable[[Any], Any]
    decode: Callable[[Any], Any]


JSON = Codec(compact, parse)
OPTIONAL_JSON = Codec(
    lambda value: None if value is None else compact(value),
    lambda text: None if text is None else parse(text),
)


def _encoded_grants(grants: tuple[Grant, ...]) -> str:
    return compact([[grant.principal, grant.permission] for grant in grants]) if grants else "[]"


def _decoded_grants(text: str) -> tuple[Grant, ...]:
    if text == "[]":
        return ()
    return tuple(Grant.model_construct(principal=who, permission=what) for who, what in parse(text))


GRANTS = Codec(_encoded_grants, _decoded_grants)


class Field(NamedTuple):
    """One field of a version: its value in a new prompt, its column, and how it is compared.

    `codec` is None where the column holds the value itself. `column` is the field's name unless another is given.
    `normalized` returns the form of a value that is hashed, compared and shown in a diff; that of a template depends on
    its syntax (`with_read_line_ends`). A `later` field came after the first schema: it is left out of every hash, and
    of a diff, where it is `empty`, so that older hashes stay valid.
    """

    empty: Any = None
    codec: Codec | None = None
    normalized: Callable[[Any], Any] | None = None
    later: bool = False
    column: str = ""

    def is_omitted(self, value: Any) -> bool:
        """Return whether hashes, diffs and the size limit leave the field out where it holds this value."""
        return self.later and bool(value == self.empty)

    def normal(self, value: Any) -> Any:
        """Return the form of a value that is hashed, compared and shown in a diff."""
        return value if self.normalized is None else self.normalized(value)


class Snapshot(NamedTuple):
    """The content of a version, frozen, and its hash: a line for each field that `create` and others take.

    Columns, rows, hashes, equality and diff derive from these lines. A new field also needs an attribute of
    `models.Version`, an argument of these verbs, and a migration; `tests/test_fields.py` finds what is missing.
    `variables` are the declared ones, as plain JSON. The template of a chat is stored as JSON, by the column `kind`.
    """

    template: Annotated[str | FrozenList, Field("")]
    variables: Annotated[FrozenList, Field(FrozenList(), JSON, normalized=canonical_form)]
    config: Annotated[FrozenDict, Field(FrozenDict(), JSON)]
    title: Annotated[str, Field("")]
    description: Annotated[str, Field("")]
    category: Annotated[str, Field("")]
    tags: Annotated[FrozenList, Field(FrozenList(), JSON, normalized=sorted)]
    meta: Annotated[FrozenDict, Field(FrozenDict(), JSON)]
    examples: Annotated[FrozenList, Field(FrozenList(), JSON)]
    syntax: Annotated[Syntax, Field("jinja", later=True)]
    content_hash: Annotated[str, Field()]

    @property
    def kind(self) -> Kind:
        """Whether it is a text or a chat prompt."""
        return _kind(self.template)

    def fields(self) -> dict[str, Any]:
        """Return the content by field, without its hash."""
        return dict(zip(CONTENT, self, strict=False))


class VersionRecord(NamedTuple):
    """A version as stored; `name` and `access_grants` are those that the prompt had when the version was made."""

    number: Annotated[int, Field(column="version")]
    state: Annotated[State, Field()]
    name: Annotated[str, Field()]
    access_grants: Annotated[tuple[Grant, ...], Field(codec=GRANTS)]
    snapshot: Snapshot
    commit_message: Annotated[str, Field()]
    author: Annotated[str | None, Field()]
    base_version: Annotated[int | None, Field()]
    created_at: Annotated[str, Field()]
    published_at: Annotated[str | None, Field()] = None
    failure: Annotated[FrozenList | None, Field(codec=OPTIONAL_JSON)] = None


def _table_of(record: Any) -> dict[str, Field]:
    """Return the fields of a record class by name, from its annotations."""
    hints = get_type_hints(record, include_extras=True)
    fields = {name: getattr(hints[name], "__metadata__", (None,))[0] for name in record._fields}
    return {name: field._replace(column=field.column or name) for name, field in fields.items() if field is not None}


def _in_hash_order(content: dict[str, Field], record: dict[str, Field]) -> Iterator[tuple[str, Field]]:
    """Yield the stored fields in the order of the first schema, which row hashes cover, then the later ones."""
    for name in VersionRecord._fields:
        if name == "snapshot":
            yield "kind", Field(column="kind")
            yield from ((inner, field) for inner, field in content.items() if not field.later)
        else:
            yield name, record[name]
    yield "content_hash", Field(column="content_hash")
    yield from ((name, field) for name, field in content.items() if field.later)


CONTENT = {name: field for name, field in _table_of(Snapshot).items() if name != "content_hash"}
"""The fields of a version's content: what its hash covers, and what a new version takes from its base."""
EMPTY: Mapping[str, Any] = {name: field.empty for name, field in CONTENT.items()}
"""The content of a new prompt where its caller passes nothing; its title is then its name."""
STORED = dict(_in_hash_order(CONTENT, _table_of(VersionRecord)))
"""Every stored field of a version, in the order that its row hash covers."""


def _kind(template: str | FrozenList) -> Kind:
    return "text" if isinstance(template, str) else "chat"


def content_of(fields: Mapping[str, Any]) -> dict[str, Any]:
    """Return what `content_hash` covers, normalized."""
    content: dict[str, Any] = {"kind": _kind(fields["template"])}
    for name, field in CONTENT.items():
        if not field.is_omitted(fields[name]):
            content[name] = field.normal(fields[name])
    content["template"] = with_read_line_ends(fields["template"], fields["syntax"])
    return content


def content_text(fields: Mapping[str, Any]) -> str:
    """Return the canonical JSON of which `content_hash` is the SHA-256: equal content has equal hashes (rule 1)."""
    return canonical(content_of(fields))


def hash_of_fields(fields: Mapping[str, Any], names: Collection[str]) -> str:
    """Return the hash of some fields of a version's content, normalized as if the other ones were empty."""
    content = content_of({**EMPTY, **{name: fields[name] for name in names}})
    return digest({name: content[name] for name in names if name in content})


def differing(old: Snapshot, new: Snapshot) -> list[str]:
    """Return the names of the fields that differ by rule 1, whatever hashes are stored."""
    return list(_differing(old, new))


def is_equal(old: Snapshot, new: Snapshot) -> bool:
    """Return whether two snapshots are equal by rule 1, whatever hashes are stored."""
    return next(_differing(old, new), None) is None


def _differing(old: Snapshot, new: Snapshot) -> Iterator[str]:
    before, after = (
        snapshot._replace(template=with_read_line_ends(snapshot.template, snapshot.syntax)) for snapshot in (old, new)
    )
    for (name, field), one, other in zip(CONTENT.items(), before, after, strict=False):
        if one is not other and not is_same(field.normal(one), field.normal(other)):
            yield name


# Prompts and their changes


class Container(NamedTuple):
    """A prompt without its versions; `labels` are those that callers set.

    `last_version` is the highest number ever assigned, `latest_version` the highest that exists. `publications` is the
    depth of the stack of publications; None where an earlier schema wrote the row, until it is next written. `seed` is
    None where the prompt was never seeded, and `synced`, by target, where it was never synchronised with files.
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
    seed: Seed | None = None
    synced: Mapping[str, SyncBase] | None = None

    @property
    def status(self) -> Status:
        """The status; a prompt that was archived while disabled is still disabled underneath (rule 14)."""
        if self.is_archived:
            return "archived"
        return "disabled" if self.is_disabled else "active"

    def moved(self, *, is_archived: bool, is_disabled: bool, at: str) -> "Container":
        """Return the prompt with another status, updated at that time."""
        return self._replace(is_archived=is_archived, is_disabled=is_disabled, updated_at=at)

    def synchronised(self, target: str, base: SyncBase) -> "Container":
        """Return the prompt with what was last synchronised of it for a target."""
        return self._replace(synced={**(self.synced or {}), target: base})

    def publications_after(self, published: int | None, kept: int | None = None) -> int | None:
        """Return the depth of the stack of publications after it is cut to `kept` and `published` is pushed."""
        if self.publications is None:
            return None
        return (self.publications if kept is None else kept) + (published is not None)

    @property
    def shown_version(self) -> int:
        """The number of the version that `list` and `search` show: production, else the latest."""
        return self.production_version or self.latest_version

    def number_of(self, selector: int | str | None) -> int | None:
        """Return the number that a version's number or label means, None being production; None for no such label.

        That version itself may not exist.
        """
        if isinstance(selector, int):
            return selector
        if selector is None or selector == "production":
            return self.production_version
        return self.latest_version if selector == "latest" else self.labels.get(selector)

    def all_labels(self) -> FrozenDict:
        """Return every label, including the two that the registry maintains."""
        kept = {"latest": self.latest_version}
        if self.production_version is not None:
            kept["production"] = self.production_version
        return frozen_dict({**self.labels, **kept})


class NewEvent(NamedTuple):
    """An event to be written; the storage adds the prompt, its name, the time and the hashes."""

    action: Action
    actor: str | None
    version: int | None = None
    details: Mapping[str, Any] = FrozenDict()


class Change(NamedTuple):
    """What one call does to one prompt.

    `before` is None for a new prompt, `after` for a deleted one. `added` is a new version, `edited` replaces a draft or
    failed one, `removed` is the number of a discarded one. `published` is pushed on the stack of publications, after
    `kept_publications` cut the stack to that depth. `earlier` are the versions that an import adds before `added`.
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
    earlier: tuple[VersionRecord, ...] | None = None

    @property
    def subject(self) -> Container:
        """The prompt after the change, or before it where it is deleted."""
        container = self.after or self.before
        if container is None:
            raise ValueError("a change must have a prompt")
        return container

    def moves_only(self) -> bool:
        """Return whether only the prompt's status, labels and pointers change: no version, no publication, no index."""
        return self[_VERSIONS:] == _NOTHING and not self.reindexes()

    def reindexes(self) -> bool:
        """Return whether the full text of the prompt changes."""
        if self.before is None or self.after is None:
            return True
        shown = self.after.shown_version
        return (
            self.before.name != self.after.name
            or self.before.shown_version != shown
            or (self.edited is not None and self.edited.number == shown)
        )


_VERSIONS = Change._fields.index("added")  # the first of the fields about versions and publications
_NOTHING = (None,) * len(Change._fields[_VERSIONS:])


class Operation(NamedTuple):
    """A call that is made once: the hash that identifies it, the time of the call, and what it wrote, as JSON.

    The JSON holds ids, numbers of versions and actions, and neither names nor content, so that rule 15 holds.
    """

    key: str
    at: str
    result: str


Link: TypeAlias = tuple[int, str]
"""The number and the hash of an event; the hash covers all events before it."""


class Audience(NamedTuple):
    """Who a listing is for: somebody who sees every prompt, or an actor who sees those owned or granted."""

    sees_all: bool
    actor: str | None = None
    principals: tuple[str, ...] = ()


class Query(NamedTuple):
    """The filters of `list`, `iterate` and `search`; with `text` it is a search, best matches first.

    Each prompt is shown with its production version, or with the latest where none is live; with `label`, only prompts
    that have it, each with the version that it names. `tags`, all of which must be there, and `category` are compared
    with the version that is shown. `prefix` is how the name begins, `after` the name of the last prompt that was seen.
    """

    namespace: str
    audience: Audience
    statuses: tuple[str, ...]
    limit: int
    text: str | None = None
    tags: tuple[str, ...] = ()
    category: str | None = None
    created_by: str | None = None
    prefix: str = ""
    label: str | None = None
    after: str = ""


class EventQuery(NamedTuple):
    """The filters of `events`: of a namespace, or of one prompt of it; `actions` None are all.

    They are oldest first, with numbers above `after`; with `newest_first` newest first, with numbers below `after`, or
    all of them where that is 0.
    """

    namespace: str
    audience: Audience
    limit: int
    after: int = 0
    prompt_id: str | None = None
    newest_first: bool = False
    actions: tuple[str, ...] | None = None


class Synced(NamedTuple):
    """The prompts of a namespace that were synchronised from one source, and the places of all deleted prompts.

    A place is what `bases.place` returns.
    """

    containers: Sequence[Container]
    deleted: frozenset[str]


Shown = tuple[Container, VersionRecord]
"""A prompt, and the version of it that listings show."""
