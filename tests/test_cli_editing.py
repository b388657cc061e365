"""`promptreg edit`: the text in an editor, in place for a draft, and never lost."""

import re
import shutil
import threading
from pathlib import Path

import pytest

from promptreg import Registry
from promptreg.cli import editor
from tests.terminal import Done, Terminal

EDITED = '---\ntags: ["new"]\n---\nHey {{ name }}\n'
BROKEN = "---\n---\nHey {{ name\n"


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with `greet`, live in version 1, and `draft`, whose version 2 is a draft."""
    path = tmp_path_factory.mktemp("made") / "prompts.db"
    with Registry(path) as registry:
        registry.create("greet", "Hello {{ name }}", config={"model": "m"})
        registry.create("draft", "Hello {{ name }}")
        registry.update("draft", template="Hi {{ name }}", is_production=False)
    return path


class Editor(Terminal):
    """A terminal whose editor writes what it is told, and keeps what it was given as `seen.md`."""

    def edit(self, *arguments: str, writes: str | bytes | None, then: str = "true", **more: str) -> Done:
        content = writes.encode() if isinstance(writes, str) else writes
        script = self.folder / "editor.sh"
        copy = "" if content is None else f'cat {self.folder}/written.md > "$1"\n'
        (self.folder / "written.md").write_bytes(content or b"")
        script.write_text(f'cat "$1" > {self.folder}/seen.md\n{copy}{then}\n')
        return self("edit", *arguments, EDITOR=f"sh {script}", TMPDIR=str(self.folder), **more)

    @property
    def seen(self) -> str:
        return (self.folder / "seen.md").read_text()

    def left(self) -> list[Path]:
        """Return the files that are left of an edit."""
        return [*self.folder.glob("promptreg-*/*.md")]


@pytest.fixture
def terminal(tmp_path: Path, made: Path, monkeypatch: pytest.MonkeyPatch) -> Editor:
    """A folder with that database, in which temporary files are made too."""
    shutil.copy(made, tmp_path)
    monkeypatch.setattr(editor, "mkdtemp", lambda prefix: _made(tmp_path / f"{prefix}x"))
    return Editor(tmp_path)


def _made(folder: Path) -> str:
    folder.mkdir(mode=0o700)
    return str(folder)


def registry_of(terminal: Terminal) -> Registry:
    return Registry(terminal.folder / "prompts.db", create=False)


def latest(terminal: Terminal, name: str) -> int:
    with registry_of(terminal) as registry:
        return registry.get(name, label="latest").latest_version


def test_what_is_live_is_edited_as_a_new_draft(terminal: Editor) -> None:
    """The editor shows the file of the prompt; what it leaves is a draft, and all of a version."""
    done = terminal.edit("greet", "-m", "Warmer", writes=EDITED)
    assert done == (0, "greet: version 2 is a draft\n", "")
    assert terminal.seen == '---\nconfig: {"model": "m"}\n---\nHello {{ name }}\n'
    with registry_of(terminal) as registry:
        draft, live = registry.get("greet@2"), registry.get("greet")
    assert (draft.template, [*draft.tags], draft.config) == ("Hey {{ name }}", ["new"], {})
    assert (draft.commit_message, draft.base_version, live.version) == ("Warmer", 1, 1)
    assert terminal.left() == []


def test_a_draft_is_edited_in_place(terminal: Editor) -> None:
    """Without a version it is the only draft that there is."""
    assert terminal.edit("draft", writes=EDITED).out == "draft: version 2 is a draft\n"
    assert terminal.seen.endswith("\nHi {{ name }}\n")
    assert terminal.edit("draft@2", writes=EDITED.replace("Hey", "Ho")).out == "draft: version 2 is a draft\n"
    with registry_of(terminal) as registry:
        assert [registry.get(f"draft@{n}").template for n in (1, 2)] == ["Hello {{ name }}", "Ho {{ name }}"]


def test_a_version_may_be_chosen(terminal: Editor) -> None:
    """Of a published one a new draft is made, beside other drafts; several drafts need a choice."""
    assert terminal.edit("draft@production", writes=EDITED).out == "draft: version 3 is a draft\n"
    assert terminal.seen.endswith("\nHello {{ name }}\n")
    done = terminal.edit("draft", writes=EDITED)
    assert (done.status, "2, 3" in done.err) == (1, True)


@pytest.mark.parametrize(("name", "version"), [("greet", 2), ("draft", 2)])
def test_publish_makes_it_live(terminal: Editor, name: str, version: int) -> None:
    """`--publish` does so for a new version, and for a draft."""
    done = terminal.edit(name, "--publish", writes=EDITED)
    assert done == (0, f"{name}: version {version} is live\n", "")
    with registry_of(terminal) as registry:
        assert registry.get(name).template == "Hey {{ name }}"


@pytest.mark.parametrize("name", ["greet", "draft"])
@pytest.mark.parametrize("option", [[], ["--publish"], ["-m", "M"]])
def test_an_unchanged_text_writes_nothing(terminal: Editor, name: str, option: list[str]) -> None:
    """It says so, leaves no file, and the exit status is 0."""
    done = terminal.edit(name, *option, writes=None)
    assert (done.status, "nothing is written" in done.out) == (0, True)
    assert "wait" in done.err
    with registry_of(terminal) as registry:
        assert (registry.get(name).production_version, latest(terminal, name)) == (1, 2 if name == "draft" else 1)
        assert len(registry.events(name, action=["update", "edit", "publish"])) == (2 if name == "draft" else 1)
    assert terminal.left() == []


def test_a_text_that_says_the_same_writes_nothing(terminal: Editor) -> None:
    """So it is where only its form differs, such as the line ends of Windows."""
    done = terminal.edit("greet", writes=b"\xef\xbb\xbf---\r\nconfig:\r\n  model: m\r\n---\r\nHello {{ name }}\r\n")
    assert (done.status, "nothing is written" in done.out, latest(terminal, "greet")) == (0, True, 1)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (BROKEN, "edit-greet.md:3: 'greet': unexpected end of template"),
        ("---\ntag: x\n---\n", "edit-greet.md:2: "),
        ("no front matter", "edit-greet.md:1: "),
        (b"---\n---\n\xff", "UTF-8"),
        ("---\nname: other\n---\nHello\n", "renames nothing"),
    ],
    ids=["template", "key", "front matter", "encoding", "name"],
)
def test_a_text_that_is_refused_is_kept(terminal: Editor, content: str | bytes, said: str) -> None:
    """The line of the file is named, and where it is kept, with the command that saves it."""
    done = terminal.edit("greet", writes=content)
    (kept,) = terminal.left()
    assert (done.status, done.out, said in done.err, str(kept) in done.err) == (1, "", True, True)
    assert kept.read_bytes() == (content.encode() if isinstance(content, str) else content)
    assert latest(terminal, "greet") == 1


def test_an_emptied_text_writes_nothing(terminal: Editor) -> None:
    """So a text can be given up, as in git; nothing is kept of it."""
    done = terminal.edit("greet", writes="\n")
    assert (done.status, "empty text, so nothing is changed" in done.err) == (1, True)
    assert (latest(terminal, "greet"), terminal.left()) == (1, [])


def test_a_text_without_an_end_is_refused(terminal: Editor) -> None:
    """It is larger than any prompt."""
    done = terminal.edit("greet", writes=EDITED, then='truncate -s 17M "$1"')
    assert (done.status, "larger than 16 MiB" in done.err, len(terminal.left())) == (1, True, 1)


def test_no_temporary_file_is_an_error(terminal: Editor, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where the disk is full, or its folder can't be written to."""
    monkeypatch.setattr(editor, "mkdtemp", lambda prefix: str(terminal.folder / "absent"))
    done = terminal.edit("greet", writes=EDITED)
    assert (done.status, "no file can be made" in done.err) == (1, True)


