"""The last commit of each file, from one `git log`: what it says, when there is none, and repositories as attackers."""

import os
import stat
import sys
from pathlib import Path
from threading import Timer

import pytest

from promptreg.files.syncing import gitlog
from promptreg.files.syncing.gitlog import last_commits
from tests.repositories import ALONE, Repository, needs_git

pytestmark = needs_git
posix = pytest.mark.skipif(sys.platform == "win32", reason="a script takes the place of git")


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep the configuration of whoever runs the tests away."""
    for name, value in ALONE.items():
        monkeypatch.setenv(name, value)


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository(tmp_path / "work")


def script(file: Path, text: str) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"#!/bin/sh\n{text}\n")
    file.chmod(stat.S_IRWXU)
    return file


def test_the_message_is_subject_author_and_hash_of_the_files_last_commit(repository: Repository) -> None:
    """Each file has that of its own last commit, wherever the folder is in its repository."""
    first = repository.commit("Add both", prompts__a="1", prompts__x__b="1", elsewhere="1")
    second = repository.commit("Shorter", prompts__a="2")
    repository.commit("Another thing", elsewhere="2")
    assert last_commits(repository.folder / "prompts", ["a.md", "x/b.md"]) == {
        "a.md": f"Shorter (Ana Diaz, {second})",
        "x/b.md": f"Add both (Ana Diaz, {first})",
    }
    assert last_commits(repository.folder, ["prompts/a.md"]) == {"prompts/a.md": f"Shorter (Ana Diaz, {second})"}


def test_a_file_that_is_not_as_committed_has_none(repository: Repository) -> None:
    """That is: changed, staged only, untracked, deleted and written anew, or not there."""
    repository.commit("Add", changed="1", staged="1", removed="1", same="1")
    repository.write("staged.md", "2")
    repository.git("add", "staged.md")
    repository.git("rm", "--quiet", "removed.md")
    repository.git("commit", "--quiet", "-m", "Remove", "removed.md")
    for path in ("changed.md", "untracked.md", "removed.md"):
        repository.write(path, "1, or 3")
    paths = ["changed.md", "staged.md", "untracked.md", "removed.md", "absent.md", "same.md"]
    assert [*last_commits(repository.folder, paths)] == ["same.md"]


def test_a_merge_that_resolved_a_conflict_is_the_last_commit(repository: Repository) -> None:
    """The content of such a file is of no other commit; of one that only one side changed it is that side's."""
    repository.commit("Start", both="0", one="0")
    repository.git("checkout", "--quiet", "-b", "side")
    side = repository.commit("Side", both="side", one="side")
    repository.git("checkout", "--quiet", "main")
    repository.commit("Main", both="main")
    repository.git("merge", "--quiet", "--strategy=ours", "--no-commit", "side")
    merged = repository.commit("Merge", both="resolved", one="side")
    assert last_commits(repository.folder, ["both.md", "one.md"]) == {
        "both.md": f"Merge (Ana Diaz, {merged})",
        "one.md": f"Side (Ana Diaz, {side})",
    }


def test_a_moved_file_has_the_commit_that_moved_it(repository: Repository) -> None:
    """Renames are not followed, as a moved file is another prompt."""
    repository.commit("Add", old="1")
    repository.git("mv", "old.md", "new.md")
    moved = repository.commit("Move")
    assert last_commits(repository.folder, ["new.md"]) == {"new.md": f"Move (Ana Diaz, {moved})"}


def test_line_ends_that_git_converted_are_no_change(repository: Repository) -> None:
    """With `core.autocrlf`, as on Windows, the working tree has CRLF where the commit has LF."""
    repository.git("config", "core.autocrlf", "true")
    repository.commit("Add", a="one\r\ntwo\r\n")
    assert [*last_commits(repository.folder, ["a.md"])] == ["a.md"]


def test_a_repository_with_sha_256_is_read(tmp_path: Path) -> None:
    """Its hashes have 64 digits."""
    repository = Repository(tmp_path, "--object-format=sha256")
    commit = repository.commit("Add", a="1")
    assert len(commit) == 64
    assert last_commits(tmp_path, ["a.md"]) == {"a.md": f"Add (Ana Diaz, {commit})"}


def test_a_linked_working_tree_is_read(repository: Repository, tmp_path: Path) -> None:
    """There `.git` is a file."""
    commit = repository.commit("Add", a="1")
    repository.git("worktree", "add", "--quiet", str(tmp_path / "linked"))
    assert last_commits(tmp_path / "linked", ["a.md"]) == {"a.md": f"Add (Ana Diaz, {commit})"}


