"""Copies of a registry's file: complete with its WAL, and without it refused if that can be detected."""

import os
import shutil
import sqlite3
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from promptreg import Registry, StorageError
from promptreg.storage.sqlite import connecting as opening
from promptreg.storage.sqlite.migrations import MIGRATIONS
from tests.remote import Remote


@pytest.fixture
def waits_briefly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Wait only briefly for another process that may be creating the registry."""
    monkeypatch.setattr(opening, "CREATION_SECONDS", 0.05)


@pytest.fixture
def copy(path: str, tmp_path: Path) -> str:
    """The path of a copy, without its WAL, of an open registry that was never checkpointed."""
    to = str(tmp_path / "copy.db")
    with Registry(path) as registry:
        registry.create("greet", "Hello")
        shutil.copyfile(path, to)
    return to


def beside(path: str) -> dict[str, bytes]:
    return {file.name: file.read_bytes() for file in Path(path).parent.glob(f"{Path(path).name}*")}


@pytest.mark.usefixtures("waits_briefly")
@pytest.mark.parametrize("create", [True, False])
def test_a_copy_without_its_log_is_refused_and_never_taken_for_a_new_file(copy: str, create: bool) -> None:
    """The message names the WAL and how to copy; repeated opening does not change the file."""
    before = beside(copy)
    for _ in range(2):
        with pytest.raises(
            StorageError, match=r"copy\.db-wal, which holds .* was not copied: .* VACUUM INTO"
        ) as caught:
            Registry(copy, create=create)
        assert caught.value.details == {"reason": "log_missing"}
        assert beside(copy) == before


@pytest.mark.usefixtures("waits_briefly")
def test_many_processes_that_open_such_a_copy_are_all_refused(copy: str) -> None:
    """The empty WAL that opening creates is not mistaken for that of the copy by the next process."""

    def reason(_: int) -> object:
        with pytest.raises(StorageError) as caught:
            Registry(copy)
        return caught.value.details["reason"]

    with ThreadPoolExecutor(8) as threads:
        assert list(threads.map(reason, range(16))) == ["log_missing"] * 16


@pytest.mark.slow
@pytest.mark.parametrize("mode", [0o555, 0o777])
def test_a_user_that_may_only_read_such_a_copy_is_refused_too(copy: str, mode: int) -> None:
    """In a folder that can't be written, promptreg reads a copy in memory, whose header no longer says WAL."""
    with tempfile.TemporaryDirectory() as folder:  # which other users may enter, unlike the folder of a test
        path = shutil.copyfile(copy, f"{folder}/prompts.db")
        os.chmod(path, 0o444)
        os.chmod(folder, mode)
        with Remote(path, unprivileged=True) as reader, pytest.raises(StorageError) as caught:
            reader.call("open")
        os.chmod(folder, 0o755)
    assert caught.value.details["reason"] == "log_missing"


def with_its_log(source: str, to: str) -> None:
    for suffix in ("", "-wal"):
        shutil.copyfile(source + suffix, to + suffix)


def vacuumed(source: str, to: str) -> None:
    with closing(sqlite3.connect(source, isolation_level=None)) as tool:
        tool.execute("VACUUM INTO ?", (to,))


def backed_up(source: str, to: str) -> None:
    with closing(sqlite3.connect(source)) as tool, closing(sqlite3.connect(to)) as target:
        tool.backup(target)


@pytest.mark.parametrize("copied", [with_its_log, vacuumed, backed_up])
def test_a_complete_copy_is_opened(path: str, tmp_path: Path, copied: Callable[[str, str], None]) -> None:
    """A copy with its WAL, or made as the message says, has all data."""
    to = str(tmp_path / "copy.db")
    with Registry(path) as registry:
        registry.create("greet", "Hello")
        copied(path, to)
        registry.update("greet", template="Later")
    with Registry(to) as opened:
        assert [prompt.template for prompt in opened.list()] == ["Hello"]
        assert opened.update("greet", template="Hi").version == 2


def test_a_copy_without_a_log_of_the_latest_commits_is_an_older_state(path: str, tmp_path: Path) -> None:
    """The file does not show that commits after the last checkpoint are missing; operations.md says how to copy."""
    to = str(tmp_path / "copy.db")
    with Registry(path) as registry:
        registry.create("greet", "Hello")
        with closing(sqlite3.connect(path)) as tool:
            tool.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        registry.update("greet", template="Later")
        shutil.copyfile(path, to)
    with Registry(to) as opened:
        assert [prompt.template for prompt in opened.list()] == ["Hello"]


def test_an_interrupted_creation_leaves_a_file_that_can_be_opened(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file whose creation was interrupted before the schema is not taken for a copy without its WAL."""
    for failure in (KeyboardInterrupt, sqlite3.OperationalError("disk I/O error")):

        def fail(_: object, failure: BaseException | type[BaseException] = failure) -> None:
            raise failure

        with monkeypatch.context() as patch:
            patch.setattr(MIGRATIONS, "apply", fail)
            with pytest.raises((KeyboardInterrupt, StorageError)):
                Registry(path)
    with Registry(path) as registry:
        registry.create("greet", "Hello")


def test_opening_waits_while_another_process_creates_the_registry(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A file that has switched to WAL mode, with nothing written yet, is not taken for an incomplete copy."""
    apply, began = MIGRATIONS.apply, []

    def slowly(database: object) -> None:
        began.append(database)
        time.sleep(0.3)
        apply(database)  # type: ignore[arg-type]

    monkeypatch.setattr(MIGRATIONS, "apply", slowly)
    with ThreadPoolExecutor(1) as threads:
        made = threads.submit(Registry, path)
        while not began:
            time.sleep(0.001)
        with Registry(path) as second, made.result() as first:
            first.create("greet", "Hello")
            assert second.get("greet").template == "Hello"
    assert len(began) == 1
