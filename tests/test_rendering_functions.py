"""Rule 20: JSON for models, `break` and `continue`, `zip`, `raise_exception`, and methods that look for a text."""

import json
from collections import Counter, OrderedDict, defaultdict, namedtuple
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum, IntEnum, StrEnum
from types import MappingProxyType
from typing import Any

import pytest
from markupsafe import Markup
from pydantic import BaseModel

from promptreg import MissingVariablesError, Registry, RenderError, RenderLimitError, RenderLimits
from promptreg.jsonvalues import freeze
from promptreg.rendering.template import TemplateText

LIMITS = RenderLimits()
CANARY = "sesame"


@pytest.fixture
def registry():
    """A registry in memory."""
    with Registry(":memory:") as opened:
        yield opened


def text(template: str, values: dict[str, Any]) -> str:
    """Render by the registry, and by the metered tier alone, to the same text."""
    with Registry(":memory:") as opened:
        opened.create("p", template)
        rendered = opened.render("p", values).text
    assert TemplateText(template, LIMITS).metered(values) == rendered
    return rendered


def refused(template: str, values: dict[str, Any], kind: type[Exception] = RenderError) -> Any:
    """Return the error of a render, which quotes no value."""
    with Registry(":memory:") as opened:
        opened.create("p", template)
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
@pytest.mark.parametrize("indent", [0, 2, None, "\t", -1, True])
def test_tojson_takes_an_indent(name, indent):
    """By position and by name, as `json.dumps` takes it."""
    values = {"x": WRITTEN[name], "n": indent}
    expected = json.dumps(values["x"], ensure_ascii=False, indent=indent)
    assert text("{{ x | tojson(n) }}{{ x | tojson(indent=n) }}", values) == 2 * expected


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
