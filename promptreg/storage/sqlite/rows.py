"""Rows to records and back, each row with a hash that is checked when it is loaded.

The hash covers every column and, in a version, the id of its prompt: a bit that flips in the file,
or a row put in another's place, is `StorageCorruptError` and never a wrong answer.
"""

from collections.abc import Callable, Sequence
from typing import Any

from promptreg.errors import StorageCorruptError
from promptreg.jsonvalues import FrozenList, canonical_array, compact, digest, hashed, parse, quoted
from promptreg.models import Grant
from promptreg.records import Container, Snapshot, VersionRecord

PROMPT_COLUMNS = (
    "id",
    "namespace",
    "name",
    "status",
    "is_disabled",
    "access_grants",
    "labels",
    "production_version",
    "latest_version",
    "last_version",
    "created_by",
    "created_at",
    "updated_at",
    "publications",
    "hash",
)
VERSION_COLUMNS = (
    "version",
    "state",
    "name",
    "access_grants",
    "kind",
    "template",
    "variables",
    "config",
    "title",
    "description",
    "category",
    "tags",
    "meta",
    "examples",
    "commit_message",
    "author",
    "base_version",
    "created_at",
    "published_at",
    "failure",
    "content_hash",
    "hash",
)

PROMPT_FIELDS = ", ".join(f"p.{column}" for column in PROMPT_COLUMNS)
"""What a statement selects of `prompts p` for `read_prompt`."""

# A base that is not there was discarded, and an event tells of it, or else the file is damaged: then it is NULL.
_IS_BASE_GONE = (
    "CASE WHEN v.base_version IS NULL OR EXISTS"
    " (SELECT 1 FROM versions b WHERE b.prompt = v.prompt AND b.version = v.base_version) THEN 0"
    " WHEN EXISTS (SELECT 1 FROM events d WHERE d.prompt_id = (SELECT id FROM prompts WHERE key = v.prompt)"
    " AND d.action = 'discard' AND d.version = v.base_version) THEN 1 END"
)
VERSION_FIELDS = ", ".join([*(f"v.{column}" for column in VERSION_COLUMNS), _IS_BASE_GONE])
"""What a statement selects of `versions v` for `read_version`."""
SHOWN = "LEFT JOIN versions v ON v.prompt = p.key AND v.version = coalesce(p.production_version, p.latest_version)"
"""The version of a prompt that listings, and so the full-text index, show."""

Row = Sequence[Any]


def prompt_row(container: Container) -> tuple[Any, ...]:
    """Give the values of `PROMPT_COLUMNS`."""
    id_, namespace, name, _, is_disabled, grants, labels, *rest = container
    status, grants_text = container.status, _grants_text(grants)
    values: Row = (id_, namespace, name, status, int(is_disabled), grants_text, compact(labels), *rest)
    return *values, _prompt_hash(*values)


def _prompt_hash(
    id_: str,
    namespace: str,
    name: str,
    status: str,
    is_disabled: int,
    grants: str,
    labels: str,
    production: int | None,
    latest: int,
    last: int,
    created_by: str | None,
    created_at: str,
    updated_at: str,
    publications: int | None,
) -> str:
    """Give the digest of the values, whose JSON is put together here: bulk changes take it twice a prompt.

    A count that is not known is left out, as earlier schemas had none. We write no id, name, status or moment that
    JSON would escape. `TypeError` where a damaged one is no text.
    """
    texts = '","'.join((id_, namespace, name, status))
    moments = '","'.join((created_at, updated_at))
    return hashed(
        f'["{texts}",{is_disabled},{quoted(grants)},{quoted(labels)},'
        f"{'null' if production is None else production},{latest},{last},"
        f'{"null" if created_by is None else quoted(created_by)},"{moments}"'
        f"{'' if publications is None else f',{publications}'}]"
    )


def read_prompt(row: Row) -> Container:
    """Return the record of a row of `PROMPT_FIELDS`."""
    id_, namespace, name, status, is_disabled, grants, labels, *rest, stored = row
    require_whole(stored, _prompt_hash, row[:-1], "the prompt", id_)
    return Container(
        id_,
        namespace,
        name,
        status == "archived",
        bool(is_disabled),
        _grants(grants),
        parse(labels),
        *rest,
    )


