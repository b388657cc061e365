"""Every name in spans, metrics and contexts; those with `gen_ai.` and `error.` are OpenTelemetry's conventions.

Constants only: what is recorded under a name is decided elsewhere.
"""

from typing import Final

TRACER: Final = "promptreg"
SCHEMA_URL: Final = "https://opentelemetry.io/schemas/1.37.0"

# Attributes of spans
PROMPT_NAME: Final = "gen_ai.prompt.name"
PROMPT_VERSION: Final = "gen_ai.prompt.version"  # a number, as text
NAMESPACE: Final = "promptreg.namespace"
STATUS: Final = "promptreg.status"
STATE: Final = "promptreg.state"
KIND: Final = "promptreg.kind"
LABEL: Final = "promptreg.label"
PRODUCTION: Final = "promptreg.production"  # whether it is the production version
CACHE: Final = "promptreg.cache"
CONTENT_HASH: Final = "promptreg.content_hash"
CHANGED: Final = "promptreg.changed"
COUNT: Final = "promptreg.count"
ERROR_TYPE: Final = "error.type"
ERROR_CODE: Final = "promptreg.error.code"
REQUEST_ID: Final = "promptreg.request_id"

# Attributes with content, recorded where `capture_content` or this environment variable asks for it
CONTENT_TEMPLATE: Final = "promptreg.content.template"
CONTENT_TEXT: Final = "promptreg.content.text"
CONTENT_VARIABLES: Final = "promptreg.content.variables"
CAPTURE_CONTENT: Final = "OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT"

# Values of CACHE: current without a read of the database, current after one, not cached, and the database is missing
HIT: Final = "hit"
FRESH: Final = "fresh"
MISS: Final = "miss"
STALE: Final = "stale"

# Metrics
RENDER_DURATION: Final = "promptreg.render.duration"
CACHE_REQUESTS: Final = "promptreg.cache.requests"
ERRORS: Final = "promptreg.errors"
STORAGE_DURATION: Final = "promptreg.storage.duration"
RELOADS: Final = "promptreg.freshness.reloads"
OPERATION: Final = "promptreg.operation"
READ: Final = "read"
WRITE: Final = "write"

# Keys of the context that other instrumentations read: OpenInference (Phoenix), Langfuse, Traceloop
OPENINFERENCE_VERSION: Final = "llm.prompt_template.version"
OPENINFERENCE_METADATA: Final = "metadata"
LANGFUSE_NAME: Final = "langfuse.propagated.prompt_name"
LANGFUSE_VERSION: Final = "langfuse.propagated.prompt_version"
TRACELOOP_MANAGED: Final = "managed_prompt"
TRACELOOP_KEY: Final = "prompt_key"
TRACELOOP_VERSION: Final = "prompt_version"
TRACELOOP_HASH: Final = "prompt_version_hash"
