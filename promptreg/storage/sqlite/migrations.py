"""The database's schema, as a list of migrations. A migration is never changed; new ones are added at the end.

None calls sqlite-utils' `transform()`, which drops a table's triggers, and none updates a published version or an
event. The full-text index is rebuilt after every migration.
"""

from typing import Any

from sqlite_utils import Database
from sqlite_utils.migrations import Migrations

from promptreg.storage.hashing import GENESIS
from promptreg.storage.sqlite import fulltext

MIGRATIONS = Migrations("promptreg")


@MIGRATIONS()
def m0001_registry(db: Database) -> None:
    """Create the tables, indexes and triggers of the first schema."""
    _tables(db)
    _indexes(db)
    db.execute(
        "CREATE VIRTUAL TABLE search USING fts5(name, title, description, tags, template,"
        " tokenize = 'unicode61 remove_diacritics 2')"
    )
    for name, event, condition, message in GUARDS:
        db.execute(f"CREATE TRIGGER {name} BEFORE {event} WHEN {condition} BEGIN SELECT RAISE(ABORT, '{message}'); END")
    db.execute("INSERT INTO registry VALUES (1, 0, 0, 0, 0)")


@MIGRATIONS()
def m0002_foreign_changes(db: Database) -> None:
    """Raise the revision of a prompt that another tool writes, so that caches notice it."""
    for event, condition in (
        ("UPDATE", "NEW.revision IS OLD.revision OR NEW.revision < (SELECT revision FROM registry)"),
        ("INSERT", "NEW.revision <= (SELECT revision FROM registry)"),
    ):
        db.execute(
            f"CREATE TRIGGER prompts_{event.lower()}_counts AFTER {event} ON prompts WHEN {condition} BEGIN"
            " UPDATE registry SET revision = revision + 1;"
            " UPDATE prompts SET revision = (SELECT revision FROM registry) WHERE key = NEW.key; END"
        )


@MIGRATIONS()
def m0003_one_trigger_a_change(db: Database) -> None:
    """Run one trigger, not two, for a change of a prompt's status, labels or pointers."""
    for trigger in ("prompts_update", "prompts_update_counts"):
        db.execute(f"DROP TRIGGER IF EXISTS {trigger}")
    db.execute(
        "CREATE TRIGGER prompts_update BEFORE UPDATE OF id, namespace, name ON prompts"
        " WHEN NEW.id IS NOT OLD.id OR NEW.namespace IS NOT OLD.namespace OR EXISTS (SELECT 1 FROM prompts"
        " WHERE namespace = NEW.namespace AND name = NEW.name AND key IS NOT OLD.key)"
        " BEGIN SELECT RAISE(ABORT, 'a prompt keeps its id and namespace, and a name has one prompt'); END"
    )
    # On any column, as the key has other names (rowid, oid); AFTER, as raising then undoes an OR REPLACE as well.
    db.execute(
        "CREATE TRIGGER prompts_update_counts AFTER UPDATE ON prompts"
        " WHEN NEW.key IS NOT OLD.key OR NEW.revision <= OLD.revision"
        " OR NEW.revision <= (SELECT revision FROM registry) BEGIN"
        " SELECT RAISE(ABORT, 'a prompt keeps its key') WHERE NEW.key IS NOT OLD.key;"
        " UPDATE prompts SET revision = max(revision, (SELECT revision FROM registry)) + 1 WHERE key = NEW.key;"
        " UPDATE registry SET revision = (SELECT revision FROM prompts WHERE key = NEW.key); END"
    )


