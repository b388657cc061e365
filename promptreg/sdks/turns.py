"""What Anthropic and Gemini share: messages without blank texts, arguments that are objects, and joined results."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from promptreg import strictjson
from promptreg.jsonvalues import NotJSON, freeze, thaw
from promptreg.sdks.fields import ValueReader, refuse, value_at
from promptreg.sdks.messages import Message, Part, Readers, read_message, refuse_part

Block = dict[str, Any]


def turn_readers(read_part: Callable[[Part], Block], read_id: ValueReader) -> Readers[Block]:
    """Return the readers of an SDK that takes no blank text, of the system only text, and of calls only objects."""

    def read(part: Part) -> Block | None:
        if part.type == "text":
            return None if is_blank(part.fields["text"]) else read_part(part)
        if part.role in {"system", "developer"}:
            refuse_part(part, ["text"])
        return read_part(part)

    return Readers(read, read_id, {"function": arguments_at})


def read_turn(message: Mapping[str, Any], where: str, readers: Readers[Block]) -> Message[Block]:
    """Read a message, of which a blank content is an empty list; of a user and an assistant it is refused.

    >>> message = {"role": "developer", "content": [{"type": "text", "text": " "}, {"type": "text", "text": "Hi"}]}
    >>> turn = read_turn(message, "message 1 of 1", turn_readers(lambda part: part.fields, value_at))
    >>> turn.role, turn.content
    ('system', [{'type': 'text', 'text': 'Hi'}])
    """
    read = read_message(message, where, readers)
    content = [] if read.content is None or is_blank(read.content) else read.content
    if read.role in {"user", "assistant"} and not content and not read.calls:
        refuse(f"{where}, content", "is empty or white space, which this API refuses; give it text, or leave it out")
    return read._replace(role="system" if read.role == "developer" else read.role, content=content)


def is_blank(content: str | list[Any]) -> bool:
    """Return whether a content is empty or a text of white space, which providers refuse."""
    return not (content.strip() if isinstance(content, str) else content)


def with_results_together(messages: Iterable[tuple[dict[str, Any], bool]], key: str) -> list[dict[str, Any]]:
    """Return messages of an SDK, of which those that are tools' results and follow each other become one.

    Each is given with whether it is a result; `key` is where a message has its list of blocks.

    >>> results = [({"parts": [1]}, True), ({"parts": [2]}, True)]
    >>> with_results_together([*results, ({"parts": [3]}, False)], "parts")
    [{'parts': [1, 2]}, {'parts': [3]}]
    """
    together: list[dict[str, Any]] = []
    joins = False
    for message, is_result in messages:
        if is_result and joins:
            together[-1][key] += message[key]
        else:
            together.append(message)
        joins = is_result
    return together


def read_object(text: object) -> dict[str, Any] | None:
    """Return the JSON object that a text holds; None where it holds none, or one that `freeze` refuses.

    That is one with a lone surrogate, which JSON can spell but no client can send.

    >>> read_object('{"a": 1}'), read_object("[]"), read_object("{")
    ({'a': 1}, None, None)
    """
    try:
        value = freeze(strictjson.read(text) if isinstance(text, str) else text)
    except (strictjson.MalformedJSON, NotJSON):
        return None
    return thaw(value) if isinstance(value, dict) else None


def arguments_at(call: Mapping[str, Any], path: str, where: str) -> dict[str, Any]:
    """Return the arguments of a call, which some libraries have read already."""
    arguments = read_object(value_at(call, path))
    if arguments is None:
        refuse(f"{where}, {path}", "must be a JSON object, such as {}, that a client can send")
    return arguments
