"""Which variables a template reads, and whether it can do without them (rules 20 and 21).

A use is guarded when the template itself says what happens without the variable: `x | default(…)`,
`x is defined`, or any use that such a test stands before (`{% if x is defined %}{{ x }}{% endif %}`).
An absent variable that is declared is false, so a test of its truth (`{% if x %}`, `x or …`, `not x`) and of its type
(`x is none`) guards it too. Names that the template binds itself (loops, `set`, `with`, macros) are not variables.
"""

from collections.abc import Iterable, Iterator
from typing import Any

from jinja2 import nodes

from promptreg.rendering.filters import FILTERS, TESTS

DEFAULT_FILTERS = frozenset(name for name, row in FILTERS.items() if row.takes_absent)
MACRO_NAMES = frozenset({"caller", "varargs", "kwargs"})
ABSENT_TESTS = frozenset(name for name, row in TESTS.items() if row.takes_absent)
TYPE_TESTS = ABSENT_TESTS - {"defined", "undefined", "sameas"}
FALSE_OF_ABSENT = TYPE_TESTS - {"none"}
"""Tests that are false of an absent variable, so that where one is true the variable is there."""


class Reads:
    """The variables read, each with whether any use of it is unguarded, and the uses that fail where it is absent.

    Each unguarded use of one that is not declared does; of one that is, only what takes it apart (`_taken_apart`).
    """

    def __init__(self, builtins: frozenset[str], declared: frozenset[str], tree: nodes.Template) -> None:
        self.builtins = builtins
        self.declared = declared
        operands = (_taken_apart(node) for node in tree.find_all(nodes.Node)) if declared else ()
        self._taken_apart = {id(operand) for some in operands for operand in some}
        self.needed: dict[str, bool] = {}
        self.unguarded: list[nodes.Node] = []

    def note(self, node: nodes.Name | nodes.NSRef, bound: frozenset[str], sure: frozenset[str]) -> None:
        """Note one use of a name, where `bound` are the template's own and `sure` the tested ones."""
        name = node.name
        if name not in bound and name not in self.builtins:
            self.needed[name] = self.needed.get(name, False) or name not in sure
            if name not in sure and (name not in self.declared or id(node) in self._taken_apart):
                self.unguarded.append(node)

    def sure(self, test: nodes.Node, outcome: bool) -> frozenset[str]:
        """Return the variables that are certainly there when the test came out so."""
        match test:
            case nodes.Name(name=name) if outcome and name in self.declared:
                return frozenset({name})
            case nodes.Test(node=nodes.Name(name=name), name=kind) if (
                outcome and kind in FALSE_OF_ABSENT and name in self.declared
            ):
                return frozenset({name})
            case nodes.Test(node=nodes.Name(name=name), name=("defined" | "undefined") as word):
                return frozenset({name} if (word == "defined") == outcome else ())
            case nodes.Not():
                return self.sure(test.node, not outcome)
            case nodes.And() | nodes.Or():
                left, right = self.sure(test.left, outcome), self.sure(test.right, outcome)
                return left | right if isinstance(test, nodes.And) == outcome else left & right
        return frozenset()

    def is_declared(self, name: str, bound: frozenset[str]) -> bool:
        """Return whether a name means a declared variable there."""
        return name in self.declared and name not in bound and name not in self.builtins


def variables_read(tree: nodes.Template, builtins: Iterable[str], declared: frozenset[str] = frozenset()) -> Reads:
    """Find each variable that the template reads, in order of first use, and whether it is needed.

    >>> from jinja2 import Environment
    >>> variables_read(Environment().parse("{{ a }} {{ b | default('') }} {{ range(3) }}"), {"range"}).needed
    {'a': True, 'b': False}
    >>> variables_read(Environment().parse("{% if a %}{{ a }}{% endif %}"), (), frozenset({"a"})).needed
    {'a': False}
    """
    reads = Reads(frozenset(builtins), declared, tree)
    _body(tree.body, reads, frozenset(), frozenset())
    return reads


