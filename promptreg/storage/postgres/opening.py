"""Opening a storage in PostgreSQL."""

from promptreg.storage.base import StorageSettings
from promptreg.storage.postgres.storage import PostgresStorage


def open_postgres(settings: StorageSettings) -> PostgresStorage:
    """Open the database."""
    return PostgresStorage(settings)
