"""Calls that are made once (`Registry.once`): what identifies a call, what is remembered of it, and who may repeat it.

A call is identified by its operation id, actor, namespace and verb, and by its arguments as they were read: so what was
passed and what is the default are equal, and so are tags, grants and names in another order. Only the hash of that is
stored, and of what the call wrote only ids, numbers of versions and actions, so that rule 15 holds.
"""

import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from promptreg.errors import InvalidInputError, NotFoundError, listed
from promptreg.jsonvalues import canonical, compact, digest, parse
from promptreg.models import Event, Grant
from promptreg.records import CONTENT, Container, Link, NewEvent
from promptreg.rules import access
from promptreg.rules.access import View
from promptreg.rules.inputs import read_any_text
from promptreg.rules.names import Reference
from promptreg.rules.version_fields import Edit
from promptreg.untrusted import reads_untrusted

MAX_OPERATION_ID = 200
NO_LINK: Link = (0, "0" * 64)
"""Stands for the first event of a write that has none."""

_PERMISSIONS = {"edit": "update"}  # the permission that an event's action needs, where it has another name
_SAVING = {"save": "update", "seed": "update"}
_OF_STATUSES = frozenset({"set_status", "archive", "restore", "enable", "disable", "delete"})
_WITH_VERSION = frozenset({"create", "save", "update", "publish", "publish_all", "rollback", "rollback_all"})
_UNKNOWN = re.compile(r"commit\.([0-9]{1,18})\.([1-9][0-9]{0,8})\.([0-9a-f]{64})\.([0-9a-f]{64})")


class Call(NamedTuple):
    """A call that writes: its verb, and its arguments as they were read."""

    verb: str
    arguments: Any

    @property
    def references(self) -> list[Reference]:
        """The prompts that the call names, in its order, each once."""
        return list(dict.fromkeys(reference._replace(selector=None) for reference in _references(self.arguments)))

    @property
    def permission(self) -> str:
        """The action that the verb itself needs, also where it changes nothing."""
        return "read" if self.verb in _OF_STATUSES else _SAVING.get(self.verb, self.verb.removesuffix("_all"))

    @property
    def is_about_version(self) -> bool:
        """Whether the call returns the version that it wrote or chose; otherwise what is shown of the prompt now."""
        return self.verb in _WITH_VERSION

    def hash(self, view: View) -> str:
        """Return what identifies the call, but for its operation id."""
        actor = None if view.actor is None else view.actor.id
        return digest([actor, view.namespace, self.verb, _plain(self.arguments)])

    def key(self, view: View, operation_id: str) -> str:
        """Return the key that the call is remembered under."""
        return digest([operation_id, self.hash(view)])


def _references(value: Any) -> Iterator[Reference]:
    if isinstance(value, Reference):
        yield value
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _references(item)


def _plain(value: Any) -> Any:
    """Return arguments as JSON in which equal calls are equal; a version that `@` chooses stands beside its prompt."""
    if isinstance(value, Reference):
        return [value.text, value.is_id]
    if isinstance(value, Edit):
        return {name: CONTENT[name].normal(content) for name, content in value.passed.items()}
    if isinstance(value, Grant):
        return [value.principal, value.permission]
    if isinstance(value, list | tuple):
        items = [_plain(item) for item in value]
        return sorted(items, key=canonical) if all(map(_is_unordered, value)) else items
    return value


def _is_unordered(item: Any) -> bool:
    """Return whether the order does not count in which a call names these: prompts, prompts with versions, grants."""
    named = item[0] if type(item) is tuple and item else item
    return isinstance(named, Reference | Grant)


# What is remembered


class Entry(NamedTuple):
    """What a call did of one prompt: which version it returned, if that is its matter, and the permissions it took."""

    prompt_id: str
    version: int | None
    actions: tuple[str, ...]

    @property
    def is_deletion(self) -> bool:
        """Whether the call deleted the prompt."""
        return "delete" in self.actions


