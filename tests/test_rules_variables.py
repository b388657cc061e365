"""Rule 21, and the arguments of render: declared variables, extra ones, models, and defaults."""

from enum import Enum
from typing import Any, Literal

import pytest
from pydantic import BaseModel, Field

from promptreg import (
    Actor,
    ForbiddenError,
    InvalidInputError,
    InvalidVariablesError,
    MissingVariablesError,
    PromptDisabledError,
    PublishCheckError,
    Registry,
    TemplateError,
    TemplatePolicyError,
    TemplateSyntaxError,
    Variable,
)
from promptreg.records import CONTENT
from promptreg.rendering.template import CompiledTemplate
from promptreg.rendering.template_text import TemplateText


@pytest.fixture(scope="module")
def memory():
    """A registry in memory, shared by tests that each save another version of a prompt."""
    with Registry(":memory:") as opened:
        yield opened


def render(registry, template, variables=None, declared=None):
    """Save a template as `t` with its declared variables, and return its rendered text."""
    registry.save("t", template, variables=declared)
    return registry.render("t", variables).text


def invalid(registry, template, variables, declared):
    """Return the fields of variables that a render refuses."""
    with pytest.raises(InvalidVariablesError) as caught:
        render(registry, template, variables, declared)
    assert (caught.value.code, caught.value.http_status) == ("invalid_variables", 422)
    assert caught.value.details["name"] == "t"
    return [e["field"] for e in caught.value.details["errors"]]


class Size(Enum):
    """An enumeration of the values of a variable."""

    SMALL = "s"
    LARGE = "l"


class Person(BaseModel):
    """A model within a model."""

    name: str = "Ana"


class Asked(BaseModel):
    """A class that declares variables."""

    topic: str = Field(description="What about")
    words: int = 20
    ratio: float = 0.5
    loud: bool = False
    tags: list[str] = Field(default_factory=list)
    data: dict[str, Any] = Field(default_factory=dict)
    tone: Literal["kind", "curt"] = "kind"
    size: Size = Size.SMALL
    who: Person = Person()
    note: str | None = None


SAMPLES = {
    "string": "a",
    "integer": 1,
    "number": 1.5,
    "boolean": True,
    "array": [1],
    "object": {"a": 1},
    "null": None,
    "other": object(),
}
ACCEPTED = {
    "string": {"string"},
    "integer": {"integer"},
    "number": {"number", "integer"},
    "boolean": {"boolean"},
    "array": {"array"},
    "object": {"object"},
    "any": set(SAMPLES),
}


@pytest.mark.parametrize("kind", ACCEPTED)
def test_rule_21_types_are_strict(memory, kind):
    """A declared type accepts only its values: no text for a number, no boolean for an integer, no None."""
    declared = [{"name": "v", "type": kind}]
    for sample, value in SAMPLES.items():
        if sample in ACCEPTED[kind]:
            assert render(memory, "{{ v is defined }}", {"v": value}, declared) == "True"
        else:
            assert (sample, invalid(memory, "{{ v is defined }}", {"v": value}, declared)) == (sample, ["v"])


def test_rule_21_further_values_of_a_type(memory):
    """Tuples are arrays and pydantic models objects; floats aren't integers, and texts of digits aren't numbers."""
    for kind, value in (("array", (1, 2)), ("object", Person()), ("string", ""), ("integer", 10**30), ("array", [])):
        assert render(memory, "{{ v is defined }}", {"v": value}, [{"name": "v", "type": kind}]) == "True"
    for kind, value in (("integer", 1.0), ("integer", "1"), ("number", "1.5"), ("boolean", 0), ("string", b"a")):
        assert invalid(memory, "{{ v }}", {"v": value}, [{"name": "v", "type": kind}]) == ["v"]


def test_rule_21_every_wrong_value_is_named_and_none_is_quoted(memory):
    """One error lists each variable that is not as declared, and none of the values."""
    declared = [{"name": "a", "type": "integer"}, {"name": "b", "enum": ["x"]}, {"name": "c", "type": "string"}]
    memory.save("t", "{{ a }}{{ b }}{{ c }}", variables=declared)
    with pytest.raises(InvalidVariablesError) as caught:
        memory.render("t", a="SECRET", b="SECRET", c="fine")
    assert [e["field"] for e in caught.value.details["errors"]] == ["a", "b"]
    assert "SECRET" not in str(caught.value.to_dict())


