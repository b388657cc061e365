"""Synchronising a folder of prompts with a registry: the folder's side. What is done of each is decided by the rules.

The registry commits first, all or nothing; files are written afterwards, each by itself. What was last synchronised
of such a prompt does not move before its file is written, so where the process is killed between, the next
synchronisation finds the registry ahead, as this one did.
"""

import os
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path

from promptreg.clock import new_id
from promptreg.errors import (
    ConflictError,
    InvalidInputError,
    PromptregError,
    StorageError,
    VersionConflictError,
    counted,
    listed,
)
from promptreg.files.folder import scan_folder
from promptreg.files.format import PromptFile
from promptreg.files.paths import LOCK
from promptreg.files.syncing.gitlog import last_commits
from promptreg.files.syncing.lockfile import make_source, read_source
from promptreg.files.syncing.placing import placed
from promptreg.files.syncing.pulling import file_paths, write_pulled
from promptreg.files.syncing.report import SyncReport, report_of
from promptreg.files.walking import root_of
from promptreg.registry import Registry
from promptreg.rules.inputs import Progress, read_flag, read_progress
from promptreg.rules.sync_items import OnSyncConflict, SyncCall, SyncFile, SyncItem, SyncPlan

READ, CHECKED = 0.1, 0.8  # shares of the work that are done once all files are read, and all prompts checked


def sync(
    registry: Registry,
    folder: str | os.PathLike[str],
    *,
    label: str | None = None,
    pull: bool = False,
    on_conflict: OnSyncConflict = "error",
    dry_run: bool = False,
    bare: bool = False,
    progress: Progress | None = None,
) -> SyncReport:
    r"""Bring the files of a folder and the prompts of the registry's namespace to the same, three-way.

    A changed file becomes live, or with `label` a draft that the label names; a file that has gone archives its prompt,
    or removes the label. Where only the registry has changed, that is left and reported, or with `pull` written to the
    file. Where both have, it is a conflict, decided by `on_conflict`: `"ours"` takes the file, `"theirs"` the registry,
    and `"draft"` makes the file a draft. Prompts that never came from this folder are left alone. Author and owner are
    the registry's actor; the commit message is the file's last commit in git, or `sync`.

    All is one transaction, or nothing: raise `ConflictError` with every conflict in `details["errors"]`, and
    `InvalidInputError` with every error of every file, each with file and line. With `dry_run` nothing is written,
    neither in the registry nor in the folder, and conflicts are in the report. With `bare` files without front
    matter are prompts too.

    The first synchronisation makes `promptreg.lock` in the folder, which is to be committed. Other files are written
    after the commit, and only if they have not changed since they were read. `progress(done, total)` is called with
    numbers of files, as they are read and then checked: reading all is a tenth of them, and checking seven tenths.

    >>> from pathlib import Path
    >>> from tempfile import TemporaryDirectory
    >>> with TemporaryDirectory() as folder, Registry(":memory:") as registry:
    ...     file = Path(folder, "greet.md")
    ...     actions = []
    ...     for template in ("Hello", "Hello", "Hi"):
    ...         _ = file.write_text(f"---\ntags: [x]\n---\n{template}\n")
    ...         actions += [prompt.action for prompt in sync(registry, folder).prompts]
    ...     print(actions, registry.render("greet").text)
    ['create', 'none', 'update'] Hi
    """
    report = reported_sync(
        registry, folder, label=label, pull=pull, on_conflict=on_conflict, dry_run=dry_run, bare=bare, progress=progress
    )
    if not dry_run:
        require_no_conflict(report)
    return report


def reported_sync(
    registry: Registry,
    folder: str | os.PathLike[str],
    *,
    label: str | None = None,
    pull: bool = False,
    on_conflict: OnSyncConflict = "error",
    dry_run: bool = False,
    bare: bool = False,
    progress: Progress | None = None,
) -> SyncReport:
    """Do what `sync` does, and return its report where there is a conflict too."""
    advance, dry_run, bare = read_progress(progress), read_flag(dry_run, "dry_run"), read_flag(bare, "bare")
    files, flaws = scan_folder(folder, bare=bare, report=lambda done, total: advance(int(done * READ), total))
    if not files and not flaws:  # it would archive all that came from it
        raise InvalidInputError.of("folder", "holds not a single prompt; pass the folder of the prompts' files")
    root = root_of(folder)
    source = read_source(root)
    call = SyncCall(source or new_id(), _sync_files(root, files), label, on_conflict, pull, dry_run)
    checked = _checked(advance, len(files))
    if flaws:
        raise InvalidInputError.of_all([*flaws, *_other_flaws(registry, call, files, checked)])
    with placed(files):
        begin = partial(_require_source, root, call.source) if source is None else None
        plan = registry._synchronise(call, progress=checked, begin=begin)
        if plan.is_done and read_source(root) is None:  # as nothing was to be written
            make_source(root, call.source)
    left = _pull(registry, root, call, plan, files, bare=bare) if plan.is_done else {}
    advance(len(files), len(files))
    return _report(os.fspath(folder), call, plan, files, left)


