"""A program of an application, checked by mypy --strict and pyright's strict mode, without casts or ignores."""

from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, assert_type

from openai import AsyncOpenAI, OpenAI
from openai.types.chat import ChatCompletionMessageParam
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from pydantic import BaseModel

from promptreg import (
    Actor,
    Event,
    Grant,
    Page,
    Prompt,
    PromptDisabledError,
    PromptregError,
    Registry,
    Rendered,
    RenderLimits,
    Role,
    Variable,
    Version,
    slugify,
)
from promptreg.telemetry import PromptSpanProcessor


class Question(BaseModel):
    """Variables as a model."""

    question: str
    shop: str = "Tea & Co"


def trace() -> None:
    """Install a tracer provider whose spans carry the prompt."""
    provider = TracerProvider()
    provider.add_span_processor(PromptSpanProcessor())
    processors: list[SpanProcessor] = [PromptSpanProcessor()]
    print(provider, processors)


def check(prompt: Prompt) -> None:
    """Refuse to publish an unfinished prompt."""
    if "TODO" in prompt.description:
        raise ValueError("unfinished")


def show(done: int, total: int) -> None:
    """Show the progress of `verify`."""
    print(done / total)


def open_registry(path: str) -> Registry:
    """Pass every setting."""
    return Registry(
        path,
        namespace="support",
        actor=Actor("ana", Role.TEAM_EDITOR, ["legal"]),
        max_staleness=0.01,
        publish_checks=[check],
        clock=lambda: datetime.now(UTC),
        render_limits=RenderLimits(),
        redact=lambda text: text.replace("secret", "***"),
    )


def ask(client: OpenAI, registry: Registry) -> str | None:
    """Call a model with a rendered prompt."""
    rendered = registry.render("support/reply", Question(question="Why?"), shop="Tea")
    with rendered.trace_context():
        answer = client.chat.completions.create(model="a-model", messages=rendered.messages)
    client.chat.completions.create(messages=rendered.messages, **rendered.config)
    client.chat.completions.create(**rendered.openai(temperature=0))
    client.responses.create(**rendered.openai_responses())
    assert_type(rendered.openai(), dict[str, Any])
    response = client.responses.create(model=rendered.config["model"], input=rendered.text)
    messages: list[ChatCompletionMessageParam] = rendered.messages
    messages.append({"role": "user", "content": "And?"})
    mine: list[dict[str, Any]] = rendered.messages
    print(response.output_text, mine[0]["role"], [message["content"] for message in rendered.messages])
    assert_type(rendered.trace_attributes(), dict[str, str])
    return answer.choices[0].message.content


async def ask_later(client: AsyncOpenAI, rendered: Rendered) -> str | None:
    """Call a model from a task."""
    answer = await client.chat.completions.create(model="a-model", messages=[*rendered.messages])
    return answer.choices[0].message.content


