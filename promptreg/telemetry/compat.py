"""The private names of OpenTelemetry that promptreg reads; tests/test_compat.py fails when one is lost.

The API has no public way to ask whether a provider is installed that would not make a stand-in for one: for tracers
that takes 1 µs, as long as a whole render; for meters it imports a module, which takes 2 ms. Nothing else lives here.
"""

import sys
from typing import Any, Final

from opentelemetry import trace

TRACER_PROVIDER: Final = "_TRACER_PROVIDER"
METRICS_MODULE: Final = "opentelemetry.metrics._internal"
METER_PROVIDER: Final = "_METER_PROVIDER"

TRACE_STATE: Final[dict[str, Any]] = vars(trace) if TRACER_PROVIDER in vars(trace) else {TRACER_PROVIDER: trace}
"""The globals of `opentelemetry.trace`, where the installed tracer provider is at `TRACER_PROVIDER`, or None.

A subscript, as a function that returns it takes 0.02 µs more. If the name were lost, every verb would take the way
that asks the API itself.
"""


def meter_provider() -> Any:
    """Return the installed meter provider, or None; to install one imports the module that this does without."""
    return getattr(sys.modules.get(METRICS_MODULE), METER_PROVIDER, None)
