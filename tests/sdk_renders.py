"""Renders of a template that a test makes up, and messages for it, for the tests of the arguments for SDKs."""

import base64
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from promptreg import InvalidInputError, Registry, Rendered

HISTORY = [{"placeholder": "history"}]
CALL = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": '{"place": "Kyoto"}'}}
CUSTOM_CALL = {"id": "c2", "type": "custom", "custom": {"name": "shell", "input": "ls"}}
HI = {"role": "user", "content": "Hi"}
DATA = base64.b64encode(b"data").decode()


def text(text: Any, **more: Any) -> dict[str, Any]:
    """Return a part, or a block of Anthropic, of text."""
    return {"type": "text", "text": text, **more}


def image(url: str) -> dict[str, Any]:
    """Return a part of an image."""
    return {"type": "image_url", "image_url": {"url": url, "detail": "low"}}


def file(**fields: str) -> dict[str, Any]:
    """Return a part of a file."""
    return {"type": "file", "file": fields}


def call(id_: str | None, arguments: Any = "{}") -> dict[str, Any]:
    """Return a tool call."""
    named = {"type": "function", "function": {"name": "f", "arguments": arguments}}
    return named if id_ is None else {"id": id_, **named}


def result(id_: str, content: Any = "Rain", **more: Any) -> dict[str, Any]:
    """Return a tool's message."""
    return {"role": "tool", "tool_call_id": id_, "content": content, **more}


class Renders:
    """Makes prompts and renders them, in a registry of its own."""

    def __init__(self, registry: Registry) -> None:
        self.registry = registry

    def of(self, template: Any, config: Any = None, /, **variables: Any) -> Rendered:
        """Return a render of a template with a config."""
        self.registry.save("p", template, config=config)
        return self.registry.render("p", variables)

    def history(self, *messages: Any) -> Rendered:
        """Return a render of messages that a placeholder brings."""
        return self.of(HISTORY, history=list(messages))


@contextmanager
def renders() -> Iterator[Renders]:
    """Make renders until the block ends."""
    with Registry(":memory:") as registry:
        yield Renders(registry)


def flaws(call: Callable[..., object], **overrides: Any) -> list[tuple[str, str]]:
    """Return the fields that a refused call names, each with the reason."""
    with pytest.raises(InvalidInputError) as caught:
        call(**overrides)
    return [(flaw["field"], flaw["reason"]) for flaw in caught.value.details["errors"]]


def named(call: Callable[..., object], **overrides: Any) -> list[str]:
    """Return the fields that a refused call names."""
    return [field for field, _ in flaws(call, **overrides)]


def places_of(messages: Sequence[tuple[Any, list[str]]]) -> list[str]:
    """Return where the flaws of these messages are, each given with its fields; an empty field is the whole message."""
    return [
        f"message {number} of {len(messages)}, {field}".removesuffix(", ")
        for number, (_, fields) in enumerate(messages, 1)
        for field in fields
    ]
