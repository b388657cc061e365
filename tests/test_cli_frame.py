"""What all commands share: the database, the namespace, the actor, streams, colours, errors and exit statuses."""

import getpass
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from unittest import mock

import click
import pytest

from promptreg import Registry, RenderError
from promptreg.cli import main
from promptreg.cli.context import Settings
from promptreg.cli.failures import COMMAND_OF, NO_COMMANDS, in_commands
from promptreg.cli.main import COMMANDS, MEANT, promptreg
from tests.terminal import Done, Stream, Terminal, in_folder


@pytest.fixture
def terminal(tmp_path: Path) -> Terminal:
    return Terminal(tmp_path)


@pytest.fixture(scope="module")
def filled_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The database of the tests, to be copied."""
    file = tmp_path_factory.mktemp("filled") / "prompts.db"
    with Registry(file) as registry:
        registry.create("greet", "Hello {{ name }}!", title="Greeting")
        registry.scope(namespace="support").create("reply", "Dear {{ name }}", title="東京")
    return file


@pytest.fixture
def filled(tmp_path: Path, filled_file: Path) -> Path:
    """A database in the folder that commands run in."""
    return Path(shutil.copyfile(filled_file, tmp_path / "prompts.db"))


# The database, the namespace and the actor


def test_the_database_is_the_options_or_the_variables_or_prompts_db(terminal: Terminal, filled: Path) -> None:
    """`--db` wins over PROMPTREG_DB, which wins over `prompts.db`; an empty variable is as one that is not set."""
    assert "greet" in terminal("list").out
    assert "greet" in terminal("list", PROMPTREG_DB="").out
    assert "no database env.db" in terminal("list", PROMPTREG_DB="env.db").err
    assert "no database option.db" in terminal("list", "--db", "option.db", PROMPTREG_DB="env.db").err


@pytest.mark.parametrize("arguments", [["--namespace", "support", "list"], ["list", "--namespace", "support"]])
def test_options_may_stand_before_and_after_the_command(terminal: Terminal, filled: Path, arguments: list[str]) -> None:
    """The options of the registry are those of every command, and of the group."""
    assert "reply" in terminal(*arguments).out


def test_the_demo_takes_its_database_before_and_after_the_command(terminal: Terminal) -> None:
    """Only an option names one: where a variable does, the demo still leaves nothing behind."""
    assert terminal("--db", "mine.db", "demo").status == 0
    assert (terminal.folder / "mine.db").exists()
    assert terminal("demo", PROMPTREG_DB="production.db").status == 0
    assert not (terminal.folder / "production.db").exists()


def test_the_namespace_is_the_options_or_the_variables_or_default(terminal: Terminal, filled: Path) -> None:
    """`--namespace` wins over PROMPTREG_NAMESPACE."""
    assert "reply" in terminal("list", PROMPTREG_NAMESPACE="support").out
    assert "greet" in terminal("list", "--namespace", "default", PROMPTREG_NAMESPACE="support").out


@pytest.mark.parametrize(
    ("arguments", "environment", "seen"),
    [
        ([], {}, True),  # org_admin
        (["--as", "ana"], {}, False),  # no role: only what it owns or is granted
        (["--as", "ana:team_member"], {}, True),
        (["--as", "a:b:team_member"], {}, True),  # an id may hold colons
        (["--as", "a:"], {}, False),
        ([], {"PROMPTREG_AS": "ana"}, False),
        (["--as", "ana:team_member"], {"PROMPTREG_AS": "ana"}, True),
    ],
    ids=["nobody", "user", "role", "colon", "no role", "variable", "both"],
)
def test_the_actor_is_the_options_or_the_variables_or_the_systems_user(
    terminal: Terminal, filled: Path, arguments: list[str], environment: dict[str, str], seen: bool
) -> None:
    """`--as USER[:ROLE]` wins over PROMPTREG_AS; without either it is the system's user as `org_admin`."""
    assert ("greet" in terminal("list", *arguments, **environment).out) == seen


def test_the_actor_is_the_same_value_that_the_library_makes() -> None:
    """It is made without pydantic's validators, for the time that they take to build, and equals the usual one."""
    from promptreg import Actor, Role

    made = Settings(acting="ana:team_editor").actor
    assert (made, hash(made), made.model_dump(), made.model_fields_set) == (
        usual := Actor("ana", Role.TEAM_EDITOR),
        hash(usual),
        usual.model_dump(),
        usual.model_fields_set,
    )


