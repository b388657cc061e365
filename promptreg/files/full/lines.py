"""The lines of a full export: from entries to lines, and from lines to entries, each checked by itself.

What the lines look like is documented in `promptreg/docs/export.md`. A line may come from anywhere, so every value of
it is read as strictly as the arguments of a verb are: types, lengths, names, times, hashes. Whether the lines fit
together is checked in `history.py`.
"""

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any, NamedTuple, get_args

from promptreg import strictjson
from promptreg.bases import LIVE, Seed, SyncBase
from promptreg.dump import Counts, DeletionEntry, Entry, EventEntry, PromptEntry
from promptreg.errors import InvalidInputError
from promptreg.files.full.content import read_snapshot
from promptreg.files.full.forms import (
    Form,
    Reader,
    list_of,
    matching,
    optional,
    read_count,
    read_identity,
    read_name,
    read_number,
    read_object,
    read_time,
)
from promptreg.jsonvalues import FrozenDict, FrozenList, compact, frozen_dict
from promptreg.models import Action, Grant, State, Status
from promptreg.records import CONTENT, Container, VersionRecord
from promptreg.rules.inputs import (
    read_choice,
    read_content_hash,
    read_filled_text,
    read_flag,
    read_grants,
    read_release,
    read_text,
)
from promptreg.rules.lifecycle import MAX_LABELS
from promptreg.rules.names import MAX_NUMBER, checked_number, checked_own_label

FORMAT = 1
BATCH = 1_000  # lines between two reports of the progress


class Head(NamedTuple):
    """The first line: the version of the format, and how many entries follow."""

    format: int
    counts: Counts


class End(NamedTuple):
    """The last line: how many entries came before it, the hash of the last event, and the SHA-256 of all before."""

    counts: Counts
    last_hash: str
    sha256: str


# Writing


def head_line(counts: Counts) -> str:
    """Return the first line."""
    return _line("promptreg", {"format": FORMAT, **counts._asdict()})


def end_line(end: End) -> str:
    """Return the last line."""
    return _line("end", {**end.counts._asdict(), "last_hash": end.last_hash, "sha256": end.sha256})


def entry_line(entry: Entry) -> str:
    """Return the line of an entry."""
    if isinstance(entry, VersionRecord):
        return _line("version", _version_object(entry))
    if isinstance(entry, PromptEntry):
        return _line("prompt", _prompt_object(entry))
    return _line("event" if isinstance(entry, EventEntry) else "deletion", entry._asdict())


def _line(kind: str, value: Mapping[str, Any]) -> str:
    return compact({kind: value}) + "\n"


def _prompt_object(entry: PromptEntry) -> dict[str, Any]:
    container = entry.container
    return {
        **container._asdict(),
        "access_grants": _pairs(container.access_grants),
        "publications": entry.publications,
        "seed": container.seed and container.seed._asdict(),
        "synced": container.synced and {target: base._asdict() for target, base in container.synced.items()},
        "versions": entry.versions,
    }


def _version_object(version: VersionRecord) -> dict[str, Any]:
    values = {**version._asdict(), "access_grants": _pairs(version.access_grants), **version.snapshot._asdict()}
    del values["snapshot"]
    return values


def _pairs(grants: Iterable[Grant]) -> list[list[str]]:
    return [[grant.principal, grant.permission] for grant in grants]


# Reading


def read_line(text: str) -> Head | Entry | End:
    """Return what a line holds; raise `InvalidInputError`, which names the field."""
    value = _parsed(text)
    kind = next(iter(value)) if isinstance(value, dict) and len(value) == 1 else ""
    if kind not in _KINDS:
        raise InvalidInputError.of("line", f"must be an object with one key of {', '.join(_KINDS)}")
    read: Head | Entry | End = _KINDS[kind](value[kind], kind)
    return read


_FROZEN = strictjson.decoder(frozen_dict)


