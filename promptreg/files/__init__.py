"""Prompts as files: a folder of prompts, synchronisation, export and import, and the formats of other tools."""

from promptreg.files.exporting import ExportReport, export
from promptreg.files.foreign.importing import ImportedPrompt, ImportNote, ImportReport, import_from
from promptreg.files.syncing.report import SyncedPrompt, SyncReport
from promptreg.files.syncing.sync import sync

__all__ = [
    "ExportReport",
    "ImportNote",
    "ImportReport",
    "ImportedPrompt",
    "SyncReport",
    "SyncedPrompt",
    "export",
    "import_from",
    "sync",
]
