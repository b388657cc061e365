"""The difference between two versions, as a unified diff; which fields it shows is the table in `promptreg.records`."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

from promptreg.jsonvalues import FrozenList, canonical
from promptreg.messages import is_placeholder
from promptreg.records import VersionRecord, content_of, differing


def diff_versions(name: str, old: VersionRecord, new: VersionRecord) -> str:
    """Return a unified diff of the whole content; it is empty where the content is equal.

    First comes the template, then the other fields as sorted JSON. In a chat prompt each message is a `## role` line,
    its text or a line for each part, and a line for its cache mark, its name, and each tool call. A trailing newline is
    shown as an empty line. Where too much has changed to be compared line by line, all of it is one block, whose
    heading says so.
    """
    if not differing(old.snapshot, new.snapshot):
        return ""
    from promptreg.rules.unified_diff import unified  # noqa: PLC0415 (1.3 ms at import, and only `diff` needs it)

    before, after = compared_lines(old, new)
    return "\n".join(unified(before, after, f"{name}@{old.number}", f"{name}@{new.number}"))


def compared_lines(old: VersionRecord, new: VersionRecord) -> tuple[list[str], list[str]]:
    """Return the lines in which the whole content of two versions that differ is compared."""
    contents = [content_of(version.snapshot.fields()) for version in (old, new)]
    before, after = map(_lines, contents)
    if before == after:
        before, after = ([canonical(content["template"])] for content in contents)
    return before, after


def _lines(content: Mapping[str, Any]) -> list[str]:
    fields = {name: value for name, value in content.items() if name != "template"}
    text = "\n".join(_template_parts(content["template"]))
    return [*text.split("\n"), *json.dumps(fields, sort_keys=True, ensure_ascii=False, indent=2).split("\n")]


def _template_parts(template: str | FrozenList) -> list[str]:
    if isinstance(template, str):
        return [template]
    return [line for message in template for line in _message_parts(message)]


def _message_parts(message: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines of a message: its role, what its content is, and each other field, as JSON but for a text."""
    if is_placeholder(message):
        yield f"## placeholder {message['placeholder']}"
        return
    yield f"## {message['role']}"
    content = message.get("content", [])
    yield from [content] if isinstance(content, str) else map(canonical, content)
    for name, value in sorted(message.items()):
        if name not in {"role", "content"}:
            yield from (f"{name}: {canonical(item)}" for item in (value if isinstance(value, list) else [value]))
