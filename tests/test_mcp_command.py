"""`promptreg mcp`, as clients start it: on standard input and output, until the client ends it."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from promptreg import Registry
from tests.terminal import Terminal, open_terminal

TIMEOUT = 60
NEEDS_MCP = "the extra promptreg-embedded[mcp] is not installed"


@pytest.fixture
def terminal(tmp_path: Path) -> Terminal:
    return Terminal(tmp_path)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A database with one prompt."""
    path = tmp_path / "prompts.db"
    with Registry(path) as registry:
        registry.create("greet", "Hello {{ name }}!", title="Greet", access_grants=[("user:ana", "read")])
        registry.create("hidden", "Hello")
        registry.scope(namespace="support").create("help", "Help")
    return path


def test_without_the_extra_the_command_says_how_to_install_it(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is one line, before any database is opened."""
    for name in [name for name in sys.modules if f"{name}.".startswith("promptreg.mcp.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "mcp", None)
    done = terminal("mcp")
    assert (done.status, done.out, done.err.count("\n")) == (1, "", 1)
    assert "python -m pip install 'promptreg-embedded[mcp]'" in done.err
    assert not (terminal.folder / "prompts.db").exists()


def test_the_options_are_those_of_every_command(terminal: Terminal) -> None:
    """There is nothing else to pass."""
    help_ = terminal("mcp", "--help").out
    assert {"--db", "--namespace", "--as"} <= set(help_.split())
    assert terminal("mcp", "more").status == 2


@pytest.mark.parametrize("is_terminal", [True, False])
def test_at_a_terminal_it_says_that_it_waits_for_a_client(
    terminal: Terminal, path: Path, monkeypatch: pytest.MonkeyPatch, is_terminal: bool
) -> None:
    """Whoever tries it by hand would see nothing; where a client has started it, nothing is said."""
    pytest.importorskip("mcp", reason=NEEDS_MCP)
    monkeypatch.setattr("promptreg.mcp.stdio.serve", lambda registry: None)
    done = terminal("mcp", "--db", str(path), is_terminal=is_terminal)
    assert (done.status, done.out, "MCP client" in done.err) == (0, "", is_terminal)


def test_a_database_that_is_not_there_is_an_error(terminal: Terminal) -> None:
    """A server does not make one: its client would wonder where the prompts are."""
    pytest.importorskip("mcp", reason=NEEDS_MCP)
    done = terminal("mcp", "--db", "absent.db")
    assert (done.status, done.out) == (3, "")
    assert "There is no database absent.db" in done.err


def message(method: str, number: int | None = None, **params: Any) -> dict[str, Any]:
    """Return a request, or without a number a notification."""
    return {"jsonrpc": "2.0", "method": method, "params": params} | ({} if number is None else {"id": number})


HANDSHAKE = [
    message(
        "initialize", 1, protocolVersion="2025-06-18", capabilities={}, clientInfo={"name": "tests", "version": "1"}
    ),
    message("notifications/initialized"),
]


def lines(*messages: Any) -> bytes:
    return b"".join(json.dumps(sent).encode() + b"\n" for sent in messages)


@pytest.fixture
def started(path: Path) -> Iterator[Callable[..., "subprocess.Popen[bytes]"]]:
    """Start the command, with pipes; the processes are ended after the test."""
    pytest.importorskip("mcp", reason=NEEDS_MCP)
    processes: list[subprocess.Popen[bytes]] = []

    def start(*arguments: str) -> "subprocess.Popen[bytes]":
        command = [sys.executable, "-m", "promptreg", "--db", str(path), "mcp", *arguments]
        pipe = subprocess.PIPE
        processes.append(subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe))
        return processes[-1]

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def answered(process: "subprocess.Popen[bytes]", *messages: Any) -> dict[str, Any]:
    """Send messages, and return the next line of the answer."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.write(lines(*messages))
    process.stdin.flush()
    answer: dict[str, Any] = json.loads(process.stdout.readline())
    return answer


@pytest.mark.slow
def test_it_ends_with_its_standard_input(started: Callable[..., "subprocess.Popen[bytes]"]) -> None:
    """All that is on standard output is the protocol's, a line each."""
    process = started()
    assert answered(process, *HANDSHAKE)["result"]["serverInfo"]["name"] == "promptreg"
    listed = answered(process, message("prompts/list", 2))
    assert [prompt["name"] for prompt in listed["result"]["prompts"]] == ["greet", "hidden"]
    out, err = process.communicate(timeout=TIMEOUT)
    assert (process.returncode, out, err) == (0, b"", b"")


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals are sent as POSIX has them")
def test_ctrl_c_ends_it_at_once(started: Callable[..., "subprocess.Popen[bytes]"]) -> None:
    """It does not wait for a line of standard input, which stays open."""
    process = started()
    assert answered(process, *HANDSHAKE)
    process.send_signal(signal.SIGINT)
    assert process.stderr is not None
    assert (process.stderr.read(), process.wait(TIMEOUT)) == (b"\n", 130)


@pytest.mark.slow
@pytest.mark.skipif(sys.platform == "win32", reason="signals are sent as POSIX has them")
def test_a_second_ctrl_c_ends_it_though_its_client_reads_nothing(
    started: Callable[..., "subprocess.Popen[bytes]"],
) -> None:
    """The first one waits until the answers are written, which they never are."""
    process = started()
    assert answered(process, *HANDSHAKE)
    assert process.stdin is not None
    large = message("prompts/get", 2, name="greet", arguments={"name": "x" * 200_000})  # more than a pipe holds
    process.stdin.write(lines(large, message("ping", 3)))
    process.stdin.flush()
    for _ in range(100):
        process.send_signal(signal.SIGINT)
        with suppress(subprocess.TimeoutExpired):
            process.wait(0.2)
            break
    assert process.returncode in {-signal.SIGINT, 130}


@pytest.mark.slow
def test_a_terminal_that_goes_away_ends_it(path: Path) -> None:
    """Reading from it fails, which ends standard input as its end does."""
    pytest.importorskip("mcp", reason=NEEDS_MCP)
    ours, theirs = open_terminal()
    command = [sys.executable, "-m", "promptreg", "--db", str(path), "mcp"]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=theirs, stdout=pipe, stderr=pipe, start_new_session=True) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        try:
            os.close(theirs)
            os.write(ours, lines(*HANDSHAKE))
            assert process.stdout.readline()
            os.close(ours)
            assert process.wait(TIMEOUT) == 0
            assert b"Error" not in process.stderr.read()
        finally:
            process.kill()


