"""The change signal of a process: the newest commit that it knows of in each database.

A commit is known by its mark: the revision and the 8 random bytes that the commit wrote beside it. All registries of a
database in this process share one signal, and their caches compare its live stamp with the mark that they were loaded
at. So a commit of this process is seen by its next read, in whatever thread and registry.

What may move the signal: a higher revision, from whomever; and whatever the server says in answer to a statement that
was sent after the present mark was known here. The server must have seen that mark, or its history is another one, as
after a failover that lost commits. So a late answer never hides a later commit, and a lower revision is accepted.

There is no lock, because a fork or a signal handler could leave it held. Threads change only at calls, so
`_exchange` is one step.
"""

import os

from promptreg.storage.base import Stamp
from promptreg.storage.written import OwnWrites

REVISION_BYTES, STAMP_BYTES = 8, 16
MARK_BYTES = REVISION_BYTES + STAMP_BYTES
MAX_REVISION = 2**63 - 1

Mark = bytes
_WHOLE = slice(None)  # made here, as making one may run the garbage collector, and with it another thread


def mark_of(revision: int, stamp: str) -> Mark:
    """Return the mark of a commit; `stamp` is 16 hexadecimal digits. A damaged revision, below 0, counts as 0."""
    return max(revision, 0).to_bytes(REVISION_BYTES, "little") + stamp.encode()[:STAMP_BYTES].ljust(STAMP_BYTES)


def revision_of(mark: Mark) -> int:
    """Return the revision in a mark."""
    return int.from_bytes(mark[:REVISION_BYTES], "little")


def stamp_of(mark: Mark) -> str:
    """Return the stamp in a mark."""
    return mark[REVISION_BYTES:].decode(errors="replace").rstrip()


def as_stamp(mark: bytes | bytearray) -> memoryview:
    """Return a view of three numbers, which compare faster than bytes."""
    return memoryview(mark).cast("Q")


class Signal(OwnWrites):
    """The newest commit that this process knows of in one database, and what it has written there itself."""

    def __init__(self) -> None:
        super().__init__()
        self._content = bytearray(MARK_BYTES)
        self.stamp: Stamp = as_stamp(self._content)
        """The live stamp, which caches compare."""

    def read(self) -> Mark:
        """Return the mark of this moment; whoever sends a statement reads it before."""
        return bytes(self._content)

    def begin(self, revision: int, stamp: str) -> None:
        """Set the mark to what was read while the database was opened, before there was this signal."""
        self.observe(revision, stamp, bytes(MARK_BYTES))

    def announce(self, revision: int, stamp: str) -> None:
        """Set the mark to an announced commit, whose message may be late: a lower revision changes nothing."""
        if not 0 <= revision <= MAX_REVISION:
            return
        new = mark_of(revision, stamp)
        while revision > revision_of(seen := self.read()) and not self._exchange(seen, new):
            pass

    def observe(self, revision: int, stamp: str, seen: Mark) -> None:
        """Set the mark to the answer of a statement that was sent after `seen` was read from this signal.

        The commit of a transaction that holds the lock of writers is such a statement too, where `seen` was read once
        it held the lock: nobody else can have committed since.
        """
        if not self._exchange(seen, mark_of(revision, stamp)):
            self.announce(revision, stamp)

    def doubt(self) -> None:
        """Have every cache ask the server before its next answer, as a commit of this process may or may not hold."""
        while True:
            seen = self.read()
            if self._exchange(seen, seen[:REVISION_BYTES] + os.urandom(STAMP_BYTES)):
                return

    def _exchange(self, seen: Mark, new: Mark) -> bool:
        """Replace the mark if it is still the one that was seen; return whether it was."""
        content = self._content
        if content == seen:
            content[_WHOLE] = new
            return True
        return False


_SIGNALS: dict[str, Signal] = {}


def signal_of(identity: str) -> Signal:
    """Return the signal of the database with that identity, which all of its registries in this process share."""
    return _SIGNALS.setdefault(identity, Signal())
