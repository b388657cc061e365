"""What each verb means for a prompt and its versions (rules 1 to 10), decided and not done.

A version is `draft`, `failed` or `published`, and only ever moves to the right of that:

    create, update ──(is_production)──────────────────────▶ published
          └──────────▶ draft ──publish, checks pass────────▶ published
                         │ ▲
            checks fail  ▼ │ edit
                        failed

Every planner takes what is stored and what was asked for, and gives an `Outcome`: the prompt as it
is to be, the version that the caller gets, and the `Change`, or None where nothing is written.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from promptreg.errors import (
    LISTED,
    ConflictError,
    NameTakenError,
    NoProductionVersionError,
    NotFoundError,
    NotModifiableError,
    VersionNotFoundError,
    listed,
)
from promptreg.jsonvalues import FrozenDict, FrozenList
from promptreg.models import Action, Grant
from promptreg.records import EMPTY, Change, Container, NewEvent, Snapshot, VersionRecord, differing, is_equal
from promptreg.rules.conflicts import Sight, sight
from promptreg.rules.edits import Draft, Edit
from promptreg.rules.names import Selector

MAX_LABELS = 1_000  # of a prompt, whose row holds them all


class Author(NamedTuple):
    """Who writes, and when."""

    actor: str | None
    now: str


class Outcome(NamedTuple):
    """What a verb comes to: the prompt afterwards, the version given back, and what to write."""

    container: Container
    version: VersionRecord
    change: Change | None = None

    @property
    def named(self) -> Container:
        """Return the prompt as its caller named it: as it is before the change, or a new one."""
        return self.container if self.change is None or self.change.before is None else self.change.before

    @property
    def goes_live(self) -> bool:
        """Return whether a version becomes production that was never live before, so that it must be checked."""
        written = () if self.change is None else (self.change.added, self.change.edited)
        return any(version is not None and version.state == "published" for version in written)

    @property
    def sight(self) -> Sight:
        """Return what the checks of this change look at."""
        return sight(self.container, self.version, self.change)

    @property
    def changes(self) -> tuple[Change, ...]:
        """Give the change, if there is one."""
        return () if self.change is None else (self.change,)


def number_of(container: Container, selector: Selector | None) -> int:
    """Give the number that a selector means; None is production. The version itself may not exist."""
    if isinstance(selector, int):
        return selector
    label = "production" if selector is None else selector
    number = container.all_labels().get(label)
    if number is not None:
        return int(number)
    if label == "production":
        raise NoProductionVersionError(
            f"No version of {container.name!r} is in production; publish one, or choose one with version=.",
            name=container.name,
            version=None,
        )
    raise version_not_found(container, label)


def not_found(names: list[str], namespace: str, *, near: Mapping[str, str] | None = None) -> NotFoundError:
    """Return the error for names that are not there, or not for this actor; `near` are those that may be meant."""
    pairs = [f"{other!r} for {name!r}" if len(names) > 1 else repr(other) for name, other in (near or {}).items()]
    meant = f" did you mean {', '.join(pairs)}?" if pairs else ""
    is_one = "is no prompt" if len(names) == 1 else "are no prompts"
    return NotFoundError(
        f"There {is_one} {listed(names)} in the namespace {namespace!r};{meant} list() shows those that there are.",
        names=names,
    )


def version_not_found(container: Container, selector: Selector, *, near: str | None = None) -> VersionNotFoundError:
    """Return the error for a version or label that the prompt does not have (rule 8); `near` may be meant."""
    if isinstance(selector, int):
        found = f"no version {selector}; its latest is {container.latest_version}, and history() lists them"
    else:
        meant = "" if near is None else f" (did you mean {near!r}?)"
        found = f"no label {selector!r}{meant}; it has {listed(sorted(container.all_labels()))}"
    return VersionNotFoundError(f"{container.name!r} has {found}.", name=container.name, version=selector)


def number_to_publish(container: Container, unpublished: Sequence[int]) -> int:
    """Return the number that `publish` means without a version: the one draft, or what is live already (rule 5)."""
    if unpublished:
        return _only(container, unpublished)
    if container.production_version != container.latest_version:
        raise ConflictError(
            f"{container.name!r} has no draft to publish: version {container.production_version} is live, and version"
            f" {container.latest_version}, the latest, was live before; choose one with version=.",
            name=container.name,
            versions=[],
        )
    return container.latest_version


def number_to_discard(container: Container, unpublished: Sequence[int]) -> int:
    """Return the number that `discard` means without a version: the one draft or failed version (rule 5)."""
    if not unpublished:
        raise ConflictError(
            f"{container.name!r} has no draft or failed version to discard.", name=container.name, versions=[]
        )
    return _only(container, unpublished)


def _only(container: Container, unpublished: Sequence[int]) -> int:
    if len(unpublished) > 1:
        shown = ", ".join(map(str, sorted(unpublished)[:LISTED]))
        more = f" and {len(unpublished) - LISTED} more" if len(unpublished) > LISTED else ""
        raise ConflictError(
            f"{container.name!r} has several drafts or failed versions: {shown}{more}; choose one with version=.",
            name=container.name,
            versions=sorted(unpublished),
        )
    return unpublished[0]


def require_unarchived(container: Container) -> None:
    """Refuse any change to an archived prompt (rule 14)."""
    if container.is_archived:
        raise archived([container.name])


def archived(names: list[str]) -> NotModifiableError:
    """Give the refusal to change archived prompts."""
    return NotModifiableError(
        f"Archived, so nothing of it can be changed: {listed(names)}; restore() it first.",
        code="prompt_archived",
        names=names,
        state="archived",
    )


def name_taken(name: str) -> NameTakenError:
    """Give the refusal of a name that another prompt has."""
    advice = "choose another name, or change that one with save()"
    return NameTakenError(f"Another prompt is named {name!r}; {advice}.", name=name)


def plan_create(prompt_id: str, namespace: str, name: str, draft: Draft, author: Author) -> Outcome:
    """Make a prompt with its version 1 (rules 1 and 2)."""
    grants = draft.grants or ()
    snapshot = draft.edit.applied_to({**EMPTY, "title": name})
    version = _new_version(1, snapshot, name, grants, draft, author, base=None)
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
    events = [_event("create", author, 1, content_hash=snapshot.content_hash)]
    events += [_grant_event(container, author)] if grants else []
    events += [_event("publish", author, 1, previous=0)] if draft.is_production else []
    change = Change(None, container, tuple(events), author.now, added=version, published=container.production_version)
    return Outcome(container, version, change)


def plan_update(
    container: Container, base: VersionRecord, latest: VersionRecord, draft: Draft, author: Author
) -> Outcome:
    """Make one new version over the base if anything differs; else nothing (rules 1 to 3).

    A draft is compared with the latest version first. Where nothing is live, a base that says what was asked for
    goes live itself.
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
    version = _new_version(number, snapshot, name, grants, draft, author, base=base.number)
    events = [_event("update", author, number, base=base.number, fields=fields, content_hash=snapshot.content_hash)]
    if "rename" in moves:
        events.append(_event("rename", author, number, previous=container.name, to=name))
    if "grant" in moves:
        events.append(_grant_event(after, author, number))
    if draft.is_production:
        events.append(_event("publish", author, number, previous=container.production_version or 0))
    change = Change(container, after, tuple(events), author.now, added=version, published=published)
    return Outcome(after, version, change)


