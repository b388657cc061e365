"""`promptreg report`: the file that it writes, who may read that, and what it never writes over."""

import json
import os
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from promptreg import Registry
from promptreg.cli import private_file
from tests.reports import data_of, names_in
from tests.terminal import Terminal

POSIX = pytest.mark.skipif(os.name == "nt", reason="Windows has no such modes or links")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with two prompts, one of which has 22 versions, and anybody may read the other."""
    path = tmp_path_factory.mktemp("made") / "prompts.db"
    with Registry(path, durability="normal") as registry:
        registry.create("greet", "0")
        for number in range(1, 22):
            registry.update("greet", template=str(number))
        registry.create("bye", "Bye 日本 \x1b[2J", access_grants=[("anyone", "read")])
    return path


@pytest.fixture
def run(tmp_path: Path, made: Path) -> Terminal:
    shutil.copy(made, tmp_path)
    return Terminal(tmp_path)


@pytest.fixture
def open_umask() -> Iterator[None]:
    """A process whose new files everybody may read and write."""
    before = os.umask(0)
    yield
    os.umask(before)


def page_of(run: Terminal, name: str = "report.html") -> str:
    return (run.folder / name).read_text(encoding="utf-8")


def others_in(run: Terminal) -> set[str]:
    """Return the files of the folder that are not the database's."""
    return {path.name for path in run.folder.iterdir() if not path.name.startswith("prompts.db")}


def test_all_prompts_are_written_to_one_file(run: Terminal) -> None:
    """It is `report.html` unless another is named; one line says so."""
    done = run("report")
    assert (done.status, done.out, done.err) == (0, "", "report.html is written; open it in a browser.\n")
    assert names_in(page_of(run)) == ["bye", "greet"]
    assert run("report", "-o", "sub.html").err.startswith("sub.html is written")
    assert names_in(page_of(run, "sub.html")) == ["bye", "greet"]
    assert others_in(run) == {"report.html", "sub.html"}


def test_prompts_that_are_named_are_written_alone(run: Terminal) -> None:
    """They are names or ids, in the order given."""
    with Registry(run.folder / "prompts.db") as registry:
        identity = registry.get("bye").id
    assert run("report", "greet", identity, "greet").status == 0
    assert names_in(page_of(run)) == ["greet", "bye"]


def test_all_versions_are_asked_for(run: Terminal) -> None:
    """Without `--all` they are the newest 20."""
    counts = []
    for more in ([], ["--all"]):
        assert run("report", "greet", *more).status == 0
        counts.append(len(data_of(page_of(run))["prompts"][0]["versions"]))
    assert counts == [20, 22]


def test_the_page_goes_to_standard_output(run: Terminal) -> None:
    """As UTF-8, whatever the terminal's encoding is, and nothing else is printed or written."""
    done = run("report", "-o", "-")
    assert (done.status, done.err, others_in(run)) == (0, "", set())
    assert run("report").status == 0
    assert data_of(done.out)["prompts"] == data_of(page_of(run))["prompts"]


def test_programs_get_the_path_and_the_size(run: Terminal) -> None:
    """As one object on one line; with the page on standard output there is no place for it."""
    done = run("report", "--json", "-o", "x.html")
    size = os.path.getsize(run.folder / "x.html")
    assert json.loads(done.out) == {"path": str(run.folder / "x.html"), "bytes": size}
    assert (done.err, done.out.count("\n")) == ("", 1)
    done = run("report", "--nl", "-o", "-")
    assert (done.status, done.out, "standard output" in done.err) == (2, "", True)