def test_rule_21_defaults_replace_absent_variables(memory):
    """A default replaces an absent variable of any type, and never one that was passed."""
    declared = [
        {"name": "a", "type": "string", "default": "x"},
        {"name": "b", "type": "array", "default": [1, {"c": 2}]},
        {"name": "d", "default": None},
        {"name": "e", "type": "boolean", "default": False},
        {"name": "f", "type": "string", "default": ""},
    ]
    template = "{{ a }} {{ b[1].c }} {{ d }} {{ e }} [{{ f }}]"
    assert render(memory, template, None, declared) == "x 2 None False []"
    assert render(memory, template, {"a": "", "b": [0, {"c": 0}], "d": 0}, declared) == " 0 0 False []"
    assert {v.name: (v.required, v.default) for v in memory.get("t").variables} == {
        "a": (False, "x"),
        "b": (False, [1, {"c": 2}]),
        "d": (False, None),
        "e": (False, False),
        "f": (False, ""),
    }


def test_rule_21_enum(memory):
    """A value must equal one of the enum, compared as JSON, at any depth."""
    declared = [{"name": "v", "enum": ["a", 1, None, [1], {"k": 0}]}]
    for value in ("a", 1, None, [1], {"k": 0}):
        assert render(memory, "{{ v }}", {"v": value}, declared) == str(value)
    for value in ("A", "", 2, True, False, [], "1", [1, 1], [True], {"k": False}):
        assert (value, invalid(memory, "{{ v }}", {"v": value}, declared)) == (value, ["v"])


def test_rule_21_required(memory):
    """An absent variable is missing if declared as required, even if no use needs it, and otherwise not."""
    guarded = "{{ v | default('x') }}"
    with pytest.raises(MissingVariablesError) as caught:
        render(memory, guarded + "{{ w }}", None, [{"name": "v", "required": True}])
    assert sorted(caught.value.details["missing"]) == ["v", "w"]
    assert render(memory, guarded, None, [{"name": "v", "required": False}]) == "x"
    assert render(memory, guarded, None, [{"name": "v", "type": "string"}]) == "x"


NOT_REQUIRED = [{"name": "v", "required": False}]


def test_rule_21_an_absent_variable_that_is_declared_is_false(memory):
    """It is false wherever its truth is tested; `default` and type tests return what they do in Jinja2."""
    for declared in (NOT_REQUIRED, [{"name": "v"}], [{"name": "v", "type": "integer", "required": False}]):
        for template, expected in (
            ("{% if v %}{{ v }}{% endif %}", ""),
            ("{% if not v %}no{% endif %}", "no"),
            ("{{ 'yes' if v else 'no' }}", "no"),
            ("{{ v or 'x' }}", "x"),
            ("{% if v and v.a %}{{ v.a }}{% endif %}", ""),
            ("{% if v or w %}yes{% endif %}", "yes"),
            ("{{ v is defined }} {{ v is none }} {{ v is string }} {{ v | default('d') }}", "False False False d"),
            ("{% if v is string %}{{ v }}{% endif %}", ""),
            ("{% set u = v %}{% if u %}{{ u }}{% endif %}", ""),
            ("{{ [v] | length }}", "1"),
        ):
            prompt = memory.save("t", template, variables=declared)
            for _ in range(2):
                assert memory.render("t", w=1).text == prompt.render(w=1).text == expected
    assert render(memory, "{% if v %}{{ v }}{% endif %}", {"v": "x"}, NOT_REQUIRED) == "x"


def test_rule_21_a_declared_variable_is_by_default_required_if_a_use_is_unguarded(memory):
    """A truth test guards a use; a variable that is declared as not required is optional, whatever its uses."""
    for template, declared, is_required in (
        ("{% if v %}{{ v }}{% endif %}", [{"name": "v"}], False),
        ("{{ v or 1 }}{{ not v }}{% for i in [1] if v %}{% endfor %}{{ v is mapping }}", [{"name": "v"}], False),
        ("{% if v is number %}{{ v }}{% endif %}", [{"name": "v"}], False),
        ("{% if v is not none %}{{ v }}{% endif %}", [{"name": "v"}], True),
        ("{% if w %}{{ v }}{% endif %}", [{"name": "v"}], True),
        ("{% if v %}{% else %}{{ v }}{% endif %}", [{"name": "v"}], True),
        ("{% if w %}{{ v }}{% endif %}", NOT_REQUIRED, False),
    ):
        variables = {v.name: v.required for v in memory.save("t", template, variables=declared).variables}
        assert (template, variables["v"]) == (template, is_required)


UNKEPT = [
    "{{ v }}",
    "{{ v.a }}",
    "{{ v['a'] }}",
    "{% for x in v %}{% endfor %}",
    "{% if v == 1 %}{% endif %}",
    "{% if v in [] %}{% endif %}",
    "{{ v | upper }}",
    "{{ v | items | list }}",
    "{{ v ~ 'a' }}",
    "{{ v + 1 }}",
    "{{ -v }}",
    "{{ v is odd }}",
    "{% set u = v.a %}",
    "{% with u = v | length %}{% endwith %}",
    "{% filter upper %}{{ v }}{% endfilter %}",
    "{{ v.a or 1 }}",
    "{{ w | default(v.a) }}",
    "{% macro f(x) %}{% endmacro %}{{ f(v.a) }}",
    "{% macro f() %}{{ v }}{% endmacro %}{{ f() }}",
    "{% macro f() %}{{ caller() }}{{ v }}{% endmacro %}{% call f() %}{% endcall %}",
]


