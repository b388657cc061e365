"""What a transaction has read beside what it was asked for, so that the next question takes no round trip."""

from collections.abc import Sequence

from promptreg.records import Container, VersionRecord
from promptreg.storage.postgres.sessions import Row
from promptreg.storage.rows import read_version


class Remembered:
    """Rows of versions, read and checked when somebody asks for them, and the numbers of unpublished versions."""

    def __init__(self) -> None:
        self._rows: dict[tuple[str, int], Row] = {}
        self._records: dict[tuple[str, int], VersionRecord] = {}
        self._unpublished: dict[str, list[int]] = {}

    def add(self, prompt_id: str, row: Row) -> None:
        """Remember a row of `VERSION_FIELDS`; one of NULLs, where no version was joined, says nothing."""
        if row[0] is not None:
            self._rows[prompt_id, row[0]] = row

    def version(self, container: Container, number: int) -> VersionRecord | None:
        """Return a version that is remembered; raise `StorageCorruptError` where its row is damaged."""
        key = container.id, number
        if key not in self._records and key in self._rows:
            self._records[key] = read_version(container.id, self._rows[key])
        return self._records.get(key)

    def add_unpublished(self, container: Container, numbers: Sequence[int]) -> None:
        """Remember the numbers of all unpublished versions of a prompt, newest first."""
        self._unpublished[container.id] = [*numbers]

    def unpublished(self, container: Container) -> list[int] | None:
        """Return these numbers, or None where they are not known."""
        return self._unpublished.get(container.id)

    def forget(self) -> None:
        """Forget everything, as something was written."""
        self.__init__()  # type: ignore[misc]
