"""The plan of a synchronisation: which prompts it is about, and what is done of each.

All prompts of the folder are found by two statements, and a version is read only of those that have changed since they
were synchronised. Within the write the plan is made again of those alone that are written, so the lock is not held for
the other ones. A prompt that is then found otherwise refuses the call: what was shown is what is done.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from promptreg.bases import place
from promptreg.checks import Checks, SetEvidence
from promptreg.clock import new_id
from promptreg.errors import PromptregError, VersionConflictError, listed
from promptreg.lookup import find_readable, load_shown, load_version
from promptreg.planning import Planner, newest_versions
from promptreg.records import Change, Container, Snapshot, VersionRecord, is_equal
from promptreg.rules import access
from promptreg.rules.inputs import Progress
from promptreg.rules.names import Reference
from promptreg.rules.outcomes import Outcome, Outcomes
from promptreg.rules.sync_changes import Changes, Step, Versions, require_allowed
from promptreg.rules.sync_items import WRITING, SyncItem, SyncPlan
from promptreg.rules.syncing import (
    Case,
    Synchronisation,
    Ties,
    decide,
    is_settled,
    settled,
    shown_hash,
    ties_by_base,
    with_names,
)
from promptreg.rules.together import decide_each
from promptreg.storage.base import Reader
from promptreg.storage.finding import find_version


class Synchronised(NamedTuple):
    """What a synchronisation does: `steps` are those that write, and the outcomes are theirs."""

    plan: SyncPlan
    steps: tuple[Step, ...]

    @property
    def outcomes(self) -> tuple[Outcome, ...]:
        """What is written of each prompt, also if a conflict prevents it."""
        return tuple(step.outcome for step in self.steps if step.outcome is not None)

    @property
    def changes(self) -> tuple[Change, ...]:
        """The changes to write: none where there is a conflict."""
        return () if self.plan.conflicts else Outcomes(self.outcomes).changes


class SyncEvidence(NamedTuple):
    """What the outcomes of a synchronisation were vetted on."""

    evidence: SetEvidence

    @property
    def checked(self) -> tuple[Container, ...]:
        """The prompts of which examples or functions ran."""
        return self.evidence.checked

    def require_names(self, found: Sequence[Container | None]) -> None:
        """Raise `VersionConflictError` with every prompt that was checked and has another name."""
        self.evidence.require_names(found)

    def covers(self, final: Synchronised) -> bool:
        """Return whether what is about to be written was vetted; raise `VersionConflictError` (rule 9)."""
        return self.evidence.covers(Outcomes(final.outcomes))


def synchronise(planner: Planner, call: Synchronisation) -> Callable[[Reader], Synchronised]:
    """Return the plan of a synchronisation; its second run is of what the first one writes, and finds it the same."""
    first: Synchronised | None = None
    ids = dict[str, str]()

    def plan(reader: Reader) -> Synchronised:
        nonlocal first
        if first is None:
            first = _planned(reader, planner, call, ids, _cases(reader, planner, call))
            return first
        again = _planned(reader, planner, call, ids, _cases_again(reader, planner, call, first.steps))
        _require_same(first.steps, again)
        return Synchronised(first.plan, again.steps)

    return plan


def vet_synchronised(checks: Checks, planned: Synchronised, report: Progress) -> SyncEvidence:
    """Compile and check what is written, and report how many prompts are done.

    Raises one error with everything that fails, and the conflicts beside it.
    """
    named = [(step.item.name, step.outcome) for step in planned.steps if step.outcome is not None]
    try:
        return SyncEvidence(checks.vet_each(named, report))
    except PromptregError as error:
        if planned.plan.conflicts and "file" in error.details:  # and so is not one of `report`
            conflicts = [{"name": item.name, "reason": item.reason} for item in planned.plan.conflicts]
            error.details["conflicts"] = conflicts
            error.restate(f"{error.message} Conflicts: {listed([item['name'] for item in conflicts])}.")
        raise


# What the call is about


def _cases(reader: Reader, planner: Planner, call: Synchronisation) -> Iterator[Case]:
    """Yield each file, and each prompt that was synchronised from the folder and has none, in the order of names."""
    synced = reader.synced(planner.view.namespace, call.source)
    ties = ties_by_base(call, [c for c in synced.containers if access.may(planner.view.actor, "read", c)])
    ties = with_names(ties, _found(reader, planner, [name for name in call.files if name not in ties.containers]))
    for name in sorted({*call.files, *ties.containers}):
        is_deleted = place(planner.view.namespace, call.source, call.target, name) in synced.deleted
        yield _case(call, name, ties, is_deleted=is_deleted)


def _found(reader: Reader, planner: Planner, names: Sequence[str]) -> Mapping[str, Container]:
    found = find_readable(reader, planner.view, [Reference(name, is_id=False) for name in names])
    return {name: container for name, container in zip(names, found, strict=True) if container is not None}


def _case(call: Synchronisation, name: str, ties: Ties, *, is_deleted: bool) -> Case:
    container = ties.containers.get(name)
    base = None if container is None else call.base_of(container)
    return Case(name, call.files.get(name), container, base, None, is_deleted, ties.rivals.get(name))


def _cases_again(reader: Reader, planner: Planner, call: Synchronisation, steps: Sequence[Step]) -> Iterator[Case]:
    """Yield the cases of these steps as they are found now."""
    references = [
        Reference(step.case.name, is_id=False)
        if step.case.container is None
        else Reference(step.case.container.id, is_id=True)
        for step in steps
    ]
    for step, container in zip(steps, find_readable(reader, planner.view, references), strict=True):
        base = None if container is None else call.base_of(container)
        yield step.case._replace(container=container, base=base, shown=None)


def _require_same(before: Sequence[Step], again: Synchronised) -> None:
    """Raise `VersionConflictError` with every prompt that is not as it was when the plan was made."""
    found = {step.item.name: step.item for step in again.steps}
    changed = [step.item.name for step in before if found.get(step.item.name) != step.item]
    if changed:
        raise VersionConflictError(
            f"The plan is stale: {listed(changed)} changed in the registry after it was made; synchronise again.",
            expected=len(before),
            actual=len(before) - len(changed),
            names=changed,
        )


# What is done


def _planned(
    reader: Reader, planner: Planner, call: Synchronisation, ids: dict[str, str], cases: Iterator[Case]
) -> Synchronised:
    """Decide each case, then require all permissions, then make all changes."""
    steps = [step for case in cases if (step := _decided(reader, call, case)) is not None]
    require_allowed(planner.view.actor, steps)
    changes = Changes(call, planner.view, planner.author)
    named = [(step.item.name, step) for step in steps]
    made = decide_each(named, lambda step: _with_outcome(reader, changes, ids, step))
    items = tuple(step.item for step in made)
    return Synchronised(SyncPlan(items), tuple(step for step in made if step.outcome is not None))


def _decided(reader: Reader, call: Synchronisation, case: Case) -> Step | None:
    if is_settled(case, call):
        return None if case.file is None else Step(case, settled(case))
    number = None if case.container is None else call.shown_number(case.container)
    if case.container is not None and number is not None:
        case = case._replace(shown=load_version(reader, case.container, number))
    item = decide(case, call)
    return None if item is None else Step(case, _with_content(reader, case, item))


def _with_content(reader: Reader, case: Case, item: SyncItem) -> SyncItem:
    """Return the item with what a difference needs of file and registry, if they are not equal."""
    if item.action == "none":
        return item
    return item._replace(
        ours=None if case.file is None else case.file.snapshot.fields(),
        base=_base_content(reader, case),
        theirs=None if case.shown is None else case.shown.snapshot.fields(),
    )


def _base_content(reader: Reader, case: Case) -> Mapping[str, Any] | None:
    """Return what was last synchronised; None where that version has been edited or discarded since."""
    if case.container is None or case.base is None or case.shown is None:
        return None
    if shown_hash(case.shown) == case.base.hash:
        return case.shown.snapshot.fields()
    record = find_version(reader, case.container, case.base.version)
    is_there = record is not None and shown_hash(record) == case.base.hash
    return record.snapshot.fields() if record is not None and is_there else None


def _with_outcome(reader: Reader, changes: Changes, ids: dict[str, str], step: Step) -> Step:
    outcome = _outcome(reader, changes, ids, step)
    if outcome is None:
        return step
    version = None if step.item.action == "remove_label" else outcome.version.number
    return step._replace(item=step.item._replace(version=version), outcome=outcome)


def _outcome(reader: Reader, changes: Changes, ids: dict[str, str], step: Step) -> Outcome | None:
    case, action = step.case, step.item.action
    file, container, shown = case.file, case.container, case.shown
    if action in {"archive", "remove_label"} and container is not None and shown is not None:
        return changes.retired(container, shown, case.name)
    if file is None:
        return None
    if container is None:
        return changes.created(ids.setdefault(file.name, new_id()), file) if action == "create" else None
    if action == "none":
        return None if shown is None else changes.remembered(container, shown, file)
    if action == "draft":
        return changes.drafted(container, file, _versions(reader, container))
    return changes.shown(container, file, _versions(reader, container)) if action in WRITING else None


def _versions(reader: Reader, container: Container) -> Versions:
    def equal(snapshot: Snapshot) -> VersionRecord | None:
        newest = (version for version in newest_versions(reader, container) if version.state != "failed")
        return next((version for version in newest if is_equal(version.snapshot, snapshot)), None)

    latest = load_version(reader, container, container.latest_version)
    return Versions(load_shown(reader, container), latest, equal)
