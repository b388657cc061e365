"""The time and new ids, which rules take as arguments; no other file reads the system clock or makes random ids."""

import os
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TypeAlias
from uuid import UUID

from promptreg.errors import InvalidInputError

Clock: TypeAlias = Callable[[], datetime]


def system_clock() -> datetime:
    """Return the time of the machine as an aware datetime in UTC."""
    return datetime.now(UTC)


def moment(clock: Clock) -> str:
    """Read the clock, and return the time as ISO text in UTC, as it is stored.

    Raise `InvalidInputError` where the clock returns no aware datetime. An exception that the application's clock
    raises passes through.

    >>> moment(lambda: datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC))
    '2026-01-02T03:04:05.000000+00:00'
    """
    now = clock()
    try:
        if isinstance(now, datetime) and now.utcoffset() is not None:
            return datetime.isoformat(now.astimezone(UTC), timespec="microseconds")  # a subclass may override it
    except OverflowError:
        pass
    raise InvalidInputError.of("clock", "must return aware datetimes, such as datetime.now(UTC)")


def day_before(moment: str) -> str:
    """Return the time a day before another, both as they are stored.

    >>> day_before("2026-01-02T03:04:05.000000+00:00")
    '2026-01-01T03:04:05.000000+00:00'
    """
    try:
        return (datetime.fromisoformat(moment) - timedelta(days=1)).isoformat(timespec="microseconds")
    except OverflowError:  # on the first day that there is
        return ""


def new_id() -> str:
    """Return a UUID version 7 (RFC 9562): 48 bits of milliseconds, then 74 random bits.

    >>> UUID(new_id()).version
    7
    """
    milliseconds = time.time_ns() // 1_000_000 & (1 << 48) - 1
    random = int.from_bytes(os.urandom(10), "big")
    high, low = random >> 68 & 0xFFF, random & (1 << 62) - 1
    return str(UUID(int=milliseconds << 80 | 7 << 76 | high << 64 | 2 << 62 | low))
