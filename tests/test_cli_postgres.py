"""The command on a registry in PostgreSQL: what it makes, reads and prints, and where it says that nothing is there."""

import json
import re
from pathlib import Path

import pytest

from promptreg import Actor, Registry
from tests.postgres import split_target
from tests.terminal import Done, Terminal

pytestmark = pytest.mark.postgres


@pytest.fixture
def terminal(tmp_path: Path, postgres_target: str) -> Terminal:
    return OnServer(tmp_path, postgres_target)


class OnServer(Terminal):
    """A terminal whose PROMPTREG_DB is a URL with a password, which a server that trusts everybody ignores."""

    def __init__(self, folder: Path, target: str) -> None:
        super().__init__(folder)
        self.url = re.sub(r"//([^@/:]*)(?::[^@/]*)?@", r"//\1:sw%33t@", target, count=1)
        self.schema = split_target(target)[1]

    def __call__(self, *arguments: str, **more: str) -> Done:
        done = super().__call__(*arguments, **{"PROMPTREG_DB": self.url, **more})
        assert not [secret for secret in ("sw%33t", "sw3t") if secret in done.out + done.err]
        return done


def test_init_makes_the_schema_once(terminal: OnServer) -> None:
    """It says which, without a password; for programs there is no path, as there is no file."""
    assert json.loads(terminal("init", "--json").out) == {"path": None, "created": True}
    assert json.loads(terminal("init", "--json").out) == {"path": None, "created": False}
    again = terminal("init")
    assert (again.status, again.out) == (0, "")
    assert re.fullmatch(rf"postgresql://\S*promptreg_schema={terminal.schema} was there already\.\n", again.err)


def test_a_schema_that_is_not_there_is_made_by_writes_alone(terminal: OnServer) -> None:
    """A command that reads says how to make it; one that writes makes it."""
    done = terminal("list")
    assert done.status == 3
    assert terminal.schema in done.err
    assert "`promptreg init` makes it; --db or PROMPTREG_DB names another." in done.err
    assert terminal("new", "greet", stdin="Hello").out == "greet: version 1 is live\n"
    assert "greet" in terminal("list").out


def test_a_dry_run_makes_no_schema(terminal: OnServer) -> None:
    """What would be imported or synchronised is said of an empty registry."""
    (terminal.folder / "prompts").mkdir()
    (terminal.folder / "prompts" / "greet.txt").write_text("Hello")
    assert "greet" in terminal("import", "prompts", "--from", "plain", "--dry-run").out
    assert terminal("list").status == 3
    assert terminal("import", "prompts", "--from", "plain").status == 0
    assert terminal("render", "greet").out.strip() == "Hello"


def test_a_prompt_lives_on_the_server_as_in_a_file(terminal: OnServer) -> None:
    """Commands write, read, compare, publish, take back, search and record, by way of any terminal."""
    terminal("new", "greet", stdin="Hello {{ name }}!")
    terminal("update", "greet", "--draft", stdin="Hi {{ name }}!")
    assert "+Hi {{ name }}!" in terminal("diff", "greet", "1", "2").out
    terminal("publish", "greet@2", "--yes")
    assert terminal("render", "greet", "--var", "name=Ana").out == "Hi Ana!\n"
    terminal("rollback", "greet", "--reason", "too short")
    assert terminal("render", "greet", "--var", "name=Ana").out == "Hello Ana!\n"
    assert "greet" in terminal("search", "hello").out
    assert json.loads(terminal("events", "--nl").out.splitlines()[0])["action"] == "create"
    terminal("archive", "greet")
    terminal("restore", "greet")
    terminal("delete", "greet", "--yes")
    assert terminal("show", "greet").status == 1


def test_a_refusal_is_the_one_of_a_file(terminal: OnServer) -> None:
    """Who may not write is refused, in one line, with status 1."""
    terminal("new", "greet", stdin="Hello")
    done = terminal("update", "greet", "--as", "ana:team_member", stdin="x")
    assert done.status == 1
    assert done.err.startswith("promptreg: forbidden: ")


def test_a_folder_is_synchronised_with_the_server(terminal: OnServer) -> None:
    """`sync` and `export` work as on a file."""
    (terminal.folder / "prompts").mkdir()
    (terminal.folder / "prompts" / "greet.md").write_text("---\n---\nHello")
    assert terminal("sync", "prompts").status == 0
    assert terminal("render", "greet").out.strip() == "Hello"
    assert terminal("export", "out").status == 0
    assert [path.name for path in (terminal.folder / "out").iterdir()] == ["greet.md"]


def test_names_are_completed_from_the_server(terminal: OnServer) -> None:
    """The shell gets the names of the registry that PROMPTREG_DB names."""
    terminal("new", "greet", stdin="Hello")
    words = {"_PROMPTREG_COMPLETE": "bash_complete", "COMP_WORDS": "promptreg show gr", "COMP_CWORD": "2"}
    assert terminal(**words).out == "plain,greet\n"


def test_everything_moves_to_a_file_and_back(terminal: OnServer, postgres_target: str) -> None:
    """`export --full` and `import` move a registry in both directions; the record ends with the same hash."""
    terminal("new", "greet", stdin="Hello")
    before = terminal("head").out
    assert terminal("export", "--full", "all.jsonl").status == 0
    assert terminal("import", "all.jsonl", "--db", "moved.db").status == 0
    assert terminal("head", "--db", "moved.db").out == before
    assert terminal("verify").err == "All that is stored is whole.\n"


def test_a_backup_of_the_server_is_a_file(terminal: OnServer) -> None:
    """`backup` writes a SQLite registry that holds the same."""
    terminal("new", "greet", stdin="Hello")
    assert terminal("backup", "backup.db").status == 0
    assert terminal("head", "--db", "backup.db").out == terminal("head").out


def test_the_demo_runs_on_the_server(terminal: OnServer, postgres_target: str) -> None:
    """`demo --db URL` uses a namespace of its own there."""
    assert terminal("demo", "--db", terminal.url).status == 0
    with Registry(postgres_target, actor=Actor("sam", "org_admin")) as registry:
        assert registry.namespaces() == ["demo-1"]
