"""Exceptions and calls between any two bytecodes of a registry's own files, as a signal handler makes them.

A trace function acts as the handler. `tests/test_slots.py` and `tests/test_postgres_interrupts.py` use it.
"""

import random
import sys
import threading
from collections import Counter
from collections.abc import Callable
from types import FrameType
from typing import Any, NamedTuple

import pytest

from promptreg import Registry, StorageError


class SoftTimeLimitExceeded(Exception):
    """The exception that a worker's signal handler raises at its time limit."""


def in_thread(call: Callable[[], Any]) -> Any:
    """Return what a call returns in another thread, which must not wait for ever."""
    results: list[Any] = []
    thread = threading.Thread(target=lambda: results.append(call()), daemon=True)
    thread.start()
    thread.join(30)
    return results[0] if results else "it still waits"


class At:
    """A trace function that acts before one of the bytecodes that the traced files run, counted from 0."""

    def __init__(self, number: int, act: Callable[[], None], traced: tuple[str, ...]) -> None:
        self.left = number
        self._act, self._traced = act, traced

    def __call__(self, frame: FrameType, event: str, _: object) -> "At | None":
        if not frame.f_code.co_filename.endswith(self._traced):
            return None
        frame.f_trace_opcodes = True
        if event == "opcode":
            self.left -= 1
            if self.left < 0:
                sys.settrace(None)
                frame.f_trace = None
                self._act()
        return self

    def run(self, call: Callable[[], object]) -> object:
        """Make the call; `left` is negative afterwards if the place was reached."""
        try:
            sys.settrace(self)
            return call()
        finally:
            sys.settrace(None)


def raising() -> None:
    raise SoftTimeLimitExceeded


VERBS: dict[str, Callable[[Registry, int], object]] = {
    "read": lambda registry, _: registry.history("greet", limit=1),
    "check": lambda registry, _: checked(registry),
    "write": lambda registry, number: registry.update("greet", template=f"at {number}"),
}


def checked(registry: Registry) -> str:
    registry._core.cache.generation.until = -1.0
    return registry.get("greet").template


class Traced(NamedTuple):
    """The endings of the files that are traced, and whether another thread can take all that a registry has."""

    files: tuple[str, ...]
    is_free: Callable[[Registry], bool]


def places_of(verb: str, registry: Registry, files: tuple[str, ...]) -> int:
    """Return how many bytecodes of the traced files a verb runs."""
    most = 10**9
    at = At(most, raising, files)
    at.run(lambda: VERBS[verb](registry, -1))
    return most - at.left


def chosen(count: int, request: pytest.FixtureRequest, most: int) -> list[int]:
    """Return every place in the long run, and `most` places, others each time, in the short one."""
    return list(range(count)) if request.node.get_closest_marker("stress") else random.sample(range(count), most)


def assert_raising_leaves_nothing_held(registry: Registry, verb: str, places: list[int], traced: Traced) -> None:
    """Assert that after an exception at each place others read and write at once, and that no version is lost."""
    kept: list[BaseException] = []
    for count, number in enumerate(places):
        try:
            At(number, raising, traced.files).run(lambda number=number: VERBS[verb](registry, number))
        except SoftTimeLimitExceeded as error:
            kept.append(error)  # with its frames, and the objects in them
        assert traced.is_free(registry), number
        if count % 5 == 0:
            version = in_thread(lambda count=count: registry.update("greet", template=f"then {count}").version)
            assert registry.get("greet").version == version
    assert kept
    versions = registry.history("greet", limit=100_000)
    assert [version.version for version in versions] == list(range(len(versions), 0, -1))


def refusals_of_nested_calls(registry: Registry, verb: str, places: list[int], traced: Traced) -> set[str]:
    """Assert that the call around a nested one succeeds; return why nested ones are refused, of which some are made."""
    refused, done = Counter[str](), 0

    def nested() -> None:
        nonlocal done
        for name in ("read", "write"):
            try:
                VERBS[name](registry, -3)
                done += 1
            except StorageError as error:
                refused[error.details["reason"]] += 1

    for number in places:
        At(number, nested, traced.files).run(lambda number=number: VERBS[verb](registry, number))
        assert traced.is_free(registry), number
    assert done > 0
    return set(refused)
