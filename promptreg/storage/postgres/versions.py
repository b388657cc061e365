"""Reading the versions and publications of prompts in one transaction, in few round trips.

With a prompt come the versions that plans ask for next. Of prompts that were found together, what is asked of one is
read of all, some at a time: a plan asks the same of each. Rows are checked against their hashes when they are used.
"""

from collections.abc import Callable, Iterable, Sequence
from functools import partial
from itertools import islice

from promptreg.records import Container, VersionRecord
from promptreg.storage.postgres.selecting import MAX_INTEGER, VERSION_FIELDS, bounded
from promptreg.storage.postgres.statements import Row, Statement
from promptreg.storage.rows import read_publications, read_version, require_versions

TOGETHER = 200  # prompts of which something is read at once
MAX_ALONG = 100  # numbers of unpublished versions that come along with a prompt

Run = Callable[..., list[list[Row]]]

UNPUBLISHED = (
    "ARRAY(SELECT u.version FROM $.versions u WHERE u.prompt = p.key AND u.state <> 'published'"
    f" ORDER BY u.version DESC LIMIT {MAX_ALONG})"
)
"""What a statement selects of `$.prompts p` for `Versions.add`."""
_OF_PROMPTS = f"SELECT p.id, {VERSION_FIELDS} FROM $.prompts p JOIN $.versions v ON v.prompt = p.key"
# OFFSET 0 keeps PostgreSQL from reading whole tables to join them.
_NUMBERED = (
    "SELECT found.* FROM unnest(%(ids)s::text[], %(numbers)s::bigint[]) AS wanted(id, number)"
    f" CROSS JOIN LATERAL ({_OF_PROMPTS} AND v.version = wanted.number WHERE p.id = wanted.id OFFSET 0) found"
)
_STACKS = (
    "SELECT p.id, s.depth, s.version, s.hash FROM $.prompts p JOIN $.publications s ON s.prompt = p.key"
    " WHERE p.id = ANY(%(ids)s::text[]) ORDER BY p.id, s.depth"
)
# What a rollback brings back, in the round trip of the stack
_PREVIOUS = (
    f"{_OF_PROMPTS} AND v.version = (SELECT s.version FROM $.publications s WHERE s.prompt = p.key"
    " ORDER BY s.depth DESC OFFSET 1 LIMIT 1) WHERE p.id = ANY(%(ids)s::text[])"
)
_MOST_UNPUBLISHED = f"SELECT p.id, {UNPUBLISHED} FROM $.prompts p WHERE p.id = ANY(%(ids)s::text[])"
_KEY = "(SELECT key FROM $.prompts WHERE id = %(id)s)"
_NEWEST = (
    f"SELECT {VERSION_FIELDS} FROM $.versions v WHERE v.prompt = {_KEY} AND v.version < %(before)s"
    " ORDER BY v.version DESC LIMIT %(limit)s"
)
_ALL_UNPUBLISHED = (
    f"SELECT version FROM $.versions WHERE prompt = {_KEY} AND state <> 'published' ORDER BY version DESC"
)
_DISCARDED = (
    "SELECT version FROM $.events WHERE prompt_id = %(id)s AND action = 'discard'"
    " AND version BETWEEN %(oldest)s AND %(newest)s"
)


