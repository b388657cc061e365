"""The cold read: prompts and versions, with the revision, by one statement, which sees one moment by itself."""

from collections.abc import Callable, Sequence

from promptreg.records import Container, VersionRecord
from promptreg.rules.names import Reference, Selector, Versioned
from promptreg.storage.base import Lookup
from promptreg.storage.postgres.heads import HEAD_FIELDS, Head, read_head
from promptreg.storage.postgres.selecting import (
    PROMPT_FIELDS,
    VERSION_FIELDS,
    bounded,
    joined,
    label_pattern,
    labelled,
    version_number,
)
from promptreg.storage.postgres.sessions import Session
from promptreg.storage.postgres.statements import Row, Statement
from promptreg.storage.rows import PROMPT_COLUMNS, read_prompt, read_version

_FIELDS = f"{HEAD_FIELDS}, {PROMPT_FIELDS}, {VERSION_FIELDS}"
_REGISTRY = "(SELECT * FROM $.registry WHERE id = 1) r"  # by its key, so that one row is expected
_WANTED = (
    "unnest(%(texts)s::text[], %(are_ids)s::bool[], %(numbers)s::bigint[], %(labels)s::text[])"
    " WITH ORDINALITY AS w(text, is_id, number, label, position)"
)
# OFFSET 0 keeps PostgreSQL from reading whole tables to join them.
_PROMPT = (
    "(SELECT * FROM $.prompts WHERE key = CASE WHEN w.is_id"
    " THEN (SELECT key FROM $.prompts WHERE namespace = %(namespace)s AND id = w.text)"
    " ELSE (SELECT key FROM $.prompts WHERE namespace = %(namespace)s AND name = w.text) END OFFSET 0)"
)
_NUMBER = (
    "CASE WHEN w.number IS NOT NULL THEN w.number WHEN w.label = 'production' THEN p.production_version"
    f" WHEN w.label = 'latest' THEN p.latest_version ELSE {labelled('w.label')} END"
)
_VERSION = f"(SELECT * FROM $.versions WHERE prompt = p.key AND version = {_NUMBER} OFFSET 0)"
_OF_MANY = (
    f"SELECT {_FIELDS} FROM {_REGISTRY} LEFT JOIN {_WANTED} ON TRUE LEFT JOIN LATERAL {_PROMPT} p ON TRUE"
    f" LEFT JOIN LATERAL {_VERSION} v ON TRUE ORDER BY w.position"
)


def look_up(
    session: Session, namespace: str, wanted: Sequence[Versioned], notice: Callable[[Head], None]
) -> tuple[int, list[Lookup] | None]:
    """Return the revision, and the prompts with the versions, as `Storage.look_up` does.

    These are None where a version does not exist whose number was given to one. Whether that was discarded or is lost,
    a transaction finds out. `notice` is called with the registry's row before anything else is read; it may raise.
    """
    statement = _of_one(namespace, *wanted[0]) if len(wanted) == 1 else _of_many(namespace, wanted)
    (result,) = session.run(statement)
    width = len(Head._fields)
    head = read_head([row[:width] for row in result.rows[:1]])
    notice(head)
    found = [_read(row[width:]) for row in result.rows[: len(wanted)]]
    is_certain = all(_is_certain(selector, *pair) for (_, selector), pair in zip(wanted, found, strict=True))
    return head.revision, found if is_certain else None


def _read(row: Row) -> Lookup:
    width = len(PROMPT_COLUMNS)
    if row[0] is None:
        return Lookup(None, None)
    container = read_prompt(row[:width])
    return Lookup(container, None if row[width] is None else read_version(container.id, row[width:]))


def _is_certain(selector: Selector | None, container: Container | None, version: VersionRecord | None) -> bool:
    """Return whether a version that was not found never existed."""
    if container is None or version is not None:
        return True
    number = container.number_of(selector)
    return number is None or number > container.last_version


def _of_one(namespace: str, reference: Reference, selector: Selector | None) -> Statement:
    number, values = version_number(selector)
    return Statement(
        f"SELECT {_FIELDS} FROM {_REGISTRY} LEFT JOIN $.prompts p ON p.namespace = %(namespace)s"
        f" AND p.{'id' if reference.is_id else 'name'} = %(text)s {joined(number)}",
        {"namespace": namespace, "text": reference.text, **values},
    )


def _of_many(namespace: str, wanted: Sequence[Versioned]) -> Statement:
    return Statement(
        _OF_MANY,
        {
            "namespace": namespace,
            "texts": [reference.text for reference, _ in wanted],
            "are_ids": [reference.is_id for reference, _ in wanted],
            "numbers": [bounded(selector) if isinstance(selector, int) else None for _, selector in wanted],
            "labels": [_label(selector) for _, selector in wanted],
        },
    )


def _label(selector: Selector | None) -> str | None:
    if selector is None or selector in {"production", "latest"}:
        return str(selector or "production")
    return label_pattern(selector) if isinstance(selector, str) else None
