"""What a part of a message holds but text: an image, audio or a file, inline or at a URL, checked and decoded.

Which of these a provider takes is decided by the module of its SDK. Errors quote nothing of a URL or of data.
"""

from base64 import b64encode
from binascii import a2b_base64
from collections.abc import Mapping
from pathlib import PurePosixPath
from re import ASCII, compile
from typing import Any, Literal, NamedTuple, TypeAlias
from urllib.parse import unquote, unquote_to_bytes, urlsplit

from promptreg.sdks.fields import filled_text_at, object_at, refuse

Kind: TypeAlias = Literal["image_url", "input_audio", "file"]

KINDS: tuple[Kind, ...] = ("image_url", "input_audio", "file")
FILE_SOURCES = ("file_data", "file_url", "file_id")


class Inline(NamedTuple):
    """Data with its media type."""

    mime_type: str
    data: bytes

    @property
    def base64(self) -> str:
        """The data as base64."""
        return b64encode(self.data).decode()


class Link(NamedTuple):
    """A URL of the schemes `https`, `http` or `gs`, with the media type of its suffix where that is known."""

    url: str
    mime_type: str | None

    @property
    def scheme(self) -> str:
        """The scheme, in small letters."""
        return self.url.partition(":")[0].lower()


class Stored(NamedTuple):
    """A file that the provider holds, with the media type of its name where that is known."""

    file_id: str
    mime_type: str | None


Source: TypeAlias = Inline | Link | Stored


class Media(NamedTuple):
    """A part that is no text: its type, where the data is, and the key that says so, for errors."""

    kind: Kind
    source: Source
    filename: str | None
    field: str


def read_media(part: Mapping[str, Any], where: str) -> Media:
    """Return what a part of type `image_url`, `input_audio` or `file` holds.

    >>> image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,QUJD"}}
    >>> read_media(image, "message 1 of 1, part 1").source
    Inline(mime_type='image/png', data=b'ABC')
    """
    kind: Kind = part["type"]
    return {"image_url": _image, "input_audio": _audio, "file": _file}[kind](part, where)


def _image(part: Mapping[str, Any], where: str) -> Media:
    url, field = _text(part, "image_url.url", where)
    return Media("image_url", _read_url(url, field), None, field)


def _audio(part: Mapping[str, Any], where: str) -> Media:
    form, field = _text(part, "input_audio.format", where)
    if not _TOKEN.fullmatch(form.lower()):
        refuse(field, "must be the name of a format, such as wav or mp3")
    data, field = _text(part, "input_audio.data", where)
    return Media("input_audio", Inline(f"audio/{form.lower()}", _read_base64(data, field)), None, field)


def _file(part: Mapping[str, Any], where: str) -> Media:
    held = object_at(part, "file", where)
    named = [key for key in FILE_SOURCES if held.get(key) is not None]
    if len(named) != 1 or any(key not in (*FILE_SOURCES, "filename") for key in held):
        refuse(f"{where}, file", f"must hold one of {', '.join(FILE_SOURCES)}, and may hold filename, no more")
    filename = None if held.get("filename") is None else _text(part, "file.filename", where)[0]
    value, field = _text(part, f"file.{named[0]}", where)
    return Media("file", _file_source(named[0], value, filename, field), filename, field)


def _file_source(key: str, value: str, filename: str | None, field: str) -> Source:
    named_type = type_of_name(filename or "")
    if key == "file_id":
        return Stored(value, named_type or type_of_name(value))
    if key == "file_url" or _is_data_url(value):
        source = _read_url(value, field)
        return source._replace(mime_type=source.mime_type or named_type) if isinstance(source, Link) else source
    data = _read_base64(value, field)
    mime_type = named_type or ("application/pdf" if data.startswith(b"%PDF-") else None)
    if mime_type is None:
        refuse(field, "has no type: write it as data:TYPE;base64,… or give a filename with a suffix")
    return Inline(mime_type, data)


def _text(part: Mapping[str, Any], path: str, where: str) -> tuple[str, str]:
    """Return the text at a path, and the name of the field, for errors."""
    return filled_text_at(part, path, where).strip(), f"{where}, {path}"


# URLs and data

_TOKEN = compile(r"[a-z0-9][a-z0-9!#$&^_.+-]*", ASCII)
_TYPE = compile(rf"{_TOKEN.pattern}/{_TOKEN.pattern}", ASCII)
_SAME_TYPES = {"image/jpg": "image/jpeg"}  # what people write, and no provider takes


def _is_data_url(url: str) -> bool:
    return url[:5].lower() == "data:"


def _read_url(url: str, field: str) -> Inline | Link:
    if _is_data_url(url):
        return _read_data_url(url, field)
    try:
        split = urlsplit(url)
    except ValueError:  # of brackets that enclose no address
        split = urlsplit("")
    if split.scheme not in {"https", "http", "gs"} or not split.netloc:
        refuse(field, "must be a URL that begins with https:// or data:")
    return Link(url, type_of_name(split.path))


def _read_data_url(url: str, field: str) -> Inline:
    header, comma, data = url[len("data:") :].partition(",")
    mime_type, *parameters = (word.strip().lower() for word in header.split(";"))
    mime_type = _SAME_TYPES.get(mime_type, mime_type) or "text/plain"
    if not comma or not _TYPE.fullmatch(mime_type):
        refuse(field, "is no data URL; one is written data:TYPE;base64,DATA, such as data:image/png;…")
    if parameters[-1:] == ["base64"]:
        return Inline(mime_type, _read_base64(unquote(data), field))
    return Inline(mime_type, _filled(_unquoted(data, field), field))


def _unquoted(text: str, field: str) -> bytes:
    try:
        return unquote_to_bytes(text)
    except UnicodeEncodeError:
        refuse(field, "has a lone surrogate, which is no UTF-8")


def _read_base64(text: str, field: str) -> bytes:
    try:
        data = a2b_base64("".join(text.split()), strict_mode=True)
    except ValueError:
        data = None
    if data is None:
        refuse(field, "is not base64 of the standard alphabet, with its padding")
    return _filled(data, field)


def _filled(data: bytes, field: str) -> bytes:
    if not data:
        refuse(field, "holds no data")
    return data


def type_of_name(name: str) -> str | None:
    """Return the media type of the suffix of a name or a path; None where it has none that is known.

    The table is here, as that of the standard library differs from machine to machine.

    >>> type_of_name("/a/photo.JPG"), type_of_name("photo")
    ('image/jpeg', None)
    """
    return TYPES.get(PurePosixPath(name).suffix.lower())


TYPES: Mapping[str, str] = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".webp": "image/webp",
    ".gif": "image/gif",
    ".heic": "image/heic",
    ".heif": "image/heif",
    ".pdf": "application/pdf",
    ".txt": "text/plain",
    ".md": "text/markdown",
    ".csv": "text/csv",
    ".html": "text/html",
    ".xml": "text/xml",
    ".json": "application/json",
    ".wav": "audio/wav",
    ".mp3": "audio/mp3",
    ".aac": "audio/aac",
    ".aiff": "audio/aiff",
    ".flac": "audio/flac",
    ".ogg": "audio/ogg",
    ".mp4": "video/mp4",
    ".mpeg": "video/mpeg",
    ".mov": "video/mov",
    ".webm": "video/webm",
}
"""Media types by suffix, as Gemini names them."""
