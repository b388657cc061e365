"""Spans: one for each verb, their attributes, when there is none, attributes on the current span, the demo's tree."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.trace import SpanKind, StatusCode

from promptreg import (
    Actor,
    InvalidInputError,
    MissingVariablesError,
    NotFoundError,
    Prompt,
    PromptregError,
    PublishCheckError,
    Registry,
)
from promptreg.telemetry import PromptSpanProcessor, names
from promptreg.telemetry.metrics import installed_version
from tests.otel import REFUSALS, VERBS, Call, Finished, call_all, parent, prepare, provided, tracing
from tests.test_replaced_file import move

NAMES = {
    "TRACER": "promptreg",
    "PROMPT_NAME": "gen_ai.prompt.name",
    "PROMPT_VERSION": "gen_ai.prompt.version",
    "NAMESPACE": "promptreg.namespace",
    "STATUS": "promptreg.status",
    "STATE": "promptreg.state",
    "KIND": "promptreg.kind",
    "LABEL": "promptreg.label",
    "PRODUCTION": "promptreg.production",
    "CACHE": "promptreg.cache",
    "CONTENT_HASH": "promptreg.content_hash",
    "CHANGED": "promptreg.changed",
    "COUNT": "promptreg.count",
    "ERROR_TYPE": "error.type",
    "ERROR_CODE": "promptreg.error.code",
    "REQUEST_ID": "promptreg.request_id",
    "CONTENT_TEMPLATE": "promptreg.content.template",
    "CONTENT_TEXT": "promptreg.content.text",
    "CONTENT_VARIABLES": "promptreg.content.variables",
    "RENDER_DURATION": "promptreg.render.duration",
    "CACHE_REQUESTS": "promptreg.cache.requests",
    "ERRORS": "promptreg.errors",
    "STORAGE_DURATION": "promptreg.storage.duration",
    "RELOADS": "promptreg.freshness.reloads",
    "OPERATION": "promptreg.operation",
    "CAPTURE_CONTENT": "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT",
}
STAGING = {  # the attributes of a render of the draft greet@staging, except the cache and the hash
    "gen_ai.prompt.name": "greet",
    "gen_ai.prompt.version": "2",
    "promptreg.namespace": "default",
    "promptreg.status": "active",
    "promptreg.state": "draft",
    "promptreg.kind": "text",
    "promptreg.label": "staging",
    "promptreg.production": False,
}
VALUES = {"hit", "fresh", "miss", "stale", "read", "write"}
OPERATIONS = {name.split()[0] for name, _ in VERBS}
KEYS_OF_OTHERS = {
    "llm.prompt_template.version",
    "metadata",
    "langfuse.propagated.prompt_name",
    "langfuse.propagated.prompt_version",
    "managed_prompt",
    "prompt_key",
    "prompt_version",
    "prompt_version_hash",
}
SCHEMAS = "https://opentelemetry.io/schemas/"


@pytest.fixture
def spans() -> Iterator[Finished]:
    """The spans that have ended since the last call, recorded by the SDK."""
    with tracing() as finished:
        yield finished


@pytest.fixture
def prepared(spans: Finished, patient: None) -> Iterator[Registry]:
    """A registry whose prompts are not in the cache yet, and are then until they change."""
    with Registry(":memory:") as registry:
        prepare(registry)
        spans()
        yield registry


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Make registries that open now read the file only where the sidecar shows a change."""
    monkeypatch.setattr("promptreg.storage.sqlite.storage.CHECK_SECONDS", 3600)


def only(spans: Finished) -> ReadableSpan:
    """Return the one span that has ended."""
    (span,) = spans()
    return span


# Names


def test_every_name_is_pinned() -> None:
    """No name of an attribute or metric changes unnoticed, because dashboards depend on them."""
    assert {name: getattr(names, name, None) for name in NAMES} == NAMES


def test_no_name_is_unpinned() -> None:
    """The other constants of the module are operations, values, keys that other libraries read, or the schema."""
    rest = [value for name, value in vars(names).items() if name.isupper() and name not in NAMES]
    flat: list[object] = []
    for value in rest:
        within = value.values() if isinstance(value, dict) else value
        flat += [within] if isinstance(within, str) else list(within)  # type: ignore[call-overload]
    texts = {text for text in flat if isinstance(text, str) and not text.startswith(SCHEMAS)}
    assert texts - OPERATIONS - VALUES - KEYS_OF_OTHERS - set(NAMES.values()) == set()


def test_every_attribute_of_every_verb_is_pinned(prepared: Registry, spans: Finished) -> None:
    """The attributes of every verb and every refusal are as listed, and none makes a backend count a model call."""
    call_all(prepared)
    recorded = {key for span in spans() for key in span.attributes}
    assert recorded <= set(NAMES.values())
    assert {key for key in recorded if not key.startswith("promptreg.")} == {
        "gen_ai.prompt.name",
        "gen_ai.prompt.version",
        "error.type",
    }


