"""Prompty's files, imported, render the messages that Prompty itself prepares; what can't be carried over is told."""

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from promptreg import InvalidInputError, Registry
from promptreg.files import import_from
from promptreg.files.flaws import FormatError
from promptreg.files.foreign.prompty import PromptyFile, read_prompty
from promptreg.files.foreign.prompty_body import read_body

V2 = """---
name: Basic Prompt
displayName: Basic
description: 'A prompt --- with dashes'
metadata:
  authors: [ana, bo]
  tags: [basic, chat]
  version: 2026-01-02
model:
  id: gpt-5
  provider: openai
  apiType: chat
  connection: {kind: key, apiKey: "${env:KEY}"}
  options:
    temperature: 0.2
    maxOutputTokens: 100
    additionalProperties: {user: ana}
inputs:
  firstName: {kind: string, default: Jane, description: Who asks, example: Ana}
  question: {kind: string, required: true, example: 'Why?'}
  tone: {kind: string, enumValues: [calm, terse], default: calm}
  docs: {kind: array, items: {kind: string}}
outputs:
  answer: {kind: string}
tools:
  - {name: search, kind: function}
template: {format: {kind: jinja2, strict: true}, parser: {kind: prompty}}
---
system:
You are an assistant.
{% for doc in docs %}- {{ doc }}
{% endfor %}
user[name="{{firstName}}"]:
{{question}}
"""
V1 = """---
name: Basic Prompt
description: A basic prompt
authors:
  - ana
version: "1.0"
tags: [a, b]
model:
  api: chat
  configuration:
    type: azure_openai
    azure_deployment: gpt-35-turbo
    azure_endpoint: ${env:ENDPOINT}
  parameters:
    max_tokens: 3000
  response: first
sample:
  firstName: Jane
  question: Why?
inputs:
  question: {type: string, description: What is asked}
  count: {type: int, default: 3}
template: jinja2
---
system:
You are an assistant of {{firstName}}.

user:
{{question}}
"""


def file_of(body: str, front: str = "name: P") -> str:
    """Return the text of a file."""
    return f"---\n{front}\n---\n{body}"


def rendered(file: PromptyFile, **inputs: Any) -> list[dict[str, Any]]:
    """Return the messages that the fields of a file render, once the registry has taken them."""
    with Registry(":memory:") as registry:
        return registry.create("p", **file.fields).render(inputs).messages


def errors_of(text: str) -> dict[str, str]:
    """Return what is wrong with a file, by line."""
    with pytest.raises(FormatError) as caught:
        read_prompty(text)
    return {str(error.line): error.reason for error in (caught.value, *caught.value.others)}


# What a file says


def test_a_file_of_the_second_version_becomes_a_prompt() -> None:
    """The model becomes config, inputs become variables, and what has no field stays in meta."""
    file = read_prompty(V2)
    assert file.name == "Basic Prompt"
    assert file.fields | {"template": ...} == {
        "title": "Basic",
        "description": "A prompt --- with dashes",
        "tags": ["basic", "chat"],
        "template": ...,
        "variables": [
            {"name": "firstName", "type": "string", "description": "Who asks", "default": "Jane"},
            {"name": "question", "type": "string"},
            {"name": "tone", "type": "string", "enum": ["calm", "terse"], "default": "calm"},
            {"name": "docs", "type": "array", "default": []},
        ],
        "examples": [{"firstName": "Ana", "question": "Why?"}],
        "config": {
            "model": "gpt-5",
            "provider": "openai",
            "api": "chat",
            "temperature": 0.2,
            "maxOutputTokens": 100,
            "user": "ana",
        },
        "meta": {
            "authors": ["ana", "bo"],
            "version": "2026-01-02",
            "outputs": {"answer": {"kind": "string"}},
            "tools": [{"name": "search", "kind": "function"}],
        },
    }
    assert file.notes == [
        "model.connection is not carried over: it belongs to the application",
        "items of the input docs is not carried over",
        "outputs is kept in meta",
        "tools is kept in meta",
        "a message that begins or ends with a block is within a filter that removes its empty lines",
        "the attribute name of a role is not carried over",
    ]


