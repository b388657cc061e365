"""Helpers of the tests of telemetry: a temporary tracer provider, a function in a new process, a call of each verb.

OpenTelemetry accepts one provider in a process, so `tracing` replaces the API's global variable and resets it, and
other tests see no provider. What needs a meter provider runs `alone`, in a process that sets it as applications do.
"""

import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from typing import Any

from opentelemetry import context, metrics, trace
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import HistogramDataPoint, InMemoryMetricReader
from opentelemetry.sdk.trace import ReadableSpan, SpanProcessor, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import NonRecordingSpan, SpanContext, TraceFlags
from opentelemetry.util._once import Once

from promptreg import Actor, Page, Prompt, PromptregError, Registry, Rendered, Version
from tests.remote import PATIENCE_SECONDS, SERVER
from tests.verbs import backed_up

Call = Callable[[Registry], object]


class Finished:
    """The spans that have ended since the last call."""

    def __init__(self) -> None:
        self.exporter = InMemorySpanExporter()

    def __call__(self) -> list[ReadableSpan]:
        """Return them, and clear the exporter."""
        found = list(self.exporter.get_finished_spans())
        self.exporter.clear()
        return found


@contextmanager
def unprovided() -> Iterator[None]:
    """Allow a tracer provider to be set, as in a new process, for this block only, by private names of the API."""
    before = trace._TRACER_PROVIDER, trace._TRACER_PROVIDER_SET_ONCE
    trace._TRACER_PROVIDER, trace._TRACER_PROVIDER_SET_ONCE = None, Once()
    try:
        yield
    finally:
        trace._TRACER_PROVIDER, trace._TRACER_PROVIDER_SET_ONCE = before


@contextmanager
def provided(provider: Any) -> Iterator[None]:
    """Install a tracer provider of any kind, for this block only."""
    with unprovided():
        trace.set_tracer_provider(provider)
        token = context.attach(context.Context())
        try:
            yield
        finally:
            context.detach(token)


@contextmanager
def tracing(*processors: SpanProcessor) -> Iterator[Finished]:
    """Record spans in memory with the SDK, for this block only; these processors come before the exporter."""
    finished = Finished()
    provider = TracerProvider(shutdown_on_exit=False)
    for processor in (*processors, SimpleSpanProcessor(finished.exporter)):
        provider.add_span_processor(processor)
    with provided(provider):
        yield finished


def parent(*, sampled: bool) -> NonRecordingSpan:
    """Return a span of another service, for `trace.use_span`."""
    flags = TraceFlags(TraceFlags.SAMPLED if sampled else TraceFlags.DEFAULT)
    return NonRecordingSpan(SpanContext(trace_id=0x1234, span_id=0x5678, is_remote=True, trace_flags=flags))


class Metered:
    """A meter provider as an application sets it, once, with a reader in memory."""

    def __init__(self) -> None:
        self._reader = InMemoryMetricReader()
        metrics.set_meter_provider(MeterProvider(metric_readers=[self._reader], shutdown_on_exit=False))

    def __call__(self) -> dict[str, dict[str, Any]]:
        """Return each metric by name: its unit, kind, scope and points."""
        data = self._reader.get_metrics_data()
        scopes = [scope for resource in data.resource_metrics for scope in resource.scope_metrics] if data else []
        return {
            metric.name: {
                "unit": metric.unit,
                "kind": type(metric.data).__name__,
                "scope": scope.scope.name,
                "points": [_point(point) for point in metric.data.data_points],
            }
            for scope in scopes
            for metric in scope.metrics
        }


def _point(point: Any) -> dict[str, Any]:
    attributes = dict(point.attributes or {})
    if isinstance(point, HistogramDataPoint):
        return {"attributes": attributes, "count": point.count, "sum": point.sum, "bounds": list(point.explicit_bounds)}
    return {"attributes": attributes, "value": point.value}


def alone(program: Callable[..., Any], *arguments: Any) -> Any:
    """Run a function of a module in a new process, and return its result."""
    ours, theirs = SERVER.Pipe()
    process = SERVER.Process(target=_answer, args=(theirs, program, arguments))
    process.start()
    theirs.close()
    try:
        assert ours.poll(PATIENCE_SECONDS), f"no answer within {PATIENCE_SECONDS} s"
        failure, value = ours.recv()
        process.join(PATIENCE_SECONDS)
        assert process.exitcode == 0, f"it ended with {process.exitcode}"
    finally:
        process.kill()
        process.join()
        ours.close()
    assert failure is None, failure
    return value


def _answer(connection: Connection, program: Callable[..., Any], arguments: tuple[Any, ...]) -> None:
    try:
        connection.send((None, program(*arguments)))
    except BaseException:
        connection.send((traceback.format_exc(), None))


# Every verb, with the name of its span; each is called on a registry that `prepare` has prepared.


