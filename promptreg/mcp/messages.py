"""The messages of a render as those of an MCP prompt.

MCP has the roles user and assistant, and one content a message: a message of several parts becomes several messages.
A system or developer message becomes a user's, in its place, with its role in `_meta`, as no client accepts another.
Tool calls and their results have no counterpart, so a prompt that has them is refused.
"""

import json
from collections.abc import Mapping
from pathlib import PurePosixPath
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
from promptreg.sdks.media import KINDS, Link, Media, Stored, read_media
from promptreg.sdks.messages import read_all, read_role, refuse, text_at, value_at
from promptreg.untrusted import FieldReader

ROLE = "promptreg/role"
"""The key of `_meta` that has the role of a message where MCP has no such role."""

ROLES = {"user": "user", "assistant": "assistant", "system": "user", "developer": "user"}
REGISTERED_TYPES = {"audio/mp3": "audio/mpeg"}
"""Media types by the names that providers have for them."""


def prompt_messages(rendered: Rendered) -> list[PromptMessage]:
    """Return the messages; raise `InvalidInputError` that names each one that MCP can't hold, and quotes nothing."""
    fields, messages = FieldReader(), rendered.messages
    base = f"promptreg:///{quote(rendered.name)}"
    read = [
        fields.read(_messages, message, f"message {number} of {len(messages)}", base=f"{base}/{number - 1}")
        for number, message in enumerate(messages, 1)
    ]
    fields.require_valid()
    return [message for each in read for message in each]


def _messages(message: Mapping[str, Any], where: str, *, base: str) -> list[PromptMessage]:
    role = read_role(message, where)
    if role not in ROLES or message.get("tool_calls"):
        refuse(where, "is a tool's call or result, which MCP prompts can't hold")
    _require_utf8(message, where)
    content = message.get("content")
    parts = [{"type": "text", "text": content}] if isinstance(content, str) else content
    if not isinstance(parts, list):
        refuse(f"{where}, content", "must be text or a list of parts")
    placed = [(part, f"{where}, part {number}") for number, part in enumerate(parts, 1)]
    meta = None if role == ROLES[role] else {ROLE: role}
    return [
        PromptMessage(role=ROLES[role], content=content.model_copy(update={"meta": meta}))  # type: ignore[arg-type]
        for content in read_all(lambda each: _content(*each, base), placed)
    ]


def _require_utf8(message: Mapping[str, Any], where: str) -> None:
    """Refuse a message that UTF-8 can't hold; it would end the connection."""
    try:
        json.dumps(message, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        refuse(where, "has a lone surrogate, which is no UTF-8")


def _content(part: Any, where: str, base: str) -> ContentBlock:
    kind = value_at(part, "type")
    if kind == "text":
        return TextContent(text=text_at(part, "text", where))
    if kind not in KINDS:
        refuse(f"{where}, type", f"must be one of text, {', '.join(KINDS)}, which MCP prompts can hold")
    return _media(read_media(part, where), base)


def _media(media: Media, base: str) -> ContentBlock:
    """Return the data of an image, audio or a file, or a link to it; `base` is the URI below which a file gets one."""
    source = media.source
    if isinstance(source, Stored):
        refuse(media.field, "is a file that a provider holds, which MCP clients can't get")
    if isinstance(source, Link):
        name = PurePosixPath(urlsplit(source.url).path).name
        return ResourceLink(uri=source.url, name=name or source.url, mime_type=source.mime_type)
    mime_type = REGISTERED_TYPES.get(source.mime_type, source.mime_type)
    if media.kind == "image_url":
        return ImageContent(data=source.base64, mime_type=mime_type)
    if media.kind == "input_audio":
        return AudioContent(data=source.base64, mime_type=mime_type)
    uri = f"{base}/{quote(media.filename or 'file')}"
    return EmbeddedResource(resource=BlobResourceContents(uri=uri, mime_type=mime_type, blob=source.base64))
