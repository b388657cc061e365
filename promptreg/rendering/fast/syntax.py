"""Syntax nodes: how the compiler dispatches on them, and what it asks about them. No code is generated here."""

from collections.abc import Collection, Iterable, Iterator
from typing import Any, NamedTuple, TypeGuard

from jinja2 import nodes

from promptreg.rendering.fast.guards import MAX_NUMBER
from promptreg.rendering.filters import FILTERS, TEXT
from promptreg.rendering.policy import BUILTINS
from promptreg.rendering.values import DICT_NAMES

NOT_VARIABLES = BUILTINS | {"loop", "caller", "varargs", "kwargs"}
OPERATORS_OF_TESTS = {
    name: operator
    for operator, names in {
        "eq": "eq equalto ==",
        "ne": "ne !=",
        "lt": "lt lessthan <",
        "lteq": "le <=",
        "gt": "gt greaterthan >",
        "gteq": "ge >=",
        "in": "in",
    }.items()
    for name in names.split()
}
MAX_JOINS = 6
MAX_PIECES = 40  # printed in one expression: Python compiles a long sum by recursion


class UnsupportedSyntax(Exception):
    """The template is outside the fast tier's subset."""


class Visitor:
    """Calls the method for a syntax node: `_visit_getattr` for `nodes.Getattr`, and so on."""

    def visit(self, node: nodes.Node | None) -> Any:
        """Return what the method returns; raise `UnsupportedSyntax` where there is none."""
        method = getattr(self, f"_visit_{type(node).__name__.lower()}", None)
        if method is None:
            raise UnsupportedSyntax
        return method(node)


def require_plain_call(node: Any, *, keywords: bool = False) -> None:
    """Raise `UnsupportedSyntax` for `*args` and `**kwargs`, and for arguments by name unless these are allowed."""
    if node.dyn_args is not None or node.dyn_kwargs is not None or (node.kwargs and not keywords):
        raise UnsupportedSyntax


def positional_arguments(node: nodes.Filter) -> list[nodes.Expr]:
    """Return a filter's arguments; those passed by name must be the last ones, in their order.

    `ensure_ascii=False` is left out, because it is what `tojson` does without it.
    """
    require_plain_call(node, keywords=True)
    keywords = [keyword for keyword in node.kwargs if not _is_default(node, keyword)]
    names = {"default": ["default_value", "boolean"], "d": ["default_value", "boolean"], "tojson": ["indent"]}
    rest = names.get(node.name, [])[len(node.args) :]
    if [keyword.key for keyword in keywords] != rest[: len(keywords)]:
        raise UnsupportedSyntax
    return [*node.args, *(keyword.value for keyword in keywords)]


def _is_default(node: nodes.Filter, keyword: Any) -> bool:
    return node.name == "tojson" and keyword.key == "ensure_ascii" and keyword.value == nodes.Const(False)


def mapped_attribute(node: nodes.Filter) -> str:
    """Return the attribute of `map(attribute='name')`, a single name; raise `UnsupportedSyntax` for any other `map`."""
    require_plain_call(node, keywords=True)
    keyword = node.kwargs[0] if len(node.kwargs) == 1 and not node.args else None
    attribute = keyword.value.value if keyword is not None and isinstance(keyword.value, nodes.Const) else None
    if keyword is None or keyword.key != "attribute" or not isinstance(attribute, str) or not attribute.isidentifier():
        raise UnsupportedSyntax
    return attribute


def selection(node: nodes.Filter) -> tuple[str, nodes.Expr | None]:
    """Return the attribute of `selectattr('name')` or `selectattr('name', 'equalto', value)`, and the value or None."""
    require_plain_call(node)
    match node.args:
        case [nodes.Const(value=str(name)), *rest] if name.isidentifier() and name not in DICT_NAMES:
            match rest:
                case []:
                    return name, None
                case [nodes.Const(value="equalto" | "eq" | "=="), value]:
                    return name, value
    raise UnsupportedSyntax


def as_comparison(node: nodes.Test) -> nodes.Compare | None:
    """Return the comparison that a test such as `x is eq y` or `x is even` stands for; None for other tests."""
    match node.args:
        case [value] if node.name in OPERATORS_OF_TESTS:
            return nodes.Compare(node.node, [nodes.Operand(OPERATORS_OF_TESTS[node.name], value)])
        case [value] if node.name == "divisibleby":
            return nodes.Compare(nodes.Mod(node.node, value), [nodes.Operand("eq", nodes.Const(0))])
        case [] if node.name in {"odd", "even"}:
            rest = nodes.Const(int(node.name == "odd"))
            return nodes.Compare(nodes.Mod(node.node, nodes.Const(2)), [nodes.Operand("eq", rest)])
    return None


