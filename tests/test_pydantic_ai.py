"""The programs for PydanticAI on its page, with the real package, do what the page promises."""

import asyncio
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from promptreg import PromptDisabledError, Registry, VersionNotFoundError
from promptreg.telemetry import PromptSpanProcessor
from tests.frameworks import MARKS, RICH, VARIABLES, imported, looping, prompts_on, run, running
from tests.otel import tracing

pytestmark = MARKS


@pytest.fixture(scope="module")
def pydantic_ai() -> Any:
    """The package."""
    return imported("pydantic_ai", "pydantic-ai-slim")


@pytest.fixture(autouse=True)
def event_loop() -> Iterator[None]:
    """The event loop that `run_sync` needs; without one it makes one that is never closed."""
    with looping():
        yield


@pytest.fixture(scope="module")
def agent(pydantic_ai: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The program with agents."""
    with running("agent.py", "agents.md", tmp_path_factory) as names:
        yield names


@pytest.fixture(scope="module")
def examples(pydantic_ai: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """The program with a chat prompt."""
    return run("examples.py", "agents.md", tmp_path_factory)


@pytest.fixture
def model(pydantic_ai: Any) -> Any:
    """A model of PydanticAI that records what it is called with, and answers."""
    from pydantic_ai.models.function import FunctionModel

    def answer(messages: Any, info: Any) -> Any:
        recorded.seen.append((messages, info))
        return pydantic_ai.ModelResponse([pydantic_ai.TextPart("An answer")])

    recorded = FunctionModel(answer)
    recorded.seen = []
    return recorded


def test_an_agent_has_the_instructions_model_and_settings_of_the_version_chosen(agent: Any) -> None:
    """By a label or a version, or what is live."""
    agent.registry.set_label("advise", "old", 1)
    for choice, text in (
        ({}, "You help Ana, briefly."),
        ({"label": "old"}, "You help Ana."),
        ({"version": 1}, "You help Ana."),
    ):
        result = agent.ask("Why?", **choice)
        request, response = result.all_messages()
        assert request.instructions == text
        assert response.model_name == "test"


def test_the_settings_of_the_config_reach_the_model(agent: Any, model: Any, pydantic_ai: Any) -> None:
    """And so do the instructions and the question."""
    nested = {"temperature": 0.2, "logit_bias": {"50256": -100}}
    agent.registry.update("advise", config={"model": "test", **nested})
    with agent.agent.override(model=model):
        agent.ask("Why?")
    agent.registry.rollback("advise", reason="as it was")
    ((messages, info),) = model.seen
    assert info.model_settings == nested
    assert info.instructions == "You help Ana, briefly."
    assert [part.content for part in messages[0].parts] == ["Why?"]


def test_each_run_has_the_instructions_of_its_time(agent: Any, model: Any) -> None:
    """The conversation is passed on, and only the newest instructions reach the model."""
    with agent.greeter.override(model=model):
        first = agent.greeter.run_sync("One", deps="Ben")
        before = agent.registry.update("advise", template="You serve {{ customer }}.").version
        agent.greeter.run_sync("Two", deps="Ben", message_history=first.all_messages())
        agent.registry.rollback("advise", reason="as it was")
    assert before > 1
    assert [info.instructions for _, info in model.seen] == ["You help Ben, briefly.", "You serve Ben."]
    assert len(model.seen[1][0]) == 3


def test_an_agent_runs_asynchronously(agent: Any) -> None:
    """The instructions are a plain function, which takes microseconds."""
    result = asyncio.run(agent.greeter.run("Hello", deps="Ben"))
    assert result.all_messages()[0].instructions == "You help Ben, briefly."


def test_an_error_of_the_registry_leaves_an_agent_as_it_is(agent: Any) -> None:
    """In both forms, synchronously and not."""
    with pytest.raises(VersionNotFoundError):
        agent.ask("Why?", version=9)
    agent.registry.disable("advise")
    try:
        with pytest.raises(PromptDisabledError):
            agent.ask("Why?")
        with pytest.raises(PromptDisabledError):
            agent.greeter.run_sync("Hello", deps="Ben")
        with pytest.raises(PromptDisabledError):
            asyncio.run(agent.greeter.run("Hello", deps="Ben"))
    finally:
        agent.registry.enable("advise")


def test_the_spans_of_an_agent_carry_the_prompt(agent: Any, pydantic_ai: Any) -> None:
    """PydanticAI's own instrumentation starts them inside the context."""
    pydantic_ai.Agent.instrument_all()
    try:
        with tracing(PromptSpanProcessor()) as spans:
            agent.ask("Why?", version=1)
    finally:
        pydantic_ai.Agent.instrument_all(False)
    assert prompts_on(spans, "chat") == [("advise", "1")]


def test_a_chat_prompt_becomes_messages_of_pydantic_ai(examples: Any, pydantic_ai: Any, model: Any) -> None:
    """With its placeholder, image and tool call, whose result has the tool's name; the last message is the question."""

    with Registry(":memory:") as registry:
        registry.create("rich", RICH)
        history = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!"}]
        rendered = registry.render("rich", VARIABLES, history=history)
    result = pydantic_ai.Agent(model).run_sync(message_history=[*examples.as_messages(rendered)])
    assert result.output == "An answer"
    ((messages, _),) = model.seen
    parts = [part for message in messages for part in message.parts]
    system, user, assistant, asked, returned, question = parts
    assert (system.content, user.content, assistant.content) == ("Use the tools.", ["Hi"], "Hello!")
    assert (asked.tool_name, asked.args_as_dict(), asked.tool_call_id) == ("weather", {"place": "Kyoto"}, "c1")
    assert (returned.tool_name, returned.content, returned.tool_call_id) == ("weather", "Rain", "c1")
    text, image = question.content
    assert (text, image.data, image.media_type) == ("What is {{ 7 * 7 }}?", b"\x89PNG\r\n\x1a\n", "image/png")


def test_an_image_by_its_address_and_texts_in_parts_become_messages_of_pydantic_ai(examples: Any) -> None:
    """Texts in parts are joined where PydanticAI takes one text; audio is refused."""
    address = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
    texts = [{"type": "text", "text": "Be "}, {"type": "text", "text": "brief."}]
    rendered = SimpleNamespace(messages=[{"role": "system", "content": texts}, {"role": "user", "content": [address]}])
    system, user = examples.as_messages(rendered)
    assert system.parts[0].content == "Be brief."
    assert user.parts[0].content[0].url == "https://example.com/a.png"
    audio = {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}
    with pytest.raises(ValueError, match="input_audio"):
        list(examples.as_messages(SimpleNamespace(messages=[{"role": "user", "content": [audio]}])))
