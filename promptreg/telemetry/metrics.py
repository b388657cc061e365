"""Metrics of this process, all its registries together, none by prompt or version.

Requests, errors and reloads are counted in memory, and read by observable counters as an exporter collects; durations
of renders, reads and writes are recorded in histograms. Without a meter provider nothing but the counts is kept.
"""

import os
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from functools import cache
from time import perf_counter
from typing import TYPE_CHECKING, TypeVar

from opentelemetry.environment_variables import OTEL_PYTHON_METER_PROVIDER

from promptreg.telemetry import names
from promptreg.telemetry.compat import meter_provider

if TYPE_CHECKING:
    from opentelemetry.metrics import CallbackOptions, Histogram, Meter, Observation

T = TypeVar("T")

BUCKETS = [0.000_001, 0.000_002, 0.000_005, 0.000_01, 0.000_02, 0.000_05, 0.000_1, 0.000_2, 0.000_5]
BUCKETS += [0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.5, 1.0, 2.0, 5.0]

_requests = dict.fromkeys((names.HIT, names.FRESH, names.MISS, names.STALE), 0)
_errors: dict[str, int] = {}
_reloads = {"reloads": 0}


@cache
def installed_version() -> str:
    """Return the version of promptreg, or an empty text where it was copied and not installed."""
    from importlib.metadata import PackageNotFoundError, version  # noqa: PLC0415 (8 ms, for spans and metrics alone)

    try:
        return version("promptreg-embedded")
    except PackageNotFoundError:
        return ""


def is_on() -> bool:
    """Return whether a meter provider that measures is installed, or named by OTEL_PYTHON_METER_PROVIDER."""
    provider = meter_provider()
    if provider is None:
        return OTEL_PYTHON_METER_PROVIDER in os.environ
    return not isinstance(provider, sys.modules["opentelemetry.metrics"].NoOpMeterProvider)


def count_requests(cache: str, number: int = 1) -> None:
    """Count reads of the cache; adding to an item of a dict loses nothing between threads."""
    _requests[cache] += number


def count_error(code: str) -> None:
    """Count an error that a verb raised."""
    if code not in _errors:
        _errors.setdefault(code, 0)
    _errors[code] += 1


def count_reload() -> None:
    """Count a generation of the cache that began because something had changed."""
    _reloads["reloads"] += 1


def record_render(seconds: float) -> None:
    """Record how long a render took."""
    with suppress(Exception):  # a failure of telemetry changes no result
        _instruments()[0].record(seconds)


@contextmanager
def timed(operation: str, transaction: AbstractContextManager[T]) -> Iterator[T]:
    """Run a read or write transaction, and record how long it took."""
    began = perf_counter()
    try:
        with transaction as entered:
            yield entered
    finally:
        with suppress(Exception):
            _instruments()[1].record(perf_counter() - began, {names.OPERATION: operation})


def begin() -> bool:
    """Return whether metrics are on; if so, create the instruments, as counts are exported from then on."""
    if not is_on():
        return False
    with suppress(Exception):
        _instruments()
    return True


@cache
def _instruments() -> "tuple[Histogram, Histogram]":
    from opentelemetry.metrics import Observation, get_meter  # noqa: PLC0415 (2 ms, where metrics are on)

    meter = get_meter(names.TRACER, installed_version(), schema_url=names.SCHEMA_URL)
    _observe(meter, names.CACHE_REQUESTS, "reads of the cache", _counts_by(names.CACHE, _requests))
    _observe(meter, names.ERRORS, "errors that verbs raised", _counts_by(names.ERROR_CODE, _errors))
    _observe(meter, names.RELOADS, "reads that found a change", lambda _: [Observation(_reloads["reloads"])])
    render, storage = (
        meter.create_histogram(name, "s", description, explicit_bucket_boundaries_advisory=BUCKETS)
        for name, description in (
            (names.RENDER_DURATION, "duration of renders"),
            (names.STORAGE_DURATION, "duration of reads and writes of the database"),
        )
    )
    return render, storage


def _observe(
    meter: "Meter", name: str, description: str, callback: "Callable[[CallbackOptions], Iterable[Observation]]"
) -> None:
    meter.create_observable_counter(name, [callback], "1", description)


def _counts_by(attribute: str, counts: dict[str, int]) -> "Callable[[CallbackOptions], Iterable[Observation]]":
    from opentelemetry.metrics import Observation  # noqa: PLC0415

    return lambda _: [Observation(number, {attribute: key}) for key, number in dict(counts).items()]