def test_rule_21_an_optional_variable_that_is_always_read_is_refused_with_its_line(memory):
    """Every verb refuses to save it, because no render without the variable could succeed."""
    memory.save("old", "fine", variables=None)
    for template in UNKEPT:
        text = "first line\n" + template
        chat = [{"role": "user", "content": "{% if v %}{{ v }}{% endif %}"}, {"role": "user", "content": text}]
        for source, where in ((text, "Line 2: v "), (chat, "message 2 of 2: Line 2: v ")):
            for call in (memory.create, memory.save, lambda name, t, **more: memory.update("old", template=t, **more)):
                with pytest.raises(TemplateError) as caught:
                    call("new", source, variables=NOT_REQUIRED)
                assert (caught.value.code, caught.value.http_status) == ("template_error", 422)
                assert caught.value.details["line"] == 2
                assert where in caught.value.message
            memory.save("t", source, variables=[{"name": "v", "required": False, "default": None}])
            memory.save("t", source, variables=[{"name": "v"}])
            with pytest.raises(TemplateError, match="declared as not required"):
                memory.update("t", variables=NOT_REQUIRED)
    assert (memory.get("old").version, memory.get("new", default=None)) == (1, None)


def test_rule_21_one_that_is_read_under_a_condition_fails_only_if_the_render_reaches_it(memory):
    """It can be saved; in both tiers the error of a render names all absent variables that are read unguarded."""
    for template in (
        "{% if w %}{{ v }}{{ u }}{% endif %}.",
        "{{ v if w else '' }}{% if w %}{{ u }}{% endif %}.",
        "{{ w and v }}{% if w %}{{ u }}{% endif %}.",
        "{% for x in [1] if w %}{{ v }}{{ u }}{% endfor %}.",
        "{% if v is none or w and v == 1 %}{{ u }}{% endif %}.",
        "{% if w %}{{ v | map('upper') | list }}{{ u }}{% endif %}.",
    ):
        memory.save("t", template, variables=NOT_REQUIRED)
        assert memory.render("t", w="").text == "."
        assert memory.render("t", w="", v="x").text == "."
        with pytest.raises(MissingVariablesError) as caught:
            memory.render("t", w=1)
        assert caught.value.details["missing"] == ["v", "u"]
    assert render(memory, "{% if w %}{% set v = 1 %}{% endif %}{{ v }}", {"w": 1}, NOT_REQUIRED) == "1"
    memory.save("t", "{% if w %}{{ v }}{% endif %}{{ u }}", variables=[*NOT_REQUIRED, {"name": "u", "required": True}])
    with pytest.raises(MissingVariablesError) as caught:
        memory.render("t", w=0)
    assert caught.value.details["missing"] == ["u"]


def test_rule_21_a_concurrent_declaration_is_checked_against_the_template(registry, monkeypatch):
    """The template is compiled again, so that neither of two writers saves what can't be rendered."""
    registry.create("t", "fine")
    require_consistent = CompiledTemplate.require_consistent
    others = [lambda: registry.update("t", variables=NOT_REQUIRED)]

    def overtaken(compiled):
        require_consistent(compiled)
        if others:
            others.pop()()

    monkeypatch.setattr(CompiledTemplate, "require_consistent", overtaken)
    with pytest.raises(TemplateError, match="declared as not required"):
        registry.update("t", template="{{ v }}")
    assert [version.template for version in registry.history("t")] == ["fine", "fine"]


def test_rule_21_an_optional_variable_is_not_missing(memory):
    """It is missing only, with all others, if the render reads one of them, and not if another variable is absent."""
    chat = [{"placeholder": "h"}, {"role": "user", "content": "{% if w %}{{ v }}{% endif %}{{ u }}"}]
    memory.save("t", chat, variables=[*NOT_REQUIRED, {"name": "h", "required": False}])
    for w, missing in ((0, ["u"]), (1, ["v", "u"])):
        with pytest.raises(MissingVariablesError) as caught:
            memory.render("t", w=w)
        assert caught.value.details["missing"] == missing


HELLO = {"role": "user", "content": "Hello"}
WITH_HISTORY = [{"placeholder": "h"}, HELLO]


