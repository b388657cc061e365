"""One text of a template, ready to render: compiled, or kept as it is where its syntax is `plain`.

How the tiers work is in `fast/` and `metered/`; what the texts of a prompt are together is in `template.py`.
"""

from collections.abc import Callable, Mapping
from typing import Any

from jinja2 import nodes

from promptreg.models import Syntax
from promptreg.rendering.fast.compiler import compile_fast
from promptreg.rendering.fast.costs import most_text
from promptreg.rendering.fast.guards import Bailout
from promptreg.rendering.limits import RenderLimits
from promptreg.rendering.metered.compiler import MeteredText, Rendering
from promptreg.rendering.metered.failures import translated
from promptreg.rendering.metered.meter import Exceeded
from promptreg.rendering.parsing import parse
from promptreg.rendering.policy import BUILTINS
from promptreg.rendering.reads import surely_needed, variables_read

MAX_COMPILED_LATER = 500  # syntax nodes, which compile in well under 0.1 s when a render turns out to need it


class TemplateText:
    """One text of a template, compiled by the fast tier where it is in its subset, else by the metered one.

    `fast` is the fast tier's function, or None: it returns what the metered tier returns, or raises any exception, and
    then the metered tier renders or raises what is wrong. `price` is the most fuel that the metered tier takes for what
    `fast` returns, and `loaded` are the variables that it loads. `nodes` is the size of the syntax tree. `reads` maps
    each variable to whether some read of it is unguarded. Immutable but for the metered tier's code, which is compiled
    when it is first used. `is_data` says that what `fast` returns counts as data.
    """

    __slots__ = ("_limits", "_metered", "_trims", "fast", "is_data", "loaded", "nodes", "price", "reads", "source")

    def __init__(self, source: str, limits: RenderLimits, syntax: Syntax = "jinja") -> None:
        """Compile; raise `TemplateSyntaxError` or `TemplatePolicyError` with the line, or `TemplateError`."""
        self._trims = syntax == "jinja-trim"
        self._limits = limits
        self.is_data = False
        self.source = source
        tree, count = self._parsed()
        self.nodes = count
        self.reads = variables_read(tree, BUILTINS)
        compiled = compile_fast(tree, limits)
        self.fast = None if compiled is None else compiled.render
        self.loaded = frozenset() if compiled is None else compiled.loaded
        self.price = 0 if compiled is None else compiled.price
        is_at_once = self.fast is None or count > MAX_COMPILED_LATER
        self._metered = MeteredText(tree) if is_at_once else None

    def render(self, values: dict[str, Any]) -> str:
        """Return the text; raise `AbsentVariable`, `RenderLimitError` or `RenderError`."""
        if self.fast is not None:
            try:
                return self.fast(values)
            except Exception:  # it has had no effect; the metered tier renders, or raises what is wrong
                pass
        return self.metered(values)

    def metered(self, values: dict[str, Any]) -> str:
        """Return the text, rendered by the metered tier alone; raise as `render` does."""
        return self.render_metered(Rendering(values, self._limits))

    def render_metered(self, rendering: Rendering) -> str:
        """Return the text, rendered by the metered tier as a part of a render, whose fuel all parts share."""
        metered = self._metered
        if metered is None:
            metered = self._metered = MeteredText(self._parsed()[0])
        try:
            return metered.render(rendering)
        except Exception as error:
            failure = metered.failed(error, self.source, rendering, self.reads)
        raise failure  # outside the `except`, so that no context is chained that quotes a value

    def surely_needed(self, names: frozenset[str]) -> dict[str, int]:
        """Return which of these variables no render can do without, each with the line that reads it first."""
        found = names.intersection(self.reads)
        return surely_needed(self._parsed()[0], found) if found else {}

    def _parsed(self) -> tuple[nodes.Template, int]:
        """Return a new syntax tree, as compiling changes it, and the number of its nodes."""
        return parse(self.source, self._limits, trims=self._trims)


class DataText(TemplateText):
    """One text of an image, audio or a file, which may be megabytes long.

    Where it consists of literals and names alone, and the value of each name is a text, it is put together as it was
    passed: it takes no fuel, and counts against the limit `data_characters`. Else it is rendered as every text is.
    """

    __slots__ = ("_pieces",)

    def __init__(self, source: str, limits: RenderLimits, syntax: Syntax = "jinja") -> None:
        super().__init__(source, limits, syntax)
        self._pieces = _pieces(self._parsed()[0])
        self.is_data = self._pieces is not None
        if self.is_data and self.fast is not None:
            self.fast = self._joined

    def render_metered(self, rendering: Rendering) -> str:
        """Return the text, as `TemplateText.render_metered` does."""
        texts = self._texts(rendering.variables)
        if texts is None:
            return super().render_metered(rendering)
        return _within_limits(self.source, rendering, lambda: rendering.data(texts))

    def _joined(self, values: Mapping[str, Any]) -> str:
        texts = self._texts(values)
        if texts is None or sum(map(len, texts)) > self._limits.data_characters:
            raise Bailout
        return "".join(texts)

    def _texts(self, values: Mapping[str, Any]) -> list[str] | None:
        """Return the literals and the values; None where some value is no text, or there is more than names."""
        if self._pieces is None:
            return None
        texts: list[Any] = [values.get(piece) if is_name else piece for piece, is_name in self._pieces]
        return texts if {str}.issuperset(map(type, texts)) else None


def _pieces(tree: nodes.Template) -> list[tuple[str, bool]] | None:
    """Return the literals and the names of a template, and which are names; None where it has anything else."""
    found: list[tuple[str, bool]] = []
    for statement in tree.body:
        for node in statement.nodes if isinstance(statement, nodes.Output) else [statement]:
            if isinstance(node, nodes.TemplateData):
                found.append((node.data, False))
            elif isinstance(node, nodes.Name):
                found.append((node.name, True))
            else:
                return None
    return found


class PlainText(TemplateText):
    """One text whose syntax is `plain`: nothing in it means anything, and it renders to itself."""

    __slots__ = ()

    def __init__(self, source: str, limits: RenderLimits, *, is_data: bool = False) -> None:
        self.source = source
        self.is_data = is_data
        self._limits = limits
        self.nodes = self.price = 0
        self.reads = {}
        self.loaded = frozenset()
        most = limits.data_characters if is_data else most_text(limits)
        self.fast = (lambda _: source) if len(source) <= most else None

    def render_metered(self, rendering: Rendering) -> str:
        """Return the text; raise `RenderLimitError` where it is longer than the limits allow."""
        text = self.source
        if self.is_data:
            return _within_limits(text, rendering, lambda: rendering.data([text]))
        return _within_limits(text, rendering, lambda: rendering.printed(rendering.paid(text)))


def _within_limits(source: str, rendering: Rendering, make: Callable[[], str]) -> str:
    """Return the text that a function makes; raise `RenderLimitError` where that exceeds a limit."""
    try:
        return make()
    except Exceeded as error:
        raise translated(error, None, source, rendering.variables, rendering.limits) from None
