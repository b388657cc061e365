"""The programs for LiteLLM on its page, with the real package, do what the page promises."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from opentelemetry import trace

from promptreg import MissingVariablesError, NotFoundError, PromptDisabledError, Registry, VersionNotFoundError
from promptreg.telemetry import PromptSpanProcessor
from tests.conftest import until
from tests.frameworks import MARKS, VARIABLES, imported, prompts_on, running
from tests.otel import alone, tracing
from tests.sdk_server import serving

pytestmark = MARKS

QUESTION = {"role": "user", "content": "Why?"}


@pytest.fixture(scope="module")
def litellm() -> Any:
    """The package."""
    return imported("litellm", "litellm")


@pytest.fixture(scope="module")
def hook(litellm: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """The program of the hook."""
    with running("hook.py", "frameworks.md", tmp_path_factory) as names:
        names.registry.update("greet", config={"model": "openai/m", "temperature": 0.2})
        names.registry.set_label("greet", "live", 3)
        names.registry.disable(names.registry.create("off", "Hi").name)
        yield names
    litellm.callbacks = []


class Calls:
    """Calls by LiteLLM of a server, each of which returns the body that was sent."""

    def __init__(self, litellm: Any, server: Any) -> None:
        self.litellm = litellm
        self.server = server

    def arguments(self, **more: Any) -> dict[str, Any]:
        """Return the arguments of a call."""
        name = {"prompt_id": "greet", "prompt_variables": {"name": "Ana"}}
        return {"model": "openai/any", "api_base": self.server.openai, "api_key": "k", **name, **more}

    def sync(self, **more: Any) -> dict[str, Any]:
        """Call `completion`."""
        self.litellm.completion(**self.arguments(**more))
        return self.server.sent()

    def asynchronous(self, **more: Any) -> dict[str, Any]:
        """Call `acompletion`."""
        asyncio.run(self.litellm.acompletion(**self.arguments(**more)))
        return self.server.sent()


@pytest.fixture(params=["sync", "asynchronous"])
def call(request: pytest.FixtureRequest, litellm: Any, hook: Any) -> Iterator[Any]:
    """A call of LiteLLM with the hook, by each of its functions, which returns the body that was sent."""
    with serving() as server:
        yield getattr(Calls(litellm, server), request.param)


def test_the_hook_sends_the_prompt_before_the_messages_of_the_caller(call: Any) -> None:
    """Both are sent once, to the model of the config."""
    sent = call(messages=[QUESTION])
    assert sent == {"model": "m", "messages": [{"role": "user", "content": "Hi Ana"}, QUESTION]}


def test_the_hook_needs_no_messages_of_the_caller(call: Any) -> None:
    """Then those of the prompt are all."""
    assert call()["messages"] == [{"role": "user", "content": "Hi Ana"}]


@pytest.mark.parametrize("choice", [{"prompt_label": "old"}, {"prompt_version": 1}, {"prompt_id": "greet@old"}])
def test_the_hook_takes_a_label_or_a_version(call: Any, choice: dict[str, Any]) -> None:
    """As arguments of LiteLLM, or with the name; that version has no config, so the model is the caller's."""
    assert call(**choice) == {"model": "any", "messages": [{"role": "user", "content": "Hello Ana"}]}


def test_the_hook_passes_placeholders_images_and_tool_calls(call: Any, hook: Any) -> None:
    """They arrive as they were rendered."""
    history = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello!"}]
    sent = call(prompt_id="rich", prompt_variables={**VARIABLES, "history": history})
    assert sent["messages"] == hook.registry.render("rich", VARIABLES, history=history).messages


def test_the_next_call_with_the_hook_sees_a_change(call: Any, hook: Any) -> None:
    """There is no time to live."""
    hook.registry.save("changing", "Before")
    assert call(prompt_id="changing")["messages"][0]["content"] == "Before"
    hook.registry.update("changing", template="After")
    assert call(prompt_id="changing")["messages"][0]["content"] == "After"


def test_litellm_drops_the_parameters_of_the_hook_and_keeps_the_callers(call: Any) -> None:
    """So a config with parameters is for `rendered.openai()`, as the page says; if this fails, the page can change."""
    assert "temperature" not in call()
    assert call(temperature=1)["temperature"] == 1


def test_the_hook_returns_the_config_with_the_callers_parameters_in_its_place(hook: Any) -> None:
    """For what LiteLLM does with them."""
    answer = hook.RegistryPrompts().get_chat_completion_prompt(
        "openai/any", [], {"temperature": 1, "user": "ana"}, "greet", {"name": "Ana"}, {}
    )
    assert answer == ("openai/m", [{"role": "user", "content": "Hi Ana"}], {"temperature": 1, "user": "ana"})


@pytest.mark.parametrize(
    ("error", "arguments"),
    [
        (NotFoundError, {"prompt_id": "gret"}),
        (VersionNotFoundError, {"prompt_version": 9}),
        (MissingVariablesError, {"prompt_variables": None}),
        (PromptDisabledError, {"prompt_id": "off"}),
    ],
)
def test_completion_raises_our_error_and_acompletion_wraps_it(
    litellm: Any, hook: Any, error: type[Exception], arguments: dict[str, Any]
) -> None:
    """The wrapper's message has ours, and the server is not called."""
    with serving() as server:
        calls = Calls(litellm, server)
        with pytest.raises(error) as bare:
            calls.sync(**arguments)
        with pytest.raises(litellm.APIConnectionError) as wrapped:
            calls.asynchronous(**arguments)
        assert server.requests == []
    assert str(bare.value) in str(wrapped.value)


