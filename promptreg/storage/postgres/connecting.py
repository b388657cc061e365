"""Connecting to a server, within a deadline.

Each address of each host is tried in its turn, and gets its share of the time that is left, so a machine that is gone
does not use up the time of the one that took its place. Names are resolved by the system, which alone decides how long
that takes.
"""

import os
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import psycopg
from psycopg import pq
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.pq import ConnStatus, PollingStatus
from psycopg.pq.abc import PGconn

from promptreg.errors import InvalidInputError, StorageError
from promptreg.storage.deadlines import Deadline, TimeLimit
from promptreg.storage.postgres.compat import attempts_of
from promptreg.storage.postgres.url import PostgresURL
from promptreg.storage.postgres.wire import BAD, RefusedError, TooManyError, UnreachableError, is_ready

OLDEST_SERVER = 13
PAUSE = 0.1  # seconds until a server without a connection left is asked again
UTF8 = b"UTF8"
DEFAULTS: Mapping[str, str] = {
    "fallback_application_name": "promptreg",
    "keepalives_idle": "30",  # seconds until a silent connection is probed
    "keepalives_interval": "10",
    "keepalives_count": "3",
}
"""What libpq gets unless the URL says otherwise."""
_ANSWERED = frozenset(ConnStatus) - {ConnStatus.STARTED, ConnStatus.MADE, ConnStatus.NEEDED, ConnStatus.BAD}
# Statuses of a connection whose socket is open; the server's answer is the next thing that happens.
_TOO_MANY = ("too many clients", "remaining connection slots", "too many connections")
_NOT_THERE = ("the database system is", "closed the connection")  # starting up, shutting down, in recovery; or ended


class Connector:
    """What connects to the database of a URL."""

    def __init__(self, url: PostgresURL) -> None:
        """Read the URL as libpq does; raise `InvalidInputError` where it can't."""
        self._url = url
        try:
            given = conninfo_to_dict(url.conninfo)
        except (psycopg.Error, UnicodeError):
            given = None  # libpq quotes what it can't read
        if given is None:
            raise InvalidInputError.of("target", "has a parameter that libpq does not know, or a wrong % or port")
        self._parameters = {**DEFAULTS, **given, "client_encoding": "UTF8"}
        self._known: list[dict[str, Any]] = []  # the last result of `_attempts`

    def __repr__(self) -> str:
        return f"Connector({self._url!r})"

    def connect(self, limit: TimeLimit) -> PGconn:
        """Connect; raise `UnreachableError` or `RefusedError` where no address answers as it should.

        A server that has no connection left is asked again until the limit: of one that broke it may not know yet.
        Raises `StorageError` where the database is none that a registry can be in.
        """
        deadline = Deadline(limit.left())
        while True:
            try:
                return self._connect_to_any(deadline)
            except TooManyError:
                if deadline.left() <= PAUSE:
                    raise
            time.sleep(PAUSE)

    def _connect_to_any(self, limit: Deadline) -> PGconn:
        failures: list[psycopg.Error] = []
        attempts = self._attempts()
        for position, attempt in enumerate(attempts):
            share = limit.left() / (len(attempts) - position)
            longest = _seconds(attempt.get("connect_timeout")) or share
            try:
                pgconn = _connected(make_conninfo("", **attempt), Deadline(min(share, longest)))
            except psycopg.OperationalError as error:
                failures.append(error)
            else:
                return self._suitable(pgconn)
        kinds = {type(error) for error in failures}
        kind = next((kind for kind in (TooManyError, RefusedError) if kind in kinds), UnreachableError)
        raise kind(self._safe("; ".join(dict.fromkeys(map(_fact, failures)))))

    def known(self) -> list[bytes]:
        """Return what libpq needs for each address that is known, without resolving a name."""
        return [make_conninfo("", **attempt).encode() for attempt in self._known]

    def has_names(self) -> bool:
        """Return whether the system must resolve a name to find the addresses."""
        return any(attempt.get("hostaddr", attempt.get("host")) != attempt.get("host") for attempt in self._known)

    def resolve(self) -> None:
        """Find the addresses anew, however long that takes; keep those that are known if there are none."""
        with suppress(UnreachableError):
            self._attempts()

    def _attempts(self) -> list[dict[str, Any]]:
        try:
            self._known = attempts_of(self._parameters)
            return self._known
        except psycopg.Error as error:
            fact = str(error)
        raise UnreachableError(self._safe(fact))

    def _safe(self, fact: str) -> str:
        """Return a text that holds no password: this one, if none is in it."""
        secrets = self._url.secrets | {os.environ.get("PGPASSWORD", "")} - {""}
        is_safe = not any(secret in fact for secret in secrets)
        return fact if is_safe else "what was said holds the password, so it is not repeated"

    def _suitable(self, pgconn: PGconn) -> PGconn:
        """Return the connection; close it and raise where the server or its database is none for a registry."""
        location, version = self._url.location, pgconn.server_version // 10_000
        encoding = pgconn.parameter_status(b"server_encoding")
        if version >= OLDEST_SERVER and encoding == UTF8:
            return pgconn
        pgconn.finish()
        if version < OLDEST_SERVER:
            raise StorageError(
                f"The server of {location} is PostgreSQL {version}; a registry needs {OLDEST_SERVER} or later.",
                reason="old_server",
            )
        raise StorageError(
            f"The database of {location} is in {(encoding or b'an unknown encoding').decode()}; a registry needs one in"
            " UTF-8: CREATE DATABASE … ENCODING 'UTF8' TEMPLATE template0.",
            reason="encoding",
        )


def _fact(error: psycopg.Error) -> str:
    """Return what libpq says on one line, without its hints, which begin with a tab."""
    return " ".join(line.strip() for line in str(error).strip().split("\n") if not line.startswith("\t"))


def _seconds(given: object) -> float | None:
    """Return the seconds of `connect_timeout`, None where it sets no limit."""
    try:
        seconds = float(str(given))
    except ValueError:
        return None
    return seconds if seconds > 0 else None


def _connected(conninfo: str, deadline: Deadline) -> PGconn:
    """Connect to one address."""
    pgconn = pq.PGconn.connect_start(conninfo.encode())
    try:
        _complete(pgconn, deadline)
    except BaseException:
        pgconn.finish()
        raise
    return pgconn


def _complete(pgconn: PGconn, deadline: Deadline) -> None:
    is_answered, polled = False, PollingStatus.WRITING
    while pgconn.status != BAD and polled not in {PollingStatus.OK, PollingStatus.FAILED}:
        is_writing = polled == PollingStatus.WRITING
        if not is_ready(pgconn.socket, deadline.left(), to_read=not is_writing, to_write=is_writing):
            raise UnreachableError("no answer came in time")
        is_answered = is_answered or pgconn.status in _ANSWERED
        polled = PollingStatus(pgconn.connect_poll())
    if polled == PollingStatus.OK:
        return
    fact = pgconn.get_error_message()
    raise _kind_of(fact)(fact) if is_answered else UnreachableError(fact)


def _kind_of(fact: str) -> type[psycopg.OperationalError]:
    """Return what a server's refusal means; libpq gives no SQLSTATE, so one in another language is just a refusal."""
    if any(words in fact for words in _TOO_MANY):
        return TooManyError
    return UnreachableError if any(words in fact for words in _NOT_THERE) else RefusedError
