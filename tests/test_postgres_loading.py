"""Loading everything into PostgreSQL: what a file holds is there, row by row, or nothing is (`Storage.load`)."""

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from io import BufferedRandom, FileIO
from pathlib import Path
from typing import IO, Any

import pytest

from promptreg import ConflictError, Registry, StorageError, StorageFullError
from promptreg.dump import Entry, EventEntry, PromptEntry
from promptreg.records import VersionRecord
from promptreg.storage import entry_rows
from promptreg.storage.base import Storage, StorageSettings
from promptreg.storage.opening import open_storage
from promptreg.storage.postgres import loading
from tests.postgres import connected, fresh_target
from tests.storages import everything

pytestmark = pytest.mark.postgres

HASHED = {
    "prompts": ("id", "name", "labels", "publications", "seed", "synced", "hash"),
    "versions": ("version", "state", "template", "config", "tags", "base_version", "failure", "hash"),
    "publications": ("depth", "version", "hash"),
    "events": ("seq", "at", "actor", "action", "namespace", "prompt_id", "version", "commitment", "prev", "hash"),
    "event_details": ("seq", "salt", "name", "details"),
    "deletions": ("prompt_id", "at", "synced"),
}


def opened(target: str) -> Storage:
    return open_storage(StorageSettings(target, create=True, durability="full", busy_timeout=30.0))


@pytest.fixture
def entries(tmp_path: Path) -> list[Entry]:
    """Everything of a file with each kind of entry."""
    path = str(tmp_path / "source.db")
    with Registry(path) as registry:
        registry.create("greet", "Hello", tags=["x", "ÿ"], config={"k": [1, None, "\n"]})
        registry.update("greet", template="Draft", is_production=False)
        registry.update("greet", template="Live")
        registry.rollback("greet", reason="worse")
        registry.set_label("greet", "eu", 2)
        registry.create("chat", [{"role": "user", "content": "{{ x }}"}], access_grants=[("user:ana", "read")])
        registry.create("draft", "only", is_production=False)
        registry.seed("seeded", "Seeded")
        registry.create("gone", "Gone")
        registry.delete("gone")
    return dumped(path)


def dumped(target: str) -> list[Entry]:
    with closing(opened(target)) as storage, storage.dump() as dump:
        return [*dump.entries]


def load(target: str, entries: Iterator[Entry] | list[Entry]) -> None:
    with closing(opened(target)) as storage:
        storage.load(entries)


def rows(target: str) -> dict[str, list[Any]]:
    """Read the columns that both databases have, of every row."""
    if not target.startswith("postgresql"):
        with closing(sqlite3.connect(target)) as connection:
            return {table: sorted(connection.execute(_selected(table)), key=repr) for table in HASHED}
    with connected(target) as connection:
        return {table: sorted(connection.execute(_selected(table)), key=repr) for table in HASHED}


def _selected(table: str) -> str:
    return f"SELECT {', '.join(HASHED[table])} FROM {table}"


def test_every_row_of_a_file_is_loaded(entries: list[Entry], tmp_path: Path, postgres_target: str) -> None:
    """With the same hashes and events; it is read, found, verified, dumped and written as in the file."""
    load(postgres_target, entries)
    source = str(tmp_path / "source.db")
    assert rows(postgres_target) == rows(source)
    assert dumped(postgres_target) == entries
    with Registry(postgres_target) as registry, Registry(source) as file:
        assert registry.verify() == []
        assert registry.head() == file.head()
        assert registry.list(status=["active", "disabled"]).items == file.list(status=["active", "disabled"]).items
        assert [prompt.name for prompt in registry.search("hello")] == ["greet"]
        assert registry.revision == 1
        assert registry.update("greet", template="Next").version == 4
        assert registry.create("new", "New").version == 1
        assert registry.verify() == []


def test_a_prompt_of_an_earlier_schema_is_counted_when_it_is_written(postgres_target: str, tmp_path: Path) -> None:
    """One without the depth of its publications is loaded as it is, and has it after the next write."""
    path = str(tmp_path / "earlier.db")
    with Registry(path) as registry:
        registry.create("greet", "1")
        registry.update("greet", template="2")
    earlier = [
        entry._replace(container=entry.container._replace(publications=None))
        if isinstance(entry, PromptEntry)
        else entry
        for entry in dumped(path)
    ]
    load(postgres_target, earlier)
    depth = HASHED["prompts"].index("publications")
    assert [row[depth] for row in rows(postgres_target)["prompts"]] == [None]
    with Registry(postgres_target) as registry:
        registry.update("greet", template="3")
        registry.rollback("greet", reason="worse")
        assert registry.render("greet").text == "2"
        assert registry.verify() == []
    assert [row[depth] for row in rows(postgres_target)["prompts"]] == [2]


