"""The fast tier: templates as most prompts are, each compiled to one Python function over exact builtin values.

The subset is what most prompts and the chat templates of models are made of: output, `if`, `for` over data, `set`,
macros, namespaces, and common filters, tests, methods and operators. The function has no effect and runs no code of the
values' classes, because it checks each value's exact type before it uses it: `str int float bool None`, and `list tuple
dict` to read from. What is absent is false there, where its truth is tested. On anything else (what is absent
otherwise, another type, a text or a loop that is too long) it bails out by raising some exception; as nothing has
happened yet, the metered tier then renders from the start, and its errors are the ones that callers see.

Where it returns a text, the metered tier returns the same under the same limits; `costs.py` sees to that. The function
of `Hello {{ name }}.` is:

    def render(v):
     v0 = v['name']
     if type(t1 := v0) is not str: t1 = text(t1)
     o = 'Hello ' f'{t1}' '.'
     if len(o) > 1000000: bail_out()
     return o
"""

from collections.abc import Callable
from typing import Any, NamedTuple

from jinja2 import nodes

from promptreg.rendering.fast.costs import Costs, is_affordable, limits_suffice, loop_fuel, most_text
from promptreg.rendering.fast.emitter import Emitter
from promptreg.rendering.fast.expressions import GLOBALS
from promptreg.rendering.fast.macros import MacroCompiler
from promptreg.rendering.fast.scope import Scope
from promptreg.rendering.fast.syntax import UnsupportedSyntax
from promptreg.rendering.limits import RenderLimits

FILE = "<fast template>"


class FastText(NamedTuple):
    """A function from variables to text, which raises an exception on values outside the subset.

    `loaded` are the variables that it loads. `price` is the most fuel that the metered tier takes for what the function
    returns, but for putting the result together.
    """

    render: Callable[[dict[str, Any]], str]
    loaded: frozenset[str]
    price: int


def compile_fast(tree: nodes.Template, limits: RenderLimits) -> FastText | None:
    """Return the function of a template in the subset; None for other templates, and where the limits are too low."""
    if not limits_suffice(limits):
        return None
    scope, costs = Scope(), Costs(limits)
    try:
        code = compile(_source(tree, scope, costs, limits), FILE, "exec")
    except (UnsupportedSyntax, SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    price = costs.price
    if costs.calls > limits.calls or not is_affordable([price], limits):
        return None
    module: dict[str, Any] = {}
    exec(code, GLOBALS, module)
    return FastText(module["render"], frozenset(scope.variables), price)


def _source(tree: nodes.Template, scope: Scope, costs: Costs, limits: RenderLimits) -> str:
    """Return the source of the function; `o` is its text, and `out` what was cut off while it grew in loops."""
    most = most_text(limits)
    emitter = Emitter(most)
    statements = MacroCompiler(tree, emitter, scope, costs)
    statements.body(tree.body)
    emitter.finish()
    lines = ["def render(v):", *scope.loads()]
    lines += [f" if {name!r} in v: bail_out()" for name in sorted(statements.functions_called)]
    lines += [f" {line}" for line in costs.root_lines()]
    if costs.has_loops:
        lines += [" out = None", f" fuel = {loop_fuel(limits)}"]
    return "\n".join([*lines, *emitter.lines])
