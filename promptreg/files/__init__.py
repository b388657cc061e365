"""Prompts as files: a folder of prompts, synchronisation, export and import, and the formats of other tools."""
