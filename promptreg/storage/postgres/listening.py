"""The listener: a connection that learns of commits, and that no read waits for longer than it wants to.

It LISTENs on the channel of the schema, where each commit sends its revision and stamp, and it asks for the newest
commit, or for what has changed since one. It works in steps that never block, which the check for changes takes: what
has arrived is taken in, and a lost connection is made anew. An answer may come during a later step. Behind a pooler
LISTEN may be lost without a word, so the questions alone prove how fresh a cache is.

Nothing here raises because of the server: where it does not answer, there is no answer.
"""

import os
import threading
import time
from collections.abc import Hashable
from typing import NamedTuple

import psycopg
from psycopg import pq
from psycopg.pq import ConnStatus, ExecStatus, PollingStatus
from psycopg.pq.abc import PGconn, PGresult

from promptreg.storage.postgres.connecting import Connector
from promptreg.storage.postgres.signals import Mark, Signal, mark_of, revision_of, stamp_of
from promptreg.storage.postgres.statements import SCHEMA
from promptreg.storage.postgres.wire import close_socket, is_ready
from promptreg.storage.written import Written

NEVER = float("inf")
SILENCE = 5.0  # seconds without an answer, after which another connection is made
FIRST_PAUSE, LONGEST_PAUSE = 0.05, 1.0  # seconds between attempts to connect
MAX_CHANGED = 1_000  # prompts; of more, everything counts as changed
MAX_PAYLOAD = 100  # characters of a notification that may be a commit's

NEWEST = "SELECT revision, stamp FROM $.registry"
CHANGES = """
WITH newest AS (
    SELECT revision, stamp, revision > $1 AND EXISTS (
        SELECT FROM $.commits c WHERE c.revision = $1 AND c.stamp = $2
    ) AS is_later FROM $.registry
)
SELECT revision::text, stamp, is_later::text FROM newest
UNION ALL (
    SELECT p.id, p.namespace, p.name FROM newest, $.prompts p WHERE is_later AND p.revision > $1
    UNION ALL SELECT d.prompt_id, NULL, NULL FROM newest, $.deletions d WHERE is_later AND d.revision > $1
    LIMIT $3
)
"""  # the first row is the newest commit, and whether it is later than the given one in the same history


def channel_of(schema: str) -> str:
    """Return the channel on which the commits to a schema are announced, as `REVISION STAMP`."""
    return schema


class Question(NamedTuple):
    """What the server was asked: the newest commit, or with `since` what has changed after that one too.

    `seen` is the mark that was known before, None of a statement that returns no commit; `written` is what this process
    had written last.
    """

    seen: Mark | None
    written: Written | None
    since: Mark | None
    sent_at: float


class Answer(NamedTuple):
    """What has changed between two commits; None stands for everything. The later one has seen what was `written`."""

    since: Mark
    mark: Mark
    written: Written | None
    sent_at: float
    changed: frozenset[Hashable] | None