# Spans of verbs


@pytest.mark.parametrize(("name", "call"), [pytest.param(*verb, id=verb[0]) for verb in VERBS])
def test_every_verb_runs_in_one_internal_span(prepared: Registry, spans: Finished, name: str, call: Call) -> None:
    """The span is named by the verb and the prompt, and its tracer has promptreg's name, version and schema."""
    call(prepared)
    span = spans()[-1]
    assert span.name == name
    assert span.kind is SpanKind.INTERNAL
    assert span.attributes["promptreg.namespace"] == "default"
    assert span.attributes.get("gen_ai.prompt.name") == (name.split()[1] if " " in name else None)
    assert span.status.status_code is StatusCode.UNSET
    scope = span.instrumentation_scope
    assert (scope.name, scope.version) == ("promptreg", version("promptreg-embedded"))
    assert scope.schema_url.startswith(SCHEMAS)


def test_a_verb_is_one_span(prepared: Registry, spans: Finished) -> None:
    """`archive` calls `set_status` internally, and `save` calls `update`, but each records one span, with its name."""
    prepared.archive("greet")
    prepared.save("other", "Changed")
    prepared.save("new", "New")
    assert [span.name for span in spans()] == ["archive_prompt greet", "save_prompt other", "save_prompt new"]


def test_a_set_is_one_span_without_a_name(path: str, spans: Finished) -> None:
    """It says how many prompts there were and whether anything was changed; a refused one has its code."""

    def check(prompt: Prompt) -> None:
        if "Bad" in prompt.template:
            raise ValueError("bad")

    with Registry(path, publish_checks=[check]) as registry:
        for name, template in (("a", "One"), ("b", "Two"), ("bad", "Bad"), ("worse", "Bad")):
            registry.create(name, template, is_production=False)
        spans()
        registry.publish(["a", "b"])
        registry.publish(["a", "b"])
        with pytest.raises(PublishCheckError):
            registry.publish(["bad", "worse"])
        recorded = spans()
    assert [span.name for span in recorded] == ["publish_prompt"] * 3
    shown = [{key: span.attributes.get(f"promptreg.{key}") for key in ("count", "changed")} for span in recorded]
    assert shown == [{"count": 2, "changed": True}, {"count": 2, "changed": False}, {"count": None, "changed": True}]
    assert recorded[2].attributes["promptreg.error.code"] == "publish_check_failed"
    assert [key for span in recorded for key in span.attributes if key.startswith("gen_ai.")] == []


def test_a_verb_is_a_child_of_the_current_span(prepared: Registry, spans: Finished) -> None:
    """The caller's span is the parent of a verb's span, and is current again afterwards."""
    with trace.get_tracer("app").start_as_current_span("request") as request:
        for _, call, _ in REFUSALS:
            with pytest.raises(PromptregError):
                call(prepared)
            assert trace.get_current_span() is request
        for _, call in VERBS:
            with suppress(PromptregError):  # after an earlier verb of the list
                call(prepared)
            assert trace.get_current_span() is request
    *verbs, _ = spans()
    assert len(verbs) >= len(VERBS) + len(REFUSALS)
    assert {span.parent.span_id for span in verbs} == {request.get_span_context().span_id}


def test_a_span_started_within_a_verb_is_its_child(path: str, spans: Finished) -> None:
    """A span that a publish check starts is a child of the verb's, and the caller's span is current afterwards."""

    def check(prompt: Prompt) -> None:
        with trace.get_tracer("app").start_as_current_span("check"):
            pass

    request = trace.get_tracer("app").start_as_current_span("request")
    with Registry(path, publish_checks=[check]) as registry, request as current:
        registry.create("greet", "Hello")
        assert trace.get_current_span() is current
    within, verb, outer = spans()
    assert [span.name for span in (within, verb, outer)] == ["check", "create_prompt greet", "request"]
    assert (within.parent, verb.parent) == (verb.context, outer.context)


def test_a_remote_sampled_parent_is_followed(prepared: Registry, spans: Finished) -> None:
    """The trace of the caller's service continues here."""
    with trace.use_span(parent(sampled=True)):
        prepared.render("greet", name="Ana")
    span = only(spans)
    assert (span.context.trace_id, span.parent.span_id) == (0x1234, 0x5678)


def test_the_namespace_is_the_views(registry: Registry, spans: Finished) -> None:
    """The namespace attribute is that of the view, and not that of its registry."""
    team = registry.scope(namespace="support", actor=Actor("ana", "team_admin"))
    team.create("reply", "Dear {{ who }}")
    team.render("reply", who="Ana")
    assert [span.attributes["promptreg.namespace"] for span in spans()] == ["support", "support"]


# Attributes


