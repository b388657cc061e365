"""The check for changes: whether a cache is current, and what has been committed since it was loaded.

It may wait for the server, as the settings say. Without `freshness="strict"` it waits a moment where nothing proves
that a cache is young enough, and where a change is known of but not yet what has changed; after waiting for nothing it
does not wait again for a second, and reports the cache as stale. With it, it asks each time, and waits as long as for
any other call.
"""

import time
from collections.abc import Hashable
from typing import NamedTuple

from promptreg.storage.base import ChangeReport, Position, StorageSettings
from promptreg.storage.deadlines import TimeLimit
from promptreg.storage.postgres.listening import Answer, Listener
from promptreg.storage.postgres.signals import Mark, Signal, as_stamp, revision_of
from promptreg.storage.written import Written

CHECK_SECONDS = 0.001  # between two looks at the socket
BEAT_SECONDS = 0.05  # between two questions for the newest commit, which cover a lost notification
YOUNG_SECONDS = 0.1  # for which an answer proves that nothing else was committed
PATIENCE = 0.05  # seconds that a read waits for an answer
REST_SECONDS = 1.0  # without waiting, after an answer did not come


def freshness(settings: StorageSettings) -> tuple[float, float]:
    """Return the staleness and the check interval that a storage with these settings declares."""
    if settings.is_strict:
        return 0.0, 0.0
    return max(settings.max_staleness, YOUNG_SECONDS) + CHECK_SECONDS, CHECK_SECONDS


class Detail(NamedTuple):
    """What a position remembers: the newest commit, and what this process had written last.

    That commit has seen what was written until then, or the cache has dropped it.
    """

    mark: Mark
    written: Written | None


class ChangeCheck:
    """The check for changes of one storage, called by one thread at a time."""

    def __init__(self, listener: Listener, signal: Signal, settings: StorageSettings) -> None:
        self._listener, self._signal = listener, signal
        self._is_strict = settings.is_strict
        self._max_age = 0.0 if settings.is_strict else max(settings.max_staleness, YOUNG_SECONDS)
        self._rests_until = 0.0

    def changes_since(self, limit: TimeLimit, since: Position | None, /) -> ChangeReport:
        """Return what has changed since a position; None stands for the beginning, when no cache holds anything.

        It waits for the server no longer than the limit.
        """
        if since is None:
            written = self._signal.last_written()
            return self._report(_position(self._signal.read(), written), None)
        began = time.monotonic()
        if self._is_strict:
            self._listener.hurry()
        report = self._current(since, began)
        if report is None and began >= self._rests_until:
            patience = limit.left() if self._is_strict else min(limit.left(), PATIENCE)
            report = self._awaited(since, began, began + patience)
            if report is None and patience == PATIENCE:  # not after a shorter wait, which proves nothing
                self._rests_until = time.monotonic() + REST_SECONDS
        if report is None:
            return self._stale(since)
        self._rests_until = 0.0
        return report

    def _current(self, since: Position, began: float) -> ChangeReport | None:
        """Take in what has arrived, and ask what is to be asked; return a report if it needs no further answer."""
        known, listener = since.detail.mark, self._listener
        listener.step()
        is_same = self._signal.read() == known
        is_proven = listener.proven_at >= began - self._max_age
        answer = listener.answer_to(known)
        if not is_same:
            if answer is not None and self._is_newest(answer, began, is_proven=is_proven):
                return self._report(_of(answer), answer.changed)
            listener.ask(known)
        elif not is_proven or began >= listener.asked_at + BEAT_SECONDS:
            listener.ask(None)
        return self._report(since, frozenset()) if is_same and is_proven else None

    def _is_newest(self, answer: Answer, began: float, *, is_proven: bool) -> bool:
        """Return whether an answer is younger than this check, or agrees with what is known and young enough."""
        return answer.sent_at >= began or (is_proven and answer.mark == self._signal.read() and not self._is_strict)

    def _awaited(self, since: Position, began: float, until: float) -> ChangeReport | None:
        """Wait for the answer; return None if it does not come in time."""
        while self._listener.can_wait() and (left := until - time.monotonic()) > 0:
            self._listener.wait(left)
            report = self._current(since, began)
            if report is not None:
                return report
        return None

    def _stale(self, since: Position) -> ChangeReport:
        """Report that what is cached may only be returned as stale, with the changes that are known all the same."""
        known: Detail = since.detail
        changed: frozenset[Hashable] | None = frozenset()
        answer = self._listener.answer_to(known.mark)
        if answer is not None and answer.mark != known.mark:
            known, changed = Detail(answer.mark, answer.written), answer.changed
        last = self._signal.last_written()  # read first, as another thread may write meanwhile
        written = self._signal.written_since(known.written, known.mark)
        both = None if written is None or changed is None else written | changed
        is_same = known.mark == since.detail.mark and last is since.detail.written
        return self._report(since if is_same else _position(known.mark, last), both, is_unavailable=True)

    def _report(
        self, position: Position, changed: frozenset[object] | None, *, is_unavailable: bool = False
    ) -> ChangeReport:
        return ChangeReport(position, self._signal.stamp, changed, is_unavailable)


def _position(mark: Mark, written: Written | None) -> Position:
    return Position(as_stamp(mark), revision_of(mark), Detail(mark, written))


def _of(answer: Answer) -> Position:
    return _position(answer.mark, answer.written)
