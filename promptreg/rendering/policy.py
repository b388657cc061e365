"""Which constructs a template may contain: a check of its syntax tree when it is saved, before anything is compiled.

What depends on values can be refused only by a render: reads by `values.py`, calls by `metered/methods.py` and
`metered/functions.py`, and sizes by `metered/meter.py`.

- Statements: no include, import, extends, block or autoescape; `self` is not available.
- Calls: methods of builtin types (`METHODS`), `range`, `dict`, `namespace`, `zip`, `raise_exception`, the template's
  own macros, `caller`, and `loop` with its `cycle` and `changed`.
- Filters and tests: those of `FILTERS` and `TESTS`; `format` on a literal with plain conversions; no `%` on text.
- Names: those that start with two underscores are never attributes.
"""

import unicodedata
from collections.abc import Callable, Collection, Iterator
from typing import Any

from jinja2 import nodes

from promptreg.errors import TemplateError, TemplatePolicyError, TemplateSyntaxError
from promptreg.nearest import did_you_mean
from promptreg.rendering import alternatives
from promptreg.rendering.compat import JINJA_FILTERS
from promptreg.rendering.filters import FILTERS, TESTS
from promptreg.rendering.limits import RenderLimits
from promptreg.rendering.metered.functions import BUILTIN_FUNCTIONS, CALLED_FUNCTIONS
from promptreg.rendering.metered.methods import METHODS
from promptreg.rendering.metered.texts import format_offence

BUILTINS = frozenset(BUILTIN_FUNCTIONS)
METHOD_NAMES = frozenset().union(*METHODS.values())
_FUNCTIONS = ", ".join(["macros", *BUILTIN_FUNCTIONS, *CALLED_FUNCTIONS])
CALLABLE = " and ".join(_FUNCTIONS.rsplit(", ", 1))
"""What the errors say can be called, beside methods."""

FORBIDDEN_STATEMENTS: dict[type[nodes.Node], str] = {
    nodes.Include: "include",
    nodes.Import: "import",
    nodes.FromImport: "from … import",
    nodes.Extends: "extends",
    nodes.Block: "block",
    nodes.ScopedEvalContextModifier: "autoescape",
}
TAGS = (
    "for endfor break continue if elif else endif set endset macro endmacro call endcall filter endfilter"
    " with endwith raw endraw"
).split()
"""The names that may stand after `{%`."""

MAX_BRANCHES = 200  # Python compiles them by recursion: 3,000 crash a thread with a 256 KiB stack
MAX_LITERAL_BITS = 1_024


class Offence(Exception):
    """Why a template is refused: the line, the reason, and the class of the error that it becomes.

    `is_misspelling` says that the reason names what may be meant: then the text is a template, whatever it looks like.
    """

    def __init__(
        self,
        line: int,
        reason: str,
        *,
        is_misspelling: bool = False,
        kind: type[TemplateError] = TemplatePolicyError,
    ) -> None:
        super().__init__(reason)
        self.line = line
        self.reason = reason
        self.is_misspelling = is_misspelling
        self.kind = kind

    def error(self, hint: str = "") -> TemplateError:
        """Return the error, with a hint at its end."""
        end = "" if self.reason.endswith((".", "?")) else "."
        return self.kind(f"Line {self.line}: {self.reason}{end}{hint}", line=self.line)


def require_allowed(tree: nodes.Template, limits: RenderLimits) -> int:
    """Return the number of nodes of a template; raise `Offence` for the first one in the order of its text.

    It becomes a `TemplatePolicyError` for a forbidden construct, and a `TemplateSyntaxError` for unknown filters and
    tests, for `break` and `continue` outside a loop, and for an argument that is there twice.
    """
    names: frozenset[str] | None = None
    in_loops: set[int] | None = None
    count, line = 0, 1
    for count, (node, depth) in enumerate(_nodes(tree), start=1):
        line = getattr(node, "lineno", None) or line
        if depth > limits.nesting:
            raise Offence(line, f"nested more than {limits.nesting} deep")
        if count > limits.nodes:
            raise Offence(line, f"the template has more than {limits.nodes:,} syntax nodes")
        check = _CHECKS.get(type(node))
        if check is not None:
            check(node)
        elif type(node) is nodes.Call:
            names = _callable_names(tree) if names is None else names
            _require_callable(node, names)
        elif isinstance(node, nodes.Break | nodes.Continue):
            in_loops = _in_loops(tree) if in_loops is None else in_loops
            _require_loop(node, in_loops)
    return count


