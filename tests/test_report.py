"""`report`: what a page shows, to whom, and that nothing in it is more than data."""

import json
import re
from base64 import b64encode
from collections.abc import Callable
from hashlib import sha256
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from promptreg import Actor, InvalidInputError, NotFoundError, Registry, report
from promptreg.report import MAX_EVENTS, MAX_VERSIONS, gathering
from promptreg.report.comparing import Comparing, paired, side_by_side
from promptreg.report.document import SCRIPTS, STYLES, embedded
from promptreg.rules.unified_diff import Work
from tests.conftest import Ticking
from tests.otel import tracing
from tests.reports import ReadPage, data_of, names_in

MARKUP = "</script><script>alert(1)</script><!-- ]]> & &lt; <style> \u2028\u2029 {% raw %}{{ x }}{% endraw %} </ScRiPt "


def prompt_in(page: str, name: str = "greet") -> Any:
    """Return the data of one prompt, with the variables of each version in it."""
    (found,) = [prompt for prompt in data_of(page)["prompts"] if prompt["name"] == name]
    for version in found["versions"]:
        version["variables"] = json.loads(found["variables"][version["variables"]])
    return found


def second(number: int) -> str:
    """Return the time of the clock's nth reading."""
    return f"2026-01-01T00:00:{number:02}.000000+00:00"


# What is shown


def test_every_field_of_a_version_is_shown_as_it_was_written(registry: Registry) -> None:
    """JSON is shown as text, in which no number is another one to JavaScript, and all else as it is."""
    registry.scope(actor=Actor("ana", "team_admin")).create(
        "greet",
        "Hello {{ name }}, {{ who }}",
        title="T",
        description="D",
        category="C",
        tags=["b", "a"],
        variables=[{"name": "name", "type": "number", "default": 1.0, "description": "N", "enum": [1.0, 2.0]}],
        config={"seed": 12345678901234567890, "t": 1.0},
        meta={"k": [None, True]},
        examples=[{"who": "Bo"}],
        access_grants=[("user:bo", "read")],
        commit_message="Why",
    )
    prompt = prompt_in(registry.report())
    (version,) = prompt["versions"]
    assert prompt["access_grants"] == [{"principal": "user:bo", "permission": "read"}]
    assert {name: version[name] for name in ("title", "description", "category", "template", "kind", "syntax")} == {
        "title": "T",
        "description": "D",
        "category": "C",
        "template": "Hello {{ name }}, {{ who }}",
        "kind": "text",
        "syntax": "jinja",
    }
    assert version["config"] == '{\n  "seed": 12345678901234567890,\n  "t": 1.0\n}'
    assert version["meta"] == '{\n  "k": [\n    null,\n    true\n  ]\n}'
    assert (version["tags"], version["examples"]) == (["b", "a"], ['{\n  "who": "Bo"\n}'])
    assert version["variables"] == [
        {"name": "name", "type": "number", "required": False, "default": "1.0", "description": "N",
         "enum": ["1.0", "2.0"]},
        {"name": "who", "type": "any", "required": True, "default": None, "description": "", "enum": None},
    ]  # fmt: skip
    assert (version["author"], version["commit_message"], version["state"]) == ("ana", "Why", "published")
    assert (version["base_version"], version["failure"], version["published_at"]) == (None, None, second(1))
    assert version["content_hash"] == registry.get("greet").content_hash


def test_a_chat_is_shown_by_its_messages(registry: Registry) -> None:
    """Texts are as they are stored, what else a message has is JSON, and a placeholder is a variable as any other."""
    image = {"type": "image_url", "image_url": {"url": "https://example.com/{{ image }}"}}
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}, "seed": 12345678901234567890}
    chat = [
        {"role": "system", "content": "Be {{ how }}", "cache": True},
        {"role": "user", "content": [{"type": "text", "text": "See"}, image]},
        {"role": "assistant", "tool_calls": [call]},
        {"placeholder": "history"},
    ]
    registry.create("greet", chat)
    (version,) = prompt_in(registry.report())["versions"]
    system, user, assistant, placeholder = version["template"]
    assert version["kind"] == "chat"
    assert system == {"role": "system", "content": "Be {{ how }}", "cache": True, "more": ""}
    assert user["content"] == [{"text": "See"}, {"json": json.dumps(image, indent=2)}]
    assert (assistant["content"], assistant["more"]) == ([], json.dumps({"tool_calls": [call]}, indent=2))
    assert placeholder == {"placeholder": "history"}
    assert [variable["name"] for variable in version["variables"]] == ["how", "image", "history"]


