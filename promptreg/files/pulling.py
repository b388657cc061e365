"""The files that a synchronisation writes, after its commit: those of prompts that only the registry has changed."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from promptreg.errors import InvalidInputError
from promptreg.files.flaws import FormatError
from promptreg.files.folder import write_files
from promptreg.files.format import PromptFile, from_text, to_text
from promptreg.files.paths import BARE_SUFFIXES, SUFFIX, paths_of
from promptreg.files.walking import read_bytes
from promptreg.rules.sync_items import SyncItem


class Pulled(NamedTuple):
    """What became of the files: the names of the prompts written, why others were left, and what failed."""

    written: frozenset[str]
    left: Mapping[str, str]
    errors: Sequence[dict[str, str]]


def file_path(name: str, files: Sequence[PromptFile]) -> str:
    """Return the path of a prompt's file, or the one that it would have beside the others."""
    known = next((file.path for file in files if file.name == name), None)
    return known or paths_of([name], taken=[file.path for file in files])[name]


def write_pulled(root: Path, items: Sequence[SyncItem], files: Sequence[PromptFile], *, bare: bool) -> Pulled:
    """Write the file of each item with what the registry has, unless it has changed since it was read."""
    by_name = {file.name: file for file in files}
    written, left, errors = set[str](), dict[str, str](), list[dict[str, str]]()
    for item in items:
        file, path = by_name.get(item.name), file_path(item.name, files)
        text = _text(item, path, bare=bare)
        if text is None:
            left[item.name] = f"this kind of file can't hold it; replace it by {Path(path).with_suffix(SUFFIX).name}"
        elif not _is_as_read(root, path, file, bare=bare):
            left[item.name] = "its file has changed since it was read; synchronise again"
        else:
            try:
                write_files(root, [(path, text)], replace=file is not None)
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


def _is_as_read(root: Path, path: str, file: PromptFile | None, *, bare: bool) -> bool:
    """Return whether a file still says what it said when it was read, or is still not there."""
    try:
        data = read_bytes(root / path)
    except FormatError:
        return file is None
    try:
        return file is not None and from_text(data, path, bare=bare) == file
    except InvalidInputError:
        return False
