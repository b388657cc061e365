"""Rule 20: JSON for models, `break` and `continue`, `zip`, `raise_exception`, and methods that look for a text."""

import itertools
import json
from collections import Counter, OrderedDict, defaultdict, namedtuple
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from functools import cache
from types import MappingProxyType
from typing import Any

import pytest
from markupsafe import Markup
from pydantic import BaseModel

from promptreg import (
    InvalidVariablesError,
    MissingVariablesError,
    PublishCheckError,
    Registry,
    RenderError,
    RenderLimitError,
    RenderLimits,
    TemplateSyntaxError,
)
from promptreg.jsonvalues import freeze
from promptreg.rendering.fast.guards import Bailout
from promptreg.rendering.template_text import TemplateText
from tests.stock import stock_environment

LIMITS = RenderLimits()
CANARY = "sesame"
STOCK = stock_environment()


@pytest.fixture
def registry():
    """A registry in memory."""
    with Registry(":memory:") as opened:
        yield opened


@cache
def shared() -> Registry:
    """Return one registry for the many templates that are rendered here; opening one takes 20 ms."""
    return Registry(":memory:")


@pytest.fixture(scope="module", autouse=True)
def _closed():
    yield
    shared().close()
    shared.cache_clear()


def text(template: str, values: dict[str, Any]) -> str:
    """Render by the registry, and by the metered tier alone, to the same text."""
    opened = shared()
    opened.save("p", template)
    rendered = opened.render("p", values).text
    assert TemplateText(template, LIMITS).metered(values) == rendered
    return rendered


def refused(template: str, values: dict[str, Any], kind: type[Exception] = RenderError) -> Any:
    """Return the error of a render, which quotes no value."""
    opened = shared()
    opened.save("p", template)
    with pytest.raises(kind) as caught:
        opened.render("p", values)
    assert CANARY not in f"{caught.value!r}{caught.value.__cause__!r}"
    return caught.value


class Level(IntEnum):
    """An enum that is an integer."""

    HIGH = 3


class Tone(StrEnum):
    """An enum that is a text."""

    DRY = "dry"


class Fraction(float):
    """A number of the application."""

    def __repr__(self):
        return CANARY


class Turned(dict):
    """A dict whose items are others than those it holds."""

    def items(self):
        return [("turned", 1)]


Point = namedtuple("Point", "x y")
WRITTEN = {
    "text": 'it\'s <b>"Zürich"</b> & 東京 👍',
    "control characters": "\x00\x1f\t\r\n\x7f\u2028",
    "lone surrogate": "\ud800",
    "number": 10**18,
    "float": 1.0,
    "nan": [float("nan"), float("inf"), float("-inf")],
    "none": None,
    "truth": [True, False],
    "order": {"b": 1, "a": {"d": 2, "c": 3}},
    "keys": {1: "a", 1.5: "b", False: "c", None: "d", "1": "e", Level.HIGH: "f", Tone.DRY: "g"},
    "empty": [{}, [], (), ""],
    "tuple": (1, (2, 3)),
    "named tuple": Point(1, "y"),
    "ordered": OrderedDict(b=1, a=2),
    "counter": Counter("banana"),
    "default": defaultdict(list, a=[1]),
    "frozen": freeze({"b": [1, {"c": None}], "a": "x"}),
    "enums": [Level.HIGH, Tone.DRY],
    "subclass": Fraction(0.5),
    "turned": Turned(a=1),
    "markup": Markup("<b>"),
    "tool": {"type": "function", "function": {"name": "look_up", "parameters": {"required": ["città"]}}},
}


@pytest.mark.parametrize("name", WRITTEN)
def test_tojson_writes_what_json_dumps_writes(name):
    """In both tiers: letters of every script, keys in their own order, and nothing escaped for HTML."""
    value = WRITTEN[name]
    assert text("{{ x | tojson }}", {"x": value}) == json.dumps(value, ensure_ascii=False)


@pytest.mark.parametrize("name", WRITTEN)
def test_tojson_takes_an_indent(name):
    """By position and by name, as `json.dumps` takes it."""
    for indent in (0, 2, None, "\t", -1, True):
        values = {"x": WRITTEN[name], "n": indent}
        expected = json.dumps(values["x"], ensure_ascii=False, indent=indent)
        assert text("{{ x | tojson(n) }}{{ x | tojson(indent=n) }}", values) == 2 * expected


