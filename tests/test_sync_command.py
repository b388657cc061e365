"""`promptreg sync`: what it prints, its exit statuses, and what a dry run and a refusal leave as they were."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from promptreg import Registry
from promptreg.checks import Checks
from promptreg.cli import main

Captured = pytest.CaptureFixture[str]


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with two prompts in `prompts`, and no database."""
    monkeypatch.chdir(tmp_path)
    for name in ("PROMPTREG_DB", "PROMPTREG_NAMESPACE", "PROMPTREG_AS", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    write("greet", "Hello {{ name }}")
    write("support/reply", "Reply to {{ question }}")
    return tmp_path


@pytest.fixture
def synced(here: Path, empty_file: Path, capsys: Captured) -> Path:
    """The same, synchronised with a registry that was empty."""
    shutil.copyfile(empty_file, "prompts.db")
    assert main(["sync", "prompts", "--as", "ana:team_admin"]) == 0
    capsys.readouterr()
    return here


def write(name: str, body: str, front: str = "") -> None:
    file = Path("prompts", f"{name}.md")
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(f"---\n{front}---\n{body}\n")


def update(name: str, template: str) -> None:
    with Registry("prompts.db") as registry:
        registry.update(name, template=template)


def names() -> list[str]:
    return sorted(path.name for path in Path().iterdir())


def test_it_creates_the_database_and_prints_what_it_did(here: Path, capsys: Captured) -> None:
    """One line a prompt, and a last one that counts; the second run has nothing but that."""
    assert main(["sync", "prompts", "--as", "ana:team_admin"]) == 0
    printed = capsys.readouterr()
    assert (printed.out, printed.err) == (
        "create       greet @1  it is new\ncreate       support/reply @1  it is new\n2 created\n",
        f"{Path('prompts/promptreg.lock')} is new: commit it, or every checkout is another folder.\n",
    )
    assert main(["sync", "prompts"]) == 0
    assert capsys.readouterr() == ("2 unchanged\n", "")
    with Registry("prompts.db") as registry:
        assert registry.get("greet").author == "ana"


def test_it_says_what_has_to_get_into_git(here: Path, capsys: Captured) -> None:
    """A lock that a dry run misses, and files that were pulled: a checkout without them would be told a change."""
    assert main(["sync", "prompts", "--dry-run"]) == 0
    assert "promptreg.lock is not there: run `promptreg sync` once and commit it" in capsys.readouterr().err
    assert main(["sync", "prompts"]) == 0
    update("greet", "Hi")
    capsys.readouterr()
    assert main(["sync", "prompts", "--pull", "--dry-run"]) == 0
    assert capsys.readouterr().err == ""
    assert main(["sync", "prompts", "--pull"]) == 0
    assert capsys.readouterr().err == "Commit what was written: a sync of a checkout without it takes it back.\n"


def test_the_first_run_checks_all_before_it_makes_the_database(
    here: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once in memory and once as it is written; a dry run checks in memory alone."""
    vet, there = Checks.vet_each, []

    def watched(*given: Any) -> Any:
        there.append(Path("prompts.db").exists())
        return vet(*given)

    monkeypatch.setattr(Checks, "vet_each", watched)
    assert main(["sync", "prompts", "--dry-run"]) == 0
    assert main(["sync", "prompts"]) == 0
    assert there == [False, False, True]


def test_progress_is_drawn_on_a_terminal(here: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    """Step by step while the registry checks, and removed at the end."""
    monkeypatch.setattr("promptreg.cli.progress.BEGIN", 0)
    monkeypatch.setattr("promptreg.cli.progress.PAUSE", 0)
    monkeypatch.setattr("sys.stderr.isatty", lambda: True, raising=False)
    for number in range(8):
        write(f"many/{number}", f"Text {number}")
    assert main(["sync", "prompts"]) == 0
    drawn = capsys.readouterr().err
    for text in ("Checking", "Synchronising"):
        assert [f"{text} [" in drawn, f"{text} [#####" in drawn, " 50 % of 10" in drawn] == [True] * 3


@pytest.mark.parametrize("option", ["--dry-run", "--check"])
def test_a_dry_run_without_a_database_creates_none(here: Path, capsys: Captured, option: str) -> None:
    """Everything is a create, and no file is made at all; `--check` exits with 1."""
    assert main(["sync", "prompts", option]) == (option == "--check")
    out = capsys.readouterr().out
    assert out.splitlines()[-1] == "Dry run: 2 created"
    assert names() == ["prompts"]
    assert sorted(path.name for path in Path("prompts").iterdir()) == ["greet.md", "support"]


def test_check_exits_with_1_when_something_would_be_done(synced: Path, capsys: Captured) -> None:
    """Being ahead is not; with `--pull`, which would write a file, it is."""
    assert main(["sync", "prompts", "--check"]) == 0
    update("greet", "Hi {{ name }}")
    assert main(["sync", "prompts", "--check"]) == 0
    assert "ahead" in capsys.readouterr().out
    assert main(["sync", "prompts", "--check", "--pull"]) == 1
    write("support/reply", "Changed")
    assert main(["sync", "prompts", "--check"]) == 1
    assert main(["sync", "prompts", "--dry-run"]) == 0
    with Registry("prompts.db") as registry:
        assert registry.get("support/reply").version == 1


def test_a_conflict_exits_with_1_and_shows_the_difference(synced: Path, capsys: Captured) -> None:
    """With file and line; the last line, on standard error, says what decides it."""
    write("greet", "File")
    update("greet", "Registry")
    for options in ([], ["--dry-run"], ["--check"]):
        assert main(["sync", "prompts", *options]) == 1
        printed = capsys.readouterr()
        heading = "Dry run: " if options else "Nothing was done: "
        assert printed.out.endswith(f"\n{heading}1 in conflict, 1 unchanged\n")
        assert "greet.md:3: its file and the registry have both changed" in printed.out
        assert "<<<<<<< greet.md (the file)\nFile\n||||||| last synchronised\nHello {{ name }}\n" in printed.out
        assert printed.err == (
            "promptreg: conflict: 'greet.md:3': 1 conflict, so nothing was applied; --ours takes the files,"
            " --theirs the registry, and --draft makes the files drafts.\n"
        )


@pytest.mark.parametrize(
    ("options", "live", "file", "word"),
    [
        (["--ours"], "File", "File", "update"),
        (["--theirs"], "Registry", "Registry", "pull"),
        (["--draft"], "Registry", "File", "draft"),
    ],
)
def test_a_conflict_is_decided_by_an_option(
    synced: Path, capsys: Captured, options: list[str], live: str, file: str, word: str
) -> None:
    """`--ours` is the file, `--theirs` the registry, and `--draft` the file as a draft."""
    write("greet", "File")
    update("greet", "Registry")
    assert main(["sync", "prompts", *options]) == 0
    assert capsys.readouterr().out.startswith(word)
    with Registry("prompts.db") as registry:
        assert registry.get("greet").template == live
    assert Path("prompts/greet.md").read_text() == f"---\n---\n{file}\n"


def test_two_choices_are_wrong_usage(here: Path, capsys: Captured) -> None:
    """They exclude each other, and nothing is made."""
    assert main(["sync", "prompts", "--ours", "--draft"]) == 2
    assert "--ours and --draft exclude each other" in capsys.readouterr().err
    assert names() == ["prompts"]


def test_pull_writes_the_file(synced: Path, capsys: Captured) -> None:
    """And says so."""
    update("greet", "Hi {{ name }}")
    assert main(["sync", "prompts", "--pull"]) == 0
    assert capsys.readouterr().out == "pull         greet @2  the registry is ahead\n1 written to files, 1 unchanged\n"
    assert Path("prompts/greet.md").read_text() == "---\n---\nHi {{ name }}\n"


def test_files_that_can_not_be_written_are_told_one_a_line(
    synced: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The last line says that all else was done."""

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    for name in ("greet", "support/reply"):
        update(name, "Registry")
    with monkeypatch.context() as patched:
        patched.setattr("os.replace", full)
        assert main(["sync", "prompts", "--pull"]) == 1
    assert capsys.readouterr().err.splitlines() == [
        "greet.md: can't be written: No space left on device",
        "support/reply.md: can't be written: No space left on device",
        "promptreg: validation_error: 2 errors, but for these files all was done.",
    ]


def test_label_makes_drafts_that_it_names(synced: Path, capsys: Captured) -> None:
    """What is live stays."""
    write("greet", "Hi {{ name }}")
    assert main(["sync", "prompts", "--label", "staging"]) == 0
    with Registry("prompts.db") as registry:
        assert (registry.get("greet").template, registry.get("greet@staging").template) == (
            "Hello {{ name }}",
            "Hi {{ name }}",
        )


def test_bare_files_are_prompts_where_asked_for(here: Path, capsys: Captured) -> None:
    """Without `--bare` a text file is none."""
    Path("prompts/note.txt").write_text("Note\n")
    assert main(["sync", "prompts", "--bare"]) == 0
    assert "note @1" in capsys.readouterr().out


def test_every_error_has_a_line_of_its_own(here: Path, capsys: Captured) -> None:
    """With file and line, on standard error; no database is made."""
    write("bad", "Text", "tags: 3\nvaribles: []\n")
    write("worse", "Text", "syntax: nope\n")
    assert main(["sync", "prompts"]) == 1
    printed = capsys.readouterr()
    lines = printed.err.splitlines()
    assert printed.out == ""
    assert [line.split(": ")[0] for line in lines[:-1]] == ["bad.md:3", "bad.md:2", "worse.md:2"]
    assert lines[-1] == "promptreg: validation_error: 3 errors, so nothing was applied."
    assert names() == ["prompts"]


def test_errors_of_templates_have_file_and_line_too(here: Path, capsys: Captured) -> None:
    """One alone is one line."""
    write("bad", "one\n{{ name")
    assert main(["sync", "prompts"]) == 1
    assert capsys.readouterr().err.startswith("promptreg: template_syntax_error: bad.md:4: unexpected end of template")
    write("worse", "{% if")
    assert main(["sync", "prompts"]) == 1
    assert [line.split(": ")[0] for line in capsys.readouterr().err.splitlines()] == [
        *("bad.md:4", "worse.md:3", "promptreg"),
    ]
    assert names() == ["prompts"]


@pytest.mark.parametrize("folder", ["nowhere", "empty", "prompts/greet.md"])
def test_what_holds_no_prompts_is_refused(here: Path, capsys: Captured, folder: str) -> None:
    """In one line, and without a new database."""
    Path("empty").mkdir()
    assert main(["sync", folder]) == 1
    error = capsys.readouterr().err
    assert error.startswith("promptreg: validation_error: folder: ")
    assert error.count("\n") == 1
    assert names() == ["empty", "prompts"]


@pytest.mark.parametrize("option", ["--json", "--nl"])
def test_json_is_an_object(synced: Path, capsys: Captured, option: str) -> None:
    """It is the report; with a conflict too, whose error is on standard error."""
    write("greet", "File")
    update("greet", "Registry")
    assert main(["sync", "prompts", option]) == 1
    report: dict[str, Any] = json.loads(capsys.readouterr().out)
    assert (report["is_done"], report["dry_run"], report["label"]) == (False, False, None)
    assert [(prompt["name"], prompt["action"], prompt["line"]) for prompt in report["prompts"]] == [
        ("greet", "conflict", 3),
        ("support/reply", "none", None),
    ]


def test_a_narrow_terminal_and_notes(here: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    """No line is longer than 80 columns; a prompt that is seeded too is told, though it is unchanged."""
    with Registry("prompts.db") as registry:
        registry.seed("greet", "Hello {{ name }}")
    write("support/reply", "File")
    assert main(["sync", "prompts"]) == 0
    update("support/reply", "Registry " * 20)
    capsys.readouterr()
    assert main(["sync", "prompts"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert "             the application seeds it too, with what its code ships" in lines
    assert [line for line in lines if len(line) > 80] == []


def test_what_is_not_carried_over_of_a_prompty_file_is_printed(here: Path, capsys: Captured) -> None:
    """Below the prompt that it is, where its file is new; `new` says it as a message."""
    file = Path("prompts/chat.prompty")
    file.write_text("---\nmodel: {id: gpt-5, connection: {kind: key}}\n---\nuser:\nHello\n")
    said = "model.connection is not carried over: it belongs to the application\n"
    assert main(["sync", "prompts"]) == 0
    assert f"create       chat @1  it is new\n             {said}create       greet" in capsys.readouterr().out
    assert main(["sync", "prompts"]) == 0
    assert capsys.readouterr().out == "3 unchanged\n"
    assert main(["new", "other", "--file", str(file)]) == 0
    assert capsys.readouterr().err == f"{file}: {said}"


def test_control_characters_reach_no_terminal(synced: Path, capsys: Captured) -> None:
    """The difference shows them as escapes."""
    write("greet", "File \x1b[2J")
    update("greet", "Registry \x1b[2J")
    assert main(["sync", "prompts"]) == 1
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert "Registry" in out


def test_what_helps_is_said_as_options_and_commands(synced: Path, capsys: Captured) -> None:
    """No reason speaks of the arguments and verbs of Python."""
    for name in ("greet", "support/reply", "gone", "archived"):
        write(name, "File")
    assert main(["sync", "prompts"]) == 0
    with Registry("prompts.db") as registry:
        registry.update("greet", template="Registry")
        registry.delete("support/reply")
        registry.archive("archived")
        registry.update("gone", template="Registry")
    capsys.readouterr()
    assert main(["sync", "prompts"]) == 0
    out = " ".join(capsys.readouterr().out.split())
    assert "left archived @1 it is archived, and not by a synchronisation; `promptreg restore` it first" in out
    assert "version 3 is live, and --pull writes it to the file" in out
    assert "left support/reply it was deleted in the registry since it was synchronised; --ours creates it again" in out
    Path("prompts/gone.md").unlink()
    assert main(["sync", "prompts"]) == 1
    assert "the registry has changed since; choose --ours or --theirs" in " ".join(capsys.readouterr().out.split())
