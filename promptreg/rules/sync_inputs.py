"""The arguments of a synchronisation, read into frozen values; every bad field of every file is reported at once."""

from collections.abc import Mapping, Sequence
from typing import NoReturn

from promptreg.bases import LIVE
from promptreg.errors import InvalidInputError
from promptreg.models import UNSET
from promptreg.records import CONTENT, EMPTY
from promptreg.rules.inputs import read_choice, read_filled_text, read_flag, read_text
from promptreg.rules.names import MAX_NAMES, checked_name, checked_own_label
from promptreg.rules.sync_items import SYNC_CHOICES, SyncCall, SyncFile
from promptreg.rules.syncing import File, Synchronisation
from promptreg.rules.version_fields import read_edit
from promptreg.untrusted import FieldReader, bounded_list


def read_call(given: SyncCall, most: int) -> Synchronisation:
    """Read a call, in which a template has `most` characters at most.

    An error of a file has beside `field` and `reason` its `name`, and the `argument` of `create` that is bad.
    """
    fields = FieldReader()
    source = fields.read(read_filled_text, given.source, "source")
    target = LIVE if given.label is None else fields.read(checked_own_label, given.label)
    files = fields.read(_read_files, given.files, most)
    on_conflict = fields.read(read_choice, given.on_conflict, "on_conflict", SYNC_CHOICES)
    pulls = fields.read(read_flag, given.pull, "pull")
    is_dry_run = fields.read(read_flag, given.dry_run, "dry_run")
    fields.require_valid()
    return Synchronisation(source, target, files, on_conflict, pulls, is_dry_run)


def _read_files(given: Sequence[SyncFile], most: int) -> Mapping[str, File]:
    fields, read = FieldReader(), list[File]()
    for file in bounded_list(given, "files", "files", MAX_NAMES):
        read.append(fields.read(_read_file, file, most))
    if not read:
        fields.read(_refuse, "files", "must hold at least one prompt, as without any all of them would be archived")
    fields.require_valid()
    files = dict[str, File]()
    for made in read:
        if files.setdefault(made.name, made) is not made:
            fields.read(_refuse, made.name, "two files have this name; keep one of them")
    fields.require_valid()
    return files


def _read_file(file: SyncFile, most: int) -> File:
    try:
        return _content(file, most)
    except InvalidInputError as error:
        errors = [_of_file(file.name, flaw) for flaw in error.details["errors"]]
    raise InvalidInputError.of_all(errors)


def _of_file(name: str, flaw: Mapping[str, str]) -> dict[str, str]:
    return {"field": f"{name}: {flaw['field']}", "reason": flaw["reason"], "name": name, "argument": flaw["field"]}


def _content(file: SyncFile, most: int) -> File:
    fields = FieldReader()
    name = fields.read(checked_name, file.name)
    for field in sorted(file.fields.keys() - CONTENT.keys()):
        fields.read(_refuse, field, "is no field of a prompt")
    given = {field: file.fields.get(field, UNSET) for field in CONTENT}
    edit = fields.read(read_edit, most=most, required=["template"], **given)
    message = fields.read(read_text, file.message, "commit_message")
    fields.require_valid()
    return File(name, edit.applied_to({**EMPTY, "title": name}), message)


def _refuse(field: str, reason: str) -> NoReturn:
    raise InvalidInputError.of(field, reason)
