"""Langfuse's prompts, imported, render what Langfuse's own client compiles: hand-written, hostile and generated."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from langfuse.api import Prompt_Chat, Prompt_Text
from langfuse.model import ChatPromptClient, TemplateParser, TextPromptClient

from promptreg import InvalidInputError, Registry
from promptreg.files import import_from
from promptreg.files.foreign.langfuse import read_langfuse
from promptreg.files.foreign.literal import variable_names
from promptreg.files.foreign.results import ForeignFile

VARIABLES = ["name", "user name", "a.b", "x-y", "not", "Größe", "range", "self", "_x1", "2nd", "#if x", "/if", 'a"b']
VALUES = {
    "plain": "Ana",
    "tags": "{{ name }} {{user name}} {% if x %} {# c #}",
    "braces": "}} { } {{ {% endraw %}",
    "empty": "",
    "lines": "a\nb\n",
}


def text(prompt: str, **more: Any) -> Prompt_Text:
    """Return a text prompt as Langfuse's client has it."""
    fields = {"name": "p", "version": 1, "config": {}, "labels": ["production"], "tags": []} | more
    return Prompt_Text(type="text", prompt=prompt, **fields)


def chat(*messages: dict[str, Any], **more: Any) -> Prompt_Chat:
    """Return a chat prompt as Langfuse's client has it."""
    fields = {"name": "p", "version": 1, "config": {}, "labels": ["production"], "tags": []} | more
    return Prompt_Chat(type="chat", prompt=[*messages], **fields)


def imported(prompts: list[Any], folder: Path) -> Registry:
    """Import prompts from the JSON that Langfuse's client writes."""
    file = folder / "export.json"
    file.write_text(json.dumps([json.loads(prompt.json()) for prompt in prompts]), encoding="utf-8")
    registry = Registry(":memory:")
    import_from(registry, "langfuse", file)
    return registry


def here(values: dict[str, Any]) -> dict[str, Any]:
    """Return values by the names that the variables have here."""
    return {name: values[given] for given, name in variable_names(values).items() if name is not None}


def there(values: dict[str, Any]) -> dict[str, Any]:
    """Return values by the names that the variables have there, without those that can't be variables here."""
    return {given: values[given] for given, name in variable_names(values).items() if name is not None}


TEXTS = [
    "Hello {{name}}, {{ user name }}!",
    "{{name}}{{name}} {{ \n name\t }}",
    "{name} {{{name}}} {{{{name}}}} { {{name}} }",
    "{%if a%}{{name}}{% endif %} {# {{name}} #} {%- raw -%}{{name}}",
    "{% raw %}{{name}}{% endraw %}{% endraw %}{{name}}",
    'JSON: {"a": {"b": {{name}}}}, {{"a": 1}} {{name}}',
    "\\frac{{{name}}}{{2}} #{{name}} ${{ name }}",
    "{{#if x}} {{/if}} {{> part}} {{! c }} {{name | upper}} {{name}}",
    "{{}} {{ }} {{name}} {{",
    "{{name}} }} {{ name",
    "{{not}} {{self}} {{range}} {{Größe}} {{_x1}} {{2nd}}",
    "{{a.b}} {{x-y}} {{a.b}}",
    "{{ '{{' }}{{name}}{{ '}}' }}",
    "text without variables",
    "only {{ braces that are text",
    "CSS a {b: {{c d: e}}} {% x %}",
    "\n{{name}}\n",
    "{{name}}-{{name}}+%}#}",
    "\\{{name}}\\n'\"",
    "{{name}}\u2028\x85\x0b\ufeff",
]


@pytest.mark.parametrize("value", VALUES)
def test_texts_render_what_langfuse_compiles(value: str, tmp_path: Path) -> None:
    """Each character that is in no variable is kept, and a value is never read as template."""
    prompts = [text(prompt, name=f"p{i}") for i, prompt in enumerate(TEXTS)]
    values = dict.fromkeys(VARIABLES, VALUES[value])
    with imported(prompts, tmp_path) as registry:
        for prompt in prompts:
            compiled = TemplateParser.compile_template(prompt.prompt, there(values))
            assert registry.render(prompt.name, here(values)).text == compiled, prompt.prompt


@pytest.mark.parametrize("value", [0, 1.5, True, [1, "a"], {"a": 1}, -7])
def test_values_that_are_no_texts_are_written_as_langfuse_writes_them(value: Any, tmp_path: Path) -> None:
    """This holds for numbers, booleans, lists and mappings."""
    prompt = text("[{{name}}]")
    with imported([prompt], tmp_path) as registry:
        assert registry.render("p", name=value).text == TextPromptClient(prompt).compile(name=value)


