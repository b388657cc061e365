"""The commands that read: `init list show render history search events namespaces check verify`."""

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from promptreg import Actor, Registry
from promptreg.cli import progress as progress_module
from promptreg.cli import tables
from promptreg.cli.commands import reading
from promptreg.cli.text import width
from tests.terminal import Terminal

LONG_NAME = "team/" + "東" * 100
HOSTILE = "A title\x1b[2J\r\n\u202ethat steers 東京タワー 👩\u200d👧 " + "and goes on " * 20


@pytest.fixture
def terminal(tmp_path: Path) -> Terminal:
    return Terminal(tmp_path)


@pytest.fixture
def ana(registry: Registry) -> Registry:
    """A registry in the folder that commands run in, as somebody of a team."""
    return registry.scope(actor=Actor("ana", "org_admin"))


def lives(ana: Registry) -> None:
    """Fill a prompt's history: published, replaced, a draft with a label, and taken back."""
    ana.create("greet", "Hello {{ name }}!", title="Greeting")
    ana.update("greet", template="Hi {{ name }}!", commit_message="Shorter\n\nAs the shop asked")
    ana.update("greet", template="Yo {{ name }}!", is_production=False, commit_message="Cool")
    ana.set_label("greet", "canary", 3)
    ana.rollback("greet", reason="Too terse")


def all_lines_fit(out: str) -> bool:
    return [line for line in out.splitlines() if width(line) > 80 or "\x1b" in line] == []


# init


def test_init_creates_the_database_once(terminal: Terminal) -> None:
    """A second time it stays as it is, which is no failure; JSON says which it was."""
    first, again = terminal("init"), terminal("init")
    path = str(terminal.folder / "prompts.db")
    assert (first.status, first.out, first.err) == (0, "", f"{path} is created.\n")
    assert (again.status, again.out, again.err) == (0, "", f"{path} was there already.\n")
    assert json.loads(terminal("init", "--json").out) == {"path": path, "created": False}
    assert Registry(path).verify() == []


def test_init_in_a_folder_that_is_not_there_is_status_3(terminal: Terminal) -> None:
    """It says to make it."""
    done = terminal("init", "--db", "absent/prompts.db")
    assert (done.status, done.out) == (3, "")
    assert "make it first" in done.err


# list, search and namespaces


def test_list_shows_what_is_live_and_what_is_not(terminal: Terminal, ana: Registry) -> None:
    """A line a prompt: name, the live and the latest version, the status and the title."""
    lives(ana)
    ana.create("draft", "…", is_production=False)
    ana.create("off", "…", title="Off")
    ana.disable("off")
    ana.create("old", "…")
    ana.archive("old")
    assert terminal("list").out == (
        "NAME   LIVE  LATEST  STATUS    TITLE\n"
        "draft     -       1  active    draft\n"
        "greet     1       3  active    Greeting\n"
        "off       1       1  disabled  Off\n"
    )


def test_list_fits_into_80_columns_whatever_names_and_titles_hold(terminal: Terminal, ana: Registry) -> None:
    """Wide and combining characters, emoji and control characters don't break the table."""
    ana.create(LONG_NAME, "…", title=HOSTILE)
    ana.create("ก\u0e34" * 40, "…", title="x" * 1_000_000)
    done = terminal("list")
    assert all_lines_fit(done.out)
    assert len(done.out.splitlines()) == 3
    assert "A title\\x1b[2J" in done.out


FILTERS = [
    ("", "abc"),
    ("--limit 2", "ab"),
    ("--status archived", "d"),
    ("--status archived --status disabled", "cd"),
    ("--tag x --tag y", "b"),
    ("--category mail", "a"),
    ("--prefix b", "b"),
    ("--label canary", "a"),
    ("--created-by ana", "abc"),
    ("--created-by bo", ""),
]


