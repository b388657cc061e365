"""A render as the arguments of `client.messages.create` of the package `anthropic`."""

from collections.abc import Mapping
from itertools import dropwhile, takewhile
from typing import TYPE_CHECKING, Any, NamedTuple

from promptreg.sdks.anthropic_blocks import CACHE_MARK, read_block, tool_result_block, tool_use_block
from promptreg.sdks.fields import filled_text_at
from promptreg.sdks.messages import blocks_of, text_part
from promptreg.sdks.neutral import Marked, converted
from promptreg.sdks.turns import Block, read_turn, turn_readers, with_results_together

if TYPE_CHECKING:
    from promptreg.rendered import Rendered

SDK = "Anthropic's Messages API"
READERS = turn_readers(read_block, filled_text_at)


class Converted(NamedTuple):
    """A message of Anthropic, and whether it was a tool's result in the render."""

    role: str
    content: str | list[Block]
    is_result: bool


def arguments(rendered: "Rendered", overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of the call; raise `InvalidInputError` with everything that it can't take."""
    settings, messages = converted(rendered, overrides, SDK, _converted, CACHE_MARK)
    return {**settings, **_arranged([message for message in messages if message is not None])}


def _converted(marked: Marked) -> Converted | None:
    """Return a message, or None for a system message that says nothing."""
    message, is_marked, where = marked
    if message.get("type") == "message":  # a whole answer, of whose fields only these may be sent again
        message = {key: message[key] for key in ("role", "content") if key in message}
    turn = read_turn(message, where, READERS)
    content = turn.content or []
    if turn.role == "system" and not content:
        return None
    if turn.role == "tool":
        content = [tool_result_block(turn)]
    elif turn.calls:
        content = [*blocks_of(content, text_part), *map(tool_use_block, turn.calls)]
    if is_marked:
        content = blocks_of(content, text_part)
        content[-1][CACHE_MARK] = {"type": "ephemeral"}
    is_result = turn.role == "tool"
    return Converted("user" if is_result else turn.role, content, is_result)


def _arranged(read: list[Converted]) -> dict[str, Any]:
    """Return the leading system messages as `system`, if there are any, and the others as `messages`."""
    leading = takewhile(_is_system, read)
    system = [block for message in leading for block in blocks_of(message.content, text_part)]
    others = dropwhile(_is_system, read)
    messages = with_results_together(
        (({"role": each.role, "content": each.content}, each.is_result) for each in others), "content"
    )
    return {**({"system": system} if system else {}), "messages": messages}


def _is_system(message: Converted) -> bool:
    return message.role == "system"
