"""The syntax of a version: `jinja`, `jinja-trim` or `plain` (the end of rule 20)."""

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptreg import (
    InvalidInputError,
    InvalidVariablesError,
    MissingVariablesError,
    NotModifiableError,
    Prompt,
    PublishCheckError,
    Registry,
    RenderLimitError,
    RenderLimits,
    TemplateError,
    TemplateSyntaxError,
)
from promptreg.rendering import template_text as rendering

MARKED = [
    "{{",
    "}}",
    "{%",
    "{#",
    "{{ name }}",
    "{% endraw %}",
    "{% raw %}{{ x }}",
    "{% for %}",
    "{# no end",
    "{{{{",
    "a\r\nb\r\n",
    "a\rb",
    "a\n\n\n",
    " \t ",
    "\ufeffx\u2028\u0085\x1b",
    "{{ x | nope }}{% include 'x' %}",
    "$${{ github.sha }} \\frac{{1}}{{2}}",
]
CHAT = [{"role": "system", "content": "{{ a }}\r\n"}, {"role": "user", "content": "{% b\n"}]


@pytest.fixture(scope="module")
def memory():
    """A registry in memory, shared by tests that each use other prompts."""
    with Registry(":memory:") as opened:
        yield opened


def described(prompt):
    """Return the name of each variable of a prompt, and whether it is required."""
    return {variable.name: variable.required for variable in prompt.variables}


# `plain`


@pytest.mark.parametrize("text", MARKED)
def test_rule_20_a_plain_text_keeps_every_byte(path, text):
    """It renders to itself, is returned as it was given, and so it is in the next process that opens the file."""
    with Registry(path) as registry:
        assert registry.create("p", text, syntax="plain").template == text
        assert registry.render("p").text == registry.render("p", {"name": "x"}).text == text
    with Registry(path) as registry:
        prompt = registry.get("p")
        assert (prompt.template, prompt.syntax, prompt.kind) == (text, "plain", "text")
        for rendered in (prompt.render(), registry.render("p"), registry.render("p@1"), registry.render("p", x=1)):
            assert (rendered.text, rendered.messages) == (text, [{"role": "user", "content": text}])


@given(text=st.text(min_size=1).filter(lambda text: "\0" not in text))
def test_rule_20_any_text_is_plain(memory, text):
    """Whatever can be stored can be plain."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return
    assert memory.save("any", text, syntax="plain").render().text.encode() == text.encode()


def test_rule_20_plain_messages_keep_every_byte_and_placeholders_work(memory):
    """Each content stays as it is; a placeholder brings its messages, and is a variable as ever."""
    plain = memory.create("chat", CHAT, syntax="plain")
    assert plain.render().messages == memory.render("chat").messages == plain.template == CHAT
    assert plain.render().text == "{{ a }}\r\n\n\n{% b\n"
    filled = memory.create("filled", [CHAT[0], {"placeholder": "history"}, CHAT[1]], syntax="plain")
    assert described(filled) == {"history": True}
    passed = [{"role": "user", "content": "{{ c }}\r\n"}]
    assert filled.render(history=passed).messages == [CHAT[0], *passed, CHAT[1]]
    with pytest.raises(MissingVariablesError) as caught:
        filled.render(a=1)
    assert caught.value.details["missing"] == ["history"]
    with pytest.raises(InvalidVariablesError):
        filled.render(history="x")
    optional = memory.update("filled", variables=[{"name": "history", "type": "array", "required": False}])
    assert optional.render().messages == CHAT


def test_rule_20_parts_of_a_plain_chat_keep_every_byte(memory):
    """Texts, URLs and files stay as they are; so do names and tool calls, in every syntax."""
    parts = [
        {"type": "text", "text": "{{ a\r\n"},
        {"type": "image_url", "image_url": {"url": "https://x.example/{{ b }}"}},
        {"type": "file", "file": {"file_data": "{% c", "filename": "{# d"}},
    ]
    chat = [{"role": "user", "content": parts, "name": "ana"}, {"role": "assistant", "content": "}}\r"}]
    plain = memory.create("parts", chat, syntax="plain")
    assert plain.render(a=1).messages == memory.render("parts").messages == plain.template == chat
    assert (plain.render().text, described(plain)) == ("{{ a\r\n\n\n}}\r", {})


def test_a_plain_text_is_found_by_its_words(memory):
    """It is indexed as every template is."""
    memory.create("found", "{{ marmalade }}{% raw", syntax="plain")
    assert [prompt.name for prompt in memory.search("marmalade")] == ["found"]


def test_rule_20_a_plain_text_reads_no_variable(memory):
    """It has no variables but those that are declared, and none of its text is ever parsed or compiled."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(rendering, "parse", lambda *_, **__: pytest.fail("it is parsed"))
        patch.setattr(rendering, "compile_fast", lambda *_: pytest.fail("it is compiled"))
        prompt = memory.create("silent", "{{ a }}", syntax="plain", examples=[{}, {"a": 1}])
        assert described(prompt) == {}
        assert prompt.render().text == memory.update("silent", template="{{ b }}").template.replace("b", "a")


