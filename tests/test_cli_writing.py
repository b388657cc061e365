"""`promptreg new`, `update` and `seed`: every field of a version, from options, files and standard input."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from promptreg import Registry
from promptreg.cli.fields import OPTIONS
from promptreg.cli.main import COMMANDS
from promptreg.records import CONTENT
from tests.terminal import Terminal

CHAT = [{"role": "system", "content": "You are {{ who }}."}, {"placeholder": "history"}]
FILE = """---
type: chat
tags: ["a", "b"]
config: {"model": "m"}
---
system:
You are {{ who }}.
placeholder history:
"""


SHOWN = "system:\nYou are {{ who }}.\nplaceholder history:\n"


@pytest.fixture
def terminal(tmp_path: Path) -> Terminal:
    return Terminal(tmp_path)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with the prompt `greet`, live in version 1, with tags, a config and a grant."""
    path = tmp_path_factory.mktemp("made") / "prompts.db"
    with Registry(path) as registry:
        grants = [("anyone", "read")]
        registry.create("greet", "Hello {{ name }}", tags=["x"], config={"model": "m"}, access_grants=grants)
    return path


@pytest.fixture
def greet(terminal: Terminal, made: Path) -> Terminal:
    """A folder with that database."""
    shutil.copy(made, terminal.folder)
    return terminal


def registry_of(terminal: Terminal) -> Registry:
    return Registry(terminal.folder / "prompts.db", create=False)


def registry_of_new(terminal: Terminal) -> Registry:
    return Registry(terminal.folder / "prompts.db")


# The template


def test_new_reads_standard_input_and_publishes(terminal: Terminal) -> None:
    """It creates the database and the prompt, and says which version is live."""
    done = terminal("new", "greet", stdin="Hello {{ name }}\n")
    assert done == (0, "greet: version 1 is live\n", "")
    with registry_of(terminal) as registry:
        assert (registry.get("greet").template, registry.get("greet").title) == ("Hello {{ name }}", "greet")


@pytest.mark.parametrize("arguments", [["--file", "a.txt"], ["-f", "a.txt"], ["--file", "-"]])
def test_the_template_may_be_a_file(terminal: Terminal, arguments: list[str]) -> None:
    """`--file` names it; `-` is standard input."""
    (terminal.folder / "a.txt").write_text("Hello")
    assert terminal("new", "greet", *arguments, stdin="Hello").status == 0
    with registry_of(terminal) as registry:
        assert registry.get("greet").template == "Hello"


def test_draft_makes_a_draft(greet: Terminal) -> None:
    """`new --draft` and `update --draft` change nothing of what is live, and say that it is a draft."""
    assert greet("new", "ask", "--draft", stdin="Why?").out == "ask: version 1 is a draft\n"
    assert greet("update", "greet", "--draft", stdin="Hi").out == "greet: version 2 is a draft\n"
    with registry_of(greet) as registry:
        assert registry.get("greet").version == 1


@pytest.mark.parametrize(
    ("content", "template"),
    [
        (b"a\nb\n", "a\nb"),
        (b"a\n\n", "a\n"),
        (b"a\r\nb\r\n", "a\nb"),
        (b"\xef\xbb\xbfa", "a"),
        ("東京 {{ x }}".encode(), "東京 {{ x }}"),
        (b"[1, 2]", "[1, 2]"),
        (b"[]", "[]"),
        (b"--- a rule\ntext", "--- a rule\ntext"),
    ],
    ids=["final line break", "two", "CRLF", "byte order mark", "UTF-8", "no messages", "empty list", "a rule"],
)
def test_a_text_is_read_as_in_files(terminal: Terminal, content: bytes, template: str) -> None:
    """One final line break is not content, CRLF reads as LF, and a byte order mark is dropped."""
    assert terminal("new", "greet", stdin=content).status == 0
    with registry_of(terminal) as registry:
        assert registry.get("greet").template == template


@pytest.mark.parametrize("command", ["new", "seed"])
@pytest.mark.parametrize("source", ["stdin", "file", "messages"])
def test_a_chat_may_be_given_as_a_file_and_as_a_list_of_messages(terminal: Terminal, command: str, source: str) -> None:
    """The file is one in the format of `export`; the list is JSON."""
    (terminal.folder / "chat.md").write_text(FILE)
    arguments = ["--file", "chat.md"] if source == "file" else []
    stdin = {"stdin": FILE, "messages": json.dumps(CHAT)}.get(source, "")
    assert terminal(command, "chat", *arguments, stdin=stdin).status == 0
    with registry_of(terminal) as registry:
        assert registry.get("chat").template == CHAT
        assert list(registry.get("chat").tags) == ([] if source == "messages" else ["a", "b"])


