"""What a planner returns: the prompt as it will be, the version that the verb returns, and the change, if any."""

from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from promptreg.models import Action
from promptreg.records import Change, Container, NewEvent, VersionRecord
from promptreg.rules.conflicts import CheckedState, checked_state


class Author(NamedTuple):
    """The id of the actor who makes a change, None for the application, and the time."""

    actor: str | None
    now: str


class Outcome(NamedTuple):
    """The prompt after a verb, the version that the verb returns, and what is to be written.

    If `seed` leaves a version of people live, `kept` is that version, and `version` the draft beside it (rule 22).
    """

    container: Container
    version: VersionRecord
    change: Change | None = None
    kept: VersionRecord | None = None

    @property
    def named(self) -> Container:
        """The prompt under the name that the caller used: before the change, or a new one."""
        return self.container if self.change is None or self.change.before is None else self.change.before

    @property
    def goes_live(self) -> bool:
        """Whether a version becomes production that was never live before, so that it must pass the checks."""
        return self.written is not None and self.written.state == "published"

    @property
    def written(self) -> VersionRecord | None:
        """The version that is new or edited; None where an existing one is published, or none is touched."""
        return None if self.change is None else self.change.added or self.change.edited

    @property
    def checked_state(self) -> CheckedState:
        """What must not change while the checks of this change run (rule 9)."""
        return checked_state(self.container, self.version, self.change)

    @property
    def changes(self) -> tuple[Change, ...]:
        """The change, or nothing."""
        return () if self.change is None else (self.change,)

    def remembering(self, **kept: Any) -> "Outcome":
        """Return the outcome with these values of the prompt besides, which no event is about: `seed` or `synced`."""
        container = self.container._replace(**kept)
        change = self.change and self.change._replace(after=container)
        return self._replace(container=container, change=change)


class Outcomes(NamedTuple):
    """The outcomes of one call about several prompts."""

    outcomes: tuple[Outcome, ...]

    @property
    def changes(self) -> tuple[Change, ...]:
        """The changes of all of them."""
        return tuple(change for outcome in self.outcomes for change in outcome.changes)


def touched(
    before: Container,
    version: VersionRecord,
    event: NewEvent,
    author: Author,
    *,
    after: Container | None = None,
    edited: VersionRecord | None = None,
    published: int | None = None,
    kept_publications: int | None = None,
) -> Outcome:
    """Return the outcome of a change with one event that touches the prompt."""
    publications = before.publications_after(published, kept_publications)
    container = (after or before)._replace(updated_at=author.now, publications=publications)
    change = Change(
        before,
        container,
        (event,),
        author.now,
        edited=edited,
        published=published,
        kept_publications=kept_publications,
    )
    return Outcome(container, version, change)


def unchanged(container: Container, version: VersionRecord, author: Author) -> Outcome:
    """Return an outcome that changes nothing by itself, and is written because of what it remembers."""
    return Outcome(container, version, Change(container, container, (), author.now))


def chained(first: Outcome, second: Outcome) -> Outcome:
    """Return two outcomes as one, of one change; the second was planned on the prompt as the first leaves it.

    Its version is the one that either writes, the second before the first.
    """
    if first.change is None or second.change is None:
        return first if second.change is None else second
    change = as_one([first.change, second.change])
    return Outcome(second.container, first.version if second.written is None else second.version, change)


def as_one(changes: Sequence[Change]) -> Change:
    """Return one change that does to a prompt what a chain of changes would, each planned on the one before.

    Of versions that existed before the chain, at most one is edited or removed, and at most one version is published.
    """
    added = dict[int, VersionRecord]()
    edited = None
    for change in changes:
        if change.added is not None:
            added[change.added.number] = change.added
        if change.edited is not None and change.edited.number in added:
            added[change.edited.number] = change.edited
        elif change.edited is not None:
            edited = change.edited
    versions = [*added.values()]
    return changes[-1]._replace(
        before=changes[0].before,
        events=tuple(event for change in changes for event in change.events),
        added=versions[-1] if versions else None,
        earlier=tuple(versions[:-1]) or None,
        edited=edited,
        removed=_first(change.removed for change in changes),
        published=_first(change.published for change in changes),
        kept_publications=_first(change.kept_publications for change in changes),
    )


def _first(values: Iterable[int | None]) -> int | None:
    return next((value for value in values if value is not None), None)


def new_event(action: Action, author: Author, version: int | None, **details: object) -> NewEvent:
    """Return an event about a version, or with None about the prompt."""
    return NewEvent(action, author.actor, version, details)