def _parsed(text: str) -> Any:
    try:
        return strictjson.read(text, _FROZEN)
    except strictjson.MalformedJSON as error:
        raise InvalidInputError.of("line", error.reason_in_line) from None


def _grants(value: Any, field: str) -> tuple[Grant, ...]:
    if value == []:
        return ()
    grants = read_grants(value, field)
    if _pairs(grants) != value:
        raise InvalidInputError.of(field, "must be a list of pairs, of each principal and its permission, once")
    return grants


def _labels(value: Any, field: str) -> FrozenDict:
    if not isinstance(value, dict) or len(value) > MAX_LABELS:
        raise InvalidInputError.of(field, f"must be an object of at most {MAX_LABELS:,} labels")
    return frozen_dict({checked_own_label(label): read_number(number, field) for label, number in value.items()})


def _seed(value: Any, field: str) -> Seed:
    seed = Seed(**read_object(value, field, _SEED))
    if (seed.draft is None) != (seed.draft_hash is None):
        raise InvalidInputError.of(field, "must have both draft and draft_hash, or none")
    return seed


def _seeded_fields(value: Any, field: str) -> tuple[str, ...]:
    names = tuple(list_of(partial(read_choice, choices=CONTENT))(value, field))
    if not names or names != tuple(name for name in CONTENT if name in names):
        raise InvalidInputError.of(field, f"must be some of {', '.join(CONTENT)}, in this order")
    return names


def _synced(value: Any, field: str) -> dict[str, SyncBase]:
    if not isinstance(value, dict):
        raise InvalidInputError.of(field, "must be an object of targets")
    return {
        target if target == LIVE else checked_own_label(target): SyncBase(**read_object(base, field, _SYNC_BASE))
        for target, base in value.items()
    }


def _places(value: Any, field: str) -> FrozenList:
    places = list_of(_hash)(value, field)
    if not places:
        raise InvalidInputError.of(field, "must be null where there is none")
    return FrozenList(places)


def _failure(value: Any, field: str) -> FrozenList:
    return FrozenList(list_of(read_text)(value, field))


_hash = read_content_hash
_id = matching(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}", "a UUID of version 7")
_salt = matching(r"[0-9a-f]{32}", "32 of 0-9 a-f")
_base_number = partial(checked_number, least=0)  # 0 where no version equals what was synchronised

_SEED: Form = {
    "fields": _seeded_fields,
    "hash": _hash,
    "release": read_release,
    "version": optional(read_number),
    "draft": optional(read_number),
    "draft_hash": optional(_hash),
}
_SYNC_BASE: Form = {
    "source": read_text,
    "name": read_name,
    "version": _base_number,
    "hash": _hash,
    "archived_at": optional(read_time),
}
_PROMPT: Form = {
    "id": _id,
    "namespace": read_name,
    "name": read_name,
    "is_archived": read_flag,
    "is_disabled": read_flag,
    "access_grants": _grants,
    "labels": _labels,
    "production_version": optional(read_number),
    "latest_version": read_number,
    "last_version": read_number,
    "created_by": optional(read_identity),
    "created_at": read_time,
    "updated_at": read_time,
    "publications": list_of(read_number),
    "seed": optional(_seed),
    "synced": optional(_synced),
    "versions": read_number,
}
_VERSION: Form = {
    "number": read_number,
    "state": partial(read_choice, choices=get_args(State)),
    "name": read_name,
    "access_grants": _grants,
    "commit_message": read_text,
    "author": optional(read_identity),
    "base_version": optional(read_number),
    "created_at": read_time,
    "published_at": optional(read_time),
    "failure": optional(_failure),
}
"""The keys of a version beside its content."""