def test_the_format_may_be_said(terminal: Terminal) -> None:
    """`--format text` keeps what looks like a file or a list of messages, and `.json` must be such a list."""
    for name, text in {"one": FILE, "two": json.dumps(CHAT)}.items():
        assert terminal("new", name, "--format", "text", stdin=text).status == 0
        with registry_of(terminal) as registry:
            assert registry.get(name).template == text.removesuffix("\n")
    (terminal.folder / "a.json").write_text('{"role": "user"}')
    done = terminal("new", "three", "--file", "a.json")
    assert (done.status, "no JSON list of messages" in done.err) == (2, True)
    assert terminal("new", "three", "--format", "file", stdin="no front matter").status == 1
    done = terminal("new", "three", stdin="---\n* a text\n---\n")
    assert (done.status, "--format text reads it as a text" in done.err) == (1, True)


@pytest.mark.parametrize("is_live", [True, False])
@pytest.mark.parametrize("arguments", [[], ["--file", "shown.txt"], ["--tag", "x"]])
def test_a_text_in_place_of_a_chat_is_refused(terminal: Terminal, arguments: list[str], is_live: bool) -> None:
    """What `show` prints is no file, so an update would make one message of its markers; nothing is changed."""
    with registry_of_new(terminal) as registry:
        made = registry.create("bot", CHAT, is_production=is_live)
    (terminal.folder / "shown.txt").write_text(SHOWN)
    done = terminal("update", "bot", *arguments, stdin=SHOWN)
    assert (done.status, done.out) == (2, "")
    assert "'bot' is a chat, and the template is a text" in done.err
    assert "--format text" in done.err
    with registry_of(terminal) as registry:
        assert registry.get("bot", label="latest") == made


def test_the_version_that_an_update_starts_from_says_whether_it_is_a_chat(terminal: Terminal) -> None:
    """That is the draft that is edited, or else what is live, whatever the latest version is."""
    with registry_of_new(terminal) as registry:
        registry.create("bot", "Hello")
        registry.update("bot", template=CHAT, is_production=False)
    assert terminal("update", "bot@2", stdin="Hi").status == 2
    assert terminal("update", "bot", stdin="Hi").out == "bot: version 3 is live\n"


@pytest.mark.parametrize(
    ("arguments", "stdin"),
    [(["--format", "text"], "Hi"), ([], '---\ntype: "text"\n---\nHi'), ([], "---\n---\nHi")],
    ids=["format", "type", "file"],
)
def test_a_chat_becomes_a_text_where_that_is_said(terminal: Terminal, arguments: list[str], stdin: str) -> None:
    """`--format text` says it, and so does a file in the format of `export`."""
    with registry_of_new(terminal) as registry:
        registry.create("bot", CHAT)
    assert terminal("update", "bot", *arguments, stdin=stdin).out == "bot: version 2 is live\n"
    with registry_of(terminal) as registry:
        assert registry.get("bot").template == "Hi"


def test_a_seed_is_what_code_ships_whatever_people_have_made_of_it(terminal: Terminal) -> None:
    """The same text seeds nothing anew where people have made a chat of it, and is no wrong usage."""
    assert terminal("seed", "bot", stdin="Hello").status == 0
    with registry_of(terminal) as registry:
        registry.update("bot", template=CHAT)
    done = terminal("seed", "bot", stdin="Hello")
    assert done == (0, "bot: nothing differs, so nothing is written; version 2 is live\n", "")


def test_a_file_says_the_whole_version_and_an_option_wins(greet: Terminal) -> None:
    """What the file leaves out gets its default, also in an update; what options say is taken instead."""
    assert greet("update", "greet", "--tag", "mine", stdin="---\n---\nHi\n").status == 0
    with registry_of(greet) as registry:
        prompt = registry.get("greet")
        assert (prompt.template, prompt.config, list(prompt.tags), prompt.title) == ("Hi", {}, ["mine"], "greet")


