"""MCP clients are told when what they listed is out of date, whichever process changed it, and of nothing else."""

import gc
import weakref
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from unittest import mock

import anyio
import pytest

from promptreg import Actor, Registry, StorageBusyError

pytest.importorskip("mcp", reason="the extra promptreg-embedded[mcp] is not installed")

from mcp import Client, types
from mcp.server.connection import Connection
from mcp.server.session import ServerSession

from promptreg.mcp import prompt_server, watching

CHANGED = types.PromptListChangedNotification()
TIMEOUT = 20  # seconds, for a notification that comes


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watching, "PAUSE", 0.005)


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    """A registry on a file, with a prompt that `anyone` may read."""
    with Registry(tmp_path / "prompts.db") as registry:
        registry.create("greet", "Hello", access_grants=[("anyone", "read")])
        registry.create("hidden", "Hello")
        yield registry


def told(server_registry: Registry, *changes: Callable[[], object], mode: str = "legacy") -> list[int]:
    """Return how many notifications a client has got after each of the changes.

    After each the server has looked at what is there now.
    """
    received: list[Any] = []
    counts: list[int] = []

    async def handle(message: Any) -> None:
        received.append(message)

    async def run() -> None:
        async with Client(prompt_server(server_registry), mode=mode, message_handler=handle) as client:
            await client.list_prompts()
            for change in changes:
                await anyio.to_thread.run_sync(change)
                await looked()
                await client.list_prompts(
                    cache_mode="bypass"
                )  # its answer comes after the notifications that were sent before
                counts.append(len(received))

    with mock.patch.object(watching.Watch, "_look", _counted(watching.Watch._look)):
        anyio.run(run)
    assert all(message == CHANGED for message in received)
    return counts


_looks = [0]


def _counted(look: Callable[[watching.Watch], bool]) -> Callable[[watching.Watch], bool]:
    def counted(self: watching.Watch) -> bool:
        found = look(self)
        _looks[0] += 1
        return found

    return counted


async def looked() -> None:
    """Wait until the server has looked twice: the second look comes after the first one's notification."""
    enough = _looks[0] + 3
    with anyio.fail_after(TIMEOUT):
        while _looks[0] < enough:
            await anyio.sleep(0.001)


def another(registry: Registry) -> Registry:
    """Return another registry on the same file, as another process has one."""
    return Registry(registry.path)


@pytest.mark.parametrize(
    "change",
    {
        "a new prompt": lambda other: other.create("new", "Hello"),
        "a new version": lambda other: other.update("greet", template="Hi"),
        "a new title": lambda other: other.update("greet", title="Greeting"),
        "a rename": lambda other: other.update("greet", new_name="welcome"),
        "a disabled one": lambda other: other.disable("greet"),
        "an archived one": lambda other: other.archive("greet"),
        "a deleted one": lambda other: other.delete("greet"),
    }.items(),
    ids=lambda change: change[0],
)
def test_a_change_of_the_list_is_notified_once(registry: Registry, change: tuple[str, Callable[..., object]]) -> None:
    """The change is made through another registry, as another process would."""
    with another(registry) as other:
        assert told(registry, lambda: change[1](other), lambda: None) == [1, 1]


def test_a_change_of_nothing_that_is_listed_is_not_notified(registry: Registry) -> None:
    """A draft and a label change no list; publishing does."""
    with another(registry) as other:
        assert told(
            registry,
            lambda: other.update("greet", template="Hi", is_production=False),
            lambda: other.set_label("greet@2", "staging"),
            lambda: other.publish("greet", 2),
        ) == [0, 0, 1]


def test_what_an_actor_may_not_read_is_not_notified(registry: Registry) -> None:
    """It is as if it were not there (rule 18), until a grant makes it readable."""
    ana = registry.scope(actor=Actor("ana"))
    with another(registry) as other:
        assert told(
            ana,
            lambda: other.update("hidden", template="Hi"),
            lambda: other.create("secret", "Hi"),
            lambda: other.update("hidden", access_grants=[("user:ana", "read")]),
            lambda: other.update("hidden", access_grants=[]),
        ) == [0, 0, 1, 2]


def test_a_client_of_the_protocol_of_2026_listens(registry: Registry) -> None:
    """It gets the notification on the stream that it has opened, and none without one."""
    seen: list[object] = []

    async def run() -> None:
        async with Client(prompt_server(registry)) as client:
            assert client.server_capabilities.prompts == types.PromptsCapability(list_changed=True)
            await client.list_prompts()
            async with client.listen(prompts_list_changed=True) as events:
                with another(registry) as other:
                    other.create("new", "Hello")
                with anyio.fail_after(TIMEOUT):
                    async for event in events:
                        seen.append(type(event).__name__)
                        break
            assert [prompt.name for prompt in (await client.list_prompts(cache_mode="bypass")).prompts] == [
                "greet",
                "hidden",
                "new",
            ]

    anyio.run(run)
    assert seen == ["PromptsListChanged"]
    with another(registry) as other:
        assert told(registry, lambda: other.create("newer", "Hello"), mode="auto") == [0]


