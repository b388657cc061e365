"""Hostile cases in harmless child processes: the kernel kills each of them at a limit of memory or time.

`python -m tests.capped` reads jobs as JSON, `[[case, way], …]`, and writes each outcome as a line of JSON. It imports
everything first, so that a child costs one fork.
"""

import gc
import json
import os
import re
import resource
import select
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

from promptreg import Registry, RenderLimits, TemplateError
from promptreg.rendering.template_text import TemplateText
from tests.hostile import CASES, Case, environment
from tests.hostile_values import SECRET, WORLDS, World

MIB = 1 << 20
SMALL_STACK = 256 * 1024
REGISTRY = Registry(":memory:", render_limits=RenderLimits(seconds=0.05))  # hundreds of cases render until it is over
SLOW_REGISTRY = Registry(":memory:", render_limits=RenderLimits(seconds=0.25))  # for cases that are marked slow
KINDS = (
    "function|class|bound method|built-in|method|member|module|generator|coroutine|frame|code|slot|property|macro|"
    "loopcontext|templatereference|blockreference|context|namespace|template"
)
LEAKS = re.compile(rf"(?: |%20|\+)at(?: |%20|\+)0x|(?:<|%3C)(?:{KINDS})\b|functools\.partial|{SECRET}", re.IGNORECASE)
BY_NAME = {case.name: case for case in CASES}


class Outcome(NamedTuple):
    """How a child ended: with a text, an error or a signal; what that leaked, and what it cost."""

    ended: str  # "text", "error" or the signal that killed it
    error: str = ""  # its type
    when: str = ""  # at "save" or "render"
    is_ours: bool = False  # a TemplateError
    shows: str = ""  # what leaked in the text, or in the error and its traceback
    context: str = ""  # the type of a chained error that contains the secret
    characters: int = 0
    happened: bool = False  # something was done to the application
    mebibytes: int = 0
    seconds: float = 0.0


def stock(case: Case, world: World) -> Outcome:
    """Render in stock Jinja2, without limits."""
    return _outcome(world, lambda: environment(case.on).from_string(case.template), lambda t: t.render(world.variables))


def saved(case: Case, world: World, registry: Registry = REGISTRY) -> Outcome:
    """Save as a prompt and render, as applications do."""
    return _outcome(
        world,
        lambda: registry.create("hostile", case.template),
        lambda _: registry.render("hostile", world.variables).text,
    )


def small(case: Case, world: World) -> Outcome:
    """Save and render in a thread with a small stack, and always in the metered tier."""
    TemplateText.render = TemplateText.metered
    return _in_small_thread(lambda: saved(case, world, SLOW_REGISTRY))


WAYS: dict[str, Callable[[Case, World], Outcome]] = {
    "stock": stock,
    "patient": stock,
    "saved": saved,
    "small": small,
}
# The limit of processor time in seconds: stock Jinja2 renders a prompt in a ten-thousandth of the first.
STOCK_SECONDS = {"stock": 0.1, "patient": 1.0}
# The limits of processor time, sixteen times the deadline, and of wall-clock time, for a busy machine.
GUARDED_SECONDS, HANGING_SECONDS = 4.0, 60.0
MEMORY = 400 * MIB


def _outcome(world: World, save: Callable[[], Any], render: Callable[[Any], str]) -> Outcome:
    before, start, began, when = world.watch(), _peak(), time.perf_counter(), "save"
    try:
        compiled = save()
        when = "render"
        text = render(compiled)
    except BaseException as error:
        outcome = Outcome("error", type(error).__name__, when)._replace(seconds=time.perf_counter() - began)
        _uncap()
        outcome = outcome._replace(
            is_ours=isinstance(error, TemplateError), shows=_shown(error), context=_chained(error)
        )
    else:
        outcome = Outcome("text", seconds=time.perf_counter() - began, characters=len(text))
        _uncap()
        outcome = outcome._replace(shows=_leak(text))
    return outcome._replace(happened=world.watch() != before, mebibytes=(_peak() - start) // 1024)


def _peak() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def _leak(text: str) -> str:
    match = LEAKS.search(text, 0, 2_000_000)
    return match[0] if match else ""


def _shown(error: BaseException) -> str:
    """Return the secret if the error, its details or its traceback shows it."""
    texts = [str(error), repr(error), repr(vars(error)), *traceback.format_exception(error)]
    return SECRET if any(SECRET in text for text in texts) else ""


def _chained(error: BaseException) -> str:
    """Return the type of the first chained error, suppressed or not, that contains the secret."""
    chained = error.__cause__ or error.__context__
    if chained is None:
        return ""
    return type(chained).__name__ if SECRET in f"{chained}{chained!r}" else _chained(chained)


def _in_small_thread(function: Callable[[], Outcome]) -> Outcome:
    outcomes: list[Outcome] = []
    threading.stack_size(SMALL_STACK)
    thread = threading.Thread(target=lambda: outcomes.append(function()))
    thread.start()
    thread.join()
    return outcomes[0]


def _cap(way: str) -> None:
    """Limit the further memory and the time of this process."""
    size = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + MEMORY, resource.RLIM_INFINITY))
    signal.setitimer(signal.ITIMER_PROF, STOCK_SECONDS.get(way, GUARDED_SECONDS))
    signal.setitimer(signal.ITIMER_REAL, HANGING_SECONDS)


def _uncap() -> None:
    signal.setitimer(signal.ITIMER_PROF, 0)
    signal.setitimer(signal.ITIMER_REAL, 0)
    resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


def _child(case: Case, way: str, answer: int) -> None:
    """Run the child, which never returns, and runs no exit handler of its parent."""
    try:
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        world = WORLDS[case.world]()
        _cap(way)
        outcome = WAYS[way](case, world)
        os.write(answer, json.dumps(outcome).encode())
    finally:
        os._exit(0)


def run(jobs: Iterable[tuple[str, str]], at_once: int = 2) -> Iterator[tuple[str, str, Outcome]]:
    """Run each job in a child process; yield its case, its way and its outcome as they end."""
    gc.collect()
    gc.freeze()  # so that the collector in a child writes to no page that it shares with this process
    waiting, running = list(jobs)[::-1], dict[int, tuple[int, str, str]]()
    while waiting or running:
        while waiting and len(running) < at_once:
            name, way = waiting.pop()
            read, write = os.pipe()
            child = os.fork()
            if child == 0:
                _child(BY_NAME[name], way, write)
            os.close(write)
            running[read] = child, name, way
        for read in select.select(list(running), [], [])[0]:
            child, name, way = running.pop(read)
            with open(read) as answer:
                line = answer.read()
            status = os.waitpid(child, 0)[1]
            yield name, way, Outcome(*json.loads(line)) if line else Outcome(_ended(status))


def _ended(status: int) -> str:
    return signal.Signals(os.WTERMSIG(status)).name if os.WIFSIGNALED(status) else "nothing"


def main() -> None:
    """Run the jobs that the standard input names."""
    with tempfile.TemporaryDirectory() as folder:
        tempfile.tempdir = folder
        for result in run(json.load(sys.stdin)):
            print(json.dumps(result), flush=True)


if __name__ == "__main__":
    main()
