"""`promptreg publish`, `rollback`, `discard`, `label`, `grant` and those of statuses: what they ask, and do."""

import json
import os
import shutil
import subprocess
import sys
from contextlib import suppress
from pathlib import Path
from unittest import mock

import click
import pytest

from promptreg import Actor, Registry
from promptreg.cli.commands import publishing
from promptreg.cli.completion import ReferenceCommand
from promptreg.cli.main import COMMANDS, promptreg
from tests.terminal import Terminal, open_terminal

ONE_VERSION = ["show", "render", "edit", "update", "discard", "check"]
YES, NO, END = "y\n", "n\n", ""


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with `greet` and `ask`, each live in version 1; version 2 is a draft, that of `greet` labelled."""
    path = tmp_path_factory.mktemp("made") / "prompts.db"
    with Registry(path) as registry:
        for name in ("greet", "ask"):
            registry.create(name, "Say hello to me")
            registry.update(name, template="Say hi to me", is_production=False)
        registry.set_label("greet@2", "spring")
    return path


@pytest.fixture
def terminal(tmp_path: Path, made: Path) -> Terminal:
    """A folder with that database."""
    shutil.copy(made, tmp_path)
    return Terminal(tmp_path)


def registry_of(terminal: Terminal) -> Registry:
    return Registry(terminal.folder / "prompts.db", create=False)


def live(terminal: Terminal, name: str = "greet") -> int | None:
    with registry_of(terminal) as registry:
        return registry.get(name, label="latest").production_version


# What is asked


def test_publish_shows_the_difference_and_asks(terminal: Terminal) -> None:
    """Words are marked; the question and the difference are on standard error, and the result on standard output."""
    done = terminal("publish", "greet", stdin=YES, is_terminal=True, NO_COLOR="1")
    assert done.out == "greet: version 2 is live\n"
    assert "-Say [-hello-] to me\n+Say {+hi+} to me\n" in done.err
    assert done.err.endswith("Publish version 2 of greet? [y/N] ")
    assert live(terminal) == 2


@pytest.mark.parametrize(
    ("command", "answer"),
    [
        ("publish", NO),
        ("publish", "\n"),
        ("publish", "yess\n"),
        ("delete", END),
        ("discard", NO),
        ("status deleted", NO),
    ],
)
def test_all_but_yes_is_no(terminal: Terminal, command: str, answer: str) -> None:
    """Nothing is changed, which is said, and the exit status is 1, so that a script does not go on."""
    done = terminal(*command.split(), "ask", stdin=answer, is_terminal=True)
    assert (done.status, done.out) == (1, "")
    assert done.err.endswith("promptreg: nothing is changed.\n")
    with registry_of(terminal) as registry:
        assert (registry.get("ask").production_version, registry.get("ask").latest_version) == (1, 2)


@pytest.mark.parametrize(
    ("command", "answer"), [("publish", YES), ("delete", "YES\n"), ("discard", "Y\n"), ("status deleted", "yes \n")]
)
def test_yes_is_yes(terminal: Terminal, command: str, answer: str) -> None:
    """The question is answered by y or yes, in any case."""
    assert terminal(*command.split(), "ask", stdin=answer, is_terminal=True).status == 0
    with registry_of(terminal) as registry:
        prompt = registry.get("ask", default=None)
    assert prompt is None or 2 in {prompt.production_version, 3 - prompt.latest_version}


@pytest.mark.parametrize("command", ["publish", "delete", "discard", "status deleted"])
def test_without_a_terminal_yes_is_needed(terminal: Terminal, command: str) -> None:
    """It is wrong usage that names `--yes`, changes nothing and creates no database; with `--yes` it is done."""
    done = terminal(*command.split(), "ask", "--db", "other.db", stdin=YES)
    assert (done.status, done.out, "--yes" in done.err, done.err.count("\n")) == (2, "", True, 1)
    assert not (terminal.folder / "other.db").exists()
    assert terminal(*command.split(), "ask", "--yes").status == 0


@pytest.mark.parametrize("command", ["enable", "disable", "archive", "restore"])
def test_nothing_else_asks(terminal: Terminal, command: str) -> None:
    """What can be undone is done at once, and says the status."""
    done = terminal(command, "ask", is_terminal=True)
    status = {"disable": "disabled", "archive": "archived"}.get(command, "active")
    assert (done.status, done.err, f": {status}\n" in done.out) == (0, "", True)


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["publish", "nope"], "not_found"),
        (["publish", "greet@9"], "version_not_found"),
        (["publish", "greet", "nope"], "not_found"),
        (["publish", "greet@1", "greet@2"], "validation_error"),
        (["publish", "Greet"], "validation_error"),
        (["discard", "greet@1"], "version_not_modifiable"),
        (["discard", "greet"], "conflict"),
        (["delete", "nope"], "not_found"),
        (["status", "deleted", "greet", "nope"], "not_found"),
        (["delete", "greet@1"], "validation_error"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
def test_what_is_refused_is_not_asked(terminal: Terminal, arguments: list[str], code: str) -> None:
    """The error comes in place of the question."""
    done = terminal(*arguments, stdin=YES, is_terminal=True)
    assert (done.status, "[y/N]" in done.err, f"promptreg: {code}: " in done.err) == (1, False, True)


def test_a_label_keeps_its_version(terminal: Terminal) -> None:
    """A labelled draft is discarded only once the label is removed; what is live then is said."""
    assert terminal("discard", "greet", "--yes").status == 1
    assert terminal("label", "greet", "spring", "--remove").status == 0
    assert terminal("discard", "greet", "--yes").out == "greet: version 2 is discarded; version 1 is live\n"


def test_several_drafts_are_named(terminal: Terminal) -> None:
    """`publish` and `discard` without a version mean the only draft."""
    terminal("update", "greet", "--draft", stdin="Third")
    for command in ("publish", "discard"):
        done = terminal(command, "greet", "--yes")
        assert (done.status, "2, 3" in done.err) == (1, True)
    assert terminal("discard", "greet@3", "--yes").status == 0


def test_what_is_live_is_not_asked_about(terminal: Terminal) -> None:
    """Publishing it changes nothing."""
    done = terminal("publish", "greet@1", is_terminal=True, NO_COLOR="1")
    assert (done.status, done.out, done.err) == (0, "greet: version 1 is live\n", "")


def test_the_question_steers_no_terminal(terminal: Terminal) -> None:
    """Who made a draft, and what it says, is shown with its control characters as escapes."""
    with registry_of(terminal) as registry:
        evil = registry.scope(actor=Actor("evil\x1b[2J\nfake", "org_admin"))
        evil.create("trap", "one\x1b[31m")
        evil.update("trap", template="two\x1b]0;title\x07", is_production=False)
    for arguments in (
        ["discard", "trap"],
        ["publish", "trap"],
        ["diff", "trap", "1", "2"],
        ["publish", "trap", "--yes"],
    ):
        done = terminal(*arguments, stdin=NO, is_terminal="--yes" not in arguments, NO_COLOR="1")
        assert not {"\x1b", "\x07"} & {*done.err, *done.out}
        assert "\\x1b" in done.err + done.out


def test_the_first_publication_shows_the_file(terminal: Terminal) -> None:
    """Where nothing is live, all of it is the difference."""
    terminal("new", "first", "--draft", stdin="One")
    done = terminal("publish", "first", stdin=YES, is_terminal=True)
    assert (done.status, done.err.count("nothing is live"), live(terminal, "first")) == (0, 1, 1)
    terminal("new", "second", "--draft", "--tag", "x", stdin="One")
    shown = '--- second: nothing is live\n+++ second@1\n@@ -0,0 +1,4 @@\n+---\n+tags: ["x"]\n+---\n+One\n'
    assert terminal("publish", "second", "--yes").err == shown


def test_equal_content_is_told(terminal: Terminal) -> None:
    """A version that says what is live says so in place of a difference."""
    terminal("publish", "greet", "--yes")
    terminal("update", "greet", stdin="Say hello to me")
    done = terminal("publish", "greet@1", stdin=YES, is_terminal=True)
    assert (done.status, "says the same as version 3" in done.err, live(terminal)) == (0, True, 1)


def test_what_goes_live_is_what_was_shown(terminal: Terminal) -> None:
    """A draft that is edited, and a version that goes live, while the question stands is a conflict."""

    def edit(_: str) -> None:
        with registry_of(terminal) as registry:
            registry.update("greet@2", template="Something else")

    def publish(_: str) -> None:
        with registry_of(terminal) as registry:
            registry.update("ask", template="Something else")

    for name, meanwhile in {"greet": edit, "ask": publish}.items():
        with mock.patch.object(publishing, "ask", meanwhile):
            done = terminal("publish", name, is_terminal=True)
        assert (done.status, "version_conflict" in done.err) == (1, True)
        assert live(terminal, name) != 2


ON_A_TERMINAL = """
import fcntl, sys, termios
from promptreg.cli import main
fcntl.ioctl(0, termios.TIOCSCTTY, 0)  # so that Ctrl-C is a signal
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("keys", "status", "version"), [(b"y\n", 0, 2), (b"\xff\n", 1, 1), (b"\x03", 130, 1), (b"\x04", 1, 1)]
)
def test_a_real_terminal_is_asked(terminal: Terminal, keys: bytes, status: int, version: int) -> None:
    """Its question is answered by what is typed; Ctrl-C ends it with 130, and Ctrl-D and what is no text are no."""
    ours, theirs = open_terminal()
    publish = subprocess.Popen(
        [sys.executable, "-c", ON_A_TERMINAL, "publish", "greet"],
        **dict.fromkeys(["stdin", "stdout", "stderr"], theirs),
        cwd=terminal.folder,
        env={**os.environ, "TERM": "xterm", "NO_COLOR": ""},
        start_new_session=True,
    )
    os.close(theirs)
    shown = b""
    while b"[y/N] " not in shown:
        shown += os.read(ours, 4096)
    os.write(ours, keys)
    with suppress(OSError):  # the other end is closed
        while os.read(ours, 4096):
            pass
    os.close(ours)
    assert (publish.wait(), live(terminal)) == (status, version)
    assert b"\x1b[32m\x1b[7mhi\x1b[0m" in shown


