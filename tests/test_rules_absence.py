"""Rules 20 and 21: what is absent is false where its truth is tested, and else an error; which variables are needed."""

import pytest

from promptreg import InvalidVariablesError, MissingVariablesError, Registry, RenderError, TemplateError
from promptreg.rendering.filters import FILTERS

# Templates of the fast tier and, with a macro before them, of the metered one.
METERED = "{% macro unused() %}{% endmacro %}"


@pytest.fixture(scope="module")
def memory():
    """A registry in memory, shared by tests that each save another version of a prompt."""
    with Registry(":memory:") as opened:
        yield opened


def texts(registry, template, variables):
    """Save a template, and return its texts in every way to render it."""
    found = []
    for source in (template, METERED + template):
        prompt = registry.save("t", source, variables=None)
        for _ in range(2):
            found += [registry.render("t", variables).text, prompt.render(variables).text]
        found.append(registry.render("t", {**variables, "other": 1}).text)
        found.append(registry.render("t", **variables).text)
    return set(found)


def missing(registry, template, variables=None):
    """Save a template, and return the names that its renders report as missing, in both tiers."""
    found = []
    for source in (template, METERED + template):
        prompt = registry.save("t", source, variables=None)
        for render in (prompt.render, lambda values: registry.render("t", values)):
            with pytest.raises(MissingVariablesError) as caught:
                render(variables)
            found.append(caught.value.details["missing"])
    assert all(names == found[0] for names in found)
    return found[0]


def required(registry, template):
    """Return whether each variable of a template is required."""
    return {v.name: v.required for v in registry.save("t", template, variables=None).variables}


FALSE = [
    ("{% if v %}yes{% else %}no{% endif %}", "no"),
    ("{% if not v %}no{% endif %}", "no"),
    ("{% if 0 %}0{% elif v %}yes{% elif not v %}no{% endif %}", "no"),
    ("{{ 'yes' if v else 'no' }}", "no"),
    ("{{ v if v }}.", "."),
    ("{{ v or 'y' }}", "y"),
    ("{{ v or w or 'y' }}", "y"),
    ("{% if v and v.a %}{{ v.a }}{% endif %}.", "."),
    ("{% if v or w %}yes{% endif %}.", "."),
    ("{{ not v }}", "True"),
    ("{% for i in [1, 2] if v %}{{ i }}{% else %}no{% endfor %}", "no"),
    ("{% for i in v or [] %}{{ i }}{% else %}no{% endfor %}", "no"),
    ("{{ (v and v.a) or 'y' }}", "y"),
    ("{% set v = v or 'y' %}{{ v }}", "y"),
    ("{{ v | default('y', true) }}", "y"),
    ("{% macro f() %}{% if v %}{{ v }}{% else %}no{% endif %}{% endmacro %}{{ f() }}", "no"),
    ("{% macro f() %}{{ caller() }}{% endmacro %}{% call f() %}{{ v or 'y' }}{% endcall %}", "y"),
]


@pytest.mark.parametrize(("template", "text"), FALSE)
def test_rule_20_an_absent_variable_is_false_where_its_truth_is_tested(memory, template, text):
    """It is false in `if`, `and`, `or`, `not` and conditions of loops, declared or not, and is not required."""
    assert texts(memory, template, {}) == {text}
    assert not required(memory, template)["v"]


PARTS = [
    ("{% if d.a %}yes{% else %}no{% endif %}", "no"),
    ("{% if not d['a'] %}no{% endif %}", "no"),
    ("{{ d.a or 'y' }}", "y"),
    ("{% if d.a and d.a.b %}{{ d.a.b }}{% endif %}.", "."),
    ("{% for i in [d] if i.a %}{{ i }}{% else %}no{% endfor %}", "no"),
    ("{% for i in l %}{% if i.tool_calls %}calls{% else %}{{ i.n }}{% endif %}{% endfor %}", "12"),
    ("{{ l[9] or 'y' }}", "y"),
    ("{{ d[k] or 'y' }}", "y"),
    ("{% for i in l %}{% if loop.previtem %},{% endif %}{{ i.n }}{% endfor %}", "1,2"),
    ("{% for i in l %}{{ i.n }}{% if loop.nextitem %},{% endif %}{% endfor %}", "1,2"),
    ("{% macro f(a, b) %}{{ a }}{{ b or '-' }}{% endmacro %}{{ f(1) }}", "1-"),
    ("{% macro f() %}{% if caller %}c{% else %}no{% endif %}{% endmacro %}{{ f() }}", "no"),
    ("{{ [d, {'a': 1}] | selectattr('a') | list | length }}", "1"),
    ("{{ [d, {'a': 1}] | rejectattr('a') | list | length }}", "1"),
    ("{{ [d.a, 1] | select | list }}", "[1]"),
    ("{{ [d.a, 1] | reject | list | length }}", "1"),
    ("{{ l | map(attribute='a') | select | list }}", "[]"),
    ("{{ [] | first or 'y' }}", "y"),
    ("{% set n = namespace() %}{{ n.a or 'y' }}", "y"),
]


