"""Opening a storage in PostgreSQL: the driver, the database, and the schema in it, which the first to open makes."""

from importlib.util import find_spec
from traceback import clear_frames
from typing import TYPE_CHECKING

from promptreg.errors import StorageError
from promptreg.storage.base import StorageSettings

if TYPE_CHECKING:
    from promptreg.storage.postgres.storage import PostgresStorage

INSTALL = "pip install 'promptreg-embedded[postgres]' (in a checkout: pip install '.[postgres]')"


def open_postgres(settings: StorageSettings) -> "PostgresStorage":
    """Connect, and make or migrate the schema where that is due; leave nothing open after an error."""
    try:
        from promptreg.storage.postgres.storage import PostgresStorage  # noqa: PLC0415 (psycopg may be absent)
    except ImportError as error:
        raise _no_driver(error) from error
    try:
        return PostgresStorage(settings)
    except BaseException as error:
        clear_frames(error.__traceback__)
        raise


def _no_driver(error: ImportError) -> StorageError:
    """Return the error of a psycopg that is absent, or that has no libpq to use."""
    fact = f"can't be loaded ({error})" if find_spec("psycopg") else "is not installed"
    return StorageError(
        f"A registry in PostgreSQL needs psycopg 3, which {fact}; run: {INSTALL}",
        reason="driver",
    )
