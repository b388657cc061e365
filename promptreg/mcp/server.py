"""The MCP server of the prompts of a registry."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import anyio
from anyio.to_thread import run_sync
from mcp import MCPError, types
from mcp.server import NotificationOptions, Server, ServerRequestContext
from mcp.server.models import InitializationOptions

from promptreg.mcp.arguments import completions, read_arguments
from promptreg.mcp.failures import as_mcp_errors
from promptreg.mcp.listing import listed_page, version_of
from promptreg.mcp.messages import prompt_messages
from promptreg.mcp.watching import Watch
from promptreg.registry import Registry
from promptreg.telemetry.metrics import installed_version

R = TypeVar("R")
Context = ServerRequestContext[Watch]

INSTRUCTIONS = "Versioned prompts. NAME@3 and NAME@staging get another version than the live one, which is listed."


class PromptServer(Server[Watch]):
    """An MCP server whose list of prompts may change while it serves."""

    def create_initialization_options(
        self, notification_options: NotificationOptions | None = None, *arguments: Any, **more: Any
    ) -> InitializationOptions:
        """Return what a client is told at the start: that prompts are listed, and that changes are notified."""
        options = notification_options or NotificationOptions(prompts_changed=True)
        return super().create_initialization_options(options, *arguments, **more)


def prompt_server(registry: Registry) -> PromptServer:
    """Return the MCP server of what the actor of a registry, or of a view of one, may read.

    Every client acts as that actor. It runs on any transport of the package `mcp`; `promptreg mcp` runs it on standard
    input and output. The registry stays open as long as the server runs; closing it is the caller's.

    >>> import asyncio
    >>> from mcp import Client
    >>> from promptreg import Registry
    >>> async def names(registry):
    ...     async with Client(prompt_server(registry)) as client:
    ...         return [prompt.name for prompt in (await client.list_prompts()).prompts]
    >>> with Registry(":memory:") as registry:
    ...     _ = registry.create("greet", "Hello {{ name }}!")
    ...     asyncio.run(names(registry))
    ['greet']
    """
    prompts = _Prompts(registry)
    server = PromptServer(
        "promptreg",
        title="promptreg",
        version=installed_version(),
        instructions=INSTRUCTIONS,
        lifespan=prompts.watched,
        on_list_prompts=prompts.list,
        on_get_prompt=prompts.get,
        on_completion=prompts.complete,
        on_subscriptions_listen=prompts.listen,
    )
    server.add_notification_handler("notifications/initialized", types.NotificationParams, prompts.initialized)
    return server


class _Prompts:
    """The handlers; what they read of the registry is read in a thread, as a busy database makes a read wait."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    @asynccontextmanager
    async def watched(self, _: Server[Watch]) -> AsyncIterator[Watch]:
        watch = Watch(self._registry)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(watch.run)
            yield watch
            tasks.cancel_scope.cancel()

    async def initialized(self, context: Context, _: types.NotificationParams | None) -> None:
        context.lifespan_context.add(context.session)

    async def listen(
        self, context: Context, params: types.SubscriptionsListenRequestParams
    ) -> types.SubscriptionsListenResult:
        return await context.lifespan_context.listen(context, params)

    async def list(self, context: Context, params: types.PaginatedRequestParams | None) -> types.ListPromptsResult:
        await context.lifespan_context.has_begun.wait()  # so that no change after this answer is missed
        after = params.cursor if params else None
        return await _answer(lambda: listed_page(self._registry, after))

    async def get(self, _: Context, params: types.GetPromptRequestParams) -> types.GetPromptResult:
        return await _answer(lambda: self._rendered(params.name, params.arguments or {}))

    async def complete(self, _: Context, params: types.CompleteRequestParams) -> types.CompleteResult:
        if not isinstance(params.ref, types.PromptReference):
            raise MCPError(types.INVALID_PARAMS, "This server has prompts only; pass a ref/prompt.")
        name, argument = params.ref.name, params.argument
        values, total = await _answer(lambda: completions(self._registry.get(name), argument.name, argument.value))
        return types.CompleteResult(
            completion=types.Completion(values=values, total=total, has_more=total > len(values))
        )

    def _rendered(self, name: str, arguments: dict[str, str]) -> types.GetPromptResult:
        prompt = self._registry.get(name)
        variables = read_arguments(prompt, arguments)
        rendered = self._registry.render(prompt.id, variables, version=prompt.version)
        return types.GetPromptResult(
            description=prompt.description or None, messages=prompt_messages(rendered), _meta=version_of(prompt)
        )


async def _answer(read: Callable[[], R]) -> R:
    with as_mcp_errors():
        return await run_sync(read)
