"""`export`: the live prompts of a namespace as files, one each."""

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from promptreg.errors import ConflictError, InvalidInputError, listed
from promptreg.files.flaws import FormatError, flaw, require_none
from promptreg.files.folder import write_files
from promptreg.files.format import PromptFile, fields_of, from_text, to_text
from promptreg.files.paths import PROMPTY, SUFFIXES, name_of, paths_of
from promptreg.files.walking import Found, checked_folder, files_in, read_bytes
from promptreg.jsonvalues import hashed
from promptreg.models import Value
from promptreg.prompt import Prompt
from promptreg.records import content_text
from promptreg.registry import Registry
from promptreg.rules.inputs import Progress, read_flag, read_progress


class ExportReport(Value):
    """What `export` did: the paths in the folder, with `/`, of the files that it wrote, and how many were equal.

    `unchanged` counts the files that say what the registry says, in whatever way, and were left as they are.
    """

    folder: str
    written: tuple[str, ...]
    unchanged: int


def export(
    registry: Registry,
    folder: str | os.PathLike[str],
    *,
    force: bool = False,
    progress: Progress | None = None,
) -> ExportReport:
    """Write the live prompts of the registry's namespace that the actor may read, one file each, `NAME.md`.

    A prompt that has a file in the folder keeps its path. Archived prompts and those without a live version are left
    out, and no file is ever deleted. Where files say something else than the registry, raises one `ConflictError` with
    all of them in `details["files"]`, and writes nothing; `force` overwrites them. Raises `InvalidInputError` where the
    folder can't be read or written. `progress(done, total)` is called with numbers of files.

    >>> from tempfile import TemporaryDirectory
    >>> with Registry(":memory:") as registry, TemporaryDirectory() as folder:
    ...     _ = registry.create("support/greet", "Hello {{ name }}!")
    ...     export(registry, folder).written
    ('support/greet.md',)
    """
    report, force = read_progress(progress), read_flag(force, "force")
    root = Path(os.path.realpath(checked_folder(folder)))
    plan = _planned(registry, root, _files_there(root))
    if plan.differing and not force:
        raise _conflict(plan.differing)
    unwritable = [path for path in plan.differing if path.lower().endswith(PROMPTY)]
    if unwritable:
        raise ConflictError(
            f"{listed(unwritable)}: other prompts than the registry's, in Prompty's format, which is read only;"
            " remove these files, and export again.",
            files=unwritable,
        )
    expected = {} if force else dict.fromkeys(plan.paths.values())
    written: list[str] = []
    left = write_files(root, _texts(registry, plan.paths, written, report), expected=expected)
    if left:
        raise _conflict(left)
    return ExportReport(folder=str(folder), written=tuple(sorted(written)), unchanged=plan.unchanged)


class _There(NamedTuple):
    """A file of the folder: its path, and the hash of what it says; None where it can't be read."""

    path: str
    content_hash: str | None


class _Plan(NamedTuple):
    """The path of each prompt that is to be written, those of files that say something else, and how many are equal."""

    paths: dict[str, str]
    differing: list[str]
    unchanged: int


def _files_there(root: Path) -> dict[str, _There]:
    """Return the files of the folder by the names of their prompts; raise `InvalidInputError` for two of one name."""
    there: dict[str, _There] = {}
    flaws: list[dict[str, str]] = []
    for found in files_in(root, SUFFIXES) if os.path.isdir(root) else ():
        if not found.path.lower().endswith(SUFFIXES):  # a folder that can't be listed
            continue
        file = _read(root, found)
        name = name_of(found.path) if file is None else file.name
        held = _There(found.path, None if file is None else _hash_of(file.content()))
        other = there.setdefault(name, held)
        if other is not held:
            flaws.append(flaw(found.path, 0, f"is the prompt {name!r}, as is {other.path}; keep one"))
    require_none(flaws)
    return there


def _read(root: Path, found: Found) -> PromptFile | None:
    try:
        return from_text(read_bytes(root, found), found.path)
    except (FormatError, InvalidInputError):
        return None


def _hash_of(fields: Mapping[str, Any]) -> str:
    return hashed(content_text(fields))


def _live(registry: Registry) -> Iterator[Prompt]:
    return (prompt for prompt in registry.iterate() if prompt.version == prompt.production_version)


def _planned(registry: Registry, root: Path, there: Mapping[str, _There]) -> _Plan:
    paths: dict[str, str] = {}
    new: list[str] = []
    unchanged = 0
    for prompt in _live(registry):
        found = there.get(prompt.name)
        if found is None:
            new.append(prompt.name)
        elif found.content_hash == _hash_of(fields_of(prompt)):
            unchanged += 1
        else:
            paths[prompt.name] = found.path
    made = paths_of(new, [found.path for found in there.values()])
    differing = [*paths.values(), *(path for path in made.values() if os.path.lexists(root / path))]
    return _Plan({**paths, **made}, differing, unchanged)


def _texts(
    registry: Registry, paths: Mapping[str, str], written: list[str], report: Progress
) -> Iterator[tuple[str, str]]:
    """Yield the path and the text of each prompt that is to be written, of those that are still live."""
    for prompt in _live(registry):
        path = paths.get(prompt.name)
        if path is not None:
            yield path, to_text(prompt.name, fields_of(prompt), path=path)
            written.append(path)
            report(len(written), len(paths))


def _conflict(paths: list[str]) -> ConflictError:
    one = len(paths) == 1
    return ConflictError(
        f"{listed(paths)} {'differs' if one else 'differ'} from the registry, so nothing was written:"
        f" --force (force=True) overwrites {'it' if one else 'them'}, and `promptreg sync` keeps both sides' changes.",
        files=paths,
    )
