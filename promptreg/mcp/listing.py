"""The list of prompts that a client is offered."""

from typing import Any

from mcp import types

from promptreg.errors import InvalidInputError
from promptreg.mcp.arguments import prompt_arguments
from promptreg.prompt import Prompt
from promptreg.registry import Registry

LISTED: dict[str, Any] = {"status": "active", "label": "production"}
"""What is offered: what is live, of prompts that are neither disabled nor archived."""

PAGE = 100
VERSION = "promptreg/version"
"""The key of `_meta` that has the number of the version."""


def listed_page(registry: Registry, cursor: str | None) -> types.ListPromptsResult:
    """Return the page of prompts at a cursor, or the first; raise `InvalidInputError` for a cursor of no page."""
    try:
        page = registry.list(**LISTED, limit=PAGE, after=cursor)
    except InvalidInputError:
        raise InvalidInputError.of("cursor", "must be the nextCursor of a page that prompts/list returned") from None
    return types.ListPromptsResult(prompts=[*map(_listed, page)], next_cursor=page.next)


def _listed(prompt: Prompt) -> types.Prompt:
    return types.Prompt(
        name=prompt.name,
        title=prompt.title,
        description=prompt.description or None,
        arguments=prompt_arguments(prompt),
        _meta=version_of(prompt),
    )


def version_of(prompt: Prompt) -> dict[str, Any]:
    """Return the `_meta` that says which version is shown."""
    return {VERSION: prompt.version}
