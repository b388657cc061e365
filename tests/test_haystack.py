"""The programs for Haystack on its page, with the real package, do what the page promises."""

import asyncio
import contextlib
from collections.abc import Iterator
from typing import Any

import pytest

from promptreg import MissingVariablesError, NotFoundError
from tests.frameworks import MARKS, NAME, VARIABLES, VERSION, imported, running
from tests.sdk_server import ANSWER, serving

pytestmark = MARKS


@pytest.fixture(scope="module")
def haystack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The program for Haystack."""
    imported("haystack", "haystack-ai")
    with running("pipeline.py", "agents.md", tmp_path_factory) as names:
        yield names


def only(component: Any) -> Any:
    """Return a pipeline of one component."""
    from haystack import Pipeline

    pipeline = Pipeline()
    pipeline.add_component("prompt", component)
    return pipeline


def test_a_component_takes_a_label_or_a_version(haystack: Any) -> None:
    """Or what is live."""
    for choice, text in (({}, "Hi Ana"), ({"label": "old"}, "Hello Ana"), ({"version": 1}, "Hello Ana")):
        pipeline = only(haystack.RegistryPrompt("greet", ["name"], **choice))
        (message,) = pipeline.run({"prompt": {"name": "Ana"}})["prompt"]["messages"]
        assert message.text == text


def test_a_component_is_run_asynchronously(haystack: Any) -> None:
    """In a pipeline that is."""
    pipeline = only(haystack.RegistryPrompt("greet", ["name"]))
    (message,) = asyncio.run(pipeline.run_async({"prompt": {"name": "Ana"}}))["prompt"]["messages"]
    assert message.text == "Hi Ana"


def test_the_next_run_of_a_pipeline_sees_a_change(haystack: Any) -> None:
    """Though it was built before."""
    haystack.registry.save("changing", "Before")
    pipeline = only(haystack.RegistryPrompt("changing", []))
    assert pipeline.run({"prompt": {}})["prompt"]["messages"][0].text == "Before"
    haystack.registry.update("changing", template="After")
    assert pipeline.run({"prompt": {}})["prompt"]["messages"][0].text == "After"


def test_placeholders_images_and_tool_calls_become_messages_of_haystack(haystack: Any) -> None:
    """Haystack's own messages fill a placeholder once they are in OpenAI's form, and all of it is the same there."""
    from haystack.dataclasses import ChatMessage, ToolCall

    asked = ToolCall("weather", {"place": "Kyoto"}, id="c0")
    history = [
        ChatMessage.from_user("Hi {{ 1 }}"),
        ChatMessage.from_assistant(tool_calls=[asked]),
        ChatMessage.from_tool("Rain", origin=asked),
        ChatMessage.from_assistant("It rains."),
    ]
    plain = [message.to_openai_dict_format() for message in history]
    pipeline = only(haystack.RegistryPrompt("rich", ["history", "question", "photo"]))
    messages = pipeline.run({"prompt": {**VARIABLES, "history": plain}})["prompt"]["messages"]
    assert [message.to_openai_dict_format() for message in messages[1:5]] == plain
    assert messages[5].tool_calls == [ToolCall("weather", {"place": "Kyoto"}, id="c1")]
    assert messages[6].tool_call_results[0].result == "Rain"
    assert messages[7].text == "What is {{ 7 * 7 }}?"
    assert (messages[7].image.base64_image, messages[7].image.mime_type) == ("iVBORw0KGgo=", "image/png")
    assert messages[7].to_openai_dict_format() == haystack.registry.render("rich", VARIABLES).messages[-1]


def test_the_config_reaches_the_client_of_openai_through_haystack(haystack: Any) -> None:
    """It has precedence over the settings of the generator, the model included."""
    from haystack import Pipeline
    from haystack.components.generators.chat import OpenAIChatGenerator
    from haystack.utils import Secret

    config = {"model": "n", "temperature": 0.2, "logit_bias": {"50256": -100}}
    haystack.registry.save("settings", "Hi", config=config)
    with serving() as server:
        generator = OpenAIChatGenerator(Secret.from_token("k"), model="m", api_base_url=server.openai)
        pipeline = Pipeline()
        pipeline.add_component("prompt", haystack.RegistryPrompt("settings", []))
        pipeline.add_component("llm", generator)
        pipeline.connect("prompt.messages", "llm.messages")
        pipeline.connect("prompt.config", "llm.generation_kwargs")
        assert pipeline.run({"prompt": {}})["llm"]["replies"][0].text == ANSWER
        sent = server.sent()
    assert sent["messages"] == [{"role": "user", "content": "Hi"}]
    assert {key: sent[key] for key in config} == config


def test_a_pipeline_with_the_component_can_be_saved_and_loaded(haystack: Any) -> None:
    """Its arguments are in the YAML that Haystack writes."""
    from haystack.core.serialization import component_from_dict, component_to_dict

    component = haystack.RegistryPrompt("greet", ["name"], label="old")
    data = component_to_dict(component, "prompt")
    assert data["init_parameters"] == {"name": "greet", "inputs": ["name"], "label": "old", "version": None}
    loaded = component_from_dict(haystack.RegistryPrompt, data, "prompt")
    assert loaded.run(name="Ana")["messages"][0].text == "Hello Ana"


def test_an_error_of_the_registry_is_the_cause_of_haystacks(haystack: Any) -> None:
    """Whose message has ours."""
    from haystack.core.errors import PipelineRuntimeError

    for name, inputs, error in (("gret", {}, NotFoundError), ("greet", {}, MissingVariablesError)):
        pipeline = only(haystack.RegistryPrompt(name, list(inputs)))
        with pytest.raises(PipelineRuntimeError) as raised:
            pipeline.run({"prompt": inputs})
        assert type(raised.value.__cause__) is error
        assert str(raised.value.__cause__) in str(raised.value)


def test_the_span_of_the_component_carries_the_prompt(haystack: Any) -> None:
    """Where Haystack's tracing is enabled."""
    from haystack import tracing as haystacks

    class RecordingSpan(haystacks.Span):
        def set_tag(self, key: str, value: Any) -> None:
            tags[key] = value

    class RecordingTracer(haystacks.Tracer):
        @contextlib.contextmanager
        def trace(self, *_: Any, **__: Any) -> Iterator[RecordingSpan]:
            yield RecordingSpan()

        def current_span(self) -> RecordingSpan:
            return RecordingSpan()

    tags: dict[str, Any] = {}
    haystacks.enable_tracing(RecordingTracer())
    try:
        only(haystack.RegistryPrompt("greet", ["name"])).run({"prompt": {"name": "Ana"}})
    finally:
        haystacks.disable_tracing()
    assert (tags[NAME], tags[VERSION]) == ("greet", "2")


def test_an_image_by_its_address_is_refused_by_haystack(haystack: Any) -> None:
    """It takes `data:` URLs only."""
    photo = {"type": "image_url", "image_url": {"url": "https://example.com/a.png"}}
    haystack.registry.save("address", [{"role": "user", "content": [photo]}])
    with pytest.raises(ValueError, match="base64"):
        haystack.RegistryPrompt("address", []).run()
