"""One connection to a server, on which several statements take one round trip.

A session outlives its connections: one that is found dead before a transaction, or by its first statements, is replaced
within the deadline of the call. It keeps no state in a connection but an open transaction, so a pooler in transaction
mode may serve it.
"""

import os
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import psycopg
from psycopg import pq
from psycopg.pq.abc import PGconn, PGresult

from promptreg.storage.deadlines import Deadline, Patience, TimeLimit
from promptreg.storage.postgres.compat import error_of, transformer
from promptreg.storage.postgres.failures import forked
from promptreg.storage.postgres.statements import Result, Row, Statement, command_of, result_of
from promptreg.storage.postgres.wire import FATAL, LostError, Wire

PAUSE = 0.01  # seconds before what failed only because of others is tried again
LEAST_RETRY = 0.2  # seconds that must be left for that, so that its answer comes in time
EARLIER, MOST_EARLIER = 0.1, 0.2  # part of the time, and seconds, by which the server gives up before this side does
RETRIED: frozenset[str | None] = frozenset({"40001", "40P01"})  # serialization failures and deadlocks
SILENT = 1.0  # seconds after which a transaction sends what it has queued, as the server ends those that are silent
IDLE = pq.TransactionStatus.IDLE
# A role may put other schemas before PostgreSQL's own; a transaction sets its search path, a single statement does not.
FIRST_SCHEMA = Statement("SELECT (pg_catalog.current_schemas(true))[1]")
OWN_SCHEMAS = ("pg_catalog", "pg_temp")
SAFE_PATH = Statement("SELECT pg_catalog.set_config('search_path', 'pg_catalog, pg_temp', true)")
ROLLBACK, COMMIT = Statement("ROLLBACK"), Statement("COMMIT")


