"""The verbs of `Registry`, found by introspection, and which of them a call in a test's table calls."""

import inspect
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest.mock import MagicMock

from promptreg import Registry

NO_VERBS = {"scope", "once", "close"}  # they read and write nothing stored
METHODS = {name: method for name, method in vars(Registry).items() if inspect.isfunction(method)}
VERBS = frozenset(name for name in METHODS if not name.startswith("_")) - NO_VERBS


class _Recording:
    """A registry on which every verb can be called; it records their names."""

    def __init__(self) -> None:
        self.called: list[str] = []

    def __getattr__(self, name: str) -> Callable[..., Any]:
        def call(*_: object, **__: object) -> Any:
            self.called.append(name)
            return self if name in {"scope", "once"} else MagicMock()

        return call


def verb_of(call: Callable[..., object], *more: object) -> str:
    """Return the last verb that a call calls; earlier ones only prepare it or its arguments."""
    registry = _Recording()
    call(registry, *more)
    return registry.called[-1]


def backed_up(registry: Registry) -> None:
    """Call `backup` with the path of a file that is removed again."""
    with TemporaryDirectory() as folder:
        registry.backup(Path(folder) / "backup.db")
