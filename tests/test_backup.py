"""`registry.backup(path)`: everything of one moment as a new file, which is whole as soon as it has its name."""

import json
import os
import shutil
import signal
import sqlite3
import stat
import subprocess
import sys
import threading
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from promptreg import (
    Actor,
    ConflictError,
    ForbiddenError,
    InvalidInputError,
    PromptregError,
    Registry,
    Role,
    StorageCorruptError,
    StorageError,
    StorageFullError,
    StorageReadOnlyError,
)
from promptreg.storage.sqlite import system
from promptreg.storage.sqlite.loading import Staging
from tests.conftest import Ticking, holds_anything
from tests.faulty import install
from tests.full import everything_read, exported
from tests.terminal import Terminal
from tests.test_missing_rows import make_earlier
from tests.test_storage_sqlite import drop_checks, raw
from tests.test_verify import fill

FULL = "database or disk is full", sqlite3.OperationalError, sqlite3.SQLITE_FULL

KILLED = """
import os, signal, sys
from promptreg import Registry

def progress(done, total):
    if done >= total * float(sys.argv[3]):
        os.kill(os.getpid(), signal.SIGKILL)

with Registry(sys.argv[1]) as registry:
    registry.backup(sys.argv[2], progress=progress)
"""


@pytest.fixture(scope="module")
def filled_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The file of a registry in which every verb has written, to be copied."""
    file = tmp_path_factory.mktemp("filled") / "prompts.db"
    with Registry(file) as registry:
        fill(registry)
    return file


@pytest.fixture
def filled(filled_file: Path, path: str, clock: Ticking) -> Iterator[Registry]:
    """A registry in which every verb has written."""
    shutil.copyfile(filled_file, path)
    with Registry(path, clock=clock) as registry:
        yield registry


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """The path of a backup, alone in a folder."""
    folder = tmp_path / "backups"
    folder.mkdir()
    return folder / "backup.db"


def left(out: Path) -> list[str]:
    """Return the names of what is beside a backup."""
    return sorted(path.name for path in out.parent.iterdir())


def test_a_backup_reads_as_the_registry(filled: Registry, out: Path, unchanged: Any) -> None:
    """Every verb that reads answers the same, and it is a registry of its own; the first one stays as it is."""
    with unchanged():
        filled.backup(out)
    with Registry(out, create=False) as backup:
        assert everything_read(backup) == everything_read(filled)
        assert exported(backup) == exported(filled)
        assert (backup.verify(), backup.head()) == ([], filled.head())
        backup.update("greet", template="Only there")
    assert filled.get("greet").template != "Only there"


def test_a_database_in_memory_is_backed_up_too(out: Path) -> None:
    """The copy is a file like any other."""
    with Registry(":memory:") as registry:
        fill(registry)
        registry.backup(str(out))
        with Registry(out, create=False) as backup:
            assert exported(backup) == exported(registry)


def test_a_registry_without_prompts_is_backed_up_too(registry: Registry, out: Path) -> None:
    """Its head is that before the first event."""
    steps: list[tuple[int, int]] = []
    registry.backup(out, progress=lambda done, total: steps.append((done, total)))
    with Registry(out, create=False) as backup:
        assert (backup.head(), backup.list().items) == ("0" * 64, [])
    assert {*steps} == {(0, 0)}


def test_it_is_of_one_moment_while_others_write(filled: Registry, out: Path) -> None:
    """What is written together is in the backup together, and what is written once it has begun is not."""
    filled.create("left", "L")
    filled.create("right", "R")
    stop = threading.Event()

    def write() -> None:
        with Registry(filled.path, busy_timeout=60) as other:
            while not stop.is_set():
                for status in ("disabled", "active"):
                    other.set_status(["left", "right"], status)

    def late(done: int, total: int) -> None:
        filled.save("late", f"{out} {done}")

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for number in range(3):
            filled.save("late", f"before {number}")
            path = out.with_name(f"{number}.db")
            filled.backup(path, progress=late)
            with Registry(path, create=False) as backup:
                assert backup.get("left").is_disabled is backup.get("right").is_disabled
                assert backup.get("late").template == f"before {number}"
                assert filled.verify(head=backup.head()) == [], "it was a moment of the registry"
    finally:
        stop.set()
        writer.join()


def test_progress_is_reported_with_nothing_held(filled: Registry, out: Path) -> None:
    """In numbers of entries that never fall, up to the end; the function may use the registry."""
    steps: list[tuple[int, int]] = []

    def progress(done: int, total: int) -> None:
        assert not holds_anything(filled)
        assert not out.exists(), "it has no name before its end"
        steps.append((done, total))
        filled.get("greet")

    filled.backup(out, progress=progress)
    done = [done for done, _ in steps]
    assert done == sorted(done)
    assert {total for _, total in steps} == {done[-1]}
    assert (done[0], len(steps) > 5) == (0, True)


# What has the name already


def make_folder(path: Path) -> None:
    path.mkdir()
    (path / "kept").write_text("kept")


@pytest.mark.parametrize(
    "make",
    [
        lambda path: path.write_text("kept"),
        make_folder,
        lambda path: path.symlink_to("nowhere"),
        os.mkfifo,
        lambda path: Registry(path).close(),
    ],
    ids=["file", "folder", "dangling link", "pipe", "registry"],
)
def test_a_path_where_anything_is_is_refused_before_the_work(
    filled: Registry, out: Path, make: Callable[[Path], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing is read, and what is there stays."""
    make(out)
    before = left(out), os.lstat(out)
    monkeypatch.setattr(type(filled._core.storage), "dump", lambda _: pytest.fail("it was read"))
    with pytest.raises(ConflictError) as caught:
        filled.backup(out)
    assert caught.value.message == f"There is {out} already, and a backup replaces nothing; name a new file."
    assert caught.value.details == {"path": str(out)}
    assert (left(out), os.lstat(out)) == before