@pytest.mark.parametrize("error", [KeyError("uid"), OSError("no name"), ImportError("pwd"), None])
def test_a_system_user_without_a_name_acts_under_its_number(
    monkeypatch: pytest.MonkeyPatch, error: Exception | None
) -> None:
    """In a container a user often has no name; on Windows there may be none at all."""

    def getuser() -> str:
        if error is None:
            return "\udcff"  # a name that is no text
        raise error

    monkeypatch.setattr(getpass, "getuser", getuser)
    assert Settings().actor.id == f"uid-{os.getuid()}"
    monkeypatch.delattr(os, "getuid")
    assert Settings().actor.id == "unknown"


# Errors and exit statuses


def assert_one_line(done: Done, status: int, *said: str) -> None:
    """Fail unless the command has failed with one line on standard error, that says so."""
    assert (done.status, done.out, done.err.count("\n")) == (status, "", 1), done
    assert done.err.startswith("promptreg: ")
    assert [text for text in said if text not in done.err] == [], done.err


def test_an_unknown_role_is_a_usage_error_that_names_the_roles(terminal: Terminal, filled: Path) -> None:
    """It has the nearest one, and where it comes from."""
    roles = "team_member, team_editor, team_admin, org_admin"
    assert_one_line(terminal("list", "--as", "ana:org_admim"), 2, "--as", "did you mean 'org_admin'", roles)
    assert_one_line(terminal("list", PROMPTREG_AS="ana:boss"), 2, "PROMPTREG_AS", "'boss'", roles)


@pytest.mark.parametrize("option", ["--as", "--db", "--namespace"])
def test_an_empty_option_is_a_usage_error(terminal: Terminal, filled: Path, option: str) -> None:
    """`--as "$SOMEBODY"` without a SOMEBODY must not become a call as the system's user."""
    assert_one_line(terminal("list", option, ""), 2, option, "is empty")


@pytest.mark.parametrize("text", [":team_editor", "  ", "x" * 300, "a\0b:team_editor"])
def test_a_user_that_no_actor_can_have_is_a_usage_error(terminal: Terminal, filled: Path, text: str) -> None:
    """The id of an actor is text of 1 to 256 characters."""
    assert_one_line(terminal("list", "--as", text), 2, "USER")


@pytest.mark.parametrize("command", sorted(set(COMMANDS) & {"list", "show", "history", "render", "check", "verify"}))
def test_a_command_that_reads_creates_no_database_and_names_init(terminal: Terminal, command: str) -> None:
    """It exits with 3."""
    named = ["greet"] if command in {"show", "history", "render", "check"} else []
    done = terminal(command, *named, "--db", "absent.db")
    assert_one_line(done, 3, "internal_error", "no database absent.db", "`promptreg init`", "--db", "PROMPTREG_DB")
    assert list(terminal.folder.iterdir()) == []


def test_what_is_no_registry_is_status_3(terminal: Terminal) -> None:
    """The code of the error comes first."""
    (terminal.folder / "notes.txt").write_text("notes " * 100)
    assert_one_line(terminal("list", "--db", "notes.txt"), 3, "storage_corrupt: ")


def test_a_refusal_is_status_1_with_the_code_and_a_command_that_helps(terminal: Terminal, filled: Path) -> None:
    """Where the library names a verb, the command line names its command."""
    assert_one_line(terminal("show", "absent"), 1, "not_found: ", "`promptreg list` shows")
    assert_one_line(terminal("show", "greet@9"), 1, "version_not_found: ", "`promptreg history` lists")
    assert_one_line(terminal("render", "greet"), 1, "missing_variables: ", "name", "--var NAME=VALUE", "--vars")
    assert_one_line(terminal("list", "--namespace", "A b"), 1, "validation_error: namespace: must be lower case\n")
    assert_one_line(terminal("verify", "--as", "bo"), 1, "forbidden: ", "--as USER:org_admin")
    assert_one_line(terminal("show", "greet@"), 1, "validation_error: ")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["lisst"], ["'lisst'", "did you mean 'list'", "promptreg --help"]),
        (["revert", "greet"], ["'revert'; did you mean 'rollback'?"]),
        (["list", "--jsn"], ["--jsn", "--json", "promptreg list --help"]),
        (["list", "--limit", "none"], ["--limit"]),
        (["show"], ["NAME"]),
        (["list", "extra"], ["extra"]),
        (["status", "greet", "disabled"], ["the status stands before the names: `promptreg status disabled NAME...`"]),
        (["search", "-foo"], ["'-f'", "stands after --"]),
        (["seed", "p", "--release", "9" * 5_000], ["'--release': must be a number of at most 30 digits"]),
    ],
    ids=["command", "meant", "option", "number", "argument", "too many", "order", "dash", "digits"],
)
def test_wrong_usage_is_one_line_and_status_2(terminal: Terminal, arguments: list[str], said: list[str]) -> None:
    """It says what is wrong, and which help to read."""
    assert_one_line(terminal(*arguments), 2, *said)


