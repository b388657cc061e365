"""What the tests of the frameworks share: an environment without a network, and the programs of their pages."""

import re
import runpy
from pathlib import Path
from typing import Any

import promptreg

DOCS = Path(promptreg.__file__).parent / "docs"
OFFLINE = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # else its import downloads a table of prices
    "HAYSTACK_TELEMETRY_ENABLED": "False",  # else each run of a pipeline is reported
}
"""The environment in which the frameworks look for nothing on the network."""


def program(name: str, page: str) -> dict[str, Any]:
    """Run a program of a page in the current folder; return what it defines."""
    text = (DOCS / page).read_text(encoding="utf-8")
    block = re.search(rf"^```python\n(# {re.escape(name)}\n.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert block
    Path(name).write_text(block[1], encoding="utf-8")
    return runpy.run_path(name, run_name="__main__")
