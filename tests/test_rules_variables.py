"""Rule 21, and what render takes: declared variables, extra ones, models, and defaults."""

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
    TemplateSyntaxError,
    Variable,
)


@pytest.fixture(scope="module")
def memory():
    """A registry in memory, shared by tests that each save a prompt of their own over the one before."""
    with Registry(":memory:") as opened:
        yield opened


def render(registry, template, variables=None, declared=None):
    """Save a template as `t` with its declared variables, and give the text that it renders to."""
    registry.save("t", template, variables=declared)
    return registry.render("t", variables).text


def invalid(registry, template, variables, declared):
    """Give the fields of variables that a render refuses."""
    with pytest.raises(InvalidVariablesError) as caught:
        render(registry, template, variables, declared)
    assert (caught.value.code, caught.value.http_status) == ("invalid_variables", 422)
    assert caught.value.details["name"] == "t"
    return [e["field"] for e in caught.value.details["errors"]]


class Size(Enum):
    """An enumeration whose values a variable may take."""

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
    """A declared type takes exactly its own values: no text for a number, no boolean for an integer, no None."""
    declared = [{"name": "v", "type": kind}]
    for sample, value in SAMPLES.items():
        if sample in ACCEPTED[kind]:
            assert render(memory, "{{ v is defined }}", {"v": value}, declared) == "True"
        else:
            assert (sample, invalid(memory, "{{ v is defined }}", {"v": value}, declared)) == (sample, ["v"])


def test_rule_21_further_values_of_a_type(memory):
    """Tuples are arrays, pydantic models objects; floats are no integers and numbers as text no numbers."""
    for kind, value in (("array", (1, 2)), ("object", Person()), ("string", ""), ("integer", 10**30), ("array", [])):
        assert render(memory, "{{ v is defined }}", {"v": value}, [{"name": "v", "type": kind}]) == "True"
    for kind, value in (("integer", 1.0), ("integer", "1"), ("number", "1.5"), ("boolean", 0), ("string", b"a")):
        assert invalid(memory, "{{ v }}", {"v": value}, [{"name": "v", "type": kind}]) == ["v"]


def test_rule_21_every_wrong_value_is_named_and_none_is_quoted(memory):
    """One error lists each variable that is not as declared, and holds none of their values."""
    declared = [{"name": "a", "type": "integer"}, {"name": "b", "enum": ["x"]}, {"name": "c", "type": "string"}]
    memory.save("t", "{{ a }}{{ b }}{{ c }}", variables=declared)
    with pytest.raises(InvalidVariablesError) as caught:
        memory.render("t", a="SECRET", b="SECRET", c="fine")
    assert [e["field"] for e in caught.value.details["errors"]] == ["a", "b"]
    assert "SECRET" not in str(caught.value.to_dict())


def test_rule_21_defaults_fill_in_what_is_absent(memory):
    """A default stands for an absent variable, of any type, and never for one that was passed."""
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
    """A value is one of those that the enum lists, as JSON compares them, at any depth."""
    declared = [{"name": "v", "enum": ["a", 1, None, [1], {"k": 0}]}]
    for value in ("a", 1, None, [1], {"k": 0}):
        assert render(memory, "{{ v }}", {"v": value}, declared) == str(value)
    for value in ("A", "", 2, True, False, [], "1", [1, 1], [True], {"k": False}):
        assert (value, invalid(memory, "{{ v }}", {"v": value}, declared)) == (value, ["v"])


def test_rule_21_required(memory):
    """What is said to be required is missing when absent, even where no use needs it; what is not, is not."""
    guarded = "{{ v | default('x') }}"
    with pytest.raises(MissingVariablesError) as caught:
        render(memory, guarded + "{{ w }}", None, [{"name": "v", "required": True}])
    assert sorted(caught.value.details["missing"]) == ["v", "w"]
    assert render(memory, guarded, None, [{"name": "v", "required": False}]) == "x"
    assert render(memory, guarded, None, [{"name": "v", "type": "string"}]) == "x"
    with pytest.raises(MissingVariablesError):
        render(memory, "{{ v }}", None, [{"name": "v", "required": False}])


def test_rule_21_what_is_listed_as_required_is_required(memory):
    """A render without a variable that the effective list calls required is refused, in whatever way it got there."""
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
    """`Prompt.variables` gives each variable once: what was declared, and what the template reads beside it."""
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
    """A model class is read for its fields: types, required, defaults, descriptions and enums."""
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


