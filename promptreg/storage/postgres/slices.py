"""Statements that read a table in slices: a bounded number of rows, above those that were read before, and of bytes.

A row may be as large as 100 MB, and a slice is in memory at once, on either side. The bytes of texts are known without
reading them.
"""

from promptreg.storage.postgres.event_pages import EVENT_FIELDS
from promptreg.storage.postgres.schema import KINDS
from promptreg.storage.postgres.selecting import PROMPT_FIELDS, SHOWN, VERSION_FIELDS
from promptreg.storage.rows import VERSION_COLUMNS

ROWS = 500
BYTES = 8_000_000
FIRST, LAST = -(2**63), 2**63 - 1  # of all keys


def _bounded(keys: str, rows: str) -> str:
    """Return rows, by their keys, until their `bytes` are too many; one is always among them."""
    return (
        f"SELECT s.* FROM (SELECT t.*, sum(t.bytes) OVER (ORDER BY {keys}) - t.bytes AS before"
        f" FROM ({rows} ORDER BY {keys} LIMIT %(rows)s) t) s WHERE s.before < %(bytes)s"
    )


_OF_VERSION = " + ".join(f"coalesce(octet_length(v.{name}), 0)" for name in VERSION_COLUMNS if name not in KINDS)
KEYS = _bounded(
    "key",
    f"SELECT p.key, coalesce(octet_length(v.template), 0) AS bytes FROM $.prompts p {SHOWN}"
    " WHERE p.key > %(after)s AND p.key <= %(last)s",
).replace("SELECT s.*", "SELECT s.key", 1)
"""The keys of the prompts of a slice; the bytes are those of the versions that they show."""
PROMPTS = f"SELECT p.key, {PROMPT_FIELDS} FROM $.prompts p WHERE p.key IN ({KEYS}) ORDER BY p.key"
"""Rows of prompts, after their keys."""
PUBLICATIONS = (
    f"SELECT b.prompt, b.depth, b.version, b.hash FROM $.publications b WHERE b.prompt IN ({KEYS}) ORDER BY 1, 2"
)
COUNTS = f"SELECT v.prompt, count(*) FROM $.versions v WHERE v.prompt IN ({KEYS}) GROUP BY 1"
VERSIONS = (
    f"SELECT v.prompt, v.version, {VERSION_FIELDS} FROM ("
    + _bounded(
        "prompt, version",
        f"SELECT v.*, {_OF_VERSION} AS bytes FROM $.versions v"
        " WHERE (v.prompt, v.version) > (%(prompt)s, %(version)s) AND v.prompt <= %(last)s",
    )
    + ") v ORDER BY v.prompt, v.version"
)
"""Rows for `read_version`, after the keys of their prompts and their numbers."""
EVENTS = (
    f"SELECT {EVENT_FIELDS} FROM ("
    + _bounded(
        "seq",
        "SELECT e.*, coalesce(octet_length(d.details), 0) AS bytes FROM $.events e"
        " LEFT JOIN $.event_details d USING (seq) WHERE e.seq > %(seq)s AND e.seq <= %(last)s",
    )
    + ") e LEFT JOIN $.event_details d ON d.seq = e.seq ORDER BY e.seq"
)
"""Rows for `read_event`."""
DELETIONS = (
    "SELECT e.seq, d.prompt_id, d.at, d.synced FROM $.events e JOIN $.deletions d USING (prompt_id)"
    " WHERE e.action = 'delete' AND e.seq > %(seq)s ORDER BY e.seq LIMIT %(rows)s"
)
"""Rows for `deletion_entry`, after the numbers of their events."""
