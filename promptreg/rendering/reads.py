"""Which variables a template reads, and whether it can do without them (rules 20 and 21).

A use is guarded when the template itself says what happens without the variable: `x | default(…)`,
`x is defined`, or any use that such a test stands before (`{% if x is defined %}{{ x }}{% endif %}`).
Names that the template binds itself (loops, `set`, `with`, macros) are not variables.
"""

from collections.abc import Iterable

from jinja2 import nodes

DEFAULT_FILTERS = frozenset({"default", "d"})
MACRO_NAMES = frozenset({"caller", "varargs", "kwargs"})


class Reads:
    """The variables read, each with whether any use of it is unguarded, and those uses themselves."""

    def __init__(self, builtins: frozenset[str]) -> None:
        self.builtins = builtins
        self.needed: dict[str, bool] = {}
        self.unguarded: list[nodes.Node] = []

    def note(self, node: nodes.Name | nodes.NSRef, bound: frozenset[str], sure: frozenset[str]) -> None:
        """Note one use of a name, where `bound` are the template's own and `sure` the tested ones."""
        name = node.name
        if name not in bound and name not in self.builtins:
            self.needed[name] = self.needed.get(name, False) or name not in sure
            if name not in sure:
                self.unguarded.append(node)


def variables_read(tree: nodes.Template, builtins: Iterable[str]) -> Reads:
    """Find each variable that the template reads, in order of first use, and whether it is needed.

    >>> from jinja2 import Environment
    >>> variables_read(Environment().parse("{{ a }} {{ b | default('') }} {{ range(3) }}"), {"range"}).needed
    {'a': True, 'b': False}
    """
    reads = Reads(frozenset(builtins))
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
        case nodes.If():
            return _if(node, reads, bound, sure)
        case nodes.CondExpr():
            _visit(node.test, reads, bound, sure)
            _visit(node.expr1, reads, bound, sure | _sure(node.test, True))
            if node.expr2 is not None:
                _visit(node.expr2, reads, bound, sure | _sure(node.test, False))
        case nodes.And() | nodes.Or():
            _visit(node.left, reads, bound, sure)
            _visit(node.right, reads, bound, sure | _sure(node.left, isinstance(node, nodes.And)))
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
        _visit(branch.test, reads, bound, sure)
        inside = sure | _sure(branch.test, True)
        ends.append(_body(branch.body, reads, bound, inside) | inside)
        sure |= _sure(branch.test, False)
    ends.append(_body(node.else_, reads, bound, sure) | sure)
    return bound | (frozenset.intersection(*ends) - before)


def _for(node: nodes.For, reads: Reads, bound: frozenset[str], sure: frozenset[str]) -> None:
    _visit(node.iter, reads, bound, sure)
    named = bound | _names([node.target])
    inner = named | {"loop"}
    if node.test is not None:
        _visit(node.test, reads, named, sure)
        sure_inside = sure | _sure(node.test, True)
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


def _sure(test: nodes.Node, outcome: bool) -> frozenset[str]:
    """Give the variables that are certainly there when the test came out so."""
    match test:
        case nodes.Test(node=nodes.Name(name=name), name=("defined" | "undefined") as word):
            return frozenset({name} if (word == "defined") == outcome else ())
        case nodes.Not():
            return _sure(test.node, not outcome)
        case nodes.And() | nodes.Or():
            left, right = _sure(test.left, outcome), _sure(test.right, outcome)
            return left | right if isinstance(test, nodes.And) == outcome else left & right
    return frozenset()
