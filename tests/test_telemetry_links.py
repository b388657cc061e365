"""The link from a prompt to the model call made for it, tested with the packages that applications use."""

import asyncio
import contextvars
import gzip
import json
import pickle
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
from langfuse._client.span_processor import LangfuseSpanProcessor
from openinference.instrumentation import OITracer, TraceConfig, get_attributes_from_context, using_metadata
from opentelemetry import baggage, trace
from opentelemetry import context as otel_context
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.propagate import inject
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from promptreg import NotFoundError, PromptregError, Registry, Rendered
from promptreg.telemetry import PromptSpanProcessor
from tests.otel import Finished, provided, tracing

NAME, VERSION = "gen_ai.prompt.name", "gen_ai.prompt.version"
NAMESPACE, CONTENT_HASH = "promptreg.namespace", "promptreg.content_hash"
OPENINFERENCE_VERSION = "llm.prompt_template.version"
LANGFUSE_NAME, LANGFUSE_VERSION = "langfuse.observation.prompt.name", "langfuse.observation.prompt.version"


@pytest.fixture
def registry() -> Iterator[Registry]:
    """A registry with greet, whose version 2 is live, and other."""
    with Registry(":memory:") as registry:
        registry.create("greet", "Hello {{ name }}")
        registry.update("greet", template="Hi {{ name }}")
        registry.create("other", "Other")
        yield registry


@pytest.fixture
def rendered(registry: Registry) -> Rendered:
    """The render that a model call is made from."""
    return registry.render("greet", name="Ana")


@pytest.fixture
def other(registry: Registry) -> Rendered:
    """The render of another model call."""
    return registry.render("other")


class Calls:
    """Model calls of an application with these span processors, and the exported spans."""

    def __init__(self, *processors: SpanProcessor) -> None:
        self.finished = Finished()
        self.provider = TracerProvider(shutdown_on_exit=False)
        for processor in (*processors, SimpleSpanProcessor(self.finished.exporter)):
            self.provider.add_span_processor(processor)
        self.tracer = self.provider.get_tracer("app")

    def call(self, **settings: Any) -> dict[str, Any]:
        """Call a model; return its span's attributes."""
        span = self.tracer.start_span("chat", **settings)
        span.end()
        return dict(span.attributes)  # type: ignore[attr-defined]


@pytest.fixture
def calls() -> Calls:
    """Model calls with promptreg's processor installed."""
    return Calls(PromptSpanProcessor())


# The attributes of the link


def test_trace_attributes_name_the_prompt(rendered: Rendered) -> None:
    """They can be set by hand, and survive a pickle."""
    assert rendered.prompt is not None
    expected = {
        NAME: "greet",
        VERSION: "2",
        NAMESPACE: "default",
        CONTENT_HASH: rendered.prompt.content_hash,
    }
    assert dict(rendered.trace_attributes()) == expected
    assert dict(pickle.loads(pickle.dumps(rendered)).trace_attributes()) == expected
    assert dict(rendered.prompt.render(name="Bo").trace_attributes()) == expected


def test_a_rendered_default_is_credited_to_no_prompt(registry: Registry, rendered: Rendered, calls: Calls) -> None:
    """Its model call names neither the requested prompt nor one of an outer context."""
    default = registry.render("absent", default="Hello")
    assert default.trace_attributes() == pickle.loads(pickle.dumps(default)).trace_attributes() == {}
    with default.trace_context():
        assert calls.call() == {}
    with rendered.trace_context(), default.trace_context():
        assert calls.call() == {}
    with default.trace_context(), rendered.trace_context():
        assert calls.call() == dict(rendered.trace_attributes())


def test_a_prompt_of_another_namespace_has_a_namespace_attribute(registry: Registry) -> None:
    """The namespace is recorded, because names are unique only within it."""
    team = registry.scope(namespace="support")
    team.create("greet", "Dear")
    assert team.render("greet").trace_attributes()[NAMESPACE] == "support"


# promptreg's processor


