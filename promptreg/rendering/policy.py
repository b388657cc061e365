"""What a template may contain, and how much it may do: one policy, read from the syntax tree when it is saved.

Nothing is compiled or run of a template that this room refuses. What only shows when it runs (what a
value is) is decided by `values.py` and counted by `meter.py`, against the same tables and limits.

- Statements: no include, import, extends, block, autoescape; `self` is not there.
- Calls: only methods of builtin types (`METHODS`), `range`, `dict`, `namespace`, the template's own macros,
  `caller`, and `loop` with its `cycle` and `changed`.
- Filters: those of `FILTERS`; `format` on a literal of plain conversions; no `%` on text.
- Names have at most 128 characters; those that start with two underscores are never attributes.
"""

import unicodedata
from collections.abc import Callable, Collection, Iterator
from typing import Any

from jinja2 import nodes
from jinja2.filters import FILTERS as JINJA_FILTERS

from promptreg.errors import TemplatePolicyError, TemplateSyntaxError
from promptreg.nearest import did_you_mean
from promptreg.rendering.filters import FILTERS, LEVELS, TESTS
from promptreg.rendering.limits import RenderLimits
from promptreg.rendering.metered.texts import format_offence
from promptreg.rendering.values import METHODS

BUILTINS = frozenset({"range", "dict", "namespace"})

METHOD_NAMES = frozenset().union(*METHODS.values())

STATEMENTS: dict[type[nodes.Node], str] = {
    nodes.Include: "include",
    nodes.Import: "import",
    nodes.FromImport: "from … import",
    nodes.Extends: "extends",
    nodes.Block: "block",
    nodes.ScopedEvalContextModifier: "autoescape",
}

STATEMENT_NAMES = (
    "for endfor if elif else endif set endset macro endmacro call endcall filter endfilter with endwith raw endraw"
).split()
"""What a template may spell after `{%`."""

MAX_BRANCHES = 200  # Python compiles them by recursion: 3,000 crash a thread with a 256 KiB stack
MAX_LITERAL_BITS = 1_024


def require_allowed(tree: nodes.Template, limits: RenderLimits) -> int:
    """Give the number of nodes; the offence that stands first in the template is the one told.

    Raises `TemplatePolicyError` for what no template may hold, `TemplateSyntaxError` for unknown filters and tests.
    """
    names: frozenset[str] | None = None
    count, line = 0, 1
    for count, (node, depth) in enumerate(_nodes(tree), start=1):
        line = getattr(node, "lineno", None) or line
        if depth > limits.nesting:
            raise _offence(line, f"nested more than {limits.nesting} deep")
        if count > limits.nodes:
            raise _offence(line, f"the template has more than {limits.nodes:,} syntax nodes")
        check = _CHECKS.get(type(node))
        if check is not None:
            check(node)
        elif type(node) is nodes.Call:
            names = _callable_names(tree) if names is None else names
            _require_callable(node, names)
    return count


def _nodes(tree: nodes.Template) -> Iterator[tuple[nodes.Node, int]]:
    """Give each node with its depth, in the template's order."""
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


def _offence(line: int, reason: str) -> TemplatePolicyError:
    return TemplatePolicyError(f"Line {line}: {reason}{'' if reason.endswith('?') else '.'}", line=line)


def _refuse_statement(node: Any) -> None:
    raise _offence(node.lineno, f"a template stands alone and is plain text, so it can't use {STATEMENTS[type(node)]}")


def _check_branches(node: nodes.If) -> None:
    if len(node.elif_) > MAX_BRANCHES:
        raise _offence(node.lineno, f"an if has more than {MAX_BRANCHES} elif branches")


def _check_name(node: nodes.Name) -> None:
    if node.name == "self":
        raise _offence(node.lineno, "self is not available in a template")
    _require_normal(node.name, node.lineno)


def _require_normal(name: str, line: int) -> None:
    """Python takes names of the same normal form for one, and Jinja compiles to Python."""
    if not name.isascii() and unicodedata.normalize("NFKC", name) != name:
        raise _offence(line, "a name is not in Unicode's normal form NFKC; write it in its plain letters")


def _check_macro(node: nodes.Macro) -> None:
    _require_normal(node.name, node.lineno)