@pytest.mark.parametrize("name", WRITTEN)
def test_tojson_takes_what_templates_of_language_models_pass(name):
    """By name, as `json.dumps` takes it."""
    values = {"x": WRITTEN[name]}
    for options in ({"separators": (",", ":")}, {"ensure_ascii": True}, {"sort_keys": True, "indent": 2}):
        arguments = ", ".join(f"{key}={value!r}" for key, value in options.items())
        try:
            expected = json.dumps(values["x"], **{"ensure_ascii": False, **options})
        except TypeError:  # keys of several types have no order
            assert "TypeError" in refused(f"{{{{ x | tojson({arguments}) }}}}", values).message
        else:
            assert text(f"{{{{ x | tojson({arguments}) }}}}", values) == expected


@pytest.mark.parametrize("separators", ["(',',)", "(1, 2)", "',:'", "(',', ':' * 17)", "1"])
def test_separators_are_two_short_texts(separators):
    """Anything else is refused."""
    error = refused(f"{{{{ [1] | tojson(separators={separators}) }}}}", {})
    assert "tojson takes two separators, of at most 16 characters each" in error.message


def test_tojson_is_a_text_that_nothing_escapes():
    """What is added to it, or done with it, is not escaped for HTML."""
    template = "{{ '<' + (x | tojson) + '>' }}{{ (x | tojson).replace('a', '&') }}{{ x | tojson is escaped }}"
    assert text(template, {"x": "a"}) == '<"a">"&"False'
    assert text("{% set j = x | tojson %}{{ j }}{{ j | safe }}{{ j | length }}", {"x": ["é"]}) == '["é"]["é"]5'


@pytest.mark.parametrize("template", ["{{ x | tojson }}", "{{ x | tojson(2) }}", "{{ (x | tojson) ~ '.' }}"])
def test_tojson_is_rendered_by_the_fast_tier(template):
    """It takes plain data, wherever the filter stands."""
    value = {"b": ["é", 1.5, None], "a": {"c": True}}
    compiled = TemplateText(template, LIMITS)
    assert compiled.fast is not None
    assert compiled.fast({"x": value}) == compiled.metered({"x": value})


class Model(BaseModel):
    """A model of the application."""

    name: str = CANARY


@dataclass
class Record:
    """A record of the application."""

    name: str = CANARY


class Side(Enum):
    """An enum that is neither a text nor a number."""

    LEFT = CANARY


WRITABLE_BY_NOBODY = {
    "Model": (Model(), "a value of type Model can't be written as JSON; pass what its model_dump(mode='json') returns"),
    "Record": (Record(), "a value of type Record can't be written as JSON"),
    "Side": (Side.LEFT, "a value of type Side can't be written as JSON"),
    "set": ({CANARY}, "a value of type set can't be written as JSON"),
    "bytes": (CANARY.encode(), "a value of type bytes can't be written as JSON"),
    "Decimal": (Decimal("1.5"), "a value of type Decimal can't be written as JSON"),
    "datetime": (datetime(2026, 1, 2, tzinfo=UTC), "a value of type datetime can't be written as JSON"),
    "mapping": (MappingProxyType({CANARY: 1}), "a value of type mappingproxy can't be written as JSON"),
    "key": ({(CANARY, 1): 1}, "a key of type tuple can't be written as JSON"),
    "function": (len, "a value of type builtin_function_or_method can't be written as JSON"),
}


@pytest.mark.parametrize("name", WRITABLE_BY_NOBODY)
@pytest.mark.parametrize("inside", ["{}", "[{}]", "{{'k': ({},)}}"])
def test_what_json_dumps_refuses_is_a_render_error_that_names_the_type(name, inside):
    """At any depth, with the line, and never with a value."""
    value, expected = WRITABLE_BY_NOBODY[name]
    with pytest.raises(TypeError):
        json.dumps(value)
    error = refused(f"\n{{{{ {inside.format('x')} | tojson }}}}", {"x": value})
    assert error.details == {"name": "p", "line": 2}
    assert error.message == f"'p': The template failed at line 2: {expected}."


