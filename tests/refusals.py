"""Helpers of the tests of the rules: a prompt to start from, and a check that a refusal changed nothing."""

from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from promptreg import PromptregError, Registry


def prepare(registry: Registry) -> None:
    """Create the prompt x: version 1 live, version 2 a draft labelled staging."""
    registry.create("x", "one", tags=["a"])
    registry.update("x", template="two", is_production=False)
    registry.set_label("x", "staging", 2)


def seen(registry: Registry) -> list[object]:
    """Return everything that readers see, including through the cache."""
    names = [prompt.name for prompt in registry.list(status=["active", "disabled", "archived"])]
    return [(registry.get(n, default=None), registry.get(f"{n}@latest"), registry.history(n)) for n in names]


def refused(
    registry: Registry,
    unchanged: Callable[[], AbstractContextManager[None]],
    call: Callable[[Registry], object],
    error: type[PromptregError],
    code: str,
    **details: object,
) -> None:
    """Check that a call raises exactly this error, and that neither the file nor a warm cache changed."""
    before = seen(registry)
    with unchanged(), pytest.raises(error) as caught:
        call(registry)
    assert (type(caught.value), caught.value.code) == (error, code)
    assert {key: caught.value.details[key] for key in details} == details
    assert seen(registry) == before
