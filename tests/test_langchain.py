"""The programs for LangChain on its page, with the real package, do what the page promises."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry import trace

from promptreg import MissingVariablesError, NotFoundError
from promptreg.telemetry import PromptSpanProcessor
from tests.frameworks import MARKS, NAME, VARIABLES, VERSION, imported, prompts_on, running
from tests.otel import tracing
from tests.sdk_server import ANSWER, serving

pytestmark = MARKS


@pytest.fixture(scope="module")
def langchain(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The program for LangChain."""
    imported("langchain_core", "langchain-core")
    with running("chain.py", "frameworks.md", tmp_path_factory) as names:
        yield names


def test_a_prompt_of_langchain_takes_a_label_or_a_version(langchain: Any) -> None:
    """Or what is live."""
    for choice, text in (({}, "Hi Ana"), ({"label": "old"}, "Hello Ana"), ({"version": 1}, "Hello Ana")):
        (message,) = langchain.prompt("greet", **choice).invoke({"name": "Ana"})
        assert message.text == text


def test_a_chain_of_langchain_runs_asynchronously_in_batches_and_as_a_stream(langchain: Any) -> None:
    """As every Runnable does."""
    greet = langchain.prompt("greet") | langchain.model | langchain.StrOutputParser()
    assert asyncio.run(greet.ainvoke({"name": "Ana"})) == "Hi Ana"
    assert greet.batch([{"name": "Ana"}, {"name": "Ben"}]) == ["Hi Ana", "Hi Ben"]
    assert "".join(greet.stream({"name": "Ana"})) == "Hi Ana"


def test_the_next_call_of_a_chain_sees_a_change(langchain: Any) -> None:
    """Though the chain was built before."""
    langchain.registry.save("changing", "Before")
    chain = langchain.prompt("changing") | langchain.model | langchain.StrOutputParser()
    assert chain.invoke({}) == "Before"
    langchain.registry.update("changing", template="After")
    assert chain.invoke({}) == "After"


def test_a_placeholder_takes_messages_of_langchain(langchain: Any) -> None:
    """A conversation with a tool call comes out as it went in."""
    from langchain_core.messages import AIMessage, HumanMessage, SystemMessage, ToolMessage

    asked = {"name": "weather", "args": {"place": "Kyoto"}, "id": "c1"}
    history = [
        HumanMessage("Hi {{ 1 }}"),
        AIMessage("", tool_calls=[asked]),
        ToolMessage("Rain", tool_call_id="c1"),
        AIMessage("It rains."),
    ]
    messages = langchain.prompt("rich").invoke({**VARIABLES, "history": history})
    assert messages[0] == SystemMessage("Use the tools.")
    for message, given in zip(messages[1:5], history, strict=True):
        assert type(message) is type(given)
        assert message.content == given.content
        assert getattr(message, "tool_calls", None) == getattr(given, "tool_calls", None)
        assert getattr(message, "tool_call_id", None) == getattr(given, "tool_call_id", None)


def test_images_and_tool_calls_reach_the_client_of_openai_through_langchain(langchain: Any) -> None:
    """What it sends is what `rendered.messages` has, and the config."""
    openai = imported("langchain_openai", "langchain-openai")
    history = [{"role": "developer", "content": "Be brief."}, {"role": "user", "content": "Hi", "name": "ana"}]
    config = {"model": "n", "temperature": 0.2, "response_format": {"type": "json_object"}}
    langchain.registry.update("rich", config=config)
    rendered = langchain.registry.render("rich", VARIABLES, history=history)
    with serving() as server:
        model = openai.ChatOpenAI(model="m", api_key="k", base_url=server.openai)
        assert model.invoke(langchain.as_messages(rendered), **rendered.config).text == ANSWER
        sent = server.sent()
    messages = [{key: value for key, value in message.items() if value is not None} for message in sent.pop("messages")]
    assert messages == rendered.messages
    assert {key: sent[key] for key in config} == config


def test_an_error_of_the_registry_leaves_a_chain_as_it_is(langchain: Any) -> None:
    """Synchronously and not."""
    chain = langchain.prompt("gret") | langchain.model
    with pytest.raises(NotFoundError, match="did you mean 'greet'"):
        chain.invoke({"name": "Ana"})
    with pytest.raises(NotFoundError):
        asyncio.run(chain.ainvoke({"name": "Ana"}))
    with pytest.raises(MissingVariablesError):
        langchain.prompt("greet").invoke({})


def test_the_prompt_is_in_the_context_and_the_metadata_of_the_traced_call(langchain: Any) -> None:
    """Callbacks are what instrumentations of LangChain start their spans in; the config is in the call."""
    from langchain_core.callbacks import BaseCallbackHandler

    class Instrumentation(BaseCallbackHandler):
        def on_chat_model_start(self, serialized: Any, messages: Any, *, metadata: Any, **more: Any) -> None:
            trace.get_tracer("langchain").start_span("chat").end()
            seen.append((metadata, more["invocation_params"]))

    seen: list[Any] = []
    with tracing(PromptSpanProcessor()) as spans:
        langchain.traced.invoke({"question": "Why?"}, {"callbacks": [Instrumentation()]})
    assert prompts_on(spans, "chat") == [("reply", "1")]
    ((metadata, parameters),) = seen
    assert (metadata[NAME], metadata[VERSION]) == ("reply", "1")
    assert parameters["temperature"] == 0.2
