"""The environment that templates are compiled and rendered in, and the translation of its errors.

`ImmutableSandboxedEnvironment` with `StrictUndefined`: no autoescape, a trailing newline stays, no
loader, and of Jinja's globals only `range`, `dict` and `namespace`. A value is only ever data: nothing
in it is read as template.
"""

from collections.abc import Callable, Container, Iterable, Mapping
from functools import partial
from typing import Any

from jinja2 import StrictUndefined, Template, UndefinedError, nodes
from jinja2 import TemplateSyntaxError as JinjaSyntaxError
from jinja2.sandbox import ImmutableSandboxedEnvironment
from jinja2.utils import missing
from jinja2.visitor import NodeTransformer

from promptreg.errors import RenderError, TemplateError, TemplatePolicyError, TemplateSyntaxError

BUILTINS = frozenset({"range", "dict", "namespace"})
REQUIRE_PRESENT = "require present"  # no template can spell a filter with a space


class _Absent(UndefinedError):
    def __init__(self, name: Any, message: str | None = None) -> None:
        super().__init__(message)
        self.name = name


class AbsentVariable(_Absent):
    """The render read a variable that was not passed."""


class AbsentAttribute(_Absent):
    """The render read an attribute or item that a value does not have."""


class _Undefined(StrictUndefined):
    """Jinja's strict undefined, which tells an absent variable from an absent attribute."""

    __slots__ = ()

    def __init__(
        self,
        hint: str | None = None,
        obj: Any = missing,
        name: str | None = None,
        exc: Callable[..., Exception] = UndefinedError,
    ) -> None:
        if obj is missing and name is not None and hint is None:
            exc = partial(AbsentVariable, name)
        elif obj is not missing and hint is None:
            exc = partial(AbsentAttribute, name)
        super().__init__(hint, obj, name, exc)  # type: ignore[arg-type]

    def __repr__(self) -> str:
        """Fail as any other reading does: printing a list prints the reprs of its items."""
        return str(self)


def _refuse_json(value: object) -> str:
    """Be json's last resort: an absent variable tells that it is absent, anything else can't be told."""
    if isinstance(value, _Undefined):
        return str(value)
    raise TypeError(f"{type(value).__name__} is not JSON")


def _require_present(value: object) -> object:
    """Be the filter that an unguarded reading goes through."""
    return str(value) if isinstance(value, _Undefined) else value


class _Checked(NodeTransformer):
    """Put the filter around the unguarded readings."""

    def __init__(self, unguarded: Container[int]) -> None:
        self._unguarded = unguarded

    def visit_Name(self, node: nodes.Name) -> nodes.Node:  # noqa: N802 - Jinja calls it so
        if id(node) not in self._unguarded:
            return node
        where = {"lineno": node.lineno, "environment": node.environment}
        return nodes.Filter(node, REQUIRE_PRESENT, [], [], None, None, **where)


def _environment() -> ImmutableSandboxedEnvironment:
    environment = ImmutableSandboxedEnvironment(
        undefined=_Undefined, autoescape=False, keep_trailing_newline=True, cache_size=0
    )
    environment.policies["json.dumps_kwargs"] = {"sort_keys": True, "default": _refuse_json}
    environment.filters[REQUIRE_PRESENT] = _require_present
    environment.globals = {name: environment.globals[name] for name in BUILTINS}
    return environment


ENVIRONMENT = _environment()


def parse(source: str) -> nodes.Template:
    """Give the syntax tree; raise `TemplateSyntaxError` with the line, or `TemplatePolicyError`."""
    try:
        return ENVIRONMENT.parse(source)
    except JinjaSyntaxError as error:
        raise TemplateSyntaxError(f"Line {error.lineno}: {error.message}", line=error.lineno) from None
    except RecursionError:
        raise TemplatePolicyError("The template is nested too deep to be read.", line=None) from None


def compile_tree(tree: nodes.Template, unguarded: Iterable[nodes.Node]) -> Callable[[Mapping[str, Any]], str]:
    """Give a function from variables to text; what it raises is Jinja's or the variables' own.

    Jinja lets an absent variable pass where nothing is done with it (`x is none`, `[x] | length`); here
    each unguarded reading of one is an error (rule 20), so those readings go through a filter.
    """
    try:
        checked = _Checked({id(node) for node in unguarded}).visit(tree)
        code = ENVIRONMENT.compile(checked)
        template = Template.from_code(ENVIRONMENT, code, ENVIRONMENT.make_globals(None))
    except JinjaSyntaxError as error:
        raise TemplateSyntaxError(f"Line {error.lineno}: {error.message}", line=error.lineno) from None
    except Exception as error:
        raise TemplateError(f"The template does not compile ({type(error).__name__}).", line=None) from None

    def run(variables: Mapping[str, Any]) -> str:
        context = template.new_context(dict(variables))
        return "".join(template.root_render_func(context))

    return run


def failed(error: Exception, source: str) -> RenderError:
    """Translate what a render raised.

    The text of the cause may quote a value, so only its type stays, and of an attribute that is not
    there the name, where the template itself spells it.
    """
    line = _line(error)
    where = f" at line {line}" if line else ""
    if isinstance(error, AbsentAttribute) and isinstance(error.name, str) and error.name in source:
        return RenderError(f"The template failed{where}: a value has no {error.name!r}.", line=line)
    return RenderError(f"The template failed{where} ({type(error).__name__}).", line=line)


def _line(error: Exception) -> int | None:
    """Find the template's line: its compiled code is the innermost frame named <template>."""
    line, entry = None, error.__traceback__
    while entry is not None:
        if entry.tb_frame.f_code.co_filename == "<template>":
            template = entry.tb_frame.f_globals.get("__jinja_template__")
            line = template.get_corresponding_lineno(entry.tb_lineno) if template else line
        entry = entry.tb_next
    return line
