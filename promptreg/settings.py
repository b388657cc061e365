"""The settings of a registry, read and checked before any file is touched."""

import os
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple

from promptreg.checks import PublishCheck
from promptreg.clock import Clock, system_clock
from promptreg.errors import InvalidInputError
from promptreg.models import Actor
from promptreg.rendering.limits import DEFAULT_LIMITS, RenderLimits
from promptreg.rules.access import View
from promptreg.rules.inputs import read_choice, read_flag
from promptreg.rules.names import checked_name, checked_number
from promptreg.storage.base import StorageSettings
from promptreg.storage.opening import read_target
from promptreg.telemetry.content import Redact
from promptreg.telemetry.names import CAPTURE_CONTENT
from promptreg.telemetry.spans import TelemetrySettings
from promptreg.untrusted import FieldReader, bounded_list, reads_untrusted

MAX_SECONDS = 1_000_000
DURABILITIES = ("full", "normal")
EXTRA_VARIABLES = ("ignore", "forbid")
FRESHNESS = ("bounded", "strict")
SPANS = ("child", "attributes")
CAPTURING = {"true", "span_only", "span_and_event"}  # values of the standard variable that let spans hold content


class Settings(NamedTuple):
    """The checked settings of a registry; `view` is the namespace and the actor that it was opened with."""

    view: View
    storage: StorageSettings
    cache_size: int
    publish_checks: tuple[PublishCheck, ...]
    forbids_extra: bool
    render_limits: RenderLimits
    clock: Clock
    telemetry: TelemetrySettings


def read_settings(given: Mapping[str, Any]) -> Settings:
    """Read the arguments of `Registry`, by name; raise `InvalidInputError` with every bad one."""
    fields = FieldReader()
    settings = Settings(
        view=View(
            fields.read(checked_name, given["namespace"], "namespace"),
            fields.read(read_actor, given["actor"]),
        ),
        storage=StorageSettings(
            target=fields.read(read_target, given["target"]),
            create=fields.read(read_flag, given["create"], "create"),
            durability=fields.read(read_choice, given["durability"], "durability", DURABILITIES),
            busy_timeout=fields.read(read_seconds, given["busy_timeout"], "busy_timeout"),
            max_staleness=(max_staleness := fields.read(read_seconds, given["max_staleness"], "max_staleness")),
            is_strict=fields.read(
                _is_strict, fields.read(read_choice, given["freshness"], "freshness", FRESHNESS), max_staleness
            ),
        ),
        cache_size=fields.read(checked_number, given["cache_size"], "cache_size", least=0),
        publish_checks=fields.read(_functions, given["publish_checks"]),
        forbids_extra=fields.read(read_choice, given["extra_variables"], "extra_variables", EXTRA_VARIABLES)
        == "forbid",
        render_limits=fields.read(_render_limits, given["render_limits"]),
        clock=fields.read(_clock, given["clock"]),
        telemetry=TelemetrySettings(
            captures_content=fields.read(_captures_content, given["capture_content"]),
            redact=fields.read(_redact, given["redact"]),
            makes_children=fields.read(read_choice, given["spans"], "spans", SPANS) == "child",
            times_renders=fields.read(read_flag, given["render_duration"], "render_duration"),
        ),
    )
    fields.require_valid()
    return settings


@reads_untrusted("actor")
def read_actor(value: object) -> Actor | None:
    """Read an actor; None is the application itself."""
    if value is not None and not isinstance(value, Actor):
        raise InvalidInputError.of("actor", f"must be an Actor, not {type(value).__name__}")
    return value


def _is_strict(freshness: str, max_staleness: float) -> bool:
    if freshness == "strict" and max_staleness > 0:
        raise InvalidInputError.of("freshness", "can't be 'strict' where max_staleness allows older reads")
    return freshness == "strict"


@reads_untrusted("value")
def read_seconds(value: object, field: str) -> float:
    """Read a number of seconds."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MAX_SECONDS:
        raise InvalidInputError.of(field, f"must be seconds, from 0 to {MAX_SECONDS}")
    return float(value)


@reads_untrusted("publish_checks")
def _functions(value: object) -> tuple[PublishCheck, ...]:
    functions: tuple[Any, ...] = (None,)
    # A tuple is tested for first: the first `isinstance(…, Iterable)` of a type takes Python 0.1 ms.
    if isinstance(value, tuple) or (isinstance(value, Iterable) and not isinstance(value, str | bytes | Mapping)):
        functions = tuple(bounded_list(value, "publish_checks", "functions"))
    if not all(callable(function) for function in functions):
        raise InvalidInputError.of("publish_checks", "must be a list of functions, each called with a Prompt")
    return functions


@reads_untrusted("render_limits")
def _render_limits(value: object) -> RenderLimits:
    if value is not None and not isinstance(value, RenderLimits):
        raise InvalidInputError.of("render_limits", f"must be RenderLimits, not {type(value).__name__}")
    return value or DEFAULT_LIMITS


@reads_untrusted("clock")
def _clock(value: object) -> Clock:
    if value is None:
        return system_clock
    if not callable(value):
        raise InvalidInputError.of("clock", "must be a function that returns aware datetimes")
    return value


def _captures_content(value: object) -> bool:
    if value is None:
        return os.environ.get(CAPTURE_CONTENT, "").strip().lower() in CAPTURING
    return read_flag(value, "capture_content")


@reads_untrusted("redact")
def _redact(value: object) -> Redact | None:
    if value is not None and not callable(value):
        raise InvalidInputError.of("redact", "must be a function from text to text")
    return value
