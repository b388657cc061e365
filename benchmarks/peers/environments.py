"""A virtual environment for each peer, made outside the tree from what `requirements` pins."""

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
    """Make, or bring up to date, an environment for each peer, all at once; give the path of each one's Python."""
    with ThreadPoolExecutor() as pool:
        return dict(pool.map(lambda peer: (peer, _made(folder / peer, peer)), peers))


def _made(folder: Path, peer: str) -> Path:
    python = folder / "bin" / "python"
    if not python.exists():
        venv.create(folder, with_pip=True)
    wanted = ["-r", HERE / "requirements" / f"{peer}.txt", *([TREE] if peer == "promptreg" else [])]
    command = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *wanted]
    run = subprocess.run(command, capture_output=True, text=True, check=False)
    if run.returncode:
        sys.exit(f"{peer}: pip could not install it.\n{run.stderr}")
    return python
