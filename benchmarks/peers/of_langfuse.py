"""Langfuse's client: `get_prompt` and `compile`, from its cache and without it, against `stub.py`."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from equivalents import joined
from langfuse import Langfuse
from ways import DAY, PROMPT_VALUES, TEXTS, Way, alone, contents

PACKAGE = "langfuse"
STUB = Path(__file__).with_name("stub.py")


def ways(folder: Path) -> Iterator[Way]:
    """Yield each prompt by name: with its production label from the cache, and with `latest` without the cache."""
    client = Langfuse(public_key="pk-lf-peer", secret_key="sk-lf-peer", base_url=served(), tracing_enabled=False)
    _, made = joined(TEXTS["medium"], PROMPT_VALUES["medium"])
    for prompt, values in {**PROMPT_VALUES, "medium": made}.items():
        kind, texts = (", type='chat'", contents) if prompt == "chat" else ("", alone)
        client.get_prompt(prompt, type="chat" if kind else "text", cache_ttl_seconds=DAY)
        names = {"client": client, "values": values}
        cached = f"client.get_prompt({prompt!r}{kind}).compile(**values)"
        yield Way("Langfuse, cached", prompt, cached, names, "over 60 s", texts)
        fetched = f"client.get_prompt({prompt!r}{kind}, label='latest', cache_ttl_seconds=0).compile(**values)"
        yield Way("Langfuse, cache off", prompt, fetched, names, "0", texts)


def served() -> str:
    """Start the stub, which ends when this process does, and return its address."""
    stub = subprocess.Popen([sys.executable, STUB], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert stub.stdout is not None
    return stub.stdout.readline().strip()
