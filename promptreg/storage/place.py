"""Where the database lies: whether the file at its path is still the one that was opened."""

import os
from collections.abc import Callable
from typing import TypeAlias

from promptreg.errors import StorageError

Identity: TypeAlias = tuple[int, int]


def identity(found: os.stat_result) -> Identity:
    """Give what tells a file from all others that are there at the same time."""
    return found.st_dev, found.st_ino


class Place:
    """The path of a file, and which file was found there."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._identity: Identity | None = None
        self._written: tuple[int, int] | None = None

    def settle(self) -> None:
        """Remember the file that is there now."""
        found = self._found()
        if found is not None:
            self._identity, self._written = identity(found), _written(found)

    def is_kept(self) -> bool:
        """Tell whether the file is there, and the same."""
        if self._identity is None:
            return True
        found = self._found()
        return found is not None and identity(found) == self._identity

    def is_kept_within(self, is_same: Callable[[], bool | None]) -> bool:
        """Ask, where the file was written since this was last asked, whether what it holds is what was there.

        None is no answer: it is asked again.
        """
        found = self._found()
        if self._identity is None or found is None or _written(found) == self._written:
            return True
        answer = is_same()
        if answer:
            self._written = _written(found)
        return answer is not False

    def lose(self) -> None:
        """Know that another database was copied over the file: it is never again the one that was opened."""
        self._identity = _NOWHERE

    def require_kept(self) -> None:
        """Raise `StorageError` where the file was replaced or removed: nothing of another one is ever read."""
        if self.is_kept():
            return
        if os.path.lexists(self.path):
            what, step = "replaced", "close every registry of it, in every process, and open it anew"
        else:
            what, step = "removed", "put it back, or close this registry, and the next one makes an empty file"
        raise StorageError(f"The file {self.path} was {what} while it was open; {step}.")

    def _found(self) -> os.stat_result | None:
        try:
            return os.stat(self.path)
        except OSError:
            return None


_NOWHERE: Identity = (-1, -1)


def _written(found: os.stat_result) -> tuple[int, int]:
    return found.st_size, found.st_mtime_ns