@pytest.mark.usefixtures("patient")
def test_a_render_has_the_attributes_of_its_prompt(path: str, spans: Finished) -> None:
    """The span has the attributes of the version, the label of the request, and whether the cache had the prompt."""
    with Registry(path) as registry:
        prepare(registry)
        spans()
        prompt = registry.render("greet@staging", name="Ana").prompt
        first = only(spans)
        registry.render("greet@staging", name="Ana")
        second = only(spans)
    assert dict(first.attributes) == {
        **STAGING,
        "promptreg.cache": "miss",
        "promptreg.content_hash": prompt.content_hash,
    }
    assert dict(second.attributes) == {**first.attributes, "promptreg.cache": "hit"}


@pytest.mark.parametrize("name", ["greet", "chat", "old"])
def test_a_render_of_the_production_version_has_production_true(prepared: Registry, spans: Finished, name: str) -> None:
    """A render of text or chat, archived too, has it, and without a label in the request no label attribute."""
    prompt = prepared.render(name, name="Ana").prompt
    recorded = only(spans).attributes
    assert recorded["gen_ai.prompt.version"] == str(prompt.version)
    assert (
        recorded["promptreg.status"],
        recorded["promptreg.state"],
        recorded["promptreg.kind"],
        recorded["promptreg.production"],
    ) == (
        prompt.status,
        "published",
        prompt.kind,
        True,
    )
    assert "promptreg.label" not in recorded


@pytest.mark.parametrize(
    ("call", "label"),
    [
        (lambda r: r.render("greet", label="staging", name="Ana"), "staging"),
        (lambda r: r.render("greet@latest", name="Ana"), "latest"),
        (lambda r: r.render("greet", version="staging", name="Ana"), "staging"),
        (lambda r: r.render("greet@2", name="Ana"), None),
        (lambda r: r.render("greet", version=2, name="Ana"), None),
    ],
)
def test_a_label_is_recorded_however_it_is_passed(
    prepared: Registry, spans: Finished, call: Call, label: str | None
) -> None:
    """A label is recorded if passed by `@`, `label=` or `version=`; a number is not recorded as a label."""
    call(prepared)
    recorded = only(spans).attributes
    assert (recorded["gen_ai.prompt.version"], recorded.get("promptreg.label")) == ("2", label)


@pytest.mark.usefixtures("patient")
def test_the_cache_is_hit_fresh_or_missed(path: str, spans: Finished) -> None:
    """The state is `hit` without a read of the file, `fresh` after a check without changes, `miss` otherwise."""
    with Registry(path) as registry, Registry(path) as elsewhere:
        registry.create("greet", "Hello")
        spans()
        for _ in range(2):
            registry.render("greet")
        elsewhere.create("other", "Other")
        registry.render("greet")
        elsewhere.update("greet", template="Hi")
        registry.render("greet")
        recorded = [span.attributes["promptreg.cache"] for span in spans() if span.name == "render_prompt greet"]
    assert recorded == ["miss", "hit", "fresh", "miss"]


WAYS: list[Call] = [
    lambda r: r.render("greet", name="Ana"),
    lambda r: r.render("chat", name="Ana"),
    lambda r: r.render("greet@staging", name="Ana"),
    lambda r: r.render("greet", label="staging", name="Ana"),
    lambda r: r.render("greet", {"name": "Ana"}, version=2),
    lambda r: r.scope(actor=Actor("ana", "team_member")).render("greet", name="Ana"),
    lambda r: r.scope(namespace="support").render("reply", who="Ana"),
]


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("call", WAYS)
def test_a_hit_has_the_attributes_of_a_miss_whatever_the_selector(path: str, spans: Finished, call: Call) -> None:
    """It holds for names, labels and numbers, in views or not; an unsampled caller gets the same result, no span."""
    with Registry(path) as registry:
        prepare(registry)
        registry.scope(namespace="support").create("reply", "Dear {{ who }}")
        spans()
        answers = [call(registry) for _ in range(3)]
        miss, *hits = spans()
        with trace.use_span(parent(sampled=False)):
            answers.append(call(registry))
    assert answers == [answers[0]] * 4
    assert [(span.name, span.status.status_code) for span in hits] == [(miss.name, StatusCode.UNSET)] * 2
    assert miss.attributes["promptreg.cache"] == "miss"
    for hit in hits:
        assert dict(hit.attributes) == {**miss.attributes, "promptreg.cache": "hit"}
        assert miss.end_time <= hit.start_time < hit.end_time
    assert spans() == []


def test_a_failed_render_has_the_same_attributes_from_the_file_and_from_memory(path: str, spans: Finished) -> None:
    """A failed render has all attributes of the prompt, whether it was in the cache or not."""
    with Registry(path) as registry:
        registry.create("twice", "Two {{ name }}")
        spans()
        for _ in range(2):
            with pytest.raises(MissingVariablesError):
                registry.render("twice")
    miss, hit = (dict(span.attributes) for span in spans())
    of_one_call = {"promptreg.cache", "promptreg.request_id"}
    assert {key: miss[key] for key in miss.keys() - of_one_call} == {key: hit[key] for key in hit.keys() - of_one_call}
    assert hit["promptreg.kind"] == "text"


