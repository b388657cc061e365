"""Scopes: which Python local each name of a template is bound to, and whether it is bound where it is read."""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from typing import Any, NamedTuple, TypeAlias

from jinja2 import nodes

from promptreg.rendering.fast.syntax import NOT_VARIABLES, UnsupportedSyntax, assigned_in_each_pass, assigns, names

Path: TypeAlias = tuple[Any, ...]
"""Where a value stands in what was passed: a variable's name, and the keys that lead from it."""


class Loop(NamedTuple):
    """A loop around the current node: the Python locals of its position and its length, and the names of one pass."""

    position: str
    length: str
    items: set[str]  # that the loop itself binds, to an item or to a dict's key and value
    assigned: set[str]  # that the body assigns


class Scope:
    """The names of one template, as the compiler meets them."""

    def __init__(self, tree: nodes.Template) -> None:
        self.variables: dict[str, str] = {}  # to their locals
        self.required: set[str] = set()  # variables that are read on every way through the template
        self.loops: list[Loop] = []
        self.dicts: set[str] = set()  # locals that have been checked to be exact dicts
        self._tree = tree
        self._names_of_loops: dict[str, str] = {}  # to their locals
        self._assigned: set[str] = set()  # outside loops
        self._read_in_loops: set[str] = set()  # before they were assigned
        self._conditions = 0
        self._temporaries = 0

    def temporary(self, prefix: str = "t") -> str:
        """Return a new Python local for an intermediate result."""
        self._temporaries += 1
        return f"{prefix}{self._temporaries}"

    @contextmanager
    def conditional(self) -> Iterator[None]:
        """Note that what is read here is not read on every way through the template."""
        self._conditions += 1
        yield
        self._conditions -= 1

    def read(self, name: str) -> str:
        """Return the local of a name that the template reads."""
        if name in self._names_of_loops:
            return self._names_of_loops[name]
        if name in NOT_VARIABLES:
            raise UnsupportedSyntax
        if self.loops and name not in self._assigned:
            self._read_in_loops.add(name)
        if not self._conditions and name not in self._assigned:
            self.required.add(name)
        return self._local(name)

    def loads(self) -> Iterator[str]:
        """Yield the lines that load the variables; one that is read on every way through is there, or it bails out.

        The names are checked before, if not as many are passed as a template loads; so they are where fewer are.
        """
        for name, local in self.variables.items():
            is_there = f" if {name!r} in v else ABSENT if len(v) < {len(self.variables)} else absent(v)"
            optional = "" if name in self.required else is_there
            yield f" {local} = v[{name!r}]{optional}"

    def require_assignable(self, name: str) -> None:
        """Raise `UnsupportedSyntax` where a local can't behave as the template's name does.

        Outside loops an assigned name stays bound for all that follows, whatever `if` it is in, as in Python.
        In a loop it is bound in one pass alone, and must not be read before.
        """
        is_outer = bool(self.loops) and name not in self.loops[-1].assigned
        if name in NOT_VARIABLES or is_outer or name in self._read_in_loops:
            raise UnsupportedSyntax

    def assign(self, name: str) -> str:
        """Bind a name, and return its local."""
        self._assigned.add(name)
        return self._local(name)

    def _local(self, name: str) -> str:
        return self._names_of_loops.get(name) or self.variables.setdefault(name, f"v{len(self.variables)}")

    @contextmanager
    def loop(self, body: list[nodes.Node]) -> Iterator[Loop]:
        """Enter a loop; the names that are bound in it are unbound after it."""
        outer = self._names_of_loops
        assigned = assigned_in_each_pass(body, self._occurrences) if assigns(body) else set()
        self.loops.append(Loop(self.temporary("i"), self.temporary("n"), set(), assigned))
        yield self.loops[-1]
        self.loops.pop()
        self._names_of_loops = outer

    def bind_in_loop(self, bound: list[str]) -> list[str]:
        """Bind names that belong to one pass of the innermost loop, and return their locals."""
        local = {name: self.temporary("x") for name in bound}
        self._names_of_loops = {**self._names_of_loops, **local}
        return [local[name] for name in bound]

    @cached_property
    def _occurrences(self) -> Counter[str]:
        return Counter(names([self._tree]))

    def path(self, node: Any) -> Path | None:
        """Return where a value stands in what was passed; None where it may be the same value as another."""
        match node:
            case nodes.Name(name=name) if name in self._names_of_loops:
                return (name,) if self.loops and name in self.loops[-1].items else None
            case nodes.Name(name=name):
                return None if name in self._assigned else (name,)
            case nodes.Getattr(node=of, attr=key) | nodes.Getitem(node=of, arg=nodes.Const(value=key)):
                path = self.path(of)
                return None if path is None else (*path, key)
        return None