# Several prompts, and what is expected


def test_a_release_is_published_together(terminal: Terminal) -> None:
    """`publish a@spring b@spring` is one question and one transaction; programs get an array."""
    terminal("label", "ask@2", "spring")
    done = terminal("publish", "greet@spring", "ask@spring", stdin=YES, is_terminal=True, NO_COLOR="1")
    assert done.out == "greet: version 2 is live\nask: version 2 is live\n"
    assert done.err.count("[y/N]") == 1
    assert "Publish 2 prompts?" in done.err
    values = json.loads(terminal("publish", "greet@1", "ask@1", "--yes", "--json").out)
    assert [(value["name"], value["production_version"]) for value in values] == [("greet", 1), ("ask", 1)]


def test_a_release_goes_live_whole_or_not_at_all(terminal: Terminal) -> None:
    """Checks that fail in one of them keep all back, and are named."""
    terminal("update", "ask@2", "--examples", "[{}]", stdin="{{ absent }}")
    done = terminal("publish", "greet", "ask", "--yes")
    assert (done.status, "publish_check_failed" in done.err, "absent" in done.err) == (1, True, True)
    assert "absent; add them to the example." in done.err
    assert "--var" not in done.err
    assert (live(terminal), live(terminal, "ask")) == (1, 1)


def test_what_publish_expects_must_be_there(terminal: Terminal) -> None:
    """`--expect-production` and `--expect-hash` are one value for one prompt, and by name for several."""
    with registry_of(terminal) as registry:
        known = registry.get("greet@2").content_hash
    for options in (["--expect-production", "2"], ["--expect-hash", "0" * 64], ["--expect-production", "greet=0"]):
        done = terminal("publish", "greet", "--yes", *options)
        assert (done.status, "version_conflict" in done.err) == (1, True)
    done = terminal("publish", "greet", "ask", "--yes", "--expect-production", "ask=2")
    assert (done.status, "version_conflict" in done.err) == (1, True)
    expected = ["--expect-production", "greet=1", "--expect-production", "ask=1", "--expect-hash", f"greet={known}"]
    assert terminal("publish", "greet", "ask", "--yes", *expected).status == 0


