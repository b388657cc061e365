"""Telemetry changes no result: every verb returns the same, whatever part of telemetry raises or hangs."""

import math
import tempfile
import threading
from collections.abc import Sequence
from typing import Any

import pytest
from opentelemetry import metrics, trace
from opentelemetry.metrics import MeterProvider as AnyMeterProvider
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SimpleSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import SpanContext, TraceFlags

from promptreg import Registry
from promptreg.telemetry import metrics as own_metrics
from tests.conftest import Ticking
from tests.otel import alone, call_all, prepare, provided, tracing
from tests.test_threads import in_threads

PATIENCE_SECONDS = 20


def run_calls(**settings: Any) -> list[object]:
    """Call every verb and refusal on a new registry; return the results."""
    with Registry(":memory:", clock=Ticking(), **settings) as registry:
        prepare(registry)
        return call_all(registry)


@pytest.fixture(scope="module")
def plain() -> list[object]:
    """What every verb returns if nothing is recorded."""
    return run_calls()


class Failing:
    """An object of which every method raises, except those passed."""

    def __init__(self, **working: Any) -> None:
        self.__dict__.update(working)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)

        def fail(*_: Any, **__: Any) -> Any:
            raise RuntimeError(f"{name} fails")

        return fail


class Broken(trace.Span):
    """A recording span of which every method raises, except those named."""

    def __init__(self, *works: str) -> None:
        self._works = works

    def _do(self, name: str, value: Any = None) -> Any:
        if name not in self._works:
            raise RuntimeError(f"{name} fails")
        return value

    def get_span_context(self) -> SpanContext:
        context = SpanContext(1, 2, is_remote=False, trace_flags=TraceFlags(TraceFlags.SAMPLED))
        return self._do("get_span_context", context)

    def is_recording(self) -> bool:
        return self._do("is_recording", True)

    def set_attributes(self, attributes: Any) -> None:
        self._do("set_attributes")

    def set_attribute(self, key: str, value: Any) -> None:
        self._do("set_attribute")

    def add_event(self, name: str, attributes: Any = None, timestamp: int | None = None) -> None:
        self._do("add_event")

    def update_name(self, name: str) -> None:
        self._do("update_name")

    def set_status(self, status: Any, description: str | None = None) -> None:
        self._do("set_status")

    def record_exception(self, *_: Any, **__: Any) -> None:
        self._do("record_exception")

    def end(self, end_time: int | None = None) -> None:
        self._do("end")


class OnStart(SpanProcessor):
    """A processor that raises when a span starts."""

    def on_start(self, span: Any, parent_context: Any = None) -> None:
        raise RuntimeError("on_start fails")


class OnEnd(SpanProcessor):
    """A processor that raises when a span ends."""

    def on_end(self, span: ReadableSpan) -> None:
        raise RuntimeError("on_end fails")


class Exporter(SpanExporter):
    """An exporter that raises."""

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        raise RuntimeError("export fails")


def sdk(*processors: SpanProcessor) -> TracerProvider:
    """Return the SDK's provider with these processors."""
    provider = TracerProvider(shutdown_on_exit=False)
    for processor in processors:
        provider.add_span_processor(processor)
    return provider


def provider_of(span: trace.Span) -> Failing:
    """Return a provider whose tracer starts this span."""
    tracer = Failing(start_span=lambda *_, **__: span)
    return Failing(get_tracer=lambda *_, **__: tracer)


