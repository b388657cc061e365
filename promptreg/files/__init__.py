"""Prompts as files: a folder of prompts, synchronisation, export and import, and the formats of other tools."""

from promptreg.files.importing import ImportedPrompt, ImportNote, ImportReport, import_from

__all__ = ["ImportNote", "ImportReport", "ImportedPrompt", "import_from"]