def _nodes(tree: nodes.Template) -> Iterator[tuple[nodes.Node, int]]:
    """Yield each node and its depth, in the order of the text."""
    waiting: list[tuple[nodes.Node, int]] = [(tree, 0)]
    while waiting:
        node, depth = waiting.pop()
        yield node, depth
        children: list[tuple[nodes.Node, int]] = []
        for name in node.fields:
            value = getattr(node, name)
            if isinstance(value, nodes.Node):
                children.append((value, depth + 1))
            elif isinstance(value, list):
                children += [(item, depth + 1) for item in value if isinstance(item, nodes.Node)]
        waiting += reversed(children)


def _refuse_statement(node: Any) -> None:
    name = FORBIDDEN_STATEMENTS[type(node)]
    raise Offence(node.lineno, f"a template can't use {name}; {alternatives.STATEMENTS[name]}")


def _check_branches(node: nodes.If) -> None:
    if len(node.elif_) > MAX_BRANCHES:
        raise Offence(node.lineno, f"an if has more than {MAX_BRANCHES} elif branches")


def _check_name(node: nodes.Name) -> None:
    if node.name == "self":
        raise Offence(node.lineno, "self is not available in a template")
    _require_normal(node.name, node.lineno)


def _require_normal(name: str, line: int) -> None:
    """Refuse a name outside NFKC: Jinja compiles names to Python's, which normalises them, so that two become one."""
    if not name.isascii() and unicodedata.normalize("NFKC", name) != name:
        raise Offence(line, "a name is not in Unicode's normal form NFKC; write it in its plain letters")


def _check_target(node: nodes.NSRef) -> None:
    _require_normal(node.name, node.lineno)


def _check_macro(node: nodes.Macro) -> None:
    _require_normal(node.name, node.lineno)
    _check_parameters(node)


def _check_parameters(node: nodes.Macro | nodes.CallBlock) -> None:
    _require_distinct([argument.name for argument in node.args], node.lineno)


def _check_arguments(node: nodes.Call | nodes.Filter | nodes.Test) -> None:
    _require_distinct([keyword.key for keyword in node.kwargs], node.lineno)


def _require_distinct(names: list[Any], line: int) -> None:
    """Refuse a name that is there twice, which Python can't compile."""
    if len(set(names)) < len(names):
        twice = next(name for name in names if names.count(name) > 1)
        raise Offence(line, f"the argument {twice} is there twice", kind=TemplateSyntaxError)


def _check_keyword(node: nodes.Keyword) -> None:
    _require_normal(node.key, node.lineno)


def _check_number(node: nodes.Const) -> None:
    if isinstance(node.value, int) and node.value.bit_length() > MAX_LITERAL_BITS:
        raise Offence(node.lineno, "a number has too many digits")
    if isinstance(node.value, float) and node.value - node.value != 0:
        raise Offence(node.lineno, "a number is too big")


def _check_attribute(node: nodes.Getattr) -> None:
    if node.attr.startswith("__"):
        raise Offence(node.lineno, f"{node.attr} can't be read; names that start with two underscores are Python's")


def _check_filter(node: nodes.Filter) -> None:
    _check_arguments(node)
    if node.name not in FILTERS:
        if node.name in JINJA_FILTERS:
            advice = alternatives.of_filter(node.name)
            raise Offence(node.lineno, f"the filter {node.name} is not allowed in a prompt; {advice}")
        raise _unknown("filter", node, FILTERS)
    if node.name == "format":
        pattern = node.node.value if isinstance(node.node, nodes.Const) else None
        reason = "takes a literal text" if not isinstance(pattern, str) else format_offence(pattern)
        if reason:
            raise Offence(node.lineno, f"the filter format {reason}")


def _check_test(node: nodes.Test) -> None:
    _check_arguments(node)
    if node.name not in TESTS:
        raise _unknown("test", node, TESTS)