class Session:
    """Statements and transactions on one connection at a time, for one thread at a time.

    `may_have_committed` says that a `COMMIT` was sent whose outcome is not known.
    """

    def __init__(self, connect: Callable[[TimeLimit], PGconn], schema: str, patience: Patience) -> None:
        """Connect when first used; `schema` is the name of the registry's schema.

        `patience` is the limit of each wait for a sign of the server, while a transaction holds the lock of writers.
        """
        self.schema = schema
        self._patience = patience
        self.may_have_committed = False
        self._connect = connect
        self._wire: Wire | None = None
        self._pid = os.getpid()
        self._limit: TimeLimit = Deadline(0)
        self._answer_limit: TimeLimit = self._limit
        self._pending: list[Statement] = []
        self._has_sent_queued = False
        self._sent_at = 0.0
        self._is_path_safe = True
        self._transformer = transformer()

    def start(self, limit: TimeLimit) -> None:
        """Begin the use by a call that waits no longer than this, on a connection that is alive as far as is known."""
        self.roll_back()
        self.may_have_committed = False
        self._limit, self._pid = limit, os.getpid()
        self._answer_limit = limit
        if self._wire is not None and not self._wire.is_alive():
            self.close()

    def milliseconds_left(self) -> int:
        """Return how long a statement that is sent now may take, at least 1; its error then comes before the limit."""
        return _milliseconds(self._limit)

    def milliseconds_of_work(self) -> int:
        """Return how long each statement of a write may take, which waits for nobody."""
        return _milliseconds(self._patience)

    def begin_work(self) -> None:
        """Have the open transaction take the time that it needs, as it holds the lock of writers and waits for nobody.

        What it writes may take longer than its caller would wait for others, so from now on each sign of the server
        is waited for by itself.
        """
        self._answer_limit = self._patience

    def begin(self, *statements: Statement) -> None:
        """Send these statements together with the next ones; in a transaction that was silent for long, now."""
        self._pending += statements
        if time.monotonic() - self._sent_at > SILENT and not self.is_idle():
            self.run()

    def queued(self) -> list[Statement] | None:
        """Return what this transaction has queued; None where some of it was sent already, for a later read."""
        return None if self._has_sent_queued else [*self._pending]

    def can_retry(self, error: BaseException) -> bool:
        """Return whether a transaction failed only because of others, and there is time for another one."""
        return isinstance(error, psycopg.Error) and error.sqlstate in RETRIED and self._limit.left() > LEAST_RETRY

    def run(self, *statements: Statement) -> list[Result]:
        """Send statements in one round trip, and return what each returned; the first that fails ends it.

        The first ones of a transaction are sent again where the connection turns out to be dead, and where they fail
        only because of others: so outside a transaction send only what may be sent twice.
        """
        sent, self._pending = [*self._pending, *statements], []
        is_first = self.is_idle()
        if is_first and not sent[0].text.startswith("BEGIN") and not self._has_safe_path():
            sent.insert(0, SAFE_PATH)  # for the time of this batch
        self._has_sent_queued = not is_first and (self._has_sent_queued or len(sent) > len(statements))
        may_repeat = is_first and COMMIT not in sent
        may_reconnect = self._wire is not None
        while True:
            try:
                return self._exchange(sent)[len(sent) - len(statements) :]
            except LostError:
                self.close()
                if not (may_repeat and may_reconnect):
                    raise
                may_reconnect = False
            except psycopg.Error as error:
                if not (may_repeat and self.can_retry(error)):
                    raise
                self.pause()

    def query(self, text: str, values: Sequence[Any] | Mapping[str, Any] | None = None) -> list[Row]:
        """Send one statement, and return its rows."""
        (result,) = self.run(Statement(text, values))
        return result.rows

    def roll_back(self) -> None:
        """End the open transaction, if there is one; nothing waits for the answer, which the next use takes.

        A connection whose state nobody knows is closed: a call was interrupted in the middle of an exchange, or had no
        answer.
        """
        self._pending = []
        self._answer_limit = self._limit
        wire = self._wire
        if wire is None:
            return
        if self._pid != os.getpid():
            self.abandon()
        elif wire.is_torn:
            self.close()
        elif not wire.unanswered and wire.pgconn.transaction_status != IDLE:
            try:
                wire.send([command_of(ROLLBACK, self.schema, self._transformer)])
            except LostError:
                self.close()

    def pause(self) -> None:
        """Roll back what failed only because of others, and let them go on."""
        self.roll_back()
        time.sleep(PAUSE)

    def is_idle(self) -> bool:
        """Return whether no transaction is open."""
        wire = self._wire
        return wire is None or wire.unanswered > 0 or wire.pgconn.transaction_status == IDLE

    def close(self) -> None:
        """Close the connection, if there is one; the next use connects anew."""
        wire, self._wire = self._wire, None
        if wire is not None:
            if self._pid == os.getpid():
                wire.close()
            else:
                wire.abandon()

    def abandon(self) -> None:
        """Drop the connection of the process that this one was forked from, without a word to the server."""
        wire, self._wire = self._wire, None
        if wire is not None:
            wire.abandon()

    def connected(self) -> PGconn:
        """Return the connection, made where there is none."""
        return self._connected().pgconn

    def _connected(self) -> Wire:
        if self._pid != os.getpid():
            raise forked()
        if self._wire is None:
            self._wire = Wire(self._connect(self._limit))
            self._is_path_safe = False
            ((first,),) = self._exchange([FIRST_SCHEMA])[0].rows
            self._is_path_safe = str(first).startswith(OWN_SCHEMAS)
        return self._wire

    def _has_safe_path(self) -> bool:
        """Return whether this connection finds PostgreSQL's own functions and operators first."""
        self._connected()
        return self._is_path_safe

    def _exchange(self, statements: Sequence[Statement]) -> list[Result]:
        wire = self._connected()
        self._sent_at = time.monotonic()
        commands = [command_of(statement, self.schema, self._transformer) for statement in statements]
        self.may_have_committed = COMMIT in statements
        results = wire.exchange(commands, self._answer_limit.left)
        failed = next((result for result in results if result.status == FATAL), None)
        if failed is not None:
            self._raise(failed)
        self.may_have_committed = False
        return [result_of(result, self._transformer) for result in results]

    def _raise(self, failed: PGresult) -> None:
        error = error_of(failed)
        if error.diag.severity_nonlocalized in {"FATAL", "PANIC"}:
            raise LostError(str(error)) from error
        self.may_have_committed = False  # as it was not carried out
        raise error


def _milliseconds(limit: TimeLimit) -> int:
    left = limit.left()
    return max(int((left - min(left * EARLIER, MOST_EARLIER)) * 1000), 1)
