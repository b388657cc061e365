"""Suggestions in errors: the existing name or label that may be meant by one that does not exist.

They are read from the storage when an error leaves its verb, and at no other time, so a `get` that returns its default
and a `save` that creates the prompt pay nothing for them. Suggestions are kept for as long as nothing in the database
changes, because an application may ask for the same absent name again and again.
"""

from collections.abc import Hashable, Iterable
from typing import Any

from promptreg.cache import Generation
from promptreg.errors import LISTED, NotFoundError, VersionNotFoundError
from promptreg.nearest import MAX_CANDIDATES, nearest
from promptreg.rules import access
from promptreg.rules.access import View
from promptreg.rules.names import Reference, Selector, parse_reference
from promptreg.rules.refusals import not_found, version_not_found
from promptreg.rules.together import sentences
from promptreg.storage.base import Reader, Storage

MAX_KEPT = 1_000


class Suggestions:
    """The messages with suggestions of one registry, by the view and what was asked for."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._kept: tuple[Generation | None, dict[Hashable, str]] = (None, {})

    def add_to(self, error: NotFoundError, view: View, generation: Generation) -> None:
        """Add a suggestion to the message of an error; raise `StorageError` where none can be read."""
        asked = tuple((refusal["name"], refusal["version"]) for refusal in _refusals(error)[:LISTED])
        if type(error) not in {NotFoundError, VersionNotFoundError} or (asked and not _has_label(asked)):
            return
        key = view, *asked, error.message
        kept_for, kept = self._kept
        if not generation.is_current():
            kept = {}
        elif kept_for is not generation or len(kept) >= MAX_KEPT:
            kept = {}
            self._kept = generation, kept
        if key not in kept:
            with self._storage.read() as reader:
                kept[key] = _message(reader, error, view)
        error.restate(kept[key])


def _message(reader: Reader, error: NotFoundError, view: View) -> str:
    if isinstance(error, VersionNotFoundError):
        return _message_for_labels(reader, error, view)
    names: list[str] = error.details["names"]
    if error.message != not_found(names, view.namespace).message:  # an error of another call that a handler raised
        return error.message
    return not_found(names, view.namespace, near=_near(reader, names, view)).message


def _near(reader: Reader, names: list[str], view: View) -> dict[str, str]:
    audience, found = access.audience(view.actor), {}
    for name in names[:LISTED]:
        if not parse_reference(name).is_id:
            near = nearest(name, reader.names_near(view.namespace, audience, name, limit=MAX_CANDIDATES))
            if near is not None:
                found[name] = near
    return found


def _refusals(error: NotFoundError) -> list[dict[str, Any]]:
    """Return the details of each unknown version: of a call about several prompts there may be several."""
    if not isinstance(error, VersionNotFoundError):
        return []
    return error.details.get("refusals") or [error.details]


def _has_label(asked: Iterable[tuple[str, Selector]]) -> bool:
    return any(isinstance(version, str) for _, version in asked)


def _message_for_labels(reader: Reader, error: VersionNotFoundError, view: View) -> str:
    refusals = _refusals(error)
    messages = [refusal.get("message", error.message) for refusal in refusals]
    shown = refusals[:LISTED]
    found = reader.find(view.namespace, [Reference(refusal["name"], is_id=False) for refusal in shown])
    for i, (refusal, container) in enumerate(zip(shown, found, strict=True)):
        label = refusal["version"]
        if isinstance(label, str) and container is not None and access.may(view.actor, "read", container):
            near = nearest(label, container.all_labels())
            messages[i] = version_not_found(container, label, near=near).message
    return sentences(messages)