def test_a_lazy_result_is_made_a_list_first():
    """`map` returns no list, which the error says."""
    expected = "a value of type generator can't be written as JSON; use the filter list first."
    assert refused("{{ x | map('upper') | tojson }}", {"x": [CANARY]}).message.endswith(expected)
    assert text("{{ x | map('upper') | list | tojson }}", {"x": ["a"]}) == '["A"]'


def test_an_absent_value_given_to_tojson_is_the_absent_error(registry):
    """A variable names the variable; an attribute, an item in a list and an indent are render errors."""
    registry.create("p", "{{ x | tojson }}")
    with pytest.raises(MissingVariablesError) as caught:
        registry.render("p")
    assert caught.value.details["missing"] == ["x"]
    for expression in ("x.a | tojson", "[x.a] | tojson", "{'k': x.a} | tojson", "1 | tojson(x.a)"):
        template = f"{{{{ {expression} }}}}"
        assert refused(template, {"x": {}}).message == "'p': The template failed at line 1: x has no 'a'."


def test_a_circle_is_too_deep_to_be_written():
    """It stops at the limit, in both tiers."""
    circle: list[Any] = [1]
    circle.append(circle)
    assert refused("{{ x | tojson }}", {"x": circle}, RenderLimitError).details["limit"] == "depth"


def test_an_integer_that_python_can_not_print_is_a_render_error():
    """Python refuses to print more than 4,300 digits."""
    refused("{{ x | tojson }}", {"x": 10**5_000})


BIG = {
    "characters": ("{{ x | tojson }}", "\x00" * 200_000),
    "items": ("{{ x | tojson }}", [[0] * 10] * 1_000),
    "depth": ("{{ x | tojson }}", json.loads("[" * 60 + "]" * 60)),
}


@pytest.mark.parametrize("limit", BIG)
def test_tojson_keeps_the_limits(limit):
    """A text that grows by its escapes, many items and deep nesting stop at the limit."""
    template, value = BIG[limit]
    assert refused(template, {"x": value}, RenderLimitError).details["limit"] == limit


@pytest.mark.parametrize("indent", [17, 10**9, " " * 17, 1.5, [2]])
def test_an_indent_that_is_too_wide_is_refused(indent):
    """It takes at most sixteen."""
    error = refused("{{ x | tojson(n) }}", {"x": [1], "n": indent})
    assert "tojson takes an indent of at most 16" in error.message


LEAVING = [
    "{% for x in xs %}{% if x == 2 %}{% break %}{% endif %}{{ x }}{% endfor %}.",
    "{% for x in xs %}{% if x == 2 %}{% continue %}{% endif %}{{ loop.index }}:{{ x }} {% endfor %}.",
    "{% for x in xs %}a{% break %}b{% endfor %}c",
    "{% for x in xs %}a{% continue %}b{% endfor %}c",
    "{% for x in xs %}{% for y in xs %}{% if y > x %}{% break %}{% endif %}{{ x }}{{ y }} {% endfor %}|{% endfor %}",
    "{% for x in xs %}{% for y in xs %}{{ y }}{% continue %}{% endfor %}"
    "{% if x > 1 %}{% break %}{% endif %}{% endfor %}",
    "{% for x in xs %}{% if x == 9 %}{% break %}{% endif %}{{ x }}{% else %}none{% endfor %}",
    "{% for x in xs %}{% break %}{% else %}Jinja renders this{% endfor %}",
    "{% for x in xs %}{{ x }}{% if x == 2 %}{% break %}{% endif %}{% else %}and not this{% endfor %}",
    "{% for x in xs %}{% continue %}{% else %}but this{% endfor %}",
    "{% for x in xs %}{{ x }}{% for y in [] %}{% else %}{% break %}{% endfor %}never{% endfor %}",
    "{% for x in xs if x != 2 %}{{ x }}{% if loop.index == 2 %}{% break %}{% endif %}{% endfor %}",
    "{% for x in tree recursive %}{{ x[0] }}{% if x[0] == 2 %}{% break %}{% endif %}({{ loop(x[1]) }}){% endfor %}",
    "{% for x in tree recursive %}{% if x[0] == 2 %}{% continue %}{% endif %}{{ x[0] }}({{ loop(x[1]) }}){% endfor %}",
    "{% macro m(ys) %}{% for y in ys %}{{ y }}{% if y == 2 %}{% break %}{% endif %}{% endfor %}!{% endmacro %}"
    "{% for x in xs %}{{ m(xs) }}{% if x == 2 %}{% break %}{% endif %}{% endfor %}",
    "{% macro m() %}[{{ caller() }}]{% endmacro %}"
    "{% for x in xs %}{% call m() %}{% for y in xs %}{% if y == x %}{% continue %}{% endif %}{{ y }}{% endfor %}"
    "{% endcall %}{% if x == 2 %}{% break %}{% endif %}{% endfor %}",
    "{% for x in xs %}a{% filter upper %}b{{ x }}{% if x == 2 %}{% break %}{% endif %}c{% endfilter %}{% endfor %}d",
    "{% for x in xs %}{% set t %}{{ x }}{% if x == 2 %}{% continue %}{% endif %}!{% endset %}{{ t }}{% endfor %}",
    "{% for x in xs %}{% with y = x * 2 %}{{ y }}{% if y == 4 %}{% break %}{% endif %}{% endwith %}{% endfor %}",
    "{% set ns = namespace(n=0) %}{% for x in xs %}{% set ns.n = ns.n + x %}{% if x == 2 %}{% break %}{% endif %}"
    "{% endfor %}{{ ns.n }}",
    "{% for x in xs %}{% set y = x %}{% if y == 2 %}{% continue %}{% endif %}{% set z = y %}{{ z }}{% endfor %}",
    "{% for x in xs | select %}{{ x }}{% if loop.length == 3 %}{% break %}{% endif %}{% endfor %}",
    "{%- for x in xs -%} {{ x }} {%- if x == 2 -%} {% break %} {%- endif -%} {%- endfor -%} .",
]
TREE = [(1, [(2, []), (3, [])]), (2, [(1, [])]), (3, [])]