@pytest.mark.parametrize("command", ["new", "update", "seed"])
def test_a_terminal_without_a_file_is_wrong_usage(greet: Terminal, command: str) -> None:
    """It does not wait silently for somebody to type a template, and says to pass `--file`."""
    done = greet(command, "greet", stdin="typed", is_terminal=True)
    assert (done.status, done.out, "--file" in done.err) == (2, "", True)


def test_a_terminal_is_read_where_it_is_asked_for(terminal: Terminal) -> None:
    """With `--file -` it says how to end the text."""
    done = terminal("new", "greet", "--file", "-", stdin="typed\n", is_terminal=True)
    assert (done.status, "Ctrl-D" in done.err) == (0, True)


@pytest.mark.parametrize("is_terminal", [True, False])
def test_an_update_needs_no_template_where_it_changes_something_else(greet: Terminal, is_terminal: bool) -> None:
    """A terminal is not read then, and empty standard input, as a job has it, is no template."""
    assert greet("update", "greet", "--title", "T", is_terminal=is_terminal).status == 0
    assert greet("update", "greet", "--name", "hello", is_terminal=is_terminal).status == 0
    with registry_of(greet) as registry:
        prompt = registry.get("hello")
        assert (prompt.title, prompt.template, list(prompt.tags)) == ("T", "Hello {{ name }}", ["x"])


def test_standard_input_that_is_empty_is_no_template(greet: Terminal) -> None:
    """Where one is needed that is wrong usage; a file that is empty is refused as a template."""
    done = greet("update", "greet")
    assert (done.status, "--file" in done.err) == (2, True)
    done = greet("update", "greet", "--file", os.devnull)
    assert (done.status, "--file: must not be empty" in done.err) == (1, True)


@pytest.mark.slow
def test_closed_standard_input_is_as_an_empty_one(greet: Terminal) -> None:
    """An update that needs no template does not fail for it."""
    command = f"{sys.executable} -m promptreg update greet --title T <&-"
    assert subprocess.run(command, shell=True, cwd=greet.folder, check=False).returncode == 0


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("Hello".encode("utf-16"), "UTF-16"),
        (b"a\nb\xff", "line 2"),
        (b"a" * (16 * 1024 * 1024 + 1), "larger than 16 MiB"),
    ],
    ids=["UTF-16", "Latin-1", "huge"],
)
def test_what_is_no_template_is_refused(terminal: Terminal, content: bytes, said: str) -> None:
    """Another encoding, and a file that is larger than any prompt, is wrong usage that says where and what to do."""
    done = terminal("new", "greet", stdin=content)
    assert (done.status, said in done.err, done.err.count("\n")) == (2, True, 1)


@pytest.mark.parametrize("path", ["absent.txt", ".", "a\0b"])
def test_a_file_that_can_not_be_read_is_wrong_usage(terminal: Terminal, path: str) -> None:
    """It is absent, or a folder, or no path at all."""
    done = terminal("new", "greet", "--file", path)
    assert (done.status, "can't be read" in done.err) == (2, True)


@pytest.mark.parametrize("path", ["/dev/zero"])
def test_a_file_without_an_end_is_refused(terminal: Terminal, path: str) -> None:
    """It is read no further than any prompt is long."""
    assert terminal("new", "greet", "--file", path).status == 2


# The fields


def test_every_field_of_a_version_has_an_option() -> None:
    """So have grants and the message, and nothing else."""
    assert set(OPTIONS) == {*CONTENT, "access_grants", "commit_message"}


@pytest.mark.parametrize("command", ["new", "update", "seed"])
def test_every_field_is_passed(greet: Terminal, command: str) -> None:
    """Each option of `new`, `update` and `seed` arrives; JSON is given as such, or as `@FILE`."""
    (greet.folder / "config.json").write_text('{"model": "n"}')
    name = "greet" if command == "update" else "other"
    options = {
        "--title": "T",
        "--description": "D",
        "--category": "C",
        "--syntax": "jinja-trim",
        "--variables": '[{"name": "x", "default": 1}]',
        "--config": "@config.json",
        "--meta": '{"a": [1]}',
        "--examples": '[{"x": 2}]',
        "--message": "M",
    }
    pairs = [part for option in options.items() for part in option]
    grants = ["--grant", "user:bo", "write", "--grant", "group:g", "read", "--tag", "a", "--tag", "b"]
    assert greet(command, name, *pairs, *grants, stdin="{{ x }}").status == 0
    with registry_of(greet) as registry:
        prompt = registry.get(name)
    assert (prompt.template, prompt.title, prompt.description, prompt.category) == ("{{ x }}", "T", "D", "C")
    assert (prompt.syntax, [*prompt.tags], prompt.config, prompt.meta) == (
        "jinja-trim",
        ["a", "b"],
        {"model": "n"},
        {"a": [1]},
    )
    assert (prompt.variables[0].default, prompt.examples, prompt.commit_message) == (1, [{"x": 2}], "M")
    grants = [(grant.principal, grant.permission) for grant in prompt.access_grants]
    assert grants == [("user:bo", "write"), ("group:g", "read")]


