"""What a template may contain: read from its syntax tree when it is saved, before any code is made of it."""

from jinja2 import nodes

from promptreg.errors import TemplatePolicyError

MAX_NESTING = 50

REFUSED: dict[type[nodes.Node], str] = {
    nodes.Include: "include",
    nodes.Import: "import",
    nodes.FromImport: "from … import",
    nodes.Extends: "extends",
    nodes.Block: "block",
}


def require_allowed(tree: nodes.Template) -> None:
    """Raise `TemplatePolicyError` for the first thing in the template that no template may hold.

    Templates stand alone (no include, import, extends or block), nest at most 50 deep, because Jinja
    compiles by recursion, and can't read `self`, which is Jinja's handle on its own internals.
    """
    waiting: list[tuple[nodes.Node, int]] = [(tree, 0)]
    while waiting:
        node, depth = waiting.pop()
        reason = _reason(node, depth)
        if reason:
            line = getattr(node, "lineno", None)
            raise TemplatePolicyError(f"Line {line}: {reason}.", line=line)
        waiting += [(child, depth + 1) for child in node.iter_child_nodes()]


def _reason(node: nodes.Node, depth: int) -> str | None:
    if type(node) in REFUSED:
        return f"a template stands alone, so it can't use {REFUSED[type(node)]}"
    if isinstance(node, nodes.Name) and node.name == "self":
        return "self is not available in a template"
    if depth > MAX_NESTING:
        return f"nested more than {MAX_NESTING} deep"
    return None
