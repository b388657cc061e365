"""The schema, as the steps that lead to it. Steps are only ever added.

A step never calls `transform()`: it would drop the table's triggers.
"""

from sqlite_utils import Database
from sqlite_utils.migrations import Migrations

from promptreg.storage.hashing import GENESIS
from promptreg.storage.sqlite import fulltext

MIGRATIONS = Migrations("promptreg")


@MIGRATIONS()
def m0001_registry(db: Database) -> None:
    """Make every table, index and trigger of the first schema."""
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
    """Have a prompt that another tool writes count as changed, so that no cache misses it among our own changes."""
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
    """Have a change of a prompt's status, labels or pointers pass one trigger, and of what names it two."""
    for trigger in ("prompts_update", "prompts_update_counts"):
        db.execute(f"DROP TRIGGER IF EXISTS {trigger}")
    db.execute(
        "CREATE TRIGGER prompts_update BEFORE UPDATE OF id, namespace, name ON prompts"
        " WHEN NEW.id IS NOT OLD.id OR NEW.namespace IS NOT OLD.namespace OR EXISTS (SELECT 1 FROM prompts"
        " WHERE namespace = NEW.namespace AND name = NEW.name AND key IS NOT OLD.key)"
        " BEGIN SELECT RAISE(ABORT, 'a prompt keeps its id and namespace, and a name has one prompt'); END"
    )
    # Of any column, as the key has other names (rowid, oid); afterwards, as that takes back what OR REPLACE did.
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
    """Count a prompt's publications, and keep the last event in the registry's row: so that a lost row is missed.

    Rows of prompts stay as they are, with a count that is not known, until they are next written.
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
    """Have the full text hold folded words; what it holds is written anew after each migration."""
    db.execute("DROP TABLE search")
    db.execute(fulltext.CREATE)


def _tables(db: Database) -> None:
    def table(name: str, required: dict[str, type], optional: dict[str, type], **options: object) -> None:
        columns = {**required, **optional}
        db.create_table(name, columns, not_null=set(required), strict=True, **options)  # type: ignore[arg-type]

    table(
        "registry",
        {
            "id": int,
            "revision": int,
            "deleted_revision": int,
            "vacuumed_revision": int,
            "erased_revision": int,
        },
        {},
        pk="id",
    )
    table(
        "prompts",
        {
            "key": int,
            "id": str,
            "namespace": str,
            "name": str,
            "status": str,
            "is_disabled": int,
            "access_grants": str,
            "labels": str,
            "latest_version": int,
            "last_version": int,
            "created_at": str,
            "updated_at": str,
            "revision": int,
            "hash": str,
        },
        {"production_version": int, "created_by": str},
        pk="key",
    )
    table(
        "versions",
        {
            "key": int,
            "prompt": int,
            "version": int,
            "state": str,
            "name": str,
            "access_grants": str,
            "kind": str,
            "template": str,
            "variables": str,
            "config": str,
            "title": str,
            "description": str,
            "category": str,
            "tags": str,
            "meta": str,
            "examples": str,
            "commit_message": str,
            "created_at": str,
            "content_hash": str,
            "hash": str,
        },
        {"author": str, "base_version": int, "published_at": str, "failure": str},
        pk="key",
        foreign_keys=[("prompt", "prompts", "key")],
    )
    table(
        "publications",
        {"prompt": int, "depth": int, "version": int, "hash": str},
        {},
        pk=("prompt", "depth"),
        foreign_keys=[("prompt", "prompts", "key")],
    )
    table("deletions", {"prompt_id": str, "revision": int, "at": str}, {}, pk="prompt_id")
    table(
        "events",
        {
            "seq": int,
            "at": str,
            "action": str,
            "namespace": str,
            "prompt_id": str,
            "commitment": str,
            "prev": str,
            "hash": str,
        },
        {"actor": str, "version": int},
        pk="seq",
    )
    table(
        "event_details",
        {"seq": int, "salt": str, "name": str, "details": str},
        {},
        pk="seq",
        foreign_keys=[("seq", "events", "seq")],
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

# Of the first schema; a later step may have put another in the place of one.
# Each guards every form of the statement, OR REPLACE included: a replaced row passes DELETE triggers
# unless recursive_triggers is on, so inserts and updates that would replace one are refused themselves.
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
    (
        "deletions_update",
        "UPDATE ON deletions",
        "1",
        "a deletion is for ever",
    ),
    (
        "deletions_delete",
        "DELETE ON deletions",
        "1",
        "a deletion is for ever",
    ),
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