@pytest.mark.parametrize(
    "options",
    [
        ["greet", "--expect-production", "one"],
        ["greet", "--expect-production", "1", "--expect-production", "2"],
        ["greet", "ask", "--expect-production", "1"],
        ["greet", "ask", "--expect-production", "ask=1", "--expect-production", "ask=2"],
        ["greet", "--expect-production", "9" * 40],
    ],
    ids=["no number", "two", "no name", "one name twice", "too large"],
)
def test_expectations_that_mean_nothing_are_wrong_usage(terminal: Terminal, options: list[str]) -> None:
    """The line names the option."""
    done = terminal("publish", *options, "--yes")
    assert (done.status, "--expect-production" in done.err) == (2, True)


# Going back


def test_rollback_brings_back_what_was_live(terminal: Terminal) -> None:
    """Without `--to` it is the version before; the reason is kept."""
    terminal("publish", "greet", "--yes")
    assert terminal("rollback", "greet", "--reason", "Too short").out == "greet: version 1 is live\n"
    with registry_of(terminal) as registry:
        event = registry.events("greet", newest_first=True, action="rollback")[0]
    assert event.details["reason"] == "Too short"


def test_rollback_takes_a_version_and_an_expectation(terminal: Terminal) -> None:
    """`--to` is a number or a label; `--expect-production` refuses a second rollback of one mistake."""
    terminal("publish", "greet", "--yes")
    terminal("update", "greet", stdin="Third")
    done = terminal("rollback", "greet", "--reason", "r", "--expect-production", "2")
    assert (done.status, "version_conflict" in done.err) == (1, True)
    assert terminal("rollback", "greet", "--to", "1", "--reason", "r", "--expect-production", "3").status == 0
    assert live(terminal) == 1
    assert terminal("rollback", "greet", "--to", "spring", "--reason", "r").status == 0
    assert live(terminal) == 2


