"""`import_from`: prompts of other tools, and folders of plain texts; each format has a reader."""
