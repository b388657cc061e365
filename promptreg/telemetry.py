"""The only room that knows OpenTelemetry: a span around every verb, through the API alone.

Spans hold names, numbers, labels and statuses; never a template, a variable, or a message's text, an error's
included.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, Protocol, TypeVar, cast

from opentelemetry import trace
from opentelemetry.trace import Span, SpanKind, Status, StatusCode

from promptreg.errors import InvalidInputError, PromptregError
from promptreg.models import StatusUpdate
from promptreg.prompt import Page, Prompt, Rendered
from promptreg.rules.names import parse_reference

F = TypeVar("F", bound=Callable[..., Any])

tracing = trace
"""For the one test that a render makes of whether anybody has installed a tracer provider: of `_TRACER_PROVIDER`."""

TRACER = "promptreg"
PROMPT_NAME = "gen_ai.prompt.name"
PROMPT_VERSION = "gen_ai.prompt.version"
NAMESPACE = "promptreg.namespace"
STATUS = "promptreg.status"
LABEL = "promptreg.label"
CACHE = "promptreg.cache"
COUNT = "promptreg.count"
ERROR_TYPE = "error.type"
ERROR_CODE = "promptreg.error.code"


class View(Protocol):
    """What a span is told of the registry that the verb is called on."""

    @property
    def namespace(self) -> str:
        """The view's namespace."""
        ...


def traced(operation: str, *, takes_name: bool = True) -> Callable[[F], F]:
    """Run a verb in a span named by the operation and, where its first argument names one prompt, by that."""

    def decorate(verb: F) -> F:
        @wraps(verb)
        def run(view: View, /, *args: Any, **kwargs: Any) -> Any:
            name = _shown_name(args[0] if args else kwargs.get("name")) if takes_name else None
            with _span(operation, name) as span:
                if span.is_recording():
                    _set(span, {NAMESPACE: view.namespace, PROMPT_NAME: name})
                result = verb(view, *args, **kwargs)
                if span.is_recording():
                    _set(span, _told(result))
                return result

        return cast(F, run)

    return decorate


def note(*, label: object = None, cache: str | None = None) -> None:
    """Tell the verb's span which label was asked for, and whether the cache had the prompt."""
    span = trace.get_current_span()
    if span.is_recording():
        _set(span, {LABEL: label if isinstance(label, str) else None, CACHE: cache})


@contextmanager
def _span(operation: str, name: str | None) -> Iterator[Span]:
    with trace.get_tracer(TRACER).start_as_current_span(
        f"{operation} {name}" if name else operation,
        kind=SpanKind.INTERNAL,
        record_exception=False,
        set_status_on_exception=False,
    ) as span:
        try:
            yield span
        except BaseException as error:
            span.set_status(Status(StatusCode.ERROR))
            code = error.code if isinstance(error, PromptregError) else None
            _set(span, {ERROR_TYPE: type(error).__name__, ERROR_CODE: code})
            raise


def _shown_name(argument: object) -> str | None:
    """Give the name in what a caller passed, if it is one: anything else may be a text."""
    try:
        return parse_reference(argument).text
    except InvalidInputError:
        return None


def _told(result: object) -> dict[str, Any]:
    match result:
        case Rendered():
            return _told(result.prompt) if result.prompt else {PROMPT_NAME: result.name}
        case Prompt():
            return {PROMPT_NAME: result.name, PROMPT_VERSION: str(result.version), STATUS: result.status}
        case StatusUpdate():
            return {COUNT: result.updated_prompts}
        case Page() | list():
            return {COUNT: len(result)}
    return {}


def _set(span: Span, attributes: dict[str, Any]) -> None:
    for key, value in attributes.items():
        if value is not None:
            span.set_attribute(key, value)
