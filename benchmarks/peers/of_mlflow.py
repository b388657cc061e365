"""MLflow's prompt registry on SQLite: `load_prompt` by an alias and `format`, from its cache and without it.

The address of the registry is set explicitly, because otherwise MLflow searches for Spark on each call, which takes
0.3 ms.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow
from equivalents import joined
from prompts import CHAT
from ways import DAY, PROMPT_VALUES, TEXTS, Way, alone, contents

PACKAGE = "mlflow"


def ways(folder: Path) -> Iterator[Way]:
    """Yield each prompt in MLflow's language, which has names alone, and the medium one also as Jinja."""
    address = f"sqlite:///{folder / 'mlflow.db'}"
    mlflow.set_tracking_uri(address)
    mlflow.set_registry_uri(address)
    flat, made = joined(TEXTS["medium"], PROMPT_VALUES["medium"])
    yield from loaded("short", "short", TEXTS["short"], PROMPT_VALUES["short"])
    yield from loaded("medium", "medium", flat, made)
    yield from loaded("medium", "medium-jinja", TEXTS["medium"], PROMPT_VALUES["medium"], "MLflow's Jinja")
    yield from loaded("chat", "chat", CHAT, PROMPT_VALUES["chat"])


def loaded(prompt: str, name: str, template: Any, values: dict[str, Any], label: str = "MLflow") -> Iterator[Way]:
    """Register a prompt, cache it for longer than the run, and yield its two ways."""
    mlflow.genai.register_prompt(name=name, template=template)
    mlflow.genai.set_prompt_alias(name, alias="production", version=1)
    uri = f"prompts:/{name}@production"
    mlflow.genai.load_prompt(uri, cache_ttl_seconds=DAY)
    names = {"load_prompt": mlflow.genai.load_prompt, "uri": uri, "values": values}
    texts = contents if prompt == "chat" else alone
    yield Way(f"{label}, cached", prompt, "load_prompt(uri).format(**values)", names, "60 s", texts)
    uncached = "load_prompt(uri, cache_ttl_seconds=0).format(**values)"
    yield Way(f"{label}, cache off", prompt, uncached, names, "0", texts)
