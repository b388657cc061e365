"""Parts of a message as parts of Gemini: texts, data, files, function calls and their responses."""

from collections.abc import Mapping
from typing import Any

from promptreg.messages import BETWEEN_TEXTS
from promptreg.sdks.media import KINDS, Inline, Media, Stored, read_media
from promptreg.sdks.messages import refuse
from promptreg.sdks.turns import Block, ToolCall, Turn, is_blank, read_object


def read_gemini_part(part: Mapping[str, Any], where: str) -> Block:
    """Return a part of a message as Gemini's.

    >>> image = {"type": "image_url", "image_url": {"url": "https://example.com/a.png?size=2", "detail": "low"}}
    >>> read_gemini_part(image, "message 1 of 1, part 1")
    {'file_data': {'file_uri': 'https://example.com/a.png?size=2', 'mime_type': 'image/png'}}
    """
    if part["type"] == "text":
        return text_part(part["text"])
    if part["type"] not in KINDS:
        refuse(f"{where}, type", f"must be one of text, {', '.join(KINDS)} to become Gemini's")
    return _media_part(read_media(part, where))


def text_part(text: str) -> Block:
    """Return a part of text."""
    return {"text": text}


def parts_of(content: str | list[Block]) -> list[Block]:
    """Return a content as parts: none where it is blank."""
    if isinstance(content, list):
        return content
    return [] if is_blank(content) else [text_part(content)]


def function_call_part(call: ToolCall) -> Block:
    """Return the part of a tool call."""
    return {"function_call": {**_id(call.id), "name": call.name, "args": call.arguments}}


def function_name(message: Mapping[str, Any], names: Mapping[str, str], where: str) -> str | None:
    """Return the name of the function whose result a message is, that of the call or of the message itself.

    `names` has the names of the functions that were called so far, by the id of the call. A message that is no tool's
    has none.
    """
    if message.get("role") != "tool":
        return None
    call_id, name = message.get("tool_call_id"), message.get("name")
    if isinstance(call_id, str):
        name = names.get(call_id, name)
    if name is None:
        refuse(
            f"{where}, tool_call_id",
            "must be the id of a tool call in an earlier message, or else the message needs a name, the function's",
        )
    return str(name)


def function_response_part(turn: Turn, name: str) -> Block:
    """Return the part of a tool's result.

    A content that is a JSON object is the response; any other is its `output`. What is no text goes beside it.
    """
    parts = parts_of(turn.content)
    text = BETWEEN_TEXTS.join(part["text"] for part in parts if "text" in part)
    found = read_object(text)
    media = [part for part in parts if "text" not in part]
    response = {"output": text} if found is None else found
    return {"function_response": {**_id(turn.answers), "name": name, "response": response, **_if_any("parts", media)}}


def _media_part(media: Media) -> Block:
    source = media.source
    if isinstance(source, Inline):
        return {"inline_data": {"mime_type": source.mime_type, "data": source.data}}
    if source.mime_type is None:
        named = "filename" if isinstance(source, Stored) else "URL"
        refuse(
            media.field,
            f"has no type, which Gemini needs: give the {named} a suffix such as .png, or pass a data: URL, or in a "
            "placeholder Gemini's own content, whose file_data has file_uri and mime_type",
        )
    uri = source.file_id if isinstance(source, Stored) else source.url
    return {"file_data": {"file_uri": uri, "mime_type": source.mime_type}}


def _id(call_id: str | None) -> dict[str, str]:
    return {} if call_id is None else {"id": call_id}


def _if_any(key: str, items: list[Block]) -> dict[str, list[Block]]:
    return {key: items} if items else {}
