"""The body of a `.prompty` file as messages: lines such as `system:` and `user[name="ana"]:` begin one.

Prompty renders the whole body first and splits the result. Here the body is split first, so that no value ever begins a
message; a role that is a value, or a block that goes over the end of a message, can't be carried over. A last message
that an empty value leaves without any line is empty here, and none there.
"""

import re
from collections.abc import Collection, Iterator
from typing import Any, NamedTuple

Message = dict[str, Any]

_MARKER = re.compile(
    r"(?:#\s*)?(system|user|assistant|developer)(\[[^\[\]]*\])?\s*:",
    re.IGNORECASE,
)
_ATTRIBUTE = re.compile(r"(?<!\w)(\w++)\s*=\s*(?:\"([^\"]*)\"|([^\",\]]*))")
_ROLE_OF_VALUE = re.compile(r"(?:#\s*)?\{\{[^{}]*\}\}\s*:")
_HISTORY = re.compile(
    r"\{%-?\s*for\s+(\w+)\s+in\s+(\w+)\s*-?%\}\s*+(?:#\s*)?\{\{\s*\1\.role\s*\}\}\s*:\s*"
    r"\{\{\s*\1\.content\s*\}\}\s*\{%-?\s*endfor\s*-?%\}"
)
"""A loop over a conversation, as the examples of Prompty write it."""
_SEPARATORS = re.compile(r"[\x0b\x0c\x1c-\x1e\x85\u2028\u2029]")


class Body(NamedTuple):
    """The messages of a body, what was changed, and the variables that are whole lists of messages."""

    messages: list[Message]
    notes: list[str]
    threads: list[str]


def read_body(body: str, *, threads: Collection[str] = (), images: Collection[str] = ()) -> Body:
    r"""Return the messages of a body; `threads` and `images` are the inputs of these kinds.

    >>> read_body("system:\nBe brief.\n\nuser:\n{{question}}\n").messages
    [{'role': 'system', 'content': 'Be brief.'}, {'role': 'user', 'content': '{{question}}'}]
    """
    notes = []
    if _SEPARATORS.search(body):
        notes.append("line separators other than line feeds became line feeds, as Prompty makes them")
    loops = list(dict.fromkeys(name for _, name in _HISTORY.findall(body)))
    body = _HISTORY.sub(lambda loop: f"{{{{{loop[2]}}}}}", body)
    for name in loops:
        notes.append(f"the loop that writes the messages of {name} became a placeholder")
    names = [*threads, *(name for name in loops if name not in threads)]
    messages: list[Message] = []
    for message in _split(body, notes):
        messages += _with_inputs(message, messages[-1] if messages else None, notes, names, images)
    placed = {message.get("placeholder") for message in messages}
    messages += [{"placeholder": name} for name in names if name not in placed]
    return Body(messages, notes, names)


def _split(body: str, notes: list[str]) -> Iterator[Message]:
    """Yield the messages of the lines; text before the first marker is the system's."""
    message: Message = {"role": "system"}
    lines: list[str] = []
    for line in body.lstrip().splitlines():
        marker = _MARKER.fullmatch(line.strip())
        if marker is None:
            if _ROLE_OF_VALUE.fullmatch(line.strip()):
                notes.append("a line whose role is a variable is text here: no value can name a role")
            lines.append(line)
            continue
        if lines:
            yield {**message, "content": "\n".join(lines)}
        message, lines = {"role": marker[1].lower(), **_attributes(marker[2] or "", notes)}, []
    if lines:
        yield {**message, "content": "\n".join(lines)}


def _attributes(text: str, notes: list[str]) -> dict[str, str]:
    """Return the name that a marker gives its message; a template there is not carried over, nor is anything else."""
    given = {key: quoted or bare.strip() for key, quoted, bare in _ATTRIBUTE.findall(text)}
    kept = {key: value for key, value in given.items() if key == "name" and value.strip() and "{" not in value}
    notes += [f"the attribute {key} of a role is not carried over" for key in given if key not in kept]
    return kept


def _without_ends(text: str, notes: list[str], *, ends: str | None = "\n") -> str:
    """Return a text without the empty lines, or with `ends` None the white space, at its ends.

    Prompty removes them after rendering, so a block that may leave some gets a filter that does the same.
    """
    content = text.strip(ends)
    edges = [content.split("\n")[i].strip() for i in (0, -1)] if "\n" in content else []
    if any("{%" in edge for edge in edges):
        notes.append("a message that begins or ends with a block is within a filter that removes its empty lines")
        trim = "trim" if ends is None else "trim('\\n')"
        return f"{{% filter {trim} %}}{content}{{% endfilter %}}"
    if any(edge.startswith("{{") and edge.endswith("}}") for edge in edges):
        notes.append("an empty line that a value leaves at the end of a message stays; Prompty removes it")
    return content


def _with_inputs(
    message: Message, before: Message | None, notes: list[str], threads: Collection[str], images: Collection[str]
) -> Iterator[Message]:
    """Yield a message, cut where an input stands that is whole messages, or an image."""
    names = "|".join(re.escape(name) for name in (*threads, *images))
    pieces = re.split(rf"\{{\{{-?\s*({names})\s*-?\}}\}}", message["content"]) if names else [message["content"]]
    if len(pieces) == 1:
        yield {**message, "content": _without_ends(pieces[0], notes)}
        return
    last = before
    for i, piece in enumerate(pieces):
        made = _placed(piece, last, threads) if i % 2 else _text(message, piece, notes)
        if made is not None:
            last = made
            yield made


def _text(message: Message, piece: str, notes: list[str]) -> Message | None:
    return {**message, "content": _without_ends(piece, notes, ends=None)} if piece.strip() else None


def _placed(name: str, before: Message | None, threads: Collection[str]) -> Message | None:
    """Return a placeholder, or the message of an image; None where the image is added to the user's message before."""
    if name in threads:
        return {"placeholder": name}
    part = {"type": "image_url", "image_url": {"url": f"{{{{ {name} }}}}"}}
    if before is None or before.get("role") != "user":
        return {"role": "user", "content": [part]}
    before["content"] = [*_parts(before["content"]), part]
    return None


def _parts(content: Any) -> list[Any]:
    return content if isinstance(content, list) else [{"type": "text", "text": content}]
