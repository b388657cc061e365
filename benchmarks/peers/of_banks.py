"""banks: a held `Prompt`, with the values that its cache of rendered texts knows, and with new ones.

By default banks keeps every text that it has rendered, for ever, by the pickled values. A prompt whose values differ
on each call never finds any; a cache that keeps nothing is what is cheapest for it.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from banks import Prompt
from banks.registries import DirectoryPromptRegistry
from equivalents import for_trimmed_blocks
from prompts import CHAT
from ways import GIVEN, TEXTS, Way, alone

PACKAGE = "banks"
HELD = "until reloaded"


class NoCache:
    """A `RenderCache` that keeps nothing."""

    def get(self, context: dict[str, Any]) -> str | None:
        """Find nothing."""

    def set(self, context: dict[str, Any], prompt: str) -> None:
        """Keep nothing."""

    def clear(self) -> None:
        """Have nothing to forget."""


def ways(folder: Path) -> Iterator[Way]:
    """Give each prompt held, twice, and from banks' directory registry, which reads its index once."""
    registry = DirectoryPromptRegistry(folder)
    for prompt, source in sources().items():
        method, texts = ("chat_messages", block_texts) if prompt == "chat" else ("text", alone)
        registry.set(prompt=Prompt(source, name=prompt))
        held, new = Prompt(source), Prompt(source, render_cache=NoCache())
        names = {"registry": registry, "held": held, "new": new, "values": GIVEN[prompt]}
        yield Way("banks, values seen before", prompt, f"held.{method}(values)", names, HELD, texts)
        yield Way("banks, new values", prompt, f"new.{method}(values)", names, HELD, texts)
        found = f"registry.get(name={prompt!r}).{method}(values)"
        yield Way("banks, its directory", prompt, found, names, HELD, texts)


def sources() -> dict[str, str]:
    """Give the prompts in banks' language: Jinja that drops line breaks after tags, messages as blocks."""
    blocks = [f'{{% chat role="{message["role"]}" %}}{message["content"]}{{% endchat %}}\n' for message in CHAT]
    return {**{name: for_trimmed_blocks(source) for name, source in TEXTS.items()}, "chat": "".join(blocks)}


def block_texts(messages: list[Any]) -> list[str]:
    """Give the texts of banks' messages, each one block here."""
    return [block.text for message in messages for block in message.content]
