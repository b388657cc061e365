"""What pydantic refuses of a value, as promptreg's error, which quotes none of it. Loaded when something is refused."""

from collections.abc import Iterable, Mapping
from typing import Any

from pydantic import ValidationError

from promptreg.errors import InvalidInputError
from promptreg.nearest import did_you_mean


def refused(error: ValidationError, known: Iterable[str] = ()) -> InvalidInputError:
    """Return the error for a `ValidationError`, without the values that it quotes; `known` are all field names."""
    return InvalidInputError.of_all(
        [
            {
                "field": ".".join(map(str, e["loc"])) or "value",
                "reason": _reason(e["type"], e["msg"]) + _meant(e, known),
            }
            for e in error.errors(include_url=False)
        ]
    )


def _reason(kind: str, text: str) -> str:
    """Return pydantic's message, but none that may quote the text of an error raised by a value's code."""
    if kind in {"iteration_error", "mapping_type", "get_attribute_error"}:
        return f"can't be read ({kind})"
    return "is no such field" if kind == "extra_forbidden" else text.removeprefix("Value error, ")


def _meant(error: Mapping[str, Any], known: Iterable[str]) -> str:
    """Return the nearest field, or the nearest of the words that pydantic lists as `'read' or 'write'`."""
    if error["type"] == "extra_forbidden" and len(error["loc"]) == 1:
        return did_you_mean(str(error["loc"][0]), known)
    if error["type"] not in {"enum", "literal_error"} or not issubclass(type(error["input"]), str):
        return ""
    return did_you_mean(str.__str__(error["input"]), error["ctx"]["expected"].split("'")[1::2])
