"""Content: a canary in every text and value leaks nowhere, unless content is captured, and then it is redacted."""

import json
import logging
import pickle
import shutil
import traceback
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import StatusCode
from pydantic import BaseModel, RootModel

from promptreg import (
    Actor,
    Grant,
    InvalidInputError,
    PromptregError,
    Registry,
    Rendered,
    RenderLimits,
    StatusUpdate,
    StorageError,
    Variable,
)
from tests.otel import Call, Finished, Metered, alone, tracing
from tests.test_storage_sqlite import raw
from tests.verbs import backed_up

CANARY = "canary7f3a"
ASKS_FOR_CONTENT = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"
MESSAGES = [
    {"role": "system", "content": CANARY},
    {"placeholder": "history"},
    {"role": "user", "content": "{{ q }}"},
]
FIELDS: dict[str, Any] = {
    "title": CANARY,
    "description": CANARY,
    "category": CANARY,
    "tags": [CANARY],
    "config": {CANARY: CANARY},
    "meta": {CANARY: [CANARY]},
    "commit_message": CANARY,
}
DECLARED = [{"name": "q", "type": "string", "description": CANARY, "enum": [CANARY, "x"], "default": CANARY}]
HISTORY = [{"role": CANARY, "content": CANARY}]


class Raising:
    """A value whose printing raises an error that quotes it."""

    def __str__(self) -> str:
        raise ValueError(CANARY)

    __repr__ = __str__


class Asked(BaseModel):
    """Variables as a class, which refuses by quoting."""

    q: int = 0


@dataclass
class Point:
    """A value that prints its fields."""

    x: str


def refuse(prompt: Any) -> None:
    """A publish check that raises without quoting anything."""
    if prompt.name == "refused":
        raise ValueError("refused")


def watched(registry: Registry) -> Registry:
    """Create prompts full of canaries, and return a view of an admin."""
    ana = registry.scope(actor=Actor("ana", "org_admin"))
    ana.create("watched", MESSAGES, variables=DECLARED, **FIELDS)
    ana.update("watched", template=f"{CANARY} {{{{ q }}}}", is_production=False, commit_message=CANARY)
    ana.set_label("watched", "staging", 2)
    ana.create("loose", "{{ q }}", **FIELDS)
    ana.update("loose", title=CANARY + "!")
    for name, template in {
        "divides": "{{ 1 / q }}",
        "adds": "{{ q + 1 }}",
        "reads": "{{ q.missing.more }}",
        "indexes": "{{ q[0][1] }}",
        "calls": "{{ q.count(1) }}",
        "dates": "{{ q.strftime('" + CANARY + "') }}",
        "loops": "{% for x in q %}{{ x.y.z }}{% endfor %}",
        "longs": "{{ '" + CANARY + "' ~ (q * 999999) }}",
        "macros": "{% macro m(x) %}{{ x / 0 }}{% endmacro %}{{ m('" + CANARY + "') }}",
        "numbers": "{{ q | round }}",
        "sorts": "{{ [q, 1] | sort }}",
        "joins": "{{ q | join(', ') }}",
        "jsons": "{{ q | tojson }}",
        "formats": "{{ '%d' | format(q) }}",
        "picks": "{% set found = d[q] %}{{ more if d else absent }}",
    }.items():
        ana.create(name, template, **FIELDS)
    ana.create("draft", CANARY, is_production=False, **FIELDS)
    ana.update("draft", template="{{ 1 / 0 }}" + CANARY, version=1, examples=[{"q": CANARY}])
    ana.create("off", CANARY, **FIELDS)
    ana.set_status("off", "disabled")
    ana.create("old", CANARY, **FIELDS)
    ana.archive("old")
    return ana


def again(render: Callable[..., Rendered]) -> Rendered:
    """Render with attributes that exist and then, on the fast path, without them."""
    render(d={"x": 1}, q="x", more="")
    return render(d={}, q=CANARY)