def test_an_update_leaves_what_is_not_passed(greet: Terminal) -> None:
    """A new template keeps tags, config and grants."""
    assert greet("update", "greet", "-m", "Shorter", stdin="Hi").out == "greet: version 2 is live\n"
    with registry_of(greet) as registry:
        prompt = registry.get("greet")
    assert (prompt.template, [*prompt.tags], prompt.config) == ("Hi", ["x"], {"model": "m"})
    assert (len(prompt.access_grants), prompt.commit_message) == (1, "Shorter")


def test_lists_and_objects_are_emptied(greet: Terminal) -> None:
    """`--no-tags` and `--no-grants` empty the lists, and `null` empties an object."""
    assert greet("update", "greet", "--no-tags", "--no-grants", "--config", "null").status == 0
    with registry_of(greet) as registry:
        prompt = registry.get("greet")
        assert ([*prompt.tags], [*prompt.access_grants], prompt.config) == ([], [], {})
    assert greet("update", "greet", "--no-tags", "--tag", "a").status == 2


def test_everything_that_can_not_be_read_is_told_at_once(greet: Terminal) -> None:
    """One line of wrong usage names each option and where its JSON breaks, and quotes nothing; nothing is written."""
    (greet.folder / "bad.json").write_bytes(b"\xff")
    done = greet(
        *["new", "other", "--variables", "[secret", "--config", "@absent.json", "--meta", "@bad.json"],
        *["--examples", '[{"a": 1, "a": 2}]', "--file", "absent.txt"],
    )
    assert (done.status, done.err.count("\n"), "secret" in done.err) == (2, 1, False)
    for said in ("--variables is not JSON", "--config: absent.json", "--meta: bad.json", "one key twice", "absent.txt"):
        assert said in done.err
    with registry_of(greet) as registry:
        assert registry.get("other", default=None) is None


@pytest.mark.parametrize("json_text", ["[" * 100_000, "[" + "9" * 5_000 + "]", "", "@-"])
def test_hostile_json_is_wrong_usage(greet: Terminal, json_text: str) -> None:
    """Nesting without an end, an integer of too many digits, nothing, and standard input, which is the template's."""
    done = greet("update", "greet", "--config", json_text)
    assert (done.status, "--config" in done.err) == (2, True)


def test_an_invalid_value_names_its_option(greet: Terminal) -> None:
    """What the registry refuses is told under the names of the options, all of it at once."""
    done = greet("new", "Other", "--config", "[1]", "--tag", " ", "--grant", "bo", "read", stdin="x")
    assert done.status == 1
    for said in ("validation_error", "name: ", "--config: must be a JSON object, not list", "--tag[0]: ", "--grant[0]"):
        assert said in done.err


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("---\n---\nfoo\n{{ x\n", "a.md:4: "),
        ("---\ntag: x\n---\n", "a.md:2: "),
        ("---\ntype: chat\n---\nuser:\na\n{{ x\n", "message 1 of 1: Line 2"),
    ],
    ids=["template", "key", "message"],
)
@pytest.mark.parametrize("command", ["new", "update", "seed"])
def test_an_error_in_a_file_names_its_line(greet: Terminal, command: str, text: str, said: str) -> None:
    """Errors of the template and of the front matter name the file and the line; those of a chat its message."""
    (greet.folder / "a.md").write_text(text)
    done = greet(command, "greet" if command == "update" else "other", "--file", "a.md")
    assert (done.status, said in done.err) == (1, True)


# Updates


