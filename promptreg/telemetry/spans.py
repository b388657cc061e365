"""The span of each verb that reads, writes or renders.

A verb's span is the current one while the verb runs. A render from memory starts no span before it: one is recorded
afterwards, with its start time, and none where the caller's span is not sampled. With `spans="attributes"` no span is
made, and the attributes go onto the caller's. Which attributes there are is decided in `attributes` and `content`.
"""

import os
from collections.abc import Callable
from contextlib import suppress
from contextvars import ContextVar, Token
from functools import cached_property, partial, wraps
from time import perf_counter, time_ns
from typing import Any, NamedTuple, TypeAlias, TypeVar, cast

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.environment_variables import OTEL_PYTHON_TRACER_PROVIDER
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, TraceFlags

from promptreg.prompt import Prompt
from promptreg.rendered import Rendered
from promptreg.telemetry import metrics, names
from promptreg.telemetry.attributes import (
    EMPTY,
    error_attributes,
    error_code,
    present,
    prompt_attributes,
    prompt_name,
    result_attributes,
)
from promptreg.telemetry.compat import TRACE_STATE, TRACER_PROVIDER
from promptreg.telemetry.content import Content, Redact

F = TypeVar("F", bound=Callable[..., Any])
SpanStart: TypeAlias = tuple[Context, int]
"""The parent's context and the start time, in nanoseconds, of a span that is recorded afterwards."""

RENDER = "render_prompt"


class TelemetrySettings(NamedTuple):
    """The telemetry settings of a registry: `capture_content`, `redact`, `spans` and `render_duration`."""

    captures_content: bool = False
    redact: Redact | None = None
    makes_children: bool = True
    times_renders: bool = True


class RenderSpan(NamedTuple):
    """The name and attributes of the spans of a prompt's renders from memory; shared, so copied for each span."""

    name: str
    attributes: dict[str, Any]


def render_span(prompt: Prompt, label: str | None) -> RenderSpan:
    """Return the span of renders from memory of a prompt, asked for by a label if there is one."""
    labelled = {names.LABEL: label, names.CACHE: names.HIT}
    attributes = {names.NAMESPACE: prompt.namespace, **prompt_attributes(prompt), **labelled}
    return RenderSpan(f"{RENDER} {prompt.name}", present(attributes))


def sampled_start() -> SpanStart | None:
    """Return where and when a span starts, or None where the caller's span is not sampled."""
    try:
        context = otel_context.get_current()
        parent = trace.get_current_span(context).get_span_context()
        is_sampled = parent.trace_flags & TraceFlags.SAMPLED or not parent.is_valid
        return (context, time_ns()) if is_sampled else None
    except Exception:  # a failure of telemetry changes no result
        return None


class _Notes:
    """What code inside a verb adds to the verb's span."""

    __slots__ = ("attributes", "is_default")

    def __init__(self) -> None:
        self.attributes: dict[str, Any] = {}
        self.is_default = False


_current_notes: ContextVar[_Notes | None] = ContextVar("promptreg notes", default=None)


def note(**attributes: Any) -> None:
    """Add attributes to the span of the running verb, by the constants of `names` in lower case: `note(cache=…)`."""
    notes = _current_notes.get()
    if notes is not None:
        notes.attributes |= {
            getattr(names, key.upper()): value for key, value in attributes.items() if value is not None
        }


def note_prompt(prompt: Prompt) -> None:
    """Add the attributes of the prompt that was found to the span of the running verb."""
    notes = _current_notes.get()
    if notes is not None:
        notes.attributes |= prompt_attributes(prompt)


def note_default() -> None:
    """Note that the running verb returns a default of the caller's, which no attribute is read from."""
    notes = _current_notes.get()
    if notes is not None:
        notes.is_default = True


