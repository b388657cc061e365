"""What a template may read, call and print, and each render limit by its name, as in docs/templates.md."""

import pickle
import threading
import time
import tracemalloc
from collections import OrderedDict, defaultdict, namedtuple
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from enum import Enum
from fractions import Fraction
from pathlib import Path, PurePosixPath
from types import SimpleNamespace
from uuid import UUID

import pytest
from jinja2 import Environment
from jinja2.sandbox import ImmutableSandboxedEnvironment
from pydantic import BaseModel, ValidationError

from promptreg import (
    InvalidInputError,
    MissingVariablesError,
    Registry,
    RenderError,
    RenderLimitError,
    RenderLimits,
    TemplateError,
    TemplatePolicyError,
    TemplateSyntaxError,
)
from promptreg.rendering.fast.guards import Bailout
from promptreg.rendering.fast.operations import column
from promptreg.rendering.metered.methods import METHODS
from promptreg.rendering.template_text import TemplateText
from tests.stock import stock_environment

LIMITS = RenderLimits()


@dataclass
class Document:
    """An application's object, with fields, a property and a method."""

    title: str
    tags: list
    _secret: str = "CANARY"

    @property
    def shout(self):
        return self.title.upper()

    def delete(self):
        raise AssertionError("a template called the application")


class Model(BaseModel):
    name: str
    inner: Document | None = None


class Spoken:
    def __str__(self):
        return "spoken"


class Kind(Enum):
    FAST = "fast"


Pair = namedtuple("Pair", "left right")


def text(template, limits=LIMITS, **variables):
    """Render one text in its default tier and in the metered tier, and check that they agree."""
    compiled = TemplateText(template, limits)
    rendered = compiled.render(variables)
    assert compiled.metered(variables) == rendered
    return rendered


def refused(template, limits=LIMITS, **variables):
    """Return the PromptregError of saving or rendering a template."""
    with pytest.raises(TemplateError) as caught:
        TemplateText(template, limits).render(variables)
    assert "CANARY" not in f"{caught.value!r}{caught.value.details}{caught.value.message}"
    return caught.value


DOCUMENT = Document("Tea", ["a", "b"])
READS = [
    ("{{ d.title }} {{ d.shout }} {{ d.tags[1] }}", "Tea TEA b"),
    ("{{ d['title'] }}", "Tea"),
    ("{{ m.name }} {{ m.inner.title }}", "Mo Tea"),
    ("{{ p.left }} {{ p[1] }}", "1 2"),
    ("{{ mapping._own }} {{ mapping['_own'] }} {{ mapping['items'] }}", "1 1 2"),
    ("{{ [d, d] | map(attribute='title') | join(',') }}", "Tea,Tea"),
    ("{{ d | attr('title') }}", "Tea"),
]


UNDERSCORED = [
    "{{ v['_x'] | default('none') }}",
    "{% macro m() %}{{ v['_x'] | default('none') }}{% endmacro %}{{ m() }}",
]


@pytest.mark.parametrize("template", UNDERSCORED)
def test_a_name_with_an_underscore_is_read_from_mappings_only(template):
    """The rule is the same for present and absent keys, guarded or not, in macros and outside."""
    assert (text(template, v={"_x": 1}), text(template, v={})) == ("1", "none")
    assert type(refused(template, v=Document("Tea", []))) is RenderError


@pytest.mark.parametrize(
    "template",
    [
        "{{ ﬁle }}",
        "{{ x | default(ﬁle) }}",
        "{% set ﬁle = 1 %}",
        "{% for ﬁle in x %}{% endfor %}",
        "{% with ﬁle = 1 %}{% endwith %}",
        "{% macro ﬁle() %}{% endmacro %}",
        "{% macro m(ﬁle) %}{% endmacro %}",
        "{{ dict(ﬁle=1) }}",
        "{% set n = namespace(ﬁle=1) %}",
    ],
)
def test_a_name_that_python_would_normalise_is_refused(template):
    """A name must be in its normal form, because `ﬁle`, with a ligature, would become the variable `file`."""
    error = refused(template, x=[], file="CANARY")
    assert type(error) is TemplatePolicyError
    assert (error.details["line"], "NFKC" in error.message) == (1, True)


def test_a_text_or_key_that_python_would_normalise_is_unchanged():
    """Texts, keys and attributes are not normalised as names are."""
    assert text("{{ 'ﬁle' }} {{ x['ﬁle'] }} {{ x.ﬁle }} {{ x.file }}", x={"ﬁle": 1, "file": 2}) == "ﬁle 1 1 2"


@pytest.mark.parametrize(("template", "expected"), READS)
def test_public_attributes_and_items_are_read(template, expected):
    """A template reads dicts, dataclasses, pydantic models, namedtuples and properties."""
    variables = {"d": DOCUMENT, "m": Model(name="Mo", inner=DOCUMENT), "p": Pair(1, 2)}
    assert text(template, **variables, mapping={"_own": 1, "items": 2}) == expected


UNREADABLE = [
    "{{ d._secret }}",
    "{{ d['_secret'] }}",
    "{{ d | attr('_secret') }}",
    "{{ [d] | map(attribute='_secret') | join }}",
    "{{ d.delete }}",
    "{{ d['delete'] }}",
    "{{ mapping.items }}",
    "{{ holder.kind }}",
    "{{ holder.module }}",
    "{{ holder.running }}",
    "{{ holder.frame }}",
    "{{ [holder] | map(attribute='kind') | list }}",
    "{{ counts.new }}",
    "{{ counts['new'] }}",
]


@pytest.mark.parametrize("template", UNREADABLE)
def test_private_callable_and_running_values_are_not_read(template):
    """Reading one raises `RenderError` before any code of the application runs."""
    holder = SimpleNamespace(kind=Document, module=time, running=(i for i in "a"), frame=next(_frames()))
    counts = defaultdict(list)
    error = refused(template, d=DOCUMENT, mapping={}, holder=holder, counts=counts)
    assert (type(error), error.code) == (RenderError, "render_error")
    assert counts == {}


def _frames():
    import sys

    yield sys._getframe()


CALLS = {
    "str": {
        "strip": "()",
        "lstrip": "()",
        "rstrip": "('b')",
        "split": "()",
        "rsplit": "('a')",
        "splitlines": "()",
        "replace": "('a', 'c')",
        "join": "(['x', 'y'])",
        "startswith": "('a')",
        "endswith": "('a')",
        "find": "('b')",
        "rfind": "('b')",
        "index": "('b')",
        "rindex": "('b')",
        "partition": "(' ')",
        "rpartition": "(' ')",
        "center": "(9, '.')",
        "ljust": "(9)",
        "rjust": "(9)",
        "zfill": "(9)",
        "count": "('a')",
        "removeprefix": "('a')",
        "removesuffix": "('b')",
    },
    "dict": {"get": "('k')"},
    "sequence": {"index": "(1)", "count": "(1)"},
    "moment": {"strftime": "('%Y-%m-%d')"},
    "loop": {},
}
VALUES = {"str": "a b", "dict": {"k": 1}, "sequence": [1, 2], "moment": datetime(2026, 1, 2, tzinfo=UTC)}


