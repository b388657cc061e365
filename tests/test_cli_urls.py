"""The command on a URL of PostgreSQL, as far as it needs no server: passwords, help and what is missing."""

import socket

import pytest

from promptreg import Registry
from promptreg.cli.failures import in_commands
from promptreg.cli.main import COMMANDS
from promptreg.cli.masking import masked
from promptreg.committing import ONCE
from promptreg.storage.opening import read_target
from tests.terminal import Terminal

pytest.importorskip("psycopg", reason="psycopg is not installed: install the extra postgres")

RAW, PASSWORD = "sw%33t%20tea", "sw3t tea"
ARGUMENTS = {
    **{
        name: ["x"]
        for name in "show render new update diff history enable disable archive restore search check".split()
    },
    **{name: ["x", "--yes"] for name in "publish delete discard".split()},
    "edit": ["x"],
    "rollback": ["x", "--reason", "y"],
    "label": ["x@1", "y"],
    "grant": ["x", "anyone", "read"],
    "status": ["active", "x"],
    "seed": ["x"],
    "export": ["folder"],
    "import": ["prompts.txt", "--from", "plain"],
    "sync": ["folder"],
    "backup": ["backup.db"],
}


@pytest.fixture
def terminal(tmp_path) -> Terminal:
    (tmp_path / "folder").mkdir()
    (tmp_path / "prompts.txt").write_text("Hello")
    return Terminal(tmp_path)


@pytest.fixture(scope="module")
def nobody() -> str:
    """The address of a port that nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        yield f"127.0.0.1:{probe.getsockname()[1]}"


def url(address: str) -> str:
    return f"postgresql://ana:{RAW}@{address}/app"


def hides(text: str) -> bool:
    return not any(secret in text for secret in (RAW, PASSWORD, "sw%33t", "sw3t"))


@pytest.mark.parametrize("command", [name for name in COMMANDS if name != "demo"])
def test_a_server_that_does_not_answer_is_one_line_and_status_3(terminal: Terminal, nobody: str, command: str) -> None:
    """Each command says where it looked, without the user's password."""
    done = terminal(command, *ARGUMENTS.get(command, []), "--db", url(nobody), stdin="Hello", EDITOR="true")
    assert (done.status, done.out) == (3, ""), done
    assert done.err.splitlines()[-1].startswith("promptreg: internal_error: No server answers for postgresql://")
    assert nobody in done.err
    assert "\t" not in done.err
    assert "Is the server running" not in done.err
    assert hides(done.err)


def test_the_variable_is_as_the_option(terminal: Terminal, nobody: str) -> None:
    """PROMPTREG_DB may be a URL, and its password is in no message either."""
    done = terminal("list", "--json", PROMPTREG_DB=url(nobody))
    assert done.status == 3
    assert nobody in done.err
    assert hides(done.err)


@pytest.mark.parametrize(
    "line",
    [
        ["{}"],
        ["list", "{}"],
        ["show", "{}"],
        ["list", "--limit", "{}"],
        ["--db={}", "lsit"],
        ["list", "--as", "x:{}"],
        ["list", "--tag"],
        ["export", "--full", "{}"],
        ["import", "{}"],
        ["sync", "{}"],
        ["backup", "{}"],
        ["list", "--db", "my{}"],
    ],
)
def test_no_error_repeats_a_password_wherever_the_url_stands(terminal: Terminal, nobody: str, line: list[str]) -> None:
    """This holds for a URL in the place of a command, a name, a number or a file, and for one of another database."""
    done = terminal(*(word.format(url(nobody)) for word in line), PROMPTREG_DB=url(nobody))
    assert done.status != 0
    assert hides(done.out + done.err)


def test_help_shows_no_value_of_the_environment(terminal: Terminal, nobody: str) -> None:
    """`--help` names the variable, and that a URL is accepted."""
    for command in ([], *([name] for name in COMMANDS)):
        done = terminal(*command, "--help", PROMPTREG_DB=url(nobody))
        assert done.status == 0
        assert hides(done.out)
    assert "postgresql://" in terminal("list", "--help").out


def test_completion_of_a_server_that_does_not_answer_is_empty(terminal: Terminal, nobody: str) -> None:
    """A shell that asks for names gets none, and no error."""
    words = {"_PROMPTREG_COMPLETE": "bash_complete", "COMP_WORDS": "promptreg show ", "COMP_CWORD": "2"}
    done = terminal(PROMPTREG_DB=url(nobody), **words)
    assert (done.out.strip(), done.err) == ("", "")


def test_without_the_driver_the_command_says_what_to_install(terminal: Terminal, nobody: str, monkeypatch) -> None:
    """One line has the install command."""
    monkeypatch.setitem(__import__("sys").modules, "promptreg.storage.postgres.storage", None)
    done = terminal("list", "--db", url(nobody))
    assert done.status == 3
    assert "promptreg-embedded[postgres]" in done.err
    assert hides(done.err)


def test_a_schema_that_is_no_name_is_a_wrong_option(terminal: Terminal, nobody: str) -> None:
    """The message names the option."""
    done = terminal("list", "--db", f"{url(nobody)}?promptreg_schema=My-Prompts")
    assert (done.status, done.err[:40]) == (1, "promptreg: validation_error: --db: promp")
    assert hides(done.err)


@pytest.mark.parametrize(
    ("argument", "hidden"),
    [
        ("postgresql://ana:tea@h/db", {"tea"}),
        ("--db=postgres://ana:t%65a@h/db", {"t%65a", "tea"}),
        ("postgresql://h/db?user=ana&password=te%61", {"te%61", "tea"}),
        ("postgresql://h/db?sslpassword=tea&x=1", {"tea"}),
        ("postgresql://ana:t@a@h/db", {"t@a"}),
        ("mysql+driver://ana:tea@h/db", {"tea"}),
    ],
)
def test_passwords_are_masked_as_they_are_written_and_decoded(argument: str, hidden: set[str]) -> None:
    """A password stands before the last `@`, or in a parameter."""
    message = f"nothing at {' and '.join(sorted(hidden))}"
    assert masked(message, [argument]) == f"nothing at {' and '.join(['***'] * len(hidden))}"


def test_a_short_password_does_not_mask_parts_of_words() -> None:
    """What is left of the word would tell the password."""
    message = "postgresql://h/d: see that the database exists; x"
    assert masked(message, ["postgresql://ana:x@h/d"]) == "postgresql://h/d: see that the database exists; ***"
    assert masked(message, ["postgresql://postgres:postgres@h/d"]) == message


@pytest.mark.parametrize("argument", ["prompts.db", "postgresql://h:5432/db", "a:b@c", "https://h/a@b", ""])
def test_what_has_no_password_masks_nothing(argument: str) -> None:
    """A message stays as it is."""
    message = f"nothing at {argument}, h, 5432, db, a, b"
    assert masked(message, [argument]) == message


def test_messages_name_commands_and_options() -> None:
    """What the library says to programs about a registry that is not there is said of commands."""
    said = in_commands("There is no registry at postgresql://h/d; correct the URL, or pass create=True to make it.")
    assert said.endswith("; `promptreg init` makes it; --db or PROMPTREG_DB names another.")
    assert in_commands(ONCE) == "Look at what is stored before you try again."


def test_a_target_is_read_without_a_connection(nobody: str) -> None:
    """Checking the URL of a registry, as a service does at its start, loads no driver."""
    assert read_target(url(nobody)) == url(nobody)
    assert not hasattr(Registry, "url")