@pytest.mark.parametrize(
    "declaration",
    [
        {"required": False},
        {"required": False, "type": "array"},
        {"default": None},
        {"default": None, "type": "array"},
        {"default": [], "type": "array"},
    ],
)
def test_rule_21_an_optional_placeholder_that_is_absent_or_none_is_no_message(memory, declaration):
    """It renders to no message if absent or None; a variable that is passed is defined."""
    memory.save("t", WITH_HISTORY, variables=[{"name": "h", **declaration}])
    assert memory.render("t").messages == memory.render("t", h=None).messages == [HELLO]
    assert memory.render("t", h=[]).messages == [HELLO]
    assert memory.render("t", h=[{"role": "assistant", "content": "Hi"}]).text == "Hi\n\nHello"
    for wrong in ("", 0, {}, "x", [3], [None]):
        with pytest.raises(InvalidVariablesError):
            memory.render("t", h=wrong)


def test_rule_21_a_required_placeholder_may_be_neither_absent_nor_none(memory):
    """A placeholder that is declared as required, or not declared, must be passed, and not as None."""
    for declared in (None, [{"name": "h"}], [{"name": "h", "type": "array", "required": True}]):
        memory.save("t", WITH_HISTORY, variables=declared)
        with pytest.raises(MissingVariablesError):
            memory.render("t")
        with pytest.raises(InvalidVariablesError):
            memory.render("t", h=None)


@pytest.mark.parametrize(
    "declaration",
    [
        {"type": "string"},
        {"type": "object"},
        {"type": "string", "default": None},
        {"type": "integer", "required": False},
        {"default": "x"},
        {"default": {}},
        {"enum": ["a"]},
    ],
)
def test_rule_21_a_placeholder_declared_as_anything_but_an_array_is_refused(memory, declaration):
    """Saving it is refused with the number of the message, because it could never be rendered."""
    declared = [{"name": "h", **declaration}]
    with pytest.raises(TemplateError, match="message 1 of 2: the placeholder h takes a list of messages") as caught:
        memory.create("new", WITH_HISTORY, variables=declared)
    assert caught.value.details == {"name": "new", "line": None}
    memory.save("t", WITH_HISTORY, variables=None)
    with pytest.raises(TemplateError):
        memory.update("t", variables=declared)
    assert memory.render("t", h=[]).messages == [HELLO]


def test_rule_21_a_prompt_of_an_earlier_release_renders_if_it_can(path, monkeypatch):
    """Its declarations are checked against the template on saving and publishing, but not on rendering."""
    with monkeypatch.context() as patch:
        patch.setattr(CompiledTemplate, "require_consistent", CompiledTemplate.require_valid)
        with Registry(path) as earlier:
            earlier.create("t", "{{ v }}", variables=NOT_REQUIRED)
            earlier.update("t", template="{{ v }}!", is_production=False)
    with Registry(path) as registry:
        assert registry.render("t", v=1).text == "1"
        with pytest.raises(PublishCheckError) as caught:
            registry.publish("t", 2)
        assert caught.value.details["reasons"][0].startswith("template: Line 1: v is declared as not required")
        assert registry.update("t", variables=None).version == 3


def test_rule_21_a_variable_listed_as_required_is_required(memory):
    """A render without a variable that is required in the effective list is refused, whyever it is required."""
    for template, declared in (
        ("{{ v }}", None),
        ("{{ v }}", [{"name": "v", "required": True, "default": 5}]),
        ("no use", [{"name": "v", "required": True}]),
        ("no use", [{"name": "v"}]),
        ("no use", [Variable(name="v")]),
        ("{{ v | default(1) }}", [{"name": "v"}]),
        ("{{ v | default(1) }}", None),
    ):
        (variable,) = memory.save("t", template, variables=declared).variables
        if variable.required:
            with pytest.raises(MissingVariablesError) as caught:
                memory.render("t")
            assert caught.value.details["missing"] == ["v"]
        else:
            assert memory.render("t").version


def test_rule_21_the_effective_list_is_declared_and_found(memory):
    """`Prompt.variables` has each variable once: the declared ones, and the others that the template reads."""
    template = "{{ a }}{{ b | default(1) }}{{ c }}{{ a }}"
    declared = [
        Variable(name="c", type="integer", default=3, description="Third"),
        {"name": "z", "type": "string", "required": False, "enum": ["x"]},
    ]
    for prompt in (memory.save("t", template, variables=declared), memory.get("t"), memory.history("t", limit=1)[0]):
        assert {v.name: v for v in prompt.variables} == {
            "a": Variable(name="a", type="any", required=True),
            "b": Variable(name="b", type="any", required=False),
            "c": Variable(name="c", type="integer", required=False, default=3, description="Third"),
            "z": Variable(name="z", type="string", required=False, enum=["x"]),
        }
        assert len(prompt.variables) == 4
    assert [v.name for v in memory.update("t", variables=None).variables] == ["a", "b", "c"]