@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind in VALUES for name in sorted(METHODS[kind])], ids=str)
def test_methods_of_builtin_types_are_called(kind, name):
    """Each method that the policy allows returns what Python returns."""
    arguments = CALLS[kind].get(name, "()")
    value = VALUES[kind]
    assert text(f"{{{{ x.{name}{arguments} }}}}", x=value) == str(eval(f"value.{name}{arguments}", {"value": value}))


def test_the_loop_and_the_builtins_can_be_called():
    """A template may call `loop.cycle`, `loop.changed`, `range`, `dict`, `namespace`, macros and `caller`."""
    assert (
        text("{% for x in 'aab' %}{{ loop.cycle('-', '+') }}{{ loop.changed(x) }} {% endfor %}")
        == "-True +False -True "
    )
    assert text("{{ range(3) | list }}{{ dict(a=1) }}{{ namespace(a=2).a }}") == "[0, 1, 2]{'a': 1}2"
    macro = "{% macro m(x) %}<{{ x }}{{ caller() }}>{% endmacro %}"
    assert text(macro + "{% call m(1) %}!{% endcall %}") == "<1!>"
    assert text("{% for x in t recursive %}{{ x[0] }}{{ loop(x[1]) }}{% endfor %}", t=[(1, [(2, [])])]) == "12"


SPELLED = [
    "{{ d.delete() }}",
    "{{ d() }}",
    "{{ d['delete']() }}",
    "{{ (d or d)() }}",
    "{{ ''.format(d) }}",
    "{{ d.__class__ }}",
    "{{ self }}",
    "{{ cycler(1) }}",
    "{{ lipsum() }}",
    "{{ x | pprint }}",
    "{{ x | random }}",
    "{{ '%s' % d }}",
    "{{ x | format(1) }}",
    "{{ '%99999d' | format(1) }}",
    "{{ '%*d' | format(1, 2) }}",
    "{{ '%r' | format(d) }}",
    "{% filter format(1) %}%d{% endfilter %}",
    "{% include 'x' %}",
    "{% import 'x' as y %}",
    "{% from 'x' import y %}",
    "{% extends 'x' %}",
    "{% block x %}{% endblock %}",
    "{% autoescape true %}{% endautoescape %}",
]


@pytest.mark.parametrize("template", SPELLED)
def test_what_the_source_shows_is_refused_when_it_is_saved(template):
    """Saving such a template raises `TemplatePolicyError` with the line, and nothing runs."""
    with pytest.raises(TemplatePolicyError) as caught:
        TemplateText("\n" + template, LIMITS)
    assert (caught.value.code, caught.value.details) == ("template_policy", {"line": 2})


def test_an_unknown_filter_or_test_is_a_syntax_error():
    """Saving a template with an unknown filter or test raises `TemplateSyntaxError`, as Jinja2 does."""
    for template in ("{{ x | nope }}", "{{ x is nope }}"):
        with pytest.raises(TemplateSyntaxError):
            TemplateText(template, LIMITS)


HIDDEN_CALLS = [
    "{% set f = d %}{{ f() }}",
    "{{ model.get('x') }}",
    "{{ d.count(1) }}",
    "{{ ['x'] | map('format', 1) | list }}",
    "{{ x % 3 }}",
]


@pytest.mark.parametrize("template", HIDDEN_CALLS)
def test_what_only_values_show_is_refused_when_it_is_rendered(template):
    """Rendering such values raises `RenderError`, and calls nothing of the application."""

    class Counted(Document):
        def count(self, _):
            raise AssertionError("a template called the application")

        __call__ = get = count

    error = refused(template, d=Counted("t", []), model=Counted("t", []), x="%d")
    assert (error.code, error.details) == ("render_error", {"line": 1})


PRINTED = [
    ("text", "text"),
    (1.5, "1.5"),
    (None, "None"),
    (Decimal("1.10"), "1.10"),
    (UUID(int=5), str(UUID(int=5))),
    (PurePosixPath("a/b"), "a/b"),
    (date(2026, 1, 2), "2026-01-02"),
    (timedelta(hours=1), "1:00:00"),
    (Kind.FAST, "Kind.FAST"),
    ([Kind.FAST, None, {"k": Decimal(1)}], "[<Kind.FAST: 'fast'>, None, {'k': Decimal('1')}]"),
    (Pair(1, [2]), "Pair(left=1, right=[2])"),
    (DOCUMENT, "Document(title='Tea', tags=['a', 'b'], _secret='CANARY')"),
    (Spoken(), "spoken"),
    (Model(name="Mo"), "name='Mo' inner=None"),
    (range(3), "range(0, 3)"),
    (OrderedDict(a=1), str(OrderedDict(a=1))),
]


@pytest.mark.parametrize(("value", "expected"), PRINTED, ids=[type(value).__name__ for value, _ in PRINTED])
def test_data_is_printed_as_python_prints_it(value, expected):
    """Output, `~`, filters and containers print data as `str` does."""
    assert text("{{ x }}", x=value) == text("{{ '' ~ x }}", x=value) == text("{{ x | string }}", x=value) == expected
    assert text("{{ [x] | map('string') | join }}", x=value) == expected


UNPRINTABLE = [
    len,
    Document,
    time,
    (i for i in "a"),
    object(),
    SimpleNamespace(a=1),
    DOCUMENT.delete,
    Document("t", [len]),
    Model.model_construct(name=len),
    Pair(1, len),
    defaultdict(list),
]


@pytest.mark.parametrize("value", UNPRINTABLE, ids=[type(value).__name__ for value in UNPRINTABLE])
@pytest.mark.parametrize(
    "template", ["{{ x }}", "{{ [x] }}", "{{ {'k': (x,)} }}", "{{ x ~ '' }}", "{{ x | string }}", "{{ [x] | join }}"]
)
def test_functions_classes_and_addresses_are_not_printed(value, template):
    """They are refused even inside a container, or as a part of a dataclass or model."""
    assert type(refused(template, x=value)) is RenderError


