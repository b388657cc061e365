"""What all SDKs share: the messages of a render with their cache marks, and the config that they are merged with.

The messages are those of `Rendered.messages`, in the form of OpenAI's Chat Completions API; `messages.py` reads one.
Everything that an SDK can't take is reported in one `InvalidInputError`, which names its messages and fields.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

from promptreg.errors import InvalidInputError
from promptreg.jsonvalues import FrozenDict, FrozenList, thaw
from promptreg.rendering.messages import ChatMessages
from promptreg.untrusted import FieldReader

if TYPE_CHECKING:
    from promptreg.rendered import Rendered

T = TypeVar("T")

FILLED_BY_MESSAGES = ("messages", "input", "instructions", "system", "contents", "system_instruction")
"""The arguments of SDKs that a render fills, so that neither a config nor a keyword may."""

IN_CONFIG = "remove it from the config, and put its text into the template"
IN_KEYWORDS = "don't pass it, but put its text into the template, or in a placeholder's messages"
"""What to do about one, by where it was found."""

MOST_MARKS = 4
"""How many cache marks OpenAI and Anthropic take in one request."""

_HOLDERS_OF_BLOCKS = ("content", "output")
"""Where a message, a tool's result or an item holds what may be marked."""


class Marked(NamedTuple):
    """A message of a render, whether a provider's cache may end after it, and where it stands, for errors."""

    message: dict[str, Any]
    is_marked: bool
    where: str


def converted(
    rendered: "Rendered",
    overrides: Mapping[str, Any],
    sdk: str,
    convert: Callable[[Marked], T],
    mark: str,
) -> tuple[dict[str, Any], list[T]]:
    """Return the settings of a call, and what `convert` makes of each message; it raises `InvalidInputError`s.

    `mark` is the key of a cache mark. Raises one error with everything that the SDK can't take: of the config and the
    keywords, the messages, and the number of cache marks.
    """
    marked, fields = marked_messages(rendered), FieldReader()
    settings = fields.read(settings_of, rendered, overrides)
    results = [fields.read(convert, each) for each in marked]
    fields.read(require_any, marked)
    given = {**rendered.config, **overrides}
    fields.read(_require_few_marks, given, [each.where for each in marked], results, mark=mark)
    require_valid(fields, rendered, sdk)
    return settings, results


def marked_messages(rendered: "Rendered") -> list[Marked]:
    """Return the messages of a render, new at every depth."""
    messages, marks = rendered.messages, _cache_marks(rendered)
    return [
        Marked(message, number - 1 in marks, f"message {number} of {len(messages)}")
        for number, message in enumerate(messages, 1)
    ]


def settings_of(rendered: "Rendered", overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Return the config of the version with keywords in its place; refuse what the messages fill."""
    fields = FieldReader()
    fields.read(require_free, rendered.config, "config.", IN_CONFIG)
    fields.read(require_free, overrides, "", IN_KEYWORDS)
    fields.require_valid()
    return {**thaw(rendered.config), **thawed(overrides)}


def thawed(overrides: Mapping[str, Any]) -> dict[str, Any]:
    """Return keywords with values that are read-only, as those of a version's `meta`, as plain dicts and lists."""
    return {
        key: thaw(value) if isinstance(value, FrozenDict | FrozenList) else value for key, value in overrides.items()
    }


def require_free(
    given: Collection[str], prefix: str, remedy: str, filled: Collection[str] = FILLED_BY_MESSAGES
) -> None:
    """Refuse the keys of a config, or keywords, that the messages fill."""
    reason = f"is filled by the messages of the prompt; {remedy}"
    errors = [{"field": f"{prefix}{key}", "reason": reason} for key in filled if key in given]
    if errors:
        raise InvalidInputError.of_all(errors)


def require_valid(fields: FieldReader, rendered: "Rendered", sdk: str) -> None:
    """Raise the error that names everything that an SDK can't take, and the prompt."""
    try:
        fields.require_valid()
    except InvalidInputError as error:
        message = f"Prompt '{rendered.name}' can't be passed to {sdk}: {error.message}."
        raise InvalidInputError(message, **error.details) from None


def _cache_marks(rendered: "Rendered") -> set[int]:
    messages = rendered._messages
    return {*messages.cache_marks()} if isinstance(messages, ChatMessages) else set()


def require_any(marked: Sequence[Marked]) -> None:
    """Refuse a call without any message."""
    if not marked:
        reason = "there are none, as no placeholder brought any; a call needs one: pass some to a placeholder"
        raise InvalidInputError.of("messages", reason)


def _require_few_marks(given: Mapping[str, Any], places: Sequence[str], results: Sequence[Any], *, mark: str) -> None:
    """Refuse each message whose cache marks are too many, counted with those of the settings and their tools."""
    tools = given.get("tools")
    count, errors = _marks_in([given, *(tools if isinstance(tools, list | tuple) else ())], mark), []
    for where, result in zip(places, results, strict=True):
        marks = _marks_in([result], mark)
        count += marks
        if marks and count > MOST_MARKS:
            reason = f"is cache mark {count} of the request; {MOST_MARKS} are the most, so remove one"
            errors.append({"field": f"{where}, cache", "reason": reason})
    if errors:
        raise InvalidInputError.of_all(errors)


def _marks_in(values: Sequence[Any], mark: str) -> int:
    """Return how many of these objects are marked, and of those in them, or in lists and tuples, that can be."""
    objects = [value for value in values if isinstance(value, dict)]
    inner = (value[key] for value in objects for key in _HOLDERS_OF_BLOCKS if isinstance(value.get(key), list))
    lists = [*(value for value in values if isinstance(value, list | tuple)), *inner]
    return sum(value.get(mark) is not None for value in objects) + sum(_marks_in(each, mark) for each in lists)