def test_rule_21_a_pydantic_class_declares_variables(memory):
    """The fields of a model class declare types, required, defaults, descriptions and enums."""
    template = "{{ topic }} {{ words }} {{ ratio }} {{ loud }} {{ tags }} {{ data }} {{ tone }} {{ size }} {{ note }}"
    prompt = memory.save("t", template + " {{ who.name }}", variables=Asked)
    assert [(v.name, v.type, v.required, v.default, v.enum) for v in prompt.variables] == [
        ("topic", "string", True, None, None),
        ("words", "integer", False, 20, None),
        ("ratio", "number", False, 0.5, None),
        ("loud", "boolean", False, False, None),
        ("tags", "array", False, [], None),
        ("data", "object", False, {}, None),
        ("tone", "string", False, "kind", ["kind", "curt"]),
        ("size", "string", False, "s", ["s", "l"]),
        ("who", "object", False, {"name": "Ana"}, None),
        ("note", "string", False, None, None),
    ]
    assert prompt.variables[0].description == "What about"
    assert memory.render("t", topic="x").text == "x 20 0.5 False [] {} kind s None Ana"
    with pytest.raises(MissingVariablesError):
        memory.render("t")
    for wrong in ({"words": "20"}, {"tone": "rude"}, {"size": "xl"}, {"loud": 1}, {"who": "Ana"}, {"tags": "a"}):
        with pytest.raises(InvalidVariablesError) as caught:
            memory.render("t", wrong, topic="x")
        assert [e["field"] for e in caught.value.details["errors"]] == [*wrong]


def test_render_accepts_an_instance_of_the_class_that_declared_the_variables(memory):
    """An instance of the class passes its variables, including defaults and enumerations."""
    memory.save("t", "{{ topic }} {{ tone }} {{ who.name }} {{ note }}", variables=Asked)
    assert memory.render("t", Asked(topic="x", who=Person(name="Bo"))).text == "x kind Bo None"


def test_rule_21_declared_variables_can_be_passed_back_unchanged(registry, unchanged):
    """`declared_variables` has only the declared ones; passed to `save` or `update` they change nothing."""
    for n, (declared, names) in enumerate(
        (
            (None, []),
            ([{"name": "b", "required": False}, {"name": "a", "default": None}], ["b", "a"]),
            (
                [Variable(name="a", type="string", enum=["x"], description="D"), {"name": "b", "default": {"k": 1}}],
                "ab",
            ),
            (Asked, [*Asked.model_fields]),
        )
    ):
        prompt = registry.create(f"p{n}", "{{ a | default(1) }}{{ found }}", variables=declared)
        assert [v.name for v in prompt.declared_variables] == [*names]
        with unchanged():
            for same in (prompt, registry.get(f"p{n}"), registry.history(f"p{n}")[0], registry.list().items[n]):
                assert same.declared_variables == prompt.declared_variables
                listed = same.declared_variables
                assert registry.save(f"p{n}", prompt.template, variables=listed).version == 1
                assert registry.update(f"p{n}", variables=listed).variables == prompt.variables
        registry.update(f"p{n}", template="{{ found }}", is_production=False)
        edited = registry.update(f"p{n}@2", variables=listed)
        assert edited.declared_variables == prompt.declared_variables


def test_rule_1_declarations_that_mean_the_same_are_equal(registry, unchanged):
    """`required` makes no difference for a variable with a default; any other difference creates a version."""
    registry.create("t", "{{ v | default(1) }}", variables=[{"name": "v", "default": 1}])
    same = [
        [{"name": "v", "default": 1, "required": False}],
        [{"name": "v", "default": 1, "required": True}],
        [{"required": False, "type": "any", "default": 1, "name": "v", "description": "", "enum": None}],
        [Variable(name="v", default=1, required=False)],
    ]
    hashes = {registry.get("t").content_hash}
    for n, variables in enumerate(same):
        with unchanged():
            assert registry.update("t", variables=variables).version == 1
            assert registry.save("t", "{{ v | default(1) }}", variables=variables).version == 1
        hashes.add(registry.create(f"t{n}", "{{ v | default(1) }}", title="t", variables=variables).content_hash)
    assert len(hashes) == 1
    for n, variables in enumerate(
        (
            [{"name": "v"}],
            [{"name": "v", "required": False}],
            [{"name": "v", "required": True}],
            [{"name": "v", "default": None}],
            [{"name": "v", "default": True}],
            [{"name": "v", "default": 1, "type": "integer"}],
            [{"name": "v", "default": 1, "description": "D"}],
        )
    ):
        assert registry.update("t", variables=variables).version == n + 2


