"""The file of an open registry is replaced or removed: calls notice within 50 ms, and never mix two files."""

import multiprocessing
import os
import shutil
import signal
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from promptreg import NotFoundError, Registry, StorageError
from promptreg.storage.base import StorageSettings
from promptreg.storage.sqlite.connecting import open_to_watch
from promptreg.storage.sqlite.files import WAL
from tests.remote import PATIENCE_SECONDS, Remote
from tests.test_storage_sqlite import raw
from tests.verbs import backed_up

NOTICED_SECONDS = 0.06  # 50 ms are promised: a read that begins later checks, however slow the machine is

UNCACHED: dict[str, Callable[[Registry], object]] = {
    "get": lambda r: r.get("uncached"),
    "get_many": lambda r: r.get_many(["cached", "uncached"]),
    "absent": lambda r: r.get("only-there"),
    "render": lambda r: r.render("uncached"),
    "version": lambda r: r.get("cached@1"),
    "history": lambda r: r.history("cached"),
    "diff": lambda r: r.diff("cached", 1, 2),
    "check": lambda r: r.check("cached"),
    "list": lambda r: r.list(),
    "iterate": lambda r: next(r.iterate()),
    "search": lambda r: r.search("text"),
    "events": lambda r: r.events(),
    "namespaces": lambda r: r.namespaces(),
    "verify": lambda r: r.verify(),
    "head": lambda r: r.head(),
    "backup": backed_up,
    "report": lambda r: r.report(),
}
WRITES: dict[str, Callable[[Registry], object]] = {
    "create": lambda r: r.create("new", "New"),
    "save": lambda r: r.save("cached", "New"),
    "seed": lambda r: r.seed("cached", "New"),
    "update": lambda r: r.update("cached", template="New"),
    "publish": lambda r: r.publish("cached", 1),
    "rollback": lambda r: r.rollback("cached", reason="x"),
    "publish several": lambda r: r.publish(["cached@1", "uncached"]),
    "enable": lambda r: r.enable("cached"),
    "disable": lambda r: r.disable("cached"),
    "delete": lambda r: r.delete("cached"),
    "set_status": lambda r: r.set_status("cached", "disabled"),
    "set_label": lambda r: r.set_label("cached", "staging", 1),
    "remove_label": lambda r: r.remove_label("cached", "staging"),
    "discard": lambda r: r.discard("cached", 1),
    "archive": lambda r: r.archive("cached"),
    "restore": lambda r: r.restore("cached"),
}


def companions(path: str) -> list[Path]:
    """Return the database and its companions: its WAL, and every other file whose name begins with its name."""
    return sorted(Path(path).parent.glob(Path(path).name + "*"))


def move(path: str, to: str, *, alone: bool) -> None:
    """Move a database, with its companions unless `alone`."""
    for file in [Path(path)] if alone else companions(path):
        os.replace(file, to + file.name.removeprefix(Path(path).name))


@pytest.fixture
def opened(path: str) -> Iterator[Registry]:
    """A registry with a prompt in its cache, one that was never read, and one that is in the WAL only."""
    with Registry(path, busy_timeout=1) as registry:
        registry.create("uncached", "text uncached")
        registry.create("cached", "text before")
        registry.update("cached", template="text cached")
    with Registry(path, busy_timeout=1) as registry:
        registry.create("logged", "text logged")
        registry.get("cached")
        registry.render("cached")
        yield registry


@pytest.fixture
def replacement(tmp_path: Path) -> str:
    """The path of another registry, cleanly closed, with prompts of the same names."""
    path = str(tmp_path / "replacement.db")
    with Registry(path) as registry:
        registry.create("uncached", "text replaced")
        registry.create("cached", "text replaced before")
        registry.update("cached", template="text replaced")
        registry.create("only-there", "text replaced")
    return path


def assert_returns_only_stale(registry: Registry) -> None:
    """Assert that cached reads return stale prompts, and that all other calls raise `StorageError`."""
    prompt = registry.get("cached")
    assert (prompt.template, prompt.version, prompt.stale) == ("text cached", 2, True)
    rendered = registry.render("cached")
    assert (rendered.text, rendered.prompt.stale) == ("text cached", True)
    for call in [*UNCACHED.values(), *WRITES.values()]:
        with pytest.raises(StorageError, match="while it was open"):
            call(registry)
    assert registry.get("cached").stale


