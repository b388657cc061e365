"""The arguments of each verb, read into one frozen value before anything is looked up (rule 18).

A reader raises one `InvalidInputError` with every bad argument. How a single argument is read is in `rules/inputs.py`
and `rules/names.py`. The verbs with many arguments pass them by name, as `locals()` holds them; a version's fields
among these are those of `SNAPSHOT_FIELDS`.
"""

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from promptreg.gathering import BadFields
from promptreg.models import UNSET, Actor
from promptreg.records import SNAPSHOT_FIELDS, Query
from promptreg.rules import access, inputs, names
from promptreg.rules.access import View
from promptreg.rules.inputs import Draft, Expected
from promptreg.rules.names import Reference, Selector
from promptreg.settings import read_actor

Arguments = Mapping[str, Any]
INITIAL_MESSAGE = "Initial version"


class Creation(NamedTuple):
    """The arguments of `create`."""

    name: str
    draft: Draft


class Save(NamedTuple):
    """The arguments of `save`: `initial` is the draft of a prompt that does not exist yet."""

    reference: Reference
    draft: Draft
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
    bad = BadFields()
    there = view.namespace if namespace is UNSET else bad.read(names.checked_name, namespace, "namespace")
    who: Actor | None = view.actor if actor is UNSET else bad.read(read_actor, actor)
    bad.require_none()
    if who is not None and actor is UNSET:
        who = access.moved(who, is_elsewhere=there != view.namespace)
    return View(there, who)


def read_create(given: Arguments) -> Creation:
    """Read the arguments of `create`."""
    bad = BadFields()
    name = bad.read(names.checked_name, given["name"])
    draft = _read_draft(bad, given, required=["template"])
    bad.require_none()
    return Creation(name, draft)


def read_save(given: Arguments) -> Save:
    """Read the arguments of `save`."""
    bad = BadFields()
    reference = bad.read(names.plain_reference, given["name"])
    message = UNSET if given["commit_message"] is None else given["commit_message"]
    draft = _read_draft(bad, {**given, "commit_message": message}, required=["template"])
    bad.require_none()
    initial = draft._replace(message=INITIAL_MESSAGE) if message is UNSET else draft
    return Save(reference, draft, initial)


def read_update(given: Arguments) -> Update:
    """Read the arguments of `update`."""
    bad = BadFields()
    version = bad.read(inputs.read_given, given["version"], "version")
    versioned = bad.read(names.read_versioned, given["name"], version if bad.are_none() else None)
    draft = _read_draft(bad, given)
    expected = bad.read(inputs.read_expected, version=given["expected_version"], content_hash=given["expected_hash"])
    not_in_place = ("is_production", "expected_version", "new_name", "access_grants")
    bad.read(inputs.require_in_place, versioned, **{name: given[name] for name in not_in_place})
    bad.require_none()
    message = None if given["commit_message"] is UNSET else draft.message
    return Update(*versioned, draft, message, expected)


def _read_draft(bad: BadFields, given: Arguments, *, required: Collection[str] = ()) -> Draft:
    """Read the fields of a version, and what `create`, `save` and `update` take beside them."""
    fields = {name: value for name, value in given.items() if name in SNAPSHOT_FIELDS}
    if required and fields["title"] is None:  # what is required has a title by default
        fields["title"] = UNSET
    edit = bad.read(inputs.read_edit, required=required, **fields)
    return bad.read(
        inputs.read_draft,
        edit=edit,
        message=given["commit_message"],
        is_production=given["is_production"],
        grants=given["access_grants"],
        new_name=given.get("new_name", UNSET),
    )


def read_publish(name: object, version: object, expected_production: object, expected_hash: object) -> Publication:
    """Read the arguments of `publish`."""
    bad = BadFields()
    versioned = bad.read(names.read_versioned, name, version)
    expected = bad.read(inputs.read_expected, production=expected_production, content_hash=expected_hash)
    bad.require_none()
    return Publication(*versioned, expected)


def read_rollback(name: object, version: object, reason: object, expected_production: object) -> Rollback:
    """Read the arguments of `rollback`."""
    bad = BadFields()
    versioned = bad.read(names.read_versioned, name, version)
    text = bad.read(inputs.read_filled_text, reason, "reason")
    expected = bad.read(inputs.read_expected, production=expected_production)
    bad.require_none()
    return Rollback(*versioned, text, expected)


def read_set_label(name: object, label: object, version: object) -> tuple[tuple[Reference, Selector], str]:
    """Read the arguments of `set_label`."""
    bad = BadFields()
    versioned = bad.read(names.read_one_version, name, version)
    own = bad.read(names.checked_own_label, label)
    bad.require_none()
    return versioned, own


def read_remove_label(name: object, label: object) -> tuple[Reference, str]:
    """Read the arguments of `remove_label`."""
    bad = BadFields()
    reference = bad.read(names.plain_reference, name)
    own = bad.read(names.checked_own_label, label)
    bad.require_none()
    return reference, own


def read_set_status(prompts: object, status: object, dry_run: object) -> StatusChange:
    """Read the arguments of `set_status`."""
    bad = BadFields()
    references = bad.read(names.read_references, prompts)
    target = bad.read(inputs.read_choice, status, "status", inputs.TARGET_STATUSES)
    is_dry_run = bad.read(inputs.read_flag, dry_run, "dry_run")
    bad.require_none()
    return StatusChange(references, target, is_dry_run)


def read_history(name: object, limit: object, before: object) -> tuple[Reference, int, Selector | None]:
    """Read the arguments of `history`."""
    bad = BadFields()
    reference = bad.read(names.plain_reference, name)
    most = bad.read(names.checked_number, limit, "limit", least=1)
    bound = None if before is None else bad.read(names.checked_selector, before, "before")
    bad.require_none()
    return reference, most, bound


def read_diff(name: object, old: object, new: object) -> tuple[Reference, Selector, Selector]:
    """Read the arguments of `diff`."""
    bad = BadFields()
    reference = bad.read(names.plain_reference, name)
    selectors = bad.read(names.checked_selector, old, "old"), bad.read(names.checked_selector, new, "new")
    bad.require_none()
    return reference, *selectors


def read_list(view: View, given: Arguments) -> Query:
    """Read the arguments of `list`."""
    bad = BadFields()
    filters = {name: given[name] for name in ("tag", "category", "created_by") if given[name] is not None}
    query = Query(
        namespace=view.namespace,
        audience=access.audience(view.actor),
        limit=bad.read(names.checked_number, given["limit"], "limit", least=1),
        statuses=bad.read(inputs.read_statuses, given["status"]),
        after="" if given["after"] is None else bad.read(names.read_cursor, given["after"]),
        **{name: bad.read(inputs.read_text, value, name) for name, value in filters.items()},
    )
    bad.require_none()
    return query


def read_search(view: View, text: object, status: object, limit: object) -> Query:
    """Read the arguments of `search`."""
    bad = BadFields()
    query = Query(
        namespace=view.namespace,
        audience=access.audience(view.actor),
        statuses=bad.read(inputs.read_statuses, status),
        limit=bad.read(names.checked_number, limit, "limit", least=1),
        text=bad.read(inputs.read_search, text),
    )
    bad.require_none()
    return query


def read_events(name: object, after: object, limit: object) -> tuple[Reference | None, int, int]:
    """Read the arguments of `events`."""
    bad = BadFields()
    reference = None if name is None else bad.read(names.plain_reference, name)
    first = bad.read(names.checked_number, after, "after", least=0)
    most = bad.read(names.checked_number, limit, "limit", least=1)
    bad.require_none()
    return reference, first, most
