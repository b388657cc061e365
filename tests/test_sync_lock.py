"""`promptreg.lock`: a random id and nothing else, made once, and a clear error where it is damaged."""

import os
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import UUID

import pytest

from promptreg import InvalidInputError
from promptreg.files.syncing.lockfile import LOCK, make_source, read_source


def test_it_holds_an_id_and_nothing_else(tmp_path: Path) -> None:
    """The id is one line, the same at every reading, and another in every folder; no other file stays."""
    source = make_source(tmp_path)
    assert str(UUID(source)) == source
    assert (tmp_path / LOCK).read_bytes() == f"{source}\n".encode()
    assert read_source(tmp_path) == source == make_source(tmp_path)
    assert os.listdir(tmp_path) == [LOCK]
    (tmp_path / "other").mkdir()
    assert make_source(tmp_path / "other") != source


def test_windows_line_ends_change_nothing(tmp_path: Path) -> None:
    """As git may write it there."""
    source = make_source(tmp_path)
    (tmp_path / LOCK).write_bytes(f"{source}\r\n".encode())
    assert read_source(tmp_path) == source


def test_of_many_calls_at_once_one_makes_it(tmp_path: Path) -> None:
    """All return the same id."""
    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(make_source, [tmp_path] * 8))) == 1
    assert os.listdir(tmp_path) == [LOCK]


def test_a_file_system_without_hard_links_is_no_obstacle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """There it is moved to its place."""

    def no_links(*_: object) -> None:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setattr("os.link", no_links)
    assert make_source(tmp_path) == make_source(tmp_path) == read_source(tmp_path)
    assert os.listdir(tmp_path) == [LOCK]


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"nonsense",
        b"\xff\xfe\x00",
        b"0" * 10_000,
        b"<<<<<<< HEAD\n%s\n=======\n%s\n>>>>>>> side\n" % (str(UUID(int=1)).encode(), str(UUID(int=2)).encode()),
    ],
    ids=["empty", "nonsense", "binary", "long", "merge"],
)
def test_a_damaged_one_is_a_clear_error(tmp_path: Path, content: bytes) -> None:
    """The error names the file and what to do, and the file stays as it is."""
    (tmp_path / LOCK).write_bytes(content)
    for call in (read_source, make_source):
        with pytest.raises(InvalidInputError, match=r"promptreg\.lock: is damaged: .*git checkout") as caught:
            call(tmp_path)
        assert [error["field"] for error in caught.value.details["errors"]] == [LOCK]
    assert (tmp_path / LOCK).read_bytes() == content
    assert os.listdir(tmp_path) == [LOCK]


@pytest.mark.parametrize("kind", ["folder", "symlink", "dangling"])
def test_what_is_no_regular_file_is_refused(tmp_path: Path, kind: str) -> None:
    """A symlink could lead outside the folder."""
    if kind == "folder":
        (tmp_path / LOCK).mkdir()
    else:
        target = tmp_path.parent / f"{tmp_path.name}-elsewhere"
        if kind == "symlink":
            target.write_text(f"{UUID(int=1)}\n")
        (tmp_path / LOCK).symlink_to(target)
    with pytest.raises(InvalidInputError, match="is not a regular file"):
        read_source(tmp_path)
    with pytest.raises(InvalidInputError, match="is not a regular file"):
        make_source(tmp_path)


@pytest.mark.skipif(sys.platform == "win32", reason="folders have no modes there")
@pytest.mark.skipif(getattr(os, "geteuid", lambda: 1)() == 0, reason="root may write everywhere")
def test_a_folder_that_can_not_be_written_is_a_clear_error(tmp_path: Path) -> None:
    """The error says that the first synchronisation makes the file."""
    tmp_path.chmod(0o500)
    with pytest.raises(InvalidInputError, match=r"promptreg\.lock: can't be written: Permission denied"):
        make_source(tmp_path)


def test_a_folder_that_is_gone_is_a_clear_error(tmp_path: Path) -> None:
    """The error names the reason of the operating system."""
    with pytest.raises(InvalidInputError, match=r"promptreg\.lock: can't be written: No such file"):
        make_source(tmp_path / "gone")
