"""A proxy in a process of its own, which delays what clients and a PostgreSQL server send, as a network does.

It records what clients send, in round trips: everything that is sent before the next answer arrives. A statement is
recorded as it was sent, so that `bare` can send the same again over a connection of its own. Connections that listen
for notifications are left out, because nothing waits for their answers.
"""

import multiprocessing
import os
import queue
import socket
import struct
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from multiprocessing.connection import Connection
from typing import Any, NamedTuple, TypeAlias
from urllib.parse import urlsplit, urlunsplit

import psycopg
from psycopg import pq

PLAIN = {"sslmode": "disable", "gssencmode": "disable"}
CHUNK = 1 << 18
SENT, ANSWERED = "sent", "answered"


class Command(NamedTuple):
    """A statement as it was sent: its text with `$1` for each value, and its values."""

    text: bytes
    values: list[bytes | None]
    types: list[int]
    formats: list[int]
    result_format: int


Event: TypeAlias = tuple[str, int, bytes]
"""What a connection did, by its number, and the bytes that a client sent."""
RoundTrip: TypeAlias = list[list[Command]]
"""Batches, each with a Sync behind it, that were sent before the next answer arrived."""


class Delay:
    """The proxy, as its clients see it: `url` leads through it."""

    def __init__(self, url: str, control: Connection) -> None:
        self.url, self._control = url, control

    def record(self) -> None:
        """Forget what was recorded, and begin anew."""
        self._control.send("record")
        self._control.recv()

    def recorded(self) -> list[RoundTrip]:
        """Return the round trips since `record`, and record no more."""
        self._control.send("take")
        return round_trips(self._control.recv())


@contextmanager
def delayed(url: str, round_trip: float) -> Iterator[Delay]:
    """Run a proxy in front of a server; half of the round trip is added in each direction."""
    parts = urlsplit(url)
    ours, theirs = multiprocessing.Pipe()
    listener = socket.create_server(("127.0.0.1", 0))
    context = multiprocessing.get_context("fork")
    server = parts.hostname or "127.0.0.1", parts.port or 5432
    process = context.Process(target=_Proxy(listener, server, round_trip / 2).serve, args=(theirs,), daemon=True)
    process.start()
    user = f"{parts.username}@" if parts.username else ""
    port = listener.getsockname()[1]
    listener.close()
    query = "&".join([*([parts.query] if parts.query else []), *(f"{name}={value}" for name, value in PLAIN.items())])
    try:
        yield Delay(urlunsplit(parts._replace(netloc=f"{user}127.0.0.1:{port}", query=query)), ours)
    finally:
        process.kill()
        process.join()


class _Proxy:
    """What runs in the proxy's process: a thread for each direction of each connection, and one that waits with it."""

    def __init__(self, listener: socket.socket, server: tuple[str, int], delay: float) -> None:
        self._listener, self._server, self._delay = listener, server, delay
        self._events: list[Event] | None = None
        self._listening: set[int] = set()

    def serve(self, control: Connection) -> None:
        threading.Thread(target=self._accept, daemon=True).start()
        while True:
            try:
                asked = control.recv()
            except EOFError:
                os._exit(0)
            control.send(self._events or [])
            self._events = [] if asked == "record" else None

    def _accept(self) -> None:
        number = 0
        while True:
            client, _ = self._listener.accept()
            server = socket.create_connection(self._server)
            number += 1
            for end in (client, server):
                end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            for source, target, kind in ((client, server, SENT), (server, client, ANSWERED)):
                waiting: queue.SimpleQueue[tuple[float, bytes]] = queue.SimpleQueue()
                threading.Thread(target=self._take, args=(source, waiting, kind, number), daemon=True).start()
                threading.Thread(target=self._give, args=(target, waiting, kind, number), daemon=True).start()

    def _take(self, source: socket.socket, waiting: Any, kind: str, number: int) -> None:
        data = b"x"
        while data:
            try:
                data = source.recv(CHUNK)
            except OSError:
                data = b""
            if b'LISTEN "' in data:
                self._listening.add(number)
            if kind == SENT:
                self._note(kind, number, data)
            waiting.put((time.monotonic() + self._delay, data))

    def _give(self, target: socket.socket, waiting: Any, kind: str, number: int) -> None:
        with suppress(OSError):
            while True:
                due, data = waiting.get()
                if (left := due - time.monotonic()) > 0:
                    time.sleep(left)
                if not data:
                    target.shutdown(socket.SHUT_WR)
                    return
                if kind == ANSWERED:
                    self._note(kind, number, b"")
                target.sendall(data)

    def _note(self, kind: str, number: int, data: bytes) -> None:
        events = self._events
        if events is not None and number not in self._listening:
            events.append((kind, number, data))


def round_trips(events: Sequence[Event]) -> list[RoundTrip]:
    """Return what was sent, by round trips."""
    connections: dict[int, _Sent] = {}
    trips: list[RoundTrip] = []
    is_answered = True
    for kind, number, data in events:
        if kind == ANSWERED:
            is_answered = True
            continue
        for batch in connections.setdefault(number, _Sent()).batches(data):
            if is_answered:
                trips.append([])
                is_answered = False
            trips[-1].append(batch)
    return [[batch for batch in trip if batch] for trip in trips if any(trip)]


