"""Open WebUI's prompts, imported, render what its chat inserts, by the rules of its public source, written out here."""

import json
import re
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promptreg import InvalidInputError, Registry
from promptreg.files.foreign.literal import Tag, variable_names
from promptreg.files.foreign.openwebui import definitions_of, pieces_of, read_openwebui
from promptreg.files.foreign.results import ForeignFile

FILLED_IN = "CLIPBOARD CURRENT_DATE USER_NAME".split()


def inserted(content: str, values: dict[str, Any]) -> str:
    """Return what the chat inserts: what it fills in itself, then the form's values, as JavaScript writes them."""

    def value(match: re.Match[str]) -> str:
        name = match[1].strip()
        given = values.get(name, match[0]) if name in form else match[0]
        return given if isinstance(given, str) else json.dumps(given)

    form = {*re.findall(r"\{\{\s*([^|}\s]+)\s*(?:\|\s*[^}]+)?\s*\}\}", content)}
    pieces = re.split(rf"\{{\{{({'|'.join(FILLED_IN)})\}}\}}", content)
    for i, piece in enumerate(pieces):
        pieces[i] = values[piece] if i % 2 else re.sub(r"\{\{\s*([^|}]+)(?:\|[^}]*)?\s*\}\}", value, piece)
    return "".join(pieces)


def item(content: Any, command: str = "/p", **more: Any) -> dict[str, Any]:
    """Return a prompt as an export has it."""
    return {"command": command, "title": "P", "content": content} | more


def read(content: str, **more: Any) -> Any:
    """Return what is read of one prompt."""
    return read_openwebui([ForeignFile("f", [item(content, **more)])])


def rendered(content: str, values: dict[str, Any]) -> str:
    """Return the text that an imported prompt renders, of values by their names there."""
    with Registry(":memory:") as registry:
        registry._import(read(content).prompts)
        names = variable_names(definitions_of(content))
        return registry.render("p", {name: values[given] for given, name in names.items() if given in values}).text


CONTENTS = [
    "Summarize {{text}} in {{ n }} words",
    '{{text | textarea:placeholder="Paste: it":required}} {{text}}',
    'Tone: {{tone | select:options=["a:b","c d"]:default="a:b"}}',
    '{{n | number:min=1:max=9:default=5}} {{flag | checkbox:label="Yes?"}}',
    "{{CLIPBOARD}} on {{CURRENT_DATE}} by {{USER_NAME}} {{text}}",
    "{{user-name}} {{user.name}} {{not}} {{text}}",
    "{{#if x}} {{/if}} {{else|}} {% if %} {{text}} {# c #} {",
    "{{{text}}} {{{{text}}}} {text} {{ text with spaces }}",
    "{{text|}} {{|text}} {{}} {{ }} {{text",
    "CSS a{{b: c}} only",
    "\\frac{{text}}{2} ${{n}} }}{{",
    '{{text | text:default="a=b:c"}}\n\n{{ when | date:required }}\n',
]
VALUES = {
    "plain": ("Ana", 7, True),
    "tags": ("{{ n }} {{text}} {% x %}", 1.5, False),
    "braces": ("}} {", -1, True),
    "empty": ("", 0, False),
}


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("content", CONTENTS)
def test_contents_render_what_the_chat_inserts(content: str, value: str) -> None:
    """Every character that is in no variable is kept, and a value is never read as template."""
    text, number, flag = VALUES[value]
    texts = ["text", "user-name", "user.name", "not", "when", *FILLED_IN]
    values = {**dict.fromkeys(texts, text), "n": number, "flag": flag, "tone": "c d"}
    assert rendered(content, values) == inserted(content, values)


def test_fields_that_stay_empty_render_nothing() -> None:
    """All but required ones may stay empty, and have their default then."""
    content = '[{{a}}{{b | text:default="B"}}{{c | number}}{{d | select:options=["x"]}}{{e | number:default=2}}]'
    assert rendered(content, {}) == "[B2]"
    assert read(content).prompts[0].versions[0].fields["variables"] == [
        {"name": "b", "type": "string", "default": "B"},
        {"name": "c", "type": "any", "default": ""},
        {"name": "d", "type": "string", "default": "", "enum": ["x", ""]},
        {"name": "e", "type": "number", "default": 2},
        {"name": "a", "type": "any", "default": ""},
    ]