class Lazy:
    """A lazy proxy, as in web frameworks, whose `__class__` is that of the object behind it."""

    def __init__(self, value):
        self._value = value

    @property
    def __class__(self):
        return type(self._value)

    def __str__(self):
        return str(self._value)

    def __repr__(self):
        return repr(self._value)

    def __len__(self):
        return len(self._value)

    def __contains__(self, item):
        return item in self._value

    def __add__(self, other):
        return self._value + other

    def __getattr__(self, name):
        return getattr(self._value, name)


@pytest.mark.parametrize("value", ["tea", 7, 1.5, True, None, b"tea", [1], (1,), {"a": 1}, {1}, UUID(int=7), Path("a")])
@pytest.mark.parametrize(
    "template", ["{{ x }}", "{{ [x, {1: x}] }}", "{{ x ~ '!' }}", "{{ x | upper }}", "{{ x | e }}"]
)
def test_a_proxy_of_a_type_is_printed_as_an_object(value, template):
    """A value that only pretends a type by `__class__` is printed by its `__str__` or `__repr__`, as in Jinja."""
    expected = ImmutableSandboxedEnvironment().from_string(template).render(x=Lazy(value))
    assert text(template, x=Lazy(value)) == expected


def test_a_proxy_of_a_text_is_searched_and_added_by_its_methods():
    """`in` and `~` call the methods of a proxy of a text, and do not measure it as a text."""
    assert text("{{ 'e' in x }} {{ x + '!' }}", x=Lazy("tea")) == "True tea!"
    for template in ("{{ x | indent }}", "{{ x | truncate }}"):
        assert "Lazy" in refused(template, x=Lazy("tea")).message
    for value in ("tea", {"a": 1}, [1]):
        assert type(refused("{{ x | tojson }}", x=Lazy(value))) is RenderError


def test_an_object_that_only_prints_itself_is_not_printed_in_a_container():
    """It is refused, because a container prints the reprs of its items, and the default repr contains an address."""
    assert text("{{ x }}", x=Spoken()) == "spoken"
    assert "__repr__" in refused("{{ [x] }}", x=Spoken()).message


LIMITED = [
    ("fuel", "{% for i in range(90000) %}{% for j in range(90000) %}{% endfor %}{% endfor %}"),
    ("characters", "{{ 'x' * 2000000 }}"),
    ("characters", "{% for i in range(900) %}{{ t }}{% endfor %}"),
    ("items", "{{ l == m }}"),
    ("range_items", "{{ (t * 20).split('a') | length }}"),
    ("depth", "{{ n }}"),
    ("range_items", "{{ range(100001) }}"),
    ("calls", "{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}"),
    ("integer_bits", "{{ 9 ** 99 }}"),
]


@pytest.mark.parametrize(("limit", "template"), LIMITED, ids=[limit for limit, _ in LIMITED])
def test_a_render_ends_at_each_limit_and_names_it(limit, template):
    """`RenderLimitError` has the name of the limit, its value, and the line of the template."""
    nested = []
    for _ in range(40):
        nested = [nested]
    many = [[i] for i in range(9000)]
    error = refused("\n" + template, t="a" * 9000, l=many, m=[[i] for i in range(9000)], n=nested)
    assert (type(error), error.code) == (RenderLimitError, "render_limit")
    assert error.details == {"limit": limit, "line": None if "{{ t }}" in template else 2}
    assert limit in error.message


FIXED = [
    ("100,000 characters", "{{ x | title }}", "a " * 60_000),
    ("100,000 characters", "{{ x | urlencode }}", "a" * 100_001),
    ("20,000 lines", "{{ x | wordwrap }}", "\n" * 20_001),
    ("20,000 lines", "{{ x | wordwrap }}", "\r" * 20_001),
    ("20,000 lines", "{{ x | wordwrap }}", "\u2028" * 20_001),
    ("50,000 pieces", "{{ x | wordwrap(1) }}", "ab " * 20_000),
    ("20,000,000 times", "{{ x | wordwrap(1) }}", " " * 5_000),
    ("20,000,000 times", "{{ x | wordwrap(79) }}", " " * 50_000),
    ("20,000,000 times", "{{ x.rsplit('b' * 300) }}", "a" * 100_000),
    ("20,000,000 times", "{{ x | wordwrap }}", "a" * 5_000),
    ("500,000,000", "{{ x | striptags }}", "<" * 50_000),
    ("500,000 characters", "{{ x | wordcount }}", "a" * 500_001),
    ("4,300 characters", "{{ x | int }}", "1" * 4_301),
    ("1,024 bits", "{{ x | int }}", "1" * 400),
    ("1,024 bits", "{{ '%d' | format(x) }}", 1 << 1_024),
    ("at most 300", "{{ x | round }}", Decimal("1e301")),
    ("20,000 bits", "{{ x // 7 }}", 1 << 20_000),
    ("1,000,000 items", "{{ 1.5 in x }}", range(1_000_001)),
    ("1,000,000", "{{ x - x }}", set(range(1_001))),
    ("2,000 values", "{{ x | sort | length }}", [(i,) for i in range(2_001)]),
    ("200 keys", "{{ dict(x) }}", [(i * (2**61 - 1), 1) for i in range(300)]),
    (
        "100 lazy filters",
        "{% set n = namespace(m=x) %}{% for i in range(101) %}{% set n.m = [n.m, x | unique] %}{% endfor %}",
        "a",
    ),
    ("2,500 levels", "{% set n = namespace(m=x) %}{% for i in range(2501) %}{% set n.m = [n.m] %}{% endfor %}", [len]),
]


@pytest.mark.parametrize(("cap", "template", "value"), FIXED, ids=[cap for cap, *_ in FIXED])
def test_a_fixed_limit_is_reported_as_fixed(cap, template, value):
    """The error names no limit that could be raised, and states the number that applies."""
    limits = RenderLimits(seconds=60, characters=10**7, items=10**6, calls=100, depth=100, integer_bits=10_000)
    error = refused(template, limits, x=value)
    assert (type(error), error.details) == (RenderLimitError, {"limit": None, "line": 1})
    assert cap in error.message


def test_a_render_ends_at_its_deadline():
    """A loop over slow values of the application stops between two of them."""

    class Slow:
        @property
        def value(self):
            time.sleep(0.001)
            return 1

    slow = "{% for i in range(90000) %}{{ s.value }}{% endfor %}"
    assert refused(slow, RenderLimits(seconds=0.05), s=Slow()).details["limit"] == "seconds"


