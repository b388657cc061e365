"""The code generator of the metered tier: a subclass of Jinja's, which writes each step that may cost much as a call.

Scopes, macros and loops mean what they mean in Jinja. Reads call `values.py`; methods, filters, tests and operators
call functions that measure their operands. Each pass of a loop and each call of a macro first pays for the nodes of
its body. `compiler.py` runs the code.
"""

from collections.abc import Callable
from io import StringIO
from typing import Any

from jinja2 import Environment, nodes

from promptreg.rendering.compat import CodeGenerator, Frame
from promptreg.rendering.filters import FILTERS, LEVELS
from promptreg.rendering.limits import body_cost

SMALL = 2**63  # integers under it need no measuring: what arithmetic makes of two has at most 126 bits

_ARITHMETIC = {"+": "add", "-": "subtract", "*": "multiply", "/": "divide", "//": "floor_divide", "%": "remainder"}
_COMPARISONS = {"in": "contains", "notin": "not_contains", "lteq": "le", "gteq": "ge"}


def _arithmetic(operator: str) -> Callable[..., None]:
    def visit(self: "_Generator", node: nodes.BinExpr, frame: Frame) -> None:
        self.arithmetic(operator, node, frame)

    return visit


class _Generator(CodeGenerator):
    """Writes a template as the function `root(context)`, which yields pieces of text."""

    _printed = ""

    def call(self, opening: str, *operands: nodes.Node, frame: Frame) -> None:
        """Write a call: what opens it, and the operands."""
        self.write(opening)
        for operand in operands:
            self.visit(operand, frame)
            self.write(", ")
        self.write(")")

    def arithmetic(self, operator: str, node: nodes.BinExpr, frame: Frame) -> None:
        """Write an operation in place for two exact integers that are small, and else as a call."""
        left, right = self.temporary_identifier(), self.temporary_identifier()
        self.write(f"({left} {operator} {right} if (type({left} := ")
        self.visit(node.left, frame)
        self.write(f") is int) & (type({right} := ")
        self.visit(node.right, frame)
        self.write(f") is int) and -{SMALL} < {left} < {SMALL} and -{SMALL} < {right} < {SMALL}")
        self.write(f" else op_{_ARITHMETIC[operator]}(context, {left}, {right}))")

    def visit_Template(self, node: nodes.Template, frame: Frame | None = None) -> None:
        """Write the one function of a template that stands alone."""
        frame = Frame(nodes.EvalContext(self.environment))
        frame.symbols.analyze_node(node)
        frame.toplevel = frame.rootlevel = True
        frame.require_output_check = False
        self.writeline("def root(context):")
        self.indent()
        self.writeline("resolve, text, concat = context.resolve_or_missing, context.text, context.joined")
        self.writeline("if 0: yield None")
        self.enter_frame(frame)
        self.blockvisit(node.body, frame)

    def before_printed(self) -> None:
        self._printed = self.temporary_identifier()
        self.write(f"({self._printed} if type({self._printed} := ")

    def after_printed(self) -> None:
        self.write(f") is str else str({self._printed}) if type({self._printed}) is int else text({self._printed}))")

    def visit_For(self, node: nodes.For, frame: Frame) -> None:
        node.body.insert(0, _payment(body_cost(node.body) + 2, node))
        node.iter = _internal("each item" if node.test is None else "counted items", node.iter)
        super().visit_For(node, frame)

    def macro_body(self, node: Any, frame: Frame) -> Any:
        node.body.insert(0, _payment(body_cost(node.body) + 2, node))
        return super().macro_body(node, frame)

    def visit_Assign(self, node: nodes.Assign, frame: Frame) -> None:
        levels = _levels_made(node.node) if node.find(nodes.NSRef) else 0
        if levels:
            node.node = _internal("nested", node.node, nodes.Const(levels))
        super().visit_Assign(node, frame)

    def visit_AssignBlock(self, node: nodes.AssignBlock, frame: Frame) -> None:
        """Write the check that the target is a namespace, which Jinja writes only for plain assignments."""
        if isinstance(node.target, nodes.NSRef):
            self.writeline(f"if not isinstance({frame.symbols.ref(node.target.name)}, Namespace):")
            self.indent()
            self.writeline('raise TemplateRuntimeError("cannot assign attribute on non-namespace object")')
            self.outdent()
        super().visit_AssignBlock(node, frame)

    def visit_ExprStmt(self, node: nodes.ExprStmt, frame: Frame) -> None:
        """Write a payment as `Meter.spend` makes it; templates have no such statement themselves."""
        self.writeline(f"context.tank -= {node.node.value}")  # type: ignore[attr-defined]
        self.writeline("if context.tank < 0: context.refill()")

    def visit_Getattr(self, node: nodes.Getattr, frame: Frame) -> None:
        self.write("read_attribute(")
        self.visit(node.node, frame)
        self.write(f", {node.attr!r})")

    def visit_Getitem(self, node: nodes.Getitem, frame: Frame) -> None:
        if isinstance(node.arg, nodes.Slice):
            self.write("op_slice(context, ")
            self.visit(node.node, frame)
            parts = (node.arg.start, node.arg.stop, node.arg.step)
            self.call(", slice(", *(part or nodes.Const(None) for part in parts), frame=frame)
            self.write(")")
        else:
            is_spelled = isinstance(node.arg, nodes.Const)
            self.call("read_item(" if is_spelled else "op_item(context, ", node.node, node.arg, frame=frame)

    def visit_Dict(self, node: nodes.Dict, frame: Frame) -> None:
        self.write("{")
        for pair in node.items:
            self.call("context.weigh(", pair.key, frame=frame)
            self.write(": ")
            self.visit(pair.value, frame)
            self.write(", ")
        self.write("}")

    visit_Add = _arithmetic("+")
    visit_Sub = _arithmetic("-")
    visit_Mul = _arithmetic("*")
    visit_Div = _arithmetic("/")
    visit_FloorDiv = _arithmetic("//")
    visit_Mod = _arithmetic("%")

    def visit_Pow(self, node: Any, frame: Frame) -> None:
        self.call("op_power(context, ", node.left, node.right, frame=frame)

    def visit_Concat(self, node: nodes.Concat, frame: Frame) -> None:
        self.call("context.concat((", *node.nodes, frame=frame)
        self.write(")")

    def visit_Compare(self, node: nodes.Compare, frame: Frame) -> None:
        """Write `a < b < c` as `a < b and b < c`, reading b once."""
        self.write("(")
        left = ""
        for i, operand in enumerate(node.ops):
            is_last = i == len(node.ops) - 1
            self.write(f"op_{_COMPARISONS.get(operand.op, operand.op)}(context, ")
            if left:
                self.write(left)
            else:
                self.visit(node.expr, frame)
            self.write(", ")
            left = self.temporary_identifier()
            self.write("" if is_last else f"({left} := ")
            self.visit(operand.expr, frame)
            self.write(")" if is_last else ")) and ")
        self.write(")")

    def visit_Filter(self, node: nodes.Filter, frame: Frame) -> None:
        self.write(_INTERNAL.get(node.name) or f"filter_{node.name}(context, ")
        if node.node is not None:
            self.visit(node.node, frame)
        else:
            self.write(f"concat({frame.buffer})")
        self.signature(_bounded(node), frame)
        self.write(")")

    def visit_Test(self, node: nodes.Test, frame: Frame) -> None:
        self.write(f"test_{node.name}(context, ")
        self.visit(node.node, frame)
        self.signature(_bounded(node), frame)
        self.write(")")

    def visit_Call(self, node: nodes.Call, frame: Frame, forward_caller: bool = False) -> None:
        if isinstance(node.node, nodes.Getattr):
            self.write("call_method(context, ")
            self.visit(node.node.node, frame)
            self.write(f", {node.node.attr!r}")
        else:
            self.write("call(context, ")
            self.visit(node.node, frame)
        self.signature(_bounded(node), frame, {"caller": "caller"} if forward_caller else None)
        self.write(")")

    def visit_ExtensionAttribute(self, node: nodes.ExtensionAttribute, frame: Frame) -> None:
        """Write the name of a function that `parsing.py` found to be called."""
        self.write(f"function_{node.name}")


