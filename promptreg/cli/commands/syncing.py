"""`promptreg sync`."""

import os
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import NamedTuple, cast

import click

from promptreg.cli.context import Settings, output_options, registry_options, run_checked
from promptreg.cli.failures import in_commands
from promptreg.cli.output import note, paint, print_one, say
from promptreg.cli.progress import progress
from promptreg.cli.text import columns, width, wrapped
from promptreg.errors import PromptregError
from promptreg.files.paths import LOCK
from promptreg.files.syncing.report import SyncedPrompt, SyncReport
from promptreg.files.syncing.sync import reported_sync, require_no_conflict
from promptreg.harmless import harmless, one_line
from promptreg.registry import Registry
from promptreg.rules.sync_items import OnSyncConflict, SyncAction

WORDS: dict[SyncAction, tuple[str, str]] = {
    "create": ("created", "added"),
    "update": ("updated", "added"),
    "draft": ("drafted", "draft"),
    "restore": ("restored", "added"),
    "archive": ("archived", "removed"),
    "remove_label": ("without the label", "removed"),
    "pull": ("written to files", "added"),
    "ahead": ("ahead in the registry", "draft"),
    "left": ("left as they are", "draft"),
    "conflict": ("in conflict", "bad"),
    "none": ("unchanged", "quiet"),
}
"""Of each action, what the summary calls it, and its style."""
INDENT = 13
STYLES = {**dict.fromkeys(("<<<<<<< ", "||||||| ", "=======", ">>>>>>> ", "--- ", "+++ "), "heading"), "@@ ": "name"}


@click.command(short_help="Bring a folder of prompts and the registry to the same.")
@click.argument("folder", metavar="DIR")
@click.option("--label", metavar="LABEL", help="Compare with what LABEL names; a change moves the label.")
@click.option("--pull", is_flag=True, help="Write the files where only the registry has changed.")
@click.option("--ours", is_flag=True, help="Of a conflict take the file.")
@click.option("--theirs", is_flag=True, help="Of a conflict take the registry: the file is written.")
@click.option("--draft", is_flag=True, help="Of a conflict make the file a draft.")
@click.option("--bare", is_flag=True, help="Files without front matter are prompts too.")
@click.option("--dry-run", is_flag=True, help="Print what would be done, and write nothing.")
@click.option("--check", is_flag=True, help="The same, and exit with 1 where anything would be done.")
@output_options
@registry_options
@click.pass_obj
def sync(
    settings: Settings,
    folder: str,
    label: str | None,
    pull: bool,
    ours: bool,
    theirs: bool,
    draft: bool,
    bare: bool,
    dry_run: bool,
    check: bool,
) -> None:
    """Bring the prompts' files in DIR and the registry to the same.

    A changed file goes live, a file that has gone archives its prompt, and what changed in the registry alone is
    reported. Where both have changed it is a conflict, and nothing at all is done. DIR/promptreg.lock, which the first
    run makes, says that the folder is the same one: commit it with the files.
    """
    options = _Options(label, pull, _on_conflict(ours=ours, theirs=theirs, draft=draft), bare)
    lock = Path(folder, LOCK)
    is_new = not os.path.lexists(lock)
    with _errors_by_line():
        run = partial(_synchronised, folder=folder, options=options)
        report = run_checked(settings, run, is_dry=dry_run or check, is_refused=lambda report: report.conflicts)
    print_one(settings, report, _show)
    _note_what_to_commit(report, lock, is_new=is_new)
    require_no_conflict(report)
    if check and report.changes:
        raise click.exceptions.Exit(1)


class _Options(NamedTuple):
    """What `sync` of the library takes beside the folder."""

    label: str | None
    pull: bool
    on_conflict: OnSyncConflict
    bare: bool


def _on_conflict(**chosen: bool) -> OnSyncConflict:
    """Return the one choice for conflicts, or that there is none."""
    names = [name for name, is_chosen in chosen.items() if is_chosen]
    if len(names) > 1:
        raise click.UsageError(f"{' and '.join(f'--{name}' for name in names)} exclude each other")
    return cast(OnSyncConflict, names[0]) if names else "error"


def _synchronised(registry: Registry, is_dry: bool, *, folder: str, options: _Options) -> SyncReport:
    with progress("Checking" if is_dry else "Synchronising") as advance:
        return reported_sync(registry, folder, **options._asdict(), dry_run=is_dry, progress=advance)


@contextmanager
def _errors_by_line() -> Iterator[None]:
    """Print each error of a file on a line of its own, where there are several."""
    try:
        yield
    except PromptregError as error:
        errors = error.details.get("errors", ())
        if len(errors) > 1:
            for each in errors:
                note(f"{one_line(each['field'])}: {one_line(in_commands(each['reason']))}")
            done = "but for these files all was done" if error.details.get("is_done") else "so nothing was applied"
            error.restate(f"{len(errors):,} errors, {done}.")
        raise


def _note_what_to_commit(report: SyncReport, lock: Path, *, is_new: bool) -> None:
    """Say which files have to get into git, or else the next checkout differs in a way that nobody wanted."""
    if is_new and report.dry_run:
        note(f"{lock} is not there: run `promptreg sync` once and commit it, or every checkout is another folder.")
    elif is_new and report.is_done:
        note(f"{lock} is new: commit it, or every checkout is another folder.")
    if report.is_done and report.of("pull"):
        note("Commit what was written: a sync of a checkout without it takes it back.")


def _show(report: SyncReport) -> None:
    for prompt in report.prompts:
        if prompt.action != "none" or prompt.notes:
            _show_prompt(prompt)
    for conflict in report.conflicts:
        _show_difference(conflict)
    counts = Counter(prompt.action for prompt in report.prompts)
    summary = ", ".join(f"{counts[action]:,} {words}" for action, (words, _) in WORDS.items() if counts[action])
    heading = "Dry run:" if report.dry_run else "Nothing was done:"
    say(summary if report.is_done else f"{paint(heading, 'heading')} {summary}")


def _show_prompt(prompt: SyncedPrompt) -> None:
    """Print what is done of a prompt and, beside that where it fits or else below, why and what else is to be known."""
    name = one_line(prompt.name if prompt.prompt is None else f"{prompt.name} (now {prompt.prompt})")
    version = "" if prompt.version is None else f" @{prompt.version}"
    action = prompt.action.replace("_", " ")
    line = f"{paint(f'{action:<{INDENT - 1}}', WORDS[prompt.action][1])} {paint(name, 'name')}{version}"
    reason = one_line(in_commands(prompt.reason))
    if prompt.action == "conflict":
        reason = f"{one_line(prompt.place)}: {reason}"
    is_beside = INDENT + width(f"{name}{version}  {reason}") <= columns()
    say(f"{line}  {paint(reason, 'quiet')}" if is_beside else line)
    for text in prompt.notes if is_beside else (reason, *prompt.notes):
        for part in wrapped(one_line(text), columns() - INDENT):
            say(f"{'':{INDENT}}{paint(part, 'quiet')}")


def _show_difference(conflict: SyncedPrompt) -> None:
    if conflict.difference:
        say()
        say(paint(one_line(conflict.place), "heading"))
        for line in harmless(conflict.difference).split("\n"):
            say(paint(line, _style(line)))


def _style(line: str) -> str:
    return next((style for prefix, style in STYLES.items() if line.startswith(prefix)), "")
