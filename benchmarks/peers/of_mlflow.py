"""MLflow's prompt registry on SQLite: `load_prompt` by an alias and `format`, from its cache and without it.

The registry's address is set by itself too, because MLflow else looks for Spark on each call, which takes 0.3 ms.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import mlflow
from equivalents import joined
from prompts import CHAT
from ways import DAY, GIVEN, TEXTS, Way, alone, contents

PACKAGE = "mlflow"


def ways(folder: Path) -> Iterator[Way]:
    """Give each prompt in MLflow's own language, names alone, and the medium one also as the Jinja that it is."""
    address = f"sqlite:///{folder / 'mlflow.db'}"
    mlflow.set_tracking_uri(address)
    mlflow.set_registry_uri(address)
    flat, made = joined(TEXTS["medium"], GIVEN["medium"])
    yield from loaded("short", "short", TEXTS["short"], GIVEN["short"])
    yield from loaded("medium", "medium", flat, made)
    yield from loaded("medium", "medium-jinja", TEXTS["medium"], GIVEN["medium"], "MLflow's Jinja")
    yield from loaded("chat", "chat", CHAT, GIVEN["chat"])


def loaded(prompt: str, name: str, template: Any, values: dict[str, Any], told: str = "MLflow") -> Iterator[Way]:
    """Register a prompt, cache it for longer than the run, and give its two ways."""
    mlflow.genai.register_prompt(name=name, template=template)
    mlflow.genai.set_prompt_alias(name, alias="production", version=1)
    uri = f"prompts:/{name}@production"
    mlflow.genai.load_prompt(uri, cache_ttl_seconds=DAY)
    names = {"load_prompt": mlflow.genai.load_prompt, "uri": uri, "values": values}
    texts = contents if prompt == "chat" else alone
    yield Way(f"{told}, cached", prompt, "load_prompt(uri).format(**values)", names, "60 s", texts)
    uncached = "load_prompt(uri, cache_ttl_seconds=0).format(**values)"
    yield Way(f"{told}, cache off", prompt, uncached, names, "0", texts)