WORKING = ("get_span_context", "is_recording", "set_attributes", "set_attribute", "set_status", "end")
PROVIDERS = {
    "get_tracer": Failing,
    "start_span": lambda: Failing(get_tracer=lambda *_, **__: Failing()),
    "on_start": lambda: sdk(OnStart()),
    "on_end": lambda: sdk(OnEnd()),
    "on_start and on_end": lambda: sdk(OnStart(), OnEnd()),
    "exporter": lambda: sdk(SimpleSpanProcessor(Exporter())),
    "sampler": lambda: TracerProvider(sampler=Failing(), shutdown_on_exit=False),  # type: ignore[arg-type]
    "id generator": lambda: TracerProvider(id_generator=Failing(), shutdown_on_exit=False),  # type: ignore[arg-type]
    "no span": lambda: provider_of(None),  # type: ignore[arg-type]
    "all of a span": lambda: provider_of(Broken()),
    **{
        f"{name} of a span": lambda name=name: provider_of(Broken(*(n for n in WORKING if n != name)))  # type: ignore[misc]
        for name in WORKING
    },
}


SETTINGS = [
    pytest.param({"spans": mode, "capture_content": captures}, id=f"{mode}, {'with' if captures else 'no'} content")
    for mode in ("child", "attributes")
    for captures in (False, True)
]
# With `spans="attributes"` no span is started, so that hardly any of these parts is called.
WITH_SPANS = [*SETTINGS[:2], *(pytest.param(*p.values, id=p.id, marks=pytest.mark.slow) for p in SETTINGS[2:])]


@pytest.mark.slow
@pytest.mark.parametrize("settings", WITH_SPANS)
@pytest.mark.parametrize("name", PROVIDERS)
def test_a_part_that_raises_changes_no_result(name: str, settings: dict[str, Any], plain: list[object]) -> None:
    """If a tracer, span, processor, exporter or sampler fails, every verb returns the same and refuses alike."""
    with provided(PROVIDERS[name]()):
        assert run_calls(**settings) == plain
        assert trace.get_current_span() is trace.INVALID_SPAN


@pytest.mark.slow
@pytest.mark.parametrize("works", [(), *((name,) for name in WORKING), WORKING[:2], WORKING[:1]])
@pytest.mark.parametrize("settings", SETTINGS)
def test_a_current_span_that_raises_changes_no_result(
    settings: dict[str, Any], works: tuple[str, ...], plain: list[object]
) -> None:
    """This holds for a parent span and with `spans="attributes"`, and the span is current again afterwards."""
    span = Broken(*works)
    with provided(sdk()), trace.use_span(span, record_exception=False, set_status_on_exception=False):
        assert run_calls(**settings) == plain
        assert trace.get_current_span() is span


def test_a_link_needs_no_working_telemetry() -> None:
    """`trace_context` and `trace_attributes` use the context alone."""
    with provided(Failing()), Registry(":memory:") as registry:
        registry.create("greet", "Hello")
        rendered = registry.render("greet")
        with rendered.trace_context():
            assert rendered.trace_attributes()["gen_ai.prompt.version"] == "1"


@pytest.mark.slow
def test_an_exporter_that_hangs_blocks_no_verb(plain: list[object]) -> None:
    """Only its thread hangs; spans that its queue can't hold are dropped."""
    release, hangs = threading.Event(), threading.Event()

    class Hanging(SpanExporter):
        def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
            hangs.set()
            release.wait(PATIENCE_SECONDS)
            return SpanExportResult.SUCCESS

    processor = BatchSpanProcessor(Hanging(), max_queue_size=16, max_export_batch_size=4, schedule_delay_millis=10)
    try:
        with provided(sdk(processor)):
            answers = [run_calls() for _ in range(2)]
            assert hangs.wait(PATIENCE_SECONDS)
            answers.append(run_calls())
            assert not release.is_set()
    finally:
        release.set()
        processor.shutdown()
    assert answers == [plain] * 3


# Meters, each in a new process, because a process accepts one


class FailingMeters(AnyMeterProvider):
    """A meter provider that raises."""

    def get_meter(self, *_: Any, **__: Any) -> Any:
        raise RuntimeError("get_meter fails")


