"""Opening a storage in SQLite."""

import os
from traceback import clear_frames

from promptreg.storage.base import StorageSettings
from promptreg.storage.sqlite import connecting
from promptreg.storage.sqlite.forks import FORKS
from promptreg.storage.sqlite.queue import queue_of
from promptreg.storage.sqlite.storage import SQLiteStorage


def open_sqlite(settings: StorageSettings) -> SQLiteStorage:
    """Open the database; after an error or an interrupt leave nothing open, even if the caller keeps the error."""
    settings = settings._replace(target=connecting.absolute(settings.target))
    try:
        return SQLiteStorage(settings)
    except BaseException as error:
        clear_frames(error.__traceback__)
        if settings.target != ":memory:":  # other registries of the file share its queue
            queue_of(os.path.realpath(settings.target)).release_abandoned()
        FORKS.release_abandoned()
        raise