def plan_edit(container: Container, version: VersionRecord, edit: Edit, message: str | None, author: Author) -> Outcome:
    """Change a draft or failed version in place; it is a draft afterwards (rule 7)."""
    snapshot = edit.applied_to(version.snapshot.fields())
    text = version.commit_message if message is None else message
    fields = differing(version.snapshot, snapshot) + ["commit_message"] * (text != version.commit_message)
    if not fields:
        return Outcome(container, version)
    edited = version._replace(snapshot=snapshot, commit_message=text, state="draft", failure=None)
    event = _event("edit", author, version.number, fields=fields, content_hash=snapshot.content_hash)
    return _touched(container, edited, event, author, edited=edited)


def plan_publish(container: Container, version: VersionRecord, author: Author) -> Outcome:
    """Make this version production and push it on the stack; what is live already stays (rules 4 and 5)."""
    if container.production_version == version.number:
        return Outcome(container, version)
    event = _event("publish", author, version.number, previous=container.production_version or 0)
    after = container._replace(production_version=version.number)
    if version.state == "published":
        return _touched(container, version, event, author, after=after, published=version.number)
    live = version._replace(state="published", published_at=author.now, failure=None)
    return _touched(container, live, event, author, after=after, edited=live, published=version.number)


def plan_check_failed(
    container: Container,
    version: VersionRecord,
    checked: VersionRecord,
    reasons: Sequence[str],
    author: Author,
) -> Outcome:
    """Mark a draft or failed version as failed, if it still has the content that was checked (rule 9)."""
    if version.state == "published" or version.snapshot.content_hash != checked.snapshot.content_hash:
        return Outcome(container, version)
    failed = version._replace(state="failed", failure=FrozenList(reasons))
    event = _event("check_failed", author, version.number, reasons=list(reasons))
    return _touched(container, failed, event, author, edited=failed)


