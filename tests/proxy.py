"""A proxy between PostgreSQL clients and their server, which fails as networks do.

It reads the messages that it forwards, so a connection can be cut, or frozen, before a chosen statement reaches the
server, or after the server has executed it and before the client learns of it. It counts round trips.
"""

import re
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import NamedTuple
from urllib.parse import urlsplit, urlunsplit

from tests.postgres import PARAMETER, split_target

SSL, GSS = 80877103, 80877104
LENGTH = struct.Struct("!I")
NO_ENCRYPTION = b"N"


class Message(NamedTuple):
    """A message of the protocol: its type, which means something else from either end, and its bytes."""

    is_of_server: bool
    kind: bytes
    raw: bytes

    @property
    def awaits_answer(self) -> bool:
        """Whether it is the last one that a client sends before it waits."""
        return not self.is_of_server and self.kind in (b"Q", b"S")

    @property
    def statement(self) -> str | None:
        """The text of a statement that a client sends, simple or extended."""
        if self.is_of_server or self.kind not in (b"Q", b"P"):
            return None
        return (self.raw[5:-1] if self.kind == b"Q" else self.raw[5:].split(b"\0")[1]).decode()

    @property
    def tag(self) -> str | None:
        """The tag of a statement that the server has completed: `COMMIT`, `INSERT 0 1`."""
        return self.raw[5:-1].decode() if self.is_of_server and self.kind == b"C" else None


def messages_in(buffer: bytearray, *, is_of_server: bool) -> Iterator[Message]:
    """Take the complete messages from the start of a buffer."""
    while len(buffer) >= 5:
        end = 1 + LENGTH.unpack_from(buffer, 1)[0]
        if len(buffer) < end:
            return
        raw = bytes(buffer[:end])
        del buffer[:end]
        yield Message(is_of_server, raw[:1], raw)


class Link:
    """A client's connection, and the one to the server that stands for it."""

    def __init__(self, client: socket.socket, server: socket.socket) -> None:
        self.client, self.server = client, server
        self.is_frozen = self.is_cut = False
        self.running = 2
        for end in (client, server):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def cut(self) -> None:
        """End both connections; what was not forwarded is lost."""
        self.is_cut = True
        for end in (self.client, self.server):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def freeze(self) -> None:
        """Forward nothing more, and say nothing; the connections stay open."""
        self.is_frozen = True

    def thaw(self) -> None:
        """Forward again, with what came meanwhile."""
        self.is_frozen = False

    def forward(self, data: bytes, end: socket.socket) -> None:
        """Send bytes to one end; wait while the link is frozen."""
        while self.is_frozen and not self.is_cut:
            time.sleep(0.002)
        if self.is_cut:
            raise ConnectionAbortedError
        end.sendall(data)


class Trap(NamedTuple):
    """What to do to the link at the first statement, or its completion, that the pattern is found in."""

    is_completion: bool
    pattern: re.Pattern[str]
    do: Callable[[Link], None]
    skipped: list[None]


