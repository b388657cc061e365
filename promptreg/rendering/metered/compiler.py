"""The metered tier: any template that the policy allows, as one Python function, metered while it runs.

The code that `generator.py` writes is compiled and run here; what a render raises is translated by `failures.py`.
No constant is folded. There is no autoescaping and no loader, a trailing newline stays, and of Jinja's globals there
are only `range`, `dict` and `namespace`, beside the functions that a template calls.
"""

from collections.abc import Container
from typing import Any, ClassVar

from jinja2 import TemplateRuntimeError, Undefined, nodes
from jinja2 import TemplateSyntaxError as JinjaSyntaxError
from markupsafe import Markup

from promptreg.errors import TemplateError
from promptreg.rendering.compat import Context, LoopContext, identity, missing
from promptreg.rendering.filters import FILTERS, TESTS
from promptreg.rendering.limits import RenderLimits
from promptreg.rendering.metered.failures import translated
from promptreg.rendering.metered.functions import (
    BUILTIN_FUNCTIONS,
    CALLED_FUNCTIONS,
    TemplateMacro,
    TemplateNamespace,
    call,
    raise_literal,
)
from promptreg.rendering.metered.generator import generate
from promptreg.rendering.metered.meter import Meter
from promptreg.rendering.metered.methods import call_method
from promptreg.rendering.metered.operators import OPERATORS
from promptreg.rendering.parsing import ENVIRONMENT, syntax_offence
from promptreg.rendering.values import Absent, read_attribute, read_item

FILE = "<promptreg template>"  # not the name that Jinja gives to other templates, which a value may render
_EVALUATION = nodes.EvalContext(ENVIRONMENT)


class Rendering(Meter, Context):
    """One render of all texts of a template: its variables, and its meter.

    Jinja's generated code takes it for its `Context`, and reads these attributes of it.
    """

    filters: ClassVar = {name: row.metered for name, row in FILTERS.items()}
    tests: ClassVar = {name: row.metered for name, row in TESTS.items()}

    def __init__(self, variables: dict[str, Any], limits: RenderLimits) -> None:
        self.start(limits)
        self.variables = variables
        self.vars = {}
        self.exported_vars = set()
        self.environment = ENVIRONMENT
        self.eval_ctx = _EVALUATION

    def resolve_or_missing(self, key: str) -> Any:
        """Return a variable, else a builtin of the template language, else Jinja's `missing`."""
        value = self.variables.get(key, missing)
        return BUILTIN_FUNCTIONS.get(key, missing) if value is missing else value


_GLOBALS: dict[str, Any] = {
    **{f"filter_{name}": row.metered for name, row in FILTERS.items()},
    **{f"test_{name}": row.metered for name, row in TESTS.items()},
    **{f"op_{name}": run for name, run in OPERATORS.items()},
    **{f"function_{name}": function for name, function in CALLED_FUNCTIONS.items()},
    "function_raise_literal": raise_literal,
    **{"read_attribute": read_attribute, "read_item": read_item, "call": call, "call_method": call_method},
    **{"undefined": Absent, "cond_expr_undefined": Undefined},
    **{"LoopContext": LoopContext, "Macro": TemplateMacro, "Namespace": TemplateNamespace, "Markup": Markup},
    **{"TemplateRuntimeError": TemplateRuntimeError, "identity": identity, "missing": missing},
    "environment": ENVIRONMENT,
    "__name__": f"{__name__}.template",
}


class MeteredText:
    """One text of a template, compiled for the metered tier."""

    __slots__ = ("_lines", "_root")

    def __init__(self, tree: nodes.Template) -> None:
        """Compile the tree, which changes it.

        Raises `TemplateSyntaxError`, or `TemplateError` for what Python can't compile.
        """
        self._lines: list[tuple[int, int]] = []
        try:
            source, self._lines = generate(tree, ENVIRONMENT)
            code = compile(source, FILE, "exec")
        except JinjaSyntaxError as error:
            raise syntax_offence(error).error() from None
        except SyntaxError as error:  # Python's, of nested blocks
            line = self._template_line(error.lineno) or 1
            reason = f"Line {line}: loops or macros lie too deep in each other; Python takes about 20."
            raise TemplateError(reason, line=line) from None
        except Exception as error:
            raise TemplateError(f"The template does not compile ({type(error).__name__}).", line=None) from None
        module: dict[str, Any] = {}
        exec(code, _GLOBALS, module)
        self._root = module["root"]

    def render(self, rendering: Rendering) -> str:
        """Return the text; what it raises is ours, Jinja's or the application's, and `failed` translates it."""
        return rendering.printed(rendering.joined(list(self._root(rendering))))

    def failed(self, error: Exception, source: str, rendering: Rendering, reads: Container[str]) -> Exception:
        """Return our error for what `render` raised, with the template's line and without any value."""
        line = self._failed_line(error)
        return translated(error, line, source, rendering.variables, rendering.limits, reads=reads)

    def _failed_line(self, error: Exception) -> int | None:
        """Return the template's line: that of the innermost frame in a file named `FILE`."""
        written, entry = None, error.__traceback__
        while entry is not None:
            if entry.tb_frame.f_code.co_filename == FILE:
                written = entry.tb_lineno
            entry = entry.tb_next
        return self._template_line(written)

    def _template_line(self, written: int | None) -> int | None:
        """Return the template's line that a line of its compiled code was written for."""
        return max((line for line, code in self._lines if written and code <= written), default=None)
