"""The body of a `.prompty` file as messages: lines such as `system:` and `user[name="ana"]:` begin one.

Prompty renders the whole body first and splits the result. Here the body is split first, so that no value ever begins a
message; that only a value can name a role, or a block go over the end of a message, can't be carried over.
"""

import re
from collections.abc import Collection, Iterator
from typing import Any, NamedTuple

Message = dict[str, Any]

_MARKER = re.compile(
    r"#?\s*(system|user|assistant|developer)(\[[^\[\]]*\])?\s*:",
    re.IGNORECASE,
)
_ATTRIBUTE = re.compile(r"(\w+)\s*=\s*(?:\"([^\"]*)\"|([^\",\]]*))")
_ROLE_OF_VALUE = re.compile(r"\s*#?\s*\{\{[^{}]*\}\}\s*:\s*")
_HISTORY = re.compile(
    r"\{%-?\s*for\s+(\w+)\s+in\s+(\w+)\s*-?%\}\s*#?\s*\{\{\s*\1\.role\s*\}\}\s*:\s*"
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
        messages += _with_inputs(message, messages, names, images)
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
            if _ROLE_OF_VALUE.fullmatch(line):
                notes.append("a line whose role is a variable is text here: no value can name a role")
            lines.append(line)
            continue
        if lines:
            yield _message(message, lines, notes)
        message, lines = {"role": marker[1].lower(), **_attributes(marker[2] or "", notes)}, []
    if lines:
        yield _message(message, lines, notes)


def _attributes(text: str, notes: list[str]) -> dict[str, str]:
    given = {key: quoted or bare.strip() for key, quoted, bare in _ATTRIBUTE.findall(text)}
    name = given.pop("name", "")
    for key in given:
        notes.append(f"the attribute {key} of a role is not carried over")
    return {"name": name} if name.strip() else {}


def _message(message: Message, lines: list[str], notes: list[str]) -> Message:
    """Return a message without the empty lines at its ends, which Prompty removes after rendering."""
    content = "\n".join(lines).strip("\n")
    edges = [content.split("\n")[i].strip() for i in (0, -1)] if "\n" in content else []
    if any("{%" in edge for edge in edges):
        content = "{% filter trim('\\n') %}" + content + "{% endfilter %}"
        notes.append("a message that begins or ends with a block is within a filter that removes its empty lines")
    elif any(edge.startswith("{{") and edge.endswith("}}") for edge in edges):
        notes.append("an empty line that a value leaves at the end of a message stays; Prompty removes it")
    return {**message, "content": content}


def _with_inputs(
    message: Message, before: list[Message], threads: Collection[str], images: Collection[str]
) -> Iterator[Message]:
    """Yield a message, cut where an input stands that is whole messages, or an image."""
    names = "|".join(re.escape(name) for name in (*threads, *images))
    pieces = re.split(rf"\{{\{{-?\s*({names})\s*-?\}}\}}", message["content"]) if names else [message["content"]]
    if len(pieces) == 1:
        yield message
        return
    last = before[-1] if before else None
    for i, piece in enumerate(pieces):
        if i % 2 and piece in threads:
            last = {"placeholder": piece}
            yield last
        elif i % 2:
            part = {"type": "image_url", "image_url": {"url": f"{{{{ {piece} }}}}"}}
            if last is not None and last.get("role") == "user":
                last["content"] = [*_parts(last["content"]), part]
            else:
                last = {"role": "user", "content": [part]}
                yield last
        elif piece.strip():
            last = {**message, "content": piece.strip()}
            yield last


def _parts(content: Any) -> list[Any]:
    return content if isinstance(content, list) else [{"type": "text", "text": content}]
