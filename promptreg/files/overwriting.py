"""Refusing to write a file over a database. What else a path must be is decided by whoever writes."""

import os

from promptreg.errors import InvalidInputError
from promptreg.storage.opening import database_beside

DATABASE = b"SQLite format 3\0"
"""How a file of SQLite begins."""


def require_no_database(path: str, own: str | None, *, field: str = "out") -> None:
    """Refuse to put a file in the place of a database, above all of the one that is read, or of a file beside one.

    Those are its WAL, its locks and such: without its WAL a database would lose what was committed last.
    """
    if _is_database(path, own):
        raise InvalidInputError.of(field, "is a database, which would be replaced; give it another file")
    beside = database_beside(path)
    if beside is not None and _is_database(beside, own):
        raise InvalidInputError.of(field, "is part of a database, which would be damaged; give it another file")


def _is_database(path: str, own: str | None) -> bool:
    if not os.path.isfile(path):
        return False
    # The one that is read is not even opened: closing it again would drop SQLite's locks.
    if own is not None and os.path.exists(own) and os.path.samefile(path, own):
        return True
    with open(path, "rb") as file:
        return file.read(len(DATABASE)) == DATABASE
