"""Which variable of a failed render is to blame, by its name: read from the template again, once it has failed.

Only what is certain is said: an expression is named where what it stands for is at hand and is the value that failed,
or where it alone reads an attribute of that name. Nothing of a value's own code runs.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from jinja2 import nodes
from jinja2.utils import missing

from promptreg.rendering.values import AbsentAttribute

MAX_SPELLED = 100  # characters of an expression


def owner(error: AbsentAttribute, tree: nodes.Template, line: int | None, variables: Mapping[str, Any]) -> str:
    """Return the subject of "… no 'name'": what has no such attribute or item, and whether it is None.

    Of several expressions that may be it, that of the failed line is named, where it is the only one there.
    """
    reads: Iterator[Any] = tree.find_all((nodes.Getattr, nodes.Getitem))
    bases = [node.node for node in reads if _key(node) == error.name]
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


def none_read(tree: nodes.Template, line: int | None, variables: Mapping[str, Any]) -> str:
    """Return which expressions of a line are None, as what an error of None adds."""
    read = (node for node in tree.find_all((nodes.Name, nodes.Getattr, nodes.Getitem)) if node.lineno == line)
    texts = dict.fromkeys(_spelled(node) for node in read if _value(node, variables) is None)
    return "".join(f"; {text} is None" for text in texts if text)


def _key(node: nodes.Getattr | nodes.Getitem) -> Any:
    if isinstance(node, nodes.Getattr):
        return node.attr
    return node.arg.value if isinstance(node.arg, nodes.Const) else missing


def _spelled(node: nodes.Node) -> str:
    """Return a name with attributes and items as the template spells it; nothing for any other expression."""
    keys: list[str] = []
    while isinstance(node, nodes.Getattr | nodes.Getitem):
        key = _key(node)
        if type(key) is not int and not (type(key) is str and key.isidentifier()):  # another text may be anything
            return ""
        keys.append(f".{key}" if isinstance(node, nodes.Getattr) else f"[{key!r}]")
        node = node.node
    text = "".join([node.name, *reversed(keys)]) if isinstance(node, nodes.Name) else ""
    return text if len(text) <= MAX_SPELLED else ""


def _value(node: nodes.Node, variables: Mapping[str, Any]) -> Any:
    """Return what such an expression stands for, as far as plain containers and objects tell; else `missing`."""
    if isinstance(node, nodes.Name):
        return variables.get(node.name, missing)
    if not isinstance(node, nodes.Getattr | nodes.Getitem):
        return missing
    base, key = _value(node.node, variables), _key(node)
    if type(base) is dict and type(key) in {str, int}:
        return base.get(key, missing)
    if type(base) in {list, tuple} and type(key) is int and -len(base) <= key < len(base):
        return base[key]
    held = _held(base)
    return held.get(key, missing) if type(key) is str else missing


def _held(value: Any) -> dict[str, Any]:
    """Return the attributes that an object holds itself, without its own code."""
    try:
        held = object.__getattribute__(value, "__dict__")
    except (AttributeError, TypeError):
        return {}
    return held if type(held) is dict else {}