def test_chats_render_what_langfuse_compiles(tmp_path: Path) -> None:
    """Messages keep their roles and contents, and a placeholder's messages come out whole."""
    prompt = chat(
        {"role": "system", "content": "You are {{ user name }}. {{#x}} {% y"},
        {"type": "placeholder", "name": "chat history"},
        {"type": "chatmessage", "role": "user", "content": "{{name}}?"},
        {"role": "assistant", "content": ""},
        {"role": "developer", "content": "{{{{"},
    )
    history = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Ho", "tool_calls": [{"id": "1"}]}]
    given = {"name": "{{x}}", "user name": "Ana", "chat history": history}
    with imported([prompt], tmp_path) as registry:
        assert registry.render("p", here(given)).messages == ChatPromptClient(prompt).compile(**given)


def test_a_variable_keeps_its_text_where_jinja_reads_the_same() -> None:
    """So a template that is Jinja already is unchanged, and the next export differs in nothing else."""
    for prompt in ("{{name}} {{ name }} {{  name\n}}", "No variable { at } all"):
        (read,) = read_langfuse([ForeignFile("f", json.loads(text(prompt).json()))]).prompts
        assert read.versions[0].fields == {"template": prompt, "tags": []}


def test_a_text_without_variables_is_plain_where_jinja_would_change_it() -> None:
    """Its line ends are kept as well."""
    for prompt in ("a {% b", "a {{b", "{{#a}} {# b", "a\r\nb\rc"):
        (read,) = read_langfuse([ForeignFile("f", json.loads(text(prompt).json()))]).prompts
        assert read.versions[0].fields == {"template": prompt, "syntax": "plain", "tags": []}


def notes(*versions: Any) -> list[tuple[int | None, str]]:
    """Return the notes about one prompt."""
    files = [ForeignFile(f"f[{i}]", value) for i, value in enumerate(versions)]
    return [(note.version, note.text) for note in read_langfuse(files).notes]


def item(prompt: Any, number: int = 1, **more: Any) -> dict[str, Any]:
    """Return an object of the API."""
    return {"name": "p", "version": number, "prompt": prompt} | more


def test_each_change_is_reported() -> None:
    """By prompt and version: names, roles, braces, line ends, labels, config, and what has no place here."""
    message = {"role": "Human", "content": "{{user name}}\r\n{{#x}}", "tool_calls": []}
    other = {"role": "critic", "content": "@@@langfusePrompt:name=q|label=production@@@ {{user_name}}"}
    assert notes(
        item([message, other], createdAt="2026", id="1", labels=["7", "7", "to review"], config=3, tags=["a", " "]),
        item([{"type": "placeholder", "name": "history"}, other], 3, labels=["7"], resolutionGraph=None),
    ) == [
        (None, "the variable 'user name' is user_name_2"),
        (1, "the role 'Human' of a message is user"),
        (1, "tool_calls of a message is not carried over"),
        (1, "the role 'critic' of a message is user"),
        (1, "1 tag that names no variable stays text"),
        (1, "carriage returns became line feeds"),
        (1, "references to other prompts (@@@langfusePrompt) stay text"),
        (1, "not carried over: createdAt, id"),
        (1, "config is no object, so it is value in config"),
        (1, "an empty tag is not carried over"),
        (2, "was version 3"),
        (2, "the role 'critic' of a message is user"),
        (2, "references to other prompts (@@@langfusePrompt) stay text"),
        (2, "the messages of history are not read as templates, which Langfuse does"),
        (1, "the label '7' is label-7"),
        (1, "the label 'to review' is to-review"),
        (2, "the label '7' is label-7"),
        (1, "the label label-7 is at a newer version too, and there here"),
    ]


def test_a_renamed_variable_has_one_name_in_all_versions() -> None:
    """A caller passes the same variables to each version."""
    read = read_langfuse([ForeignFile("f", [item("{{a b}}"), item("{{a b}} {{a_b}}", 2)])])
    assert [version.fields["template"] for version in read.prompts[0].versions] == [
        "{{ a_b_2 }}",
        "{{ a_b_2 }} {{a_b}}",
    ]


@pytest.mark.parametrize("label", ["Production", "PRODUCTION", "x" * 60, "ü", "☕"])
def test_a_label_that_is_not_valid_becomes_one_that_is(label: str) -> None:
    """What is not labelled production exactly is not live."""
    (read,) = read_langfuse([ForeignFile("f", item("a", labels=[label]))]).prompts
    with Registry(":memory:") as registry:
        registry._import([read])
        assert len(registry.get("p@1").labels) == 2
        assert registry.get("p@1").production_version is None


