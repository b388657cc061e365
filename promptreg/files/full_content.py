"""The content of a version in a full export, read as strictly as `create` reads it, and left as it is.

What earlier releases accepted stays valid, as they wrote it: a message of any role, carriage returns in a Jinja
template, and hashes of content that was not normalized yet. Templates are not compiled: that would take an hour for a
million versions, and one that no release would accept is refused by its first render, as one is that an earlier release
has stored.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from promptreg.errors import InvalidInputError
from promptreg.jsonvalues import canonical, digest, freeze, is_same, refrozen
from promptreg.messages import with_read_line_ends
from promptreg.records import CONTENT, Snapshot, content_of
from promptreg.rules.inputs import MAX_STORED, read_content_hash, read_filled_text, read_text
from promptreg.rules.version_fields import read_edit, read_template

_FIRST_FORMS = ({"role": read_filled_text, "content": read_text}, {"placeholder": read_filled_text})
"""The messages of the first schema, whose roles could be any."""


def read_snapshot(value: Mapping[str, Any], field: str) -> Snapshot:
    """Return the content that the fields of a version hold, with its hash."""
    if value.keys() != {*CONTENT, "content_hash"}:
        raise InvalidInputError.of(field, f"must have {', '.join(CONTENT)}, content_hash and what belongs to a version")
    try:
        template = _read_template(value["template"])
        others = {name: value[name] for name in CONTENT if name != "template"}
        read = read_edit(**others).passed
    except InvalidInputError as error:
        raise error.within(field) from None
    for name, given in others.items():
        if not is_same(read[name], given):
            raise InvalidInputError.of(f"{field}.{name}", "is not in the form in which it is stored")
    fields = {name: template if name == "template" else read[name] for name in CONTENT}
    hash_ = read_content_hash(value["content_hash"], f"{field}.content_hash")
    if hash_ not in _hashes(fields):
        raise InvalidInputError.of(f"{field}.content_hash", "is not the hash of the content")
    return Snapshot(**fields, content_hash=hash_)


def _read_template(value: Any) -> Any:
    try:
        read = read_template(value, most=MAX_STORED)
    except InvalidInputError:
        if not _is_of_first_schema(value):
            raise
        return freeze(value, characters=MAX_STORED)
    if not is_same(read, value):
        raise InvalidInputError.of("template", "is not in the form in which it is stored")
    return refrozen(value) if isinstance(value, list) else read


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


def _hashes(fields: Mapping[str, Any]) -> Iterator[str]:
    """Yield the hash of the content, and those that earlier releases have made of the same content."""
    content = content_of(fields)
    yield digest(content)
    raw = {**content, "variables": fields["variables"]}
    if canonical(raw) != canonical(content):
        yield digest(raw)
    if with_read_line_ends(fields["template"], fields["syntax"]) != fields["template"]:
        yield digest({**content, "template": fields["template"]})
        yield digest({**raw, "template": fields["template"]})
