"""The only rooms that know SQL. `base.py` is the seam; beside SQLite, others may stand behind it."""
