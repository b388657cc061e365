"""`jinja-trim` renders what stock Jinja2 does with `trim_blocks` and `lstrip_blocks`, in both tiers."""

import itertools
from random import Random

import jinja2
import pytest
from jinja2.sandbox import ImmutableSandboxedEnvironment

from promptreg import Registry, RenderError, RenderLimits, TemplateSyntaxError
from promptreg.rendering.metered.compiler import Rendering
from promptreg.rendering.template_text import TemplateText

STOCK = ImmutableSandboxedEnvironment(
    undefined=jinja2.StrictUndefined, keep_trailing_newline=True, trim_blocks=True, lstrip_blocks=True
)
LIMITS = RenderLimits()
VALUES = {"a": "A", "items": ["x", "y"], "t": True, "f": False, "n": 0}
BEGIN, END = ("{%", "{%-", "{%+"), ("%}", "-%}", "+%}")
BLOCKS = {
    "if": ("if t", "endif"),
    "else": ("if f", "else", "endif"),
    "for": ("for i in items", "endfor"),
    "nested": ("for i in items", "if loop.first", "endif", "endfor"),
    "set": ("set b = a",),
    "block set": ("set b", "endset"),
    "filter": ("filter upper", "endfilter"),
    "with": ("with c = a", "endwith"),
    "macro": ("macro m(x)", "endmacro"),
    "raw": ("raw", "endraw"),
}
AROUND = ("", " ", "\n", "\n\n", "  \t", "\n  ", "  \n", "x ", " x", "\r\n  ")


MACROS = [
    "{% macro m(x) %}\n  <{{ x }}>\n  {% endmacro %}\n{{ m(1) }}\n{{ m(2) }}\n",
    "{% macro m() %}\n  {% if t %}\n  {{ caller() }}\n  {% endif %}\n{% endmacro %}\n"
    "  {% call m() %}\n b\n {% endcall %}\nz",
    "{% set ns = namespace(x=1) %}\n  {% for i in items %}\n    {%+ if i == 'x' %}\n    {% set ns.x = i %}\n"
    "{% endif +%}\n{% endfor %}\n{{ ns.x }}\n",
]


def tiers(source):
    """Return the text of each tier; None for the fast one where it has no function."""
    template = TemplateText(source, LIMITS, syntax="jinja-trim")
    fast = None if template.fast is None else template.fast(dict(VALUES))
    return fast, template.render_metered(Rendering(dict(VALUES), LIMITS))


def require_same(source):
    """Fail unless both tiers render what stock Jinja2 does, or refuse what it refuses; return whether the fast did."""
    try:
        expected = STOCK.from_string(source).render(VALUES)
    except jinja2.TemplateSyntaxError:
        with pytest.raises(TemplateSyntaxError):
            tiers(source)
        return False
    fast, metered = tiers(source)
    assert (source, metered) == (source, expected)
    assert (source, fast) in {(source, expected), (source, None)}
    return fast is not None


def surrounded(name, pick):
    """Yield a block with each mark at each end, and each kind of white space around it."""
    for begin, end, before, after in itertools.product(BEGIN, END, AROUND, AROUND):
        tags = [f"{begin} {tag} {end}" for tag in BLOCKS[name]]
        inner = pick.choice(AROUND) + "{{ a }}" + pick.choice(AROUND)
        yield before + f"{after}{inner}{before}".join(tags) + after + "end\n"


@pytest.mark.parametrize("name", BLOCKS)
def test_blocks_take_the_white_space_that_stock_jinja_takes(name):
    """This holds for a sample of all marks at either end of a block and of white space around it."""
    pick = Random(name)
    are_fast = {require_same(source) for source in pick.sample([*surrounded(name, pick)], 60)}
    assert True in are_fast or name in {"block set", "filter", "with", "macro"}


@pytest.mark.slow
@pytest.mark.parametrize("name", BLOCKS)
def test_blocks_take_the_white_space_whatever_surrounds_them(name):
    """This holds for each mark at each end of a block and for each kind of white space around it."""
    for source in surrounded(name, Random(name)):
        require_same(source)


def piece(pick):
    """Return a comment, an output, a raw block or a statement with random marks."""
    begin, end, around = pick.choice(BEGIN), pick.choice(END), pick.choice(AROUND)
    return pick.choice(
        [
            f"{begin} if t {end}{around}b{around}{pick.choice(BEGIN)} endif {end}",
            f"{begin} set b = 'c' {end}",
            f"{begin} raw {end}{around}{{{{ a }}}}{around}{begin} endraw {end}",
            f"{begin} for i in items {end}{{{{ i }}}}\n{begin} endfor {end}",
            pick.choice(["{# c #}", "{#- c -#}", "{#+ c +#}", "{#\n c\n#}", "{# c -#}"]),
            pick.choice(["{{ a }}", "{{- a -}}", "{{ 'a\n' }}", "{{- a }}"]),
        ]
    )


def test_marks_of_every_kind_in_one_text_take_what_stock_jinja_takes():
    """Comments, outputs, raw blocks and statements in one text render the same."""
    pick = Random(0)
    for _ in range(200):
        pieces = [pick.choice(AROUND) + piece(pick) + pick.choice(AROUND) for _ in range(pick.randrange(1, 7))]
        require_same("".join(pieces))


def test_macros_are_trimmed_as_in_stock_jinja():
    """What a macro returns, and what its caller passes, is trimmed where it is written."""
    for source in MACROS:
        require_same(source)


def test_errors_name_the_line_of_the_text_as_it_was_written():
    """White space that a block takes is counted, in syntax errors and in those of a render."""
    head = "  {% if t %}\n\n  {# c #}\n  {%- set b = 1 -%}\n\n{% endif %}\n"
    with Registry(":memory:") as registry:
        for syntax in ("jinja", "jinja-trim"):
            with pytest.raises(TemplateSyntaxError) as refused:
                registry.create("p", head + "{{ x y }}", syntax=syntax)
            prompt = registry.save("p" + syntax, head + "{{ t.x }}", syntax=syntax)
            with pytest.raises(RenderError) as failed:
                prompt.render(t={"y": 1})
            assert refused.value.details["line"] == failed.value.details["line"] == 7
            assert failed.value.message == f"'p{syntax}': The template failed at line 7: t has no 'x'."
    with pytest.raises(jinja2.TemplateSyntaxError) as stock:
        STOCK.from_string(head + "{{ x y }}")
    assert stock.value.lineno == 7


def test_messages_of_a_chat_are_trimmed_each():
    """The syntax is that of the version: every content is read by it."""
    content = "{% if t %}\n  yes\n{% endif %}\n"
    chat = [{"role": role, "content": content} for role in ("system", "user")]
    with Registry(":memory:") as registry:
        trimmed = registry.create("p", chat, syntax="jinja-trim")
        assert [message["content"] for message in trimmed.render(t=True).messages] == ["  yes\n"] * 2
        untrimmed = registry.update("p", syntax="jinja")
        assert [message["content"] for message in untrimmed.render(t=True).messages] == ["\n  yes\n\n"] * 2


def test_variables_and_declarations_are_those_of_the_same_text_in_jinja():
    """Which variables are read does not depend on the white space that is left."""
    source = "{% if a is defined %}\n{{ a }}\n{% endif %}\n{{ b }}\n"
    with Registry(":memory:") as registry:
        found = [registry.save("p", source, syntax=syntax).variables for syntax in ("jinja", "jinja-trim")]
    assert found[0] == found[1]
    assert [(variable.name, variable.required) for variable in found[0]] == [("a", False), ("b", True)]
