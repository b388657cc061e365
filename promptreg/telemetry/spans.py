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
from functools import cached_property, partial, wraps
from time import perf_counter, time_ns
from typing import Any, NamedTuple, TypeAlias, TypeVar, cast

from opentelemetry import context as otel_context
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.environment_variables import OTEL_PYTHON_TRACER_PROVIDER
from opentelemetry.trace import Span, SpanKind, Status, StatusCode, TraceFlags

from promptreg.errors import InvalidInputError, PromptregError
from promptreg.jsonvalues import thaw
from promptreg.models import StatusUpdate
from promptreg.prompt import Page, Prompt, Rendered
from promptreg.rules.names import parse_reference
from promptreg.telemetry import metrics, names

F = TypeVar("F", bound=Callable[..., Any])
Redact = Callable[[str], str]
Listener: TypeAlias = tuple[Context, int]
"""Where a span would be recorded: in this context of the caller's, since then."""

tracing = trace
"""For the one test that a render makes of whether anybody has installed a tracer provider: of `_TRACER_PROVIDER`."""

RENDER = "render_prompt"
MAX_DEPTH = 8  # of containers in variables that are told
_IS_DEFAULT = "is a default"
_EMPTY: dict[str, Any] = {  # what stands for nothing on the caller's span, each of its attribute's own type
    **dict.fromkeys((names.PROMPT_VERSION, names.STATUS, names.STATE, names.KIND, names.LABEL, names.CACHE), ""),
    **dict.fromkeys((names.CONTENT_HASH, names.ERROR_CODE, names.REQUEST_ID), ""),
    **dict.fromkeys((names.CONTENT_TEMPLATE, names.CONTENT_TEXT, names.CONTENT_VARIABLES), ""),
    **{names.PRODUCTION: False, names.CHANGED: False, names.COUNT: 0},
}

_notes: ContextVar[dict[str, Any] | None] = ContextVar("promptreg notes", default=None)


class TelemetrySettings(NamedTuple):
    """Whether content is told, through what; whether spans are children or attributes; whether renders are timed."""

    captures_content: bool = False
    redact: Redact | None = None
    makes_children: bool = True
    times_renders: bool = True


class Hit(NamedTuple):
    """What spans of renders of a prompt in memory tell: their name, and attributes that nobody may change."""

    span: str
    attributes: dict[str, Any]


def listening() -> Listener | None:
    """Give where a span would be recorded, if somebody listens: the caller's is sampled, or there is none."""
    try:
        context = otel_context.get_current()
        parent = trace.get_current_span(context).get_span_context()
        is_wanted = parent.trace_flags & TraceFlags.SAMPLED or not parent.is_valid
        return (context, time_ns()) if is_wanted else None
    except Exception:  # nothing of telemetry is ever in the way
        return None


