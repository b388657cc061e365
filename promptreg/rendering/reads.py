"""Which variables a template reads, and whether it can do without them (rules 20 and 21).

A read is guarded where an absent variable is no error: where its truth is tested (`{% if x %}`, `x or …`, `not x`), in
`x | default(…)`, in tests that take what is absent (`x is defined`, `x is string`), and wherever such a test has shown
that the variable is there (`{% if x %}{{ x }}{% endif %}`). Names that the template binds itself (loops, `set`, `with`,
macros) are not variables. Nothing is rendered here, and no value read.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from typing import Any

from jinja2 import nodes

from promptreg.rendering.filters import FILTERS, TESTS

DEFAULT_FILTERS = frozenset(name for name, row in FILTERS.items() if row.takes_absent)
MACRO_NAMES = frozenset({"caller", "varargs", "kwargs"})
ABSENT_TESTS = frozenset(name for name, row in TESTS.items() if row.takes_absent)
FALSE_OF_ABSENT = ABSENT_TESTS - {"undefined", "callable", "sameas"}
"""Tests that are false of an absent variable, so that where one is true the variable is there."""
STRICT_TESTS = TESTS.keys() - ABSENT_TESTS - {"in"}
"""Tests that fail on what is absent, whatever else they are given; `is in` is false of an empty container."""


class Reads:
    """The variables that a template reads: `needed` maps each to whether any read of it is unguarded."""

    def __init__(self, builtins: frozenset[str]) -> None:
        self.builtins = builtins
        self.needed: dict[str, bool] = {}

    def record(self, name: str, bound: frozenset[str], present: frozenset[str]) -> None:
        """Record a read of a name; `bound` are names that the template binds, `present` variables tested before."""
        if name not in bound and name not in self.builtins:
            self.needed[name] = self.needed.get(name, False) or name not in present


def shown_present(test: nodes.Node, outcome: bool) -> frozenset[str]:
    """Return the variables that are certainly present if the test has this outcome."""
    match test:
        case nodes.Name(name=name) if outcome:
            return frozenset({name})
        case nodes.Test(node=nodes.Name(name=name), name=kind) if outcome and kind in FALSE_OF_ABSENT:
            return frozenset({name})
        case nodes.Test(node=nodes.Name(name=name), name="undefined") if not outcome:
            return frozenset({name})
        case nodes.Filter(node=nodes.Name(name=name)) if outcome and _is_false_of_absent(test):
            return frozenset({name})
        case nodes.Not():
            return shown_present(test.node, not outcome)
        case nodes.And() | nodes.Or():
            left, right = shown_present(test.left, outcome), shown_present(test.right, outcome)
            return left | right if isinstance(test, nodes.And) == outcome else left & right
    return frozenset()


def _is_false_of_absent(node: nodes.Filter) -> bool:
    """Return whether a filter is `default` with a literal that is false, such as `default('')`."""
    is_plain = not (node.kwargs or node.dyn_args or node.dyn_kwargs)
    return node.name in DEFAULT_FILTERS and is_plain and _is_false_literal([*node.args, nodes.Const("")][0])


def _is_false_literal(node: nodes.Node) -> bool:
    match node:
        case nodes.Const(value=value):
            return not value
        case nodes.List(items=items) | nodes.Tuple(items=items) | nodes.Dict(items=items):
            return not items
    return False


def variables_read(tree: nodes.Template, builtins: Iterable[str]) -> dict[str, bool]:
    """Return the variables that the template reads, in order of the first read, and whether each is needed.

    >>> from jinja2 import Environment
    >>> variables_read(Environment().parse("{{ a }} {{ b | default('') }} {{ range(3) }}"), {"range"})
    {'a': True, 'b': False}
    >>> variables_read(Environment().parse("{% if a %}{{ a }}{% endif %}{% if b.c %}{% endif %}"), ())
    {'a': False, 'b': True}
    """
    reads = Reads(frozenset(builtins))
    _body(tree.body, reads, frozenset(), frozenset())
    return reads.needed


def _body(body: Iterable[nodes.Node], reads: Reads, bound: frozenset[str], present: frozenset[str]) -> frozenset[str]:
    """Visit statements in order; return the names that are bound after the last one.

    A macro reads variables when it is called, so these may be bound after its definition.
    """
    macros: list[nodes.Macro] = []
    for node in body:
        if isinstance(node, nodes.Macro):
            macros.append(node)
            bound |= {node.name}
        else:
            bound = _visit(node, reads, bound, present)
    for macro in macros:
        _callable(macro, reads, bound, present)
    return bound


def _visit(  # noqa: PLR0912 - one case a kind of node
    node: nodes.Node, reads: Reads, bound: frozenset[str], present: frozenset[str]
) -> frozenset[str]:
    """Visit one node; return the names bound after it."""
    match node:
        case nodes.Name():
            reads.record(node.name, bound, present)
        case nodes.Filter(node=nodes.Node() as subject, name=name) if name in DEFAULT_FILTERS:
            _guarded(subject, reads, bound, present)
            _body(node.iter_child_nodes(exclude=("node",)), reads, bound, present)
        case nodes.Test(node=subject, name=name) if name in ABSENT_TESTS:
            _guarded(subject, reads, bound, present)
            _body(node.iter_child_nodes(exclude=("node",)), reads, bound, present)
        case nodes.Not():
            _guarded(node.node, reads, bound, present)
        case nodes.If():
            return _if(node, reads, bound, present)
        case nodes.CondExpr():
            _guarded(node.test, reads, bound, present)
            _visit(node.expr1, reads, bound, present | shown_present(node.test, True))
            if node.expr2 is not None:
                _visit(node.expr2, reads, bound, present | shown_present(node.test, False))
        case nodes.And():  # which is its first operand where that is absent
            _visit(node.left, reads, bound, present)
            _visit(node.right, reads, bound, present | shown_present(node.left, True))
        case nodes.Or():
            _guarded(node.left, reads, bound, present)
            _visit(node.right, reads, bound, present | shown_present(node.left, False))
        case nodes.For():
            _for(node, reads, bound, present)
        case nodes.Assign():
            _visit(node.node, reads, bound, present)
            return _target(node.target, reads, bound, present)
        case nodes.AssignBlock():
            _body(node.body, reads, bound, present)
            if node.filter is not None:
                _visit(node.filter, reads, bound, present)
            return _target(node.target, reads, bound, present)
        case nodes.With():
            for value in node.values:
                _visit(value, reads, bound, present)
            _body(node.body, reads, bound | _names(node.targets), present)
        case nodes.CallBlock():
            _visit(node.call, reads, bound, present)
            _callable(node, reads, bound, present)
        case nodes.FilterBlock() | nodes.Scope():
            _body(node.iter_child_nodes(), reads, bound, present)
        case _:
            return _body(node.iter_child_nodes(), reads, bound, present)
    return bound


def _guarded(node: nodes.Node, reads: Reads, bound: frozenset[str], present: frozenset[str]) -> None:
    """Visit an expression that may be absent: one whose truth is tested, or which `default` or a test is applied to."""
    match node:
        case nodes.Name():
            reads.record(node.name, bound, present | {node.name})
        case nodes.And() | nodes.Or():
            _guarded(node.left, reads, bound, present)
            _guarded(node.right, reads, bound, present | shown_present(node.left, isinstance(node, nodes.And)))
        case nodes.CondExpr():
            _guarded(node.test, reads, bound, present)
            _guarded(node.expr1, reads, bound, present | shown_present(node.test, True))
            if node.expr2 is not None:
                _guarded(node.expr2, reads, bound, present | shown_present(node.test, False))
        case _:
            _visit(node, reads, bound, present)


def _if(node: nodes.If, reads: Reads, bound: frozenset[str], present: frozenset[str]) -> frozenset[str]:
    """Visit an `if`; afterwards a name counts as bound if every branch sets it or shows it to be present."""
    ends: list[frozenset[str]] = []
    before = present
    for branch in (node, *node.elif_):
        _guarded(branch.test, reads, bound, present)
        inside = present | shown_present(branch.test, True)
        _end(branch.body, reads, bound, inside, ends)
        present |= shown_present(branch.test, False)
    _end(node.else_, reads, bound, present, ends)
    return bound | (frozenset.intersection(*ends) - before) if ends else bound


def _end(
    body: list[nodes.Node],
    reads: Reads,
    bound: frozenset[str],
    present: frozenset[str],
    ends: list[frozenset[str]],
) -> None:
    """Visit a branch; append what is bound or present at its end, unless it leaves the loop's pass there."""
    end = _body(body, reads, bound, present) | present
    if not body or not isinstance(body[-1], nodes.Break | nodes.Continue):
        ends.append(end)


