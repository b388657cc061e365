"""The checks that verification consists of, table by table: rows against their hashes, counts and each other.

A check is the statements of a slice, which are of one moment, and a function of their rows. What they say, and what
needs no rows of this database, is in `promptreg.storage.problems`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from typing import Any, NamedTuple, TypeAlias

from promptreg.errors import StorageCorruptError
from promptreg.records import Container
from promptreg.storage.event_rows import read_event
from promptreg.storage.hashing import EVENT_COLUMNS, GENESIS
from promptreg.storage.postgres import schema_check, slices
from promptreg.storage.postgres.event_pages import LAST_LINK
from promptreg.storage.postgres.selecting import SHOWN, VERSION_FIELDS
from promptreg.storage.postgres.slices import BYTES, FIRST, KEYS
from promptreg.storage.postgres.statements import Row, Statement
from promptreg.storage.postgres.words import search_row
from promptreg.storage.problems import (
    MAX_PROBLEMS,
    deletion_problem,
    missing_events,
    missing_head,
    problems_of_end,
    problems_of_numbers,
    problems_of_operations,
    problems_of_places,
    problems_of_publications,
    prompt_named,
)
from promptreg.storage.rows import PROMPT_COLUMNS, read_prompt, read_version

ROWS = 200  # of a slice, which take about 50 ms
HASHES = 20_000  # that are compared with a head in a slice

Results: TypeAlias = Sequence[Sequence[Row]]


class Checked(NamedTuple):
    """The outcome of a slice: how many rows were checked, where the next one begins (None: no more), the problems."""

    rows: int
    position: Any
    problems: list[str]


class Check(NamedTuple):
    """A check: its subject, the table whose rows it counts and their key, its first position, and a slice of it.

    `statements` are those of a slice from a position up to the last key; `problems` takes the position and their rows.
    """

    what: str
    table: str | None
    key: str
    start: Any
    statements: Callable[[Any, int], list[Statement]]
    problems: Callable[[Any, Results], Checked]


def checks(schema: str, head: str | None) -> list[Check]:
    """Return the checks of a schema, and that an event has the hash `head`."""
    of_head = Check("the head", None, "", FIRST, _statements_of_head(head or ""), _head(head or ""))
    of_schema = Check(
        "the schema",
        None,
        "",
        0,
        lambda position, last: schema_check.statements(schema),
        lambda position, results: Checked(0, None, [*schema_check.problems(schema, results)]),
    )
    return [*([] if head is None else [of_head]), of_schema, *_OF_ROWS]


# The head, and the registry's own row


def _statements_of_head(head: str) -> Callable[[int, int], list[Statement]]:
    def statements(after: int, last: int) -> list[Statement]:
        return [Statement(_WITH_HASH, {"head": head, "after": after, "rows": HASHES})]

    return statements


def _head(head: str) -> Callable[[int, Results], Checked]:
    def problems(after: int, results: Results) -> Checked:
        ((newest, is_found),) = results[0]
        if is_found or head == GENESIS:
            return Checked(0, None, [])
        return Checked(0, newest, [missing_head(head)] if newest is None else [])

    return problems


def _registry(position: object, results: Results) -> Checked:
    rows, newest, last, unrecorded, places, operations = results
    return Checked(
        0,
        None,
        [
            *_problems_of_row(rows, *newest[0]),
            *(deletion_problem(*row) for row in unrecorded),
            *problems_of_places(places),
            *problems_of_operations(operations),
            *(() if len(rows) != 1 else problems_of_end(last[0] if last else (0, GENESIS), rows[0][2:])),
        ],
    )


def _problems_of_row(
    rows: Sequence[Row], of_prompts: int | None, commits: int | None, stamp: str | None
) -> Iterator[str]:
    """Compare the registry's row with the newest prompt, and with the newest commit and its stamp."""
    if len(rows) != 1 or rows[0][0] < (of_prompts or 0):
        yield "the registry: its revision is not what was written"
    elif (commits, stamp) != rows[0][:2]:
        yield "the registry: its last commit is not what was written"


# Prompts, with all that belongs to them


def _prompts(after: int, results: Results) -> Checked:
    prompts, *others = results
    of_key: list[dict[int, list[Row]]] = [_by_key(rows) for rows in others]
    problems: list[str] = []
    for key, *row in prompts:
        try:
            container = read_prompt(row)
        except StorageCorruptError:
            problems.append(f"{_row_named(row, key)} is not what was written")
            continue
        what = prompt_named(container.namespace, container.name)
        problems += (
            f"{what}: {problem}" for problem in _problems_of_prompt(container, *(m.get(key, []) for m in of_key))
        )
    return Checked(len(prompts), prompts[-1][0] if prompts else None, problems)


