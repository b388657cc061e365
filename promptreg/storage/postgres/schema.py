"""The tables, as a list of migrations: one is never changed, new ones are added at the end.

The columns of the first one are written out, so a column that is added to `rows.py` needs a migration of its own. The
tables hold what those in SQLite hold, so that rows and their hashes are the same. JSON stays the text that was hashed.
Texts compare by code points (`COLLATE "C"`), as Python does; in every table, as an index serves no comparison by other
rules. No text of a registry has U+0000, which PostgreSQL could not hold: every argument that has one is refused
(`jsonvalues.checked_text`). The triggers are in `guards.py`.
"""

import re
from collections.abc import Sequence

from promptreg.errors import SchemaTooNewError, StorageError
from promptreg.storage.hashing import GENESIS
from promptreg.storage.postgres.guards import CALLED, FUNCTIONS, TRIGGERS
from promptreg.storage.postgres.statements import Statement

TEXT = 'text COLLATE pg_catalog."C"'
NUMBERS = frozenset(
    "is_disabled production_version latest_version last_version publications version base_version revision depth"
    " seq".split()
)
"""The columns that hold numbers; the others hold text, but for two of `$.search`."""
KINDS = dict.fromkeys(NUMBERS, "bigint")
"""The types of the columns that don't hold text."""
OPTIONAL = frozenset(
    "production_version created_by publications seed synced author base_version published_at failure".split()
)
"""Those that may be NULL."""
_OF_PROMPTS = (
    "id namespace name status is_disabled access_grants labels production_version latest_version last_version"
    " created_by created_at updated_at publications seed synced hash"
).split()
_OF_VERSIONS = (
    "version state name access_grants kind template variables config title description category tags meta"
    " examples commit_message author base_version created_at published_at failure content_hash syntax hash"
).split()
FIRST_STAMP = "0" * 16


def _columns(names: Sequence[str]) -> str:
    return ", ".join(f"{name} {KINDS.get(name, 'text')}{'' if name in OPTIONAL else ' NOT NULL'}" for name in names)


_TABLES = (
    "CREATE TABLE $.registry (id int PRIMARY KEY CHECK (id = 1), schema_version int NOT NULL, identity text NOT NULL,"
    " revision bigint NOT NULL, stamp text NOT NULL, last_event bigint NOT NULL, last_hash text NOT NULL)",
    f"CREATE TABLE $.prompts (key bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY, {_columns(_OF_PROMPTS)},"
    " revision bigint NOT NULL, UNIQUE (id), UNIQUE (namespace, name))",
    f"CREATE TABLE $.versions (prompt bigint NOT NULL REFERENCES $.prompts, {_columns(_OF_VERSIONS)},"
    " PRIMARY KEY (prompt, version))",
    "CREATE TABLE $.publications (prompt bigint NOT NULL REFERENCES $.prompts, depth bigint NOT NULL,"
    " version bigint NOT NULL, hash text NOT NULL, PRIMARY KEY (prompt, depth))",
    "CREATE TABLE $.deletions (prompt_id text PRIMARY KEY, revision bigint NOT NULL, at text NOT NULL, synced text)",
    "CREATE TABLE $.events (seq bigint PRIMARY KEY, at text NOT NULL, actor text, action text NOT NULL,"
    " namespace text NOT NULL, prompt_id text NOT NULL, version bigint, commitment text NOT NULL,"
    " prev text NOT NULL, hash text NOT NULL)",
    "CREATE TABLE $.event_details (seq bigint PRIMARY KEY REFERENCES $.events, salt text NOT NULL, name text NOT NULL,"
    " details text NOT NULL)",
    "CREATE TABLE $.search (prompt bigint PRIMARY KEY REFERENCES $.prompts, words text[] NOT NULL,"
    " tags text[] NOT NULL, content text NOT NULL)",
    "CREATE TABLE $.operations (key text PRIMARY KEY, at timestamptz NOT NULL, result text NOT NULL,"
    " hash text NOT NULL)",
    "CREATE TABLE $.commits (revision bigint PRIMARY KEY, stamp text NOT NULL)",
)
TABLES = tuple(re.sub(r" text\b(?!\[)", f" {TEXT}", table) for table in _TABLES)
"""`stamp` is 8 random bytes of each commit, as hexadecimal text; `commits` holds those of the last ones."""

INDEXES = (
    "CREATE INDEX prompts_revision ON $.prompts (revision)",
    "CREATE INDEX prompts_labelled ON $.prompts (namespace, name) WHERE labels <> '{}'",
    "CREATE INDEX versions_unpublished ON $.versions (prompt, version) WHERE state <> 'published'",
    "CREATE INDEX deletions_revision ON $.deletions (revision)",
    "CREATE INDEX deletions_synced ON $.deletions (prompt_id) WHERE synced IS NOT NULL",
    "CREATE INDEX events_namespace ON $.events (namespace, seq)",
    "CREATE INDEX events_prompt_id ON $.events (prompt_id, seq)",
    "CREATE INDEX operations_at ON $.operations (at)",
    "CREATE INDEX search_words ON $.search USING gin (words)",
    "CREATE INDEX search_tags ON $.search USING gin (tags)",
)

_FIRST_ROWS = (
    "INSERT INTO $.registry (id, schema_version, identity, revision, stamp, last_event, last_hash)"
    f" VALUES (1, 0, gen_random_uuid()::text, 0, '{FIRST_STAMP}', 0, '{GENESIS}')",
    f"INSERT INTO $.commits (revision, stamp) VALUES (0, '{FIRST_STAMP}')",
)

MIGRATIONS = ((*TABLES, *INDEXES, *FUNCTIONS, CALLED, *TRIGGERS, *_FIRST_ROWS),)
"""The statements that lead from each schema to the next one."""
SCHEMA_VERSION = len(MIGRATIONS)


def creation(schema: str) -> Statement:
    """Return the statement that makes the schema, which then holds nothing."""
    return Statement(f'CREATE SCHEMA IF NOT EXISTS "{schema}"')


def migration(schema: str, found: int) -> list[Statement]:
    """Return the statements that bring a schema of this version up to date; 0 is one that holds nothing yet."""
    made = [Statement(text.replace("$schema", schema)) for statements in MIGRATIONS[found:] for text in statements]
    return [*made, Statement("UPDATE $.registry SET schema_version = %s", (SCHEMA_VERSION,))]


def require_known(found: int, location: str) -> None:
    """Raise where a transaction sees another schema than the one that the registry was opened with.

    `SchemaTooNewError` if a newer release has migrated it, whose rows this one must neither read nor write;
    `StorageError` if an older copy was restored into it.
    """
    if found > SCHEMA_VERSION:
        raise SchemaTooNewError(
            f"{location} has schema {found}; this promptreg knows {SCHEMA_VERSION}: upgrade it.",
            reason="schema_too_new",
        )
    if found < SCHEMA_VERSION:
        raise StorageError(
            f"{location} has the older schema {found} now, as a restored copy has; close this registry and open it"
            f" anew, which brings it up to {SCHEMA_VERSION}.",
            reason="old_schema",
        )
