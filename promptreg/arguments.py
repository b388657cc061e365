"""The arguments of each verb, read into one frozen value before anything is looked up (rule 18).

A reader raises one `InvalidInputError` with every bad argument. How a single argument is read is decided in
`rules/version_fields.py`, `rules/inputs.py` and `rules/names.py`. Verbs with many arguments pass their `locals()`, a
mapping of the arguments by name; which of them are fields of a version is the table `records.CONTENT`.
"""

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple, TypeVar

from promptreg.models import UNSET, Actor
from promptreg.records import CONTENT, EventQuery, Query
from promptreg.rendering.limits import RenderLimits, readable_characters
from promptreg.rules import access, inputs, names, seeding, version_fields
from promptreg.rules.access import View
from promptreg.rules.inputs import Expected, Progress
from promptreg.rules.names import Reference, Selector
from promptreg.rules.seeding import Shipped
from promptreg.rules.sets import PromptSet, read_set
from promptreg.rules.version_fields import Draft
from promptreg.settings import read_actor, read_seconds
from promptreg.storage.opening import read_new_path
from promptreg.untrusted import FieldReader

T = TypeVar("T")

Arguments = Mapping[str, Any]
INITIAL_MESSAGE = "Initial version"


class Creation(NamedTuple):
    """The arguments of `create`."""

    reference: Reference
    draft: Draft


class Save(NamedTuple):
    """The arguments of `save`: `initial` is the draft of a prompt that does not exist yet."""

    reference: Reference
    draft: Draft
    initial: Draft


class Seeding(NamedTuple):
    """The arguments of `seed`: `initial` is the draft of a prompt that does not exist yet."""

    reference: Reference
    shipped: Shipped
    initial: Draft


class Update(NamedTuple):
    """The arguments of `update`: with a selector, of an edit in place. `message` is None where none was passed."""

    reference: Reference
    selector: Selector | None
    draft: Draft
    message: str | None
    expected: Expected


class Publication(NamedTuple):
    """The arguments of `publish`."""

    reference: Reference
    selector: Selector | None
    expected: Expected


class Rollback(NamedTuple):
    """The arguments of `rollback`."""

    reference: Reference
    selector: Selector | None
    reason: str
    expected: Expected


class StatusChange(NamedTuple):
    """The arguments of `set_status`."""

    references: list[Reference]
    status: str
    is_dry_run: bool


def read_scope(view: View, namespace: object, actor: object) -> View:
    """Return another view: what is not passed is unchanged, but for a role in another namespace (rule 17)."""
    fields = FieldReader()
    there = view.namespace if namespace is UNSET else fields.read(names.checked_name, namespace, "namespace")
    who: Actor | None = view.actor if actor is UNSET else fields.read(read_actor, actor)
    fields.require_valid()
    if who is not None and actor is UNSET:
        who = access.moved(who, is_elsewhere=there != view.namespace)
    return view._replace(namespace=there, actor=who)


def read_create(given: Arguments, limits: RenderLimits) -> Creation:
    """Read the arguments of `create`."""
    fields = FieldReader()
    name = fields.read(names.checked_name, given["name"])
    draft = _read_draft(fields, given, limits, required=["template"])
    fields.require_valid()
    return Creation(Reference(name, is_id=False), draft)


def read_save(given: Arguments, limits: RenderLimits) -> Save:
    """Read the arguments of `save`."""
    fields = FieldReader()
    reference = fields.read(names.plain_reference, given["name"])
    message = UNSET if given["commit_message"] is None else given["commit_message"]
    draft = _read_draft(fields, {**given, "commit_message": message}, limits, required=["template"])
    fields.require_valid()
    initial = draft._replace(message=INITIAL_MESSAGE) if message is UNSET else draft
    return Save(reference, draft, initial)


def read_seed(given: Arguments, limits: RenderLimits) -> Seeding:
    """Read the arguments of `seed`: those of `save` that go live, and what decides where people changed the prompt."""
    fields = FieldReader()
    save = fields.read(read_save, {**given, "is_production": True}, limits)
    on_conflict = fields.read(inputs.read_choice, given["on_conflict"], "on_conflict", inputs.ON_CONFLICT)
    release = fields.read(inputs.read_release, given["release"])
    fields.require_valid()
    message = None if given["commit_message"] is None else save.draft.message
    shipped = seeding.shipped(save.draft._replace(grants=None), message, on_conflict, release)
    return Seeding(save.reference, shipped, save.initial)