def _by_key(rows: Sequence[Row]) -> dict[int, list[Row]]:
    return {key: [tuple(row) for _, *row in group] for key, group in groupby(rows, key=itemgetter(0))}


def _row_named(row: Sequence[Any], key: int) -> str:
    named = dict(zip(PROMPT_COLUMNS, row, strict=True))
    return prompt_named(named["namespace"], named["name"], f"row {key} of the prompts")


def _problems_of_prompt(
    container: Container,
    publications: list[Row],
    versions: list[Row],
    discarded: list[Row],
    shown: list[Row],
    searched: list[Row],
) -> Iterator[str]:
    numbers = {number for (number,) in versions}
    yield from problems_of_numbers(container, numbers, lambda: (number for (number,) in discarded))
    yield from problems_of_publications(container, publications, numbers)
    if container.shown_version in numbers:
        yield from _problems_of_shown(container, shown[0], searched)


def _problems_of_shown(container: Container, row: Row, searched: list[Row]) -> Iterator[str]:
    """Compare what searches look in with the version that the prompt shows; damaged versions are another check's."""
    try:
        record = read_version(container.id, row)
    except StorageCorruptError:
        return
    if container.production_version is not None and record.state != "published":
        yield f"version {record.number}: it is in production and not published"
    if not searched:
        yield "it is missing in the full text"
    elif searched != [tuple(search_row(container, record.snapshot))]:
        yield "the full text is of something else"


# Versions, and the full text without a prompt


def _versions(before: tuple[int, int], results: Results) -> Checked:
    versions, owners = results
    owner_of = {key: owner for key, *owner in owners}
    problems: list[str] = []
    for prompt, number, *row in versions:
        if prompt not in owner_of:
            problems.append(f"version {number} of row {prompt}: its prompt is not there")
            continue
        prompt_id, namespace, name = owner_of[prompt]
        try:
            read_version(prompt_id, row)
        except StorageCorruptError:
            named = prompt_named(namespace, name, f"row {prompt} of the prompts")
            problems.append(f"{named}: version {number} is not what was written")
    return Checked(len(versions), versions[-1][:2] if versions else None, problems)


def _full_text(after: int, results: Results) -> Checked:
    (rows,) = results
    problems = [f"the full text holds row {key}, which is of no prompt" for key, is_owned in rows if not is_owned]
    return Checked(len(rows), rows[-1][0] if rows else None, problems)


# Events


def _events(before: tuple[int, str], results: Results) -> Checked:
    """Follow the hash chain from the event with this number and hash."""
    rows, unknown = results
    lost = {seq for (seq,) in unknown}
    seq, link = before
    problems: list[str] = []
    for row in rows:
        stored = dict(zip(EVENT_COLUMNS, row, strict=False))
        if stored["seq"] != seq + 1:
            problems.append(missing_events(seq + 1, stored["seq"] - 1))
        elif stored["prev"] != link:
            problems.append(f"event {stored['seq']} does not continue the one before")
        seq, link = stored["seq"], stored["hash"]
        try:
            event = read_event(row, stored["prev"])
        except StorageCorruptError:
            problems.append(f"event {seq} is not what was written")
            continue
        if seq in lost:
            problems.append(f"{prompt_named(event.namespace, event.name)} of event {seq} is missing")
    return Checked(len(rows), (seq, link) if rows else None, problems)


def _belongings(position: object, results: Results) -> Checked:
    publications, details = results
    problems = [f"publications: {depth} of row {key} is of none of the prompts" for key, depth in publications]
    problems += [f"event_details: row {seq} is of none of the events" for (seq,) in details]
    return Checked(0, None, problems)


def _reading(*texts: str, rows: int = 0) -> Callable[[Any, int], list[Statement]]:
    """Return what makes the statements of a slice: each of these, with the position in the values."""

    def statements(position: Any, last: int) -> list[Statement]:
        values: Mapping[str, Any] = {"last": last, "rows": rows, "bytes": BYTES, **_place(position)}
        return [Statement(text, values) for text in texts]

    return statements


def _place(position: Any) -> Mapping[str, Any]:
    """Return a position as the values of placeholders: a key, or a prompt and a number, or an event and its hash."""
    if isinstance(position, tuple):
        return {"prompt": position[0], "seq": position[0], "version": position[1]}
    return {"after": position}


