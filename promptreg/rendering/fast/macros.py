"""Code generation for macros, `{% set x %}…{% endset %}` and `with`: what has a body with names of its own.

A macro becomes a Python function in the template's function, which returns its text. It may call those that are defined
before it, so none calls itself. Templates with macros in loops or conditions, with `call`, `caller`, `varargs` or
`kwargs`, and those that use a macro as a value are left to the metered tier.
"""

from jinja2 import nodes

from promptreg.rendering.fast.namespaces import NamespaceCompiler
from promptreg.rendering.fast.scope import Macro
from promptreg.rendering.fast.syntax import UnsupportedSyntax


class MacroCompiler(NamespaceCompiler):
    """Generates the lines of all statements of the subset."""

    def _visit_macro(self, node: nodes.Macro) -> None:
        parameters = [argument.name for argument in node.args]
        if len(set(parameters)) < len(parameters):
            raise UnsupportedSyntax
        self._scope.require_new(node.name)
        with self._scope.conditional():
            self._scope.macros[node.name] = self._function(node.body, parameters, node.defaults)

    def _visit_assignblock(self, node: nodes.AssignBlock) -> None:
        if node.filter is not None or not isinstance(node.target, nodes.Name):
            raise UnsupportedSyntax
        block = self._function(node.body, [], [])
        self._scope.require_assignable(node.target.name)  # now, as the block may read the name before
        text = f"{block.local}({self._costs.call(block.cost, block.calls)})"
        self._emitter.write(f"{self._scope.assign(node.target.name)} = {text}")

    def _function(self, body: list[nodes.Node], parameters: list[str], defaults: list[nodes.Expr]) -> Macro:
        """Generate a function that returns the text of a body."""
        local, share = self._scope.temporary("m"), self._costs.enter(self._scope.temporary("r"))
        with self._scope.function():
            bound = dict(zip(parameters, self._scope.bind(parameters), strict=True))
            replaced = list(zip(list(bound.values())[len(bound) - len(defaults) :], defaults, strict=True))
            unpassed = dict.fromkeys(bound.values(), "ABSENT") | {x: "NOT_PASSED" for x, _ in replaced}
            header = ", ".join([share.local, *(f"{x}={value}" for x, value in unpassed.items())])
            with self._emitter.function(f"def {local}({header}):", share.local):
                start = len(self._emitter.lines)
                for x, default in replaced:
                    self._emitter.write(f"if {x} is NOT_PASSED: {x} = {self._expressions.or_absent(default)}")
                self._own_body(body, parameters)
                line, cost = self._costs.leave_macro(body)
                self._emitter.insert(start, line)
        return Macro(local, bound, cost, share.calls)

    def _visit_with(self, node: nodes.With) -> None:
        names = [target.name for target in node.targets if isinstance(target, nodes.Name)]
        if len(names) < len(node.targets):
            raise UnsupportedSyntax
        values = [self._expressions.or_absent(value) for value in node.values]
        with self._scope.inner():
            for local, value in zip(self._scope.bind(names), values, strict=True):
                self._emitter.write(f"{local} = {value}")
            self._own_body(node.body, names)
