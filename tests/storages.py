"""The storages that run the contract tests, and which other tests run on every storage.

This is the one place of the tests where a new database is added.
"""

import shutil
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, closing, contextmanager, nullcontext
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from promptreg import Registry
from promptreg.storage.base import Storage, StorageSettings
from promptreg.storage.opening import open_storage
from promptreg.storage.sqlite.storage import SQLiteStorage
from tests.postgres import PARAMETER, EmptySchema, connected, fresh_target

POSTGRES = "postgresql://"


class StorageCase(NamedTuple):
    """A storage, and its capabilities that other storages may not have.

    `open` opens the database of a test, in the folder of that test. `is_shared`: other processes, and other storages of
    this process, see the same data. `is_concurrent`: a write commits while a read transaction is open.
    """

    open: Callable[[Path], Storage]
    is_shared: bool = True
    is_concurrent: bool = True


def _opened(target: str) -> Storage:
    return open_storage(StorageSettings(target, create=True, durability="full", busy_timeout=30.0))


@contextmanager
def _in_schemas(url: str) -> Iterator[StorageCase]:
    """Open each folder's database in a schema of its own, on a PostgreSQL server."""
    with ExitStack() as schemas:
        target = cache(lambda _: schemas.enter_context(fresh_target(url)))
        yield StorageCase(lambda folder: _opened(target(folder)))


FILE = StorageCase(lambda folder: _opened(str(folder / "contract.db")))
MEMORY = StorageCase(lambda _: _opened(":memory:"), is_shared=False, is_concurrent=False)

STORAGES: dict[str, Callable[[pytest.FixtureRequest], AbstractContextManager[StorageCase]]] = {
    "sqlite file": lambda _: nullcontext(FILE),
    "sqlite memory": lambda _: nullcontext(MEMORY),
    "postgres": lambda request: _in_schemas(request.getfixturevalue("postgres_url")),
}
CASES = [pytest.param(name, marks=pytest.mark.postgres if name == "postgres" else ()) for name in STORAGES]

DATABASES = [pytest.param("sqlite"), pytest.param("postgres", marks=pytest.mark.postgres)]
ON_BOTH = frozenset(
    f"tests.test_{name}"
    for name in (
        "cache defaults finding freshness get_many iterate once paging releases report rules_check rules_drafts"
        " rules_labels rules_meanwhile rules_names rules_once rules_people rules_seeding rules_seeding_people"
        " rules_sets rules_status rules_sync_calls rules_templates rules_variables rules_versions rules_writers search"
        " threads values waiting"
    ).split()
)
"""The modules whose tests run on SQLite and on PostgreSQL, but for those that are marked `sqlite` or `slow`."""
EVERY = {"test_rule_17_every_verb_for_every_actor": 7, "test_rule_18_the_earlier_refusal_wins": 5}
"""Tables of what `rules/` decides alone: on PostgreSQL each nth row, by a number that divides neither side of them."""


def runs(item: pytest.Item, counts: Counter[str]) -> bool:
    """Return whether a test runs at all; of `EVERY` it is one row in so many on PostgreSQL."""
    if item.get_closest_marker("postgres") is None:
        return True
    if item.get_closest_marker("sqlite") is not None:
        return False
    if item.module.__name__ in ON_BOTH and item.get_closest_marker("slow") is not None:  # type: ignore[attr-defined]
        return False
    name = item.originalname  # type: ignore[attr-defined]
    counts[name] += 1
    return counts[name] % EVERY.get(name, 1) == 0


def wait_for_answers(patch: pytest.MonkeyPatch) -> None:
    """Have reads of PostgreSQL wait for an answer, where they else go on after 50 ms with what may be outdated."""
    for name in ("promptreg.storage.postgres.change_check.PATIENCE", "promptreg.waiting.LEAST_PATIENCE"):
        patch.setattr(name, 30.0)


def target_of(registry: Registry) -> str:
    """Return what a registry was opened with, as text."""
    if registry.path is not None:
        return registry.path
    url = registry._core.storage._connector._url  # type: ignore[attr-defined]
    return f"{url.conninfo}{'&' if '?' in url.conninfo else '?'}{PARAMETER}{url.schema}"


def storage_of(target: str) -> Any:
    """Return the class of the storage that a target means."""
    if not target.startswith(POSTGRES):
        return SQLiteStorage
    from promptreg.storage.postgres.storage import PostgresStorage  # needs the driver

    return PostgresStorage


def copy_registry(path: Path | str, target: str) -> None:
    """Make a registry hold what a file's holds, and nothing else."""
    if not target.startswith(POSTGRES):
        shutil.copy(path, target)
        return
    EmptySchema.known[target].empty()
    with closing(_opened(str(path))) as source, closing(_opened(target)) as copy, source.dump() as dump:
        copy.load(dump.entries)


def everything(target: str) -> dict[str, list[Any]]:
    """Read every row of every table of a registry, with a separate connection."""
    return _all_of_schema(target) if target.startswith(POSTGRES) else _all_of_file(target)


def _all_of_file(path: str) -> dict[str, list[Any]]:
    connection = sqlite3.connect(f"{Path(path).as_uri()}?mode=ro", uri=True)
    try:
        tables = [name for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {table: sorted(connection.execute(f'SELECT * FROM "{table}"').fetchall(), key=repr) for table in tables}
    finally:
        connection.close()


def _all_of_schema(target: str) -> dict[str, list[Any]]:
    with connected(target) as connection, connection.transaction():
        connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ")
        tables = connection.execute("SELECT tablename FROM pg_tables WHERE schemaname = current_schema()").fetchall()
        return {table: sorted(connection.execute(f"SELECT * FROM {table}").fetchall(), key=repr) for (table,) in tables}
