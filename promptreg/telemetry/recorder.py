"""Recording the spans of promptreg in memory, for tests of applications; needs opentelemetry-sdk.

A tracer provider can be installed once in a process, and belongs to the application: nothing here installs or changes
one. While spans are recorded, promptreg's tracer is that of the application's provider, or, where that can't record, of
a provider that nobody else sees; and each span that it starts is kept.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from threading import Lock
from types import ModuleType
from typing import Any, overload
from unittest.mock import patch

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import NoOpTracer, Span, Tracer

from promptreg.telemetry import metrics, names
from promptreg.telemetry.compat import TRACE_STATE, TRACER_PROVIDER
from promptreg.telemetry.spans import Instrumentation


class PromptSpans(Sequence[ReadableSpan]):
    """The spans that promptreg has ended, in the order of their ends: a sequence that grows."""

    def __init__(self) -> None:
        self._started: list[ReadableSpan] = []
        self._lock = Lock()

    def get_finished_spans(self) -> tuple[ReadableSpan, ...]:
        """Return the spans so far, as OpenTelemetry's exporter in memory does."""
        with self._lock:
            ended = [span for span in self._started if span.end_time is not None]
        return tuple(sorted(ended, key=lambda span: span.end_time or 0))

    def clear(self) -> None:
        """Forget the spans so far."""
        with self._lock:
            self._started = [span for span in self._started if span.end_time is None]

    def started(self, span: Span) -> None:
        """Keep a span, unless it is not sampled."""
        if isinstance(span, ReadableSpan) and span.get_span_context().trace_flags.sampled:
            with self._lock:
                self._started.append(span)

    @overload
    def __getitem__(self, index: int) -> ReadableSpan: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[ReadableSpan]: ...
    def __getitem__(self, index: int | slice) -> ReadableSpan | Sequence[ReadableSpan]:
        """Return a span, or several."""
        return self.get_finished_spans()[index]

    def __len__(self) -> int:
        """Return how many there are."""
        return len(self.get_finished_spans())

    def __repr__(self) -> str:
        """Return the names of the spans, which a failed assertion shows."""
        return f"<PromptSpans {[span.name for span in self]}>"


class _KeepingTracer:
    """What promptreg uses of a tracer; each span that it starts is kept."""

    def __init__(self, tracer: Tracer, spans: PromptSpans) -> None:
        self._tracer = tracer
        self._spans = spans

    def start_span(self, *args: Any, **kwargs: Any) -> Span:
        """Start a span of the tracer."""
        span = self._tracer.start_span(*args, **kwargs)
        self._spans.started(span)
        return span


class SpanRecorder:
    """Records the spans of all registries of a process, of one test after another."""

    def __init__(self, readers: Sequence[ModuleType]) -> None:
        """Take the modules that read `TRACE_STATE` to find out whether anybody records spans."""
        self._readers = readers
        self._version = metrics.installed_version()
        self._own = self._tracer_of(TracerProvider(ALWAYS_ON, Resource.get_empty(), shutdown_on_exit=False))
        self._latest: tuple[Any, Tracer] = None, self._own  # a provider and its tracer: making one takes 20 µs

    @contextmanager
    def recording(self) -> Iterator[PromptSpans]:
        """Record what promptreg does within, in every thread."""
        spans = PromptSpans()
        tracer = property(lambda _: _KeepingTracer(self._tracer(), spans))
        with ExitStack() as patches:
            for module in self._readers:
                patches.enter_context(patch.object(module, "TRACE_STATE", {TRACER_PROVIDER: self}))
            patches.enter_context(patch.object(Instrumentation, "tracer", tracer))
            yield spans

    def _tracer(self) -> Tracer:
        """Return a tracer of the application's provider if its spans can be read, and else of our own."""
        installed = TRACE_STATE[TRACER_PROVIDER]
        provider, tracer = self._latest
        if installed is not provider:
            is_readable = callable(getattr(installed, "add_span_processor", None))  # the SDK's, or what wraps it
            tracer = self._tracer_of(installed) if is_readable else self._own
            if isinstance(tracer, NoOpTracer):  # which it is where OTEL_SDK_DISABLED is set
                tracer = self._own
            self._latest = installed, tracer
        return tracer

    def _tracer_of(self, provider: Any) -> Tracer:
        tracer: Tracer = provider.get_tracer(names.TRACER, self._version, schema_url=names.SCHEMA_URL)
        return tracer