_INTERNAL = {
    "each item": "context.each(",
    "counted items": "context.counted(",
    "unpacked items": "context.as_list(",
    "unpacked pairs": "context.pairs(",
    "nested": "context.nested(",
}
"""Filters that no template can spell, for steps of the meter."""


def _internal(name: str, node: Any, *args: nodes.Expr) -> nodes.Filter:
    return nodes.Filter(node, name, list(args), [], None, None, lineno=node.lineno)


def _payment(cost: int, node: nodes.Node) -> nodes.ExprStmt:
    return nodes.ExprStmt(nodes.Const(cost), lineno=node.lineno)


_LEVELS: dict[type[nodes.Node], int] = {nodes.List: 1, nodes.Tuple: 1, nodes.Dict: 2, nodes.Call: 7}


def _levels_made(node: nodes.Node) -> int:
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


def _bounded(node: Any) -> Any:
    """Unpack `*items` and `**pairs` through the meter."""
    if node.dyn_args is not None:
        node.dyn_args = _internal("unpacked items", node.dyn_args)
    if node.dyn_kwargs is not None:
        node.dyn_kwargs = _internal("unpacked pairs", node.dyn_kwargs)
    return node


def generate(tree: nodes.Template, environment: Environment) -> tuple[str, list[tuple[int, int]]]:
    """Return the Python source of a template, and pairs of a line of the template and the line written for it.

    Changes the tree.
    """
    source = StringIO()
    generator = _Generator(environment, None, None, source, optimized=False)
    generator.visit(tree)
    return source.getvalue(), generator.debug_info
