"""The statement of `list`, `iterate` and `search`: which prompts match, and which of their versions is shown.

Filters by name, by label and by a rare tag, and searches are answered by an index; by status, creator and category each
prompt of the namespace is read, until a page is full. Where words or tags have few hits, these are read and sorted; of
many, the prompts in their order until a page is full. Which of the two it is, the statement itself finds out.
"""

from collections.abc import Sequence
from typing import get_args

from promptreg.jsonvalues import compact
from promptreg.models import Status
from promptreg.records import Query
from promptreg.storage.postgres.audiences import audience_values, readable_or_damaged
from promptreg.storage.postgres.selecting import (
    SHOWN_FIELDS,
    SHOWN_VERSION,
    bounded,
    joined,
    version_number,
)
from promptreg.storage.postgres.statements import Statement
from promptreg.storage.postgres.words import Sought, cut_all, sought

MAX_RANKED = 1_000  # hits that are sorted by how well they match
MAX_WEIGHED = 8  # words by which they are
LAST = "\U0010ffff"  # sorts after every character of a name

_STATUSES = [*get_args(Status)]
_BY_KEY = "(SELECT * FROM $.prompts WHERE key = hits.prompt OFFSET 0)"  # so that no other prompt is read
_HAS_WORDS = "s.words @> %(words)s::text[]"
_HAS_PHRASES = (
    "NOT EXISTS (SELECT 1 FROM unnest(%(phrases)s::text[]) AS sought(text) WHERE strpos(s.content, text) = 0)"
)
_HAS_TAGS = "s.tags @> %(cut_tags)s::text[]"
_OCCURRENCES = "(octet_length(s.content) - octet_length(replace(s.content, text, ''))) / octet_length(text)::float"
_DENSITY = (
    f"(SELECT sum({_OCCURRENCES}) FROM unnest(%(weighed)s::text[]) AS sought(text))"
    " / greatest(octet_length(s.content), 1)"
)


def matching(query: Query) -> Statement | None:
    """Return the statement of a listing or a search, which selects `SHOWN_FIELDS`; None where nothing can match.

    A prompt whose status, grants or labels are damaged is read by every listing, so that its hash is checked.
    """
    text = None if query.text is None else sought(query.text)
    if query.text is not None and text is None:
        return None
    number, label = (SHOWN_VERSION, {}) if query.label is None else version_number(query.label)
    of_label = [] if query.label is None else [f"{number} IS NOT NULL"]
    if label:
        of_label.append("p.labels <> '{}'")  # as the index of prompts with labels says
    conditions = " AND ".join([*of_label, *_of_prompt(query), *_of_version(query)])
    hits = _hits(query, text)
    if hits:
        order = "p.name" if text is None else f"{_DENSITY} DESC, p.name"
        statement = _few_or_many(" AND ".join(hits), joined(number), conditions, order, is_search=text is not None)
    else:
        statement = _select("$.prompts p", joined(number), conditions, "p.name")
    return Statement(statement, {**_values(query), **_values_of(text), **label})


def _of_prompt(query: Query) -> list[str]:
    begins = query.prefix > query.after
    conditions = ["p.namespace = %(namespace)s", f"p.name {'>=' if begins else '>'} %(first)s"]
    if query.prefix:
        conditions.append("p.name < %(beyond)s")
    conditions.append(readable_or_damaged(query.audience))
    conditions.append("(p.status = ANY(%(statuses)s::text[]) OR p.status <> ALL(%(all_statuses)s::text[]))")
    if query.created_by is not None:
        conditions.append("p.created_by = %(created_by)s")
    return conditions


def _of_version(query: Query) -> list[str]:
    conditions = [] if query.category is None else ["v.category = %(category)s"]
    return conditions + [_tagged(f"tag_{number}", tag) for number, tag in enumerate(query.tags)]


def _tagged(name: str, tag: str) -> str:
    """Return the condition that the tags of `versions v`, as the text that was hashed, hold this one.

    What stands between two quotes that have no backslash before them is a tag, or the comma between two.
    """
    if tag == ",":
        return """(starts_with(v.tags, '[","') OR strpos(v.tags, '",","') > 0)"""
    return f"(strpos(v.tags, '[' || %({name})s::text) > 0 OR strpos(v.tags, ',' || %({name})s::text) > 0)"


def _hits(query: Query, text: Sought | None) -> list[str]:
    """Return the conditions of `$.search s`, which holds the versions that are shown where no label chooses another."""
    conditions = [] if text is None else [_HAS_WORDS, *([_HAS_PHRASES] if text.phrases else [])]
    return [*conditions, _HAS_TAGS] if query.tags and query.label in {None, "production"} else conditions


def _few_or_many(hits: str, join: str, conditions: str, order: str, *, is_search: bool) -> str:
    """Return a statement that reads and sorts all hits where they are few, and else prompts until a page is full."""
    prompts = "$.search s JOIN $.prompts p ON p.key = s.prompt"
    found = f"hits CROSS JOIN LATERAL {_BY_KEY} p JOIN $.search s ON s.prompt = p.key"
    many = _select(
        prompts if is_search else "$.prompts p",
        join,
        f"NOT (SELECT are_few FROM counted) AND {conditions}{f' AND {hits}' if is_search else ''}",
        "s.prompt DESC" if is_search else "p.name",
    )
    few = _select(found, join, f"(SELECT are_few FROM counted) AND {conditions}", order)
    return (
        f"WITH hits AS MATERIALIZED (SELECT s.prompt FROM $.search s WHERE {hits} LIMIT {MAX_RANKED + 1}),"
        f" counted AS (SELECT count(*) <= {MAX_RANKED} AS are_few FROM hits) ({few}) UNION ALL ({many})"
    )


def _select(origin: str, join: str, conditions: str, order: str) -> str:
    return f"SELECT {SHOWN_FIELDS} FROM {origin} {join} WHERE {conditions} ORDER BY {order} LIMIT %(limit)s"


def _values(query: Query) -> dict[str, object]:
    return {
        **audience_values(query.audience),
        **{f"tag_{number}": compact(tag) for number, tag in enumerate(query.tags)},
        "namespace": query.namespace,
        "first": max(query.prefix, query.after),
        "beyond": query.prefix + LAST,
        "statuses": [*query.statuses],
        "all_statuses": _STATUSES,
        "created_by": query.created_by,
        "category": query.category,
        "cut_tags": cut_all(query.tags),
        "limit": bounded(query.limit),
    }


def _values_of(text: Sought | None) -> dict[str, Sequence[str]]:
    if text is None:
        return {}
    return {"words": text.words, "phrases": text.phrases, "weighed": text.weighed[:MAX_WEIGHED]}
