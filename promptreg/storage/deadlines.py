"""How long a call waits for others."""

import time


class Deadline:
    """The moment until which a call waits for others."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds

    def left(self) -> float:
        """Return the seconds that are left, 0 afterwards."""
        return max(self._end - time.monotonic(), 0.0)
