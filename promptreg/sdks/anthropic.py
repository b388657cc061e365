"""A render as the arguments of `client.messages.create` of the package `anthropic`."""

from collections.abc import Iterable, Mapping, Sequence
from itertools import dropwhile, takewhile
from typing import TYPE_CHECKING, Any, NamedTuple

from promptreg.errors import InvalidInputError
from promptreg.sdks.anthropic_blocks import CACHE_MARK, blocks_of, read_block, tool_result_block, tool_use_block
from promptreg.sdks.messages import read_all, refuse
from promptreg.sdks.neutral import MOST_MARKS, marked_messages, refused, require_any, settings_of
from promptreg.sdks.turns import Block, Turn, read_turn, require_said
from promptreg.untrusted import FieldReader

if TYPE_CHECKING:
    from promptreg.rendered import Rendered

SDK = "Anthropic's Messages API"


class Converted(NamedTuple):
    """A message of Anthropic, where it stood in the render, for errors, and whether it was a tool's result there."""

    role: str
    content: str | list[Block]
    where: str
    is_result: bool


def arguments(rendered: "Rendered", overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of the call; raise `InvalidInputError` with everything that it can't take."""
    marked, fields = marked_messages(rendered), FieldReader()
    settings = fields.read(settings_of, rendered, overrides)
    read = [fields.read(_converted, *each) for each in marked]
    converted = [message for message in read if isinstance(message, Converted)]
    fields.read(require_any, marked)
    fields.read(_require_few_marks, settings, converted)
    try:
        fields.require_valid()
    except InvalidInputError as error:
        raise refused(rendered, error.details["errors"], SDK) from None
    return {**settings, **_arranged(converted)}


def _converted(message: Mapping[str, Any], is_marked: bool, where: str) -> Converted | None:
    """Return a message, or None for a system message that says nothing."""
    if message.get("type") == "message":  # a whole answer, of whose fields only these may be sent again
        message = {key: message[key] for key in ("role", "content") if key in message}
    turn = read_turn(message, where, read_block)
    require_said(turn, where, "Anthropic")
    if turn.is_empty and turn.role == "system":
        return None
    is_result = turn.role == "tool"
    content = [tool_result_block(turn, where)] if is_result else _content(turn, where)
    if is_marked:
        content = blocks_of(content)
        content[-1][CACHE_MARK] = {"type": "ephemeral"}
    return Converted("user" if is_result else turn.role, content, where, is_result)


def _content(turn: Turn, where: str) -> str | list[Block]:
    if turn.role == "system" and any(block["type"] != "text" for block in blocks_of(turn.content)):
        refuse(f"{where}, content", "must be text, as it is a system message")
    if not turn.calls:
        return turn.content
    return [*blocks_of(turn.content), *read_all(tool_use_block, turn.calls)]


def _require_few_marks(settings: Mapping[str, Any], messages: Iterable[Converted]) -> None:
    """Refuse each message whose cache marks are too many, counted with those of the config and its tools."""
    tools = settings.get("tools")
    count, fields = _marks_in([settings, *(tools if isinstance(tools, list | tuple) else ())]), FieldReader()
    for message in messages:
        marks = _marks_in(blocks_of(message.content))
        count += marks
        if marks and count > MOST_MARKS:
            fields.read(refuse, f"{message.where}, cache", f"is mark {count} of the request; {MOST_MARKS} are the most")
    fields.require_valid()


def _marks_in(blocks: Sequence[Any]) -> int:
    """Return how many of the blocks are marked, and of the blocks in them."""
    known = [block for block in blocks if isinstance(block, dict)]
    inner = (block["content"] for block in known if isinstance(block.get("content"), list))
    return sum(block.get(CACHE_MARK) is not None for block in known) + sum(map(_marks_in, inner))


def _arranged(converted: list[Converted]) -> dict[str, Any]:
    """Return the leading system messages as `system`, if there are any, and the others as `messages`."""
    leading = takewhile(_is_system, converted)
    system = [block for message in leading for block in blocks_of(message.content)]
    messages = _with_results_together(dropwhile(_is_system, converted))
    return {**({"system": system} if system else {}), "messages": messages}


def _is_system(message: Converted) -> bool:
    return message.role == "system"


def _with_results_together(converted: Iterable[Converted]) -> list[dict[str, Any]]:
    """Return the messages with the tools' results of one turn in one, which is how Anthropic takes them."""
    messages: list[dict[str, Any]] = []
    joins = False
    for message in converted:
        if message.is_result and joins:
            messages[-1]["content"] += message.content
        else:
            messages.append({"role": message.role, "content": message.content})
        joins = message.is_result
    return messages
