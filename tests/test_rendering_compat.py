"""The undocumented names of Jinja2 and pydantic, which only `rendering/compat.py` uses: a missing one fails here."""

import ast
import inspect
from io import StringIO
from pathlib import Path

import jinja2
import pytest
from jinja2 import nodes
from pydantic import BaseModel, RootModel

import promptreg.rendering
from promptreg.rendering import compat
from promptreg.rendering.filters import FILTERS, TESTS
from promptreg.rendering.limits import RenderLimits
from promptreg.rendering.metered.compiler import Rendering
from promptreg.rendering.metered.generator import generate
from promptreg.rendering.parsing import ENVIRONMENT
from promptreg.rendering.template_text import TemplateText

ROOMS = Path(promptreg.rendering.__path__[0])
DEPENDENCIES = {"jinja2", "markupsafe", "pydantic"}
DOCUMENTED = {*DEPENDENCIES, "pydantic.fields"}


def text(source, **variables):
    """Render by the metered tier."""
    return TemplateText(source, RenderLimits()).metered(variables)


@pytest.mark.parametrize("path", sorted(ROOMS.rglob("*.py")), ids=lambda path: str(path.relative_to(ROOMS)))
def test_only_compat_uses_undocumented_names(path):
    """Every other file imports only documented names: those of the packages themselves, and `FieldInfo`."""
    if path == ROOMS / "compat.py":
        return
    for node in ast.walk(ast.parse(path.read_text())):
        names = [alias.name for alias in getattr(node, "names", []) if isinstance(alias, ast.alias)]
        modules = [node.module or ""] if isinstance(node, ast.ImportFrom) else names
        if any(module.split(".")[0] in DEPENDENCIES for module in modules):
            assert set(modules) <= DOCUMENTED
            assert not [name for name in names if name.startswith("_")]
        attribute = node.attr if isinstance(node, ast.Attribute) else ""
        assert "pydantic" not in attribute


def filters():
    """Each filter has Jinja's function, which accepts the same arguments."""
    for name in FILTERS:
        assert callable(compat.JINJA_FILTERS[name])


def tests():
    """Each test has Jinja's function."""
    for name in TESTS:
        assert callable(compat.JINJA_TESTS[name])


def generator():
    """Hooks are called around each printed expression; no constant is folded; no name is exported."""

    class Marking(compat.CodeGenerator):
        def before_printed(self):
            self.write("<")

        def after_printed(self):
            self.write(">")

    def written(source):
        environment = jinja2.Environment()
        written = StringIO()
        Marking(environment, None, None, written, optimized=False).visit(environment.parse(source))
        return written.getvalue()

    assert "yield <1>" in written("{{ 1 }}")
    assert "yield <(1 + 2)>" in written("{{ 1 + 2 }}")
    assert "exported_vars" not in written("{% set a = 1 %}")


def context():
    """`Rendering` has each attribute of Jinja's own context that the generated code reads."""
    stock = compat.Context(ENVIRONMENT, {}, None, {})
    own = Rendering({}, RenderLimits())
    for name in ("vars", "exported_vars", "environment", "eval_ctx"):
        assert type(getattr(own, name)) is type(getattr(stock, name))
    assert text("{% macro m(a, b=1) %}{{ a }}{{ b }}{{ caller() }}{% endmacro %}{% call m(2) %}3{% endcall %}") == "213"


def frame():
    """The frame of a template has the names in it and the options of compilation."""
    made = compat.Frame(nodes.EvalContext(ENVIRONMENT))
    made.symbols.analyze_node(ENVIRONMENT.parse("{{ a }}"))
    assert made.symbols.ref("a").endswith("_a")
    assert {"toplevel", "rootlevel", "require_output_check", "buffer"} <= {*vars(made)}


