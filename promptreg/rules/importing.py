"""What an import from another tool makes: whole prompts, each with all its versions.

Every version is a draft, but for the one that is live in the other tool, which is published: no other one has passed
the checks here. All of a prompt is planned at once, as a chain of outcomes, each of which starts from the one before.
"""

from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Any, NamedTuple

from promptreg.errors import NameTakenError, listed
from promptreg.records import EMPTY, Change, differing
from promptreg.rules.lifecycle import new_version, plan_create, plan_set_label
from promptreg.rules.outcomes import Author, Outcome, Outcomes, new_event
from promptreg.rules.publishing import plan_publish
from promptreg.rules.statuses import plan_statuses
from promptreg.rules.version_fields import Draft


class ForeignVersion(NamedTuple):
    """A version as a reader of another tool's format gives it.

    `fields` are those of `create`, and `where` is the place in what was read.
    """

    fields: Mapping[str, Any]
    where: str
    message: str = ""


class ForeignPrompt(NamedTuple):
    """A prompt as a reader of another tool's format gives it: versions 1, 2, 3 …, labels and status.

    `production` is the number of the live version.
    """

    name: str
    versions: Sequence[ForeignVersion]
    production: int | None = None
    labels: Mapping[str, int] = {}
    is_disabled: bool = False


class NewPrompt(NamedTuple):
    """A prompt that is to be made."""

    name: str
    versions: Sequence[Draft]
    production: int | None
    labels: Mapping[str, int]
    is_disabled: bool


class ImportOutcomes(Outcomes):
    """The outcomes of an import: a chain for each prompt, which is written as one change."""

    __slots__ = ()

    @property
    def changes(self) -> tuple[Change, ...]:
        """The changes, one a prompt."""
        chains = groupby(self.outcomes, key=lambda outcome: outcome.container.id)
        return tuple(_as_one([change for outcome in chain for change in outcome.changes]) for _, chain in chains)


def _as_one(changes: Sequence[Change]) -> Change:
    """Return one change that makes a prompt as a chain of changes would."""
    written = {v.number: v for change in changes for v in (change.added, change.edited) if v is not None}
    *earlier, added = written.values()
    return changes[0]._replace(
        after=changes[-1].after,
        events=tuple(event for change in changes for event in change.events),
        added=added,
        earlier=tuple(earlier) or None,
        published=next((change.published for change in changes if change.published is not None), None),
    )


def plan_import(prompt_id: str, namespace: str, prompt: NewPrompt, author: Author) -> list[Outcome]:
    """Make a prompt with its versions, publish the live one, set its labels, and disable it if it is."""
    first, *others = prompt.versions
    outcomes = [plan_create(prompt_id, namespace, prompt.name, first, author)]
    for draft in others:
        outcomes.append(_next_version(outcomes[-1], draft, author))
    if prompt.production is not None:
        live = outcomes[prompt.production - 1].version
        outcomes.append(plan_publish(outcomes[-1].container, live, author))
    return [*outcomes, *_moves(prompt, outcomes[-1], author)]


def _next_version(before: Outcome, draft: Draft, author: Author) -> Outcome:
    """Make the next version, though it may equal the one before."""
    container, base = before.container, before.version
    number = base.number + 1
    snapshot = draft.edit.applied_to({**EMPTY, "title": container.name})
    version = new_version(number, snapshot, container.name, (), draft, author, base=base.number)
    after = container._replace(latest_version=number, last_version=number)
    fields = differing(base.snapshot, snapshot)
    event = new_event("update", author, number, base=base.number, fields=fields, content_hash=snapshot.content_hash)
    return Outcome(after, version, Change(container, after, (event,), author.now, added=version))


def _moves(prompt: NewPrompt, before: Outcome, author: Author) -> list[Outcome]:
    """Set the labels and the status."""
    outcomes, shown = [before], before.version
    for label, number in sorted(prompt.labels.items()):
        outcomes.append(plan_set_label(outcomes[-1].container, shown, label, number, author))
    if prompt.is_disabled:
        (change,) = plan_statuses([outcomes[-1].container], "disabled", None, author).changes
        outcomes.append(Outcome(change.subject, shown, change))
    return outcomes[1:]


def names_taken(names: list[str]) -> NameTakenError:
    """Return the error for names that prompts of the namespace have already."""
    is_one = "A prompt of the name" if len(names) == 1 else "Prompts of these names"
    return NameTakenError(
        f"Nothing was imported: {is_one} {'exists' if len(names) == 1 else 'exist'} already: {listed(names)};"
        " import into another namespace, or delete or rename what is there.",
        name=names[0],
        names=names,
    )