def _for(node: nodes.For, reads: Reads, bound: frozenset[str], present: frozenset[str]) -> None:
    _visit(node.iter, reads, bound, present)
    named = bound | _names([node.target])
    inner = named | {"loop"}
    if node.test is not None:
        _guarded(node.test, reads, named, present)
        present_inside = present | shown_present(node.test, True)
    else:
        present_inside = present
    _body(node.body, reads, inner, present_inside)
    _body(node.else_, reads, bound, present)


def _callable(
    node: nodes.Macro | nodes.CallBlock, reads: Reads, bound: frozenset[str], present: frozenset[str]
) -> None:
    inner = bound | _names(node.args) | MACRO_NAMES
    for default in node.defaults:
        _visit(default, reads, inner, present)
    _body(node.body, reads, inner, present)


def _target(target: nodes.Node, reads: Reads, bound: frozenset[str], present: frozenset[str]) -> frozenset[str]:
    """Return the names bound after an assignment; assigning an attribute of a namespace reads the namespace."""
    for reference in target.find_all(nodes.NSRef):
        reads.record(reference.name, bound, present)
    if isinstance(target, nodes.NSRef):
        reads.record(target.name, bound, present)
    return bound | _names([target])


def _names(targets: Iterable[nodes.Node]) -> frozenset[str]:
    found = {name.name for target in targets for name in target.find_all(nodes.Name)}
    return frozenset(found | {target.name for target in targets if isinstance(target, nodes.Name)})


