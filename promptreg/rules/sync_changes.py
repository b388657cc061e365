"""What a synchronisation writes of one prompt, made of the steps of `lifecycle.py`, and what that needs permission for.

Each outcome also stores what was synchronised, outside the versions. What is done of a prompt is decided in
`syncing.py`.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

from promptreg.bases import LIVE, SyncBase
from promptreg.errors import ForbiddenError, listed
from promptreg.models import Actor
from promptreg.records import Container, Snapshot, VersionRecord, is_equal
from promptreg.rules import access, lifecycle, publishing, statuses
from promptreg.rules.access import View
from promptreg.rules.outcomes import Author, Outcome, chained, unchanged
from promptreg.rules.sync_items import WRITING, SyncItem
from promptreg.rules.syncing import Case, File, Synchronisation, content_hash, shown_hash
from promptreg.rules.version_fields import Draft, Edit


class Versions(NamedTuple):
    """The versions that a change of a prompt depends on.

    `live` is what is live, or the latest where nothing is. `equal` returns an existing version with some content.
    """

    live: VersionRecord
    latest: VersionRecord
    equal: Callable[[Snapshot], VersionRecord | None]


class Step(NamedTuple):
    """What is done of one prompt: what was found, what that amounts to, and what is written."""

    case: Case
    item: SyncItem
    outcome: Outcome | None = None


class Changes(NamedTuple):
    """Makes the changes of one call: in this view, as this author."""

    call: Synchronisation
    view: View
    author: Author

    def created(self, prompt_id: str, file: File) -> Outcome:
        """Make the prompt of a file: live, or with a label a draft that the label names."""
        live = self.call.target == LIVE
        made = lifecycle.plan_create(prompt_id, self.view.namespace, file.name, _draft(file, live=live), self.author)
        return self._remembering(made if live else self._labelled(made), file)

    def shown(self, container: Container, file: File, versions: Versions) -> Outcome:
        """Have the registry show what the file says, also of a prompt that a synchronisation archived."""
        return self._remembering(self._shown(container, file, versions), file)

    def drafted(self, container: Container, file: File, versions: Versions) -> Outcome:
        """Make the file a draft beside what the registry shows; people may edit it before it is published."""
        made = self._updated(container, file, versions, live=False)
        return self._kept(made, SyncBase(self.call.source, file.name, 0, content_hash(file)))

    def remembered(self, container: Container, shown: VersionRecord, file: File) -> Outcome | None:
        """Store that the file equals what the registry shows, with no version and no event, and `updated_at` stays.

        None where that is stored already, or the actor may only read the prompt.
        """
        base = SyncBase(self.call.source, file.name, shown.number, content_hash(file))
        is_known = (container.synced or {}).get(self.call.target) == base
        if is_known or not access.may(self.view.actor, "update", container):
            return None
        return self._kept(Outcome(container, shown), base)

    def retired(self, container: Container, shown: VersionRecord, name: str) -> Outcome:
        """Archive the prompt, or remove the label, because its file has gone; and store when."""
        if self.call.target == LIVE:
            change = statuses.change_of(container, "archived", self.author)
            made = Outcome(change.subject, shown, change)
        else:
            made = lifecycle.plan_remove_label(container, shown, self.call.target, self.author)
        base = SyncBase(self.call.source, name, shown.number, shown_hash(shown), archived_at=self.author.now)
        return self._kept(made, base)

    def _shown(self, container: Container, file: File, versions: Versions) -> Outcome:
        """Have the registry show what the file says."""
        if self.call.target != LIVE:
            return self._labelled(self._written(container, file, versions))
        if not container.is_archived:
            return self._updated(container, file, versions, live=True)
        change = statuses.change_of(container, "active", self.author)
        restored = Outcome(change.subject, versions.live, change)
        if is_equal(versions.live.snapshot, file.snapshot):
            return restored
        return chained(restored, self._updated(restored.container, file, versions, live=True))

    def _written(self, container: Container, file: File, versions: Versions) -> Outcome:
        """Make a draft of the file, if no version is equal to it."""
        equal = versions.equal(file.snapshot)
        return self._updated(container, file, versions, live=False) if equal is None else Outcome(container, equal)

    def _updated(self, container: Container, file: File, versions: Versions, *, live: bool) -> Outcome:
        """Make a version of the file; if the newest one is a draft of the same content, that goes live."""
        latest = versions.latest
        if live and latest.state == "draft" and is_equal(latest.snapshot, file.snapshot):
            return publishing.plan_publish(container, latest, self.author)
        draft = _draft(file, live=live)
        return lifecycle.plan_update(container, versions.live, versions.latest, draft, self.author)

    def _labelled(self, written: Outcome) -> Outcome:
        version = written.version
        label = self.call.target
        return chained(
            written, lifecycle.plan_set_label(written.container, version, label, version.number, self.author)
        )

    def _remembering(self, outcome: Outcome, file: File) -> Outcome:
        base = SyncBase(self.call.source, file.name, outcome.version.number, content_hash(file))
        return self._kept(outcome, base)

    def _kept(self, outcome: Outcome, base: SyncBase) -> Outcome:
        """Return an outcome that also stores what was synchronised."""
        if outcome.change is None:
            outcome = unchanged(outcome.container, outcome.version, self.author)
        return outcome.remembering(synced=outcome.container.synchronised(self.call.target, base).synced)


def _draft(file: File, *, live: bool) -> Draft:
    return Draft(Edit(file.snapshot.fields()), file.message, is_production=live)


def required(case: Case, item: SyncItem) -> list[str]:
    """Return the actions that the actor must be allowed for what is done of a prompt."""
    if item.action not in WRITING:
        return []
    if case.container is None:
        return ["create"]
    if item.action in {"archive", "remove_label"}:
        return [item.action]
    return ["restore"] * case.container.is_archived + ["update"]


def require_allowed(actor: Actor | None, steps: Sequence[Step]) -> None:
    """Raise one `ForbiddenError` with every prompt of which the actor is not allowed what is to be written."""
    if actor is None:
        return
    refused = dict[str, list[str]]()
    for case, item, _ in steps:
        for action in required(case, item):
            if not _is_allowed(actor, action, case.container):
                refused.setdefault(action, []).append(item.prompt or item.name)
    if refused:
        raise _forbidden(refused)


def _is_allowed(actor: Actor, action: str, container: Container | None) -> bool:
    return actor.role in access.ALLOWED[action] if container is None else access.may(actor, action, container)


def _forbidden(refused: dict[str, list[str]]) -> ForbiddenError:
    parts = " or ".join(f"{action} {listed(names)}" for action, names in refused.items())
    return ForbiddenError(
        f"The actor may not {parts}; ask for a role or a grant that allows it.",
        names=list(dict.fromkeys(name for names in refused.values() for name in names)),
        action=next(iter(refused)),
    )
