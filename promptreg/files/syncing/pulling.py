"""The files that a synchronisation writes, after its commit: those of prompts that only the registry has changed."""

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

from promptreg.errors import InvalidInputError
from promptreg.files.folder import write_files
from promptreg.files.format import PromptFile, from_text, to_text
from promptreg.files.paths import BARE_SUFFIXES, SUFFIX, paths_of
from promptreg.rules.sync_items import SyncItem


class Pulled(NamedTuple):
    """What became of the files: the names of the prompts written, why others were left, and what failed."""

    written: frozenset[str]
    left: Mapping[str, str]
    errors: Sequence[dict[str, str]]


def file_paths(items: Sequence[SyncItem], files: Sequence[PromptFile]) -> Mapping[str, str]:
    """Return the path of each prompt's file by name; of one without, the path that it would have beside the others."""
    known = {file.name: file.path for file in files}
    missing = [item.name for item in items if item.name not in known]
    return {**known, **paths_of(missing, taken=known.values())}


def write_pulled(root: Path, items: Sequence[SyncItem], files: Sequence[PromptFile], *, bare: bool) -> Pulled:
    """Write the file of each item with what the registry has, unless it has changed since it was read."""
    digests, paths = {file.path: file.digest for file in files}, file_paths(items, files)
    written, left, errors = set[str](), dict[str, str](), list[dict[str, str]]()
    for item in items:
        path = paths[item.name]
        text = _text(item, path, bare=bare)
        try:
            if text is None:
                left[item.name] = f"{path} can't hold it; replace it by {PurePosixPath(path).with_suffix(SUFFIX)}"
            elif write_files(root, {path: text}, expected={path: digests.get(path)}):
                left[item.name] = "its file has changed since it was read; synchronise again"
            else:
                written.add(item.name)
        except InvalidInputError as error:
            errors += error.details["errors"]
    return Pulled(frozenset(written), left, errors)


def _text(item: SyncItem, path: str, *, bare: bool) -> str | None:
    """Return what the file holds of what the registry shows; None where it is of a kind that can't hold it."""
    fields: Mapping[str, Any] = item.theirs or {}
    if path.endswith(SUFFIX):
        return to_text(item.name, fields, path=path)
    if not path.endswith(BARE_SUFFIXES) or not isinstance(fields["template"], str):
        return None
    text = f"{fields['template']}\n"
    return text if from_text(text, path, name=item.name, bare=bare).content() == fields else None
