"""The cost that OpenTelemetry adds to a cached render: with no provider, for a caller not sampled, and recorded.

Each row is the additional time of a render, compared with no provider, divided by the time of a plain Jinja2 render
or, where the span is recorded, by the time in which the SDK starts and ends a span with the same attributes.

The SDK's span is measured in one loop with a render without a provider, whose time is subtracted, as it is from ours.
Alone in a loop the same instructions take 0.92 of that, with half the cache misses and mispredicted branches, which no
application sees; a plain Jinja2 render or some JSON in both loops changes the ratio by less than its noise.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from time import process_time
from timeit import Timer
from typing import Any

import jinja2
from opentelemetry import trace
from opentelemetry.sdk.trace import SpanLimits, SpanProcessor, TracerProvider
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags
from prompts import SHORT
from timing import Measured, Options, Pair, Tables, run

from promptreg import Actor, Registry
from promptreg.telemetry.compat import TRACE_STATE, TRACER_PROVIDER

ROUNDS = 40
TIMES = 100
REPEATS = 20
NOTHING = (0.008, 0.008)  # 80 ns of about 10 µs
UNSAMPLED = (0.15, 0.15)
RECORDING = (1.15, 1.15)
SPAN = "tracer.start_span('render_prompt short', attributes=attributes).end()"
PLAIN = "plain.render(words=20)"
OURS = "registry.render('short', words=20)"
VIEWS = "view.render('short', words=20)"


def measured(options: Options) -> Tables:
    rounds = options.rounds or ROUNDS
    provider = TracerProvider(span_limits=SpanLimits(), shutdown_on_exit=False)
    provider.add_span_processor(SpanProcessor())
    with Registry(":memory:") as registry:
        registry.create("short", SHORT)
        names = {
            "registry": registry,
            "view": registry.scope(actor=Actor("ana", "team_member")),
            "plain": jinja2.Environment().from_string(SHORT),
            "TRACE_STATE": TRACE_STATE,
            "TRACER_PROVIDER": TRACER_PROVIDER,
            "tracer": provider.get_tracer("floor"),
            "attributes": attributes(registry, provider),
        }
        return {
            "a render, more than with nothing installed / plain Jinja2's render": [
                Measured("nothing installed: the test of a flag", flags(names, rounds), NOTHING),
                Measured("a caller that is not sampled", unsampled(OURS, names, provider, rounds), UNSAMPLED),
                Measured("the same, by a view", unsampled(VIEWS, names, provider, rounds), UNSAMPLED),
            ],
            "a render, more than with nothing installed / the SDK's start_span and end": [
                Measured("recording", recording(OURS, names, provider, rounds), RECORDING),
                Measured("the same, by a view", recording(VIEWS, names, provider, rounds), RECORDING),
            ],
        }


def attributes(registry: Registry, provider: TracerProvider) -> Mapping[str, Any]:
    """Return the attributes of a render's span."""
    ended = []

    class Recorder(SpanProcessor):
        def on_end(self, span: Any) -> None:
            ended.append(span)

    recording_provider = TracerProvider(shutdown_on_exit=False)
    recording_provider.add_span_processor(Recorder())
    with installed(recording_provider), Registry(":memory:") as other:
        other.create("short", SHORT)
        for _ in range(2):
            other.render("short", words=20)
    return dict(ended[-1].attributes)


def flags(names: Mapping[str, Any], rounds: int) -> list[Pair]:
    """Return the seconds of the check for a provider, and of a plain render."""
    sides = [side("TRACE_STATE[TRACER_PROVIDER] is None", names), side(PLAIN, names)]
    return [(flag, plain) for flag, plain in fastest_slices(sides, rounds)]


def unsampled(ours: str, names: Mapping[str, Any], provider: TracerProvider, rounds: int) -> list[Pair]:
    """Return the seconds added to a render for a caller that is not sampled, and those of a plain render."""
    with caller(is_sampled=False):
        sides = [side(ours, names), side(ours, names, provider), side(PLAIN, names)]
        return [(traced - without, plain) for without, traced, plain in fastest_slices(sides, rounds)]


def recording(ours: str, names: Mapping[str, Any], provider: TracerProvider, rounds: int) -> list[Pair]:
    """Return the seconds added to a render that is recorded, and those of the SDK's span after a render."""
    with caller(is_sampled=True):
        sides = [side(ours, names), side(ours, names, provider), side(f"{ours}; {SPAN}", names)]
        return [(traced - without, by_hand - without) for without, traced, by_hand in fastest_slices(sides, rounds)]


def side(statement: str, names: Mapping[str, Any], provider: TracerProvider | None = None) -> Callable[[], float]:
    """Return a function that measures the seconds of one run of a statement, while the provider is installed."""
    timer = Timer(statement, timer=process_time, globals=dict(names))

    def slice() -> float:
        with nullcontext() if provider is None else installed(provider):
            return timer.timeit(TIMES) / TIMES

    return slice


def fastest_slices(sides: Sequence[Callable[[], float]], rounds: int) -> Iterator[list[float]]:
    """Yield the fastest slice of each side for each round; the sides are measured alternately."""
    for _ in range(rounds):
        repeats = [[side() for side in sides] for _ in range(REPEATS)]
        yield [min(slices) for slices in zip(*repeats, strict=True)]


@contextmanager
def installed(provider: TracerProvider) -> Iterator[None]:
    """Install this provider, for this block only."""
    TRACE_STATE[TRACER_PROVIDER] = provider
    yield
    TRACE_STATE[TRACER_PROVIDER] = None


@contextmanager
def caller(*, is_sampled: bool) -> Iterator[None]:
    """Set a current span, sampled or not."""
    flag = TraceFlags.SAMPLED if is_sampled else TraceFlags.DEFAULT
    with trace.use_span(NonRecordingSpan(SpanContext(1, 1, is_remote=True, trace_flags=TraceFlags(flag)))):
        yield


if __name__ == "__main__":
    run(__doc__, measured)
