"""The statement of `list`, `iterate` and `search`: which prompts match, and which of their versions is shown.

Filters by name, by label and by a rare tag are answered by an index; by status, creator and category each prompt of the
namespace is read, until a page is full.
"""

import json
import sqlite3
from typing import Any, get_args

from promptreg.models import Status
from promptreg.records import Audience, Query, Shown
from promptreg.storage.rows import read_shown
from promptreg.storage.sqlite.selecting import SHOWN_FIELDS, SHOWN_VERSION, joined

MAX_INTEGER = 2**63 - 1
MAX_RANKED = 1_000  # hits; bm25 reads each of them, which takes 60 ms for a word in 100,000 prompts
LAST = "\U0010ffff"  # sorts after every character of a name

READABLE = (
    "(:sees_all OR p.created_by = :actor OR EXISTS (SELECT 1 FROM json_each(p.access_grants) AS granted"
    " WHERE json_extract(granted.value, '$[0]') IN (SELECT value FROM json_each(:principals))))"
)
"""Which of `prompts p` an audience may read, with `audience_values`."""
_STATUSES = ", ".join(f"'{status}'" for status in get_args(Status))
# Damaged labels are read, so that their hash is checked.
_LABELLED = "CASE WHEN json_valid(p.labels) THEN json_extract(p.labels, :label) ELSE 0 END"
_ALL_TAGGED = (
    "(SELECT count(DISTINCT tagged.value) FROM json_each(v.tags) AS tagged"
    " WHERE tagged.value IN (SELECT value FROM json_each(:tags))) = :tag_count"
)


def read_matching(connection: sqlite3.Connection, query: Query) -> list[Shown]:
    """Return the prompts that a listing or a search finds, each with the version that it shows.

    A prompt whose status is damaged is read by every listing, so that its hash is checked.
    """
    origin, order, sought = "prompts p", "p.name", None
    tagged = _rarely_tagged(connection, query)
    if query.text is not None:
        from promptreg.storage.sqlite import fulltext  # noqa: PLC0415 (as below)

        sought = fulltext.matching(connection, query.text)
        if sought is None:
            return []
        order = "search.rank, p.name" if _has_few_hits(connection, sought) else "search.rowid DESC"
    number, conditions = _version(query.label)
    conditions += _of_prompt(query)
    if query.text is not None and tagged is not None:
        conditions.append("search.rowid IN (SELECT rowid FROM search WHERE search MATCH :tagged)")
    sought = sought or tagged
    if sought is not None:
        origin = "search CROSS JOIN prompts p ON p.key = search.rowid"
        conditions.append("search MATCH :sought")
    if query.category is not None:
        conditions.append("v.category = :category")
    if query.tags:
        conditions.append(_ALL_TAGGED)
    rows = connection.execute(
        f"SELECT {SHOWN_FIELDS} FROM {origin} {joined(number)} WHERE {' AND '.join(conditions)}"
        f" ORDER BY {order} LIMIT :limit",
        {**_values(query), "sought": sought, "tagged": tagged},
    ).fetchall()
    return [read_shown(row) for row in rows]


def _version(label: str | None) -> tuple[str, list[str]]:
    """Return the number of the version that is shown, and the conditions that there is one."""
    match label:
        case None:
            return SHOWN_VERSION, []
        case "latest":
            return "p.latest_version", []
        case "production":
            return "p.production_version", ["p.production_version IS NOT NULL"]
    return _LABELLED, ["p.labels <> '{}'", "(p.labels <> '{}') = 1", f"{_LABELLED} IS NOT NULL"]


def _of_prompt(query: Query) -> list[str]:
    """Return the conditions of the prompt itself; one bound of the names, as SQLite seeks by no more than one."""
    begins = query.prefix > query.after
    conditions = ["p.namespace = :namespace", f"p.name {'>=' if begins else '>'} :first", READABLE]
    if query.prefix:
        conditions.append("p.name < :beyond")
    conditions.append(f"(p.status IN (SELECT value FROM json_each(:statuses)) OR p.status NOT IN ({_STATUSES}))")
    if query.created_by is not None:
        conditions.append("p.created_by = :created_by")
    return conditions


def _values(query: Query) -> dict[str, Any]:
    return {
        **audience_values(query.audience),
        "namespace": query.namespace,
        "first": max(query.prefix, query.after),
        "beyond": query.prefix + LAST,
        "statuses": json.dumps(query.statuses),
        "created_by": query.created_by,
        "category": query.category,
        "label": f'$."{query.label}"',
        "tags": json.dumps(query.tags, ensure_ascii=False),
        "tag_count": len(query.tags),
        "limit": bounded(query.limit),
    }


def _rarely_tagged(connection: sqlite3.Connection, query: Query) -> str | None:
    """Return a full-text query that finds the few prompts with these tags, so that not every prompt is read.

    None if they are many, or if a label chooses the version: the index holds only the versions that are live, and of
    prompts without one the latest.
    """
    if not query.tags or query.label not in {None, "production"}:
        return None
    from promptreg.storage.sqlite import fulltext  # noqa: PLC0415 (with the word tables, which most reads never need)

    tagged = fulltext.tagged(connection, query.tags)
    return tagged if tagged is not None and _has_few_hits(connection, tagged) else None


def _has_few_hits(connection: sqlite3.Connection, sought: str) -> bool:
    """Return whether the full text finds few enough prompts, of all namespaces, to rank or sort them."""
    (hits,) = connection.execute(
        "SELECT count(*) FROM (SELECT rowid FROM search WHERE search MATCH ? LIMIT ?)", (sought, MAX_RANKED + 1)
    ).fetchone()
    return bool(hits <= MAX_RANKED)


def audience_values(audience: Audience) -> dict[str, Any]:
    """Return the values that `READABLE` takes."""
    return {
        "sees_all": audience.sees_all,
        "actor": audience.actor,
        "principals": json.dumps(audience.principals),
    }


def bounded(number: int) -> int:
    """Return the number, or the largest that SQLite takes."""
    return min(number, MAX_INTEGER)