class Instrumentation:
    """Records the spans of one registry, as its settings say."""

    def __init__(self, settings: TelemetrySettings) -> None:
        self._times_renders = settings.times_renders
        self.makes_children = settings.makes_children
        self.content = Content(settings.redact) if settings.captures_content else None
        self._records_names_only = self.makes_children and self.content is None
        if OTEL_PYTHON_TRACER_PROVIDER in os.environ:
            with suppress(Exception):
                trace.get_tracer_provider()  # loads the provider that the variable names

    @cached_property
    def tracer(self) -> trace.Tracer:
        """The tracer; made when first needed, as reading the installed version takes as long as opening a registry."""
        return trace.get_tracer(names.TRACER, metrics.installed_version(), schema_url=names.SCHEMA_URL)

    def times_renders(self) -> bool:
        """Return whether the durations of renders are recorded."""
        return self._times_renders and metrics.is_on()

    def render(
        self, prompt: Prompt, span: RenderSpan, start: SpanStart, variables: Any, more: dict[str, Any]
    ) -> Rendered:
        """Render a prompt that was in memory, and record its span, or that of its error."""
        try:
            rendered = prompt.render(variables, **more)
        except BaseException as error:
            metrics.count_error(error_code(error))
            self._record(span, start, partial(error_attributes, error), is_error=True)
            raise
        return self.record(rendered, span, start, variables, more)

    def record(
        self, rendered: Rendered, span: RenderSpan, start: SpanStart, variables: Any, more: dict[str, Any]
    ) -> Rendered:
        """Record the span of a render from memory, and return the render."""
        if self._records_names_only:  # written out: `_record` takes 0.03 of the time that the SDK takes
            try:
                (name, attributes), (context, began) = span, start
                self.tracer.start_span(name, context, attributes=attributes.copy(), start_time=began).end()
            except Exception:  # a failure of telemetry changes no result
                pass
        else:
            content = self.content
            self._record(span, start, partial(content.attributes, rendered, variables, more) if content else dict)
        return rendered

    def _record(
        self, planned: RenderSpan, start: SpanStart, further: Callable[[], dict[str, Any]], *, is_error: bool = False
    ) -> None:
        context, began = start
        with suppress(Exception):
            if self.makes_children:
                attributes = planned.attributes.copy()  # as a sampler may write to it
                span = self.tracer.start_span(planned.name, context, attributes=attributes, start_time=began)
                if span.is_recording():
                    span.set_attributes(further())
                if is_error:
                    span.set_status(Status(StatusCode.ERROR))
                span.end()
            else:
                span = trace.get_current_span(context)
                if span.is_recording():
                    _set_on_caller(span, {**planned.attributes, **further()}, is_render=True)

    def begin(self, operation: str, name: str | None, namespace: str) -> "_VerbSpan":
        """Begin the span of a verb, and make it the current one."""
        verb = _VerbSpan(self, is_render=operation == RENDER)
        attributes = present({names.NAMESPACE: namespace, names.PROMPT_NAME: name})
        with suppress(Exception):
            if self.makes_children:
                verb.begin_child(f"{operation} {name}" if name else operation, attributes)
            else:
                verb.begin_on_caller(attributes)
        return verb


