"""What the fast tier takes and leaves, and that it stays within the limits of the metered tier.

`docs/performance.md` says what it takes; the operations, each alone, are compared in `test_rendering_same.py`.
"""

import tracemalloc
from typing import Any

import pytest

from promptreg import RenderError, RenderLimitError, RenderLimits
from promptreg.rendering.fast import costs
from promptreg.rendering.fast.costs import most_text
from promptreg.rendering.fast.guards import Bailout
from promptreg.rendering.metered import meter
from promptreg.rendering.metered.compiler import Rendering
from promptreg.rendering.template_text import TemplateText
from tests.test_rendering_same import STOCK

LIMITS = RenderLimits()
CALL = {"function": {"name": "weather", "arguments": {"city": "Paris"}}}
MESSAGES: list[dict[str, Any]] = [
    {"role": "system", "content": " Be brief. "},
    {"role": "user", "content": "Rain?"},
    {"role": "assistant", "content": "<think>\nHm.\n</think>\nNo.", "tool_calls": [CALL, CALL]},
    {"role": "tool", "content": "12 degrees"},
    {"role": "user", "content": [{"type": "text", "text": "And now?"}, {"type": "image"}]},
]
VALUES: dict[str, Any] = {
    "messages": MESSAGES,
    "xs": ["a", "b", "c"],
    "d": {"k": "v", "n": 2},
    "t": "some text",
    "n": 3,
}

TAKEN = [
    "{% set ns = namespace(found=false) %}{% for m in messages %}{% if m.role == 'tool' %}{% set ns.found = true %}"
    "{% endif %}{% endfor %}{% if ns.found %}yes{% endif %}",
    "{% set ns = namespace() %}{{ ns.a is defined }}{{ ns.a | default('x') }}{% set ns.a = 1 %}{{ ns.a + 1 }}",
    "{% for x in xs %}{% set ns = namespace(text='') %}{% for y in xs %}{% set ns.text = ns.text ~ y %}{% endfor %}"
    "{{ ns.text }}{% endfor %}",
    "{% set ns = namespace(items=[]) %}{% for x in xs %}{% set ns.items = ns.items + [x ~ x] %}{% endfor %}"
    "{{ ns.items | join(',') }}",
    "{% macro tag(name, text='-', end='.') %}<{{ name }}>{{ text }}{{ end }}{% endmacro %}"
    "{% macro two(a) %}{{ tag(a) }}{{ tag(a, end=t) }}{% endmacro %}{% for x in xs %}{{ two(x) }}{% endfor %}"
    "{{ tag('b', n) | upper }}",
    "{% macro row(ds) %}{% for k in ds %}{{ loop.index }}{{ k }}{% endfor %}{% endmacro %}{{ row(xs) }}{{ row(d) }}",
    "{% macro m(a) %}{% if a %}{{ a }}{% else %}none{% endif %}{% set b = a %}{{ b is defined }}{% endmacro %}{{ m() }}"
    "{{ m(d.nope) }}{{ m(nope) }}{{ m(t) }}",
    "{% set head %}Hello {{ t }}{% for x in xs %}{{ x }}{% endfor %}{% endset %}{{ head }}{{ head | length }}",
    "{% with a = t, b = n %}{{ a }}{% set c = b + 1 %}{{ c }}{% endwith %}",
    "{% for x in xs %}{% if loop.first %}{% set c = 'A' %}{% elif loop.last %}{% set c = 'B' %}{% else %}"
    "{% set c = x %}{% endif %}{{ c }}{% endfor %}",
    "{% set c = 'outside' %}{% for x in xs %}{% if x == 'b' %}{% set c = x %}{% endif %}{{ c }}{% endfor %}{{ c }}",
    "{% for m in messages %}{% set m = m.role %}{{ m }}{% endfor %}",
    "{% for x in xs %}{% if loop.previtem %}{{ loop.previtem }}{% endif %}{{ loop.nextitem is defined }}{% endfor %}",
    "{% for x in xs %}{{ loop.depth }}{{ loop.index0 % 2 }}{% endfor %}",
    "{% for m in messages %}{% if m.content is string %}{{ '<' + m.role + '>' + m.content | trim + '\n' }}{% else %}"
    "{% for part in m.content %}{{ part['text'] if 'text' in part else '<image>' }}{% endfor %}{% endif %}{% endfor %}",
    "{% for m in messages %}{% for call in m.tool_calls or [] %}{% set call = call.function %}{{ call.name }}"
    "{{ call.arguments | tojson }}{% endfor %}{% endfor %}",
    "{% for m in messages if m.role == 'assistant' %}{{ m.content.split('</think>')[-1].lstrip('\n') }}{% endfor %}",
    "{% for m in messages[::-1] %}{{ messages | length - loop.index0 }}{{ m.role }}{% endfor %}",
    "{% if messages[0].role == 'system' %}{% set rest = messages[1:] %}{% else %}{% set rest = messages %}{% endif %}"
    "{{ rest | length }}{% for m in rest | rejectattr('role', 'equalto', 'tool') %}{{ m.role }}{% endfor %}",
    "{% for k, v in d | items %}{{ k }}{{ v }}{% endfor %}{% for x in xs | reverse %}{{ x }}{% endfor %}",
    "{% for name, value in [('a', t), ('b', n)] %}{{ name }}{{ value }}{% endfor %}{{ {'x': {'y': t}}.x.y }}",
    "{{ {'en': 'English'}[t] | default('?') }}{{ '-' * 9 }}{{ xs[n - 1] }}{{ t[0] }}{{ 1 < n <= 3 }}{{ n is odd }}",
    "{% for m in messages %}{% if m.role == 'tool' %}{% break %}{% endif %}{% if loop.first %}{% continue %}{% endif %}"
    "{{ m.role }}{% endfor %}",
]


