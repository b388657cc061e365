"""A render as the arguments of `client.responses.create` of the package `openai`."""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from promptreg.sdks.neutral import marked_messages, settings_of

if TYPE_CHECKING:
    from promptreg.rendered import Rendered


def arguments(rendered: "Rendered", overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Return the arguments of the call."""
    return {**settings_of(rendered, overrides), "input": [message for message, _, _ in marked_messages(rendered)]}
