"""What a registry is opened with: each setting read and checked, before any file is touched."""

import os
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from promptreg.checks import PublishCheck
from promptreg.clock import Clock, system_clock
from promptreg.errors import InvalidInputError
from promptreg.foreign import few, reading
from promptreg.gathering import BadFields
from promptreg.models import Actor
from promptreg.rendering.limits import DEFAULT_LIMITS, RenderLimits
from promptreg.rules.inputs import read_choice, read_flag
from promptreg.rules.names import checked_number
from promptreg.storage.base import StorageSettings
from promptreg.storage.opening import read_target
from promptreg.telemetry.content import Redact
from promptreg.telemetry.names import CAPTURE_CONTENT
from promptreg.telemetry.spans import TelemetrySettings

MAX_SECONDS = 1_000_000
DURABILITIES = ("full", "normal")
EXTRA_VARIABLES = ("ignore", "forbid")
SPANS = ("child", "attributes")
CAPTURING = {"true", "span_only", "span_and_event"}  # what the standard variable says where spans may hold content


class Settings(NamedTuple):
    """The settings of a registry, checked."""

    storage: StorageSettings
    max_staleness: float
    cache_size: int
    publish_checks: tuple[PublishCheck, ...]
    forbids_extra: bool
    render_limits: RenderLimits
    clock: Clock
    telemetry: TelemetrySettings


def read_settings(
    *,
    target: object,
    create: object,
    max_staleness: object,
    cache_size: object,
    durability: object,
    busy_timeout: object,
    publish_checks: object,
    extra_variables: object,
    render_limits: object,
    clock: object,
    capture_content: object,
    redact: object,
    spans: object,
    render_duration: object,
) -> Settings:
    """Check what `Registry` was given; raise `InvalidInputError` with every setting that is not one."""
    bad = BadFields()
    settings = Settings(
        storage=StorageSettings(
            target=bad.read(read_target, target),
            create=bad.read(read_flag, create, "create"),
            durability=bad.read(read_choice, durability, "durability", DURABILITIES),
            busy_timeout=bad.read(_seconds, busy_timeout, "busy_timeout"),
        ),
        max_staleness=bad.read(_seconds, max_staleness, "max_staleness"),
        cache_size=bad.read(checked_number, cache_size, "cache_size", least=0),
        publish_checks=bad.read(_functions, publish_checks),
        forbids_extra=bad.read(read_choice, extra_variables, "extra_variables", EXTRA_VARIABLES) == "forbid",
        render_limits=bad.read(_render_limits, render_limits),
        clock=bad.read(_clock, clock),
        telemetry=TelemetrySettings(
            captures_content=bad.read(_captures_content, capture_content),
            redact=bad.read(_redact, redact),
            makes_children=bad.read(read_choice, spans, "spans", SPANS) == "child",
            times_renders=bad.read(read_flag, render_duration, "render_duration"),
        ),
    )
    bad.require_none()
    return settings


@reading("actor")
def read_actor(value: object) -> Actor | None:
    """Read an actor; None is the application itself."""
    if value is not None and not isinstance(value, Actor):
        raise InvalidInputError.of("actor", f"must be an Actor, not {type(value).__name__}")
    return value


@reading("value")
def _seconds(value: object, field: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MAX_SECONDS:
        raise InvalidInputError.of(field, f"must be seconds, from 0 to {MAX_SECONDS}")
    return float(value)


@reading("publish_checks")
def _functions(value: object) -> tuple[PublishCheck, ...]:
    functions: tuple[Any, ...] = (None,)
    # A tuple is told from the rest first: Python takes 0.1 ms to find out that it is iterable, the first time.
    if isinstance(value, tuple) or (isinstance(value, Iterable) and not isinstance(value, str | bytes | Mapping)):
        functions = tuple(few(value, "publish_checks", "functions"))
    if not all(callable(function) for function in functions):
        raise InvalidInputError.of("publish_checks", "must be a list of functions, each called with a Prompt")
    return functions


@reading("render_limits")
def _render_limits(value: object) -> RenderLimits:
    if value is not None and not isinstance(value, RenderLimits):
        raise InvalidInputError.of("render_limits", f"must be RenderLimits, not {type(value).__name__}")
    return value or DEFAULT_LIMITS


@reading("clock")
def _clock(value: object) -> Clock:
    if value is None:
        return system_clock
    if not callable(value):
        raise InvalidInputError.of("clock", "must be a function that gives aware datetimes")
    return value


def _captures_content(value: object) -> bool:
    if value is None:
        return os.environ.get(CAPTURE_CONTENT, "").strip().lower() in CAPTURING
    return read_flag(value, "capture_content")


@reading("redact")
def _redact(value: object) -> Redact | None:
    if value is not None and not callable(value):
        raise InvalidInputError.of("redact", "must be a function from text to text")
    return value