def rollback_depth(container: Container, target: VersionRecord | None, stack: Sequence[int]) -> int | None:
    """Give how many publications stay on the stack; None where the target must be pushed (rule 5)."""
    if target is None:
        if len(stack) < 2:
            raise ConflictError(f"Nothing was in production before this version of {container.name!r}.")
        return len(stack) - 1
    if target.state != "published":
        raise ConflictError(f"Version {target.number} of {container.name!r} was never published; publish() it instead.")
    depths = [depth for depth, number in enumerate(stack, start=1) if number == target.number]
    return depths[-1] if depths else None


def plan_rollback(
    container: Container, target: VersionRecord, depth: int | None, reason: str, author: Author
) -> Outcome:
    """Bring an earlier published version back into production (rule 5)."""
    if target.number == container.production_version:
        return Outcome(container, target)
    event = _event("rollback", author, target.number, previous=container.production_version or 0, reason=reason)
    after = container._replace(production_version=target.number)
    if depth is None:
        return _touched(container, target, event, author, after=after, published=target.number)
    return _touched(container, target, event, author, after=after, kept_publications=depth)


def plan_discard(container: Container, version: VersionRecord, others: Sequence[int], author: Author) -> Change:
    """Throw away a draft or failed version that nothing points at (rule 10); its number stays used."""
    require_modifiable(container, version)
    labels = sorted(label for label, number in container.labels.items() if number == version.number)
    if labels:
        raise ConflictError(
            f"Version {version.number} of {container.name!r} is labelled {', '.join(labels)};"
            " move or remove the label first."
        )
    if not others:
        raise ConflictError(
            f"Version {version.number} is the only one of {container.name!r};"
            " set_status(…, 'deleted') removes the prompt."
        )
    after = container._replace(latest_version=max(others), updated_at=author.now)
    event = _event("discard", author, version.number)
    return Change(container, after, (event,), author.now, removed=version.number)


def after_discard(version: VersionRecord, removed: int) -> VersionRecord:
    """Return a version as it reads once another one is discarded: without a base, where that was its base."""
    return version._replace(base_version=None) if version.base_version == removed else version


def plan_label(container: Container, shown: VersionRecord, label: str, number: int | None, author: Author) -> Outcome:
    """Move a label to a version, or with None take it away."""
    previous = container.labels.get(label)
    if previous == number:
        return Outcome(container, shown)
    kept = {name: at for name, at in container.labels.items() if name != label}
    if number is not None and len(kept) >= MAX_LABELS:
        raise ConflictError(
            f"{container.name!r} has {len(kept):,} labels, and {MAX_LABELS:,} is the most; remove_label() makes room."
        )
    labels = FrozenDict(kept if number is None else {**kept, label: number})
    action: Action = "remove_label" if number is None else "set_label"
    event = _event(action, author, number or previous, label=label, previous=previous or 0)
    return _touched(container, shown, event, author, after=container._replace(labels=labels))


def _touched(
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


def require_modifiable(container: Container, version: VersionRecord) -> None:
    """Refuse to change a version that is published (rule 7)."""
    if version.state == "published":
        raise NotModifiableError(
            f"Version {version.number} of {container.name!r} is published, so it can't be changed or discarded;"
            " update() without version= makes a new one.",
            names=[container.name],
            state=version.state,
        )


def _new_version(
    number: int,
    snapshot: Snapshot,
    name: str,
    grants: tuple[Grant, ...],
    draft: Draft,
    author: Author,
    *,
    base: int | None,
) -> VersionRecord:
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


def _event(action: Action, author: Author, version: int | None, **details: object) -> NewEvent:
    return NewEvent(action, author.actor, version, details)


def _grant_event(container: Container, author: Author, version: int = 1) -> NewEvent:
    grants = [f"{grant.principal} {grant.permission}" for grant in container.access_grants]
    return _event("grant", author, version, grants=grants)