@pytest.mark.parametrize(("template", "text"), PARTS)
def test_rule_20_whatever_else_is_absent_is_false_where_its_truth_is_tested(memory, template, text):
    """So are an attribute, an item, a macro's argument, `loop.previtem` and `loop.nextitem`, and in bare selections."""
    assert texts(memory, template, {"d": {}, "l": [{"n": 1}, {"n": 2}], "k": "a"}) == {text}


def test_rule_20_an_attribute_of_an_object_is_false_too(memory):
    """The same holds for what an object of the application does not have."""

    class Message:
        content = "Hi"

    template = "{% if m.tool_calls %}calls{% elif m.content %}{{ m.content }}{% endif %}"
    assert texts(memory, template, {"m": Message()}) == {"Hi"}


AS_STOCK = [
    (
        "{{ v is none }} {{ v is string }} {{ v is mapping }} {{ v is sequence }} {{ v is number }}",
        "False " * 4 + "False",
    ),
    ("{{ v is boolean }} {{ v is true }} {{ v is false }} {{ v is escaped }}", "False False False False"),
    ("{{ v is defined }} {{ v is undefined }} {{ v is callable }}", "False True True"),
    ("{{ v is sameas(none) }} {{ v is in([]) }}", "False False"),
    ("{{ v is not none }}", "True"),
    ("{{ v | default('d') }} {{ v | default }} {{ v | default(none) }}", "d  None"),
    ("{{ d.a is none }} {{ d.a is string }} {{ d.a | default('d') }}", "False False d"),
]


@pytest.mark.parametrize(("template", "text"), AS_STOCK)
def test_rule_20_default_and_every_test_answer_as_in_stock_jinja(memory, template, text):
    """What is absent is of no type: it is neither none nor a text, and `default` replaces it."""
    assert texts(memory, template, {"d": {}}) == {text}


PASSED_ON = [
    ("{% set w = v %}{% if w %}yes{% endif %}ok", "ok"),
    ("{% with w = v %}{{ w | default('ok') }}{% endwith %}", "ok"),
    ("{% macro f(a) %}{{ 'yes' if a else 'ok' }}{% endmacro %}{{ f(v) }}{{ f(a=v) }}", "okok"),
    ("{{ [v, v] | length }}{{ (v,) | length }}{{ {'k': v} | length }}{{ dict(k=v) | length }}", "2111"),
    ("{% for i in [v] %}{{ i or 'ok' }}{% endfor %}", "ok"),
    ("{% set n = namespace(a=v) %}{% set n.b = v %}{{ n.a or n.b or 'ok' }}", "ok"),
    ("{{ none | default('ok' if true else v) }}{{ w | default(v) | default('ok') }}", "Noneok"),
    ("{{ 1 is sameas(v) }}", "False"),
]


@pytest.mark.parametrize(("template", "text"), PASSED_ON)
def test_rule_20_what_is_absent_may_be_passed_on(memory, template, text):
    """It may be assigned, passed to a macro or put in a list; a variable that is used so counts as required."""
    assert texts(memory, template, {}) == {text}
    assert required(memory, template)["v"]


