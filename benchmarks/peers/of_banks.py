"""banks: a loaded `Prompt`, with values whose text is in its cache of rendered texts, and with new values.

By default banks caches every text that it has rendered, for ever, by the pickled values. A prompt whose values differ
on each call never hits that cache, so that a cache that stores nothing is the cheapest for it.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from banks import Prompt
from banks.registries import DirectoryPromptRegistry
from equivalents import for_trimmed_blocks
from prompts import CHAT
from ways import PROMPT_VALUES, TEXTS, Way, alone

PACKAGE = "banks"
HELD = "until reloaded"


class NoCache:
    """A `RenderCache` that stores nothing."""

    def get(self, context: dict[str, Any]) -> str | None:
        """Return None."""

    def set(self, context: dict[str, Any], prompt: str) -> None:
        """Do nothing."""

    def clear(self) -> None:
        """Do nothing."""


def ways(folder: Path) -> Iterator[Way]:
    """Yield the three ways of each prompt: loaded, with and without the cache, and from banks' directory registry."""
    registry = DirectoryPromptRegistry(folder)
    for prompt, source in sources().items():
        method, texts = ("chat_messages", block_texts) if prompt == "chat" else ("text", alone)
        registry.set(prompt=Prompt(source, name=prompt))
        held, new = Prompt(source), Prompt(source, render_cache=NoCache())
        names = {"registry": registry, "held": held, "new": new, "values": PROMPT_VALUES[prompt]}
        yield Way("banks, values seen before", prompt, f"held.{method}(values)", names, HELD, texts)
        yield Way("banks, new values", prompt, f"new.{method}(values)", names, HELD, texts)
        found = f"registry.get(name={prompt!r}).{method}(values)"
        yield Way("banks, its directory", prompt, found, names, HELD, texts)


def sources() -> dict[str, str]:
    """Return the prompts in banks' language: Jinja that drops line breaks after tags, with messages as blocks."""
    blocks = [f'{{% chat role="{message["role"]}" %}}{message["content"]}{{% endchat %}}\n' for message in CHAT]
    return {**{name: for_trimmed_blocks(source) for name, source in TEXTS.items()}, "chat": "".join(blocks)}


def block_texts(messages: list[Any]) -> list[str]:
    """Return the texts of banks' messages, each of which has one block here."""
    return [block.text for message in messages for block in message.content]
