"""Another process with registries of its own, which a test tells what to do: `python -m tests.remote`.

Calls and answers are pickled through its standard input and output. `unprivileged` makes it nobody, for
files that only their owner may write: a test that runs as root would be refused nothing.
"""

import importlib
import os
import pickle
import pkgutil
import select
import signal
import sqlite3
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import promptreg
from promptreg import PromptregError, Registry

ROOT = Path(__file__).parent.parent
NOBODY = 65534
PATIENCE_SECONDS = 60
HELD: list[sqlite3.Connection] = []


class Remote:
    """A process that calls verbs on registries; its errors are raised here."""

    def __init__(self, path: str, *, unprivileged: bool = False, shell: str | None = None, **settings: Any) -> None:
        """Start it; its registry of `path` is opened with `settings` at the first call."""
        self.path, self.settings = path, settings
        program = [sys.executable, "-m", "tests.remote", *(["unprivileged"] if unprivileged else [])]
        if shell is not None:
            program = ["unshare", "-rm", "sh", "-c", f'{shell} && exec "$@"', "sh", *program]
        self.process = subprocess.Popen(program, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def __enter__(self) -> "Remote":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def call(self, verb: str, *args: Any, **more: Any) -> Any:
        """Call a verb there, and give its result or raise its error.

        Besides the registry's: `open`, which only opens, and `hold` and `let_go` of SQLite's own write lock.
        """
        self.ask(verb, *args, **more)
        return self.answer()

    def ask(self, verb: str, *args: Any, **more: Any) -> None:
        """Begin a call."""
        assert self.process.stdin is not None
        pickle.dump((self.path, self.settings, verb, args, more), self.process.stdin)
        self.process.stdin.flush()

    def answer(self, seconds: float = PATIENCE_SECONDS) -> Any:
        """Wait for the result of the call that was begun."""
        assert self.process.stdout is not None
        ready, _, _ = select.select([self.process.stdout], [], [], seconds)
        assert ready, f"the other process gave no answer within {seconds} s"
        error, value = pickle.load(self.process.stdout)
        if error is not None:
            raise error
        return value

    def stop(self) -> None:
        """Stop it in its tracks, until `go`."""
        os.kill(self.process.pid, signal.SIGSTOP)

    def go(self) -> None:
        """Let it go on."""
        os.kill(self.process.pid, signal.SIGCONT)

    def close(self) -> None:
        """End it; its registries are closed first."""
        assert self.process.stdin is not None
        assert self.process.stdout is not None
        self.process.stdin.close()
        try:
            self.process.wait(PATIENCE_SECONDS)
        finally:
            self.process.kill()
            self.process.wait()
            self.process.stdout.close()


def _serve() -> None:
    """Answer calls until the input ends."""
    opened: dict[str, Registry] = {}
    while True:
        try:
            path, settings, verb, args, more = pickle.load(sys.stdin.buffer)
        except EOFError:
            break
        try:
            answer = (None, _done(opened, path, settings, verb, args, more))
        except (PromptregError, OSError, sqlite3.Error) as error:
            answer = (error, None)
        pickle.dump(answer, sys.stdout.buffer)
        sys.stdout.buffer.flush()
    for registry in opened.values():
        registry.close()


def _done(opened: dict[str, Registry], path: str, settings: Any, verb: str, args: Any, more: Any) -> Any:
    if verb == "close":
        return opened.pop(path).close()
    if verb == "hold":
        HELD.append(sqlite3.connect(path, isolation_level=None))
        return HELD[-1].execute("BEGIN IMMEDIATE").close()
    if verb == "let_go":
        return HELD.pop().close()
    if path not in opened:
        opened[path] = Registry(path, **settings)
    return None if verb == "open" else getattr(opened[path], verb)(*args, **more)


def _become_nobody() -> None:
    """Give up every privilege, once all is imported that nobody may not even read."""
    for module in pkgutil.walk_packages(promptreg.__path__, "promptreg."):
        if not module.name.endswith("__main__"):
            importlib.import_module(module.name)
    with tempfile.TemporaryDirectory() as folder, Registry(f"{folder}/warm.db") as registry:
        registry.create("warm", "{{ a }} {% for b in c %}{{ b|upper }}{% endfor %}", examples=[{"a": 1, "c": ["d"]}])
        registry.render("warm", a=1, c=["d"])
        _ = registry.list(), registry.search("warm"), registry.history("warm"), registry.events(), registry.namespaces()
        registry.update("warm", title="Warmer")
        registry.set_status("warm", "deleted")
    if os.geteuid() == 0:
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)


if __name__ == "__main__":
    if "unprivileged" in sys.argv:
        _become_nobody()
    _serve()