class Proxy:
    """A listening proxy of a server; `url` is the server's URL through it."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._address = (parts.hostname or "127.0.0.1", parts.port or 5432)
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        port = self._listener.getsockname()[1]
        self.url = urlunsplit(parts._replace(netloc=f"{parts.username or 'postgres'}@127.0.0.1:{port}"))
        self.delay = 0.0  # seconds of a round trip
        self.is_refusing = self.is_silent = False
        self.statements: list[str] = []
        self.trips = 0  # how often a client has waited for an answer
        self._lock = threading.Lock()
        self._links: list[Link] = []
        self._traps: list[Trap] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def close(self) -> None:
        """Listen no longer, and cut every connection."""
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()

    def through(self, target: str) -> str:
        """Return a target of the server by way of this proxy."""
        return f"{self.url}?{PARAMETER}{split_target(target)[1]}"

    # Faults of the moment

    def cut(self) -> None:
        """Cut every connection that is open."""
        for link in [*self._links]:
            link.cut()

    @contextmanager
    def refusing(self) -> Iterator[None]:
        """Cut every connection, and each new one at once, as where no server runs."""
        self.is_refusing = True
        self.cut()
        try:
            yield
        finally:
            self.is_refusing = False

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Forward nothing, on new connections neither, as in a partition; then go on."""
        self.is_silent = True
        self.forget()
        try:
            yield
        finally:
            self.is_silent = False
            self.thaw()

    def forget(self) -> None:
        """Forward nothing more on the connections that are open, as a firewall that forgets idle ones."""
        for link in [*self._links]:
            link.freeze()

    def thaw(self) -> None:
        """Forward again on the connections that are open, with what came meanwhile."""
        for link in [*self._links]:
            link.thaw()

    # Faults at a message

    def at_statement(self, pattern: str = "", do: Callable[[Link], None] = Link.cut, *, skipped: int = 0) -> None:
        """Do this instead of forwarding a statement whose text has the pattern, after `skipped` others."""
        self._traps.append(Trap(False, re.compile(pattern), do, [None] * skipped))

    def at_completion(self, pattern: str = "", do: Callable[[Link], None] = Link.cut, *, skipped: int = 0) -> None:
        """Do this instead of forwarding that a statement was executed, with a tag that has the pattern."""
        self._traps.append(Trap(True, re.compile(pattern), do, [None] * skipped))

    def disarm(self) -> bool:
        """Drop what still waits for its message; return whether anything did."""
        waited = bool(self._traps)
        self._traps.clear()
        return waited

    def _note(self, message: Message, link: Link) -> None:
        """Count a message, and do what waits for it."""
        self.trips += message.awaits_answer
        if message.statement is not None:
            self.statements.append(message.statement)
        with self._lock:
            due = [trap for trap in self._traps if self._is_due(trap, message)]
            self._traps = [trap for trap in self._traps if trap not in due]
        for trap in due:
            trap.do(link)

    def _is_due(self, trap: Trap, message: Message) -> bool:
        text = message.tag if trap.is_completion else message.statement
        if text is None or not trap.pattern.search(text):
            return False
        if trap.skipped:
            trap.skipped.pop()
            return False
        return True

    # Forwarding

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:  # closed
                return
            try:
                server = None if self.is_refusing else socket.create_connection(self._address)
            except OSError:
                server = None
            if server is None:
                client.close()
                continue
            link = Link(client, server)
            link.is_frozen = self.is_silent
            self._links.append(link)
            for way in (self._to_server, self._to_client):
                threading.Thread(target=self._run, args=(way, link), daemon=True).start()

    def _run(self, way: Callable[[Link], None], link: Link) -> None:
        try:
            way(link)
        except OSError:
            pass
        finally:
            link.cut()
            with self._lock:
                link.running -= 1
                is_last = link.running == 0
            if is_last:
                self._links.remove(link)
                link.client.close()
                link.server.close()

    def _to_server(self, link: Link) -> None:
        buffer, is_started = bytearray(), False
        while data := link.client.recv(1 << 16):
            buffer += data
            time.sleep(self.delay)
            while not is_started and len(buffer) >= 8:  # what comes before the first message has no type
                length, kind = LENGTH.unpack_from(buffer, 0)[0], LENGTH.unpack_from(buffer, 4)[0]
                start = bytes(buffer[:length])
                del buffer[:length]
                is_started = kind not in (SSL, GSS)
                link.forward(start, link.server) if is_started else link.client.sendall(NO_ENCRYPTION)
            self._pass_on(buffer, link, link.server)

    def _to_client(self, link: Link) -> None:
        buffer = bytearray()
        while data := link.server.recv(1 << 16):
            buffer += data
            self._pass_on(buffer, link, link.client)

    def _pass_on(self, buffer: bytearray, link: Link, end: socket.socket) -> None:
        passed = []
        for message in messages_in(buffer, is_of_server=end is link.client):
            self._note(message, link)
            if link.is_cut or link.is_frozen:
                link.forward(b"".join(passed), end)
                passed.clear()
            passed.append(message.raw)
        link.forward(b"".join(passed), end)
