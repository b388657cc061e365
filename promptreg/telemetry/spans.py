"""A span for every verb that touches the storage or renders.

Spans hold names, numbers, labels and statuses; a template, a variable or a text only where that was asked for, and
never a message, an error's included. A render from memory begins no span before it: it is told afterwards, with its
own times, and nothing at all where the caller's span is not sampled.
"""

import json
import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from contextvars import ContextVar, Token
from dataclasses import dataclass
from functools import cached_property, wraps
from importlib.metadata import version
from time import perf_counter, time_ns
from traceback import clear_frames
from typing import Any, TypeVar, cast

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.environment_variables import OTEL_PYTHON_TRACER_PROVIDER
from opentelemetry.trace import Span, SpanKind, Status, StatusCode

from promptreg.errors import InvalidInputError, PromptregError
from promptreg.models import StatusUpdate
from promptreg.prompt import Page, Prompt, Rendered
from promptreg.rules.names import parse_reference
from promptreg.telemetry import metrics, names

F = TypeVar("F", bound=Callable[..., Any])
Redact = Callable[[str], str]

tracing = trace
"""For the one test that a render makes of whether anybody has installed a tracer provider: of `_TRACER_PROVIDER`."""

MAX_DEPTH = 8  # of containers in variables that are told

_notes: ContextVar[dict[str, Any] | None] = ContextVar("promptreg notes", default=None)


@dataclass(frozen=True, slots=True)
class TelemetrySettings:
    """Whether content is told, through what; whether spans are children or attributes; whether renders are timed."""

    captures_content: bool = False
    redact: Redact | None = None
    makes_children: bool = True
    times_renders: bool = True


def is_wanted() -> bool:
    """Tell whether a span would be recorded, where somebody listens: the caller's is sampled, or there is none."""
    try:
        parent = trace.get_current_span().get_span_context()
        return parent.trace_flags.sampled or not parent.is_valid
    except Exception:  # nothing of telemetry is ever in the way
        return False


class Teller:
    """What tells OpenTelemetry of one registry."""

    def __init__(self, settings: TelemetrySettings) -> None:
        self._settings = settings
        if OTEL_PYTHON_TRACER_PROVIDER in os.environ:
            trace.get_tracer_provider()  # which loads the one that is named there

    @cached_property
    def _tracer(self) -> trace.Tracer:
        """Made when first needed: reading our own version takes as long as opening a registry."""
        return trace.get_tracer(names.TRACER, version("promptreg-embedded"), schema_url=names.SCHEMA_URL)

    def render(
        self, prompt: Prompt, attributes: Mapping[str, Any], variables: Any, more: Mapping[str, Any]
    ) -> Rendered:
        """Render what was in memory, and tell of it afterwards."""
        began = time_ns()
        name = f"render_prompt {prompt.name}"
        try:
            rendered = prompt.render(variables, **more)
        except BaseException as error:
            metrics.count_error(_code(error))
            self._tell(name, began, {**attributes, **_of_error(error)}, is_error=True)
            raise
        if self._settings.captures_content:
            attributes = {**attributes, **self._content(rendered, variables, more)}
        self._tell(name, began, attributes)
        return rendered

    def _tell(self, name: str, began: int, attributes: Mapping[str, Any], *, is_error: bool = False) -> None:
        try:
            if not self._settings.makes_children:
                trace.get_current_span().set_attributes(attributes)
                return
            span = self._tracer.start_span(name, None, SpanKind.INTERNAL, attributes, (), began, False)
            if is_error:
                span.set_status(Status(StatusCode.ERROR))
            span.end()
        except Exception:  # nothing of telemetry is ever in the way
            pass

    def begin(self, operation: str, name: str | None, namespace: str) -> "_Call":
        """Begin the span of a verb, and make it the current one."""
        call = _Call(self)
        if trace._TRACER_PROVIDER is not None and is_wanted():
            attributes = _present({names.NAMESPACE: namespace, names.PROMPT_NAME: name})
            with suppress(Exception):
                if self._settings.makes_children:
                    call.begin(self._tracer, f"{operation} {name}" if name else operation, attributes)
                else:
                    call.span = trace.get_current_span()
                    call.span.set_attributes(attributes)
        return call

    def times(self) -> bool:
        """Tell whether renders are timed."""
        return self._settings.times_renders and metrics.is_on()

    def _content(self, rendered: Rendered, variables: Any, more: Mapping[str, Any]) -> dict[str, str]:
        """Give what was rendered, of what; what `redact` fails on is left out."""
        found: dict[str, str] = {}
        with suppress(Exception):
            given = {**(dict(variables) if variables is not None else {}), **more}
            template = "" if rendered.prompt is None else rendered.prompt.template
            self._add(found, names.CONTENT_TEMPLATE, template if isinstance(template, str) else json.dumps(template))
            self._add(found, names.CONTENT_TEXT, rendered.text)
            found[names.CONTENT_VARIABLES] = json.dumps(self._plain(given, MAX_DEPTH), ensure_ascii=False)
        return found

    def _add(self, found: dict[str, str], name: str, text: str) -> None:
        value = self._redacted(text)
        if value is not None:
            found[name] = value

    def _redacted(self, text: str) -> str | None:
        if self._settings.redact is None:
            return text
        try:
            redacted = self._settings.redact(text)
        except Exception:
            return None
        return redacted if isinstance(redacted, str) else None

    def _plain(self, value: object, depth: int) -> Any:
        """Give a variable as JSON, its texts redacted; of what is no builtin value, whose code is its own, the type."""
        if type(value) is str:
            return self._redacted(value)
        if type(value) in {int, float, bool, type(None)}:
            return value
        if depth and isinstance(value, dict):
            items = ((key, self._plain(item, depth - 1)) for key, item in dict.items(value) if isinstance(key, str))
            return {key: item for key, item in items if item is not None or value[key] is None}
        if depth and type(value) in {list, tuple}:
            return [self._plain(item, depth - 1) for item in value]  # type: ignore[attr-defined]
        return f"<{type(value).__name__}>"