def test_without_an_installed_distribution_the_tracer_has_no_version(monkeypatch: pytest.MonkeyPatch) -> None:
    """A vendored or frozen copy records spans too."""

    def absent(name: str) -> str:
        raise PackageNotFoundError(name)

    monkeypatch.setattr("importlib.metadata.version", absent)
    installed_version.cache_clear()
    assert installed_version() == ""
    installed_version.cache_clear()


def test_a_refusal_of_a_cached_prompt_is_recorded(prepared: Registry, spans: Finished) -> None:
    """An actor that may not read a cached prompt gets `not_found`, and the span records it."""
    team = prepared.scope(actor=Actor("ana", "team_member"))
    for _ in range(2):
        team.render("twice", name="Ana")
    spans()
    with pytest.raises(NotFoundError):
        prepared.scope(actor=Actor("eve")).render("twice", name="Eve")
    with pytest.raises(MissingVariablesError):
        team.render("twice")
    refused, failed = spans()
    assert (refused.attributes["promptreg.error.code"], refused.name) == ("not_found", "render_prompt twice")
    assert "gen_ai.prompt.version" not in refused.attributes
    assert (failed.attributes["promptreg.error.code"], failed.status.status_code) == (
        "missing_variables",
        StatusCode.ERROR,
    )
    assert failed.attributes["gen_ai.prompt.version"] == "2"


def test_a_render_from_a_removed_file_is_stale(path: str, spans: Finished, monkeypatch: pytest.MonkeyPatch) -> None:
    """Cached prompts can still be rendered, and the span's cache attribute is `stale`."""
    monkeypatch.setattr("promptreg.storage.sqlite.storage.CHECK_SECONDS", 0.0)
    with Registry(path, busy_timeout=1) as registry:
        registry.create("greet", "Hello")
        registry.render("greet")
        spans()
        move(path, path + ".away", alone=False)
        assert registry.render("greet").prompt.stale
        assert only(spans).attributes["promptreg.cache"] == "stale"
        move(path + ".away", path, alone=False)


def test_a_get_records_a_span_only_on_a_cache_miss(prepared: Registry, spans: Finished) -> None:
    """A `get` from the cache has no span, because it takes a fraction of a microsecond and a span takes many."""
    for name in ("greet", "greet", "greet@2", "greet@2"):
        prepared.get(name)
    recorded = [
        (span.name, span.attributes["gen_ai.prompt.version"], span.attributes["promptreg.cache"]) for span in spans()
    ]
    assert recorded == [("get_prompt greet", "1", "miss"), ("get_prompt greet", "2", "miss")]


def test_a_prompt_selected_by_id_is_recorded_by_name(prepared: Registry, spans: Finished) -> None:
    """The attribute has the prompt's name, even if the call passed its id."""
    prompt = prepared.get("greet")
    spans()
    prepared.render(prompt.id, name="Ana")
    assert only(spans).attributes["gen_ai.prompt.name"] == "greet"


CHANGES: list[tuple[Call, bool]] = [
    (lambda r: r.create("new", "…"), True),
    (lambda r: r.save("new", "…"), True),
    (lambda r: r.save("greet", "Hello {{ name }}"), False),
    (lambda r: r.save("greet", "Other"), True),
    (lambda r: r.update("greet", template="Hello {{ name }}"), False),
    (lambda r: r.update("greet", template="Other"), True),
    (lambda r: r.update("greet@2", template="Hi {{ name }}"), False),
    (lambda r: r.update("greet@2", template="Other"), True),
    (lambda r: r.publish("greet", 1), False),
    (lambda r: r.publish("greet", 2), True),
    (lambda r: r.rollback("twice", reason="x"), True),
    (lambda r: r.set_status("off", "disabled"), False),
    (lambda r: r.set_status("off", "active", dry_run=True), False),
    (lambda r: r.set_status("off", "active"), True),
    (lambda r: r.archive("old"), False),
    (lambda r: r.archive("greet"), True),
    (lambda r: r.restore("greet"), False),
    (lambda r: r.restore("old"), True),
    (lambda r: r.set_label("greet", "staging", 2), False),
    (lambda r: r.set_label("greet", "staging", 1), True),
    (lambda r: r.remove_label("greet", "staging"), True),
    (lambda r: r.discard("greet", 3), True),
]


@pytest.mark.parametrize(("call", "is_changed"), CHANGES)
def test_a_writing_verb_records_whether_it_changed_anything(
    prepared: Registry, spans: Finished, call: Call, is_changed: bool
) -> None:
    """The attribute is False if there was nothing to write; reads don't have it."""
    prepared.update("greet", title="Draft 3", is_production=False)
    spans()
    call(prepared)
    assert only(spans).attributes["promptreg.changed"] is is_changed
    prepared.history("greet")
    assert "promptreg.changed" not in only(spans).attributes


