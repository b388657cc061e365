"""Code generation for statements: output, `if`, `for` and `set` become lines of Python."""

from collections.abc import Iterable, Iterator

from jinja2 import nodes

from promptreg.rendering.fast.assignments import assigns
from promptreg.rendering.fast.costs import Costs
from promptreg.rendering.fast.emitter import Emitter
from promptreg.rendering.fast.expressions import ExpressionCompiler
from promptreg.rendering.fast.scope import Loop, Scope
from promptreg.rendering.fast.syntax import (
    MAX_PIECES,
    NOT_VARIABLES,
    PrintedPart,
    UnsupportedSyntax,
    Visitor,
    is_literal,
    is_zip,
    leaves_passes,
    printed_parts,
    printed_values,
    prints_attribute_first,
    reads_loop,
    require_plain_call,
)
from promptreg.rendering.filters import INTEGER, TEXT

MAX_ZIPPED = 10


class StatementCompiler(Visitor):
    """Generates the lines of statements; raises `UnsupportedSyntax` outside the subset."""

    def __init__(self, emitter: Emitter, scope: Scope, costs: Costs) -> None:
        self.functions_called: set[str] = set()  # of the template language, which a variable may hide
        self._emitter = emitter
        self._scope = scope
        self._costs = costs
        self._expressions = ExpressionCompiler(scope, costs)

    def body(self, body: Iterable[nodes.Node]) -> None:
        """Generate the lines of statements, one after the other."""
        for node in body:
            self.visit(node)

    def _own_body(self, body: list[nodes.Node], bound: list[str]) -> None:
        """Generate the lines of the body of a loop, macro or block, which has bound these names."""
        for line in self._scope.bind_assigned(body, bound):
            self._emitter.write(line)
        self.body(body)

    def _visit_assign(self, node: nodes.Assign) -> None:
        if not isinstance(node.target, nodes.Name):
            raise UnsupportedSyntax
        self._scope.require_assignable(node.target.name)
        value = self._expressions.or_absent(node.node)
        self._emitter.write(f"{self._scope.assign(node.target.name)} = {value}")

    # Output

    def _visit_output(self, node: nodes.Output) -> None:
        for child in node.nodes:
            if isinstance(child, nodes.TemplateData):
                self._emitter.literal(child.data)
            elif isinstance(child, nodes.Concat | nodes.Add):
                self._print_parts(child)
            else:
                self._print(child)

    def _print_parts(self, node: nodes.Expr) -> None:
        """Print the parts of texts that are joined to be printed; the metered tier pays for joining them."""
        parts = list(printed_parts(PrintedPart(node)))
        self._costs.join(max(part.depth for part in parts), is_result=not self._scope.is_in_function)
        for part in parts:
            if part.is_text and not is_literal(part.node):
                self._print_text(part.node)
            else:
                self._print(part.node)

    def _print_text(self, node: nodes.Expr) -> None:
        """Print a value that must be a text."""
        self._emitter.make_room()
        local = self._scope.temporary()
        code, kind = self._expressions.typed(node)
        self._emitter.write(
            f"{local} = {code}" if kind == TEXT else f"if type({local} := {code}) is not str: bail_out()"
        )
        self._emitter.value(local, is_measured=self._emitter.is_repeated(self._scope.path(node)))

    def _print(self, node: nodes.Expr) -> None:
        """Exact scalars print as `str` writes them, and nothing else is printed here."""
        if is_literal(node):
            self._emitter.literal(node.value)  # type: ignore[attr-defined]
            return
        self._emitter.make_room()
        local = self._scope.temporary()
        if isinstance(node, nodes.CondExpr) and node.expr2 is None:
            node = nodes.CondExpr(node.test, node.expr1, nodes.Const(""))  # which prints what an absent `else` prints
        code, kind = self._expressions.typed(node)
        if kind in {TEXT, INTEGER}:
            self._emitter.write(f"{local} = {code}")
        else:
            # in a loop this saves calls, 4 % of a prompt with ten documents; elsewhere it takes longer to compile
            integer = f"INTEGER_TEXTS[{local}] if type({local}) is int else " if self._scope.loops else ""
            self._emitter.write(f"if type({local} := {code}) is not str: {local} = {integer}text({local})")
        is_measured = kind != INTEGER and self._emitter.is_repeated(self._scope.path(node))
        self._emitter.value(local, is_measured=is_measured)

    # If

    def _visit_if(self, node: nodes.If) -> None:
        count = printed_values(node)
        if count is not None and count < MAX_PIECES:
            self._choice(node, count)
            return
        self._emitter.flush()
        for line, body in self._costs.each_branch(self._branches(node)):
            self._emitter.write(line)
            with self._scope.conditional(), self._emitter.indented():
                self.body(body)

    def _choice(self, node: nodes.If, count: int) -> None:
        """Make an `if` that only prints part of the piece around it, which saves up to a quarter of a short render."""
        self._emitter.make_room(count)
        chosen, is_measured = self._scope.temporary(), False
        for line, body in self._costs.each_branch(self._branches(node)):
            self._emitter.write(line)
            with self._scope.conditional(), self._emitter.branch(chosen) as piece:
                self.body(body)
            is_measured |= bool(piece.lengths)
        self._emitter.value(chosen, is_measured=is_measured)

    def _branches(self, node: nodes.If) -> Iterator[tuple[str, list[nodes.Node]]]:
        """Yield the line that begins each branch, and its body."""
        yield f"if {self._expressions.truth(node.test)}:", node.body
        for branch in node.elif_:
            with self._scope.conditional():
                test = self._expressions.truth(branch.test)
            yield f"elif {test}:", branch.body
        yield "else:", node.else_

    # For

    def _visit_break(self, _node: nodes.Break) -> None:
        self._emitter.flush()
        self._emitter.write("break")

    def _visit_continue(self, _node: nodes.Continue) -> None:
        self._emitter.flush()
        self._emitter.write("continue")

    def _visit_for(self, node: nodes.For) -> None:
        """Loop over exact lists, tuples, dicts and ranges, whose length is known before."""
        if node.recursive or reads_loop([*node.else_, *([node.test] if node.test else [])]) or assigns(node.else_):
            raise UnsupportedSyntax  # what an `else` sets is unbound behind it
        if node.else_ and leaves_passes(node.body):
            raise UnsupportedSyntax  # Jinja renders the `else` too where no pass comes to its end
        self._emitter.flush()
        items = self._scope.temporary("s")
        is_paired = self._assign_items(node.iter, items)
        with self._scope.conditional():
            length = self._loop(node, items, is_paired=is_paired)
            if node.else_:
                self._emitter.write(f"if not {length}:")
                with self._scope.inner(), self._emitter.indented():
                    self.body(node.else_)

    def _assign_items(self, node: nodes.Node, local: str) -> bool:
        """Assign to a local what is looped over; return whether its items are pairs for certain."""
        match node:
            case nodes.Call(node=nodes.Name(name="range"), args=arguments):
                require_plain_call(node)
                self.functions_called.add("range")
                self._emitter.write(f"{local} = small_range({', '.join(map(self._expressions.code, arguments))})")
                return False
            case nodes.Call(args=arguments) if is_zip(node):
                self._require_distinct(node, arguments)
                self._emitter.write(f"{local} = zipped({', '.join(map(self._expressions.code, arguments))})")
                return True
            case nodes.Call(node=nodes.Getattr(node=of, attr="items" | "keys" | "values" as view), args=[]):
                require_plain_call(node)
                self._emitter.write(f"{local} = {self._expressions.exact_dict(of)}.{view}()")
                return view == "items"
            case nodes.Filter(name="items", node=of, args=[]):
                require_plain_call(node)
                self._costs.nest_calls(2)
                self._emitter.write(f"{local} = {self._expressions.exact_dict(of)}.items()")
                return True
        code = self._expressions.iterated(node)
        self._emitter.write(f"if type({local} := {code}) is not list: {local} = iterable({local})")
        return False

    def _require_distinct(self, call: nodes.Call, arguments: list[nodes.Expr]) -> None:
        """Raise `UnsupportedSyntax` unless these are values that stand in different places of what was passed."""
        require_plain_call(call)
        self._costs.add(len(arguments))
        paths = {self._scope.path(argument) for argument in arguments}
        if not 0 < len(arguments) <= MAX_ZIPPED or None in paths or len(paths) < len(arguments):
            raise UnsupportedSyntax

    def _loop(self, node: nodes.For, items: str, *, is_paired: bool) -> str:
        """Generate the loop, paid for before its first pass; return the local that may hold its length."""
        start = len(self._emitter.lines)
        self._emitter.write("if fuel < 0: bail_out()")
        self._costs.enter(self._scope.temporary("r"))
        with self._scope.loop(items) as loop:
            target, unpacking, bound = self._bind_target(node.target, loop, is_paired=is_paired)
            tests = [] if node.test is None else [node.test]
            if node.test is not None:
                if unpacking or self._scope.may_change(node.test):
                    raise UnsupportedSyntax  # Jinja tests each item right before its pass
                test = self._expressions.truth(node.test)
                self._emitter.write(f"{items} = [{target} for {target} in {items} if {test}]")
            is_counted = reads_loop(node.body)
            if is_counted or node.else_:
                self._emitter.write(f"{loop.length} = len({items})")
            counted = f"{loop.position}, {target} in enumerate({items})"
            self._emitter.write(f"for {counted if is_counted else f'{target} in {items}'}:")
            with self._emitter.indented(is_loop=True):
                self._check_item(node, target, unpacking)
                self._own_body(node.body, bound)
        row = len(node.iter.args) + 1 if is_zip(node.iter) else 0  # the row and its items are paid for as well
        for number, line in enumerate(self._costs.leave_loop([*node.body, *tests], items, row), start):
            self._emitter.insert(number, line)
        return loop.length

    def _bind_target(self, target: nodes.Node, loop: Loop, *, is_paired: bool) -> tuple[str, str, list[str]]:
        """Bind a loop's names; return the target of Python's loop, the line that unpacks it or "", and the names."""
        names = [target] if isinstance(target, nodes.Name) else getattr(target, "items", [None])
        bound = [name.name for name in names if isinstance(name, nodes.Name) and name.name not in NOT_VARIABLES]
        if len(bound) < len(names):
            raise UnsupportedSyntax
        locals_ = self._scope.bind(bound)
        if isinstance(target, nodes.Name) or is_paired:
            loop.items.update(bound)
            return (locals_[0] if isinstance(target, nodes.Name) else f"({', '.join(locals_)},)"), "", bound
        item = self._scope.temporary("item")
        return item, f"{', '.join(locals_)}, = sequence({item})", bound

    def _check_item(self, node: nodes.For, target: str, unpacking: str) -> None:
        """Unpack an item, or check once that it is the dict that the body reads from."""
        if unpacking:
            self._emitter.write(unpacking)
        elif isinstance(node.target, nodes.Name) and prints_attribute_first(node.target.name, node.body):
            self._emitter.write(f"if type({target}) is not dict: bail_out()")
            self._scope.dicts.add(target)
