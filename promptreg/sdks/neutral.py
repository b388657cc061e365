"""What all SDKs share: the messages of a render with their cache marks, and the config that they are merged with.

The messages are those of `Rendered.messages`, in the form of OpenAI's Chat Completions API.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from promptreg.errors import InvalidInputError
from promptreg.jsonvalues import thaw
from promptreg.rendering.messages import ChatMessages

if TYPE_CHECKING:
    from promptreg.rendered import Rendered

FILLED_BY_MESSAGES = ("messages", "input", "instructions", "system", "contents", "system_instruction")
"""The arguments of SDKs that a render fills, so that neither a config nor a keyword may."""


class Marked(NamedTuple):
    """A message of a render, whether a provider's cache may end after it, and where it stands, for errors."""

    message: dict[str, Any]
    is_marked: bool
    where: str


def marked_messages(rendered: "Rendered") -> list[Marked]:
    """Return the messages of a render, new at every depth."""
    messages, marks = rendered.messages, _cache_marks(rendered)
    return [
        Marked(message, number - 1 in marks, f"message {number} of {len(messages)}")
        for number, message in enumerate(messages, 1)
    ]


def settings_of(rendered: "Rendered", overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Return the config of the version with keywords in its place; refuse what the messages fill."""
    config: dict[str, Any] = thaw(rendered.config)
    errors = [
        {"field": f"config.{key}" if key in config else key, "reason": "is filled by the messages of the render"}
        for key in FILLED_BY_MESSAGES
        if key in config or key in overrides
    ]
    if errors:
        raise refused(rendered, errors)
    return {**config, **overrides}


def refused(rendered: "Rendered", errors: Sequence[Mapping[str, str]]) -> InvalidInputError:
    """Return the error that names everything that an SDK can't take."""
    reasons = "; ".join(f"{error['field']}: {error['reason']}" for error in errors)
    return InvalidInputError(f"Prompt '{rendered.name}' can't be passed to this SDK: {reasons}.", errors=list(errors))


def _cache_marks(rendered: "Rendered") -> list[int]:
    messages = rendered._messages
    return messages.cache_marks() if isinstance(messages, ChatMessages) else []