ERRORS = [
    "{{ v }}",
    "{{ v ~ 'a' }}",
    "{{ [v] }}",
    "{{ v and 'd' }}",
    "{% for i in v %}{% endfor %}",
    "{% set a, b = v %}",
    "{{ v == 1 }}",
    "{{ v != 1 }}",
    "{{ none == v }}",
    "{{ v < 1 }}",
    "{{ 1 in v }}",
    "{{ v in [1] }}",
    "{{ v in [] }}",
    "{{ v not in [] }}",
    "{{ v in x.e }}",
    "{{ v in '' }}",
    "{{ v in {} }}",
    "{{ v.a }}",
    "{{ v['a'] }}",
    "{{ v[0] }}",
    "{{ v[:1] }}",
    "{{ 'abc'[:v] }}",
    "{{ x[v] }}",
    "{{ [1][v] }}",
    "{% if v.a %}{% endif %}",
    "{{ v.a or 1 }}",
    "{{ v.a is defined }}",
    "{{ v.a | default(1) }}",
    "{{ v.get('a') }}",
    "{{ v.upper() }}",
    "{{ v + 1 }}",
    "{{ 1 - v }}",
    "{{ -v }}",
    "{{ v ** 2 }}",
    "{{ v is odd }}",
    "{{ v is iterable }}",
    "{{ v is eq(1) }}",
    "{{ v is in([1]) }}",
    "{{ range(v) | list }}",
    "{{ {v: 1} }}",
    "{% macro f(a) %}{{ a }}{% endmacro %}{{ f(v) }}",
    "{% set w = v %}{{ w }}",
    "{% set w = v %}{{ w | map('upper') | list }}",
    "{{ [v] | sort }}{{ [v, 1] | sort }}",
    "{{ [v] | join }}",
]


@pytest.mark.parametrize("template", ERRORS)
def test_rule_20_any_other_use_of_an_absent_variable_is_an_error_that_names_it(memory, template):
    """It may not be printed, looped over, compared, read further or calculated with, guarded or not."""
    assert missing(memory, template, {"x": {"e": []}}) == ["v"]


@pytest.mark.parametrize("name", [name for name, row in FILTERS.items() if not row.takes_absent and name != "format"])
def test_rule_20_no_filter_but_default_takes_what_is_absent(memory, name):
    """Every other filter raises the error, even if nothing is done with what it returns."""
    arguments = {"map": "('upper')", "batch": "(2)", "slice": "(2)", "attr": "('a')", "replace": "('a', 'b')"}
    arguments |= {"groupby": "('a')", "selectattr": "('a')", "rejectattr": "('a')"}
    template = f"{{% set w = v | {name}{arguments.get(name, '')} %}}"
    assert missing(memory, template) == ["v"]
    assert required(memory, template) == {"v": True}


def test_rule_20_an_absent_attribute_is_an_error_that_names_it(memory):
    """Where it is used otherwise, it raises `RenderError` with its name and what has no such attribute."""
    for use in ("d.a", "d.a == 1", "d.a in []", "d.a | upper", "d.a.b", "d.a.b is defined", "d.a | items | list"):
        memory.save("t", f"{{{{ {use} }}}}", variables=None)
        with pytest.raises(RenderError, match="d has no 'a'"):
            memory.render("t", d={})


def test_rule_20_every_absent_variable_that_is_read_unguarded_is_named(memory):
    """One that is read only where its truth was tested is not, as it is not missing."""
    template = (
        "{% if a %}{{ a }}{% endif %}{{ b or 'x' }}{{ c }}{% if d is string %}{{ d }}{% endif %}{{ e.f }}{{ g or h }}"
    )
    assert missing(memory, template) == ["c", "e", "h"]
    assert missing(memory, template, {"c": 1, "e": {"f": 1}}) == ["h"]
    assert missing(memory, template, {"c": 1, "g": 1}) == ["e", "h"]


def test_a_name_that_is_no_text_is_refused_though_an_optional_variable_is_absent(memory):
    """A cached render checks the names of as many variables as the template reads, too."""
    memory.save("t", "{% if a %}{{ a }}{% endif %}.", variables=None)
    for _ in range(3):
        assert memory.render("t", {"a": 1}).text == "1."
        assert memory.render("t", {"b": 1}).text == "."
        with pytest.raises(Exception, match="names must be text"):
            memory.render("t", {1: "x"})


# Rule 21