CALLS: dict[str, Call] = {
    "create": lambda r: r.create("new", MESSAGES, variables=DECLARED, **FIELDS),
    "create with examples": lambda r: r.create("new", "{{ q }}", examples=[{"q": CANARY}], **FIELDS),
    "save": lambda r: r.save("watched", CANARY + "!", **FIELDS),
    "seed": lambda r: [r.seed("watched", CANARY + text, **FIELDS) for text in ("?", "!")],
    "seed new": lambda r: r.seed("new", MESSAGES, variables=DECLARED, **FIELDS),
    "get": lambda r: r.get("watched@2"),
    "get again": lambda r: [r.get("watched"), r.get("watched")],
    "get_many": lambda r: [r.get_many(["watched", "watched@2"]) for _ in range(2)],
    "render": lambda r: [r.render("watched", history=HISTORY, q=CANARY) for _ in range(2)],
    "render text": lambda r: [r.render("loose", {"q": CANARY}) for _ in range(2)],
    "render any value": lambda r: [r.render("loose", q=Point(CANARY)), r.render("loose", q={CANARY: [CANARY]})],
    "render extra": lambda r: r.render("loose", q="x", more=CANARY),
    "render default": lambda r: r.render("absent", {"q": CANARY}, default=CANARY + "{{ q }}"),
    "render prompt": lambda r: r.get("loose").render(q=CANARY),
    "update": lambda r: r.update("watched", title=CANARY + "!", commit_message=CANARY),
    "edit": lambda r: r.update("watched@2", template=CANARY + "!"),
    "publish": lambda r: r.publish("watched", 2),
    "rollback": lambda r: r.rollback("loose", reason=CANARY),
    "publish several": lambda r: r.publish(["watched@2", "loose@1"]),
    "rollback several": lambda r: r.rollback(["loose"], reason=CANARY),
    "check": lambda r: [r.check("draft"), r.check("watched", 1)],
    "disable": lambda r: r.disable("loose"),
    "enable": lambda r: r.enable("off"),
    "delete by its verb": lambda r: r.delete("watched"),
    "set_status": lambda r: r.set_status(["watched", "loose"], "disabled"),
    "delete": lambda r: r.set_status("watched", "deleted"),
    "archive": lambda r: r.archive("watched"),
    "restore": lambda r: r.restore("old"),
    "discard": lambda r: r.remove_label("watched", "staging") and r.discard("watched", 2),
    "set_label": lambda r: r.set_label("watched", "staging", 1),
    "remove_label": lambda r: r.remove_label("watched", "staging"),
    "history": lambda r: r.history("watched"),
    "diff": lambda r: r.diff("watched", 1, 2),
    "list": lambda r: r.list(tag=[CANARY], category=CANARY, prefix=CANARY),
    "iterate": lambda r: [p.version for p in r.iterate(tag=[CANARY], category=CANARY)],
    "search": lambda r: r.search(CANARY, tag=CANARY, category=CANARY),
    "events": lambda r: r.events("watched", action="create", newest_first=True),
    "namespaces": lambda r: r.namespaces(),
    "verify": lambda r: r.verify(),
    "head": lambda r: r.head(),
    "backup": backed_up,
    "wait_for": lambda r: r.wait_for(1),
    "report": lambda r: r.report(all_versions=True),
}

