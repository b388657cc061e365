"""The fast tier: the templates that most prompts are, as one Python function over exact builtin values.

Its subset is output, `if`, `for` over data, `set`, and the tests, filters and comparisons of `fast.py`. Each rule
below says why the text is Jinja's. What they share: the function has no effect and runs no code of a value's own, but
for what comparing keys runs where a dict is looked up, because each value is looked at by its exact type first (`str
int float bool None`, and `list tuple dict` to go into). So it may give up at any moment, on any doubt, and the
metered tier starts afresh: an absent variable, another type, an attribute that is not there, a text or loop that is
long. It gives up by any exception, and never explains: errors are the metered tier's.

What it gives, the metered tier gives under the same limits. So each function has a price, the fuel that the metered
tier takes at most for what the function lets pass: in loops a fiftieth of the fuel for nodes, where a step on a text
counts as several, and outside them as many characters as the rest pays for. Where limits are lower than what a step
may need (`LEAST`), there is no function. It needs no clock, as so much fuel takes the metered tier 0.1 s, and what it
gives up on costs little.
"""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from jinja2 import nodes

from promptreg.rendering.fast import operations as fast
from promptreg.rendering.filters import ANY, FILTERS, INLINE, INTEGER, TESTS, TEXT
from promptreg.rendering.limits import CHARACTERS_A_UNIT, COMPARED_A_UNIT, MAX_NEEDLE, RenderLimits, body_cost
from promptreg.rendering.policy import BUILTINS
from promptreg.rendering.values import DICT_NAMES

FILE = "<fast template>"
FUEL_SHARE, MAX_FUEL = 50, 20_000
LEAST = {"items": fast.MAX_ITEMS, "depth": fast.MAX_DEPTH, "calls": 2, "range_items": MAX_FUEL, "seconds": 0.5}
MAX_TEXT = 1_500  # characters that a step takes inside a loop; outside, it is a share of `MAX_TEXTS`
MAX_TEXTS = 1_000_000
CHARACTERS_A_FUEL = CHARACTERS_A_UNIT // 4  # of a step, which takes a text and makes one three times as long
MOST_FUEL = 2  # of a step on no text, or of a comparison
TEXTS_IN_LOOPS = 20  # fuel for characters, to one for nodes
STEP_COST = MAX_TEXT // CHARACTERS_A_FUEL // TEXTS_IN_LOOPS + 1
MAX_PIECES = 40  # put together at a time: Python compiles a long sum by recursion
CHUNK = 20_000  # characters that text grows to in a loop, as growing may copy it
MAX_SETS = 20  # in loops, each looked for in the whole template
NOT_VARIABLES = BUILTINS | {"loop", "caller", "varargs", "kwargs"}

BOOLEAN = "boolean"  # what an expression gives, beside what a filter may return: TEXT, INTEGER, ANY

LOOP_PARTS = {
    "index": "({i} + 1)",
    "index0": "{i}",
    "first": "({i} == 0)",
    "last": "({i} == {n} - 1)",
    "length": "{n}",
    "revindex": "({n} - {i})",
    "revindex0": "({n} - {i} - 1)",
}
COMPARISONS = {"eq": "==", "ne": "!=", "lt": "<", "lteq": "<=", "gt": ">", "gteq": ">="}
ARITHMETIC: dict[type[nodes.Expr], str] = {
    **{nodes.Add: "plus", nodes.Sub: "minus", nodes.Mul: "times"},
    **{nodes.Div: "divided", nodes.FloorDiv: "divided_whole", nodes.Mod: "remainder"},
}


class UnsupportedSyntax(Exception):
    """The template is outside the subset."""


class FastText(NamedTuple):
    """A function from variables to text, which fails on values outside the subset.

    `read` are the variables that it reads, where each way through it reads them all; else None. `price` is the fuel
    that the metered tier takes at most for what the function lets pass, but for putting the result together.
    """

    render: Callable[[dict[str, Any]], str]
    read: frozenset[str] | None
    price: int


def compile_fast(tree: nodes.Template, limits: RenderLimits, declared: frozenset[str] = frozenset()) -> FastText | None:
    """Return the function of a template in the subset; None for other templates.

    An absent variable is false where its truth is tested, if it is one of those `declared`.
    """
    if any(getattr(limits, name) < least for name, least in LEAST.items()):
        return None
    writer = _Writer(limits, declared)
    try:
        source = writer.function(tree)
        code = compile(source, FILE, "exec")
    except (UnsupportedSyntax, SyntaxError, ValueError, RecursionError, MemoryError):
        return None
    price = writer.price()
    if not is_paid([price], limits):
        return None
    module: dict[str, Any] = {}
    exec(code, _GLOBALS, module)
    return FastText(module["render"], writer.read(), price)