@pytest.mark.parametrize("template", LEAVING, ids=range(len(LEAVING)))
def test_break_and_continue_are_those_of_jinja(template):
    """In nested and recursive loops, those with an `else`, in macros and blocks, as with Jinja2's loop controls."""
    stock = STOCK.from_string(template)
    for xs in ([1, 2, 3], [3, 2, 1], [1], []):
        values = {"xs": xs, "tree": TREE}
        assert text(template, values) == stock.render(values)


FAST_LOOPS = [
    *LEAVING[:6],
    LEAVING[10],
    LEAVING[11],
    "{% for a, b in zip(xs, ys) %}{{ a }}{{ b }}{% break %}{% endfor %}",
]


@pytest.mark.parametrize("template", FAST_LOOPS, ids=range(len(FAST_LOOPS)))
def test_loops_that_are_left_early_are_rendered_by_the_fast_tier(template):
    """It renders `break` and `continue` in loops without an `else`, and loops over a `zip`."""
    values = {"xs": [1, 2, 3], "ys": ["a", "b", "c"]}
    compiled = TemplateText(template, LIMITS)
    assert compiled.fast is not None
    assert compiled.fast(values) == compiled.metered(values)


@pytest.mark.parametrize(
    "template",
    [
        "{% for d in docs %}{% if not x %}{% continue %}{% endif %}{{ x }}{% endfor %}",
        "{% for d in docs %}{% if x is not defined %}{% break %}{% elif d %}{{ d }}{% endif %}{{ x }}{% endfor %}",
        "{% for d in docs %}{% if x %}{% set y = x %}{% else %}{% continue %}{% endif %}{{ y }}{% endfor %}",
    ],
)
def test_a_variable_without_which_the_pass_is_left_is_optional(registry, template):
    """Every read of it is guarded, and without it the template renders."""
    prompt = registry.create("p", template)
    assert [(variable.name, variable.required) for variable in prompt.variables] == [("docs", True), ("x", False)]
    assert prompt.render(docs=[0, 0]).text == ""
    assert prompt.render(docs=[0, 0], x="v").text == "vv"


def test_a_variable_that_is_read_where_the_pass_goes_on_is_required(registry):
    """A `break` elsewhere guards nothing."""
    template = "{% for d in docs %}{% if x %}{{ x }}{% break %}{% endif %}{{ x }}{{ y }}{% endfor %}"
    assert [variable.required for variable in registry.create("p", template).variables] == [True, True, True]