def test_a_file_of_the_first_version_becomes_a_prompt() -> None:
    """Its sample is an example, which is rendered before the version goes live."""
    file = read_prompty(V1)
    assert file.fields == {
        "title": "Basic Prompt",
        "description": "A basic prompt",
        "tags": ["a", "b"],
        "template": [
            {"role": "system", "content": "You are an assistant of {{firstName}}."},
            {"role": "user", "content": "{{question}}"},
        ],
        "variables": [
            {"name": "question", "type": "string", "description": "What is asked", "default": ""},
            {"name": "count", "type": "integer", "default": 3},
        ],
        "examples": [{"firstName": "Jane", "question": "Why?"}],
        "config": {"model": "gpt-35-turbo", "provider": "azure_openai", "api": "chat", "max_tokens": 3000},
        "meta": {"authors": ["ana"], "version": "1.0"},
    }
    assert "model.configuration.azure_endpoint is not carried over: it belongs to the application" in file.notes
    assert rendered(file, firstName="Ana")[1] == {"role": "user", "content": ""}


def test_a_role_may_have_a_name() -> None:
    """Its other attributes are not carried over."""
    file = read_prompty(file_of('user[name="ana", level=3]:\nHello'))
    assert file.fields["template"] == [{"role": "user", "name": "ana", "content": "Hello"}]
    assert file.notes == ["the attribute level of a role is not carried over"]


def test_references_to_the_environment_and_to_files_are_kept_and_told() -> None:
    """Nothing but the text is read, so that no secret gets into a prompt."""
    front = "model: ${env:MODEL:gpt-5}\ninputs:\n  a: {kind: string, default: '${file:a.txt}'}\nsample: s.json"
    file = read_prompty(file_of("Hello", front))
    assert file.fields["config"] == {"model": "${env:MODEL:gpt-5}"}
    assert file.notes == [
        "${…} in model is kept as it is: no environment variable or other file is read",
        "${…} in inputs is kept as it is: no environment variable or other file is read",
        "the sample is in another file, which is not read",
    ]


def test_a_completion_of_the_first_version_is_a_text() -> None:
    """No line in it begins a message."""
    file = read_prompty(file_of("system:\nHello\n", "model: {api: completion}"))
    assert file.fields["template"] == "system:\nHello"


def test_inputs_that_do_not_fit_are_told() -> None:
    """A default of another type, a name that is no variable's, and an input that must be passed here."""
    front = """inputs:
  - {name: n, kind: integer, default: many}
  - {name: not a name, kind: string}
  - {name: when, kind: date}
  - {name: maybe, kind: string, nullable: true}
  - {name: sound, kind: audio}
  - {name: flag, kind: integer, default: true}"""
    file = read_prompty(file_of("{{n}}{{when}}{{maybe}}{{sound}}", front))
    assert file.fields["variables"] == [
        {"name": "n", "type": "any", "default": "many"},
        {"name": "when", "type": "any"},
        {"name": "maybe", "type": "any"},
        {"name": "sound", "type": "string", "default": ""},
        {"name": "flag", "type": "any", "default": True},
    ]
    assert file.notes == [
        "the default of n is not of its type, so it takes any value",
        "an input whose name is no variable's is not carried over",
        "when must be passed: Prompty renders nothing where it is absent",
        "maybe must be passed: Prompty renders nothing where it is absent",
        "the default of flag is not of its type, so it takes any value",
        "the audio sound is text here",
    ]


def test_a_loop_over_a_conversation_becomes_a_placeholder() -> None:
    """The roles of its messages are values, which no line here can be."""
    loop = "{% for item in history %}\n{{item.role}}:\n{{item.content}}\n{% endfor %}\n"
    file = read_prompty(file_of(f"system:\nHello\n\n{loop}\nuser:\n{{{{q}}}}"))
    assert file.fields["template"][1] == {"placeholder": "history"}
    assert file.notes == ["the loop that writes the messages of history became a placeholder"]
    other = read_prompty(file_of("system:\nA\n{{ role }}:\nB"))
    assert other.notes == ["a line whose role is a variable is text here: no value can name a role"]