def test_render_takes_an_instance_of_the_class_that_declared_the_variables(memory):
    """The class declares the variables, and its instance fills them, defaults and enumerations included."""
    memory.save("t", "{{ topic }} {{ tone }} {{ who.name }} {{ note }}", variables=Asked)
    assert memory.render("t", Asked(topic="x", who=Person(name="Bo"))).text == "x kind Bo None"


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


def test_rule_21_what_declares_no_variables_is_refused(registry, unchanged):
    """A declaration that is malformed, or contradicts itself, is invalid input for every verb that takes one."""
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


# What render takes


def test_render_takes_a_mapping_a_model_keywords_or_both(memory):
    """Variables come as a mapping, a pydantic model, keywords, or both, and then keywords win."""
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


def test_render_leaves_every_name_to_the_caller(memory):
    """Arguments named like those of render or of Python itself are variables; three of them go in the mapping."""
    names = ["name", "variables", "more", "text", "actor", "registry", "context", "class"]
    template = "".join(f"{{{{ {name} }}}} " for name in [*names, "version", "label", "default"])
    memory.save("t", template, variables=None)
    values = {name: f"<{name}>" for name in names}
    rest = {name: f"<{name}>" for name in ("version", "label", "default")}
    expected = "".join(f"<{name}> " for name in [*names, *rest])
    assert memory.render("t", rest, **values, self="<self>").text == expected
    assert memory.get("t").render(**rest, **values, self="<self>").text == expected


def test_extra_variables_are_ignored_or_forbidden(path):
    """By default what no template reads is ignored; a registry may forbid it, examples included."""
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


def test_a_default_answers_what_is_not_found(registry):
    """Where the prompt, version or production is not there, get gives the default as it is, and render renders it."""
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


def test_a_default_answers_a_storage_error(registry):
    """Where the storage fails, as a closed registry does, the default answers too."""
    registry.create("t", "x")
    registry.close()
    assert registry.get("t", default="d") == "d"
    assert registry.render("t", default="{{ n }}", n=1).text == "1"
    assert registry.render("t", default="{{ n }}", n=1).version is None


def test_a_default_never_answers_anything_else(registry, unchanged):
    """Disabled, forbidden, invalid input and the variables' own errors are raised, default or not."""
    registry.create("t", "{{ n }}", variables=[{"name": "n", "type": "integer"}])
    with unchanged():
        with pytest.raises(MissingVariablesError):
            registry.render("t", default="x")
        with pytest.raises(InvalidVariablesError):
            registry.render("t", default="x", n="1")
        with pytest.raises(MissingVariablesError) as caught:
            registry.render("absent", default="{{ m }}")
        assert caught.value.details == {"name": "absent", "missing": ["m"]}
        with pytest.raises(TemplateSyntaxError):
            registry.render("absent", default="{{ m")
        for wrong in (None, "", [], 3, [{"role": "user"}], "\ud800"):
            with pytest.raises(InvalidInputError):
                registry.render("t", default=wrong, n=1)
    registry.set_status("t", "disabled")
    with unchanged():
        with pytest.raises(PromptDisabledError):
            registry.render("t", default="x", n=1)
        assert registry.get("t", default=None).status == "disabled"
        with pytest.raises(ForbiddenError):
            registry.scope(actor=Actor("m", "team_member")).update("t", title="x")


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
def test_names_that_are_not_text_are_refused_however_often_a_prompt_was_rendered(memory, template, variables):
    """A render from memory, which need not look at each name, lets none pass."""
    memory.save("t", template)
    for _ in range(2):
        memory.render("t", {"a": "x", "b": "y"})
        with pytest.raises(InvalidInputError):
            memory.render("t", variables)


def test_a_prompt_that_is_rendered_from_memory_takes_more_names_than_it_reads(memory):
    """Names are counted only to know them without looking; others are left alone, as always."""
    memory.save("t", "{{ a }}{{ b }}")
    for variables in ({"a": "x", "b": "y"}, {"a": "x", "b": "y", "c": "z"}):
        assert [memory.render("t", variables).text for _ in range(2)] == ["xy"] * 2
    with pytest.raises(MissingVariablesError):
        memory.render("t", {"a": "x", "c": "z"})
