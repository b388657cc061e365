"""The client of a peer's worker process."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
SILENT = {"MLFLOW_DISABLE_TELEMETRY": "true", "DO_NOT_TRACK": "true", "LANGSMITH_TRACING": "false"}


class Peer:
    """A process that measures one peer on request; it reports its `package`, `machine` and `ways` when it starts."""

    def __init__(self, name: str, python: Path, folder: Path) -> None:
        self._name, self._log = name, folder / f"{name}.log"
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                [python, HERE / "worker.py", name],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                cwd=folder,
                env={**os.environ, **SILENT, "PYTHONPATH": str(HERE.parent)},
            )
        hello = self._answer()
        self.package: str = hello["package"]
        self.machine: str = hello["machine"]
        self.ways: list[tuple[str, str, str]] = [tuple(way) for way in hello["ways"]]

    def measure(self, way: int) -> tuple[float, float]:
        """Return the seconds of a way and of its floor."""
        assert self._process.stdin is not None
        print(way, file=self._process.stdin, flush=True)
        ours, floor = self._answer()
        return ours, floor

    def close(self) -> None:
        """End the process."""
        self._process.communicate()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        if not (line := self._process.stdout.readline()):
            self._process.wait()
            sys.exit(f"{self._name}: its worker ended.\n{self._log.read_text()}")
        return json.loads(line)