DECLARED = [
    {"name": "n", "type": "integer", "required": True},
    {"name": "kind", "enum": ["a", "b"]},
    {"name": "d", "type": "string", "default": "x"},
]


def test_rule_20_a_declared_variable_of_a_plain_text_is_checked_when_it_is_passed_and_never_required(memory):
    """`Prompt.variables` says so, whatever was declared, and `declared_variables` stay as they were given."""
    prompt = memory.create("declared", "{{ n }}", syntax="plain", variables=DECLARED)
    assert described(prompt) == {"n": False, "kind": False, "d": False}
    assert prompt.declared_variables[0].required is True
    assert memory.save("declared", "{{ n }}", variables=prompt.declared_variables).version == 1
    for render in (prompt.render, lambda *a, **k: memory.render("declared", *a, **k)):
        assert render().text == render({"n": 1, "kind": "a", "other": 1}).text == "{{ n }}"
        with pytest.raises(InvalidVariablesError) as caught:
            render(n="1", kind="c", d=2)
        assert [error["field"] for error in caught.value.details["errors"]] == ["n", "kind", "d"]


def test_rule_20_only_a_declared_placeholder_of_a_plain_chat_is_required(memory):
    """A placeholder is what its declaration says; another variable that is declared as required is not."""
    required = {"name": "history", "type": "array", "required": True}
    chat = [{"placeholder": "history"}, *CHAT]
    prompt = memory.create("mixed", chat, syntax="plain", variables=[*DECLARED, required])
    assert described(prompt) == {"n": False, "kind": False, "d": False, "history": True}
    with pytest.raises(MissingVariablesError) as caught:
        prompt.render()
    assert caught.value.details["missing"] == ["history"]
    assert prompt.render(history=[]).messages == CHAT
    with pytest.raises(TemplateError, match=r"message 1 of 3.*declare it as array"):
        memory.update("mixed", variables=[{"name": "history", "type": "string"}])


def test_rule_20_extra_variables_of_a_plain_text_are_forbidden_where_they_are():
    """With `extra_variables="forbid"` whatever is not declared is refused, as in every prompt."""
    with Registry(":memory:", extra_variables="forbid") as registry:
        registry.create("p", "{{ a }}", syntax="plain", variables=[{"name": "n"}])
        assert registry.render("p", n=1).text == registry.render("p").text == "{{ a }}"
        with pytest.raises(InvalidVariablesError, match="a is not a variable of this prompt"):
            registry.render("p", a=1)


def test_rule_20_wrong_variables_of_a_plain_text_are_invalid_input(memory):
    """Variables are read as for every prompt, though nothing in the text reads them."""
    memory.save("p", "{{ a }}", syntax="plain")
    for wrong in (3, "x", {1: 2}, [("a", 1)]):
        for _ in range(2):
            with pytest.raises(InvalidInputError):
                memory.render("p", wrong)
            with pytest.raises(InvalidInputError):
                memory.get("p").render(wrong)


@pytest.mark.parametrize(
    "template", ["x" * 11, [{"role": "user", "content": "x" * 6}, {"role": "user", "content": "yyyyy"}]]
)
def test_rule_20_a_plain_text_may_be_as_long_as_every_result(template):
    """A longer one than the limit `characters` is refused when it is rendered."""
    with Registry(":memory:", render_limits=RenderLimits(characters=10)) as registry:
        registry.create("p", template, syntax="plain")
        for render in (lambda: registry.render("p"), lambda: registry.get("p").render(), lambda: registry.render("p")):
            with pytest.raises(RenderLimitError) as caught:
                render()
            assert (caught.value.details["limit"], caught.value.details["name"]) == ("characters", "p")
        assert registry.update("p", template="x" * 10).render().text == "x" * 10


def test_rule_20_what_a_render_of_a_plain_text_returns_is_of_this_call(memory):
    """A result that a caller changes is nobody else's, and it pickles."""
    memory.save("p", "{{ a }}", syntax="plain")
    for _ in range(3):
        rendered = memory.render("p")
        assert pickle.loads(pickle.dumps(rendered)) == rendered == memory.get("p").render()
        assert (rendered.text, rendered.name, rendered.version, rendered.prompt.syntax) == ("{{ a }}", "p", 1, "plain")
        rendered.text = "changed"


# The field


