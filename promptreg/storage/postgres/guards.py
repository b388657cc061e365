"""The functions and triggers of the first schema: what no SQL may change, and how writes of other tools are noticed.

A trigger that looks at other rows runs once a statement, over all rows that it wrote: a bulk change takes no longer
for it. Each function has its own search path, so that no schema of a hostile user comes before the system's, and looks
rows up by their keys: a plan that was made while a table was small would read all of it later.
"""

DAMAGED = "XX001"
"""The SQLSTATE (data_corrupted) of what `$.require` raises."""
COMMITS = 1_000
"""How many of the last commits are kept with their stamps, so that a cache learns what has changed since its own."""
FUNCTION_SETTINGS = ["search_path=pg_catalog, pg_temp", "enable_seqscan=off"]
"""What each function has set while it runs."""
_REFUSED = "23000"  # integrity_constraint_violation


def _function(signature: str, returns: str, body: str) -> str:
    settings = " ".join(f"SET {setting}" for setting in FUNCTION_SETTINGS)
    return f"CREATE FUNCTION $.{signature} RETURNS {returns} LANGUAGE plpgsql {settings} AS $body$ {body} $body$"


def _refusing(name: str, condition: str, message: str) -> str:
    """Return a function that refuses a statement where `condition` holds for any of its rows."""
    return _function(
        f"{name}()",
        "trigger",
        f"BEGIN IF {condition} THEN RAISE EXCEPTION '{message}' USING ERRCODE = '{_REFUSED}'; END IF; RETURN NULL; END",
    )


_NOT_DELETED = "NOT EXISTS (SELECT 1 FROM $.deletions d WHERE d.prompt_id = {id})"

FUNCTIONS = (
    _function(
        "require(is_whole boolean, message text)",
        "boolean",
        f"BEGIN IF is_whole IS NOT TRUE THEN RAISE EXCEPTION '%', message USING ERRCODE = '{DAMAGED}'; END IF;"
        " RETURN true; END",
    ),
    _function(
        "refuse()", "trigger", f"BEGIN RAISE EXCEPTION '%', TG_ARGV[0] USING ERRCODE = '{_REFUSED}'; RETURN NULL; END"
    ),
    _refusing(
        "versions_deleted",
        "EXISTS (SELECT 1 FROM removed r LEFT JOIN $.prompts p ON p.key = r.prompt"
        f" WHERE r.state = 'published' AND {_NOT_DELETED.format(id='p.id')})",
        "a published version is only deleted with its prompt",
    ),
    _refusing(
        "prompts_deleted",
        f"EXISTS (SELECT 1 FROM removed r WHERE {_NOT_DELETED.format(id='r.id')})",
        "a prompt is only deleted by its registry",
    ),
    _refusing(
        "event_details_deleted",
        "EXISTS (SELECT 1 FROM removed r LEFT JOIN $.events e ON e.seq = r.seq"
        f" WHERE {_NOT_DELETED.format(id='e.prompt_id')})",
        "details of events are only deleted with their prompt",
    ),
    _refusing(
        "events_appended",
        "EXISTS (SELECT 1 FROM added a LEFT JOIN $.events e ON e.seq = a.seq - 1"
        " WHERE a.prev IS DISTINCT FROM CASE WHEN a.seq = 1 THEN repeat('0', 64) ELSE e.hash END)",
        "events are only appended",
    ),
    _function(
        "registry_update()",
        "trigger",
        "DECLARE last_seq bigint; last_link text; BEGIN"
        " SELECT seq, hash INTO last_seq, last_link FROM $.events ORDER BY seq DESC LIMIT 1;"
        " IF NOT FOUND THEN last_seq := 0; last_link := repeat('0', 64); END IF;"
        " IF (NEW.last_event, NEW.last_hash) IS DISTINCT FROM (last_seq, last_link)"
        " THEN RAISE EXCEPTION 'the registry keeps the last event that there is'"
        f" USING ERRCODE = '{_REFUSED}'; END IF; RETURN NEW; END",
    ),
    _function(
        "advance(next bigint, new_stamp text, seq bigint, link text)",
        "void",
        "BEGIN UPDATE $.registry SET revision = next, stamp = new_stamp,"
        " last_event = coalesce(seq, last_event), last_hash = coalesce(link, last_hash);"
        " INSERT INTO $.commits (revision, stamp) VALUES (next, new_stamp)"
        " ON CONFLICT (revision) DO UPDATE SET stamp = excluded.stamp;"
        f" DELETE FROM $.commits WHERE revision <= next - {COMMITS};"
        " PERFORM pg_notify('$schema', next || ' ' || new_stamp); END",
    ),
    _function("lock_registry()", "trigger", "BEGIN PERFORM 1 FROM $.registry FOR UPDATE; RETURN NULL; END"),
    # The registry's own writes have a revision above that of its row, which `advance` raises afterwards.
    _function(
        "prompts_written()",
        "trigger",
        "DECLARE next bigint; BEGIN"
        " SELECT r.revision + 1 INTO next FROM $.registry r"
        " WHERE EXISTS (SELECT 1 FROM written w WHERE w.revision <= r.revision);"
        " IF next IS NULL THEN RETURN NULL; END IF;"
        " UPDATE $.prompts SET revision = next WHERE key IN (SELECT key FROM written);"
        " PERFORM $.advance(next, substr(replace(gen_random_uuid()::text, '-', ''), 1, 16), NULL, NULL);"
        " RETURN NULL; END",
    ),
)