@pytest.mark.parametrize("template", TAKEN, ids=range(len(TAKEN)))
def test_what_real_prompts_are_made_of_is_rendered_by_the_fast_tier(template: str) -> None:
    """Namespaces, macros, blocks, literals and loops over messages: the text is that of both others."""
    text = TemplateText(template, LIMITS)
    assert text.fast is not None
    assert text.fast(dict(VALUES)) == text.metered(dict(VALUES)) == STOCK.from_string(template).render(VALUES)


LEFT = [
    "{% macro f(n) %}{{ n }}{% if n %}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(3) }}",
    "{% macro f() %}{{ caller() }}{% endmacro %}{% call f() %}x{% endcall %}",
    "{% macro f() %}{{ varargs | length }}{% endmacro %}{{ f(1, 2) }}",
    "{% macro f(a) %}{{ a }}{% endmacro %}{% set g = f %}{{ g(1) }}",
    "{% if n %}{% macro f(a) %}{{ a }}{% endmacro %}{{ f(1) }}{% endif %}",
    "{% macro f() %}{{ g() }}{% endmacro %}{% macro g() %}x{% endmacro %}{{ f() }}",
    "{% macro f() %}{{ later }}{% endmacro %}{% set later = 1 %}{{ f() }}",
    "{% set ns = namespace(a=1) %}{% macro f() %}{% set ns.a = 2 %}{% endmacro %}{{ f() }}{{ ns.a }}",
    "{% set ns = namespace(a=1) %}{% set other = ns %}{% set other.a = 2 %}{{ ns.a }}",
    "{% set ns = namespace({'a': 1}) %}{{ ns.a }}",
    "{% if n %}{% set ns = namespace(a=1) %}{% endif %}{{ ns.a }}",
    "{% for x in xs %}{% if loop.first %}{% set c = x %}{% endif %}{{ c | default('-') }}{% endfor %}",
    "{% set ns = namespace(go=true) %}{% for x in xs if ns.go %}{{ x }}{% set ns.go = false %}{% endfor %}",
    "{% set ns = namespace(n=0) %}{% macro f() %}{{ ns.n }}{% endmacro %}"
    "{% for x in xs if f() == '0' %}{{ x }}{% set ns.n = 1 %}{% endfor %}",
    "{% for x in xs recursive %}{{ x }}{% endfor %}",
    "{% for x in xs %}{{ loop.cycle(1, 2) }}{% endfor %}",
    "{{ {n: 1}[3] }}",
    "{{ n ** 2 }}",
    "{{ xs | map('upper') | join }}",
    "{{ xs | sort | join }}",
    "{% set a, b = 1, 2 %}{{ a }}",
    "{% filter upper %}x{% endfilter %}",
    "{% set x | upper %}x{% endset %}{{ x }}",
]


