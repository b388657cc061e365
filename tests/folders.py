"""A folder of prompts' files for tests of `sync`, and what happened in the registry."""

import os
from pathlib import Path
from typing import Any

from promptreg import Registry
from promptreg.files import SyncReport, sync


class Folder:
    """A folder, the registry that it is synchronised with, and how."""

    def __init__(self, path: Path, registry: Registry, **more: Any) -> None:
        self.path = path
        self.registry = registry
        self.more = more
        path.mkdir(exist_ok=True)

    def sync(self, **more: Any) -> dict[str, str]:
        """Synchronise, and return the action of each prompt by name, but for those that are equal."""
        return actions(self.report(**more))

    def report(self, **more: Any) -> SyncReport:
        return sync(self.registry, self.path, **{**self.more, **more})

    def write(self, name: str, body: str, front: str = "") -> Path:
        """Write the file of a prompt."""
        file = self.path / f"{name}.md"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"---\n{front}---\n{body}\n")
        return file

    def body(self, name: str) -> str:
        """Return the body of a file."""
        return (self.path / f"{name}.md").read_text().split("---\n", 2)[2].removesuffix("\n")

    def remove(self, name: str) -> None:
        (self.path / f"{name}.md").unlink()

    def state(self) -> dict[str, tuple[int, int, bytes]]:
        """Return every file with its number, time and content, to show that none was touched."""
        found = {}
        for folder, _, files in os.walk(self.path):
            for name in files:
                file = Path(folder, name)
                found[str(file.relative_to(self.path))] = (
                    file.stat().st_ino,
                    file.stat().st_mtime_ns,
                    file.read_bytes(),
                )
        return found


def filled(path: Path, registry: Registry) -> Folder:
    """Return a new folder with two prompts, `greet` and `support/reply`."""
    made = Folder(path, registry)
    made.write("greet", "Hello {{ name }}")
    made.write("support/reply", "Reply to {{ question }}", 'tags: ["support"]\n')
    return made


def actions(report: SyncReport) -> dict[str, str]:
    """Return the action of each prompt by name, but for those that are equal."""
    return {prompt.name: prompt.action for prompt in report.prompts if prompt.action != "none"}