class Versions:
    """What one transaction has read of versions, and what reads more."""

    def __init__(self, run: Run) -> None:
        self._run = run
        self.forget()

    def forget(self) -> None:
        """Forget everything, as something was written."""
        self._rows: dict[tuple[str, int], Row] = {}
        self._records: dict[tuple[str, int], VersionRecord] = {}
        self._unpublished: dict[str, Sequence[int]] = {}
        self._stacks: dict[str, list[Row]] = {}
        # Of prompts that were found together: those of which something is not read yet, for versions with the numbers
        self._unread: dict[str, set[int]] = {}
        self._without_stack: dict[str, None] = {}
        self._without_numbers: dict[str, None] = {}

    def add(self, container: Container, unpublished: Sequence[int], rows: Iterable[Row]) -> None:
        """Add what came along with a prompt: numbers of `UNPUBLISHED`, and rows of versions; one of NULLs is none."""
        self._add_numbers(container.id, unpublished)
        self._add_rows((container.id, *row) for row in rows if row[0] is not None)

    def _add_numbers(self, prompt_id: str, unpublished: Sequence[int]) -> None:
        if len(unpublished) < MAX_ALONG:  # else there may be more
            self._unpublished[prompt_id] = unpublished

    def _add_rows(self, rows: Iterable[Row]) -> None:
        self._rows.update({(prompt_id, row[0]): row for prompt_id, *row in rows})

    def add_found(self, container: Container, chosen: int | None) -> None:
        """Add a prompt that was found with others, and the number of the version that was chosen of it, if any was."""
        numbers = {container.shown_version, container.latest_version, chosen or container.latest_version}
        self._unread.setdefault(container.id, set()).update(numbers)
        self._without_stack[container.id] = self._without_numbers[container.id] = None

    def newest(self, container: Container, before: int | None, limit: int) -> list[VersionRecord]:
        """Return at most `limit` versions with numbers below `before`, newest first.

        Raises `StorageCorruptError` where one among them is missing that was not discarded.
        """
        known = self._known(container, container.latest_version if before is None else before - 1)
        if known is not None and limit == 1:
            return [known]
        below = bounded(MAX_INTEGER if before is None else before)
        rows = self._one(_NEWEST, id=container.id, before=below, limit=bounded(limit))
        records = [read_version(container.id, row) for row in rows]
        discarded = partial(self._discarded, container)
        require_versions(container, records, before=before, limit=limit, discarded=discarded)
        return records

    def _known(self, container: Container, number: int) -> VersionRecord | None:
        """Return a version if it was read with its prompt, or with those of other prompts."""
        key = container.id, number
        if key not in self._rows and container.id in self._unread:
            self._read_unread(container)
        if key in self._rows and key not in self._records:
            self._records[key] = read_version(container.id, self._rows[key])
        return self._records.get(key)

    def _read_unread(self, container: Container) -> None:
        numbers = {prompt_id: self._unread.pop(prompt_id) for prompt_id in _some(container, self._unread)}
        pairs = [(prompt_id, bounded(number)) for prompt_id in numbers for number in numbers[prompt_id]]
        ids, wanted = zip(*pairs, strict=True)
        self._add_rows(self._one(_NUMBERED, ids=[*ids], numbers=[*wanted]))

    def _discarded(self, container: Container, oldest: int, newest: int) -> list[int]:
        rows = self._one(_DISCARDED, id=container.id, oldest=oldest, newest=newest)
        return [number for (number,) in rows]

    def unpublished(self, container: Container) -> list[int]:
        """Return the numbers of all drafts and failed versions, newest first."""
        if container.id in self._without_numbers:
            ids = _some(container, self._without_numbers)
            for prompt_id, numbers in self._one(_MOST_UNPUBLISHED, ids=ids):
                self._add_numbers(prompt_id, numbers)
                self._without_numbers.pop(prompt_id, None)
        if container.id in self._unpublished:
            return [*self._unpublished[container.id]]
        return [number for (number,) in self._one(_ALL_UNPUBLISHED, id=container.id)]

    def publications(self, container: Container) -> list[int]:
        """Return the stack of publications, the live one last; raise `StorageCorruptError` where it is damaged."""
        if container.id not in self._stacks:
            ids = _some(container, self._without_stack)
            stacks, previous = self._run(*(Statement(text, {"ids": ids}) for text in (_STACKS, _PREVIOUS)))
            self._add_rows(previous)
            for prompt_id in ids:
                self._without_stack.pop(prompt_id, None)
                self._stacks[prompt_id] = []
            for prompt_id, *row in stacks:
                self._stacks[prompt_id].append(tuple(row))
        return read_publications(container, self._stacks[container.id])

    def _one(self, text: str, **values: object) -> list[Row]:
        (rows,) = self._run(Statement(text, values))
        return rows


def _some(container: Container, others: Iterable[str]) -> list[str]:
    """Return the ids of a prompt and of some others."""
    return [*islice(dict.fromkeys([container.id, *others]), TOGETHER)]