@pytest.mark.parametrize("template", LEFT, ids=range(len(LEFT)))
def test_rare_syntax_is_left_to_the_metered_tier(template: str) -> None:
    """It has no fast function, and renders as in Jinja2."""
    text = TemplateText(template, LIMITS)
    assert text.fast is None
    assert text.render(dict(VALUES)) == STOCK.from_string(template).render(VALUES)


@pytest.mark.parametrize("name", ["namespace", "range"])
def test_a_variable_hides_a_function(name: str) -> None:
    """Where a variable has the name of a function that is called, the fast tier bails out."""
    template = (
        f"{{% for i in {name}(2) %}}{{% endfor %}}" if name == "range" else "{% set n = namespace(a=1) %}{{ n.a }}"
    )
    text = TemplateText(template, LIMITS)
    assert text.fast is not None
    assert text.fast({}) == text.metered({})
    with pytest.raises(RenderError):
        text.render({name: 1})


def test_long_texts_in_loops_are_rendered_by_the_fast_tier() -> None:
    """A chat of 20 messages of 10,000 characters each is, though each is trimmed and searched."""
    text = TemplateText(
        "{% for m in messages %}{% if '</think>' in m.content %}{{ m.content.split('</think>')[-1] | trim }}"
        "{% else %}{{ '<' + m.role + '>' + m.content | trim + '\n' }}{% endif %}{% endfor %}",
        LIMITS,
    )
    values = {"messages": [{"role": "user", "content": "long text " * 1_000}] * 20}
    assert text.fast is not None
    assert text.fast(values) == text.metered(values)


COSTLY = [
    "{{ 'a' + x + 'b' + x + 'c' + x + 'd' }}",
    "{% for i in r %}{{ 'a' + x + 'b' + 'c' + 'd' + 'e' + 'f' + 'g' }}{% endfor %}",
    "{% for i in r %}{{ 'a' ~ (x | trim ~ ('b' ~ x | upper)) }}{% endfor %}",
    "{% macro m(a) %}{{ a }}{{ a }}{% endmacro %}{% macro n(a) %}{{ m(a) }}{{ m(a) }}{% endmacro %}"
    "{% for i in r %}{% if n(x) %}y{% endif %}{% endfor %}",
    "{% macro m(a) %}{% for j in r %}{{ '<' + a | upper + '>' }}{% endfor %}{% endmacro %}{{ m(x) | length }}",
    "{% macro m(a) %}{{ 'a' + a + 'b' + 'c' + 'd' + 'e' + 'f' }}{% endmacro %}"
    "{% for i in r %}{% if m(x) %}y{% endif %}{% endfor %}",
    "{% for i in r %}{% set b %}{{ x }}{{ x }}{% endset %}{% if b %}y{% endif %}{% endfor %}",
    "{% set n = namespace(a=[]) %}{% for i in r %}{% set n.a = n.a + [x] %}{% endfor %}{{ n.a | length }}",
    "{% for i in r %}{% if x.split('b') and x.strip('abcdefgh') %}y{% endif %}{% endfor %}",
    "{% for i in r %}{% for j in r[:3] %}{% if x | upper %}y{% endif %}{% endfor %}{% if x | title %}z{% endif %}"
    "{% endfor %}",
    "{% for i in r %}{% if i %}{% if x | upper | lower %}y{% endif %}{% elif x | title %}z{% endif %}{% endfor %}",
    "{% for i in r %}{% if [x, r] | tojson %}y{% endif %}{% endfor %}",
    "{% for i in r %}{{ r | selectattr('a', 'equalto', x) | list | length }}{% endfor %}{{ x | title | length }}",
]


