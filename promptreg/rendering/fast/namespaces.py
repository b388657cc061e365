"""Code generation for namespaces (`{% set n = namespace(a=1) %}`, `{% set n.a = 2 %}`): attributes are Python locals.

That is the same as long as a namespace has one name and is never a value: then nothing else can read or change it. A
template that passes it on, prints it, or creates it under a condition is left to the metered tier.
"""

from functools import cached_property
from typing import Any

from jinja2 import nodes

from promptreg.rendering.fast.costs import Costs
from promptreg.rendering.fast.emitter import Emitter
from promptreg.rendering.fast.scope import Scope
from promptreg.rendering.fast.statements import StatementCompiler
from promptreg.rendering.fast.syntax import UnsupportedSyntax, require_plain_call
from promptreg.rendering.filters import FILTERS, LEVELS

_LEVELS: dict[type[nodes.Node], int] = {nodes.List: 1, nodes.Tuple: 1, nodes.Dict: 2, nodes.Call: 7}


class NamespaceCompiler(StatementCompiler):
    """Generates the lines of `set` as well where it is about a namespace."""

    def __init__(self, tree: nodes.Template, emitter: Emitter, scope: Scope, costs: Costs) -> None:
        super().__init__(emitter, scope, costs)
        self._tree = tree

    def _visit_assign(self, node: nodes.Assign) -> None:
        match node:
            case nodes.Assign(target=nodes.NSRef() as reference, node=value):
                self._assign_attribute(reference, value)
            case nodes.Assign(target=nodes.Name(name=name), node=nodes.Call(node=nodes.Name(name="namespace")) as call):
                self._create(name, call)
            case _:
                super()._visit_assign(node)

    def _create(self, name: str, call: nodes.Call) -> None:
        require_plain_call(call, keywords=True)
        if call.args or not self._scope.is_certain():
            raise UnsupportedSyntax
        self.functions_called.add("namespace")
        given = {keyword.key: self._expressions.or_absent(keyword.value) for keyword in call.kwargs}
        attributes = self._scope.create_namespace(name, {*given, *self._attributes.get(name, ())})
        for attribute, local in attributes.items():
            self._emitter.write(f"{local} = {given.get(attribute, 'ABSENT')}")

    def _assign_attribute(self, reference: nodes.NSRef, value: nodes.Node) -> None:
        code, levels = self._expressions.or_absent(value), _levels_made(value)
        if levels:
            self._costs.nest(levels)
        self._emitter.write(f"{self._scope.assigned_attribute(reference)} = {code}")

    @cached_property
    def _attributes(self) -> dict[str, set[str]]:
        """The attributes that are read or assigned of each name of the template."""
        found: dict[str, set[str]] = {}
        for node in self._tree.find_all(nodes.Expr):
            match node:
                case (
                    nodes.NSRef(name=str(name), attr=attribute)
                    | nodes.Getattr(node=nodes.Name(name=str(name)), attr=attribute)
                ):
                    found.setdefault(name, set()).add(attribute)
        return found


def _levels_made(node: nodes.Node) -> int:
    """Return by how many levels of containers a value may be deeper than the values that it is made of."""
    kinds: Any = (*_LEVELS, nodes.Filter)
    parts = (node, *node.find_all(kinds))
    filters = sum(LEVELS.get(FILTERS[part.name].returns, 0) for part in parts if isinstance(part, nodes.Filter))
    return filters + sum(_LEVELS.get(type(part), 0) for part in parts)
