"""A virtual environment for each peer, created outside the tree from the pins in `requirements`."""

import subprocess
import sys
import venv
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

HERE = Path(__file__).parent
TREE = HERE.parents[1]
PEERS = ("promptreg", "langfuse", "mlflow", "banks", "langchain")


def pythons(folder: Path, peers: Iterable[str]) -> dict[str, Path]:
    """Create or update the environments of all peers concurrently; return the path of Python in each."""
    with ThreadPoolExecutor() as pool:
        return dict(pool.map(lambda peer: (peer, _create(folder / peer, peer)), peers))


def _create(folder: Path, peer: str) -> Path:
    python = folder / "bin" / "python"
    if not python.exists():
        venv.create(folder, with_pip=True)
    requirements = ["-r", HERE / "requirements" / f"{peer}.txt", *([TREE] if peer == "promptreg" else [])]
    command = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *requirements]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    if run.returncode:
        sys.exit(f"{peer}: pip could not install it.\n{run.stderr}")
    return python
