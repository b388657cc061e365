"""Conversion of rows to records and back, for any database. Each row is checked against its hash, and all for gaps.

The columns of a version derive from the table in `promptreg.records`; those of a prompt are the fields of `PromptRow`.
What the hashes cover is in `promptreg.storage.hashing`; statements are in the storages.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from operator import itemgetter
from typing import Any, NamedTuple, TypeAlias

from promptreg.bases import decoded_bases, decoded_places, decoded_seed, encoded_bases, encoded_seed
from promptreg.jsonvalues import compact, parse
from promptreg.records import CONTENT, GRANTS, STORED, Container, Shown, Snapshot, VersionRecord
from promptreg.storage.hashing import Later, damaged, publication_hash, require_whole, row_hash

Row: TypeAlias = Sequence[Any]


class PromptRow(NamedTuple):
    """The columns of `prompts` that its hash covers, and the hash."""

    id: str
    namespace: str
    name: str
    status: str
    is_disabled: int
    access_grants: str
    labels: str
    production_version: int | None
    latest_version: int
    last_version: int
    created_by: str | None
    created_at: str
    updated_at: str
    publications: int | None
    seed: str | None
    synced: str | None
    hash: str


PROMPT_COLUMNS = PromptRow._fields
VERSION_COLUMNS = (*(field.column for field in STORED.values()), "hash")
LATER_PROMPT_COLUMNS: Mapping[str, Any] = {"publications": None, "seed": None, "synced": None}
"""The columns of `prompts` that came after the first schema, with their defaults."""
LATER_VERSION_COLUMNS: Mapping[str, Any] = {
    field.column: field.codec.encode(field.empty) if field.codec else field.empty
    for field in CONTENT.values()
    if field.later
}
"""The same of `versions`."""


def _later(columns: Sequence[str], defaults: Mapping[str, Any]) -> Later:
    return [(columns.index(column), defaults[column]) for column in reversed([*defaults])]


_LATER_IN_PROMPTS = _later(PROMPT_COLUMNS, LATER_PROMPT_COLUMNS)
_LATER_IN_VERSIONS = _later(("owner", *VERSION_COLUMNS), LATER_VERSION_COLUMNS)

_of_snapshot, _of_version = itemgetter(*Snapshot._fields), itemgetter(*VersionRecord._fields)
_ENCODERS = [(name, field.codec.encode) for name, field in STORED.items() if field.codec is not None]
_DECODERS = [(name, field.codec.decode) for name, field in STORED.items() if field.codec is not None]


def prompt_row(container: Container) -> Row:
    """Return the values of `PROMPT_COLUMNS`."""
    values = (
        container.id,
        container.namespace,
        container.name,
        container.status,
        int(container.is_disabled),
        GRANTS.encode(container.access_grants),
        compact(container.labels),
        container.production_version,
        container.latest_version,
        container.last_version,
        container.created_by,
        container.created_at,
        container.updated_at,
        container.publications,
        encoded_seed(container.seed),
        encoded_bases(container.synced),
    )
    return *values, row_hash(values, _LATER_IN_PROMPTS)


def read_prompt(values: Row) -> Container:
    """Return the record of a row of `PROMPT_COLUMNS`; raise `StorageCorruptError` where it is not as it was written."""
    row = PromptRow._make(values)
    require_whole(row.hash, "the prompt", row.id, row_hash, row[:-1], _LATER_IN_PROMPTS)
    return Container(
        row.id,
        row.namespace,
        row.name,
        row.status == "archived",
        bool(row.is_disabled),
        GRANTS.decode(row.access_grants),
        parse(row.labels),
        row.production_version,
        row.latest_version,
        row.last_version,
        row.created_by,
        row.created_at,
        row.updated_at,
        row.publications,
        decoded_seed(row.seed),
        decoded_bases(row.synced),
    )


def version_row(prompt_id: str, version: VersionRecord) -> tuple[Any, ...]:
    """Return the values of `VERSION_COLUMNS`."""
    snapshot = version.snapshot
    values = {**version._asdict(), **snapshot._asdict(), "kind": snapshot.kind}
    for name, encode in _ENCODERS:
        values[name] = encode(values[name])
    if snapshot.kind == "chat":
        values["template"] = compact(snapshot.template)
    stored = [values[name] for name in STORED]
    return *stored, row_hash([prompt_id, *stored], _LATER_IN_VERSIONS)


def read_version(prompt_id: str, row: Row) -> VersionRecord:
    """Return the record of a row of `VERSION_COLUMNS` and whether its base was discarded.

    Raises `StorageCorruptError` where it is not as it was written, or where whether is None: the base is lost.
    A discarded base is read as None, while the row keeps its number, as a published row never changes.
    """
    *stored, hash_, is_base_discarded = row
    values = dict(zip(STORED, stored, strict=True))
    what = f"version {values['number']} of the prompt"
    require_whole(hash_, what, prompt_id, row_hash, [prompt_id, *stored], _LATER_IN_VERSIONS)
    if is_base_discarded is None:
        raise damaged(f"version {values['base_version']} of the prompt", prompt_id)
    if is_base_discarded:
        values["base_version"] = None
    for name, decode in _DECODERS:
        values[name] = decode(values[name])
    if values["kind"] == "chat":
        values["template"] = parse(values["template"])
    values["snapshot"] = Snapshot._make(_of_snapshot(values))
    return VersionRecord._make(_of_version(values))


def read_shown(row: Row) -> Shown:
    """Return a prompt and the version that it shows, of a row of both."""
    width = len(PROMPT_COLUMNS)
    container = read_prompt(row[:width])
    return container, read_version(container.id, row[width:])


def read_publications(container: Container, rows: Sequence[Row]) -> list[int]:
    """Return the stack of publications, the live one last, from rows of depth, version and hash in their order."""
    what = "the publications of the prompt"
    for depth, number, stored in rows:
        require_whole(stored, what, container.id, publication_hash, container.id, depth, number)
    stack = [number for _, number, _ in rows]
    is_counted = container.publications in {None, len(stack)}
    is_whole = is_counted and [depth for depth, _, _ in rows] == [*range(1, len(stack) + 1)]
    if not is_whole or (stack[-1] if stack else None) != container.production_version:
        raise damaged(what, container.id)
    return stack


def synced_from(source: str, rows: Iterable[Row]) -> list[Container]:
    """Return the prompts of these rows that were synchronised from a source; the hash of each row is checked."""
    return [
        container
        for container in map(read_prompt, rows)
        if any(base.source == source for base in (container.synced or {}).values())
    ]


def read_places(rows: Iterable[Row]) -> Iterator[str]:
    """Yield the places of deleted prompts, from rows of their ids and places; raise `StorageCorruptError`."""
    for prompt_id, text in rows:
        try:
            yield from decoded_places(text)
        except ValueError:
            raise damaged("the deletion of the prompt", prompt_id) from None


def require_versions(
    container: Container,
    records: Sequence[VersionRecord],
    *,
    before: int | None,
    limit: int,
    discarded: Callable[[int, int], Iterable[int]],
) -> None:
    """Raise `StorageCorruptError` unless these are the newest `limit` versions below `before`, without a gap.

    `discarded` returns the numbers, between two, of versions that were discarded; it is called where there is a gap.
    """
    newest = container.latest_version if before is None else min(before - 1, container.latest_version)
    oldest = 1 if len(records) < limit else records[-1].number
    if newest - oldest + 1 == len(records):
        return
    known = {record.number for record in records}.union(discarded(oldest, newest))
    missing = set(range(oldest, newest + 1)) - known
    if missing:
        raise damaged(f"version {max(missing)} of the prompt", container.id)
