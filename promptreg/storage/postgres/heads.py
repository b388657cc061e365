"""The registry's row: which state of the database a statement sees, and how it is stored."""

from collections.abc import Sequence
from typing import NamedTuple

from promptreg.storage.hashing import damaged
from promptreg.storage.postgres.selecting import MAX_INTEGER
from promptreg.storage.postgres.statements import Row, Statement


class Head(NamedTuple):
    """The columns of `$.registry r` that every read checks; two states are equal only if revision and stamp are."""

    revision: int
    stamp: str
    schema_version: int


HEAD_FIELDS = ", ".join(f"r.{column}" for column in Head._fields)
HEAD = Statement(f"SELECT {HEAD_FIELDS} FROM $.registry r")


def read_head(rows: Sequence[Row]) -> Head:
    """Return the head from rows of `HEAD_FIELDS`; raise `StorageCorruptError` where there is not one."""
    if len(rows) != 1 or not 0 <= rows[0][0] < MAX_INTEGER:
        raise damaged("the registry's", "revision")
    return Head(*rows[0])