def _body(body: Iterable[nodes.Node], reads: Reads, bound: frozenset[str], sure: frozenset[str]) -> frozenset[str]:
    """Walk statements in order; give the names that are bound after the last of them.

    What a macro reads it reads when it is called, so it may be bound further down.
    """
    macros: list[nodes.Macro] = []
    for node in body:
        if isinstance(node, nodes.Macro):
            macros.append(node)
            bound |= {node.name}
        else:
            bound = _visit(node, reads, bound, sure)
    for macro in macros:
        _callable(macro, reads, bound, sure)
    return bound


def _visit(  # noqa: PLR0912 - one case a kind of node
    node: nodes.Node, reads: Reads, bound: frozenset[str], sure: frozenset[str]
) -> frozenset[str]:
    """Walk one node; give the names bound after it."""
    match node:
        case nodes.Name():
            reads.note(node, bound, sure)
        case nodes.Filter(node=nodes.Name() as subject, name=name) if name in DEFAULT_FILTERS:
            _guarded(subject, node, reads, bound, sure)
        case nodes.Test(node=nodes.Name() as subject, name="defined" | "undefined"):
            _guarded(subject, node, reads, bound, sure)
        case nodes.Test(node=nodes.Name() as subject, name=name) if name in TYPE_TESTS and reads.is_declared(
            subject.name, bound
        ):
            _guarded(subject, node, reads, bound, sure)
        case nodes.Not():
            _truth(node.node, reads, bound, sure)
        case nodes.If():
            return _if(node, reads, bound, sure)
        case nodes.CondExpr():
            _truth(node.test, reads, bound, sure)
            _visit(node.expr1, reads, bound, sure | reads.sure(node.test, True))
            if node.expr2 is not None:
                _visit(node.expr2, reads, bound, sure | reads.sure(node.test, False))
        case nodes.And() | nodes.Or():
            _truth(node.left, reads, bound, sure)
            _visit(node.right, reads, bound, sure | reads.sure(node.left, isinstance(node, nodes.And)))
        case nodes.For():
            _for(node, reads, bound, sure)
        case nodes.Assign():
            _visit(node.node, reads, bound, sure)
            return _target(node.target, reads, bound, sure)
        case nodes.AssignBlock():
            _body(node.body, reads, bound, sure)
            if node.filter is not None:
                _visit(node.filter, reads, bound, sure)
            return _target(node.target, reads, bound, sure)
        case nodes.With():
            for value in node.values:
                _visit(value, reads, bound, sure)
            _body(node.body, reads, bound | _names(node.targets), sure)
        case nodes.CallBlock():
            _visit(node.call, reads, bound, sure)
            _callable(node, reads, bound, sure)
        case nodes.FilterBlock() | nodes.Scope():
            _body(node.iter_child_nodes(), reads, bound, sure)
        case _:
            return _body(node.iter_child_nodes(), reads, bound, sure)
    return bound


def _truth(node: nodes.Node, reads: Reads, bound: frozenset[str], sure: frozenset[str]) -> None:
    """Walk an expression whose truth is all that is asked for: an absent variable that is declared is false there."""
    match node:
        case nodes.Name() if reads.is_declared(node.name, bound):
            reads.note(node, bound, sure | {node.name})
        case nodes.And() | nodes.Or():
            _truth(node.left, reads, bound, sure)
            _truth(node.right, reads, bound, sure | reads.sure(node.left, isinstance(node, nodes.And)))
        case _:
            _visit(node, reads, bound, sure)


def _guarded(
    subject: nodes.Name,
    node: nodes.Filter | nodes.Test,
    reads: Reads,
    bound: frozenset[str],
    sure: frozenset[str],
) -> None:
    reads.note(subject, bound, sure | {subject.name})
    for child in node.iter_child_nodes(exclude=("node",)):
        _visit(child, reads, bound, sure)


