"""Making and migrating the schema: whoever opens it first does, in one transaction, and the others wait for it.

A transaction's advisory lock orders them, on however many machines they are; there is no other lock that could be taken
before there is anything to lock. A schema that is current is only read.
"""

import hashlib
from typing import NamedTuple

import psycopg

from promptreg.errors import InvalidInputError, StorageError
from promptreg.storage.postgres import schema
from promptreg.storage.postgres.failures import NOT_PERMITTED, Place, may_not_create
from promptreg.storage.postgres.sessions import COMMIT, Session
from promptreg.storage.postgres.statements import Statement
from promptreg.storage.postgres.transactions import PLAIN_NAMES, begin_write

CATALOG = (
    "SELECT pg_catalog.current_database(), EXISTS (SELECT FROM pg_catalog.pg_namespace n"
    " WHERE n.nspname OPERATOR(pg_catalog.=) %(schema)s), EXISTS (SELECT FROM pg_catalog.pg_class c"
    " JOIN pg_catalog.pg_namespace n ON n.oid OPERATOR(pg_catalog.=) c.relnamespace"
    " WHERE n.nspname OPERATOR(pg_catalog.=) %(schema)s AND c.relname OPERATOR(pg_catalog.=) 'registry')"
)
IDENTITY = Statement("SELECT identity, revision, stamp, schema_version FROM $.registry")


class Found(NamedTuple):
    """The registry as it was when it was opened."""

    identity: str
    revision: int
    stamp: str
    schema_version: int


class _Catalog(NamedTuple):
    """What there is in the database."""

    database: str
    has_schema: bool
    has_registry: bool


def opened(session: Session, place: Place, *, may_create: bool) -> Found:
    """Return the registry of the schema, made or migrated first where that is due."""
    catalog = _catalog(session)
    if not (catalog.has_registry or may_create):
        raise _missing(place)
    found = _registry(session, place) if catalog.has_registry else None
    if found is None or found.schema_version < schema.SCHEMA_VERSION:
        found = _made(session, place)
    schema.require_known(found.schema_version, place.location)
    # A copy of the database, or of the schema, has the same identity.
    return found._replace(identity=f"{found.identity} {catalog.database} {place.schema}")


def _made(session: Session, place: Place) -> Found:
    """Make the schema or migrate it, unless another process has done so meanwhile."""
    begin_write(session)
    session.begin(PLAIN_NAMES, Statement("SELECT pg_catalog.pg_advisory_xact_lock(%s)", (_lock_of(place.schema),)))
    catalog = _catalog(session)
    session.begin_work()
    found = _registry(session, place) if catalog.has_registry else None
    version = 0 if found is None else found.schema_version
    if version < schema.SCHEMA_VERSION:
        creation = [] if catalog.has_schema else [schema.creation(place.schema)]
        try:
            session.run(*creation, *schema.migration(place.schema, version))
        except psycopg.Error as error:
            raise _explained(error, place, catalog) from error
        found = _registry(session, place)
    session.run(COMMIT)
    assert found is not None
    return found


def _catalog(session: Session) -> _Catalog:
    (row,) = session.run(Statement(CATALOG, {"schema": session.schema}))[0].rows
    return _Catalog(*row)


def _registry(session: Session, place: Place) -> Found:
    try:
        rows = session.run(IDENTITY)[0].rows
    except psycopg.errors.UndefinedColumn as error:
        raise _foreign(place) from error
    if [[type(value) for value in row] for row in rows] != [[str, int, str, int]]:
        raise _foreign(place)
    return Found(*rows[0])


def _lock_of(name: str) -> int:
    """Return the number of the advisory lock of a schema."""
    return int.from_bytes(hashlib.sha256(f"promptreg schema {name}".encode()).digest()[:8], signed=True)


def _missing(place: Place) -> StorageError:
    return StorageError(
        f"There is no registry at {place.location}; correct the URL, or pass create=True to make it.",
        reason="missing_schema",
    )


def _foreign(place: Place) -> StorageError:
    return StorageError(
        f"The schema {place.schema} of {place.location} holds tables of another application; name another schema with"
        " promptreg_schema.",
        reason="not_a_registry",
    )


def _explained(error: psycopg.Error, place: Place, catalog: _Catalog) -> Exception:
    """Return what a failure to make the schema means."""
    if error.sqlstate == NOT_PERMITTED:
        return may_not_create(str(error), place, catalog.database, has_schema=catalog.has_schema)
    if error.sqlstate == "42939":  # reserved_name, of a schema that begins with pg_
        return InvalidInputError.of("target", f"promptreg_schema: PostgreSQL keeps the name {place.schema} for itself")
    if error.sqlstate in {"42P07", "42723", "42710"}:  # a table, a function or another thing with that name
        return _foreign(place)
    return error
