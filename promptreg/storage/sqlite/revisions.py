"""Publication of revisions, not of prompts: the change signal of one storage, reopened where its sidecar was removed.

A commit must be published before its writer returns, as others answer from their caches until then. If that fails, the
write has still happened; so it returns only once every cache has expired, which takes `CHECK_SECONDS`.

What a commit has written is remembered beside it, for all registries of the file in this process: once the file is
gone, a check can't tell what has changed.
"""

import time
from contextlib import suppress

from promptreg.storage.sqlite.failures import NOT_PERMITTED, is_from_application
from promptreg.storage.sqlite.readonly import Access
from promptreg.storage.sqlite.shared import Shared
from promptreg.storage.sqlite.sidecar import (
    CHECK_SECONDS,
    ChangeSignal,
    MemorySignal,
    UnwritableSidecar,
    open_sidecar,
)
from promptreg.storage.written import OwnWrites

RETRY_SECONDS = 0.005

_OWN_WRITES: Shared[OwnWrites] = Shared()  # by real path; a forked child goes on with its parent's


class Publisher:
    """The change signal of a storage, and what could not be published on it."""

    def __init__(self, database: str, access: Access) -> None:
        """Begin for the database at a real path; raises what opening a `Sidecar` raises."""
        self._database = database
        self._access = access
        self._removed: ChangeSignal | None = None  # whose file was removed, and which others may still compare
        self.signal = self._open()
        made = OwnWrites()
        self.own_writes = made if access is Access.MEMORY else _OWN_WRITES.setdefault(database, made)
        self.waited_for = -1
        """The last revision that could not be published, and so was returned only after every cache had expired."""
        self._unpublished = -1  # the last revision of which a commit here could not be published, if it has happened

    def _open(self) -> ChangeSignal:
        if self._access is Access.MEMORY:
            return MemorySignal()
        if self._access is Access.READ:
            return UnwritableSidecar(self._database)
        try:
            return open_sidecar(self._database)
        except OSError as error:
            if error.errno not in NOT_PERMITTED:
                raise
            return UnwritableSidecar(self._database)

    def require_signal(self) -> None:
        """Open the signal again if others don't find it any longer."""
        if not self.signal.is_current_file():
            last, self.signal = self.signal, self._open()
            if last.is_writable:
                self._removed = last

    def publish(self, revision: int) -> None:
        """Publish a revision; raises `OSError`."""
        self.signal.publish(revision)
        if self._removed is not None:
            self._removed.publish(revision)

    def publish_doubt(self, revision: int) -> None:
        """Publish that something may have changed, and no revision, as the commit of that one may not have happened.

        Where that fails, checks of this storage read what has changed: its own connection would not show them.
        """
        self._unpublished = revision
        with suppress(OSError):
            self.publish(revision - 1)
            self._unpublished = -1

    def has_shown_all_since(self, revision: int) -> bool:
        """Return whether whatever this storage has committed after that revision was published."""
        return revision >= max(self._unpublished, self.waited_for)

    def publish_seen(self, revision: int) -> None:
        """Publish the revision of a snapshot.

        If that fails, wait once a revision, until another process has published it or every cache has expired.
        """
        try:
            self.signal.publish(revision)
        except OSError as error:
            if is_from_application(error):
                raise
            if revision != self.waited_for:
                end = time.monotonic() + CHECK_SECONDS
                while self.signal.is_behind(revision) and time.monotonic() < end:
                    time.sleep(RETRY_SECONDS)
                self.waited_for = revision

    def publish_late(self, revision: int) -> None:
        """Try again to publish a commit, until every cache has expired."""
        end = time.monotonic() + CHECK_SECONDS
        while time.monotonic() < end:
            with suppress(OSError):
                self.publish(revision)
                return
            time.sleep(RETRY_SECONDS)
        self.waited_for = revision

    def close(self) -> None:
        """Close the files."""
        for signal in (self.signal, self._removed):
            if signal is not None:
                signal.close()