def _if(node: nodes.If, reads: Reads, bound: frozenset[str], sure: frozenset[str]) -> frozenset[str]:
    """A name that every branch sets, or is certain of, needs nothing afterwards; else it may be the variable."""
    ends, before = [], sure
    for branch in (node, *node.elif_):
        _truth(branch.test, reads, bound, sure)
        inside = sure | reads.sure(branch.test, True)
        ends.append(_body(branch.body, reads, bound, inside) | inside)
        sure |= reads.sure(branch.test, False)
    ends.append(_body(node.else_, reads, bound, sure) | sure)
    return bound | (frozenset.intersection(*ends) - before)


def _for(node: nodes.For, reads: Reads, bound: frozenset[str], sure: frozenset[str]) -> None:
    _visit(node.iter, reads, bound, sure)
    named = bound | _names([node.target])
    inner = named | {"loop"}
    if node.test is not None:
        _truth(node.test, reads, named, sure)
        sure_inside = sure | reads.sure(node.test, True)
    else:
        sure_inside = sure
    _body(node.body, reads, inner, sure_inside)
    _body(node.else_, reads, bound, sure)


def _callable(node: nodes.Macro | nodes.CallBlock, reads: Reads, bound: frozenset[str], sure: frozenset[str]) -> None:
    inner = bound | _names(node.args) | MACRO_NAMES
    for default in node.defaults:
        _visit(default, reads, inner, sure)
    _body(node.body, reads, inner, sure)


def _target(target: nodes.Node, reads: Reads, bound: frozenset[str], sure: frozenset[str]) -> frozenset[str]:
    """Give what an assignment binds; setting an attribute of a namespace reads the namespace."""
    for reference in target.find_all(nodes.NSRef):
        reads.note(reference, bound, sure)
    if isinstance(target, nodes.NSRef):
        reads.note(target, bound, sure)
    return bound | _names([target])


def _names(targets: Iterable[nodes.Node]) -> frozenset[str]:
    found = {name.name for target in targets for name in target.find_all(nodes.Name)}
    return frozenset(found | {target.name for target in targets if isinstance(target, nodes.Name)})


def surely_needed(tree: nodes.Template, names: frozenset[str]) -> dict[str, int]:
    r"""Return those of the variables without which every render fails, each with the line that reads it first.

    That is outside every condition, and printed, looped over, compared, read further or given to a filter.

    >>> from jinja2 import Environment
    >>> surely_needed(Environment().parse("{% if a %}{{ b }}{% endif %}\n{{ c.d }}"), frozenset("abc"))
    {'c': 2}
    """
    found: dict[str, int] = {}
    waiting: list[nodes.Node] = [tree]
    while waiting:
        node = waiting.pop()
        for operand in _taken_apart(node):
            if isinstance(operand, nodes.Name) and operand.name in names:
                found.setdefault(operand.name, operand.lineno)
        waiting += reversed(list(_always_run(node)))
    bound = {name.name for name in tree.find_all(nodes.Name) if name.ctx != "load"}
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


def _taken_apart(node: Any) -> Iterable[nodes.Node | None]:
    """Return the operands of a node that fails where one of them is absent."""
    match node:
        case nodes.Output() | nodes.Concat():
            return node.nodes
        case nodes.For():
            return [node.iter]
        case nodes.Compare():
            return [node.expr, node.ops[0].expr]
        case nodes.Filter(name=name) if name in DEFAULT_FILTERS:
            return []
        case nodes.Test(name=name) if name in ABSENT_TESTS:
            return []
        case nodes.Getattr() | nodes.Getitem() | nodes.Filter() | nodes.Test() | nodes.Neg() | nodes.Pos():
            return [node.node]
        case nodes.BinExpr() if not isinstance(node, nodes.And | nodes.Or):
            return [node.left, node.right]
    return []
