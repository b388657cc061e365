"""A report of a hundred prompts with twenty versions each: processor time, and bytes of the page.

The floor of the time is what an application would write: `history` and `events` of each prompt, and `diff` of each
version and the one before it, dumped as JSON. That of the size are the templates alone.
"""

import json
import tempfile
from pathlib import Path
from time import process_time
from typing import Any

from prompts import MEDIUM
from timing import Measured, Options, Tables, require_equal, run

from promptreg import Registry

PROMPTS, VERSIONS, ROUNDS = 100, 20, 5
TIME, SIZE = (3.0, 2.0), (4.0, 3.0)


def measured(options: Options) -> Tables:
    count = min(PROMPTS, options.size)
    with tempfile.TemporaryDirectory() as folder, Registry(Path(folder, "prompts.db"), durability="normal") as registry:
        fill(registry, count)
        pairs = [
            (processor_seconds(report, registry), processor_seconds(dump, registry)) for _ in range(rounds(options))
        ]
        page, templates = len(report(registry).encode()), size_of_templates(registry)
    rows = [
        Measured("report", pairs, TIME),
        Measured("size of the page in bytes", [(page, templates)], SIZE, in_seconds=False),
    ]
    return {f"A report of {count:,} prompts, {VERSIONS} versions each": rows}


def rounds(options: Options) -> int:
    return min(options.rounds or ROUNDS, ROUNDS)


def fill(registry: Registry, count: int) -> None:
    for number in range(count):
        for version in range(VERSIONS):
            registry.save(f"prompt-{number}", f"{MEDIUM}\nRevision {version} of {number}.", tags=["support"])
    require_equal("versions", registry.report().count('"state":"published"'), count * VERSIONS)


def report(registry: Registry) -> str:
    return registry.report()


def dump(registry: Registry) -> str:
    """Return the same by other verbs, as JSON."""
    found: list[Any] = []
    for prompt in registry.iterate():
        versions = registry.history(prompt.name)
        events = registry.events(prompt.name, limit=200, newest_first=True)
        found += [value.model_dump(mode="json") for value in (*versions, *events)]
        found += [registry.diff(prompt.name, number, number + 1) for number in range(1, len(versions))]
    return json.dumps(found)


def size_of_templates(registry: Registry) -> int:
    names = [prompt.name for prompt in registry.iterate()]
    return sum(len(str(version.template).encode()) for name in names for version in registry.history(name))


def processor_seconds(call: Any, registry: Registry) -> float:
    began = process_time()
    call(registry)
    return process_time() - began


if __name__ == "__main__":
    run(__doc__, measured)
