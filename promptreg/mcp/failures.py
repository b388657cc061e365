"""Errors as those of JSON-RPC: what was asked for can't be answered, or the server fails. Nothing else gets out."""

import json
import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from mcp import MCPError
from mcp.types import INTERNAL_ERROR, INVALID_PARAMS

from promptreg.errors import PromptregError, StorageError

PHRASES = {"pass them to render": "pass them as arguments", "list() shows": "prompts/list shows"}
"""What the library says to programs, and what it says to a client in its place."""

logger = logging.getLogger("promptreg")


@contextmanager
def as_mcp_errors() -> Iterator[None]:
    """Raise an `MCPError` in place of any error; log those that are not promptreg's, and tell the client no more."""
    try:
        yield
    except MCPError:
        raise
    except PromptregError as error:
        raise mcp_error(error) from None
    except Exception:
        logger.exception("a request of an MCP client failed")
        raise MCPError(INTERNAL_ERROR, "Internal error; the log of the server has the details.") from None


def mcp_error(error: PromptregError) -> MCPError:
    """Return the error for a client: its message, with all of `to_dict()` as data.

    >>> from promptreg import NotFoundError
    >>> made = mcp_error(NotFoundError("There is no prompt 'greet'.", names=["greet"]))
    >>> made.code, made.message, made.data["error"]["code"]
    (-32602, "There is no prompt 'greet'.", 'not_found')
    """
    code = INTERNAL_ERROR if isinstance(error, StorageError) else INVALID_PARAMS
    for phrase, meant in PHRASES.items():
        error.restate(error.message.replace(phrase, meant))
    data = _utf8(error.to_dict())
    return MCPError(code, data["error"]["message"], data)


def _utf8(value: dict[str, Any]) -> dict[str, Any]:
    """Return JSON without lone surrogates: a template's own error may hold one, and it would end the connection."""
    written = json.dumps(value, ensure_ascii=False, default=str).encode(errors="replace")
    read: dict[str, Any] = json.loads(written)
    return read
