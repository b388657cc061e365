"""Metrics: durations of renders, reads and writes, counts of cache requests and errors; each test in a new process."""

import math
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from opentelemetry.metrics import NoOpMeterProvider, set_meter_provider
from opentelemetry.trace import use_span

from promptreg import Actor, NotFoundError, PromptregError, Registry
from tests.otel import Metered, alone, call_all, parent, prepare
from tests.test_threads import in_threads

RENDERS = "promptreg.render.duration"
REQUESTS = "promptreg.cache.requests"
ERRORS = "promptreg.errors"
STORAGE = "promptreg.storage.duration"
RELOADS = "promptreg.freshness.reloads"

Recorded = dict[str, dict[str, Any]]


@contextmanager
def opened(**settings: Any) -> Iterator[tuple[Registry, str]]:
    """Open a registry of a new file, with its path."""
    with tempfile.TemporaryDirectory() as folder, Registry(f"{folder}/x.db", durability="normal", **settings) as it:
        yield it, f"{folder}/x.db"


def points(recorded: Recorded, metric: str) -> list[dict[str, Any]]:
    """Return a metric's points, or an empty list if there is no such metric."""
    return recorded.get(metric, {"points": []})["points"]


def total(recorded: Recorded, metric: str, **attributes: str) -> float:
    """Return the sum of the points that have these attributes; of a histogram, the number of records."""
    wanted = {f"promptreg.{key.replace('_', '.')}": value for key, value in attributes.items()}
    return sum(
        point.get("count", point.get("value", 0))
        for point in points(recorded, metric)
        if wanted.items() <= point["attributes"].items()
    )


def run_calls() -> Recorded:
    """Call every verb, create many versions, and cause refusals."""
    metered = Metered()
    with opened() as (registry, _):
        prepare(registry)
        call_all(registry)
        for number in range(12):
            registry.update("twice", template=f"Version {number} {{{{ name }}}}")
            registry.render("twice", name="Ana")
        with pytest.raises(NotFoundError):
            registry.render("absent")
    return metered()


def test_the_metrics_are_those_of_the_table() -> None:
    """There are five, of one scope, with durations in seconds and buckets under a millisecond, without content."""
    recorded = alone(run_calls)
    assert set(recorded) == {RENDERS, REQUESTS, ERRORS, STORAGE, RELOADS}
    assert {metric["scope"] for metric in recorded.values()} == {"promptreg"}
    assert {name: metric["kind"] for name, metric in recorded.items()} == {
        RENDERS: "Histogram",
        STORAGE: "Histogram",
        REQUESTS: "Sum",
        ERRORS: "Sum",
        RELOADS: "Sum",
    }
    for name in (RENDERS, STORAGE):
        assert recorded[name]["unit"] == "s"
        (bounds,) = {tuple(point["bounds"]) for point in points(recorded, name)}
        assert len([bound for bound in bounds if bound < 0.001]) >= 4
        assert min(bounds) <= 0.000_01
        assert max(bounds) >= 1
    for name, metric in recorded.items():
        keys = {key for point in metric["points"] for key in point["attributes"]}
        assert not any("version" in key or "content" in key or "request" in key for key in keys), name
        assert len(metric["points"]) <= 20, name
        assert total(recorded, name) > 0, name


def rendered() -> list[Recorded]:
    """Render 10 times and get 10 times, of which one misses; then read it from a view."""
    metered = Metered()
    with opened() as (registry, _):
        registry.create("greet", "Hello {{ name }}")
        before = metered()
        for _ in range(10):
            registry.render("greet", name="Ana")
            registry._core.cache.generation.until = math.inf  # or a check every 50 ms makes a hit a fresh one
        for _ in range(10):
            registry.get("greet")
        after = metered()
        view = registry.scope(namespace="support")
        view.create("reply", "Dear {{ name }}")
        view.render("reply", name="Ana")
        view.render("reply", name="Ana")
        return [before, after, metered()]


