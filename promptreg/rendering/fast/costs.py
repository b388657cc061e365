"""What a fast function may cost, so that the fast tier never renders what the metered tier refuses.

Both tiers must give the same result under the same limits, but the fast tier counts no fuel while it runs, except for
one counter for the passes of loops. Instead each function gets a price when it is compiled: the most fuel that the
metered tier takes for anything that the function does not bail out on. A template whose price is above the fuel has no
fast function.

- In loops, nodes may take a fiftieth of the fuel, and an operation on a text counts as several nodes.
- All operations of a template share one number of characters, equally: those of the template's own body and those of
  each loop and each macro in it, whose share their own operations divide again, and a loop's passes too.
- Texts that are joined only to be printed are part of the result; their price is how often the metered tier joins them.
- Limits lower than what a single operation may need (`LEAST`) leave all templates to the metered tier.

No clock is read: the metered tier takes at most 0.1 s for so much fuel.
"""

from collections.abc import Iterable, Iterator
from typing import TypeVar

from jinja2 import nodes

from promptreg.rendering.fast.guards import MAX_ITEMS
from promptreg.rendering.fast.operations import MAX_DEPTH
from promptreg.rendering.fast.syntax import UnsupportedSyntax
from promptreg.rendering.limits import CHARACTERS_A_UNIT, RenderLimits, body_cost

T = TypeVar("T")

FUEL_SHARE, MAX_FUEL = 50, 20_000
LEAST = {"items": MAX_ITEMS, "depth": MAX_DEPTH, "calls": 2, "range_items": MAX_FUEL, "seconds": 0.5}
MAX_TEXTS = 1_000_000  # characters that all operations share
LEAST_TEXT = 500  # characters that an operation in a loop or a macro takes, whatever its share is
CHARACTERS_A_FUEL = CHARACTERS_A_UNIT // 4  # an operation may take a text and make one three times as long
MOST_FUEL = 2  # that a comparison takes, or an operation where it takes no text
TEXTS_IN_LOOPS = 8  # fuel for characters, for each unit of fuel for nodes
MAX_LEVELS = 2_500  # of containers that the metered tier nests in each other by way of namespaces
NESTED_COST = 24  # that the metered tier may take for looking how deep a value is
LOOPS = "w"  # the local that holds what each loop outside all others may take, which is more than one operation may
OPERATION_COST = LEAST_TEXT // CHARACTERS_A_FUEL // TEXTS_IN_LOOPS + 1


def limits_suffice(limits: RenderLimits) -> bool:
    """Return whether no limit is lower than what a single operation of the fast tier may need."""
    return all(getattr(limits, name) >= least for name, least in LEAST.items())


def most_text(limits: RenderLimits) -> int:
    """Return how many characters a result may have; to put them together takes a sixteenth as much fuel at most."""
    return min(limits.characters, limits.fuel)


def is_affordable(prices: Iterable[int], limits: RenderLimits) -> bool:
    """Return whether the fuel is enough for texts of these prices, and for putting their results together."""
    return sum(prices) + most_text(limits) // CHARACTERS_A_UNIT <= limits.fuel


