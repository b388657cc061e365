"""The messages of one render of a chat prompt, from the template's messages and what filled them.

They are made when they are asked for: many callers need the text alone, and making them takes longer than rendering.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from promptreg.jsonvalues import thaw
from promptreg.messages import BETWEEN_TEXTS, Message, Part, is_placeholder, text_of, with_templates


class ChatMessages:
    """The messages of one render. Immutable, so that threads may share it; it pickles.

    `template` are the template's messages, `texts` the rendered text of each template in them, in the order of
    `parts_of`, and `passed` the messages that filled each placeholder.
    """

    __slots__ = ("_passed", "_template", "_texts")

    def __init__(
        self,
        template: Sequence[Mapping[str, Any]],
        texts: Sequence[str],
        passed: Sequence[Sequence[Message]] = (),
    ) -> None:
        self._template = template
        self._texts = texts
        self._passed = passed

    def fresh(self) -> list[Message]:
        """Return the messages, new at every depth, without the cache marks of the template."""
        return [message for message, _ in self._rendered()]

    def cache_marks(self) -> list[int]:
        """Return the indexes of the messages that the template marks with `cache`: a provider's cache may end there.

        >>> system = {"role": "system", "content": "Long", "cache": True}
        >>> ChatMessages([{"placeholder": "h"}, system], ["Long"], [[{"role": "user"}]]).cache_marks()
        [1]
        """
        return [i for i, (_, is_marked) in enumerate(self._rendered()) if is_marked]

    def _rendered(self) -> Iterator[tuple[Message, bool]]:
        """Yield each message, and whether the template marks it."""
        texts, passed = iter(self._texts), iter(self._passed)
        for message in self._template:
            if is_placeholder(message):
                yield from ((thaw(item), False) for item in next(passed))
            else:
                filled = with_templates(message, lambda _: next(texts))
                yield filled, bool(filled.pop("cache", False))


def chat_output(
    template: Sequence[Mapping[str, Any]], parts: Sequence[Part], made: Sequence[Any]
) -> tuple[str, ChatMessages]:
    """Return the text and the messages of a render, given what each part of the template became.

    That is a text, or for a placeholder a list of messages.
    """
    texts: list[str] = []
    passed: list[list[Message]] = []
    shown: list[str] = []
    for part, each in zip(parts, made, strict=True):
        if part.placeholder is not None:
            passed.append(each)
            shown += [text for message in each if (text := text_of(message)) is not None]
        else:
            texts.append(each)
            shown += [each] if part.is_shown else []
    return BETWEEN_TEXTS.join(shown), ChatMessages(template, texts, passed)
