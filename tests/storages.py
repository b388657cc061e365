"""The storages that run the contract tests; this is the one place of those tests where a new database is added."""

from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from promptreg.storage.base import Storage, StorageSettings
from promptreg.storage.opening import open_storage


class StorageCase(NamedTuple):
    """A storage, and its capabilities that other storages may not have.

    `open` opens the database of a test, in the folder of that test. `is_shared`: other processes, and other storages of
    this process, see the same data. `is_concurrent`: a write commits while a read transaction is open.
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