def test_rule_1_a_version_has_a_syntax_and_inherits_it(registry):
    """It is `jinja` where none is passed; an update and a save that pass none keep it, and a draft edited in place."""
    assert registry.create("p", "Hi {{ a }}").syntax == "jinja"
    changed = registry.update("p", syntax="plain")
    assert (changed.version, changed.syntax, changed.render().text) == (2, "plain", "Hi {{ a }}")
    assert registry.update("p", template="{{ b").syntax == registry.save("p", "{{ c").syntax == "plain"
    draft = registry.update("p", template="{% if a %}\n x", is_production=False)
    for call in (
        lambda: registry.update("p", syntax="jinja"),
        lambda: registry.update(f"p@{draft.version}", syntax="jinja"),
    ):
        with pytest.raises(TemplateSyntaxError):
            call()
    edited = registry.update(f"p@{draft.version}", template="{% if a %}\n x\n{% endif %}\n", syntax="jinja-trim")
    assert (edited.version, edited.state, edited.render(a=1).text) == (draft.version, "draft", " x\n")
    assert registry.publish("p").syntax == "jinja-trim"
    with pytest.raises(NotModifiableError):
        registry.update(f"p@{draft.version}", syntax="plain")
    assert registry.rollback("p", reason="r").syntax == "plain"
    assert [version.syntax for version in registry.history("p")] == ["jinja-trim", "plain", "plain", "plain", "jinja"]


def test_rule_1_only_another_syntax_is_a_change(registry):
    """It makes a version that differs in the hash, the diff and the event, and the same one makes none."""
    first = registry.create("p", "Hi")
    second = registry.update("p", syntax="jinja-trim")
    assert second.version == registry.save("p", "Hi", syntax="jinja-trim").version == 2
    assert first.content_hash != second.content_hash
    assert first.content_hash == registry.update("p", syntax="jinja").content_hash
    assert '+  "syntax": "jinja-trim",' in registry.diff("p", 1, 2).splitlines()
    assert registry.diff("p", 1, 3) == ""
    (event,) = [event for event in registry.events("p") if event.action == "update" and event.version == 2]
    assert event.details["fields"] == ["syntax"]


def test_rule_9_a_version_is_compiled_under_the_syntax_that_is_passed(memory):
    """Where only the syntax is passed the template is compiled under it, and where it fails nothing is written."""
    memory.create("checked", "{{ a", syntax="plain", examples=[{}])
    for syntax in ("jinja", "jinja-trim"):
        with pytest.raises(TemplateSyntaxError) as caught:
            memory.update("checked", syntax=syntax)
        assert caught.value.details == {"name": "checked", "line": 1}
    memory.update("checked", template="{{ a }}")
    with pytest.raises(PublishCheckError, match=r"examples\[0\].*missing: a"):
        memory.update("checked", syntax="jinja")
    assert memory.get("checked").latest_version == 2


def test_a_prompt_of_another_syntax_is_rendered_by_it(memory):
    """Templates are shared by content, and the syntax is part of it; so it is of a copy with another."""
    text = "{% if true %}\n{{ a }}\n{% endif %}\n"
    for _ in range(2):
        for syntax, rendered in (("jinja", "\n1\n\n"), ("jinja-trim", "1\n"), ("plain", text)):
            prompt = memory.save("shared", text, syntax=syntax)
            assert prompt.render(a=1).text == memory.render("shared", a=1).text == rendered
            assert pickle.loads(pickle.dumps(prompt)).render(a=1).text == rendered
            copies = [prompt.model_copy(update={"syntax": other}) for other in ("jinja", "jinja-trim", "plain")]
            assert [copy.render(a=1).text for copy in copies] == ["\n1\n\n", "1\n", text]
            assert Prompt.model_validate(prompt.model_dump()).syntax == syntax


WRONG = [
    None,
    "",
    3,
    b"plain",
    ["plain"],
    "jinja2",
    "Jinja",
    "text",
    "raw",
    "PLAIN",
    "jinja_trim",
    "mustache",
    "\ud800",
]


@pytest.mark.parametrize("value", WRONG, ids=repr)
def test_a_wrong_syntax_is_invalid_input(memory, value):
    """Every verb that takes one refuses it, and names every other bad field too."""
    memory.save("known", "x")
    for call in (
        lambda: memory.create("new", "x", syntax=value, tags=3),
        lambda: memory.save("new", "x", syntax=value, tags=3),
        lambda: memory.update("known", syntax=value, tags=3),
    ):
        with pytest.raises(InvalidInputError) as caught:
            call()
        assert {error["field"] for error in caught.value.details["errors"]} == {"syntax", "tags"}


@pytest.mark.parametrize(
    ("value", "meant"),
    [
        *[("jinja2", "jinja"), ("Jinja", "jinja"), ("j2", "jinja"), ("jina", "jinja")],
        *[("jinja_trim", "jinja-trim"), ("trim", "jinja-trim"), ("jinjatrim", "jinja-trim")],
        *[("text", "plain"), ("raw", "plain"), ("none", "plain"), ("literal", "plain"), ("PLAIN", "plain")],
    ],
)
def test_a_wrong_syntax_is_answered_with_the_nearest(memory, value, meant):
    """What other tools call it is known."""
    with pytest.raises(InvalidInputError, match=f"must be one of jinja, jinja-trim, plain; did you mean '{meant}'"):
        memory.create("new", "x", syntax=value)


def test_a_rendered_default_is_jinja(memory):
    """Whatever the syntax of the prompt would be."""
    assert memory.render("absent", {"a": 1}, default="{{ a }}\r\n").text == "1\n"
    with pytest.raises(TemplateSyntaxError):
        memory.render("absent", default="{{ a")
