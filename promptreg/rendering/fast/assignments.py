"""Which names a loop's body assigns in each pass, or a macro's in each call, and whether it may read them before.

In Jinja such a name belongs to one pass. Where a pass may read it before it assigns it, it first has the value that the
name has around the loop. No code is generated here.
"""

from collections.abc import Iterable
from typing import NamedTuple

from jinja2 import nodes

from promptreg.rendering.fast.syntax import names


class Assignments(NamedTuple):
    """The names that a body assigns itself, and those of them that it may read before."""

    names: frozenset[str]
    read_before: frozenset[str]


def assignments(body: Iterable[nodes.Node], bound: Iterable[str]) -> Assignments:
    """Return what a body assigns, but for what its loops and macros assign; `bound` are bound before it.

    >>> from jinja2 import Environment
    >>> body = Environment().parse("{% if a %}{% set b = 1 %}{% set c = 2 %}{% endif %}{{ b }}").body
    >>> sorted(assignments(body, ()).names), sorted(assignments(body, ()).read_before)
    (['b', 'c'], ['b'])
    """
    body = list(body)
    if not _assigns_itself(body):
        return _NONE
    found = _Finder()
    found.body(body, frozenset(bound))
    return Assignments(frozenset(found.assigned), frozenset(found.assigned & found.read_before))


def assigns(body: Iterable[nodes.Node]) -> bool:
    """Return whether anything in a body is assigned to."""
    return any(isinstance(node, _ASSIGNING) or next(node.find_all(_ASSIGNING), None) for node in body)


def _assigns_itself(body: Iterable[nodes.Node]) -> bool:
    """Return whether a body assigns anything, but for what its loops and macros assign."""
    for node in body:
        if isinstance(node, _ASSIGNING):
            return True
        if isinstance(node, nodes.If) and _assigns_itself([*node.body, *node.elif_, *node.else_]):
            return True
    return False


_ASSIGNING = (nodes.Assign, nodes.AssignBlock)
_NONE = Assignments(frozenset(), frozenset())


class _Finder:
    """Visits statements in their order; a name is *certain* after what assigns it on every path."""

    def __init__(self) -> None:
        self.assigned: set[str] = set()
        self.read_before: set[str] = set()

    def body(self, body: Iterable[nodes.Node], certain: frozenset[str]) -> frozenset[str]:
        """Return the names that are certain after these statements."""
        for node in body:
            match node:
                case nodes.Assign(target=nodes.Name(name=name), node=value):
                    self._read([value], certain)
                    self.assigned.add(name)
                    certain |= {name}
                case nodes.AssignBlock(target=nodes.Name(name=name), body=inner):
                    self._read(inner, certain)
                    self.assigned.add(name)
                    certain |= {name}
                case nodes.If():
                    certain = self._branches(node, certain)
                case _:
                    self._read([node], certain)
        return certain

    def _branches(self, node: nodes.If, certain: frozenset[str]) -> frozenset[str]:
        ends = []
        for branch in (node, *node.elif_):
            self._read([branch.test], certain)
            ends.append(self.body(branch.body, certain))
        return frozenset.intersection(*ends, self.body(node.else_, certain))

    def _read(self, body: Iterable[nodes.Node], certain: frozenset[str]) -> None:
        self.read_before.update(name for name in names(body) if name not in certain)
