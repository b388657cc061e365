"""Read-only media, folders and files: reads are fresh or say what to do, and writes say why they are refused."""

import math
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from promptreg import NotFoundError, Registry, StorageError, StorageReadOnlyError
from promptreg.storage.sqlite import readonly, revisions, storage, system
from promptreg.storage.sqlite.files import SIDECAR
from promptreg.storage.sqlite.sidecar import Sidecar
from tests.remote import Remote
from tests.test_storage_sqlite import raw

REMEDY = r"let it write there, or close the other registries, or read a copy made by VACUUM INTO"

READS: list[tuple[str, tuple[Any, ...], Callable[[Any], object], object]] = [
    ("get", ("greet",), lambda prompt: (prompt.template, prompt.version, prompt.stale), ("Hi {{ name }}", 2, False)),
    ("get", ("greet@1",), lambda prompt: prompt.template, "Hello {{ name }}"),
    ("render", ("greet", {"name": "Ana"}), str, "Hi Ana"),
    ("list", (), lambda page: [prompt.name for prompt in page], ["greet", "other"]),
    ("search", ("hi",), lambda found: [prompt.name for prompt in found], ["greet"]),
    ("history", ("greet",), lambda versions: [version.version for version in versions], [2, 1]),
    ("diff", ("greet", 1, 2), lambda text: "+Hi {{ name }}" in text, True),
    ("events", ("greet",), lambda events: events[0].action, "create"),
    ("namespaces", (), list, ["default"]),
    ("verify", (), list, []),
]
WRITES: list[tuple[str, tuple[Any, ...], dict[str, Any]]] = [
    ("create", ("new", "New"), {}),
    ("save", ("greet", "New"), {}),
    ("seed", ("greet", "New"), {}),
    ("update", ("greet",), {"template": "New"}),
    ("publish", ("greet", 1), {}),
    ("rollback", ("greet",), {"reason": "x"}),
    ("set_status", (["greet", "other"], "disabled"), {}),
    ("archive", ("greet",), {}),
    ("set_label", ("greet", "staging", 1), {}),
]


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder that every user may enter, because pytest's may be closed to others."""
    with tempfile.TemporaryDirectory() as made:
        os.chmod(made, 0o755)
        yield Path(made)
        os.chmod(made, 0o755)


def fill(path: str) -> None:
    """Create a registry with two prompts, and close it."""
    with Registry(path) as registry:
        registry.create("greet", "Hello {{ name }}")
        registry.update("greet", template="Hi {{ name }}")
        registry.create("other", "Other")


def protect(folder: Path, *, folder_mode: int = 0o555, file_mode: int = 0o444) -> None:
    """Remove all permissions to write there, except root's."""
    for file in folder.iterdir():
        file.chmod(file_mode)
    folder.chmod(folder_mode)


@contextmanager
def writable(folder: Path) -> Iterator[None]:
    """Let this process write in this block, which root always may."""
    folder.chmod(0o755)
    for file in folder.iterdir():
        file.chmod(0o644)
    try:
        yield
    finally:
        protect(folder)


def assert_reads_work(reader: Remote) -> None:
    for verb, args, look, expected in [*READS, *READS]:
        assert look(reader.call(verb, *args)) == expected, verb
    with pytest.raises(NotFoundError):
        reader.call("get", "absent")


def assert_writes_are_refused(reader: Remote) -> None:
    for verb, args, more in WRITES:
        with pytest.raises(StorageReadOnlyError) as caught:
            reader.call(verb, *args, **more)
        error = caught.value
        assert (error.code, error.http_status) == ("service_unavailable", 503), verb
        assert reader.path in error.message, verb


MODES = {
    "folder and file": {},
    "folder": {"file_mode": 0o666},
    "file": {"folder_mode": 0o777},
}


