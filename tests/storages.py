"""The storages that run the contract tests; a new database is added here, and nowhere else in the tests of the seam."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from promptreg.storage.base import Storage, StorageSettings
from promptreg.storage.opening import open_storage


class StorageCase(NamedTuple):
    """A storage, and what it can do that another may not.

    `open` opens the database of a test, which the folder tells from others. `is_shared`: other processes, and other
    storages of this one, see the same data. `is_concurrent`: a write commits while a read transaction is open.
    """

    open: Callable[[Path], Storage]
    is_shared: bool = True
    is_concurrent: bool = True


def _opened(target: str) -> Storage:
    return open_storage(StorageSettings(target, create=True, durability="full", busy_timeout=30.0))


STORAGES = {
    "sqlite file": StorageCase(lambda folder: _opened(str(folder / "contract.db"))),
    "sqlite memory": StorageCase(lambda _: _opened(":memory:"), is_shared=False, is_concurrent=False),
}