VARIABLES = {
    "text": ("{{ a }}{% if b %}{{ c }}{% endif %}", {}),
    "declared": ("{{ a }}", {"variables": [{"name": "a", "required": True}, {"name": "b", "default": None}]}),
    "plain": ("{{ a }}", {"syntax": "plain", "variables": [{"name": "a", "required": True}]}),
    "trimmed": ("{% for x in xs %}\n{{ x }}\n{% endfor %}\n", {"syntax": "jinja-trim"}),
    "chat": ([{"role": "user", "content": "{{ q }}"}, {"placeholder": "h"}], {"variables": [{"name": "h"}]}),
    "optional": ([{"placeholder": "h"}], {"variables": [{"name": "h", "required": False}]}),
}


@pytest.mark.parametrize("title", VARIABLES)
def test_the_variables_are_those_of_the_prompt(registry: Registry, title: str) -> None:
    """The effective list is that of `Prompt.variables`, though the page compiles no template."""
    template, more = VARIABLES[title]
    prompt = registry.create("greet", template, **more)  # type: ignore[arg-type]
    (version,) = prompt_in(registry.report())["versions"]
    shown = [(variable["name"], variable["required"], variable["default"]) for variable in version["variables"]]
    expected = [
        (v.name, v.required, json.dumps(v.default) if "default" in v.model_fields_set else None)
        for v in prompt.variables
    ]
    assert shown == expected


def test_variables_that_versions_share_stand_once(registry: Registry) -> None:
    """They are most of what a small version has, and seldom change."""
    for template in ("{{ a }}", "{{ a }}!", "{{ b }}", "{{ a }}?"):
        registry.save("greet", template)
    (prompt,) = data_of(registry.report())["prompts"]
    assert [version["variables"] for version in prompt["versions"]] == [0, 1, 0, 0]
    assert [json.loads(each)[0]["name"] for each in prompt["variables"]] == ["a", "b"]


def test_reports_leave_the_compiled_templates_of_the_application_alone(registry: Registry) -> None:
    """A report of more prompts than the cache holds evicts none of them."""
    registry.create("greet", "Hello {{ name }}")
    registry.render("greet", name="Ana")
    before = dict(registry._core.templates._compiled._values)
    registry.report()
    assert registry._core.templates._compiled._values == before


def test_twenty_versions_and_two_hundred_events_of_a_prompt_are_shown() -> None:
    """These are the limits of the next tests, which lower the second to be quick."""
    assert (MAX_VERSIONS, MAX_EVENTS) == (20, 200)


@pytest.fixture
def few_events(monkeypatch: pytest.MonkeyPatch) -> None:
    """A limit of ten events."""
    monkeypatch.setattr(report, "MAX_EVENTS", 10)


@pytest.mark.usefixtures("few_events")
def test_the_newest_versions_and_events_are_shown_and_the_others_counted(registry: Registry) -> None:
    """They are newest first; discarded versions don't count."""
    registry.create("greet", "0")
    for number in range(1, 24):
        registry.update("greet", template=str(number), is_production=number > 22)
    registry.discard("greet", 3)
    prompt = prompt_in(registry.report())
    assert [version["version"] for version in prompt["versions"]] == [*range(24, 4, -1)]
    assert (len(prompt["versions"]), len(prompt["events"])) == (20, 10)
    assert prompt["hidden_versions"] == len(registry.history("greet", limit=99)) - 20 == 3
    every = registry.events("greet", limit=999, newest_first=True)
    assert prompt["hidden_events"] == len(every) - 10
    assert [event["seq"] for event in prompt["events"]] == [event.seq for event in every[:10]]