def test_rule_1_a_version_of_an_earlier_release_keeps_its_hash_and_equals_an_equivalent_one(path, monkeypatch):
    """Its hash is of the declarations in the old form, but comparisons use the normal form."""
    variables = [{"name": "v", "default": 1, "required": False}]
    with monkeypatch.context() as patch:
        patch.setitem(CONTENT, "variables", CONTENT["variables"]._replace(normalized=None))
        with Registry(path) as earlier:
            stored = earlier.create("t", "{{ v }}", variables=variables)
    with Registry(path) as registry:
        assert registry.create("new", "{{ v }}", title="t", variables=variables).content_hash != stored.content_hash
        for declaration in (variables, [{"name": "v", "default": 1}], stored.declared_variables):
            assert (
                registry.update("t", variables=declaration)
                == registry.save("t", "{{ v }}", variables=declaration)
                == stored
            )
        assert registry.update("t", is_production=False, variables=variables).version == 1
        assert registry.update("t", commit_message="m", title="T").version == 2
        assert registry.update("t", title="t").version == 3
        assert registry.diff("t", 1, 3) == ""
        assert registry.get("t@1").content_hash == stored.content_hash != registry.get("t@3").content_hash


NOT_VARIABLES = [
    3,
    "abc",
    {"name": "v"},
    int,
    Asked(topic="x"),
    [3],
    [None],
    ["v"],
    [("name", "v")],
    [{}],
    [{"type": "string"}],
    [{"name": 3}],
    [{"name": ""}],
    [{"name": "a b"}],
    [{"name": "a.b"}],
    [{"name": "1a"}],
    [{"name": "v"}, {"name": "v"}],
    [{"name": "v", "typ": "string"}],
    [{"name": "v", 1: 2}],
    [{"name": "v", "type": "str"}],
    [{"name": "v", "type": None}],
    [{"name": "v", "required": "yes"}],
    [{"name": "v", "required": 1}],
    [{"name": "v", "description": 3}],
    [{"name": "v", "description": "\ud800"}],
    [{"name": "v", "enum": "abc"}],
    [{"name": "v", "enum": []}],
    [{"name": "v", "enum": [float("nan")]}],
    [{"name": "v", "enum": ["a\0"]}],
    [{"name": "v", "default": float("inf")}],
    [{"name": "v", "default": object()}],
    [{"name": "v", "default": "\ud800"}],
    [{"name": "v", "type": "integer", "default": "1"}],
    [{"name": "v", "type": "integer", "default": True}],
    [{"name": "v", "type": "string", "default": "b", "enum": ["a"]}],
]


def test_rule_21_an_invalid_declaration_is_refused(registry, unchanged):
    """A malformed or contradictory declaration is invalid input for every verb that accepts one."""
    registry.create("t", "text")
    registry.update("t", template="draft", is_production=False)
    warm = registry.get("t")
    with unchanged():
        for variables in NOT_VARIABLES:
            for call in (
                lambda v: registry.create("new", "text", variables=v),
                lambda v: registry.save("t", "text", variables=v),
                lambda v: registry.update("t", variables=v),
                lambda v: registry.update("t@2", variables=v),
            ):
                with pytest.raises(InvalidInputError) as caught:
                    call(variables)
                fields = [e["field"] for e in caught.value.details["errors"]]
                assert fields == [field for field in fields if field.startswith("variables")] != []
    assert registry.get("t") == warm


# The arguments of render


def test_render_accepts_a_mapping_a_model_keywords_or_both(memory):
    """Variables may be passed as a mapping, a pydantic model, keywords, or both, when keywords win."""
    memory.save("t", "{{ name }} {{ n | default(0) }}", variables=None)
    prompt = memory.get("t")
    for call in (lambda *a, **k: memory.render("t", *a, **k), prompt.render):
        assert call({"name": "Bo"}).text == "Bo 0"
        assert call(Person()).text == "Ana 0"
        assert call(name="Cy", n=1).text == "Cy 1"
        assert call({"name": "Bo", "n": 1}, name="Cy").text == "Cy 1"
        assert call(Person(), name="Cy").text == "Cy 0"
        for wrong in ("name=x", 3, [("name", "x")], {1: "x"}, Person, b"x"):
            with pytest.raises(InvalidInputError) as caught:
                call(wrong)
            assert caught.value.details["errors"][0]["field"] == "variables"


def test_a_variable_may_have_any_name(memory):
    """Variables may be named like arguments of render or of Python; three names must be passed in the mapping."""
    names = ["name", "variables", "more", "text", "actor", "registry", "context", "class"]
    template = "".join(f"{{{{ {name} }}}} " for name in [*names, "version", "label", "default"])
    memory.save("t", template, variables=None)
    values = {name: f"<{name}>" for name in names}
    rest = {name: f"<{name}>" for name in ("version", "label", "default")}
    expected = "".join(f"<{name}> " for name in [*names, *rest])
    assert memory.render("t", rest, **values, self="<self>").text == expected
    assert memory.get("t").render(**rest, **values, self="<self>").text == expected