BAD: dict[str, tuple[Any, dict[str, str]]] = {
    "the list of prompts": (
        {"data": [{"name": "p", "versions": [1]}]},
        {
            "f.data[0]": "has no prompt; the list of prompts has none:"
            " get each version by GET /api/public/v2/prompts/NAME?version=N"
        },
    ),
    "no version": ({"name": "p", "prompt": "a"}, {"f.version": "must be a number, not null"}),
    "a version that is true": (item("a", True), {"f.version": "must be a number, not a boolean"}),
    "version 0": (item("a", 0), {"f.version": "must be from 1 to 1,000,000,000"}),
    "a blank name": (item("a", name=" "), {"f.name": "must not be empty"}),
    "an unknown type": (item("a", type="image"), {"f.type": "must be text or chat"}),
    "a chat that is a text": (item("a", type="chat"), {"f.prompt": "must be an array of messages, not text"}),
    "a text that is a chat": (item([], type="text"), {"f.prompt": "must be text, not an array"}),
    "an empty text": (item(""), {"f.template": "must not be empty"}),
    "no message": (item([]), {"f.template": "must not be empty"}),
    "a version that occurs twice": (
        [item("a"), item("b", 2), item("c")],
        {"f[2].version": "occurs twice: f[0] has the same version of this prompt"},
    ),
    "many flaws": (
        [item([{"role": 1, "content": None}, 3, {"type": "placeholder"}], tags="x", labels=[1]), item(4, name=None)],
        {
            "f[0].prompt[0].role": "must be text, not a number",
            "f[0].prompt[1]": "must be an object, not a number",
            "f[0].prompt[2].name": "must be text, not null",
            "f[0].labels[0]": "must be text, not a number",
            "f[0].tags": "must be an array of texts, not text",
            "f[1].name": "must be text, not null",
            "f[1].prompt": "must be an array of messages, not a number",
        },
    ),
    "a lone surrogate": (item("\ud800"), {"f.template": "at $: a lone surrogate at character 0"}),
}


@pytest.mark.parametrize("name", BAD)
def test_what_is_no_prompt_is_an_error_with_its_place(name: str) -> None:
    """Everything that is wrong is told at once."""
    value, errors = BAD[name]
    with Registry(":memory:") as registry, pytest.raises(InvalidInputError) as caught:
        registry._import(read_langfuse([ForeignFile("f", value)]).prompts)
    assert {error["field"]: error["reason"] for error in caught.value.details["errors"]} == errors


def test_deep_and_wide_values_are_bounded() -> None:
    """A config that is too deep is refused, with the place of its version."""
    deep: dict[str, Any] = {}
    for _ in range(100):
        deep = {"a": deep}
    with Registry(":memory:") as registry, pytest.raises(InvalidInputError) as caught:
        registry._import(read_langfuse([ForeignFile("f", item("a", config=deep))]).prompts)
    assert [error["field"] for error in caught.value.details["errors"]] == ["f.config"]


PIECES = st.sampled_from(
    [f"{{{{{space}{name}{space}}}}}" for name in VARIABLES for space in ("", " ", "\n")]
    + "{ } {{ }} {% %} {# #} {%- -%} raw endraw if \\ ' \" - + \r\n \r \n a é".split(" ")
    + ["{% raw %}", "{% endraw %}", "{{ '{{' }}", " "]
)
GENERATED = st.lists(st.lists(PIECES, min_size=1, max_size=10).map("".join), min_size=10, max_size=20)


@settings(max_examples=5)
@given(GENERATED, st.sampled_from([*VALUES.values()]))
def test_generated_texts_render_what_langfuse_compiles(prompts: list[str], value: str) -> None:
    """Whatever a text is made of; where it has a variable its line ends are line feeds."""
    require_same(prompts, value)


@pytest.mark.slow
@settings(max_examples=300)
@given(
    st.lists(st.text(alphabet="{}%#-+ ax_.\n\r'\"\\|\u2028é", min_size=1, max_size=30), min_size=1, max_size=20),
    st.text(alphabet="{}%# a\n", max_size=6),
)
def test_any_text_renders_what_langfuse_compiles(prompts: list[str], value: str) -> None:
    """Of any characters, and with any value."""
    require_same(prompts, value)


def require_same(prompts: list[str], value: str) -> None:
    """Import texts, and compare each render with what Langfuse compiles, every variable having the same value."""
    items = [item(prompt, name=f"p{i}", labels=["production"]) for i, prompt in enumerate(prompts)]
    with Registry(":memory:") as registry:
        registry._import(read_langfuse([ForeignFile("f", items)]).prompts)
        for i, prompt in enumerate(prompts):
            stored = registry.get(f"p{i}")
            found = TemplateParser.find_variable_names(prompt)
            usable = [raw for raw, name in variable_names(sorted({*found})).items() if name is not None]
            is_unix = stored.syntax == "jinja"
            source = prompt.replace("\r\n", "\n").replace("\r", "\n") if is_unix else prompt
            compiled = TemplateParser.compile_template(source, dict.fromkeys(usable, value))
            assert stored.render({variable.name: value for variable in stored.variables}).text == compiled
            assert len(stored.variables) == len(usable)
