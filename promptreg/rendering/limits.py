"""How much a template may hold and a render may do (`RenderLimits`), and the prices in fuel that both tiers share.

`metered/meter.py` counts the fuel of a render; the fast tier bounds it when it compiles. Which filters, methods and
statements a template may use is in `policy.py`, and never here.
"""

from collections.abc import Iterable
from typing import Annotated, Any, ClassVar

from jinja2 import nodes
from pydantic import ConfigDict, Field

from promptreg.models import Value

MAX_LIMIT = 1_000_000_000
Count = Annotated[int, Field(ge=1, le=MAX_LIMIT)]

CHARACTERS_A_UNIT = 16  # of a text that is made, for one unit of fuel
COMPARED_A_UNIT = 1_000  # characters of two texts that are compared
MAX_NEEDLE = 1_000  # characters of a text that is searched for in a container without weighing all the items


class RenderLimits(Value):
    """How much a template may hold and a render may do; whatever exceeds a limit is refused.

    Limits of the template, checked when it is saved (`TemplatePolicyError`):

    - `source_characters`: its length; of a chat prompt, the contents of all messages together. One that is also longer
      than the default is `InvalidInputError`, before anything is done with it.
    - `nodes`: nodes of its syntax tree; in a chat prompt, of all messages together.
    - `nesting`: levels of nested nodes, at most 50, because Python compiles by recursion.

    Limits of a render (`RenderLimitError`, with the name of the limit in `details["limit"]`):

    - `fuel`: about one unit for each syntax node that runs and each item that is visited.
    - `characters`: length of the result but for data, and of each text made on the way.
    - `data_characters`: length of all images, audio and files whose texts are printed as they were passed.
    - `seconds`: duration.
    - `items`, `depth`: size and nesting of a container that is compared, sorted, printed or written as JSON,
      counting everything inside it.
    - `range_items`: length of a range, and of a list made by repetition or concatenation.
    - `calls`: depth of macro calls.
    - `integer_bits`: size of an integer that arithmetic makes.

    Raises `InvalidInputError` for an unknown limit or a value outside its range.

    >>> from promptreg import Registry, RenderLimitError
    >>> with Registry(":memory:", render_limits=RenderLimits(fuel=10_000)) as registry:
    ...     _ = registry.create("endless", "{% for i in range(99999) %}{{ i }}{% endfor %}")
    ...     try:
    ...         registry.render("endless")
    ...     except RenderLimitError as error:
    ...         print(error.details)
    {'name': 'endless', 'limit': 'fuel', 'line': 1}
    """

    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid", strict=True)

    source_characters: Count = 262_144
    nodes: Count = 5_000
    nesting: Annotated[int, Field(ge=1, le=50)] = 50
    fuel: Count = 1_000_000
    characters: Count = 1_000_000
    data_characters: Count = 50_000_000
    seconds: Annotated[float, Field(gt=0, le=1_000_000)] = 2.0
    items: Count = 10_000
    depth: Annotated[int, Field(ge=1, le=100)] = 32
    range_items: Count = 100_000
    calls: Annotated[int, Field(ge=1, le=100)] = 50
    integer_bits: Annotated[int, Field(ge=128, le=10_000)] = 256

    def __init__(self, **limits: Any) -> None:
        self._fill("render_limits", limits)


DEFAULT_LIMITS = RenderLimits.model_construct()


def readable_characters(limits: RenderLimits) -> int:
    """Return how long a template may be that is read at all.

    A longer one is invalid input, refused before it is encoded, hashed or parsed. Where `source_characters` is lower
    than by default, a template between the two is refused by the policy, in its turn (rule 18).
    """
    return max(limits.source_characters, DEFAULT_LIMITS.source_characters)


def body_cost(body: Iterable[nodes.Node]) -> int:
    """Return the fuel for running statements once: one or more units for each node.

    Bodies of loops and macros inside them are left out, as each pass and each call pays for its body itself.

    >>> from jinja2 import Environment
    >>> body_cost(Environment().parse("{{ a }}{% for x in a %}{{ x }}{% endfor %}").body)
    8
    """
    cost, waiting = 0, list(body)
    while waiting:
        node = waiting.pop()
        cost += _NODE_COSTS.get(type(node), 1)
        skipped = ("body",) if isinstance(node, nodes.For | nodes.Macro | nodes.CallBlock) else ()
        waiting += node.iter_child_nodes(exclude=skipped)
    return cost


_NODE_COSTS: dict[type[nodes.Node], int] = {
    nodes.Dict: 4,
    nodes.Filter: 4,
    nodes.Call: 8,
    nodes.Macro: 16,
    nodes.CallBlock: 16,
    nodes.For: 4,
}
