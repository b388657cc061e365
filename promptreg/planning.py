"""The plans of the verbs that write. This is the one place that sets the order of refusals (rule 18).

1. invalid input: `arguments.py` has read the arguments before a plan is made;
2. not found: `lookup.find`;
3. forbidden: `access.require`, right after; in `set_status` the planner, for all prompts at once, because the action
   depends on the status of each;
4. version not found: `lookup.load_version`;
5. status or state, 6. expected version, 7. name taken: the planner in `rules/`, in this order;
8. template, 9. checks: `checks.py`, which `Core.commit` runs on the outcome outside any transaction.

A plan only reads and decides. `Core.commit` calls it on a read, and again within the write transaction if anything was
committed meanwhile.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

from promptreg.arguments import Creation, Publication, Rollback, Save, Seeding, StatusChange, Update
from promptreg.errors import NotFoundError
from promptreg.lookup import find, find_all, find_any, load_shown, load_version
from promptreg.records import Container, VersionRecord
from promptreg.rules import access, lifecycle, publishing, seeding, selection, statuses
from promptreg.rules.access import View
from promptreg.rules.names import Reference, Selector, Versioned
from promptreg.rules.outcomes import Author, Outcome
from promptreg.rules.refusals import not_found
from promptreg.rules.statuses import StatusPlan
from promptreg.rules.version_fields import Draft
from promptreg.storage.base import Reader
from promptreg.storage.finding import find_version

COMPARED = 1_000  # of the newest versions, with which a seed or a file is compared that is to be shown
PAGE = 20


class Planner(NamedTuple):
    """Makes the plans of one call: in this view, as this author."""

    view: View
    author: Author

    def create(self, prompt_id: str, call: Creation, reader: Reader) -> Outcome:
        """Plan `create`."""
        name = call.reference.text
        access.require_creating(self.view.actor, name)
        is_taken = self._is_taken(reader, name)
        return lifecycle.plan_create(prompt_id, self.view.namespace, name, call.draft, self.author, is_taken=is_taken)

    def save(self, prompt_id: str, call: Save, reader: Reader) -> Outcome:
        """Plan `save`: an update, or where there is no prompt a creation."""
        try:
            container = self._find(reader, call.reference, "update", call.draft)
        except NotFoundError:
            return self._create_absent(prompt_id, call.reference, call.initial)
        shown, latest = self._shown_and_latest(reader, container)
        return lifecycle.plan_save(container, shown, latest, call.draft, self.author)

    def seed(self, prompt_id: str, call: Seeding, reader: Reader) -> Outcome:
        """Plan `seed`: a creation, an update, a draft, or nothing."""
        try:
            container = self._find(reader, call.reference, "update")
        except NotFoundError:
            return seeding.made_live(self._create_absent(prompt_id, call.reference, call.initial), call.shipped)
        if seeding.is_settled(container, call.shipped):
            return Outcome(container, load_shown(reader, container))
        shown, latest = self._shown_and_latest(reader, container)
        own = None if container.seed is None else container.seed.draft
        drafted = None if own is None else find_version(reader, container, own)
        versions = seeding.Versions(shown, latest, drafted, _published(reader, container))
        return seeding.plan_seed(container, versions, call.shipped, self.author)

    def _create_absent(self, prompt_id: str, reference: Reference, draft: Draft) -> Outcome:
        """Plan the creation of what `save` or `seed` has not found; raise `NotFoundError` for an id."""
        if reference.is_id:
            raise not_found([reference.text], self.view.namespace)
        access.require_creating(self.view.actor, reference.text)
        return lifecycle.plan_create(prompt_id, self.view.namespace, reference.text, draft, self.author)

    def update(self, call: Update, reader: Reader) -> Outcome:
        """Plan `update`: a new version, or with a version an edit in place."""
        draft, expected = call.draft, call.expected
        if call.selector is not None:
            container, version = self._find_version(reader, call.reference, call.selector, "update")
            return lifecycle.plan_edit(container, version, draft.edit, call.message, self.author, expected)
        container = self._find(reader, call.reference, "update", draft)
        is_taken = draft.name not in {None, container.name} and self._is_taken(reader, draft.name)
        shown, latest = self._shown_and_latest(reader, container)
        return lifecycle.plan_update(container, shown, latest, draft, self.author, expected, is_taken=is_taken)

    def publish(self, call: Publication) -> Callable[[Reader], Outcome]:
        """Return the plan of `publish`.

        It chooses the version once, so a draft that is saved while another is checked is no conflict.
        """
        selector = call.selector

        def plan(reader: Reader) -> Outcome:
            nonlocal selector
            versioned = call.reference, selector
            container, version = self._choose(reader, versioned, "publish", selection.number_to_publish)
            if selector is None:
                selector = version.number
            return publishing.plan_publish(container, version, self.author, call.expected)

        return plan

    def check(self, versioned: Versioned, reader: Reader) -> tuple[Container, VersionRecord]:
        """Find what `check` is about, which needs no more than reading."""
        return self._choose(reader, versioned, "read", selection.number_to_check)

    def check_failed(self, checked: Outcome, reasons: Sequence[str], reader: Reader) -> Outcome:
        """Plan what `publish` writes when the checks fail (rule 9)."""
        reference = Reference(checked.container.id, is_id=True)
        container, version = self._find_version(reader, reference, checked.version.number, "publish")
        return publishing.plan_check_failed(container, version, checked.version, reasons, self.author)

    def rollback(self, call: Rollback, reader: Reader) -> Outcome:
        """Plan `rollback`."""
        container = self._find(reader, call.reference._replace(selector=call.selector), "rollback")
        chosen = None if call.selector is None else load_version(reader, container, call.selector)
        stack = reader.version_numbers(container, "publications")
        previous = load_version(reader, container, stack[-2]) if chosen is None and len(stack) > 1 else None
        return publishing.plan_rollback(container, chosen, previous, stack, call.reason, self.author, call.expected)

    def discard(self, versioned: Versioned, reader: Reader) -> Outcome:
        """Plan `discard`."""
        container, version = self._choose(reader, versioned, "discard", selection.number_to_discard)
        newest = [record.number for record in reader.versions(container, before=None, limit=2)]
        others = [number for number in newest if number != version.number]
        change = lifecycle.plan_discard(container, version, others, self.author)
        shown = lifecycle.after_discard(load_shown(reader, change.subject), version.number)
        return Outcome(change.subject, shown, change)

    def to_discard(self, versioned: Versioned, reader: Reader) -> Outcome:
        """Find the version that `discard` is about; raise what it would refuse."""
        self.discard(versioned, reader)
        return Outcome(*self._choose(reader, versioned, "discard", selection.number_to_discard))

    def to_edit(self, versioned: Versioned, reader: Reader) -> Outcome:
        """Find the version that an edit begins with: the chosen one, or the only draft, or what is live."""
        container, version = self._choose(reader, versioned, "update", selection.number_to_check)
        selection.require_unarchived(container)
        return Outcome(container, version)

    def set_label(self, versioned: tuple[Reference, Selector], label: str, reader: Reader) -> Outcome:
        """Plan `set_label`."""
        container, version = self._find_version(reader, *versioned, "set_label")
        shown = load_shown(reader, container)
        return lifecycle.plan_set_label(container, shown, label, version.number, self.author)

    def remove_label(self, reference: Reference, label: str, reader: Reader) -> Outcome:
        """Plan `remove_label`."""
        container = self._find(reader, reference, "remove_label")
        return lifecycle.plan_remove_label(container, load_shown(reader, container), label, self.author)

    def set_statuses(self, call: StatusChange, reader: Reader) -> StatusPlan:
        """Plan `set_status` of many prompts."""
        containers = find_all(reader, self.view, call.references)
        return statuses.plan_statuses(containers, call.status, self.view.actor, self.author)

    def set_status(self, reference: Reference, status: str, reader: Reader) -> Outcome:
        """Plan `set_status` of one prompt."""
        container = find(reader, self.view, reference)
        changes = statuses.plan_statuses([container], status, self.view.actor, self.author).changes
        shown = load_shown(reader, container)
        return Outcome(changes[0].subject, shown, changes[0]) if changes else Outcome(container, shown)

    def _find(self, reader: Reader, reference: Reference, action: str, draft: Draft | None = None) -> Container:
        """Refuse what is not found, then what the actor may not do: the action, and what a draft renames or grants."""
        container = find(reader, self.view, reference)
        moves = [] if draft is None else draft.moves(container)
        access.require(self.view.actor, [action, *moves], container)
        return container

    def _find_version(
        self, reader: Reader, reference: Reference, selector: Selector, action: str
    ) -> tuple[Container, VersionRecord]:
        container = self._find(reader, reference._replace(selector=selector), action)
        return container, load_version(reader, container, selector)

    def _choose(
        self, reader: Reader, versioned: Versioned, action: str, default: Callable[[Container, Sequence[int]], int]
    ) -> tuple[Container, VersionRecord]:
        """Find the version that a call chooses, or without one what `default` chooses of the unpublished ones."""
        reference, selector = versioned
        if selector is not None:
            return self._find_version(reader, reference, selector, action)
        container = self._find(reader, reference, action)
        unpublished = reader.version_numbers(container, "unpublished")
        return container, load_version(reader, container, default(container, unpublished))

    def _is_taken(self, reader: Reader, name: str | None) -> bool:
        return name is not None and find_any(reader, self.view.namespace, Reference(name, is_id=False)) is not None

    def _shown_and_latest(self, reader: Reader, container: Container) -> tuple[VersionRecord, VersionRecord]:
        return load_shown(reader, container), load_version(reader, container, container.latest_version)


def _published(reader: Reader, container: Container) -> Iterator[VersionRecord]:
    """Yield the published ones of the newest versions, newest first."""
    return (version for version in newest_versions(reader, container) if version.state == "published")


def newest_versions(reader: Reader, container: Container) -> Iterator[VersionRecord]:
    """Yield the newest versions, newest first."""
    before = None
    for _ in range(COMPARED // PAGE):
        page = reader.versions(container, before=before, limit=PAGE)
        yield from page
        if len(page) < PAGE:
            return
        before = page[-1].number
