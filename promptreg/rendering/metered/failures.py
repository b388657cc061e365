"""Translation of what a render raises into our errors, with the template's line and often the variable at fault.

No error quotes a value: of Python's messages only those about types alone are repeated. To name a variable the
template is parsed again, and an expression is named only if its value is certainly the one that failed. No code of
the application runs here.
"""

import re
from collections.abc import Container, Iterator, Mapping
from typing import Any

from jinja2 import nodes

from promptreg.errors import RenderError, RenderLimitError
from promptreg.rendering.compat import missing
from promptreg.rendering.limits import RenderLimits
from promptreg.rendering.metered.meter import Exceeded
from promptreg.rendering.parsing import syntax_tree
from promptreg.rendering.values import AbsentAttribute, AbsentVariable, HintedAbsence, Raised, Refused
from promptreg.untrusted import CallerError

MAX_RAISED = 1_000  # characters that a template passes to `raise_exception`
MAX_SPELLED = 100  # characters of an expression
_TYPES_ALONE = (
    r"'\w+' object is not (?:iterable|subscriptable|reversible)|object of type '\w+' has no len\(\)"
    r"|unhashable type: '\w+'"
    r"|unsupported operand type\(s\) for \S+(?: or pow\(\))?: '\w+' and '\w+'|bad operand type for \S+ \S+: '\w+'"
    r"|'\S+' not supported between instances of '\w+' and '\w+'|can only concatenate \w+ \(not \"\w+\"\) to \w+"
    r"|(?:float |integer )?(?:division or modulo|division|modulo) by zero|argument of type '\w+' is not iterable"
    r"|not enough values to unpack \(expected \d+, got \d+\)|too many values to unpack \(expected \d+\)"
    r"|cannot unpack non-iterable \w+ object|zip\(\) argument \d+ is (?:shorter|longer) than arguments? \d+(?:-\d+)?"
)
"""Python's messages about types alone; any other may quote a value. Compiled when a render fails."""


def translated(
    error: Exception,
    line: int | None,
    source: str,
    variables: Mapping[str, Any],
    limits: RenderLimits,
    *,
    reads: Container[str] = (),
) -> Exception:
    """Return our error for what a render of `source` raised at that line; its cause names the error's type alone.

    An absent variable of those that it `reads` stays `AbsentVariable`, so that the caller can list all that are
    missing; any other name is one that the template sets itself, but only later on.
    """
    if isinstance(error, AbsentVariable) and error.name not in variables and error.name in reads:
        return AbsentVariable(error.name)
    where = f" at line {line}" if line else ""
    if isinstance(error, Exceeded):
        return RenderLimitError(f"The render stopped{where}: {error}.", limit=error.limit, line=line)
    reason = _reason(error, line, source, variables, limits)
    end = "" if isinstance(error, Raised) and reason.endswith((".", "!", "?", "…")) else "."
    failure = RenderError(f"The template failed{where}{reason}{end}", line=line)
    if not isinstance(error, Refused):
        failure.__cause__ = CallerError(type(error).__name__)
    return failure


def _reason(error: Exception, line: int | None, source: str, variables: Mapping[str, Any], limits: RenderLimits) -> str:
    """Return what to write after "The template failed at line 1"."""

    def nones(message: str) -> str:
        return none_read(syntax_tree(source, limits), line, variables) if "NoneType" in message else ""

    match error:
        case Raised():
            text = str(error)
            return f": {text if len(text) <= MAX_RAISED else text[:MAX_RAISED] + '…'}"
        case Refused():
            return f": {error}{nones(str(error))}"
        case AbsentVariable():
            return f": {error.name} is set only later on"
        case HintedAbsence():
            return f": {str(error.message).removesuffix('.')}"
        case AbsentAttribute():
            tree = syntax_tree(source, limits)
            subject = owner(error, tree, line, variables)
            if subject is not None:
                return f": {subject} no {error.name!r}"
            item = absent_item(error, tree, line, variables)
            return f": {item}" if item else f": a value has no such attribute or item{nones(type(error.obj).__name__)}"
    message = _message(error)
    return f" ({message}){nones(message)}"


def _message(error: Exception) -> str:
    """Return the error's message where it is Python's and about types alone, and else the name of its type."""
    entry = error.__traceback__
    while entry is not None and entry.tb_next is not None:
        entry = entry.tb_next
    module = entry.tb_frame.f_globals.get("__name__", "") if entry is not None else ""
    is_pythons = type(error) in {TypeError, ValueError, ZeroDivisionError} and module.startswith(
        ("promptreg.", "jinja2.")
    )
    return str(error) if is_pythons and re.fullmatch(_TYPES_ALONE, str(error)) else type(error).__name__