@pytest.mark.slow
@pytest.mark.parametrize("modes", MODES.values(), ids=MODES)
def test_without_the_right_to_write_reads_work_and_writes_are_refused(folder: Path, modes: dict[str, int]) -> None:
    """This holds for a registry that was closed cleanly, in a folder or file that this user may not write."""
    path = str(folder / "prompts.db")
    fill(path)
    before = Path(path).read_bytes()
    protect(folder, **modes)
    with Remote(path, unprivileged=True) as reader:
        assert_reads_work(reader)
        assert_writes_are_refused(reader)
        assert_reads_work(reader)
    assert Path(path).read_bytes() == before


@pytest.mark.slow
def test_the_owner_can_write_after_others_have_read_a_closed_registry(folder: Path) -> None:
    """A reader without permission to write leaves nothing that blocks writers, and sees the owner's next write."""
    path = str(folder / "prompts.db")
    fill(path)
    protect(folder, folder_mode=0o777)
    with Remote(path, unprivileged=True) as reader:
        assert_reads_work(reader)
        with writable(folder), Registry(path) as owner:
            owner.update("greet", template="Hey")
            assert_fresh(reader, "Hey")
    with writable(folder), Registry(path) as owner:
        assert owner.update("greet", template="Hey hey").version == 4


def test_nothing_is_created_in_a_folder_that_may_not_be_written(folder: Path) -> None:
    """Creating a registry there raises `StorageReadOnlyError`, and the folder remains empty."""
    protect(folder)
    with Remote(str(folder / "new.db"), unprivileged=True) as reader:
        for _ in range(2):
            with pytest.raises(StorageReadOnlyError, match=r"new\.db"):
                reader.call("open")
    assert list(folder.iterdir()) == []


# Changes by users that may write


def assert_fresh(reader: Remote, text: str) -> None:
    """Assert that the next read returns this text."""
    assert reader.call("get", "greet").template == text


def assert_refused_with_a_remedy(reader: Remote) -> None:
    """Assert that the next read raises, because it can't see the WAL, and says what to do."""
    with pytest.raises(StorageReadOnlyError, match=REMEDY) as caught:
        reader.call("get", "greet")
    assert reader.path in caught.value.message


@pytest.mark.slow
def test_a_change_by_a_writer_that_remains_open_is_seen_by_the_next_read(folder: Path) -> None:
    """While a writer has the file open, a reader without permission to write sees each commit in its WAL at once."""
    path = str(folder / "prompts.db")
    fill(path)
    with Registry(path) as writer:
        writer.update("greet", template="0")
        protect(folder)
        with Remote(path, unprivileged=True) as reader:
            for number in range(1, 6):
                assert_fresh(reader, str(number - 1))
                with writable(folder):
                    writer.update("greet", template=str(number))
                assert_fresh(reader, str(number))


def open_to_read(path: str, monkeypatch: pytest.MonkeyPatch) -> Registry:
    """Open a registry that may not write, in this process, where a test has its hands on it."""
    with monkeypatch.context() as patch:
        patch.setattr(readonly, "is_writable", lambda path: False)
        return Registry(path)


