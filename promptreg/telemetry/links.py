"""The link from a prompt to the model call that it is for: spans started within it carry the prompt.

Others' instrumentations read keys of their own from OpenTelemetry's context; for everyone else there is
`PromptSpanProcessor`. Nothing goes into baggage, which leaks into outgoing requests.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

from opentelemetry import context as otel_context
from opentelemetry.context import Context

from promptreg.telemetry import names

_PROMPT = otel_context.create_key("promptreg.prompt")


@contextmanager
def linked(attributes: Mapping[str, str]) -> Iterator[None]:
    """Put a prompt, told by its attributes, on the current context."""
    token = None
    with suppress(Exception):  # nothing of telemetry is ever in the way
        context = otel_context.get_current()
        for key, value in _values(attributes, context).items():
            context = otel_context.set_value(key, value, context)
        token = otel_context.attach(context)
    try:
        yield
    finally:
        if token is not None:
            with suppress(Exception):
                otel_context.detach(token)


def _values(attributes: Mapping[str, str], context: Context) -> dict[str, object]:
    told: dict[str, object] = {_PROMPT: dict(attributes)}
    if not attributes:  # a default of the application's own, so that no prompt is credited with the call
        return {**told, **dict.fromkeys(_KEYS), names.OPENINFERENCE_METADATA: _left(context)}
    name, version = attributes[names.PROMPT_NAME], attributes[names.PROMPT_VERSION]
    prompt = {names.PROMPT_NAME: name, names.PROMPT_VERSION: version}
    return {
        **told,
        names.OPENINFERENCE_VERSION: version,
        names.OPENINFERENCE_METADATA: _added(otel_context.get_value(names.OPENINFERENCE_METADATA, context), prompt),
        names.LANGFUSE_NAME: name,
        names.LANGFUSE_VERSION: int(version),
        names.TRACELOOP_MANAGED: True,
        names.TRACELOOP_KEY: name,
        names.TRACELOOP_VERSION: int(version),
        names.TRACELOOP_HASH: attributes[names.CONTENT_HASH],
    }


_KEYS = [names.OPENINFERENCE_VERSION, names.LANGFUSE_NAME, names.LANGFUSE_VERSION, names.TRACELOOP_MANAGED]
_KEYS += [names.TRACELOOP_KEY, names.TRACELOOP_VERSION, names.TRACELOOP_HASH]


def _left(context: Context) -> object:
    """Give the metadata without a prompt."""
    metadata = otel_context.get_value(names.OPENINFERENCE_METADATA, context)
    known = _read(metadata)
    if known is None:
        return metadata
    left = {key: item for key, item in known.items() if key not in {names.PROMPT_NAME, names.PROMPT_VERSION}}
    return json.dumps(left) if left else None


def _added(metadata: object, prompt: Mapping[str, str]) -> object:
    """Give JSON metadata with the prompt in it; what is something else is left as it is."""
    known = {} if metadata is None else _read(metadata)
    return metadata if known is None else json.dumps({**known, **prompt})


def _read(metadata: object) -> dict[str, Any] | None:
    """Give what JSON metadata holds; None for what is something else."""
    with suppress(ValueError, RecursionError):
        known = json.loads(metadata) if isinstance(metadata, str) else None
        if isinstance(known, dict):
            return known
    return None


class PromptSpanProcessor:
    """Puts the prompt on each span that starts within `rendered.trace_context()`.

    It goes to an SDK's tracer provider, before the processors that export:

    >>> from opentelemetry.sdk.trace import TracerProvider
    >>> provider = TracerProvider()
    >>> provider.add_span_processor(PromptSpanProcessor())
    >>> from promptreg import Registry
    >>> with Registry(":memory:") as registry:
    ...     _ = registry.create("greet", "Hello {{ name }}!")
    ...     rendered = registry.render("greet", name="Ana")
    >>> with rendered.trace_context():
    ...     with provider.get_tracer("app").start_as_current_span("chat") as span:
    ...         pass
    >>> span.attributes["gen_ai.prompt.name"], span.attributes["gen_ai.prompt.version"]
    ('greet', '1')
    """

    def on_start(self, span: Any, parent_context: Context | None = None) -> None:
        """Put the prompt of the context on the span, unless it is our own; attributes that it has already stay."""
        with suppress(Exception):
            attributes = otel_context.get_value(_PROMPT, parent_context)
            scope = getattr(span, "instrumentation_scope", None)
            if isinstance(attributes, dict) and getattr(scope, "name", None) != names.TRACER:
                known = getattr(span, "attributes", None) or {}
                span.set_attributes({key: value for key, value in attributes.items() if key not in known})

    def _on_ending(self, span: Any) -> None:
        """Do nothing; newer SDKs call it."""

    def on_end(self, span: Any) -> None:
        """Do nothing."""

    def shutdown(self) -> None:
        """Do nothing."""

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Have nothing to flush."""
        return True
