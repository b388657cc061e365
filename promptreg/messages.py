"""The texts of a template: of a chat, those in its messages that are templates, with their places and line ends.

`rules/messages.py` decides what is accepted, and `rendering/` renders it; diff and search read messages by this file.
It takes whatever is stored: what an earlier release accepted, and any value that a caller puts into a `Prompt`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple, TypeAlias

from promptreg.jsonvalues import FrozenList, refrozen, thaw
from promptreg.models import Syntax

Message: TypeAlias = dict[str, Any]

TEMPLATES: Mapping[str, Sequence[str]] = {
    "text": ("text",),
    "image_url": ("image_url", "url"),
    "input_audio": ("input_audio", "data"),
    "file": ("file",),
}
"""The path in a part of each type to its template; of an object there, every text in it at any depth is one."""

BETWEEN_TEXTS = "\n\n"
"""What stands in `Rendered.text` between two messages, and between two text parts of one."""


class Part(NamedTuple):
    """A part of a template that is rendered by itself: a text, or a placeholder.

    `where` is its message and part, for errors; empty for a text prompt. `is_shown` says whether it belongs to
    `Rendered.text`.
    """

    where: str
    template: str = ""
    is_shown: bool = True
    placeholder: str | None = None


def parts_of(template: str | Sequence[Mapping[str, Any]]) -> list[Part]:
    """Return the parts of a template in their order, which is that of `with_templates`.

    >>> image = {"type": "image_url", "image_url": {"url": "{{ photo }}"}}
    >>> for part in parts_of([{"placeholder": "history"}, {"role": "user", "content": [image]}]):
    ...     print(part)
    Part(where='message 1 of 2', template='', is_shown=True, placeholder='history')
    Part(where='message 2 of 2, part 1', template='{{ photo }}', is_shown=False, placeholder=None)
    """
    if isinstance(template, str):
        return [Part("", template)]
    found: list[Part] = []
    for number, message in enumerate(template, 1):
        where = f"message {number} of {len(template)}"
        if is_placeholder(message):
            found.append(Part(where, placeholder=message["placeholder"]))
        else:
            found += [
                Part(f"{where}, part {place}" if place else where, holder[key], is_shown)
                for place, is_shown, holder, key in _templates_in(message)
            ]
    return found


def with_templates(message: Mapping[str, Any], change: Callable[[str], str]) -> Message:
    """Return a copy of a message, all new, with each of its templates changed; they are changed in their order.

    >>> with_templates({"role": "user", "content": [{"type": "text", "text": "Hi"}], "name": "ana"}, str.upper)
    {'role': 'user', 'content': [{'type': 'text', 'text': 'HI'}], 'name': 'ana'}
    """
    if is_plain(message):  # as most are: copying deeply takes five times as long
        return {**message, "content": change(message["content"])}
    copy: Message = thaw(message)
    for _, _, holder, key in _templates_in(copy):
        holder[key] = change(holder[key])
    return copy


def mapped(template: str | FrozenList, change: Callable[[str], str]) -> str | FrozenList:
    """Return a template with every text of it changed; placeholders, names and tool calls stay as they are."""
    if isinstance(template, str):
        return change(template)
    changed: FrozenList = refrozen([with_templates(message, change) for message in template])
    return changed


def length_of(template: str | FrozenList) -> int:
    """Return how many characters a template has: of a chat, all texts of its messages together, but for the roles.

    >>> length_of("a"), length_of([{"role": "user", "content": "ab"}, {"role": "user", "content": "c"}])
    (1, 3)
    """
    return len(template) if isinstance(template, str) else sum(map(len, texts_in(template)))


def with_read_line_ends(template: str | FrozenList, syntax: Syntax) -> str | FrozenList:
    r"""Return a template with the line ends that its syntax reads: `\n`, or those that it has where it is `plain`.

    >>> with_read_line_ends("a\r\nb", "jinja"), with_read_line_ends("a\r\nb", "plain")
    ('a\nb', 'a\r\nb')

    Jinja2 reads `\r\n` and `\r` as `\n`, so templates of its syntax are stored, hashed and compared with `\n`. One that
    an earlier release stored with others keeps them and its hash, and equals the same with `\n`.
    """
    texts = (template,) if isinstance(template, str) else texts_in(template)
    return template if syntax == "plain" or not any("\r" in text for text in texts) else mapped(template, _unix)


def texts_in(template: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """Yield every text that counts towards the size of a chat: contents, and of other values their keys too."""
    for message in template:
        for key, value in message.items():
            if key != "role":
                yield from _texts_of(value)


def is_placeholder(message: Mapping[str, Any]) -> bool:
    """Return whether a message names the variable whose messages stand in its place."""
    return isinstance(message.get("placeholder"), str)


def is_plain(message: Mapping[str, Any]) -> bool:
    """Return whether a message is a role and a text, and nothing else."""
    return message.keys() == {"role", "content"} and isinstance(message["content"], str)


def text_of(message: Mapping[str, Any]) -> str | None:
    """Return the text of a message: its content, or the texts of its parts; None if it has no text.

    >>> text_of({"role": "user", "content": [{"type": "text", "text": "a"}, {"type": "image_url"}]})
    'a'
    >>> text_of({"role": "assistant", "content": None, "tool_calls": []}) is None
    True
    """
    content = message.get("content")
    if isinstance(content, list):
        texts = [text for part in content if (text := _text_of_part(part)) is not None]
        return BETWEEN_TEXTS.join(texts) if texts else None
    return content if isinstance(content, str) else None


_TEXT_PARTS = ("text", "input_text", "output_text")
"""The latter two are in messages of placeholders, whose types may be anything, also what has no hash."""

_Place: TypeAlias = tuple[int, bool, Any, Any]
"""Where a template stands in a message: the number of its part (0: the content), whether it is shown, what holds it,
and the key there."""


def _text_of_part(part: object) -> str | None:
    text = part.get("text") if isinstance(part, dict) and part.get("type", "text") in _TEXT_PARTS else part
    return text if isinstance(text, str) else None


def _unix(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _texts_of(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        yield from value
        for item in value.values():
            yield from _texts_of(item)
    elif isinstance(value, list):
        for item in value:
            yield from _texts_of(item)


def _templates_in(message: Mapping[str, Any]) -> Iterator[_Place]:
    content = message.get("content")
    if isinstance(content, str):
        yield 0, True, message, "content"
    elif isinstance(content, list):
        for number, part in enumerate(content, 1):
            kind = part.get("type") if isinstance(part, dict) else None
            path = TEMPLATES.get(kind, ()) if isinstance(kind, str) else ()
            for holder, key in _texts_at(part, path):
                yield number, kind == "text", holder, key


def _texts_at(holder: Any, path: Sequence[str]) -> Iterator[tuple[Any, Any]]:
    """Yield each text at the end of a path, at any depth: what holds it, and the key there."""
    for key in path[:-1]:
        holder = holder.get(key) if isinstance(holder, dict) else None
    if path and isinstance(holder, dict) and path[-1] in holder:
        yield from _texts_in(holder, path[-1])


def _texts_in(holder: Any, key: Any) -> Iterator[tuple[Any, Any]]:
    value = holder[key]
    if isinstance(value, str):
        yield holder, key
    elif isinstance(value, dict | list):
        for inner in value if isinstance(value, dict) else range(len(value)):
            yield from _texts_in(value, inner)
