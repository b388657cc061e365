"""Statements that read a table in slices: a bounded number of rows, above those that were read before, and of bytes.

A row may be as large as 100 MB, and a slice is in memory at once, on either side. The bytes of texts are known without
reading them.
"""

from promptreg.storage.postgres.event_pages import EVENT_FIELDS
from promptreg.storage.postgres.schema import NUMBERS
from promptreg.storage.postgres.selecting import PROMPT_FIELDS, VERSION_FIELDS
from promptreg.storage.rows import VERSION_COLUMNS

ROWS = 500
BYTES = 8_000_000
FIRST, LAST = -(2**63), 2**63 - 1  # of all keys

_OF_VERSION = " + ".join(f"coalesce(octet_length(v.{name}), 0)" for name in VERSION_COLUMNS if name not in NUMBERS)
_FROM_PROMPTS = "FROM $.prompts p WHERE p.key > %(after)s AND p.key <= %(last)s ORDER BY p.key LIMIT %(rows)s"

PROMPTS = f"SELECT p.key, {PROMPT_FIELDS} {_FROM_PROMPTS}"
"""Rows of prompts, after their keys."""
KEYS = f"SELECT p.key {_FROM_PROMPTS}"
"""The keys of the same prompts, for what belongs to them."""
PUBLICATIONS = (
    f"SELECT b.prompt, b.depth, b.version, b.hash FROM $.publications b WHERE b.prompt IN ({KEYS}) ORDER BY 1, 2"
)
COUNTS = f"SELECT v.prompt, count(*) FROM $.versions v WHERE v.prompt IN ({KEYS}) GROUP BY 1"
VERSIONS = (
    f"SELECT v.prompt, v.version, {VERSION_FIELDS}"
    " FROM (SELECT s.*, sum(s.bytes) OVER (ORDER BY s.prompt, s.version) - s.bytes AS before"
    f" FROM (SELECT v.*, {_OF_VERSION} AS bytes FROM $.versions v"
    " WHERE (v.prompt, v.version) > (%(prompt)s, %(version)s) AND v.prompt <= %(last)s"
    " ORDER BY v.prompt, v.version LIMIT %(rows)s) s) v"
    " WHERE v.before < %(bytes)s ORDER BY v.prompt, v.version"
)
"""Rows for `read_version`, after the keys of their prompts and their numbers."""
EVENTS = (
    f"SELECT {EVENT_FIELDS}"
    " FROM (SELECT s.*, sum(s.bytes) OVER (ORDER BY s.seq) - s.bytes AS before"
    " FROM (SELECT e.*, coalesce(octet_length(d.details), 0) AS bytes"
    " FROM $.events e LEFT JOIN $.event_details d ON d.seq = e.seq"
    " WHERE e.seq > %(seq)s AND e.seq <= %(last)s ORDER BY e.seq LIMIT %(rows)s) s) e"
    " LEFT JOIN $.event_details d ON d.seq = e.seq WHERE e.before < %(bytes)s ORDER BY e.seq"
)
"""Rows for `read_event`."""