def test_a_write_records_the_version_that_it_created(prepared: Registry, spans: Finished) -> None:
    """An update records the draft that it created, with its state and hash."""
    draft = prepared.update("greet", template="Servus {{ name }}", is_production=False)
    recorded = only(spans).attributes
    assert recorded["gen_ai.prompt.version"] == "3"
    assert (recorded["promptreg.state"], recorded["promptreg.production"]) == ("draft", False)
    assert recorded["promptreg.content_hash"] == draft.content_hash


@pytest.mark.parametrize(
    ("call", "count"),
    [
        (lambda r: r.list(), 6),
        (lambda r: r.search("hello"), 1),
        (lambda r: r.get_many(["greet", "greet", "other"]), 3),
        (lambda r: r.history("greet"), 2),
        (lambda r: r.events("other"), 2),
        (lambda r: r.namespaces(), 1),
        (lambda r: r.verify(), 0),
        (lambda r: r.set_status(["greet", "other", "off"], "disabled"), 2),
        (lambda r: r.publish(["greet@staging", "other", "greet@2"]), 2),
        (lambda r: r.rollback(["twice"], reason="x"), 1),
        (lambda r: r.publish([]), 0),
        (lambda r: r.check("greet", 1), 0),
    ],
)
def test_a_verb_that_returns_many_records_how_many(prepared: Registry, spans: Finished, call: Call, count: int) -> None:
    """It records the number of items, or of changed prompts, and never their names."""
    call(prepared)
    assert only(spans).attributes["promptreg.count"] == count


def test_a_rendered_default_has_a_name_and_no_version(prepared: Registry, spans: Finished) -> None:
    """The span of a rendered default has the requested name, no version, and no error status."""
    prepared.render("absent", default="Hello")
    assert prepared.get("missing", default=None) is None
    render, get = spans()
    assert (render.name, get.name) == ("render_prompt absent", "get_prompt missing")
    for span in (render, get):
        assert span.status.status_code is StatusCode.UNSET
        assert {"gen_ai.prompt.version", "promptreg.content_hash", "error.type"}.isdisjoint(span.attributes)
    assert render.attributes["gen_ai.prompt.name"] == "absent"


def test_a_rendered_default_sets_no_prompt_on_the_current_span(path: str, spans: Finished) -> None:
    """It sets neither name nor label there, and empties the attributes of an earlier render."""
    with Registry(path, spans="attributes") as registry:
        registry.create("greet", "Hello")
        for before in ([], ["greet"]):
            with trace.get_tracer("app").start_as_current_span("call"):
                for name in before:
                    registry.render(name)
                registry.render("absent@staging", default="Hello")
            recorded = only(spans).attributes
            names = {"gen_ai.prompt.name", "gen_ai.prompt.version", "promptreg.label", "promptreg.content_hash"}
            assert {name: recorded[name] for name in names if recorded.get(name)} == {}
            assert ("gen_ai.prompt.name" in recorded) is bool(before)


# Failures


@pytest.mark.parametrize(("name", "call", "code"), [pytest.param(*r, id=f"{r[0]} {r[2]}") for r in REFUSALS])
def test_an_error_has_a_type_a_code_and_a_request_id(
    prepared: Registry, spans: Finished, name: str, call: Call, code: str
) -> None:
    """The status is ERROR, without a description or exception event, because both contain texts."""
    with pytest.raises(PromptregError) as caught:
        call(prepared)
    span = only(spans)
    assert span.name == name
    assert span.status.status_code is StatusCode.ERROR
    assert span.status.description is None
    assert span.events == ()
    assert span.attributes["error.type"] == type(caught.value).__name__
    assert span.attributes["promptreg.error.code"] == caught.value.code == code
    assert span.attributes["promptreg.request_id"] == caught.value.request_id


def test_a_cached_absence_is_recorded_each_time(prepared: Registry, spans: Finished) -> None:
    """Each call records an error with a new request id."""
    for _ in range(2):
        with pytest.raises(NotFoundError):
            prepared.render("absent")
    first, second = spans()
    assert first.attributes["promptreg.request_id"] != second.attributes["promptreg.request_id"]


def test_a_failed_render_has_the_version_that_failed(prepared: Registry, spans: Finished) -> None:
    """The span of a failed render has the version of the prompt."""
    with pytest.raises(MissingVariablesError):
        prepared.render("twice")
    assert only(spans).attributes["gen_ai.prompt.version"] == "2"


def test_a_wrong_signature_ends_its_span(prepared: Registry, spans: Finished) -> None:
    """A wrong signature leaves no span open or current; a recorded one has the type `TypeError` and no code."""
    with pytest.raises(TypeError):
        prepared.update("greet", colour="red")  # type: ignore[call-arg]
    assert not trace.get_current_span().get_span_context().is_valid
    for span in spans():
        assert (span.attributes["error.type"], "promptreg.error.code" in span.attributes) == ("TypeError", False)


