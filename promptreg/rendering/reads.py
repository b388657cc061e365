"""Which variables a template reads, and whether it can do without them (rules 20 and 21).

A read is guarded where the template itself handles the absence of the variable: `x | default(…)`, `x is defined`, and
every read after such a test (`{% if x is defined %}{{ x }}{% endif %}`). An absent variable that is declared is
false, so tests of its truth (`{% if x %}`, `x or …`, `not x`) and of its type (`x is none`) guard it too. Names that
the template binds itself (loops, `set`, `with`, macros) are not variables. Nothing is rendered here, and no value read.
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
    """The variables that a template reads: `needed` if any read is unguarded, and the `unguarded` reads themselves.

    These fail where the variable is absent. Of a declared variable, which is then false, only the unguarded reads by a
    node that takes no absent operand (`_strict_operands`) are among them.
    """

    def __init__(self, builtins: frozenset[str], declared: frozenset[str], tree: nodes.Template) -> None:
        self.builtins = builtins
        self.declared = declared
        operands = (_strict_operands(node) for node in tree.find_all(nodes.Node)) if declared else ()
        self._strict_operands = {id(operand) for some in operands for operand in some}
        self.needed: dict[str, bool] = {}
        self.unguarded: list[nodes.Node] = []

    def record(self, node: nodes.Name | nodes.NSRef, bound: frozenset[str], present: frozenset[str]) -> None:
        """Record a read of a name; `bound` are names that the template binds, `present` variables tested before."""
        name = node.name
        if name not in bound and name not in self.builtins:
            self.needed[name] = self.needed.get(name, False) or name not in present
            if name not in present and (name not in self.declared or id(node) in self._strict_operands):
                self.unguarded.append(node)

    def shown_present(self, test: nodes.Node, outcome: bool) -> frozenset[str]:
        """Return the variables that are certainly present if the test has this outcome."""
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
                return self.shown_present(test.node, not outcome)
            case nodes.And() | nodes.Or():
                left, right = self.shown_present(test.left, outcome), self.shown_present(test.right, outcome)
                return left | right if isinstance(test, nodes.And) == outcome else left & right
        return frozenset()

    def is_declared(self, name: str, bound: frozenset[str]) -> bool:
        """Return whether a name is that of a declared variable, where `bound` are the names that the template binds."""
        return name in self.declared and name not in bound and name not in self.builtins


def variables_read(tree: nodes.Template, builtins: Iterable[str], declared: frozenset[str] = frozenset()) -> Reads:
    """Return the variables that the template reads, in order of the first read, and whether each is needed.

    >>> from jinja2 import Environment
    >>> variables_read(Environment().parse("{{ a }} {{ b | default('') }} {{ range(3) }}"), {"range"}).needed
    {'a': True, 'b': False}
    >>> variables_read(Environment().parse("{% if a %}{{ a }}{% endif %}"), (), frozenset({"a"})).needed
    {'a': False}
    """
    reads = Reads(frozenset(builtins), declared, tree)
    _body(tree.body, reads, frozenset(), frozenset())
    return reads


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
            reads.record(node, bound, present)
        case nodes.Filter(node=nodes.Name() as subject, name=name) if name in DEFAULT_FILTERS:
            _guarded(subject, node, reads, bound, present)
        case nodes.Test(node=nodes.Name() as subject, name="defined" | "undefined"):
            _guarded(subject, node, reads, bound, present)
        case nodes.Test(node=nodes.Name() as subject, name=name) if name in TYPE_TESTS and reads.is_declared(
            subject.name, bound
        ):
            _guarded(subject, node, reads, bound, present)
        case nodes.Not():
            _truth(node.node, reads, bound, present)
        case nodes.If():
            return _if(node, reads, bound, present)
        case nodes.CondExpr():
            _truth(node.test, reads, bound, present)
            _visit(node.expr1, reads, bound, present | reads.shown_present(node.test, True))
            if node.expr2 is not None:
                _visit(node.expr2, reads, bound, present | reads.shown_present(node.test, False))
        case nodes.And() | nodes.Or():
            _truth(node.left, reads, bound, present)
            _visit(node.right, reads, bound, present | reads.shown_present(node.left, isinstance(node, nodes.And)))
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


def _truth(node: nodes.Node, reads: Reads, bound: frozenset[str], present: frozenset[str]) -> None:
    """Visit an expression of which only the truth is tested: there an absent variable that is declared is false."""
    match node:
        case nodes.Name() if reads.is_declared(node.name, bound):
            reads.record(node, bound, present | {node.name})
        case nodes.And() | nodes.Or():
            _truth(node.left, reads, bound, present)
            _truth(node.right, reads, bound, present | reads.shown_present(node.left, isinstance(node, nodes.And)))
        case _:
            _visit(node, reads, bound, present)


def _guarded(
    subject: nodes.Name,
    node: nodes.Filter | nodes.Test,
    reads: Reads,
    bound: frozenset[str],
    present: frozenset[str],
) -> None:
    reads.record(subject, bound, present | {subject.name})
    for child in node.iter_child_nodes(exclude=("node",)):
        _visit(child, reads, bound, present)


def _if(node: nodes.If, reads: Reads, bound: frozenset[str], present: frozenset[str]) -> frozenset[str]:
    """Visit an `if`; afterwards a name counts as bound if every branch sets it or shows it to be present."""
    ends, before = [], present
    for branch in (node, *node.elif_):
        _truth(branch.test, reads, bound, present)
        inside = present | reads.shown_present(branch.test, True)
        ends.append(_body(branch.body, reads, bound, inside) | inside)
        present |= reads.shown_present(branch.test, False)
    ends.append(_body(node.else_, reads, bound, present) | present)
    return bound | (frozenset.intersection(*ends) - before)


def _for(node: nodes.For, reads: Reads, bound: frozenset[str], present: frozenset[str]) -> None:
    _visit(node.iter, reads, bound, present)
    named = bound | _names([node.target])
    inner = named | {"loop"}
    if node.test is not None:
        _truth(node.test, reads, named, present)
        present_inside = present | reads.shown_present(node.test, True)
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
        reads.record(reference, bound, present)
    if isinstance(target, nodes.NSRef):
        reads.record(target, bound, present)
    return bound | _names([target])


def _names(targets: Iterable[nodes.Node]) -> frozenset[str]:
    found = {name.name for target in targets for name in target.find_all(nodes.Name)}
    return frozenset(found | {target.name for target in targets if isinstance(target, nodes.Name)})


def surely_needed(tree: nodes.Template, names: frozenset[str]) -> dict[str, int]:
    r"""Return those of the variables without which every render fails, each with the line of the first such read.

    That is a read outside every condition, which is printed, looped over, compared, read further or given to a filter.

    >>> from jinja2 import Environment
    >>> surely_needed(Environment().parse("{% if a %}{{ b }}{% endif %}\n{{ c.d }}"), frozenset("abc"))
    {'c': 2}
    """
    found: dict[str, int] = {}
    waiting: list[nodes.Node] = [tree]
    while waiting:
        node = waiting.pop()
        for operand in _strict_operands(node):
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
        case nodes.Test(name=name) if name in ABSENT_TESTS:
            return []
        case nodes.Getattr() | nodes.Getitem() | nodes.Filter() | nodes.Test() | nodes.Neg() | nodes.Pos():
            return [node.node]
        case nodes.BinExpr() if not isinstance(node, nodes.And | nodes.Or):
            return [node.left, node.right]
    return []