def test_the_filters_of_list_are_those_of_the_library(terminal: Terminal, ana: Registry) -> None:
    """Each is an option, and those of several values may be repeated; where nothing is found it says so."""
    ana.create("a", "…", category="mail", tags=["x"])
    ana.set_label("a", "canary", 1)
    ana.create("b", "…", tags=["x", "y"])
    ana.create("c", "…")
    ana.disable("c")
    ana.create("d", "…")
    ana.archive("d")
    for arguments, names in FILTERS:
        done = terminal("list", "--json", *arguments.split())
        assert "".join(prompt["name"] for prompt in json.loads(done.out)) == names, arguments
    nothing = terminal("list", "--prefix", "absent")
    assert (nothing.status, nothing.out) == (0, "")
    assert "'default'" in nothing.err


def test_an_empty_list_says_what_to_do(terminal: Terminal) -> None:
    """Where nothing is listed, the reason is told: no prompt at all, others elsewhere, or archived ones."""
    terminal("init")
    assert "`promptreg new NAME`" in terminal("list").err
    terminal("new", "greet", stdin="Hi")
    assert "`promptreg namespaces`" in terminal("list", "--namespace", "other").err
    terminal("archive", "greet")
    assert "`promptreg list --status archived`" in terminal("list").err


def test_json_has_the_prompts_of_all_pages(terminal: Terminal, ana: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """The library reads 100 prompts at a time, and a table has its columns aligned for 200."""
    monkeypatch.setattr("promptreg.registry.PAGE", 4)
    monkeypatch.setattr(tables, "CHUNK", 5)
    names = [f"p{n:03}" for n in range(13)]
    for name in names:
        ana.create(name, "…")
    assert [prompt["name"] for prompt in json.loads(terminal("list", "--json").out)] == names
    assert len(terminal("list", "--nl").out.splitlines()) == 13
    assert len(terminal("list").out.splitlines()) == 14


def test_search_finds_prompts_by_all_words(terminal: Terminal, ana: Registry) -> None:
    """Its filters are those of `list`; where nothing is found it says so."""
    ana.create("greet", "Say hello to the world", tags=["x"])
    ana.create("part", "Say bye to the world")
    assert "greet" in terminal("search", "WORLD", "hello").out
    found = json.loads(terminal("search", "world", "--json").out)
    assert sorted(prompt["name"] for prompt in found) == ["greet", "part"]
    assert len(json.loads(terminal("search", "world", "--json", "--limit", "1").out)) == 1
    assert len(json.loads(terminal("search", "world", "--json", "--tag", "x").out)) == 1
    nothing = terminal("search", "absent")
    assert (nothing.status, nothing.out) == (0, "")
    assert "No prompt" in nothing.err


def test_search_in_json_has_all_hits_and_for_people_20(terminal: Terminal, ana: Registry) -> None:
    """A program says itself how many it wants."""
    for n in range(25):
        ana.create(f"p{n}", "hello")
    assert len(json.loads(terminal("search", "hello", "--json").out)) == 25
    done = terminal("search", "hello")
    assert len(done.out.splitlines()) == 1 + 20
    assert done.err == "More prompts contain them; --limit N shows more.\n"
    assert terminal("search", "hello", "--limit", "25").err == terminal("search", "hello", "--nl").err == ""


def test_namespaces_are_a_line_each_or_an_array(terminal: Terminal, ana: Registry) -> None:
    """Those in which the actor may read something."""
    ana.create("a", "…")
    ana.scope(namespace="support").create("b", "…", access_grants=[("user:bo", "read")])
    assert terminal("namespaces").out == "default\nsupport\n"
    assert json.loads(terminal("namespaces", "--json").out) == ["default", "support"]
    assert terminal("namespaces", "--nl").out == '"default"\n"support"\n'
    assert terminal("namespaces", "--as", "bo").out == "support\n"


# show


def test_show_has_every_field_of_a_prompt(terminal: Terminal, ana: Registry) -> None:
    """Fields that are empty are left out; the template comes last, as it is."""
    ana.create(
        "greet",
        "Hello {{ name }}!\n  Bye",
        title="Greeting",
        description="What the shop says " * 6,
        category="mail",
        tags=["x", "y"],
        variables=[{"name": "name", "type": "string", "default": "you", "enum": ["you", "me"], "description": "who"}],
        config={"model": "m", "nested": {"a": 1}},
        meta={"team": "shop"},
        examples=[{"name": "you"}],
        access_grants=[("user:bo", "read")],
        commit_message="First\nand more",
    )
    ana.update("greet", template="Hi", is_production=False)
    ana.set_label("greet", "canary", 2)
    done = terminal("show", "greet")
    assert (done.status, done.err) == (0, "")
    assert all_lines_fit(done.out)
    said = [
        "Greeting", "mail", "x, y", "who", '"you"', '["you", "me"]', '"model": "m"', '  "nested": {', '"team": "shop"',
        '{"name": "you"}', "user:bo read", "First", "and more", "ana", "1, live", "version 2", "canary 2", "active",
        "2026-01-01", ana.get("greet").id, ana.get("greet").content_hash, "text, jinja",
    ]  # fmt: skip
    assert [text for text in said if text not in done.out] == []
    assert done.out.endswith("\n\nHello {{ name }}!\n  Bye\n")


def test_show_of_a_prompt_without_a_live_version_shows_the_latest(terminal: Terminal, ana: Registry) -> None:
    """As in `list`; what is asked for outright must be there."""
    ana.create("greet", "Hello", is_production=False)
    ana.update("greet", template="Hi", is_production=False)
    assert "2, draft" in terminal("show", "greet").out
    assert json.loads(terminal("show", "greet", "--json").out)["version"] == 2
    assert "1, draft" in terminal("show", "greet@1").out
    missing = terminal("show", "greet@production")
    assert (missing.status, missing.out) == (1, "")
    assert "no_production_version" in missing.err


def test_show_of_a_chat_has_its_messages_as_a_file_has_them(terminal: Terminal, ana: Registry) -> None:
    """The role and its other keys, then the content; parts are JSON."""
    ana.create(
        "ask",
        [
            {"role": "system", "content": "You answer."},
            {"placeholder": "history"},
            {"role": "user", "name": "ana", "content": [{"type": "text", "text": "{{ q }}"}]},
        ],
    )
    expected = (
        'system:\nYou answer.\nplaceholder history:\nuser {"name": "ana"}:\n'
        '[\n  {\n    "type": "text",\n    "text": "{{ q }}"\n  }\n]\n'
    )
    assert terminal("show", "ask").out.endswith(f"\n\n{expected}")


def test_show_of_a_failed_version_and_of_one_disabled_under_the_archive(terminal: Terminal, ana: Registry) -> None:
    """It says why it failed, and that it does not render."""
    ana.create("greet", "Hello {{ name }}", examples=[{}], is_production=False)
    with pytest.raises(Exception, match="name"):
        ana.publish("greet")
    assert "failed" in terminal("show", "greet").out
    assert "failure" in terminal("show", "greet").out
    ana.disable("greet")
    ana.archive("greet")
    assert "archived, disabled" in terminal("show", "greet").out


def test_what_a_template_holds_can_not_steer_a_terminal(terminal: Terminal, ana: Registry) -> None:
    """Control characters are escapes; tabs and line breaks stay."""
    ana.create("greet", "a\x1b[2J\tb\nc", syntax="plain", title=HOSTILE, description=HOSTILE, commit_message=HOSTILE)
    done = terminal("show", "greet")
    assert done.out.endswith("a\\x1b[2J\tb\nc\n")
    assert "\x1b" not in done.out + terminal("history", "greet").out + terminal("events", "greet").out


# history


def test_history_draws_the_timeline_with_production_and_labels(terminal: Terminal, ana: Registry) -> None:
    """The newest is first: what it is, its labels, the message's first line, when, by whom and from which version."""
    lives(ana)
    done = terminal("history", "greet")
    assert (done.status, done.err) == (0, "")
    lines = done.out.splitlines()
    assert lines[0] == "greet  version 1 is live"
    assert [line.split() for line in lines if line[:1] in set("●○◌✗")] == [
        ["◌", "3", "draft,", "canary"],
        ["○", "2", "published"],
        ["●", "1", "LIVE"],
    ]
    assert "│      Shorter …" in lines
    assert [line for line in lines if "by ana" in line and "2026-01-01" in line and line.startswith("│")] != []
    assert all_lines_fit(done.out)


def test_the_timeline_has_every_label_of_a_version(terminal: Terminal, ana: Registry) -> None:
    """Many labels take several lines."""
    ana.create("greet", "Hello")
    labels = [f"{'l' * 40}{number}" for number in range(5)]
    for label in labels:
        ana.set_label("greet", label, 1)
    out = terminal("history", "greet").out
    assert [label for label in labels if label not in out] == []
    assert all_lines_fit(out)


def test_the_timeline_says_why_a_version_failed_and_where_it_came_from(terminal: Terminal, ana: Registry) -> None:
    """A version that was not made from the one before it names its base."""
    lives(ana)
    ana.update("greet", template="{{ other }}", examples=[{"name": "x"}], is_production=False)
    with pytest.raises(Exception, match="other"):
        ana.publish("greet@4")
    out = terminal("history", "greet").out
    assert "✗   4  failed" in out
    assert "from 1" in out
    assert "other" in out


def test_the_timeline_is_plain_where_a_terminal_has_no_such_characters(terminal: Terminal, ana: Registry) -> None:
    """The marks are those of ASCII."""
    lives(ana)
    lines = terminal("history", "greet", encoding="latin-1", is_terminal=True, NO_COLOR="1").out.splitlines()
    assert [line[0] for line in lines[1:] if line and line[0] != "|"] == [".", "o", "*"]


def test_a_timeline_in_a_narrow_terminal_says_all(terminal: Terminal, ana: Registry) -> None:
    """The name has all the room there is, what a version came from is wrapped, and no message is no line."""
    ana.create("a/long/name", "Hello", commit_message="")
    lines = terminal("history", "a/long/name", COLUMNS="31").out.splitlines()
    assert lines[0] == "a/long/name  version 1 is live"
    assert lines[2] == "●   1  LIVE"
    assert " ".join(" ".join(lines[3:]).replace("│", "").split()) == (
        "2026-01-01 00:00Z by ana published 2026-01-01 00:00Z"
    )


def test_history_of_a_prompt_without_a_live_version_and_of_one_that_is_disabled(
    terminal: Terminal, ana: Registry
) -> None:
    """The first line says so."""
    ana.create("greet", "Hello", is_production=False)
    assert terminal("history", "greet").out.splitlines()[0] == "greet  nothing is live"
    ana.disable("greet")
    assert terminal("history", "greet").out.splitlines()[0] == "greet  nothing is live, disabled"


def test_history_shows_people_20_versions_and_programs_all(
    terminal: Terminal, ana: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is left out is said; `--limit` says how many."""
    monkeypatch.setattr(reading, "PAGE", 10)
    for n in range(25):
        ana.save("greet", f"Hello {n}")
    done = terminal("history", "greet")
    assert done.out.count("by ana") == 20
    assert "older versions" in done.err
    assert "--limit" in done.err
    assert terminal("history", "greet", "--limit", "25").err == ""
    versions = [version["version"] for version in json.loads(terminal("history", "greet", "--json").out)]
    assert versions == list(range(25, 0, -1))
    assert len(terminal("history", "greet", "--nl", "--limit", "3").out.splitlines()) == 3
    earlier = json.loads(terminal("history", "greet", "--json", "--before", "4", "--limit", "2").out)
    assert [version["version"] for version in earlier] == [3, 2]
    assert json.loads(terminal("history", "greet", "--nl", "--limit", "1").out) == (
        ana.history("greet", limit=1)[0].model_dump(mode="json")
    )


@pytest.mark.parametrize("command", ["history", "events"])
def test_a_version_is_refused_where_the_whole_prompt_is_meant(terminal: Terminal, ana: Registry, command: str) -> None:
    """It is not left out silently."""
    lives(ana)
    done = terminal(command, "greet@2")
    assert (done.status, done.out) == (1, "")
    assert "leave out the @" in done.err


# events


def test_events_show_who_did_what_the_newest_last(terminal: Terminal, ana: Registry) -> None:
    """The reason of a rollback is there in full, and everything within 80 columns."""
    lives(ana)
    ana.rollback("greet", 2, reason="A reason that is so long that it takes several lines " * 3)
    done = terminal("events", "greet")
    assert all_lines_fit(done.out)
    actions = [line.split()[4] for line in done.out.splitlines()[1:] if line[:4].strip().isdigit()]
    assert actions == [event.action for event in ana.events("greet")]
    assert done.out.count("that it takes several lines") + done.out.count("so long") >= 3
    assert "Too terse" in done.out


def test_names_that_are_too_long_keep_the_ends_that_tell_them_apart(terminal: Terminal, ana: Registry) -> None:
    """In a table of events and in a list, `…` is in the middle of a name."""
    for name in ("marketing/emails/spring/plan-1", "marketing/emails/spring/plan-2"):
        ana.create(name, "…", title="A title of some length that wants all of the line " * 2)
        ana.update(name, template="other")
    events = terminal("events", "--limit", "8").out
    assert all_lines_fit(events)
    assert events.count("/plan-1") == events.count("/plan-2") == 4
    ana.create(f"{'x' * 60}-1", "…", title="A title that wants all of the line too")
    listed = terminal("list").out
    assert "xx…xx" in listed
    assert "xx-1 " in listed


def test_people_see_the_last_20_events_and_programs_all(
    terminal: Terminal, ana: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`--after`, `--limit` and `--action` choose others."""
    monkeypatch.setattr(reading, "PAGE", 10)
    for n in range(15):
        ana.create(f"p{n:02}", "…")
    events = [event.model_dump(mode="json") for event in ana.events()]
    assert json.loads(terminal("events", "--json").out) == events
    assert json.loads(terminal("events", "--json", "--after", "25").out) == events[25:]
    assert json.loads(terminal("events", "--json", "--limit", "2").out) == events[-2:]
    assert json.loads(terminal("events", "--json", "--newest-first").out) == events[::-1]
    assert json.loads(terminal("events", "--json", "--newest-first", "--after", "9", "--limit", "2").out) == [
        events[7],
        events[6],
    ]
    published = [event for event in events if event["action"] == "publish"]
    assert json.loads(terminal("events", "--json", "--action", "publish").out) == published
    assert json.loads(terminal("events", "p03", "--json").out) == [e for e in events if e["name"] == "p03"]
    assert seqs(terminal("events").out) == list(range(11, 31))
    assert seqs(terminal("events", "--limit", "3").out) == [28, 29, 30]
    assert seqs(terminal("events", "--limit", "3", "--newest-first").out) == [30, 29, 28]
    assert terminal("events").err == "There are more events; --limit N shows more.\n"
    assert terminal("events", "--limit", "30").err == terminal("events", "--json", "--limit", "3").err == ""
    assert seqs(terminal("events", "--after", "4", "--limit", "2").out) == [5, 6]
    assert terminal("events", "--action", "delete").err == "There is no such event.\n"


def seqs(out: str) -> list[int]:
    return [int(line.split()[0]) for line in out.splitlines()[1:]]


# render


def render(terminal: Terminal, *arguments: str, **more: Any) -> str:
    done = terminal("render", *arguments, **more)
    assert (done.status, done.err) == (0, ""), done
    return done.out


def test_render_prints_the_text_and_one_line_break(terminal: Terminal, ana: Registry) -> None:
    """The text is otherwise as it is, its own line breaks included."""
    ana.create("greet", "Hello {{ name }}!\r\n\n", syntax="jinja")
    assert render(terminal, "greet", "--var", "name=a=b") == ana.render("greet", name="a=b").text + "\n"
    ana.create("raw", "a\r\nb\x1b", syntax="plain")
    assert render(terminal, "raw") == "a\r\nb\x1b\n"
    assert render(terminal, "raw", is_terminal=True) == "a\\r\nb\\x1b\n"


def test_render_takes_a_version(terminal: Terminal, ana: Registry) -> None:
    """A number or a label after the @."""
    lives(ana)
    assert render(terminal, "greet", "--var", "name=Bo") == "Hello Bo!\n"
    assert render(terminal, "greet@2", "--var", "name=Bo") == "Hi Bo!\n"
    assert render(terminal, "greet@canary", "--var", "name=Bo") == "Yo Bo!\n"


@pytest.mark.parametrize(
    ("type_", "text", "value"),
    [
        ("integer", "20", 20),
        ("number", "1.5", 1.5),
        ("boolean", "true", True),
        ("array", '["a", 1]', ["a", 1]),
        ("object", '{"a": 1}', {"a": 1}),
        ("string", "20", "20"),
        ("any", "20", "20"),
        ("any", "[1]", "[1]"),
    ],
)
def test_a_value_is_json_where_the_prompt_declares_another_type_than_text(
    terminal: Terminal, ana: Registry, type_: str, text: str, value: object
) -> None:
    """Otherwise it is a text, whatever it looks like."""
    ana.create("p", "{{ v | tojson }}", variables=[{"name": "v", "type": type_}])
    assert json.loads(render(terminal, "p", "--var", f"v={text}")) == value


def test_a_value_of_the_wrong_type_is_refused_and_not_quoted(terminal: Terminal, ana: Registry) -> None:
    """The registry says which type the variable has."""
    ana.create("p", "{{ v }}", variables=[{"name": "v", "type": "integer"}])
    for text in ("secret", "NaN", "[" * 100_000):
        done = terminal("render", "p", "--var", f"v={text}")
        assert (done.status, done.out) == (1, "")
        assert "invalid_variables" in done.err
        assert "secret" not in done.err


def test_variables_come_from_a_file_or_standard_input_and_var_wins(terminal: Terminal, ana: Registry) -> None:
    """The file is JSON in any encoding of Unicode, as editors of any system write it."""
    ana.create("p", "{{ a }} {{ b }}")
    values = json.dumps({"a": "é", "b": [1]}, ensure_ascii=False)
    for encoding in ("utf-8", "utf-8-sig", "utf-16"):
        (terminal.folder / "v.json").write_bytes(values.encode(encoding))
        assert render(terminal, "p", "--vars", "v.json") == "é [1]\n"
    assert render(terminal, "p", "--vars", "-", stdin=values) == "é [1]\n"
    assert render(terminal, "p", "--vars", "v.json", "--var", "b=mine", "--var", "b=last") == "é last\n"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b'{"a": secret}', "line 1, column 7"),
        (b'["secret"]', "must hold a JSON object"),
        (b'{"a": NaN}', "as JSON"),
        (b"\xff\xfe\xfa secret", "not JSON"),
        (b"[" * 200_000, "as JSON"),
        (b"", "line 1"),
        (None, "can't be read"),
    ],
    ids=["syntax", "array", "NaN", "bytes", "deep", "empty", "absent"],
)
def test_a_file_that_is_no_json_object_is_a_usage_error(
    terminal: Terminal, ana: Registry, content: bytes | None, said: str
) -> None:
    """It is named with the place, and nothing of it is quoted."""
    ana.create("p", "{{ a }}")
    if content is not None:
        (terminal.folder / "v.json").write_bytes(content)
    done = terminal("render", "p", "--vars", "v.json")
    assert (done.status, done.out, done.err.count("\n")) == (2, "", 1)
    assert "v.json" in done.err
    assert said in done.err
    assert "secret" not in done.err


