"""Everything of a PostgreSQL registry: its backup, its export, and the recipe that moves it to a file and back."""

import os
import re
import shlex
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

import promptreg
from promptreg import Registry, StorageCorruptError, StorageError
from promptreg.files.full import import_full
from promptreg.storage.postgres import dumping, verification
from promptreg.storage.postgres.statements import Statement
from tests.conftest import until
from tests.full import everything_read, exported, forking, imported
from tests.postgres import ROOT, fresh_target, split_target
from tests.storages import everything
from tests.test_backup import left, out
from tests.test_postgres_verify import unguarded
from tests.test_verify import fill

pytestmark = pytest.mark.postgres
__all__ = ["out"]

RECIPE = Path(promptreg.__file__).parent / "docs" / "export.md"


@pytest.fixture(scope="module")
def target(postgres_url: str) -> Iterator[str]:
    """The target of a registry in which every verb has written."""
    with fresh_target(postgres_url) as made:
        with Registry(made) as registry:
            fill(registry)
        yield made


@pytest.fixture
def filled(target: str) -> Iterator[Registry]:
    """That registry, which no test changes."""
    with Registry(target) as registry:
        yield registry


@pytest.fixture
def registry(postgres_target: str) -> Iterator[Registry]:
    """A registry with a few prompts, for a test alone."""
    with Registry(postgres_target) as made:
        for number in range(4):
            made.create(f"p{number}", f"Hello {number}")
        made.update("p1", template="Second", is_production=False)
        yield made


def open_transactions(target: str) -> int:
    """Return how many transactions hold any lock on tables of the registry."""
    with unguarded(target) as run:
        (count,) = run(
            "SELECT count(DISTINCT l.pid) FROM pg_locks l JOIN pg_class c ON c.oid = l.relation"
            " JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = %s AND l.pid <> pg_backend_pid()",
            (split_target(target)[1],),
        ).fetchone()
    return int(count)


def test_a_backup_of_postgresql_is_a_file_that_reads_the_same(filled: Registry, target: str, out: Path) -> None:
    """Every verb that reads answers the same, the heads are equal, and the registry stays as it is."""
    before = everything(target)
    filled.backup(out)
    assert everything(target) == before
    with Registry(out, create=False) as backup:
        assert everything_read(backup) == everything_read(filled)
        assert exported(backup) == exported(filled)
        assert (backup.verify(), backup.head()) == ([], filled.head())


