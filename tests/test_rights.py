"""Permissions: a user that may not write all companion files only reads; promptreg's files have the database's mode."""

import errno
import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from promptreg import Registry, StorageError, StorageReadOnlyError
from promptreg.storage.sqlite import system
from tests.remote import GROUP, NOBODY, Remote

OURS = ("-promptreg", "-promptreg-queue")
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root may become another user, who is refused something")


@pytest.fixture
def shared() -> Iterator[str]:
    """The path of a registry that every user may write, in a folder that every user may write."""
    with tempfile.TemporaryDirectory() as folder:
        os.chmod(folder, 0o777)
        path = f"{folder}/prompts.db"
        with Registry(path) as registry:
            registry.create("greet", "0")
        os.chmod(path, 0o666)
        yield path


def mode(path: str) -> int:
    return stat.S_IMODE(os.stat(path).st_mode)


def close_to_others(path: str) -> None:
    """Remove others' permissions on promptreg's files, as if created before others could write the database."""
    for suffix in OURS:
        os.chmod(path + suffix, 0o644)


def open_to_others(path: str) -> None:
    os.chmod(f"{path}-promptreg", 0o666)


def open_again(path: str) -> None:
    """Open it as the owner, which repairs the permissions."""
    Registry(path).close()


@pytest.mark.slow
@needs_root
@pytest.mark.parametrize("mend", [open_to_others, open_again])
@pytest.mark.parametrize("hidden", [0o644, 0o600], ids=["readable", "unreadable"])
def test_a_user_that_may_not_write_the_sidecar_writes_once_it_was_repaired(
    shared: str, hidden: int, mend: Callable[[str], None]
) -> None:
    """Reads are fresh, and a write is refused with the name of the file; once repaired, it works without reopening."""
    with Registry(shared) as owner, Remote(shared, unprivileged=True) as other:
        close_to_others(shared)
        os.chmod(f"{shared}-promptreg", hidden)
        for number in range(1, 6):
            assert other.call("get", "greet").template == str(number - 1)
            assert other.call("history", "greet", limit=1)[0].template == str(number - 1)
            owner.update("greet", template=str(number))
            assert other.call("render", "greet").text == str(number)
        with pytest.raises(StorageReadOnlyError) as caught:
            other.call("update", "greet", template="refused")
        assert caught.value.details == {"reason": "read_only", "retry_after": None}
        assert caught.value.message == f"{shared} can't be written by this process; let it write {shared}-promptreg."
        assert other.call("get", "greet").template == owner.get("greet").template == "5"
        mend(shared)
        assert other.call("update", "greet", template="repaired").version == 7
        assert owner.get("greet").template == "repaired"
        owner.update("greet", template="last")
        assert other.call("get", "greet").template == "last"


def test_a_sidecar_that_may_not_be_written_is_opened_again(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is opened again after the system has refused to open it for a time."""
    open_file, refuses = system.open_file, [errno.EACCES]

    def refusing(file: str, *more: int) -> int:
        if file.endswith("-promptreg") and refuses:
            raise OSError(refuses[0], os.strerror(refuses[0]), file)
        return open_file(file, *more)

    with Registry(path) as owner:
        owner.create("greet", "0")
        monkeypatch.setattr(system, "open_file", refusing)
        with Registry(path) as other:
            for number in range(1, 6):
                assert other.get("greet").template == str(number - 1)
                owner.update("greet", template=str(number))
                assert other.get("greet").template == str(number)
            with pytest.raises(StorageReadOnlyError, match="-promptreg"):
                other.update("greet", template="refused")
            assert owner.get("greet").template == "5"
            refuses[0] = errno.EMFILE
            with pytest.raises(StorageError, match="Too many open files"):
                other.update("greet", template="refused")
            refuses.clear()
            assert other.update("greet", template="repaired").version == 7
            assert owner.get("greet").template == "repaired"
            owner.update("greet", template="last")
            assert other.get("greet").template == "last"
            assert other._core.storage.publisher.signal.is_shared  # type: ignore[attr-defined]


def test_nothing_is_written_that_can_not_be_published(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """If the sidecar was removed and a new one can't be written, the write is refused, and reads work."""

    def refuse(file: str, *_: int) -> int:
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES), file)

    with Registry(path) as registry:
        registry.create("greet", "0")
        os.unlink(f"{path}-promptreg")
        with monkeypatch.context() as patch:
            patch.setattr(system, "open_file", refuse)
            with pytest.raises(StorageReadOnlyError, match="-promptreg"):
                registry.update("greet", template="refused")
            assert registry.get("greet").template == "0"
        assert registry.update("greet", template="1").version == 2
        assert registry.get("greet").template == "1"


