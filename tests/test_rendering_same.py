"""Both tiers render the text of Jinja2's sandbox, or raise the same kind of error, on random templates.

promptreg may refuse what Jinja2 renders, by its policy; it never renders what Jinja2 refuses, nor another text.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import cache, lru_cache, partial
from random import Random
from typing import Any, NamedTuple

import jinja2
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from jinja2 import meta, nodes
from markupsafe import Markup

from promptreg import (
    MissingVariablesError,
    RenderError,
    RenderLimitError,
    RenderLimits,
    TemplateError,
    TemplateSyntaxError,
)
from promptreg.jsonvalues import FrozenList
from promptreg.rendering.fast import operations as fast_tier
from promptreg.rendering.fast.guards import Bailout
from promptreg.rendering.filters import FILTERS, INLINE, TESTS
from promptreg.rendering.template import CompiledTemplate
from promptreg.rendering.template_text import TemplateText
from promptreg.rendering.values import AbsentVariable
from tests import grammar, grammar_values
from tests.grammar import FRIENDLY, NORMAL
from tests.stock import stock_environment

pytestmark = pytest.mark.filterwarnings("ignore::SyntaxWarning")

STOCK = stock_environment()
LIMITS = RenderLimits()
GLOBALS = {"range", "dict", "namespace", "zip", "raise_exception"}
ABSENT = re.compile(r"'(\w+)' is undefined")
GUARD_OR_NAME = re.compile(r"\b(default|d|is|if|elif|or|not|set|with|macro|call)\b")
TOKEN = re.compile(r"\{[{%#][-+]?|[-+]?%\}|-?[}#]\}|\w+|\s+|'[^']*'|.", re.DOTALL)

USUAL = {FRIENDLY: 800, NORMAL: 900}
PLAIN = 250  # of the friendly cases in a plain run
LONG = {FRIENDLY: 30_000, NORMAL: 70_000}

Variables = dict[str, Any]
Build = Callable[[], Variables]


class Outcome(NamedTuple):
    """The outcome of a render: `text`, or a refusal: `syntax`, `policy`, `absent` (the names), `limit`, `error`."""

    kind: str
    detail: Any = None


compiled_by_jinja = lru_cache(4)(STOCK.from_string)
compiled_by_us = lru_cache(4)(lambda source: TemplateText(source, LIMITS))


def by_jinja(source: str, values: Variables) -> Outcome:
    """Render with Jinja2; what is absent is false."""
    try:
        compiled = compiled_by_jinja(source)
    except (jinja2.TemplateSyntaxError, SyntaxError) as error:  # Python's, of a `break` outside a loop
        return Outcome("syntax", str(error))
    except Exception as error:  # Jinja2 folds `{[]: 1}` when it compiles, even in code that never runs
        return Outcome("folding", type(error).__name__)
    try:
        return Outcome("text", compiled.render(values))
    except jinja2.UndefinedError as error:
        described = ABSENT.fullmatch(str(error))
        return (
            Outcome("absent", [described[1]])
            if described and described[1] not in values
            else Outcome("error", "UndefinedError")
        )
    except Exception as error:
        return Outcome("error", type(error).__name__)


def by_promptreg(template: TemplateText, build: Build) -> Outcome:
    """Render as the registry does; errors other than PromptregErrors are raised."""
    try:
        return Outcome("text", template.render(build()))
    except AbsentVariable:
        return Outcome("absent", _missing(template.source, build()))
    except (RenderError, RenderLimitError) as error:
        return Outcome("error", error.code)


def _missing(source: str, values: Variables) -> list[str]:
    with pytest.raises(MissingVariablesError) as caught:
        CompiledTemplate(source, FrozenList(), LIMITS).render("p", values, forbids_extra=False)
    return caught.value.details["missing"]


# The errors of operations on data; others are raised, such as the `NameError` of a missing operation.
BAILOUTS = Bailout, LookupError, TypeError, ValueError, ArithmeticError
REFUSALS = TemplateError, AbsentVariable


def by_tier(
    tier: Callable[[Variables], str] | None, values: Variables, leaves: tuple[type[Exception], ...]
) -> str | None:
    """Return the text of one tier; None if it bails out or refuses."""
    try:
        return None if tier is None else tier(values)
    except leaves:
        return None


class Comparison(NamedTuple):
    """The outcomes of one case in Jinja2 and promptreg, and the text of each tier."""

    stock: Outcome
    promptreg_outcome: Outcome
    fast: str | None = None
    metered: str | None = None


def seen(source: str, build: Build) -> Comparison:
    """Render in all ways, each with new variables, because a render may exhaust an iterator."""
    stock = by_jinja(source, build())
    try:
        template = compiled_by_us(source)
    except TemplateSyntaxError as error:
        return Comparison(stock, Outcome("syntax", error.message))
    except TemplateError as error:
        return Comparison(stock, Outcome("policy", error.message))
    fast = by_tier(template.fast, build(), BAILOUTS)
    metered = by_tier(template.metered, build(), REFUSALS)
    return Comparison(stock, by_promptreg(template, build), fast, metered)


def undeclared(source: str) -> set[str] | None:
    """Return the names that the template reads and may not bind, by Jinja2's analysis; None if that fails."""
    try:
        return meta.find_undeclared_variables(STOCK.parse(source)) - GLOBALS
    except Exception:  # it folds constants, and `{[]: 1}` can't be one
        return None