@pytest.mark.parametrize(
    "passes", [20, pytest.param(1, marks=pytest.mark.slow), pytest.param(90, marks=pytest.mark.slow)]
)
@pytest.mark.parametrize("template", COSTLY, ids=range(len(COSTLY)))
def test_the_price_is_what_the_metered_tier_takes_at_most(template: str, passes: int) -> None:
    """For the longest text that the fast tier takes, the metered tier takes no more fuel than was foreseen."""
    text = TemplateText(template, LIMITS)
    values: dict[str, Any] = {"r": [{"a": "b"}] * passes}

    def takes(length: int) -> bool:
        values["x"] = ("ab" * length)[:length]
        try:
            return text.fast is not None and text.fast(values) is not None
        except Exception:
            return False

    low, high = 0, LIMITS.characters
    while high - low > max(1, low // 50):
        low, high = (middle, high) if takes(middle := (low + high) // 2) else (low, middle)
    assert low > 300
    assert takes(low)
    rendering = Rendering(values, LIMITS)
    assert text.render_metered(rendering) == text.fast(values)
    assert LIMITS.fuel - rendering._reserve - rendering.tank <= text.price + most_text(LIMITS) // 16 <= LIMITS.fuel


REPEATED = [
    "{% macro m(a) %}{{ a }}" + "{{ a ~ 'x' }}" * 20 + "{% endmacro %}{{ m(x) }}",
    "{% set b %}" + "{{ x }}" * 30 + "{% endset %}{{ b }}",
    "{{ '<' + " + " + ".join(["x"] * 30) + " }}",
    "{{ " + " ~ ".join(["x"] * 30) + " }}",
    "{% set n = namespace(a=x) %}" + "{{ n.a }}" * 30,
    "{% with a = x %}" + "{{ a }}" * 30 + "{% endwith %}",
]


@pytest.mark.parametrize("template", REPEATED, ids=range(len(REPEATED)))
def test_no_text_is_copied_many_times(template: str) -> None:
    """What is joined before a length is checked is hardly longer than the values that were passed."""
    fast = TemplateText(template, RenderLimits(characters=2_000_000)).fast
    assert fast is not None
    values = {"x": "x" * 1_500_000}
    tracemalloc.start()
    try:
        with pytest.raises(Bailout):
            fast(values)
        assert tracemalloc.get_traced_memory()[1] < 3 * len(values["x"])
    finally:
        tracemalloc.stop()


def test_namespaces_nest_no_deeper_than_in_the_metered_tier() -> None:
    """A namespace may nest containers in each other pass by pass; the fast tier leaves off long before the limit."""
    loop = "{% for i in range(k) %}{% set n.a = [n.a] %}{% endfor %}"
    text = TemplateText(f"{{% set n = namespace(a=1) %}}{loop}x", LIMITS)
    assert text.fast is not None
    assert text.fast({"k": 400}) == "x"
    assert costs.MAX_LEVELS <= meter.MAX_LEVELS
    for passes in (meter.MAX_LEVELS // 2, meter.MAX_LEVELS, 20_000):
        with pytest.raises(Bailout):
            text.fast({"k": passes})
    assert text.render({"k": meter.MAX_LEVELS - 1}) == "x"
    with pytest.raises((RenderError, RenderLimitError)):
        text.render({"k": 2 * meter.MAX_LEVELS})


def test_macros_nest_as_deep_as_the_limit_says() -> None:
    """A chain of macros needs the limit `calls` to be as high; with a lower one neither tier renders it."""
    macros = "".join(f"{{% macro m{i}() %}}{{{{ m{i - 1}() }}}}{{% endmacro %}}" for i in range(1, 9))
    template = f"{{% macro m0() %}}x{{% endmacro %}}{macros}{{{{ m8() }}}}"
    enough = TemplateText(template, RenderLimits(calls=9))
    assert enough.fast is not None
    assert enough.fast({}) == enough.metered({}) == "x"
    less = TemplateText(template, RenderLimits(calls=8))
    assert less.fast is None
    with pytest.raises(RenderLimitError):
        less.render({})


@pytest.mark.parametrize("option", ["ensure_ascii=false", "indent=2, ensure_ascii=False", "2, ensure_ascii=false"])
def test_tojson_may_say_that_letters_stay_as_they_are(option: str) -> None:
    """The templates of models do; it is what `tojson` does anyway, in the fast tier too."""
    text = TemplateText(f"{{{{ d | tojson({option}) }}}}", LIMITS)
    assert text.fast is not None
    assert text.fast({"d": {"k": "é"}}) == text.metered({"d": {"k": "é"}})
    assert TemplateText("{{ d | tojson(ensure_ascii=true) }}", LIMITS).fast is None


def test_macros_that_call_others_twice_are_left_to_the_metered_tier() -> None:
    """Twenty levels are a million calls, which are more than the fuel pays for."""
    macros = "".join(f"{{% macro m{i}() %}}{f'{{{{ m{i - 1}() }}}}' * 2}{{% endmacro %}}" for i in range(1, 20))
    text = TemplateText(f"{{% macro m0() %}}x{{% endmacro %}}{macros}{{{{ m19() }}}}", RenderLimits(seconds=0.5))
    assert text.fast is None
    with pytest.raises(RenderLimitError):
        text.render({})
