"""Who may do what (rule 17): one table, and the questions that it answers.

Somebody stands to a prompt as what they are: a role held in the prompt's namespace, its owner, or
a grantee. An action is allowed when any of their standings allows it. With no actor, the call is
the application's own, which may do everything.
"""

from collections.abc import Iterable

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


def principals(actor: Actor) -> frozenset[str]:
    """Give every principal that a grant to this actor may name."""
    return frozenset({f"user:{actor.id}", *(f"group:{group}" for group in actor.groups), "anyone"})


def standings(actor: Actor, container: Container) -> set[str]:
    """Give all that the actor is to the prompt: its role, owner, the grants that name it."""
    mine = principals(actor)
    granted = {g.permission for g in container.access_grants if g.principal in mine}
    held = {WRITER if permission == "write" else READER for permission in granted}
    if actor.id == container.created_by:
        held.add(OWNER)
    if actor.role is not None:
        held.add(actor.role)
    return held


def may(actor: Actor | None, action: str, container: Container) -> bool:
    """Tell whether the actor may do this to this prompt."""
    return actor is None or not ALLOWED[action].isdisjoint(standings(actor, container))


def require(actor: Actor | None, actions: Iterable[str], container: Container) -> None:
    """Raise `ForbiddenError` for the first of these actions that the actor may not do to this prompt."""
    for action in actions:
        if not may(actor, action, container):
            raise forbidden([container.name], action)


def require_creating(actor: Actor | None, name: str) -> None:
    """Raise `ForbiddenError` unless the actor's role lets it create prompts here."""
    if actor is not None and actor.role not in ALLOWED["create"]:
        raise forbidden([name], "create")


def require_verifying(actor: Actor | None) -> None:
    """Raise `ForbiddenError` unless the caller is the application or an admin of the whole organisation."""
    if actor is not None and actor.role is not Role.ORG_ADMIN:
        raise ForbiddenError(
            "The actor may not verify a registry; the application itself and org admins may.", names=[], action="verify"
        )


def forbidden(names: list[str], action: str) -> ForbiddenError:
    """Give the refusal of an action on prompts that the actor may read."""
    return ForbiddenError(
        f"The actor may not {action} {listed(names)}; ask for a role or a grant that allows it.",
        names=names,
        action=action,
    )


def moved(actor: Actor, *, is_elsewhere: bool) -> Actor:
    """Give the actor in another namespace: the role stays behind, unless it is `org_admin`."""
    if not is_elsewhere or actor.role in {None, Role.ORG_ADMIN}:
        return actor
    return Actor(actor.id, None, actor.groups)


def reach(actor: Actor | None, home: str) -> tuple[Audience, str | None]:
    """Give whose prompts count over all namespaces, and the namespace where all do: a role's own."""
    if actor is None or actor.role is Role.ORG_ADMIN:
        return Audience(sees_all=True), home
    own = Audience(sees_all=False, actor=actor.id, principals=tuple(sorted(principals(actor))))
    return own, home if actor.role is not None else None


def audience(actor: Actor | None) -> Audience:
    """Give whose prompts a listing in the view's namespace may hold (rule 18)."""
    if actor is None or actor.role is not None:
        return Audience(sees_all=True)
    return Audience(sees_all=False, actor=actor.id, principals=tuple(sorted(principals(actor))))
