"""What the errors of a template say to write instead of what it may not contain: a few tables.

In them `x` is any value and `xs` a list. What may be contained is decided in `policy.py`.
"""

from promptreg.rendering.filters import FILTERS

PASSED = "pass its result as a variable"
_APPENDED = "{% set xs = xs + [x] %}, or in a loop {% set ns.xs = ns.xs + [x] %}"
_TEXT = "write the text out, or pass it as a variable"
_PARENT = "write the text out, with variables for what differs"

STATEMENTS = {
    "include": _TEXT,
    "import": "write the macros out",
    "from … import": "write the macros out",
    "extends": _PARENT,
    "block": _PARENT,
    "autoescape": "nothing is escaped but by the filter escape",
}
"""Statements that Jinja2 has, and that no template may contain."""

TAGS = {
    "do": "Write {% set xs = xs + [x] %} or the like",
    "trans": "Pass the text as a variable",
    "generation": "Leave the tag out",
}
"""Statements of extensions of Jinja2."""

FUNCTIONS = {
    "all": "not (xs | reject | list)",
    "any": "xs | select | list",
    "bool": "true if x else false",
    "cycler": "loop.cycle('a', 'b')",
    "enumerate": "{% for x in xs %}{{ loop.index0 }} {{ x }}{% endfor %}",
    "filter": "xs | select | list",
    "getattr": "x.name | default('')",
    "hasattr": "x.name is defined",
    "isinstance": "x is string",
    "joiner": "xs | join(', ')",
    "len": "xs | length",
    "next": "xs | first",
    "print": "{{ x }}",
    "repr": "x | tojson",
    "reversed": "xs | reverse | list",
    "set": "xs | unique | list",
    "sorted": "xs | sort",
    "str": "x | string",
    "tuple": "xs | list",
    "type": "x is string",
}
"""Functions of Python and Jinja2, and what does the same; the names of filters are not repeated."""

METHODS = {
    "add": _APPENDED,
    "append": _APPENDED,
    "clear": "{% set xs = [] %}",
    "copy": "{% set ys = xs %}",
    "dumps": "x | tojson",
    "extend": "{% set xs = xs + ys %}, or in a loop {% set ns.xs = ns.xs + ys %}",
    "has_key": "'name' in x",
    "insert": "{% set xs = [x] + xs %}",
    "json": "x | tojson",
    "model_dump_json": "x | tojson",
    "pop": "xs[-1], or {% set xs = xs[:-1] %}",
    "push": _APPENDED,
    "remove": "{% set xs = xs | reject('equalto', x) | list %}",
    "setdefault": "{% set x = dict(x, name=x.name | default(y)) %}",
    "stringify": "x | tojson",
    "update": "{% set x = dict(x, name=y) %}",
}
"""Methods that no template may call, and what does the same."""

_READ_OUTSIDE = frozenset({"choice", "getenv", "loads", "now", "randint", "read", "today", "utcnow"})


def of_function(name: str) -> str | None:
    """Return what to do instead of calling a function; None where nothing does the same.

    >>> of_function("len"), of_function("sum")
    ('write xs | length', 'use the filter sum')
    """
    return _of_call(name, FUNCTIONS)


def of_method(name: str) -> str | None:
    """Return what to do instead of calling a method; None where nothing does the same.

    >>> of_method("dumps"), of_method("format"), of_method("now")
    ('write x | tojson', 'use the filter format', 'pass its result as a variable')
    """
    return PASSED if name in _READ_OUTSIDE else _of_call(name, METHODS)


def of_filter(name: str) -> str:
    """Return what to do instead of using a filter of Jinja2 that no template may use."""
    return "write x | tojson(indent=2)" if name == "pprint" else PASSED


def _of_call(name: str, table: dict[str, str]) -> str | None:
    if name in table:
        return f"write {table[name]}"
    return f"use the filter {name}" if name in FILTERS else None