@pytest.mark.usefixtures("few_events")
def test_with_all_versions_everything_is_shown(registry: Registry) -> None:
    """No version or event of any prompt is left out."""
    registry.create("greet", "0")
    for number in range(1, 25):
        registry.update("greet", template=str(number))
    page = registry.report(all_versions=True)
    prompt = prompt_in(page)
    assert data_of(page)["max_versions"] is None
    assert [version["version"] for version in prompt["versions"]] == [*range(25, 0, -1)]
    assert [event["seq"] for event in prompt["events"]] == [*range(50, 0, -1)]
    assert (prompt["hidden_versions"], prompt["hidden_events"]) == (0, 0)


@pytest.mark.parametrize("drafts", [19, 20, 21, 30])
def test_what_is_live_is_shown_however_old_it_is(registry: Registry, drafts: int) -> None:
    """It comes after the newest versions, once, and is compared with the version before it."""
    registry.create("greet", "a")
    registry.update("greet", template="b")
    for number in range(drafts):
        registry.update("greet", template=str(number), is_production=False)
    prompt = prompt_in(registry.report())
    numbers = [version["version"] for version in prompt["versions"]]
    assert numbers == [*range(drafts + 2, drafts + 2 - 20, -1), *([2] if drafts > 19 else [])]
    assert prompt["hidden_versions"] == drafts + 2 - len(numbers)
    (live,) = [version for version in prompt["versions"] if version["version"] == 2] if drafts > 18 else []
    assert [difference["from"] for difference in live["differences"]] == [1]


def test_a_version_that_has_a_label_is_shown_however_old_it_is(registry: Registry) -> None:
    """Each once, newest first, and compared with the version before it, whether that is shown or not."""
    registry.create("greet", "1")
    for number in range(2, 31):
        registry.update("greet", template=str(number))
    for label, number in {"eu": 4, "us": 4, "asia": 3, "staging": 28, "old": 10, "first": 1}.items():
        registry.set_label("greet", label, number)
    prompt = prompt_in(registry.report())
    older = prompt["versions"][20:]
    assert [version["version"] for version in older] == [10, 4, 3, 1]
    assert prompt["hidden_versions"] == 6
    assert [differences_of(version)[:1] for version in older] == [
        [(9, ["previous", "base"])],
        [(3, ["previous", "base"])],
        [(2, ["previous", "base"])],
        [],
    ]


def test_prompts_of_every_status_are_shown_in_the_order_of_their_names(registry: Registry) -> None:
    """Archived ones are among them, and those of which nothing is live; other namespaces are not."""
    registry.scope(namespace="other").create("elsewhere", "…")
    registry.create("c", "…", is_production=False)
    for name, status in (("b", "disabled"), ("d", "archived"), ("a", "active")):
        registry.create(name, "…")
        registry.set_status(name, status)  # type: ignore[arg-type]
    page = registry.report()
    statuses = [(p["name"], p["status"], p["is_disabled"], p["production_version"]) for p in data_of(page)["prompts"]]
    assert statuses == [
        ("a", "active", False, 1),
        ("b", "disabled", True, 1),
        ("c", "active", False, None),
        ("d", "archived", False, 1),
    ]
    assert (data_of(page)["is_selection"], data_of(page)["namespace"]) == (False, "default")