@pytest.mark.parametrize("pair", ["secret", "=secret", ""])
def test_a_variable_without_a_name_or_a_value_is_a_usage_error(terminal: Terminal, ana: Registry, pair: str) -> None:
    """An empty value has its equals sign."""
    ana.create("p", "[{{ a }}]")
    done = terminal("render", "p", "--var", pair)
    assert (done.status, "NAME=VALUE" in done.err, "secret" in done.err) == (2, True, False)
    assert render(terminal, "p", "--var", "a=") == "[]\n"


def test_a_text_in_place_of_messages_names_the_option_for_them(terminal: Terminal, ana: Registry) -> None:
    """`--var` passes a text where a placeholder is of no declared type, and `--vars` passes a list."""
    ana.create("ask", [{"placeholder": "history"}, {"role": "user", "content": "Why?"}])
    done = terminal("render", "ask", "--var", "history=[]")
    assert (done.status, done.out) == (2, "")
    assert "--var: history is a list of messages: pass it with --vars FILE.json" in done.err
    assert render(terminal, "ask", "--vars", "-", stdin='{"history": []}') == "Why?\n"
    ana.update("ask", variables=[{"name": "history", "type": "array"}])
    assert render(terminal, "ask", "--var", "history=[]") == "Why?\n"


def test_render_gives_the_messages_as_json(terminal: Terminal, ana: Registry) -> None:
    """`--messages` for a program to send; `--json` is an object of all that was rendered."""
    ana.create("ask", [{"role": "system", "content": "é"}, {"role": "user", "content": "{{ q }}"}], config={"m": 1})
    messages = ana.render("ask", q="why").messages
    assert json.loads(render(terminal, "ask", "--var", "q=why", "--messages")) == messages
    assert json.loads(render(terminal, "ask", "--var", "q=why", "--messages", "--nl")) == messages
    assert json.loads(render(terminal, "ask", "--var", "q=why", "--json")) == {
        "name": "ask",
        "version": 1,
        "text": "é\n\nwhy",
        "messages": messages,
        "config": {"m": 1},
    }