@MIGRATIONS()
def m0004_missing_rows(db: Database) -> None:
    """Store the number of publications in each prompt, and the last event in the registry, so that lost rows show.

    Rows of prompts stay as they are until they are next written; until then their number is NULL.
    """
    db.execute("ALTER TABLE prompts ADD COLUMN publications INTEGER")
    db.execute("ALTER TABLE registry ADD COLUMN last_event INTEGER")
    db.execute("ALTER TABLE registry ADD COLUMN last_hash TEXT")
    last_event = "(SELECT coalesce(max(seq), 0) FROM events)"
    last_hash = f"coalesce((SELECT hash FROM events WHERE seq = {last_event}), '{GENESIS}')"
    db.execute(f"UPDATE registry SET last_event = {last_event}, last_hash = {last_hash}")
    db.execute(
        "CREATE TRIGGER registry_update BEFORE UPDATE OF last_event, last_hash ON registry"
        f" WHEN NEW.last_event IS NOT {last_event} OR NEW.last_hash IS NOT {last_hash}"
        " BEGIN SELECT RAISE(ABORT, 'the registry keeps the last event that there is'); END"
    )


@MIGRATIONS()
def m0005_folded_words(db: Database) -> None:
    """Create the full-text index anew, for words that are folded before they are written."""
    db.execute("DROP TABLE search")
    db.execute(fulltext.CREATE)


@MIGRATIONS()
def m0006_syntax_and_seed(db: Database) -> None:
    """Add the syntax of versions, what was last seeded of a prompt, and an index of the prompts that have labels."""
    db.execute("ALTER TABLE versions ADD COLUMN syntax TEXT NOT NULL DEFAULT 'jinja'")
    db.execute("ALTER TABLE prompts ADD COLUMN seed TEXT")
    # With the condition as a column, every version of SQLite prefers it to the index of names for prompts with labels.
    db.execute(
        "CREATE INDEX prompts_labelled ON prompts (namespace, (labels <> '{}'), name, labels) WHERE labels <> '{}'"
    )


@MIGRATIONS()
def m0007_synchronised(db: Database) -> None:
    """Add what was last synchronised of a prompt, and of a deleted one from where, with an index of the latter."""
    db.execute("ALTER TABLE prompts ADD COLUMN synced TEXT")
    db.execute("ALTER TABLE deletions ADD COLUMN synced TEXT")
    db.execute("CREATE INDEX deletions_synced ON deletions (prompt_id) WHERE synced IS NOT NULL")


@MIGRATIONS()
def m0008_operations(db: Database) -> None:
    """Add the calls of the last day that are made once, under the hash that identifies each, and what each wrote."""
    _table(db, "operations", "key at result hash", pk="key")
    db.execute("CREATE INDEX operations_at ON operations (at)")


def _tables(db: Database) -> None:
    _table(
        db, "registry", "id:int revision:int deleted_revision:int vacuumed_revision:int erased_revision:int", pk="id"
    )
    _table(
        db,
        "prompts",
        "key:int id namespace name status is_disabled:int access_grants labels latest_version:int last_version:int"
        " created_at updated_at revision:int hash",
        "production_version:int created_by",
        pk="key",
    )
    _table(
        db,
        "versions",
        "key:int prompt:int version:int state name access_grants kind template variables config title description"
        " category tags meta examples commit_message created_at content_hash hash",
        "author base_version:int published_at failure",
        pk="key",
        foreign_keys=[("prompt", "prompts", "key")],
    )
    _table(
        db,
        "publications",
        "prompt:int depth:int version:int hash",
        pk=("prompt", "depth"),
        foreign_keys=[("prompt", "prompts", "key")],
    )
    _table(db, "deletions", "prompt_id revision:int at", pk="prompt_id")
    _table(db, "events", "seq:int at action namespace prompt_id commitment prev hash", "actor version:int", pk="seq")
    _table(db, "event_details", "seq:int salt name details", pk="seq", foreign_keys=[("seq", "events", "seq")])


def _table(db: Database, name: str, required: str, optional: str = "", **options: Any) -> None:
    """Create a strict table; columns are TEXT, or INTEGER with `:int`, and only optional ones take NULL."""
    types = {"": str, "int": int}
    columns = [column.partition(":") for column in f"{required} {optional}".split()]
    not_null = {column.partition(":")[0] for column in required.split()}
    db.create_table(
        name, {column: types[kind] for column, _, kind in columns}, not_null=not_null, strict=True, **options
    )