_WITH_HASH = (
    "SELECT max(e.seq), bool_or(e.hash = %(head)s)"
    " FROM (SELECT seq, hash FROM $.events WHERE seq > %(after)s ORDER BY seq LIMIT %(rows)s) e"
)
_OF_REGISTRY = (
    "SELECT revision, stamp, last_event, last_hash FROM $.registry",
    "SELECT (SELECT max(revision) FROM $.prompts), c.revision, c.stamp"
    " FROM (SELECT max(revision) AS newest FROM $.commits) m LEFT JOIN $.commits c ON c.revision = m.newest",
    LAST_LINK.text,
    "SELECT d.prompt_id, e.at FROM $.deletions d LEFT JOIN $.events e ON e.prompt_id = d.prompt_id"
    f" AND e.action = 'delete' WHERE e.at IS DISTINCT FROM d.at ORDER BY 1 LIMIT {MAX_PROBLEMS}",
    "SELECT prompt_id, synced FROM $.deletions WHERE synced IS NOT NULL ORDER BY 1",
    "SELECT key, result, hash FROM $.operations ORDER BY 1",
)
_OF_PROMPTS = (
    slices.PROMPTS,
    slices.PUBLICATIONS,
    f"SELECT v.prompt, v.version FROM $.versions v WHERE v.prompt IN ({KEYS}) ORDER BY 1, 2",
    "SELECT p.key, e.version FROM $.prompts p JOIN $.events e ON e.prompt_id = p.id AND e.action = 'discard'"
    f" WHERE p.key IN ({KEYS}) ORDER BY 1, 2",
    f"SELECT p.key, {VERSION_FIELDS} FROM $.prompts p {SHOWN} WHERE p.key IN ({KEYS}) ORDER BY 1",
    f"SELECT s.prompt, s.words, s.tags, s.content FROM $.search s WHERE s.prompt IN ({KEYS}) ORDER BY 1",
)
_OWNERS = (
    "SELECT p.key, p.id, p.namespace, p.name FROM $.prompts p WHERE p.key IN (SELECT v.prompt FROM $.versions v"
    " WHERE (v.prompt, v.version) > (%(prompt)s, %(version)s) AND v.prompt <= %(last)s"
    " ORDER BY v.prompt, v.version LIMIT %(rows)s)"
)
_SEARCHED = (
    "SELECT s.prompt, EXISTS (SELECT 1 FROM $.prompts p WHERE p.key = s.prompt) FROM $.search s"
    " WHERE s.prompt > %(after)s AND s.prompt <= %(last)s ORDER BY s.prompt LIMIT %(rows)s"
)
_LOST = (
    "SELECT e.seq FROM (SELECT * FROM $.events WHERE seq > %(seq)s AND seq <= %(last)s ORDER BY seq LIMIT %(rows)s) e"
    " WHERE e.action = 'create' AND NOT EXISTS (SELECT 1 FROM $.prompts p WHERE p.id = e.prompt_id)"
    " AND NOT EXISTS (SELECT 1 FROM $.deletions d WHERE d.prompt_id = e.prompt_id)"
)
_UNOWNED = (
    "SELECT b.prompt, b.depth FROM $.publications b WHERE NOT EXISTS"
    f" (SELECT 1 FROM $.prompts p WHERE p.key = b.prompt) ORDER BY 1, 2 LIMIT {MAX_PROBLEMS}",
    "SELECT d.seq FROM $.event_details d WHERE NOT EXISTS"
    f" (SELECT 1 FROM $.events e WHERE e.seq = d.seq) ORDER BY 1 LIMIT {MAX_PROBLEMS}",
)
_OF_ROWS = (
    Check("the registry", None, "", 0, _reading(*_OF_REGISTRY), _registry),
    Check("prompts", "prompts", "key", FIRST, _reading(*_OF_PROMPTS, rows=ROWS), _prompts),
    Check("versions", "versions", "prompt", (FIRST, 0), _reading(slices.VERSIONS, _OWNERS, rows=ROWS), _versions),
    Check("the full text", "search", "prompt", FIRST, _reading(_SEARCHED, rows=10 * ROWS), _full_text),
    Check("events", "events", "seq", (0, GENESIS), _reading(slices.EVENTS, _LOST, rows=ROWS), _events),
    Check("what belongs to prompts and events", None, "", 0, _reading(*_UNOWNED), _belongings),
)
