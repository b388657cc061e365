"""Everything out of a registry, and everything in: one file of JSON Lines, the same for every database.

`export_full` and `import_full` are inverse: an export of what was imported has equal bytes. `promptreg/docs/export.md`
has the format.
"""

from promptreg.files.full.exporting import export_full
from promptreg.files.full.importing import import_full

__all__ = ["export_full", "import_full"]
