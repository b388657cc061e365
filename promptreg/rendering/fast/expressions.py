"""Code generation for expressions: tests, filters, and calls of methods and macros; the others in `operators.py`."""

from typing import Any

from jinja2 import nodes

from promptreg.rendering.fast import guards, operations
from promptreg.rendering.fast.operations import METHODS
from promptreg.rendering.fast.operators import BOOLEAN, NEIGHBOURS, Code, Node, OperatorCompiler
from promptreg.rendering.fast.scope import Macro
from promptreg.rendering.fast.syntax import (
    UnsupportedSyntax,
    as_comparison,
    is_loop,
    macro_arguments,
    mapped_attribute,
    positional_arguments,
    require_plain_call,
    selection,
)
from promptreg.rendering.filters import ANY, FILTERS, INLINE, LIST, TESTS, TEXT
from promptreg.rendering.values import DICT_NAMES

GLOBALS: dict[str, Any] = {
    **vars(guards),
    **vars(operations),
    **{f"call_{name}": function for name, (function, _) in METHODS.items()},
    **{f"filter_{name}": row.fast for name, row in FILTERS.items()},
    **{f"test_{name}": row.fast for name, row in TESTS.items()},
}
"""What generated code may name: the guards, the operations, and each method, filter and test by its name."""


LAZY = frozenset({"map", "reverse", "selectattr", "rejectattr"})  # what returns an iterator in Jinja
ITERATING = frozenset({"first", "join", "list"})  # what goes through one


class ExpressionCompiler(OperatorCompiler):
    """Generates the code of expressions, and counts their costs; raises `UnsupportedSyntax` outside the subset."""

    # Tests, filters and methods

    def _visit_test(self, node: nodes.Test) -> Code:
        require_plain_call(node)
        function = TESTS[node.name].fast
        comparison = as_comparison(node)
        if comparison is not None:
            return self._visit_compare(comparison)
        if node.args or function is None:
            raise UnsupportedSyntax
        if node.name in {"defined", "undefined"}:
            return f"({'' if node.name == 'defined' else 'not '}{self._is_defined(node.node)})", BOOLEAN
        if function is INLINE:  # and an argument is missing
            raise UnsupportedSyntax
        operand = self.or_absent if TESTS[node.name].takes_absent else self.plain
        return f"test_{node.name}({operand(node.node)})", BOOLEAN

    def _is_defined(self, node: Node) -> str:
        with self._scope.conditional():
            value, is_there = self._value_if_there(node)
            return f"({is_there} and (True if type({value}) in PLAIN else bail_out()))"

    def _visit_filter(self, node: nodes.Filter) -> Code:
        arguments, row = positional_arguments(node), FILTERS[node.name]
        if row.fast is None or len(arguments) not in row.arguments:
            raise UnsupportedSyntax
        if row.fast is INLINE:
            return self._default(node.node, arguments)
        operands = [self._costs.operation()] if row.returns in {TEXT, LIST} else []
        operands += [(self.iterated if node.name in ITERATING else self.code)(node.node), *map(self.code, arguments)]
        return f"filter_{node.name}({', '.join(operands)})", ANY if row.returns is LIST else row.returns

    def iterated(self, node: Node, depth: int = 2) -> str:
        """Return the code of what is gone through once: also what a filter returns as an iterator, here as a list.

        `depth` is how deep the metered tier nests calls for it.
        """
        if not isinstance(node, nodes.Filter) or node.name not in LAZY:
            return self.code(node)
        self._costs.nest_calls(depth)
        most, items = self._costs.operation(), self.iterated(node.node, depth + 1)
        if node.name == "map":
            return f"column({most}, {items}, {mapped_attribute(node)!r})"
        if node.name == "reverse":
            require_plain_call(node)
            return f"small_sequence({most}, {items})[::-1]"
        key, other = selection(node)
        is_wanted = node.name == "selectattr"
        if other is None:
            return f"with_truth({most}, {items}, {key!r}, {is_wanted})"
        return f"with_value({most}, {items}, {key!r}, {self._short(other)}, {is_wanted})"

    def _default(self, subject: Node, arguments: list[nodes.Expr]) -> Code:
        """Return the code of `default`: the other value is evaluated first, as in Jinja; no part is written twice."""
        if arguments[1:] and not _is_true(arguments[1]):
            raise UnsupportedSyntax
        other = self.plain(arguments[0]) if arguments else "''"
        with self._scope.conditional():
            value, is_used = self._value_if_there(subject)
        if arguments[1:]:  # also replaces what is false
            found = self._scope.temporary()
            is_used += f" and ({found} if type({found} := {value}) in PLAIN else bail_out())"
            value = found
        if not arguments or isinstance(arguments[0], nodes.Const):
            return f"({value} if {is_used} else {other})", ANY
        local = self._scope.temporary()
        return f"({local} := {other}, {value} if {is_used} else {local})[1]", ANY

    def _value_if_there(self, node: Any) -> Code:
        """Return the code of a value, and that of the test that it is there, which must run first."""
        match node:
            case nodes.Name():
                local = self._scope.read(node.name)
                return local, f"({local} is not ABSENT)"
            case nodes.Getattr() if attribute := self._scope.attribute(node):
                return attribute, f"({attribute} is not ABSENT)"
            case nodes.Getattr(attr=key) if is_loop(node.node) and key in NEIGHBOURS:
                local = self._scope.temporary()
                return local, f"(({local} := {self.code(node)}) is not ABSENT)"
            case nodes.Getattr(attr=key) | nodes.Getitem(arg=nodes.Const(value=str(key))):
                if key in DICT_NAMES or is_loop(node.node):
                    raise UnsupportedSyntax
                local = self._scope.temporary()
                return f"{local}[{key!r}]", f"({key!r} in ({local} := {self.exact_dict(node.node)}))"
            case nodes.Getattr():
                raise UnsupportedSyntax
            case nodes.Getitem() if not isinstance(node.arg, nodes.Slice | nodes.Const):
                local = self._scope.temporary()
                return local, f"(({local} := {self.found_item(node)}) is not ABSENT)"
        local = self._scope.temporary()  # anything else is there, or it bails out
        return local, f"(({local} := {self.plain(node)}) is not ABSENT)"

    def _visit_call(self, node: nodes.Call) -> Code:
        if isinstance(node.node, nodes.Name) and node.node.name in self._scope.macros:
            return self._macro_call(self._scope.macros[node.node.name], node)
        if isinstance(node.node, nodes.ExtensionAttribute) and node.node.name != "zip":
            return "bail_out()", TEXT  # the metered tier raises what `raise_exception` does
        require_plain_call(node)
        method = node.node
        if not isinstance(method, nodes.Getattr) or len(node.args) not in METHODS.get(method.attr, (None, ()))[1]:
            raise UnsupportedSyntax
        operands = [self.code(method.node), *map(self.plain, node.args)]
        return f"call_{method.attr}({self._costs.operation()}, {', '.join(operands)})", ANY

    def _macro_call(self, macro: Macro, node: nodes.Call) -> Code:
        passed = macro_arguments(node, macro.parameters)
        arguments = [f"{macro.parameters[name]}={self.or_absent(value)}" for name, value in passed.items()]
        return f"{macro.local}({', '.join([self._costs.call(macro.cost, macro.calls), *arguments])})", TEXT


def _is_true(node: nodes.Expr) -> bool:
    return isinstance(node, nodes.Const) and node.value is True