def write(registry: Registry) -> None:
    """Pass every kind of argument to the verbs that write."""
    created = registry.create(
        "greet",
        [{"role": "system", "content": "Be kind"}, {"placeholder": "history"}],
        tags=["a"],
        variables=[Variable(name="words", type="integer"), {"name": "tone", "type": "string", "enum": ["warm", "dry"]}],
        config={"model": "m", "stop": ["."]},
        examples=[{"words": 1}],
        access_grants=[
            ("user:bob", "read"),
            Grant("group:legal", "write"),
            {"principal": "anyone", "permission": "read"},
        ],
    )
    assert_type(created, Prompt)
    part = {"type": "text", "text": "{{ question }}"}
    registry.create(
        "look", [{"role": "user", "content": [part, {"type": "file", "file": {"file_id": "f"}}], "cache": True}]
    )
    history: list[ChatCompletionMessageParam] = [{"role": "assistant", "content": "Hi"}]
    registry.save("look", history)
    registry.seed("look", history, on_conflict="error", release=1.5)
    registry.create("ask", "{{ question }}", variables=Question)
    registry.save("greet", created.template, variables=created.declared_variables, access_grants=created.access_grants)
    pairs = [("user:bob", "read")]
    registry.update("greet", template="Hi", config=None, access_grants=pairs, expected_version=1)
    assert_type(registry.publish("greet", expected_production=0), Prompt)
    assert_type(registry.publish(["greet@2", "ask"], expected_hash={"greet": created.content_hash}), list[Prompt])
    assert_type(registry.publish(prompt.name for prompt in registry.list()), list[Prompt])
    assert_type(registry.rollback({"greet", "ask"}, "spring", reason="x", expected_production={"ask": 2}), list[Prompt])
    assert_type(registry.check("greet", "staging"), list[str])
    assert_type([registry.enable("greet"), registry.disable("greet")], list[Prompt])
    registry.delete("greet")
    assert_type(registry.set_label("greet@2", "staging").labels, dict[str, int])
    assert_type(registry.set_status(["greet"], "disabled", dry_run=True).updated_prompts, int)
    team = registry.scope(namespace="support", actor=Actor(id="ana", role="team_editor"))
    assert_type(team, Registry)
    try:
        team.rollback("greet", reason="too long")
    except PromptDisabledError as error:
        print(error.details["name"], error.code, error.http_status, error.request_id)
    except PromptregError as error:
        print(error.to_dict()["error"])


def read(registry: Registry, prompt: Prompt) -> None:
    """Read the results of verbs."""
    assert_type(registry.get("greet"), Prompt)
    assert_type(registry.get("greet", default=None), Prompt | None)
    assert_type(registry.get("greet", default="absent"), Prompt | str)
    assert_type(registry.get("greet", default=prompt), Prompt)
    assert_type(registry.get("greet", version=3, default=None), Prompt | None)
    assert_type(registry.get("greet", label="staging"), Prompt)
    page = registry.list(status=["active"], tag="a", prefix="support/", label="spring")
    page = registry.list(tag=("a", "b"))
    assert_type(page, Page)
    while page.next:
        page = registry.list(after=page.next)
    for listed in page:
        assert_type(listed, Prompt)
        print(listed.labels["latest"], listed.variables[0].default, listed.is_active, listed.stale)
    assert_type([found.name for found in page], list[str])
    print(len(page), page.items[0].name, sorted(found.name for found in registry.search("x", tag=["a"], category="c")))
    assert_type(registry.history("greet")[0], Version)
    assert_type(registry.events("greet")[0], Event)
    assert_type(registry.events(newest_first=True, action=["publish", "rollback"])[0], Event)
    assert_type(registry.namespaces(), list[str])
    assert_type(registry.get_many(("greet", "part@2")), list[Prompt])
    assert_type(next(registry.iterate(tag="a", label="spring")), Prompt)
    assert_type(registry.diff("greet", 1, "production"), str)
    assert_type(registry.report(["greet"], all_versions=True), str)
    assert_type(registry.verify(head=registry.head(), progress=show), list[str])
    assert_type(registry.head(), str)
    registry.backup(Path("backup.db"), progress=show)
    assert_type(prompt.model_copy(update={"title": "x"}), Prompt)
    assert_type(prompt.failure, list[str] | None)
    template = prompt.template
    print(template.upper() if isinstance(template, str) else template[0]["content"])
    print(prompt.model_dump(mode="json")["name"], Prompt.model_json_schema(), slugify("X"), {prompt: 1})


def render(registry: Registry, prompt: Prompt, given: Mapping[str, object], texts: dict[str, str]) -> None:
    """Pass variables in every way."""
    assert_type(registry.render("greet", words=20, text="…"), Rendered)
    assert_type(registry.render("greet", {"words": 20}, version="staging", default="Hi"), Rendered)
    assert_type(registry.render("greet", given, default=[{"role": "user", "content": "Hi"}]).text, str)
    assert_type(registry.render("greet", texts, label="staging").prompt, Prompt | None)
    assert_type(prompt.render(Question(question="Why?"), shop="Tea").version, int | None)
