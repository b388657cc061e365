"""What a template may contain: read from its syntax tree when it is saved, before any code is made of it."""

from collections.abc import Container

from jinja2 import nodes

from promptreg.errors import TemplatePolicyError, TemplateSyntaxError

MAX_NESTING = 50

REFUSED: dict[type[nodes.Node], str] = {
    nodes.Include: "include",
    nodes.Import: "import",
    nodes.FromImport: "from … import",
    nodes.Extends: "extends",
    nodes.Block: "block",
    nodes.ScopedEvalContextModifier: "autoescape",
}


def require_allowed(tree: nodes.Template, filters: Container[str], tests: Container[str]) -> None:
    """Raise `TemplatePolicyError` for what no template may hold, `TemplateSyntaxError` for unknown filters and tests.

    Templates stand alone (no include, import, extends or block) and are no HTML (no autoescape), nest at
    most 50 deep, because Jinja compiles by recursion, and can't read `self`, Jinja's handle on its internals.
    """
    waiting: list[tuple[nodes.Node, int]] = [(tree, 0)]
    while waiting:
        node, depth = waiting.pop()
        unknown = _unknown(node, filters, tests)
        if unknown:
            raise TemplateSyntaxError(f"Line {node.lineno}: {unknown}.", line=node.lineno)
        reason = _reason(node, depth)
        if reason:
            line = getattr(node, "lineno", None)
            raise TemplatePolicyError(f"Line {line}: {reason}.", line=line)
        waiting += [(child, depth + 1) for child in reversed(list(node.iter_child_nodes()))]


def _unknown(node: nodes.Node, filters: Container[str], tests: Container[str]) -> str | None:
    """Jinja itself finds these only when the render comes to them."""
    if isinstance(node, nodes.Filter) and node.name not in filters:
        return f"there is no filter {node.name}"
    if isinstance(node, nodes.Test) and node.name not in tests:
        return f"there is no test {node.name}"
    return None


def _reason(node: nodes.Node, depth: int) -> str | None:
    if type(node) in REFUSED:
        return f"a template stands alone and is plain text, so it can't use {REFUSED[type(node)]}"
    if isinstance(node, nodes.Name) and node.name == "self":
        return "self is not available in a template"
    if depth > MAX_NESTING:
        return f"nested more than {MAX_NESTING} deep"
    return None
