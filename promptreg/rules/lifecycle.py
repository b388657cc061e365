"""What each verb changes of a prompt and its versions (rules 1 to 10): decisions, which a storage carries out.

A version is `draft`, `failed` or `published`:

    create, update ──(is_production)──────────────────────▶ published
          └──────────▶ draft ──publish, checks pass────────▶ published
                         │ ▲
            checks fail  ▼ │ edit
                        failed

What goes live, and back, is decided in `publishing.py`.

Each planner takes what is stored and what was asked for. It refuses, in the order of rule 18, what the status of the
prompt, the state of the version, the caller's expectations and taken names forbid; finding the prompt and checking
permissions is done before. It returns an `Outcome`: the prompt as it will be, the version that the verb returns, and
the `Change`, which is None where nothing is written.
"""

from collections.abc import Sequence

from promptreg.errors import ConflictError
from promptreg.jsonvalues import FrozenDict
from promptreg.models import Action, Grant
from promptreg.records import EMPTY, Change, Container, NewEvent, Snapshot, VersionRecord, differing, is_equal
from promptreg.rules.conflicts import require_expected
from promptreg.rules.inputs import ANYTHING, Expected
from promptreg.rules.outcomes import Author, Outcome, new_event, touched
from promptreg.rules.publishing import plan_publish
from promptreg.rules.refusals import name_taken, not_modifiable
from promptreg.rules.selection import number_of, require_unarchived
from promptreg.rules.version_fields import Draft, Edit

MAX_LABELS = 1_000  # of a prompt, in one row


def plan_create(
    prompt_id: str, namespace: str, name: str, draft: Draft, author: Author, *, is_taken: bool = False
) -> Outcome:
    """Make a prompt with its version 1 (rules 1 and 2). Raises `NameTakenError`."""
    if is_taken:
        raise name_taken(name)
    grants = draft.grants or ()
    snapshot = draft.edit.applied_to({**EMPTY, "title": name})
    version = new_version(1, snapshot, name, grants, draft, author, base=None)
    container = Container(
        id=prompt_id,
        namespace=namespace,
        name=name,
        is_archived=False,
        is_disabled=False,
        access_grants=grants,
        labels=FrozenDict(),
        production_version=1 if draft.is_production else None,
        latest_version=1,
        last_version=1,
        created_by=author.actor,
        created_at=author.now,
        updated_at=author.now,
        publications=int(draft.is_production),
    )
    events = [new_event("create", author, 1, content_hash=snapshot.content_hash)]
    events += [_grant_event(container, author)] if grants else []
    events += [new_event("publish", author, 1, previous=0)] if draft.is_production else []
    change = Change(None, container, tuple(events), author.now, added=version, published=container.production_version)
    return Outcome(container, version, change)


def plan_update(
    container: Container,
    base: VersionRecord,
    latest: VersionRecord,
    draft: Draft,
    author: Author,
    expected: Expected = ANYTHING,
    *,
    is_taken: bool = False,
) -> Outcome:
    """Make one new version from the base if anything differs, otherwise nothing (rules 1 to 3).

    Raises `NotModifiableError` for an archived prompt, `VersionConflictError` and `NameTakenError`.
    """
    require_unarchived(container)
    require_expected(container, base, expected)
    if is_taken and draft.name is not None:
        raise name_taken(draft.name)
    return _updated(container, base, latest, draft, author)


def plan_save(
    container: Container, base: VersionRecord, latest: VersionRecord, draft: Draft, author: Author
) -> Outcome:
    """Do what `plan_update` does. An archived prompt is refused only where something differs."""
    outcome = _updated(container, base, latest, draft, author)
    if outcome.change is not None:
        require_unarchived(container)
    return outcome


def _updated(container: Container, base: VersionRecord, latest: VersionRecord, draft: Draft, author: Author) -> Outcome:
    """Return the outcome of an update that nothing forbids.

    A draft is compared with the latest version first. Where nothing is live, a base that equals what was asked for is
    published.
    """
    snapshot = draft.edit.applied_to(base.snapshot.fields())
    moves = draft.moves(container)
    if not (moves or draft.is_production) and is_equal(latest.snapshot, snapshot):
        return Outcome(container, latest)
    fields = differing(base.snapshot, snapshot)
    if not (moves or fields):
        if container.production_version is None and draft.edit.passed:  # an equal draft is returned above
            return plan_publish(container, base, author)
        return Outcome(container, base)
    number = container.last_version + 1
    name = draft.name or container.name
    grants = container.access_grants if draft.grants is None else draft.grants
    published = number if draft.is_production else None
    after = container._replace(
        name=name,
        access_grants=grants,
        production_version=number if draft.is_production else container.production_version,
        latest_version=number,
        last_version=number,
        updated_at=author.now,
        publications=container.publications_after(published),
    )
    version = new_version(number, snapshot, name, grants, draft, author, base=base.number)
    events = [new_event("update", author, number, base=base.number, fields=fields, content_hash=snapshot.content_hash)]
    if "rename" in moves:
        events.append(new_event("rename", author, number, previous=container.name, to=name))
    if "grant" in moves:
        events.append(_grant_event(after, author, number))
    if draft.is_production:
        events.append(new_event("publish", author, number, previous=container.production_version or 0))
    change = Change(container, after, tuple(events), author.now, added=version, published=published)
    return Outcome(after, version, change)