@pytest.mark.parametrize(("name", "publish"), [("greet", []), ("greet", ["--publish"]), ("draft", [])])
def test_the_command_that_is_named_saves_a_kept_text(terminal: Editor, name: str, publish: list[str]) -> None:
    """Once what is wrong is mended."""
    done = terminal.edit(name, *publish, writes=BROKEN)
    (kept,) = terminal.left()
    kept.write_text(EDITED)
    command = re.search(r"`promptreg (.*?)` saves it", done.err)
    assert command is not None
    saved = terminal(*command[1].split())
    assert saved.out == f"{name}: version 2 is {'live' if publish else 'a draft'}\n"


def test_checks_that_fail_keep_the_text(terminal: Editor) -> None:
    """So do the checks of `--publish`."""
    done = terminal.edit("greet", "--publish", writes="---\nexamples: [{}]\n---\n{{ absent }}\n")
    assert (done.status, "publish_check_failed" in done.err, len(terminal.left())) == (1, True, 1)
    assert latest(terminal, "greet") == 1


@pytest.mark.parametrize("name", ["greet", "draft"])
def test_what_others_changed_meanwhile_stays(terminal: Editor, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A draft that was edited, and a version that went live, while the editor was open is a conflict."""

    def run(path: Path) -> None:
        path.write_text(EDITED)
        with registry_of(terminal) as registry:
            registry.update("draft@2" if name == "draft" else name, template="Somebody else's")

    monkeypatch.setattr(editor, "_run_editor", run)
    done = terminal("edit", name, EDITOR="patched")
    assert (done.status, "version_conflict" in done.err, len(terminal.left())) == (1, True, 1)


def test_ctrl_c_keeps_the_text(terminal: Editor, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was written is kept, nothing is saved, and the exit status is 130."""

    def run(path: Path) -> None:
        path.write_text(EDITED)
        raise KeyboardInterrupt

    monkeypatch.setattr(editor, "_run_editor", run)
    done = terminal("edit", "greet", EDITOR="patched")
    assert (done.status, latest(terminal, "greet"), len(terminal.left())) == (130, 1, 1)


@pytest.mark.parametrize(
    ("program", "said"),
    [("false", "false"), ("no-such-editor", "no-such-editor"), ("'", "quotation"), ("sh -c 'exit 3'", "exit 3")],
    ids=["fails", "absent", "quote", "status"],
)
def test_an_editor_that_fails_changes_nothing(terminal: Editor, program: str, said: str) -> None:
    """The line names it, and where it is set; the exit status is 1."""
    done = terminal("edit", "greet", EDITOR=program)
    assert (done.status, said in done.err, "$EDITOR" in done.err, done.err.count("\n")) == (1, True, True, 1)
    assert (latest(terminal, "greet"), terminal.left()) == (1, [])


@pytest.mark.parametrize(("then", "kept"), [("exit 1", 1), ('rm "$1"', 0)])
def test_an_editor_that_fails_after_writing_changes_nothing(terminal: Editor, then: str, kept: int) -> None:
    """What it wrote is kept in the file, if it left one."""
    done = terminal.edit("greet", writes=EDITED, then=then)
    assert (done.status, "nothing is changed" in done.err) == (1, True)
    assert (latest(terminal, "greet"), len(terminal.left())) == (1, kept)


def test_without_a_terminal_an_editor_must_be_named(terminal: Editor) -> None:
    """Else one that needs a terminal would wait for ever."""
    done = terminal("edit", "greet", EDITOR="", VISUAL="")
    assert (done.status, "set VISUAL or EDITOR" in done.err) == (2, True)


def test_visual_wins_over_editor(terminal: Editor) -> None:
    """As in every program."""
    assert terminal.edit("greet", writes=EDITED, VISUAL="true").out.startswith("greet: nothing differs")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["nope"], "not_found"),
        (["greet@9"], "version_not_found"),
        (["old"], "prompt_archived"),
        (["greet", "--as", "mo:team_member"], "forbidden"),
    ],
    ids=["prompt", "version", "archived", "permission"],
)
def test_what_would_be_refused_opens_no_editor(terminal: Editor, arguments: list[str], said: str) -> None:
    """So nobody writes in vain."""
    terminal("new", "old", stdin="Old")
    terminal("archive", "old")
    done = terminal.edit(*arguments, writes=EDITED)
    assert (done.status, said in done.err, (terminal.folder / "seen.md").exists()) == (1, True, False)