def test_spans_started_inside_carry_the_prompt(rendered: Rendered, calls: Calls) -> None:
    """Every span inside does, including children and those of other tracers, and none before or after."""
    assert calls.call() == {}
    with rendered.trace_context():
        assert calls.call() == calls.call() == dict(rendered.trace_attributes())
        with calls.tracer.start_as_current_span("chain"):
            assert calls.call() == dict(rendered.trace_attributes())
    assert calls.call() == {}


def test_a_span_keeps_the_attributes_that_it_has(rendered: Rendered, calls: Calls) -> None:
    """Attributes that the span already has are not replaced."""
    with rendered.trace_context():
        recorded = calls.call(attributes={NAME: "mine", "model": "m"})
    assert (recorded[NAME], recorded["model"]) == ("mine", "m")


def test_a_context_that_was_captured_inside_carries_the_prompt(rendered: Rendered, calls: Calls) -> None:
    """The processor reads the context in which the span is started, which may be passed explicitly."""
    with rendered.trace_context():
        captured = otel_context.get_current()
    assert calls.call(context=captured) == dict(rendered.trace_attributes())
    with rendered.trace_context():
        assert calls.call(context=otel_context.Context()) == {}


def test_of_nested_contexts_the_innermost_applies(rendered: Rendered, other: Rendered, calls: Calls) -> None:
    """Afterwards the outer one applies again, and one object may be used twice."""
    with rendered.trace_context():
        with other.trace_context():
            assert calls.call()[NAME] == "other"
            with rendered.trace_context():
                assert calls.call()[NAME] == "greet"
            assert calls.call() == dict(other.trace_attributes())
        assert calls.call() == dict(rendered.trace_attributes())


def test_the_processor_leaves_spans_of_promptreg_alone(registry: Registry, rendered: Rendered) -> None:
    """A render, even a failed one, within the model call of another prompt has the attributes of its prompt."""
    with tracing(PromptSpanProcessor()) as spans:
        with rendered.trace_context():
            registry.render("other")
            with pytest.raises(NotFoundError):
                registry.render("absent")
            registry.list()
        render, failed, listed = spans()
    assert (render.attributes[NAME], render.attributes[VERSION]) == ("other", "1")
    assert failed.attributes[NAME] == "absent"
    assert {VERSION, CONTENT_HASH}.isdisjoint(failed.attributes)
    assert {NAME, VERSION, CONTENT_HASH}.isdisjoint(listed.attributes)


def test_the_context_is_restored(rendered: Rendered) -> None:
    """After the `with` the context is the same as before, even after an error."""
    before = otel_context.get_current()
    with rendered.trace_context():
        assert otel_context.get_current() != before
    assert otel_context.get_current() == before
    with pytest.raises(ZeroDivisionError), rendered.trace_context():
        _ = 1 / 0
    assert otel_context.get_current() == before


def test_baggage_is_unchanged(rendered: Rendered) -> None:
    """Nothing of the prompt is sent in the headers of outgoing requests."""
    headers: dict[str, str] = {}
    with rendered.trace_context():
        assert baggage.get_all() == {}
        inject(headers)
    assert headers == {}


def test_threads_and_tasks_do_not_mix(rendered: Rendered, other: Rendered, calls: Calls) -> None:
    """A thread has the prompt if the context is passed to it, and each task has its own."""

    async def ask(one: Rendered, turns: int) -> set[object]:
        found = set()
        for _ in range(turns):
            with one.trace_context():
                await asyncio.sleep(0)
                found.add(calls.call()[NAME])
                found.add((await asyncio.to_thread(calls.call))[NAME])
        return found

    async def both() -> list[set[object]]:
        return list(await asyncio.gather(ask(rendered, 5), ask(other, 7)))

    assert asyncio.run(both()) == [{"greet"}, {"other"}]
    with rendered.trace_context(), ThreadPoolExecutor(1) as pool:
        assert pool.submit(calls.call).result() == {}
        carried = contextvars.copy_context()
        assert pool.submit(carried.run, calls.call).result()[NAME] == "greet"


# OpenInference: Phoenix, Arize


def openinference(calls: Calls) -> dict[str, Any]:
    """Start a span as OpenInference's instrumentations do; return its attributes."""
    span = OITracer(calls.tracer, config=TraceConfig()).start_span("chat")
    span.end()
    return dict(calls.finished()[-1].attributes or {})


