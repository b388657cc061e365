"""Helpers of the tests of full exports: export and import, files that are changed and signed again, registries."""

import json
import os
import warnings
from collections.abc import Callable
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import Any, TypeVar

from promptreg import Registry
from promptreg.files.full import export_full, import_full
from promptreg.jsonvalues import canonical, digest
from promptreg.rules.inputs import Progress
from promptreg.storage.hashing import GENESIS, commitment_of

T = TypeVar("T")
STATUSES = ["active", "disabled", "archived"]


def exported(registry: Registry) -> bytes:
    """Return what `export_full` writes."""
    file = BytesIO()
    export_full(registry, file)
    return file.getvalue()


def imported(data: bytes, target: str | Path = ":memory:") -> Registry:
    """Return a new registry into which a file was imported; closed where it is refused."""
    registry = Registry(target)
    try:
        import_full(registry, BytesIO(data))
    except BaseException:
        registry.close()
        raise
    return registry


def forking(call: Callable[[Progress], T]) -> T:
    """Return what a call returns whose progress forks children, which leave it by an error."""
    pid = os.getpid()

    def progress(done: int, total: int) -> None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            child = os.fork()
        if child == 0:
            raise SystemExit
        os.waitpid(child, 0)

    try:
        return call(progress)
    finally:
        if os.getpid() != pid:
            os._exit(0)


def assert_inverse(registry: Registry, target: str | Path = ":memory:") -> None:
    """Assert that export, import and export give equal bytes, and that both registries read the same."""
    data = exported(registry)
    with imported(data, target) as other:
        assert exported(other) == data
        assert other.verify() == []
        assert everything_read(other) == everything_read(registry)


def everything_read(registry: Registry) -> dict[str, Any]:
    """Return all that the reading verbs say to the application, of all namespaces."""
    found: dict[str, Any] = {}
    for namespace in registry.namespaces():
        view = registry.scope(namespace=namespace)
        prompts = [*view.iterate(status=STATUSES)]
        found[namespace] = {
            "listed": prompts,
            "histories": [view.history(prompt.name, limit=1_000) for prompt in prompts],
            "labels": [view.get(prompt.name, label=label) for prompt in prompts for label in prompt.labels],
            "events": view.events(limit=10_000),
            "events of each": [view.events(prompt.name, limit=10_000) for prompt in prompts],
            "found": [view.search(text, status=STATUSES, limit=100) for text in ("a", "kept twice", "hello", "ever")],
        }
    return found


def objects(data: bytes) -> list[dict[str, Any]]:
    """Return the objects of the lines."""
    return [json.loads(line) for line in data.splitlines()]


def signed(lines: list[dict[str, Any]]) -> bytes:
    """Return a file of these lines, with the counts, hashes and commitments that belong to them.

    This is what somebody can do who wants a false file to be taken.
    """
    kinds = {"prompt": "prompts", "version": "versions", "event": "events", "deletion": "deletions"}
    counts = dict.fromkeys(kinds.values(), 0)
    link = GENESIS
    for line in lines:
        for kind, name in kinds.items():
            counts[name] += kind in line
        if "event" in line:
            event = line["event"]
            if event.get("details") is not None:
                event["commitment"] = commitment_of(event["salt"], event["name"], canonical(event["details"]))
            fields = ("seq", "at", "actor", "action", "namespace", "prompt_id", "version", "commitment")
            link = event["hash"] = digest([link, *(event[field] for field in fields)])
    lines[0]["promptreg"].update(counts)
    lines[-1]["end"].update(counts, last_hash=link)
    return sealed("".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines[:-1]).encode(), lines[-1])


def sealed(body: bytes, end: dict[str, Any]) -> bytes:
    """Return a file of these bytes and the last line, with their SHA-256."""
    end["end"]["sha256"] = sha256(body).hexdigest()
    return body + json.dumps(end).encode() + b"\n"


def changed(data: bytes, change: Callable[[list[dict[str, Any]]], object]) -> bytes:
    """Return a file after a function has changed its objects, signed again."""
    lines = objects(data)
    change(lines)
    return signed(lines)