class Instrumentation:
    """What tells OpenTelemetry of one registry."""

    def __init__(self, settings: TelemetrySettings) -> None:
        self._settings = settings
        self._tells_names_only = settings.makes_children and not settings.captures_content
        if OTEL_PYTHON_TRACER_PROVIDER in os.environ:
            with suppress(Exception):
                trace.get_tracer_provider()  # which loads the one that is named there

    @cached_property
    def _tracer(self) -> trace.Tracer:
        """Made when first needed: reading our own version takes as long as opening a registry."""
        return trace.get_tracer(names.TRACER, metrics.own_version(), schema_url=names.SCHEMA_URL)

    @property
    def captures_content(self) -> bool:
        """Tell whether spans of renders hold templates, variables and texts."""
        return self._settings.captures_content

    def render(self, prompt: Prompt, hit: Hit, listener: Listener, variables: Any, more: dict[str, Any]) -> Rendered:
        """Render what was in memory, and tell of it."""
        try:
            rendered = prompt.render(variables, **more)
        except BaseException as error:
            metrics.count_error(_code(error))
            self._tell(hit, listener, partial(_of_error, error), is_error=True)
            raise
        return self.tell(rendered, hit, listener, variables, more)

    def tell(self, rendered: Rendered, hit: Hit, listener: Listener, variables: Any, more: dict[str, Any]) -> Rendered:
        """Tell of a render of what was in memory, and give it."""
        if self._tells_names_only:  # written out: `_tell` takes 0.03 of what the SDK does
            try:
                (name, attributes), (context, began) = hit, listener
                self._tracer.start_span(name, context, attributes=attributes.copy(), start_time=began).end()
            except Exception:  # nothing of telemetry is ever in the way
                pass
        else:
            captures = self._settings.captures_content
            self._tell(hit, listener, partial(self.content, rendered, variables, more) if captures else dict)
        return rendered

    def _tell(
        self, hit: Hit, listener: Listener, further: Callable[[], dict[str, Any]], *, is_error: bool = False
    ) -> None:
        context, began = listener
        with suppress(Exception):
            if self._settings.makes_children:
                attributes = hit.attributes.copy()  # as a sampler may write to it
                span = self._tracer.start_span(hit.span, context, attributes=attributes, start_time=began)
                if span.is_recording():
                    span.set_attributes(further())
                if is_error:
                    span.set_status(Status(StatusCode.ERROR))
                span.end()
            else:
                span = trace.get_current_span(context)
                if span.is_recording():
                    _put(span, {**hit.attributes, **further()}, is_render=True)

    def begin(self, operation: str, name: str | None, namespace: str) -> "_Call":
        """Begin the span of a verb, and make it the current one."""
        call = _Call(self, is_render=operation == RENDER)
        attributes = _present({names.NAMESPACE: namespace, names.PROMPT_NAME: name})
        with suppress(Exception):
            if self._settings.makes_children:
                call.begin(self._tracer, f"{operation} {name}" if name else operation, attributes)
            else:
                call.span, call.held = trace.get_current_span(), attributes
        return call

    def times(self) -> bool:
        """Tell whether renders are timed."""
        return self._settings.times_renders and metrics.is_on()

    def content(self, rendered: Rendered, variables: Any, more: Mapping[str, Any]) -> dict[str, str]:
        """Give what was rendered, of what; what `redact` fails on is left out."""
        found: dict[str, str] = {}
        with suppress(Exception):
            given = {**(dict(variables) if variables is not None else {}), **more}
            if rendered.prompt is not None:
                template = self._plain(thaw(rendered.prompt.template), MAX_DEPTH)
                self._add(found, names.CONTENT_TEMPLATE, template)
            self._add(found, names.CONTENT_TEXT, self._redacted(rendered.text))
            self._add(found, names.CONTENT_VARIABLES, self._plain(given, MAX_DEPTH))
        return found

    def _add(self, found: dict[str, str], name: str, value: Any) -> None:
        if value is not None:
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            found[name] = text.encode(errors="replace").decode()

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
        if value is None or type(value) is bool:
            return value
        if type(value) in {int, float}:
            redacted = self._redacted(str(value))
            return value if redacted == str(value) else redacted
        if depth and isinstance(value, dict):
            items = [
                (self._redacted(key), item, self._plain(item, depth - 1))
                for key, item in dict.items(value)
                if type(key) is str
            ]
            return {key: plain for key, item, plain in items if key is not None and (plain is not None or item is None)}
        if depth and type(value) in {list, tuple}:
            return [self._plain(item, depth - 1) for item in value]  # type: ignore[attr-defined]
        return f"<{type(value).__name__}>"


class _Call:
    """One verb's span, which is the current one while it runs; in attributes mode it is the caller's own."""

    __slots__ = ("_context", "_is_ours", "_notes", "_teller", "held", "is_render", "span")

    def __init__(self, instrumentation: Instrumentation, *, is_render: bool) -> None:
        self._teller = instrumentation
        self.is_render = is_render
        self.span: Span | None = None
        self.held: dict[str, Any] = {}  # what the caller's span is told at the end
        self._is_ours = False
        self._context: Token[Context] | None = None
        self._notes = _notes.set({})

    def begin(self, tracer: trace.Tracer, name: str, attributes: dict[str, Any]) -> None:
        """Begin the span."""
        span = tracer.start_span(
            name, kind=SpanKind.INTERNAL, attributes=attributes, record_exception=False, set_status_on_exception=False
        )
        if isinstance(span, Span):
            self.span, self._is_ours = span, True
            self._context = otel_context.attach(trace.set_span_in_context(span))

    def failed(self, error: BaseException) -> None:
        """Tell of an error, by type, code and request, and end."""
        self._end(_of_error(error), is_error=True)

    def succeeded(self, result: object, arguments: tuple[Any, Any] | None) -> None:
        """Tell of what was given, and end; `arguments` are those of a render, whose content may be told."""
        told: dict[str, Any] = {}
        try:
            # What a caller passed as a default is its own, and not looked at.
            if self.span is not None and self.span.is_recording() and _IS_DEFAULT not in (_notes.get() or {}):
                told = _told(result)
                if isinstance(result, Rendered) and result.prompt is None and not self._is_ours:
                    told = _of_no_prompt()
                if isinstance(result, Rendered) and self._teller.captures_content:
                    variables, more = arguments or (None, {})
                    told |= self._teller.content(result, variables, more)
        except Exception:  # nothing of telemetry is ever in the way
            pass
        finally:
            self._end(told)

    def _end(self, attributes: dict[str, Any], *, is_error: bool = False) -> None:
        notes = _notes.get() or {}
        _notes.reset(self._notes)
        try:
            if self.span is not None:
                noted = {key: value for key, value in notes.items() if key != _IS_DEFAULT}
                told = _present({**self.held, **attributes, **noted})
                if self._is_ours:
                    self.span.set_attributes(told)
                    if is_error:
                        self.span.set_status(Status(StatusCode.ERROR))
                elif self.span.is_recording():
                    _put(self.span, told, is_render=self.is_render)
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
                if self.span is not None and self._is_ours:
                    self.span.end()