# Every way in which a call with content may be refused.
REFUSED: dict[str, Call] = {
    "taken": lambda r: r.create("watched", CANARY, **FIELDS),
    "syntax": lambda r: r.create("new", CANARY + " {{", **FIELDS),
    "syntax in a text": lambda r: r.create("new", "{{ '" + CANARY + " }}", **FIELDS),
    "syntax after a text": lambda r: r.create("new", "{{ '" + CANARY + "' 7 }}", **FIELDS),
    "syntax of a block": lambda r: r.create("new", "{% if x %}" + CANARY, **FIELDS),
    "syntax of a character": lambda r: r.create("new", "{{ ? }} " + CANARY, **FIELDS),
    "policy": lambda r: r.create("new", "{% include '" + CANARY + "' %}", **FIELDS),
    "policy of a filter": lambda r: r.create("new", "{{ '" + CANARY + "' | pprint }}", **FIELDS),
    "policy of a format": lambda r: r.create("new", "{{ '" + CANARY + "%*d' | format(1) }}", **FIELDS),
    "example": lambda r: r.create("new", CANARY + "{{ 1 / 0 }}", examples=[{"q": CANARY}], **FIELDS),
    "example with a value": lambda r: r.create("new", "{{ q + 1 }}", examples=[{"q": CANARY}]),
    "example of a wrong type": lambda r: r.create(
        "new", "{{ q }}", variables=[{"name": "q", "type": "integer"}], examples=[{"q": CANARY}]
    ),
    "check": lambda r: r.create("refused", CANARY, **FIELDS),
    "publish of a failing one": lambda r: r.publish("draft"),
    "publish of several": lambda r: r.publish(["draft", "watched@2"]),
    "publish of several, expected": lambda r: r.publish(["draft"], expected_hash={"draft": CANARY}),
    "template": lambda r: r.create("new", {CANARY: CANARY}),  # type: ignore[arg-type]
    "messages": lambda r: r.create("new", [{"role": CANARY, "text": CANARY}]),
    "a message's keys": lambda r: r.create("new", [{"role": "user", "content": CANARY, CANARY: CANARY}]),
    "a message's role": lambda r: r.create("new", [{"role": CANARY, "content": CANARY}]),
    "message content": lambda r: r.create("new", [{"role": "user", "content": [CANARY]}]),
    "a part": lambda r: r.create("new", [{"role": "user", "content": [{"type": CANARY, CANARY: CANARY}]}]),
    "a part's keys": lambda r: r.create("new", [{"role": "user", "content": [{"type": "text", CANARY: CANARY}]}]),
    "a part's url": lambda r: r.create(
        "new", [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": CANARY, "detail": [CANARY]}}]}]
    ),
    "a part's syntax": lambda r: r.create(
        "new", [{"role": "user", "content": [{"type": "text", "text": CANARY + "{{"}]}]
    ),
    "a file": lambda r: r.create("new", [{"role": "user", "content": [{"type": "file", "file": {"a": {CANARY}}}]}]),
    "a name": lambda r: r.create("new", [{"role": "user", "content": "x", "name": [CANARY], "tool_calls": CANARY}]),
    "title": lambda r: r.create("new", "x", title=[CANARY]),  # type: ignore[arg-type]
    "tags": lambda r: r.create("new", "x", tags=[[CANARY]]),  # type: ignore[list-item]
    "config": lambda r: r.create("new", "x", config={"a": {CANARY}}),
    "meta": lambda r: r.create("new", "x", meta=[CANARY]),  # type: ignore[arg-type]
    "examples": lambda r: r.create("new", "x", examples=[CANARY]),  # type: ignore[list-item]
    "commit message": lambda r: r.create("new", "x", commit_message=[CANARY]),  # type: ignore[arg-type]
    "variables": lambda r: r.create("new", "x", variables=[CANARY]),  # type: ignore[list-item]
    "variable of a wrong default": lambda r: r.create(
        "new", "x", variables=[{"name": "q", "type": "integer", "default": CANARY}]
    ),
    "variable of a wrong enum": lambda r: r.create(
        "new", "x", variables=[{"name": "q", "type": "integer", "enum": [CANARY]}]
    ),
    "variable type": lambda r: r.create("new", "x", variables=[{"name": "q", "type": "x", "description": CANARY}]),
    "in place": lambda r: r.update("watched@1", template=CANARY, title=CANARY),
    "expected": lambda r: r.update("watched", template=CANARY, expected_version=9),
    "archived": lambda r: r.update("old", **FIELDS),
    "absent": lambda r: r.update("absent", **FIELDS),
    "save": lambda r: r.save("absent", CANARY + "{{", **FIELDS),
    "rollback": lambda r: r.rollback("watched", reason=CANARY),
    "rollback reason": lambda r: r.rollback("watched", reason=[CANARY]),  # type: ignore[arg-type]
    "search": lambda r: r.search([CANARY]),  # type: ignore[arg-type]
    "list": lambda r: r.list(tag=[[CANARY]], prefix=CANARY * 100, label=CANARY + " "),  # type: ignore[list-item]
    "page": lambda r: r.list(after=CANARY),
    "iterate": lambda r: r.iterate(tag=[[CANARY]]),  # type: ignore[list-item]
    "names": lambda r: r.get_many(["watched", CANARY.upper()]),
    "one name": lambda r: r.get_many(CANARY),
    "disabled": lambda r: r.render("off", q=CANARY),
    "not found": lambda r: r.render("absent", q=CANARY),
    "missing": lambda r: r.render("watched", more=CANARY),
    "no mapping": lambda r: r.render("loose", CANARY),  # type: ignore[arg-type]
    "placeholder": lambda r: r.render("watched", history=CANARY, q=CANARY),
    "placeholder message": lambda r: r.render("watched", history=[{"role": [CANARY], CANARY: CANARY}], q=CANARY),
    "placeholder that is no JSON": lambda r: r.render("watched", history=[{CANARY: {CANARY}}], q=CANARY),
    "placeholder of a model": lambda r: r.render("watched", history=[RootModel[list]([CANARY])], q=CANARY),
    "enum": lambda r: r.render("watched", history=HISTORY, q=CANARY + "?"),
    "type": lambda r: r.render("watched", history=HISTORY, q=[CANARY]),
    "unprintable": lambda r: r.render("loose", q=Raising()),
    "unprintable within": lambda r: r.render("loose", q=[Raising()]),
    "default": lambda r: r.render("absent", {"q": CANARY}, default="{{ q / 0 }}" + CANARY),
    "default syntax": lambda r: r.render("absent", {"q": CANARY}, default=CANARY + "{{"),
    "prompt": lambda r: r.get("watched").render(history=HISTORY, q=CANARY + "?"),
    **{
        name: lambda r, name=name: r.render(name, q=CANARY)  # type: ignore[misc]
        for name in ("divides", "adds", "reads", "indexes", "calls", "dates", "longs", "macros", "numbers", "sorts")
    },
    "loops": lambda r: r.render("loops", q=[{CANARY: CANARY}]),
    "joins": lambda r: r.render("joins", q=[Raising()]),
    "jsons": lambda r: r.render("jsons", q={CANARY: Raising()}),
    "formats": lambda r: r.render("formats", q=CANARY),
    "class": lambda r: r.render("divides", Asked.model_construct(q=CANARY)),
    "again": lambda r: again(partial(r.render, "picks")),
    "again by a prompt": lambda r: again(r.get("picks").render),
}


@pytest.fixture
def spans() -> Iterator[Finished]:
    """The spans that have ended since the last call, recorded by the SDK."""
    with tracing() as finished:
        yield finished


def chain(error: BaseException | None) -> list[BaseException]:
    """Return an error and those that a traceback would print with it."""
    found: list[BaseException] = []
    while error is not None:
        found.append(error)
        error = error.__cause__ if error.__cause__ or error.__suppress_context__ else error.__context__
    return found


def texts_of(error: BaseException) -> list[str]:
    """Return all texts of an error: in logs, in a traceback without source lines, and in a response."""
    texts = ["".join(traceback.format_exception_only(link)) + repr(link) for link in chain(error)]
    if isinstance(error, PromptregError):
        texts += [error.message, json.dumps(error.to_dict()), repr(error.__dict__)]
        texts.append(repr(pickle.loads(pickle.dumps(error)).__dict__))
    return texts


def texts_of_spans(spans: list[ReadableSpan]) -> list[str]:
    """Return all content of spans: names, attributes, events, links, status."""
    return [span.to_json() for span in spans]


@pytest.fixture(scope="module")
def prepared_path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A closed file with the prompts of `watched` in it."""
    path = tmp_path_factory.mktemp("watched") / "prompts.db"
    with Registry(path, durability="normal") as registry:
        watched(registry)
    return path


@pytest.fixture
def watched_path(prepared_path: Path, path: str) -> str:
    """A copy of it, for one test."""
    shutil.copy(prepared_path, path)
    return path


ALL = {**{f"refused: {name}": call for name, call in REFUSED.items()}, **CALLS}


def leaks(calls: Iterable[Call], path: str, caplog: pytest.LogCaptureFixture, **settings: Any) -> dict[str, list[str]]:
    """Make calls that are full of canaries, and return all that was recorded or logged, by channel."""
    doors: dict[str, list[str]] = {"errors": [], "reprs": []}
    with caplog.at_level(logging.DEBUG), warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        with Registry(path, durability="normal", publish_checks=[refuse], **settings) as registry:
            ana = registry.scope(actor=Actor("ana", "org_admin"))
            for call in calls:
                try:
                    result = call(ana)
                except PromptregError as error:
                    doors["errors"].append("\n".join(texts_of(error)))
                else:
                    results = result if type(result) is list else [result]
                    doors["reprs"] += [repr(item) for item in results if type(item) in (Rendered, StatusUpdate)]
            doors["reprs"] += [repr(registry), repr(ana), repr(ana.actor)]
    doors["logs"] = [record.getMessage() + str(record.__dict__) for record in caplog.records]
    doors["warnings"] = [str(warning.message) for warning in warned]
    return doors


def assert_no_canary(doors: dict[str, list[str]]) -> None:
    found = {door: [text for text in texts if CANARY in text.lower()] for door, texts in doors.items()}
    assert found == {door: [] for door in doors}


@pytest.mark.parametrize("name", ALL)
def test_no_content_leaks_by_any_channel(
    name: str, watched_path: str, spans: Finished, caplog: pytest.LogCaptureFixture
) -> None:
    """No span, event, log, warning, message or repr contains a template, a text or a value."""
    doors = leaks([ALL[name]], watched_path, caplog)
    doors["spans"] = texts_of_spans(spans())
    assert bool(doors["errors"]) is name.startswith("refused: ")
    assert doors["spans"] or name == "render prompt"
    assert_no_canary(doors)


def test_no_content_leaks_if_nothing_is_recorded(watched_path: str, caplog: pytest.LogCaptureFixture) -> None:
    """A render by the fast path, which records no span, leaks nothing."""
    doors = leaks(ALL.values(), watched_path, caplog)
    assert len(doors["errors"]) >= len(REFUSED)
    assert_no_canary(doors)


def test_no_content_leaks_by_the_current_span(
    watched_path: str, spans: Finished, caplog: pytest.LogCaptureFixture
) -> None:
    """An application's span gets the same attributes, and no others."""
    calls = [lambda r, call=call: in_a_span(call, r) for call in ALL.values()]
    doors = leaks(calls, watched_path, caplog, spans="attributes")
    doors["spans"] = texts_of_spans(spans())
    assert len(doors["spans"]) == len(ALL)
    assert_no_canary(doors)


def in_a_span(call: Call, registry: Registry) -> object:
    """Call within a span of the application that records no exceptions."""
    tracer = trace.get_tracer("app")
    with tracer.start_as_current_span("answer", record_exception=False, set_status_on_exception=False):
        return call(registry)


def measured() -> tuple[list[str], list[str]]:
    """Make every call while metrics are on; return the names of the metrics, and all their content."""
    metered = Metered()
    with Registry(":memory:", publish_checks=[refuse]) as registry:
        ana = watched(registry)
        for call in REFUSED.values():
            with pytest.raises(PromptregError):
                call(ana)
        for call in CALLS.values():
            with suppress(PromptregError):  # of what an earlier call has deleted
                call(ana)
    found = metered()
    return list(found), [name + repr(metric) for name, metric in found.items()]


@pytest.mark.slow
def test_no_content_is_measured() -> None:
    """Neither names nor attributes of metrics contain content."""
    names, texts = alone(measured)
    assert {"promptreg.render.duration", "promptreg.errors"} <= set(names)
    assert [text for text in texts if CANARY in text.lower()] == []


MADE: dict[str, Callable[[], object]] = {
    "actor id": lambda: Actor([CANARY]),  # type: ignore[arg-type]
    "actor id of a wrong text": lambda: Actor(CANARY + "\udc80"),
    "actor role": lambda: Actor("ana", CANARY),
    "actor groups": lambda: Actor("ana", groups=[[CANARY]]),  # type: ignore[list-item]
    "grant principal": lambda: Grant(CANARY, "read"),
    "grant permission": lambda: Grant("user:ana", CANARY),
    "variable": lambda: Variable(name="q", type=CANARY),
    "variable enum": lambda: Variable(name="q", enum=CANARY),
    "variable default": lambda: Variable(name="q", default={CANARY}),
    "limits": lambda: RenderLimits(seconds=CANARY),
}


@pytest.mark.parametrize("name", MADE)
def test_no_cause_of_a_refusal_quotes_content(name: str) -> None:
    """The error does not chain the errors of pydantic and codecs, which quote their input."""
    with pytest.raises(InvalidInputError) as caught:
        MADE[name]()
    assert [text for text in texts_of(caught.value) if CANARY in text.lower()] == []


def test_a_storage_that_fails_leaks_no_content(
    watched_path: str, spans: Finished, caplog: pytest.LogCaptureFixture
) -> None:
    """A write that gets no lock, or whose file is closed, quotes nothing of its content."""
    with Registry(watched_path, busy_timeout=0) as registry, closing(raw(watched_path)) as blocking:
        blocking.execute("BEGIN IMMEDIATE")
        with pytest.raises(StorageError) as busy:
            registry.save("watched", CANARY, **FIELDS)
    with pytest.raises(StorageError) as closed:
        registry.save("watched", CANARY, **FIELDS)
    texts = [*texts_of(busy.value), *texts_of(closed.value), *texts_of_spans(spans())]
    assert_no_canary({"errors and spans": texts, "logs": [record.getMessage() for record in caplog.records]})


# Content that is requested


def content(span: ReadableSpan) -> dict[str, Any]:
    """Return a span's attributes with content."""
    prefix = "promptreg.content."
    return {key.removeprefix(prefix): value for key, value in span.attributes.items() if key.startswith(prefix)}


def rendered(spans: Finished, **settings: Any) -> dict[str, Any]:
    """Open a registry with these settings, render twice, and return the content of the spans, which is equal."""
    with Registry(":memory:", **settings) as registry:
        registry.create("greet", "Hello {{ name }}, {{ names | join(' ') }}")
        spans()
        for _ in range(2):
            assert registry.render("greet", {"name": "Ana"}, names=["Bo", "Cy"]).text == "Hello Ana, Bo Cy"
    both = [span for span in spans() if span.name == "render_prompt greet"]
    first, second = map(content, both)
    assert first == second
    assert [span.status.status_code for span in both] == [StatusCode.UNSET] * 2, "neither is an error"
    return first


def test_content_is_recorded_if_requested(spans: Finished) -> None:
    """The template, the text, and the variables as JSON are recorded, on a cache miss and on a hit."""
    recorded = rendered(spans, capture_content=True)
    assert json.loads(recorded.pop("variables")) == {"name": "Ana", "names": ["Bo", "Cy"]}
    assert recorded == {"template": "Hello {{ name }}, {{ names | join(' ') }}", "text": "Hello Ana, Bo Cy"}


def test_content_of_a_chat_prompt_is_recorded(spans: Finished) -> None:
    """The templates of its messages, its text, and a placeholder's messages are recorded."""
    with Registry(":memory:", capture_content=True) as registry:
        registry.create("watched", MESSAGES)
        spans()
        text = registry.render("watched", history=[{"role": "user", "content": "Hi"}], q="why").text
    (span,) = spans()
    recorded = content(span)
    assert json.loads(recorded["template"]) == MESSAGES
    assert recorded["text"] == text
    assert json.loads(recorded["variables"]) == {"history": [{"role": "user", "content": "Hi"}], "q": "why"}


def test_content_of_a_chat_prompt_with_parts_is_recorded(spans: Finished) -> None:
    """The whole template is recorded, parts, calls and cache marks included, and every text of it is redacted."""
    call = {"id": "c1", "function": {"name": "f", "arguments": "{}"}}
    parts = [{"type": "text", "text": "{{ q }}"}, {"type": "file", "file": {"a": [{"b": "{{ q }}"}]}}]
    chat = [
        {"role": "user", "content": parts, "name": "ana", "cache": True},
        {"role": "assistant", "tool_calls": [call]},
    ]
    for redact in (None, lambda text: text.replace(CANARY, "…")):
        with Registry(":memory:", capture_content=True, redact=redact) as registry:
            registry.create("watched", chat)
            spans()
            registry.render("watched", q=CANARY)
        (span,) = spans()
        recorded = content(span)
        assert json.loads(recorded["template"]) == chat
        assert recorded["text"] == (CANARY if redact is None else "…")


def test_errors_are_recorded_without_messages_even_with_content(spans: Finished) -> None:
    """With captured content errors still have no event and no description."""
    with Registry(":memory:", capture_content=True) as registry:
        registry.create("divides", "{{ 1 / n }}")
        spans()
        with pytest.raises(PromptregError):
            registry.render("divides", n=0)
    (span,) = spans()
    assert (span.events, span.status.description) == ((), None)


@pytest.mark.parametrize("word", ["true", "True", "TRUE", "span_only", "SPAN_ONLY", "span_and_event", "Span_And_Event"])
def test_the_environment_can_request_content(spans: Finished, monkeypatch: pytest.MonkeyPatch, word: str) -> None:
    """The variable of all GenAI instrumentations enables content; `capture_content=False` overrides it."""
    monkeypatch.setenv(ASKS_FOR_CONTENT, word)
    assert rendered(spans)["text"] == "Hello Ana, Bo Cy"
    assert rendered(spans, capture_content=None)["text"] == "Hello Ana, Bo Cy"
    assert rendered(spans, capture_content=False) == {}


@pytest.mark.parametrize("word", [None, "", "false", "FALSE", "no_content", "event_only", "0", "1", "yes"])
def test_other_values_of_the_environment_do_not(
    spans: Finished, monkeypatch: pytest.MonkeyPatch, word: str | None
) -> None:
    """Other values of the variable capture no content; `capture_content=True` overrides them."""
    monkeypatch.delenv(ASKS_FOR_CONTENT, raising=False)
    if word is not None:
        monkeypatch.setenv(ASKS_FOR_CONTENT, word)
    assert rendered(spans) == {}
    assert rendered(spans, capture_content=True)["text"] == "Hello Ana, Bo Cy"


def test_the_environment_is_read_when_the_registry_opens(spans: Finished, monkeypatch: pytest.MonkeyPatch) -> None:
    """A later change of the variable does not affect an open registry."""
    monkeypatch.delenv(ASKS_FOR_CONTENT, raising=False)
    with Registry(":memory:") as registry:
        registry.create("greet", "Hello {{ name }}")
        monkeypatch.setenv(ASKS_FOR_CONTENT, "true")
        registry.render("greet", name="Ana")
    assert [content(span) for span in spans()] == [{}, {}]


def test_a_view_captures_what_its_registry_does(spans: Finished) -> None:
    """The registry's setting applies to the views of every actor."""
    with Registry(":memory:", capture_content=True) as registry:
        team = registry.scope(namespace="support", actor=Actor("ana", "team_admin"))
        team.create("reply", "Dear {{ who }}")
        spans()
        team.render("reply", who="Ana")
    assert content(spans()[-1])["text"] == "Dear Ana"


def test_the_current_span_gets_content_too(spans: Finished) -> None:
    """With `spans="attributes"` the current span gets the content."""
    with Registry(":memory:", capture_content=True, spans="attributes") as registry:
        registry.create("greet", "Hello {{ name }}")
        for _ in range(2):
            with trace.get_tracer("app").start_as_current_span("answer"):
                registry.render("greet", name="Ana")
    assert [content(span)["text"] for span in spans()] == ["Hello Ana"] * 2


def test_omitted_content_replaces_that_of_an_earlier_render(spans: Finished) -> None:
    """On the application's span older content is emptied if redaction or the render fails."""

    def picky(text: str) -> str:
        if "Bo" in text:
            raise ValueError(text)
        return text

    with Registry(":memory:", capture_content=True, redact=picky, spans="attributes") as registry:
        registry.create("greet", "Hello {{ name }}")
        registry.create("part", "Bye {{ name }}")
        for last in ({"name": "Bo"}, {}):
            for _ in range(2):
                with trace.get_tracer("app").start_as_current_span("answer"), suppress(PromptregError):
                    registry.render("greet", name="Ana")
                    registry.render("part", last)
    for span in spans():
        assert content(span).get("text") == ""
        assert "Ana" not in repr(dict(span.attributes))


class Opaque:
    """A value that can't be written as JSON."""


def test_a_value_that_is_not_json_does_not_fail_the_render(spans: Finished) -> None:
    """The text is recorded, and the result is the same."""
    with Registry(":memory:", capture_content=True) as registry:
        registry.create("lists", "{{ things | length }} {{ point }}")
        spans()
        loop: list[object] = [Opaque(), Raising()]
        loop.append(loop)
        rendered = registry.render("lists", things=loop, point=Point("x"))
    assert rendered.text == "3 Point(x='x')"
    assert content(spans()[-1])["text"] == rendered.text


# Redaction


def redact(text: str) -> str:
    """Remove the name."""
    return text.replace("Ana", "[name]").replace("Bo", "[other]")


def test_all_content_is_redacted(spans: Finished) -> None:
    """Texts and each variable, in lists too, are redacted, but not the result of the render."""
    recorded = rendered(spans, capture_content=True, redact=redact)
    assert recorded["text"] == "Hello [name], [other] Cy"
    assert json.loads(recorded["variables"]) == {"name": "[name]", "names": ["[other]", "Cy"]}


def fails(text: str) -> str:
    """Raise an error that quotes the text."""
    raise RuntimeError(text)


@pytest.mark.parametrize("broken", [fails, lambda text: None, lambda text: 7, lambda: "x", lambda text: text.encode()])
def test_a_redaction_that_fails_drops_the_value_and_keeps_the_render(
    spans: Finished, broken: Callable[..., Any], caplog: pytest.LogCaptureFixture
) -> None:
    """Instead of unredacted content none is recorded; the span is recorded, and nothing quotes the value."""
    with caplog.at_level(logging.DEBUG):
        recorded = rendered(spans, capture_content=True, redact=broken)
    assert {"template", "text"}.isdisjoint(recorded)
    assert "Ana" not in repr(recorded)
    assert "Ana" not in caplog.text


def test_a_redaction_that_fails_on_one_value_keeps_the_others(spans: Finished) -> None:
    """Each value is redacted separately, so that the others are recorded."""

    def picky(text: str) -> str:
        if "Ana" in text:
            raise ValueError(text)
        return text

    recorded = rendered(spans, capture_content=True, redact=picky)
    assert recorded["template"] == "Hello {{ name }}, {{ names | join(' ') }}"
    assert "text" not in recorded
    assert "Ana" not in recorded.get("variables", "")


def test_nothing_is_redacted_that_is_not_captured(spans: Finished) -> None:
    """The function is not called if content is not captured, or no span is recorded."""
    called: list[str] = []

    def keep(text: str) -> str:
        called.append(text)
        return text

    assert rendered(spans, redact=keep, capture_content=False) == {}
    assert called == []


def test_a_redaction_may_use_the_registry(spans: Finished) -> None:
    """It is called under no lock, so that it may read and write."""
    called: list[str] = []

    def reads(text: str) -> str:
        if not called:
            called.append(text)
            registry.save("other", "Other")
            return registry.get("other").template + text  # type: ignore[operator,return-value]
        return text

    with Registry(":memory:", capture_content=True, redact=reads) as registry:
        registry.create("greet", "Hello {{ name }}")
        assert registry.render("greet", name="Ana").text == "Hello Ana"
    assert called
    assert {span.name for span in spans()} >= {"render_prompt greet", "save_prompt other"}