def version_row(prompt_id: str, version: VersionRecord) -> tuple[Any, ...]:
    """Give the values of `VERSION_COLUMNS`."""
    snapshot = version.snapshot
    template = snapshot.template
    values = (
        version.number,
        version.state,
        version.name,
        _grants_text(version.access_grants),
        snapshot.kind,
        template if isinstance(template, str) else compact(template),
        compact(snapshot.variables),
        compact(snapshot.config),
        snapshot.title,
        snapshot.description,
        snapshot.category,
        compact(snapshot.tags),
        compact(snapshot.meta),
        compact(snapshot.examples),
        version.commit_message,
        version.author,
        version.base_version,
        version.created_at,
        version.published_at,
        None if version.failure is None else compact(version.failure),
        snapshot.content_hash,
    )
    return *values, _version_hash(prompt_id, *values)


def _version_hash(*values: Any) -> str:
    return hashed(canonical_array(values))


def read_version(prompt_id: str, row: Row) -> VersionRecord:
    """Return the record of a row of `VERSION_FIELDS`, whose last says whether its base was discarded.

    A base that was discarded reads as None: a published row never changes, and its hash covers what is stored. One that
    is neither there nor discarded is damage; then NULL comes.
    """
    *values, stored, is_base_gone = row
    require_whole(stored, _version_hash, (prompt_id, *values), f"version {values[0]} of the prompt", prompt_id)
    if is_base_gone is None:
        raise damaged(f"version {values[16]} of the prompt", prompt_id)
    return VersionRecord(
        number=values[0],
        state=values[1],
        snapshot=Snapshot(
            template=parse(values[5]) if values[4] == "chat" else values[5],
            variables=parse(values[6]),
            config=parse(values[7]),
            title=values[8],
            description=values[9],
            category=values[10],
            tags=parse(values[11]),
            meta=parse(values[12]),
            examples=parse(values[13]),
            content_hash=values[20],
        ),
        name=values[2],
        access_grants=_grants(values[3]),
        commit_message=values[14],
        author=values[15],
        base_version=None if is_base_gone else values[16],
        created_at=values[17],
        published_at=values[18],
        failure=None if values[19] is None else parse(values[19]),
    )


def read_publications(container: Container, rows: Sequence[Row]) -> list[int]:
    """Return the stack of publications of rows of depth, version and hash, in their order; the live one is last."""
    what = "the publications of the prompt"
    for depth, number, stored in rows:
        require_whole(stored, digest, [[container.id, depth, number]], what, container.id)
    stack = [number for _, number, _ in rows]
    is_counted = container.publications in {None, len(stack)}
    is_whole = is_counted and [depth for depth, _, _ in rows] == [*range(1, len(stack) + 1)]
    if not is_whole or (stack[-1] if stack else None) != container.production_version:
        raise damaged(what, container.id)
    return stack


def _grants_text(grants: tuple[Grant, ...]) -> str:
    return compact([[grant.principal, grant.permission] for grant in grants]) if grants else "[]"


def _grants(text: str) -> tuple[Grant, ...]:
    if text == "[]":
        return ()
    pairs: FrozenList = parse(text)
    return tuple(Grant.model_construct(principal=who, permission=what) for who, what in pairs)


def require_whole(stored: object, make_hash: Callable[..., str], of: Row, what: str, identity: object) -> None:
    """Raise `StorageCorruptError` unless the hash of these is the one that is stored with them."""
    try:
        is_whole = make_hash(*of) == stored
    except TypeError:  # in a damaged row is what no column of ours holds
        is_whole = False
    if not is_whole:
        raise damaged(what, identity)


def damaged(what: str, identity: object) -> StorageCorruptError:
    """Give the refusal to serve what is not as it was written."""
    return StorageCorruptError(
        f"What the database holds of {what} {identity!r} is not what was written; restore a copy.",
        reason="damaged",
    )