def test_every_render_and_request_is_counted() -> None:
    """Hits without a span, and views, are counted too, and each render is timed in plausible seconds."""
    before, after, views = alone(rendered)
    assert total(after, REQUESTS) - total(before, REQUESTS) == 20
    assert total(after, REQUESTS, cache="miss") - total(before, REQUESTS, cache="miss") == 1
    assert total(after, REQUESTS, cache="hit") - total(before, REQUESTS, cache="hit") >= 10
    assert total(after, REQUESTS, cache="stale") == 0
    assert total(after, RENDERS) - total(before, RENDERS) == 10
    assert 0 < sum(point["sum"] for point in points(after, RENDERS)) < 5
    assert total(views, REQUESTS) - total(after, REQUESTS) == 2
    assert total(views, RENDERS) - total(after, RENDERS) == 2


def refused() -> list[Recorded]:
    """Make calls that are refused, some from the cache."""
    metered = Metered()
    with opened() as (registry, _):
        registry.create("greet", "Hello {{ name }}")
        before = metered()
        refusals: list[Callable[[], object]] = [
            *[lambda: registry.render("absent")] * 3,
            *[lambda: registry.get("absent")] * 2,
            *[lambda: registry.render("greet")] * 4,
            lambda: registry.create("greet", "x"),
        ]
        for call in refusals:
            with pytest.raises(PromptregError):
                call()
        return [before, metered()]


def test_errors_are_counted_by_code() -> None:
    """Errors of cached reads, of renders and of writes are counted."""
    before, after = alone(refused)
    assert total(before, ERRORS) == 0
    assert total(after, ERRORS) == 10
    assert total(after, ERRORS, error_code="not_found") == 5
    assert total(after, ERRORS, error_code="missing_variables") == 4
    assert total(after, ERRORS, error_code="name_taken") == 1


def read_at_once() -> list[Recorded]:
    """Read three prompts at once, one of them from the cache, and then the three from the cache, in two views."""
    metered = Metered()
    with opened() as (registry, _):
        for name in "abc":
            registry.create(name, "Hello")
        registry.get("a")
        recorded = [metered()]
        for view in (registry, registry.scope(actor=Actor("mia", "team_member"))):
            view.get_many(["a", "b", "c"])
        return [*recorded, metered()]


def test_each_prompt_that_is_read_with_others_is_counted() -> None:
    """`get_many` counts a request for each name, by whether that was in the cache."""
    before, after = alone(read_at_once)
    assert total(after, REQUESTS) - total(before, REQUESTS) == 6
    assert total(after, REQUESTS, cache="miss") - total(before, REQUESTS, cache="miss") == 2


def reloaded() -> list[Recorded]:
    """Read, see what another registry wrote, and read again."""
    metered = Metered()
    with opened() as (registry, path), Registry(path, durability="normal") as elsewhere:
        registry.create("greet", "Hello")
        registry.render("greet")
        recorded = [metered()]
        for number in range(3):
            elsewhere.update("greet", template=f"Hello {number}")
            registry.render("greet")
            registry.render("greet")
        recorded.append(metered())
        registry.history("greet")
        return [*recorded, metered()]


def test_reloads_and_the_storage_are_measured() -> None:
    """Each change that was seen counts as a reload, and the durations of reads and writes are recorded."""
    before, after, last = alone(reloaded)
    assert total(after, RELOADS) - total(before, RELOADS) == 3
    assert total(after, REQUESTS, cache="miss") - total(before, REQUESTS, cache="miss") == 3
    assert total(after, STORAGE) - total(before, STORAGE) >= 6
    assert total(last, STORAGE) > total(after, STORAGE)
    assert 0 < sum(point["sum"] for point in points(after, STORAGE)) < 60


def checked_again() -> list[Recorded]:
    """Read again after the cache must be compared with the database, where nothing has changed."""
    metered = Metered()
    with opened() as (registry, _):
        registry.create("greet", "Hello")
        registry.render("greet")
        recorded = [metered()]
        for _ in range(3):
            time.sleep(0.06)
            registry.render("greet")
        return [*recorded, metered()]


