"""Code generation for expressions: each syntax node becomes one Python expression.

The exact type of every value is checked before the value is used, so that no code of its class runs (except what
compares the keys of a dict that is read). Checks that look redundant are needed for that.
"""

from collections.abc import Callable
from math import isfinite
from typing import Any, TypeAlias

from jinja2 import nodes

from promptreg.rendering.fast import guards, operations
from promptreg.rendering.fast.costs import MOST_FUEL, Costs
from promptreg.rendering.fast.operations import METHODS
from promptreg.rendering.fast.scope import Macro, Scope
from promptreg.rendering.fast.syntax import (
    UnsupportedSyntax,
    Visitor,
    is_loop,
    is_number,
    is_text,
    macro_arguments,
    mapped_attribute,
    positional_arguments,
    require_plain_call,
)
from promptreg.rendering.filters import ANY, FILTERS, INLINE, INTEGER, TESTS, TEXT
from promptreg.rendering.limits import COMPARED_A_UNIT, MAX_NEEDLE
from promptreg.rendering.values import DICT_NAMES

BOOLEAN = "boolean"

Code: TypeAlias = tuple[str, str]
"""A Python expression and the kind of its value: `BOOLEAN`, or of `filters.py` `TEXT`, `INTEGER` or `ANY`.

`ANY` may be anything, even absent, and must be checked.
"""

Node: TypeAlias = nodes.Node | None
Guard: TypeAlias = Callable[[Node], str]

LOOP_PARTS = {
    "index": "({i} + 1)",
    "index0": "{i}",
    "first": "({i} == 0)",
    "last": "({i} == {n} - 1)",
    "length": "{n}",
    "revindex": "({n} - {i})",
    "revindex0": "({n} - {i} - 1)",
    "depth": "1",
    "depth0": "0",
}
NEIGHBOURS = {"previtem": "neighbour({s}, {i} - 1)", "nextitem": "neighbour({s}, {i} + 1)"}
ARITHMETIC: dict[type[nodes.BinExpr], str] = {
    nodes.Sub: "-",
    nodes.Mul: "*",
    nodes.Div: "/",
    nodes.FloorDiv: "//",
    nodes.Mod: "%",
}
MAX_KEY = 32  # characters of a literal key, which cost next to nothing
MAX_COMPARED = 1_500  # characters of a text that is compared with another that is no short literal
COMPARISONS = {"eq": "==", "ne": "!=", "lt": "<", "lteq": "<=", "gt": ">", "gteq": ">="}

GLOBALS: dict[str, Any] = {
    **vars(guards),
    **vars(operations),
    **{f"call_{name}": function for name, (function, _) in METHODS.items()},
    **{f"filter_{name}": row.fast for name, row in FILTERS.items()},
    **{f"test_{name}": row.fast for name, row in TESTS.items()},
}
"""What generated code may name: the guards, the operations, and each method, filter and test by its name."""