def entry_of(call: Call, prompt_id: str, version: int | None, events: Sequence[Event | NewEvent]) -> Entry:
    """Return what is remembered of a prompt that has these events from a call, or none as it was left as it was."""
    actions = dict.fromkeys(_PERMISSIONS.get(event.action, event.action) for event in events)
    return Entry(prompt_id, version if call.is_about_version else None, tuple(actions) or (call.permission,))


def encoded(entries: Sequence[Entry]) -> str:
    """Return the text that is stored.

    >>> encoded([Entry("(an id)", 2, ("update",))])
    '[["(an id)",2,"update"]]'
    """
    return compact([[entry.prompt_id, entry.version, *entry.actions] for entry in entries])


def decoded(text: str) -> list[Entry]:
    """Return the entries of a stored text."""
    return [Entry(prompt_id, version, tuple(actions)) for prompt_id, version, *actions in parse(text)]


def in_order(references: Sequence[Reference]) -> list[Reference]:
    """Return prompts in the order in which their entries are stored, whatever the order that a call names them in."""
    return sorted(references)


def require_allowed(view: View, named: Sequence[tuple[Reference, Entry]], readable: Sequence[Container | None]) -> None:
    """Refuse to repeat a call about prompts that are gone, or that the actor may no longer do (rules 17 and 18).

    `readable` has each prompt as it is now, None where it is absent or the actor may not read it.
    """
    pairs = list(zip(named, readable, strict=True))
    absent = [ref.text for (ref, entry), found in pairs if found is None and not _may_be_gone(view, entry)]
    if absent:
        raise gone(absent)
    refused = {
        reference.text if container is None else container.name: action
        for (reference, entry), container in pairs
        for action in reversed(entry.actions)
        if not _is_allowed(view, action, container)
    }
    if refused:
        raise access.forbidden([*refused], next(iter(refused.values())))


def _is_allowed(view: View, action: str, container: Container | None) -> bool:
    """Return whether the actor is allowed an action; on a prompt that is gone its role decides."""
    return access.may_by_role(view.actor, action) if container is None else access.may(view.actor, action, container)


def _may_be_gone(view: View, entry: Entry) -> bool:
    """Return whether the call itself deleted the prompt, which whoever has a role in the namespace could read."""
    return entry.is_deletion and (view.actor is None or view.actor.role is not None)


def gone(names: list[str]) -> NotFoundError:
    """Return the error for a repeated call about prompts that are not there any longer."""
    return NotFoundError(
        f"This call was made before under its operation id, and what it wrote of {listed(names)} is not there any"
        " longer; use another operation id to write it again.",
        names=names,
    )


# Operation ids


class UnknownCommit(NamedTuple):
    """A commit whose outcome its caller could not be told: its first event, how many there are, and the call's hash."""

    first: Link
    events: int
    call: str


@reads_untrusted("operation_id")
def read_operation_id(value: object) -> str:
    """Read the id of an operation: a text of 1 to 200 characters."""
    text = read_any_text(value, "operation_id")
    if not 1 <= len(text) <= MAX_OPERATION_ID:
        raise InvalidInputError.of(
            "operation_id", f"has {len(text):,} characters; it must be a text of 1 to {MAX_OPERATION_ID}"
        )
    return text


def operation_id_of(unknown: UnknownCommit) -> str:
    """Return the operation id that stands for a commit: all that is to be known of it, so that nothing is stored."""
    (seq, hash_), events, call = unknown
    return f"commit.{seq}.{events}.{hash_}.{call}"


def unknown_commit(operation_id: str) -> UnknownCommit | None:
    """Return the commit that an operation id stands for; None for any other id, and where the commit has no event.

    >>> unknown_commit(operation_id_of(UnknownCommit((7, "ab" * 32), 2, "cd" * 32))).first[0]
    7
    >>> unknown_commit("deploy-42") is None
    True
    """
    found = _UNKNOWN.fullmatch(operation_id)
    return None if found is None else UnknownCommit((int(found[1]), found[3]), int(found[2]), found[4])
