"""Verification of a whole registry (`Registry.verify`) in slices; the checks themselves are in `integrity.py`.

A slice is one round trip: a transaction that reads rows of one moment, which are checked once it has ended. So nothing
is held, neither here nor on the server, while rows are checked and between two slices. That is enough, as each check
needs one snapshot of one prompt and its rows, of one version, or of one event and the hash of the event before, which
is passed on to the next slice.
"""

from collections.abc import Callable, Generator, Iterator
from contextlib import AbstractContextManager
from typing import TypeAlias

from promptreg.errors import StorageCorruptError
from promptreg.storage.base import VerificationStep
from promptreg.storage.postgres import schema_check
from promptreg.storage.postgres.integrity import Check, Checked, Results, checks
from promptreg.storage.postgres.sessions import ROLLBACK, Session
from promptreg.storage.postgres.statements import Statement
from promptreg.storage.postgres.transactions import ANY_TIME, READ, SEARCH_PATH
from promptreg.storage.problems import reported

OpenSession: TypeAlias = Callable[[], AbstractContextManager[Session]]
Translating: TypeAlias = Callable[[], AbstractContextManager[None]]
Read: TypeAlias = Callable[..., Results]


def verified(
    open_session: OpenSession, translating: Translating, schema: str, head: str | None
) -> Generator[VerificationStep, None, None]:
    """Run all checks; yield the progress after each slice, and the problems that it found.

    Raises `StorageError` where the database can't be read, which is not a problem of the data.
    """
    every = checks(schema, head)

    def read(*statements: Statement) -> Results:
        with open_session() as session, translating():
            return [result.rows for result in session.run(READ, SEARCH_PATH, ANY_TIME, *statements, ROLLBACK)[3:-1]]

    lost = schema_check.what_is_lost(read(*schema_check.statements(schema)))
    if lost:  # nothing else can be read then
        yield VerificationStep(0, 0, lost)
        return
    extents = read(*map(_extent, every))  # fixed first, so that writers can't prolong it
    pairs = zip(every, (last for ((_, last),) in extents), strict=True)
    slices = (checked for check, last in pairs for checked in _slices(read, check, last))
    yield from reported(slices, sum(rows for ((rows, _),) in extents))


def _extent(check: Check) -> Statement:
    """Return the statement that counts the rows of a check, and finds the last of their keys."""
    if check.table is None:
        return Statement("SELECT 0, 0")
    return Statement(f"SELECT count(*), coalesce(max({check.key}), 0) FROM $.{check.table}")


def _slices(read: Read, check: Check, last: int) -> Iterator[tuple[int, list[str]]]:
    """Run a check, and yield the rows and the problems of each slice."""
    position = check.start
    while position is not None:
        rows, position, problems = _slice(read, check, position, last)
        yield rows, problems


def _slice(read: Read, check: Check, position: object, last: int) -> Checked:
    try:
        return check.problems(position, read(*check.statements(position, last)))
    except StorageCorruptError as error:
        return Checked(0, None, [f"{check.what}: what follows can't be read ({error.__cause__ or error.message})"])