def test_a_draft_is_edited_in_place(greet: Terminal) -> None:
    """`NAME@VERSION` is a draft or failed version; a published one is refused."""
    greet("update", "greet", "--draft", stdin="Hi")
    assert greet("update", "greet@2", stdin="Hey").out == "greet: version 2 is a draft\n"
    assert greet("update", "greet@latest", "--title", "T").status == 0
    with registry_of(greet) as registry:
        assert (registry.get("greet@2").template, registry.get("greet@2").title) == ("Hey", "T")
    done = greet("update", "greet@1", stdin="Ho")
    assert (done.status, "version_not_modifiable" in done.err) == (1, True)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["greet", "--name", "Hello"], "--name: must be lower case"),
        (["greet@1", "--name", "hello"], "--name: "),
        (["greet@1", "--expect-version", "1"], "--expect-version: "),
        (["greet", "--expect-hash", "1"], "--expect-hash: "),
        (["greet@1", "--grant", "anyone", "read"], "--grant: "),
    ],
    ids=["name", "name in place", "version in place", "hash", "grant in place"],
)
def test_what_an_update_does_not_take_names_the_option(greet: Terminal, arguments: list[str], said: str) -> None:
    """It is what was passed beside the fields of a version."""
    done = greet("update", *arguments, stdin="Hi")
    assert (done.status, said in done.err) == (1, True)


def test_an_update_that_changes_nothing_says_so(greet: Terminal) -> None:
    """Nothing is written, and the exit status is 0."""
    done = greet("update", "greet", stdin="Hello {{ name }}")
    assert done == (0, "greet: nothing differs, so nothing is written; version 1 is live\n", "")


def test_what_is_expected_must_be_there(greet: Terminal) -> None:
    """`--expect-version` and `--expect-hash` refuse an update of anything else."""
    with registry_of(greet) as registry:
        known = registry.get("greet").content_hash
    for options in (["--expect-version", "2"], ["--expect-hash", "0" * 64]):
        done = greet("update", "greet", *options, stdin="Hi")
        assert (done.status, "version_conflict" in done.err) == (1, True)
    assert greet("update", "greet", "--expect-version", "1", "--expect-hash", known, stdin="Hi").status == 0


def test_a_prompt_that_is_not_there_is_refused(greet: Terminal) -> None:
    """The error has its code and the nearest name."""
    done = greet("update", "gret", stdin="Hi")
    assert (done.status, "not_found" in done.err, "greet" in done.err) == (1, True, True)
    done = greet("new", "greet", stdin="Hi")
    assert (done.status, "name_taken" in done.err) == (1, True)


# Seeds


def test_seed_follows_the_rules_of_seeding(terminal: Terminal) -> None:
    """The next release goes live; what people have changed stays, which one line on standard error says."""
    assert terminal("seed", "greet", stdin="One").out == "greet: version 1 is live\n"
    assert terminal("seed", "greet", stdin="One").out.startswith("greet: nothing differs")
    assert terminal("seed", "greet", stdin="Two").out == "greet: version 2 is live\n"
    terminal("update", "greet", stdin="Mine")
    done = terminal("seed", "greet", stdin="Three")
    assert (done.status, done.out) == (0, "greet: version 3 is live\n")
    assert ("`promptreg publish greet@4`" in done.err, done.err.count("\n")) == (True, 1)
    done = terminal("seed", "greet", "--on-conflict", "error", stdin="Four")
    assert (done.status, done.err.count("\n"), "conflict" in done.err) == (1, 1, True)
    assert terminal("seed", "greet", "--on-conflict", "publish", stdin="Five").out == "greet: version 5 is live\n"


def test_an_earlier_release_seeds_nothing(terminal: Terminal) -> None:
    """`--release` is its number; what is left is told."""
    terminal("seed", "greet", "--release", "2", stdin="Two")
    done = terminal("seed", "greet", "--release", "1", stdin="One")
    assert (done.status, done.out, done.err.count("\n")) == (
        0,
        "greet: nothing differs, so nothing is written; version 1 is live\n",
        1,
    )
    big = 2**53
    assert terminal("seed", "greet", "--release", str(big + 1), stdin="Big").out == "greet: version 2 is live\n"
    assert terminal("seed", "greet", "--release", str(big), stdin="Two").out.startswith("greet: nothing differs")
    assert terminal("seed", "greet", "--release", "next", stdin="Two").status == 2