class _Call:
    """One verb's span, which is the current one while it runs."""

    __slots__ = ("_context", "_notes", "_teller", "span")

    def __init__(self, teller: Teller) -> None:
        self._teller = teller
        self.span: Span | None = None
        self._context: Token[Context] | None = None
        self._notes = _notes.set({})

    def begin(self, tracer: trace.Tracer, name: str, attributes: dict[str, Any]) -> None:
        """Begin the span."""
        self.span = tracer.start_span(
            name, kind=SpanKind.INTERNAL, attributes=attributes, record_exception=False, set_status_on_exception=False
        )
        self._context = otel_context.attach(trace.set_span_in_context(self.span))

    def failed(self, error: BaseException) -> None:
        """Tell of an error, by type, code and request, and end."""
        metrics.count_error(_code(error))
        self._end(_of_error(error), is_error=True)

    def succeeded(self, result: object, arguments: tuple[Any, Any] | None) -> None:
        """Tell of what was given, and end; `arguments` are those of a render, whose content may be told."""
        told = {} if self.span is None else _told(result)
        if self.span is not None and isinstance(result, Rendered) and self._teller._settings.captures_content:
            variables, more = arguments or (None, {})
            told |= self._teller._content(result, variables, more)
        self._end(told)

    def _end(self, attributes: dict[str, Any], *, is_error: bool = False) -> None:
        notes = _notes.get() or {}
        _notes.reset(self._notes)
        if self.span is None:
            return
        with suppress(Exception):
            self.span.set_attributes(_present({**attributes, **notes}))
            if is_error and self._context is not None:
                self.span.set_status(Status(StatusCode.ERROR))
        if self._context is not None:
            with suppress(Exception):
                otel_context.detach(self._context)
            with suppress(Exception):
                self.span.end()


def traced(operation: str, *, takes_name: bool = True) -> Callable[[F], F]:
    """Run a verb in a span named by the operation and, where its first argument names one prompt, by that."""
    is_render = operation == "render_prompt"

    def decorate(verb: F) -> F:
        @wraps(verb)
        def run(view: Any, /, *args: Any, **kwargs: Any) -> Any:
            teller: Teller = view._core.teller
            began = perf_counter() if is_render and teller.times() else None
            name = None
            if takes_name and trace._TRACER_PROVIDER is not None:
                name = _shown_name(args[0] if args else kwargs.get("name"))
            call = teller.begin(operation, name, view.namespace)
            try:
                result = verb(view, *args, **kwargs)
            except BaseException as error:
                if not isinstance(error, Exception):
                    # An interrupt may come between any two steps of a `with`; whoever keeps the error keeps its frames.
                    clear_frames(error.__traceback__)
                    view._core.storage.abandon()
                call.failed(error)
                raise
            call.succeeded(result, (args[1], args[2]) if is_render else None)
            if began is not None:
                metrics.record_render(perf_counter() - began)
            return result

        return cast(F, run)

    return decorate


def note(**told: Any) -> None:
    """Tell the verb's span what only the inside of it knows, by the names of `names.py` in lower case."""
    notes = _notes.get()
    if notes is not None:
        notes.update({getattr(names, key.upper()): value for key, value in told.items() if value is not None})


def _shown_name(argument: object) -> str | None:
    """Give the name in what a caller passed, if it is one: anything else may be a text."""
    try:
        return parse_reference(argument).text
    except InvalidInputError:
        return None


def _told(result: object) -> dict[str, Any]:
    match result:
        case Rendered():
            return _of_prompt(result.prompt) if result.prompt else {names.PROMPT_NAME: result.name}
        case Prompt():
            return _of_prompt(result)
        case StatusUpdate():
            return {names.COUNT: result.updated_prompts}
        case Page() | list():
            return {names.COUNT: len(result)}
    return {}


def of_hit(prompt: Prompt, label: str | None) -> dict[str, Any]:
    """Give what a render of a prompt in memory tells."""
    told = {names.NAMESPACE: prompt.namespace, **_of_prompt(prompt), names.LABEL: label, names.CACHE: names.HIT}
    return _present(told)


def _of_prompt(prompt: Prompt) -> dict[str, Any]:
    return {
        names.PROMPT_NAME: prompt.name,
        names.PROMPT_VERSION: str(prompt.version),
        names.STATUS: prompt.status,
        names.STATE: prompt.state,
        names.KIND: prompt.kind,
        names.PRODUCTION: prompt.version == prompt.production_version,
        names.CONTENT_HASH: prompt.content_hash,
    }


def _of_error(error: BaseException) -> dict[str, Any]:
    told = {names.ERROR_TYPE: type(error).__name__}
    if isinstance(error, PromptregError):
        told |= {names.ERROR_CODE: error.code, names.REQUEST_ID: error.request_id}
    return told


def _code(error: BaseException) -> str:
    return error.code if isinstance(error, PromptregError) else type(error).__name__


def _present(attributes: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in attributes.items() if value is not None}