OUTSIDE = [
    "{{ x }}\n{% break %}",
    "{% if x %}\n{% continue %}{% endif %}",
    "{% for x in y %}{% macro m() %}\n{% break %}{% endmacro %}{% endfor %}",
    "{% macro m() %}{{ caller() }}{% endmacro %}{% for x in y %}{% call m() %}\n{% break %}{% endcall %}{% endfor %}",
    "{% for x in y %}{% else %}\n{% break %}{% endfor %}",
    "{% for x in y %}{% for z in y recursive %}{% else %}\n{% continue %}{% endfor %}{% endfor %}",
    "{% for x in y %}{% endfor %}\n{% break %}",
]


@pytest.mark.parametrize("template", OUTSIDE, ids=range(len(OUTSIDE)))
def test_break_and_continue_outside_a_loop_are_syntax_errors(registry, template):
    """They are refused when the template is saved, with their line, wherever Jinja2 and Python refuse them."""
    with pytest.raises(SyntaxError):
        STOCK.from_string(template)
    word = "break" if "break" in template else "continue"
    for saved in (template, [{"role": "user", "content": template}]):
        with pytest.raises(TemplateSyntaxError) as caught:
            registry.create("p", saved)
        assert caught.value.details == {"name": "p", "line": 2}
        assert f"Line 2: {word} is not in a loop." in caught.value.message
    assert list(registry.list()) == []


def test_break_and_continue_take_nothing(registry):
    """`{% break if x %}` is no syntax of Jinja2's."""
    with pytest.raises(TemplateSyntaxError, match="expected token 'end of statement block', got 'if'"):
        registry.create("p", "{% for x in y %}{% break if x %}{% endfor %}")


def test_a_misspelt_break_is_suggested(registry):
    """The nearest tag is named."""
    with pytest.raises(TemplateSyntaxError, match="Did you mean 'break'"):
        registry.create("p", "{% for x in y %}{% brek %}{% endfor %}")


class Row:
    """A sequence of the application without a length."""

    def __getitem__(self, i):
        if i > 2:
            raise IndexError
        return i * i


ZIPPED = [
    "{% for a, b in zip(xs, ys) %}{{ loop.index }}{{ a }}{{ b }},{% endfor %}",
    "{% for a, b in zip(xs, ys) %}{{ a }}{{ b }}{% else %}none{% endfor %}",
    "{% for a, b in zip(xs, ys) if a %}{{ a }}{{ b }}{{ loop.length }}{% endfor %}",
    "{% for a, b in zip(xs, d.items()) %}{{ a }}{{ b }}{% endfor %}",
    "{% for a, b, c in zip(xs, ys, t) %}{{ a }}{{ b }}{{ c }}{% endfor %}",
    "{% for row in zip(xs, ys) %}{{ row[0] }}{{ row | last }}{% endfor %}",
    "{% for a, b in zip(xs, xs) %}{{ a }}{{ b }}{% endfor %}",
    "{% for a, (b, c) in zip(xs, zip(ys, t)) %}{{ a }}{{ b }}{{ c }}{% endfor %}",
    "{% for a, b in zip(d.xs, d['ys']) %}{{ a }}{{ b }}{% endfor %}",
    "{% for a in zip(xs) %}{{ a }}{% endfor %}{% for a in zip() %}never{% endfor %}",
    "{% for x in [0, 1] %}{% for a, b in zip(xs, ys) %}{{ x }}{{ a }}{{ b }}{% endfor %}{% endfor %}",
    "{{ zip(xs, ys) | list }}{{ zip(t, row) | list }}{{ zip(d) | list }}",
    "{{ dict(zip(ys, xs)) }}{{ zip(*zip(xs, ys)) | list }}{{ zip(xs, ys) | map('first') | list }}",
    "{{ zip(xs, ys, strict=true) | list | length }}",
    "{{ zip(xs, ys, strict=d.no) | list | length }}{{ zip(xs, xs, strict=true) | list }}",
    "{% if zip() %}a zip is true{% endif %}",
    "{% macro m() %}{% for a, b in zip(varargs, ys) %}{{ a }}{{ b }}{% endfor %}{% endmacro %}{{ m(1, 2) }}",
    "{% set rows = zip(xs, ys) %}{% for a, b in rows %}{{ a }}{{ b }}{% endfor %}{{ rows | list }}",
]


