"""`promptreg import --from`: prompts of other tools, from the terminal."""

import json
from pathlib import Path

import pytest

from promptreg import Registry
from tests.terminal import Terminal

EXPORT = [
    {"name": "Greet", "version": 1, "type": "text", "prompt": "Hello {{user name}}!", "labels": ["production"]},
    {"name": "Greet", "version": 2, "type": "text", "prompt": "Hi {{user name}}!", "labels": ["staging"]},
]
REPORT = """\
greet (2 versions, live: 1, staging: 2)
  was named 'Greet'
  the variable 'user name' is user_name
"""


@pytest.fixture
def terminal(tmp_path: Path) -> Terminal:
    """A terminal in a folder with an export of Langfuse."""
    (tmp_path / "export.json").write_text(json.dumps(EXPORT))
    return Terminal(tmp_path)


def test_an_import_creates_the_database_and_prints_the_report(terminal: Terminal, tmp_path: Path) -> None:
    """The report is on standard output, the counts on standard error; the actor is the user."""
    done = terminal("import", "--from", "langfuse", "export.json")
    assert done == (0, REPORT, "Imported: 1 prompt, 2 versions.\n")
    with Registry(tmp_path / "prompts.db") as registry:
        prompt = registry.get("greet")
        assert (prompt.template, prompt.created_by) == ("Hello {{ user_name }}!", "sam")


def test_a_dry_run_prints_the_report_alone(terminal: Terminal, tmp_path: Path) -> None:
    """Where there is no database it makes none."""
    done = terminal("import", "--from", "langfuse", "export.json", "--dry-run")
    assert done == (0, REPORT, "Nothing was written; this would be imported: 1 prompt, 2 versions.\n")
    assert not (tmp_path / "prompts.db").exists()


def test_the_report_is_an_object_for_programs(terminal: Terminal) -> None:
    """With --json nothing else is printed."""
    done = terminal("import", "--from", "langfuse", "export.json", "--json")
    assert (done.status, done.err) == (0, "")
    assert [prompt["name"] for prompt in json.loads(done.out)["prompts"]] == ["greet"]


@pytest.mark.parametrize("more", [[], ["--dry-run"]])
def test_names_that_exist_are_refused(terminal: Terminal, more: list[str]) -> None:
    """The exit status is 1, with --dry-run too, and the one line names them all."""
    terminal("import", "--from", "langfuse", "export.json")
    done = terminal("import", "--from", "langfuse", "export.json", *more)
    assert (done.status, done.out) == (1, "")
    assert done.err.startswith(
        "promptreg: name_taken: Nothing was imported: A prompt of the name exists already: 'greet'"
    )
    assert done.err.count("\n") == 1


def test_a_refused_import_makes_no_database(terminal: Terminal, tmp_path: Path) -> None:
    """What is wrong with the file is told first."""
    (tmp_path / "bad.json").write_text("[1")
    done = terminal("import", "--from", "langfuse", "bad.json")
    assert (done.status, done.out) == (1, "")
    assert done.err == "promptreg: validation_error: bad.json:1: is not JSON: expecting ',' delimiter at column 3\n"
    assert not (tmp_path / "prompts.db").exists()


def test_a_namespace_may_be_chosen(terminal: Terminal, tmp_path: Path) -> None:
    """So that what is there already is in nobody's way."""
    for namespace in ("a", "b"):
        assert terminal("import", "--from", "langfuse", "export.json", "--namespace", namespace).status == 0
    with Registry(tmp_path / "prompts.db") as registry:
        assert registry.namespaces() == ["a", "b"]


def test_a_name_of_another_tool_does_nothing_to_the_terminal(terminal: Terminal, tmp_path: Path) -> None:
    """Its control characters are shown as escapes."""
    (tmp_path / "export.json").write_text(json.dumps([{**EXPORT[0], "name": "a\x1b[2J\n"}]))
    done = terminal("import", "--from", "langfuse", "export.json", is_terminal=True)
    assert "\x1b[2J" not in done.out
    assert len(done.out.splitlines()) == 3


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        (["export.json", "--dry-run"], "--dry-run goes with --from."),
        (
            ["--from", "langfuze", "export.json"],
            "'langfuze' is not one of 'langfuse', 'prompty', 'openwebui', 'plain'.",
        ),
        (["--from", "langfuse"], "Missing argument 'FILE'."),
    ],
)
def test_wrong_usage_is_told(terminal: Terminal, arguments: list[str], text: str) -> None:
    """The exit status is 2."""
    done = terminal("import", *arguments)
    assert done.status == 2
    assert text in done.err