def wrong(source: str, values: Mapping[str, Any], case: Comparison) -> str | None:
    """Return a description of the difference, or None."""
    stock, promptreg_outcome, fast, metered = case
    if fast is not None and fast != metered:
        return "the fast tier renders what the metered one does not"
    if metered is not None and promptreg_outcome != ("text", metered):
        return "a tier renders a text, and the render another text, or none"
    if stock.kind == "folding":
        return None
    if promptreg_outcome.kind == "text" and stock.kind != "text":
        return "we render what Jinja2 refuses"
    if promptreg_outcome.kind == "text" and promptreg_outcome.detail != stock.detail:
        return "the texts differ"
    if stock.kind == "syntax" and promptreg_outcome.kind not in {"syntax", "policy"}:
        return "a syntax error is not refused as one"
    if (
        promptreg_outcome.kind == "syntax"
        and stock.kind != "syntax"
        and "no filter" not in promptreg_outcome.detail
        and "no test" not in promptreg_outcome.detail
    ):
        return "a syntax error for what is none"
    if promptreg_outcome.kind == "absent":
        return _wrong_names(source, values, case)
    return None


def _wrong_names(source: str, values: Mapping[str, Any], case: Comparison) -> str | None:
    described, names = set(case.promptreg_outcome.detail), undeclared(source)
    if described & set(values):
        return "a present variable is reported as missing"
    if names is None:
        return None
    may_be = names - set(values)
    if not described <= may_be | bound_by(source):
        return "a name that is not a variable is reported as missing"
    if case.stock.kind == "absent" and not described >= set(case.stock.detail) - {"loop"}:
        return "Jinja2 misses another variable"
    if not GUARD_OR_NAME.search(source) and described != may_be:
        return "an absent variable that is read unguarded is not named"
    return None


def bound_by(source: str) -> set[str]:
    """Return the names that a template binds, and may read before that."""
    return {node.name for node in STOCK.parse(source).find_all(nodes.Name) if node.ctx != "load"}


def shortest(source: str, build: Build) -> str:
    """Remove tokens as long as the same difference remains."""
    what = wrong(source, build(), seen(source, build))
    tokens = TOKEN.findall(source)
    size = len(tokens)
    while size:
        for start in range(0, len(tokens), size):
            fewer = tokens[:start] + tokens[start + size :]
            if _still("".join(fewer), build, what):
                tokens, size = fewer, min(2 * size, len(fewer)) + 1
                break
        size = size - 1 if size < 4 else size // 2
    return "".join(tokens)


def _still(source: str, build: Build, what: str | None) -> bool:
    try:
        return wrong(source, build(), seen(source, build)) == what
    except Exception:
        return False


def report(source: str, build: Build, seed: object) -> str | None:
    """Describe the difference in one case, with the shortest template that shows it; None if there is none."""
    what = wrong(source, build(), seen(source, build))
    if what is None:
        return None
    short = shortest(source, build)
    case = seen(short, build)
    read = {name: value for name, value in build().items() if re.search(rf"\b{name}\b", short)}
    variables = f"variables: {described(read)}"
    return f"{what} (seed {seed})\n  template: {short!a}\n  {variables}\n  {case!a}\n  in full: {source!a}"


def described(values: Mapping[str, Any]) -> str:
    """Return the names with the type and the repr of each value."""
    return "; ".join(f"{name} = {type(value).__name__} {value!a}" for name, value in values.items())


