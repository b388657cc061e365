"""Permissions: which relation to a prompt allows which action (rule 17).

An actor is related to a prompt by a role in the prompt's namespace, as its owner, or by a grant. An action is allowed
if one of the relations allows it. Calls without an actor come from the application itself, which may do everything.
"""

from collections.abc import Iterable
from typing import NamedTuple

from promptreg.errors import ForbiddenError, listed
from promptreg.models import Actor, Role
from promptreg.records import Audience, Container

MEMBER, EDITOR, ADMIN, ORG = Role.TEAM_MEMBER, Role.TEAM_EDITOR, Role.TEAM_ADMIN, Role.ORG_ADMIN
OWNER, WRITER, READER = "owner", "write grant", "read grant"

READING = frozenset({MEMBER, EDITOR, ADMIN, ORG, OWNER, WRITER, READER})
CREATING = frozenset({EDITOR, ADMIN, ORG})
CHANGING = frozenset({EDITOR, ADMIN, ORG, OWNER, WRITER})
KEEPING = frozenset({ADMIN, ORG, OWNER})
RETIRING = frozenset({ADMIN, ORG})

ALLOWED: dict[str, frozenset[str]] = {
    "read": READING,
    "create": CREATING,
    **dict.fromkeys(("update", "publish", "rollback", "set_label", "remove_label", "discard"), CHANGING),
    **dict.fromkeys(("disable", "enable"), CHANGING),
    **dict.fromkeys(("rename", "grant"), KEEPING),
    **dict.fromkeys(("archive", "restore", "delete"), RETIRING),
}


class View(NamedTuple):
    """The namespace that a call is made in, and the actor on whose behalf; None is the application itself.

    `operation_id` is that of calls that are made once, None for others.
    """

    namespace: str
    actor: Actor | None
    operation_id: str | None = None


def principals(actor: Actor) -> frozenset[str]:
    """Return every principal by which a grant may name this actor."""
    return frozenset({f"user:{actor.id}", *(f"group:{group}" for group in actor.groups), "anyone"})


def relations(actor: Actor, container: Container) -> set[str]:
    """Return how an actor is related to a prompt: by role, as the owner, by grants."""
    mine = principals(actor)
    granted = {g.permission for g in container.access_grants if g.principal in mine}
    held = {WRITER if permission == "write" else READER for permission in granted}
    if actor.id == container.created_by:
        held.add(OWNER)
    if actor.role is not None:
        held.add(actor.role)
    return held


def may(actor: Actor | None, action: str, container: Container) -> bool:
    """Return whether the actor may do this to this prompt."""
    return actor is None or not ALLOWED[action].isdisjoint(relations(actor, container))


def may_by_role(actor: Actor | None, action: str) -> bool:
    """Return whether the actor's role allows this in the namespace, whatever prompt it is about."""
    return actor is None or actor.role in ALLOWED[action]


def require(actor: Actor | None, actions: Iterable[str], container: Container) -> None:
    """Raise `ForbiddenError` for the first of these actions on the prompt that the actor is not allowed."""
    for action in actions:
        if not may(actor, action, container):
            raise forbidden([container.name], action)


def require_creating(actor: Actor | None, *names: str) -> None:
    """Raise `ForbiddenError` where the actor's role does not allow creating prompts in the namespace."""
    if not may_by_role(actor, "create"):
        raise forbidden([*names], "create")


def require_org_admin(actor: Actor | None, action: str, what: str) -> None:
    """Raise `ForbiddenError` for actors other than org admins; `what` is said to be what the action is about."""
    if actor is not None and actor.role is not Role.ORG_ADMIN:
        raise ForbiddenError(
            f"The actor may not {action} {what}; the application itself and org admins may.", names=[], action=action
        )


def forbidden(names: list[str], action: str) -> ForbiddenError:
    """Return the error for an action on prompts that the actor may read and not change."""
    return ForbiddenError(
        f"The actor may not {action} {listed(names)}; ask for a role or a grant that allows it.",
        names=names,
        action=action,
    )


def moved(actor: Actor, *, is_elsewhere: bool) -> Actor:
    """Return the actor as it is in another namespace: without its role, unless that is `org_admin`."""
    if not is_elsewhere or actor.role in {None, Role.ORG_ADMIN}:
        return actor
    return Actor(actor.id, None, actor.groups)


def audience_of_all_namespaces(actor: Actor | None, home: str) -> tuple[Audience, str | None]:
    """Return whose prompts are readable in any namespace, and the namespace in which a role makes all of them so."""
    if actor is None or actor.role is Role.ORG_ADMIN:
        return Audience(sees_all=True), home
    own = Audience(sees_all=False, actor=actor.id, principals=tuple(sorted(principals(actor))))
    return own, home if actor.role is not None else None


def audience(actor: Actor | None) -> Audience:
    """Return whose prompts a listing of the view's namespace may contain (rule 18)."""
    if actor is None or actor.role is not None:
        return Audience(sees_all=True)
    return Audience(sees_all=False, actor=actor.id, principals=tuple(sorted(principals(actor))))