def plan_edit(
    container: Container,
    version: VersionRecord,
    edit: Edit,
    message: str | None,
    author: Author,
    expected: Expected = ANYTHING,
) -> Outcome:
    """Change a draft or failed version in place; it is a draft afterwards (rule 7).

    Raises `NotModifiableError` for an archived prompt or a published version, and `VersionConflictError`.
    """
    require_unarchived(container)
    require_modifiable(container, version)
    require_expected(container, version, expected)
    snapshot = edit.applied_to(version.snapshot.fields())
    text = version.commit_message if message is None else message
    fields = differing(version.snapshot, snapshot) + ["commit_message"] * (text != version.commit_message)
    if not fields:
        return Outcome(container, version)
    edited = version._replace(snapshot=snapshot, commit_message=text, state="draft", failure=None)
    event = new_event("edit", author, version.number, fields=fields, content_hash=snapshot.content_hash)
    return touched(container, edited, event, author, edited=edited)


def plan_discard(container: Container, version: VersionRecord, others: Sequence[int], author: Author) -> Change:
    """Discard a draft or failed version; its number is not used again (rule 10).

    `others` are the numbers of other versions, the highest included. Raises `NotModifiableError` for an archived prompt
    or a published version, `ConflictError` for a version that is labelled or the only one.
    """
    require_unarchived(container)
    require_modifiable(container, version)
    labels = sorted(label for label, number in container.labels.items() if number == version.number)
    if labels:
        raise ConflictError(
            f"Version {version.number} of {container.name!r} is labelled {', '.join(labels)};"
            " move or remove the label first."
        )
    if not others:
        raise ConflictError(
            f"Version {version.number} is the only one of {container.name!r}; delete() removes the prompt."
        )
    after = container._replace(latest_version=max(others), updated_at=author.now)
    event = new_event("discard", author, version.number)
    return Change(container, after, (event,), author.now, removed=version.number)


def after_discard(version: VersionRecord, removed: int) -> VersionRecord:
    """Return a version as it is read after another one was discarded: without a base where that was the base."""
    return version._replace(base_version=None) if version.base_version == removed else version


def plan_set_label(container: Container, shown: VersionRecord, label: str, number: int, author: Author) -> Outcome:
    """Move a label to a version. Raises `NotModifiableError` for an archived prompt, `ConflictError` for too many."""
    require_unarchived(container)
    if container.labels.get(label) == number:
        return Outcome(container, shown)
    if label not in container.labels and len(container.labels) >= MAX_LABELS:
        raise ConflictError(
            f"{container.name!r} has {len(container.labels):,} labels, and {MAX_LABELS:,} is the most;"
            " remove_label() makes room."
        )
    return _labelled(container, shown, label, number, author)


def plan_remove_label(container: Container, shown: VersionRecord, label: str, author: Author) -> Outcome:
    """Remove a label. Raises `VersionNotFoundError` where it is absent, `NotModifiableError` for an archived prompt."""
    number_of(container, label)
    require_unarchived(container)
    return _labelled(container, shown, label, None, author)


def _labelled(container: Container, shown: VersionRecord, label: str, number: int | None, author: Author) -> Outcome:
    previous = container.labels.get(label) or 0
    kept = {name: at for name, at in container.labels.items() if name != label}
    labels = FrozenDict(kept if number is None else {**kept, label: number})
    action: Action = "remove_label" if number is None else "set_label"
    event = new_event(action, author, number or previous, label=label, previous=previous)
    return touched(container, shown, event, author, after=container._replace(labels=labels))


def require_modifiable(container: Container, version: VersionRecord) -> None:
    """Raise `NotModifiableError` for a version that is published (rule 7)."""
    if version.state == "published":
        raise not_modifiable(container, version)


def new_version(
    number: int,
    snapshot: Snapshot,
    name: str,
    grants: tuple[Grant, ...],
    draft: Draft,
    author: Author,
    *,
    base: int | None,
) -> VersionRecord:
    """Return a version that is made now; `base` is the number of the one that it starts from."""
    return VersionRecord(
        number=number,
        state="published" if draft.is_production else "draft",
        snapshot=snapshot,
        name=name,
        access_grants=grants,
        commit_message=draft.message,
        author=author.actor,
        base_version=base,
        created_at=author.now,
        published_at=author.now if draft.is_production else None,
    )


def _grant_event(container: Container, author: Author, version: int = 1) -> NewEvent:
    grants = [f"{grant.principal} {grant.permission}" for grant in container.access_grants]
    return new_event("grant", author, version, grants=grants)
