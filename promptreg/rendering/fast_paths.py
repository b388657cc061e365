"""What a render returns, and the functions that return it without any measurement."""

from collections.abc import Callable
from typing import Any, TypeAlias

from promptreg.rendering.placeholders import Message

Messages: TypeAlias = list[Message] | tuple[list[str | None], list[str]] | None
Output: TypeAlias = tuple[str, Messages]
"""What a render returns: the text, and for a chat prompt its messages, or their roles and contents; else None."""

Fast: TypeAlias = Callable[[dict[str, Any]], Output]


class FastPaths:
    """The functions that render a template by the fast tier, and fail on unsuitable values alone.

    Never changed once made, because threads share it.

    `output` returns what a render returns, and is None where the template has no fast path. `text` returns the text
    alone, of a text prompt. `arity` is the number of variables that are always read, where no others are. `fixed` is
    the text of a text prompt that reads nothing.
    """

    __slots__ = ("arity", "fixed", "output", "text")

    def __init__(
        self,
        output: Fast | None = None,
        text: Callable[[dict[str, Any]], str] | None = None,
        arity: int | None = None,
        fixed: str | None = None,
    ) -> None:
        self.output = output
        self.text = text
        self.arity = arity
        self.fixed = fixed