def test_without_a_whole_repository_there_is_none(repository: Repository, tmp_path: Path) -> None:
    """That is: no repository, one without a commit, one whose data is damaged, and a shallow clone."""
    (tmp_path / "plain").mkdir()
    assert last_commits(tmp_path / "plain", ["a.md"]) == {}
    repository.write("a.md", "1")
    assert last_commits(repository.folder, ["a.md"]) == {}
    repository.commit("One", a="1")
    repository.commit("Two", b="1")
    repository.git("clone", "--quiet", "--depth=1", repository.folder.as_uri(), str(tmp_path / "shallow"))
    assert (tmp_path / "shallow" / "a.md").exists()
    assert last_commits(tmp_path / "shallow", ["a.md", "b.md"]) == {}
    (repository.folder / ".git" / "HEAD").write_text("nonsense")
    assert last_commits(repository.folder, ["a.md"]) == {}


def test_without_git_there_is_none(repository: Repository, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """It may not be installed, or not be executable."""
    repository.commit("One", a="1")
    monkeypatch.setenv("PATH", str(tmp_path / "nowhere"))
    assert last_commits(repository.folder, ["a.md"]) == {}
    monkeypatch.setattr(gitlog.shutil, "which", lambda _: str(tmp_path / "no-git"))  # type: ignore[attr-defined]
    assert last_commits(repository.folder, ["a.md"]) == {}


@posix
def test_a_git_of_the_current_folder_is_not_run(
    repository: Repository, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A PATH that has `.` would find a program that the repository brings."""
    repository.commit("One", a="1")
    script(repository.folder / "git", f"touch {tmp_path}/ran")
    monkeypatch.chdir(repository.folder)
    monkeypatch.setenv("PATH", f".{os.pathsep}{os.environ['PATH']}")
    assert last_commits(repository.folder, ["a.md"]) == {}
    assert not (tmp_path / "ran").exists()


@posix
def test_names_may_hold_anything(repository: Repository) -> None:
    """Quotes, line ends, tabs, a leading dash or colon, spaces, other scripts, and bytes that are no UTF-8."""
    names = ['q"u\no\tte.md', "-n.md", ":(glob)*.md", "a b.md", "été/日本.md", os.fsdecode(b"\xff\xfe.md"), "\\a.md"]
    for name in names:
        repository.write(name, "1")
    commit = repository.commit("Add")
    assert last_commits(repository.folder, names) == dict.fromkeys(names, f"Add (Ana Diaz, {commit})")


@posix
@pytest.mark.parametrize("where", ["with\nline", "-dash", ":colon", "sp ace"])
def test_folders_may_have_any_name(repository: Repository, where: str) -> None:
    """The folder's own path in the repository is no option and no pattern."""
    repository.write(f"{where}/a.md", "1")
    repository.commit("Add")
    assert [*last_commits(repository.folder / where, ["a.md"])] == ["a.md"]


def test_a_subject_becomes_one_printable_line(repository: Repository) -> None:
    """Control characters, such as those that steer a terminal, become spaces; a long one is cut; it may be empty."""
    repository.git("config", "user.name", "A\x1b[31mna")
    repository.commit("Red \x1b[31m\u202e and\ttab\n\nBody", a="1")
    repository.commit("word " * 1000, b="1")
    repository.commit("", c="1")
    commits = last_commits(repository.folder, ["a.md", "b.md", "c.md"])
    assert commits["a.md"].startswith("Red [31m and tab (A [31mna, ")
    assert commits["b.md"].startswith("word word")
    assert len(commits["b.md"]) < 400
    assert commits["c.md"].startswith("(A [31mna, ")


def test_a_subject_of_another_encoding_is_read(repository: Repository) -> None:
    """The commit says which; bytes that are wrong in it become replacement characters."""
    repository.write("a.md", "1")
    repository.git("add", "--all")
    message = repository.write("../message", "Vérifié".encode("latin-1"))
    repository.git("-c", "i18n.commitEncoding=latin-1", "commit", "--quiet", "--file", str(message))
    assert last_commits(repository.folder, ["a.md"])["a.md"].startswith("Vérifié (Ana Diaz")


@posix
def test_nothing_that_the_repository_configures_is_run(repository: Repository, tmp_path: Path) -> None:
    """No pager, hook, file monitor, diff driver, filter or signature check, all of which git would run by itself."""
    repository.write(".gitattributes", "*.md diff=evil filter=evil\n")
    repository.commit("Add", a="1")
    evil = str(script(tmp_path / "evil", f"touch {tmp_path}/ran; cat"))
    signed = repository.git("cat-file", "commit", "HEAD").replace(
        "\n\n", "\ngpgsig -----BEGIN PGP SIGNATURE-----\n \n =\n -----END PGP SIGNATURE-----\n\n", 1
    )
    commit = repository.git("hash-object", "-t", "commit", "-w", str(repository.write("../signed", signed + "\n")))
    repository.git("reset", "--quiet", commit)
    (repository.folder / "a.md").write_text("1")
    settings = "core.pager core.fsmonitor gpg.program diff.external diff.evil.textconv diff.evil.command"
    for setting in [*settings.split(), "filter.evil.clean", "filter.evil.process", "core.sshCommand", "pager.log"]:
        repository.git("config", setting, evil)
    repository.git("config", "core.hooksPath", str(tmp_path))
    repository.git("config", "log.showSignature", "true")
    assert last_commits(repository.folder, ["a.md"]) == {"a.md": f"Add (Ana Diaz, {commit})"}
    assert not (tmp_path / "ran").exists()
    repository.git("log")
    assert (tmp_path / "ran").exists()


def test_settings_of_the_repository_change_nothing(repository: Repository) -> None:
    """Neither those of `git log`, nor those of differences and colours."""
    commit = repository.commit("Add", prompts__a="1")
    for setting in (
        *("log.showRoot=false", "log.follow=true", "log.abbrevCommit=true", "log.diffMerges=off", "color.ui=always"),
        *("diff.relative=true", "diff.noprefix=true", "core.quotePath=true", "format.pretty=oneline", "core.abbrev=4"),
        *("log.decorate=full", "i18n.logOutputEncoding=latin-1", "diff.renames=copies", "diff.statNameWidth=1"),
    ):
        repository.git("config", *setting.split("="))
    assert last_commits(repository.folder / "prompts", ["a.md"]) == {"a.md": f"Add (Ana Diaz, {commit})"}


def test_the_environment_of_a_hook_leads_to_no_other_repository(
    repository: Repository, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Git sets `GIT_DIR`, `GIT_INDEX_FILE` and others where it runs a hook; they are about its own repository."""
    commit = repository.commit("Add", a="1")
    other = Repository(tmp_path / "other")
    other.commit("Another", a="1")
    monkeypatch.setenv("GIT_DIR", str(other.folder / ".git"))
    monkeypatch.setenv("GIT_WORK_TREE", str(other.folder))
    monkeypatch.setenv("GIT_TRACE", "1")
    monkeypatch.setenv("GIT_EXTERNAL_DIFF", "false")
    monkeypatch.setenv("GIT_GLOB_PATHSPECS", "1")
    assert last_commits(repository.folder, ["a.md"]) == {"a.md": f"Add (Ana Diaz, {commit})"}


@pytest.mark.skipif(getattr(os, "geteuid", lambda: 1)() != 0, reason="only root gives a folder to another user")
def test_the_repository_of_another_user_is_refused_by_git(repository: Repository) -> None:
    """Then there is none, unless the user's own `safe.directory` allows it."""
    repository.commit("Add", a="1")
    os.chown(repository.folder, 12345, 12345)
    os.chown(repository.folder / ".git", 12345, 12345)
    assert last_commits(repository.folder, ["a.md"]) == {}


@posix
def test_a_git_that_hangs_is_ended(repository: Repository, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """What it has said by then counts."""
    commit = repository.commit("Add", a="1", b="1")
    git, fake, hangs = gitlog.shutil.which("git"), tmp_path / "bin", tmp_path / "hangs"  # type: ignore[attr-defined]
    script(fake / "git", f'case "$*" in *rev-parse*) exec {git} "$@";; esac\n{git} "$@"\n: > {hangs}\nexec sleep 60')
    monkeypatch.setenv("PATH", f"{fake}{os.pathsep}{os.environ['PATH']}")
    ended = []

    class TimerOfOnesThatHang(Timer):
        def run(self) -> None:
            while not hangs.exists():
                if self.finished.wait(0.01):
                    return
            ended.append(self.interval)
            self.function()

    monkeypatch.setattr(gitlog, "Timer", TimerOfOnesThatHang)
    assert last_commits(repository.folder, ["a.md", "untracked.md"]) == {"a.md": f"Add (Ana Diaz, {commit})"}
    assert ended == [gitlog.SECONDS]


@posix
@pytest.mark.parametrize("endless", ["yes", "cat /dev/zero"])
def test_a_history_without_an_end_is_read_no_further_than_needed(
    repository: Repository, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, endless: str
) -> None:
    """Reading ends with the last path that is asked for, or where the output is nonsense."""
    repository.commit("Add", a="1")
    git, fake = gitlog.shutil.which("git"), tmp_path / "bin"  # type: ignore[attr-defined]
    script(fake / "git", f'case "$*" in *rev-parse*) exec {git} "$@";; esac\n{git} "$@"\nexec {endless}')
    monkeypatch.setenv("PATH", f"{fake}{os.pathsep}{os.environ['PATH']}")
    assert [*last_commits(repository.folder, ["a.md"])] == ["a.md"]
    if endless == "yes":
        assert [*last_commits(repository.folder, ["a.md", "b.md"])] == ["a.md"]