@pytest.mark.parametrize("template", ZIPPED, ids=range(len(ZIPPED)))
def test_zip_is_the_function_of_python(template):
    """It yields tuples up to the end of the shortest, of whatever can be looped over, in both tiers."""
    stock = STOCK.from_string(template)
    for xs, ys in (([1, 2], ["a", "b"]), ([0, 1, 2], ("a", "b")), ([], ["a"]), (range(2), {"k": 1, "l": 2})):
        values = {"xs": xs, "ys": ys, "t": "uv", "row": Row(), "d": {"xs": xs, "ys": ys, "no": False}}
        try:
            expected = stock.render(values)
        except ValueError:
            refused(template, values)
        else:
            assert text(template, values) == expected


def test_a_strict_zip_refuses_lengths_that_differ():
    """The error says which is shorter or longer, as Python's does, and quotes no value."""
    values = {"xs": [1, 2, CANARY], "ys": [1]}
    message = refused("\n{% for a in zip(xs, ys, strict=true) %}{% endfor %}", values).message
    assert message == "'p': The template failed at line 2 (zip() argument 2 is shorter than argument 1)."
    assert (
        "(zip() argument 2 is longer than argument 1)" in refused("{{ zip(ys, xs, strict=1) | list }}", values).message
    )


def test_zip_takes_what_can_be_looped_over():
    """Anything else is an error when it is called, and an absent value is the absent error."""
    assert "('int' object is not iterable)" in refused("{{ zip([], 1) is defined }}", {}).message
    assert "x has no 'a'" in refused("{{ zip([], x.a) is defined }}", {"x": {}}).message
    refused("{{ zip([], loose=1) }}", {})
    with Registry(":memory:") as opened:
        opened.create("p", "{% for a, b in zip(xs, ys) %}{{ a }}{% endfor %}")
        with pytest.raises(MissingVariablesError) as caught:
            opened.render("p")
    assert caught.value.details["missing"] == ["xs", "ys"]


def test_a_zip_is_not_printed():
    """Its text would show an address."""
    assert "can't be printed" in refused("{{ zip(xs) }}", {"xs": [1]}).message


@pytest.mark.parametrize("name", ["zip", "raise_exception"])
def test_a_function_that_is_called_is_no_variable(registry, name):
    """It is not among the prompt's variables, and with extra variables forbidden it may not be passed."""
    prompt = registry.create("p", f"{{% for a in xs %}}{{{{ {name}('a', ys) | list }}}}{{% endfor %}}")
    assert [variable.name for variable in prompt.variables] == ["xs", "ys"]
    with Registry(":memory:", extra_variables="forbid") as strict:
        strict.create("p", f"{{% for a in xs %}}{{{{ {name}('a', ys) | list }}}}{{% endfor %}}")
        with pytest.raises(InvalidVariablesError) as caught:
            strict.render("p", {"xs": [], "ys": [], name: 1})
    assert [error["field"] for error in caught.value.details["errors"]] == [name]


@pytest.mark.parametrize("name", ["zip", "raise_exception"])
def test_a_function_that_is_read_otherwise_is_a_variable(registry, name):
    """A prompt may ask for a zip code; one that is not passed is missing."""
    prompt = registry.create("p", f"{{{{ {name} }}}}")
    assert [variable.name for variable in prompt.variables] == [name]
    assert prompt.render({name: "8004"}).text == "8004"
    with pytest.raises(MissingVariablesError) as caught:
        prompt.render()
    assert caught.value.details["missing"] == [name]


def test_a_call_means_the_function_also_beside_a_variable_of_its_name(registry):
    """The variable is read where the name is not called, and never called."""
    prompt = registry.create("p", "{{ zip }}: {% for a, b in zip(xs, ys) %}{{ a }}{{ b }}{% endfor %}")
    assert prompt.render(zip="8004", xs=[1], ys=["a"]).text == "8004: 1a"
    prompt = registry.create("q", "{{ zip(xs, ys) | list }}")
    assert prompt.render(zip=print, xs=[1], ys=["a"]).text == "[(1, 'a')]"