def surely_needed(tree: nodes.Template, names: frozenset[str]) -> dict[str, int]:
    r"""Return those of the variables without which every render fails, each with the line of the first read that fails.

    That is a read outside every condition, which is printed, looped over, compared, read further or given to a filter;
    also in a macro that is called outside every condition.

    >>> from jinja2 import Environment
    >>> surely_needed(Environment().parse("{% if a %}{{ b }}{% endif %}\n{{ c.d }}"), frozenset("abc"))
    {'c': 2}
    """
    found: dict[str, int] = {}
    bound = {name.name for name in tree.find_all(nodes.Name) if name.ctx != "load"}
    defined = Counter([*bound, *(macro.name for macro in tree.find_all(nodes.Macro))])
    macros = {macro.name: macro for macro in tree.find_all(nodes.Macro) if defined[macro.name] == 1}
    waiting: list[nodes.Node] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, nodes.Call) and isinstance(node.node, nodes.Name) and node.node.name in macros:
            waiting += reversed(macros.pop(node.node.name).body)
        for operand in map(_first_operand, _strict_operands(node)):
            if isinstance(operand, nodes.Name) and operand.name in names:
                found.setdefault(operand.name, operand.lineno)
        waiting += reversed(list(_always_run(node)))
    return {name: line for name, line in found.items() if name not in bound}


def _always_run(node: nodes.Node) -> Iterator[nodes.Node]:
    """Yield the parts of a node that run whenever it does."""
    match node:
        case nodes.Macro():
            return
        case nodes.CallBlock():
            yield node.call
        case nodes.If() | nodes.CondExpr():
            yield node.test
        case nodes.And() | nodes.Or():
            yield node.left
        case nodes.For():
            yield node.iter
        case nodes.Compare():
            yield from (node.expr, node.ops[0].expr)
        case _:
            yield from node.iter_child_nodes()


def _first_operand(node: nodes.Node | None) -> nodes.Node | None:
    """Return what an `and` is where it is absent; any other expression is returned as it is."""
    while isinstance(node, nodes.And):
        node = node.left
    return node


def _strict_operands(node: Any) -> Iterable[nodes.Node | None]:
    """Return the operands that a node needs: it fails where one of them is absent."""
    match node:
        case nodes.Output() | nodes.Concat():
            return node.nodes
        case nodes.For():
            return [node.iter]
        case nodes.Compare():
            return [node.expr, node.ops[0].expr]
        case nodes.Filter(name=name) if name in DEFAULT_FILTERS:
            return []
        case nodes.Test(name=name) if name not in STRICT_TESTS:
            return []
        case nodes.Getattr() | nodes.Getitem() | nodes.Filter() | nodes.Test() | nodes.Neg() | nodes.Pos():
            return [node.node]
        case nodes.BinExpr() if not isinstance(node, nodes.And | nodes.Or):
            return [node.left, node.right]
        case nodes.Call():
            return [node.dyn_args, node.dyn_kwargs]
    return []
