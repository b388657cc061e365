"""What a fast function may cost, so that the fast tier never renders what the metered tier refuses.

Both tiers must give the same result under the same limits, but the fast tier counts no fuel while it runs, except for
one counter for the passes of loops. Instead each function gets a price when it is compiled: the most fuel that the
metered tier takes for anything that the function does not bail out on. A template whose price is above the fuel has no
fast function.

- In loops, nodes may take a fiftieth of the fuel, and an operation on a text counts as several nodes.
- Outside loops, the rest of the fuel limits how long the texts are that operations take.
- Limits lower than what a single operation may need (`LEAST`) leave all templates to the metered tier.

No clock is read: the metered tier takes at most 0.1 s for so much fuel.
"""

from collections.abc import Iterable

from jinja2 import nodes

from promptreg.rendering.fast.guards import MAX_ITEMS
from promptreg.rendering.fast.operations import MAX_DEPTH
from promptreg.rendering.limits import CHARACTERS_A_UNIT, RenderLimits, body_cost

FUEL_SHARE, MAX_FUEL = 50, 20_000
LEAST = {"items": MAX_ITEMS, "depth": MAX_DEPTH, "calls": 2, "range_items": MAX_FUEL, "seconds": 0.5}
MAX_TEXT = 1_500  # characters that an operation in a loop takes
MAX_TEXTS = 1_000_000  # characters that all operations outside loops share
CHARACTERS_A_FUEL = CHARACTERS_A_UNIT // 4  # an operation may take a text and make one three times as long
MOST_FUEL = 2  # that a comparison takes, or an operation where it takes no text
TEXTS_IN_LOOPS = 20  # fuel for characters, for each unit of fuel for nodes
OPERATION_COST = MAX_TEXT // CHARACTERS_A_FUEL // TEXTS_IN_LOOPS + 1


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


class Costs:
    """Adds up the price of one function while it is compiled."""

    def __init__(self, limits: RenderLimits) -> None:
        self.has_loops = False
        self._limits = limits
        self._outside_loops = 0
        self._has_operations_in_loops = False
        self._operations = [0]  # on texts: outside loops, and in one pass of each loop around the current node

    @property
    def price(self) -> int:
        """The most fuel that the metered tier takes, but for putting the result together."""
        a_node = 1 + MOST_FUEL + TEXTS_IN_LOOPS * self._has_operations_in_loops
        return self._outside_loops + self.has_loops * a_node * loop_fuel(self._limits)

    def add(self, fuel: int) -> None:
        """Count fuel for what is no operation on a text; in loops that is more than needed, as their fuel pays too."""
        self._outside_loops += fuel

    def operation(self) -> int:
        """Count an operation on a text, and return how many characters it may take or make.

        The operations outside loops take less than two million characters together. No operation makes a text more than
        three times as long, so none exceeds the metered tier's limit of characters.
        """
        self._operations[-1] += 1
        most = self._limits.characters // 3
        if len(self._operations) > 1:
            return min(most, MAX_TEXT)
        most = min(most, min(MAX_TEXTS, self._limits.fuel) // self._operations[-1] ** 2)
        self.add(most // CHARACTERS_A_FUEL + MOST_FUEL)
        return most

    def enter_loop(self) -> None:
        """Count operations as those of one pass of a loop, until it is left."""
        self.has_loops = True
        self._operations.append(0)

    def leave_loop(self, body: Iterable[nodes.Node]) -> int:
        """Return the fuel that one pass over this body takes."""
        operations_in_pass = self._operations.pop()
        self._has_operations_in_loops |= operations_in_pass > 0
        return body_cost(body) + 2 + operations_in_pass * OPERATION_COST