def macro_arguments(node: nodes.Call, parameters: Collection[str]) -> dict[str, nodes.Expr]:
    """Return the arguments of a call of a macro, by its parameters."""
    require_plain_call(node, keywords=True)
    passed = dict(zip(parameters, node.args, strict=False))
    named = {keyword.key: keyword.value for keyword in node.kwargs}
    if len(node.args) > len(parameters) or passed.keys() & named or not named.keys() <= set(parameters):
        raise UnsupportedSyntax
    return passed | named


def is_number(node: object) -> bool:
    """Return whether a node is a literal that is a small number."""
    return isinstance(node, nodes.Const) and type(node.value) in {int, float} and abs(node.value) < MAX_NUMBER


def is_text(node: object) -> bool:
    """Return whether an expression is a text whenever it does not fail."""
    if isinstance(node, nodes.Add):
        return is_text(node.left) or is_text(node.right)
    if isinstance(node, nodes.Filter):
        return FILTERS[node.name].returns is TEXT
    return isinstance(node, nodes.Concat) or is_literal(node)


class PrintedPart(NamedTuple):
    """A value that is printed as part of an expression; it must be a text if `is_text`, and is joined `depth` times."""

    node: nodes.Expr
    is_text: bool = False
    depth: int = 0


def printed_parts(part: PrintedPart) -> Iterator[PrintedPart]:
    """Yield what is printed, one after the other, in place of texts that `~` or `+` would join before."""
    node, depth = part.node, part.depth + 1
    if depth <= MAX_JOINS and isinstance(node, nodes.Concat):
        for operand in node.nodes:
            yield from printed_parts(PrintedPart(operand, False, depth))
    elif depth <= MAX_JOINS and isinstance(node, nodes.Add) and (part.is_text or is_text(node)):
        for operand in (node.left, node.right):
            yield from printed_parts(PrintedPart(operand, True, depth))
    else:
        yield part


def is_literal(node: object) -> bool:
    """Return whether a node is a literal text."""
    return isinstance(node, nodes.Const) and type(node.value) is str


def printed_values(node: nodes.If) -> int | None:
    """Return how many values and choices an `if` may print, itself included; None if it does anything but print."""
    count = 1
    for statement in (*node.body, *(inner for branch in node.elif_ for inner in branch.body), *node.else_):
        match statement:
            case nodes.Output(nodes=parts):
                count += sum(_printed_parts(part) for part in parts)
            case nodes.If() if (inside := printed_values(statement)) is not None:
                count += inside
            case _:
                return None
    return count


def _printed_parts(node: nodes.Expr) -> int:
    if isinstance(node, nodes.Concat | nodes.Add):
        return len(list(printed_parts(PrintedPart(node))))
    return not isinstance(node, nodes.TemplateData)


def names(body: Iterable[nodes.Node]) -> Iterator[str]:
    """Yield each occurrence of a name in these nodes."""
    for part in body:
        for node in (part, *part.find_all((nodes.Name, nodes.NSRef))):
            if isinstance(node, nodes.Name | nodes.NSRef):
                yield node.name


def prints_attribute_first(name: str, body: list[nodes.Node]) -> bool:
    """Return whether a body prints an attribute of that name's value before it does anything but print."""
    for statement in body:
        if not isinstance(statement, nodes.Output):
            return False
        for node in statement.nodes:
            if isinstance(node, nodes.Getattr) and isinstance(node.node, nodes.Name) and node.node.name == name:
                return True
    return False


def leaves_passes(body: Iterable[nodes.Node]) -> bool:
    """Return whether a body has a `break` or `continue`, be it of a loop inside it."""
    kinds: Any = (nodes.Break, nodes.Continue)
    return any(isinstance(node, kinds) or node.find(kinds) for node in body)


def is_loop(node: nodes.Node) -> bool:
    """Return whether a node is the name `loop`."""
    return isinstance(node, nodes.Name) and node.name == "loop"


def is_zip(node: nodes.Node) -> TypeGuard[nodes.Call]:
    """Return whether a node is a call of `zip`."""
    return isinstance(node, nodes.Call) and isinstance(node.node, nodes.ExtensionAttribute) and node.node.name == "zip"


def reads_loop(body: Iterable[nodes.Node]) -> bool:
    """Return whether a body reads `loop`."""
    return "loop" in names(body)