OPTIONAL = [
    "{% if v %}{{ v }}{% endif %}",
    "{{ v if v }}",
    "{{ v if v else '' }}",
    "{{ '' if not v else v }}",
    "{% if v and v.a %}{{ v.a }}{% endif %}",
    "{{ v or 'y' }}",
    "{{ v and v.a or 'y' }}",
    "{% if not v %}x{% else %}{{ v }}{% endif %}",
    "{% if w %}{{ w }}{% elif v %}{{ v }}{% else %}x{% endif %}",
    "{% if not v %}x{% elif v.a %}{{ v.a }}{% else %}{{ v }}{% endif %}",
    "{% if v or w %}{% if v %}{{ v }}{% endif %}{% endif %}",
    "{% if not (not v or not w) %}{{ v }}{{ w }}{% endif %}",
    "{% if v %}{% for i in v %}{{ i }}{{ v.a }}{% endfor %}{% endif %}",
    "{% macro f() %}{% if v %}{{ v }}{% endif %}{% endmacro %}{{ f() }}",
    "{% if v %}{% macro f(a) %}{{ v }}{{ a }}{% endmacro %}{{ f(v) }}{% endif %}",
    "{% macro f(a=v or 1) %}{{ a }}{% endmacro %}{{ f() }}",
    "{% if v %}{% set x = v.a %}{% endif %}",
    "{% if v %}{% with x = v %}{{ x }}{% endwith %}{% endif %}",
    "{% for i in [1] if v %}{{ v.a }}{% endfor %}",
    "{% if v is string %}{{ v }}{% elif v is mapping %}{{ v.a }}{% endif %}",
    "{% if v is defined and v %}{{ v }}{% endif %}",
    "{% if v | default('') %}{{ v }}{% endif %}",
    "{{ v.a if v | default(false) }}",
    "{{ (v and v.a) | default('y') }}",
    "{% if (v if w else false) %}x{% endif %}",
    "{% if v and w and v.a == w %}{{ v }}{% endif %}",
    "{% set v = v or 1 %}{{ v }}",
    "{% if not v %}{% set v = 1 %}{% endif %}{{ v }}",
    "{% filter upper %}{{ v or 'y' }}{% endfilter %}",
    "{% set x %}{% if v %}{{ v }}{% endif %}{% endset %}",
    "{{ v is callable }}{{ v is sameas(1) }}{{ v is none }}",
    "{% macro f(a) %}{{ a }}{{ caller() }}{% endmacro %}{% call f(v or 1) %}{{ v or 2 }}{% endcall %}",
]
REQUIRED = [
    "{% if v %}{% endif %}{{ v }}",
    "{% if v.a %}{% endif %}",
    "{% if v %}{% else %}{{ v }}{% endif %}",
    "{% if v or w %}{{ v }}{% endif %}",
    "{{ v and 'd' }}",
    "{{ w or v }}",
    "{% if v is not none %}{{ v }}{% endif %}",
    "{% if v | default('x') %}{{ v }}{% endif %}",
    "{% if v | default(w) %}{{ v }}{% endif %}",
    "{% if v is callable %}{{ v }}{% endif %}",
    "{% if v == 1 %}{% endif %}",
    "{% if 1 in v %}{% endif %}",
    "{% if v | length %}{% endif %}",
    "{% set x = v %}",
    "{{ [v] | length }}",
    "{% macro f(a) %}{% if a %}{% endif %}{% endmacro %}{{ f(v) }}",
    "{% macro f() %}{{ v }}{% endmacro %}{% if v %}{{ f() }}{% endif %}",
]


@pytest.mark.parametrize("template", OPTIONAL)
def test_rule_21_a_variable_is_optional_if_every_use_is_guarded(memory, template):
    """It is not required if each use is a test of its truth, or stands behind one, and a render without it succeeds."""
    assert not required(memory, template)["v"]
    memory.render("t", w=0)
    memory.render("t", w={"a": 1})
    memory.render("t", v={"a": 1}, w={"a": 1})


@pytest.mark.parametrize("template", REQUIRED)
def test_rule_21_a_variable_is_required_if_a_use_is_unguarded(memory, template):
    """A test of its truth elsewhere, or another test that it may pass while it is absent, guards no use."""
    assert required(memory, template)["v"]


