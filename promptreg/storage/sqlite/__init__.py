"""The SQLite storage: one file on a local disk, or a database in memory."""
