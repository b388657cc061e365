"""Noticing that what a client has listed is out of date, whichever process changed it."""

import hashlib
from contextlib import suppress
from time import monotonic

import anyio
from anyio.to_thread import run_sync
from mcp.server.connection import Connection
from mcp.server.session import ServerSession
from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler, PromptsListChanged

from promptreg.errors import PromptregError
from promptreg.mcp.compat import connection_of
from promptreg.mcp.listing import LISTED
from promptreg.registry import Registry

PAUSE = 0.5  # seconds between two reads of the revision, which is a number
REST = 4  # times as long as reading the list took (50 ms for 1,000 prompts), so that a server does other things too
PATIENCE = 5.0  # seconds in which clients must take a notification; over HTTP one may have stopped reading


class Watch:
    """Notifies clients when what the actor may list has changed, and of nothing that it may not read (rule 18)."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._seen = -1
        self._digest = b""
        self._took = 0.0
        self._connections: set[Connection] = set()
        self._bus = InMemorySubscriptionBus()
        self.listen = ListenHandler(self._bus)
        self.has_begun = anyio.Event()

    def add(self, session: ServerSession) -> None:
        """Notify this client too, until it is gone; one of the protocol of 2026 asks for it itself, by `listen`."""
        connection = connection_of(session)
        if connection not in self._connections:
            self._connections.add(connection)
            connection.exit_stack.callback(self._connections.discard, connection)

    async def run(self) -> None:
        """Look for changes until cancelled.

        A database that can't be read is no change: whoever asks for a prompt gets the error.
        """
        with suppress(PromptregError):
            await run_sync(self._look)
        self.has_begun.set()
        while True:
            await anyio.sleep(max(PAUSE, REST * self._took))
            with suppress(PromptregError):
                if await run_sync(self._look):
                    await self._notify()

    async def _notify(self) -> None:
        await self._bus.publish(PromptsListChanged())
        with anyio.move_on_after(PATIENCE):
            async with anyio.create_task_group() as tasks:
                for connection in [*self._connections]:
                    tasks.start_soon(connection.send_prompt_list_changed)

    def _look(self) -> bool:
        """Return whether a list shows something else than at the last look."""
        revision = self._registry.revision
        if revision == self._seen:
            return False
        begun = monotonic()
        digest = self._digest_of_list()
        is_changed = digest != self._digest
        self._seen, self._digest, self._took = revision, digest, monotonic() - begun
        return is_changed

    def _digest_of_list(self) -> bytes:
        listed = hashlib.sha256()
        for prompt in self._registry.iterate(**LISTED):
            listed.update(f"{prompt.name}\0{prompt.version}\0{prompt.content_hash}\n".encode())
        return listed.digest()