def case_of(seed: int, mode: str) -> tuple[str, Build]:
    """Return the template and the builder of variables of one seed."""
    return grammar.template(Random(f"template {seed}"), mode), lambda: grammar.variables(Random(f"values {seed}"), mode)


def outcomes(mode: str, seeds: range) -> Iterator[Comparison]:
    """Run these cases, and fail at the first difference."""
    for seed in seeds:
        source, build = case_of(seed, mode)
        case = seen(source, build)
        if wrong(source, build(), case):
            pytest.fail(report(source, build, f"{mode} {seed}") or "only now and then wrong")
        yield case


@cache
def counted(mode: str, count: int) -> Counter[tuple[str, str]]:
    """Run that many cases of a mode; count the outcomes, by tier."""
    problem: Counter[tuple[str, str]] = Counter()
    for case in outcomes(mode, range(count)):
        problem[case.stock.kind, case.promptreg_outcome.kind] += 1
        problem["tier", "fast"] += case.fast is not None
    return problem


@pytest.mark.parametrize(
    ("mode", "count"),
    [(FRIENDLY, PLAIN), *(pytest.param(mode, count, marks=pytest.mark.slow) for mode, count in USUAL.items())],
)
def test_the_text_and_the_kind_of_error_are_the_same(mode, count):
    """For each random template both tiers render what Jinja2 renders, and refuse what it refuses."""
    counted(mode, count)


@pytest.mark.parametrize("cases", [PLAIN, pytest.param(USUAL[FRIENDLY], marks=pytest.mark.slow)])
def test_most_friendly_cases_went_through_the_fast_tier(cases):
    """The fast tier rendered most friendly cases, because otherwise they would show nothing about it."""
    problem = counted(FRIENDLY, cases)
    rendered = sum(count for outcome, count in problem.items() if outcome[0] == "text")
    assert rendered > 0.6 * cases
    assert problem["text", "text"] > 0.95 * rendered
    assert problem["tier", "fast"] > 0.6 * rendered


@pytest.mark.slow
def test_the_cases_reach_every_ending():
    """Every kind of outcome occurs, because otherwise the comparison would show nothing about it."""
    problem = counted(NORMAL, USUAL[NORMAL])
    rendered = sum(count for outcome, count in problem.items() if outcome[0] == "text")
    assert rendered > 0.3 * USUAL[NORMAL]
    assert problem["text", "text"] > 0.8 * rendered
    for outcome in [("syntax", "syntax"), ("absent", "absent"), ("error", "error")]:
        assert problem[outcome] > 0.01 * USUAL[NORMAL]
    assert problem["absent", "error"] < 0.1 * problem["absent", "absent"]


TESTED = """
    {% set m = x %}{{ m | map('upper') | list }} ; {% set m = x %}{{ m | reject | list }}
    {% if x %}A{{ x }}{% endif %}. ; {{ 'y' if x else 'n' }} ; {{ x or 'd' }} ; {{ x and 'd' }}
    {% if not x %}N{% endif %} ; {% if x and y %}B{% elif x or y %}O{% else %}-{% endif %}
    {% if x is defined and x %}D{% endif %}. ; {{ not x }}
    {{ x is none }} {{ x is string }} {{ x is defined }} {{ x is sequence }} {{ x is iterable }} ; {{ x is odd }}
    {% set m = x %}{% if m %}M{% endif %}. ; {% set m = x or 'd' %}{{ m }} ; {% set m = x %}{{ m }}
    {{ [x] | length }} ; {% macro f(a) %}{% if a %}1{% else %}0{% endif %}{% endmacro %}{{ f(x) }}
    {{ x | default('d') }} ; {{ x or y }} ; {{ x | default('d', true) }}
    {% for i in [1, 2] %}{% if x %}{{ x }}{% endif %}{{ i }}{% endfor %} ; {{ x }} ; {{ x.a }}
    {% for i in [1, 2] if x %}{{ i }}{% else %}E{% endfor %} ; {% for i in x %}{{ i }}{% endfor %} ; {{ x == 1 }}
    {% if y %}{{ x }}{% endif %}. ; {% if x in [1] %}I{% endif %} ; {{ x in [] }} ; {{ 1 in x }} ; {{ x ~ 'a' }}
    {{ x + 1 }} ; {{ x[0] }} ; {{ x | upper }} ; {{ x | map('upper') | list }} ; {{ x | select | list }}
    {{ [x, 1] | select | list }} ; {{ -x }} ; {{ [x, 1] | reject | list | length }} ; {{ x | items | list }}
    {{ x | list }} ; {{ (x or y) and 'b' }} ; {% if (x and y) or not (x or y) %}1{% endif %}.
    {% if x %}{% set x = 1 %}{% endif %}{% if x %}s{% endif %}.
    {% with m = x %}{% if m %}W{% else %}w{% endif %}{% endwith %} ; {{ {'k': x} | length }} ; {{ x | tojson }}
    {{ x < 1 }} ; {% filter upper %}{% if x %}a{% endif %}b{% endfilter %}
    {% set ns = namespace(a=x) %}{% if ns.a %}1{% endif %}.
"""


