"""Changes of status, of one prompt or of ten thousand (rules 11 to 15).

A table holds the action for each target status and present status. Where it holds none, the prompt has the target
status already and is skipped.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

from promptreg.models import Action, Actor
from promptreg.records import Change, Container, NewEvent
from promptreg.rules import access
from promptreg.rules.inputs import STATUSES
from promptreg.rules.outcomes import Author
from promptreg.rules.refusals import archived

ACTIONS: dict[tuple[str, str], Action] = {
    ("active", "disabled"): "enable",
    ("active", "archived"): "restore",
    ("disabled", "active"): "disable",
    ("disabled", "archived"): "disable",
    ("archived", "active"): "archive",
    ("archived", "disabled"): "archive",
    ("deleted", "active"): "delete",
    ("deleted", "disabled"): "delete",
    ("deleted", "archived"): "delete",
}
REFUSED_WHEN_ARCHIVED = frozenset({"disable", "delete"})

EFFECTS: dict[Action, dict[str, bool]] = {
    "enable": {"is_disabled": False},
    "disable": {"is_disabled": True},
    "archive": {"is_archived": True},
    "restore": {"is_archived": False},
}


class StatusPlan(NamedTuple):
    """The changes of one call, the names of the prompts that it updates and skips, and all these prompts as they were.

    A prompt that has the target status already is skipped.
    """

    changes: tuple[Change, ...]
    updated: tuple[str, ...]
    skipped: tuple[str, ...]
    containers: tuple[Container, ...] = ()


def plan_statuses(containers: Sequence[Container], target: str, actor: Actor | None, author: Author) -> StatusPlan:
    """Change all these prompts to one status.

    Raises `ForbiddenError` and `NotModifiableError`, each with every prompt that is refused for that reason (rule 11).
    """
    actions = {status: ACTIONS.get((target, status)) for status in STATUSES}
    _require_allowed(containers, actions, actor)
    if actions["archived"] in REFUSED_WHEN_ARCHIVED:
        refused = [container.name for container in containers if container.is_archived]
        if refused:
            raise archived(refused)
    makers = {status: _maker(action, status, author) for status, action in actions.items() if action is not None}
    changes, skipped = [], []
    for container in containers:
        make = makers.get(container.status)
        if make is None:
            skipped.append(container.name)
        else:
            changes.append(make(container))
    updated = tuple(change.subject.name for change in changes)
    return StatusPlan(tuple(changes), updated, tuple(skipped), tuple(containers))


def change_of(container: Container, target: str, author: Author) -> Change:
    """Return the change of a prompt to a status that it does not have yet; nothing is refused."""
    return _maker(ACTIONS[target, container.status], container.status, author)(container)


def _require_allowed(
    containers: Sequence[Container], actions: Mapping[str, Action | None], actor: Actor | None
) -> None:
    if actor is None:
        return
    asked = [(container, actions[container.status]) for container in containers]
    refused = [(c.name, action) for c, action in asked if action is not None and not access.may(actor, action, c)]
    if refused:
        raise access.forbidden([name for name, _ in refused], refused[0][1])


def _maker(action: Action, status: str, author: Author) -> Callable[[Container], Change]:
    """Return a function that makes the change of a prompt that has this status."""
    events = (NewEvent(action, author.actor, details={"previous": status}),)
    if action == "delete":
        return lambda container: Change(container, None, events, author.now)
    effect, at = EFFECTS[action], author.now

    def change(container: Container) -> Change:
        is_archived = effect.get("is_archived", container.is_archived)
        is_disabled = effect.get("is_disabled", container.is_disabled)
        after = container.moved(is_archived=is_archived, is_disabled=is_disabled, at=at)
        return Change(container, after, events, at)

    return change
