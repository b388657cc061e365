"""The functions that render a whole template by the fast tier, for `Prompt.render` and `fast_read.py`.

How one text becomes a function is in `fast/`; here those of all parts become one.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, TypeAlias

from promptreg.jsonvalues import is_builtin
from promptreg.messages import BETWEEN_TEXTS, Message, Part, is_plain
from promptreg.rendering.fast.guards import Bailout
from promptreg.rendering.messages import ChatMessages, chat_output
from promptreg.rendering.placeholders import passed_messages

Messages: TypeAlias = ChatMessages | tuple[list[str], list[str]] | None
Output: TypeAlias = tuple[str, Messages]
"""What a render returns: the text, and for a chat prompt its messages, or their roles and contents; else None."""

Fast: TypeAlias = Callable[[dict[str, Any]], Output]
FastText: TypeAlias = Callable[[dict[str, Any]], str]
FastPart: TypeAlias = Callable[[dict[str, Any]], Any]
"""The function of a part: a text's, or that of a placeholder, which returns a list of messages."""


class FastPaths:
    """The functions that render a template by the fast tier, and fail on unsuitable values alone.

    Never changed once made, because threads share it.

    `output` returns what a render returns, and is None where the template has no fast path. `text` returns the text
    alone, of a text prompt. `arity` is the number of variables that are read. If exactly as many are passed, their
    names need no check: if one of them is not read, or is no text, then one that is read is absent, and the function
    fails. `fixed` is the text of a text prompt that is the same in every render.
    """

    __slots__ = ("arity", "fixed", "output", "text")

    def __init__(
        self,
        output: Fast | None = None,
        text: FastText | None = None,
        arity: int | None = None,
        fixed: str | None = None,
    ) -> None:
        self.output = output
        self.text = text
        self.arity = arity
        self.fixed = fixed


def fast_paths_of(
    template: str | Sequence[Mapping[str, Any]],
    parts: Sequence[Part],
    functions: Sequence[FastPart],
    arity: int,
    most: int,
    *,
    is_fixed: bool,
) -> FastPaths:
    """Return the fast paths of a template, given a function for each of its parts, and the most text of a render.

    `is_fixed` says that each of its texts is rendered to itself.
    """
    if isinstance(template, str):
        text: FastText = functions[0]
        return FastPaths(lambda values: (text(values), None), text, arity, template if is_fixed else None)
    if all(map(is_plain, template)):
        return FastPaths(_plain_chat([message["role"] for message in template], functions, most), None, arity)
    chat = _chat if all(part.placeholder is None for part in parts) else _chat_with_placeholders
    return FastPaths(chat(template, parts, functions, most), None, arity)


def placeholder_function(name: str, *, is_optional: bool) -> FastPart:
    """Return the function of a placeholder: it takes builtin values alone, as reading others may run code of theirs."""

    def read(values: dict[str, Any]) -> list[Message]:
        value = values.get(name) if is_optional else values[name]
        if value is None and is_optional:
            return []
        if not is_builtin(value):
            raise Bailout
        return passed_messages(name, value)

    return read


def _plain_chat(roles: list[str], functions: Sequence[FastText], most: int) -> Fast:
    join = BETWEEN_TEXTS.join  # looked up once, which saves a twentieth of a short render

    def render(values: dict[str, Any]) -> Output:
        contents = [function(values) for function in functions]
        if sum(map(len, contents)) > most:
            raise Bailout
        return join(contents), (roles, contents)

    return render


def _chat(
    template: Sequence[Mapping[str, Any]], parts: Sequence[Part], functions: Sequence[FastText], most: int
) -> Fast:
    """Return the function of a chat of which some message has more than a role and a text."""
    shown = [i for i, part in enumerate(parts) if part.is_shown]

    def render(values: dict[str, Any]) -> Output:
        texts = [function(values) for function in functions]
        if sum(map(len, texts)) > most:
            raise Bailout
        return BETWEEN_TEXTS.join([texts[i] for i in shown]), ChatMessages(template, texts)

    return render


def _chat_with_placeholders(
    template: Sequence[Mapping[str, Any]], parts: Sequence[Part], functions: Sequence[FastPart], most: int
) -> Fast:
    def render(values: dict[str, Any]) -> Output:
        made = [function(values) for function in functions]
        if sum([len(each) for each in made if type(each) is str]) > most:
            raise Bailout
        return chat_output(template, parts, made)

    return render