TESTED_PARTS = """
    {% if d.a %}A{{ d.a }}{% endif %}. ; {% if not d['a'] %}N{% endif %} ; {{ d.a or 'o' }} ; {{ d['a'] and 'd' }}
    {{ d.a if d.a else 'e' }} ; {{ 'y' if d.a and d.a.b else 'n' }} ; {% if d.a or d.b %}1{% elif d.c %}2{% endif %}.
    {% for i in [d, {}] if i.a %}{{ i.a }}{% else %}E{% endfor %}
    {% for i in [d] %}{% if i.a %}I{% endif %}{% endfor %}
    {{ d.a is none }} {{ d['a'] is string }} {{ d.a is true }} ; {{ d.a is defined }} ; {{ d.a is iterable }}
    {{ d.a | default('d') }} ; {{ d.a | default('d', true) }} ; {{ d['a'] }} ; {{ d.a.b }} ; {{ d.a.b or 1 }}
    {{ d.a == 1 }} ; {{ 1 in d.a }} ; {{ d.a in [1] }} ; {{ d.a ~ 'a' }} ; {{ d.a | upper }} ; {{ d.a + 1 }}
    {% set m = d.a %}{% if m %}M{% endif %}. ; {{ [d.a] | length }} ; {{ [d, {}] | selectattr('a') | list | length }}
    {{ [d, {}] | rejectattr('a') | list | length }} ; {{ [d.a, 1] | select | list }} ; {% if l[9] %}1{% endif %}.
    {% for i in l %}{% if loop.previtem %}p{% endif %}{{ i }}{% if not loop.nextitem %}e{% endif %}{% endfor %}
    {% for i in l %}{{ loop.previtem or '-' }}{% endfor %} ; {% for i in l %}{{ loop.nextitem }}{% endfor %}
    {% macro f(a, b) %}{{ a }}{% if b %}b{% endif %}{{ b or '-' }}{% endmacro %}{{ f(1) }} ; {{ l[9] or l[0] }}
    {% macro f(a) %}{{ a }}{% endmacro %}{{ f() }} ; {{ [] | first or 'f' }} ; {% if [] | max %}1{% endif %}.
    {% macro f() %}{% if caller %}1{% endif %}.{% endmacro %}{{ f() }} ; {{ d['items'] or 1 }} ; {{ d._b or 1 }}
    {% if d.items %}1{% endif %} ; {% set n = namespace() %}{% if n.a %}1{% endif %}. ; {{ d[gone] or 1 }}
    {{ l[gone] or 1 }} ; {{ l[:gone] }} ; {{ d.gone[0] or 1 }} ; {% if d.a is odd %}1{% endif %} ; {{ d.a is in([]) }}
"""
REFUSED_BY_POLICY = {"{% if d.items %}1{% endif %}", "{{ d['items'] or 1 }}"}


def listed_cases(table: str) -> list[str]:
    """Return the templates of a table."""
    return [part.strip() for line in table.strip().splitlines() for part in line.split(" ; ")]


def stricter(table: str, every: list[Variables]) -> tuple[set[str], Counter[str]]:
    """Compare the templates; return those that Jinja2 renders and we refuse, and the outcomes without variables."""
    problem: Counter[str] = Counter()
    more = set()
    for source in listed_cases(table):
        for number, values in enumerate(every):
            build = partial(dict, values)
            case = seen(source, build)
            assert not wrong(source, values, case) or report(source, build, values) is None
            more |= {source} if case.stock.kind == "text" and case.promptreg_outcome.kind != "text" else set()
            if number == 0:
                problem[case.promptreg_outcome.kind] += 1
                problem["fast"] += case.fast is not None
    return more, problem


