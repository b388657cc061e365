"""The prompts of a registry for clients of the Model Context Protocol, as one actor may read them.

Only this package imports `mcp`, which the extra `promptreg-embedded[mcp]` brings. `prompt_server` is for programs;
`promptreg mcp` runs it on standard input and output.
"""

from promptreg.mcp.server import prompt_server

__all__ = ["prompt_server"]