def test_a_reader_waits_until_others_are_shown_what_it_reads(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """While a writer is between commit and publication, as a reader that may not write can't publish itself."""
    path = str(folder / "prompts.db")
    fill(path)
    with Registry(path) as writer, Registry(path) as warm, open_to_read(path, monkeypatch) as reader:
        publisher, slept = writer._core.storage.publisher, []  # type: ignore[attr-defined]
        assert warm.get("greet").version == reader.get("greet").version == 2
        with monkeypatch.context() as patch:
            patch.setattr(Sidecar, "publish", lambda *_: None)
            writer.update("greet", template="Later")
        warm._core.cache.generation.until = math.inf  # so that no check every 50 ms helps
        assert warm.get("greet").version == 2

        def go_on(seconds: float) -> None:
            slept.append(seconds)
            publisher.publish(writer.revision)

        with monkeypatch.context() as patch:
            patch.setattr(revisions.time, "sleep", go_on)
            assert reader.get("greet").version == 3
        assert (warm.get("greet").version, len(slept)) == (3, 1)


def test_a_repeat_of_a_call_that_is_made_once_needs_the_right_to_write(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it waits until what was written is durable; otherwise a call that changes nothing is only a read."""
    path = str(folder / "prompts.db")
    fill(path)
    with Registry(path) as writer, open_to_read(path, monkeypatch) as reader, monkeypatch.context() as patch:
        writer.once("op").save("greet", "Hello")
        patch.setattr(readonly, "is_writable", lambda path: False)
        assert reader.save("greet", "Hello").template == "Hello"
        with pytest.raises(StorageReadOnlyError):
            reader.once("op").save("greet", "Hello")


@pytest.mark.parametrize("make", [None, os.mkdir, os.mkfifo], ids=["nothing", "folder", "pipe"])
def test_a_reader_needs_no_sidecar(
    folder: Path, monkeypatch: pytest.MonkeyPatch, make: Callable[[str], None] | None
) -> None:
    """Where anything else, or nothing, has its name, reads are the same."""
    path = str(folder / "prompts.db")
    fill(path)
    os.unlink(path + SIDECAR)
    if make is not None:
        make(path + SIDECAR)
    with open_to_read(path, monkeypatch) as reader:
        assert (reader.get("greet").version, len(reader.list())) == (2, 2)


def test_an_exception_of_a_signal_handler_while_the_sidecar_is_read_is_raised(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A `TimeoutError` of the application is no sidecar that can't be read."""
    path = str(folder / "prompts.db")
    fill(path)

    def handler(*_: object) -> int:
        raise TimeoutError

    with open_to_read(path, monkeypatch) as reader:
        monkeypatch.setattr(system, "open_file", handler)
        with pytest.raises(TimeoutError):
            reader.list()


def test_a_reader_notices_a_file_that_was_copied_over_its_own(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Beside a writer, whose log makes it read the file itself; checkpoints and commits are no replacement."""
    path, older = str(folder / "prompts.db"), tmp_path / "older.db"
    fill(path)
    shutil.copyfile(path, older)
    with Registry(path) as writer, open_to_read(path, monkeypatch) as reader, closing(raw(path)) as tool:
        for number in range(3):
            writer.update("greet", template=f"{number}")
            tool.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            for _ in range(2):
                assert (reader.get("greet").template, reader.get("greet").stale) == (f"{number}", False)
        shutil.copyfile(older, path)
        assert (reader.get("greet").template, reader.get("greet").stale) == ("2", True)
        with pytest.raises(StorageError, match="was replaced while it was open"):
            reader.list()


def test_a_commit_right_after_a_reader_has_looked_at_the_file_is_no_replacement(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The reader still reads its copy of before, and the next read is of the file as it is then."""
    path = str(folder / "prompts.db")
    fill(path)
    with monkeypatch.context() as patch:
        patch.setattr(readonly, "way_to_read", lambda *_: readonly.Way.COPY)
        reader = open_to_read(path, monkeypatch)
        assert reader.get("greet").version == 2
    with reader, Registry(path) as writer, closing(raw(path)) as tool:
        with monkeypatch.context() as patch:
            patch.setattr(storage, "is_outdated", lambda *_: False)
            writer.update("greet", template="Later")
            tool.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            assert (reader.get("greet").version, reader.get("greet").stale) == (2, False)
        assert (reader.get("greet").template, reader.get("greet").stale) == ("Later", False)


@pytest.mark.slow
def test_a_change_by_a_writer_that_opens_and_closes_is_seen_by_the_next_read(folder: Path) -> None:
    """The reader opened a cleanly closed file, and sees what each later writer wrote between opening and closing."""
    path = str(folder / "prompts.db")
    fill(path)
    protect(folder)
    with Remote(path, unprivileged=True) as reader:
        assert_reads_work(reader)
        for number in range(3):
            with writable(folder), Registry(path) as writer:
                writer.update("greet", template=f"open {number}")
                assert_fresh(reader, f"open {number}")
            assert_fresh(reader, f"open {number}")
        assert reader.call("render", "greet").text == "open 2"


@pytest.mark.slow
def test_a_log_that_can_not_be_read_is_not_ignored(folder: Path, tmp_path: Path) -> None:
    """Without `-shm`, which this user can't create, reads raise until a user that may write has opened the file."""
    copy_with_log(tmp_path, folder)
    path = str(folder / "prompts.db")
    protect(folder)
    with Remote(path, unprivileged=True) as reader:
        assert_refused_with_a_remedy(reader)
        with writable(folder):
            Registry(path).close()
        assert_fresh(reader, "in the log")


# Read-only media


def copy_with_log(source: Path, folder: Path) -> None:
    """Create a registry, and copy its file and its WAL, but not its `-shm`, while a writer has it open."""
    fill(str(source / "prompts.db"))
    with Registry(source / "prompts.db") as writer:
        writer.update("greet", template="in the log")
        files = f"{source}/prompts.db {source}/prompts.db-wal"
        subprocess.run(["sh", "-c", f"mkdir -p {folder} && cp -p {files} {folder}"], check=True)


def may_mount() -> bool:
    """Return whether this user may mount a file system in a new namespace."""
    if shutil.which("unshare") is None:
        return False
    with tempfile.TemporaryDirectory() as folder:
        command = ["unshare", "-rm", "mount", "-t", "tmpfs", "none", folder]
        return subprocess.run(command, capture_output=True, check=False).returncode == 0


needs_mount = pytest.mark.skipif(not may_mount(), reason="mounting is not permitted here, so there is no such medium")


def medium(folder: Path, source: Path) -> str:
    """Return shell commands that make the folder a read-only medium with the files of another folder."""
    return f"mount -t tmpfs none {folder} && cp -p {source}/* {folder} && mount -o remount,ro {folder}"


@needs_mount
def test_a_registry_on_read_only_media_is_read(folder: Path, tmp_path: Path) -> None:
    """After a clean close every read works there; every write, and a new registry, are refused."""
    fill(str(tmp_path / "prompts.db"))
    path = str(folder / "prompts.db")
    with Remote(path, shell=medium(folder, tmp_path)) as reader:
        assert_reads_work(reader)
        assert_writes_are_refused(reader)
        assert_reads_work(reader)
        reader.path = str(folder / "new.db")
        with pytest.raises(StorageReadOnlyError, match=r"new\.db"):
            reader.call("open")


@needs_mount
def test_a_live_log_on_read_only_media_is_read(folder: Path, tmp_path: Path) -> None:
    """A read of a copy made while a writer was open returns what is in the WAL."""
    fill(str(tmp_path / "prompts.db"))
    burnt = tmp_path / "burnt"
    with Registry(tmp_path / "prompts.db") as writer:
        writer.update("greet", template="in the log")
        subprocess.run(["sh", "-c", f"mkdir {burnt} && cp -p {tmp_path}/prompts.db* {burnt}"], check=True)
    with Remote(str(folder / "prompts.db"), shell=medium(folder, burnt)) as reader:
        assert_fresh(reader, "in the log")


@needs_mount
def test_a_log_on_read_only_media_that_can_not_be_read_is_not_ignored(folder: Path, tmp_path: Path) -> None:
    """A copy without `-shm` raises an error that says what to do, and does not return the data of the file alone."""
    burnt = tmp_path / "burnt"
    copy_with_log(tmp_path, burnt)
    with Remote(str(folder / "prompts.db"), shell=medium(folder, burnt)) as reader:
        for _ in range(2):
            assert_refused_with_a_remedy(reader)


@needs_mount
def test_a_read_only_view_of_a_folder_that_others_write_is_fresh(folder: Path) -> None:
    """In a container's read-only volume the next read sees what a writer outside commits."""
    path = str(folder / "prompts.db")
    fill(path)
    view = f"mount --bind {folder} {folder} && mount -o remount,bind,ro {folder}"
    with Remote(path, shell=view) as reader:
        assert_fresh(reader, "Hi {{ name }}")
        with Registry(path) as writer:
            for number in range(3):
                writer.update("greet", template=str(number))
                assert_fresh(reader, str(number))
        assert_fresh(reader, "2")