@POSIX
@pytest.mark.usefixtures("open_umask")
def test_nobody_else_may_read_the_file_at_any_time(run: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its mode is 0600 from the start, under any umask, and also where it replaces a file that others may read."""
    modes: list[int] = []
    report = Registry.report

    def watched(self: Registry, *args: object, **kwargs: object) -> str:
        modes.extend(stat.S_IMODE(path.stat().st_mode) for path in run.folder.glob(".*.part"))
        return report(self, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(Registry, "report", watched)
    (run.folder / "report.html").write_text("before")
    os.chmod(run.folder / "report.html", 0o666)
    for name in ("report.html", "new.html"):
        assert run("report", "-o", name).status == 0
        assert stat.S_IMODE((run.folder / name).stat().st_mode) == 0o600
    assert modes == [0o600, 0o600]


def test_a_file_that_is_there_is_replaced_at_once(run: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    """Until all is written it is what it was; who has it open goes on reading that."""
    (run.folder / "report.html").write_text("before")
    seen: list[str] = []
    report = Registry.report

    def watched(self: Registry, *args: object, **kwargs: object) -> str:
        seen.append(page_of(run))
        return report(self, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(Registry, "report", watched)
    assert run("report").status == 0
    assert seen == ["before"]
    assert names_in(page_of(run)) == ["bye", "greet"]


REFUSED = {
    "a folder": (["-o", "."], 1, ". is no file; name a file, or - for standard output"),
    "a folder that is absent": (["-o", "no/x.html"], 1, "no/x.html can't be written: No such file or directory"),
    "the database": (["-o", "prompts.db"], 1, "is a database"),
    "its WAL": (["-o", "prompts.db-wal"], 1, "is part of a database"),
    "its locks": (["-o", "./prompts.db-promptreg-queue"], 1, "is part of a database"),
    "an unknown prompt": (["gret", "absent"], 1, "not_found"),
    "a version": (["greet@1"], 1, "names[0]: this command takes a prompt, not a version"),
    "what may not be read": (["greet", "--as", "eve:"], 1, "not_found"),
    "no database": (["--db", "none.db"], 3, "There is no database none.db."),
    "an unknown option": (["--every"], 2, "--every"),
}


@pytest.mark.parametrize("title", REFUSED)
def test_a_refusal_is_one_line_and_leaves_nothing(run: Terminal, title: str) -> None:
    """A status and what helps; a file that was there stays as it was, and none is left beside it."""
    (run.folder / "report.html").write_text("before")
    arguments, status, text = REFUSED[title]
    database = (run.folder / "prompts.db").read_bytes()
    done = run("report", *arguments)
    assert (done.status, done.out, done.err.count("\n")) == (status, "", 1)
    assert text in done.err
    assert (page_of(run), others_in(run)) == ("before", {"report.html"})
    assert (run.folder / "prompts.db").read_bytes() == database


@POSIX
def test_a_link_is_not_followed(run: Terminal) -> None:
    """It is refused, whether it leads to a file or to nothing, and so is what is no file."""
    (run.folder / "theirs").write_text("theirs")
    (run.folder / "link.html").symlink_to("theirs")
    (run.folder / "nowhere.html").symlink_to("nothing")
    os.mkfifo(run.folder / "pipe.html")
    for name, text in (("link", "symbolic link"), ("nowhere", "symbolic link"), ("pipe", "no file")):
        done = run("report", "-o", f"{name}.html")
        assert (done.status, text in done.err) == (1, True)
    assert (run.folder / "theirs").read_text() == "theirs"
    assert not (run.folder / "nothing").exists()
    assert run("report", "-o", "/dev/null").status == 1


@POSIX
@pytest.mark.skipif(hasattr(os, "geteuid") and os.geteuid() == 0, reason="root may write every folder")
def test_a_folder_that_may_not_be_written_is_named(run: Terminal) -> None:
    """With the reason."""
    folder = run.folder / "closed"
    folder.mkdir(mode=0o500)
    done = run("report", "-o", "closed/x.html")
    assert (done.status, "closed/x.html can't be written: Permission denied" in done.err) == (1, True)


def test_a_write_that_fails_leaves_nothing(run: Terminal, monkeypatch: pytest.MonkeyPatch) -> None:
    """A full disk is named, and the file that was there stays."""
    (run.folder / "report.html").write_text("before")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(private_file.os, "fsync", full)
    done = run("report")
    assert done.status == 1
    assert "report.html can't be written: No space left on device" in done.err
    assert (page_of(run), others_in(run)) == ("before", {"report.html"})


def test_an_actor_gets_what_it_may_read(run: Terminal) -> None:
    """Somebody without a role gets the prompts that anybody may read."""
    assert run("report", "--as", "eve:").status == 0
    assert names_in(page_of(run)) == ["bye"]


def test_help_fits_into_the_terminal(run: Terminal) -> None:
    """No line is wider than 80 columns."""
    done = run("report", "--help")
    assert (done.status, [line for line in done.out.splitlines() if len(line) > 80]) == (0, [])
