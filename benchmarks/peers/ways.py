"""What every peer gives to be measured, and the floor that all are measured against.

A peer's module, `of_<peer>.py`, has `PACKAGE`, the name of what it measures as it is installed, and `ways(folder)`,
which sets the peer up in an empty folder and gives its ways. Nothing here knows a peer.
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
GIVEN: dict[str, dict[str, Any]] = {"short": {"words": VALUES["words"]}, "medium": VALUES, "chat": CHAT_VALUES}
DAY = 86400  # seconds: a cache that lives as long is never refreshed while it is measured

TEXT_FLOOR = "plain.render(**plain_values)"
CHAT_FLOOR = "[message.render(**plain_values) for message in plain]"


def alone(text: str) -> list[str]:
    """Give what a text prompt comes to, as the texts of its messages."""
    return [text]


def contents(messages: list[dict[str, str]]) -> list[str]:
    """Give the texts of messages that are dictionaries."""
    return [message["content"] for message in messages]


@dataclass(frozen=True, slots=True)
class Way:
    """One way in which a peer turns a prompt's name, or a held prompt, and values into text.

    `prompt` is short, medium or chat; `stale` says how old what it gives may be; `texts` gives the texts of what
    `statement` comes to, one a message.
    """

    name: str
    prompt: str
    statement: str
    names: Mapping[str, Any]
    stale: str
    texts: Callable[[Any], list[str]] = alone

    def row(self) -> Row:
        """Give the way beside its floor: the same prompt in plain Jinja2, compiled once."""
        is_chat = self.prompt == "chat"
        held = [PLAIN.from_string(text) for text in CONTENTS] if is_chat else PLAIN.from_string(TEXTS[self.prompt])
        names = {**self.names, "plain": held, "plain_values": GIVEN[self.prompt]}
        return Row(f"{self.name}, {self.prompt}", self.statement, CHAT_FLOOR if is_chat else TEXT_FLOOR, names)

    def differs(self) -> str | None:
        """Tell how the texts differ from the floor's; None where they don't."""
        ours, floor = self.row().results()
        given, expected = self.texts(ours), floor if self.prompt == "chat" else alone(floor)
        return None if given == expected else f"{self.name}, {self.prompt}: gives\n{given}\ninstead of\n{expected}"
