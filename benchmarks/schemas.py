"""A server of PostgreSQL, a registry's schema in it, and a copy of that schema that takes the same rows again."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from os import environ
from pathlib import Path
from typing import Any, NamedTuple

import psycopg
from library import name_of
from prompts import MEDIUM

from promptreg import Registry
from promptreg.clock import new_id
from promptreg.rules.lifecycle import plan_create
from promptreg.rules.outcomes import Author
from promptreg.rules.version_fields import read_draft, read_edit

sys.path.append(str(Path(__file__).parents[1]))
from tests.postgres import EXISTING, own_server

READ = 100  # prompts, each of which is read once in a round
WRITERS = 8
AT = "2026-01-01T00:00:00.000000+00:00"
DESCRIPTIONS = "Answers from the handbook, for the help desk", "Answers from the manual, for the help desk"


class Places(NamedTuple):
    """Where both sides run: the registry's URL without its schema, and the two schemas."""

    url: str
    ours: str
    floor: str

    def registry(self, url: str | None = None, schema: str | None = None, **settings: Any) -> Registry:
        """Open the registry, through a proxy if its URL is given."""
        url = url or self.url
        return Registry(f"{url}{'&' if '?' in url else '?'}promptreg_schema={schema or self.ours}", **settings)


@contextmanager
def server() -> Iterator[str]:
    """Run a server, or return the URL of the one that there is."""
    if existing := environ.get(EXISTING):
        yield existing
        return
    with own_server(max_connections="100") as own:
        yield own.url


@contextmanager
def schemas(url: str) -> Iterator[Places]:
    """Name two schemas, and drop them afterwards."""
    ours, floor = f"bench_{new_id()[-12:]}", f"floor_{new_id()[-12:]}"
    try:
        yield Places(url, ours, floor)
    finally:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(f"SET client_min_messages = error; DROP SCHEMA IF EXISTS {ours}, {floor} CASCADE")


def fill(places: Places, prompts: int) -> None:
    """Create the prompts of all rows, in one transaction, and a copy of the schema."""
    names = [*map(writer_name, range(WRITERS)), *map(name_of, range(prompts)), *map(read_name, range(READ))]
    edit = read_edit(template=MEDIUM, description=DESCRIPTIONS[0], config={"model": "large"}, most=100_000)
    draft = read_draft(edit, "Initial version", True)
    plans = [plan_create(new_id(), "default", name, draft, Author(None, AT)) for name in names]
    storage = places.registry(busy_timeout=600)._core.storage
    with storage.write() as writer:
        writer.apply([change for plan in plans for change in plan.changes])
    storage.close()
    places.registry(schema=places.floor).close()
    copy_rows(places)


def copy_rows(places: Places) -> None:
    """Copy every row to the other schema, and drop its triggers."""
    ours, floor = places.ours, places.floor
    with psycopg.connect(places.url, autocommit=True) as connection:
        connection.execute("SET session_replication_role = replica")  # without triggers and foreign keys
        tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = %s", (ours,)).fetchall()
        for (table,) in tables:
            connection.execute(f"ALTER TABLE {floor}.{table} DISABLE TRIGGER USER")
            connection.execute(f"DELETE FROM {floor}.{table}")
            connection.execute(f"INSERT INTO {floor}.{table} OVERRIDING SYSTEM VALUE SELECT * FROM {ours}.{table}")
            connection.execute(f"VACUUM ANALYZE {floor}.{table}, {ours}.{table}")


def rows_of(places: Places, schema: str) -> list[tuple[str, object]]:
    """Return a hash of the rows of each table."""
    with psycopg.connect(places.url, autocommit=True) as connection:
        tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = %s ORDER BY 1", (schema,))
        digest = "SELECT md5(string_agg(t::text, E'\\n' ORDER BY t::text)) FROM {}.{} t"
        return [(table, connection.execute(digest.format(schema, table)).fetchone()) for (table,) in tables.fetchall()]


def allow_repeats(places: Places) -> None:
    """Let the copy take rows again: indexes that are not unique in the place of keys, but where writes rely on them."""
    keys = (
        "SELECT c.conrelid::regclass::text, c.conname, pg_get_indexdef(c.conindid) FROM pg_constraint c"
        " JOIN pg_namespace n ON n.oid = c.connamespace WHERE n.nspname = %s AND c.contype IN ('p', 'u')"
        " AND c.conrelid::regclass::text ~ '(versions|publications|events|event_details|deletions|operations)$'"
    )
    with psycopg.connect(places.url, autocommit=True) as connection:
        for table, name, definition in connection.execute(keys, (places.floor,)).fetchall():
            connection.execute(f'ALTER TABLE {table} DROP CONSTRAINT "{name}" CASCADE')
            connection.execute(definition.replace("CREATE UNIQUE INDEX", "CREATE INDEX"))
        connection.execute(
            f"CREATE OR REPLACE FUNCTION {places.floor}.require(is_whole boolean, message text) RETURNS boolean"
            " LANGUAGE plpgsql SET search_path = pg_catalog, pg_temp AS 'BEGIN RETURN true; END'"
        )


def writer_name(number: int) -> str:
    return f"writer-{number}"


def read_name(number: int) -> str:
    return f"read-{number}"
