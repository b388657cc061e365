"""Prompts as files: synchronising a folder of a thousand files, of which ten have changed, and of which none has.

The floor is what an application would write: it saves each file's template, with the other fields as they are in the
code; a `save` of what is live writes nothing. Both sides write alternately, with full durability, to registries of
their own; wall-clock time is measured, because the disk counts.
"""

import tempfile
from pathlib import Path
from typing import Any

from prompts import MEDIUM
from timing import Measured, Options, Tables, alternate, require_equal, run, seconds

from promptreg import Registry
from promptreg.files import SyncReport, sync
from promptreg.files.format import to_text

ROUNDS = 10
REPEATS = 3
FILES = 1_000
CHANGED = 10
SYNC = (1.5, 1)
FIELDS: dict[str, Any] = {"tags": ["support"], "config": {"model": "large"}}


def measured(options: Options) -> Tables:
    with tempfile.TemporaryDirectory() as folder:
        files = min(FILES, options.size)
        rows = [
            sync_row(Path(folder, str(changed)), files, changed, options.rounds or ROUNDS) for changed in (CHANGED, 0)
        ]
    return {f"A folder of {files:,} prompts": rows}


def sync_row(folder: Path, files: int, changed: int, rounds: int) -> Measured:
    """Measure one synchronisation, after as many files as told were changed."""
    names = [f"team-{number % 20:02}/prompt-{number:04}" for number in range(files)]
    prompts = folder / "prompts"
    for name in names:
        write(prompts, name, 0)
    with Registry(folder / "ours.db") as ours, Registry(folder / "floor.db") as floor:
        sync(ours, prompts)
        sync(floor, prompts)
        edit = iter(range(1, 1_000_000))

        def synchronised() -> float:
            change(prompts, names[:changed], next(edit))
            reports: list[SyncReport] = []
            elapsed = seconds(lambda: reports.append(sync(ours, prompts)))
            require_equal("sync", len(reports[0].changes), changed)
            return elapsed

        def saved() -> float:
            number = next(edit)
            change(prompts, names[:changed], number)
            elapsed = seconds(lambda: save_each(floor, prompts, names))
            versions = [floor.get(name).template == template(number) for name in names[:changed]]
            require_equal("save", versions, [True] * changed)
            return elapsed

        alternate(synchronised, saved, 1)
        pairs = [alternate(synchronised, saved, REPEATS) for _ in range(rounds)]
    return Measured(f"sync of {files:,} files, {changed} changed", pairs, SYNC)


def save_each(registry: Registry, prompts: Path, names: list[str]) -> None:
    """Read every file, and save its body under its name."""
    for name in names:
        text = (prompts / f"{name}.md").read_text(encoding="utf-8")
        registry.save(name, text.split("---\n", 2)[2].removesuffix("\n"), **FIELDS)


def template(number: int) -> str:
    return f"{MEDIUM}\nRevision {number}."


def change(prompts: Path, names: list[str], number: int) -> None:
    for name in names:
        write(prompts, name, number)


def write(prompts: Path, name: str, number: int) -> None:
    file = prompts / f"{name}.md"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(to_text(name, {"template": template(number), **FIELDS}), encoding="utf-8", newline="\n")


if __name__ == "__main__":
    run(__doc__, measured)