def test_many_rows_and_large_ones_are_loaded_in_parts(
    entries: list[Entry], postgres_target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A statement takes a bounded number of rows and bytes; a row that alone has more has a statement of its own."""
    monkeypatch.setattr(loading, "ROWS", 3)
    monkeypatch.setattr(loading, "MAX_BYTES", 900)
    load(postgres_target, entries)
    assert dumped(postgres_target) == entries
    lines = [b"1\n", b"2\n", b"3\n", b"4\n", b'"' + b"x" * 1000 + b'"\n', b"5\n"]
    assert [len(part) for part in loading._arrays(lines)] == [10, 4, 1005, 4]
    with Registry(postgres_target) as registry:
        assert registry.verify() == []


def test_an_empty_dump_is_loaded(postgres_target: str) -> None:
    """The revision grows, and nothing else changes."""
    load(postgres_target, [])
    with Registry(postgres_target) as registry:
        assert registry.revision == 1
        assert registry.create("greet", "Hello").version == 1
        assert registry.verify() == []


@pytest.mark.parametrize("kind", [PromptEntry, VersionRecord, EventEntry])
def test_entries_that_do_not_belong_together_load_nothing(
    entries: list[Entry], postgres_target: str, kind: type
) -> None:
    """Where an entry comes twice, the database refuses it, and not a row remains of the others."""
    with closing(opened(postgres_target)):
        before = everything(postgres_target)
    last = max(number for number, entry in enumerate(entries) if isinstance(entry, kind))
    twice = [*entries[: last + 1], *entries[last:]]
    with pytest.raises(ConflictError):
        load(postgres_target, twice)
    assert everything(postgres_target) == before


def test_a_version_without_a_prompt_is_refused(entries: list[Entry], postgres_target: str) -> None:
    """It belongs to the prompt before it."""
    version = next(entry for entry in entries if isinstance(entry, VersionRecord))
    with pytest.raises(ValueError, match="must follow its prompt"):
        load(postgres_target, [version])


def test_others_write_and_read_while_entries_come(entries: list[Entry], postgres_url: str) -> None:
    """No lock and no transaction is held meanwhile, so they see an empty registry; the load then finds theirs."""
    with fresh_target(postgres_url) as target, Registry(target) as registry:

        def slow() -> Iterator[Entry]:
            yield from entries
            assert registry.list().items == []
            registry.create("theirs", "x")

        with pytest.raises(ConflictError, match="import into a new one"):
            load(target, slow())
        assert [prompt.name for prompt in registry.list()] == ["theirs"]


def test_what_the_source_raises_comes_through(entries: list[Entry], postgres_target: str) -> None:
    """An error of reading the entries is none of the storage's, also one of the operating system."""

    def broken() -> Iterator[Entry]:
        yield from entries[:3]
        raise BrokenPipeError(errno.EPIPE, "gone")

    with closing(opened(postgres_target)):
        before = everything(postgres_target)
    with pytest.raises(BrokenPipeError):
        load(postgres_target, broken())
    assert everything(postgres_target) == before


class Full(FileIO):
    """A file on a disk that has no room."""

    def __init__(self, path: Path, code: int) -> None:
        super().__init__(path, "w+b")
        self._code = code

    def write(self, _: Any) -> int:
        raise OSError(self._code, "no")


@pytest.mark.parametrize("buffer", [1, 1024 * 1024], ids=["at a row", "at the end"])
@pytest.mark.parametrize(
    ("code", "error", "message"),
    [(errno.ENOSPC, StorageFullError, "is full; make room"), (errno.EIO, StorageError, "can't be used: no")],
)
def test_a_folder_for_temporary_files_without_room(
    entries: list[Entry],
    postgres_target: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    code: int,
    error: type[StorageError],
    message: str,
    buffer: int,
) -> None:
    """The error names the folder, and what to do, whenever what was buffered is written; nothing is in the database."""
    monkeypatch.setattr(loading, "TemporaryFile", lambda: BufferedRandom(Full(tmp_path / "full", code), buffer))
    with pytest.raises(error, match=message):
        load(postgres_target, entries)
    monkeypatch.undo()
    load(postgres_target, entries)


def test_a_folder_for_temporary_files_that_is_missing(
    entries: list[Entry], postgres_target: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is the storage's error, before any entry is taken."""

    def absent() -> IO[bytes]:
        raise FileNotFoundError(errno.ENOENT, "No usable temporary directory found")

    monkeypatch.setattr(loading, "TemporaryFile", absent)
    with pytest.raises(StorageError, match="TMPDIR"):
        load(postgres_target, entries)


def test_each_table_is_loaded() -> None:
    """The tables of a registry's data are those of its dump: the others hold what a registry makes anew."""
    assert set(HASHED) | {"search"} == set(entry_rows.COLUMNS) == set(loading.INSERTS)
