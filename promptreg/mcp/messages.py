"""The messages of a render as those of an MCP prompt.

MCP has the roles user and assistant, and one content a message: a message of several parts becomes several messages.
A system or developer message becomes a user's, in its place, with its role in `_meta`, as no client accepts another.
Tool calls and their results have no counterpart, so a prompt that has them is refused.
"""

import base64
import binascii
from collections.abc import Iterator, Mapping
from mimetypes import guess_type
from typing import Any
from urllib.parse import quote, unquote_to_bytes, urlsplit

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

from promptreg.errors import InvalidInputError
from promptreg.rendered import Rendered

ROLE = "promptreg/role"
"""The key of `_meta` that has the role of a message where MCP has no such role."""

ROLES = {"user": "user", "assistant": "assistant", "system": "user", "developer": "user"}
AUDIO_TYPES = {"mp3": "audio/mpeg"}
WEB = ("http://", "https://")
UNKNOWN_TYPE = "application/octet-stream"


class Unfit(ValueError):
    """A message, or a part of one, that MCP can't hold; the text is the reason."""


def prompt_messages(rendered: Rendered) -> list[PromptMessage]:
    """Return the messages; raise `InvalidInputError` that names each one that MCP can't hold, and quotes nothing."""
    made: list[PromptMessage] = []
    errors = []
    for number, message in enumerate(rendered.messages):
        try:
            made += _messages(message, f"promptreg:///{quote(rendered.name)}/{number}")
        except Unfit as error:
            errors.append({"field": f"messages[{number}]", "reason": str(error)})
    if errors:
        raise InvalidInputError.of_all(errors)
    return made


def _messages(message: Any, place: str) -> Iterator[PromptMessage]:
    role = message.get("role") if isinstance(message, Mapping) else None
    if role == "tool" or (role == "assistant" and message.get("tool_calls")):
        raise Unfit("is a tool's call or result, which MCP prompts can't hold")
    if not isinstance(role, str) or role not in ROLES:
        raise Unfit(f"must have one of the roles {', '.join(ROLES)}")
    meta = None if role == ROLES[role] else {ROLE: role}
    for content in _contents(message.get("content"), place):
        yield PromptMessage(role=ROLES[role], content=content.model_copy(update={"meta": meta}))  # type: ignore[arg-type]


def _contents(content: Any, place: str) -> Iterator[ContentBlock]:
    if isinstance(content, str):
        yield _text(content)
    elif isinstance(content, list):
        for part in content:
            yield _part(part, place)
    else:
        raise Unfit("must have a content, a text or a list of parts")


def _part(part: Any, place: str) -> ContentBlock:
    match part:
        case {"type": "text", "text": str(text)}:
            return _text(text)
        case {"type": "image_url", "image_url": {"url": str(url)}}:
            return _image(url)
        case {"type": "input_audio", "input_audio": {"data": str(data), "format": str(form)}}:
            return AudioContent(data=_checked_base64(data), mime_type=_text_of(AUDIO_TYPES.get(form, f"audio/{form}")))
        case {"type": "file", "file": {"file_url": str(url)}} if _is_web(url):
            return _link(url)
        case {"type": "file", "file": {"file_data": str(data), **file}}:
            return _file(data, file.get("filename"), place)
    raise Unfit("has a part that is no text, image, audio or file with its data, which MCP prompts can't hold")


def _text(text: str) -> TextContent:
    return TextContent(text=_text_of(text))


def _image(url: str) -> ContentBlock:
    if _is_web(url):
        return _link(url)
    data, kind = _inline(url)
    return ImageContent(data=data, mime_type=kind)


def _is_web(url: str) -> bool:
    return url[:8].lower().startswith(WEB)


def _link(url: str) -> ResourceLink:
    try:
        path = urlsplit(_text_of(url)).path
    except ValueError:
        raise Unfit("has a URL that is none") from None
    return ResourceLink(uri=url, name=path.rpartition("/")[2] or url, mime_type=guess_type(path)[0])


def _file(data: str, name: Any, place: str) -> EmbeddedResource:
    name = _text_of(name) if isinstance(name, str) and name else "file"
    if data.startswith("data:"):
        blob, kind = _inline(data)
    else:
        blob, kind = _checked_base64(data), guess_type(name)[0] or UNKNOWN_TYPE
    return EmbeddedResource(resource=BlobResourceContents(uri=f"{place}/{quote(name)}", mime_type=kind, blob=blob))


def _inline(url: str) -> tuple[str, str]:
    """Return the data of a `data:` URL in base64, and its type."""
    head, comma, data = url.partition(",")
    if not (comma and head.startswith("data:")):
        raise Unfit("has a URL that is neither http(s): nor data:")
    kind, *parameters = _text_of(head).removeprefix("data:").split(";")
    if "base64" not in parameters:
        return base64.b64encode(unquote_to_bytes(_text_of(data))).decode(), kind or "text/plain"
    return _checked_base64(data), kind or "text/plain"


def _checked_base64(data: str) -> str:
    try:
        base64.b64decode(data, validate=True)
    except (ValueError, binascii.Error):
        raise Unfit("has data that are not base64") from None
    return data


def _text_of(text: str) -> str:
    """Return a text that UTF-8 can hold; one that it can't would end the connection."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise Unfit("has a lone surrogate, which is no UTF-8") from None
    return text
