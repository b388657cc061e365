"""`sync` beside the table: messages from git, dry runs, errors by line, permissions, files written, kills and races."""

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest

from promptreg import (
    Actor,
    ConflictError,
    ForbiddenError,
    InvalidInputError,
    Prompt,
    PublishCheckError,
    Registry,
    Role,
    TemplateError,
    VersionConflictError,
)
from promptreg.files import SyncReport, sync
from promptreg.files.syncing.lockfile import LOCK, make_source, read_source
from tests.conftest import Ticking, holds_anything
from tests.folders import Folder, actions, filled
from tests.repositories import ALONE, Repository, needs_git

Unchanged = Callable[[], AbstractContextManager[None]]


@pytest.fixture
def folder(tmp_path: Path, registry: Registry) -> Folder:
    return filled(tmp_path / "prompts", registry)


@pytest.fixture
def synced(folder: Folder) -> Folder:
    folder.sync()
    return folder


@pytest.fixture
def meanwhile(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Callable[[], object]]]:
    """What is called once, between the reading of a folder and the commit."""
    waiting: list[Callable[[], object]] = []
    synchronise = Registry._synchronise

    def slow(registry: Registry, call: Any, **more: Any) -> Any:
        if waiting and not call.dry_run:
            waiting.pop()()
        return synchronise(registry, call, **more)

    monkeypatch.setattr(Registry, "_synchronise", slow)
    return waiting


# Messages


