"""The prompts of a registry for clients of the Model Context Protocol, as one actor may read them.

Only this package imports `mcp`, which the extra `promptreg-embedded[mcp]` brings.
"""