@pytest.mark.parametrize("command", [["list"], ["search", "hello"], ["history", "greet"], ["events"]])
def test_a_limit_of_any_size_is_taken(terminal: Terminal, filled: Path, command: list[str]) -> None:
    """More than there can be is all."""
    for more in ([], ["--json"]):
        done = terminal(*command, "--limit", "9" * 30, *more)
        assert (done.status, done.err) == (0, "")
        assert "greet" in done.out


def test_no_command_at_all_is_the_help_and_status_2(terminal: Terminal) -> None:
    """The help goes to standard error, as nothing was asked for."""
    done = terminal()
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith("Usage: promptreg ")


def test_every_verb_that_an_error_may_name_has_a_command() -> None:
    """The library's messages say `restore()`; a terminal has no such call."""
    verbs = {name for name in vars(Registry) if not name.startswith("_")} - {"path", "namespace", "actor", "revision"}
    commands = {COMMAND_OF.get(verb, verb).split()[0] for verb in verbs - NO_COMMANDS}
    assert commands <= set(COMMANDS)
    assert in_commands("update() without version= makes one; x() is no verb") == (
        "`promptreg update` without @VERSION makes one; x() is no verb"
    )


def test_every_name_that_is_meant_is_no_command_and_means_one() -> None:
    """What is suggested can be typed."""
    assert not MEANT.keys() & COMMANDS.keys()
    for meant in {*MEANT.values()} - {"--help"}:
        name, *options = meant.split()
        command = promptreg.get_command(click.Context(promptreg), name)
        assert command is not None
        assert {*options} <= {option for parameter in command.params for option in parameter.opts}


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["rollback", "greet", "--reason", "x"], "choose a published version that `promptreg history` lists"),
        (["history", "greet@1"], "name: this command takes a prompt, not a version"),
        (["rollback", "greet@1", "--to", "1", "--reason", "x"], "choose one version: with @ or --to, once"),
        (["label", "greet@1", "x", "--as", "bo:team_member"], "may not label 'greet'"),
        (["update", "greet", "--variables", "{}"], "--variables: must be a list of variables\n"),
        (["update", "greet", "--examples", "[1]"], "--examples[0]: must be a JSON object, not int"),
        (["list", "--db", "mysql://x"], "--db: no storage has the scheme 'mysql'; pass a file's path\n"),
        (["new", "long", "--file", "long.txt"], "262,144 is the most\n"),
        (["show", "\udcff"], "name: is no UTF-8 at character 0"),
    ],
)
def test_an_error_says_what_to_do_in_the_terms_of_the_command(
    terminal: Terminal, filled: Path, arguments: list[str], said: str
) -> None:
    """What only a program can do is left out, and what it passes is named as the option."""
    (terminal.folder / "long.txt").write_text("x" * 262_145)
    done = terminal(*arguments)
    assert done.status == 1
    assert said in done.err


def test_a_folder_that_was_removed_is_a_storage_error(terminal: Terminal, filled: Path) -> None:
    """A relative path names nothing there; an absolute one works."""
    gone = terminal.folder / "gone"
    gone.mkdir()
    with in_folder(gone):
        gone.rmdir()
        with mock.patch.object(sys, "stderr", Stream()) as err, mock.patch.object(sys, "stdout", Stream()):
            assert (main(["list"]), main(["list", "--db", str(filled)])) == (3, 0)
    assert err.written().startswith("promptreg: internal_error: The current folder was removed, so prompts.db names")


