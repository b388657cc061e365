"""Programs of users pass type checkers: see `typing/application.py`."""

import json
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PROGRAM = Path(__file__).parent / "typing" / "application.py"

pytestmark = pytest.mark.slow


def needs(*modules: str) -> pytest.MarkDecorator:
    """Return the mark that skips a test where modules of the test extra are not installed."""
    absent = [name for name in modules if find_spec(name) is None]
    return pytest.mark.skipif(bool(absent), reason=f"needs {', '.join(absent)}, of the extra `test`")


def checked(*command: str) -> tuple[int, str]:
    """Run a type checker from the root of the repository."""
    done = subprocess.run([sys.executable, "-m", *command], cwd=ROOT, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


@needs("mypy", "openai")
def test_an_application_passes_mypy() -> None:
    """The program passes mypy's strict mode, which also reports unused ignores."""
    status, output = checked("mypy", "--strict", str(PROGRAM))
    assert status == 0, output


@needs("basedpyright", "openai")
def test_an_application_passes_pyright(tmp_path: Path) -> None:
    """The program passes pyright's strict mode."""
    (tmp_path / "pyrightconfig.json").write_text(
        json.dumps({"typeCheckingMode": "strict", "include": [str(PROGRAM)], "extraPaths": [str(ROOT)]})
    )
    status, output = checked("basedpyright", "--project", str(tmp_path), "--pythonpath", sys.executable)
    assert status == 0, output
    assert "0 errors" in output
