"""The content of a version in a full export, read as strictly as `create` reads it, and left as it is.

What earlier releases accepted stays valid, as they wrote it: a message of any role, carriage returns in a Jinja
template, and hashes of content that was not normalized yet. Templates are not compiled: that would take an hour for a
million versions, and one that no release would accept is refused by its first render, as one is that an earlier release
has stored.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from promptreg.errors import InvalidInputError
from promptreg.jsonvalues import digest, freeze, hashed
from promptreg.records import CONTENT, Snapshot, content_of, content_text
from promptreg.rules.inputs import MAX_STORED, read_content_hash, read_filled_text, read_text
from promptreg.rules.version_fields import read_stored, require_size

_FIRST_FORMS = ({"role": read_filled_text, "content": read_text}, {"placeholder": read_filled_text})
"""The messages of the first schema, whose roles could be any."""


def read_snapshot(value: Mapping[str, Any]) -> Snapshot:
    """Return the content that the fields of a version hold, with its hash."""
    if value.keys() != {*CONTENT, "content_hash"}:
        raise InvalidInputError.of("keys", f"must be {', '.join(CONTENT)}, content_hash and what belongs to a version")
    fields = _read_fields(value)
    if any(fields[name] != value[name] for name in CONTENT):
        raise InvalidInputError.of("content", "is not in the form in which it is stored")
    text = content_text(fields)
    require_size(fields, text)
    hash_ = read_content_hash(value["content_hash"], "content_hash")
    if hashed(text) != hash_ and hash_ not in _older_hashes(fields):
        raise InvalidInputError.of("content_hash", "is not the hash of the content")
    return Snapshot(**fields, content_hash=hash_)


def _read_fields(value: Mapping[str, Any]) -> dict[str, Any]:
    template = value["template"]
    try:
        return read_stored(value)
    except InvalidInputError:
        if not _is_of_first_schema(template):
            raise
    return {**read_stored({**value, "template": "-"}), "template": freeze(template, characters=MAX_STORED)}


def _is_of_first_schema(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(map(_is_first_message, value))


def _is_first_message(message: Any) -> bool:
    if not isinstance(message, dict):
        return False
    form = next((form for form in _FIRST_FORMS if form.keys() == message.keys()), None)
    try:
        return form is not None and all(read(message[key], key) == message[key] for key, read in form.items())
    except InvalidInputError:
        return False


def _older_hashes(fields: Mapping[str, Any]) -> Iterator[str]:
    """Yield the hashes that earlier releases have made of the same content."""
    content = content_of(fields)
    for changes in ("variables",), ("template",), ("variables", "template"):
        yield digest({**content, **{name: fields[name] for name in changes}})
