"""A render as the arguments of `client.messages.create` of the package `anthropic`."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import dropwhile, takewhile
from typing import TYPE_CHECKING, Any, NamedTuple

from promptreg.errors import InvalidInputError
from promptreg.sdks.anthropic_blocks import CACHE_MARK, blocks_of, read_block, tool_result_block, tool_use_block
from promptreg.sdks.neutral import marked_messages, refused, settings_of
from promptreg.sdks.turns import Block, Turn, read_turn
from promptreg.untrusted import FieldReader

if TYPE_CHECKING:
    from promptreg.rendered import Rendered

MAX_MARKS = 4
"""How many places of a request a prompt cache may end at."""


class Converted(NamedTuple):
    """A message of Anthropic, where it stood in the render, for errors, and whether it was a tool's result there."""

    role: str
    content: str | list[Block]
    where: str
    is_result: bool = False


def arguments(rendered: "Rendered", overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of the call; raise `InvalidInputError` with everything that Anthropic can't take."""
    fields = FieldReader()
    settings = fields.read(settings_of, rendered, overrides)
    read = [fields.read(_converted, *marked) for marked in marked_messages(rendered)]
    converted = [message for message in read if isinstance(message, Converted)]
    fields.read(_require_few_marks, settings, converted)
    try:
        fields.require_valid()
    except InvalidInputError as error:
        raise refused(rendered, error.details["errors"]) from None
    return {**settings, **_arranged(converted)}


def _converted(message: Mapping[str, Any], is_marked: bool, where: str) -> Converted | None:
    """Return a message, or None for a system message that says nothing."""
    if message.get("type") == "message":  # a whole answer, of whose fields only these may be sent again
        message = {key: message[key] for key in ("role", "content") if key in message}
    turn = read_turn(message, where, read_block)
    if turn.role == "tool":
        content: str | list[Block] = [tool_result_block(turn, where)]
    elif turn.is_empty and turn.role == "system":
        return None
    else:
        content = _content(turn, where)
    if is_marked:
        content = blocks_of(content)
        content[-1][CACHE_MARK] = {"type": "ephemeral"}
    if turn.role == "tool":
        return Converted("user", content, where, is_result=True)
    return Converted(turn.role, content, where)


def _content(turn: Turn, where: str) -> str | list[Block]:
    if turn.is_empty:
        raise InvalidInputError.of(f"{where}, content", "is empty or white space, which Anthropic refuses")
    if turn.role == "system" and any(block["type"] != "text" for block in blocks_of(turn.content)):
        raise InvalidInputError.of(f"{where}, content", "must be text, as it is a system message")
    if not turn.calls:
        return turn.content
    fields = FieldReader()
    calls = [fields.read(tool_use_block, call, f"{where}, tool call {i}") for i, call in enumerate(turn.calls, 1)]
    fields.require_valid()
    return [*blocks_of(turn.content), *calls]


def _require_few_marks(settings: Mapping[str, Any], messages: Iterable[Converted]) -> None:
    """Refuse each message whose cache marks are too many, counted with those of the config."""
    tools = settings.get("tools")
    count = _marks_in([settings, *(tools if isinstance(tools, list) else ())])
    fields = FieldReader()
    for message in messages:
        marks = _marks_in(blocks_of(message.content))
        count += marks
        fields.read(_require_no_more, marks, count, message.where)
    fields.require_valid()


def _require_no_more(marks: int, count: int, where: str) -> None:
    if marks and count > MAX_MARKS:
        raise InvalidInputError.of(
            f"{where}, cache", f"is mark {count} of the prompt cache; Anthropic takes {MAX_MARKS}"
        )


def _marks_in(blocks: Sequence[Any]) -> int:
    """Return how many of the blocks are marked, and of the blocks in them."""
    mappings = [block for block in blocks if isinstance(block, Mapping)]
    inner = (block["content"] for block in mappings if isinstance(block.get("content"), list))
    return sum(block.get(CACHE_MARK) is not None for block in mappings) + sum(map(_marks_in, inner))


def _arranged(converted: list[Converted]) -> dict[str, Any]:
    """Return the leading system messages as `system`, if there are any, and the others as `messages`."""
    leading = takewhile(_is_system, converted)
    system = [block for message in leading for block in blocks_of(message.content)]
    messages = _with_results_together(dropwhile(_is_system, converted))
    return {**({"system": system} if system else {}), "messages": messages}


def _is_system(message: Converted) -> bool:
    return message.role == "system"


def _with_results_together(converted: Iterable[Converted]) -> list[dict[str, Any]]:
    """Return the messages with the results of one turn in one, which is how Anthropic takes them."""
    together: list[Converted] = []
    for message in converted:
        if message.is_result and together and together[-1].is_result:
            together[-1] = together[-1]._replace(content=[*together[-1].content, *message.content])
        else:
            together.append(message)
    return [{"role": message.role, "content": message.content} for message in together]
