"""Registries on PostgreSQL through a proxy that may fail, and what a test waits for before it lets that happen."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

from promptreg import Registry, StorageBusyError
from tests.conftest import until
from tests.postgres import split_target
from tests.proxy import Proxy

BUSY = 1.0  # busy_timeout of a `Place`, in seconds, whose calls wait in vain
PATIENT = 30.0  # that of one whose calls need not wait, so that a busy machine ends none
MARGIN = 3.0  # seconds that a call may take longer, on a busy machine; without a limit it would take more


def listener_of(registry: Registry) -> Any:
    return registry._core.storage._listener  # type: ignore[attr-defined]


def listen(registry: Registry, name: str = "greet") -> None:
    """Read a prompt until the registry listens, as connecting goes on in the steps of its reads."""

    def is_listening() -> bool:
        registry.get(name)
        listener = listener_of(registry)
        return bool(listener.can_wait() and listener._is_connected() and listener._question is None)

    until(is_listening)


def warm(registry: Registry, *names: str) -> None:
    """Read prompts until each is cached; one that is read while the server has not answered in time is not."""

    def are_cached() -> bool:
        are_fresh = [not registry.get(name).stale for name in names]
        return all(are_fresh) and registry._core.cache.generation.entries.keys() >= {*names}

    until(are_cached)


def healed(call: Callable[[], Any]) -> Any:
    """Return what a call returns once the server answers in time again; until then it may be busy."""
    returned: list[Any] = []

    def is_answered() -> bool:
        with suppress(StorageBusyError):
            returned.append(call())
        return bool(returned)

    until(is_answered)
    return returned[0]


class Place:
    """A registry through a proxy, and another past it, which prepares what there is."""

    def __init__(self, target: str, prepare: Callable[[Registry], object], *, busy_timeout: float = BUSY) -> None:
        self.target, self.proxy = target, Proxy(split_target(target)[0])
        self.through = self.proxy.through(target)
        self.beside = Registry(target)
        prepare(self.beside)
        self.registry = Registry(self.through, busy_timeout=busy_timeout)

    def close(self) -> None:
        self.registry.close()
        self.beside.close()
        self.proxy.close()