def test_a_check_without_a_change_is_not_counted_as_a_reload() -> None:
    """Only a change, and not each check every 50 ms, counts as a reload."""
    before, after = alone(checked_again)
    assert total(after, RELOADS) == total(before, RELOADS)
    assert total(after, REQUESTS, cache="fresh") - total(before, REQUESTS, cache="fresh") == 3


def switched_off() -> Recorded:
    """Render with `render_duration=False`."""
    metered = Metered()
    with opened(render_duration=False) as (registry, _):
        registry.create("greet", "Hello")
        for _ in range(5):
            registry.render("greet")
        with pytest.raises(NotFoundError):
            registry.render("absent")
    return metered()


def test_durations_of_renders_can_be_switched_off() -> None:
    """With `render_duration=False` only the durations of renders are not recorded."""
    recorded = alone(switched_off)
    assert total(recorded, RENDERS) == 0
    assert total(recorded, REQUESTS) >= 5
    assert total(recorded, ERRORS) == 1
    assert total(recorded, STORAGE) > 0


def closed() -> list[Recorded]:
    """Count in two registries, close one, then both."""
    metered = Metered()
    recorded = []
    with opened() as (one, _):
        with opened() as (other, _):
            for registry in (one, other):
                registry.create("greet", "Hello")
                registry.render("greet")
                registry.render("greet")
            recorded.append(metered())
        recorded.append(metered())
    return [*recorded, metered()]


def test_counts_are_of_the_process_and_never_go_down() -> None:
    """Counts include all registries of the process, and those of closed ones are kept."""
    both, one, none = alone(closed)
    assert total(both, REQUESTS) == 4
    assert total(one, REQUESTS) == total(none, REQUESTS) == 4
    assert total(none, RENDERS) == 4


def installed_later() -> Recorded:
    """Set up metrics while a registry is open and has rendered already."""
    with opened() as (registry, _):
        registry.create("greet", "Hello")
        registry.render("greet")
        metered = Metered()
        time.sleep(0.06)
        for _ in range(3):
            registry.render("greet")
        return metered()


def test_a_meter_provider_installed_later_is_noticed() -> None:
    """Renders are timed and counted from the next check on, at most 50 ms later."""
    recorded = alone(installed_later)
    assert total(recorded, RENDERS) == 3
    assert total(recorded, REQUESTS) >= 3


def threaded() -> Recorded:
    """Render in eight threads at once."""
    metered = Metered()
    with opened() as (registry, _):
        registry.create("greet", "Hello")
        registry.render("greet")

        def render(_: int) -> None:
            for _ in range(500):
                registry.render("greet")

        in_threads(8, render)
        return metered()


def test_threads_lose_no_count() -> None:
    """All concurrent renders are counted."""
    recorded = alone(threaded)
    assert total(recorded, REQUESTS) == total(recorded, RENDERS) == 8 * 500 + 1


def unsampled() -> Recorded:
    """Render for a caller whose trace is not recorded."""
    metered = Metered()
    with opened() as (registry, _):
        registry.create("greet", "Hello")
        with use_span(parent(sampled=False)):
            registry.render("greet")
            registry.render("greet")
    return metered()


def test_calls_that_are_not_sampled_are_measured() -> None:
    """Metrics count all calls, because sampling is about traces."""
    recorded = alone(unsampled)
    assert total(recorded, REQUESTS) == total(recorded, RENDERS) == 2


def unmeasured() -> bool:
    """Install the provider that measures nothing; return whether reads still take the fast path."""
    set_meter_provider(NoOpMeterProvider())
    with opened() as (registry, _):
        registry.create("greet", "Hello")
        registry.render("greet")
        return registry._core.cache.fast is registry._core.cache.generation


def test_a_provider_that_measures_nothing_costs_nothing() -> None:
    """With such a provider cached reads take the fast path, as without one."""
    assert alone(unmeasured)
