"""Translation of errors of PostgreSQL and of psycopg into ours, with the cause kept.

A server says with a SQLSTATE what failed; the texts beside it are in its own language. Of these only the first line is
repeated, as the others may quote rows.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import psycopg

from promptreg.errors import (
    RETRY_AFTER,
    CommitUnknownError,
    ConflictError,
    PromptregError,
    StorageBusyError,
    StorageCorruptError,
    StorageError,
    StorageFullError,
    StorageReadOnlyError,
)
from promptreg.storage.postgres.guards import DAMAGED
from promptreg.storage.postgres.wire import LostError, RefusedError, TooManyError, UnansweredError, UnreachableError

NOT_PERMITTED = "42501"
TABLES = "SELECT, INSERT, UPDATE, DELETE"


class Place(NamedTuple):
    """The database that an error is about: how users know it, its schema, and the role that this process has there."""

    location: str
    schema: str
    role: str


def translate(error: psycopg.Error, place: Place, *, is_write: bool = False) -> PromptregError:
    """Return our error for one of psycopg, in a write transaction or elsewhere."""
    fact = str(error).strip().partition("\n")[0] or type(error).__name__
    for kind, of_kind in _OF_KINDS.items():
        if isinstance(error, kind):
            return of_kind(fact, place)
    state = error.sqlstate or ""
    if state == NOT_PERMITTED and is_write:
        return _may_not_write(fact, place)
    of_state = _OF_STATES.get(state) or _OF_CLASSES.get(state[:2])
    return _unusable(f"{fact} [{state or type(error).__name__}]", place) if of_state is None else of_state(fact, place)


def commit_unknown(error: psycopg.Error, place: Place) -> CommitUnknownError:
    """Return the error of a commit whose outcome is unknown, as the connection broke or no answer came."""
    return CommitUnknownError(
        f"The commit to {place.location} was not answered ({error}), and whether it holds could not be found out.",
        reason="commit_unknown",
    )


def forked() -> StorageError:
    """Return the refusal of a call that a fork has interrupted, in the child."""
    return StorageError(
        "This process was forked in the middle of this call, which goes on in the parent only; call again.",
        reason="fork",
    )


def _unreachable(fact: str, place: Place) -> StorageError:
    return StorageError(
        f"No server answers for {place.location}: {fact}; see that the URL is right, and that the server runs and can"
        " be reached.",
        reason="unreachable",
    )


def _refused(fact: str, place: Place) -> StorageError:
    return StorageError(
        f"The server refused to connect to {place.location}: {fact}; see that the URL, the user and the password"
        " are right, and that the database exists.",
        reason="refused",
    )


def _lost(fact: str, place: Place) -> StorageError:
    return StorageError(
        f"The connection to {place.location} was lost ({fact}); nothing was written. Try again.",
        reason="connection_lost",
    )


def _unanswered(_: str, place: Place) -> StorageBusyError:
    return StorageBusyError(
        f"{place.location} did not answer in time; try again, or wait longer with busy_timeout.",
        reason="unanswered",
        retry_after=RETRY_AFTER,
    )


def _busy(fact: str, place: Place) -> StorageBusyError:
    return StorageBusyError(
        f"{place.location} is in use ({fact}); try again, or wait longer with busy_timeout.",
        reason="busy",
        retry_after=RETRY_AFTER,
    )


def _too_many(fact: str, place: Place) -> StorageBusyError:
    return StorageBusyError(
        f"The server has no connection left for {place.location} ({fact}); try again, raise max_connections or the"
        " role's CONNECTION LIMIT, or connect through a pooler.",
        reason="busy",
        retry_after=RETRY_AFTER,
    )


def _full(fact: str, place: Place) -> StorageFullError:
    return StorageFullError(
        f"The server of {place.location} has no room ({fact}); nothing was written. Make room on its disk.",
        reason="full",
        retry_after=None,
    )


def _read_only(fact: str, place: Place) -> StorageReadOnlyError:
    return StorageReadOnlyError(
        f"{place.location} can't be written ({fact}): it is a standby, or default_transaction_read_only is on; connect"
        " to the primary (target_session_attrs=read-write), or turn that off.",
        reason="read_only",
        retry_after=None,
    )


def _not_permitted(fact: str, place: Place) -> StorageError:
    return StorageError(_ask_for_grants(fact, place), reason="permission")


def _may_not_write(fact: str, place: Place) -> StorageReadOnlyError:
    return StorageReadOnlyError(_ask_for_grants(fact, place), reason="permission", retry_after=None)


def _ask_for_grants(fact: str, place: Place) -> str:
    return (
        f'The role "{place.role}" may not use {place.location} ({fact}). Let the schema\'s owner run: {_grants(place)}.'
    )


def _grants(place: Place) -> str:
    schema, role = place.schema, place.role
    return (
        f'GRANT USAGE ON SCHEMA "{schema}" TO "{role}"; GRANT {TABLES} ON ALL TABLES IN SCHEMA "{schema}" TO "{role}"'
    )


def may_not_create(fact: str, place: Place, database: str, *, has_schema: bool) -> StorageReadOnlyError:
    """Return the error of a role that may not make the schema, or what belongs in it."""
    what = f'SCHEMA "{place.schema}"' if has_schema else f'DATABASE "{database}"'
    return StorageReadOnlyError(
        f'The role "{place.role}" may not make the registry of {place.location} ({fact}). Let the owner run: GRANT'
        f' CREATE ON {what} TO "{place.role}"; or open it once as the owner, and then: {_grants(place)}.',
        reason="permission",
        retry_after=None,
    )


def _removed(fact: str, place: Place) -> StorageError:
    return StorageError(
        f"{place.location} was removed, or holds other tables ({fact}); open another registry.", reason="removed"
    )


def _damaged(fact: str, place: Place) -> StorageCorruptError:
    return StorageCorruptError(f"{place.location} is damaged ({fact}); restore a copy.", reason="damaged")


def _found_damaged(fact: str, _: Place) -> StorageCorruptError:
    return StorageCorruptError(fact, reason="damaged")


def _conflict(fact: str, _: Place) -> ConflictError:
    return ConflictError(f"The database refused the change: {fact}.")


def _unusable(fact: str, place: Place) -> StorageError:
    return StorageError(f"{place.location} can't be used: {fact}.", reason="unusable")


_Translation = Callable[[str, Place], PromptregError]
_OF_KINDS: Mapping[type[psycopg.Error], _Translation] = {
    UnreachableError: _unreachable,
    TooManyError: _too_many,
    RefusedError: _refused,
    LostError: _lost,
    UnansweredError: _unanswered,
}
_OF_STATES: Mapping[str, _Translation] = {
    "23000": _conflict,  # of our own triggers
    "23505": _conflict,  # unique_violation
    "25006": _read_only,
    "3F000": _removed,  # invalid_schema_name
    "40001": _busy,  # serialization_failure
    "40P01": _busy,  # deadlock_detected
    NOT_PERMITTED: _not_permitted,
    "42703": _removed,  # undefined_column
    "42883": _removed,  # undefined_function
    "42P01": _removed,  # undefined_table
    "53100": _full,
    "53300": _too_many,  # too_many_connections
    "55P03": _busy,  # lock_not_available, after lock_timeout
    "57014": _busy,  # query_canceled, after statement_timeout
    "58P01": _damaged,  # undefined_file
    DAMAGED: _found_damaged,
}
_OF_CLASSES: Mapping[str, _Translation] = {
    "08": _lost,
    "23": _damaged,  # constraints that our own writes never violate in a database that is whole
    "57": _lost,
    "58": _damaged,
    "XX": _damaged,
}