def test_rule_21_a_macro_that_is_called_under_a_condition_may_read_what_is_not_required(memory):
    """Only a macro that every render calls is read as if it stood where it is called."""
    fields = {"variables": [{"name": "v", "required": False}]}
    for template in (
        "{% macro f() %}{{ v }}{% endmacro %}",
        "{% macro f() %}{{ v }}{% endmacro %}{% if v %}{{ f() }}{% endif %}",
        "{% macro f() %}{{ v or 1 }}{% endmacro %}{{ f() }}",
        "{% macro f(v) %}{{ v }}{% endmacro %}{{ f(1) }}",
        "{% macro f() %}{{ v }}{% endmacro %}{% macro g() %}{{ f() }}{% endmacro %}",
        "{% macro f() %}{% if w %}{{ f() }}{% endif %}{% endmacro %}{{ f() }}",
        "{% macro f() %}1{% endmacro %}{{ f() }}{% macro f() %}{{ v }}{% endmacro %}",
    ):
        memory.save("t", template, **fields)
        assert memory.render("t").text in {"", "1"}


def test_rule_21_what_is_looked_for_by_a_test_may_be_absent_where_nothing_is_looked_through(memory):
    """`required=False` is kept to for the subject of `is in`, which fails only where the container has items."""
    memory.save("t", "{{ v is in xs }}", variables=[{"name": "v", "required": False}])
    assert memory.render("t", xs=[]).text == "False"
    with pytest.raises(MissingVariablesError):
        memory.render("t", xs=[1])


def test_rule_21_only_the_first_operand_of_an_and_is_always_read(memory):
    """`required=False` is refused for it where it is printed, because it is printed whenever the variable is absent."""
    for template, is_refused in (("{{ v and 'd' }}", True), ("{{ w and v }}", False), ("{{ v and 'd' or 1 }}", False)):
        fields = {"variables": [{"name": "v", "required": False}]}
        if is_refused:
            with pytest.raises(TemplateError, match="Line 1: v is declared as not required"):
                memory.save("t", template, **fields)
        else:
            assert memory.save("t", template, **fields).version


# A misspelt variable


def test_rule_21_a_misspelt_optional_variable_is_noticed_where_extra_ones_are_forbidden():
    """The error names the variable that is not read, and the absent one that is nearest, or all that are absent."""
    with Registry(":memory:", extra_variables="forbid") as registry:
        prompt = registry.create("t", "{% if context %}{{ context }}{% endif %}{{ tone or 'plain' }}{{ q }}")
        for render in (prompt.render, lambda **values: registry.render("t", **values)):
            with pytest.raises(InvalidVariablesError) as caught:
                render(contxt="SECRET", q=1)
            (error,) = caught.value.details["errors"]
            assert error == {
                "field": "contxt",
                "reason": "is not a variable of this prompt; did you mean 'context'?",
            }
            with pytest.raises(InvalidVariablesError) as caught:
                render(background="SECRET", q=1)
            (error,) = caught.value.details["errors"]
            assert (error["field"], error["reason"]) == (
                "background",
                "is not a variable of this prompt; not passed: 'context', 'tone'",
            )
            assert "'context'" in caught.value.message
            assert render(q=1).text == "plain1"
            with pytest.raises(InvalidVariablesError, match="more is not a variable of this prompt\\."):
                render(q=1, context=1, tone=2, more=3)


def test_rule_21_a_misspelt_variable_is_ignored_by_default(memory):
    """The condition is false then; a variable that is declared as required is missed, and the error names both."""
    template = "{% if context %}{{ context }}{% endif %}."
    memory.save("t", template, variables=None)
    assert memory.render("t", contxt="x").text == "."
    memory.save("t", template, variables=[{"name": "context", "required": True}])
    with pytest.raises(MissingVariablesError, match="'contxt' \\(for 'context'\\?\\)") as caught:
        memory.render("t", contxt="x")
    assert caught.value.details["missing"] == ["context"]
    memory.save("t", template + "{{ q }}", variables=None)
    with pytest.raises(MissingVariablesError, match="'contxt' \\(for 'context'\\?\\)") as caught:
        memory.render("t", contxt="x")
    assert caught.value.details["missing"] == ["q"]