def assert_works_again(registry: Registry) -> None:
    """Assert that after 50 ms everything works again: reads are not stale, and writes are stored."""
    time.sleep(NOTICED_SECONDS)
    assert (registry.get("cached").stale, registry.get("uncached").template) == (False, "text uncached")
    assert (registry.render("cached").text, registry.render("cached").prompt.stale) == ("text cached", False)
    assert registry.update("cached", template="text again").version == 3
    assert [prompt.template for prompt in registry.list()] == ["text again", "text logged", "text uncached"]
    with closing(raw(registry.path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_a_prompt_is_not_stale_normally(opened: Registry) -> None:
    """While the file is in place, every verb that reads or writes returns a prompt that is not stale."""
    prompts = [opened.get("cached"), opened.get("cached"), opened.render("cached").prompt, opened.get("cached@1")]
    prompts += [
        opened.update("cached", title="New"),
        opened.publish("cached", 1),
        *opened.list(),
        *opened.search("text"),
    ]
    assert {prompt.stale for prompt in prompts} == {False}


@pytest.mark.parametrize("alone", [True, False], ids=["alone", "with companions"])
def test_a_removed_file_is_noticed_and_works_when_it_is_back(
    opened: Registry, path: str, tmp_path: Path, alone: bool
) -> None:
    """50 ms after it was moved, writes and uncached reads fail and cached ones are stale; moved back, all works."""
    aside = str(tmp_path / "aside.db")
    move(path, aside, alone=alone)
    time.sleep(NOTICED_SECONDS)
    assert_returns_only_stale(opened)
    assert not os.path.exists(path)
    move(aside, path, alone=alone)
    assert_works_again(opened)


def test_a_removed_file_is_noticed_whatever_max_staleness(path: str, tmp_path: Path) -> None:
    """Even with `max_staleness=60` cached reads are stale after 50 ms."""
    with Registry(path, max_staleness=60) as registry:
        registry.create("greet", "Hello")
        assert not registry.get("greet").stale
        move(path, str(tmp_path / "aside.db"), alone=False)
        time.sleep(NOTICED_SECONDS)
        assert (registry.get("greet").template, registry.get("greet").stale) == ("Hello", True)
        with pytest.raises(StorageError, match="was removed while it was open"):
            registry.update("greet", template="Hi")


def test_what_the_registry_itself_changed_is_never_returned_as_it_was_before(
    opened: Registry, path: str, tmp_path: Path
) -> None:
    """Prompts that were changed right before the file was removed raise errors; the others are returned as stale."""
    opened.create("gone", "text gone")
    for name in ("cached", "gone", "logged", "new"):
        opened.get(name, default=None)
    opened.update("cached", template="text newer")
    opened.set_status("gone", "archived")
    opened.create("new", "text new")
    move(path, str(tmp_path / "aside.db"), alone=False)
    for name in ("cached", "gone", "new"):
        for _ in range(2):
            with pytest.raises(StorageError, match="was removed while it was open"):
                opened.get(name)
            with pytest.raises(StorageError, match="was removed while it was open"):
                opened.render(name)
    assert (opened.get("logged").template, opened.get("logged").stale) == ("text logged", True)
    move(str(tmp_path / "aside.db"), path, alone=False)
    time.sleep(NOTICED_SECONDS)
    assert opened.get("cached").template == "text newer"


def test_an_unlinked_file_is_noticed_and_never_created_again(opened: Registry, path: str) -> None:
    """No call creates a new, empty registry at the path of a removed one."""
    for file in companions(path):
        file.unlink()
    time.sleep(NOTICED_SECONDS)
    assert_returns_only_stale(opened)
    assert not os.path.exists(path)


@pytest.mark.parametrize("alone", [True, False], ids=["alone", "with companions"])
def test_a_replaced_file_is_noticed_and_works_when_it_is_back(
    opened: Registry, path: str, replacement: str, tmp_path: Path, alone: bool
) -> None:
    """A file in place of the registry's is neither read nor written; after the original is moved back, all works."""
    aside = str(tmp_path / "aside.db")
    before = Path(replacement).read_bytes()
    if alone:
        os.link(path, aside)
        os.replace(replacement, path)
    else:
        move(path, aside, alone=False)
        os.replace(replacement, path)
    time.sleep(NOTICED_SECONDS)
    assert_returns_only_stale(opened)
    assert Path(path).read_bytes() == before
    if alone:
        os.replace(aside, path)
    else:
        os.unlink(path)
        move(aside, path, alone=False)
    assert_works_again(opened)


def test_another_database_copied_over_the_file_is_noticed(opened: Registry, path: str, replacement: str) -> None:
    """None of the other content is returned, although path and inode are the same."""
    with closing(raw(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    time.sleep(NOTICED_SECONDS)
    assert not opened.get("cached").stale
    shutil.copyfile(replacement, path)
    time.sleep(NOTICED_SECONDS)
    assert_returns_only_stale(opened)
    assert Path(path).read_bytes() == Path(replacement).read_bytes()


def test_a_later_copy_copied_over_the_file_is_noticed(opened: Registry, path: str, tmp_path: Path) -> None:
    """It has the same history and later commits, none of which were committed here."""
    later = str(tmp_path / "later.db")
    with closing(raw(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.execute("VACUUM INTO ?", (later,))
    with Registry(later) as copy:
        copy.update("cached", template="text of the copy")
    time.sleep(NOTICED_SECONDS)
    assert not opened.get("cached").stale
    shutil.copyfile(later, path)
    time.sleep(NOTICED_SECONDS)
    assert_returns_only_stale(opened)


def test_a_temporary_failure_to_read_the_file_is_retried(
    opened: Registry, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """If no descriptor is free to read the file again, the check is repeated later."""
    time.sleep(NOTICED_SECONDS)
    opened.get("cached")
    with closing(raw(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    asked: list[object] = []

    def fail(*_: object) -> None:
        asked.append(_)
        raise sqlite3.OperationalError("unable to open database file")

    with monkeypatch.context() as patch:
        patch.setattr(opened._core.storage._connections, "_watcher_opener", fail)  # type: ignore[attr-defined]
        for _ in range(4):
            time.sleep(NOTICED_SECONDS)
            assert not opened.get("cached").stale
    assert len(asked) > 1
    time.sleep(NOTICED_SECONDS)
    assert not opened.get("cached").stale
    assert opened.update("cached", template="text again").version == 3


def test_a_checkpoint_is_not_taken_for_a_replacement(opened: Registry, path: str) -> None:
    """This holds for repeated checkpoints of another tool, with and without commits of others in between."""
    with closing(raw(path)) as connection, Registry(path) as other:
        for number in range(3, 8):
            other.update("cached", template=f"text {number}")
            if number % 2:
                assert opened.get("cached").template == f"text {number}"
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            for _ in range(2):
                time.sleep(NOTICED_SECONDS)
                assert (opened.get("cached").template, opened.get("cached").stale) == (f"text {number}", False)
    assert opened.update("cached", template="text again").version == 8


def test_a_replacements_contents_never_appear(opened: Registry, path: str, replacement: str) -> None:
    """From the replacement on, each read in several threads returns the old contents or raises `StorageError`."""
    stop, wrong = threading.Event(), []
    rounds, refused, seen = [0] * 3, [0] * 3, set()

    def read(number: int) -> None:
        while not stop.is_set():
            for name in ("cached", "uncached", "only-there"):
                try:
                    seen.add(opened.get(name).template)
                except NotFoundError:
                    if name != "only-there":
                        wrong.append(name)
            try:
                seen.update(version.template for version in opened.history("cached", limit=1))
            except StorageError:
                refused[number] += 1
            rounds[number] += 1

    def reached(counts: list[int], least: int) -> None:
        over = time.monotonic() + PATIENCE_SECONDS
        while min(counts) < least:
            assert time.monotonic() < over, (rounds, refused)
            time.sleep(0.001)

    threads = [threading.Thread(target=read, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    try:
        reached(rounds, 5)
        os.replace(replacement, path)
        reached(refused, 5)  # each thread has noticed it, and continues to read
    finally:
        stop.set()
        for thread in threads:
            thread.join()
    assert (seen, wrong) == ({"text cached", "text uncached"}, [])
    time.sleep(NOTICED_SECONDS)
    assert opened.get("cached").stale


def test_a_damaged_database_copied_over_the_file_is_noticed(opened: Registry, path: str, replacement: str) -> None:
    """A file without a revision is not taken for the one that was opened, and nothing of it is returned."""
    with closing(raw(replacement)) as connection:
        connection.execute("DELETE FROM registry")
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with closing(raw(path)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    time.sleep(NOTICED_SECONDS)
    assert not opened.get("cached").stale
    shutil.copyfile(replacement, path)
    time.sleep(NOTICED_SECONDS)
    assert_returns_only_stale(opened)


def test_a_registry_opened_on_the_replacement_and_the_old_one_are_separate(
    opened: Registry, path: str, replacement: str, tmp_path: Path
) -> None:
    """While another process writes the new file, the old registry returns only stale entries of its cache."""
    move(path, str(tmp_path / "aside.db"), alone=False)
    os.replace(replacement, path)
    with Remote(path) as other:
        assert other.call("get", "cached").template == "text replaced"
        time.sleep(NOTICED_SECONDS)
        for number in range(3, 6):
            assert other.call("update", "cached", template=f"text replaced {number}").version == number
            assert_returns_only_stale(opened)
        assert [version.version for version in other.call("history", "cached")] == [5, 4, 3, 2, 1]


def test_writers_of_all_threads_get_the_error(opened: Registry, path: str, replacement: str) -> None:
    """50 ms later no thread, whether it has written before or not, writes into either file."""
    errors = []

    def write() -> None:
        try:
            opened.update("cached", template="text lost")
        except StorageError as error:
            errors.append(error)

    os.replace(replacement, path)
    time.sleep(NOTICED_SECONDS)
    before = Path(path).read_bytes()
    threads = [threading.Thread(target=write) for _ in range(4)]
    for thread in threads:
        thread.start()
    write()
    for thread in threads:
        thread.join()
    assert len(errors) == 5
    assert Path(path).read_bytes() == before


# The log


def test_a_removed_log_is_noticed_and_loses_nothing(opened: Registry, path: str) -> None:
    """Nothing is written to a removed log, which others would not see; closing checkpoints it into the file."""
    os.unlink(path + WAL)
    time.sleep(NOTICED_SECONDS)
    assert_returns_only_stale(opened)
    with pytest.raises(StorageError, match=r"lost its log .* close this registry and open it anew"):
        opened.get("uncached")
    opened.close()
    with Registry(path) as registry:
        assert [prompt.template for prompt in registry.list()] == ["text cached", "text logged", "text uncached"]


def test_a_file_read_by_the_process_that_has_it_open_loses_no_version(opened: Registry, path: str) -> None:
    """Reading the file drops SQLite's locks, so that an older SQLite deletes the WAL when the next process closes.

    Then nothing is written. A newer SQLite also checks the locks of the log, keeps it, and everything works.
    """
    Path(path).read_bytes()
    with Remote(path) as other:
        assert other.call("update", "cached", template="text seen").version == 3
    written = ["text seen", "text cached", "text before"]
    if Path(path + WAL).exists():
        assert opened.get("cached").template == "text seen"
        assert opened.update("cached", template="text ours").version == 4
        written.insert(0, "text ours")
    else:
        with pytest.raises(StorageError, match="lost its log"):
            opened.update("cached", template="text lost")
        time.sleep(NOTICED_SECONDS)
        assert opened.get("cached").stale
    opened.close()
    with Registry(path) as registry:
        assert [version.template for version in registry.history("cached")] == written
        assert registry.update("cached", template="text kept").version == len(written) + 1
    with closing(raw(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchall() == [("ok",)]


def test_ending_threads_do_not_remove_the_log(path: str) -> None:
    """Each thread closes the connections of the one before, and no read in between finds the file removed."""
    with Registry(path) as registry:
        registry.create("cached", "text")
    registry, seen = Registry(path), []

    def read() -> None:
        seen.extend(
            [registry.get("cached", version=1).stale, len(registry.history("cached")), registry.get("cached").stale]
        )

    for _ in range(60):
        thread = threading.Thread(target=read)
        thread.start()
        thread.join()
    registry.close()
    assert seen == [False, 1, False] * 60


# The log of a replaced file


def _log_and_die(path: str) -> None:
    registry = Registry(path)
    for i in range(100):
        registry.create(f"logged-{i}", "text logged " * 50)
    os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture
def killed(path: str) -> str:
    """The path of a registry whose only process was killed, so that its WAL still exists."""
    with Registry(path) as registry:
        registry.create("cached", "text before")
    process = multiprocessing.get_context("spawn").Process(target=_log_and_die, args=(path,))
    process.start()
    process.join()
    assert os.path.getsize(path + WAL) > 100_000
    return path


def assert_refused(path: str) -> None:
    """Assert that opening raises an error with the files and the next step, and changes nothing."""
    before = {file: file.read_bytes() for file in companions(path)}
    with pytest.raises(StorageError, match=r"was replaced, and .*-wal is the log of the file before.* move .* away"):
        Registry(path)
    assert {file: file.read_bytes() for file in companions(path)} == before


@pytest.mark.slow
@pytest.mark.parametrize("may_write", [True, False])
def test_the_log_of_a_replaced_file_is_never_applied_to_its_replacement(
    killed: str, replacement: str, tmp_path: Path, may_write: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Opening is refused until the WAL is moved, as SQLite would apply it; with the original file it works again."""
    aside, log = str(tmp_path / "aside.db"), str(tmp_path / "aside.db-wal")
    os.rename(killed, aside)
    os.rename(replacement, killed)
    with monkeypatch.context() as patch:
        if not may_write:
            patch.setattr("promptreg.storage.sqlite.readonly.is_writable", lambda _: False)
        assert_refused(killed)
    os.rename(killed + WAL, log)
    os.unlink(killed + "-shm")
    with Registry(killed) as registry:
        assert [prompt.template for prompt in registry.list()] == ["text replaced", "text replaced", "text replaced"]
        registry.update("cached", template="text again")
    with Registry(aside) as registry:
        assert len(registry.list(limit=200)) == 101


def test_a_replacement_can_not_be_opened_while_the_replaced_file_is_open(
    opened: Registry, path: str, replacement: str
) -> None:
    """No thread of the registry reads the replacement, and closing keeps the WAL, which may be needed."""
    os.replace(replacement, path)
    with Remote(path) as other, pytest.raises(StorageError):
        other.call("get", "cached")
    assert_refused(path)
    opened.close()
    assert_refused(path)


@pytest.mark.slow
def test_a_file_that_was_moved_with_its_log_is_opened_with_it(killed: str, path: str, tmp_path: Path) -> None:
    """A database that was copied or moved with its WAL, even over another pair, has all its data."""
    copies = []
    for name in ("copied", "moved", "pair"):
        folder = tmp_path / name
        folder.mkdir()
        copies += [shutil.copytree(tmp_path, folder / "whole", ignore=lambda _, names: set(names) - beside(path))]
    move(str(copies[1] / Path(path).name), str(tmp_path / "moved.db"), alone=False)
    with Registry(str(tmp_path / "other.db")) as other:
        other.create("other", "Other")
        for suffix in ("", WAL):
            os.replace(str(copies[2] / Path(path).name) + suffix, str(tmp_path / "other.db") + suffix)
    for at in (copies[0] / Path(path).name, tmp_path / "moved.db", tmp_path / "other.db"):
        with Registry(str(at)) as registry:
            assert len(registry.list(limit=200)) == 101


def beside(path: str) -> set[str]:
    """Return the names of a database's files."""
    return {file.name for file in companions(path)}


@pytest.mark.slow
def test_a_database_created_where_one_was_removed_is_empty(killed: str) -> None:
    """SQLite removes the log of a file that no longer exists, so that a new file can be created."""
    os.unlink(killed)
    with Registry(killed) as registry:
        assert len(registry.list()) == 0
        registry.create("new", "New")


def test_a_monitor_keeps_the_log_from_the_time_it_connects(path: str) -> None:
    """The last other connection that closes can't remove the log between the connect and the first check."""
    settings = StorageSettings(path, create=True, durability="full", busy_timeout=5.0)
    with Registry(path) as registry:
        registry.create("greet", "Hello")
        watcher = open_to_watch(path, settings)
    assert Path(f"{path}-wal").exists()
    watcher.close()