def test_openinference_spans_carry_the_version(rendered: Rendered) -> None:
    """OpenInference's tracer copies the template's version and the metadata onto each span."""
    calls = Calls()
    with rendered.trace_context():
        assert dict(get_attributes_from_context()).keys() == {OPENINFERENCE_VERSION, "metadata"}
        recorded = openinference(calls)
    assert recorded[OPENINFERENCE_VERSION] == "2"
    assert json.loads(recorded["metadata"]) == {NAME: "greet", VERSION: "2"}
    assert openinference(calls) == {}


def test_existing_openinference_metadata_is_kept(rendered: Rendered) -> None:
    """The application's metadata and the prompt's are combined, and the prompt's is removed afterwards."""
    calls = Calls()
    with using_metadata({"session": "ü", "n": [1]}):
        with rendered.trace_context():
            recorded = openinference(calls)
        assert json.loads(openinference(calls)["metadata"]) == {"session": "ü", "n": [1]}
    assert json.loads(recorded["metadata"]) == {"session": "ü", "n": [1], NAME: "greet", VERSION: "2"}


@pytest.mark.parametrize("metadata", ["no JSON", "[1]", "7", 7, {"a": 1}, object()])
def test_metadata_that_is_not_a_json_object_is_kept(registry: Registry, rendered: Rendered, metadata: object) -> None:
    """It is kept within and after the context, with the version, and with a default."""
    token = otel_context.attach(otel_context.set_value("metadata", metadata))
    try:
        for made, version in ((rendered, "2"), (registry.render("absent", default="Hello"), None)):
            with made.trace_context():
                assert otel_context.get_value(OPENINFERENCE_VERSION) == version
                assert otel_context.get_value("metadata") is metadata
        assert otel_context.get_value("metadata") is metadata
    finally:
        otel_context.detach(token)


# Langfuse


@pytest.fixture
def langfuse() -> Iterator[tuple[Calls, InMemorySpanExporter]]:
    """Model calls with Langfuse's span processor, whose exporter keeps the spans in memory."""
    exporter = InMemorySpanExporter()
    processor = LangfuseSpanProcessor(
        public_key="pk", secret_key="sk", base_url="http://127.0.0.1:9", span_exporter=exporter
    )
    yield Calls(processor), exporter
    processor.shutdown()


def test_langfuse_links_the_generation_to_the_prompt(
    rendered: Rendered, langfuse: tuple[Calls, InMemorySpanExporter]
) -> None:
    """Langfuse's processor copies the name, and the version as a number, onto the exported generation."""
    calls, exporter = langfuse
    with rendered.trace_context():
        calls.call(attributes={"gen_ai.operation.name": "chat"})
    calls.call(attributes={"gen_ai.operation.name": "chat"})
    calls.provider.force_flush()
    inside, outside = exporter.get_finished_spans()
    assert (inside.attributes[LANGFUSE_NAME], inside.attributes[LANGFUSE_VERSION]) == ("greet", 2)
    assert {LANGFUSE_NAME, LANGFUSE_VERSION}.isdisjoint(outside.attributes)


def test_a_default_within_a_prompt_keeps_the_applications_metadata(registry: Registry, rendered: Rendered) -> None:
    """Within the default's context only the prompt's part of the metadata is removed."""
    default, calls = registry.render("absent", default="Hello"), Calls()
    with using_metadata({"session": "ü"}), rendered.trace_context(), default.trace_context():
        assert json.loads(openinference(calls)["metadata"]) == {"session": "ü"}
    with rendered.trace_context(), default.trace_context():
        assert "metadata" not in openinference(calls)


def test_a_default_within_a_prompt_is_not_recorded_as_that_prompt(
    registry: Registry, rendered: Rendered, langfuse: tuple[Calls, InMemorySpanExporter]
) -> None:
    """No backend shows the outer prompt's version, because the call is made for the default."""
    calls, _ = langfuse
    with rendered.trace_context(), registry.render("absent", default="Hello").trace_context():
        recorded = calls.call()
        assert dict(get_attributes_from_context()).get(OPENINFERENCE_VERSION) is None
    assert {LANGFUSE_NAME, LANGFUSE_VERSION}.isdisjoint(recorded)