@pytest.mark.parametrize("count", [3, 4])
def test_more_prompts_than_a_page_of_a_listing_are_shown(
    registry: Registry, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    """The listing is read page by page, to its end."""
    monkeypatch.setattr(gathering, "PAGE", 2)
    names = [f"p{number}" for number in range(count)]
    for name in names:
        registry.create(name, "…", is_production=False)
    assert names_in(registry.report()) == names


def test_prompts_that_are_named_are_shown_in_that_order_each_once(registry: Registry) -> None:
    """A name, an id, or several of both; one text is one name, and no name is no prompt."""
    made = {name: registry.create(name, "…").id for name in ("a", "b", "c")}
    page = registry.report(iter(["c", made["a"], "c", "a"]))
    assert (names_in(page), data_of(page)["is_selection"]) == (["c", "a"], True)
    assert names_in(registry.report("b")) == names_in(registry.report(made["b"])) == ["b"]
    assert names_in(registry.report([])) == []


def test_the_page_says_what_it_is_about(registry: Registry, clock: Ticking) -> None:
    """It has the time by the registry's clock, the namespace, who looked, and promptreg's version."""
    registry.create("greet", "…")
    data = data_of(registry.scope(actor=Actor("ana", "team_member")).report())
    assert (data["generated_at"], data["actor"], data["namespace"]) == (second(2), "ana", "default")
    assert data_of(registry.report())["actor"] is None
    assert re.fullmatch(r"\d+\.\d+.*", data["promptreg"])


# What was live when


def test_what_was_live_when_follows_publications_and_rollbacks(registry: Registry) -> None:
    """A version is live from when it is published until another one is; drafts and labels change nothing of it."""
    registry.create("greet", "1")  # at 1
    registry.update("greet", template="2")  # at 2
    registry.update("greet", template="3", is_production=False)  # at 3
    registry.set_label("greet", "x", 1)  # at 4
    registry.rollback("greet", reason="r")  # at 5
    registry.publish("greet", 3)  # at 6
    registry.disable("greet")  # at 7
    registry.enable("greet")  # at 8
    registry.archive("greet")  # at 9
    prompt = prompt_in(registry.report())
    assert prompt["timeline"] == [
        {"version": 1, "from": second(1), "to": second(2)},
        {"version": 2, "from": second(2), "to": second(5)},
        {"version": 1, "from": second(5), "to": second(6)},
        {"version": 3, "from": second(6), "to": None},
    ]
    assert {version["version"]: version["live"] for version in prompt["versions"]} == {
        3: [[second(6), None]],
        2: [[second(2), second(5)]],
        1: [[second(1), second(2)], [second(5), second(6)]],
    }
    assert (prompt["disabled"], prompt["archived"]) == ([[second(7), second(8)]], [[second(9), None]])


def test_a_prompt_that_is_archived_while_it_is_disabled_is_both(registry: Registry) -> None:
    """Restored, it is still disabled."""
    registry.create("greet", "1")  # at 1
    registry.disable("greet")  # at 2
    registry.archive("greet")  # at 3
    registry.restore("greet")  # at 4
    prompt = prompt_in(registry.report())
    assert (prompt["disabled"], prompt["archived"]) == ([[second(2), None]], [[second(3), second(4)]])
    assert prompt["is_disabled"]


def test_nothing_was_live_of_a_draft(registry: Registry) -> None:
    """Neither the prompt nor its version has a time."""
    registry.create("greet", "1", is_production=False)
    prompt = prompt_in(registry.report())
    assert (prompt["timeline"], prompt["versions"][0]["live"]) == ([], [])


@pytest.mark.usefixtures("few_events")
def test_what_was_live_is_known_from_before_the_events_that_are_shown(registry: Registry) -> None:
    """Events that the page leaves out are read all the same."""
    registry.create("greet", "1")
    for label in "abcdefghij":
        registry.set_label("greet", label, 1)
    prompt = prompt_in(registry.report())
    assert prompt["hidden_events"] == 2
    assert prompt["timeline"] == [{"version": 1, "from": second(1), "to": None}]


@pytest.mark.usefixtures("few_events")
def test_of_many_times_the_newest_are_shown(registry: Registry) -> None:
    """As many as events; the others are counted, and a version that is shown keeps all of its own."""
    registry.create("greet", "1")  # at 1
    registry.update("greet", template="2")  # at 2
    for number in range(12):
        registry.publish("greet", 1 + number % 2)  # at 3 + number
    prompt = prompt_in(registry.report())
    assert (prompt["hidden_times"], len(prompt["timeline"])) == (4, 10)
    assert prompt["timeline"][-1] == {"version": 2, "from": second(14), "to": None}
    assert [len(version["live"]) for version in prompt["versions"]] == [7, 7]
    assert len(prompt_in(registry.report(all_versions=True))["timeline"]) == 14


def test_events_have_who_when_and_their_details(registry: Registry) -> None:
    """The newest is first; those of a prompt that had the name before, and was deleted, are not there."""
    registry.create("greet", "secret")
    registry.delete("greet")
    bo = registry.scope(actor=Actor("bo", "team_editor"))
    bo.create("greet", "1")  # at 3
    bo.update("greet", template="2")  # at 4
    bo.rollback("greet", reason="too long")  # at 5
    page = registry.report()
    events = prompt_in(page)["events"]
    assert [event["action"] for event in events] == ["rollback", "publish", "update", "publish", "create"]
    assert events[0] == {
        "seq": 8,
        "at": second(5),
        "actor": "bo",
        "action": "rollback",
        "version": 1,
        "details": {"previous": 2, "reason": "too long"},
    }
    assert "secret" not in page


# Differences


def differences_of(version: Any) -> list[tuple[int, list[str]]]:
    return [(difference["from"], difference["is"]) for difference in version["differences"]]


def test_a_version_is_compared_with_the_one_before_its_base_and_what_is_live(registry: Registry) -> None:
    """Each once, with every reason; what is live only where the version is newer."""
    registry.create("greet", "1")
    registry.update("greet", template="2")
    registry.update("greet", template="3", is_production=False)
    registry.update("greet", template="4", is_production=False)
    registry.rollback("greet", reason="r")
    registry.update("greet", template="5", is_production=False)
    found = {version["version"]: differences_of(version) for version in prompt_in(registry.report())["versions"]}
    assert found == {
        5: [(4, ["previous"]), (1, ["base", "production"])],
        4: [(3, ["previous"]), (2, ["base"]), (1, ["production"])],
        3: [(2, ["previous", "base"]), (1, ["production"])],
        2: [(1, ["previous", "base", "production"])],
        1: [],
    }


def test_the_oldest_version_that_is_shown_is_compared_too(registry: Registry) -> None:
    """The one before it, and its base, are read though they are not shown."""
    registry.create("greet", "1")
    for number in range(2, 27):
        registry.update("greet", template=str(number), is_production=False)
    oldest = prompt_in(registry.report())["versions"][19]
    assert (oldest["version"], differences_of(oldest)) == (7, [(6, ["previous"]), (1, ["base", "production"])])


def test_a_difference_has_both_sides_with_changed_words_marked(registry: Registry) -> None:
    """Of the whole content, as `diff` compares it; what is equal on both sides stands once."""
    registry.create("greet", "Say hello to {{ name }}\nand stay")
    registry.update("greet", template="Say hi to {{ name }}\nand stay", tags=["x"])
    rows = json.loads(prompt_in(registry.report())["versions"][0]["differences"][0]["rows"])
    assert rows[0] == {
        "kind": "changed",
        "old": {"line": 1, "pieces": [["Say ", False], ["hello", True], [" to {{ name }}", False]]},
        "new": {"line": 1, "pieces": [["Say ", False], ["hi", True], [" to {{ name }}", False]]},
    }
    assert rows[1] == {"kind": "same", "old": {"line": 2, "pieces": [["and stay", False]]}, "new": {"line": 2}}
    assert [row["kind"] for row in rows].count("gap") == 1
    added = ["".join(text for text, _ in row["new"]["pieces"]) for row in rows if row["kind"] == "added"]
    assert '    "x"' in added


def rebuilt(rows: list[dict[str, Any]], side: str) -> list[str]:
    """Return the lines of one side; each has the number that it has in its text."""
    lines = []
    for row in rows:
        if row.get(side) is not None:
            pieces = row[side].get("pieces", row["old"] and row["old"]["pieces"])
            lines.append((row[side]["line"], "".join(text for text, _ in pieces)))
    return [f"{number} {text}" for number, text in lines]


SIDES = {
    "equal around a change": (["a", "b", "c", "d", "e"], ["a", "b", "X", "d", "e"]),
    "a line more": (["a", "c"], ["a", "b", "c"]),
    "a line less, at the end": (["a", "b"], ["a"]),
    "nothing before": ([""], ["a"]),
    "empty lines": (["a", "", "", "b"], ["a", "", "c", "b"]),
    "all is another": (["a", "b"], ["c", "d", "e"]),
    "moved": (["a", "b", "c"], ["c", "a", "b"]),
}


@pytest.mark.parametrize("title", SIDES)
def test_each_side_has_all_its_lines_in_order(title: str) -> None:
    """No line is lost or doubled on either side, whatever stands beside it."""
    old, new = SIDES[title]
    rows = side_by_side(old, new, Work())
    for side, lines in (("old", old), ("new", new)):
        assert rebuilt(rows, side) == [f"{number} {line}" for number, line in enumerate(lines, 1)]


def test_lines_far_from_a_change_are_a_gap() -> None:
    """Three are shown before and after; a gap counts the others, and one line alone is shown itself."""
    lines = [str(number) for number in range(30)]
    changed = [*lines[:10], "x", *lines[11:18], "y", *lines[19:]]
    rows = side_by_side(lines, changed, Work())
    kinds = [(row["kind"], row.get("lines")) for row in rows]
    same = ("same", None)
    assert kinds == [
        ("gap", 7), *[same] * 3, ("changed", None), *[same] * 7, ("changed", None), *[same] * 3, ("gap", 8)
    ]  # fmt: skip


def test_lines_that_share_words_stand_beside_each_other() -> None:
    """A new first line does not push the others out of step; lines that share nothing are paired in their order."""
    assert paired(["one two", "three four"], ["new", "one 2", "three 4"], Work()) == [(None, 0), (0, 1), (1, 2)]
    assert paired(["a", "b"], ["c", "d"], Work()) == [(0, 0), (1, 1)]
    assert paired([], ["c", "d"], Work()) == [(None, 0), (None, 1)]
    assert paired(["a"] * 60, ["b"] * 61, Work()) == [*((n, n) for n in range(60)), (None, 60)]
    assert paired(["one two"], ["new", "one 2"], Work(5)) == [(0, 0), (None, 1)]


def test_where_no_work_is_left_all_that_differs_is_one_block() -> None:
    """A heading says so, and no line is lost."""
    old, new = [f"{n}" for n in range(50)], [f"{n}" for n in range(50, 0, -1)]
    rows = side_by_side(old, new, Work(0))
    assert rows[0]["kind"] == "heading"
    assert "too much" in rows[0]["text"]
    assert rebuilt(rows, "new") == [f"{number} {line}" for number, line in enumerate(new, 1)]


def test_the_work_of_a_report_is_bounded(registry: Registry) -> None:
    """Prompts that are slow to compare use up what all share; small differences are shown line by line all the same."""
    numbers = [str(number % 40) for number in range(4_000)]
    registry.create("greet", "\n".join(numbers))
    registry.update("greet", template="\n".join(reversed(numbers)))
    registry.update("greet", template="\n".join([*reversed(numbers), "more"]))
    with registry._core.read() as reader:
        (container,) = [found for found, _ in _shown(reader, registry)]
        new, old, oldest = reader.versions(container, before=None, limit=3)
    comparing = Comparing(work=10_000)
    assert comparing.rows(oldest, old)[0]["kind"] == "heading"
    assert [row["kind"] for row in comparing.rows(old, new) if row["kind"] != "same"] == ["gap", "added", "gap"]


def _shown(reader: Any, registry: Registry) -> Any:
    from promptreg.records import Audience, Query

    return reader.query(Query(registry.namespace, Audience(sees_all=True), ("active",), 10))


def test_versions_of_equal_content_have_no_rows(registry: Registry) -> None:
    """The difference is listed, and empty."""
    registry.create("greet", "1")
    registry.update("greet", access_grants=[("anyone", "read")])
    (difference,) = prompt_in(registry.report())["versions"][0]["differences"]
    assert (difference["from"], difference["rows"]) == (1, "[]")


# Who sees what


def test_an_actor_sees_only_what_it_may_read(registry: Registry) -> None:
    """Other prompts are not counted, named or hinted at."""
    registry.create("hidden/secret", "a secret")
    registry.create("shown", "…", access_grants=[("group:legal", "read")])
    page = registry.scope(actor=Actor("eve", groups=["legal"])).report()
    assert names_in(page) == ["shown"]
    assert "secret" not in page
    assert names_in(registry.scope(actor=Actor("mallory")).report()) == []


def test_a_prompt_that_the_actor_may_not_read_is_not_found(registry: Registry) -> None:
    """It is as if it were not there, and every such name is listed."""
    registry.create("hidden", "…")
    registry.create("shown", "…", access_grants=[("anyone", "read")])
    with pytest.raises(NotFoundError) as caught:
        registry.scope(actor=Actor("eve")).report(["absent", "shown", "hidden"])
    assert caught.value.details == {"names": ["absent", "hidden"]}


def test_a_version_is_not_chosen(registry: Registry) -> None:
    """A name with `@` is invalid input, with every other bad argument in one error."""
    with pytest.raises(InvalidInputError) as caught:
        registry.report(["a@1", "b@staging", "C"], all_versions=1)  # type: ignore[arg-type]
    fields = [error["field"] for error in caught.value.details["errors"]]
    assert fields == ["names[0]", "names[1]", "names[2]", "all_versions"]


def test_all_of_a_report_is_of_one_moment(registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """Everything is read in one read transaction, and what is made of it comes after its end."""
    registry.create("a", "1")
    registry.create("b", "1")
    opened: list[str] = []
    core = registry._core
    read = type(core).read
    monkeypatch.setattr(type(core), "read", lambda self: opened.append("read") or read(self))
    registry.report()
    assert opened == ["read"]


def test_a_report_writes_nothing(registry: Registry, unchanged: Callable[[], Any]) -> None:
    """Every row is as it was."""
    registry.create("a", "1")
    with unchanged():
        registry.report()


def test_a_report_is_one_span_without_content(registry: Registry) -> None:
    """Its name has no prompt's name, and it holds nothing of what is shown."""
    registry.create("greet", "a secret")
    with tracing() as finished:
        registry.report("greet")
    (span,) = finished()
    assert span.name == "report_prompts"
    assert "secret" not in span.to_json()


# The page


@pytest.fixture(scope="module")
def hostile() -> ReadPage:
    """A page of a prompt in which every text is markup."""
    with Registry(":memory:") as registry:
        who = registry.scope(actor=Actor(MARKUP[:200], "org_admin"))
        fields: dict[str, Any] = {
            "title": MARKUP,
            "description": MARKUP,
            "category": MARKUP,
            "tags": [MARKUP],
            "config": {MARKUP: MARKUP},
            "meta": {MARKUP: [MARKUP]},
            "commit_message": MARKUP,
            "access_grants": [(f"user:{MARKUP}"[:200], "read")],
            "variables": [{"name": "v", "default": MARKUP, "description": MARKUP, "enum": [MARKUP]}],
        }
        who.create("a-b.c/日本_é", MARKUP + "@policy@ @style@ @script@ @data@", **fields)
        who.update("a-b.c/日本_é", template=[{"role": "user", "content": MARKUP, "name": MARKUP}])
        who.rollback("a-b.c/日本_é", reason=MARKUP)
        return ReadPage(who.report())


def test_data_of_any_kind_stays_data(hostile: ReadPage) -> None:
    """However hostile prompts are, the page has one style, the data, one script, and nothing of theirs."""
    kinds = [(tag, attributes.get("type")) for tag, attributes, _ in hostile.texts]
    assert kinds == [("style", None), ("script", "application/json"), ("script", None)]
    (_, _, script), (_, _, style) = hostile.texts[2], hostile.texts[0]
    assert "alert(1)" not in script + style
    empty = ReadPage(files("promptreg.report").joinpath("page", "page.html").read_text(encoding="utf-8"))
    assert [tag for tag, _ in hostile.attributes] == [tag for tag, _ in empty.attributes]


def test_data_of_any_kind_is_shown_as_it_was_stored(hostile: ReadPage) -> None:
    """What is parsed from the page is what was written, character by character."""
    (prompt,) = hostile.data["prompts"]
    new, old = prompt["versions"]
    assert old["template"] == MARKUP + "@policy@ @style@ @script@ @data@"
    (message,) = new["template"]
    assert (message["content"], json.loads(message["more"])) == (MARKUP, {"name": MARKUP})
    for version in (new, old):
        assert [version[name] for name in ("title", "description", "category")] == [MARKUP] * 3
    assert (old["tags"], json.loads(old["config"]), json.loads(old["meta"])) == (
        [MARKUP], {MARKUP: MARKUP}, {MARKUP: [MARKUP]}
    )  # fmt: skip
    assert (prompt["events"][0]["details"]["reason"], prompt["events"][0]["actor"]) == (MARKUP, MARKUP[:200])
    assert prompt["name"] == "a-b.c/日本_é"


@pytest.mark.parametrize("text", ["<", "</script>", "<!--", "-->", "]]>", "&amp;", "\u2028", "\u2029", "\x00", "\x7f"])
def test_no_character_of_data_means_anything_to_html(text: str) -> None:
    """Each is an escape of JSON, which reads as the same text."""
    data = embedded({text: [text]})
    assert json.loads(data) == {text: [text]}
    assert not re.search("[<>&\u2028\u2029\x00]", data)


def test_every_less_than_sign_is_written_as_an_escape(hostile: ReadPage) -> None:
    """It is `\\u003c`, in the whole of the data."""
    (data,) = [text for _, attributes, text in hostile.texts if attributes.get("type") == "application/json"]
    assert "<" not in data
    assert r"\u003c/script\u003e" in data


def hash_of(text: str) -> str:
    return f"'sha256-{b64encode(sha256(text.encode()).digest()).decode()}'"


def test_the_policy_allows_the_one_script_and_the_one_style_alone(hostile: ReadPage) -> None:
    """All else is forbidden: other scripts and styles, requests, forms, and other bases of addresses."""
    (_, _, style), _, (_, _, script) = hostile.texts
    assert hostile.policy == (
        f"default-src 'none'; script-src {hash_of(script)}; style-src {hash_of(style)}; base-uri 'none';"
        " form-action 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
    )


def test_the_policy_comes_before_what_it_is_about(hostile: ReadPage) -> None:
    """Only the encoding comes before it."""
    metas = [attributes for tag, attributes in hostile.attributes if tag in {"meta", "style", "script", "link"}]
    assert list(metas[0]) == ["charset"]
    assert metas[1]["http-equiv"] == "Content-Security-Policy"


def test_the_page_refers_to_nothing_outside(hostile: ReadPage) -> None:
    """No element has an address that leads out of the page, and neither style nor script has any."""
    for tag, attributes in hostile.attributes:
        assert not {"src", "srcset", "action", "background", "style"} & attributes.keys()
        assert str(attributes.get("href") or "#").startswith("#"), tag
        assert not [name for name in attributes if name.startswith("on")]
    for _, attributes, text in hostile.texts:
        if attributes.get("type") is None:
            outside = re.findall(r"https?://[^\s\"'`)]+|@import|url\(", text)
            assert set(outside) <= {"http://www.w3.org/2000/svg"}


def test_the_page_of_an_empty_registry_is_a_page(registry: Registry) -> None:
    """It has no prompts."""
    assert names_in(registry.report()) == []


def test_a_large_template_is_shown_whole(registry: Registry) -> None:
    """What may be stored may be shown, and compared."""
    text = "{{ x }}<b>é\n" * 20_000
    registry.create("greet", text, syntax="plain")
    registry.update("greet", template=f"{text}more")
    versions = prompt_in(registry.report())["versions"]
    assert [version["template"] for version in versions] == [f"{text}more", text]
    assert json.loads(versions[0]["differences"][0]["rows"])[-1]["kind"] != "heading"


def test_every_asset_is_in_the_page(registry: Registry) -> None:
    """The script and the style are all files of the folder, in which nothing ends an element of the page early."""
    folder = Path(str(files("promptreg.report").joinpath("page")))
    parts = {"page.html", *(f"{name}.js" for name in SCRIPTS), *(f"{name}.css" for name in STYLES)}
    assert {path.name for path in folder.iterdir()} == parts
    page = registry.report()
    for name in parts - {"page.html"}:
        text = (folder / name).read_text(encoding="utf-8")
        assert text in page
        assert not re.search(r"</(script|style)|<!--", text, re.IGNORECASE)


def test_the_assets_are_in_the_package() -> None:
    """They are within the folder that the wheel has all files of."""
    pyproject = Path(__file__).parent.parent / "pyproject.toml"
    assert 'packages = ["promptreg"]' in pyproject.read_text(encoding="utf-8")