def test_render_refuses_what_the_library_refuses(terminal: Terminal, ana: Registry) -> None:
    """Every missing variable is named, and a disabled prompt says what helps."""
    ana.create("p", "{{ a }} {{ b }}")
    done = terminal("render", "p")
    assert (done.status, done.out) == (1, "")
    assert "a, b" in done.err
    ana.disable("p")
    assert "prompt_disabled" in terminal("render", "p", "--var", "a=1", "--var", "b=1").err


# check and verify


def test_check_exits_with_1_and_the_reasons(terminal: Terminal, ana: Registry) -> None:
    """They are data: a line each, or an array."""
    ana.create("greet", "Hello {{ name }}", examples=[{}], is_production=False)
    done = terminal("check", "greet")
    assert (done.status, done.err) == (1, "")
    assert "name" in done.out
    assert json.loads(terminal("check", "greet", "--json").out) == ana.check("greet")
    assert terminal("check", "greet", "--json").status == 1


def test_check_of_an_archived_prompt_names_the_command_that_helps(terminal: Terminal, ana: Registry) -> None:
    """For programs the reason is the library's."""
    lives(ana)
    ana.archive("greet")
    assert "`promptreg restore` it first" in terminal("check", "greet@3").out
    assert json.loads(terminal("check", "greet@3", "--json").out) == ana.check("greet@3")


