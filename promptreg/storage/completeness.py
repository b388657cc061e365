"""Whether what was read is all that there must be, for any database: versions without a gap, and events."""

from collections.abc import Callable, Iterable, Sequence
from typing import NamedTuple

from promptreg.records import Container, EventQuery, VersionRecord
from promptreg.storage.hashing import damaged


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


class ListedRange(NamedTuple):
    """Of which events a query has listed every one that matches: above the first number, up to the second.

    With `reaches_end` the last of them must be the last event that was written.
    """

    above: int
    last: int
    reaches_end: bool


def listed_range(query: EventQuery, listed: Sequence[int], newest: int) -> ListedRange:
    """Return the range of a page, whose events have these numbers, where `newest` is the highest that there is."""
    is_full = len(listed) == query.limit
    above = (listed[-1] - 1 if is_full else 0) if query.newest_first else query.after
    if is_full and not query.newest_first:
        return ListedRange(above, listed[-1], reaches_end=False)
    if query.newest_first and 0 < query.after <= newest:
        return ListedRange(above, query.after - 1, reaches_end=False)
    return ListedRange(above, newest, reaches_end=True)
