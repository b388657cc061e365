"""Recording the spans of promptreg in memory, for tests of applications; needs opentelemetry-sdk.

A tracer provider can be installed once in a process, and belongs to the application: nothing here installs one. While
spans are recorded, promptreg's own tracer is one of the application's provider, with one more processor, or, where that
can't record, one of a provider that nobody else sees.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from threading import Lock
from types import ModuleType
from typing import Any, overload
from unittest.mock import patch

from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.sdk.trace.sampling import ALWAYS_ON
from opentelemetry.trace import NoOpTracer, Tracer

from promptreg.telemetry import metrics, names
from promptreg.telemetry.compat import TRACE_STATE, TRACER_PROVIDER
from promptreg.telemetry.spans import Instrumentation


class PromptSpans(InMemorySpanExporter, Sequence[ReadableSpan]):
    """The spans that promptreg has ended, oldest first: a sequence, and OpenTelemetry's exporter in memory."""

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


class SpanRecorder(SpanProcessor):
    """Records the spans of all registries of a process, of one test after another."""

    def __init__(self, readers: Sequence[ModuleType]) -> None:
        """Take the modules that read `TRACE_STATE` to find out whether anybody records spans."""
        self._readers = readers
        self._version = metrics.installed_version()
        self._tracers: dict[int, tuple[Any, Tracer]] = {}  # by the ids of the providers, which may have no hash
        self._lock = Lock()
        self._own = TracerProvider(ALWAYS_ON, Resource.get_empty(), shutdown_on_exit=False)
        self._spans: PromptSpans | None = None

    @contextmanager
    def recording(self) -> Iterator[PromptSpans]:
        """Record what promptreg does within, in every thread."""
        self._spans = spans = PromptSpans()
        with ExitStack() as patches:
            for module in self._readers:
                patches.enter_context(patch.object(module, "TRACE_STATE", {TRACER_PROVIDER: self}))
            patches.enter_context(patch.object(Instrumentation, "tracer", property(lambda _: self._tracer())))
            try:
                yield spans
            finally:
                self._spans = None

    def _tracer(self) -> Tracer:
        """Return a tracer of the application's provider if it can record, and else of our own."""
        installed = TRACE_STATE[TRACER_PROVIDER]
        if callable(getattr(installed, "add_span_processor", None)):
            tracer = self._tracer_of(installed)
            if not isinstance(tracer, NoOpTracer):  # which it is where OTEL_SDK_DISABLED is set
                return tracer
        return self._tracer_of(self._own)

    def _tracer_of(self, provider: Any) -> Tracer:
        """Return promptreg's tracer of a provider; give the provider this processor once, as it can't be removed."""
        with self._lock:
            if id(provider) not in self._tracers:
                provider.add_span_processor(self)
                tracer = provider.get_tracer(names.TRACER, self._version, schema_url=names.SCHEMA_URL)
                self._tracers[id(provider)] = provider, tracer
        return self._tracers[id(provider)][1]

    def on_end(self, span: ReadableSpan) -> None:
        """Keep a span of promptreg while they are recorded."""
        scope, spans = span.instrumentation_scope, self._spans
        if spans is not None and scope is not None and scope.name == names.TRACER:
            spans.export((span,))
