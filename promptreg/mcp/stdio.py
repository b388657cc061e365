"""Serving one client on standard input and output, as clients start a server."""

import os
import signal
import sys
import threading
from asyncio import get_running_loop
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO

import anyio
from anyio import from_thread
from anyio.lowlevel import current_token
from mcp.server.stdio import stdio_server

from promptreg.mcp.server import prompt_server
from promptreg.registry import Registry


def serve(registry: Registry) -> None:
    """Serve until the client closes standard input, or goes away; raise `KeyboardInterrupt` after Ctrl-C."""
    if anyio.run(_serve, registry):
        raise KeyboardInterrupt


async def _serve(registry: Registry) -> bool:
    """Return whether Ctrl-C has ended it."""
    server, lines = prompt_server(registry), _Lines()
    with _ctrl_c_ends(lines):
        try:
            async with stdio_server(stdin=lines) as (reading, writing):  # type: ignore[arg-type]
                await server.run(reading, writing, server.create_initialization_options())
        except* (BrokenPipeError, ConnectionResetError):
            pass
    return lines.are_interrupted


class _Lines:
    """The lines of standard input, which Ctrl-C ends: a thread reads them, and nothing waits for it."""

    def __init__(self) -> None:
        self._sending, self._receiving = anyio.create_memory_object_stream[str](0)
        self._token = current_token()
        self.are_interrupted = False

    def interrupt(self) -> None:
        """End the lines."""
        self.are_interrupted = True
        self._sending.close()

    async def __aiter__(self) -> AsyncIterator[str]:
        threading.Thread(target=self._read, daemon=True, name="promptreg mcp: standard input").start()
        async with self._receiving:
            async for line in self._receiving:
                yield line

    def _read(self) -> None:
        with suppress(RuntimeError, anyio.BrokenResourceError, anyio.ClosedResourceError):  # the server has ended
            with suppress(OSError), _own_stdin() as lines:  # a terminal or a connection that is gone
                for line in lines:
                    from_thread.run(self._sending.send, line, token=self._token)
            from_thread.run_sync(self._sending.close, token=self._token)


@contextmanager
def _ctrl_c_ends(lines: _Lines) -> Iterator[None]:
    """End the lines at the first Ctrl-C, so that the server ends as with its input; a second one kills the process.

    asyncio cancels the main task instead, and the server of `mcp` may lose that, or fail, when a message is on its way.
    Nothing else ends a server whose client has stopped reading: a thread writes, and Python waits for that.
    """
    loop, before = get_running_loop(), signal.getsignal(signal.SIGINT)

    def interrupt(*_: Any) -> None:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        loop.call_soon_threadsafe(lines.interrupt)

    if before is not signal.SIG_IGN:  # as it is behind `nohup`
        signal.signal(signal.SIGINT, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _own_stdin() -> TextIO:
    """Return standard input as a file of its own: Python could not end while a thread reads its `sys.stdin`."""
    try:
        descriptor = os.dup(sys.stdin.fileno())
    except OSError:  # it is closed, or in memory
        return sys.stdin
    return open(descriptor, encoding="utf-8", errors="replace", newline="\n")
