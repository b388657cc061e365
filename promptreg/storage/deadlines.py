"""How long a call waits for others."""

import time
from typing import TypeAlias


class Deadline:
    """The moment until which a call waits for others."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def left(self) -> float:
        """Return the seconds that are left, 0 afterwards."""
        return max(self._end - time.monotonic(), 0.0)


class Patience:
    """A limit for each wait, and not for all of them together: for long work that goes on step by step."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds

    def left(self) -> float:
        """Return the seconds of any wait."""
        return self._seconds


TimeLimit: TypeAlias = Deadline | Patience
"""How long a call waits."""
