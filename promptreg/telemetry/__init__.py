"""What OpenTelemetry is told, through its API alone: spans, metrics, and the link from a prompt to the call it is for.

Nothing here is ever in the way: what a tracer, a processor or a meter raises changes no result.
"""

from promptreg.telemetry.links import PromptSpanProcessor

__all__ = ["PromptSpanProcessor"]