def test_an_interrupt_ends_its_span(registry: Registry, spans: Finished) -> None:
    """A BaseException is raised, recorded by its type, and leaves no span open."""

    class Interrupting:
        def __str__(self) -> str:
            raise KeyboardInterrupt

    registry.create("greet", "Hello {{ name }}")
    spans()
    with pytest.raises(KeyboardInterrupt):
        registry.render("greet", name=Interrupting())
    span = only(spans)
    assert (span.status.status_code, span.attributes["error.type"]) == (StatusCode.ERROR, "KeyboardInterrupt")
    assert not trace.get_current_span().get_span_context().is_valid


# Without spans


def test_an_unsampled_parent_starts_nothing(prepared: Registry, spans: Finished) -> None:
    """Under an unsampled parent no verb and no refusal starts a span, even if the sampler would sample it."""
    with trace.use_span(parent(sampled=False)):
        call_all(prepared)
    assert spans() == []
    prepared.render("twice", name="Ana")
    assert only(spans).name == "render_prompt twice"


def test_a_provider_installed_later_is_noticed(registry: Registry) -> None:
    """Spans are recorded even if the registry was opened before the provider was set."""
    prepare(registry)
    registry.render("twice", name="Ana")
    with tracing() as spans:
        registry.render("twice", name="Ana")
        registry.update("twice", title="Later")
    registry.render("twice", name="Ana")
    assert [span.name for span in spans()] == ["render_prompt twice", "update_prompt twice"]


def test_without_an_sdk_everything_works() -> None:
    """Verbs and the span link work with the API package alone."""
    program = """
import sys
sys.modules["opentelemetry.sdk"] = None
from promptreg import Registry
from promptreg.telemetry import PromptSpanProcessor
PromptSpanProcessor()
with Registry(":memory:") as registry:
    registry.create("greet", "Hello")
    with registry.render("greet").trace_context():
        print(registry.render("greet").trace_attributes()["gen_ai.prompt.version"])
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("1\n", "")


# Attributes on the current span


@pytest.fixture
def attributing(spans: Finished) -> Iterator[Registry]:
    """A registry that sets attributes on the current span, and starts none."""
    with Registry(":memory:", spans="attributes") as registry:
        prepare(registry)
        yield registry


def test_without_a_current_span_nothing_is_recorded(attributing: Registry, spans: Finished) -> None:
    """A registry with `spans="attributes"` starts no span if there is no current one."""
    call_all(attributing)
    assert spans() == []


def test_the_current_span_gets_the_attributes(attributing: Registry, spans: Finished) -> None:
    """The application's span gets the prompt and its version, and no child span is started."""
    with trace.get_tracer("app").start_as_current_span("answer", attributes={"app": 1}):
        prompt = attributing.render("greet@staging", name="Ana").prompt
    span = only(spans)
    assert span.name == "answer"
    recorded = dict(span.attributes)
    assert recorded.pop("promptreg.cache") == "miss"
    assert recorded == {
        "app": 1,
        **STAGING,
        "promptreg.content_hash": prompt.content_hash,
    }


def test_no_verb_starts_a_child_or_sets_the_status_of_the_current_span(attributing: Registry, spans: Finished) -> None:
    """A refusal that the application handles does not set the status of its span."""
    with trace.get_tracer("app").start_as_current_span("answer"):
        call_all(attributing)
    span = only(spans)
    assert (span.name, span.status.status_code, span.events) == ("answer", StatusCode.UNSET, ())


def attributes_after(spans: Finished, *calls: Call, registry: Registry) -> dict[str, Any]:
    """Return the attributes of an application's span after these calls, without empty ones; ignore refusals."""
    with trace.get_tracer("app").start_as_current_span("answer"):
        for call in calls:
            with suppress(PromptregError):
                call(registry)
    return {key: value for key, value in only(spans).attributes.items() if value not in {"", False}}


FIRST: list[Call] = [
    lambda r: r.render("greet@staging", name="Ana"),
    lambda r: r.render("off"),
    lambda r: r.render("greet"),
    lambda r: r.render("greet@staging"),
    lambda r: r.render("absent"),
    lambda r: r.render("absent", default="{{ 1 / 0 }}"),
    lambda r: r.update("greet", template="Servus {{ name }}", is_production=False),
    lambda r: r.history("greet"),
]
LAST: list[Call] = [
    lambda r: r.render("twice", name="Ana"),
    lambda r: r.render("twice"),
    lambda r: r.render("absent"),
    lambda r: r.render("absent", default="Hello"),
]
OTHERS: list[Call] = [
    lambda r: r.update("twice", title="Title"),
    lambda r: r.history("twice"),
    lambda r: r.get("absent", default=None),
    lambda r: r.scope(namespace="elsewhere").list(),
    lambda r: r.list(limit=0),
    lambda r: r.render("NO NAME"),
]


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("last", LAST)
@pytest.mark.parametrize("first", FIRST)
def test_the_last_render_in_a_span_replaces_earlier_ones(path: str, spans: Finished, first: Call, last: Call) -> None:
    """No label, error or version of an earlier render remains with the name of another prompt."""
    with Registry(path, spans="attributes") as registry:
        prepare(registry)
        with suppress(PromptregError):
            first(registry)
        for _ in range(2):
            with suppress(PromptregError):
                registry.render("twice", name="Ana")
        alone = attributes_after(spans, last, registry=registry)
        after = attributes_after(spans, first, last, registry=registry)
    differs = {"promptreg.cache", "promptreg.request_id", "promptreg.changed"}
    assert {key: after[key] for key in after.keys() - differs} == {key: alone[key] for key in alone.keys() - differs}