def test_extra_variables_are_ignored_or_forbidden(path):
    """By default variables that the template does not read are ignored; a registry may forbid them, in examples too."""
    with Registry(path) as lax:
        lax.create("t", "{{ a }}", variables=[{"name": "z", "required": False}])
        assert lax.render("t", a=1, b=2).text == "1"
    with Registry(path, extra_variables="forbid") as strict:
        assert strict.render("t", a=1, z=2).text == "1"
        for call in (strict.render, lambda _, **k: strict.get("t").render(**k)):
            with pytest.raises(InvalidVariablesError) as caught:
                call("t", a="SECRET", b="SECRET", c=3)
            assert [e["field"] for e in caught.value.details["errors"]] == ["b", "c"]
            assert "SECRET" not in str(caught.value.to_dict())
        with pytest.raises(PublishCheckError):
            strict.create("u", "{{ a }}", examples=[{"a": 1, "b": 2}])


# Defaults


def test_a_default_is_returned_if_not_found(registry):
    """If the prompt, version or production is not found, get returns the default unchanged, and render renders it."""
    registry.create("draft", "x", is_production=False)
    for asked in ("absent", "draft", "draft@9", "draft@nope"):
        default = object()
        assert registry.get(asked, default=default) is default
        assert registry.get(asked, default=None) is None
        rendered = registry.render(asked, default="Hi {{ n }}", n="{{ x }}")
        assert (rendered.text, rendered.version, rendered.name) == ("Hi {{ x }}", None, asked.partition("@")[0])
        assert (rendered.config, rendered.prompt) == ({}, None)
    chat = registry.render(
        "absent", default=[{"role": "system", "content": "{{ n }}"}, {"placeholder": "h"}], n=1, h=[]
    )
    assert chat.messages == [{"role": "system", "content": "1"}]
    assert registry.get("draft@1", default=None).version == 1


def test_a_default_is_returned_on_a_storage_error(registry):
    """The default is also returned if the storage fails or the registry is closed."""
    registry.create("t", "x")
    registry.close()
    assert registry.get("t", default="d") == "d"
    assert registry.render("t", default="{{ n }}", n=1).text == "1"
    assert registry.render("t", default="{{ n }}", n=1).version is None


def test_a_default_is_returned_on_no_other_error(registry, unchanged):
    """Errors of disabled prompts, permissions, invalid input and variables are raised in spite of a default."""
    registry.create("t", "{{ n }}", variables=[{"name": "n", "type": "integer"}])
    with unchanged():
        with pytest.raises(MissingVariablesError):
            registry.render("t", default="x")
        with pytest.raises(InvalidVariablesError):
            registry.render("t", default="x", n="1")
        with pytest.raises(MissingVariablesError) as caught:
            registry.render("absent", default="{{ m }}")
        assert caught.value.details == {"name": "absent", "missing": ["m"]}
        for wrong in (None, [], 3, [{"role": "user"}], "\ud800"):
            with pytest.raises(InvalidInputError):
                registry.render("t", default=wrong, n=1)
    registry.set_status("t", "disabled")
    with unchanged():
        with pytest.raises(PromptDisabledError):
            registry.render("t", default="x", n=1)
        assert registry.get("t", default=None).status == "disabled"
        with pytest.raises(ForbiddenError):
            registry.scope(actor=Actor("m", "team_member")).update("t", title="x")


BAD_DEFAULTS = [
    ("{{ bad", TemplateSyntaxError, 1),
    ("\n{{ x | nope }}", TemplateSyntaxError, 2),
    ("{% include 'x' %}", TemplatePolicyError, 1),
    ([{"role": "user", "content": "\n{{ bad"}], TemplateSyntaxError, 2),
    ([{"role": "user", "content": "fine"}, {"role": "user", "content": "{{ bad"}], TemplateSyntaxError, 1),
]


@pytest.mark.parametrize(("default", "kind", "line"), BAD_DEFAULTS)
def test_a_broken_default_is_reported_before_it_is_needed(registry, default, kind, line):
    """Each call that passes it raises the error, even if the prompt is cached and renders."""
    registry.create("t", "x")
    team = registry.scope(namespace="team", actor=Actor("a", "team_editor"))
    team.create("t", "x")
    for view in (registry, team):
        for name in ("t", "t", "absent", "t@latest"):
            with pytest.raises(kind) as caught:
                view.render(name, default=default)
            assert caught.value.details == {"name": name.partition("@")[0], "line": line}
        assert view.render("t", default="fine").text == "x"
    with pytest.raises(InvalidInputError):
        registry.render("NO NAME", default=default)
    with pytest.raises(InvalidInputError):
        registry.render("t@1", default=default, version=1)


def test_a_default_may_be_empty(registry):
    """An empty default renders to the empty text; a message in a default may be empty too."""
    assert (registry.render("none", default="").text, registry.render("none", default="").version) == ("", None)
    assert registry.render("none", default="").messages == [{"role": "user", "content": ""}]
    assert registry.render("none", default=[{"role": "user", "content": ""}]).text == ""
    registry.create("t", "x")
    assert registry.render("t", default="").text == "x"


