"""Serving one client on standard input and output, as clients start a server."""

import os
import sys
import threading
from collections.abc import AsyncIterator
from typing import TextIO

import anyio
from anyio import from_thread
from anyio.lowlevel import current_token
from mcp.server.stdio import stdio_server

from promptreg.mcp.server import prompt_server
from promptreg.registry import Registry


def serve(registry: Registry) -> None:
    """Serve until the client closes standard input, or goes away."""
    try:
        anyio.run(_serve, registry)
    except* (BrokenPipeError, ConnectionResetError):
        pass


async def _serve(registry: Registry) -> None:
    server = prompt_server(registry)
    async with stdio_server(stdin=_Lines()) as (reading, writing):  # type: ignore[arg-type]
        await server.run(reading, writing, server.create_initialization_options())


class _Lines:
    """The lines of standard input, read by a thread that nothing waits for, so that Ctrl-C ends a server that reads."""

    def __aiter__(self) -> AsyncIterator[str]:
        return self._lines()

    async def _lines(self) -> AsyncIterator[str]:
        sending, receiving = anyio.create_memory_object_stream[str](0)
        token = current_token()

        def read() -> None:
            try:
                with _own_stdin() as lines:
                    for line in lines:
                        from_thread.run(sending.send, line, token=token)
                from_thread.run_sync(sending.close, token=token)
            except (RuntimeError, anyio.BrokenResourceError, anyio.ClosedResourceError):
                pass  # the server has ended meanwhile

        threading.Thread(target=read, daemon=True, name="promptreg mcp: standard input").start()
        async with receiving:
            async for line in receiving:
                yield line


def _own_stdin() -> TextIO:
    """Return standard input as a file of its own: Python could not end while a thread reads its `sys.stdin`."""
    try:
        descriptor = os.dup(sys.stdin.fileno())
    except OSError:  # it is closed, or in memory
        return sys.stdin
    return open(descriptor, encoding="utf-8", errors="replace", newline="\n")