def _checked(advance: Progress, files: int) -> Progress:
    """Return what reports how many of the prompts are checked, in numbers of files."""
    return lambda done, total: advance(int(files * (READ + (CHECKED - READ) * done / total)), files)


def _require_source(root: Path, source: str) -> None:
    """Have the folder's id in its lock file before any registry has it."""
    found = make_source(root, source)
    if found != source:
        raise VersionConflictError(
            f"Another synchronisation has just made {LOCK}; synchronise again.", expected=source, actual=found
        )


def _other_flaws(
    registry: Registry, call: SyncCall, files: Sequence[PromptFile], progress: Progress
) -> list[dict[str, str]]:
    """Return what would be refused of the files that can be read, and which of them are in conflict."""
    files = [*{file.name: file for file in reversed(files)}.values()]
    known = {file.name for file in files}
    if not files:
        return []
    try:
        with placed(files):
            plan = registry._synchronise(
                call._replace(files=[file for file in call.files if file.name in known], dry_run=True),
                progress=progress,
            )
    except StorageError:
        raise
    except PromptregError as error:
        return [{"field": each["field"], "reason": each["reason"]} for each in error.details.get("errors", ())]
    report = _report("", call, plan, files, {})
    return [conflict.as_error() for conflict in report.conflicts if conflict.name in known]


def _pull(
    registry: Registry, root: Path, call: SyncCall, plan: SyncPlan, files: Sequence[PromptFile], *, bare: bool
) -> Mapping[str, str]:
    """Write the files where the registry is ahead; return why a file was left as it is, by name.

    What was last synchronised of them moves as by the next synchronisation, which would otherwise do just that: so a
    failure here loses nothing.
    """
    items = plan.of("pull")
    pulled = write_pulled(root, items, files, bare=bare)
    if pulled.written:
        written = {item.name: SyncFile(item.name, item.theirs or {}) for item in items if item.name in pulled.written}
        others = [file for file in call.files if file.name not in written]
        with suppress(PromptregError):
            registry._synchronise(call._replace(files=[*others, *written.values()], on_conflict="error", pull=False))
    if pulled.errors:
        raise _unwritten(pulled.errors)
    return pulled.left


def _unwritten(errors: Sequence[dict[str, str]]) -> InvalidInputError:
    """Return the error of files that can't be written, after all else was done."""
    first = f"{errors[0]['field']}: {errors[0]['reason']}"
    more = f" and {len(errors) - 1:,} more" if len(errors) > 1 else ""
    message = f"{first}{more}; all else was done, and the next synchronisation goes on"
    return InvalidInputError(message, errors=[*errors], is_done=True)


def require_no_conflict(report: SyncReport) -> None:
    """Raise one `ConflictError` with every conflict of a report, each with file, line and three-way difference."""
    conflicts = report.conflicts
    if conflicts:
        raise ConflictError(
            f"{listed([conflict.place for conflict in conflicts])}: {counted(len(conflicts), 'conflict')}, so nothing"
            " was applied; on_conflict='ours' takes the files, on_conflict='theirs' the registry, and"
            " on_conflict='draft' makes the files drafts.",
            names=[conflict.name for conflict in conflicts],
            errors=[conflict.as_error() for conflict in conflicts],
        )


def _sync_files(root: Path, files: Sequence[PromptFile]) -> list[SyncFile]:
    messages = last_commits(root, [file.path for file in files])
    return [SyncFile(file.name, file.fields, messages.get(file.path, "sync")) for file in files]


def _report(
    folder: str, call: SyncCall, plan: SyncPlan, files: Sequence[PromptFile], left: Mapping[str, str]
) -> SyncReport:
    by_name, paths = {file.name: file for file in files}, file_paths(plan.items, files)
    return SyncReport(
        folder=folder,
        label=call.label,
        dry_run=call.dry_run,
        is_done=plan.is_done,
        prompts=tuple(
            report_of(
                _unless_left(item, left),
                by_name.get(item.name),
                paths[item.name],
                conflicts=len(plan.conflicts),
                is_dry_run=call.dry_run,
            )
            for item in plan.items
        ),
    )


def _unless_left(item: SyncItem, left: Mapping[str, str]) -> SyncItem:
    """Return the item, or where its file was left as it is, that and why."""
    return item._replace(action="left", reason=left[item.name]) if item.name in left else item