def prepare(registry: Registry) -> None:
    """Create greet, with a draft 2 labelled staging; twice, with two versions that were live; and other."""
    registry.create("greet", "Hello {{ name }}", tags=["t"])
    registry.update("greet", template="Hi {{ name }}", is_production=False)
    registry.set_label("greet", "staging", 2)
    registry.create("twice", "One {{ name }}")
    registry.update("twice", template="Two {{ name }}")
    registry.create("other", "Other")
    registry.create("chat", [{"role": "system", "content": "Be kind"}, {"role": "user", "content": "{{ name }}"}])
    registry.create("off", "Off")
    registry.set_status("off", "disabled")
    registry.create("old", "Old")
    registry.archive("old")
    registry.create("draft", "Draft", is_production=False)


VERBS: list[tuple[str, Call]] = [
    ("create_prompt new", lambda r: r.create("new", "…")),
    ("save_prompt greet", lambda r: r.save("greet", "Salut {{ name }}")),
    ("seed_prompt greet", lambda r: r.seed("greet", "Salut {{ name }}", on_conflict="publish")),
    ("get_prompt twice", lambda r: r.get("twice")),
    ("get_many_prompts", lambda r: r.get_many(["greet", "twice@1"])),
    ("render_prompt greet", lambda r: r.render("greet", name="Ana")),
    ("render_prompt chat", lambda r: r.render("chat", name="Ana")),
    ("update_prompt greet", lambda r: r.update("greet", title="Greeting")),
    ("publish_prompt greet", lambda r: r.publish("greet@staging")),
    ("publish_prompt draft", lambda r: r.publish("draft", expected_production=0)),
    ("rollback_prompt twice", lambda r: r.rollback("twice", reason="y", expected_production=2)),
    ("publish_prompt", lambda r: r.publish(["twice@1", "other"])),
    ("rollback_prompt", lambda r: r.rollback(["twice@1"], reason="y")),
    ("check_prompt greet", lambda r: r.check("greet", 1)),
    ("disable_prompt greet", lambda r: r.disable("greet")),
    ("enable_prompt off", lambda r: r.enable("off")),
    ("delete_prompt off", lambda r: r.delete("off")),
    ("set_status_prompt greet", lambda r: r.set_status("greet", "disabled")),
    ("set_status_prompt", lambda r: r.set_status(["greet", "other"], "disabled")),
    ("archive_prompt greet", lambda r: r.archive("greet")),
    ("restore_prompt old", lambda r: r.restore("old")),
    ("discard_prompt draft", lambda r: r.update("draft", title="x", is_production=False) and r.discard("draft", 1)),
    ("set_label_prompt greet", lambda r: r.set_label("greet", "x", 1)),
    ("set_label_prompt greet", lambda r: r.set_label("greet@1", "y")),
    ("remove_label_prompt greet", lambda r: r.remove_label("greet", "staging")),
    ("history_prompt greet", lambda r: r.history("greet")),
    ("diff_prompt greet", lambda r: r.diff("greet", 1, 2)),
    ("list_prompts", lambda r: r.list()),
    ("iterate_prompts", lambda r: r.iterate(tag="t")),
    ("search_prompts", lambda r: r.search("hello")),
    ("events_prompt greet", lambda r: r.events("greet")),
    ("events_prompt", lambda r: r.events()),
    ("list_namespaces", lambda r: r.namespaces()),
    ("verify_prompts", lambda r: r.verify()),
    ("read_head", lambda r: len(r.head())),
    ("backup_registry", backed_up),
    ("wait_for_revision", lambda r: r.wait_for(1)),
    ("report_prompts", lambda r: len(r.report(["greet", "old"]))),
]

