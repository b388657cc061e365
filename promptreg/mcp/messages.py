"""The messages of a render as those of an MCP prompt.

MCP has the roles user and assistant, and one content a message: a message of several parts becomes several messages.
A system or developer message becomes a user's, in its place, with its role in `_meta`, as no client accepts another.
Tool calls and their results have no counterpart, so a prompt that has them is refused.
"""

from typing import Any
from urllib.parse import quote, urlsplit

from mcp.types import (
    AudioContent,
    BlobResourceContents,
    ContentBlock,
    EmbeddedResource,
    ImageContent,
    PromptMessage,
    ResourceLink,
    TextContent,
)

from promptreg.rendered import Rendered
from promptreg.sdks.fields import refuse
from promptreg.sdks.media import KINDS, Inline, Link, Media, Stored, read_media
from promptreg.sdks.messages import Part, Readers, blocks_of, read_message, refuse_part
from promptreg.sdks.neutral import Marked, marked_messages, require_valid
from promptreg.untrusted import FieldReader

ROLE = "promptreg/role"
"""The key of `_meta` that has the role of a message where MCP has no such role."""

ROLES = {"user": "user", "assistant": "assistant", "system": "user", "developer": "user"}
AUDIO_TYPES = {"audio/mp3": "audio/mpeg"}  # the registered one, for what people write


def prompt_messages(rendered: Rendered) -> list[PromptMessage]:
    """Return the messages; raise `InvalidInputError` that names each one that MCP can't hold, and quotes nothing."""
    fields, base = FieldReader(), f"promptreg:///{quote(rendered.name)}"
    marked = enumerate(marked_messages(rendered))
    groups = [fields.read(_messages, each, f"{base}/{index}") for index, each in marked]
    require_valid(fields, rendered, "MCP clients")
    return [message for group in groups for message in group]


def _messages(marked: Marked, base: str) -> list[PromptMessage]:
    readers: Readers[ContentBlock] = Readers(lambda part: _content(part, base))
    message = read_message(marked.message, marked.where, readers)
    if message.role not in ROLES or message.calls:
        refuse(marked.where, "is a tool's call or result, which MCP prompts can't hold")
    contents = blocks_of(message.content, lambda text: _text(text, marked.where))
    if not contents:
        refuse(f"{marked.where}, content", "is absent; it must be text or a list of parts")
    role: Any = ROLES[message.role]
    meta = None if role == message.role else {ROLE: message.role}
    return [PromptMessage(role=role, content=content.model_copy(update={"meta": meta})) for content in contents]


def _content(part: Part, base: str) -> ContentBlock:
    if part.type == "text":
        return _text(part.fields["text"], part.where)
    if part.type not in KINDS:
        refuse_part(part, ("text", *KINDS))
    media = read_media(part.fields, part.where)
    if isinstance(media.source, Stored):
        refuse(media.field, "is a file of a provider, which MCP clients can't read; pass its data, or its URL")
    return _link(media.source, media.field) if isinstance(media.source, Link) else _inline(media, media.source, base)


def _text(text: str, where: str) -> ContentBlock:
    return TextContent(text=_utf8(text, where))


def _inline(media: Media, source: Inline, base: str) -> ContentBlock:
    if media.kind == "image_url":
        return ImageContent(data=source.base64, mime_type=source.mime_type)
    if media.kind == "input_audio":
        return AudioContent(data=source.base64, mime_type=AUDIO_TYPES.get(source.mime_type, source.mime_type))
    uri = f"{base}/{quote(_utf8(media.filename or 'file', media.field))}"
    return EmbeddedResource(resource=BlobResourceContents(uri=uri, mime_type=source.mime_type, blob=source.base64))


def _link(source: Link, field: str) -> ResourceLink:
    url = _utf8(source.url, field)
    return ResourceLink(uri=url, name=urlsplit(url).path.rpartition("/")[2] or url, mime_type=source.mime_type)


def _utf8(text: str, field: str) -> str:
    """Return a text that UTF-8 can hold; refuse one that it can't, which would end the connection."""
    try:
        text.encode()
    except UnicodeEncodeError:
        refuse(field, "has a lone surrogate, which is no UTF-8")
    return text
