"""The other calls of the real clients, async ones and those that stream, and Azure's client take the same arguments."""

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest

from promptreg import Registry, Rendered
from tests.sdk_server import Server, serving

pytestmark = pytest.mark.slow  # the packages take seconds to import


@pytest.fixture
def server() -> Iterator[Server]:
    """A server that stands for the providers."""
    with serving() as running:
        yield running


@pytest.fixture
def rendered() -> Iterator[Rendered]:
    """A chat without a config."""
    with Registry(":memory:") as registry:
        registry.create("p", [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "Why?"}])
        yield registry.render("p")


def test_openai_streams_and_is_async(rendered: Rendered, server: Server) -> None:
    """Of both APIs; and Azure's client takes the same."""
    openai: Any = pytest.importorskip("openai", reason="openai is not installed")
    chat, responses = rendered.openai(model="m"), rendered.openai_responses(model="m")

    async def ask() -> None:
        async with openai.AsyncOpenAI(api_key="k", base_url=server.openai, max_retries=0) as client:
            await client.chat.completions.create(**chat)
            assert server.sent() == chat
            await client.responses.create(**responses)
            assert server.sent() == responses

    asyncio.run(ask())
    with openai.OpenAI(api_key="k", base_url=server.openai, max_retries=0) as client:
        client.chat.completions.create(**rendered.openai(model="m", stream=True)).close()
        assert server.sent() == {**chat, "stream": True}
        with client.responses.stream(**responses):
            assert server.sent() == {**responses, "stream": True}
    with openai.AzureOpenAI(api_key="k", azure_endpoint=server.url, api_version="v", max_retries=0) as azure:
        azure.chat.completions.create(**chat)
        assert server.sent() == chat


def test_anthropic_streams_and_is_async(rendered: Rendered, server: Server) -> None:
    """By `messages.stream` too, and `messages.create` with `stream`."""
    anthropic: Any = pytest.importorskip("anthropic", reason="anthropic is not installed")
    arguments = rendered.anthropic(model="m", max_tokens=5)

    async def ask() -> None:
        async with anthropic.AsyncAnthropic(api_key="k", base_url=server.anthropic, max_retries=0) as client:
            await client.messages.create(**arguments)
            assert server.sent() == arguments

    asyncio.run(ask())
    with anthropic.Anthropic(api_key="k", base_url=server.anthropic, max_retries=0) as client:
        with client.messages.stream(**arguments):
            assert server.sent() == {**arguments, "stream": True}
        client.messages.create(**rendered.anthropic(model="m", max_tokens=5, stream=True)).close()
        assert server.sent() == {**arguments, "stream": True}


@pytest.mark.filterwarnings("ignore")  # of the package's import
def test_gemini_streams_and_is_async(rendered: Rendered, server: Server) -> None:
    """By `client.aio`, and by a method of its own."""
    genai: Any = pytest.importorskip("google.genai", reason="google-genai is not installed")
    arguments = rendered.gemini(model="m", temperature=0)
    with genai.Client(api_key="k", http_options={"base_url": server.gemini}) as client:
        client.models.generate_content(**arguments)
        expected = server.sent()
        asyncio.run(client.aio.models.generate_content(**arguments))
        assert server.sent() == expected
        with pytest.raises(genai.errors.ClientError):  # this server answers no stream
            list(client.models.generate_content_stream(**arguments))
        assert server.sent() == expected