def read_update(given: Arguments, limits: RenderLimits) -> Update:
    """Read the arguments of `update`."""
    fields = FieldReader()
    version = fields.read(inputs.read_given, given["version"], "version")
    versioned = fields.read(names.read_versioned, given["name"], version if fields.are_valid() else None)
    draft = _read_draft(fields, given, limits)
    expected = fields.read(inputs.read_expected, version=given["expected_version"], content_hash=given["expected_hash"])
    not_in_place = ("is_production", "expected_version", "new_name", "access_grants")
    fields.read(version_fields.require_in_place, versioned, **{name: given[name] for name in not_in_place})
    fields.require_valid()
    message = None if given["commit_message"] is UNSET else draft.message
    return Update(*versioned, draft, message, expected)


def _read_draft(
    fields: FieldReader, given: Arguments, limits: RenderLimits, *, required: Collection[str] = ()
) -> Draft:
    """Read the fields of a version, and what `create`, `save` and `update` take beside them."""
    passed = {name: value for name, value in given.items() if name in CONTENT}
    if required and passed["title"] is None:  # a new prompt has a title by default
        passed["title"] = UNSET
    edit = fields.read(version_fields.read_edit, most=readable_characters(limits), required=required, **passed)
    return fields.read(
        version_fields.read_draft,
        edit=edit,
        message=given["commit_message"],
        is_production=given["is_production"],
        grants=given["access_grants"],
        new_name=given.get("new_name", UNSET),
    )


def read_publish(name: object, version: object, expected_production: object, expected_hash: object) -> Publication:
    """Read the arguments of `publish`."""
    fields = FieldReader()
    versioned = fields.read(names.read_versioned, name, version)
    expected = fields.read(inputs.read_expected, production=expected_production, content_hash=expected_hash)
    fields.require_valid()
    return Publication(*versioned, expected)


def read_rollback(name: object, version: object, reason: object, expected_production: object) -> Rollback:
    """Read the arguments of `rollback`."""
    fields = FieldReader()
    versioned = fields.read(names.read_versioned, name, version)
    text = fields.read(inputs.read_filled_text, reason, "reason")
    expected = fields.read(inputs.read_expected, production=expected_production)
    fields.require_valid()
    return Rollback(*versioned, text, expected)


def read_rollback_all(
    references: object, version: object, reason: object, expected_production: object
) -> tuple[PromptSet, str]:
    """Read the arguments of `rollback` of several prompts."""
    fields = FieldReader()
    prompts = fields.read(read_set, references, version, production=expected_production)
    text = fields.read(inputs.read_filled_text, reason, "reason")
    fields.require_valid()
    return prompts, text


def read_set_label(name: object, label: object, version: object) -> tuple[tuple[Reference, Selector], str]:
    """Read the arguments of `set_label`."""
    fields = FieldReader()
    versioned = fields.read(names.read_one_version, name, version)
    own = fields.read(names.checked_own_label, label)
    fields.require_valid()
    return versioned, own


def read_remove_label(name: object, label: object) -> tuple[Reference, str]:
    """Read the arguments of `remove_label`."""
    fields = FieldReader()
    reference = fields.read(names.plain_reference, name)
    own = fields.read(names.checked_own_label, label)
    fields.require_valid()
    return reference, own


def read_set_status(prompts: object, status: object, dry_run: object) -> StatusChange:
    """Read the arguments of `set_status`."""
    fields = FieldReader()
    references = fields.read(names.read_references, prompts)
    target = fields.read(inputs.read_choice, status, "status", inputs.TARGET_STATUSES)
    is_dry_run = fields.read(inputs.read_flag, dry_run, "dry_run")
    fields.require_valid()
    return StatusChange(references, target, is_dry_run)