class Listener:
    """A connection, used by one thread at a time."""

    def __init__(self, connector: Connector, schema: str, signal: Signal, *, proven_at: float) -> None:
        """Connect when first asked; `proven_at` is when the statement was sent whose answer the signal holds."""
        self._connector = connector
        self._signal = signal
        self._newest, self._changes = (text.replace(SCHEMA, f'"{schema}".').encode() for text in (NEWEST, CHANGES))
        self._listen = f'LISTEN "{channel_of(schema)}"'.encode()
        self._connection: PGconn | None = None
        self._process = os.getpid()
        self._polled: PollingStatus = PollingStatus.WRITING
        self._retry_at = self._pause = 0.0
        self._failures = 0  # of attempts to connect, one after the other
        self._resolver: threading.Thread | None = None
        self._give_up_at = NEVER
        self._question: Question | None = None
        self._answer: Answer | None = None
        self.proven_at = proven_at
        """When the last statement was sent that was answered, on the monotonic clock."""
        self.asked_at = proven_at
        """When the last statement was sent."""

    # What the check for changes does

    def step(self) -> None:
        """Take in what has arrived, and go on connecting where there is no connection; never wait."""
        if self._process != os.getpid():
            self.abandon()
        try:
            if self._connection is not None:
                self._go_on(time.monotonic())
            if self._connection is None and time.monotonic() >= self._retry_at:
                self._connect(time.monotonic())
        except psycopg.Error:
            self._lose()

    def hurry(self) -> None:
        """Have the next step connect where there is no connection, however short ago that failed."""
        self._retry_at = 0.0

    def ask(self, since: Mark | None) -> None:
        """Send the query for the newest commit, or for what has changed since one, unless another is unanswered."""
        if self._connection is None or not self._is_connected() or self._question is not None:
            return
        try:
            question = Question(self._signal.read(), self._signal.last_written(), since, time.monotonic())
            if since is None:
                self._send(question, self._newest)
            else:
                values: list[bytes | None] = [str(revision_of(since)).encode(), stamp_of(since).encode()]
                values.append(str(MAX_CHANGED + 1).encode())
                self._send(question, self._changes, values)
        except psycopg.Error:
            self._lose()

    def answer_to(self, since: Mark) -> Answer | None:
        """Return what is known to have changed since a commit."""
        return self._answer if self._answer is not None and self._answer.since == since else None

    def can_wait(self) -> bool:
        """Return whether there is anything to wait for."""
        return self._connection is not None

    def wait(self, seconds: float) -> None:
        """Wait until there is something to take in, or connecting can go on."""
        connection = self._connection
        if connection is not None:
            self._is_ready(connection, seconds)

    def close(self) -> None:
        """Close the connection, if it is of this process."""
        if self._connection is not None and self._process == os.getpid():
            self._connection.finish()
        self._forget()

    def abandon(self) -> None:
        """Drop the connection of the process that this one was forked from, without a word to the server."""
        if self._connection is not None:
            close_socket(self._connection)
        self._forget()

    # The connection

    def _forget(self) -> None:
        """Begin without a connection; one that is of the other side of a fork is dropped, and never closed."""
        self._connection, self._question, self._resolver, self._process = None, None, None, os.getpid()
        self._retry_at, self._pause, self._give_up_at = 0.0, 0.0, NEVER

    def _lose(self) -> None:
        """Close the connection, and connect anew: at once if it was of use, else after a growing pause."""
        was_of_use = self._connection is not None and self._pause == 0
        connection, self._connection, self._question, self._give_up_at = self._connection, None, None, NEVER
        if connection is not None:
            connection.finish()
        if not was_of_use:
            self._retry_at = time.monotonic() + self._pause
            self._failures += 1
            self._resolve()
        self._pause = min(max(self._pause * 2, FIRST_PAUSE), LONGEST_PAUSE)

    def _resolve(self) -> None:
        """Have the host's name resolved anew when no known address answers, in a thread, as nothing limits its time."""
        is_resolving = self._resolver is not None and self._resolver.is_alive()
        if not is_resolving and self._connector.has_names() and self._failures % len(self._connector.known()) == 0:
            self._resolver = threading.Thread(target=self._connector.resolve, daemon=True)
            self._resolver.start()

    def _is_connected(self) -> bool:
        return self._polled is PollingStatus.OK

    def _is_ready(self, connection: PGconn, seconds: float) -> bool:
        is_writing = self._polled is PollingStatus.WRITING
        return is_ready(connection.socket, seconds, to_read=not is_writing, to_write=is_writing)

    def _go_on(self, now: float) -> None:
        connection = self._connection
        assert connection is not None
        try:
            if self._is_connected():
                self._take_in(connection)
            else:
                self._go_on_connecting(connection, now)
        except psycopg.Error:
            self._lose()
        if now > self._give_up_at:
            self._lose()

    def _connect(self, now: float) -> None:
        self._polled, self._give_up_at = PollingStatus.WRITING, now + SILENCE
        known = self._connector.known()  # a name is not resolved here, as that may take long
        self._connection = pq.PGconn.connect_start(known[self._failures % len(known)])
        if self._connection.status == ConnStatus.BAD:
            self._lose()

    def _go_on_connecting(self, connection: PGconn, now: float) -> None:
        while self._is_ready(connection, 0.0):
            self._polled = PollingStatus(connection.connect_poll())
            if self._polled is PollingStatus.OK:
                connection.nonblocking = 1
                self._send(Question(None, None, None, now), self._listen)
                return
            if self._polled is PollingStatus.FAILED:
                self._lose()
                return

    # Questions and answers

    def _send(self, question: Question, text: bytes, values: list[bytes | None] | None = None) -> None:
        connection = self._connection
        assert connection is not None
        connection.send_query_params(text, values)
        self._question, self.asked_at, self._give_up_at = question, question.sent_at, question.sent_at + SILENCE
        connection.flush()

    def _take_in(self, connection: PGconn) -> None:
        connection.flush()
        connection.consume_input()
        while (notification := connection.notifies()) is not None:
            self._announced(notification.extra)
        while self._question is not None and not connection.is_busy():
            result = connection.get_result()
            if result is None:
                self._question, self._give_up_at = None, NEVER
            elif result.status == ExecStatus.TUPLES_OK:
                self._answered(self._question, result)

    def _announced(self, payload: bytes) -> None:
        revision, _, stamp = payload[:MAX_PAYLOAD].decode(errors="replace").partition(" ")
        if revision.isascii() and revision.isdecimal():  # else it is of another tool
            self._signal.announce(int(revision), stamp)

    def _answered(self, question: Question, result: PGresult) -> None:
        if question.seen is None or result.ntuples == 0:
            return
        revision, stamp = int(_text(result, 0, 0)), _text(result, 0, 1)
        self._signal.observe(revision, stamp, question.seen)
        self.proven_at, self._pause = question.sent_at, 0.0
        self._failures = 0
        if question.since is not None:
            mark = mark_of(revision, stamp)
            changed = frozenset() if mark == question.since else _changed(result)
            self._answer = Answer(question.since, mark, question.written, question.sent_at, changed)


def _text(result: PGresult, row: int, column: int) -> str:
    value = result.get_value(row, column)
    return "" if value is None else value.decode()


def _changed(result: PGresult) -> frozenset[Hashable] | None:
    """Return the ids and names of the prompts that have changed; None where that can't be told."""
    if _text(result, 0, 2) != "true" or result.ntuples > MAX_CHANGED + 1:
        return None
    rows = range(1, result.ntuples)
    return frozenset(
        [_text(result, row, 0) for row in rows] + [(_text(result, row, 1), _text(result, row, 2)) for row in rows]
    )