# Traceloop: OpenLLMetry


class AsTraceloop(SpanProcessor):
    """What `default_span_processor_on_start` of traceloop-sdk 0.62.4 does with prompts."""

    def on_start(self, span: Any, parent_context: Any = None) -> None:
        for key, attribute in {
            "managed_prompt": "traceloop.prompt.managed",
            "prompt_key": "traceloop.prompt.key",
            "prompt_version": "traceloop.prompt.version",
            "prompt_version_hash": "traceloop.prompt.version_hash",
        }.items():
            value = otel_context.get_value(key)
            if value is not None:
                span.set_attribute(attribute, str(value))


def test_traceloop_reads_its_keys(rendered: Rendered) -> None:
    """Its keys and what it does with them are pinned here, because the SDK is too large to install for a test."""
    calls = Calls(AsTraceloop())
    assert rendered.prompt is not None
    with rendered.trace_context():
        keys = ("managed_prompt", "prompt_key", "prompt_version", "prompt_version_hash")
        recorded = [otel_context.get_value(key) for key in keys]
        attributes = calls.call()
    assert recorded[:2] == [True, "greet"]
    assert recorded[3] == rendered.prompt.content_hash
    assert attributes == {
        "traceloop.prompt.managed": "True",
        "traceloop.prompt.key": "greet",
        "traceloop.prompt.version": "2",
        "traceloop.prompt.version_hash": rendered.prompt.content_hash,
    }
    assert calls.call() == {}


# Over the wire


class Collector(ThreadingHTTPServer):
    """An OTLP collector on the loopback interface, which decodes what it receives."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Collecting)
        self.requests: list[ExportTraceServiceRequest] = []

    @property
    def spans(self) -> dict[str, tuple[Any, dict[str, Any], Any]]:
        """Return the spans by name, each with its attributes and its scope."""
        return {
            span.name: (span, {item.key: _value(item.value) for item in span.attributes}, scope.scope)
            for request in self.requests
            for resource in request.resource_spans
            for scope in resource.scope_spans
            for span in scope.spans
        }


def _value(value: Any) -> Any:
    return getattr(value, value.WhichOneof("value"))


class Collecting(BaseHTTPRequestHandler):
    """Stores each request."""

    server: Collector

    def do_POST(self) -> None:
        """Decode the protobuf that is posted."""
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if self.headers.get("Content-Encoding") == "gzip":
            body = gzip.decompress(body)
        self.server.requests.append(ExportTraceServiceRequest.FromString(body))
        self.send_response(200)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *arguments: object) -> None:
        """Log nothing."""


@pytest.fixture
def collector() -> Iterator[Collector]:
    """A running collector."""
    with Collector() as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_a_collector_receives_the_render_and_the_model_call(registry: Registry, collector: Collector) -> None:
    """The OTLP exporter sends one trace, with the same prompt and version on both spans."""
    exporter = OTLPSpanExporter(endpoint=f"http://127.0.0.1:{collector.server_port}/v1/traces")
    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(PromptSpanProcessor())
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    with provided(provider), trace.get_tracer("app").start_as_current_span("request"):
        rendered = registry.render("greet", name="Ana")
        with rendered.trace_context(), trace.get_tracer("app").start_as_current_span("chat"):
            pass
        with pytest.raises(PromptregError) as caught:
            registry.render("greet")
    provider.shutdown()
    spans = collector.spans
    assert spans.keys() == {"request", "render_prompt greet", "chat"}
    chat, recorded, _ = spans["chat"]
    assert recorded == dict(rendered.trace_attributes())
    failed, attributes, scope = spans["render_prompt greet"]
    assert (scope.name, failed.kind, failed.status.code) == ("promptreg", 1, 2)
    assert attributes["promptreg.request_id"] == caught.value.request_id
    assert chat.trace_id == failed.trace_id == spans["request"][0].trace_id
    assert chat.parent_span_id == failed.parent_span_id == spans["request"][0].span_id
    sent = b"".join(request.SerializeToString() for request in collector.requests)
    assert b"Ana" not in sent