@pytest.mark.slow
def test_a_client_that_goes_away_ends_it(started: Callable[..., "subprocess.Popen[bytes]"]) -> None:
    """Nobody reads the answer: that is no failure."""
    process = started()
    assert answered(process, *HANDSHAKE)
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdout.close()
    process.stdin.write(lines(message("prompts/list", 2)))
    process.stdin.flush()
    assert process.wait(TIMEOUT) == 0


@pytest.mark.slow
def test_bad_lines_and_hostile_templates_do_not_end_it(
    started: Callable[..., "subprocess.Popen[bytes]"], path: Path
) -> None:
    """A lone surrogate, in a text or an error, would be written by no connection."""
    with Registry(path) as registry:
        registry.create("printed", r'{{ "\ud800" }}')
        registry.create("raised", r"""{% if go %}{{ raise_exception("\ud800") }}{% endif %}""")
    process = started()
    assert answered(process, *HANDSHAKE)
    assert process.stdin is not None
    process.stdin.write(b'no JSON\n{"jsonrpc": "2.0"}\n\xff\xfe\n[]\n\n')
    for number, (name, arguments) in enumerate(
        [("printed", {}), ("raised", {"go": "1"}), ("greet", {"name": 1}), ("greet", [])], 2
    ):
        answer = answered(process, message("prompts/get", number, name=name, arguments=arguments))
        assert (answer["id"], answer["error"]["code"]) == (number, -32602)
    answer = answered(process, message("prompts/get", 9, name="greet", arguments={"name": "\u2028é"}))
    assert answer["result"]["messages"] == [{"role": "user", "content": {"type": "text", "text": "Hello \u2028é!"}}]