def test_all_messages_of_a_chat_prompt_are_one_render():
    """The characters and the fuel of all messages count together."""
    limits = RenderLimits(characters=1_000)
    with Registry(":memory:", render_limits=limits) as registry:
        messages = [{"role": "user", "content": "{{ x }}"}] * 3
        registry.create("chat", messages)
        assert len(registry.render("chat", x="a" * 300).text) == 904
        with pytest.raises(RenderLimitError) as caught:
            registry.render("chat", x="a" * 400)
        assert caught.value.details == {"name": "chat", "limit": "characters", "line": None}


SAVED = [
    (RenderLimits(source_characters=9), "0123456789"),
    (RenderLimits(nodes=9), "{{ a }}" * 9),
    (RenderLimits(nesting=5), "{{ ((((a + 1) + 1) + 1) + 1) }}"),
    (LIMITS, "{% if a %}" + "{% elif a %}" * 300 + "{% endif %}"),
    (LIMITS, "{{ 0x" + "f" * 9000 + " }}"),
    (LIMITS, "{{ a }}" * 30_000),
]


@pytest.mark.parametrize(("limits", "template"), SAVED, ids=["source", "nodes", "nesting", "elif", "digits", "tokens"])
def test_a_template_that_is_too_large_is_refused_when_it_is_saved(limits, template):
    """Saving it raises `TemplatePolicyError`, and creates no prompt."""
    with Registry(":memory:", render_limits=limits) as registry:
        with pytest.raises(TemplatePolicyError):
            registry.create("big", template)
        assert registry.list().items == []


def test_a_prompt_saved_under_looser_limits_can_be_read_but_not_rendered(path):
    """The limits of the rendering process apply to rendering alone."""
    with Registry(path) as registry:
        registry.create("nested", "{{ (((a + 1) + 1) + 1) }}", examples=[{"a": 1}])
    with Registry(path, render_limits=RenderLimits(nesting=4)) as strict:
        assert [prompt.name for prompt in strict.list()] == ["nested"]
        prompt = strict.get("nested")
        for render in (lambda: prompt.render(a=1), lambda: strict.render("nested", a=1)):
            with pytest.raises(TemplatePolicyError) as caught:
                render()
            assert caught.value.details == {"name": "nested", "line": 1}
        assert strict.update("nested", template="{{ a }}").render(a=2).text == "2"


def test_a_prompt_keeps_the_limits_of_its_registry():
    """A pickled prompt still renders with these limits."""
    with Registry(":memory:", render_limits=RenderLimits(characters=10)) as registry:
        prompt = pickle.loads(pickle.dumps(registry.create("p", "{{ x }}")))
    assert prompt.render(x="a" * 10).text == "a" * 10
    with pytest.raises(RenderLimitError):
        prompt.render(x="a" * 11)


BAD_LIMITS = [
    {"fuel": 0},
    {"fuel": -1},
    {"fuel": "many"},
    {"fuel": 1.5},
    {"fuel": True},
    {"seconds": 0},
    {"seconds": float("nan")},
    {"seconds": float("inf")},
    {"nesting": 51},
    {"calls": 101},
    {"depth": 101},
    {"integer_bits": 1},
    {"unknown": 1},
]


@pytest.mark.parametrize("limits", BAD_LIMITS, ids=str)
def test_an_invalid_limit_is_refused(limits):
    """`InvalidInputError` names the invalid limit."""
    with pytest.raises(InvalidInputError) as caught:
        RenderLimits(**limits)
    assert [error["field"] for error in caught.value.details["errors"]] == list(limits)


def test_limits_are_a_frozen_value():
    """Limits compare by value and can't be changed."""
    assert RenderLimits(fuel=5) == RenderLimits(fuel=5) != LIMITS
    assert pickle.loads(pickle.dumps(LIMITS)) == LIMITS
    with pytest.raises(ValidationError):
        LIMITS.fuel = 5
    with pytest.raises(InvalidInputError):
        Registry(":memory:", render_limits={"fuel": 5})


@pytest.mark.parametrize(
    "template", ["{{ x }}", "{{ x.y }}", "{% for i in x %}{% endfor %}", "{{ x == 1 }}", "{{ x | list }}"]
)
def test_what_the_applications_code_raises_becomes_a_render_error(template):
    """Only the name of the type of the cause is reported, because its text may quote a value."""

    class Failing:
        def fail(self, *_):
            raise LookupError("CANARY")

        __str__ = __iter__ = __eq__ = fail
        __hash__ = None

        def __getattr__(self, name):
            if name.startswith("__"):
                raise AttributeError
            raise LookupError("CANARY")

    with Registry(":memory:") as registry:
        prompt = registry.create("p", template)
    prompt.render(x={"y": 1})
    with pytest.raises(TemplateError) as again:  # by a prompt that has been rendered before
        prompt.render(x=Failing())
    for error in (refused(template, x=Failing()), again.value):
        assert type(error) is RenderError
        assert str(error.__cause__) in {"LookupError", "AbsentAttribute"}
        assert error.__context__ is None


def test_a_promptreg_error_raised_by_a_value_is_a_render_error_of_this_prompt():
    """A property that renders another prompt fails as any property does."""

    class Other:
        def __str__(self):
            raise MissingVariablesError("CANARY", missing=["CANARY"])

    assert type(refused("{{ x }}", x=Other())) is RenderError