CALLED = "GRANT EXECUTE ON FUNCTION $.require(boolean, text), $.advance(bigint, text, bigint, text) TO PUBLIC"
"""What writers call themselves; who makes the schema may have it that new functions are not everybody's."""


def _rows(table: str, event: str, function: str, *, condition: str = "") -> str:
    """Return a trigger that runs before each row is written."""
    when = f" WHEN ({condition})" if condition else ""
    return _trigger(table, f"BEFORE {event}", f"FOR EACH ROW{when} EXECUTE FUNCTION $.{function}")


def _statements(table: str, event: str, function: str, rows: str = "") -> str:
    """Return a trigger that runs once a statement: after it with its rows, or before it where none are named."""
    if not rows:
        return _trigger(table, f"BEFORE {event}", f"FOR EACH STATEMENT EXECUTE FUNCTION $.{function}")
    side = f"{'OLD' if rows == 'removed' else 'NEW'} TABLE AS {rows}"
    return _trigger(table, f"AFTER {event}", f"REFERENCING {side} FOR EACH STATEMENT EXECUTE FUNCTION $.{function}")


def _trigger(table: str, event: str, rest: str) -> str:
    name = f"{table}_{event}".replace(" ", "_").lower()
    return f"CREATE TRIGGER {name} {event} ON $.{table} {rest}"


def _differs(*columns: str) -> str:
    return " OR ".join(f"NEW.{column} IS DISTINCT FROM OLD.{column}" for column in columns)


_KEPT = {
    "registry": "the registry keeps its row",
    "prompts": "prompts are only deleted by their registry",
    "versions": "published versions are only deleted with their prompt",
    "publications": "publications are only deleted with their prompt",
    "deletions": "a deletion is for ever",
    "events": "events are never deleted",
    "event_details": "details of events are only deleted with their prompt",
}

TRIGGERS = (
    *(_statements(table, "TRUNCATE", f"refuse('{message}')") for table, message in _KEPT.items()),
    _rows("registry", "DELETE", "refuse('the registry keeps its row')"),
    _rows("registry", "UPDATE", "registry_update()", condition=_differs("last_event", "last_hash")),
    _rows(
        "prompts",
        "UPDATE",
        "refuse('a prompt keeps its key, its id and its namespace')",
        condition=_differs("key", "id", "namespace"),
    ),
    _statements("prompts", "INSERT OR UPDATE", "lock_registry()"),  # in the order of a write: it deadlocks with none
    _statements("prompts", "INSERT", "prompts_written()", "written"),
    _statements("prompts", "UPDATE", "prompts_written()", "written"),
    _statements("prompts", "DELETE", "prompts_deleted()", "removed"),
    _rows(
        "versions",
        "UPDATE",
        "refuse('a published version never changes')",
        condition=f"OLD.state = 'published' OR {_differs('prompt', 'version')}",
    ),
    _statements("versions", "DELETE", "versions_deleted()", "removed"),
    _rows("deletions", "DELETE OR UPDATE", "refuse('a deletion is for ever')"),
    _rows("events", "DELETE OR UPDATE", "refuse('events never change')"),
    _statements("events", "INSERT", "events_appended()", "added"),
    _rows("event_details", "UPDATE", "refuse('details of events never change')"),
    _statements("event_details", "DELETE", "event_details_deleted()", "removed"),
)
