"""The same calls on a large registry and on one of a hundredth of its prompts.

Each prompt has ten versions. The cache holds one prompt, so each read goes to the file; each side reads prompts from
all over it. The word that is searched for has as many hits in both registries, except in the last row.
"""

import tempfile
from itertools import cycle
from pathlib import Path
from random import Random

from library import COMMON, RARE, fill, name_of
from timing import Measured, Options, Row, Tables, alternate, measure, require_equal, run, seconds

from promptreg import Registry
from promptreg.rules.names import cursor

ROUNDS = 25
REPEATS = 5
VERSIONS = 10
SMALLER = 100  # times
NAMES = 500

GET = (4, 3)
FIND = (4, 2)
OPEN = (1.3, 1.1)
CALLS = {  # by the name of the row, with its goals
    "get, uncached": ("get(next(names))", GET),
    "list, a page of 50": ("list(after=next(cursors))", FIND),
    "list by prefix, 1 hit": ("list(prefix=next(names))", FIND),
    "list by label, 50 hits": (f"list(label={RARE!r}, limit=50)", FIND),
    "list by tag, 50 hits": (f"list(tag={RARE!r}, limit=50)", FIND),
    "history": ("history(next(names))", FIND),
    "search, 50 hits": (f"search({RARE!r}, limit=50)", FIND),
    "search, every prompt hit": (f"search({COMMON!r}, limit=50)", None),
}


def measured(options: Options) -> Tables:
    rounds = options.rounds or ROUNDS
    small, large = max(options.size // SMALLER, 1), options.size
    with tempfile.TemporaryDirectory() as folder:
        paths = Path(folder, "large.db"), Path(folder, "small.db")
        for path, size in zip(paths, (large, small), strict=True):
            fill(path, size, VERSIONS)
        with Registry(paths[0], cache_size=1) as ours, Registry(paths[1], cache_size=1) as floor:
            require_filled(ours, large)
            require_filled(floor, small)
            rows = measure(size_rows(ours, large, floor, small), rounds)
        rows.append(open_row(*paths, rounds))
    return {f"{large:,} prompts of {VERSIONS} versions / {small:,}": rows}


def require_filled(registry: Registry, size: int) -> None:
    """Exit unless the registry reads like one that was filled through the verbs."""
    name = name_of(size - 1)
    shape = registry.get(name).version, len(registry.history(name)), len(registry.search(RARE, limit=51))
    require_equal(f"{size} prompts", shape, (VERSIONS, VERSIONS, min(size, 50)))


def size_rows(large: Registry, large_size: int, small: Registry, small_size: int) -> list[Row]:
    """Return the rows of all calls: on the large registry against the small one."""
    names: dict[str, object] = {}
    for side, registry, size in (("large", large, large_size), ("small", small, small_size)):
        chosen = [name_of(number) for number in Random(size).choices(range(size), k=NAMES)]
        names |= {side: registry, f"{side}_names": cycle(chosen)}
        names[f"{side}_cursors"] = cycle([cursor(name_of(number)) for number in starts_of_pages(size)])
    rows = []
    for name, (call, goals) in CALLS.items():
        ours, floor = (
            f"{side}." + call.replace("names", f"{side}_names").replace("cursors", f"{side}_cursors")
            for side in ("large", "small")
        )
        rows.append(Row(name, ours, floor, names, goals, by_clock=True))
    return rows


def starts_of_pages(size: int) -> list[int]:
    """Return the numbers of prompts whose names are followed by a full page."""
    return [number for number in Random(size).choices(range(size), k=NAMES) if number % 100 < 90] or [0]


def open_row(large: Path, small: Path, rounds: int) -> Measured:
    """Measure seconds_to_open; closing is not counted."""

    def seconds_to_open(path: Path) -> float:
        registry: list[Registry] = []
        elapsed = seconds(lambda: registry.append(Registry(path)))
        registry[0].close()
        return elapsed

    pairs = [alternate(lambda: seconds_to_open(large), lambda: seconds_to_open(small), REPEATS) for _ in range(rounds)]
    return Measured("open", pairs, OPEN)


if __name__ == "__main__":
    run(__doc__, measured)