def _indexes(db: Database) -> None:
    for table, columns, is_unique in (
        ("prompts", ["id"], True),
        ("prompts", ["namespace", "name"], True),
        ("prompts", ["revision"], False),
        ("versions", ["prompt", "version"], True),
        ("deletions", ["revision"], False),
        ("events", ["namespace"], False),
        ("events", ["prompt_id"], False),
    ):
        db.table(table).create_index(columns, unique=is_unique)


_IS_DELETED = "SELECT 1 FROM deletions JOIN prompts ON prompts.id = deletions.prompt_id WHERE prompts.key = OLD.prompt"

# Triggers of the first schema, some of which later migrations replace. INSERT and UPDATE triggers refuse whatever would
# replace a row, as OR REPLACE fires no DELETE trigger unless recursive_triggers is on.
GUARDS = (
    (
        "versions_update",
        "UPDATE ON versions",
        "OLD.state = 'published' OR NEW.key IS NOT OLD.key"
        " OR NEW.prompt IS NOT OLD.prompt OR NEW.version IS NOT OLD.version",
        "a published version never changes",
    ),
    (
        "versions_delete",
        "DELETE ON versions",
        f"OLD.state = 'published' AND NOT EXISTS ({_IS_DELETED})",
        "a published version is only deleted with its prompt",
    ),
    (
        "versions_insert",
        "INSERT ON versions",
        "EXISTS (SELECT 1 FROM versions WHERE key = NEW.key)"
        " OR EXISTS (SELECT 1 FROM versions WHERE prompt = NEW.prompt AND version = NEW.version)",
        "the prompt has that version already",
    ),
    (
        "prompts_insert",
        "INSERT ON prompts",
        "EXISTS (SELECT 1 FROM prompts WHERE key = NEW.key) OR EXISTS (SELECT 1 FROM prompts WHERE id = NEW.id)"
        " OR EXISTS (SELECT 1 FROM prompts WHERE namespace = NEW.namespace AND name = NEW.name)",
        "there is such a prompt already",
    ),
    (
        "prompts_update",
        "UPDATE ON prompts",
        "NEW.key IS NOT OLD.key OR NEW.id IS NOT OLD.id OR NEW.namespace IS NOT OLD.namespace"
        " OR EXISTS (SELECT 1 FROM prompts"
        " WHERE namespace = NEW.namespace AND name = NEW.name AND key IS NOT OLD.key)",
        "a prompt keeps its id and namespace, and a name has one prompt",
    ),
    (
        "prompts_delete",
        "DELETE ON prompts",
        "NOT EXISTS (SELECT 1 FROM deletions WHERE prompt_id = OLD.id)",
        "a prompt is only deleted by its registry",
    ),
    ("deletions_update", "UPDATE ON deletions", "1", "a deletion is for ever"),
    ("deletions_delete", "DELETE ON deletions", "1", "a deletion is for ever"),
    (
        "events_insert",
        "INSERT ON events",
        "NEW.seq IS NOT (SELECT coalesce(max(seq), 0) + 1 FROM events)",
        "events are only appended",
    ),
    ("events_update", "UPDATE ON events", "1", "events never change"),
    ("events_delete", "DELETE ON events", "1", "events are never deleted"),
    (
        "event_details_insert",
        "INSERT ON event_details",
        "EXISTS (SELECT 1 FROM event_details WHERE seq = NEW.seq)",
        "details of events never change",
    ),
    ("event_details_update", "UPDATE ON event_details", "1", "details of events never change"),
    (
        "event_details_delete",
        "DELETE ON event_details",
        "NOT EXISTS (SELECT 1 FROM deletions JOIN events USING (prompt_id) WHERE events.seq = OLD.seq)",
        "details of events are only deleted with their prompt",
    ),
)
