"""What a name or label that is not there may be meant for: sought where the error leaves its verb, and nowhere else.

So a `get` that a default answers, or a `save` that makes the prompt, pays nothing for it. What was found is kept for as
long as nothing in the database changes, as an application may ask for the same absent name again and again.
"""

from collections.abc import Hashable
from typing import Any

from promptreg.cache import Generation
from promptreg.errors import LISTED, NotFoundError, VersionNotFoundError
from promptreg.models import Actor
from promptreg.nearest import MAX_CANDIDATES, nearest
from promptreg.rules import access, lifecycle
from promptreg.rules.names import Reference, parse_reference
from promptreg.storage.base import Reader, Storage

MAX_KEPT = 1_000


class Hints:
    """What may be meant, by storage and who asks."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._kept: tuple[object, dict[Hashable, str]] = (None, {})

    def explain(
        self, error: NotFoundError, namespace: str, actor: Actor | None, generation: Generation[Any, Any]
    ) -> None:
        """Have the error say what may be meant; raise `StorageError` where that can't be read."""
        asked = error.details.get("version"), *(error.details.get("names") or (error.details.get("name"),))
        if type(error) not in {NotFoundError, VersionNotFoundError} or isinstance(asked[0], int):
            return
        key = namespace, actor, asked, error.message
        kept_for, kept = self._kept
        if not generation.is_current():
            kept = {}
        elif kept_for is not generation or len(kept) >= MAX_KEPT:
            kept = {}
            self._kept = generation, kept
        if key not in kept:
            with self._storage.read() as reader:
                kept[key] = _explained(reader, error, namespace, actor)
        error.restate(kept[key])


def _explained(reader: Reader, error: NotFoundError, namespace: str, actor: Actor | None) -> str:
    if isinstance(error, VersionNotFoundError):
        return _of_label(reader, error, namespace, actor)
    names: list[str] = error.details["names"]
    if error.message != lifecycle.not_found(names, namespace).message:  # another call's, that a handler let through
        return error.message
    return lifecycle.not_found(names, namespace, near=_near(reader, names, namespace, actor)).message


def _near(reader: Reader, names: list[str], namespace: str, actor: Actor | None) -> dict[str, str]:
    audience, found = access.audience(actor), {}
    for name in names[:LISTED]:
        if not parse_reference(name).is_id:
            near = nearest(name, reader.names_near(namespace, audience, name, limit=MAX_CANDIDATES))
            if near is not None:
                found[name] = near
    return found


def _of_label(reader: Reader, error: VersionNotFoundError, namespace: str, actor: Actor | None) -> str:
    label, name = error.details["version"], error.details["name"]
    (container,) = reader.find(namespace, [Reference(name, is_id=False)])
    if container is None or not access.may(actor, "read", container):  # as it has just gone
        return error.message
    near = nearest(label, container.all_labels())
    return lifecycle.version_not_found(container, label, near=near).message
