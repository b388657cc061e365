"""Dump a registry as written by the installed release: `python make.py FOLDER`, with that release installed.

It writes `N.sql` to FOLDER, where N is the schema of the release, with every row, and `N.json`, with what the release
reads from them. Both are kept for ever, because a file of any earlier schema must migrate and read the same.
"""

import json
import sqlite3
import sys
import tempfile
from collections.abc import Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path

from promptreg import Actor, Prompt, PromptregError, Registry
from promptreg.files import sync

# The stored fields of a prompt and of a version; a later release may compute derived ones differently.
CONTAINER = (
    "id namespace name status access_grants labels production_version latest_version created_by created_at updated_at"
)
VERSION = (
    "version state kind template config title description category tags meta examples commit_message author"
    " base_version version_created_at published_at content_hash failure"
)
RENDERED = {
    "everything": {"customer": "Ms Ito", "items": ["a", "b"]},
    "chat": {"who": "you", "turns": [{"role": "user", "content": "{{ kept }}"}]},
    "archived": {},
    "renamed": {},
}


def fill(registry: Registry) -> None:
    """Create prompts in every state, with every field, by several actors, in two namespaces."""
    ana = registry.scope(actor=Actor("ana", "team_admin"))
    ana.create(
        "everything",
        "Dear {{ customer }}, żółć ☕\n{% for item in items %}- {{ item|upper }}\n{% endfor %}"
        "{{ closing|default('Yours') }}\n",
        title="All fields",
        description="Every field is set.",
        category="letters",
        tags=["mail", "żółty"],
        variables=[{"name": "items", "type": "array", "description": "lines"}, {"name": "customer", "type": "string"}],
        config={"model": "large", "temperature": 0.5, "stop": ["a", None, True], "deep": {"n": 2**40}},
        meta={"ticket": [1, 2, 3]},
        examples=[{"customer": "Ms Ito", "items": ["x"]}],
        access_grants=[("user:rita", "read"), ("group:legal", "write"), ("anyone", "read")],
        commit_message="First of all",
    )
    registry.update("everything", description="Every field is set, twice.")
    registry.update("everything", title="A draft", is_production=False)
    registry.set_label("everything", "canary", 3)
    registry.set_label("everything", "staging", 1)
    registry.rollback("everything", reason="too long")
    registry.publish("everything", 2)
    registry.create("chat", [{"role": "system", "content": "Be kind to {{ who }}."}, {"placeholder": "turns"}])
    registry.update("chat", config={"model": "small"})
    registry.create("failed", "Fine")
    registry.update("failed", template="{{ gone }}", examples=[{"absent": 1}], is_production=False)
    with suppress(PromptregError):
        registry.publish("failed", 2)
    registry.create("draft", "Never live {{ x }}", is_production=False)
    registry.update("draft@1", template="Never live, edited {{ x }}")
    registry.create("numbers", "1")
    for number in range(2, 13):
        registry.update("numbers", template=f"{number}", is_production=number % 3 != 0)
    registry.discard("numbers", 12)
    registry.create("disabled", "Off")
    registry.set_status("disabled", "disabled")
    registry.create("archived", "Kept for ever")
    registry.archive("archived")
    registry.create("archived_off", "Kept, and off")
    registry.set_status("archived_off", "disabled")
    registry.archive("archived_off")
    registry.create("before", "Renamed")
    registry.update("before", new_name="renamed", access_grants=[("group:legal", "read")])
    registry.create("deleted", "Gone for ever")
    registry.set_status("deleted", "deleted")
    registry.seed("seeded", "Shipped with the code", release=3)
    synchronise(registry)
    support = registry.scope(namespace="support", actor=Actor("lee", "org_admin"))
    support.create("everything", "Of another namespace")
    support.create("deleted", "Another one")


def synchronise(registry: Registry) -> None:
    """Synchronise two files, and delete the prompt of one of them."""
    with tempfile.TemporaryDirectory() as folder:
        for name in ("synced", "unsynced"):
            Path(folder, f"{name}.md").write_text(f"---\ntitle: {name}\n---\nFrom a file\n", encoding="utf-8")
        sync(registry, folder)
    registry.set_status("unsynced", "deleted")


def read(registry: Registry) -> dict[str, object]:
    """Read all that is stored."""
    prompts, events = {}, {}
    for namespace in registry.namespaces():
        view = registry.scope(namespace=namespace)
        for prompt in view.list(status=["active", "disabled", "archived"], limit=100):
            prompts[f"{namespace}:{prompt.name}"] = {
                "prompt": stored(prompt, f"{CONTAINER} {VERSION}"),
                "versions": [
                    stored(view.get(prompt.name, version=version.version), VERSION)
                    for version in view.history(prompt.name, limit=100)
                ],
            }
        events[namespace] = [event.model_dump(mode="json") for event in view.events(limit=1000)]
    rendered = {name: registry.render(name, variables).messages for name, variables in RENDERED.items()}
    return {"prompts": prompts, "events": events, "rendered": rendered}


def stored(prompt: Prompt, fields: str) -> dict[str, object]:
    """Return these fields of a prompt, as JSON has them."""
    dumped = prompt.model_dump(mode="json")
    return {field: dumped[field] for field in fields.split()}


def statements(connection: sqlite3.Connection) -> Iterator[str]:
    """Return SQL that creates the database again, including the rows of its full-text index."""
    for pragma in ("application_id", "user_version"):
        yield f"PRAGMA {pragma} = {connection.execute(f'PRAGMA {pragma}').fetchone()[0]}"
    made = connection.execute(
        "SELECT type, name, sql FROM sqlite_master WHERE sql IS NOT NULL ORDER BY rowid"
    ).fetchall()
    tables = [name for kind, name, _ in made if kind == "table" and not name.startswith(("search_", "sqlite_"))]
    yield from (sql for kind, name, sql in made if name in tables)
    for table in tables:
        columns = [row[1] for row in connection.execute(f'PRAGMA table_info("{table}")')]
        if table == "search":
            columns.insert(0, "rowid")
        names = ", ".join(f'"{column}"' for column in columns)
        quoted = " || ', ' || ".join(f'quote("{column}")' for column in columns)
        for (values,) in connection.execute(f'SELECT {quoted} FROM "{table}" ORDER BY rowid'):
            yield f'INSERT INTO "{table}" ({names}) VALUES ({values})'
    yield from (sql for kind, _, sql in made if kind in {"index", "trigger"})


def main(folder: str) -> None:
    """Write both files."""
    moments = (datetime(2026, 1, 1, tzinfo=UTC) + timedelta(seconds=second) for second in count())
    with tempfile.TemporaryDirectory() as place:
        path = f"{place}/prompts.db"
        with Registry(path, clock=lambda: next(moments)) as registry:
            fill(registry)
            content = read(registry)
        with closing(sqlite3.connect(path)) as connection:
            (schema,) = connection.execute("PRAGMA user_version").fetchone()
            lines = [f"{statement};\n" for statement in statements(connection)]
    Path(folder, f"{schema}.sql").write_text("".join(lines), encoding="utf-8")
    Path(folder, f"{schema}.json").write_text(json.dumps(content, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1])
