"""Compiled templates, kept by what they are made of. They know no storage: a prompt that is kept keeps nothing open."""

from collections.abc import Hashable

from promptreg.cache import Memo
from promptreg.jsonvalues import compact
from promptreg.prompt import Compile
from promptreg.records import Snapshot
from promptreg.rendering.limits import RenderLimits
from promptreg.rendering.template import CompiledTemplate


class Templates:
    """About `size` templates, each compiled at its first use under these limits."""

    def __init__(self, size: int, limits: RenderLimits) -> None:
        self.limits = limits
        self._kept: Memo[Hashable, CompiledTemplate] = Memo(size)

    def compiled(self, snapshot: Snapshot) -> CompiledTemplate:
        """Return the template of a version, compiled with its declared variables."""
        template = snapshot.template if isinstance(snapshot.template, str) else compact(snapshot.template)
        key = snapshot.kind, template, compact(snapshot.variables)
        return self._kept.get(key, lambda: CompiledTemplate(snapshot.template, snapshot.variables, self.limits))

    def later(self, snapshot: Snapshot) -> Compile:
        """Return what compiles it when it is rendered, checked, or asked for its variables."""
        return Compile(lambda: self.compiled(snapshot))