def test_a_client_of_the_handshake_is_told_that_it_will_be_notified(registry: Registry) -> None:
    """It is a capability of the server."""

    async def run() -> types.ServerCapabilities:
        async with Client(prompt_server(registry), mode="legacy") as client:
            return client.server_capabilities

    capabilities = anyio.run(run)
    assert capabilities.prompts == types.PromptsCapability(list_changed=True)
    assert capabilities.completions is not None
    assert capabilities.tools is capabilities.resources is None


def test_a_database_that_can_not_be_read_for_a_while_ends_nothing(registry: Registry) -> None:
    """The change is notified once it can be read again."""
    busy = mock.PropertyMock(side_effect=StorageBusyError("busy", reason="busy"))
    patched = mock.patch.object(Registry, "revision", busy)

    def while_busy() -> None:
        patched.start()
        with another(registry) as other:
            other.create("new", "Hello")
        calls = busy.call_count
        while busy.call_count < calls + 3:
            pass
        patched.stop()

    assert told(registry, while_busy) == [1]


def test_a_database_that_can_not_be_read_at_the_start_is_still_served(registry: Registry) -> None:
    """A request says what is wrong, and later ones are answered."""
    registry.close()

    async def run() -> str:
        async with Client(prompt_server(registry), mode="legacy") as client:
            try:
                await client.list_prompts()
            except Exception as error:
                return str(error)
        return ""

    assert "closed" in anyio.run(run)


def test_nothing_is_read_where_nothing_changes(registry: Registry) -> None:
    """Looking reads the revision alone: the list is read at the start, and after a change."""
    with mock.patch.object(Registry, "iterate", autospec=True, side_effect=Registry.iterate) as iterate:
        told(registry, lambda: None)
    assert iterate.call_count == 1


class Outbound:
    """Where a client's notifications go; one that has stopped reading takes none."""

    def __init__(self, *, reads: bool = True) -> None:
        self.reads = reads
        self.sent: list[str] = []

    async def notify(self, method: str, *_: object) -> None:
        self.sent.append(method)
        if not self.reads:
            await anyio.sleep_forever()


def connected(watch: watching.Watch, outbound: Outbound) -> Connection:
    """Return the connection of a new client of the handshake, which is told of changes."""
    connection = Connection.for_loop(outbound)  # type: ignore[arg-type]
    watch.add(ServerSession(mock.Mock(), connection))
    return connection


def told_of_a_change(registry: Registry, watch: watching.Watch, outbound: Outbound) -> None:
    """Make a change, and wait until this client has been told of it."""

    async def run() -> None:
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(watch.run)
            await watch.has_begun.wait()
            for number in (1, 2):
                registry.update("greet", title=f"{number}")
                with anyio.fail_after(TIMEOUT):
                    while len(outbound.sent) < number:
                        await anyio.sleep(0.001)
            tasks.cancel_scope.cancel()

    anyio.run(run)


def test_a_client_that_has_stopped_reading_holds_up_no_other(
    registry: Registry, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not waited for; the others are told of each change."""
    monkeypatch.setattr(watching, "PATIENCE", 0.01)
    watch, stuck, well = watching.Watch(registry), Outbound(reads=False), Outbound()
    for outbound in (stuck, well, Outbound(reads=False)):
        connected(watch, outbound)
    told_of_a_change(registry, watch, well)
    assert well.sent == ["notifications/prompts/list_changed"] * 2
    assert stuck.sent


def test_a_client_that_says_twice_that_it_is_ready_is_told_once(registry: Registry) -> None:
    """Nothing grows with how often it says so."""
    watch, outbound = watching.Watch(registry), Outbound()
    connection = connected(watch, outbound)
    watch.add(ServerSession(mock.Mock(), connection))
    told_of_a_change(registry, watch, outbound)
    assert len(outbound.sent) == 2  # of two changes
    assert len(connection.exit_stack._exit_callbacks) == 1  # type: ignore[attr-defined]


def test_a_client_that_is_gone_is_forgotten(registry: Registry) -> None:
    """Nothing is kept of its connection, or sent to it; with mcp, a connection closes its exit stack when it ends."""
    watch, gone, here = watching.Watch(registry), Outbound(), Outbound()
    connection = connected(watch, gone)
    connected(watch, here)
    anyio.run(connection.exit_stack.aclose)
    reference = weakref.ref(connection)
    del connection
    gc.collect()
    assert reference() is None
    told_of_a_change(registry, watch, here)
    assert gone.sent == []
