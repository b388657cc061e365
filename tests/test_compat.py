"""The private names of dependencies that promptreg reads, each in one `compat.py`: if one is missing, a test fails."""

import subprocess
import sys
from typing import Any

from opentelemetry import metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider

from promptreg.telemetry import PromptSpanProcessor, compat
from promptreg.telemetry.metrics import is_on
from tests.otel import alone, provided


class TestTelemetry:
    """The names of OpenTelemetry."""

    def test_the_installed_tracer_provider_is_where_it_is_read(self) -> None:
        """The value is None before an application installs a provider, and that provider afterwards."""
        provider = TracerProvider(shutdown_on_exit=False)
        assert compat.TRACE_STATE is vars(trace)
        assert compat.TRACE_STATE[compat.TRACER_PROVIDER] is None
        with provided(provider):
            assert compat.TRACE_STATE[compat.TRACER_PROVIDER] is provider

    def test_without_the_name_every_verb_works_and_is_traced(self) -> None:
        """A newer API without the name costs only time."""
        program = """
from opentelemetry import trace
provider = trace.__dict__.pop("_TRACER_PROVIDER")
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
provider, exporter = TracerProvider(), InMemorySpanExporter()
provider.add_span_processor(SimpleSpanProcessor(exporter))
trace.get_tracer = lambda *args, **kwargs: provider.get_tracer(*args)
from promptreg import Registry
with Registry(":memory:") as registry:
    registry.create("greet", "Hello")
    print([registry.render("greet").text for _ in range(3)])
print(len(exporter.get_finished_spans()))
"""
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
        assert (done.stdout, done.stderr) == ("['Hello', 'Hello', 'Hello']\n4\n", "")

    def test_the_installed_meter_provider_is_where_it_is_read(self) -> None:
        """It is read in a new process, because a process accepts one meter provider."""
        assert alone(_meter_providers) == [(True, False), (True, True)]

    def test_the_span_processor_has_every_method_that_the_sdk_calls(self) -> None:
        """It has private ones too, as it is no subclass of the SDK's at run time, because the SDK may be missing."""
        methods = {name for name in vars(SpanProcessor) if not name.startswith("__")}
        assert methods <= set(vars(PromptSpanProcessor))


def _meter_providers() -> list[Any]:
    before = compat.meter_provider() is None, is_on()
    provider = MeterProvider(shutdown_on_exit=False)
    metrics.set_meter_provider(provider)
    return [before, (compat.meter_provider() is provider, is_on())]
