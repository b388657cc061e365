"""Fresh reads against their floors: `get` against `dict[key]`, `render` against compiled plain Jinja2 templates.

Also a render with `default=` against one without, where 1.7 is 0.5 µs more; `get_many` against as many `get`; and the
throughput of eight threads against that of one, where more is better.
"""

import tempfile
from collections.abc import Callable
from pathlib import Path
from threading import Thread
from typing import Any

from prompts import CHAT, CHAT_VALUES, MEDIUM, SHORT, VALUES
from rendering import PLAIN, read_by, text_of
from timing import Measured, Options, Pair, Row, Tables, alternate, measure, require_same, run, seconds

from promptreg import Registry

ROUNDS = 40
THREAD_ROUNDS = 9
THREADS = 8
MIN_SECONDS = 0.1  # of the reads of threads, so that starting the threads does not count

GET = (12, 9)
RENDER = {  # at the default settings, and at a staleness of 50 ms
    "short": ((0.15, 0.08), (0.15, 0.05)),
    "medium": ((0.20, 0.13), (0.20, 0.11)),
    "chat": ((0.12, 0.07), (0.12, 0.05)),
}
RENDER_PLAIN = (0.08, 0.06)
DEFAULT = (1.7, 1.2)
MANY = (1.0, 0.7)
THROUGHPUT = (0.8, 1.0)

Floors = dict[str, tuple[Any, dict[str, Any], str]]


def measured(options: Options) -> Tables:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "prompts.db")
        with Registry(path) as fresh, Registry(path, max_staleness=0.05) as relaxed:
            fresh.create("short", SHORT), fresh.create("medium", MEDIUM), fresh.create("chat", CHAT)
            fresh.create("plain", PLAIN.from_string(SHORT).render(VALUES), syntax="plain")
            fresh.create("history", [CHAT[0], {"placeholder": "history"}, *map(in_parts, CHAT[1:])])
            names = {"registry": fresh, "held": {"short": fresh.get("short")}, "name": "short"}
            get = Row("fresh get", "registry.get(name)", "held[name]", names, GET)
            renders = [*render_rows(fresh, 0), *render_rows(relaxed, 1)]
            require_same(
                [get, *renders], lambda result: result if result in names["held"].values() else text_of(result)
            )
            rows = measure([get, *renders], options.rounds or ROUNDS)
            variants = [*default_rows(fresh), many_row(fresh)]
            require_same(variants, lambda result: result if isinstance(result, list) else text_of(result))
            others = measure(variants, options.rounds or ROUNDS)
            threads = thread_rows(fresh, options.rounds or THREAD_ROUNDS)
    return {
        "fresh reads / dict[key]": rows[:1],
        "fresh reads / plain Jinja2's render of a held template": rows[1:],
        "fresh reads / fresh reads in another way": others,
        f"what {THREADS} threads read / what 1 reads": threads,
    }


def render_rows(registry: Registry, column: int) -> list[Row]:
    """Return the rows of fresh renders of the three prompts, against templates compiled in advance."""
    setting = ("", ", max_staleness=0.05")[column]
    floor = "plain.render(**values)"
    messages = [PLAIN.from_string(message["content"]) for message in CHAT]
    held: Floors = {
        "short": (PLAIN.from_string(SHORT), read_by(SHORT, VALUES), floor),
        "medium": (PLAIN.from_string(MEDIUM), read_by(MEDIUM, VALUES), floor),
        "chat": (messages, CHAT_VALUES, "[message.render(**values) for message in plain]"),
    }
    rows = []
    for name, (plain, values, statement) in held.items():
        names = {"registry": registry, "plain": plain, "values": values}
        ours = f"registry.render({name!r}, values)"
        rows.append(Row(f"fresh render, {name}{setting}", ours, statement, names, RENDER[name][column]))
    floor_with_roles = "[{'role': role, 'content': message.render(**values)} for role, message in zip(roles, plain)]"
    names["roles"] = [message["role"] for message in CHAT]
    rows.append(Row(f"the same and its messages{setting}", f"{ours}.messages", floor_with_roles, names))
    short = rows[0]
    rows.append(
        Row(f"fresh render, plain{setting}", "registry.render('plain')", short.floor, short.names, RENDER_PLAIN)
    )
    history = [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello! What is it about?"}]
    floor_with_history = "[plain[0].render(**values), *texts, *[message.render(**values) for message in plain[1:]]]"
    names = {**names, "values": {**CHAT_VALUES, "history": history}, "texts": [each["content"] for each in history]}
    ours = "registry.render('history', values)"
    rows.append(Row(f"fresh render, chat with a history and parts{setting}", ours, floor_with_history, names))
    return rows


def default_rows(registry: Registry) -> list[Row]:
    """Return the rows of a fresh render with a default, a text and messages, against one without."""
    names = {"registry": registry, "values": read_by(SHORT, VALUES), "text": MEDIUM, "messages": CHAT[:2]}
    floor = "registry.render('short', values)"
    return [
        Row(f"fresh render, short, default={kind}", f"{floor[:-1]}, default={kind})", floor, names, DEFAULT)
        for kind in ("text", "messages")
    ]


def many_row(registry: Registry) -> Row:
    """Return the row of a hundred prompts read at once, against one after the other."""
    names = [f"many/{number}" for number in range(100)]
    for name in names:
        registry.create(name, SHORT)
    scope = {"registry": registry, "names": names}
    return Row("get_many of 100", "registry.get_many(names)", "[registry.get(name) for name in names]", scope, MANY)


def in_parts(message: dict[str, str]) -> dict[str, Any]:
    """Return the message with its text as a part."""
    return {**message, "content": [{"type": "text", "text": message["content"]}]}


def thread_rows(registry: Registry, rounds: int) -> list[Measured]:
    """Return the rows of the throughput of eight threads against that of one."""
    values = read_by(SHORT, VALUES)
    reads = {"get": lambda: registry.get("short"), "render, short": lambda: registry.render("short", values)}
    return [Measured(name, thread_pairs(read, rounds), THROUGHPUT, is_rate=True) for name, read in reads.items()]


def thread_pairs(read: Callable[[], object], rounds: int) -> list[Pair]:
    """Return the seconds that one thread takes for some reads, and that eight take for the same number in all."""
    times = THREADS
    while seconds_of_threads(read, times, 1) < MIN_SECONDS:
        times *= 2
    one, many = (lambda count=count: seconds_of_threads(read, times, count) for count in (1, THREADS))
    return [alternate(one, many, 3) for _ in range(rounds)]


def seconds_of_threads(read: Callable[[], object], times: int, count: int) -> float:
    """Return the seconds that `count` threads take for all the reads, divided among them."""

    def work() -> None:
        for _ in range(times // count):
            read()

    def start_and_join() -> None:
        threads = [Thread(target=work) for _ in range(count)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    return seconds(start_and_join)


if __name__ == "__main__":
    run(__doc__, measured)
