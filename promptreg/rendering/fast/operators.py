"""Code generation for names, what is read of values, and operators: each node becomes one Python expression.

The exact type of every value is checked before the value is used, so that no code of its class runs (except what
compares the keys of a dict that is read). Checks that look redundant are needed for that.
"""

from collections.abc import Callable
from math import isfinite
from typing import TypeAlias

from jinja2 import nodes

from promptreg.rendering.fast.costs import MOST_FUEL, Costs
from promptreg.rendering.fast.guards import MAX_NUMBER
from promptreg.rendering.fast.scope import Scope
from promptreg.rendering.fast.syntax import (
    UnsupportedSyntax,
    Visitor,
    is_loop,
    is_number,
    is_text,
)
from promptreg.rendering.filters import ANY, INTEGER, TEXT
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


class OperatorCompiler(Visitor):
    """Generates the code of names and operators; raises `UnsupportedSyntax` outside the subset."""

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
        """Return the code of builtin data or `ABSENT`, for a value that is tested, assigned or passed to a macro."""
        match node:
            case nodes.Name():
                with self._scope.conditional():
                    return self._guarded(self.code(node), "in TESTED")
            case nodes.Getattr(node=of, attr=key) | nodes.Getitem(node=of, arg=nodes.Const(value=str(key))):
                if self._scope.attribute(node) or (is_loop(of) and key in NEIGHBOURS):
                    return self._guarded(self.code(node), "in TESTED")
                if key not in DICT_NAMES and not is_loop(of):
                    return self._guarded(f"{self.exact_dict(of)}.get({key!r}, ABSENT)", "in TESTED")
            case nodes.Getitem() if not isinstance(node.arg, nodes.Slice | nodes.Const):
                return self._guarded(self.found_item(node), "in TESTED")
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

    def found_item(self, node: nodes.Getitem) -> str:
        """Return the code of an item, or of `ABSENT` where a dict has none of that key."""
        return f"find_item({self._costs.operation()}, {self.code(node.node)}, {self.code(node.arg)})"

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

    def _visit_mul(self, node: nodes.Mul) -> Code:  # of numbers, or of a text
        for text, times in ((node.left, node.right), (node.right, node.left)):
            if is_text(text):
                return f"repeated({self._costs.operation()}, {self.code(text)}, {self.code(times)})", TEXT
        return self._calculation(node)

    _visit_sub = _visit_div = _visit_floordiv = _visit_mod = _calculation

    def _number(self, node: Node) -> str:
        """Return the code of a number that is not too large to calculate with."""
        code, kind = self.typed(node)
        if is_number(node) or (kind == INTEGER and not isinstance(node, nodes.BinExpr)):
            return code
        local = code if code.isidentifier() else self._scope.temporary()
        value = code if code.isidentifier() else f"{local} := {code}"
        return f"({local} if type({value}) is int and -{MAX_NUMBER} < {local} < {MAX_NUMBER} else number({local}))"

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
        if len(node.ops) > 1:
            return self._chain(node), BOOLEAN
        left, operator, right = node.expr, node.ops[0].op, node.ops[0].expr
        if operator in COMPARISONS:
            has_short = _is_short_constant(left) or _is_short_constant(right)
            guard = self._scalar if has_short else self._short
            return f"({guard(left)} {COMPARISONS[operator]} {guard(right)})", BOOLEAN
        is_in = self._membership(left, right)
        return (is_in if operator == "in" else f"(not {is_in})"), BOOLEAN

    def _chain(self, node: nodes.Compare) -> str:
        """Return the code of `a < b < c`."""
        if not all(operand.op in COMPARISONS for operand in node.ops):
            raise UnsupportedSyntax
        compared = " ".join(f"{COMPARISONS[operand.op]} {self._short(operand.expr)}" for operand in node.ops)
        return f"({self._short(node.expr)} {compared})"

    def _membership(self, value: nodes.Expr, container: nodes.Expr) -> str:
        if isinstance(container, nodes.List | nodes.Tuple):
            is_once = not self._scope.loops and not self._scope.is_in_function
            guard = self._scalar if is_once else self._short
            self._costs.add(len(container.items))
            items = ", ".join(map(guard, container.items))
            return f"({self._short(value, MAX_NEEDLE)} in [{items}])"
        return f"contains({self._costs.operation()}, {self.code(value)}, {self.code(container)})"


def _is_short_constant(node: Node) -> bool:
    """Return whether a node is a short literal, with which a comparison costs next to nothing."""
    return isinstance(node, nodes.Const) and len(str(node.value)) < COMPARED_A_UNIT