def test_attributes_of_an_earlier_call_are_emptied(attributing: Registry, spans: Finished) -> None:
    """An attribute can't be removed, so it is set to an empty value of the same type."""
    with trace.get_tracer("app").start_as_current_span("answer"):
        attributing.update("greet", template="Servus {{ name }}", is_production=False)
        attributing.render("greet@staging", name="Ana")
        with pytest.raises(MissingVariablesError):
            attributing.render("greet@staging")
        attributing.render("twice", name="Ana")
    recorded = only(spans).attributes
    emptied = ("label", "error.code", "request_id", "changed")
    assert [recorded[f"promptreg.{key}"] for key in emptied] == ["", "", "", False]


def test_other_verbs_are_recorded_on_a_span_without_a_prompt(attributing: Registry, spans: Finished) -> None:
    """A read between the render and the model call does not remove the prompt from the application's span."""
    with trace.get_tracer("app").start_as_current_span("answer") as span:
        attributing.list()
        assert span.attributes["promptreg.count"] == 6
        attributing.render("greet@staging", name="Ana")
        recorded = dict(span.attributes)
        for call in OTHERS:
            with suppress(PromptregError):
                call(attributing)
            assert span.attributes == recorded
    assert (recorded["gen_ai.prompt.name"], recorded["promptreg.label"], recorded["promptreg.count"]) == (
        "greet",
        "staging",
        0,
    )


def test_the_span_of_a_model_call_keeps_its_prompt(attributing: Registry, spans: Finished) -> None:
    """Prompts that the model's tools read during the call don't replace the prompt that it was made from."""
    trace.get_tracer_provider().add_span_processor(PromptSpanProcessor())
    rendered = attributing.render("twice", name="Ana")
    with rendered.trace_context(), trace.get_tracer("app").start_as_current_span("chat") as span:
        attributes_before = dict(span.attributes)
        for call in OTHERS:
            with suppress(PromptregError):
                call(attributing)
        assert span.attributes == attributes_before
    assert (attributes_before["gen_ai.prompt.name"], attributes_before["gen_ai.prompt.version"]) == ("twice", "2")


def test_an_error_is_recorded_on_the_callers_span_without_failing_it(attributing: Registry, spans: Finished) -> None:
    """The span gets the prompt, code and request id; the application sets the status and `error.type`."""
    for _ in range(2):  # from the file, then from memory
        answer = trace.get_tracer("app").start_as_current_span("answer", attributes={"error.type": "its own"})
        with answer, pytest.raises(PromptregError) as caught:
            attributing.render("twice")
        span = only(spans)
        assert span.status.status_code is StatusCode.UNSET
        assert (span.attributes["error.type"], span.attributes["promptreg.error.code"]) == (
            "its own",
            "missing_variables",
        )
        assert span.attributes["promptreg.request_id"] == caught.value.request_id
        assert (span.attributes["gen_ai.prompt.name"], span.attributes["gen_ai.prompt.version"]) == ("twice", "2")


def test_every_attribute_of_an_unreadable_span_is_emptied(attributing: Registry) -> None:
    """All attributes are emptied on spans whose attributes can't be read, as any may remain from an earlier render."""

    class Unread(trace.NonRecordingSpan):
        def __init__(self) -> None:
            super().__init__(parent(sampled=True).get_span_context())
            self.recorded: dict[str, Any] = {}

        def is_recording(self) -> bool:
            return True

        def set_attributes(self, attributes: Any) -> None:
            self.recorded.update(attributes)

    span = Unread()
    with trace.use_span(span):
        attributing.render("twice@2", name="Ana")
    assert (span.recorded["gen_ai.prompt.version"], span.recorded["promptreg.kind"]) == ("2", "text")
    assert [span.recorded[f"promptreg.{key}"] for key in ("label", "error.code", "request_id")] == [""] * 3


def test_an_unsampled_current_span_is_left_alone(attributing: Registry, spans: Finished) -> None:
    """An unsampled current span gets no attributes, and no span is started."""
    with trace.use_span(parent(sampled=False)):
        assert attributing.render("twice", name="Ana").text == "Two Ana"
    assert spans() == []


# Settings


