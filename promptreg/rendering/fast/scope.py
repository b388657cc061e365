"""Scopes: which Python local each name of a template is bound to, and whether it is bound where it is read."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeAlias

from jinja2 import nodes

from promptreg.rendering.fast.assignments import assignments
from promptreg.rendering.fast.syntax import NOT_VARIABLES, UnsupportedSyntax, names

MAX_LOOPS = 20  # in each other, as the metered tier has them all in one function, where Python takes no more

Path: TypeAlias = tuple[Any, ...]
"""Where a value stands in what was passed: a variable's name, and the keys that lead from it."""


class Loop(NamedTuple):
    """A loop around the current node: the Python locals of its sequence, its position and its length.

    `items` are the names that the loop itself binds, to an item or to a dict's key and value.
    """

    sequence: str
    position: str
    length: str
    items: set[str]


class Macro(NamedTuple):
    """A macro of the template: its Python function, what a call costs, and how deep calls nest, itself included."""

    local: str
    parameters: dict[str, str]  # to their locals
    cost: int
    calls: int


class Namespace(NamedTuple):
    """A namespace of the template, each of whose attributes is a Python local."""

    attributes: dict[str, str]
    function: int  # how many functions are around its creation


class Scope:
    """The names of one template, as the compiler meets them."""

    def __init__(self) -> None:
        self.variables: dict[str, str] = {}  # to their locals
        self.required: set[str] = set()  # variables that are read on every path through the template
        self.loops: list[Loop] = []
        self.dicts: set[str] = set()  # locals that have been checked to be exact dicts
        self.namespaces: dict[str, Namespace] = {}
        self.macros: dict[str, Macro] = {}
        self._functions = 0  # around the current node
        self._inner: dict[str, str] = {}  # names of loops, macros and blocks to their locals
        self._assignable: frozenset[str] | None = None  # by the innermost of these; None outside all
        self._assigned: set[str] = set()  # outside them
        self._read_inside: set[str] = set()  # before they were assigned
        self._conditions = 0
        self._always = 0  # conditions around all of the innermost loop, macro or block
        self._temporaries = 0

    def temporary(self, prefix: str = "t") -> str:
        """Return a new Python local for an intermediate result."""
        self._temporaries += 1
        return f"{prefix}{self._temporaries}"

    @contextmanager
    def conditional(self) -> Iterator[None]:
        """Note that what is read here is not read on every path through the template."""
        self._conditions += 1
        yield
        self._conditions -= 1

    def read(self, name: str) -> str:
        """Return the local of a name that the template reads."""
        self._require_value(name)
        if name in self._inner:
            return self._inner[name]
        if self._assignable is not None and name not in self._assigned:
            self._read_inside.add(name)
        if not self._conditions and name not in self._assigned:
            self.required.add(name)
        return self._local(name)

    def _require_value(self, name: str) -> None:
        """Raise `UnsupportedSyntax` for the name of a function, a macro or a namespace, which is no local."""
        if name in NOT_VARIABLES or name in self.macros or name in self.namespaces:
            raise UnsupportedSyntax

    def loads(self) -> Iterator[str]:
        """Yield the lines that load the variables; if one that is read on every path is absent, they bail out.

        If a different number of variables is passed than the template loads, their names have been checked before.
        """
        for name, local in self.variables.items():
            is_there = f" if {name!r} in v else ABSENT if len(v) < {len(self.variables)} else absent(v)"
            optional = "" if name in self.required else is_there
            yield f" {local} = v[{name!r}]{optional}"

    def require_assignable(self, name: str) -> None:
        """Raise `UnsupportedSyntax` where a local can't behave as the template's name does.

        Outside loops an assigned name stays bound for all that follows, whatever `if` it is in, as in Python.
        In a loop, a macro or a block it is bound there alone. Elsewhere Jinja finds no variable of a name that is read
        in a loop before it is assigned outside.
        """
        self._require_value(name)
        if name in self._read_inside if self._assignable is None else name not in self._assignable:
            raise UnsupportedSyntax

    def assign(self, name: str) -> str:
        """Bind a name, and return its local."""
        if name not in self._inner:
            self._assigned.add(name)
        if self.loops:
            self.loops[-1].items.discard(name)
        local = self._local(name)
        self.dicts.discard(local)
        return local

    def _local(self, name: str) -> str:
        return self._inner.get(name) or self.variables.setdefault(name, f"v{len(self.variables)}")

    @contextmanager
    def inner(self) -> Iterator[None]:
        """Enter a loop, a macro or a block; the names that are bound in it are unbound after it.

        What is read before its body, such as a default of a macro, is read inside it too.
        """
        outer = self._inner, self._assignable, self._always, self.namespaces
        self._assignable = frozenset()
        yield
        self._inner, self._assignable, self._always, self.namespaces = outer

    @contextmanager
    def function(self) -> Iterator[None]:
        """Enter a macro or a block that becomes a Python function, which can't assign what is outside it."""
        with self.inner():
            self._functions += 1
            yield
            self._functions -= 1

    @contextmanager
    def loop(self, sequence: str) -> Iterator[Loop]:
        """Enter a loop over what this local holds."""
        if len(self.loops) == MAX_LOOPS:
            raise UnsupportedSyntax
        with self.inner():
            self.loops.append(Loop(sequence, self.temporary("i"), self.temporary("n"), set()))
            yield self.loops[-1]
            self.loops.pop()

    def bind(self, bound: Iterable[str]) -> list[str]:
        """Bind names in the innermost loop, macro or block, and return their locals."""
        local = {}
        for name in bound:
            self._require_value(name)
            local[name] = self.temporary("x")
        self._inner = {**self._inner, **local}
        return list(local.values())

    def bind_assigned(self, body: list[nodes.Node], bound: list[str]) -> list[str]:
        """Bind the names that the body of a loop, macro or block assigns, beside those `bound` already.

        Return the lines that set those that may be read before, to what they are outside.
        """
        found = assignments(body, bound)
        self._assignable, self._always = found.names, self._conditions
        new = sorted(found.names.difference(bound))
        outside = {name: self._outside(name) for name in new if name in found.read_before}
        return [f"{x} = {outside[name]}" for name, x in zip(new, self.bind(new), strict=True) if name in outside]

    def _outside(self, name: str) -> str:
        """Return the local that a name has around the innermost loop, macro or block."""
        if name in self._inner or name in self._assigned:
            return self._local(name)
        raise UnsupportedSyntax

    def require_new(self, name: str) -> None:
        """Raise `UnsupportedSyntax` unless a name that is no value may be bound here, outside all loops and blocks."""
        self._require_value(name)
        if self._assignable is not None or not self.is_certain() or name in self.variables:
            raise UnsupportedSyntax

    @property
    def is_in_function(self) -> bool:
        """Whether the current node is in a macro or a block that becomes a Python function."""
        return self._functions > 0

    def is_certain(self) -> bool:
        """Return whether the current node runs whenever the innermost loop, macro or block around it does."""
        return self._conditions == self._always

    def create_namespace(self, name: str, attributes: Iterable[str]) -> dict[str, str]:
        """Bind a namespace, and return the locals of its attributes."""
        if self._assignable is None:
            self.require_new(name)
        self.require_assignable(name)
        namespace = Namespace({attribute: self.temporary("a") for attribute in sorted(attributes)}, self._functions)
        self.namespaces = {**self.namespaces, name: namespace}
        return namespace.attributes

    def attribute(self, node: nodes.Node) -> str | None:
        """Return the local of an attribute of a namespace; None for any other node."""
        if not isinstance(node, nodes.Getattr) or not isinstance(node.node, nodes.Name):
            return None
        namespace = self.namespaces.get(node.node.name)
        if namespace is not None and node.attr.startswith("_"):
            raise UnsupportedSyntax
        return None if namespace is None else namespace.attributes[node.attr]

    def assigned_attribute(self, node: nodes.NSRef) -> str:
        """Return the local of an attribute that is assigned."""
        namespace = self.namespaces.get(node.name)
        if namespace is None or namespace.function != self._functions:
            raise UnsupportedSyntax
        return namespace.attributes[node.attr]

    def may_change(self, node: nodes.Node) -> bool:
        """Return whether an expression reads a namespace, or calls a macro, which may read one."""
        return not {*self.namespaces, *self.macros}.isdisjoint(names([node]))

    def path(self, node: Any) -> Path | None:
        """Return where a value stands in what was passed; None where it may be the same value as another."""
        match node:
            case nodes.Name(name=name) if name in self._inner:
                return (name,) if self.loops and name in self.loops[-1].items else None
            case nodes.Name(name=name):
                return None if name in self._assigned or name in self.namespaces else (name,)
            case nodes.Getattr(node=of, attr=key) | nodes.Getitem(node=of, arg=nodes.Const(value=key)):
                path = self.path(of)
                return None if path is None else (*path, key)
        return None