@pytest.mark.parametrize(("rows", "most"), [(1, 8_000_000), (3, 8_000_000), (500, 1)])
def test_slices_of_any_size_are_the_same_export(
    filled: Registry, rows: int, most: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of one row, of few, and of one row because it is large."""
    whole = exported(filled)
    monkeypatch.setattr(dumping, "ROWS", rows)
    monkeypatch.setattr(dumping, "BYTES", most)
    assert exported(filled) == whole


def test_a_registry_without_prompts_is_dumped_too(postgres_target: str, out: Path) -> None:
    """Its head is that before the first event."""
    with Registry(postgres_target) as registry:
        registry.backup(out)
    with Registry(out, create=False) as backup:
        assert (backup.head(), len(backup.list())) == ("0" * 64, 0)


def test_it_is_of_one_moment_and_no_writer_waits(registry: Registry, out: Path) -> None:
    """What is written while its entries are taken, deletions too, is not in it."""
    head = registry.head()

    def write() -> None:
        registry.delete("p2")
        registry.update("p0", template="Later")

    with registry._core.storage.dump() as dump:
        entries = [next(dump.entries)]
        thread = threading.Thread(target=write)
        thread.start()
        thread.join(60)
        assert not thread.is_alive()
        entries += dump.entries
    assert len(entries) == sum(dump.counts)
    assert (dump.counts.prompts, dump.counts.versions, dump.counts.deletions) == (4, 5, 0)
    assert entries[-1].hash == head  # type: ignore[union-attr]
    later = registry.head()
    registry.backup(out, progress=lambda *_: registry.create(f"late-{time.monotonic_ns()}", "x"))
    with Registry(out, create=False) as backup:
        assert (backup.head(), len(backup.list())) == (later, 3)


def test_nothing_is_held_once_it_has_ended(registry: Registry, postgres_target: str, out: Path) -> None:
    """By its end, by an error of progress, or where nobody takes the rest."""
    registry.backup(out)
    with pytest.raises(KeyError, match="mine"):
        registry.backup(out.with_name("other.db"), progress=lambda done, total: {}["mine"])
    with registry._core.storage.dump() as dump:
        next(dump.entries)
        until(lambda: open_transactions(postgres_target) == 1)  # and none of the listener, which asks now and then
    until(lambda: open_transactions(postgres_target) == 0)  # the server learns of it by a message
    assert left(out) == [out.name]


def test_forked_children_that_leave_an_import_do_not_harm_it(
    filled: Registry, postgres_target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the parent has in temporary files, buffered or not, stays its own."""
    monkeypatch.setattr("promptreg.files.full.importing.BATCH", 3)
    data = exported(filled)
    with Registry(postgres_target) as registry:
        forking(lambda progress: import_full(registry, BytesIO(data), progress=progress))
        assert exported(registry) == data


FORKING = """
import os, sys
from promptreg import Registry
from tests.forks import fork
registry = Registry(sys.argv[1])
with registry._core.storage.dump() as dump:
    next(dump.entries)
    child, _ = fork()
    if child == 0:
        sys.stdin.read()
    os._exit(0)
"""


def test_a_forked_child_keeps_no_dump_of_its_parent_open(registry: Registry, postgres_target: str) -> None:
    """Where the parent is gone, the server ends its transaction, while the child lives on."""
    program = [sys.executable, "-c", FORKING, postgres_target]
    with subprocess.Popen(program, stdin=subprocess.PIPE, cwd=ROOT) as parent:
        assert parent.wait() == 0
        until(lambda: open_transactions(postgres_target) == 0)
        parent.stdin.close()


def test_a_server_that_ends_idle_transactions_does_not_end_a_slow_export(postgres_target: str) -> None:
    """The transaction lifts such a limit for itself alone."""
    limited = f"{postgres_target}&options=-c%20idle_in_transaction_session_timeout%3D1000"
    with Registry(limited) as registry:
        registry.create("a", "Hello")
        registry.create("b", "Hello")
        with registry._core.storage.dump() as dump:
            first = next(dump.entries)
            time.sleep(1.5)
            assert len([first, *dump.entries]) == sum(dump.counts)


def test_a_statement_timeout_of_the_role_ends_no_backup_and_no_verification(
    postgres_target: str, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is meant for an application's short queries; these may take long where there is much to read."""
    sleeping = " FROM pg_catalog.pg_sleep(0.3)"
    monkeypatch.setattr(dumping, "_COUNTS", Statement(dumping._COUNTS.text + sleeping))
    monkeypatch.setattr(verification, "_extent", lambda check: Statement(f"SELECT 0, 0{sleeping}"))
    with Registry(f"{postgres_target}&options=-c%20statement_timeout%3D200") as registry:
        registry.create("greet", "Hello")
        registry.backup(out)
        assert registry.verify() == []


def test_a_connection_that_is_cut_is_a_storage_error_and_makes_nothing(
    registry: Registry, postgres_target: str, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The registry works afterwards, and so does the next backup."""
    monkeypatch.setattr(dumping, "ROWS", 1)
    monkeypatch.setattr("promptreg.backup.BATCH", 1)

    def cut(done: int, total: int) -> None:
        if done == 3:
            with unguarded(postgres_target) as run:
                run(
                    "SELECT pg_terminate_backend(l.pid) FROM pg_locks l JOIN pg_class c ON c.oid = l.relation"
                    " JOIN pg_namespace n ON n.oid = c.relnamespace WHERE n.nspname = %s AND l.pid <> pg_backend_pid()",
                    (split_target(postgres_target)[1],),
                )

    with pytest.raises(StorageError):
        registry.backup(out, progress=cut)
    assert left(out) == []
    registry.backup(out)
    assert registry.verify() == []


def test_a_damaged_row_is_an_error_and_makes_nothing(registry: Registry, postgres_target: str, out: Path) -> None:
    """Whichever table it is in, and also where rows are what was written and do not fit together."""
    for statement, undo in (
        ("UPDATE $.versions SET title = 'x' WHERE prompt = 2", "UPDATE $.versions SET title = 'p1' WHERE prompt = 2"),
        ("UPDATE $.prompts SET status = 'x' WHERE key = 2", "UPDATE $.prompts SET status = 'active' WHERE key = 2"),
        ("UPDATE $.publications SET hash = '' WHERE prompt = 4", "DELETE FROM $.publications WHERE prompt = 4"),
        (
            "INSERT INTO $.deletions (prompt_id, revision, at) SELECT id, 1, created_at FROM $.prompts LIMIT 1",
            "DELETE FROM $.deletions",
        ),
        ("DELETE FROM $.registry WHERE last_event > 3", "SELECT 1"),
    ):
        with unguarded(postgres_target) as run:
            run(statement)
            with pytest.raises(StorageCorruptError) as caught:
                registry.backup(out)
            assert caught.value.details["reason"] == "damaged"
            run(undo)
    assert left(out) == []


def test_both_sides_of_a_fork_go_on(registry: Registry, out: Path) -> None:
    """The child reads with a connection of its own, and the parent's backup is whole."""
    codes: list[int] = []

    def progress(done: int, total: int) -> None:
        if codes:
            return
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            child = os.fork()
        if child == 0:
            os._exit(0 if registry.get("p0").version == 1 else 1)
        codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))

    registry.backup(out, progress=progress)
    assert codes == [0]
    with Registry(out, create=False) as backup:
        assert (backup.verify(), backup.head()) == ([], registry.head())


# Moving


def test_a_registry_moves_to_a_file_and_back_byte_for_byte(filled: Registry, postgres_target: str) -> None:
    """Whatever verbs have written: the exports are equal, and all that is read, and the heads."""
    data = exported(filled)
    with imported(data, postgres_target) as moved:
        assert exported(moved) == data
        assert everything_read(moved) == everything_read(filled)
        assert moved.verify(head=filled.head()) == []


def recipe(section: str) -> list[str]:
    """Return the commands of a section of the page, one a line."""
    text = RECIPE.read_text(encoding="utf-8").split(f"## {section}\n")[1].split("\n## ")[0]
    return "".join(re.findall(r"```bash\n(.*?)```", text, re.DOTALL)).splitlines()


def test_the_recipe_of_the_documentation_moves_there_and_back(postgres_target: str, tmp_path: Path) -> None:
    """Each of its commands is run as it stands there, on a registry in a file; the heads are equal afterwards."""
    with Registry(tmp_path / "prompts.db") as registry:
        fill(registry)
        head, data = registry.head(), exported(registry)
    commands = recipe("Between a file and PostgreSQL")
    assert len(commands) == 4
    command = f"{shlex.quote(sys.executable)} -m promptreg "
    for line in commands:
        script = line.replace("postgresql://user@host/database", shlex.quote(postgres_target))
        script = re.sub(r"(^|[|(] ?)promptreg ", lambda found: found[1] + command, script)
        done: Any = subprocess.run(
            ["bash", "-o", "pipefail", "-c", script],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == 0, (script, done.stderr)
    backup = [sys.executable, "-m", "promptreg", "backup", "backup.db", "--db", postgres_target]
    done = subprocess.run(backup, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "backup.db is made, and is whole.\n")
    for place in (postgres_target, *(str(tmp_path / name) for name in ("moved.db", "backup.db"))):
        with Registry(place, create=False) as moved:
            assert (moved.head(), moved.verify()) == (head, [])
            assert exported(moved) == data