def test_an_absent_variable_is_only_false():
    """It is false where its truth is tested, in both tiers; otherwise it acts like Jinja2's strict undefined.

    The filters that test the truth of what they are given refuse it, however, and so does `in` on an empty list.
    """
    values = [{}, {"x": "v"}, {"y": "w"}, {"x": "v", "y": "w"}, {"x": ""}, {"x": None, "y": 0}, {"x": [1]}]
    more, problem = stricter(TESTED, values)
    filtered = ["map('upper') | list", "select | list", "items | list"]
    again = ["{% set m = x %}{{ m | map('upper') | list }}", "{% set m = x %}{{ m | reject | list }}"]
    assert more == {*(f"{{{{ x | {name} }}}}" for name in filtered), *again, "{{ x in [] }}"}
    assert problem == {"text": 24, "absent": 26, "fast": 19}


def test_what_else_is_absent_is_only_false():
    """So are attributes, items, arguments of macros, `loop.previtem` and `loop.nextitem`, in both tiers."""
    parts = [{"a": "v"}, {"a": ""}, {"a": None, "b": 1}, {"a": {"b": 1}}, {"a": [1], "c": 2}, {"_b": 1, "items": 3}]
    values: list[Variables] = [{"d": d, "l": [1, "b"]} for d in ({}, *parts)]
    more, problem = stricter(TESTED_PARTS, values)
    assert more == REFUSED_BY_POLICY
    assert problem == {"text": 29, "absent": 2, "error": 17, "fast": 20}