_previous_number: Form = {"previous": read_count}
_previous_status: Form = {"previous": partial(read_choice, choices=get_args(Status))}
_label_moved: Form = {"label": lambda value, field: checked_own_label(value), "previous": read_count}
_update_fields = list_of(partial(read_choice, choices=(*CONTENT, "commit_message")))
DETAILS: Mapping[str, tuple[Form, ...]] = {
    "create": ({"content_hash": _hash},),
    "update": ({"base": read_number, "fields": _update_fields, "content_hash": _hash},),
    "edit": ({"fields": _update_fields, "content_hash": _hash},),
    "publish": (_previous_number,),
    "rollback": ({**_previous_number, "reason": read_filled_text},),
    "check_failed": ({"reasons": list_of(read_text)}, {"failed": read_count}),
    "discard": ({},),
    "set_label": (_label_moved,),
    "remove_label": (_label_moved,),
    "rename": ({"previous": read_name, "to": read_name},),
    "grant": ({"grants": list_of(read_text)},),
    **dict.fromkeys(("disable", "enable", "archive", "restore", "delete"), (_previous_status,)),
}
"""The details of the events of each action, in each form that a release has written."""

_EVENT: Form = {
    "seq": read_number,
    "at": read_time,
    "actor": optional(read_identity),
    "action": partial(read_choice, choices=get_args(Action)),
    "namespace": read_name,
    "prompt_id": _id,
    "version": optional(read_number),
    "salt": optional(_salt),
    "name": optional(read_name),
    "details": lambda value, field: value,
    "commitment": _hash,
    "hash": _hash,
}
_DELETION: Form = {"prompt_id": _id, "at": read_time, "places": optional(_places)}
_COUNTS: Form = dict.fromkeys(Counts._fields, read_count)


def _prompt(value: Any, field: str) -> PromptEntry:
    read = read_object(value, field, _PROMPT)
    versions, publications = read.pop("versions"), tuple(read.pop("publications"))
    return PromptEntry(Container(**read, publications=len(publications)), publications, versions)


def _version(value: Any, field: str) -> VersionRecord:
    if not isinstance(value, dict):
        raise InvalidInputError.of(field, f"must be an object, not {type(value).__name__}")
    own: dict[str, Any] = {}
    content: dict[str, Any] = {}
    for key, item in value.items():
        (own if key in _VERSION else content)[key] = item
    read = read_object(own, field, _VERSION)
    try:
        return VersionRecord(**read, snapshot=read_snapshot(content))
    except InvalidInputError as error:
        raise error.within(field) from None


def _event(value: Any, field: str) -> EventEntry:
    entry = EventEntry(**read_object(value, field, _EVENT))
    kept = entry.salt, entry.name, entry.details
    if None not in kept:
        return entry._replace(details=_details(entry, f"{field}.details"))
    if kept != (None, None, None):
        raise InvalidInputError.of(field, "must have salt, name and details, or none of them")
    return entry


def _details(entry: EventEntry, field: str) -> FrozenDict:
    forms = DETAILS[entry.action]
    keys = set(entry.details) if isinstance(entry.details, dict) else set()
    form = next((form for form in forms if form.keys() == keys), forms[0])
    read = read_object(entry.details, field, form)
    return frozen_dict({key: FrozenList(item) if isinstance(item, list) else item for key, item in read.items()})


def _deletion(value: Any, field: str) -> DeletionEntry:
    return DeletionEntry(**read_object(value, field, _DELETION))


def _head(value: Any, field: str) -> Head:
    number = value.get("format") if isinstance(value, dict) else None
    if type(number) is int and FORMAT < number <= MAX_NUMBER:
        return Head(number, Counts(0, 0, 0, 0))  # whose other keys this release does not know
    read = read_object(value, field, {"format": partial(checked_number, least=1), **_COUNTS})
    return Head(read.pop("format"), Counts(**read))


def _end(value: Any, field: str) -> End:
    read = read_object(value, field, {**_COUNTS, "last_hash": _hash, "sha256": _hash})
    return End(Counts(*(read[name] for name in Counts._fields)), read["last_hash"], read["sha256"])


_KINDS: Mapping[str, Reader] = {
    "promptreg": _head,
    "prompt": _prompt,
    "version": _version,
    "event": _event,
    "deletion": _deletion,
    "end": _end,
}
