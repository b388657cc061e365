"""Prompts as files: a folder of prompts, synchronisation, export and import, and the formats of other tools."""

from promptreg.files.exporting import ExportReport as ExportReport
from promptreg.files.exporting import export as export