def _check_reference(node: nodes.NSRef) -> None:
    _require_normal(node.name, node.lineno)


def _check_keyword(node: nodes.Keyword) -> None:
    _require_normal(node.key, node.lineno)


def _check_number(node: nodes.Const) -> None:
    if isinstance(node.value, int) and node.value.bit_length() > MAX_LITERAL_BITS:
        raise _offence(node.lineno, "a number has too many digits")
    if isinstance(node.value, float) and node.value - node.value != 0:
        raise _offence(node.lineno, "a number is too big")


def _check_attribute(node: nodes.Getattr) -> None:
    if node.attr.startswith("__"):
        raise _offence(node.lineno, f"{node.attr} can't be read; names that start with two underscores are Python's")


def _check_filter(node: nodes.Filter) -> None:
    if node.name not in FILTERS:
        if node.name in JINJA_FILTERS:
            raise _offence(node.lineno, f"the filter {node.name} is not allowed in a prompt")
        raise _unknown("filter", node, FILTERS)
    if node.name == "format":
        pattern = node.node.value if isinstance(node.node, nodes.Const) else None
        reason = "takes a literal text" if not isinstance(pattern, str) else format_offence(pattern)
        if reason:
            raise _offence(node.lineno, f"the filter format {reason}")


def _check_test(node: nodes.Test) -> None:
    if node.name not in TESTS:
        raise _unknown("test", node, TESTS)


def _unknown(kind: str, node: nodes.Filter | nodes.Test, known: Collection[str]) -> TemplateSyntaxError:
    meant = did_you_mean(node.name, sorted(known)) or "."
    return TemplateSyntaxError(f"Line {node.lineno}: there is no {kind} {node.name!r}{meant}", line=node.lineno)


def _check_remainder(node: nodes.Mod) -> None:
    if isinstance(node.left, nodes.Const) and isinstance(node.left.value, str):
        raise _offence(node.lineno, "% on text is not allowed; use the filter format")


def _require_callable(node: nodes.Call, names: frozenset[str]) -> None:
    """Where the text shows that a call can't be one that is allowed, the template is refused."""
    called = node.node
    if isinstance(called, nodes.Getattr):
        if called.attr not in METHOD_NAMES:
            meant = did_you_mean(called.attr, sorted(METHOD_NAMES))
            meant = "; use the filter format" if called.attr == "format" else meant
            raise _offence(node.lineno, f"the method {called.attr} can't be called in a template{meant}")
    elif not isinstance(called, nodes.Name):
        raise _offence(node.lineno, "only methods, macros, range, dict and namespace can be called")
    elif called.name not in names:
        raise _offence(node.lineno, f"{called.name} can't be called; only macros, range, dict and namespace can")


def _callable_names(tree: nodes.Template) -> frozenset[str]:
    """Give the names that may hold something to call: what the template binds, and the builtins."""
    bound = {"caller", "loop"}
    for node, _depth in _nodes(tree):
        if isinstance(node, nodes.Macro) or (isinstance(node, nodes.Name) and node.ctx != "load"):
            bound.add(node.name)
    return BUILTINS | bound


_CHECKS: dict[type[nodes.Node], Callable[[Any], None]] = {
    **dict.fromkeys(STATEMENTS, _refuse_statement),
    nodes.If: _check_branches,
    nodes.Name: _check_name,
    nodes.Macro: _check_macro,
    nodes.NSRef: _check_reference,
    nodes.Const: _check_number,
    nodes.Keyword: _check_keyword,
    nodes.Getattr: _check_attribute,
    nodes.Filter: _check_filter,
    nodes.Test: _check_test,
    nodes.Mod: _check_remainder,
}


def levels_made(node: nodes.Node) -> int:
    """Return by how many levels of containers an expression may be deeper than the values that it reads."""
    levels, waiting = 0, [node]
    while waiting:
        part = waiting.pop()
        if isinstance(part, nodes.Filter):
            levels += LEVELS.get(FILTERS[part.name].returns, 0)
        else:
            levels += _LEVELS.get(type(part), 0)
        waiting += part.iter_child_nodes()
    return levels


_LEVELS: dict[type[nodes.Node], int] = {nodes.List: 1, nodes.Tuple: 1, nodes.Dict: 2, nodes.Call: 7}
