"""Noticing that what a client has listed is out of date, whichever process changed it."""

import hashlib
from collections import deque
from contextlib import suppress
from time import monotonic

import anyio
from anyio.to_thread import run_sync
from mcp.server.session import ServerSession
from mcp.server.subscriptions import InMemorySubscriptionBus, ListenHandler, PromptsListChanged

from promptreg.errors import PromptregError
from promptreg.mcp.listing import LISTED
from promptreg.registry import Registry

PAUSE = 0.5  # seconds between two reads of the revision, which is a number
REST = 4  # times as long as the list took to read (50 ms for 1,000 prompts), so that reading it is never all it does
MOST_SESSIONS = 10_000  # that are notified: over HTTP a session may end without a word


class Watch:
    """Notifies clients when what the actor may list has changed, and of nothing that it may not read (rule 18)."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._seen = -1
        self._digest = b""
        self._took = 0.0
        self._sessions: deque[ServerSession] = deque(maxlen=MOST_SESSIONS)
        self._bus = InMemorySubscriptionBus()
        self.listen = ListenHandler(self._bus)
        self.has_begun = anyio.Event()

    def add(self, session: ServerSession) -> None:
        """Notify this client too; one of the protocol of 2026 asks for it itself, by `listen`."""
        self._sessions.append(session)

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
        for session in [*self._sessions]:
            await session.send_prompt_list_changed()

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