def test_a_template_used_first_by_many_threads_is_compiled_right():
    """The metered tier of a fast template is compiled at its first use, even by many threads at the same time."""
    template = TemplateText("{% for d in ds %}{{ d.title }}{% endfor %}", LIMITS)
    start, texts = threading.Barrier(8), []

    def render():
        start.wait()
        texts.append(template.render({"ds": [DOCUMENT] * 3}))

    threads = [threading.Thread(target=render) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert texts == ["TeaTeaTea"] * 8


FAST = [
    ("{{ a }}", {"a": "x"}),
    (
        "{% for d in ds %}{{ loop.index }} {{ d.t | upper }}{% if not loop.last %}, {% endif %}{% endfor %}",
        {"ds": [{"t": "x"}]},
    ),
    ("{% set n = ds | length %}{{ n }}{% for d in ds %}{% set t = d.t %}{{ t }}{% endfor %}", {"ds": [{"t": "x"}]}),
    ("{% if a == 'x' %}1{% elif a in ['y', 'z'] %}2{% else %}3{% endif %}", {"a": "z"}),
    ("{% for k, v in m.items() if v %}{{ k }}{{ v | tojson }}{% else %}none{% endfor %}", {"m": {"a": [1], "b": 0}}),
    ("{{ a | default('x') }}{% if a is defined %}{{ a }}{% endif %}{{ m.k | default('y', true) }}", {"m": {"k": ""}}),
    ("{% for x in xs %}{% for y in x.ys %}{{ x.n }}{{ y }}{% endfor %}{% endfor %}", {"xs": [{"n": 1, "ys": [2, 3]}]}),
    ("{{ xs | join(', ') }}{{ xs | first }}{{ a | replace('a', 'b') | trim }}", {"xs": ["p", "q"], "a": " a "}),
    ("{{ a[1:3] }} {{ a[:2] }} {{ a[-2:] }} {{ xs[1:] | join(', ') }}", {"a": "abcdef", "xs": [1, 2, 3]}),
    ("{{ a | truncate }} {{ a | truncate(9) }} {{ b | truncate(9) }}", {"a": "abc " * 90, "b": "a" * 20}),
    ("{{ ds | map(attribute='t') | join(', ') }}", {"ds": [{"t": "x"}] * 1_000}),
]


@pytest.mark.parametrize(("template", "variables"), FAST)
def test_usual_prompts_are_rendered_by_the_fast_tier(template, variables):
    """Their templates have a fast function, and it renders these values."""
    compiled = TemplateText(template, LIMITS)
    assert compiled.fast is not None
    assert compiled.fast(variables) == compiled.metered(variables)


def test_the_fast_tier_leaves_many_items_to_the_metered_one():
    """The fast tier renders a thousand items; it bails out for one more, and the text is the same."""
    template = TemplateText("{{ ds | map(attribute='t') | join }}", LIMITS)
    more = {"ds": [{"t": "x"}] * 1_001}
    with pytest.raises(Bailout):
        template.fast(more)
    with pytest.raises(Bailout):
        column(10**9, more["ds"], "t")
    assert template.render(more) == "x" * 1_001


LONG = [{"n": n, "t": "tee " * 900, "s": "ä" * n} for n in range(40)]
PRINTED = [
    ("{% for d in ds %}{{ d.t }}{% if d.n %} ({{ d.n }}, {{ d.s }}){% elif d.s %}never{% endif %}\n{% endfor %}", LONG),
    ("<{% for d in ds %}{% for e in ds if e.n < 2 %}{{ d.n }}{{ e.t }}{% endfor %}{% endfor %}>", LONG),
    ("{% for d in ds %}{% set t = d.s ~ d.n %}{% if d.n %}{{ t }}{{ t }}{{ d.t }}{% endif %}{% endfor %}", LONG),
    ("{{ ds[0].n }}{% if ds %}{{ ds[1].t }}{% if ds[2] %}{{ ds[1].t }}{% endif %}{% else %}none{% endif %}.", LONG),
    ("{{ ds }}, {{ ds }}{{ ds or 1 }}", 2**31),
    ("{% for n in ds %}{{ n }} {% endfor %}", [0, -1, 999, 1_000, 2**64 - 1, True, None, 1.0]),
]


@pytest.mark.parametrize(("template", "values"), PRINTED, ids=range(len(PRINTED)))
def test_the_fast_tier_prints_up_to_the_limit(template, values):
    """It returns a long text of many parts complete, and bails out to the metered tier for one character too many."""
    expected = TemplateText(template, LIMITS).metered({"ds": values})
    exact = TemplateText(template, RenderLimits(characters=len(expected)))
    assert exact.fast({"ds": values}) == expected
    less = TemplateText(template, RenderLimits(characters=len(expected) - 1))
    with pytest.raises(Bailout):
        less.fast({"ds": values})


ALIASES = [
    "{{ a }}" * 40,
    "".join(f"{{% set b{i} = a %}}" for i in range(30)) + "".join(f"{{{{ b{i} }}}}" for i in range(30)),
    "".join(f"{{{{ a or {i} }}}}" for i in range(30)),
    "".join(f"{{% for x{i} in xs %}}" for i in range(15)) + "".join(f"{{{{ x{i} }}}}" for i in range(15)),
    "{% for " + ", ".join(f"b{i}" for i in range(30)) + f" in [[{', '.join(['a'] * 30)}]] %}}"
    "" + "".join(f"{{{{ b{i} }}}}" for i in range(30)),
    "{% for d in ds %}" + "{{ d.t }}{{ d['t'] }}" * 20,
    "{% for d in ds %}" + "{% if d.t %}{{ d.t }}{% endif %}" * 20,
    "{% for d in ds %}{% set t = d.t %}" + "{{ t }}" * 30,
    "{% if a %}" + "{{ a }}" * 30 + "{% endif %}",
    "{% for x in [a] %}" + "{{ x }}{{ a }}" * 15,
    "".join(f"{{% if a %}}{{{{ a or {i} }}}}{{% endif %}}" for i in range(15)),
]


@pytest.mark.parametrize("template", ALIASES, ids=range(len(ALIASES)))
def test_a_fast_render_never_copies_a_text_many_times(template):
    """What it joins before it checks the length is hardly longer than the values that were passed."""
    template += "{% endfor %}" * template.count("{% for")
    fast = TemplateText(template, RenderLimits(characters=2_000_000)).fast
    assert fast is not None
    long = "x" * 1_500_000
    values = {"a": long, "xs": [long], "ds": [{"t": long}]}
    tracemalloc.start()
    try:
        with pytest.raises(Bailout):
            fast(values)
        assert tracemalloc.get_traced_memory()[1] < 3 * len(long)
    finally:
        tracemalloc.stop()


class AttributeDict(dict):
    """A dict whose keys are also attributes."""

    def __init__(self, **items):
        super().__init__(**items)
        self.__dict__ = self


def _called(*_):
    raise AssertionError("a template called the application")


DOUBLED = "{% set t = (1, 1) %}" + "{% set t = (t, t) %}" * 40
LISTS = "".join(f"{{% set {b} = [{f'{a},' * 90}] %}}" for a, b in ("0a", "ab", "bc", "cd"))
GROWN = "x.a | default(y)"
for _ in range(18):
    GROWN = f"({GROWN}).a | default(y)"

FOUND = [
    ("{{ '' | center(-(10**18)) }}{% for i in range(90000) %}{% for j in range(90000) %}{% endfor %}{% endfor %}", {}),
    (DOUBLED + "{{ t in {}.keys() }}", {}),
    (DOUBLED + "{{ ({}.keys() - [t]) | list }}", {}),
    (DOUBLED + "{{ [{}] | map(attribute=t) | list }}", {}),
    ("{% set m = 2305843009213693951 %}{{ dict(range(0, 99998 * m, m) | batch(2)) | length }}", {}),
    ("{{ [('9' * 4300) | int] * 9000 }}", {}),
    ("{{ '" + "%.64f" * 900 + "' | format(*([1e308] * 900)) }}", {}),
    (LISTS + "{{ d | tojson }}", {}),
    ("{{ [1] | tojson(indent='<' * 64) }}", {}),
    ("{{ x | int is odd }}", {"x": Decimal("1E+999999")}),
    ("{{ '%d' | format(x) }}", {"x": Decimal("1E+999999")}),
    ("{{ ('\u00a0' * 99000) | wordwrap(1) }}", {}),
    ("{{ ('&ab' * 333000) | striptags }}", {}),
    ("{{ x }}", {"x": b"x" * 10_000_000}),
    ("{% set x = [1] %}" + ("{% set x = x" + " | select" * 45 + " %}") * 100, {}),
    ("{{ a.items(1) }}", {"a": AttributeDict(items=_called, keys=_called)}),
    ("{% set f = m %}{{ f() }}", {"m": AttributeDict(x=1)}),
    ("{{ d[1:2] }}", {"d": defaultdict(list)}),
    ("{{ x }}", {"x": KeyError(str.upper)}),
    ("{{ ('a' if x) | tojson }}", {"x": 0}),
    ("{{ ('\n' * 900000) | safe | indent(0) }}", {}),
    ("{{ ('\n' * 99000) | safe | wordwrap }}", {}),
    ("{% set m = 2305843009213693951 %}{{ dict(range(0, 500 * m, m) | batch(2)).keys() - [1] }}", {}),
    ("{{ 0.1 in x }}", {"x": [Decimal("19.99")] * 20_000}),
    ("{{ ([x] * 100000) | sum }}", {"x": 2**1_000_000}),
    ("{{ x | sort }}", {"x": [Fraction(1, n + 1) for n in range(5_000)]}),
]


@pytest.mark.parametrize(("template", "variables"), FOUND, ids=range(len(FOUND)))
def test_earlier_vulnerabilities_are_refused(template, variables):
    """Each of these once hung, used gigabytes, crashed, leaked, or called or changed the application."""
    assert refused(template, RenderLimits(seconds=0.5), **variables).code in {"render_error", "render_limit"}
    assert variables.get("d", {}) == {}


SAME = [
    ("{{ " + GROWN + " }}", {"x": {}, "y": {}}, "{}"),
    ("{{ ('a' not in 'abc') in [true, false] }} {{ ('x' not in 'abc') < 2 }}", {}, "True True"),
    ("{% set a = 0 %}{% for x in [] %}{% else %}{% set a = 1 %}{% endfor %}{{ a }}", {}, "0"),
    ("{{ (x | tojson).upper() }}{{ (x | e).strip('1') }}{{ (x | tojson).replace('1', '<') }}", {"x": "1"}, '"1""<"'),
    ("{{ (',' | e).join(['<', 'a']) }}{{ ('a,b' | e).split(',') | join('-') }}", {}, "&lt;,aa-b"),
    ("{{ d.k | default('b', true) }}{{ d.z | default('c', true) }}", {"d": {"k": ""}}, "bc"),
    ("{{ d.q.r | default(x ~ 'z') }}", {"x": "", "d": {"q": {}}}, "z"),
    ("{% macro head() %}{{ title }}{% endmacro %}{% set title = 'T' %}{{ head() }}", {}, "T"),
    ("{{ x }}", {"x": ValueError("access violation at 0x00")}, "access violation at 0x00"),
    ("{{ x }}", {"x": Model(name="Segfault at 0x7ffd")}, "name='Segfault at 0x7ffd' inner=None"),
]


ORDINARY = [
    ("{% macro row(name, function) %}{{ name }}{{ function }}{% endmacro %}{{ row('a', function='f') }}", "af"),
    ("{{ dict(meter=1) }}{{ namespace(meter=2).meter }}{{ '%(meter)s' | format(meter=3) }}", "{'meter': 1}23"),
    ("{{ 4 is divisibleby(num=2) }}{{ 4 is in(seq=[4]) }}{{ [1] | select('in', seq=[1]) | list }}", "TrueTrue[1]"),
    (
        "{% set ns = namespace(n={}) %}{% for i in range(900) %}"
        "{% set ns.n = dict(ns.n, **{'k': ns.n.get('k', 0) + 1}) %}{% endfor %}{{ ns.n }}",
        "{'k': 900}",
    ),
    ("{% for i in range(900) %}{% if [1] | select %}y{% endif %}{% endfor %}", "y" * 900),
    (
        "{% set n = namespace() %}{% set t %}{% set n.a %}1{% endset %}{% set n.b = 2 %}{% endset %}{{ n.a }}{{ n.b }}",
        "12",
    ),
]
SAME += [(template, {}, expected) for template, expected in ORDINARY]


@pytest.mark.parametrize("name", sorted(METHODS["str"]))
@pytest.mark.parametrize("made", ["tojson", "e"])
@pytest.mark.parametrize("value", ["tag 34", '<a> & "b"', "'x'"])
def test_methods_of_markup_return_what_jinja_returns(name, made, value):
    """`e` returns Markup, whose methods escape their arguments; `tojson` returns a text, whose methods do not."""
    stock = stock_environment()
    arguments = {"replace": "('\"', '<')", "join": "(['<', 'b'])", "split": "()", "rsplit": "()"}
    arguments |= dict.fromkeys(["center", "ljust", "rjust", "zfill"], "(30)")
    arguments |= dict.fromkeys(["index", "rindex"], "('')")
    takes = {"strip", "lstrip", "rstrip", "startswith", "endswith", "find", "count", "removeprefix", "removesuffix"}
    takes |= {"rfind", "partition", "rpartition"}
    call = arguments.get(name, "('\"&<')" if name in takes else "()")
    template = f"{{% set m = (x | {made}).{name}{call} %}}{{{{ m }}}}{{{{ m is escaped }}}}"
    assert text(template, x=value) == stock.from_string(template).render(x=value)


@pytest.mark.parametrize(("template", "variables", "expected"), SAME, ids=range(len(SAME)))
def test_earlier_differences_from_jinja_are_fixed(template, variables, expected):
    """Each of these once rendered another text, or was refused for the wrong reason."""
    assert text(template, **variables) == expected


def nested(depth):
    """Return a list in a list in a list."""
    value = [1]
    for _ in range(depth - 1):
        value = [value]
    return value


MUCH = "a" * 1_500_000
STEPS = "{% for i in x.r %}{% if [" + ", ".join(["x.t | upper"] * 40) + "] %}.{% endif %}{% endfor %}"
PASSES = {"t": "ΐ" * 1_490, "r": [0] * 90}
OVER = [
    (RenderLimits(range_items=10), "{% for i in range(100) %}{{ i }}{% endfor %}", None),
    (RenderLimits(range_items=20_000), "{{ x | indent }}", "\n" * 40_000),
    (RenderLimits(items=5), "{{ x | tojson }}", [0] * 50),
    (RenderLimits(depth=2), "{{ [[[[1]]]] | tojson }}", None),
    (LIMITS, "{{ x | tojson }}", nested(60)),
    (LIMITS, "{{ x | tojson(2) }}", nested(60)),
    (RenderLimits(characters=5), "{{ 'abc' ~ 'abc' }}", None),
    (RenderLimits(characters=2), "{{ x | truncate }}", ""),
    (RenderLimits(characters=5), "{{ x | indent(8) }}", ""),
    (RenderLimits(calls=1), "{{ x | map(attribute='a') | join }}", [{"a": "b"}]),
    (RenderLimits(calls=1), "{% for k, v in x | items %}{{ k }}{% endfor %}", {"a": "b"}),
    (RenderLimits(seconds=1e-6), "{{ x | upper }}", "a" * 300_000),
    (RenderLimits(fuel=10), "{{ x }}", "a" * 300),
    (RenderLimits(fuel=10), "{{ x | map(attribute='a') | join }}", [{"a": "b"}] * 500),
    (RenderLimits(fuel=10), "".join(f"{{% if {i} in x %}}{{% endif %}}" for i in range(20)), {}),
    *((RenderLimits(fuel=100), f"{{{{ {read} }}}}", "a" * 300_000) for read in ("'b' in x", "x ~ 1", "x.upper()")),
    *((RenderLimits(fuel=1_000), f"{{{{ x | {name} }}}}", "a " * 20_000) for name in ("title", "replace('a', 'bb')")),
    (LIMITS, "{{ x | string | length }}", MUCH),
    (LIMITS, "{{ 'b' | replace(x, 'c') }}", MUCH),
    (LIMITS, "{{ 'b' | replace('c', x) }}", MUCH),
    (LIMITS, "{{ 'a'.startswith(x) }}" * 12, MUCH),
    (LIMITS, "{{ 'a'.endswith(x) }}" * 12, MUCH),
    (LIMITS, "{{ x.d[x.k] }}" * 12, {"d": {MUCH: 1}, "k": MUCH}),
    (LIMITS, "{{ x.d.get(x.k) }}" * 12, {"d": {}, "k": MUCH}),
    (LIMITS, "{{ x.k in x.s }}", {"k": "b" * 2_000, "s": [MUCH]}),
    (LIMITS, "{{ x.k in [x.t] }}", {"k": "b" * 2_000, "t": MUCH}),
    (LIMITS, STEPS, PASSES),
]


@pytest.mark.parametrize(("limits", "template", "value"), OVER, ids=range(len(OVER)))
def test_a_fast_render_keeps_the_limits(limits, template, value):
    """The fast tier renders nothing that the metered tier refuses."""
    assert type(refused(template, limits, x=value)) is RenderLimitError


def test_the_texts_of_a_fast_chat_keep_the_limits_together():
    """The messages exceed the fuel together, although each of them is within it."""
    passes = {**PASSES, "r": PASSES["r"][:25]}
    assert text(STEPS, x=passes) == "." * 25
    with Registry(":memory:") as registry:
        registry.create("chat", [{"role": "user", "content": STEPS}] * 4)
        with pytest.raises(RenderLimitError):
            registry.render("chat", x=passes)


TOLD = [
    ("{% for x in n %}{% endfor %}", "'NoneType' object is not iterable"),
    ("{{ 'a' + 1 }}", 'can only concatenate str (not "int") to str'),
    ("{{ 'a' > 1 }}", "'>' not supported between instances of 'str' and 'int'"),
    ("{{ n | length }}", "object of type 'NoneType' has no len()"),
    ("{{ d | tojson }}", "a value of type Document can't be written as JSON"),
    ("{{ [] | first ~ '' }}", "The sequence was empty."),
    ("{{ l[5] }}", "l has no item [5]."),
    ("{{ l[-5] }}", "l has no item [-5]."),
    ("{{ m['e'][0].titel }}", "m['e'] has no item [0]."),
    ("{{ (l + l)[5] }}", "a value has no item [5]."),
    ("{{ l[k] }}", "l has no item [k]."),
    ("{{ m[s] }}", "m has no item [s]."),
    ("{{ l[k + 1] }}", "l has no such item."),
    ("{{ m[s ~ 'x'] }}", "m has no such item."),
    ("{% for x in [l] %}{{ x[5] }}{% endfor %}", "x has no item [5]."),
    ("{{ l[5] if l else l[k] }}", "l has no item [5]."),
    ("{% if u %}{{ l[5] }}{% endif %}{{ l[k] }}", "l has no item [k]."),
    ("{% for x in [l] %}{{ l[0] }}{{ x[k] }}{{ (l + l)[k] }}{% endfor %}", "a value has no such attribute or item."),
    ("{{ [m] | map(attribute='titel') | list }}{{ x[k] if x }}", "a value has no such attribute or item."),
    ("{{ l.titel }}", "l has no 'titel'"),
    ("{{ n.titel }}", "n is None, so it has no 'titel'"),
    ("{{ n['titel'] }}", "n is None, so it has no 'titel'"),
    ("{{ m.n.titel }}", "m.n is None, so it has no 'titel'"),
    ("{{ m['n'].titel }}", "m['n'] is None, so it has no 'titel'"),
    ("{{ d.tags[0].titel }}", "d.tags[0] has no 'titel'"),
    ("{{ n[0] }}", "n is None, so it has no item [0]."),
    ("{{ n[k] }}", "n is None, so it has no item [k]."),
    ("{% set w = n %}{{ w.titel }}", "w is None, so it has no 'titel'"),
    ("{% for x in [n] %}{{ x.titel }}{% endfor %}", "x is None, so it has no 'titel'"),
    ("{% if u %}{{ n.titel }}{% endif %}\n{{ m.n.titel }}", "m.n is None, so it has no 'titel'"),
    ("{% if u %}{{ n.titel }}{% endif %}{{ m.n.titel }}", "a value is None, so it has no 'titel'"),
    ("{% if u %}{{ n.titel }}{% endif %}{{ (n or n).titel }}", "a value is None, so it has no 'titel'"),
    ("{{ (n or n).titel }}", "a value is None, so it has no 'titel'"),
    ("{{ n | attr('titel') ~ '' }}", "no such attribute or item; n is None."),
    ("{% for x in [n] %}{{ x.titel }}{% endfor %}{{ l.titel }}", "a value is None, so it has no 'titel'"),
    ("{{ m['n']['a b'] }}", "m['n'] is None, so it has no 'a b'"),
    ("{{ m['a b'].titel }}", "a value is None, so it has no 'titel'"),
    ("{{ n.get('a') }}", "get of a value of type NoneType can't be called; n is None."),
    ("{{ n | length }}", "has no len()); n is None."),
    ("{% for x in n %}{% endfor %}", "is not iterable); n is None."),
    ("{% for x in m.n %}{% endfor %}", "is not iterable); m.n is None."),
    ("{{ n + 1 }}", "and 'int'); n is None."),
    ("{{ u['items'] | default('d') }}", "no such item: give a default with get('…', '')"),
    ("{{ u['keys'] is defined }}", "no such item: give a default with get('…', '')"),
    ("{{ [u] | map(attribute='items') | list }}", "no such item: give a default with get('…', '')"),
    ("{{ u.items }}", "it is a method: call it with (), or read the item of that name with ['…']"),
    ("{{ u | attr('items') }}", "it is a method: call it with (), or read the item of that name with ['…']"),
    ("{{ m.f }}", "can't be read from a value."),
    ("{{ m['f'] }}", "can't be read from a value."),
    ("{% for x in l %}{{ n }}{% endfor %}{% set n = 1 %}", "n is set only later on"),
    ("{% macro m() %}{{ w }}{% endmacro %}{{ m() }}{% set w = 1 %}", "w is set only later on"),
]


@pytest.mark.parametrize(("template", "expected"), TOLD)
def test_a_render_error_has_the_cause_if_no_value_can_be_in_it(template, expected):
    """Python's message is included where it is about types alone."""
    m = {"n": None, "a b": None, "f": len, "e": []}
    slow = "{% macro f(x) %}{% if x %}{{ f(x - 1) }}{% endif %}{% endmacro %}{{ f(1) }}"
    for text in (template, template + slow):
        message = refused(text, n=None, d=DOCUMENT, l=[1], u={}, m=m, k=77_123, s="CANARY").message
        assert expected in message
        assert "77123" not in message


NEAR = [
    ("{{ x | uper }}", "there is no filter 'uper'; did you mean 'upper'?"),
    ("{{ x | zzz }}", "there is no filter 'zzz'."),
    ("{{ x is definde }}", "there is no test 'definde'; did you mean 'defined'?"),
    ("{{ x.uper() }}", "the method uper can't be called in a template; did you mean 'upper'?"),
    ("{{ x.zzz() }}", "the method zzz can't be called in a template."),
    ("{% fro a in x %}{% endfor %}", "unknown tag 'fro'. Did you mean 'for'?"),
    ("{% if x %}{% endi %}", "Did you mean 'endif'?"),
    ("{% zzz %}", "unknown tag 'zzz'."),
    ("x{% endif %}", "Line 1: the tag 'endif' is out of place."),
    ("x{% endraw %}", "Line 1: the tag 'endraw' is out of place."),
    ("{% for a in x %}{% endif %}", "the tag 'endif' is out of place. Jinja was looking for"),
    ("{{ '{}'.format(x) }}", "the method format can't be called in a template; use the filter format."),
    ("{{ rang(3) }}", "rang can't be called in a template; did you mean 'range'?"),
    ("{{ sum(x) }}", "sum can't be called in a template; use the filter sum."),
    ("{{ x.first() }}", "the method first can't be called in a template; use the filter first."),
    (
        "{{ strftime_now('%d') }}",
        "strftime_now can't be called in a template; only macros, range, dict, namespace, zip and raise_exception can,"
        " so pass its result as a variable.",
    ),
    ("{{ f()() }}", "only methods, macros, range, dict, namespace, zip and raise_exception can be called."),
    ("{{ datetime.now() }}", "the method now can't be called in a template; pass its result as a variable."),
    ("{% include 'a' %}", "a template can't use include; write the text out, or pass it as a variable."),
    ("{% block a %}{% endblock %}", "can't use block; write the text out, with variables for what differs."),
    ("{% autoescape true %}{% endautoescape %}", "autoescape; nothing is escaped but by the filter escape."),
    ("{{ x | pprint }}", "the filter pprint is not allowed in a prompt; write x | tojson(indent=2)."),
    ("{{ x | random }}", "the filter random is not allowed in a prompt; pass its result as a variable."),
    ("{% do x.append(1) %}", "unknown tag 'do'. Write {% set xs = xs + [x] %} or the like."),
    ("{% for a in x %}" * 30 + "{% endfor %}" * 30, "too deep in each other; Python takes about 20."),
]


@pytest.mark.parametrize(("template", "expected"), NEAR)
def test_an_unknown_word_of_the_template_language_is_reported_with_the_nearest(template, expected):
    """Errors about filters, tests, methods and statements suggest the nearest word; a chat's names the message too."""
    with Registry(":memory:") as registry:
        with pytest.raises(TemplateError) as caught:
            registry.save("summarize", template)
        assert str(caught.value).startswith("'summarize': Line 1: ")
        assert expected in str(caught.value)
        with pytest.raises(TemplateError) as caught:
            registry.save("summarize", [{"role": "user", "content": content} for content in ("x", template, "x")])
        assert str(caught.value).startswith("'summarize': message 2 of 3: Line 1: ")


def test_the_line_of_an_error_is_of_this_template():
    """The error has no line of another template that a value renders with Jinja."""

    class Page:
        @property
        def summary(self):
            return Environment().from_string("\n" * 20 + "{{ 1 // 0 }}").render()

    error = refused("\n{{ page.summary }}" + "\n{{ page }}" * 30, page=Page())
    assert (type(error), error.details) == (RenderError, {"line": 2})


def test_a_placeholder_whose_messages_fail_is_a_render_error():
    """An error of the application's iteration or serialiser becomes a RenderError there too."""

    class Failing(list):
        def __iter__(self):
            raise LookupError("CANARY")

    circle = {"role": "user"}
    circle["content"] = [circle]
    with Registry(":memory:") as registry:
        registry.create("chat", [{"placeholder": "history"}])
        for history in (Failing([1]), [circle]):
            with pytest.raises(RenderError) as caught:
                registry.render("chat", history=history)
            assert "CANARY" not in f"{caught.value!r}{caught.value.__cause__!r}"


def test_a_value_that_can_not_be_compared_is_no_member_of_an_enum():
    """It raises `InvalidVariablesError`, whatever the value's `__eq__` raises."""

    class Failing:
        def __eq__(self, other):
            raise LookupError("CANARY")

        __hash__ = None

    with Registry(":memory:") as registry:
        registry.create("p", "{{ x }}", variables=[{"name": "x", "enum": ["a"]}])
        with pytest.raises(TemplateError) as caught:
            registry.render("p", x=Failing())
    assert caught.value.code == "invalid_variables"
