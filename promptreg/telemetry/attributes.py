"""Span attributes: which ones a prompt, a result and an error have.

They hold names, numbers, labels, statuses and hashes; no template, variable or text, and no error's message. Nothing
here makes or ends a span.
"""

from collections.abc import Mapping
from typing import Any

from promptreg.errors import InvalidInputError, PromptregError
from promptreg.models import StatusUpdate
from promptreg.prompt import Page, Prompt
from promptreg.rendered import Rendered
from promptreg.rules.names import parse_reference
from promptreg.telemetry import names

EMPTY: Mapping[str, Any] = {
    **dict.fromkeys((names.PROMPT_VERSION, names.STATUS, names.STATE, names.KIND, names.LABEL, names.CACHE), ""),
    **dict.fromkeys((names.CONTENT_HASH, names.ERROR_CODE, names.REQUEST_ID), ""),
    **dict.fromkeys((names.CONTENT_TEMPLATE, names.CONTENT_TEXT, names.CONTENT_VARIABLES), ""),
    **{names.PRODUCTION: False, names.CHANGED: False, names.COUNT: 0},
}
"""What replaces an attribute of an earlier render on the same span: an empty value of the attribute's type."""


def prompt_attributes(prompt: Prompt) -> dict[str, Any]:
    """Return the attributes of a prompt resolved to a version."""
    return {
        names.PROMPT_NAME: prompt.name,
        names.PROMPT_VERSION: str(prompt.version),
        names.STATUS: prompt.status,
        names.STATE: prompt.state,
        names.KIND: prompt.kind,
        names.PRODUCTION: prompt.version == prompt.production_version,
        names.CONTENT_HASH: prompt.content_hash,
    }


def result_attributes(result: object) -> dict[str, Any]:
    """Return the attributes of what a verb returns; none for a text, or for a rendered default."""
    match result:
        case Rendered():
            return prompt_attributes(result.prompt) if result.prompt else {}
        case Prompt():
            return prompt_attributes(result)
        case StatusUpdate():
            return {names.COUNT: result.updated_prompts}
        case Page() | list():
            return {names.COUNT: len(result)}
    return {}


def error_attributes(error: BaseException) -> dict[str, Any]:
    """Return an error's type and, of an error of promptreg, its code and request id."""
    attributes = {names.ERROR_TYPE: type(error).__name__}
    if isinstance(error, PromptregError):
        attributes |= {names.ERROR_CODE: error.code, names.REQUEST_ID: error.request_id}
    return attributes


def error_code(error: BaseException) -> str:
    """Return the code of an error of promptreg, or the name of another error's type."""
    return error.code if isinstance(error, PromptregError) else type(error).__name__


def prompt_name(argument: object) -> str | None:
    """Return the name in a verb's first argument, or None where it is not well-formed: it may be any text then."""
    try:
        return parse_reference(argument).text
    except InvalidInputError:
        return None


def present(attributes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the attributes that are not None, which OpenTelemetry does not take."""
    return {key: value for key, value in attributes.items() if value is not None}
