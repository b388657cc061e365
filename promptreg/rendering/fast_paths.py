"""The functions that render a whole template by the fast tier, for `Prompt.render` and `fast_read.py`.

How one text becomes a function is in `fast/`; here those of all parts become one.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

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


class FastPart(NamedTuple):
    """The function of a part: a text's, which may be data, or a placeholder's, which returns a list of messages."""

    function: Callable[[dict[str, Any]], Any]
    is_data: bool = False


class Most(NamedTuple):
    """How many characters the texts of a render may have together, and its data."""

    text: int
    data: int


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
    most: Most,
    *,
    is_fixed: bool,
) -> FastPaths:
    """Return the fast paths of a template, given a function for each of its parts, and the most text of a render.

    `is_fixed` says that each of its texts is rendered to itself.
    """
    if isinstance(template, str):
        text: FastText = functions[0].function
        return FastPaths(lambda values: (text(values), None), text, arity, template if is_fixed else None)
    texts = [part.function for part in functions]
    if all(map(is_plain, template)):
        return FastPaths(_plain_chat([message["role"] for message in template], texts, most.text), None, arity)
    if not any(part.is_data for part in functions) and all(part.placeholder is None for part in parts):
        return FastPaths(_chat_of_texts(template, parts, texts, most.text), None, arity)
    return FastPaths(_chat(template, parts, functions, most), None, arity)


def placeholder_function(name: str, *, is_optional: bool) -> Callable[[dict[str, Any]], list[Message]]:
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


def _chat_of_texts(
    template: Sequence[Mapping[str, Any]], parts: Sequence[Part], functions: Sequence[FastText], most: int
) -> Fast:
    """Return the function of a chat without placeholders and data."""
    shown = [i for i, part in enumerate(parts) if part.is_shown]

    def render(values: dict[str, Any]) -> Output:
        texts = [function(values) for function in functions]
        if sum(map(len, texts)) > most:
            raise Bailout
        return BETWEEN_TEXTS.join([texts[i] for i in shown]), ChatMessages(template, texts)

    return render


def _chat(
    template: Sequence[Mapping[str, Any]], parts: Sequence[Part], functions: Sequence[FastPart], most: Most
) -> Fast:
    """Return the function of any chat, which bails out before it holds more than it may."""

    def render(values: dict[str, Any]) -> Output:
        made = []
        text_left, data_left = most
        for function, is_data in functions:
            each = function(values)
            made.append(each)
            if is_data:
                data_left -= len(each)
            elif type(each) is str:
                text_left -= len(each)
            if text_left < 0 or data_left < 0:
                raise Bailout
        return chat_output(template, parts, made)

    return render