BAD: dict[str, tuple[str, dict[str, str]]] = {
    "empty": ("", {"1": "must begin with front matter between two lines ---"}),
    "no front matter": ("\n\nHello", {"3": "must begin with front matter between two lines ---"}),
    "no end": ("---\nname: a\n", {"1": "the front matter has no end: put a line --- after its last key"}),
    "no body": ("---\nname: a\n---\n \n", {"4": "the body must not be empty"}),
    "markers alone": ("---\nname: a\n---\nsystem:\nuser:", {"4": "the body must hold a message"}),
    "a list": ("---\n- a\n---\nb", {"2": "must be a mapping: `key: value` on each line"}),
    "not YAML": ("---\na: 1\nb: [1\n---\nb", {"3": "is no YAML: expected ',' or ']', but got '<stream end>'"}),
    "a key twice": ("---\nname: a\nname: b\n---\nb", {"3": "stands here for the second time; keep one"}),
    "a key that is a list": ("---\n[a]: b\n---\nb", {"2": "a key must be text"}),
    "an anchor": (
        "---\n\na: &x [1]\nb: *x\n---\nb",
        {"3": "anchors (&) are not taken: leave it out, or quote the text"},
    ),
    "a tag": (
        "---\na: !!python/object:os.system x\n---\nb",
        {"2": "tags (!) are not taken: leave it out, or quote the text"},
    ),
    "a control character": ("---\na: \x01\n---\nb", {"2": "holds U+0001, which YAML takes only escaped"}),
    "2,000 lists deep": (f"---\na: {'[' * 2_000}\n---\nb", {"2": "has more than 64 levels"}),
    "a number of 5,000 digits": (f"---\na: {'1' * 5000}\n---\nb", {"2": "is no number, or one of too many digits"}),
    "a body of 10,000,001 characters": (f"---\na: b\n---\n{'x' * 10_000_000}", {"1": "has over 10,000,000 characters"}),
    "many flaws": (
        "---\nname: 1\ndescription: [a]\nmodel: 3\ninputs: 4\ntags: [1]\nsample: 5\nmetadata: x\n---\n",
        {
            "2": "name must be text",
            "3": "description must be text",
            "4": "model must be text or an object",
            "5": "inputs must be an object, or a list of objects",
            "6": "tags must be texts",
            "7": "sample must be an object",
            "8": "metadata must be an object",
            "10": "the body must not be empty",
        },
    ),
    "Mustache": ("---\nname: a\ntemplate: mustache\n---\nb", {"3": "only a template in jinja2 is read"}),
    "another parser": ("---\ntemplate: {format: jinja2, parser: x}\n---\nb", {"2": "only the parser prompty is known"}),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_an_error_with_its_line(name: str) -> None:
    """Everything that is wrong is told at once."""
    text, errors = BAD[name]
    assert errors_of(text) == errors


def test_line_ends_of_windows_and_a_byte_order_mark_change_nothing() -> None:
    """An editor that writes them writes the same prompt."""
    assert read_prompty("\ufeff" + V2.replace("\n", "\r\n")) == read_prompty(V2)


def test_values_are_those_that_prompty_reads(prepared: Any) -> None:
    """YAML's truths and numbers, which the registry's own files take as JSON alone; a date stays text."""
    values = "yes No TRUE off ~ 0x1F 017 1_000 1:30 .5 1e3 -1.5 'yes' y null 3".split()
    inputs = [f"  v{i}: {{kind: any, default: {value}}}" for i, value in enumerate(values)]
    names = [f"v{i}" for i, value in enumerate(values) if value not in {"~", "null"}]
    text = file_of("|".join(f"{{{{ {name} }}}}" for name in names), "\n".join(["inputs:", *inputs]))
    assert rendered(read_prompty(text)) == prepared(text)
    assert read_prompty(file_of("a", "metadata: {when: 2026-01-02}")).fields["meta"] == {"when": "2026-01-02"}
    assert errors_of(file_of("a", "\nmetadata: {n: .inf}")) == {"3": "is no number of JSON"}


@pytest.mark.parametrize(
    "text",
    ["{% for a in b %} ", " ", "# ", "{{ x }}: ", "user[", "user[a=", "system:\n", "{{ history ", "user[aaaaaaaa"],
)
def test_a_hostile_body_takes_no_time(text: str) -> None:
    """A search that begins anew at each character would take hours."""
    for body in (
        text * (100_000 // len(text)) + " " * 100_000,
        f"{text}{' ' * 300_000}{{{{",
        f"user[{'a' * 300_000}]:\na",
    ):
        assert read_body(body, threads=["history"], images=["photo"]).messages is not None


def test_files_are_imported_with_their_places(tmp_path: Path) -> None:
    """The name is the path; an error names the file and the line, a note the prompt."""
    (tmp_path / "chat").mkdir()
    (tmp_path / "chat" / "Basic.prompty").write_text(V2)
    (tmp_path / "old.prompty").write_text(V1)
    with Registry(":memory:") as registry:
        report = import_from(registry, "prompty", tmp_path)
        assert [prompt.name for prompt in registry.list()] == ["chat/basic", "old"]
        assert registry.get("chat/basic").production_version == 1
        assert ("old", 1) in {(note.prompt, note.version) for note in report.notes}
        (tmp_path / "a.prompty").write_text("---\nname: 1\n---\n")
        (tmp_path / "b.prompty").write_text("Hello")
        with pytest.raises(InvalidInputError) as caught:
            import_from(registry, "prompty", tmp_path)
    assert [error["field"] for error in caught.value.details["errors"]] == ["a.prompty:2", "a.prompty:4", "b.prompty:1"]


# The same messages as Prompty's


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A function that returns the messages which Prompty prepares from a file."""
    prompty = pytest.importorskip("prompty", reason="Prompty's own package is not installed")
    file = tmp_path_factory.mktemp("prompty") / "p.prompty"

    def prepare(text: str, **inputs: Any) -> list[dict[str, Any]]:
        file.write_text(text, encoding="utf-8")
        messages = prompty.prepare(prompty.load(file), inputs)
        return [{"role": message.role, "content": message.text} for message in messages]

    return prepare


BODIES = {
    "two messages": "system:\nYou are {{a}}.\n\nuser:\n{{ b }}\n",
    "no marker": "Just {{a}}\n",
    "markers in other forms": "# System :\nA {{a}}\n\n  USER:  \n B {{b}} \nassistant:\nuser:\n\ndeveloper:\nD",
    "a block at the end": "system:\n# Docs\n{% for d in docs %}\n- {{ d }}\n{% endfor %}\n\nuser:\n{{a}}",
    "a block at the start": "system:\n{% if a %}\nA\n{% endif %}\nB\n\nuser:\n{% if b %}yes{% else %}no{% endif %}",
    "filters and macros": "system:\n{{ a | upper }} {{ docs | join(', ') }} {% set x = 3 %}{{ x + 1 }}",
    "raw and comments": "system:\n{# c #}A {% raw %}{{ a }}{% endraw %} {{ '{{' }} {{a}}",
    "braces": "system:\n{ } {a} }} {{a}}} { {{a}} }",
    "other separators": "system:\nA\u2028B\x85C\x0bD {{a}}",
    "white space control": "system:\nA\n\n  {%- if a %} B {% endif -%}\n\n C",
    "spaces at the ends": "\n\n  system:\n  {{a}}  \n\n\n  x  \n\nuser:\n\n\n",
}
INPUTS: dict[str, dict[str, Any]] = {
    "plain": {"a": "Ana", "b": "Why?", "docs": ["x", "y"]},
    "tags": {"a": "{{ b }} {% if x %} {# #}", "b": "{% raw %}", "docs": ["{{ a }}"]},
    "braces": {"a": "}} {", "b": "{{", "docs": []},
    "lines": {"a": "x\ny", "b": "1\n\n2", "docs": ["a\nb"]},
    "empty": {"a": "", "b": "", "docs": []},
}


@pytest.mark.parametrize("values", INPUTS)
@pytest.mark.parametrize("body", BODIES)
def test_bodies_render_the_messages_that_prompty_prepares(body: str, values: str, prepared: Any) -> None:
    """They are the same; only the empty line, or message, that an empty value leaves at an end stays here."""
    text = file_of(BODIES[body])
    ours, theirs = rendered(read_prompty(text), **INPUTS[values]), prepared(text, **INPUTS[values])
    if values == "empty":
        ours, theirs = stripped(ours), stripped(theirs)
    assert ours == theirs


def test_conversations_are_inserted_where_prompty_inserts_them(prepared: Any) -> None:
    """An input of the kind thread is a placeholder: where it stands, and at the end where it stands nowhere."""
    front = "name: P\ninputs:\n  history: {kind: thread}\n  q: {kind: string}"
    history = [{"role": "user", "content": "{{ q }}"}, {"role": "assistant", "content": "user:\nHo"}]
    for body in (
        "system:\nA\n\n{{ history }}\n\nuser:\n{{q}}",
        "system:\nA\nuser:\nbefore {{history}} after {{q}}",
        "system:\n{{q}}",
    ):
        text = file_of(body, front)
        for inputs in ({"history": history, "q": "Q"}, {"history": [], "q": "Q"}):
            assert rendered(read_prompty(text), **inputs) == prepared(text, **inputs)
        assert rendered(read_prompty(text), q="Q") == prepared(text, q="Q")


def test_images_are_parts_of_the_message_before_them() -> None:
    """As Prompty puts them: after the text of the user, or in a message of the user's own."""
    front = "name: P\ninputs:\n  photo: {kind: image}"
    image = {"type": "image_url", "image_url": {"url": "https://x/y.png"}}
    body = "system:\nA {{photo}}\nuser:\nLook {{ photo }} here"
    assert rendered(read_prompty(file_of(body, front)), photo="https://x/y.png") == [
        {"role": "system", "content": "A"},
        {"role": "user", "content": [image]},
        {"role": "user", "content": [{"type": "text", "text": "Look"}, image]},
        {"role": "user", "content": "here"},
    ]


def test_absent_inputs_render_as_prompty_renders_them(prepared: Any) -> None:
    """An input that may be left out renders nothing, or its default."""
    inputs = "a: {kind: string}", "b: {kind: string, default: B}", "c: {kind: array, items: {kind: string}}"
    front = "\n  ".join(["inputs:", *inputs])
    text = file_of("system:\n[{{a}}{{b}}{% for x in c %}x{% endfor %}]{% if a %}!{% endif %}", front)
    assert rendered(read_prompty(text)) == prepared(text) == [{"role": "system", "content": "[B]"}]


def test_a_file_that_prompty_writes_is_read(prepared: Any) -> None:
    """Prompty saves an agent as YAML, which is the front matter of a file."""
    from prompty.core.loader import default_save_context
    from prompty.model import Agent

    agent = Agent.load(
        {
            "name": "Saved",
            "description": "By Prompty: itself",
            "metadata": {"tags": ["a"]},
            "model": {"id": "gpt-5", "provider": "openai", "options": {"temperature": 0.5}},
            "inputs": {
                "q": {"kind": "string", "required": True, "default": "d: [1]"},
                "n": {"kind": "integer", "default": 3},
            },
        }
    )
    text = file_of("system:\n{{n}}\nuser:\n{{q}}", agent.to_yaml(default_save_context()).strip())
    file = read_prompty(text)
    assert (file.fields["title"], file.fields["tags"]) == ("Saved", ["a"])
    assert file.fields["config"] == {"model": "gpt-5", "provider": "openai", "temperature": 0.5}
    for inputs in ({}, {"q": "Q", "n": 4}):
        assert rendered(file, **inputs) == prepared(text, **inputs)


LINES = st.sampled_from(
    [
        *(
            "system:",
            "user:",
            "assistant:",
            "developer:",
            "# user:",
            'user[name="ana"]:',
            "tool:",
            "a user:",
            "user: x",
        ),
        *("", "", "{{a}}", "x {{ b }}", "{{a}}{{b}}", "{% if a %}x{% endif %}", "{# c #}", "- {{ docs | length }}"),
        *("{% for d in docs %}{{ d }}{% endfor %}", "text", " indented", "{ } }}", "{% raw %}{{{% endraw %}"),
    ]
)


@settings(max_examples=12)
@given(st.lists(LINES, min_size=1, max_size=8).map("\n".join), st.sampled_from([*INPUTS.values()]))
def test_generated_bodies_render_the_messages_that_prompty_prepares(
    prepared: Any, body: str, values: dict[str, Any]
) -> None:
    """Whatever their lines are; empty lines at the ends of a message don't count."""
    require_same(prepared, body, values)


@pytest.mark.slow
@settings(max_examples=400)
@given(st.lists(LINES, min_size=1, max_size=20).map("\n".join), st.sampled_from([*INPUTS.values()]))
def test_longer_bodies_render_the_messages_that_prompty_prepares(
    prepared: Any, body: str, values: dict[str, Any]
) -> None:
    """The same, with more lines and more examples."""
    require_same(prepared, body, values)


def require_same(prepared: Any, body: str, values: dict[str, Any]) -> None:
    """Compare roles and contents, but for the empty lines that values leave at the ends of a message."""
    text = file_of(body)
    try:
        read_prompty(text)
    except FormatError:  # nothing but markers, which is no prompt
        return
    assert stripped(rendered(read_prompty(text), **values)) == stripped(prepared(text, **values))


def stripped(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return roles and contents, without empty lines at the ends of messages, and empty messages at the end."""
    listed = [{"role": message["role"], "content": message["content"].strip("\n")} for message in messages]
    while listed and not listed[-1]["content"]:
        listed.pop()
    return listed
