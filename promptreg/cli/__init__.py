"""The command `promptreg`: the terminal's way to a registry, and to prompts as files."""

from promptreg.cli.main import main as main