def traced(operation: str, *, takes_name: bool = True) -> Callable[[F], F]:
    """Run a verb in a span named by the operation and, where its first argument names one prompt, by that."""
    is_render = operation == RENDER

    def decorate(verb: F) -> F:
        @wraps(verb)
        def run(view: Any, /, *args: Any, **kwargs: Any) -> Any:
            instrumentation: Instrumentation = view._core.instrumentation
            began = perf_counter() if is_render and instrumentation.times() else None
            call = None
            if trace._TRACER_PROVIDER is not None and listening() is not None:
                named = args[0] if args else kwargs.get("name", kwargs.get("names"))
                call = instrumentation.begin(operation, _shown_name(named) if takes_name else None, view.namespace)
            try:
                result = verb(view, *args, **kwargs)
            except BaseException as error:
                view._core.release_after(error)
                view._core.explain(error, view._view)
                metrics.count_error(_code(error))
                if call is not None:
                    call.failed(error)
                raise
            if call is not None:
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


def note_prompt(prompt: Prompt) -> None:
    """Tell the verb's span of the prompt that was found."""
    notes = _notes.get()
    if notes is not None:
        notes.update(_of_prompt(prompt))


def note_default() -> None:
    """Tell that the verb gives a default of the caller's."""
    notes = _notes.get()
    if notes is not None:
        notes[_IS_DEFAULT] = True


def _shown_name(argument: object) -> str | None:
    """Give the name in what a caller passed, if it is one: anything else may be a text."""
    try:
        return parse_reference(argument).text
    except InvalidInputError:
        return None


def _told(result: object) -> dict[str, Any]:
    match result:
        case Rendered():
            return _of_prompt(result.prompt) if result.prompt else {}
        case Prompt():
            return _of_prompt(result)
        case StatusUpdate():
            return {names.COUNT: result.updated_prompts}
        case Page() | list():
            return {names.COUNT: len(result)}
    return {}


def of_hit(prompt: Prompt, label: str | None) -> Hit:
    """Give what a render of a prompt in memory tells."""
    told = {names.NAMESPACE: prompt.namespace, **_of_prompt(prompt), names.LABEL: label, names.CACHE: names.HIT}
    return Hit(f"{RENDER} {prompt.name}", _present(told))


def _put(span: Span, told: dict[str, Any], *, is_render: bool) -> None:
    """Put what a call tells on the caller's own span, whose outcome is the caller's to tell.

    A render is told whole: what only an earlier one told is emptied, for nothing can be removed. Other verbs are told
    where no prompt is yet, so that what a model call is given stays the prompt that it was rendered from.
    """
    told = {key: value for key, value in told.items() if key != names.ERROR_TYPE}
    held = getattr(span, "attributes", None)  # the SDK's can be read, others may hold any
    if is_render and names.PROMPT_NAME in told:
        told = {key: empty for key, empty in _EMPTY.items() if held is None or key in held} | told
        if not told[names.PROMPT_NAME] and held is not None and names.PROMPT_NAME not in held:
            del told[names.PROMPT_NAME]
    elif held is None or names.PROMPT_NAME in held:
        return
    span.set_attributes(told)


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


def _of_no_prompt() -> dict[str, Any]:
    """Return what the caller's own span is told of a rendered default, which is credited to no prompt."""
    notes = _notes.get()
    if notes is not None:
        notes.pop(names.LABEL, None)
    return {names.PROMPT_NAME: ""}


def _of_error(error: BaseException) -> dict[str, Any]:
    told = {names.ERROR_TYPE: type(error).__name__}
    if isinstance(error, PromptregError):
        told |= {names.ERROR_CODE: error.code, names.REQUEST_ID: error.request_id}
    return told


def _code(error: BaseException) -> str:
    return error.code if isinstance(error, PromptregError) else type(error).__name__


def _present(attributes: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in attributes.items() if value is not None}
