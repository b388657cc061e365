"""What a synchronisation of files with the registry is asked for, and what it does of each prompt.

`registry._synchronise` takes a `SyncCall` and returns a `SyncPlan`. The rules are in `syncing.py`.
"""

from collections.abc import Mapping, Sequence
from typing import Any, Literal, NamedTuple, TypeAlias, get_args

OnSyncConflict: TypeAlias = Literal["error", "ours", "theirs", "draft"]
SyncAction: TypeAlias = Literal[
    "create", "update", "draft", "archive", "remove_label", "restore", "pull", "none", "ahead", "left", "conflict"
]
SYNC_CHOICES: tuple[str, ...] = get_args(OnSyncConflict)
WRITING = frozenset({"create", "update", "draft", "archive", "remove_label", "restore"})
"""The actions that write to the registry."""


class SyncFile(NamedTuple):
    """A prompt as a file says that it is.

    `name` is its name in the folder. `fields` are the fields of a version as `create` takes them: what is left out has
    the value that `create` gives it, so the title is the name. `message` is the commit message of what is written.

    >>> SyncFile("greet", {"template": "Hello"}).message
    'sync'
    """

    name: str
    fields: Mapping[str, Any]
    message: str = "sync"


class SyncCall(NamedTuple):
    """A call that synchronises the files of a folder with the prompts of the view's namespace.

    `source` is the id of the folder. With a `label` the files are compared with what it names, otherwise with what is
    live. `on_conflict` decides where the file and the registry have both changed: `"ours"` is the file, `"theirs"` the
    registry, and `"draft"` makes the file a draft. With `pull` a file that is behind is to be written. With `dry_run`
    everything is checked, and nothing is written.
    """

    source: str
    files: Sequence[SyncFile]
    label: str | None = None
    on_conflict: OnSyncConflict = "error"
    pull: bool = False
    dry_run: bool = False


class SyncItem(NamedTuple):
    """What is done of one file, or of one prompt whose file has gone.

    `name` is its name in the folder, and `prompt` the one in the registry: another where it was renamed there, None
    where there is no such prompt. `version` is the version that the prompt has for the target afterwards, or of
    `draft` the draft; None where there is none. `reason` says what was found and, where nothing is done, what helps.

    The actions are:

    - `create`, `update`: the file becomes live, or with a label becomes a draft that the label names;
    - `draft`: the file becomes a draft; `restore`: what a synchronisation archived, or whose label it removed, is back;
    - `archive`, `remove_label`: the file has gone;
    - `pull`: nothing in the registry; the file is to be written with `theirs`. What was last synchronised stays as it
      is until the next synchronisation finds the file written, so a process that is killed before loses nothing;
    - `none`: file and registry are equal; `ahead`: the registry has changed, and the file has not;
    - `left`: nothing, because of what people did in the registry; `conflict`: nothing, and nothing of the whole call.

    Where the file and the registry differ, `ours` is the content of the file by field, `base` what was last
    synchronised and `theirs` what the registry shows; None where there is none, or where it is not known any more. They
    have every field of `records.CONTENT`, in its order. `notes` says what else people should know.
    """

    name: str
    action: SyncAction
    reason: str = ""
    prompt: str | None = None
    version: int | None = None
    ours: Mapping[str, Any] | None = None
    base: Mapping[str, Any] | None = None
    theirs: Mapping[str, Any] | None = None
    notes: tuple[str, ...] = ()


class SyncPlan(NamedTuple):
    """What a synchronisation does, in the order of the names; `is_done` is whether it was done.

    It is not where there is a conflict, in which case nothing at all is written, and with `dry_run`.

    >>> SyncPlan((SyncItem("greet", "create"), SyncItem("ask", "ahead"))).of("create")[0].name
    'greet'
    """

    items: tuple[SyncItem, ...]
    is_done: bool = False

    @property
    def conflicts(self) -> tuple[SyncItem, ...]:
        """The conflicts, each of which prevents the whole."""
        return self.of("conflict")

    def of(self, *actions: str) -> tuple[SyncItem, ...]:
        """Return the items with one of these actions."""
        return tuple(item for item in self.items if item.action in actions)