@pytest.mark.slow
@pytest.mark.parametrize("mode", USUAL)
def test_with_variables_absent_the_text_and_the_kind_of_error_are_the_same(mode):
    """The same holds for each random template if some of the variables that it reads are not passed."""
    problem: Counter[tuple[str, str]] = Counter()
    for seed in range(USUAL[mode] // 4):
        source, build = case_of(seed, mode)
        pick = Random(f"absent {seed}")
        absent = {name for name in sorted(undeclared(source) or ()) if pick.random() < 0.3}

        def fewer(build: Build = build, absent: set[str] = absent) -> Variables:
            return {name: value for name, value in build().items() if name not in absent}

        case = seen(source, fewer)
        assert not wrong(source, fewer(), case) or report(source, fewer, f"{mode} {seed}") is None
        problem[case.stock.kind, case.promptreg_outcome.kind] += bool(absent)
        problem["tier", "fast"] += bool(absent) and case.fast is not None
    assert problem["text", "text"] > 10
    assert problem["tier", "fast"] > (10 if mode == FRIENDLY else -1)
    assert problem["absent", "absent"] > 10


@pytest.mark.parametrize("mode", [pytest.param(mode, marks=[pytest.mark.slow] * (mode == NORMAL)) for mode in USUAL])
def test_no_random_template_misses_a_variable_that_is_not_required(mode):
    """Where a random template renders, it renders without each variable that is reported as not required (rule 21)."""
    rendered = 0
    for seed in range(USUAL[mode] // 4):
        source, build = case_of(seed, mode)
        try:
            template = compiled_by_us(source)
        except TemplateError:
            continue
        optional = {name for name, is_needed in template.reads.items() if not is_needed}
        if not optional & build().keys():
            continue

        def fewer(build: Build = build, optional: set[str] = optional) -> Variables:
            return {name: value for name, value in build().items() if name not in optional}

        outcome = by_promptreg(template, fewer)
        rendered += outcome.kind == "text"
        assert outcome.kind != "absent" or not optional & set(outcome.detail), (source, optional)
    assert rendered > 10


def every_value() -> list[Build]:
    """Return a builder of `x` for each kind of value, usual and unusual."""
    plain = [*grammar_values.TEXTS, *grammar_values.NUMBERS, True, False]
    builds: list[Build] = [lambda value=value: {"x": value} for value in plain]
    for make in grammar_values.ODD[3:]:
        builds += [lambda make=make, seed=seed: {"x": make(Random(seed))} for seed in range(2)]
    return builds


@cache
def compared(sample: float) -> Counter[tuple[str, str]]:
    """Render each operation on this part of the values; count the outcomes, and the filters and tests that rendered."""
    pick, builds, problem, bad = Random(0), every_value(), Counter(), {}
    for source in grammar.singles():
        some = pick.sample(builds, int(sample * len(builds))) if re.search(r"\bx\b", source) else []
        for build in [lambda: {}, *some]:
            case = seen(source, build)
            if wrong(source, build(), case):
                bad.setdefault(source, build)
            problem["ended", case.promptreg_outcome.kind] += 1
            problem.update({(what, case.promptreg_outcome.kind): 1 for what in operations(source)})
    assert not bad, "\n".join(str(report(source, build, "each alone")) for source, build in bad.items())
    return problem


@lru_cache(4)
def operations(source: str) -> list[str]:
    """Return the filters and tests of a template."""
    tree = STOCK.parse(source)
    return [f"{type(node).__name__} {node.name}" for node in tree.find_all((nodes.Filter, nodes.Test))]


@pytest.mark.slow
def test_every_operation_is_the_same_on_every_kind_of_value():
    """For every kind of value, each filter, test, operator and method alone renders the text of Jinja2."""
    problem = compared(0.3)
    ended = sum(count for (what, _), count in problem.items() if what == "ended")
    assert problem["ended", "text"] > 0.4 * ended


@pytest.mark.slow
def test_every_filter_and_test_renders_in_some_case():
    """Every filter and test renders in some case, because otherwise it would not be compared."""
    problem = compared(0.3)
    assert [name for name in FILTERS if not problem[f"Filter {name}", "text"]] == []
    assert [name for name in TESTS if name.isalpha() and not problem[f"Test {name}", "text"]] == []


def test_every_test_of_jinja_is_allowed():
    """The policy forbids some filters of Jinja2, and no tests."""
    assert set(TESTS) == set(STOCK.tests)
    assert set(FILTERS) < set(STOCK.filters)


def test_the_declaration_of_a_filter_is_consistent():
    """If there is a fast function, the declaration has its numbers of arguments, and a type that the fast tier has."""
    for name, row in FILTERS.items():
        assert bool(row.arguments) == (row.fast is not None), name
        assert row.fast is None or row.returns in {"any", "text", "integer", "list"}, name


RETURNED = {
    "text": "r is string",
    "integer": "r is integer",
    "list": "r is iterable and r is not string",
    "rows": "(r | list)[0] is sequence and (r | list)[0] is not string",
    "groups": "(r | list)[0].list is sequence and (r | list)[0].grouper is defined",
    "any": "true",
}


@pytest.mark.parametrize("name", FILTERS)
def test_a_filter_returns_the_declared_type(name):
    """An expression of the grammar returns the declared type for each filter."""
    filtered = re.compile(r"\{\{ (\(?[^|]*\| NAME(\([^|]*\))?\)?) (\| list )?\}\}".replace("NAME", name))
    expressions = [problem[1] for source in grammar.singles() if (problem := filtered.fullmatch(source))]
    sources = [f"{{% set r = {e} %}}{{{{ {RETURNED[FILTERS[name].returns]} }}}}" for e in expressions]
    values = [{"x": x, "docs": [{"n": 1}]} for x in ([{"title": "b", "n": 1}], {"a": 1}, "a b", 7.5)]
    templates = [TemplateText(source, LIMITS) for source in sources]
    assert Outcome("text", "True") in [by_promptreg(t, lambda v=v: v) for t in templates for v in values]


@pytest.mark.parametrize("name", [name for name in TESTS if name.isalpha()])
def test_a_test_accepts_an_absent_value_where_declared(name):
    """These tests accept it as in stock Jinja2; no other test may guard a variable (rules 20 and 21)."""
    sources = [f"{{{{ [{{}}.nope is {name}{arguments}] | length }}}}" for arguments in ("", "(1)")]
    outcomes = {by_jinja(source, {}).kind for source in sources}
    assert ("text" in outcomes) == TESTS[name].takes_absent
    assert outcomes >= {by_promptreg(TemplateText(source, LIMITS), dict).kind for source in sources}


# Every operation of the fast tier: each filter, test and method with each number of arguments, then the other syntax.
# `t` is a text, `n` and `f` are numbers, `l` is a list, `ds` a list of dicts, `d` a dict.
FAST_VALUES = {
    **{"t": "some text", "n": 7, "f": 2.5, "l": ["b", "a"], "ds": [{"a": "x"}], "d": {"a": "x"}},
    **{"z": None, "y": True},
}
PRINTED = "{{{{ {} }}}}"
FRAMES = [PRINTED, "{{% if ({}) %}}1{{% else %}}2{{% endif %}}", "{{% set x = {} %}}{{{{ x }}}}"]
FAST_FILTERS = """
    t|upper ; t|lower ; t|trim ; t|capitalize ; t|title ; t|length ; l|count ; l|first ; l|last ; l|join ; l|join('-') ;
    t|replace('e', 'a') ; t|indent ; t|indent(2) ; d|tojson ; d|tojson(2) ; n|string ; t|truncate ;
    t|truncate(5) ; (l|list)[0] ; f|round ; f|round(1) ; n|int
"""
FAST_TESTS = """
    z is none ; t is string ; n is number ; n is integer ; f is float ; y is boolean ; d is mapping ; l is sequence ;
    l is iterable ; y is true ; y is false
"""
FAST_METHODS = """
    t.upper() ; t.lower() ; t.strip() ; t.strip('st') ; t.lstrip() ; t.lstrip('s') ; t.rstrip() ; t.rstrip('t') ;
    t.split()|last ; t.split(' ')|first ; t.replace('e', 'a') ; t.startswith('s') ; t.endswith('s') ;
    d.get('a') ; d.get('b', 'c')
"""
FAST_OTHERS = """
    t[1:3] ; t[:3] ; t[-3:] ; l[1:]|join ; ds|map(attribute='a')|join ; t ~ n ; n + 1 ; t + 'x' ; n - 1 ;
    d['a'] ; d.a ; l[0] ; l[n - 7] ; 'a' in l ; 'a' in d ; 'e' in t ; t in ['a', 'b'] ;
    n not in [1, 2] ;
    n < 8 ; n >= 7 ; t == 'a' ; t != l[0] ; t if n else l[0] ; n and t ; z or t ; not n ; u|default('v') ;
    t|default('v', true) ; u is defined ; d.b is undefined ; -1 ; n * 2 ; n / 2 ; n // 2 ; n % 2 ; f - n ; -n ; -f ;
    (l + ['c'])|join ; ((1, 2) + (3,))|length ; t[::-1] ; l[::-1]|first ; t[1:n - 2] ; l[:l|length - 1]|join ;
    {'a': t, 'b': n}.b ; {'a': t}['a'] ; {'a': [t]}|tojson ; t + ('x' + t) ; t + 'x' + t|upper ; 'a' ~ (t + 'b') ~ n ;
    n is eq(7) ; n is equalto 7 ; n is ne(7) ; n is lt 8 ; n is ge(f) ; n is in([1, 7]) ; n is odd ; n is even ;
    n is divisibleby 7 ; 1 < n <= 7 ; 1 < n < f ; t[0] ; 'ab' * 2 ; n * 'ab' ; d[t[0]]|default('v') ;
    d[l[1]]|default('v') ;
    (t|upper)|default('v') ; d[t] is defined ; ds|map(attribute='a')|list|length ; ds|map(attribute='a')|first ;
    ds|selectattr('a')|list|length ; ds|rejectattr('b')|map(attribute='a')|join ; l|reverse|join ; l|reverse|first ;
    ds|selectattr('a', 'equalto', 'x')|list|length ; ds|rejectattr('a', 'eq', t)|list|length ; '7'|int + 1 ;
    t|trim + t ; (t if n else z) + 'x' ; 'a' ~ n ~ (z or f) ~ (t ~ 'b' + t)
"""
METERED = """
    t.capitalize() ; t.title() ; n ** 2 ; d|items|first ; {n: t}[7] ; t.split('e', 1)|first ; l|sort|first ;
    l|map('upper')|first ; f|round(1, 'ceil') ; t|int(7) ; 1 in l in [true]
"""


def in_fast(rows: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Return the filters or tests that have a function in the fast tier, by name."""
    return [(name, row) for name, row in rows.items() if row.fast not in {None, INLINE}]


def listed(table: str) -> list[str]:
    """Return the expressions of a table."""
    return [expression.strip() for expression in table.split(";")]


def fast_sources() -> list[str]:
    """Return a template of each expression in each frame."""
    expressions = listed(";".join((FAST_FILTERS, FAST_TESTS, FAST_METHODS, FAST_OTHERS)))
    return [f.format(e) for e in expressions for f in FRAMES]


@pytest.mark.parametrize("source", fast_sources())
def test_the_fast_tier_renders_every_operation_that_it_declares(source):
    """For values of the declared types the fast tier renders, and its text is that of the metered tier and Jinja2."""
    template = TemplateText(source, LIMITS)
    text = template.fast(dict(FAST_VALUES))
    assert text == template.metered(dict(FAST_VALUES)) == STOCK.from_string(source).render(FAST_VALUES)


@pytest.mark.parametrize("source", [frame.format(e) for e in listed(METERED) for frame in FRAMES])
def test_rare_syntax_is_rendered_by_the_metered_tier(source):
    """It renders, but the template has no fast function."""
    template = TemplateText(source, LIMITS)
    assert template.fast is None
    assert template.render(dict(FAST_VALUES)) == STOCK.from_string(source).render(FAST_VALUES)


def test_the_tables_above_have_every_operation_of_the_fast_tier():
    """They have each declared filter, test and method with each number of arguments, and no other."""

    def arguments(expression: str, kind: type[nodes.Expr]) -> tuple[str, int]:
        node = STOCK.parse(f"{{{{ {expression} }}}}").find(kind)
        return (node.node.attr if kind is nodes.Call else node.name), len(node.args)

    for table, kind, declared in (
        (FAST_FILTERS, nodes.Filter, {(name, n) for name, row in in_fast(FILTERS) for n in row.arguments}),
        (FAST_TESTS, nodes.Test, {(name, 0) for name, _ in in_fast(TESTS)}),
        (FAST_METHODS, nodes.Call, {(name, n) for name, (_, counts) in fast_tier.METHODS.items() for n in counts}),
    ):
        assert {arguments(expression, kind) for expression in listed(table)} == declared


@settings(max_examples=80, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
@given(
    seed=st.integers(0, 2**32),
    texts=st.lists(st.text(), min_size=1, max_size=4),
    mode=st.sampled_from([FRIENDLY, NORMAL]),
)
def test_any_text_as_a_variable_renders_the_same(seed, texts, mode):
    """For all characters in the values the text is that of Jinja2."""
    source, usual = case_of(seed, mode)

    def build() -> Variables:
        pick = Random(seed)
        names = {"tags": list(texts), "docs": [{"title": text, "name": text, "n": n} for n, text in enumerate(texts)]}
        return {**usual(), **{name: pick.choice(texts) for name in grammar.NAMES["text"]}, **names}

    assert report(source, build, seed) is None


LOWERED: dict[str, list[int]] = {
    **{"fuel": [1, 10, 50, 200, 1_000, 10_000], "characters": [1, 5, 20, 150, 1_000]},
    **{"items": [5, 1_000], "depth": [2, 6], "calls": [1, 2, 3], "range_items": [5, 20_000]},
}


@pytest.mark.parametrize("count", [400, pytest.param(1_500, marks=pytest.mark.slow)])
def test_the_metered_tier_renders_what_the_fast_one_does_under_the_same_limits(count):
    """Whatever the fast tier renders under low limits, the metered tier renders under the same limits."""
    rendered = 0
    for seed in range(count):
        pick, (source, build) = Random(f"limits {seed}"), case_of(seed, FRIENDLY)
        names = pick.sample(list(LOWERED), pick.randint(1, 2))
        try:
            template = TemplateText(source, RenderLimits(**{name: pick.choice(LOWERED[name]) for name in names}))
        except TemplateError:
            continue
        fast = by_tier(template.fast, build(), BAILOUTS)
        if fast is not None:
            rendered += 1
            assert by_tier(template.metered, build(), REFUSALS) == fast, (source, template._limits)
    assert rendered > 0.13 * count


@pytest.mark.parametrize("text", ["a\n\n<b>", Markup("a\n\n<b>"), "a", Markup("a")])
@pytest.mark.parametrize("width", [2, "> ", Markup("> ")])
@pytest.mark.parametrize("flags", ["", ", true", ", false, true", ", true, true"])
def test_indenting_markup_is_the_same(text, width, flags):
    """`indent` is the same if the text is Markup, the indentation is Markup, or both."""
    assert report(f"{{{{ x | indent(width{flags}) }}}}", lambda: {"x": text, "width": width}, 0) is None


@pytest.mark.stress
def test_every_operation_is_the_same_on_every_kind_of_value_without_exception():
    """The usual run holds for every combination."""
    compared(1)


@pytest.mark.stress
@pytest.mark.parametrize("mode", LONG)
def test_the_text_and_the_kind_of_error_are_the_same_for_long(mode):
    """The usual run holds for about thirty times as many cases."""
    for _ in outcomes(mode, range(USUAL[mode], LONG[mode])):
        pass