class _Sent:
    """What one client has sent, of which the last message may not be complete yet."""

    def __init__(self) -> None:
        self._buffer, self._batch = bytearray(), list[Command]()
        self._text, self._types = b"", list[int]()

    def batches(self, data: bytes) -> Iterator[list[Command]]:
        """Yield each batch of statements that these bytes complete."""
        for kind, body in self._messages(data):
            if kind == b"P":
                _, self._text, rest = body.split(b"\0", 2)
                self._types = [*struct.unpack_from(f"!{struct.unpack_from('!H', rest)[0]}I", rest, 2)]
            elif kind == b"B":
                self._batch.append(_bound(self._text, self._types, body.split(b"\0", 2)[2]))
            elif kind == b"Q":
                self._batch.append(Command(body[:-1], [], [], [], 0))
            if kind in (b"Q", b"S"):
                batch, self._batch = self._batch, []
                yield batch

    def _messages(self, data: bytes) -> Iterator[tuple[bytes, bytes]]:
        buffer = self._buffer
        buffer += data
        if buffer.startswith(b"\0"):  # the first message of a connection has no type
            del buffer[: struct.unpack_from("!I", buffer)[0]]
        at = 0
        while len(buffer) >= at + 5:
            end = at + 1 + struct.unpack_from("!I", buffer, at + 1)[0]
            if len(buffer) < end:
                break
            yield bytes(buffer[at : at + 1]), bytes(buffer[at + 5 : end])
            at = end
        del buffer[:at]


def _bound(text: bytes, types: list[int], body: bytes) -> Command:
    """Read the values of a Bind message behind its two names."""
    at = 0

    def number(kind: str = "H") -> int:
        nonlocal at
        (read,) = struct.unpack_from(f"!{kind}", body, at)
        at += struct.calcsize(f"!{kind}")
        return int(read)

    formats = [number() for _ in range(number())]
    values: list[bytes | None] = []
    for _ in range(number()):
        size = number("i")
        values.append(None if size < 0 else body[at : at + size])
        at += max(size, 0)
    results = [number() for _ in range(number())]
    all_formats = formats * len(values) if len(formats) == 1 else formats or [0] * len(values)
    return Command(text, values, types, all_formats, results[0] if results else 0)


class Bare:
    """A connection of psycopg that sends recorded statements again, in as many round trips, and reads the results."""

    def __init__(self, url: str) -> None:
        self._connection = psycopg.connect(url, autocommit=True)
        self._pgconn = self._connection.pgconn
        self._pgconn.enter_pipeline_mode()

    def replay(self, trips: Sequence[RoundTrip]) -> int:
        """Send statements, each round trip when the one before is answered; return how many rows came."""
        rows = 0
        for trip in trips:
            for batch in trip:
                for command in batch:
                    text, values, types, formats, result_format = command
                    self._pgconn.send_query_params(text, values, types or None, formats, result_format)
                self._pgconn.pipeline_sync()
            for _ in trip:
                rows += self._results()
        return rows

    def _results(self) -> int:
        rows = 0
        while True:
            result = self._pgconn.get_result()
            if result is None:
                continue
            if result.status == pq.ExecStatus.PIPELINE_SYNC:
                return rows
            if result.status not in (pq.ExecStatus.TUPLES_OK, pq.ExecStatus.COMMAND_OK):
                raise SystemExit(f"the server refuses to repeat a statement: {result.error_message.decode()}")
            for row in range(result.ntuples):
                [result.get_value(row, column) for column in range(result.nfields)]
            rows += result.ntuples

    def close(self) -> None:
        self._connection.close()


def ended(trips: Sequence[RoundTrip]) -> list[RoundTrip]:
    """Return the same, with a transaction ended where its end was not recorded: nobody waits for that of a read."""
    rollback, is_open = Command(b"ROLLBACK", [], [], [], 0), False
    found: list[RoundTrip] = []
    for trip in trips:
        found.append([])
        for batch in trip:
            found[-1].append([])
            for command in batch:
                if command.text.startswith(b"BEGIN") and is_open:
                    found[-1][-1].append(rollback)
                found[-1][-1].append(command)
                is_open = (is_open or command.text.startswith(b"BEGIN")) and command.text not in (
                    b"COMMIT",
                    b"ROLLBACK",
                )
    if is_open:
        found[-1][-1].append(rollback)
    return found


def waits(trips: Sequence[RoundTrip]) -> int:
    """Return for how many of these round trips a client waits: for none that only ends a read."""
    return sum(any(command.text != b"ROLLBACK" for batch in trip for command in batch) for trip in trips)


def renamed(trips: Sequence[RoundTrip], old: str, new: str) -> list[RoundTrip]:
    """Return the same statements for another schema."""
    names = old.encode(), new.encode()

    def of(command: Command) -> Command:
        return command._replace(
            text=command.text.replace(*names), values=[value and value.replace(*names) for value in command.values]
        )

    return [[[of(command) for command in batch] for batch in trip] for trip in trips]