def _unknown(kind: str, node: nodes.Filter | nodes.Test, known: Collection[str]) -> Offence:
    meant = did_you_mean(node.name, sorted(known))
    reason = f"there is no {kind} {node.name!r}{meant}"
    return Offence(node.lineno, reason, is_misspelling=bool(meant), kind=TemplateSyntaxError)


def _check_remainder(node: nodes.Mod) -> None:
    if isinstance(node.left, nodes.Const) and isinstance(node.left.value, str):
        raise Offence(node.lineno, "% on text is not allowed; use the filter format")


def _require_callable(node: nodes.Call, names: frozenset[str]) -> None:
    """Refuse a call that can be seen to be none of those allowed; `names` may hold something to call."""
    _check_arguments(node)
    called = node.node
    if isinstance(called, nodes.Getattr):
        if called.attr not in METHOD_NAMES:
            advice = alternatives.of_method(called.attr)
            raise _not_callable(node.lineno, f"the method {called.attr}", called.attr, METHOD_NAMES, advice)
    elif not isinstance(called, nodes.Name):
        raise Offence(node.lineno, f"only methods, {CALLABLE} can be called")
    elif called.name not in names:
        rest = f"; only {CALLABLE} can, so {alternatives.PASSED}"
        advice = alternatives.of_function(called.name)
        raise _not_callable(node.lineno, called.name, called.name, names, advice, rest)


def _not_callable(
    line: int, subject: str, name: str, known: Collection[str], advice: str | None, rest: str = ""
) -> Offence:
    """Return the offence of a call: with the advice, else with the name that may be meant, else with the rest."""
    meant = did_you_mean(name, sorted(known)) if advice is None else ""
    end = meant or rest if advice is None else f"; {advice}"
    return Offence(line, f"{subject} can't be called in a template{end}", is_misspelling=bool(meant))


def _callable_names(tree: nodes.Template) -> frozenset[str]:
    """Return the names that may hold something to call: those that the template binds, and the functions."""
    return BUILTINS | CALLED_FUNCTIONS.keys() | {"caller", "loop"} | bound_names(tree)


def bound_names(tree: nodes.Template) -> set[str]:
    """Return the names that a template binds anywhere: by `for`, `set`, `with`, or as a macro or its argument."""
    bound = set()
    for node, _depth in _nodes(tree):
        if isinstance(node, nodes.Macro) or (isinstance(node, nodes.Name) and node.ctx != "load"):
            bound.add(node.name)
    return bound


def _in_loops(tree: nodes.Template) -> set[int]:
    """Return the ids of the nodes of a template that are inside a loop, and not in a macro or call block in it.

    The `else` of a loop belongs to the loop around that; that of a recursive loop to none, as for Jinja.
    """
    found: set[int] = set()
    waiting: list[tuple[nodes.Node, bool]] = [(tree, False)]
    while waiting:
        node, is_inside = waiting.pop()
        if is_inside:
            found.add(id(node))
        if isinstance(node, nodes.For):
            waiting += [(child, True) for child in node.body]
            waiting += [(child, is_inside and not node.recursive) for child in node.else_]
        else:
            is_inside = is_inside and not isinstance(node, nodes.Macro | nodes.CallBlock)
            waiting += [(child, is_inside) for child in node.iter_child_nodes()]
    return found


def _require_loop(node: nodes.Break | nodes.Continue, in_loops: Collection[int]) -> None:
    if id(node) not in in_loops:
        word = "break" if isinstance(node, nodes.Break) else "continue"
        raise Offence(node.lineno, f"{word} is not in a loop", kind=TemplateSyntaxError)


_CHECKS: dict[type[nodes.Node], Callable[[Any], None]] = {
    **dict.fromkeys(FORBIDDEN_STATEMENTS, _refuse_statement),
    nodes.If: _check_branches,
    nodes.Name: _check_name,
    nodes.Macro: _check_macro,
    nodes.CallBlock: _check_parameters,
    nodes.NSRef: _check_target,
    nodes.Const: _check_number,
    nodes.Keyword: _check_keyword,
    nodes.Getattr: _check_attribute,
    nodes.Filter: _check_filter,
    nodes.Test: _check_test,
    nodes.Mod: _check_remainder,
}