def test_typed_fields_become_declared_variables() -> None:
    """With their choices, descriptions and defaults; what has no place is reported."""
    content = (
        '{{a | textarea:placeholder="Paste it":required}} {{b | select:options=["High","Low"]:default="Low":required}}'
        " {{c | range:min=1:max=10:step=2:required}} {{d | checkbox:default=true}} {{e | checkbox}} {{f | email}}"
        " {{g | type=date:required}} {{h | hologram}} {{CURRENT_DATE}} {{i | number:default=many}}"
    )
    found = read(content)
    assert found.prompts[0].versions[0].fields["variables"] == [
        {"name": "a", "type": "string", "description": "Paste it"},
        {"name": "b", "type": "string", "default": "Low", "enum": ["High", "Low"]},
        {"name": "c", "type": "number"},
        {"name": "d", "type": "boolean", "default": True},
        {"name": "e", "type": "boolean", "default": False},
        {"name": "f", "type": "string", "default": ""},
        {"name": "g", "type": "string"},
        {"name": "h", "type": "string", "default": ""},
        {"name": "i", "type": "any", "default": "many"},
        {"name": "CURRENT_DATE", "type": "string", "description": "Open WebUI fills this in"},
    ]
    assert [note.text for note in found.notes] == [
        "not carried over of c: min, max, step",
        "e is false where it is not passed; Open WebUI then writes nothing",
        "h is a text here: the type of its field is unknown",
        "CURRENT_DATE must be passed: Open WebUI fills it in itself",
    ]


def test_a_prompt_of_the_older_and_of_the_newer_shape_is_read() -> None:
    """The command is the name; what belongs to Open WebUI alone is reported; one that is not active is disabled."""
    older = {
        **{"command": "/Sum Up", "user_id": "u", "title": "Sum", "content": "a", "timestamp": 1},
        **{"access_control": {"read": {"group_ids": ["g"]}}, "user": {"id": "u"}},
    }
    newer = {
        **{
            "id": "1",
            "command": "fix",
            "user_id": "u",
            "name": "Fix it",
            "content": "{{a b}}b",
            "data": {},
            "meta": {"x": 1},
        },
        **{
            "tags": ["t"],
            "is_active": False,
            "version_id": "v",
            "created_at": 1,
            "access_grants": [],
            "commit_message": "m",
        },
    }
    found = read_openwebui([ForeignFile("f", [older]), ForeignFile("g", {"items": [newer], "total": 1})])
    with Registry(":memory:") as registry:
        registry._import(found.prompts)
        first, second = registry.get("sum_up"), registry.get("fix")
    assert (first.title, first.template, first.status) == ("Sum", "a", "active")
    assert (second.title, second.template, second.syntax) == ("Fix it", "{{a b}}b", "plain")
    assert (second.tags, second.meta, second.status, second.commit_message) == (["t"], {"x": 1}, "disabled", "m")
    assert [(note.prompt, note.version, note.text) for note in found.notes] == [
        ("sum_up", None, "was named 'Sum Up'"),
        ("sum_up", 1, "not carried over: user_id, timestamp, access_control, user"),
        ("fix", 1, "not carried over: id, user_id, version_id, created_at"),
    ]


@pytest.mark.parametrize("name", [None, ""])
def test_a_title_of_the_older_shape_stands_where_there_is_no_name(name: Any) -> None:
    """Both shapes may be mixed."""
    assert read("a", name=name).prompts[0].versions[0].fields["title"] == "P"


def test_a_variable_whose_name_is_not_valid_is_renamed_and_told() -> None:
    """Names with other characters than letters, digits, dots and hyphens stay text."""
    notes = [note.text for note in read("{{user-name}} {{user_name}} {{a/b}} {{#x}}\r\n").notes]
    assert notes == [
        "the variable 'user-name' is user_name_2",
        "2 tags that name no variable stay text",
        "carriage returns became line feeds",
    ]


