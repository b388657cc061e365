"""Spans printed as a tree, as `promptreg demo --trace` does; the only file here that needs an SDK."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, TextIO

from opentelemetry import trace

from promptreg.telemetry.compat import TRACE_STATE, TRACER_PROVIDER
from promptreg.telemetry.links import PromptSpanProcessor

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import ReadableSpan, TracerProvider


class NotShownError(Exception):
    """Spans can't be shown; the message says why, and what to do."""


@contextmanager
def printed_spans(out: TextIO) -> Iterator[None]:
    """Print the spans that begin within as a tree at the end: names, attributes and microseconds; also after an error.

    They are recorded by the process's tracer provider, which is installed where there is none. Raise `NotShownError`
    where there is no SDK, or where its provider records nothing that can be read.
    """
    try:
        from opentelemetry.sdk.trace.export import SimpleSpanProcessor  # noqa: PLC0415
        from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter  # noqa: PLC0415

        provider, exporter = _provider(), InMemorySpanExporter()
    except ImportError as error:
        raise NotShownError("--trace needs an SDK; python -m pip install opentelemetry-sdk") from error
    except ValueError as error:
        raise NotShownError(f"--trace can't begin: {error}") from error
    provider.add_span_processor(PromptSpanProcessor())
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    demo = provider.get_tracer("the application").start_span("demo")
    if not demo.get_span_context().trace_flags.sampled:
        raise NotShownError("--trace has no spans to show; check OTEL_SDK_DISABLED and the sampler.")
    try:
        with trace.use_span(demo, end_on_exit=True):
            yield
    finally:
        exporter.shutdown()  # it keeps the spans that it has, and takes no more
        for line in _lines(exporter.get_finished_spans()):
            print(line, file=out)


def _provider() -> "TracerProvider":
    """Return the installed tracer provider of the SDK, or install one that records all."""
    from opentelemetry.sdk.trace import TracerProvider  # noqa: PLC0415
    from opentelemetry.sdk.trace.sampling import ALWAYS_ON  # noqa: PLC0415

    installed = TRACE_STATE[TRACER_PROVIDER]
    if installed is None:
        provider = TracerProvider(sampler=ALWAYS_ON)
        trace.set_tracer_provider(provider)
        return provider
    if not isinstance(installed, TracerProvider):
        kind = f"{type(installed).__module__}.{type(installed).__qualname__}"
        raise NotShownError(f"--trace shows spans of OpenTelemetry's own SDK; here {kind} is installed.")
    return installed


def model_call_span() -> AbstractContextManager[object]:
    """Start a span as an instrumented model call does, as the current one."""
    return trace.get_tracer("the application").start_as_current_span("chat a-model")


def _lines(spans: Sequence["ReadableSpan"]) -> Iterator[str]:
    ids = {span.context.span_id for span in spans if span.context}
    children: dict[int | None, list[ReadableSpan]] = {}
    for span in sorted(spans, key=lambda span: span.start_time or 0):
        parent = span.parent.span_id if span.parent and span.parent.span_id in ids else None
        children.setdefault(parent, []).append(span)
    yield from _branch(children, None, "")


def _branch(children: dict[int | None, list["ReadableSpan"]], parent: int | None, indent: str) -> Iterator[str]:
    for span in children.get(parent, []):
        microseconds = ((span.end_time or 0) - (span.start_time or 0)) / 1000
        failed = "" if span.status.is_ok else " ERROR"
        yield f"{indent}{span.name}  {microseconds:,.0f} µs{failed}"
        for key, value in sorted((span.attributes or {}).items()):
            yield f"{indent}  · {key}={value!s}"
        yield from _branch(children, span.context.span_id if span.context else None, f"{indent}    ")