def test_a_template_that_binds_the_name_means_its_own():
    """A macro called `zip` is the macro, and a loop's variable is that."""
    macro = "{% macro zip(a) %}<{{ a }}>{% endmacro %}{{ zip(1) }}"
    assert text(macro, {}) == "<1>" == STOCK.from_string(macro).render()
    assert text("{% for zip in codes %}{{ zip }},{% endfor %}", {"codes": [8004, 8005]}) == "8004,8005,"
    assert text("{% set zip = code %}{{ zip }}", {"code": 8004}) == "8004"
    refused("{% set raise_exception = 1 %}{{ raise_exception('x') }}", {})


def test_zip_keeps_the_limits():
    """Rows are paid for one by one; its arguments are counted before."""

    def limit(template: str, **values: Any) -> str | None:
        with pytest.raises(RenderLimitError) as caught:
            TemplateText(template, RenderLimits(fuel=20_000, calls=20)).render(values)
        return caught.value.details["limit"]

    assert limit("{{ zip(range(99999), range(99999)) | list | length }}") == "fuel"
    assert limit("{% for a, b in zip(x, x) %}{% endfor %}", x=[0] * 20_000) == "fuel"
    assert limit("{{ zip(*x) | list }}", x=[[1]] * 10_001) == "items"
    assert limit("{{ zip(x, x) | list }}", x=itertools.count()) == "fuel"
    assert limit("{% set z = [1] %}" + "{% set z = zip(z) %}" * 40 + "{{ z | list }}") == "calls"
    assert limit("{% set z = [1] %}" + "{% set z = zip(z) %}" * 300) is None


@pytest.mark.parametrize("limits", [{"fuel": fuel} for fuel in (20, 50, 100, 400, 2_000)] + [{"items": 1}], ids=str)
def test_a_fast_loop_over_a_zip_keeps_the_limits(limits):
    """The fast tier renders nothing that the metered tier refuses under the same limits."""
    template = "{% for a, b in zip(xs, ys) %}{% if a > 50 %}{% break %}{% endif %}{{ a }}{{ b }}{% endfor %}"
    compiled = TemplateText(template, RenderLimits(**limits))
    values = {"xs": list(range(60)), "ys": list(range(60))}
    try:
        metered = compiled.metered(values)
    except RenderLimitError:
        metered = None
    try:
        fast = compiled.fast(values) if compiled.fast is not None else None
    except Bailout:
        fast = None
    assert fast in (None, metered)


def test_a_loop_that_is_left_early_pays_for_the_passes_it_makes():
    """A loop over much that ends soon is no error, though the fast tier leaves it to the metered one."""
    template = "{% for x in xs %}{{ x }}{% if x == 3 %}{% break %}{% endif %}{% endfor %}"
    assert text(template, {"xs": list(range(300_000))}) == "0123"
    endless = TemplateText("{% for x in xs %}{{ x }}{% break %}{% endfor %}", LIMITS)
    assert endless.render({"xs": itertools.count()}) == "0"


RAISING = (
    "{% if role not in ['user', 'assistant'] %}\n{{ raise_exception('Only user and assistant roles!') }}{% endif %}ok"
)


def test_raise_exception_is_a_render_error_with_the_literal_text():
    """It has the line too; a template that never reaches it renders, by the fast tier."""
    assert TemplateText(RAISING, LIMITS).fast is not None
    assert text(RAISING, {"role": "user"}) == "ok"
    error = refused(RAISING, {"role": CANARY})
    assert type(error) is RenderError
    assert error.message == "'p': The template failed at line 2: Only user and assistant roles!"
    assert error.details == {"name": "p", "line": 2}
    assert error.__cause__ is None


def test_raise_exception_of_a_computed_text_names_the_line_alone():
    """A computed text may hold a value, which no message does."""
    for argument in (
        "'role: ' ~ role",
        "role",
        "role ~ ''",
        "'%s' | format(role)",
        "'a' if role else 'b'",
        "*[role]",
        "",
    ):
        template = f"\n\n{{{{ raise_exception({argument}) }}}}"
        error = refused(template, {"role": CANARY})
        assert error.message == "'p': The template failed at line 3: the template calls raise_exception."
        assert error.details == {"name": "p", "line": 3}