def owner(error: AbsentAttribute, tree: nodes.Template, line: int | None, variables: Mapping[str, Any]) -> str | None:
    """Return the subject of "… no 'name'": the expression that has no such attribute or item, and whether it is None.

    Where several may be meant, the one on the failed line is named, if it is the only one there. Returns None for a
    name that no read of the template spells, as it is a value's, and for what is no name.
    """
    if type(error.name) is not str:
        return None
    reads: Iterator[Any] = tree.find_all((nodes.Getattr, nodes.Getitem))
    bases = [node.node for node in reads if _key(node) == error.name]
    if not bases:
        return None
    values = [(_spelled(base), base.lineno, _value(base, variables)) for base in bases]
    possible = [(text, at) for text, at, value in values if value is error.obj or value is missing]
    if len({text for text, _ in possible}) > 1:
        possible = [(text, at) for text, at in possible if at == line]
    named = {text for text, _ in possible}
    is_sure = len(named) == 1 and (
        len({text for text, _, _ in values}) == 1
        or any(text in named and value is error.obj for text, _, value in values)
    )
    subject = (named.pop() if is_sure else "") or "a value"
    return f"{subject} is None, so it has" if error.obj is None else f"{subject} has"


def absent_item(error: AbsentAttribute, tree: nodes.Template, line: int | None, variables: Mapping[str, Any]) -> str:
    """Return "items has no item [0]" as the template spells the read that failed; `""` where several may have.

    An index that is no literal is spelled as `[i]`. Its error has no name, nor has one of a filter that reads items.
    """
    reads = [node for node in tree.find_all(nodes.Getitem) if node.lineno == line]
    is_of_filter = error.name is None and any(node.lineno == line for node in tree.find_all(nodes.Filter))
    alike = [
        node
        for node in reads
        if (not isinstance(node.arg, nodes.Const | nodes.Slice) if error.name is None else _key(node) == error.name)
    ]
    values = [(node, _value(node.node, variables)) for node in alike]
    failed = [node for node, value in values if value is error.obj or (value is missing and not is_of_filter)]
    bases, indexes = {_spelled(node.node) for node in failed}, {_spelled_index(node.arg) for node in failed}
    if len(bases) != 1:
        return ""
    index = indexes.pop() if len(indexes) == 1 else ""
    subject = f"{bases.pop() or 'a value'}{' is None, so it has' if error.obj is None else ' has'}"
    return f"{subject} no item [{index}]" if index else f"{subject} no such item"


def none_read(tree: nodes.Template, line: int | None, variables: Mapping[str, Any]) -> str:
    """Return which expressions of a line are None, as an addition to a message about None."""
    read = (node for node in tree.find_all((nodes.Name, nodes.Getattr, nodes.Getitem)) if node.lineno == line)
    texts = dict.fromkeys(_spelled(node) for node in read if _value(node, variables) is None)
    return "".join(f"; {text} is None" for text in texts if text)


def _key(node: nodes.Getattr | nodes.Getitem) -> Any:
    return node.attr if isinstance(node, nodes.Getattr) else _literal(node.arg)


def _literal(node: nodes.Node) -> Any:
    """Return the value of a literal, also of a negative number; else `missing`."""
    if isinstance(node, nodes.Neg) and isinstance(node.node, nodes.Const) and type(node.node.value) is int:
        return -node.node.value
    return node.value if isinstance(node, nodes.Const) else missing


def _spelled_index(node: nodes.Node) -> str:
    literal = _literal(node)
    return _spelled(node) if literal is missing else repr(literal) if type(literal) is int else ""


def _spelled(node: nodes.Node) -> str:
    """Return a name with attributes and items as the template spells it; `""` for any other expression."""
    keys: list[str] = []
    while isinstance(node, nodes.Getattr | nodes.Getitem):
        key = _key(node)
        if type(key) is not int and not (type(key) is str and key.isidentifier()):  # any other text could hold anything
            return ""
        keys.append(f".{key}" if isinstance(node, nodes.Getattr) else f"[{key!r}]")
        node = node.node
    text = "".join([node.name, *reversed(keys)]) if isinstance(node, nodes.Name) else ""
    return text if len(text) <= MAX_SPELLED else ""


def _value(node: nodes.Node, variables: Mapping[str, Any]) -> Any:
    """Return the value of such an expression, where plain containers and objects show it; else `missing`."""
    if isinstance(node, nodes.Name):
        return variables.get(node.name, missing)
    if not isinstance(node, nodes.Getattr | nodes.Getitem):
        return missing
    base, key = _value(node.node, variables), _key(node)
    if type(base) is dict and type(key) in {str, int}:
        return base.get(key, missing)
    if type(base) in {list, tuple} and type(key) is int and -len(base) <= key < len(base):
        return base[key]
    attributes = _instance_dict(base)
    return attributes.get(key, missing) if type(key) is str else missing


def _instance_dict(value: Any) -> dict[str, Any]:
    """Return the attributes in the object's `__dict__`, read without running code of its class."""
    try:
        attributes = object.__getattribute__(value, "__dict__")
    except (AttributeError, TypeError):
        return {}
    return attributes if type(attributes) is dict else {}
