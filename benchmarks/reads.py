"""Fresh reads against their floors: `get` against `dict[key]`, `render` against a held plain Jinja2 template."""

import platform
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import jinja2

from promptreg import Registry

ROUNDS = 40
TEMPLATE = "Summarize in {{ words }} words."


def nanoseconds(call: Callable[[], object], times: int) -> float:
    start = time.perf_counter_ns()
    for _ in range(times):
        call()
    return (time.perf_counter_ns() - start) / times


def compare(name: str, ours: Callable[[], object], floor: Callable[[], object], times: int) -> None:
    """Run both in turn, and print the ratio of each pair: median, minimum, maximum."""
    ratios, absolute = [], []
    for _ in range(ROUNDS):
        below, above = nanoseconds(floor, times), nanoseconds(ours, times)
        ratios.append(above / below)
        absolute.append(above)
    spread = f"{statistics.median(ratios):8.2f} {min(ratios):8.2f} {max(ratios):8.2f}"
    print(f"{name:<36}{spread}   {statistics.median(absolute) / 1000:8.2f} µs")


def main() -> None:
    print(f"Python {platform.python_version()}, {platform.machine()}, {sys.platform}")
    print(f"{'':<36}{'median':>8} {'min':>8} {'max':>8}")
    with tempfile.TemporaryDirectory() as folder, Registry(Path(folder, "prompts.db")) as registry:
        registry.create("summarize", TEMPLATE)
        held = {"summarize": registry.get("summarize")}
        plain = jinja2.Environment().from_string(TEMPLATE)
        compare("get / dict[key]", lambda: registry.get("summarize"), lambda: held["summarize"], 2000)
        compare(
            "render / plain Jinja2, short prompt",
            lambda: registry.render("summarize", words=20),
            lambda: plain.render(words=20),
            2000,
        )


if __name__ == "__main__":
    main()
