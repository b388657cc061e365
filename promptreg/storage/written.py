"""What a process has written to one database lately, so that none of its caches returns what was before.

That counts where the database can't be asked any more what has changed: it was removed, or does not answer. All
registries of the database in a process share one log of it.

There is no lock, because a fork or a signal handler could leave it held.
"""

from collections import deque
from collections.abc import Collection, Hashable, Iterator, Sequence

from promptreg.records import Change

MAX_WRITTEN = 100  # commits of which it is remembered what they changed
MAX_SUBJECTS = 1_000  # of a commit; of more, it counts as having changed everything


def subjects_of(changes: Sequence[Change]) -> Iterator[Hashable]:
    """Return what caches know the changed prompts by: their ids, and their namespaces and names."""
    for subject in (change.subject for change in changes):
        yield subject.id
        yield subject.namespace, subject.name


class Written:
    """What a commit has changed: ids of prompts, and their namespaces and names; None is everything.

    `mark` is what a position is compared with: a position with the same mark has seen the commit.
    """

    __slots__ = ("mark", "subjects")

    def __init__(self, mark: Hashable, subjects: Collection[Hashable] | None) -> None:
        self.mark = mark
        self.subjects = None if subjects is None or len(subjects) > MAX_SUBJECTS else frozenset(subjects)

    def again(self) -> "Written":
        """Return another one that says the same, to be noted once more."""
        return Written(self.mark, self.subjects)


class OwnWrites:
    """The last commits of this process to one database, in the order in which they were noted."""

    def __init__(self) -> None:
        self._written: deque[Written] = deque(maxlen=MAX_WRITTEN)

    def note_written(self, written: Written) -> None:
        """Remember what a commit of this process has changed, or may have.

        No cache of this process returns that from before, not even as stale, where the database does not answer what
        else has changed.
        """
        self._written.append(written)

    def last_written(self) -> Written | None:
        """Return what was noted last: whatever the database is asked from now on, its answer has seen that."""
        return self._written[-1] if self._written else None

    def written_since(self, last: Written | None, mark: Hashable) -> frozenset[Hashable] | None:
        """Return what was noted after `last`, but not by the commit `mark`; None for everything, or if it is forgotten.

        It is the order of the notes that counts, as revisions are used again where commits were lost. That commit may
        have been announced to others before it was noted.
        """
        written = [*self._written]
        known = next((place for place in reversed(range(len(written))) if written[place] is last), None)
        if known is None and (last is not None or len(written) == MAX_WRITTEN):
            return None
        later = [each.subjects for each in written[0 if known is None else known + 1 :] if each.mark != mark]
        return None if None in later else frozenset().union(*(subjects for subjects in later if subjects is not None))