@pytest.mark.slow
@needs_root
@pytest.mark.parametrize("suffix", ["-wal", "-shm"])
def test_a_write_that_a_file_of_sqlite_prevents_names_that_file(shared: str, suffix: str) -> None:
    """A WAL that is older than the file's mode can be read, and the refusal of a write names it."""
    with Registry(shared) as owner, Remote(shared, unprivileged=True) as other:
        os.chmod(shared + suffix, 0o644)
        for number in range(1, 4):
            assert other.call("get", "greet").template == str(number - 1)
            owner.update("greet", template=str(number))
        with pytest.raises(StorageReadOnlyError) as caught:
            other.call("update", "greet", template="refused")
        assert caught.value.message.endswith(f"let it write {shared}{suffix}.")
        assert other.call("get", "greet").template == "3"


@pytest.mark.slow
@needs_root
def test_a_queue_that_may_not_be_written_prevents_no_write(shared: str) -> None:
    """Writers that can't use the queue write without it, because it only ensures fairness."""
    with Registry(shared) as owner, Remote(shared, unprivileged=True) as other:
        owner.update("greet", template="1")
        os.chmod(f"{shared}-promptreg-queue", 0o600)
        assert other.call("update", "greet", template="2").version == 3
        assert owner.update("greet", template="3").version == 4
        assert other.call("get", "greet").template == "3"


# Modes and owners of promptreg's files


@pytest.mark.parametrize("found", [0o444, 0o600, 0o666])
def test_the_owner_repairs_files_with_another_mode_than_the_database(path: str, found: int) -> None:
    """Opening repairs the sidecar and writing the queue, even if their mode forbids the owner to write."""
    with Registry(path) as registry:
        registry.create("greet", "0")
    os.chmod(path, 0o660)
    for suffix in OURS:
        os.chmod(path + suffix, found)
    with Registry(path) as registry:
        assert mode(f"{path}-promptreg") == 0o660
        assert registry.update("greet", template="1").version == 2
        assert mode(f"{path}-promptreg-queue") == 0o660


@needs_root
def test_files_that_root_creates_belong_to_the_owner_of_the_database(shared: str) -> None:
    """Files that another user, or root, created before are changed too."""
    for suffix in OURS:
        os.chown(shared + suffix, 0, 0)
    os.chown(shared, NOBODY, GROUP)
    with Registry(shared) as registry:
        registry.update("greet", template="1")
        owners = [(os.stat(shared + suffix).st_uid, os.stat(shared + suffix).st_gid) for suffix in OURS]
    assert owners == [(NOBODY, GROUP)] * 2


@pytest.mark.slow
@needs_root
def test_files_that_a_member_creates_belong_to_the_group_of_the_database(shared: str) -> None:
    """The others of that group may write them, even if the user's primary group is another one."""
    for suffix in OURS:
        os.unlink(shared + suffix)
    os.chown(shared, 0, GROUP)
    os.chmod(shared, 0o664)
    with Remote(shared, unprivileged=True) as other:
        other.call("update", "greet", template="1")
        made = [os.stat(shared + suffix) for suffix in OURS]
    assert [(file.st_uid, file.st_gid, stat.S_IMODE(file.st_mode)) for file in made] == [(NOBODY, GROUP, 0o664)] * 2


def test_a_file_with_a_second_hard_link_is_not_repaired(path: str, tmp_path: Path) -> None:
    """A second hard link may be an attack that would make root open another file to others."""
    with Registry(path) as registry:
        registry.create("greet", "0")
    os.chmod(path, 0o666)
    another = tmp_path / "another"
    another.write_bytes(bytes(64))
    another.chmod(0o600)
    os.unlink(f"{path}-promptreg")
    os.link(another, f"{path}-promptreg")
    Registry(path).close()
    assert mode(str(another)) == 0o600