@pytest.mark.parametrize(
    "setting",
    [
        {"spans": "none"},
        {"spans": None},
        {"capture_content": "yes"},
        {"capture_content": 1},
        {"redact": "***"},
        {"render_duration": "off"},
        {"render_duration": None},
    ],
)
def test_an_invalid_setting_is_refused(tmp_path: Path, setting: dict[str, Any]) -> None:
    """The error names the setting, and is raised before any file is touched."""
    with pytest.raises(InvalidInputError) as caught:
        Registry(tmp_path / "x.db", **setting)
    assert [error["field"] for error in caught.value.details["errors"]] == list(setting)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("mode", ["child", "attributes"])
def test_results_are_those_without_telemetry(tmp_path: Path, clock: Callable[[], Any], mode: str) -> None:
    """Every verb returns the same and refuses alike, recorded or not."""

    def run_calls(name: str) -> list[object]:
        with Registry(tmp_path / name, clock=clock, spans=mode) as registry:
            prepare(registry)
            return call_all(registry)

    plain = run_calls("plain.db")
    with provided(TracerProvider(shutdown_on_exit=False)):
        assert run_calls("traced.db") == plain


# The demo's tree


def test_the_demo_prints_its_spans_as_a_tree(tmp_path: Path) -> None:
    """`demo --trace` prints each span with its name, attributes and microseconds, and children under their parents."""
    command = [sys.executable, "-m", "promptreg", "demo", "--trace"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    for words in ("seed_prompt summarize", "render_prompt summarize", "µs"):
        assert words in done.stdout
    line = next(line for line in done.stdout.splitlines() if "render_prompt summarize" in line)
    assert "µs" in line
    shown = done.stdout[done.stdout.index("seed_prompt summarize") :]
    for name in ("gen_ai.prompt.version", "promptreg.cache", "promptreg.changed"):
        assert name in shown
    assert "promptreg.content." not in done.stdout


def traced_demo(before: str, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run `demo --trace` in a process that first runs this code."""
    program = f"import sys\n{before}\nfrom promptreg.cli import main\nsys.exit(main(['demo', '--trace']))"
    command, environment = [sys.executable, "-c", program], {**os.environ, **environment}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)


SDK = "from opentelemetry import trace\nfrom opentelemetry.sdk.trace import TracerProvider, export, sampling\n"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("before", "environment", "reason"),
    [
        ("sys.modules['opentelemetry.sdk'] = None", {}, "opentelemetry-sdk"),
        ("", {"OTEL_SDK_DISABLED": "true"}, "OTEL_SDK_DISABLED"),
        (SDK + "trace.set_tracer_provider(TracerProvider(sampler=sampling.ALWAYS_OFF))", {}, "sampler"),
        (SDK + "trace.set_tracer_provider(trace.NoOpTracerProvider())", {}, "NoOpTracerProvider"),
        ("", {"OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT": "many"}, "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT"),
    ],
    ids=["no SDK", "disabled", "unsampled", "no SDK's provider", "a bad variable"],
)
def test_the_demo_prints_why_it_has_no_tree(
    tmp_path: Path, before: str, environment: dict[str, str], reason: str
) -> None:
    """If no span can be shown, it prints the reason in one sentence, exits with 1, and does not run the demo."""
    done = traced_demo(before, tmp_path, **environment)
    assert (done.returncode, done.stdout) == (1, "")
    assert reason in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.slow
def test_the_demo_prints_its_tree_with_an_installed_provider(tmp_path: Path) -> None:
    """As under `opentelemetry-instrument`, the tree is printed and the provider's exporters get the spans, twice."""
    provider = "provider = TracerProvider()\ntrace.set_tracer_provider(provider)\n"
    exporter = "export.ConsoleSpanExporter(out=sys.stderr, formatter=lambda span: span.name + chr(10))"
    before = f"{SDK}{provider}provider.add_span_processor(export.SimpleSpanProcessor({exporter}))\n"
    done = traced_demo(before + "from promptreg.cli import main\nmain(['demo', '--trace'])", tmp_path)
    assert done.returncode == 0
    assert len([line for line in done.stdout.splitlines() if line.startswith("demo  ")]) == 2
    assert done.stdout.count("    seed_prompt summarize") == 2 * 2
    assert set(done.stderr.splitlines()) >= {"demo", "chat a-model", "seed_prompt summarize"}


@pytest.mark.slow
def test_a_failing_demo_prints_its_spans(tmp_path: Path) -> None:
    """The tree is printed after an error too."""
    before = """
import promptreg
import promptreg.cli.demo

def fail(_):
    raise promptreg.StorageError("no disk")

promptreg.cli.demo._statuses = fail"""
    done = traced_demo(before, tmp_path)
    assert (done.returncode, done.stderr) == (3, "promptreg: internal_error: no disk\n")
    shown = [line for line in done.stdout.splitlines() if "µs" in line]
    assert (shown[0].startswith("demo "), shown[0].endswith(" ERROR")) == (True, True)
    assert any(line.startswith("    seed_prompt summarize") for line in shown)