def test_a_text_of_digits_is_no_version(litellm: Any, hook: Any) -> None:
    """As in every call of the registry, and the error says what to pass."""
    with serving() as server, pytest.raises(Exception, match="pass 1"):
        Calls(litellm, server).sync(prompt_version="1")


def test_a_call_without_a_prompt_is_not_the_hooks(call: Any) -> None:
    """Its messages are sent as they are, with cache points that LiteLLM itself injects."""
    points = [{"location": "message", "role": "user"}]
    assert call(prompt_id=None, messages=[QUESTION])["messages"] == [QUESTION]
    (message,) = call(prompt_id=None, messages=[QUESTION], cache_control_injection_points=points)["messages"]
    assert message["role"] == "user"


def test_acompletion_needs_a_model_with_a_prefix_even_with_the_hook(litellm: Any, hook: Any) -> None:
    """It looks for the provider first; `completion` runs the hook first."""
    with serving() as server:
        calls = Calls(litellm, server)
        assert calls.sync(model="any")["model"] == "m"
        with pytest.raises(litellm.BadRequestError, match="Provider NOT provided"):
            calls.asynchronous(model="any")


def test_streaming_works_with_the_hook(litellm: Any, hook: Any) -> None:
    """In both functions."""
    arguments = {"model": "openai/any", "prompt_id": "brief", "mock_response": "Hi you", "stream": True}

    async def streamed() -> str:
        return "".join([chunk.choices[0].delta.content or "" async for chunk in await litellm.acompletion(**arguments)])

    assert "".join(chunk.choices[0].delta.content or "" for chunk in litellm.completion(**arguments)) == "Hi you"
    assert asyncio.run(streamed()) == "Hi you"


def test_a_router_runs_the_hook(litellm: Any, hook: Any) -> None:
    """In both functions; the deployment's model is replaced by that of the config."""
    with serving() as server:
        deployment = {"model": "openai/any", "api_key": "k", "api_base": server.openai}
        router = litellm.Router(model_list=[{"model_name": "chat", "litellm_params": deployment}])
        arguments = {"model": "chat", "messages": [QUESTION], "prompt_id": "greet", "prompt_variables": {"name": "Ana"}}
        router.completion(**arguments)
        expected = {"model": "m", "messages": [{"role": "user", "content": "Hi Ana"}, QUESTION]}
        assert server.sent() == expected
        asyncio.run(router.acompletion(**arguments))
        assert server.sent() == expected


def test_responses_runs_the_hook_and_aresponses_does_not(litellm: Any, hook: Any) -> None:
    """So the page says to call it directly; if this fails, the page can change."""
    with serving() as server:
        arguments = Calls(litellm, server).arguments(model="openai/any", input="Why?", prompt_label="old")
        litellm.responses(**arguments)
        assert [each["content"] for each in server.sent()["input"]] == ["Hello Ana", "Why?"]
        asyncio.run(litellm.aresponses(**arguments))
        assert server.sent()["input"] in ("Why?", [QUESTION])


def test_the_callers_span_carries_the_prompt_of_the_hook(litellm: Any, hook: Any) -> None:
    """With `spans="attributes"`."""
    with tracing() as spans, trace.get_tracer("app").start_as_current_span("answer"):
        litellm.completion("openai/any", prompt_id="brief", prompt_version=1, mock_response="So.")
    assert prompts_on(spans, "answer") == [("brief", "1")]


def spans_of_litellms_callback() -> list[tuple[Any, Any]]:
    """Return the prompts on the spans that LiteLLM's callback makes of a call by each function, after it."""
    litellm = imported("litellm", "litellm")
    found: list[tuple[Any, Any]] = []
    with Registry(":memory:") as registry, tracing(PromptSpanProcessor()) as spans:
        rendered = registry.create("greet", "Hi", config={"model": "openai/m"}).render()
        litellm.callbacks = ["otel"]

        def is_there(number: int) -> bool:
            found.extend(prompts_on(spans, "litellm_request"))
            return len(found) == number

        async def asked() -> None:
            await litellm.acompletion(**rendered.openai(), mock_response="So.")
            async with asyncio.timeout(30):
                while not is_there(2):  # the callback is called in this loop
                    await asyncio.sleep(0.01)

        with rendered.trace_context():
            litellm.completion(**rendered.openai(), mock_response="So.")
            until(lambda: is_there(1))
            asyncio.run(asked())
        until(lambda: is_there(2))
    return found


def test_the_spans_of_litellms_own_callback_carry_the_prompt(litellm: Any) -> None:
    """Those of `otel`, which are made in other threads; alone, as it stays installed in its process."""
    assert alone(spans_of_litellms_callback) == [("greet", "1"), ("greet", "1")]


def test_completion_takes_what_openai_returns(litellm: Any, hook: Any) -> None:
    """All of the config arrives, in both functions, and in both functions of the Responses API."""
    rendered = hook.registry.render("greet", name="Ana")
    expected = {"model": "m", "temperature": 0.2, "messages": [{"role": "user", "content": "Hi Ana"}]}
    with serving() as server:
        more = {"api_base": server.openai, "api_key": "k"}
        litellm.completion(**rendered.openai(**more))
        assert server.sent() == expected
        asyncio.run(litellm.acompletion(**rendered.openai(**more)))
        assert server.sent() == expected
        litellm.responses(**rendered.openai_responses(**more))
        asked = server.sent()
        assert (asked["model"], asked["temperature"]) == ("m", 0.2)
        asyncio.run(litellm.aresponses(**rendered.openai_responses(**more)))
        assert server.sent() == asked