def test_the_registrys_own_file_is_refused(filled: Registry) -> None:
    """By any of its names, and those of the files that belong to it, whether they are there or not."""
    link = Path(filled.path).with_name("link.db")
    link.symlink_to(filled.path)
    for path in (
        filled.path,
        str(link),
        *(filled.path + suffix for suffix in ("-wal", "-shm", "-journal", "-promptreg")),
    ):
        with pytest.raises(ConflictError):
            filled.backup(path)
    assert filled.verify() == []


@pytest.mark.parametrize("suffix", ["-wal", "-journal"])
def test_a_name_beside_the_log_of_another_database_is_refused(filled: Registry, out: Path, suffix: str) -> None:
    """SQLite would read that log into the backup."""
    log = out.with_name(out.name + suffix)
    log.write_bytes(b"log")
    with pytest.raises(ConflictError, match="the log of another database"):
        filled.backup(out)
    assert left(out) == [log.name]


@pytest.mark.parametrize("has_links", [True, False])
def test_what_takes_the_name_meanwhile_stays(
    filled: Registry, out: Path, has_links: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is looked for once more at the end, and what comes after that wins too; nothing else is left."""

    def no_links(*_: object) -> None:
        raise PermissionError(1, "not permitted")

    if not has_links:
        monkeypatch.setattr(os, "link", no_links)
    with pytest.raises(ConflictError, match="already"):
        filled.backup(out, progress=lambda *_: out.write_text("first"))
    assert (left(out), out.read_text()) == ([out.name], "first")
    out.unlink()
    sync = system.sync

    def late(path: str) -> None:
        sync(path)
        out.write_text("late")

    monkeypatch.setattr(system, "sync", late)
    monkeypatch.setattr("promptreg.storage.sqlite.making._require_free", lambda path: None)
    with pytest.raises(StorageError):
        filled.backup(out)
    assert (left(out), out.read_text()) == ([out.name], "late")


def test_a_file_system_without_hard_links_takes_a_backup(
    filled: Registry, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As those of many memory sticks and shares."""

    def no_links(*_: object) -> None:
        raise PermissionError(1, "not permitted")

    monkeypatch.setattr(os, "link", no_links)
    filled.backup(out)
    with Registry(out, create=False) as backup:
        assert backup.head() == filled.head()


def test_of_two_backups_to_one_path_one_wins(filled: Registry, out: Path) -> None:
    """The other is refused, and the file is whole."""
    outcomes: list[object] = []
    start = threading.Barrier(2)

    def run() -> None:
        try:
            start.wait()
            outcomes.append(filled.backup(out, progress=lambda *_: None))
        except ConflictError as error:
            outcomes.append(type(error))

    threads = [threading.Thread(target=run) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes, key=str) == [ConflictError, None]
    assert left(out) == [out.name]
    with Registry(out, create=False) as backup:
        assert (backup.verify(), backup.head()) == ([], filled.head())


# Paths


NO_PATHS = ["", " ", ":memory:", "file:x?mode=ro", "mysql://x", 5, None, b"x.db", "\ud800", "a\0b"]


def test_what_is_no_path_of_a_file_is_invalid(filled: Registry) -> None:
    """It is refused with every other bad argument, before `ForbiddenError`, and no password is repeated."""
    wrong: Any
    for wrong in [*NO_PATHS, "postgresql://ana:secret@host/db"]:
        for view in (filled, filled.scope(actor=Actor("eve"))):
            with pytest.raises(InvalidInputError) as caught:
                view.backup(wrong, progress=0)  # type: ignore[arg-type]
            assert [error["field"] for error in caught.value.details["errors"]] == ["path", "progress"], wrong
            assert "secret" not in str(caught.value)


def test_a_path_may_be_relative_and_hold_a_colon(filled: Registry, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As the target of a registry may."""
    monkeypatch.chdir(out.parent)
    filled.backup("a:b.db")
    filled.backup(Path("sqlite:c"))
    assert left(out) == ["a:b.db", "sqlite:c"]


def test_a_long_name_is_possible_as_far_as_it_is_for_a_registry(filled: Registry, out: Path) -> None:
    """The name of what is made meanwhile is no longer."""
    long = out.with_name("€" * 69)
    filled.backup(long)
    with Registry(long, create=False) as backup:
        assert backup.head() == filled.head()


def test_a_missing_folder_is_a_storage_error(filled: Registry, out: Path) -> None:
    """So is one that is a file; nothing is made."""
    out.with_name("file").write_text("")
    for folder in ("nowhere", "file"):
        with pytest.raises(StorageError) as caught:
            filled.backup(out.with_name(folder) / "backup.db")
        assert caught.value.details == {"reason": "missing_folder"}
        assert caught.value.message == f"There is no folder {out.with_name(folder)}; make it first."
    assert left(out) == ["file"]


def test_a_folder_that_can_not_be_written_is_a_storage_error(
    filled: Registry, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It says which path can't be written."""

    def refused(*_: object) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.mkdtemp", refused)
    with pytest.raises(StorageReadOnlyError, match=f"^{out} can't be written") as caught:
        filled.backup(out)
    assert caught.value.details["reason"] == "read_only"


def test_it_has_the_permissions_of_a_new_registry(filled: Registry, out: Path) -> None:
    """Those that the process gives to new files."""
    for number, umask in enumerate((0o022, 0o027)):
        paths = [out.with_name(f"{name}{number}.db") for name in ("backup", "new")]
        before = os.umask(umask)
        try:
            filled.backup(paths[0])
            Registry(paths[1]).close()
        finally:
            os.umask(before)
        assert [stat.S_IMODE(os.stat(path).st_mode) for path in paths] == [0o644 & ~umask] * 2


def test_it_is_on_the_disk_before_and_after_it_takes_its_name(
    filled: Registry, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file is synchronised before it has the name, and the folder afterwards."""
    order: list[str] = []
    for name in ("sync", "move_new", "sync_folder"):
        original = getattr(system, name)
        monkeypatch.setattr(system, name, lambda *args, n=name, o=original: (order.append(n), o(*args)))
    filled.backup(out)
    assert order == ["sync", "move_new", "sync_folder"]


# Failures


def test_an_error_of_progress_ends_the_call_cleanly(filled: Registry, out: Path) -> None:
    """In whatever half: it is raised unchanged, nothing is left, and the registry still works."""
    for share in (0, 1):
        for kind in (KeyError, KeyboardInterrupt, TimeoutError):

            def progress(done: int, total: int, kind: type[BaseException] = kind, share: float = share) -> None:
                if done >= share * total:
                    raise kind("mine")

            with pytest.raises(kind, match="mine"):
                filled.backup(out, progress=progress)
            assert left(out) == []
            assert not holds_anything(filled)
    filled.backup(out)


@pytest.mark.parametrize("share", [0.5, *(pytest.param(share, marks=pytest.mark.slow) for share in (0, 0.3, 1))])
def test_a_killed_process_leaves_nothing_of_the_name(filled: Registry, out: Path, share: float) -> None:
    """What it leaves is a folder whose name ends with `.part`, and the next backup succeeds."""
    killed = subprocess.run([sys.executable, "-c", KILLED, filled.path, out, str(share)], check=False, timeout=60)
    assert killed.returncode == -signal.SIGKILL
    (folder,) = left(out)
    assert folder.startswith("backup.db.")
    assert folder.endswith(".part")
    assert stat.S_IMODE(os.stat(out.with_name(folder)).st_mode) == 0o700
    filled.backup(out)
    with Registry(out, create=False) as backup:
        assert backup.verify() == []


@pytest.mark.parametrize("statement", ["BEGIN IMMEDIATE", "COMMIT", "PRAGMA quick_check"])
def test_a_full_disk_is_an_error_about_the_backup(
    path: str, out: Path, statement: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It names the path that was passed, and nothing is left."""
    faults = install(monkeypatch)
    with Registry(path) as registry:
        fill(registry)
        with faults.failing(statement, FULL), pytest.raises(StorageFullError) as caught:
            registry.backup(out)
        assert caught.value.message.startswith(f"The disk of {out} is full, so it was not made;")
        assert caught.value.details == {"reason": "full", "retry_after": None}
        assert left(out) == []
        registry.backup(out)


def test_a_damaged_row_is_an_error_and_makes_nothing(filled: Registry, out: Path) -> None:
    """The error is that of reading the row."""
    filled.close()
    with closing(raw(filled.path)) as connection:
        drop_checks(connection, "versions")
        connection.execute("UPDATE versions SET title = 'x' WHERE key = 2")
    with Registry(filled.path) as damaged, pytest.raises(StorageCorruptError) as caught:
        damaged.backup(out)
    assert caught.value.details == {"reason": "damaged"}
    assert left(out) == []


@pytest.mark.parametrize(
    ("table", "statement", "problem"),
    [
        ("versions", "DELETE FROM versions WHERE prompt = 1 AND version = 2", "version 2 is missing"),
        (
            "deletions",
            "UPDATE deletions SET at = '2020-01-01T00:00:00.000000+00:00'",
            "is of another time than its event",
        ),
        (
            "deletions",
            "INSERT INTO deletions (prompt_id, revision, at) SELECT id, 1, created_at FROM prompts LIMIT 1",
            "there are versions without a prompt, or deletions without an event",
        ),
    ],
)
def test_rows_that_do_not_fit_together_make_nothing(
    filled: Registry, out: Path, table: str, statement: str, problem: str
) -> None:
    """Each is what was written, and the whole is not: that is found before the backup has its name."""
    filled.close()
    with closing(raw(filled.path)) as connection:
        drop_checks(connection, table)
        connection.execute(statement)
    with Registry(filled.path) as damaged, pytest.raises(StorageCorruptError) as caught:
        damaged.backup(out)
    assert caught.value.message.startswith("The backup is not whole (")
    assert problem in caught.value.message
    assert caught.value.message.endswith("verify() says whether the registry itself is damaged.")
    assert left(out) == []


def test_a_copy_that_lost_something_on_its_way_makes_nothing(
    filled: Registry, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as the last event, with all that would tell: the head is not that of the moment."""
    copy_to = Staging.copy_to

    def lossy(staging: Staging, connection: sqlite3.Connection, revision: int) -> None:
        for table in ("events", "event_details"):
            staging._connection.execute(f"DELETE FROM {table} WHERE c0 = (SELECT max(c0) FROM {table})")
        copy_to(staging, connection, revision)

    filled.update("greet", title="Last", template="Last", is_production=False)
    monkeypatch.setattr(Staging, "copy_to", lossy)
    with pytest.raises(StorageCorruptError, match=r"^The backup is not whole \(the last event is another one"):
        filled.backup(out)
    assert left(out) == []


def test_no_byte_of_a_deleted_prompt_is_in_a_backup(registry: Registry, out: Path) -> None:
    """Nor of a version that was edited."""
    registry.create("secret", "zanzibar " * 50)
    registry.create("draft", "zanzibar", is_production=False)
    registry.update("draft@1", template="other")
    registry.delete("secret")
    registry.backup(out)
    assert b"zanzibar" not in out.read_bytes()


def test_a_fork_in_the_middle_harms_nothing(filled: Registry, out: Path) -> None:
    """A child that leaves the call, by an error or the end of its process, removes nothing of its parent's."""
    codes: list[int] = []

    def progress(done: int, total: int) -> None:
        if len(codes) == 3:
            return
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            child = os.fork()
        if child == 0:
            raise SystemExit(7)
        codes.append(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))

    pid = os.getpid()
    try:
        filled.backup(out, progress=progress)
    except SystemExit as error:
        assert os.getpid() != pid
        os._exit(int(str(error)))
    assert codes == [7, 7, 7]
    with Registry(out, create=False) as backup:
        assert backup.head() == filled.head()


def test_a_file_that_can_only_be_read_is_backed_up(
    filled: Registry, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also one of an earlier schema, whose backup has the present one."""
    filled.close()
    make_earlier(filled.path)
    monkeypatch.setattr("promptreg.storage.sqlite.readonly.is_writable", lambda path: path != filled.path)
    with Registry(filled.path) as readonly:
        readonly.backup(out)
        with Registry(out, create=False) as backup:
            assert (backup.verify(), backup.head()) == ([], readonly.head())
            assert everything_read(backup) == everything_read(readonly)


def test_rule_17_the_application_and_org_admins_back_up(filled: Registry, out: Path) -> None:
    """A role in one namespace is not enough, as a backup holds every namespace; nothing is made."""
    for role in (None, Role.TEAM_MEMBER, Role.TEAM_EDITOR, Role.TEAM_ADMIN):
        with pytest.raises(ForbiddenError) as caught:
            filled.scope(actor=Actor("eve", role)).backup(out)
        assert caught.value.details == {"names": [], "action": "backup"}
        assert left(out) == []
    filled.scope(namespace="elsewhere", actor=Actor("olga", Role.ORG_ADMIN)).backup(out)
    with Registry(out, create=False) as backup:
        assert backup.get("greet") == filled.get("greet")


def test_errors_of_the_new_file_name_the_path_that_was_passed(
    filled: Registry, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not where it is made, which nobody knows."""

    def failing(path: str) -> None:
        raise OSError(5, "Input/output error", path)

    monkeypatch.setattr(system, "sync", failing)
    with pytest.raises(PromptregError) as caught:
        filled.backup(out)
    assert caught.value.details == {"reason": "io_error"}
    assert caught.value.message.startswith(f"{out} could not be read or written")
    assert left(out) == []


# The commands


@pytest.fixture
def run(tmp_path: Path) -> Terminal:
    """A terminal in a folder with a registry of a prompt."""
    with Registry(tmp_path / "prompts.db") as registry:
        registry.create("greet", "Hello")
    return Terminal(tmp_path)


def test_the_commands_back_up_and_prove(run: Terminal, tmp_path: Path) -> None:
    """Data is on standard output and messages on standard error; JSON is for programs."""
    done = run("backup", "backup.db")
    assert (done.status, done.out, done.err) == (0, "", "backup.db is made, and is whole.\n")
    assert json.loads(run("backup", "again.db", "--json").out) == {"path": str(tmp_path / "again.db")}
    head = run("head").out
    with Registry(tmp_path / "prompts.db") as registry:
        assert head == f"{registry.head()}\n"
    assert run("head", "--db", "backup.db").out == head
    assert json.loads(run("head", "--json").out) == {"head": head.strip()}
    proved = run("verify", "--head", head.strip())
    assert (proved.status, proved.out) == (0, "")
    assert proved.err == "All that is stored is whole, and the head is in the chain of events.\n"


def test_the_command_exits_with_1_where_the_head_is_not_in_the_chain(run: Terminal) -> None:
    """It prints the line, in JSON as in any list of problems."""
    lost = run("verify", "--head", "1" * 64)
    assert lost.status == 1
    assert lost.out.startswith(f"the head {'1' * 64} is not in the chain of events: ")
    assert len(json.loads(run("verify", "--head", "1" * 64, "--json").out)) == 1


def test_refusals_of_the_commands_are_one_line_and_a_status(run: Terminal, tmp_path: Path) -> None:
    """1 where the registry refuses, 2 for wrong usage, 3 for an error of the storage, in the command's own terms."""
    before = sorted(path.name for path in tmp_path.iterdir())
    for arguments, status, text in (
        (("backup", "prompts.db"), 1, "conflict: There is "),
        (("backup", ":memory:"), 1, "validation_error: PATH: must be the path of a new file, not a URL or ':memory:'"),
        (("backup",), 2, "PATH"),
        (("backup", "no/x.db"), 3, "There is no folder"),
        (("backup", "x.db", "--db", "none.db"), 3, "There is no database none.db"),
        (
            ("backup", "x.db", "--as", "eve:team_admin"),
            1,
            "forbidden: The actor may not backup a registry; org admins may",
        ),
        (("head", "--as", "eve"), 1, "forbidden: The actor may not read the head of a registry"),
        (("verify", "--head", "zanzibar"), 1, "--head: must be what `promptreg head` printed: 64 of 0-9 a-f"),
    ):
        done = run(*arguments)
        assert (done.status, done.out) == (status, ""), arguments
        assert text in done.err
        assert done.err.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == before
