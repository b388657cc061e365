"""Reading everything, as one stream of entries (`Storage.dump`), in one transaction on a connection of its own.

Whoever takes the entries may be slow: a pipe, a network. The transaction only reads, so writers never wait for it, but
while it is open the server keeps the rows that were deleted or replaced since (`docs/export.md`). Rows are read in
slices by their keys, so that neither side holds more than one of them in memory.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from itertools import groupby
from operator import itemgetter
from typing import TypeAlias

from promptreg.dump import Counts, DeletionEntry, Dump, Entry, PromptEntry
from promptreg.storage.entries import deletion_entry, event_entries
from promptreg.storage.postgres import slices
from promptreg.storage.postgres.event_pages import WRITTEN_LINK
from promptreg.storage.postgres.sessions import Session
from promptreg.storage.postgres.slices import BYTES, FIRST, LAST, ROWS
from promptreg.storage.postgres.statements import Row, Statement
from promptreg.storage.postgres.transactions import ANY_TIME, READ, SEARCH_PATH
from promptreg.storage.rows import read_prompt, read_publications, read_version

OpenSession: TypeAlias = Callable[[], AbstractContextManager[Session]]
Translating: TypeAlias = Callable[[], AbstractContextManager[None]]

# Of servers that end long transactions; the second is not known to all.
UNLIMITED = Statement(
    "SELECT pg_catalog.set_config(name, '0', true) FROM pg_catalog.pg_settings"
    " WHERE name IN ('idle_in_transaction_session_timeout', 'transaction_timeout')"
)
_COUNTS = Statement("SELECT " + ", ".join(f"(SELECT count(*) FROM $.{table})" for table in Counts._fields))


@contextmanager
def dumped(open_session: OpenSession, translating: Translating) -> Iterator[Dump]:
    """Yield everything that the database holds at this moment."""
    with open_session() as session:
        try:
            with translating():
                session.begin(READ, SEARCH_PATH, ANY_TIME, UNLIMITED)
                counts, written = (result.rows for result in session.run(_COUNTS, WRITTEN_LINK))
            yield Dump(Counts(*counts[0]), _translated(session, written, translating))
        finally:
            session.roll_back()


def _translated(session: Session, written: list[Row], translating: Translating) -> Iterator[Entry]:
    with translating():
        yield from _prompts(session)
        yield from event_entries(_events(session), written[0] if written else (0, ""))
        yield from _deletions(session)


def _prompts(session: Session) -> Iterator[Entry]:
    """Yield the prompts by their keys, which grow in the order of their creation, each with its versions."""
    after = FIRST
    while True:
        of_slice = {"after": after, "last": LAST, "rows": ROWS, "bytes": BYTES}
        prompts, publications, counts = (
            session.query(text, of_slice) for text in (slices.PROMPTS, slices.PUBLICATIONS, slices.COUNTS)
        )
        if not prompts:
            return
        stacks = {key: [row for _, *row in group] for key, group in groupby(publications, key=itemgetter(0))}
        numbers = dict[int, int](counts)
        versions = _versions(session, after, prompts[-1][0])
        for key, *row in prompts:
            container = read_prompt(row)
            stack = read_publications(container, stacks.get(key, []))
            yield PromptEntry(container._replace(publications=len(stack)), tuple(stack), numbers.get(key, 0))
            for _ in range(numbers.get(key, 0)):
                yield read_version(container.id, next(versions)[2:])
        after = prompts[-1][0]


def _versions(session: Session, after: int, last: int) -> Iterator[Row]:
    """Yield the versions of the prompts up to a key."""
    key: tuple[int, int] = (after, LAST)
    while rows := session.query(
        slices.VERSIONS, {"prompt": key[0], "version": key[1], "last": last, "rows": ROWS, "bytes": BYTES}
    ):
        yield from rows
        key = rows[-1][:2]


def _events(session: Session) -> Iterator[Row]:
    seq = FIRST
    while rows := session.query(slices.EVENTS, {"seq": seq, "last": LAST, "rows": ROWS, "bytes": BYTES}):
        yield from rows
        seq = rows[-1][0]


def _deletions(session: Session) -> Iterator[DeletionEntry]:
    seq = FIRST
    while rows := session.query(slices.DELETIONS, {"seq": seq, "rows": ROWS}):
        yield from (deletion_entry(row) for _, *row in rows)
        seq = rows[-1][0]
