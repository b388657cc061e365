"""Where the database lies: whether the file at its path is still the one that was opened."""

import os

from promptreg.errors import StorageError


class Place:
    """The path of a file, and which file was found there."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._identity: tuple[int, int] | None = None

    def settle(self) -> None:
        """Remember the file that is there now."""
        self._identity = self._found()

    def is_kept(self) -> bool:
        """Tell whether the file is there, and the same."""
        return self._identity is None or self._found() == self._identity

    def require_kept(self) -> None:
        """Raise `StorageError` where the file was replaced or removed: nothing of another one is ever read."""
        if not self.is_kept():
            what = "replaced" if os.path.lexists(self.path) else "removed"
            raise StorageError(
                f"The file {self.path} was {what} while it was open; close this registry and open it anew."
            )

    def _found(self) -> tuple[int, int] | None:
        try:
            found = os.stat(self.path)
        except OSError:
            return None
        return found.st_dev, found.st_ino
