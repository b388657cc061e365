"""A render as the arguments of an SDK's call, for OpenAI, Anthropic and Gemini. No SDK is imported.

Each module has one function `arguments(rendered, overrides)`; `Rendered` loads it when it is first called.
"""