REFUSALS: list[tuple[str, Call, str]] = [
    ("get_prompt absent", lambda r: r.get("absent"), "not_found"),
    ("get_prompt greet", lambda r: r.get("greet@9"), "version_not_found"),
    ("get_prompt draft", lambda r: r.get("draft"), "no_production_version"),
    ("get_prompt", lambda r: r.get("No Name!\n"), "validation_error"),
    ("get_prompt", lambda r: r.get(7), "validation_error"),  # type: ignore[call-overload]
    ("get_many_prompts", lambda r: r.get_many(["greet", "absent"]), "not_found"),
    ("get_many_prompts", lambda r: r.get_many(["greet@9"]), "version_not_found"),
    ("get_many_prompts", lambda r: r.get_many(["draft"]), "no_production_version"),
    ("render_prompt absent", lambda r: r.render("absent"), "not_found"),
    ("render_prompt greet", lambda r: r.render("greet"), "missing_variables"),
    ("render_prompt off", lambda r: r.render("off"), "prompt_disabled"),
    ("render_prompt absent", lambda r: r.render("absent", default="{{ 1 / 0 }}"), "render_error"),
    ("create_prompt greet", lambda r: r.create("greet", "…"), "name_taken"),
    ("create_prompt new", lambda r: r.create("new", "{{"), "template_syntax_error"),
    ("create_prompt new", lambda r: r.create("new", "{% include 'x' %}"), "template_policy"),
    ("create_prompt new", lambda r: r.create("new", "{{ x }}", examples=[{}]), "publish_check_failed"),
    ("save_prompt greet", lambda r: r.save("greet", 7), "validation_error"),  # type: ignore[arg-type]
    ("seed_prompt greet", lambda r: r.seed("greet", "…", on_conflict="error"), "conflict"),
    ("seed_prompt new", lambda r: r.seed("new", "{{"), "template_syntax_error"),
    ("update_prompt greet", lambda r: r.update("greet@1", template="x"), "version_not_modifiable"),
    ("update_prompt greet", lambda r: r.update("greet", title="x", expected_version=9), "version_conflict"),
    ("update_prompt old", lambda r: r.update("old", title="x"), "prompt_archived"),
    ("publish_prompt greet", lambda r: r.publish("greet", 9), "version_not_found"),
    ("update_prompt greet", lambda r: r.update("greet", title="x", expected_hash="0" * 64), "version_conflict"),
    ("publish_prompt draft", lambda r: r.publish("draft", expected_hash="0" * 64), "version_conflict"),
    ("discard_prompt twice", lambda r: r.discard("twice"), "conflict"),
    ("rollback_prompt greet", lambda r: r.rollback("greet", reason="x"), "conflict"),
    ("rollback_prompt twice", lambda r: r.rollback("twice", reason="x", expected_production=9), "version_conflict"),
    ("publish_prompt", lambda r: r.publish(["absent", "greet"]), "not_found"),
    ("publish_prompt", lambda r: r.publish(["greet@1", "greet@2"]), "validation_error"),
    ("rollback_prompt", lambda r: r.rollback(["twice", "greet"], reason="x"), "conflict"),
    ("check_prompt greet", lambda r: r.check("greet", 9), "version_not_found"),
    ("enable_prompt absent", lambda r: r.enable("absent"), "not_found"),
    ("disable_prompt old", lambda r: r.disable("old"), "prompt_archived"),
    ("delete_prompt old", lambda r: r.delete("old"), "prompt_archived"),
    ("set_status_prompt absent", lambda r: r.set_status("absent", "active"), "not_found"),
    ("archive_prompt absent", lambda r: r.archive("absent"), "not_found"),
    ("restore_prompt absent", lambda r: r.restore("absent"), "not_found"),
    ("discard_prompt greet", lambda r: r.discard("greet", 1), "version_not_modifiable"),
    ("set_label_prompt greet", lambda r: r.set_label("greet", "latest", 1), "validation_error"),
    ("remove_label_prompt greet", lambda r: r.remove_label("greet", "nope"), "version_not_found"),
    ("history_prompt absent", lambda r: r.history("absent"), "not_found"),
    ("diff_prompt greet", lambda r: r.diff("greet", 1, 9), "version_not_found"),
    ("list_prompts", lambda r: r.list(limit=0), "validation_error"),
    ("iterate_prompts", lambda r: r.iterate(status="on"), "validation_error"),
    ("search_prompts", lambda r: r.search(" "), "validation_error"),
    ("events_prompt absent", lambda r: r.events("absent"), "not_found"),
    ("verify_prompts", lambda r: r.scope(actor=Actor("eve")).verify(), "forbidden"),
    ("verify_prompts", lambda r: r.verify(head="zanzibar"), "validation_error"),
    ("read_head", lambda r: r.scope(actor=Actor("eve")).head(), "forbidden"),
    ("backup_registry", lambda r: r.scope(actor=Actor("eve")).backup("backup.db"), "forbidden"),
    ("backup_registry", lambda r: r.backup("/"), "conflict"),
    ("wait_for_revision", lambda r: r.wait_for(-1), "validation_error"),
    ("report_prompts", lambda r: r.report("absent"), "not_found"),
    ("report_prompts", lambda r: r.report("greet@1"), "validation_error"),
]


def comparable(value: object) -> object:
    """Return a verb's result without the ids, and the hashes of them, which differ between registries."""
    match value:
        case Prompt():
            return value.name, value.version, value.state, value.status, str(value.template), dict(value.labels)
        case Version():
            return value.name, value.version, value.state, str(value.template)
        case Rendered():
            return value.name, value.version, value.text, value.messages
        case Page() | list() | Iterator():
            return [comparable(item) for item in value]
    return str(value) if isinstance(value, str) else getattr(value, "action", repr(value))


def call_all(registry: Registry) -> list[object]:
    """Call every refusal and every verb on a registry that `prepare` has prepared; return the results in order."""
    answers: list[object] = []
    for _, call, *_ in [*REFUSALS, *VERBS, *VERBS]:
        try:
            answers.append(comparable(call(registry)))
        except PromptregError as error:
            answers.append((type(error).__name__, error.code, error.message))
    return answers
