"""The difference between two versions, as a unified diff; which fields it shows is the table in `promptreg.records`."""

import json

from promptreg.jsonvalues import canonical
from promptreg.records import Snapshot, VersionRecord, content_of, differing


def diff_versions(name: str, old: VersionRecord, new: VersionRecord) -> str:
    """Return a unified diff of the whole content; it is empty where the content is equal.

    First comes the template (in a chat prompt with a `## role` line before each message), then the other fields as
    sorted JSON. A trailing newline is shown as an empty line. Where too much has changed to be compared line by line,
    all of it is one block, whose heading says so.
    """
    if not differing(old.snapshot, new.snapshot):
        return ""
    from promptreg.rules.unified_diff import unified  # noqa: PLC0415 (1.3 ms at import, and only `diff` needs it)

    before, after = _lines(old.snapshot), _lines(new.snapshot)
    if before == after:
        before, after = [canonical(old.snapshot.template)], [canonical(new.snapshot.template)]
    return "\n".join(unified(before, after, f"{name}@{old.number}", f"{name}@{new.number}"))


def _lines(snapshot: Snapshot) -> list[str]:
    fields = {name: value for name, value in content_of(snapshot.fields()).items() if name != "template"}
    text = "\n".join(_template_parts(snapshot))
    return [*text.split("\n"), *json.dumps(fields, sort_keys=True, ensure_ascii=False, indent=2).split("\n")]


def _template_parts(snapshot: Snapshot) -> list[str]:
    if isinstance(snapshot.template, str):
        return [snapshot.template]
    return [
        f"## {message['role']}\n{message['content']}"
        if "role" in message
        else f"## placeholder {message['placeholder']}"
        for message in snapshot.template
    ]
