"""The conversation with a server: batches of statements out, their results in, and never a wait past a deadline.

A connection stays in libpq's pipeline mode: a batch is sent whole and answered whole, the first statement that fails
ends it, and several batches may be under way. Nothing here waits inside libpq, so a server that is frozen, or a network
that swallows packets, is waited for no longer than the caller says.
"""

import os
import select
from collections.abc import Callable, Sequence
from typing import NamedTuple

import psycopg
from psycopg import pq
from psycopg.pq.abc import PGconn, PGresult

from promptreg.storage.postgres.compat import error_of

Seconds = Callable[[], float]
"""Returns how many seconds are left."""
PART, PART_BYTES = 100, 32 * 1024  # statements, and bytes of their values, after which an answer is asked for
BAD, FATAL, SYNC = pq.ConnStatus.BAD, pq.ExecStatus.FATAL_ERROR, pq.ExecStatus.PIPELINE_SYNC
_POLL = getattr(select, "poll", None)  # Windows has none; `select` is limited to descriptors below 1,024 elsewhere


class LostError(psycopg.OperationalError):
    """The connection broke."""


class UnreachableError(psycopg.OperationalError):
    """No server answered to an attempt to connect."""


class RefusedError(psycopg.OperationalError):
    """A server answered to an attempt to connect, and refused it."""


class TooManyError(RefusedError):
    """A server has no connection left for this one."""


class UnansweredError(psycopg.OperationalError):
    """The server did not answer in time."""


class Command(NamedTuple):
    """A statement as libpq sends it: `$1` in the place of each parameter."""

    text: bytes
    parameters: Sequence[bytes | bytearray | memoryview | None]
    types: Sequence[int]


def is_ready(descriptor: int, seconds: float, *, to_read: bool = True, to_write: bool = False) -> bool:
    """Wait until a socket can be read or written, or has failed; return whether that was within these seconds."""
    if _POLL is None:
        sets = [descriptor] if to_read else [], [descriptor] if to_write else [], [descriptor]
        return any(select.select(*sets, seconds))
    poll = _POLL()
    poll.register(descriptor, (select.POLLIN if to_read else 0) | (select.POLLOUT if to_write else 0))
    return bool(poll.poll(seconds * 1000))


def close_socket(pgconn: PGconn) -> None:
    """Close the socket of a connection on this side of a fork only, as the parent's would otherwise outlive the parent.

    psycopg itself leaves alone what another process has opened.
    """
    if pgconn.status != BAD and pgconn.socket >= 0:
        os.close(pgconn.socket)


class Wire:
    """A connection that was opened by this process, in pipeline mode.

    `unanswered` counts the batches whose results were not taken yet. `is_torn` says that a call ended in the middle of
    an exchange, without an answer or by an exception from a signal handler, so that nobody knows what is under way: the
    connection is of no more use.
    """

    def __init__(self, pgconn: PGconn) -> None:
        pgconn.nonblocking = 1
        pgconn.enter_pipeline_mode()
        self.pgconn = pgconn
        self.unanswered = 0
        self.is_torn = False
        self._results: list[PGresult] = []  # of the batch whose results are arriving

    def exchange(self, commands: Sequence[Command], left: Seconds) -> list[PGresult]:
        """Send a batch and return its results; those of earlier batches are dropped.

        Raises `UnansweredError` where they have not come in the time that is left, and `LostError`.
        """
        self.is_torn = True
        try:
            self._send(commands)
            while True:
                results = self._next(left)
                if not self.unanswered:
                    break
        except psycopg.OperationalError as error:
            raise self._explained(error) from None
        self.is_torn = False
        return results

    def send(self, commands: Sequence[Command]) -> None:
        """Send a batch whose answer nobody waits for, as much of it as goes out without waiting."""
        self.is_torn = True
        try:
            self._send(commands)
        except psycopg.OperationalError as error:
            raise self._explained(error) from None
        self.is_torn = False

    def is_alive(self) -> bool:
        """Return whether the server has not closed the connection, as far as is known without asking."""
        if self.is_torn or self.pgconn.status == BAD:
            return False
        self.is_torn = True
        try:
            while self._read():
                while self.unanswered and self._take():
                    self._complete()
        except psycopg.OperationalError:
            return False
        self.is_torn = False
        return True

    def close(self) -> None:
        """Close the connection; the server rolls back what was under way."""
        self.pgconn.finish()

    def abandon(self) -> None:
        """Let go of the connection of a process that this one was forked from, and say nothing to the server."""
        close_socket(self.pgconn)

    def _send(self, commands: Sequence[Command]) -> None:
        """Send a batch; of a large one the server answers parts, as otherwise it says nothing until all is done."""
        count = size = 0
        for command in commands:
            self.pgconn.send_query_params(command.text, command.parameters, command.types)
            count, size = count + 1, size + sum(len(value) for value in command.parameters if value is not None)
            if count == PART or size >= PART_BYTES:
                self.pgconn.send_flush_request()
                count = size = 0
        self.pgconn.pipeline_sync()
        self.unanswered += 1
        self.pgconn.flush()

    def _next(self, left: Seconds) -> list[PGresult]:
        """Return the results of the first batch that is unanswered; those that are here already, without any time."""
        while not self._take():
            if self._read():
                continue
            seconds = left()
            is_late = seconds <= 0 or not is_ready(self.pgconn.socket, seconds, to_write=bool(self.pgconn.flush()))
            if is_late and not self._read():
                raise UnansweredError("the server did not answer in time")
        return self._complete()

    def _complete(self) -> list[PGresult]:
        results, self._results = self._results, []
        self.unanswered -= 1
        return results

    def _take(self) -> bool:
        """Take the results that libpq has read; return whether those of a batch are complete."""
        pgconn = self.pgconn
        while not pgconn.is_busy():
            result = pgconn.get_result()
            if result is None:  # the end of one statement's results
                if pgconn.status == BAD:
                    raise psycopg.OperationalError("the connection is closed")
            elif result.status == SYNC:
                return True
            else:
                self._results.append(result)
        return False

    def _read(self) -> bool:
        """Read what has arrived; return whether anything had."""
        if not is_ready(self.pgconn.socket, 0):
            return False
        self.pgconn.consume_input()
        return True

    def _explained(self, error: psycopg.OperationalError) -> psycopg.OperationalError:
        """Return the error of an exchange that failed; of a connection that broke, with what the server said last."""
        if isinstance(error, UnansweredError):
            return error
        said = [result for result in self._results if result.status == FATAL]
        fact = error_of(said[-1]) if said else error
        return LostError(str(fact).strip().partition("\n")[0])