def test_rollback_needs_a_reason(terminal: Terminal) -> None:
    """Without one it is wrong usage; an empty one is refused."""
    done = terminal("rollback", "greet")
    assert (done.status, "--reason" in done.err) == (2, True)
    assert terminal("rollback", "greet", "--reason", " ").status == 1


def test_several_prompts_go_back_together(terminal: Terminal) -> None:
    """Where one has nothing to go back to, none goes."""
    terminal("publish", "greet", "--yes")
    done = terminal("rollback", "greet", "ask", "--reason", "r")
    assert (done.status, live(terminal)) == (1, 2)
    terminal("publish", "ask", "--yes")
    assert terminal("rollback", "greet", "ask", "--reason", "r").out.count("version 1 is live") == 2


# Labels, grants and statuses


def test_labels_are_set_moved_and_removed(terminal: Terminal) -> None:
    """`label NAME@VERSION LABEL` sets one, and `--remove` removes it."""
    assert terminal("label", "greet@1", "canary").out == "greet: canary 1, latest 2, production 1, spring 2\n"
    assert "canary 2" in terminal("label", "greet@spring", "canary").out
    assert "canary" not in terminal("label", "--remove", "greet", "canary").out
    assert terminal("label", "--remove", "greet", "canary").status == 1
    assert terminal("label", "greet@1", "production").status == 1


def test_a_label_needs_a_version(terminal: Terminal) -> None:
    """The line says how to write it."""
    done = terminal("label", "greet", "canary")
    assert (done.status, "greet@VERSION canary" in done.err) == (2, True)


@pytest.mark.parametrize(
    ("line", "meant"),
    [
        ("label greet canary 3", "label greet@3 canary"),
        ("label greet 3 canary", "label greet@3 canary"),
        ("label greet@1 canary 3", "label greet@3 canary"),
        *((f"{command} greet 3", f"{command} greet@3") for command in ONE_VERSION),
    ],
)
def test_a_version_beside_the_name_is_wrong_usage(terminal: Terminal, line: str, meant: str) -> None:
    """The line says where the version stands."""
    done = terminal(*line.split())
    assert (done.status, done.out) == (2, "")
    assert f"the version stands with the name: `promptreg {meant}`" in done.err


@pytest.mark.parametrize("line", ["label greet canary more", "show greet more", "show greet 3 4"])
def test_what_is_no_version_is_an_argument_too_many(terminal: Terminal, line: str) -> None:
    """What was meant isn't known, and so nothing is proposed."""
    done = terminal(*line.split())
    assert (done.status, "nexpected extra argument" in done.err, "stands with" in done.err) == (2, True, False)


def test_every_command_that_takes_one_version_says_where_it_stands() -> None:
    """Those are the ones that begin with NAME[@VERSION]."""
    for name in COMMANDS:
        command = promptreg.get_command(click.Context(promptreg), name)
        assert command is not None
        is_first = bool(command.params) and command.params[0].metavar == "NAME[@VERSION]"
        assert is_first == isinstance(command, ReferenceCommand), name


