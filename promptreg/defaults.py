"""What calls of `render` pass as `default=`: each is read and compiled at the first call that passes it.

So a broken one is told before it is needed, and a render that passes one and does not need it costs a look-up.
Compiled templates depend on nothing but their text, so any number of views and threads share them.
"""

from collections.abc import Hashable, Sequence
from typing import Any

from promptreg.cache import Memo
from promptreg.errors import TemplateError
from promptreg.jsonvalues import FrozenList
from promptreg.rendering.limits import RenderLimits
from promptreg.rendering.template import CompiledTemplate
from promptreg.rules.edits import read_default

MOST = 1_000  # defaults that are kept compiled

_Known = tuple[str | FrozenList, CompiledTemplate]


class Defaults:
    """The defaults that were compiled, by their text; of messages, by the first and the last."""

    def __init__(self, limits: RenderLimits) -> None:
        self._limits = limits
        self._known: Memo[Hashable, _Known] = Memo(MOST)

    def is_known(self, default: Any) -> bool:
        """Return whether a default was compiled; on the path of each render that passes one."""
        if type(default) is str:
            return default in self._known
        try:
            known = self._known.find(_key(default))
            return known is not None and known[0] == default
        except Exception:  # whatever it is, `compiled` tells
            return False

    def compiled(self, default: object, name: str) -> CompiledTemplate:
        """Return the compiled template of a default that is passed for the prompt of this name.

        Raises `InvalidInputError`, `TemplateSyntaxError`, `TemplatePolicyError` or `TemplateError`.
        """
        template = read_default(default)
        key = template if isinstance(template, str) else _key(template)
        known = self._known.find(key)
        if known is not None and known[0] == template:
            return known[1]
        compiled = CompiledTemplate(template, FrozenList(), self._limits)
        try:
            compiled.require_valid()
        except TemplateError as error:
            error.put_before("the default")
            error.put_name(name)
            raise
        self._known.keep(key, (template, compiled))
        return compiled


def _key(messages: Sequence[Any]) -> Hashable:
    """Return what messages are looked up by; those that are found are compared."""
    return len(messages), messages[0].get("content"), messages[-1].get("content")
