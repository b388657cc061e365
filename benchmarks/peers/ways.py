"""The interface of a peer's module, and the floor that all peers are measured against.

A peer's module, `of_<peer>.py`, has `PACKAGE`, the name of the distribution, and `ways(folder)`, which sets the peer
up in an empty folder and yields its ways. Nothing here knows a peer.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jinja2
from prompts import CHAT, CHAT_VALUES, MEDIUM, SHORT, VALUES
from timing import Row

PLAIN = jinja2.Environment()

TEXTS = {"short": SHORT, "medium": MEDIUM}
CONTENTS = [message["content"] for message in CHAT]
PROMPT_VALUES: dict[str, dict[str, Any]] = {"short": {"words": VALUES["words"]}, "medium": VALUES, "chat": CHAT_VALUES}
DAY = 86400  # seconds, so that no cache entry is refreshed while it is measured

TEXT_FLOOR = "plain.render(**plain_values)"
CHAT_FLOOR = "[message.render(**plain_values) for message in plain]"


def alone(text: str) -> list[str]:
    """Return a text prompt's text as the text of its one message."""
    return [text]


def contents(messages: list[dict[str, str]]) -> list[str]:
    """Return the texts of messages that are dictionaries."""
    return [message["content"] for message in messages]


@dataclass(frozen=True, slots=True)
class Way:
    """One way in which a peer turns values, and a prompt's name or a loaded prompt, into text.

    `prompt` is short, medium or chat; `stale` says how old its result may be; `texts` returns the texts of the value of
    `statement`, one for each message.
    """

    name: str
    prompt: str
    statement: str
    names: Mapping[str, Any]
    stale: str
    texts: Callable[[Any], list[str]] = alone

    def row(self) -> Row:
        """Return the row of the way and its floor: the same prompt in plain Jinja2, compiled once."""
        is_chat = self.prompt == "chat"
        held = [PLAIN.from_string(text) for text in CONTENTS] if is_chat else PLAIN.from_string(TEXTS[self.prompt])
        names = {**self.names, "plain": held, "plain_values": PROMPT_VALUES[self.prompt]}
        return Row(f"{self.name}, {self.prompt}", self.statement, CHAT_FLOOR if is_chat else TEXT_FLOOR, names)

    def differs(self) -> str | None:
        """Return how the texts differ from the floor's; None where they are equal."""
        ours, floor = self.row().results()
        actual, expected = self.texts(ours), floor if self.prompt == "chat" else alone(floor)
        return None if actual == expected else f"{self.name}, {self.prompt}: returned\n{actual}\ninstead of\n{expected}"