@pytest.mark.slow
def test_it_acts_as_who_is_named(started: Callable[..., "subprocess.Popen[bytes]"]) -> None:
    """`--as` and `--namespace` choose what is listed and found."""
    for arguments, names in [
        (["--as", "ana"], ["greet"]),
        (["--namespace", "support"], ["help"]),
        (["--as", "bo"], []),
    ]:
        process = started(*arguments)
        answered(process, *HANDSHAKE)
        listed = answered(process, message("prompts/list", 2))["result"]["prompts"]
        assert [prompt["name"] for prompt in listed] == names
        found = answered(process, message("prompts/get", 3, name="hidden"))
        assert found["error"]["data"]["error"]["code"] == "not_found"


@pytest.mark.slow
@pytest.mark.parametrize("mode", ["legacy", "auto"])
def test_the_real_client_lists_gets_and_is_told_of_a_change(path: Path, mode: str) -> None:
    """The change is made by this process, and notified within a second or so."""
    pytest.importorskip("mcp", reason=NEEDS_MCP)
    import anyio
    from mcp import Client, MCPError, StdioServerParameters

    received: list[Any] = []

    async def handle(notification: Any) -> None:
        received.append(notification.method)

    async def listened(client: Client, change: Callable[[], object]) -> None:
        if mode == "legacy":
            change()
            while not received:
                await anyio.sleep(0.01)
            return
        async with client.listen(prompts_list_changed=True) as events:
            change()
            async for event in events:
                received.append(type(event).__name__)
                return

    async def run() -> None:
        parameters = StdioServerParameters(
            command=sys.executable, args=["-m", "promptreg", "--db", str(path), "mcp"], env=dict(os.environ)
        )
        async with Client(parameters, mode=mode, message_handler=handle) as client:
            (greet, _) = (await client.list_prompts()).prompts
            assert (greet.title, [argument.name for argument in greet.arguments or []]) == ("Greet", ["name"])
            (found,) = (await client.get_prompt("greet", {"name": "Ana"})).messages
            assert (found.role, found.content.text) == ("user", "Hello Ana!")  # type: ignore[union-attr]
            error = await failed(client.get_prompt("greet"), MCPError)
            assert error.error.data["error"]["details"]["missing"] == ["name"]
            with Registry(path) as registry, anyio.fail_after(TIMEOUT):
                await listened(client, lambda: registry.update("greet", title="Welcome"))
            assert (await client.list_prompts(cache_mode="bypass")).prompts[0].title == "Welcome"

    anyio.run(run)
    assert "notifications/prompts/list_changed" in received
    assert mode == "legacy" or "PromptsListChanged" in received


async def failed(call: Awaitable[Any], kind: type[Exception]) -> Any:
    """Return the error of a call."""
    try:
        await call
    except kind as error:
        return error
    raise AssertionError("it was answered")


@pytest.mark.slow
def test_a_program_may_serve_it_over_http(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`prompt_server` runs on the other transports of the package; each change is notified, until a client is gone."""
    pytest.importorskip("mcp", reason=NEEDS_MCP)
    import anyio
    import uvicorn
    from mcp import Client

    from promptreg.mcp import prompt_server, server, watching

    received: list[str] = []
    (watch,) = watches = [watching.Watch(Registry(path))]
    monkeypatch.setattr(server, "Watch", lambda _: watches.pop())

    async def handle(notification: Any) -> None:
        received.append(notification.method)

    async def run() -> None:
        registry = Registry(path)
        with socket.socket() as listening:
            listening.bind(("127.0.0.1", 0))
            url = f"http://127.0.0.1:{listening.getsockname()[1]}/mcp"
            app = prompt_server(registry).streamable_http_app()
            web = uvicorn.Server(uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=1))
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(partial(web.serve, sockets=[listening]))
                with anyio.fail_after(TIMEOUT):
                    while not web.started:
                        await anyio.sleep(0.01)
                    async with Client(url, mode="legacy", message_handler=handle) as client:
                        assert [prompt.name for prompt in (await client.list_prompts()).prompts] == ["greet", "hidden"]
                        registry.update("greet", title="Welcome")
                        while not received:
                            await anyio.sleep(0.01)
                        assert len(watch._connections) == 1
                    while watch._connections:
                        await anyio.sleep(0.01)
                web.should_exit = True
        registry.close()

    anyio.run(run)
    assert received == ["notifications/prompts/list_changed"]
