"""LangChain's prompt templates, loaded by the application: format strings (the default) and Jinja."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from equivalents import joined, single_braces
from langchain_core.prompts import ChatPromptTemplate, PromptTemplate
from prompts import CHAT
from ways import PROMPT_VALUES, TEXTS, Way

PACKAGE = "langchain-core"
HELD = "until reloaded"


def ways(folder: Path) -> Iterator[Way]:
    """Yield each prompt in both languages; as a format string, the medium one has its blocks rendered in advance."""
    for prompt, source in TEXTS.items():
        flat, made = joined(source, PROMPT_VALUES[prompt])
        yield of_text("f-string", prompt, single_braces(flat), made)
        yield of_text("jinja2", prompt, source, PROMPT_VALUES[prompt])
    yield of_chat("f-string", [(message["role"], single_braces(message["content"])) for message in CHAT])
    yield of_chat("jinja2", [(message["role"], message["content"]) for message in CHAT])


def of_text(language: Any, prompt: str, source: str, values: dict[str, Any]) -> Way:
    """Return the way of a text prompt."""
    names = {"held": PromptTemplate.from_template(source, template_format=language), "values": values}
    return Way(f"LangChain, {language}", prompt, "held.format(**values)", names, HELD)


def of_chat(language: Any, messages: list[tuple[str, str]]) -> Way:
    """Return the way of the chat prompt."""
    held = ChatPromptTemplate.from_messages(messages, template_format=language)
    names = {"held": held, "values": PROMPT_VALUES["chat"]}
    return Way(f"LangChain, {language}", "chat", "held.format_messages(**values)", names, HELD, message_texts)


def message_texts(messages: list[Any]) -> list[str]:
    """Return the texts of LangChain's messages."""
    return [message.content for message in messages]
