r"""The texts of a template, of which a chat has several: how long they are, and their line ends.

Jinja2 reads `\r\n` and `\r` as `\n`, so a template of its syntax is stored, hashed and compared with `\n` alone. A
version that an earlier release stored with others keeps them, and its hash, and equals one with `\n`. In a `plain`
template every byte stays.
"""

import operator
from typing import Any

from promptreg.jsonvalues import FrozenDict, FrozenList, frozen_dict, frozen_list
from promptreg.models import Syntax


def length_of(template: str | FrozenList) -> int:
    """Return how many characters a template has: of a chat, the contents of all its messages together.

    >>> length_of("a"), length_of([{"role": "user", "content": "ab"}, {"placeholder": "history"}])
    (1, 2)
    """
    return len(template) if isinstance(template, str) else sum(_length(message.get("content")) for message in template)


def _length(value: Any) -> int:
    if isinstance(value, str):
        return len(value)
    if isinstance(value, list):
        return sum(map(_length, value))
    return sum(map(_length, value.values())) if isinstance(value, dict) else 0


def with_read_line_ends(template: str | FrozenList, syntax: Syntax) -> str | FrozenList:
    r"""Return a template with the line ends that its syntax reads: `\n`, or those that it has where it is `plain`.

    >>> with_read_line_ends("a\r\nb", "jinja"), with_read_line_ends("a\r\nb", "plain")
    ('a\nb', 'a\r\nb')
    """
    if syntax == "plain":
        return template
    if isinstance(template, str):
        return _unix_text(template)
    messages = [_unix_message(message) for message in template]
    return template if all(map(operator.is_, messages, template)) else frozen_list(messages)


def _unix_text(text: str) -> str:
    return text.replace("\r\n", "\n").replace("\r", "\n") if "\r" in text else text


def _unix_message(message: FrozenDict) -> FrozenDict:
    content = _unix(message.get("content"))
    return message if content is message.get("content") else frozen_dict({**message, "content": content})


def _unix(value: Any) -> Any:
    """Return a text, or every text in a message's parts, with the line ends that Jinja2 makes of all others."""
    if isinstance(value, str):
        return _unix_text(value)
    if isinstance(value, FrozenList):
        items = [_unix(item) for item in value]
        return value if all(map(operator.is_, items, value)) else frozen_list(items)
    if isinstance(value, FrozenDict):
        texts = {key: _unix(item) for key, item in value.items()}
        return value if all(text is value[key] for key, text in texts.items()) else frozen_dict(texts)
    return value