class PartlyFailingMeters(AnyMeterProvider):
    """A meter provider whose meters have some methods that work, and whose instruments raise."""

    def __init__(self, *works: str) -> None:
        self._works = works

    def get_meter(self, *_: Any, **__: Any) -> Any:
        return Failing(**dict.fromkeys(self._works, lambda *_, **__: Failing()))


def measured(kind: str) -> list[object]:
    """Call every verb while a meter provider of this kind fails."""
    providers: dict[str, Any] = {
        "get_meter": FailingMeters,
        "all of a meter": PartlyFailingMeters,
        "instruments": lambda: PartlyFailingMeters(
            "create_histogram", "create_counter", "create_observable_counter", "create_observable_gauge"
        ),
        "counters": lambda: PartlyFailingMeters("create_histogram"),
    }
    metrics.set_meter_provider(providers[kind]())
    return run_calls()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["get_meter", "all of a meter", "instruments", "counters"])
def test_a_meter_that_raises_changes_no_result(kind: str, plain: list[object]) -> None:
    """Every verb works if nothing can be measured."""
    assert alone(measured, kind) == plain


def collected() -> list[object]:
    """Read the metrics while the registry is in use, and after the meter provider was shut down."""
    reader = InMemoryMetricReader()
    provider = MeterProvider(metric_readers=[reader], shutdown_on_exit=False)
    metrics.set_meter_provider(provider)
    with tempfile.TemporaryDirectory() as folder, Registry(f"{folder}/x.db", clock=Ticking()) as registry:
        prepare(registry)
        reader.get_metrics_data()
        provider.shutdown()
        return call_all(registry)


@pytest.mark.slow
def test_a_meter_provider_that_was_shut_down_changes_no_result(plain: list[object]) -> None:
    """Every verb works after the application has shut its meter provider down."""
    assert alone(collected) == plain


class Untouchable:
    """A default of the application whose class can't be read."""

    @property
    def __class__(self) -> type:
        """Raise."""
        raise RuntimeError("looked at")


@pytest.mark.parametrize("spans", ["child", "attributes"])
def test_no_attribute_is_read_from_a_callers_default(spans: str) -> None:
    """It is returned unchanged, and the span has no attribute of it."""
    with tracing() as finished, Registry(":memory:", spans=spans) as registry:
        default = Untouchable()
        assert registry.get("absent", default=default) is default
        registry.get("absent", default=[1, 2, 3])
        recorded = [span.attributes or {} for span in finished()]
    assert not any("promptreg.count" in attributes for attributes in recorded)


def test_an_interrupt_of_redact_leaves_no_span_current() -> None:
    """After an interrupt of `redact` the caller's span is current again."""

    def redact(text: str) -> str:
        raise KeyboardInterrupt

    with tracing(), Registry(":memory:", capture_content=True, redact=redact) as registry:
        registry.create("greet", "Hello {{ name }}")
        with trace.get_tracer("app").start_as_current_span("app") as app:
            with pytest.raises(KeyboardInterrupt):
                registry.render("greet@1", name="Ana")
            assert trace.get_current_span() is app


def test_threads_lose_no_error() -> None:
    """Errors of many threads are counted exactly."""
    before = own_metrics._errors.get("lost", 0)

    def count(_: int) -> None:
        for _ in range(20_000):
            own_metrics.count_error("lost")

    in_threads(4, count)
    assert own_metrics._errors["lost"] - before == 80_000


def test_attributes_that_a_sampler_changes_are_those_of_one_span() -> None:
    """The attributes that all renders of a prompt share are copied for each span."""
    with tracing() as finished, Registry(":memory:") as registry:
        registry.create("greet", "Hello")
        registry.render("greet")
        found = registry._core.cache.generation.entries["greet"]
        registry._core.cache.generation.until = math.inf  # or a check 50 ms later would be in the attributes
        finished()
        registry.render("greet")
        (span,) = finished()
    assert dict(span.attributes or {}) == found.render_span.attributes
    assert span.attributes is not found.render_span.attributes