def test_grants_are_given_changed_and_revoked(terminal: Terminal) -> None:
    """`grant` changes that of one principal, and leaves the others; what is live says what it said."""
    assert terminal("grant", "greet", "user:bo", "read").out == "greet: user:bo read\n"
    assert terminal("grant", "greet", "group:g", "write").out == "greet: user:bo read, group:g write\n"
    assert terminal("grant", "greet", "user:bo", "write").out == "greet: group:g write, user:bo write\n"
    assert terminal("grant", "greet", "user:bo", "--revoke").out == "greet: group:g write\n"
    assert terminal("grant", "greet", "group:g", "--revoke").out == "greet: nobody was given access\n"
    with registry_of(terminal) as registry:
        assert registry.get("greet").template == "Say hello to me"


def test_a_grant_makes_no_draft_live(terminal: Terminal) -> None:
    """A prompt that was never live stays so."""
    terminal("new", "first", "--draft", stdin="One")
    assert terminal("grant", "first", "user:bo", "read").status == 0
    assert live(terminal, "first") is None


def test_grants_that_others_change_meanwhile_are_kept(terminal: Terminal) -> None:
    """What was read before is read again."""
    get, calls = Registry.get, []

    def get_then_change(registry: Registry, *arguments: str, **more: str) -> object:
        found = get(registry, *arguments, **more)
        if not calls:
            calls.append(registry.update("greet", access_grants=[("user:cy", "read")]))
        return found

    with mock.patch.object(Registry, "get", get_then_change):
        assert terminal("grant", "greet", "user:bo", "read").out == "greet: user:cy read, user:bo read\n"


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["user:bo"], 2),
        (["user:bo", "read", "--revoke"], 2),
        (["user:bo", "own"], 2),
        (["bo", "read"], 1),
        (["anyone", "write"], 1),
        (["user:bo", "--revoke"], 1),
        (["user:bo", "read", "--namespace", "other"], 1),
    ],
    ids=["nothing", "both", "no permission", "no principal", "anyone writes", "not given", "no prompt"],
)
def test_a_grant_that_means_nothing_is_refused(terminal: Terminal, arguments: list[str], status: int) -> None:
    """The line says what is wrong."""
    done = terminal("grant", "greet", *arguments)
    assert (done.status, done.out, done.err.count("\n")) == (status, "", 1)


def test_status_changes_many_and_dry_run_none(terminal: Terminal) -> None:
    """`--dry-run` says what would be done; what has the status already is skipped."""
    terminal("disable", "ask")
    would = "greet: would be disabled\nask: is disabled already\n1 of 2 prompts would change\n"
    assert terminal("status", "disabled", "greet", "ask", "--dry-run").out == would
    done = "greet: is now disabled\nask: is disabled already\n1 of 2 prompts changed\n"
    assert terminal("status", "disabled", "greet", "ask").out == done
    assert json.loads(terminal("status", "active", "greet", "ask", "--json").out)["updated"] == ["greet", "ask"]


def test_a_dry_run_of_a_deletion_does_not_ask(terminal: Terminal) -> None:
    """It needs no `--yes`, and deletes nothing."""
    assert terminal("status", "deleted", "greet", "--dry-run").out == "greet: would be deleted\n"
    assert live(terminal) == 1


def test_all_that_is_refused_is_named(terminal: Terminal) -> None:
    """Of several prompts none is changed."""
    done = terminal("status", "archived", "greet", "nope", "neither")
    assert (done.status, "nope" in done.err, "neither" in done.err) == (1, True, True)
    done = terminal("status", "gone", "greet")
    assert (done.status, "must be one of active" in done.err) == (1, True)


def test_an_archived_prompt_is_left(terminal: Terminal) -> None:
    """It says what helps, as a command, and says where it is disabled underneath."""
    terminal("disable", "greet")
    assert terminal("archive", "greet").out == "greet: archived, and disabled underneath\n"
    done = terminal("publish", "greet", "--yes")
    assert (done.status, "prompt_archived" in done.err, "`promptreg restore`" in done.err) == (1, True, True)
    assert terminal("restore", "greet").out == "greet: disabled\n"
    assert terminal("enable", "greet").out == "greet: active\n"
