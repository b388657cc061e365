"""What a synchronisation says of each prompt: what was done, what is left, and how the sides of a conflict differ."""

from typing import Any

from promptreg.files.format import PromptFile, to_text
from promptreg.files.syncing.three_way import Side, first_line, shortened, three_way
from promptreg.models import Value
from promptreg.records import CONTENT
from promptreg.rules.sync_items import WRITING, SyncAction, SyncItem
from promptreg.rules.unified_diff import MAX_WORK, Work, unified

FULL_WORK = 10  # conflicts whose differences may each take `MAX_WORK`; of more each may take less


class SyncedPrompt(Value):
    """One prompt of a synchronisation.

    `name` is its name in the folder, `prompt` the one in the registry where it was renamed there, and `file` the path
    in the folder, with `/`. `action` is `create`, `update`, `draft`, `archive`, `remove_label`, `restore`, `pull` (the
    file is written), `none`, `ahead`, `left` or `conflict`, and `reason` says why, and what helps. `notes` say what
    else is to be known: also, where the file is written to the registry and in every dry run, what of a `.prompty` file
    was changed or left out. `version` is the version that is live or labelled afterwards, or the draft. Of a conflict
    `line` is the first line of the file that differs, and `difference` the three-way difference.
    """

    name: str
    file: str
    action: SyncAction
    prompt: str | None = None
    version: int | None = None
    reason: str = ""
    notes: tuple[str, ...] = ()
    line: int | None = None
    difference: str = ""

    @property
    def place(self) -> str:
        """The file, and its line where one is known, as `support/reply.md:4`."""
        return self.file if self.line is None else f"{self.file}:{self.line}"

    def as_error(self) -> dict[str, str]:
        """Return the prompt as one of an error's `details["errors"]`."""
        return {"field": self.place, "reason": self.reason, "difference": self.difference}


class SyncReport(Value):
    """What a synchronisation did, or with `dry_run` would do, of each prompt by name.

    `is_done` is false where nothing was applied: with `dry_run`, or because of a conflict. `label` is the label that
    the files were synchronised with, None where it is what is live.
    """

    folder: str
    label: str | None
    dry_run: bool
    is_done: bool
    prompts: tuple[SyncedPrompt, ...]

    def of(self, *actions: SyncAction) -> list[SyncedPrompt]:
        """Return the prompts with one of these actions."""
        return [prompt for prompt in self.prompts if prompt.action in actions]

    @property
    def conflicts(self) -> list[SyncedPrompt]:
        """The prompts that differ in the file and in the registry; while there is one, nothing is applied."""
        return self.of("conflict")

    @property
    def changes(self) -> list[SyncedPrompt]:
        """The prompts of which something is done, or would be; a registry that is ahead is no change."""
        return [prompt for prompt in self.prompts if prompt.action not in {"none", "ahead", "left"}]


def report_of(item: SyncItem, file: PromptFile | None, path: str, *, conflicts: int, is_dry_run: bool) -> SyncedPrompt:
    """Return what is said of one item; `conflicts` is the number of all, which share the work of comparing."""
    notes = file.notes if file is not None and (is_dry_run or item.action in WRITING) else ()
    line, difference = None, ""
    if item.action == "conflict":
        most = MAX_WORK if conflicts <= FULL_WORK else MAX_WORK * FULL_WORK // conflicts
        line, difference = _line(item, file), "\n".join(shortened(_difference(item, path, Work(most))))
    return SyncedPrompt(
        name=item.name,
        file=path,
        action=item.action,
        prompt=None if item.prompt == item.name else item.prompt,
        version=item.version,
        reason=item.reason,
        notes=(*item.notes, *notes),
        line=line,
        difference=difference,
    )


def _line(item: SyncItem, file: PromptFile | None) -> int | None:
    """Return the first line of the file in which it differs from the registry; None without a file."""
    if file is None:
        return None
    if item.ours is None or item.theirs is None:
        return 1
    ours, theirs = item.ours, item.theirs
    said = (name for name in CONTENT if name in file.lines and ours[name] != theirs[name])
    return min((_line_in(file, name, ours[name], theirs[name]) for name in said), default=1)


def _line_in(file: PromptFile, field: str, ours: Any, theirs: Any) -> int:
    """Return the first line of the file in which a field differs, within a template that of the text."""
    if field != "template":
        return _line_at(file, field)
    if isinstance(ours, str) or isinstance(theirs, str):
        return _line_at(file, field, ours, theirs)
    number = first_line(ours, theirs) - 1
    contents = [side[number].get("content") if number < len(side) else None for side in (ours, theirs)]
    return _line_at(file, f"template[{number}]", *contents)


def _line_at(file: PromptFile, field: str, ours: Any = None, theirs: Any = None) -> int:
    """Return the line of a field, or within a text of it the first one that differs."""
    is_text = isinstance(ours, str) and isinstance(theirs, str)
    line = first_line(ours.split("\n"), theirs.split("\n")) if is_text and ours != theirs else 0
    return int(file.where(field, line=line).rpartition(":")[2])


def _difference(item: SyncItem, path: str, work: Work) -> list[str]:
    """Return the three-way difference, or that of two sides where one is absent."""
    titles = f"{path} (the file)", "last synchronised", "the registry"
    sides = [
        Side(title, to_text(item.name, fields, path=path).split("\n"))
        for title, fields in zip(titles, (item.ours, item.base, item.theirs), strict=True)
        if fields is not None
    ]
    if len(sides) == 3:
        return three_way(*sides, work=work)
    if len(sides) < 2:
        return []
    new, old = sides if item.ours is not None else reversed(sides)
    return unified(old.lines, new.lines, old.title, new.title, work)