BAD: dict[str, tuple[Any, dict[str, str]]] = {
    "no command": ({"content": "a"}, {"f.command": "must be text, not null"}),
    "a blank command": (item("a", " / "), {"f.command": "must not be empty"}),
    "a command twice": (
        [item("a", "/p"), item("b", "p")],
        {"f[0].command": "occurs twice", "f[1].command": "occurs twice"},
    ),
    "no content": ({"command": "p"}, {"f.content": "must be text, not null"}),
    "an empty content": ([item("")], {"f[0].template": "must not be empty"}),
    "many flaws": (
        item(1, title=2, tags="x", meta=[1]),
        {
            "f.content": "must be text, not a number",
            "f.title": "must be text, not a number",
            "f.tags": "must be an array of texts, not text",
            "f.meta": "must be an object, not an array",
        },
    ),
    "a tag that is no text": (item("a", tags=[1]), {"f.tags[0]": "must be text, not int"}),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_prompt_is_an_error_with_its_place(name: str) -> None:
    """Everything that is wrong is told at once."""
    value, errors = BAD[name]
    with Registry(":memory:") as registry, pytest.raises(InvalidInputError) as caught:
        registry._import(read_openwebui([ForeignFile("f", value)]).prompts)
    assert {error["field"]: error["reason"] for error in caught.value.details["errors"]} == errors


@pytest.mark.slow
def test_hostile_definitions_take_no_time() -> None:
    """Brackets, quotes, escapes and braces without an end are text; an expression that goes back would take hours."""
    for definition in ("[" * 5_000, '"' * 5_001, "\\" * 5_000, ":" * 5_000, "=" * 5_000, "x:options=" + "[" * 50_000):
        assert rendered(f"{{{{a | {definition}}}}}", {}) == ""
    wide = " " * 20_000
    for text in (
        "{{",
        "{{a",
        "{{a|",
        "{{ ",
        "{{a | x",
        f"{{{{{wide}",
        f"{{{{a|{wide}",
        f"{{{{a| x{wide}",
        "|",
        "{{a}}|",
    ):
        for end in ("", "}}"):
            content = text * (100_000 // len(text)) + end
            pieces = pieces_of(content, definitions_of(content))
            assert "".join(p.source if isinstance(p, Tag) else p for p in pieces) == content
    assert rendered("{{a | textarea:default=" + "x" * 50_000 + "}}", {}) == "x" * 50_000


PIECES = st.sampled_from(
    [
        *("{{a}}", "{{ b }}", "{{a | text}}", "{{b|number:default=1}}", "{{c-d}}", "{{CLIPBOARD}}", "{{ CLIPBOARD }}"),
        *(
            "{",
            "}",
            "{{",
            "}}",
            "|",
            ":",
            " ",
            "{%",
            "%}",
            "{#",
            "{% raw %}",
            "{% endraw %}",
            "\n",
            "x",
            "\\",
            '"',
            "{{#x}}",
        ),
    ]
)


@settings(max_examples=10)
@given(st.lists(PIECES, min_size=1, max_size=10).map("".join), st.sampled_from(["", "V", "{{a}}", "}}"]))
def test_generated_contents_render_what_the_chat_inserts(content: str, value: str) -> None:
    """Whatever a content is made of."""
    names = {given: name for given, name in variable_names(definitions_of(content)).items() if name is not None}
    with Registry(":memory:") as registry:
        prompts = [prompt._replace(versions=[_untyped(prompt.versions[0])]) for prompt in read(content).prompts]
        registry._import(prompts)
        given = registry.render("p", dict.fromkeys(names.values(), value)).text
    assert given == inserted(content, dict.fromkeys(names, value))


def _untyped(version: Any) -> Any:
    """Return a version that takes texts for numbers too."""
    return version._replace(fields={**version.fields, "variables": []})