def test_a_path_that_no_system_takes_is_a_storage_error(terminal: Terminal) -> None:
    """It is not taken for output that can't be written."""
    done = terminal("init", "--db", "x" * 5_000)
    assert done.status == 3
    assert done.err.startswith("promptreg: internal_error: ")


def test_a_file_of_the_system_that_fails_is_named(
    terminal: Terminal, filled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not taken for output that can't be written."""

    def fails(_: object) -> None:
        raise PermissionError(13, "Permission denied", "some.file")

    monkeypatch.setattr(Registry, "namespaces", fails)
    assert terminal("namespaces") == (1, "", "promptreg: some.file can't be used: Permission denied\n")


def test_an_error_of_several_lines_is_one_line_without_control_characters(
    terminal: Terminal, filled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What an error quotes can't move the cursor, or look like a second error."""

    def fails(*_: object) -> None:
        raise RenderError("a\nb\x1b[2J")

    monkeypatch.setattr(Registry, "namespaces", fails)
    assert terminal("namespaces") == (1, "", "promptreg: render_error: a\\nb\\x1b[2J\n")


def test_ctrl_c_is_status_130_without_a_traceback(
    terminal: Terminal, filled: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The line that the terminal's ^C stands in is ended."""

    def interrupted(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Registry, "verify", interrupted)
    assert terminal("verify") == (130, "", "\n")


def test_streams_that_are_closed_are_no_traceback(terminal: Terminal, filled: Path) -> None:
    """Where there is no standard output, that is an error; messages without a standard error are dropped."""
    with in_folder(filled.parent):
        with mock.patch.object(sys, "stdout", None), mock.patch.object(sys, "stderr", Stream()) as err:
            assert main(["list"]) == 1
            assert "can't be written: Bad file descriptor" in err.written()
        with mock.patch.object(sys, "stderr", None), mock.patch.object(sys, "stdin", None):
            assert main(["render", "greet", "--vars", "-"]) == 2


def test_the_help_of_every_command_fits_and_nothing_is_cut() -> None:
    """No line of a help is longer than 80 columns, and the list of commands has whole sentences."""
    listing = promptreg.get_help(click.Context(promptreg, info_name="promptreg")).partition("Commands:")[2]
    assert [line for line in listing.splitlines() if len(line) > 80 or line.endswith("...")] == []
    for name in COMMANDS:
        command = promptreg.get_command(click.Context(promptreg), name)
        assert command is not None
        help_ = command.get_help(click.Context(command, info_name=f"promptreg {name}", max_content_width=80))
        assert [line for line in help_.splitlines() if len(line) > 80] == []


def test_every_command_that_uses_the_registry_takes_its_options() -> None:
    """`demo`, which works in a folder of its own, is the one exception."""
    for name in set(COMMANDS) - {"demo"}:
        command = promptreg.get_command(click.Context(promptreg), name)
        assert command is not None
        options = {option for parameter in command.params for option in parameter.opts}
        assert {"--db", "--namespace", "--as"} <= options, name


# What is printed


def test_data_goes_to_standard_output_and_messages_to_standard_error(terminal: Terminal, filled: Path) -> None:
    """An empty listing prints no data, and says so beside it."""
    done = terminal("list", "--namespace", "empty")
    assert (done.status, done.out) == (0, "")
    assert "'empty'" in done.err
    assert "promptreg namespaces" in done.err


def test_colours_are_only_on_a_terminal_and_never_with_no_color(terminal: Terminal, filled: Path) -> None:
    """NO_COLOR, or a terminal that is dumb, is asked for no colours."""
    assert "\x1b[" in terminal("list", is_terminal=True).out
    assert "\x1b[" not in terminal("list").out
    assert "\x1b[" not in terminal("list", is_terminal=True, NO_COLOR="1").out
    assert "\x1b[" not in terminal("list", is_terminal=True, TERM="dumb").out
    assert "\x1b[" in terminal("list", is_terminal=True, NO_COLOR="").out


def test_data_in_a_pipe_is_utf_8_whatever_the_locale_is(terminal: Terminal, filled: Path) -> None:
    """A terminal of another encoding shows escapes in place of what it has no characters for."""
    for encoding in ("ascii", "latin-1"):
        assert "東京" in terminal("list", "--namespace", "support", encoding=encoding).out
        shown = terminal("list", "--namespace", "support", encoding=encoding, is_terminal=True).out
        assert "\\u6771\\u4eac" in shown


def test_json_is_an_array_of_what_gives_many_and_nl_one_value_a_line(terminal: Terminal, filled: Path) -> None:
    """The values are those of `model_dump(mode="json")`."""
    with Registry(filled) as registry:
        every = [prompt.model_dump(mode="json") for prompt in registry.list()]
    assert json.loads(terminal("list", "--json").out) == every
    assert [json.loads(line) for line in terminal("list", "--nl").out.splitlines()] == every
    assert terminal("list", "--json", "--namespace", "empty").out == "[]\n"
    assert terminal("list", "--nl", "--namespace", "empty").out == ""


def test_json_is_an_object_of_what_gives_one(terminal: Terminal, filled: Path) -> None:
    """`--nl` prints it on a line as well."""
    with Registry(filled) as registry:
        prompt = registry.get("greet").model_dump(mode="json")
    assert json.loads(terminal("show", "greet", "--json").out) == prompt
    assert json.loads(terminal("show", "greet", "--nl").out) == prompt


# Completion


def completed(terminal: Terminal, line: str, shell: str = "bash") -> list[str]:
    """Return what a shell is answered for a line whose last word is being typed."""
    words = line.split(" ")
    environment = {"COMP_WORDS": line, "COMP_CWORD": str(len(words) - 1)}
    done = terminal(_PROMPTREG_COMPLETE=f"{shell}_complete", **environment)
    assert (done.status, done.err) == (0, "")
    return [line for line in done.out.splitlines() if line]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_a_shell_gets_its_script_of_completion(terminal: Terminal, shell: str) -> None:
    """`_PROMPTREG_COMPLETE=bash_source promptreg` prints what the shell evaluates."""
    if shell == "bash":
        pytest.importorskip("shutil").which("bash") or pytest.skip("click asks bash for its version")
    done = terminal(_PROMPTREG_COMPLETE=f"{shell}_source")
    assert done.status == 0
    assert "_PROMPTREG_COMPLETE" in done.out


def test_commands_options_and_names_of_prompts_are_completed(terminal: Terminal, filled: Path) -> None:
    """The names are those of the namespace that the line chooses."""
    assert "plain,list" in completed(terminal, "promptreg li")
    assert "plain,--json" in completed(terminal, "promptreg list --js")
    assert completed(terminal, "promptreg show gr") == ["plain,greet"]
    assert completed(terminal, "promptreg --namespace support history ") == ["plain,reply"]


def test_statuses_are_completed(terminal: Terminal, filled: Path) -> None:
    """And after the status, names."""
    assert completed(terminal, "promptreg status a") == ["plain,active", "plain,archived"]
    assert completed(terminal, "promptreg status active ") == ["plain,greet"]


def test_an_empty_variable_of_completion_is_as_one_that_is_not_set(terminal: Terminal, filled: Path) -> None:
    """The command runs."""
    assert "greet" in terminal("list", _PROMPTREG_COMPLETE="").out


def test_archived_prompts_are_completed_too(terminal: Terminal, filled: Path) -> None:
    """`restore` needs them."""
    with Registry(filled) as registry:
        registry.archive("greet")
    assert completed(terminal, "promptreg show gr") == ["plain,greet"]


def test_completion_never_fails_and_creates_no_database(terminal: Terminal) -> None:
    """Where the registry can't be read, there is nothing to complete."""
    assert completed(terminal, "promptreg show gr") == []
    assert completed(terminal, "promptreg --as ana:boss show gr") == []
    assert list(terminal.folder.iterdir()) == []


@pytest.mark.slow
def test_a_listing_into_a_closed_pipe_ends_silently(filled: Path) -> None:
    """As with `| head -1`, there is no traceback, and the status is that of SIGPIPE, buffered or not."""
    for unbuffered in ("", "1"):
        reader, writer = os.pipe()
        os.close(reader)
        done = subprocess.run(
            [sys.executable, "-m", "promptreg", "list", "--json"],
            cwd=filled.parent,
            env={**os.environ, "PYTHONUNBUFFERED": unbuffered},
            stdout=writer,
            stderr=subprocess.PIPE,
            check=False,
        )
        os.close(writer)
        assert (done.returncode, done.stderr) == (141, b"")