def loops():
    """`loop` is of this class, and has these attributes."""
    parts = "index index0 revindex revindex0 first last length depth depth0 previtem nextitem".split()
    assert all(isinstance(inspect.getattr_static(compat.LoopContext, name), property | int) for name in parts[:6])
    loop = "".join(f"{{{{ loop.{name} is defined }}}} " for name in parts)
    assert (
        text("{% for x in 'abc' %}{% if loop.index == 2 %}" + loop + "{% endif %}{% endfor %}").split() == ["True"] * 11
    )
    assert text("{% for x in 'ab' %}{{ loop.cycle(1, 2) }}{{ loop.changed(x) }}{% endfor %}") == "1True2True"


def macros():
    """A macro is of this class; an omitted argument is absent."""
    assert text("{% macro m(a) %}{{ a is defined }}{% endmacro %}{{ m() }}") == "False"
    assert issubclass(type(ENVIRONMENT.from_string("{% macro m() %}{% endmacro %}").module.m), compat.Macro)


def namespaces():
    """A namespace accepts attributes; plain Jinja's `namespace` is this class."""
    assert text("{% set ns = namespace(a=1) %}{% set ns.a = ns.a + 1 %}{{ ns.a }}") == "2"
    assert jinja2.Environment().globals["namespace"] is compat.Namespace


def missing():
    """The sentinel for no value is that of `Undefined` and `Context.resolve_or_missing`."""
    assert inspect.signature(jinja2.Undefined.__init__).parameters["obj"].default is compat.missing
    assert compat.Context(ENVIRONMENT, {}, None, {}).resolve_or_missing("x") is compat.missing


def identity():
    """The generated code of a block assignment calls it."""
    source, _ = generate(ENVIRONMENT.parse("{% set x %}a{% endset %}"), ENVIRONMENT)
    assert "identity" in source
    assert compat.identity(source) is source


def tokens():
    """Tokens are read one by one, and parsed to the tree that Jinja parses."""
    source = "{% for x in xs %}\n{{ x | upper }}{# c #}{% endfor %}"
    read = list(compat.tokenize(ENVIRONMENT, source))
    assert {(1, "name", "for"), (2, "name", "upper")} <= set(read)
    assert compat.parse_tokens(ENVIRONMENT, read) == ENVIRONMENT.parse(source)
    controlled = "{% for x in xs %}{% break %}{% continue %}{% endfor %}"
    stock = jinja2.Environment(extensions=["jinja2.ext.loopcontrols"])
    assert compat.parse_tokens(ENVIRONMENT, compat.tokenize(ENVIRONMENT, controlled)) == stock.parse(controlled)


def quoting():
    """Spaces are quoted as in a path, or as in a query."""
    assert (compat.url_quote("a b/"), compat.url_quote("a b/", for_qs=True)) == ("a%20b/", "a+b%2F")


def wordwrap():
    """The filter needs no environment if the text between lines is passed."""
    template = jinja2.Environment().from_string("{{ 'some words-here' | wordwrap(5, true, '|', false) }}")
    assert compat.wordwrap("some words-here", 5, True, "|", False) == template.render()


def root_models():
    """A `RootModel` is recognised without importing its class."""

    class Plain(BaseModel):
        a: int

    assert compat.is_root_model(RootModel[list[int]]([1])) is True
    assert compat.is_root_model(Plain(a=1)) is False


NOTICED = {
    **{"JINJA_FILTERS": filters, "JINJA_TESTS": tests, "CodeGenerator": generator, "Context": context, "Frame": frame},
    **{"LoopContext": loops, "Macro": macros, "Namespace": namespaces, "missing": missing, "identity": identity},
    **{"Token": tokens, "tokenize": tokens, "parse_tokens": tokens, "wordwrap": wordwrap},
    **{"url_quote": quoting, "is_root_model": root_models},
}


@pytest.mark.parametrize("name", compat.__all__)
def test_every_undocumented_name_works(name):
    """Each name exists, and still has the expected behaviour."""
    assert hasattr(compat, name)
    NOTICED[name]()