def read_history(name: object, limit: object, before: object) -> tuple[Reference, int, Selector | None]:
    """Read the arguments of `history`."""
    fields = FieldReader()
    reference = fields.read(names.plain_reference, name)
    most = fields.read(names.checked_number, limit, "limit", least=1)
    bound = None if before is None else fields.read(names.checked_selector, before, "before")
    fields.require_valid()
    return reference, most, bound


def read_diff(name: object, old: object, new: object) -> tuple[Reference, Selector, Selector]:
    """Read the arguments of `diff`."""
    fields = FieldReader()
    reference = fields.read(names.plain_reference, name)
    selectors = fields.read(names.checked_selector, old, "old"), fields.read(names.checked_selector, new, "new")
    fields.require_valid()
    return reference, *selectors


def read_list(view: View, given: Arguments) -> Query:
    """Read the arguments of `list`."""
    fields = FieldReader()
    query = _read_filters(fields, view, given)._replace(
        created_by=fields.read(inputs.read_text_filter, given["created_by"], "created_by"),
        prefix=fields.read(names.read_prefix, given["prefix"]),
        label=None if given["label"] is None else fields.read(names.checked_label, given["label"], is_own=True),
        after="" if given["after"] is None else fields.read(names.read_cursor, given["after"]),
    )
    fields.require_valid()
    return query


def read_search(view: View, given: Arguments) -> Query:
    """Read the arguments of `search`."""
    fields = FieldReader()
    query = _read_filters(fields, view, given)._replace(text=fields.read(inputs.read_search, given["text"]))
    fields.require_valid()
    return query


def _read_filters(fields: FieldReader, view: View, given: Arguments) -> Query:
    """Read what `list` and `search` both take."""
    return Query(
        namespace=view.namespace,
        audience=access.audience(view.actor),
        statuses=fields.read(inputs.read_statuses, given["status"]),
        limit=fields.read(names.checked_number, given["limit"], "limit", least=1),
        tags=fields.read(inputs.read_tag_filter, given["tag"]),
        category=fields.read(inputs.read_text_filter, given["category"], "category"),
    )


def read_events(view: View, given: Arguments) -> tuple[Reference | None, EventQuery]:
    """Read the arguments of `events`: a prompt, if one is named, and the filters."""
    fields = FieldReader()
    reference = None if given["name"] is None else fields.read(names.plain_reference, given["name"])
    query = EventQuery(
        namespace=view.namespace,
        audience=access.audience(view.actor),
        after=fields.read(names.checked_number, given["after"], "after", least=0),
        limit=fields.read(names.checked_number, given["limit"], "limit", least=1),
        newest_first=fields.read(inputs.read_flag, given["newest_first"], "newest_first"),
        actions=fields.read(inputs.read_actions, given["action"]),
    )
    fields.require_valid()
    return reference, query


def read_verify(head: object, progress: object) -> tuple[str | None, Progress]:
    """Read the arguments of `verify`: the head that must be in the chain, if any, and where progress is reported to."""
    fields = FieldReader()
    kept = None if head is None else fields.read(inputs.read_head, head, "head")
    report = fields.read(inputs.read_progress, progress)
    fields.require_valid()
    return kept, report


def read_backup(path: object, progress: object) -> tuple[str, Progress]:
    """Read the arguments of `backup`: the path of the new file, and where progress is reported to."""
    fields = FieldReader()
    target = fields.read(read_new_path, path)
    report = fields.read(inputs.read_progress, progress)
    fields.require_valid()
    return target, report


def read_report(prompts: object, all_versions: object) -> tuple[list[Reference] | None, bool]:
    """Read the arguments of `report`: the prompts, None for all, and whether every version is shown."""
    fields = FieldReader()
    references = None if prompts is None else fields.read(names.read_references, prompts)
    is_all = fields.read(inputs.read_flag, all_versions, "all_versions")
    fields.require_valid()
    return references, is_all


def read_wait(revision: object, timeout: object) -> tuple[int, float | None]:
    """Read the arguments of `wait_for`: a revision and seconds."""
    fields = FieldReader()
    wanted = fields.read(names.checked_number, revision, "revision", least=0)
    seconds = None if timeout is None else fields.read(read_seconds, timeout, "timeout")
    fields.require_valid()
    return wanted, seconds
