"""The link from a prompt to the model call that it was rendered for: spans started within it carry the prompt.

Instrumentations of OpenInference, Langfuse and Traceloop read the prompt from keys of OpenTelemetry's context; for all
others there is `PromptSpanProcessor`. Nothing goes into baggage, which leaks into outgoing requests. The prompt is
passed as a mapping of attributes: this module knows neither `Prompt` nor the spans of verbs.
"""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from opentelemetry import context as otel_context
from opentelemetry.context import Context

from promptreg.telemetry import names

if TYPE_CHECKING:  # type checkers take the processor where the SDK's is asked for; at run time no SDK is needed
    from opentelemetry.sdk.trace import SpanProcessor
else:
    SpanProcessor = object

_PROMPT = otel_context.create_key("promptreg.prompt")


@contextmanager
def linked(attributes: Mapping[str, str]) -> Iterator[None]:
    """Put the prompt with these attributes on the current context; without attributes, put no prompt there."""
    token = None
    with suppress(Exception):  # a failure of telemetry changes no result
        context = otel_context.get_current()
        for key, value in _context_values(attributes, context).items():
            context = otel_context.set_value(key, value, context)
        token = otel_context.attach(context)
    try:
        yield
    finally:
        if token is not None:
            with suppress(Exception):
                otel_context.detach(token)


def _context_values(attributes: Mapping[str, str], context: Context) -> dict[str, object]:
    metadata = otel_context.get_value(names.OPENINFERENCE_METADATA, context)
    if not attributes:  # a rendered default: the model call is credited to no prompt
        unset = dict.fromkeys(_KEYS, None)
        return {_PROMPT: {}, **unset, names.OPENINFERENCE_METADATA: _metadata_without_prompt(metadata)}
    name, version = attributes[names.PROMPT_NAME], attributes[names.PROMPT_VERSION]
    prompt = {names.PROMPT_NAME: name, names.PROMPT_VERSION: version}
    return {
        _PROMPT: dict(attributes),
        names.OPENINFERENCE_VERSION: version,
        names.OPENINFERENCE_METADATA: _metadata_with(metadata, prompt),
        names.LANGFUSE_NAME: name,
        names.LANGFUSE_VERSION: int(version),
        names.TRACELOOP_MANAGED: True,
        names.TRACELOOP_KEY: name,
        names.TRACELOOP_VERSION: int(version),
        names.TRACELOOP_HASH: attributes[names.CONTENT_HASH],
    }


_KEYS = [names.OPENINFERENCE_VERSION, names.LANGFUSE_NAME, names.LANGFUSE_VERSION, names.TRACELOOP_MANAGED]
_KEYS += [names.TRACELOOP_KEY, names.TRACELOOP_VERSION, names.TRACELOOP_HASH]


def _metadata_without_prompt(metadata: object) -> object:
    fields = _json_object(metadata)
    if fields is None:
        return metadata
    others = {key: item for key, item in fields.items() if key not in {names.PROMPT_NAME, names.PROMPT_VERSION}}
    return json.dumps(others) if others else None


def _metadata_with(metadata: object, prompt: Mapping[str, str]) -> object:
    """Return JSON metadata with the prompt in it; leave metadata that is no JSON object as it is."""
    fields = {} if metadata is None else _json_object(metadata)
    return metadata if fields is None else json.dumps({**fields, **prompt})


def _json_object(text: object) -> dict[str, Any] | None:
    with suppress(ValueError, RecursionError):
        value = json.loads(text) if isinstance(text, str) else None
        if isinstance(value, dict):
            return value
    return None


class PromptSpanProcessor(SpanProcessor):
    """A span processor that puts the prompt on each span started within `rendered.trace_context()`.

    Add it to an SDK's tracer provider, before the processors that export:

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
        """Put the context's prompt on the span, unless promptreg made it; keep the attributes that it has already."""
        with suppress(Exception):
            attributes = otel_context.get_value(_PROMPT, parent_context)
            scope = getattr(span, "instrumentation_scope", None)
            if isinstance(attributes, dict) and getattr(scope, "name", None) != names.TRACER:
                present = getattr(span, "attributes", None) or {}
                span.set_attributes({key: value for key, value in attributes.items() if key not in present})

    def _on_ending(self, span: Any) -> None:
        """Do nothing; the SDK calls this private hook of its own base class before a span ends."""

    def on_end(self, span: Any) -> None:
        """Do nothing."""

    def shutdown(self) -> None:
        """Do nothing."""

    def force_flush(self, timeout_millis: int = 30_000) -> bool:
        """Return True, as there is nothing to flush."""
        return True