# All commands that write


WRITES = {
    "new": ["new", "ask"],
    "update": ["update", "greet", "--title", "T"],
    "seed": ["seed", "ask"],
    "edit": ["edit", "greet"],
    "publish": ["publish", "greet", "--yes"],
    "rollback": ["rollback", "greet", "--to", "1", "--reason", "r"],
    "label": ["label", "greet@1", "staging"],
    "grant": ["grant", "greet", "user:bo", "read"],
    "status": ["status", "disabled", "greet"],
    "enable": ["enable", "greet"],
    "disable": ["disable", "greet"],
    "archive": ["archive", "greet"],
    "restore": ["restore", "greet"],
    "delete": ["delete", "greet", "--yes"],
    "discard": ["discard", "greet", "--yes"],
}
READS = set(
    "init list show render diff history search events namespaces check export import sync verify head backup"
    " report mcp demo".split()
)


def test_every_command_that_writes_is_in_the_table() -> None:
    """A new command is in one of the two."""
    assert set(COMMANDS) - READS == set(WRITES)


@pytest.fixture(scope="module")
def made_with_draft(made: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same, with version 2 live and version 3 a draft."""
    path = Path(shutil.copy(made, tmp_path_factory.mktemp("drafted")))
    with Registry(path) as registry:
        registry.update("greet", template="Hi {{ name }}")
        registry.update("greet", template="Hey {{ name }}", is_production=False)
    return path


@pytest.fixture
def drafted(terminal: Terminal, made_with_draft: Path, command: str) -> Terminal:
    """A folder with that database; the prompt is disabled or archived for the command that undoes it."""
    shutil.copy(made_with_draft, terminal.folder)
    status = {"enable": "disabled", "restore": "archived"}.get(command)
    if status:
        with registry_of(terminal) as registry:
            registry.set_status("greet", status)
    return terminal


@pytest.mark.parametrize("command", WRITES)
def test_programs_get_an_object(drafted: Terminal, command: str) -> None:
    """It is one JSON object, on one line: of the prompt, or of what was done to several."""
    done = drafted(*WRITES[command], "--nl" if command == "new" else "--json", stdin="Ho", EDITOR="true")
    assert (done.status, done.out.count("\n")) == (0, 1)
    value = json.loads(done.out)
    assert value.get("name") in {"greet", "ask"} or value["updated"] == ["greet"]


@pytest.mark.parametrize("command", WRITES)
def test_every_event_has_an_author(drafted: Terminal, command: str) -> None:
    """It is the system's user where nobody else is named, and otherwise who is named."""
    who, author = ([], "sam") if command < "l" else (["--as", "bo:org_admin"], "bo")
    with registry_of(drafted) as registry:
        last = registry.events(newest_first=True, limit=1)[0].seq
    (drafted.folder / "new.md").write_text("---\n---\nEdited\n")
    assert drafted(*WRITES[command], *who, stdin="Ho", EDITOR=f"cp {drafted.folder}/new.md").status == 0
    with registry_of(drafted) as registry:
        assert {event.actor for event in registry.events(after=last)} == {author}


@pytest.mark.parametrize("command", WRITES)
def test_who_may_not_write_is_refused(drafted: Terminal, command: str) -> None:
    """A member of the team may read alone: the error says so in one line, before anything is asked."""
    done = drafted(*WRITES[command], "--as", "mo:team_member", stdin="Ho", EDITOR="true")
    assert (done.status, done.out, "forbidden" in done.err, done.err.count("\n")) == (1, "", True, 1)


@pytest.mark.parametrize("command", ["update", "seed", "edit", "publish", "grant", "archive", "status"])
def test_every_command_that_writes_creates_the_database(terminal: Terminal, command: str) -> None:
    """What is not in it is an error of its own, with the exit status 1."""
    done = terminal(*WRITES[command], stdin="Ho", EDITOR="true")
    assert done.status == (0 if command == "seed" else 1)
    assert (terminal.folder / "prompts.db").exists()


@pytest.mark.parametrize("command", WRITES)
def test_help_fits_into_the_terminal(terminal: Terminal, command: str) -> None:
    """No line is wider than 80 columns."""
    done = terminal(command, "--help")
    assert (done.status, [line for line in done.out.splitlines() if len(line) > 80]) == (0, [])
