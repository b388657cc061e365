"""Spans: one for every verb, with names and numbers in it and never a text."""

import json
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from promptreg import Actor, PromptregError, Registry

Call = Callable[[Registry], object]


@pytest.fixture(scope="module")
def exporter() -> InMemorySpanExporter:
    """The SDK's in-memory exporter, behind the one provider that a process may set."""
    exporter = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    trace.set_tracer_provider(provider)
    return exporter


@pytest.fixture
def spans(exporter: InMemorySpanExporter, registry: Registry) -> Iterator[Callable[[], list[ReadableSpan]]]:
    """Give the spans finished since the last look; the registry holds a prompt with a draft 2."""
    registry.create("greet", "Hello {{ name }}", tags=["t"])
    registry.update("greet", template="Hi {{ name }}", is_production=False)
    registry.create("other", "Other")
    registry.set_label("greet", "staging", 2)
    exporter.clear()

    def finished() -> list[ReadableSpan]:
        found = list(exporter.get_finished_spans())
        exporter.clear()
        return found

    yield finished
    exporter.clear()


VERBS: list[tuple[str, Call]] = [
    ("create_prompt new", lambda r: r.create("new", "…")),
    ("save_prompt greet", lambda r: r.save("greet", "Hello {{ name }}")),
    ("get_prompt greet", lambda r: r.get("greet")),
    ("render_prompt greet", lambda r: r.render("greet", name="Ana")),
    ("update_prompt greet", lambda r: r.update("greet", title="Greeting")),
    ("publish_prompt greet", lambda r: r.publish("greet@staging")),
    ("rollback_prompt other", lambda r: r.update("other", template="x") and r.rollback("other", reason="y")),
    ("set_status_prompt greet", lambda r: r.set_status("greet", "disabled")),
    ("set_status_prompt", lambda r: r.set_status(["greet", "other"], "disabled")),
    ("archive_prompt greet", lambda r: r.archive("greet")),
    ("restore_prompt greet", lambda r: r.restore("greet")),
    ("discard_prompt greet", lambda r: r.remove_label("greet", "staging") and r.discard("greet", 2)),
    ("set_label_prompt greet", lambda r: r.set_label("greet", "x", 1)),
    ("remove_label_prompt greet", lambda r: r.remove_label("greet", "staging")),
    ("history_prompt greet", lambda r: r.history("greet")),
    ("diff_prompt greet", lambda r: r.diff("greet", 1, 2)),
    ("list_prompts", lambda r: r.list()),
    ("search_prompts", lambda r: r.search("hello")),
    ("events_prompt greet", lambda r: r.events("greet")),
    ("events_prompt", lambda r: r.events()),
    ("list_namespaces", lambda r: r.namespaces()),
]


@pytest.mark.parametrize(("name", "call"), [pytest.param(*verb, id=verb[0]) for verb in VERBS])
def test_every_verb_runs_in_one_internal_span(registry: Registry, spans: Any, name: str, call: Call) -> None:
    """Named by the verb and the prompt; a verb that calls another has no second span."""
    call(registry)
    span = spans()[-1]
    assert span.name == name
    assert span.kind is SpanKind.INTERNAL
    assert span.attributes["promptreg.namespace"] == "default"
    assert span.status.status_code is StatusCode.UNSET
    assert span.instrumentation_scope.name == "promptreg"


def test_a_verb_is_one_span(registry: Registry, spans: Any) -> None:
    """`archive` goes the way of `set_status`, `save` that of `update`; each tells itself alone."""
    registry.archive("greet")
    registry.save("other", "Changed")
    assert [span.name for span in spans()] == ["archive_prompt greet", "save_prompt other"]


