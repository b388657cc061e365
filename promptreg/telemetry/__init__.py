"""Spans, metrics, and the link from a prompt to the model call that it was rendered for, by OpenTelemetry's API alone.

What a tracer, a span processor or a meter raises changes no result. `names`, `compat`, `links` and `metrics` know no
prompt, as `prompt.py` imports them; `attributes`, `content` and `spans` read prompts, and `tree` needs an SDK.
"""

from promptreg.telemetry.links import PromptSpanProcessor

__all__ = ["PromptSpanProcessor"]