@needs_git
def test_the_message_of_a_version_is_the_files_last_commit(
    folder: Folder, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Subject, author and hash; a file that is not committed has `sync`."""
    for name, value in ALONE.items():
        monkeypatch.setenv(name, value)
    repository = Repository(tmp_path)
    commit = repository.commit("Greet people")
    folder.write("support/reply", "Uncommitted")
    folder.sync()
    assert folder.registry.get("greet").commit_message == f"Greet people (Ana Diaz, {commit})"
    assert folder.registry.get("support/reply").commit_message == "sync"


# The lock file and dry runs


def test_the_first_synchronisation_makes_the_lock(folder: Folder) -> None:
    """It is the one file that is made, it holds an id alone, and stays as it is."""
    before = set(folder.state())
    folder.sync()
    state = folder.state()
    assert set(state) - before == {LOCK}
    folder.write("greet", "Hi {{ name }}")
    folder.sync()
    assert folder.state()[LOCK] == state[LOCK]


def test_a_dry_run_writes_nothing_at_all(folder: Folder, unchanged: Unchanged) -> None:
    """Neither in the registry nor in the folder, where no lock file is made."""
    before = folder.state()
    with unchanged():
        report = folder.report(dry_run=True)
    assert folder.state() == before
    assert actions(report) == {"greet": "create", "support/reply": "create"}
    assert (report.dry_run, report.is_done, len(report.changes)) == (True, False, 2)


def test_a_dry_run_reports_conflicts(synced: Folder, unchanged: Unchanged) -> None:
    """They are no error there, and `pull` and `theirs` write no file."""
    synced.write("greet", "Ours")
    synced.registry.update("greet", template="Theirs")
    before = synced.state()
    with unchanged():
        report = synced.report(dry_run=True)
        assert [(conflict.place, conflict.line) for conflict in report.conflicts] == [("greet.md:3", 3)]
        assert synced.sync(dry_run=True, on_conflict="theirs") == {"greet": "pull"}
    assert synced.state() == before


def test_a_conflict_in_the_first_run_makes_no_lock(folder: Folder, unchanged: Unchanged) -> None:
    """A refused call leaves everything as it was."""
    folder.registry.create("greet", "Theirs")
    before = folder.state()
    with unchanged(), pytest.raises(ConflictError):
        folder.sync()
    assert folder.state() == before


def test_a_first_run_that_is_refused_makes_no_lock(folder: Folder, unchanged: Unchanged) -> None:
    """By a bad template, by an error of its progress, or as another process has just made the file."""
    before = folder.state()
    with unchanged(), pytest.raises(ZeroDivisionError):
        folder.sync(progress=lambda done, total: 1 // (done == 0))
    file = folder.write("bad", "{{")
    with unchanged(), pytest.raises(TemplateError):
        folder.sync()
    file.unlink()
    assert folder.state() == before


def test_of_two_first_runs_at_once_the_second_is_refused(folder: Folder, unchanged: Unchanged) -> None:
    """It has another id than the lock file, and nothing of it is written; the next run has that of the file."""

    def other(done: int, total: int) -> None:
        calls.append(done)
        if len(calls) == 3:  # both files were read, and one prompt is checked
            make_source(folder.path)

    calls: list[int] = []
    with unchanged(), pytest.raises(VersionConflictError, match="Another synchronisation has just made"):
        folder.sync(progress=other)
    source = read_source(folder.path)
    assert folder.sync() == {"greet": "create", "support/reply": "create"}
    assert read_source(folder.path) == source


def test_the_first_run_checks_each_prompt_once(folder: Folder) -> None:
    """The lock file is made between the checks and the commit; one that has nothing to write makes it too."""

    def check(prompt: Prompt) -> None:
        assert not (folder.path / LOCK).exists()
        checked.append(prompt.name)

    checked: list[str] = []
    for _ in range(2):
        with Registry(folder.registry.path, publish_checks=[check], actor=Actor("ana", Role.TEAM_EDITOR)) as registry:
            sync(registry, folder.path)
        (folder.path / LOCK).unlink()
    assert checked == ["greet", "support/reply"]
    sync(folder.registry.scope(actor=Actor("bo", Role.TEAM_MEMBER)), folder.path)
    assert (folder.path / LOCK).exists()


def test_a_damaged_lock_is_refused(synced: Folder, unchanged: Unchanged) -> None:
    """With the file's name, before anything is done."""
    (synced.path / LOCK).write_text("<<<<<<< HEAD\n")
    synced.write("greet", "Hi {{ name }}")
    with unchanged(), pytest.raises(InvalidInputError, match=r"promptreg\.lock: is damaged"):
        synced.sync()


def test_the_report_is_a_value(synced: Folder) -> None:
    """It is frozen, compares, and dumps as JSON."""
    report = synced.report()
    assert report == SyncReport.model_validate(report.model_dump(mode="json"))
    assert json.loads(report.model_dump_json())["prompts"][0]["name"] == "greet"
    with pytest.raises(ValueError, match="frozen"):
        report.dry_run = True  # type: ignore[misc]


def test_progress_is_reported(folder: Folder) -> None:
    """In numbers of files, step by step up to all of them; nothing is locked meanwhile, and no step goes back."""
    for number in range(18):
        folder.write(f"many/{number}", f"Text {number}")
    seen: list[tuple[int, int]] = []

    def progress(done: int, total: int) -> None:
        assert not holds_anything(folder.registry)
        folder.registry.save("other", f"seen {len(seen)}")
        seen.append((done, total))

    folder.sync(progress=progress)
    assert [total for _, total in seen] == [20] * 41
    assert [done for done, _ in seen][:20] == [0] * 9 + [1] * 10 + [2]
    assert [done for done, _ in seen] == sorted(done for done, _ in seen)
    assert (len({done for done, _ in seen}), seen[-2], seen[-1]) == (18, (16, 20), (20, 20))
    with pytest.raises(InvalidInputError, match="progress"):
        folder.sync(progress=3)


PROMPTY = "---\nmodel: {id: gpt-5, connection: {kind: key}}\n---\nuser:\nHello\n"
NOTE = "model.connection is not carried over: it belongs to the application"


def test_what_is_not_carried_over_of_a_prompty_file_is_told(synced: Folder) -> None:
    """As by an import: where the file is written to the registry, and in every dry run, but not in every run."""

    def told(**more: Any) -> tuple[str, list[str]]:
        (prompt,) = (prompt for prompt in synced.report(**more).prompts if prompt.name == "chat")
        return prompt.action, [*prompt.notes]

    file = synced.path / "chat.prompty"
    file.write_text(PROMPTY)
    assert told(dry_run=True) == ("create", [NOTE])
    assert told() == ("create", [NOTE])
    assert told() == ("none", [])
    assert told(dry_run=True) == ("none", [NOTE])
    synced.registry.update("chat", template="Hi")
    assert told() == ("ahead", [])
    file.write_text(PROMPTY.replace("Hello", "Hey"))
    assert told(on_conflict="ours") == ("update", [NOTE])
    file.unlink()
    assert told() == ("archive", [])
    file.write_text(PROMPTY)
    assert told() == ("restore", [NOTE])


# Errors


def test_one_bad_file_applies_nothing(synced: Folder, unchanged: Unchanged) -> None:
    """Every error of every file is listed, with file and line."""
    synced.write("greet", "Hi {{ name }}")
    synced.write("bad", "Text", "tags: 3\nvaribles: []\n")
    synced.write("support/worse", "Text", 'title: "A"\nsyntax: "nope"\n')
    before = synced.state()
    with unchanged(), pytest.raises(InvalidInputError) as caught:
        synced.sync()
    assert synced.state() == before
    fields = sorted(error["field"] for error in caught.value.details["errors"])
    assert fields == ["bad.md:2", "bad.md:3", "support/worse.md:3"]


def test_one_bad_template_applies_nothing(synced: Folder, unchanged: Unchanged) -> None:
    """Each is listed with file and line: of a text that of the error, of a field that of the field."""
    synced.write("greet", "Hi {{ name }}")
    synced.write("bad", "one\n{{ name", "tags: []\n")
    synced.write("worse", "{{ name }}", 'title: "x"\nexamples: [{"nane": "ana"}]\n')
    with unchanged(), pytest.raises(TemplateError) as caught:
        synced.sync()
    assert [error["field"] for error in caught.value.details["errors"]] == ["bad.md:5", "worse.md:3"]


def test_a_single_error_begins_with_its_place(synced: Folder, unchanged: Unchanged) -> None:
    """So that one line says it."""
    synced.write("bad", "one\n{{ name")
    with unchanged(), pytest.raises(TemplateError, match=r"^bad\.md:4: "):
        synced.sync()


def test_an_error_of_a_chat_is_at_the_line_of_its_message(synced: Folder, unchanged: Unchanged) -> None:
    """Of a message with parts, which stands in the front matter, it is that line."""
    synced.write("chat", "system:\nBe kind\nuser:\nHello\n{{ name", 'type: "chat"\n')
    part = '{"role": "user", "content": [{"type": "text", "text": "one\\n{{ name"}]}'
    synced.write("parts", "", f'type: "chat"\nmessage 1: {part}\n')
    with unchanged(), pytest.raises(TemplateError) as caught:
        synced.sync()
    assert [error["field"] for error in caught.value.details["errors"]] == ["chat.md:8", "parts.md:3"]


def test_publish_checks_come_first(folder: Folder, path: str, unchanged: Unchanged) -> None:
    """One that refuses a prompt refuses the call, with the file."""

    def no_support(prompt: Any) -> None:
        if prompt.name.startswith("support/"):
            raise ValueError("not now")

    with Registry(path, publish_checks=[no_support]) as checked:
        folder.registry = checked
        with unchanged(), pytest.raises(PublishCheckError, match="not now") as caught:
            folder.sync()
    assert [error["field"] for error in caught.value.details["errors"]] == ["support/reply.md:1"]
    assert not (folder.path / LOCK).exists()


def test_errors_and_conflicts_are_listed_together(synced: Folder, unchanged: Unchanged) -> None:
    """A bad template beside a conflict: both have their file."""
    synced.write("greet", "Ours")
    synced.registry.update("greet", template="Theirs")
    synced.write("bad", "{{ name")
    with unchanged(), pytest.raises(TemplateError) as caught:
        synced.sync()
    assert [error["field"].split(":")[0] for error in caught.value.details["errors"]] == ["bad.md", "greet.md"]


def test_bad_files_conflicts_and_bad_templates_are_listed_together(synced: Folder, unchanged: Unchanged) -> None:
    """One run says all that is to be done; a prompt whose file can't be read counts as no file that has gone."""
    synced.write("greet", "Ours")
    synced.registry.update("greet", template="Theirs")
    synced.registry.update("support/reply", template="Theirs")
    synced.write("support/reply", "Text", "tags: 3\n")
    with unchanged(), pytest.raises(InvalidInputError) as caught:
        synced.sync()
    errors = caught.value.details["errors"]
    assert [error["field"] for error in errors] == ["support/reply.md:2", "greet.md:3"]
    synced.write("bad", "{{ name")
    with unchanged(), pytest.raises(InvalidInputError) as caught:
        synced.sync(dry_run=True)
    fields = [error["field"].split(":")[0] for error in caught.value.details["errors"]]
    assert fields == ["support/reply.md", "bad.md", "greet.md"]


def test_two_files_of_one_prompt_are_an_error(synced: Folder, unchanged: Unchanged) -> None:
    """The second one is named, with its line."""
    synced.write("other", "Text", 'name: "greet"\n')
    with unchanged(), pytest.raises(InvalidInputError, match=r"other\.md:2"):
        synced.sync()


@pytest.mark.parametrize("wrong", ["missing", "greet.md", "", 3, None])
def test_what_is_no_folder_is_refused(synced: Folder, wrong: Any, unchanged: Unchanged) -> None:
    """The error says so of the argument `folder`."""
    given = synced.path / wrong if isinstance(wrong, str) and wrong else wrong
    with unchanged(), pytest.raises(InvalidInputError, match="folder"):
        sync(synced.registry, given)


@pytest.mark.parametrize("option", ["pull", "dry_run", "bare"])
def test_a_flag_that_is_none_is_refused(folder: Folder, unchanged: Unchanged, option: str) -> None:
    """Such as a text, which would count as true."""
    with unchanged(), pytest.raises(InvalidInputError, match=option):
        folder.sync(**{option: "no"})


@pytest.mark.parametrize("choice", ["mine", "publish", None, 3, ["ours"]])
def test_a_choice_that_is_none_is_refused(folder: Folder, unchanged: Unchanged, choice: Any) -> None:
    """No lock file is made."""
    before = folder.state()
    with unchanged(), pytest.raises(InvalidInputError, match="on_conflict"):
        folder.sync(on_conflict=choice)
    assert folder.state() == before


@pytest.mark.skipif(sys.platform == "win32", reason="symlinks need privileges there")
def test_symlinks_out_of_the_folder_are_refused(synced: Folder, unchanged: Unchanged, tmp_path: Path) -> None:
    """A file that leads outside is an error, and nothing of it is read."""
    (tmp_path / "secret.md").write_text("---\n---\nSecret\n")
    (synced.path / "leak.md").symlink_to(tmp_path / "secret.md")
    with unchanged(), pytest.raises(InvalidInputError, match=r"leak\.md: is a symlink that leads out of the folder"):
        synced.sync()


# Permissions


def test_permissions_are_required_of_all_first(synced: Folder, unchanged: Unchanged) -> None:
    """An editor may update and create, but archive nothing: then nothing is done."""
    synced.registry = synced.registry.scope(actor=Actor("ana", Role.TEAM_EDITOR))
    synced.write("support/reply", "Changed")
    synced.remove("greet")
    with unchanged(), pytest.raises(ForbiddenError) as caught:
        synced.sync()
    assert caught.value.details["names"] == ["greet"]
    synced.write("greet", "Hello {{ name }}")
    assert synced.sync() == {"support/reply": "update"}


def test_a_dry_run_requires_the_same_permissions(folder: Folder, unchanged: Unchanged) -> None:
    """What would be refused is refused."""
    folder.registry = folder.registry.scope(actor=Actor("ana", Role.TEAM_MEMBER))
    with unchanged(), pytest.raises(ForbiddenError):
        folder.sync(dry_run=True)


# Files that are written


def test_a_file_that_changed_since_it_was_read_is_not_overwritten(
    synced: Folder, meanwhile: list[Callable[[], object]]
) -> None:
    """It is left and told, and the next run finds a conflict."""
    synced.registry.update("greet", template="Registry")
    meanwhile.append(lambda: synced.write("greet", "An editor's"))
    report = synced.report(pull=True)
    assert actions(report) == {"greet": "left"}
    assert "has changed since it was read" in report.of("left")[0].reason
    assert synced.body("greet") == "An editor's"
    with pytest.raises(ConflictError):
        synced.sync(pull=True)


def test_a_file_that_appeared_since_is_not_overwritten(synced: Folder, meanwhile: list[Callable[[], object]]) -> None:
    """Where `theirs` would write it anew."""
    synced.remove("greet")
    synced.registry.update("greet", template="Registry")
    meanwhile.append(lambda: synced.write("greet", "An editor's"))
    assert synced.sync(on_conflict="theirs") == {"greet": "left"}
    assert synced.body("greet") == "An editor's"


def test_a_kill_between_commit_and_files_loses_nothing(
    synced: Folder, monkeypatch: pytest.MonkeyPatch, unchanged: Unchanged
) -> None:
    """The next run with the same options mends it; without, the registry is ahead as it was before."""
    synced.registry.update("greet", template="Registry")
    synced.write("support/reply", "Changed")

    def killed(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patched:
        patched.setattr("promptreg.files.syncing.sync.write_pulled", killed)
        with pytest.raises(KeyboardInterrupt):
            synced.sync(pull=True)
    assert synced.registry.get("support/reply").template == "Changed"
    with unchanged():
        assert synced.sync() == {"greet": "ahead"}
    assert synced.sync(pull=True) == {"greet": "pull"}
    assert synced.body("greet") == "Registry"


def test_a_kill_after_the_files_loses_nothing(
    synced: Folder, monkeypatch: pytest.MonkeyPatch, unchanged: Unchanged
) -> None:
    """The next run finds file and registry equal, and from then on nothing is to be done."""
    synced.registry.update("greet", template="Registry")
    synchronise, calls = Registry._synchronise, []

    def once(registry: Registry, call: Any, **more: Any) -> Any:
        calls.append(call)
        if len(calls) > 1:
            raise KeyboardInterrupt
        return synchronise(registry, call, **more)

    with monkeypatch.context() as patched:
        patched.setattr(Registry, "_synchronise", once)
        with pytest.raises(KeyboardInterrupt):
            synced.sync(pull=True)
    assert synced.body("greet") == "Registry"
    assert synced.sync() == {}
    with unchanged():
        assert synced.sync() == {}
    synced.write("greet", "Changed")
    assert synced.sync() == {"greet": "update"}


def test_what_others_change_while_files_are_written_stays(synced: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    """A version that is published between the commit and the files is not replaced by what was pulled."""
    synced.registry.update("greet", template="Registry")
    synchronise, calls = Registry._synchronise, []

    def slow(registry: Registry, call: Any, **more: Any) -> Any:
        calls.append(call)
        if len(calls) == 2:
            registry.update("greet", template="Meanwhile")
        return synchronise(registry, call, **more)

    monkeypatch.setattr(Registry, "_synchronise", slow)
    assert synced.sync(pull=True, on_conflict="ours") == {"greet": "pull"}
    assert synced.registry.get("greet").template == "Meanwhile"


def test_a_file_that_can_not_be_written_is_an_error(synced: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    """The others are written, and the registry's part is done: the next run goes on."""
    synced.registry.update("greet", template="Registry")
    synced.registry.update("support/reply", template="Registry")
    replace = os.replace

    def full(source: Any, target: Any) -> None:
        if str(target).endswith("greet.md"):
            raise OSError(28, "No space left on device")
        replace(source, target)

    with monkeypatch.context() as patched:
        patched.setattr("os.replace", full)
        with pytest.raises(InvalidInputError, match=r"greet\.md.*No space left") as caught:
            synced.sync(pull=True)
    assert len(caught.value.details["errors"]) == 1
    assert (synced.body("greet"), synced.body("support/reply")) == ("Hello {{ name }}", "Registry")
    assert synced.sync(pull=True) == {"greet": "pull"}


def test_bare_files_are_prompts_only_when_asked_for(folder: Folder) -> None:
    """They are written as they are read; one that could not hold what the registry has is left and told."""
    for name in ("note.txt", "mail.j2", "plain.md"):
        (folder.path / name).write_text("Dear {{ name }}\n")
    with pytest.raises(InvalidInputError, match=r"plain\.md:1"):
        folder.sync()
    created = folder.sync(bare=True)
    assert sorted(created) == ["greet", "mail", "note", "plain", "support/reply"]
    assert folder.registry.get("note").syntax == "plain"
    folder.registry.update("mail", template="Hi {{ name }}")
    folder.registry.update("note", title="A note")
    folder.registry.update("plain", template="Hi {{ name }}")
    assert folder.sync(bare=True, pull=True) == {"mail": "pull", "note": "left", "plain": "pull"}
    assert (folder.path / "mail.j2").read_text() == "Hi {{ name }}\n"
    assert (folder.path / "note.txt").read_text() == "Dear {{ name }}\n"
    assert folder.sync(bare=True) == {"note": "ahead"}


# Races


def test_a_plan_that_is_stale_is_refused(synced: Folder, monkeypatch: pytest.MonkeyPatch, clock: Ticking) -> None:
    """What was shown is what is done: a prompt that changed after the plan was made refuses the call."""
    synced.write("greet", "File")
    vet = synced.registry._core.checks.vet_each

    def slow(*given: Any) -> Any:
        with Registry(synced.registry.path, clock=clock) as other:
            other.update("greet", template="Meanwhile")
        return vet(*given)

    monkeypatch.setattr(synced.registry._core.checks, "vet_each", slow)
    with pytest.raises(VersionConflictError, match="stale") as caught:
        synced.sync()
    assert caught.value.details["names"] == ["greet"]
    assert synced.registry.get("greet").template == "Meanwhile"


@pytest.mark.slow
def test_processes_that_synchronise_at_once_do_it_once(folder: Folder) -> None:
    """Each prompt gets one version, and the folder one id, whichever process wins; the others do nothing or say why."""
    for number in range(30):
        folder.write(f"many/{number}", f"Text {number}")
    for round_ in range(3):
        command = [sys.executable, "-m", "promptreg", "sync", str(folder.path), "--db", folder.registry.path]
        running = [
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for _ in range(4)
        ]
        results = [(process.communicate(), process.returncode) for process in running]
        assert 0 in [status for _, status in results]
        assert [error for (_, error), status in results if status and "version_conflict" not in error] == []
        assert folder.sync() == {}
        assert {prompt.version for prompt in folder.registry.iterate()} == {round_ + 1}
        for file in folder.path.rglob("*.md"):
            file.write_text(file.read_text() + "More\n")