def test_a_render_tells_prompt_version_status_label_and_cache(registry: Registry, spans: Any) -> None:
    """The attributes of the GenAI conventions, and ours; the second read is a hit."""
    for _ in range(2):
        registry.render("greet@staging", name="Ana")
    first, second = spans()
    assert dict(first.attributes) == {
        "gen_ai.prompt.name": "greet",
        "gen_ai.prompt.version": "2",
        "promptreg.namespace": "default",
        "promptreg.status": "active",
        "promptreg.label": "staging",
        "promptreg.cache": "miss",
        "promptreg.state": "draft",
        "promptreg.kind": "text",
        "promptreg.production": False,
        "promptreg.content_hash": registry.get("greet@2").content_hash,
    }
    assert dict(second.attributes) == {**first.attributes, "promptreg.cache": "hit"}


def test_an_id_is_told_by_its_name(registry: Registry, spans: Any) -> None:
    """The attribute holds the prompt's name whatever it was asked by."""
    registry.get(registry.get("greet").id)
    assert spans()[-1].attributes["gen_ai.prompt.name"] == "greet"


FAILURES: list[tuple[str, Call, str, str]] = [
    ("get_prompt absent", lambda r: r.get("absent"), "NotFoundError", "not_found"),
    ("render_prompt greet", lambda r: r.render("greet"), "MissingVariablesError", "missing_variables"),
    ("get_prompt", lambda r: r.get("No Name!\n"), "InvalidInputError", "validation_error"),
    ("get_prompt", lambda r: r.get(7), "InvalidInputError", "validation_error"),  # type: ignore[call-overload]
    (
        "update_prompt greet",
        lambda r: r.update("greet@1", template="x"),
        "NotModifiableError",
        "version_not_modifiable",
    ),
]


@pytest.mark.parametrize(("name", "call", "kind", "code"), FAILURES)
def test_a_failure_is_told_by_type_and_code(
    registry: Registry, spans: Any, name: str, call: Call, kind: str, code: str
) -> None:
    """Status ERROR, `error.type` and our code; no description, and no exception event, for both hold texts."""
    with pytest.raises(PromptregError):
        call(registry)
    span = spans()[-1]
    assert span.name == name
    assert span.status.status_code is StatusCode.ERROR
    assert span.status.description is None
    assert span.attributes["error.type"] == kind
    assert span.attributes["promptreg.error.code"] == code
    assert span.events == ()


def test_a_wrong_signature_ends_its_span(registry: Registry, spans: Any) -> None:
    """TypeError is told too, without a code of ours."""
    with pytest.raises(TypeError):
        registry.update("greet", colour="red")  # type: ignore[call-arg]
    span = spans()[-1]
    assert (span.attributes["error.type"], "promptreg.error.code" in span.attributes) == ("TypeError", False)


def test_no_text_reaches_a_span(registry: Registry, spans: Any) -> None:
    """A canary in every template, variable, message and metadata field is in no span, on success or failure."""
    canary = "canary-7f3a"
    ana = registry.scope(actor=Actor("ana", "team_admin"))
    ana.create(
        "watched",
        [{"role": "system", "content": canary}, {"placeholder": "history"}, {"role": "user", "content": "{{ q }}"}],
        title=canary,
        description=canary,
        category=canary,
        tags=[canary],
        config={canary: canary},
        meta={canary: canary},
        commit_message=canary,
        variables=[{"name": "q", "type": "string", "description": canary, "enum": [canary, "x"]}],
    )
    history = [{"role": canary, "content": canary}]
    ana.render("watched", history=history, q=canary)
    ana.update("watched", title=canary + "!", commit_message=canary)
    ana.rollback("watched", reason=canary)
    ana.search(canary)
    ana.diff("watched", 1, 2)
    for call in (
        lambda: ana.render("watched", history=canary, q=canary),
        lambda: ana.render("watched", history=history, q=canary + "?"),
        lambda: ana.render("watched", {canary: canary}),
        lambda: ana.create("broken", "{{ " + canary),
        lambda: ana.create("watched-2", "{{ 1 / 0 }}" + canary, examples=[{}]),
        lambda: ana.get(canary.upper() + " !"),
    ):
        with pytest.raises(PromptregError):
            call()
    told = json.dumps([json.loads(span.to_json()) for span in spans()]).lower()
    assert canary not in told
    assert "watched" in told