def test_a_default_is_compiled_once(registry, monkeypatch):
    """It is compiled at the first call that passes its text, in any list of messages and on any view."""
    registry.create("t", "x")
    registry.create("u", "x {{ n }}")
    sources = []
    of_text = TemplateText.__init__
    monkeypatch.setattr(
        TemplateText, "__init__", lambda self, s, *more: (sources.append(s), of_text(self, s, *more))[1]
    )
    view = registry.scope(namespace="team")
    for _ in range(3):
        for asked in (registry, view):
            for name in ("t", "u", "none", "t@1"):
                asked.render(name, default="A {{ n }}", n=1)
                asked.render(name, default=[{"role": "user", "content": "B"}, {"placeholder": "h"}], n=1, h=[])
                asked.render(name, default=({"role": "user", "content": "B"}, {"placeholder": "h"}), n=1, h=[])
    assert sources == ["A {{ n }}", "B"]


def test_a_changed_default_is_compiled_again(registry):
    """Messages are compared by content, and not by the identity of the list or of a cache key."""
    registry.create("t", "x")
    default = [{"role": "user", "content": "a"}, {"role": "user", "content": "b"}, {"role": "user", "content": "c"}]
    for middle in ("b", "B", "{{ n }}", "b"):
        default[1]["content"] = middle
        for _ in range(2):
            assert registry.render("t", default=default, n=1).text == "x"
            assert registry.render("none", default=default, n=1).text == f"a\n\n{middle.replace('{{ n }}', '1')}\n\nc"
    default[1]["role"] = "nobody"
    with pytest.raises(InvalidInputError):
        registry.render("t", default=default, n=1)
    default[1] = {"content": "user", "role": "b"}
    with pytest.raises(InvalidInputError):
        registry.render("t", default=default, n=1)


def test_passing_a_default_does_not_change_a_render(registry):
    """Text, errors and the disabled status of an existing prompt are the same, cached or not, on a view too."""
    registry.create("t", "Hi {{ n }}")
    registry.set_label("t", "staging", 1)
    team = registry.scope(actor=Actor("m", "team_member"))
    for view in (registry, team):
        for name in ("t", "t", "t@staging", "t@1"):
            assert view.render(name, default="d", n=1) == view.render(name, n=1)
            assert view.render(name, {"n": 2}, default="d").text == "Hi 2"
            with pytest.raises(MissingVariablesError):
                view.render(name, default="d")
        assert view.render("t", {"n": 1}, default="d", label="staging").version == 1
        assert view.render("t", {"n": 1}, default="d", version=9).text == "d"
    registry.set_status("t", "disabled")
    for view in (registry, team):
        with pytest.raises(PromptDisabledError):
            view.render("t", default="d", n=1)


def test_forbidding_extra_variables_never_applies_to_a_default(path):
    """A default is rendered with the variables for the prompt, and may read any of them."""
    with Registry(path, extra_variables="forbid") as strict:
        assert strict.render("none", default="Hi {{ a }}", a=1, b=2).text == "Hi 1"
        assert strict.render("none", default=[{"role": "user", "content": "Hi"}], b=2).text == "Hi"
        strict.create("t", "{{ a }}")
        assert strict.render("t", default="Hi", a=1).text == "1"
        with pytest.raises(InvalidVariablesError):
            strict.render("t", default="Hi {{ b }}", a=1, b=2)


@pytest.mark.parametrize(
    ("template", "variables"),
    [
        ("{{ a }}", {"a": "x", 1: "y"}),
        ("{{ a }}", {1: "x"}),
        ("{% if a %}{{ b }}{% endif %}.", {"a": 0, 1: "y"}),
        ("{% set b = a %}{{ b }}", {"a": "x", None: "y"}),
        (
            [{"role": "user", "content": "{{ a }}"}, {"role": "user", "content": "{{ b }}"}],
            {"a": "x", "b": "y", 1: "z"},
        ),
        (
            [{"role": "user", "content": "{{ a }}"}, {"role": "user", "content": "{% if a %}{{ b }}{% endif %}"}],
            {"a": "", 1: "z"},
        ),
    ],
)
def test_variable_names_that_are_not_text_are_refused_by_cached_renders_too(memory, template, variables):
    """A cached render refuses them too, although it does not check each name."""
    memory.save("t", template)
    for _ in range(2):
        memory.render("t", {"a": "x", "b": "y"})
        with pytest.raises(InvalidInputError):
            memory.render("t", variables)


def test_a_cached_render_accepts_more_variables_than_it_reads(memory):
    """Further variables are ignored, although the fast path compares the number of variables."""
    memory.save("t", "{{ a }}{{ b }}")
    for variables in ({"a": "x", "b": "y"}, {"a": "x", "b": "y", "c": "z"}):
        assert [memory.render("t", variables).text for _ in range(2)] == ["xy"] * 2
    with pytest.raises(MissingVariablesError):
        memory.render("t", {"a": "x", "c": "z"})
