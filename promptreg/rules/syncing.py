"""What a synchronisation does of one prompt: the file, what the registry shows, and what was last synchronised.

The three are compared by content, never by a stored hash of a version:

    no prompt, or nothing to show       create
    file = registry                     nothing, and what was last synchronised moves
    file changed, registry not          update
    registry changed, file not          the registry is ahead: left, or `pull`
    both changed, or never compared     a conflict, which the caller decides: the file, the registry, or a draft
    file gone, registry not changed     archive, or with a label remove it; registry changed: a conflict
    file back                           restore what was archived by a synchronisation

What people archived, deleted, restored or took a label from is left as it is. A conflict prevents the whole call.

`decide` returns which line a prompt is on. What is then written is in `sync_changes.py`.
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from promptreg.bases import LIVE, SyncBase
from promptreg.jsonvalues import hashed
from promptreg.records import Container, Snapshot, VersionRecord, content_text, is_equal
from promptreg.rules.sync_items import SyncAction, SyncItem

EQUAL = "file and registry are equal"
_OURS, _THEIRS = "on_conflict='ours'", "on_conflict='theirs'"


class File(NamedTuple):
    """A file, read: its name in the folder, all its content, and its commit message."""

    name: str
    snapshot: Snapshot
    message: str


class Synchronisation(NamedTuple):
    """The arguments of a synchronisation: the files by name; `target` is a label, or `LIVE`."""

    source: str
    target: str
    files: Mapping[str, File]
    on_conflict: str
    pulls: bool
    is_dry_run: bool

    def base_of(self, container: Container) -> SyncBase | None:
        """Return what was last synchronised of a prompt for the target from this folder."""
        base = (container.synced or {}).get(self.target)
        return None if base is None or base.source != self.source else base

    def shown_number(self, container: Container) -> int | None:
        """Return the number of the version that the files are compared with; None where there is none."""
        return container.production_version if self.target == LIVE else container.labels.get(self.target)


class Case(NamedTuple):
    """A prompt as a synchronisation finds it: `file` or `container` is None where there is none.

    `base` is what was last synchronised from this folder, and `shown` what the registry shows for the target. `rival`
    is the name of another file that is tied to the same prompt.
    """

    name: str
    file: File | None
    container: Container | None = None
    base: SyncBase | None = None
    shown: VersionRecord | None = None
    is_deleted: bool = False
    rival: str | None = None


class Ties(NamedTuple):
    """The prompts by the names that they have in the folder, and for a file without one its rival, by name."""

    containers: Mapping[str, Container]
    rivals: Mapping[str, str]


# Which prompt a file is of


def ties_by_base(call: Synchronisation, placed: Iterable[Container]) -> Ties:
    """Tie the prompts that were synchronised from the folder to the names that they have there.

    A prompt keeps the name of its file when it is renamed in the registry. Where that file has gone and there is one
    of its new name, the file was renamed too. Of several with one name it is the one that is not archived, or was last.
    """
    ordered = sorted(placed, key=lambda container: _claim(call, container))
    own = {base.name: container for container in ordered if (base := call.base_of(container))}
    gone = [name for name in own if name not in call.files]
    moved = {target: container for name in gone for target, container in _moved(call, own, name).items()}
    ids = {container.id for container in moved.values()}
    kept = {name: container for name, container in own.items() if container.id not in ids}
    return Ties({**kept, **moved}, {})


def _moved(call: Synchronisation, own: Mapping[str, Container], name: str) -> Mapping[str, Container]:
    """Return the prompts whose files were renamed as they were, by the new names, from the file `name`, which has gone.

    A new name may be the old one of another prompt that was renamed as well, and so on (a → b, b → c). They are
    followed together, where each has a file of its new name, and otherwise not at all. No name occurs twice, because
    no two prompts have one name and the first file has gone.
    """
    moved = dict[str, Container]()
    while (container := own[name]).name in call.files:
        name = container.name
        moved[name] = container
        owner = own.get(name)
        if owner is None or owner.is_archived:
            return moved
        if container.is_archived:  # which takes no name from a prompt that is in use
            break
    return {}


def _claim(call: Synchronisation, container: Container) -> tuple[bool, str]:
    """Return what orders prompts by their claim to a name, the best one last."""
    base = call.base_of(container)
    return not container.is_archived, (base and base.archived_at) or ""


def with_names(ties: Ties, found: Mapping[str, Container]) -> Ties:
    """Tie the other files to the prompts of the same name; one that another file is tied to has two, a conflict."""
    owners = {container.id: name for name, container in ties.containers.items()}
    tied, rivals = dict(ties.containers), dict(ties.rivals)
    for name, container in found.items():
        owner = owners.get(container.id)
        tied[name] = container
        if owner is not None:
            rivals |= {name: owner, owner: name}
    return Ties(tied, rivals)


# What is done


def is_settled(case: Case, call: Synchronisation) -> bool:
    """Return whether nothing is to be done, without reading any version: all is as it was last synchronised.

    The version that is live was published when it was synchronised, so it has not changed since.
    """
    file, container, base = case.file, case.container, case.base
    if container is None or base is None or case.rival is not None:
        return False
    if file is None:
        return container.is_archived
    is_as_before = base == SyncBase(call.source, file.name, container.production_version or 0, content_hash(file))
    return call.target == LIVE and is_as_before and base.version > 0 and not container.is_archived


def settled(case: Case) -> SyncItem:
    """Return that nothing is done of a settled prompt."""
    number = case.container and case.container.production_version
    return _item(case, "none", EQUAL)._replace(version=number)


def content_hash(file: File) -> str:
    """Return the hash of the content of a file, which was just read."""
    return file.snapshot.content_hash


def decide(case: Case, call: Synchronisation) -> SyncItem | None:
    """Return what is done of a prompt, and why; None of one that has no file and is left as it is."""
    if case.rival is not None:
        return _item(case, "conflict", f"its file and that of {case.rival!r} are both this prompt; keep one of them")
    if case.file is None:
        return _without_file(case, call)
    if case.container is None:
        return _without_prompt(case, call)
    if case.container.is_archived:
        return _archived(case, call)
    if case.shown is None:
        return _not_shown(case, call)
    return _compared(case, case.file, case.shown, call)


def _without_prompt(case: Case, call: Synchronisation) -> SyncItem:
    if case.is_deleted and call.on_conflict != "ours":
        reason = "it was deleted in the registry since it was synchronised"
        return _item(case, "left", f"{reason}; {_OURS} creates it again")
    return _item(case, "create", "it is new")


def _archived(case: Case, call: Synchronisation) -> SyncItem:
    """Restore what a synchronisation of this folder archived, if nobody has since; it does so without a label."""
    container = case.container
    live = ((container and container.synced) or {}).get(LIVE)
    if container is None or live is None or live.archived_at != container.updated_at:
        return _item(case, "left", "it is archived, and not by a synchronisation; restore() it first")
    if live.source != call.source:
        return _item(case, "left", "it was archived by a synchronisation of another folder; restore() it first")
    if call.target != LIVE:
        return _item(case, "left", "it was archived because its file had gone; synchronise without a label first")
    return _item(case, "restore", "its file is back")


def _not_shown(case: Case, call: Synchronisation) -> SyncItem:
    if case.base is None or call.target == LIVE:
        return _item(case, "create", f"nothing is {_shown_as(call)} yet")
    if case.base.archived_at is not None:
        return _item(case, "restore", "its file is back")
    if call.on_conflict == "ours":
        return _item(case, "restore", "its label was removed in the registry")
    return _item(case, "left", f"its label {call.target!r} was removed in the registry; {_OURS} sets it again")


def _compared(case: Case, file: File, shown: VersionRecord, call: Synchronisation) -> SyncItem:
    if is_equal(file.snapshot, shown.snapshot):
        return _item(case, "none", EQUAL)
    if case.base is None:
        return _conflict(case, call, f"it differs from what is {_shown_as(call)}, and {_never(case, call)}")
    has_file_changed = content_hash(file) != case.base.hash
    has_registry_changed = shown_hash(shown) != case.base.hash
    if has_file_changed and has_registry_changed:
        return _conflict(case, call, "its file and the registry have both changed since they were synchronised")
    if has_file_changed:
        return _item(case, "update", "its file has changed")
    return _ahead(case, shown, call)


def _ahead(case: Case, shown: VersionRecord, call: Synchronisation) -> SyncItem:
    """Return the item of a registry that is ahead: of a file that became a draft, a conflict that is yet undecided."""
    if case.base is not None and case.base.version == 0:
        return _put_off(case, shown, call)
    if call.pulls:
        return _item(case, "pull", "the registry is ahead")
    shown_as = f"version {shown.number} is {_shown_as(call)}"
    return _item(case, "ahead", f"the registry is ahead: {shown_as}, and pull=True writes it to the file")


def _put_off(case: Case, shown: VersionRecord, call: Synchronisation) -> SyncItem:
    if call.on_conflict in {"ours", "theirs"}:
        return _conflict(case, call, f"the file became a draft, and another version is {_shown_as(call)}")
    shown_as = f"version {shown.number} is {_shown_as(call)}"
    return _item(case, "ahead", f"the file became a draft, and {shown_as}; publish it, or choose {_OURS} or {_THEIRS}")


def _without_file(case: Case, call: Synchronisation) -> SyncItem | None:
    container, base, shown = case.container, case.base, case.shown
    if container is None or base is None or shown is None or container.is_archived:
        return None
    retire: SyncAction = "archive" if call.target == LIVE else "remove_label"
    if call.on_conflict == "ours" or (base.archived_at is None and shown_hash(shown) == base.hash):
        return _item(case, retire, "its file has gone")
    if base.archived_at is not None:
        verb = "restored" if call.target == LIVE else "labelled again"
        return _item(case, "left", f"its file has gone, and it was {verb} in the registry; {_OURS} is the file")
    if call.on_conflict == "theirs":
        return _item(case, "pull", "its file has gone, and the registry has changed")
    return _item(
        case, "conflict", f"its file has gone, and the registry has changed since; choose {_OURS} or {_THEIRS}"
    )


_DECIDED: Mapping[str, SyncAction] = {"error": "conflict", "ours": "update", "theirs": "pull", "draft": "draft"}


def _conflict(case: Case, call: Synchronisation, reason: str) -> SyncItem:
    return _item(case, _DECIDED[call.on_conflict], reason)


def _shown_as(call: Synchronisation) -> str:
    return "live" if call.target == LIVE else f"labelled {call.target!r}"


def _never(case: Case, call: Synchronisation) -> str:
    synced = (case.container and case.container.synced) or {}
    return "was synchronised from another folder" if call.target in synced else "was never synchronised"


def _item(case: Case, action: SyncAction, reason: str) -> SyncItem:
    container, shown = case.container, case.shown
    seeded = ("the application seeds it too, with what its code ships",)
    is_seeded = container is not None and container.seed is not None
    prompt, number = container and container.name, shown and shown.number
    return SyncItem(case.name, action, reason, prompt, number, notes=seeded if is_seeded else ())


def shown_hash(shown: VersionRecord) -> str:
    """Return the hash of the content of a version, normalized as it is now."""
    return hashed(content_text(shown.snapshot.fields()))