class _VerbSpan:
    """The span of one call of a verb; with `spans="attributes"`, the caller's own.

    Each call makes one, begins it, and ends it by `failed` or `succeeded`.
    """

    __slots__ = ("_attributes", "_context", "_instrumentation", "_is_child", "_is_render", "_notes", "_span", "_token")

    def __init__(self, instrumentation: Instrumentation, *, is_render: bool) -> None:
        self._instrumentation = instrumentation
        self._is_render = is_render
        self._span: Span | None = None
        self._is_child = False
        self._attributes: dict[str, Any] = {}  # of the call, kept for the caller's span until the end
        self._context: Token[Context] | None = None
        self._notes = _Notes()
        self._token = _current_notes.set(self._notes)

    def begin_child(self, name: str, attributes: dict[str, Any]) -> None:
        """Start a span, and make it the current one."""
        span = self._instrumentation.tracer.start_span(
            name, kind=SpanKind.INTERNAL, attributes=attributes, record_exception=False, set_status_on_exception=False
        )
        if isinstance(span, Span):
            self._span, self._is_child = span, True
            self._context = otel_context.attach(trace.set_span_in_context(span))

    def begin_on_caller(self, attributes: dict[str, Any]) -> None:
        """Keep the attributes for the caller's span."""
        self._span, self._attributes = trace.get_current_span(), attributes

    def failed(self, error: BaseException) -> None:
        """End with the error's type, code and request id."""
        self._end(error_attributes(error), is_error=True)

    def succeeded(self, result: object, arguments: tuple[Any, Any] | None) -> None:
        """End with the attributes of the result and, where content is captured, of a render's `arguments`."""
        attributes: dict[str, Any] = {}
        try:
            if self._span is not None and self._span.is_recording() and not self._notes.is_default:
                attributes |= result_attributes(result)
                if isinstance(result, Rendered):
                    self._add_render(attributes, result, arguments or (None, {}))
        except Exception:  # a failure of telemetry changes no result
            pass
        finally:
            self._end(attributes)

    def _add_render(self, attributes: dict[str, Any], rendered: Rendered, arguments: tuple[Any, Any]) -> None:
        if rendered.prompt is None and not self._is_child:  # a rendered default: the caller's span names no prompt
            self._notes.attributes.pop(names.LABEL, None)
            attributes[names.PROMPT_NAME] = ""
        if self._instrumentation.content is not None:
            attributes |= self._instrumentation.content.attributes(rendered, *arguments)

    def _end(self, attributes: dict[str, Any], *, is_error: bool = False) -> None:
        _current_notes.reset(self._token)
        try:
            if self._span is not None:
                shown = present({**self._attributes, **attributes, **self._notes.attributes})
                if self._is_child:
                    self._span.set_attributes(shown)
                    if is_error:
                        self._span.set_status(Status(StatusCode.ERROR))
                elif self._span.is_recording():
                    _set_on_caller(self._span, shown, is_render=self._is_render)
        except Exception:
            pass
        finally:
            self._leave()

    def _leave(self) -> None:
        try:
            if self._context is not None:
                otel_context.detach(self._context)
        except Exception:
            pass
        finally:
            with suppress(Exception):
                if self._span is not None and self._is_child:
                    self._span.end()


def _set_on_caller(span: Span, attributes: dict[str, Any], *, is_render: bool) -> None:
    """Set a call's attributes on the caller's own span, whose status and `error.type` stay the caller's.

    A render's attributes replace those of an earlier render: what only that one set becomes empty, as an attribute
    can't be removed. Another verb's are set only where the span names no prompt, so that the span of a model call
    keeps the prompt that the call was rendered from.
    """
    attributes = {key: value for key, value in attributes.items() if key != names.ERROR_TYPE}
    current = getattr(span, "attributes", None)  # readable on the SDK's spans; others may hold any
    if is_render and names.PROMPT_NAME in attributes:
        emptied = {key: empty for key, empty in EMPTY.items() if current is None or key in current}
        attributes = emptied | attributes
        if not attributes[names.PROMPT_NAME] and current is not None and names.PROMPT_NAME not in current:
            del attributes[names.PROMPT_NAME]
    elif current is None or names.PROMPT_NAME in current:
        return
    span.set_attributes(attributes)


def traced(operation: str, *, takes_name: bool = True) -> Callable[[F], F]:
    """Run a verb in a span named by the operation and, where its first argument names one prompt, by that name."""
    is_render = operation == RENDER

    def decorate(verb: F) -> F:
        @wraps(verb)
        def run(view: Any, /, *args: Any, **kwargs: Any) -> Any:
            instrumentation: Instrumentation = view._core.instrumentation
            began = perf_counter() if is_render and instrumentation.times_renders() else None
            span = None
            if TRACE_STATE[TRACER_PROVIDER] is not None and sampled_start() is not None:
                named = args[0] if args else kwargs.get("name", kwargs.get("names"))
                name = prompt_name(named) if takes_name else None
                span = instrumentation.begin(operation, name, view.namespace)
            try:
                result = verb(view, *args, **kwargs)
            except BaseException as error:
                metrics.count_error(error_code(error))
                if span is not None:
                    span.failed(error)
                raise
            if span is not None:
                span.succeeded(result, (args[1], args[2]) if is_render else None)
            if began is not None:
                metrics.record_render(perf_counter() - began)
            return result

        return cast(F, run)

    return decorate