def test_check_of_what_could_be_published_exits_with_0(terminal: Terminal, ana: Registry) -> None:
    """It says so beside the data, of which there is none."""
    lives(ana)
    done = terminal("check", "greet@2")
    assert (done.status, done.out, done.err) == (0, "", "greet@2 could be published.\n")
    assert terminal("check", "greet", "--json").out == "[]\n"


def test_verify_of_a_whole_registry_exits_with_0(terminal: Terminal, ana: Registry) -> None:
    """It prints no data, and no bar where there is no terminal."""
    lives(ana)
    assert terminal("verify") == (0, "", "All that is stored is whole.\n")
    assert terminal("verify", "--json").out == "[]\n"


def test_verify_exits_with_1_and_says_what_is_wrong(terminal: Terminal, ana: Registry) -> None:
    """A line each."""
    lives(ana)
    connection = sqlite3.connect(ana.path)
    with connection:
        connection.execute("UPDATE prompts SET status = 'disabled'")
    connection.close()
    done = terminal("verify")
    assert (done.status, done.err) == (1, "")
    assert done.out.splitlines() == ana.verify()
    assert json.loads(terminal("verify", "--json").out) == ana.verify()


def test_verify_is_for_org_admins(terminal: Terminal, ana: Registry) -> None:
    """Others are refused."""
    done = terminal("verify", "--as", "bo:team_admin")
    assert (done.status, done.out) == (1, "")
    assert done.err.startswith("promptreg: forbidden: ")


def test_verify_shows_its_progress_on_a_terminal(
    terminal: Terminal, ana: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On standard error, so that the data can be read by a program all the same."""
    monkeypatch.setattr(progress_module, "BEGIN", 0.0)
    lives(ana)
    done = terminal("verify", "--json", is_terminal=True)
    assert done.out == "[]\n"
    assert "Checking [" in done.err
    assert done.err.endswith("\rAll that is stored is whole.\n")
