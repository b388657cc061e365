"""Parts of a message as parts of Gemini: texts, data, files, function calls and their responses."""

from collections.abc import Mapping
from typing import Any

from promptreg.messages import BETWEEN_TEXTS
from promptreg.sdks.fields import refuse
from promptreg.sdks.media import KINDS, Inline, Media, Stored, read_media
from promptreg.sdks.messages import Call, Message, Part, blocks_of, refuse_part
from promptreg.sdks.turns import Block, read_object


def read_gemini_part(part: Part) -> Block:
    """Return a part of a message as Gemini's.

    >>> image = {"type": "image_url", "image_url": {"url": "https://example.com/a.png?size=2", "detail": "low"}}
    >>> read_gemini_part(Part("image_url", image, "message 1 of 1, part 1", "user"))
    {'file_data': {'file_uri': 'https://example.com/a.png?size=2', 'mime_type': 'image/png'}}
    """
    if part.type == "text":
        return gemini_text(part.fields["text"])
    if part.type not in KINDS:
        refuse_part(part, ("text", *KINDS))
    return _media_part(read_media(part.fields, part.where))


def gemini_text(text: str) -> Block:
    """Return a part of text."""
    return {"text": text}


def function_call_part(call: Call) -> Block:
    """Return the part of a tool call."""
    return {"function_call": {**_id(call.id), "name": call.name, "args": call.input}}


def function_name(message: Mapping[str, Any], names: Mapping[str, str], where: str) -> str | None:
    """Return the name of the function whose result a message is, that of the call or of the message itself.

    `names` has the names of the functions that were called so far, by the id of the call. A message that is no tool's
    has none.
    """
    if message.get("role") != "tool":
        return None
    call_id = message.get("tool_call_id")
    called = names.get(call_id) if isinstance(call_id, str) else None
    name = called or message.get("name")
    if not name:
        refuse(
            f"{where}, tool_call_id",
            "must be the id of a tool call in an earlier message, or else the message needs a name, the function's",
        )
    return str(name)


def function_response_part(result: Message[Block], name: str) -> Block:
    """Return the part of a tool's result.

    A content that is a JSON object is the response; any other is its `output`. What is no text goes beside it.
    """
    parts = blocks_of(result.content, gemini_text)
    text = BETWEEN_TEXTS.join(part["text"] for part in parts if "text" in part)
    found = read_object(text)
    media = [part for part in parts if "text" not in part]
    response = {"output": text} if found is None else found
    beside = {"parts": media} if media else {}
    return {"function_response": {**_id(result.call_id), "name": name, "response": response, **beside}}


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
    return {"id": call_id} if call_id else {}