class ExpressionCompiler(Visitor):
    """Generates the code of expressions, and counts their costs; raises `UnsupportedSyntax` outside the subset."""

    def __init__(self, scope: Scope, costs: Costs) -> None:
        self._scope = scope
        self._costs = costs

    def typed(self, node: Node) -> Code:
        """Return the code of an expression and its kind."""
        code: Code = self.visit(node)
        return code

    def code(self, node: Node) -> str:
        """Return the code of an expression, whatever its value may be."""
        return self.typed(node)[0]

    # Guards: code that bails out on values of other types

    def _guarded(self, code: str, condition: str) -> str:
        if code.isidentifier():
            return f"({code} if type({code}) {condition} else bail_out())"
        local = self._scope.temporary()
        return f"({local} if type({local} := {code}) {condition} else bail_out())"

    def _guarded_any(self, node: Node, types: str) -> str:
        code, kind = self.typed(node)
        return code if kind is not ANY or isinstance(node, nodes.Const) else self._guarded(code, f"in {types}")

    def exact_dict(self, node: Node) -> str:
        """Return the code of an exact dict; its item is `d.k` where `k` is no method's name, and `d['k']`."""
        code = self.code(node)
        return code if code in self._scope.dicts else self._guarded(code, "is dict")

    def plain(self, node: Node) -> str:
        """Return the code of a value that is passed on or tested for truth: builtin data, and not absent."""
        return self._guarded_any(node, "PLAIN")

    def truth(self, node: Node) -> str:
        """Return the code of a value whose truth is tested; what is absent is false."""
        if isinstance(node, nodes.And | nodes.Or):
            return self._junction(node, self.truth, self.truth)
        return self.or_absent(node)

    def or_absent(self, node: Node) -> str:
        """Return the code of builtin data, or of `ABSENT`, for a value that is tested, assigned or passed to a macro."""
        match node:
            case nodes.Name():
                with self._scope.conditional():
                    return self._guarded(self.code(node), "in TESTED")
            case nodes.Getattr(node=of, attr=key) | nodes.Getitem(node=of, arg=nodes.Const(value=str(key))):
                if self._scope.attribute(node) or (is_loop(of) and key in NEIGHBOURS):
                    return self._guarded(self.code(node), "in TESTED")
                if key not in DICT_NAMES and not is_loop(of):
                    return self._guarded(f"{self.exact_dict(of)}.get({key!r}, ABSENT)", "in TESTED")
        return self.plain(node)

    def _scalar(self, node: Node) -> str:
        """Return the code of a scalar; comparing two takes a time that the length of the shorter one bounds."""
        return self._guarded_any(node, "SCALARS")

    def _short(self, node: Node, most: int = MAX_COMPARED) -> str:
        """Return the code of a scalar that is no long text, as two long ones are not compared here."""
        self._costs.add(MOST_FUEL)
        return self.code(node) if _is_short_constant(node) else f"short_scalar({most}, {self.code(node)})"

    # Names and what is read of values

    def _visit_const(self, node: nodes.Const) -> Code:
        value = node.value
        if type(value) is str:
            return repr(value), TEXT
        if value is None or type(value) in {bool, int} or (type(value) is float and isfinite(value)):
            return repr(value), ANY
        raise UnsupportedSyntax

    def _visit_neg(self, node: nodes.Neg) -> Code:
        if isinstance(node.node, nodes.Const) and type(node.node.value) is int:
            return repr(-node.node.value), INTEGER if is_number(node.node) else ANY
        return f"(-{self._number(node.node)})", INTEGER

    def _visit_name(self, node: nodes.Name) -> Code:
        return self._scope.read(node.name), ANY

    def _visit_getattr(self, node: nodes.Getattr) -> Code:
        attribute = self._scope.attribute(node)
        if attribute is not None:
            return attribute, ANY
        if is_loop(node.node):
            return self._loop_part(node.attr)
        if node.attr in DICT_NAMES:
            raise UnsupportedSyntax
        return f"{self.exact_dict(node.node)}[{node.attr!r}]", ANY

    def _loop_part(self, attribute: str) -> Code:
        if not self._scope.loops:
            raise UnsupportedSyntax
        loop = self._scope.loops[-1]
        if attribute in NEIGHBOURS:
            return NEIGHBOURS[attribute].format(s=loop.sequence, i=loop.position), ANY
        if attribute not in LOOP_PARTS:
            raise UnsupportedSyntax
        kind = BOOLEAN if attribute in {"first", "last"} else INTEGER
        return LOOP_PARTS[attribute].format(i=loop.position, n=loop.length), kind

    def _visit_getitem(self, node: nodes.Getitem) -> Code:
        match node.arg:
            case nodes.Const(value=str(key)):
                return f"{self.exact_dict(node.node)}[{key!r}]", ANY
            case nodes.Slice(start=start, stop=stop, step=step):
                bounds = ", ".join(map(self._bound, (start, stop, step)))
                return f"get_slice({self._costs.operation()}, {self.code(node.node)}, {bounds})", ANY
        most = "0" if isinstance(node.arg, nodes.Const) else self._costs.operation()
        return f"get_item({most}, {self.code(node.node)}, {self.code(node.arg)})", ANY

    def _bound(self, node: Node) -> str:
        """Return the code of a slice's bound."""
        return "None" if node is None else self._number(node)

    # Operators

    def _visit_condexpr(self, node: nodes.CondExpr) -> Code:
        if node.expr2 is None:
            raise UnsupportedSyntax
        test = self.truth(node.test)
        with self._scope.conditional():
            return f"({self.plain(node.expr1)} if {test} else {self.plain(node.expr2)})", ANY

    def _visit_and(self, node: nodes.And) -> Code:
        return self._junction(node, self.plain, self.plain), ANY

    def _visit_or(self, node: nodes.Or) -> Code:
        return self._junction(node, self.truth, self.plain), ANY

    def _junction(self, node: nodes.And | nodes.Or, first: Guard, second: Guard) -> str:
        left = first(node.left)
        with self._scope.conditional():
            return f"({left} {'and' if isinstance(node, nodes.And) else 'or'} {second(node.right)})"

    def _visit_not(self, node: nodes.Not) -> Code:
        return f"(not {self.truth(node.node)})", BOOLEAN

    def _visit_concat(self, node: nodes.Concat) -> Code:
        return f"concat({self._costs.operation()}, {', '.join(map(self.code, node.nodes))})", TEXT

    def _visit_add(self, node: nodes.Add) -> Code:  # of numbers, of texts or of lists
        if is_number(node.left) or is_number(node.right):
            return self._calculation(node, "+")
        kind = TEXT if is_text(node) else ANY
        return f"add({self._costs.operation()}, {self.code(node.left)}, {self.code(node.right)})", kind

    def _calculation(self, node: nodes.BinExpr, operator: str | None = None) -> Code:
        operator = operator or ARITHMETIC[type(node)]
        return f"({self._number(node.left)} {operator} {self._number(node.right)})", INTEGER

    _visit_sub = _visit_mul = _visit_div = _visit_floordiv = _visit_mod = _calculation

    def _number(self, node: Node) -> str:
        """Return the code of a number that is not too large to calculate with."""
        code, kind = self.typed(node)
        is_small = is_number(node) or (kind == INTEGER and not isinstance(node, nodes.BinExpr))
        return code if is_small else f"number({code})"

    def _visit_list(self, node: nodes.List) -> Code:
        return f"[{', '.join(map(self.plain, node.items))}]", ANY

    def _visit_tuple(self, node: nodes.Tuple) -> Code:
        return f"({''.join(f'{self.plain(item)}, ' for item in node.items)})", ANY

    def _visit_dict(self, node: nodes.Dict) -> Code:
        pairs = [f"{self._key(pair.key)}: {self.plain(pair.value)}" for pair in node.items]
        return f"{{{', '.join(pairs)}}}", ANY

    def _key(self, node: nodes.Expr) -> str:
        if isinstance(node, nodes.Const) and type(node.value) is str and len(node.value) <= MAX_KEY:
            return repr(node.value)
        raise UnsupportedSyntax

    def _visit_compare(self, node: nodes.Compare) -> Code:
        if len(node.ops) != 1:
            raise UnsupportedSyntax
        left, operator, right = node.expr, node.ops[0].op, node.ops[0].expr
        if operator in COMPARISONS:
            has_short = _is_short_constant(left) or _is_short_constant(right)
            guard = self._scalar if has_short else self._short
            return f"({guard(left)} {COMPARISONS[operator]} {guard(right)})", BOOLEAN
        is_in = self._membership(left, right)
        return (is_in if operator == "in" else f"(not {is_in})"), BOOLEAN

    def _membership(self, value: nodes.Expr, container: nodes.Expr) -> str:
        if isinstance(container, nodes.List | nodes.Tuple):
            guard = self._short if self._scope.loops else self._scalar
            self._costs.add(len(container.items))
            items = ", ".join(map(guard, container.items))
            return f"({self._short(value, MAX_NEEDLE)} in [{items}])"
        return f"contains({self._costs.operation()}, {self.code(value)}, {self.code(container)})"

    # Tests, filters and methods

    def _visit_test(self, node: nodes.Test) -> Code:
        require_plain_call(node)
        function = TESTS[node.name].fast
        if node.args or function is None:
            raise UnsupportedSyntax
        if function is INLINE:
            return f"({'' if node.name == 'defined' else 'not '}{self._is_defined(node.node)})", BOOLEAN
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
        operands = [self._costs.operation()] if row.returns is TEXT else []
        operands += [self._joined(node.node) if node.name == "join" else self.code(node.node)]
        return f"filter_{node.name}({', '.join([*operands, *map(self.code, arguments)])})", row.returns

    def _joined(self, node: Node) -> str:
        """Return the code of what `join` takes: anything, or an attribute of each item."""
        if not isinstance(node, nodes.Filter) or node.name != "map":
            return self.code(node)
        attribute = mapped_attribute(node)
        return f"column({self._costs.operation()}, {self.code(node.node)}, {attribute!r})"

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
        raise UnsupportedSyntax

    def _visit_call(self, node: nodes.Call) -> Code:
        if isinstance(node.node, nodes.Name) and node.node.name in self._scope.macros:
            return self._macro_call(self._scope.macros[node.node.name], node)
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


def _is_short_constant(node: Node) -> bool:
    """Return whether a node is a short literal, with which a comparison costs next to nothing."""
    return isinstance(node, nodes.Const) and len(str(node.value)) < COMPARED_A_UNIT


def _is_true(node: nodes.Expr) -> bool:
    return isinstance(node, nodes.Const) and node.value is True
