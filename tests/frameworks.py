"""What the tests of the frameworks share: an environment without a network, and the programs of their pages.

The classes and functions under test are those of the pages, whose programs run first. Where a client of a provider is
at hand, a loopback server records what it sends.
"""

import asyncio
import contextlib
import re
import runpy
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import promptreg
from tests.otel import Finished
from tests.sdk_renders import CALL

DOCS = Path(promptreg.__file__).parent / "docs"
OFFLINE = {
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",  # else its import downloads a table of prices
    "HAYSTACK_TELEMETRY_ENABLED": "False",  # else each run of a pipeline is reported
}
"""The environment in which the frameworks, which read it when they are imported, look for nothing on the network."""

MARKS = [
    pytest.mark.slow,  # their imports take seconds
    pytest.mark.filterwarnings("ignore"),  # of the packages' own code, which differs with the version of Python
    pytest.mark.filterwarnings("error:::__main__"),  # what the programs of the pages use is not deprecated
]

NAME, VERSION = "gen_ai.prompt.name", "gen_ai.prompt.version"
URL = "data:image/png;base64,iVBORw0KGgo="
PHOTO = {"type": "image_url", "image_url": {"url": "data:image/png;base64,{{ photo }}", "detail": "low"}}
VARIABLES = {"question": "What is {{ 7 * 7 }}?", "photo": "iVBORw0KGgo="}
RICH = [
    {"role": "system", "content": "Use the tools."},
    {"placeholder": "history"},
    {"role": "assistant", "tool_calls": [CALL]},
    {"role": "tool", "tool_call_id": "c1", "content": "Rain"},
    {"role": "user", "content": [{"type": "text", "text": "{{ question }}"}, PHOTO]},
]
"""A chat prompt with a placeholder, an image, and a tool call whose message has no content."""


def imported(package: str, distribution: str) -> Any:
    """Import a package; skip where it is not installed."""
    with pytest.MonkeyPatch.context() as patch:
        for variable, value in OFFLINE.items():
            patch.setenv(variable, value)
        return pytest.importorskip(
            package, reason=f"{distribution} is not installed: install the extra test-frameworks"
        )


@contextlib.contextmanager
def looping() -> Iterator[None]:
    """Set an event loop for what would make one, and never close it."""
    with contextlib.closing(asyncio.new_event_loop()) as loop:
        asyncio.set_event_loop(loop)
        try:
            yield
        finally:
            asyncio.set_event_loop(None)


def run(name: str, page: str, tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Run a program of a page in an empty folder; return what it defines."""
    text = (DOCS / page).read_text(encoding="utf-8")
    block = re.search(rf"^```python\n(# {re.escape(name)}\n.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert block
    with contextlib.chdir(tmp_path_factory.mktemp("program")), looping():
        Path(name).write_text(block[1], encoding="utf-8")
        return SimpleNamespace(**runpy.run_path(name, run_name="__main__"))


@contextlib.contextmanager
def running(name: str, page: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """Run a program; add `greet`, whose version 1 has the label `old`, and `rich` to its registry, which is closed."""
    names = run(name, page, tmp_path_factory)
    with names.registry as registry:
        registry.create("greet", [{"role": "user", "content": "Hello {{ name }}"}])
        registry.set_label("greet", "old", 1)
        registry.update("greet", template=[{"role": "user", "content": "Hi {{ name }}"}])
        registry.create("rich", RICH, variables=[{"name": "history", "type": "array", "required": False}])
        yield names


def prompts_on(spans: Finished, name: str) -> list[tuple[Any, Any]]:
    """Return the prompt and the version on each span whose name starts so."""
    return [(span.attributes.get(NAME), span.attributes.get(VERSION)) for span in spans() if span.name.startswith(name)]