def most_text(limits: RenderLimits) -> int:
    """Give how many characters a result may have: no more than a sixteenth of the fuel pays for."""
    return min(limits.characters, limits.fuel)


def is_paid(prices: Iterable[int], limits: RenderLimits) -> bool:
    """Tell whether the fuel is enough for texts of these prices, and for putting their results together."""
    return sum(prices) + most_text(limits) // CHARACTERS_A_UNIT <= limits.fuel


def _fuel(limits: RenderLimits) -> int:
    return min(limits.fuel // FUEL_SHARE, MAX_FUEL)


_GLOBALS: dict[str, Any] = {
    **fast.GLOBALS,
    **{f"filter_{name}": row.fast for name, row in FILTERS.items()},
    **{f"test_{name}": row.fast for name, row in TESTS.items()},
}


class _Loop(NamedTuple):
    """A loop around what is written.

    Python's names of its position and length, the names that its body sets, and those of its items that were passed.
    """

    position: str
    length: str
    own: set[str]
    passed: set[str]


class _Writer:
    """Writes the function: statements as lines, expressions as Python expressions."""

    def __init__(self, limits: RenderLimits, declared: frozenset[str]) -> None:
        self._limits = limits
        self._declared = declared
        self._most = most_text(limits)
        self._price = 0  # of what is outside loops
        self._has_steps_in_loops = False
        self._lines: list[str] = []
        self._indent = 1
        self._pieces: list[str] = []  # of the text that is being put together
        self._lengths: list[str] = []  # of those that are measured before
        self._paths: set[tuple[Any, ...]] = set()  # of those that are not
        self._printed = 0  # values in these pieces
        self._is_begun = False
        self._has_loops = False
        self._names = 0
        self._scope: dict[str, str] = {}  # names that the template binds, to Python's
        self._variables: dict[str, str] = {}
        self._required: set[str] = set()
        self._tree: nodes.Template
        self._bound: set[str] = set()  # names that were set outside loops
        self._read_in_loops: set[str] = set()  # and those that Jinja looks up before they are set
        self._loops: list[_Loop] = []
        self._conditions = 0
        self._steps = [0]  # on texts: outside loops, and in a pass of each loop around what is written
        self._sets = 0
        self._is_range_used = False
        self._dicts: set[str] = set()  # names of loops' items that were looked at already
        self._shown: set[int] = set()  # nodes whose text is printed, and nothing else done with it

    # The function

    def function(self, tree: nodes.Template) -> str:
        """Give the source of the function."""
        self._tree = tree
        self._body(tree.body)
        self._flush()
        self._require_fitting()
        lines = ["def render(v):", *self._loads()]
        lines += [" if 'range' in v: unfit()"] if self._is_range_used else []
        if not self._has_loops:
            return "\n".join([*lines, *self._lines, " return o"])
        lines += [" out = None", f" fuel = {_fuel(self._limits)}", *self._lines]
        return "\n".join([*lines, f" return o if out is None else ''.join(grown({self._most}, out, o))"])

    def read(self) -> frozenset[str] | None:
        """Give the variables that are read on every way through; None where some may not be."""
        return frozenset(self._required) if len(self._required) == len(self._variables) else None

    def price(self) -> int:
        """Give the fuel that the metered tier takes at most, but for putting the result together."""
        a_node = 1 + MOST_FUEL + TEXTS_IN_LOOPS * self._has_steps_in_loops
        return self._price + self._has_loops * a_node * _fuel(self._limits)

    def _loads(self) -> Iterator[str]:
        """A variable that is read on every way through is there or the render fails; the others may be absent."""
        for name, local in self._variables.items():
            yield f" {local} = v[{name!r}]" if name in self._required else f" {local} = v.get({name!r}, ABSENT)"

    def _write(self, line: str) -> None:
        self._lines.append(" " * self._indent + line)

    def _new(self, prefix: str) -> str:
        self._names += 1
        return f"{prefix}{self._names}"

    @contextmanager
    def _block(self) -> Iterator[None]:
        self._indent += 1
        start = len(self._lines)
        yield
        self._flush()
        if len(self._lines) == start:
            self._write("pass")
        self._indent -= 1

    # Output: the text is put together piece by piece, and its length looked at after each. A piece is hardly longer
    # than what was passed: it holds each value once, and what may be the same value is measured before.

    def _literal(self) -> str:
        """Static text stands beside the f-strings, not in them: doubled braces compile slowly on Python 3.13."""
        return " ".join(self._pieces) or "''"

    def _flush(self) -> None:
        most = self._most
        self._measure()
        if not self._is_begun:  # the first piece, whose length may wait for that of what follows
            self._write(f"o = {self._literal()}")
        elif self._pieces:
            self._write(f"o += {self._literal()}")
            if self._loops:
                self._write(f"if len(o) > {min(most, CHUNK)}: out, o = grown({most}, out, o), ''")
            else:
                self._require_fitting()
        self._is_begun = True
        self._printed = 0
        self._pieces, self._lengths, self._paths = [], [], set()

    def _require_fitting(self) -> None:
        """Look at the length so far."""
        line = f"{' ' * self._indent}if len(o) > {self._most}: unfit()"
        if self._lines[-1] != line:
            self._lines.append(line)

    def _measure(self) -> None:
        if self._lengths:
            self._write(f"if {' + '.join(self._lengths)} > {self._most}: unfit()")

    def _static_text(self, text: str) -> None:
        self._pieces.append(repr(text))

    def _output(self, node: nodes.Output) -> None:
        for child in node.nodes:
            if isinstance(child, nodes.TemplateData):
                self._static_text(child.data)
            else:
                self._print(child)

    def _print(self, node: nodes.Expr) -> None:
        """Exact scalars print as `str` gives them, and nothing else is printed here."""
        if isinstance(node, nodes.Const) and isinstance(node.value, str):
            self._static_text(node.value)
            return
        self._take(1)
        local = self._new("t")
        if isinstance(node, nodes.CondExpr) and node.expr2 is None:
            node = nodes.CondExpr(node.test, node.expr1, nodes.Const(""))  # which prints what an absent `else` prints
        self._shown |= _outlets(node)
        code, kind = self._expression(node)
        self._pieces.append(f"f'{{{local}}}'")
        if kind is INTEGER and not isinstance(node, nodes.Const | nodes.Neg):
            self._write(f"{local} = {code}")
            return
        if kind is TEXT:
            self._write(f"{local} = {code}")
        else:
            # Saves a call where it may be one of many; elsewhere that is less than what compiling it takes.
            number = f"numbers[{local}] if type({local}) is int else " if self._loops else ""
            self._write(f"if type({local} := {code}) is not str: {local} = {number}text({local})")
        path = self._path(node)
        if path is None or path in self._paths:
            self._lengths.append(f"len({local})")
        else:
            self._paths.add(path)

    def _take(self, count: int) -> None:
        """Make room for so many values in the piece."""
        if self._printed + count > MAX_PIECES:
            self._flush()
        self._printed += count

    def _path(self, node: Any) -> tuple[Any, ...] | None:
        """Tell where a value stands in what was passed; None where it may be the same value as another."""
        match node:
            case nodes.Name(name=name) if name in self._scope:
                return (name,) if self._loops and name in self._loops[-1].passed else None
            case nodes.Name(name=name):
                return None if name in self._bound else (name,)
            case nodes.Getattr(node=of, attr=key) | nodes.Getitem(node=of, arg=nodes.Const(value=key)):
                path = self._path(of)
                return None if path is None else (*path, key)
        return None

    # Statements

    def _body(self, body: list[nodes.Node]) -> None:
        for node in body:
            match node:
                case nodes.Output():
                    self._output(node)
                case nodes.If():
                    self._if(node)
                case nodes.For():
                    self._for(node)
                case nodes.Assign():
                    self._set(node)
                case _:
                    raise UnsupportedSyntax

    def _if(self, node: nodes.If) -> None:
        count = _choices(node)
        if count is not None and count < MAX_PIECES:
            self._choice(node, count)
            return
        self._flush()
        self._write(f"if {self._truth(node.test)}:")
        self._conditions += 1
        with self._block():
            self._body(node.body)
        for branch in node.elif_:
            self._write(f"elif {self._truth(branch.test)}:")
            with self._block():
                self._body(branch.body)
        if node.else_:
            self._write("else:")
            with self._block():
                self._body(node.else_)
        self._conditions -= 1

    def _choice(self, node: nodes.If, count: int) -> None:
        """An `if` that only prints is a part of the piece around it."""
        self._take(count)
        self._printed -= count - 1
        chosen, around = self._new("t"), (self._pieces, self._lengths)
        tests = [f"if {self._truth(node.test)}:"]
        self._conditions += 1
        tests += [f"elif {self._truth(branch.test)}:" for branch in node.elif_]
        is_measured = False
        bodies = [node.body, *(branch.body for branch in node.elif_), node.else_]
        for test, body in zip([*tests, "else:"], bodies, strict=True):
            self._write(test)
            self._indent += 1
            self._pieces, self._lengths = [], []
            self._body(body)
            self._measure()
            self._write(f"{chosen} = {self._literal()}")
            is_measured |= bool(self._lengths)
            self._indent -= 1
        self._conditions -= 1
        self._pieces, self._lengths = around
        self._pieces.append(f"f'{{{chosen}}}'")
        if is_measured:
            self._lengths.append(f"len({chosen})")

    def _set(self, node: nodes.Assign) -> None:
        """Outside loops a name is bound for all that follows, whatever `if` it is set in, as in Python.

        Inside a loop it is of one pass, so it must be set there before it is read, and known nowhere else.
        """
        if not isinstance(node.target, nodes.Name) or node.target.name in NOT_VARIABLES:
            raise UnsupportedSyntax
        name = node.target.name
        if (self._loops and name not in self._loops[-1].own) or name in self._read_in_loops:
            raise UnsupportedSyntax
        value = self._plain(node.node)
        self._bound.add(name)
        self._write(f"{self._local(name)} = {value}")

    def _own_names(self, node: nodes.For) -> set[str]:
        """Give the names that a loop's body sets for itself."""
        own: set[str] = set()
        for i, statement in enumerate(node.body):
            if isinstance(statement, nodes.Assign) and isinstance(statement.target, nodes.Name):
                self._sets += 1
                if self._sets > MAX_SETS:
                    raise UnsupportedSyntax
                name = statement.target.name
                before = _count(name, node.body[:i]) + _count(name, [statement.node])
                if (before and name not in own) or _count(name, node.body) != _count(name, [self._tree]):
                    raise UnsupportedSyntax
                own.add(name)
        return own

    def _for(self, node: nodes.For) -> None:
        """Exact lists, tuples, dicts and ranges are gone through as Jinja does, their length known before."""
        if node.recursive or _reads_loop([*node.else_, *([node.test] if node.test else [])]):
            raise UnsupportedSyntax
        if any(isinstance(part, nodes.Assign) or part.find(nodes.Assign) for part in node.else_):
            raise UnsupportedSyntax  # what an `else` sets is its own
        self._flush()
        self._has_loops = True
        items, index, length = self._new("s"), self._new("i"), self._new("n")
        is_paired, is_passed = self._iterable(node.iter, items)
        payment = len(self._lines)  # written when all that a pass takes is known
        self._write("")
        self._write("if fuel < 0: unfit()")
        outer = self._scope
        self._conditions += 1
        self._loops.append(_Loop(index, length, self._own_names(node), set()))
        self._steps.append(0)
        target = self._target(node.target, is_paired)
        if is_passed:
            self._loops[-1].passed.update(name for name, local in self._scope.items() if outer.get(name) != local)
        self._scope.update({name: self._new("x") for name in self._loops[-1].own})
        if node.test is not None:
            if "item" in target:
                raise UnsupportedSyntax
            self._write(f"{items} = [{target} for {target} in {items} if {self._truth(node.test)}]")
        counted = _reads_loop(node.body)
        if counted or node.else_:
            self._write(f"{length} = len({items})")
        self._write(f"for {index}, {target} in enumerate({items}):" if counted else f"for {target} in {items}:")
        with self._block():
            self._unpack(node, target)
            self._body(node.body)
        self._loops.pop()
        self._scope = outer
        steps = self._steps.pop()
        self._has_steps_in_loops |= steps > 0
        cost = body_cost([*node.body, *([node.test] if node.test else [])]) + 2 + steps * STEP_COST
        self._lines[payment] = f"{' ' * self._indent}fuel -= len({items}) * {cost}"
        if node.else_:
            self._write(f"if not {length}:")
            with self._block():
                self._body(node.else_)
        self._conditions -= 1

    def _target(self, target: nodes.Node, is_paired: bool) -> str:
        names = [target] if isinstance(target, nodes.Name) else getattr(target, "items", [None])
        if any(not isinstance(name, nodes.Name) or name.name in NOT_VARIABLES for name in names):
            raise UnsupportedSyntax
        self._scope = {**self._scope, **{name.name: self._new("x") for name in names}}
        if isinstance(target, nodes.Name):
            return self._scope[target.name]
        if is_paired:
            return f"({', '.join(self._scope[name.name] for name in names)},)"
        return self._new("item")

    def _unpack(self, node: nodes.For, local: str) -> None:
        """Take an item apart, or see once that it is the dict that the body reads from."""
        target = node.target
        if isinstance(target, nodes.Name):
            if self._is_always_dict(target.name, node.body):
                self._write(f"if type({local}) is not dict: unfit()")
                self._dicts.add(local)
        elif local.startswith("item"):
            names = ", ".join(self._scope[name.name] for name in target.items)  # type: ignore[attr-defined]
            self._write(f"{names}, = sequence({local})")

    def _is_always_dict(self, name: str, body: list[nodes.Node]) -> bool:
        """Tell whether a body prints items of the one that it goes over, before anything else is asked of it."""
        for statement in body:
            if not isinstance(statement, nodes.Output):
                return False
            for node in statement.nodes:
                if isinstance(node, nodes.Getattr) and isinstance(node.node, nodes.Name) and node.node.name == name:
                    return True
        return False

    def _iterable(self, node: Any, local: str) -> tuple[bool, bool]:
        """Take what to go over; tell whether its items are surely pairs, and whether they are what was passed."""
        match node:
            case nodes.Call(node=nodes.Name(name="range"), args=args, kwargs=[], dyn_args=None, dyn_kwargs=None):
                self._is_range_used = True
                self._write(f"{local} = small_range({', '.join(map(self._value, args))})")
                return False, False
            case nodes.Call(
                node=nodes.Getattr(node=of, attr="items" | "keys" | "values" as name),
                args=[],
                kwargs=[],
                dyn_args=None,
                dyn_kwargs=None,
            ):
                self._write(f"{local} = {self._of_type(of)}.{name}()")
                return name == "items", self._path(of) is not None
            case nodes.Filter(name="items", args=[], kwargs=[], dyn_args=None, dyn_kwargs=None):
                self._write(f"{local} = {self._of_type(node.node)}.items()")
                return True, self._path(node.node) is not None
        self._write(f"if type({local} := {self._value(node)}) is not list: {local} = iterable({local})")
        return False, self._path(node) is not None

    # Expressions

    def _value(self, node: nodes.Expr) -> str:
        return self._expression(node)[0]

    def _expression(self, node: nodes.Expr) -> tuple[str, str]:  # noqa: PLR0912 - one case a kind of node
        """Give a Python expression and what it surely is; `ANY` may be anything, even absent, and is looked at."""
        match node:
            case nodes.Const(value=str(text)):
                return repr(text), TEXT
            case nodes.Const(value=bool() | None as value):
                return repr(value), ANY
            case nodes.Const(value=int(number)):
                return repr(number), INTEGER
            case nodes.Const(value=float(number)) if number - number == 0:
                return repr(number), ANY
            case nodes.Name():
                return self._name(node.name), ANY
            case nodes.Getattr(node=nodes.Name(name="loop"), attr=attr):
                return self._loop_part(attr)
            case nodes.Getattr(attr=attr) if attr not in DICT_NAMES:
                return f"{self._of_type(node.node)}[{attr!r}]", ANY
            case nodes.Getitem(arg=nodes.Const(value=str(key))):
                return f"{self._of_type(node.node)}[{key!r}]", ANY
            case nodes.Getitem(arg=nodes.Slice(start=start, stop=stop, step=None)):
                return f"sliced({self._share()}, {self._value(node.node)}, {_bound(start)}, {_bound(stop)})", ANY
            case nodes.Getitem(arg=arg) if not isinstance(arg, nodes.Slice):
                most = 0 if isinstance(arg, nodes.Const) else self._share()
                return f"picked({most}, {self._value(node.node)}, {self._value(arg)})", ANY
            case nodes.CondExpr(expr2=nodes.Expr() as expr2):
                test = self._truth(node.test)
                with self._maybe():
                    return f"({self._plain(node.expr1)} if {test} else {self._plain(expr2)})", ANY
            case nodes.And() | nodes.Or():
                word = "and" if isinstance(node, nodes.And) else "or"
                left = self._plain(node.left) if word == "and" else self._truth(node.left)
                with self._maybe():
                    return f"({left} {word} {self._plain(node.right)})", ANY
            case nodes.Not():
                return f"(not {self._truth(node.node)})", BOOLEAN
            case nodes.Compare():
                return self._comparison(node), BOOLEAN
            case nodes.Test():
                return self._test(node), BOOLEAN
            case nodes.Filter():
                return self._filter(node)
            case nodes.Call():
                return self._method(node)
            case nodes.Concat():
                self._shown.update(*map(_outlets, node.nodes))
                return f"concat({self._share()}, {', '.join(map(self._value, node.nodes))})", TEXT
            case nodes.Add() | nodes.Sub() | nodes.Mul() | nodes.Div() | nodes.FloorDiv() | nodes.Mod():
                share = f"{self._share()}, " if isinstance(node, nodes.Add) else ""  # which may be of texts
                operands = f"{self._value(node.left)}, {self._value(node.right)}"
                return f"{ARITHMETIC[type(node)]}({share}{operands})", ANY
            case nodes.Neg(node=nodes.Const(value=int(number))):
                return repr(-number), INTEGER
            case nodes.List() | nodes.Tuple():
                return f"[{', '.join(self._plain(item) for item in node.items)}]", ANY
        raise UnsupportedSyntax

    @contextmanager
    def _maybe(self) -> Iterator[None]:
        self._conditions += 1
        yield
        self._conditions -= 1

    def _name(self, name: str) -> str:
        if name in self._scope:
            return self._scope[name]
        if name in NOT_VARIABLES:
            raise UnsupportedSyntax
        if self._loops and name not in self._bound:
            self._read_in_loops.add(name)
        if not self._conditions and name not in self._bound:
            self._required.add(name)
        return self._local(name)

    def _local(self, name: str) -> str:
        return self._scope.get(name) or self._variables.setdefault(name, f"v{len(self._variables)}")

    def _loop_part(self, attr: str) -> tuple[str, str]:
        if not self._loops or attr not in LOOP_PARTS:
            raise UnsupportedSyntax
        kind = BOOLEAN if attr in {"first", "last"} else INTEGER
        return LOOP_PARTS[attr].format(i=self._loops[-1].position, n=self._loops[-1].length), kind

    def _of_type(self, node: Any) -> str:
        """Of an exact dict, `d.k` is its item where `k` is no method's name, and so is `d['k']`."""
        code = self._value(node)
        if code in self._dicts:
            return code
        if code.isidentifier():
            return f"({code} if type({code}) is dict else unfit())"
        local = self._new("t")
        return f"({local} if type({local} := {code}) is dict else unfit())"

    def _looked_at(self, node: nodes.Expr, kinds: str) -> str:
        code, kind = self._expression(node)
        if kind is not ANY or isinstance(node, nodes.Const):
            return code
        if code.isidentifier():
            return f"({code} if type({code}) in {kinds} else unfit())"
        local = self._new("t")
        return f"({local} if type({local} := {code}) in {kinds} else unfit())"

    def _plain(self, node: Any) -> str:
        """What is passed on or tested for truth is data: looking at it runs no other code, and it is not absent."""
        return self._looked_at(node, "PLAIN")

    def _scalar(self, node: nodes.Expr) -> str:
        """Scalars compare as Python compares them, in a time that their length bounds."""
        return self._looked_at(node, "SCALARS")

    def _small(self, node: nodes.Expr, most: int = MAX_TEXT) -> str:
        """Long texts are not compared with each other."""
        self._price += MOST_FUEL
        if _is_brief(node):
            return self._value(node)
        return f"small({most}, {self._value(node)})"

    def _compared(self, left: nodes.Expr, right: nodes.Expr) -> tuple[str, str]:
        looked_at = self._scalar if _is_brief(left) or _is_brief(right) else self._small
        return looked_at(left), looked_at(right)

    def _truth(self, node: Any) -> str:
        match node:
            case nodes.And() | nodes.Or():
                word = "and" if isinstance(node, nodes.And) else "or"
                left = self._truth(node.left)
                with self._maybe():
                    return f"({left} {word} {self._truth(node.right)})"
            case nodes.Name(name=name) if name in self._declared and name not in self._scope:
                with self._maybe():  # where it is absent, it is false
                    local = self._name(name)
                return f"({local} if type({local}) in TESTED else unfit())"
        return self._plain(node)

    def _comparison(self, node: nodes.Compare) -> str:
        if len(node.ops) != 1:
            raise UnsupportedSyntax
        operand = node.ops[0]
        if operand.op in COMPARISONS:
            left, right = self._compared(node.expr, operand.expr)
            return f"({left} {COMPARISONS[operand.op]} {right})"
        is_in = self._membership(node.expr, operand.expr)
        return is_in if operand.op == "in" else f"(not {is_in})"

    def _membership(self, value: nodes.Expr, container: nodes.Expr) -> str:
        if isinstance(container, nodes.List | nodes.Tuple):
            looked_at = self._small if self._loops else self._scalar
            self._price += len(container.items)
            items = ", ".join(looked_at(item) for item in container.items)
            return f"({self._small(value, MAX_NEEDLE)} in [{items}])"
        return f"contains({self._share()}, {self._value(value)}, {self._value(container)})"

    def _test(self, node: nodes.Test) -> str:
        if node.kwargs or node.dyn_args is not None or node.dyn_kwargs is not None:
            raise UnsupportedSyntax
        if node.name in {"defined", "undefined"} and not node.args:
            return f"({'' if node.name == 'defined' else 'not '}{self._is_there(node.node)})"
        test = TESTS[node.name]
        if test.fast is None or test.arguments != len(node.args):
            raise UnsupportedSyntax
        operands = self._compared(node.node, *node.args) if node.args else [self._plain(node.node)]
        return f"test_{node.name}({', '.join(operands)})"

    def _is_there(self, node: nodes.Expr) -> str:
        """A variable is there when it was passed, and an attribute when the exact dict has it."""
        with self._maybe():
            value, is_there = self._value_if_there(node)
            return f"({is_there} and (True if type({value}) in PLAIN else unfit()))"

    def _filter(self, node: nodes.Filter) -> tuple[str, str]:
        if node.node is None or node.dyn_args is not None or node.dyn_kwargs is not None:
            raise UnsupportedSyntax
        args, row = _positional(node), FILTERS[node.name]
        if row.fast is None or len(args) not in row.arguments:
            raise UnsupportedSyntax
        if row.fast is INLINE:
            return self._default(node.node, args)
        is_slow = node.name == "title" or (node.name == "tojson" and bool(args))  # written by Python code
        if self._loops and is_slow:
            raise UnsupportedSyntax
        if node.name == "tojson" and id(node) not in self._shown:
            raise UnsupportedSyntax  # Jinja gives Markup, which changes what is added to it
        operands = [str(self._share())] if row.returns is TEXT else []
        operands += [self._column(node.node) if node.name == "join" else self._value(node.node)]
        return f"filter_{node.name}({', '.join([*operands, *map(self._value, args)])})", row.returns

    def _share(self) -> int:
        """Give how long a text a step may take or make: together the steps outside loops take less than two million.

        No step makes a text more than three times as long, so none passes the limit of the metered tier.
        """
        self._steps[-1] += 1
        most = self._limits.characters // 3
        if self._loops:
            return min(most, MAX_TEXT)
        most = min(most, min(MAX_TEXTS, self._limits.fuel) // self._steps[-1] ** 2)
        self._price += most // CHARACTERS_A_FUEL + MOST_FUEL
        return most

    def _column(self, node: nodes.Expr) -> str:
        """What `map` reads of each item before a `join` is the item's own, of that name."""
        if not isinstance(node, nodes.Filter) or node.name != "map" or node.node is None:
            return self._value(node)
        if node.args or node.dyn_args is not None or node.dyn_kwargs is not None or len(node.kwargs) != 1:
            raise UnsupportedSyntax
        key = node.kwargs[0].value.value if isinstance(node.kwargs[0].value, nodes.Const) else None
        if node.kwargs[0].key != "attribute" or not isinstance(key, str) or not key.isidentifier():
            raise UnsupportedSyntax
        return f"column({self._share()}, {self._value(node.node)}, {key!r})"

    def _default(self, subject: nodes.Expr, args: list[nodes.Expr]) -> tuple[str, str]:
        """The other value is worked out first, as Jinja does; each part is written once, however deep they nest."""
        if not _is_plain_default(args):
            raise UnsupportedSyntax
        other = self._plain(args[0]) if args else "''"
        with self._maybe():
            value, is_there = self._value_if_there(subject)
        if len(args) > 1:
            found = self._new("t")
            is_there += f" and ({found} if type({found} := {value}) in PLAIN else unfit())"
            value = found
        if not args or isinstance(args[0], nodes.Const):
            return f"({value} if {is_there} else {other})", ANY
        local = self._new("t")
        return f"({local} := {other}, {value} if {is_there} else {local})[1]", ANY

    def _value_if_there(self, node: Any) -> tuple[str, str]:
        """Give a short expression for a value, and the test that it is there, which must run first."""
        match node:
            case nodes.Name():
                local = self._name(node.name)
                return local, f"({local} is not ABSENT)"
            case nodes.Getattr(attr=key) | nodes.Getitem(arg=nodes.Const(value=str(key))):
                if key in DICT_NAMES or _is_loop(node.node):
                    raise UnsupportedSyntax
                local = self._new("t")
                return f"{local}[{key!r}]", f"({key!r} in ({local} := {self._of_type(node.node)}))"
        raise UnsupportedSyntax

    def _method(self, node: nodes.Call) -> tuple[str, str]:
        if node.kwargs or node.dyn_args is not None or node.dyn_kwargs is not None:
            raise UnsupportedSyntax
        if not isinstance(node.node, nodes.Getattr) or (self._loops and node.node.attr == "title"):
            raise UnsupportedSyntax
        if len(node.args) not in fast.METHODS.get(node.node.attr, ()):
            raise UnsupportedSyntax
        operands = [self._value(node.node.node), *map(self._plain, node.args)]
        return f"call_{node.node.attr}({self._share()}, {', '.join(operands)})", ANY


def _outlets(node: nodes.Expr) -> set[int]:
    """Give what a printed expression comes to: itself, or one of its branches."""
    branches = (node.expr1, node.expr2) if isinstance(node, nodes.CondExpr) else ()
    return {id(node)}.union(*(_outlets(branch) for branch in branches if branch is not None))


def _positional(node: nodes.Filter) -> list[nodes.Expr]:
    """Give a filter's arguments, where those given by name are the last ones in their order."""
    names = {"default": ["default_value", "boolean"], "d": ["default_value", "boolean"], "tojson": ["indent"]}
    rest = names.get(node.name, [])[len(node.args) :]
    if [keyword.key for keyword in node.kwargs] != rest[: len(node.kwargs)]:
        raise UnsupportedSyntax
    return [*node.args, *(keyword.value for keyword in node.kwargs)]


def _bound(node: nodes.Expr | None) -> str:
    """Give a constant bound of a slice."""
    match node:
        case None:
            return "None"
        case nodes.Const(value=int(number)) if not isinstance(number, bool):
            return repr(number)
        case nodes.Neg(node=nodes.Const(value=int(number))):
            return repr(-number)
    raise UnsupportedSyntax


def _is_brief(node: nodes.Expr) -> bool:
    """Tell whether a value is spelled, and to compare with it is next to nothing."""
    return isinstance(node, nodes.Const) and len(str(node.value)) < COMPARED_A_UNIT


def _choices(node: nodes.If) -> int | None:
    """Give how many values and choices an `if` may print, itself among them; None where it does anything else."""
    count = 1
    for statement in (*node.body, *(inner for branch in node.elif_ for inner in branch.body), *node.else_):
        match statement:
            case nodes.Output(nodes=parts):
                count += sum(not isinstance(part, nodes.TemplateData) for part in parts)
            case nodes.If() if (inside := _choices(statement)) is not None:
                count += inside
            case _:
                return None
    return count


def _count(name: str, body: Iterable[nodes.Node]) -> int:
    """Tell how often a name stands in these nodes."""
    found = (node for part in body for node in (part, *part.find_all((nodes.Name, nodes.NSRef))))
    return sum(isinstance(node, nodes.Name | nodes.NSRef) and node.name == name for node in found)


def _is_plain_default(args: list[nodes.Expr]) -> bool:
    """`default(x)`, or `default(x, true)`, which replaces what is false too."""
    return len(args) < 2 or (len(args) == 2 and isinstance(args[1], nodes.Const) and args[1].value is True)


def _is_loop(node: nodes.Node) -> bool:
    return isinstance(node, nodes.Name) and node.name == "loop"


def _reads_loop(body: list[nodes.Node]) -> bool:
    return any(_is_loop(name) for node in body for name in [node, *node.find_all(nodes.Name)])
