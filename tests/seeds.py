"""Helpers of the tests of `seed`: a prompt that people changed, and what a registry then holds."""

from collections.abc import Iterator
from contextlib import contextmanager

from promptreg import Actor, Prompt, Registry
from tests.refusals import seen

EDITOR = Actor("ana", "team_editor")


def versions(registry: Registry, name: str = "x") -> list[tuple[int, str, object]]:
    """Return number, state and template of each version, oldest first."""
    return [(v.version, v.state, v.template) for v in reversed(registry.history(name, limit=100))]


def actions(registry: Registry, after: int = 0) -> list[tuple[str, int | None]]:
    """Return action and version of each event above a number."""
    return [(event.action, event.version) for event in registry.events(after=after, limit=1000)]


def last_event(registry: Registry) -> int:
    return registry.events(limit=1000)[-1].seq


def live(registry: Registry) -> tuple[int, object]:
    """Return number and template of what is live of x, read anew."""
    prompt = registry.get("x")
    return prompt.version, prompt.template


def conflicting(registry: Registry) -> None:
    """Seed x as version 1, and have people publish version 2."""
    registry.seed("x", "one")
    registry.update("x", template="people's")


@contextmanager
def only_the_seed_moves(registry: Registry) -> Iterator[None]:
    """Fail unless what readers see stays the same, no event is written, and the revision grows by one."""
    before, last, revision = seen(registry), last_event(registry), stored_revision(registry)
    yield
    assert (seen(registry), last_event(registry)) == (before, last)
    assert stored_revision(registry) == revision + 1


def stored_revision(registry: Registry) -> int:
    with registry._core.storage.read() as reader:
        return reader.snapshot.revision


def refuse_everything(prompt: Prompt) -> None:
    """Raise for every prompt."""
    raise ValueError("no")
