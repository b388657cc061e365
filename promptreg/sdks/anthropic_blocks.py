"""Parts of a message as content blocks of Anthropic: texts, images, documents, tool calls and their results."""

from promptreg.sdks.fields import refuse
from promptreg.sdks.media import KINDS, Inline, Link, Media, Source, Stored, read_media
from promptreg.sdks.messages import PARTS_OF_RESPONSES, Call, Message, Part, refuse_part
from promptreg.sdks.turns import Block, is_blank

IMAGE_TYPES = ("image/jpeg", "image/png", "image/gif", "image/webp")
CACHE_MARK = "cache_control"

_OF_USERS = frozenset({"image_url", "file", "image", "document"})
"""Parts and blocks that the API does not permit in the turns of an assistant, though the types do."""

_ELSEWHERE = PARTS_OF_RESPONSES | {"input_audio", "refusal", "function_call"}
"""Parts of OpenAI's APIs. A type that is not known here is Anthropic's, as its newer releases add some."""


def read_block(part: Part) -> Block:
    """Return a part as a content block; what is one already is returned unchanged.

    >>> image = {"type": "image_url", "image_url": {"url": "https://example.com/a.png", "detail": "low"}}
    >>> read_block(Part("image_url", image, "message 1 of 1, part 1", "user"))
    {'type': 'image', 'source': {'type': 'url', 'url': 'https://example.com/a.png'}}
    """
    is_answer = part.role == "assistant"
    if part.type in _ELSEWHERE or (is_answer and part.type in _OF_USERS):
        refuse_part(part, ("text", *(() if is_answer else ("image_url", "file")), "most content blocks of Anthropic"))
    return _media_block(read_media(part.fields, part.where)) if part.type in KINDS else part.fields


def tool_use_block(call: Call) -> Block:
    """Return the block of a tool call."""
    return {"type": "tool_use", "id": call.id, "name": call.name, "input": call.input}


def tool_result_block(result: Message[Block]) -> Block:
    """Return the block of a tool's result; without a content where it is blank."""
    content = {"content": result.content} if result.content else {}
    return {"type": "tool_result", "tool_use_id": result.call_id, **content}


def _media_block(media: Media) -> Block:
    """Return the block of an image or a file; a file that is an image is one here too."""
    if media.kind == "image_url" or (media.source.mime_type or "").startswith("image/"):
        return {"type": "image", "source": _image_source(media.source, media.field)}
    title = {} if media.filename is None else {"title": media.filename}
    return {"type": "document", "source": _document_source(media.source, media.field), **title}


def _image_source(source: Source, field: str) -> dict[str, str]:
    if not isinstance(source, Inline):
        return _remote_source(source, field)
    if source.mime_type not in IMAGE_TYPES:
        refuse(field, f"must have one of the types that Anthropic takes: {', '.join(IMAGE_TYPES)}")
    return {"type": "base64", "media_type": source.mime_type, "data": source.base64}


def _document_source(source: Source, field: str) -> dict[str, str]:
    if not isinstance(source, Inline):
        return _remote_source(source, field)
    if source.mime_type == "application/pdf":
        return {"type": "base64", "media_type": source.mime_type, "data": source.base64}
    if not source.mime_type.startswith("text/"):
        refuse(field, "must be a PDF, a text or an image: Anthropic takes no other files")
    return {"type": "text", "media_type": "text/plain", "data": _decoded(source.data, field)}


def _decoded(data: bytes, field: str) -> str:
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = ""
    if is_blank(text):
        refuse(field, "must be a text in UTF-8 that is not only white space")
    return text


def _remote_source(source: Link | Stored, field: str) -> dict[str, str]:
    if isinstance(source, Stored):
        return {"type": "file", "file_id": source.file_id}
    if source.scheme != "https":
        refuse(field, "must begin with https://, as Anthropic fetches no others, or with data:")
    return {"type": "url", "url": source.url}