def test_any_prompt_may_be_edited(terminal: Editor) -> None:
    """Also one whose name or text fits no file as it is, and a chat."""
    name = "con/" + "東" * 60 + ".md"
    messages = [{"role": "user", "content": "user:\n\\user:"}, {"placeholder": "history"}]
    with registry_of(terminal) as registry:
        registry.create(name, "a\r\x1b{{ x }}", syntax="plain")
        registry.create("chat", messages)
    assert terminal.edit(name, writes=None).status == 0
    assert terminal.edit(name, writes=EDITED).status == 0
    assert terminal.edit("chat", writes=None).status == 0
    assert terminal.edit("chat", writes='---\ntype: "chat"\n---\nuser:\nHi\n').status == 0
    with registry_of(terminal) as registry:
        assert registry.get("chat@2").template == [{"role": "user", "content": "Hi"}]


def test_the_text_is_for_nobody_else(terminal: Editor) -> None:
    """The folder of the file can be read by its owner alone."""
    done = terminal.edit("greet", writes=EDITED, then=f'ls -ld "$(dirname "$1")" > {terminal.folder}/mode')
    assert done.status == 0
    assert (terminal.folder / "mode").read_text().startswith("drwx------")


@pytest.mark.parametrize(("then", "status", "version"), [("true", 0, 2), ("exit 1", 130, 1)])
def test_ctrl_c_is_the_editors(terminal: Editor, then: str, status: int, version: int) -> None:
    """An editor that goes on is waited for; one that it ends is Ctrl-C, and the text is kept."""
    if threading.current_thread() is not threading.main_thread():
        pytest.skip("only the main thread gets signals")
    done = terminal.edit("greet", writes=EDITED, then=f"kill -INT $PPID\n{then}")
    assert (done.status, latest(terminal, "greet"), len(terminal.left())) == (status, version, status != 0)
