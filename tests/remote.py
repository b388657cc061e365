"""Another process with registries, controlled by a test.

With `unprivileged` it runs as `nobody`, for files that only their owner may write, because root is refused nothing.
With `shell` it runs after these commands, as root of a new mount namespace. With `without_posix` it has only what
Windows has.
"""

import importlib
import json
import math
import multiprocessing
import os
import pkgutil
import signal
import socket
import sqlite3
import subprocess
import sys
import tempfile
from contextlib import ExitStack, suppress
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import promptreg
from promptreg import PromptregError, Registry
from promptreg.storage.deadlines import Deadline
from promptreg.storage.sqlite import queue

SWITCH = "PROMPTREG_TESTS_WITHOUT_POSIX"
ROOT = Path(__file__).parent.parent
NOBODY = 65534
GROUP = 65533  # of which nobody is a member
PATIENCE_SECONDS = 60
HELD: list[sqlite3.Connection] = []
QUEUED = ExitStack()


SERVER = multiprocessing.get_context("forkserver")
SERVER.set_forkserver_preload(["tests.remote"])


class Remote:
    """A process that calls verbs on registries; its errors are raised here."""

    def __init__(
        self,
        path: str,
        *,
        unprivileged: bool = False,
        shell: str | None = None,
        without_posix: bool = False,
        **settings: Any,
    ) -> None:
        """Start the process; it opens the registry of `path` with `settings` at the first call."""
        self.path, self.settings = path, settings
        self.process: Any
        if shell is None and not without_posix:
            self._connection, theirs = SERVER.Pipe()
            self.process = SERVER.Process(target=serve, args=(theirs, unprivileged))
            self.process.start()
            theirs.close()
        else:
            ours, other = socket.socketpair()
            program = [sys.executable, "-m", "tests.remote", str(other.fileno())]
            behind = ["unshare", "-rm", "sh", "-c", f'{shell} && exec "$@"', "sh"] if shell else []
            environment = {**os.environ, SWITCH: "1"} if without_posix else None
            self.process = subprocess.Popen([*behind, *program], cwd=ROOT, pass_fds=[other.fileno()], env=environment)
            other.close()
            self._connection = Connection(ours.detach())

    def __enter__(self) -> "Remote":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def call(self, verb: str, *args: Any, **more: Any) -> Any:
        """Call a verb in the process, and return its result or raise its error.

        Besides the registry's verbs: `open` only opens; `revision` returns the property;
        `hold` and `release` take and release SQLite's write lock;
        `queue` and `leave` take and release a ticket of the writers' queue without a write; after `trust` the process
        considers no queue stuck, however slow the machine is.
        """
        self.ask(verb, *args, **more)
        return self.answer()

    def ask(self, verb: str, *args: Any, **more: Any) -> None:
        """Begin a call."""
        self._connection.send((self.path, self.settings, verb, args, more))

    def answer(self) -> Any:
        """Wait for the result of the call that was begun."""
        assert self._connection.poll(PATIENCE_SECONDS), f"no answer within {PATIENCE_SECONDS} s"
        error, value = self._connection.recv()
        if error is not None:
            raise error
        return value

    def stop(self) -> None:
        """Suspend the process, until `go`."""
        os.kill(self.process.pid, signal.SIGSTOP)

    def go(self) -> None:
        """Resume the process."""
        os.kill(self.process.pid, signal.SIGCONT)

    def kill(self) -> None:
        """Kill the process, and wait for its end."""
        self.process.kill()
        self._wait()

    def close(self) -> None:
        """End the process, which closes its registries first."""
        self._connection.close()
        self._wait()

    def _wait(self) -> None:
        if isinstance(self.process, subprocess.Popen):
            self.process.wait(PATIENCE_SECONDS)
        else:
            self.process.join(PATIENCE_SECONDS)
            assert self.process.exitcode is not None, f"it did not end within {PATIENCE_SECONDS} s"


def serve(connection: Connection, unprivileged: bool) -> None:
    """Answer calls until the other side closes."""
    if unprivileged:
        _become_nobody()
    opened: dict[str, Registry] = {}
    with suppress(EOFError):
        while True:
            call = connection.recv()
            try:
                answer = (None, _done(opened, *call))
            except (PromptregError, OSError, sqlite3.Error) as error:
                answer = (error, None)
            connection.send(answer)
    for registry in opened.values():
        registry.close()


def _done(opened: dict[str, Registry], path: str, settings: Any, verb: str, args: Any, more: Any) -> Any:
    if verb == "close":
        return opened.pop(path).close()
    if verb == "hold":
        HELD.append(sqlite3.connect(path, isolation_level=None))
        return HELD[-1].execute("BEGIN IMMEDIATE").close()
    if verb == "release":
        return HELD.pop().close()
    if verb == "queue":
        QUEUED.enter_context(queue.queue_of(os.path.realpath(path)).ticket(Deadline(PATIENCE_SECONDS)))
        return None
    if verb == "leave":
        return QUEUED.close()
    if verb == "trust":
        queue.STUCK = math.inf
        return None
    if path not in opened:
        opened[path] = Registry(path, **settings)
    if verb == "revision":
        return opened[path].revision
    return None if verb == "open" else getattr(opened[path], verb)(*args, **more)


def _become_nobody() -> None:
    """Drop all privileges, after importing everything, because `nobody` may be unable to read the modules."""
    for module in pkgutil.walk_packages(promptreg.__path__, "promptreg."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    with tempfile.TemporaryDirectory() as folder, Registry(f"{folder}/warm.db") as registry:
        registry.create("warm", "{{ a }} {% for b in c %}{{ b|upper }}{% endfor %}", examples=[{"a": 1, "c": ["d"]}])
        registry.render("warm", a=1, c=["d"])
        _ = registry.list(), registry.search("warm"), registry.history("warm"), registry.events(), registry.namespaces()
        registry.update("warm", title="Warmer")
        registry.diff("warm", 1, 2)
        registry.set_status("warm", "deleted")
    if os.geteuid() == 0:
        os.setgroups([GROUP])
        os.setgid(NOBODY)
        os.setuid(NOBODY)


if __name__ == "__main__":
    serve(Connection(int(sys.argv[1])), False)


def run_program(module: str, *arguments: object, seconds: float) -> dict[str, Any]:
    """Run a program of the tests within a time limit, and return the JSON that it prints."""
    done = subprocess.run(
        [sys.executable, "-m", module, *map(str, arguments)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=seconds,
    )
    assert done.returncode == 0, done.stderr
    printed: dict[str, Any] = json.loads(done.stdout)
    return printed
