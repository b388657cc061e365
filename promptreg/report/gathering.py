"""What a report is about: prompts with their versions and events, read as all of them were at one moment.

Everything is read in one read transaction; what is made of it, with templates parsed and versions compared, is made
afterwards, in `showing.py`.
"""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import NamedTuple

from promptreg.core import Core
from promptreg.lookup import find_all
from promptreg.models import Event
from promptreg.records import Container, EventQuery, Query, VersionRecord
from promptreg.rules import access
from promptreg.rules.access import View
from promptreg.rules.inputs import STATUSES
from promptreg.rules.names import Reference
from promptreg.storage.base import Reader
from promptreg.storage.finding import find_version

PAGE = 100  # prompts that are listed at a time
EVERY = 10**9  # versions, or events: more than there are


class Gathered(NamedTuple):
    """A prompt, the versions that are shown, newest first, and all its events, newest first.

    A version that is live or has a label is shown, however old it is. `known` has these versions by number, and those
    that they are compared with; `before` has for each number the next lower one that is known.
    """

    container: Container
    versions: Sequence[VersionRecord]
    known: dict[int, VersionRecord]
    before: dict[int, int]
    events: Sequence[Event]

    @property
    def version_count(self) -> int:
        """How many versions the prompt has: every number was assigned once, and some were discarded."""
        return self.container.last_version - sum(event.action == "discard" for event in self.events)

    def compared_with(self, record: VersionRecord) -> Iterator[tuple[str, int]]:
        """Yield the numbers of the versions that one is compared with, and why, each reason once.

        These are the version before it, its base, and where it is newer what is live.
        """
        live = self.container.production_version
        newer = live if live is not None and live < record.number else None
        previous = self.before.get(record.number)
        for reason, number in (("previous", previous), ("base", record.base_version), ("production", newer)):
            if number in self.known:
                yield reason, number


def gather(core: Core, view: View, references: Sequence[Reference] | None, max_versions: int | None) -> list[Gathered]:
    """Read these prompts, each once in this order, or all that the actor may read, of every status, by their names.

    Raises one `NotFoundError` with every name that is not found.
    """
    most = EVERY if max_versions is None else max_versions
    with core.read() as reader:
        found = _readable(reader, view) if references is None else find_all(reader, view, references)
        return [_gathered(reader, view, container, most) for container in found]


def _readable(reader: Reader, view: View) -> Iterator[Container]:
    query = Query(view.namespace, access.audience(view.actor), STATUSES, PAGE)
    while True:
        page = [container for container, _ in reader.query(query)]
        yield from page
        if len(page) < PAGE:
            return
        query = query._replace(after=page[-1].name)


def _gathered(reader: Reader, view: View, container: Container, most: int) -> Gathered:
    newest = reader.versions(container, before=None, limit=most + 1)  # one more, to compare the oldest with
    shown = newest[:most]
    known = {record.number: record for record in newest}
    for number in _older_in_use(container, shown[-1].number):
        (used, *previous) = reader.versions(container, before=number + 1, limit=2)
        shown.append(used)
        known |= {record.number: record for record in (used, *previous)}
    for number in _compared_with(container, shown) - known.keys():
        record = find_version(reader, container, number)
        if record is not None:
            known[number] = record
    query = EventQuery(view.namespace, access.audience(view.actor), EVERY, prompt_id=container.id, newest_first=True)
    before = dict(pairwise(sorted(known, reverse=True)))
    return Gathered(container, shown, known, before, reader.events(query))


def _older_in_use(container: Container, oldest: int) -> list[int]:
    """Return the numbers of the versions that are live or have a label, and are older than that one, newest first."""
    used = {number for number in container.all_labels().values() if number < oldest}
    return sorted(used, reverse=True)


def _compared_with(container: Container, versions: Sequence[VersionRecord]) -> set[int]:
    """Return the numbers of the versions that these are compared with, besides the ones before them."""
    bases = {record.base_version for record in versions}
    return {number for number in (*bases, container.production_version) if number is not None}