def loop_fuel(limits: RenderLimits) -> int:
    """Return the fuel that a function has for the nodes in its loops."""
    return min(limits.fuel // FUEL_SHARE, MAX_FUEL)


class Share:
    """What the operations of one body share: the template's, a loop's or a macro's.

    `local` is the Python local that holds how many characters each operation may take or make. `fuel` is what the calls
    of macros in the body take, as if it were spent in a loop, and `calls` how deep they nest.
    """

    def __init__(self, local: str) -> None:
        self.local = local
        self.operations = 0
        self.fuel = 0
        self.calls = 0

    @property
    def cost(self) -> int:
        """The fuel for the operations of the body and the macros that it calls, as if it were spent in a loop."""
        return self.operations * OPERATION_COST + self.fuel


class Costs:
    """Adds up the price of one function while it is compiled."""

    def __init__(self, limits: RenderLimits) -> None:
        self.has_loops = False
        self.limits = limits
        self._added = 0
        self._levels = 0
        self._joins = 0
        self._has_operations_inside = False
        self._root = Share("r")
        self._shares = [self._root]  # of the bodies around the current node

    @property
    def price(self) -> int:
        """The most fuel that the metered tier takes, but for putting the result together."""
        a_node = 1 + MOST_FUEL + TEXTS_IN_LOOPS * self._has_operations_inside
        price = self._added + a_node * (self._root.fuel + (loop_fuel(self.limits) if self.has_loops else 0))
        if self._root.operations:
            price += self._texts // CHARACTERS_A_FUEL + self._root.operations * MOST_FUEL
        if self._joins:
            price += self._joins * most_text(self.limits) // CHARACTERS_A_UNIT
        return price

    @property
    def calls(self) -> int:
        """How deep the metered tier nests calls."""
        return self._root.calls

    @property
    def _texts(self) -> int:
        return min(MAX_TEXTS, self.limits.fuel)

    @property
    def _most(self) -> int:
        """How many characters an operation takes at most: as none makes a text over three times as long."""
        return self.limits.characters // 3

    @property
    def _least(self) -> int:
        return min(LEAST_TEXT, self._most)

    def add(self, fuel: int) -> None:
        """Count fuel for what is no operation on a text; in loops that is more than needed, as their fuel pays too."""
        self._added += fuel

    def join(self, depth: int, *, is_result: bool) -> None:
        """Count texts that the metered tier joins so many times, one in the other, and that are only printed.

        Together they are no longer than the result; but those in a macro count as operations, as its text is not always
        part of the result.
        """
        if is_result:
            self._joins = max(self._joins, depth)
        else:
            self._shares[-1].operations += depth

    def operation(self) -> str:
        """Count an operation on a text, and return the local that holds how many characters it may take or make."""
        share = self._shares[-1]
        share.operations += 1
        return share.local

    def each_branch(self, branches: Iterable[T]) -> Iterator[T]:
        """Yield the branches of an `if`; of what is counted in each body, only the most is counted."""
        share = self._shares[-1]
        operations = fuel = 0
        for branch in branches:
            before = share.operations, share.fuel
            yield branch
            operations = max(operations, share.operations - before[0])
            fuel = max(fuel, share.fuel - before[1])
            share.operations, share.fuel = before
        share.operations += operations
        share.fuel += fuel

    def root_lines(self) -> list[str]:
        """Return the lines that set the share of each operation of the template's body, and of each loop."""
        if not self._root.operations:
            return []
        share = self._texts // self._root.operations
        return [f"{self._root.local} = {min(self._most, share)}", *([f"{LOOPS} = {share}"] if self.has_loops else [])]

    def enter(self, local: str) -> Share:
        """Count operations as those of one pass of a loop or one call of a macro, until it is left."""
        share = Share(local)
        self._shares.append(share)
        return share

    def leave_loop(self, body: Iterable[nodes.Node], items: str, more: int) -> list[str]:
        """Return the lines that pay for all passes over this body before the first, and that set its share.

        `more` is paid for each pass beside the nodes and the operations.
        """
        share = self._shares.pop()
        self.has_loops = True
        lines = [f"fuel -= len({items}) * {body_cost(body) + 2 + share.cost + more}"]
        self.nest_calls(share.calls)
        if share.operations:
            self._has_operations_inside = True
            around = self.operation()
            whole = LOOPS if around == self._root.local else around
            passes = f"(len({items}) * {share.operations} or 1)"
            lines.append(f"{share.local} = max(min({whole} // {passes}, {self._most}), {self._least})")
        return lines

    def leave_macro(self, body: Iterable[nodes.Node]) -> tuple[str, int]:
        """Return the line that sets the share of each operation of this body, and what a call of it costs.

        The macro's text counts as one more operation, so that what is made of it is bounded as well.
        """
        share = self._shares.pop()
        share.operations += 1
        share.calls += 1
        self._has_operations_inside = True
        line = f"{share.local} = max({share.local} // {share.operations}, {self._least})"
        return line, body_cost(body) + 2 + share.cost

    def call(self, cost: int, calls: int) -> str:
        """Count a call of a macro, and return the local that holds its share of characters."""
        self._shares[-1].fuel += cost
        self.nest_calls(calls)
        return self.operation()

    def nest_calls(self, depth: int) -> None:
        """Count calls that the metered tier nests so deep."""
        share = self._shares[-1]
        share.calls = max(share.calls, depth)

    def nest(self, levels: int) -> None:
        """Count a value that is so many levels deeper than an earlier one, which another pass may put into the next."""
        self._levels += levels
        if self._levels > MAX_LEVELS // 2:
            raise UnsupportedSyntax
        self._shares[-1].fuel += -(-levels * 2 * MAX_FUEL // MAX_LEVELS) + NESTED_COST