def test_raise_exception_may_stand_anywhere():
    """In an expression, a macro, a loop, a chat's message and at the end of a template."""
    for template in (
        "{{ x or raise_exception('Stop.') }}",
        "{% set y = raise_exception('Stop.') %}",
        "{% for i in [1] %}{{ i }}{{ raise_exception('Stop.') }}{% endfor %}",
        "{% macro m() %}{{ raise_exception('Stop.') }}{% endmacro %}{{ m() }}",
        "{{ raise_exception('Stop.') | upper }}",
        "{% if not x %}{{- raise_exception('Stop.') -}}{% endif %}",
        "{% for i in [] %}{% else %}{{ raise_exception('Stop.') }}{% endfor %}",
    ):
        assert refused(template, {"x": 0}).message == "'p': The template failed at line 1: Stop."
    with Registry(":memory:") as opened:
        opened.create("chat", [{"role": "system", "content": "a"}, {"role": "user", "content": RAISING}])
        assert opened.render("chat", role="user").messages[1]["content"] == "ok"
        with pytest.raises(RenderError, match=r"message 2 of 2: The template failed at line 2: Only user and"):
            opened.render("chat", role="tool")


def test_a_long_text_of_raise_exception_is_cut():
    """A message has at most 1,000 characters of it."""
    message = refused("{{ raise_exception('" + "a" * 5_000 + "') }}", {}).message
    assert message == f"'p': The template failed at line 1: {'a' * 1_000}…"


def test_an_example_that_raises_is_a_failed_check(registry):
    """A publish check that renders an example reports what the template raises."""
    with pytest.raises(PublishCheckError) as caught:
        registry.create("p", RAISING, examples=[{"role": "tool"}])
    assert "Only user and assistant roles!" in caught.value.details["reasons"][0]


def test_index_returns_where_a_text_or_item_is():
    """As Python's methods do, with a start and an end."""
    template = "{{ t.index('b') }}{{ t.rindex('b') }}{{ t.index('b', 2) }}{{ t.rindex('b', 0, 3) }}{{ l.index(2) }}"
    assert text(template, {"t": "abcbb", "l": [1, 2]}) == "14311"
    assert text("{{ t.rfind('b') }}{{ t.partition('b')[2] }}{{ t.rpartition('b')[0] }}", {"t": "abcb"}) == "3cbabc"


def test_index_of_what_is_not_there_is_a_render_error_that_quotes_nothing():
    """It says what to use instead."""
    values = {"t": CANARY, "l": [CANARY], "k": CANARY + "!"}
    failed = "'p': The template failed at line 1: "
    assert refused("{{ t.index(k) }}", values).message == f"{failed}index finds no such text; find returns -1 there."
    assert refused("{{ t.rindex(k) }}", values).message == f"{failed}rindex finds no such text; rfind returns -1 there."
    for sequence in ("l", "(t,)"):
        message = refused(f"{{{{ {sequence}.index(k) }}}}", values).message
        assert message == f"{failed}index finds no such item; test for it with in before."


SLOW = [
    "{{ x.rindex('b' ~ 'a' * 900) }}",
    "{{ x.rfind('b' ~ 'a' * 900) }}",
    "{{ x.rpartition('b' ~ 'a' * 900) }}",
    "{{ x.ljust(10**9) }}",
    "{{ x.rjust(10**9, '.') }}",
    "{{ x.center(10**9) }}",
    "{{ x.zfill(10**9) }}",
    "{{ (x * 9).index('b') }}",
]


@pytest.mark.parametrize("template", SLOW)
def test_the_work_of_methods_is_bounded(template):
    """A search from the end takes quadratic time in Python, and a width may be anything."""
    refused(template, {"x": "a" * 900_000}, RenderLimitError)


def test_all_this_holds_in_jinja_trim_too(registry):
    """The other syntax of Jinja2 has the same functions and statements."""
    template = """\
{% for a, b in zip(xs, ys) %}
  {% if a == 2 %}
    {% break %}
  {% endif %}
{{ a }}: {{ b | tojson }}
{% endfor %}
{% if not xs %}
{{ raise_exception('No xs!') }}
{% endif %}
"""
    prompt = registry.create("p", template, syntax="jinja-trim")
    assert prompt.render(xs=[1, 2], ys=["ü", "b"]).text == '1: "ü"\n'
    with pytest.raises(RenderError, match="line 8: No xs!"):
        prompt.render(xs=[], ys=[])
    with pytest.raises(TemplateSyntaxError, match="Line 2: continue is not in a loop"):
        registry.create("q", "\n{% continue %}", syntax="jinja-trim")
