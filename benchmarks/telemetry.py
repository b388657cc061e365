"""What telling OpenTelemetry adds to a render from memory: nothing listening, a caller that is not sampled, recording.

Each row is what a render takes more than with nothing installed: against a plain Jinja2 render, and where the span is
recorded against what the SDK itself takes for a span with the same attributes, begun and ended.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from timeit import Timer
from typing import Any

import jinja2
from opentelemetry import trace
from opentelemetry.sdk.trace import SpanLimits, SpanProcessor, TracerProvider
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags
from prompts import SHORT
from timing import Goals, Measured, Options, Pair, Tables, run

from promptreg import Registry
from promptreg.telemetry.spans import tracing

ROUNDS = 40
TIMES = 400
TURNS = 5
NOTHING = (0.008, 0.008)  # 80 ns of about 10 µs
UNSAMPLED = (0.15, 0.15)
RECORDING = (1.15, 1.15)
SPAN = "tracer.start_span('render_prompt short', attributes=attributes).end()"
OURS = "registry.render('short', words=20)"


def measured(options: Options) -> Tables:
    rounds = options.rounds or ROUNDS
    provider = TracerProvider(span_limits=SpanLimits(), shutdown_on_exit=False)
    provider.add_span_processor(SpanProcessor())
    with Registry(":memory:") as registry:
        registry.create("short", SHORT)
        names = {
            "registry": registry,
            "plain": jinja2.Environment().from_string(SHORT),
            "tracing": tracing,
            "tracer": provider.get_tracer("floor"),
            "attributes": attributes(registry, provider),
        }
        return {
            "a render, more than with nothing installed / plain Jinja2's render": [
                Measured("nothing installed: the test of a flag", flags(names, rounds), NOTHING),
                more("a caller that is not sampled", names, provider, "plain.render(words=20)", rounds, UNSAMPLED),
            ],
            "a render, more than with nothing installed / the SDK's start_span and end": [
                more("recording", names, provider, SPAN,
                     rounds, RECORDING),
            ],
        }  # fmt: skip


def attributes(registry: Registry, provider: TracerProvider) -> Mapping[str, Any]:
    """Give what a render's span holds."""
    ended = []

    class Kept(SpanProcessor):
        def on_end(self, span: Any) -> None:
            ended.append(span)

    kept = TracerProvider(shutdown_on_exit=False)
    kept.add_span_processor(Kept())
    with installed(kept), Registry(":memory:") as other:
        other.create("short", SHORT)
        for _ in range(2):
            other.render("short", words=20)
    return dict(ended[-1].attributes)


def flags(names: Mapping[str, Any], rounds: int) -> list[Pair]:
    """Give the seconds of the test of the flag, and of a plain render."""
    return [
        (best("tracing._TRACER_PROVIDER is None", names), best("plain.render(words=20)", names)) for _ in range(rounds)
    ]


def more(
    name: str, names: Mapping[str, Any], provider: TracerProvider, floor: str, rounds: int, goals: Goals
) -> Measured:
    """Give the row of what a render takes more with a provider than without."""
    pairs = []
    for _ in range(rounds):
        without = best(OURS, names)
        with installed(provider), caller(is_sampled=goals is RECORDING):
            taken = best(OURS, names)
            pairs.append((taken - without, best(floor, names)))
    return Measured(name, pairs, goals)


def best(statement: str, names: Mapping[str, Any]) -> float:
    """Give the seconds of one run in the fastest of some slices."""
    return min(Timer(statement, globals=dict(names)).repeat(TURNS, TIMES)) / TIMES


@contextmanager
def installed(provider: TracerProvider) -> Iterator[None]:
    """Have this provider be the process's."""
    trace._TRACER_PROVIDER = provider
    yield
    trace._TRACER_PROVIDER = None


@contextmanager
def caller(*, is_sampled: bool) -> Iterator[None]:
    """Be called within a span that is sampled or not."""
    flag = TraceFlags.SAMPLED if is_sampled else TraceFlags.DEFAULT
    with trace.use_span(NonRecordingSpan(SpanContext(1, 1, is_remote=True, trace_flags=TraceFlags(flag)))):
        yield


if __name__ == "__main__":
    run(__doc__, measured)
