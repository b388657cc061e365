"""What was live when, and when a prompt was disabled or archived, by its events."""

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import NamedTuple

from promptreg.models import Event

BEGINS_LIVE = frozenset({"publish", "rollback"})


class Span(NamedTuple):
    """A time from one moment to another, or None where it goes on."""

    begin: datetime
    end: datetime | None


def live_spans(events: Iterable[Event]) -> Iterator[tuple[int, Span]]:
    """Yield the number of each version that was in production, and when, oldest first; events are oldest first."""
    live, since = None, None
    for event in events:
        if event.action in BEGINS_LIVE and event.version is not None:
            if live is not None and since is not None:
                yield live, Span(since, event.at)
            live, since = event.version, event.at
    if live is not None and since is not None:
        yield live, Span(since, None)


def spans_between(events: Iterable[Event], begins: str, ends: str) -> Iterator[Span]:
    """Yield the times between an event of one action and the next of another; events are oldest first."""
    since = None
    for event in events:
        if event.action == begins and since is None:
            since = event.at
        elif event.action == ends and since is not None:
            yield Span(since, event.at)
            since = None
    if since is not None:
        yield Span(since, None)
