"""Prompts as files: a folder of prompts, synchronisation, export and import, and the formats of other tools."""

from promptreg.files.exporting import ExportReport as ExportReport
from promptreg.files.exporting import export as export
from promptreg.files.report import SyncedPrompt as SyncedPrompt
from promptreg.files.report import SyncReport as SyncReport
from promptreg.files.syncing import sync as sync
