"""What `seed` changes of a prompt: what the code ships, beside what people publish (rule 22).

Stored with each prompt is what was last seeded (`records.Seed`). A prompt is *changed by people* if the fields that
were last seeded have other values in what is live, or if it was never seeded. A seed

- changes nothing where it is the same as the last one, is of an earlier release, or finds the prompt archived;
- is only remembered where it equals what is live, or is the same as the last one with a higher release;
- goes live where nothing is live, or nobody has changed what is;
- otherwise becomes a draft beside what people have made, or replaces that, or is refused, as its caller chooses.

The planners return an `Outcome`, as those of `lifecycle.py` and `publishing.py` do, of whose steps they are made.
"""

from collections.abc import Iterable
from typing import NamedTuple

from promptreg.bases import Seed
from promptreg.errors import ConflictError
from promptreg.jsonvalues import digest
from promptreg.records import (
    CONTENT,
    Container,
    Snapshot,
    VersionRecord,
    content_of,
    differing,
    hash_of_fields,
    is_equal,
)
from promptreg.rules import lifecycle, publishing
from promptreg.rules.outcomes import Author, Outcome, unchanged
from promptreg.rules.version_fields import Draft, Edit


class Shipped(NamedTuple):
    """What a call of `seed` ships: an update, its commit message or None, `on_conflict`, and what is remembered."""

    draft: Draft
    message: str | None
    on_conflict: str
    seed: Seed


class Versions(NamedTuple):
    """The versions of a prompt that a seed depends on.

    `shown` is what is live, or the latest where nothing is; `drafted` the draft that the last seed made, if it exists;
    `published` the versions that are or were live, newest first.
    """

    shown: VersionRecord
    latest: VersionRecord
    drafted: VersionRecord | None
    published: Iterable[VersionRecord]


def shipped(draft: Draft, message: str | None, on_conflict: str, release: float | None) -> Shipped:
    """Return what a call ships, with the hash of the fields that it passes."""
    passed = draft.edit.passed
    names = tuple(name for name in CONTENT if name in passed)
    return Shipped(draft, message, on_conflict, Seed(names, hash_of_fields(passed, names), release))


def made_live(outcome: Outcome, call: Shipped) -> Outcome:
    """Return an outcome after which what is shipped is live, and remembered with the prompt."""
    return outcome.remembering(seed=call.seed._replace(version=outcome.version.number))


def is_settled(container: Container, call: Shipped) -> bool:
    """Return whether a seed changes nothing, whatever is live."""
    last, now = container.seed, call.seed
    if container.is_archived or last is None:
        return container.is_archived
    return _is_earlier(now, last) or (_is_same(now, last) and now.release in {None, last.release})


def plan_seed(container: Container, versions: Versions, call: Shipped, author: Author) -> Outcome:
    """Seed a prompt that is not settled. Raises `ConflictError` if the caller prefers that to a draft.

    If only the release is new, it is stored, so that a release between the last one and this one counts as earlier.
    """
    shown, last = versions.shown, container.seed
    if last is not None and _is_same(call.seed, last):
        return unchanged(container, shown, author).remembering(seed=last._replace(release=call.seed.release))
    if container.production_version is None:
        return made_live(lifecycle.plan_update(container, shown, versions.latest, call.draft, author), call)
    snapshot = call.draft.edit.applied_to(shown.snapshot.fields())
    fields = differing(shown.snapshot, snapshot)
    if not fields:
        return made_live(unchanged(container, shown, author), call)
    is_changed = last is None or hash_of_fields(shown.snapshot.fields(), last.fields) != last.hash
    if not is_changed or call.on_conflict == "publish":
        earlier = next((version for version in versions.published if is_equal(version.snapshot, snapshot)), None)
        if earlier is not None:
            return made_live(publishing.plan_publish(container, earlier, author), call)
        return made_live(lifecycle.plan_update(container, shown, versions.latest, call.draft, author), call)
    if call.on_conflict == "error":
        raise _conflict(container, shown, fields)
    return _kept(container, versions, snapshot, call, author)


def conflict_warning(outcome: Outcome) -> str | None:
    """Return the warning about a seed that has kept what people made; None for any other."""
    if outcome.kept is None:
        return None
    name, number, state = outcome.container.name, outcome.version.number, outcome.version.state
    return (
        f"{_circumstances(name, outcome.named.seed)}, so version {outcome.kept.number} stays live; what is seeded now"
        f" is version {number} ({state}), which publish({name!r}, {number}) makes live."
    )


def earlier_notice(outcome: Outcome, call: Shipped) -> str | None:
    """Return the notice about a seed of an earlier release than the last one, which did nothing; None for any other."""
    last, now = outcome.container.seed, call.seed
    if last is None or not _is_earlier(now, last):
        return None
    name = outcome.container.name
    return f"{name!r} was last seeded by release {last.release}, so release {now.release} changes nothing."


def _kept(container: Container, versions: Versions, snapshot: Snapshot, call: Shipped, author: Author) -> Outcome:
    """Keep what is live, and make what is seeded a draft, or edit the one that the last seed made."""
    last, own = container.seed, versions.drafted
    if own is not None and last is not None and own.state != "published" and _draft_hash(own) == last.draft_hash:
        based = own._replace(base_version=versions.shown.number)
        outcome = lifecycle.plan_edit(container, based, Edit(snapshot.fields()), call.message, author)
    else:
        own, draft = None, call.draft._replace(is_production=False)
        outcome = lifecycle.plan_update(container, versions.shown, versions.latest, draft, author)
    seed = call.seed._replace(version=None if last is None else last.version)
    if own is not None or outcome.written is not None:  # not where somebody's latest version equals it
        seed = seed._replace(draft=outcome.version.number, draft_hash=_draft_hash(outcome.version))
    if outcome.change is None:
        outcome = unchanged(container, outcome.version, author)
    return outcome.remembering(seed=seed)._replace(kept=versions.shown)


def _is_earlier(one: Seed, other: Seed) -> bool:
    """Return whether both have the number of a release, and the first has a lower one."""
    return one.release is not None and other.release is not None and one.release < other.release


def _is_same(one: Seed, other: Seed) -> bool:
    return (one.fields, one.hash) == (other.fields, other.hash)


def _draft_hash(version: VersionRecord) -> str:
    return digest([content_of(version.snapshot.fields()), version.commit_message])


def _conflict(container: Container, live: VersionRecord, fields: list[str]) -> ConflictError:
    name = container.name
    return ConflictError(
        f"{_circumstances(name, container.seed)}, and version {live.number}, which is live, differs from what is seeded"
        f" now in {', '.join(fields)}; take it over into what you seed, or pass on_conflict='publish' to replace it.",
        name=name,
        production=live.number,
        fields=fields,
    )


def _circumstances(name: str, last: Seed | None) -> str:
    if last is None or last.version is None:
        return f"{name!r} was made by people"
    return f"{name!r} was changed by people since version {last.version} was seeded"
