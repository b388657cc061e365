"""A registry on PostgreSQL against bare psycopg that sends the same statements, near the server and 4 ms away from it.

What the registry sends is recorded once, by a proxy (`delaying.py`). Then both sides run alternately: the registry in
its schema, and the recorded statements, in as many round trips, in a copy of that schema without triggers, where rows
may be written again. The server is one of the tests' own, which syncs to the disk, or that of PROMPTREG_TEST_POSTGRES.
"""

import multiprocessing
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from importlib.util import find_spec
from itertools import count, cycle
from multiprocessing.connection import Connection
from multiprocessing.synchronize import Barrier
from os import environ
from pathlib import Path
from time import monotonic, perf_counter, sleep
from typing import Any, NamedTuple

from library import name_of
from prompts import MEDIUM
from timing import Measured, Options, Pair, Tables, alternate, require_equal, run, seconds

from promptreg import Registry

sys.path.append(str(Path(__file__).parents[1]))
from tests.postgres import EXISTING, MISSING, programs

if find_spec("psycopg") is not None:
    import psycopg
    from delaying import Bare, RoundTrip, delayed, ended, renamed, waits
    from schemas import (
        DESCRIPTIONS,
        READ,
        WRITERS,
        Places,
        allow_repeats,
        fill,
        read_name,
        rows_of,
        schemas,
        server,
        writer_name,
    )

ROUNDS = 10
FEW_ROUNDS = 5  # of what takes long
REPEATS = 5
FRACTION = 10  # a bulk change is of a tenth of the size in the options
SECONDS = 1.5  # of writing, for each round and side
SECONDS_A_ROUND = 0.3  # the limit of a short run
LAGS = 100  # publications in a round
LAGS_A_ROUND = 20  # the limit of a short run, for each of its rounds
BETWEEN_READS = 0.0002  # seconds
BETWEEN_LOOKS = 0.001  # seconds: for as long a change may be unseen once its notification has come
FAR = 0.004  # seconds

NEAR_READ, FAR_READ = (2, 1.5), (1.2, 1.05)
NEAR_UPDATE, FAR_UPDATE = (2, 1.5), (1.3, 1.1)
NEAR_BULK, FAR_BULK = (3, 1.8), (3, 1.8)
THROUGHPUT = (0.5, 0.8)
FAIRNESS = (0.6, 0.8)
LAG = (1, 1)
READ_TRIPS, UPDATE_TRIPS = 1, 3


class Recorded(NamedTuple):
    """What the registry sent, for the copy of its schema: each cold read, an update of each writer, a bulk change."""

    reads: "list[list[RoundTrip]]"
    updates: "list[list[RoundTrip]]"
    bulk: "list[RoundTrip]"


def measured(options: Options) -> Tables:
    if find_spec("psycopg") is None or not (environ.get(EXISTING) or programs()):
        print(f"postgres: skipped, {MISSING if find_spec('psycopg') else 'psycopg is not installed'}", file=sys.stderr)
        return {}
    with server() as url, schemas(url) as places:
        prompts = max(options.size // FRACTION, 1)
        fill(places, prompts)
        recorded = record(places, prompts)
        tables: Tables = {}
        with delayed(url, FAR) as proxy:
            for where, via in (("at the server", None), (f"{FAR * 1000:g} ms away", proxy.url)):
                goals = (NEAR_READ, NEAR_UPDATE, NEAR_BULK) if via is None else (FAR_READ, FAR_UPDATE, FAR_BULK)
                tables[f"PostgreSQL, {where} / bare psycopg, the same statements"] = [
                    read_row(places, via, recorded, options.rounds or ROUNDS, goals[0]),
                    update_row(places, via, recorded, options.rounds or ROUNDS, goals[1]),
                    bulk_row(places, via, recorded, prompts, options.rounds or FEW_ROUNDS, goals[2]),
                    *writers_rows(places, via, recorded, options.rounds or FEW_ROUNDS),
                    *lag_rows(places, via, recorded, options.rounds or FEW_ROUNDS),
                ]
        most = ("a cold read", recorded.reads, READ_TRIPS), ("an update", recorded.updates, UPDATE_TRIPS)
        tables["PostgreSQL, most round trips / those that are allowed"] = [
            Measured(name, [(max(map(waits, calls)), allowed)], (1, 1), in_seconds=False)
            for name, calls, allowed in most
        ]
    return tables


def record(places: Places, prompts: int) -> Recorded:
    """Record each operation, and check that bare psycopg writes the same rows in the copy as the registry did."""
    names, descriptions = [name_of(number) for number in range(prompts)], DESCRIPTIONS[::-1]
    with (
        delayed(places.url, 0) as proxy,
        places.registry(proxy.url, busy_timeout=60) as registry,
        closing(Bare(places.url)) as bare,
    ):

        def recorded(call: Callable[[], object]) -> "list[RoundTrip]":
            proxy.record()
            call()
            trips = renamed(ended(proxy.recorded()), places.ours, places.floor)
            bare.replay(trips)
            return trips

        for number in range(WRITERS):  # so that each update below meets a warm cache, as later ones do
            recorded(partial(registry.update, writer_name(number), description=descriptions[0]))
        updates = [
            recorded(partial(registry.update, writer_name(number), description=DESCRIPTIONS[0]))
            for number in range(WRITERS)
        ]
        bulk = recorded(partial(registry.set_status, names, "disabled"))
        require_equal("what was written", rows_of(places, places.floor), rows_of(places, places.ours))
        reads = [recorded(partial(registry.get, read_name(number))) for number in range(READ)]
    allow_repeats(places)
    return Recorded(reads, updates, bulk)


# The rows


def both(places: Places, via: str | None, ours: Callable[[Registry], object], floor: Callable[["Bare"], object]) -> Any:
    """Return a round of a call of the registry and of one that repeats its statements: its repeats are given."""
    registry, bare = places.registry(via, cache_size=1, busy_timeout=60), Bare(via or places.url)
    sides = partial(seconds, partial(ours, registry)), partial(seconds, partial(floor, bare))
    alternate(*sides, 2)
    return partial(alternate, *sides)


def read_row(places: Places, via: str | None, recorded: Recorded, rounds: int, goals: Pair) -> Measured:
    """Measure reads of prompts that are in no cache; a cache of one prompt holds another one."""
    names, reads = cycle(map(read_name, range(READ))), cycle(recorded.reads)
    a_round = both(places, via, lambda registry: registry.get(next(names)), lambda bare: bare.replay(next(reads)))
    return Measured("get, cold", [a_round(READ) for _ in range(rounds)], goals)


def update_row(places: Places, via: str | None, recorded: Recorded, rounds: int, goals: Pair) -> Measured:
    """Measure an update that alternates between two descriptions, so that no template is compiled."""
    numbers, (statements, *_) = count(), recorded.updates
    with places.registry() as registry:
        first = registry.get(writer_name(0)).description == DESCRIPTIONS[0]

    def ours(registry: Registry) -> None:
        registry.update(writer_name(0), description=DESCRIPTIONS[(next(numbers) + first) % 2])

    a_round = both(places, via, ours, lambda bare: bare.replay(statements))
    return Measured("update, compiled before", [a_round(REPEATS) for _ in range(rounds)], goals)


def bulk_row(places: Places, via: str | None, recorded: Recorded, prompts: int, rounds: int, goals: Pair) -> Measured:
    """Measure a change of status of all prompts."""
    names = [name_of(number) for number in range(prompts)]
    with places.registry() as registry:
        targets = cycle(sorted(("active", "disabled"), key=registry.get(names[0]).status.__eq__))

    def ours(registry: Registry) -> None:
        require_equal("set_status", registry.set_status(names, next(targets)).updated_prompts, prompts)

    a_round = both(places, via, ours, lambda bare: bare.replay(recorded.bulk))
    return Measured(f"set_status of {prompts:,} prompts", [a_round(1) for _ in range(rounds)], goals)


# Writers


class WriterReport(NamedTuple):
    """What one writer reports: its updates, in how many seconds."""

    updates: int
    seconds: float


def writers_rows(places: Places, via: str | None, recorded: Recorded, rounds: int) -> list[Measured]:
    """Measure processes that write, alternating with as many that repeat the statements."""
    duration = min(SECONDS, rounds * SECONDS_A_ROUND)
    rates, shares = [], []
    for _ in range(rounds):
        ours = in_processes(write, [(places, via, number, duration) for number in range(WRITERS)])
        floor = in_processes(repeat, [(via or places.url, trips, duration) for trips in recorded.updates])
        rates.append((rate(ours), rate(floor)))
        shares.append((min(report.updates for report in ours), max(report.updates for report in ours)))
    return [
        Measured(f"updates a second of {WRITERS} processes", rates, THROUGHPUT, is_rate=True, in_seconds=False),
        Measured("slowest of these writers / fastest", shares, FAIRNESS, is_rate=True, in_seconds=False),
    ]


def rate(reports: Sequence[WriterReport]) -> float:
    """Return the updates a second of all writers together."""
    return sum(report.updates / report.seconds for report in reports)


def in_processes(target: Callable[..., None], arguments: Sequence[tuple[Any, ...]]) -> list[WriterReport]:
    """Run one process for each of these arguments, all of which begin at once, and return their reports."""
    context = multiprocessing.get_context("spawn")
    start, reports = context.Barrier(len(arguments)), context.SimpleQueue()
    processes = [context.Process(target=target, args=(*given, start, reports)) for given in arguments]
    for process in processes:
        process.start()
    received = [reports.get() for _ in processes]
    for process in processes:
        process.join()
    return received


def write(places: Places, via: str | None, number: int, duration: float, start: Barrier, reports: Any) -> None:
    """Run one writer, which alternates between two descriptions."""
    with places.registry(via, busy_timeout=60) as registry:
        name = writer_name(number)
        descriptions = cycle(sorted(DESCRIPTIONS, key=registry.get(name).description.__eq__))
        report(lambda: registry.update(name, description=next(descriptions)), duration, start, reports)


def repeat(url: str, trips: "list[RoundTrip]", duration: float, start: Barrier, reports: Any) -> None:
    """Run one writer of bare psycopg."""
    bare = Bare(url)
    report(lambda: bare.replay(trips), duration, start, reports)


def report(update: Callable[[], object], duration: float, start: Barrier, reports: Any) -> None:
    """Update as often as the time allows, and report it."""
    for _ in DESCRIPTIONS:
        update()
    start.wait()
    began, updates = perf_counter(), 0
    while perf_counter() < began + duration:
        update()
        updates += 1
    reports.put(WriterReport(updates, perf_counter() - began))


# The lag after a publish


def lag_rows(places: Places, via: str | None, recorded: Recorded, rounds: int) -> list[Measured]:
    """Measure how long after a publish has returned elsewhere it is seen, against a bare notification and two reads.

    The reads are of what has changed, and of the prompt. A notification may wait for a millisecond more, the time
    between two looks.
    """
    halves, tails, publications = [], [], min(LAGS, rounds * LAGS_A_ROUND)
    for _ in range(rounds):
        ours, floor = (
            sorted(lags_of_registry(places, via, publications)),
            sorted(lags_of_notifications(places, via, publications, recorded.reads[0])),
        )
        for quantile, pairs in ((0.5, halves), (0.99, tails)):
            at = int(quantile * publications)
            pairs.append((ours[at], floor[at] + BETWEEN_LOOKS))
    name = "lag after a publish, {} / NOTIFY, two reads, 1 ms"
    return [Measured(name.format("p50"), halves, LAG), Measured(name.format("p99"), tails, LAG)]


@contextmanager
def other_process(target: Callable[..., None], *arguments: Any) -> Iterator[Connection]:
    """Run a function in another process, with one end of a pipe; the other end is returned."""
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=target, args=(*arguments, theirs), daemon=True)
    process.start()
    ours.recv()
    yield ours
    process.kill()
    process.join()


def lags_of_registry(places: Places, via: str | None, publications: int) -> list[float]:
    """Return for how long each of some publications was unseen by a reader that looks all the time."""
    lags = []
    with other_process(publish, places) as publisher, places.registry(via) as reader:
        live = reader.get("lagging").version
        for _ in range(publications):
            publisher.send(None)
            while reader.get("lagging").version == live:
                sleep(BETWEEN_READS)
            lags.append(since(publisher))
            live += 1
            require_equal("publish", reader.get("lagging").version, live)
    return lags


def publish(places: Places, pipe: Connection) -> None:
    """Publish each time that the pipe says so, near the server, and say when that had returned."""
    with places.registry() as registry:
        registry.save("lagging", MEDIUM, description=DESCRIPTIONS[0])
        for description in cycle(DESCRIPTIONS[::-1]):
            answer_with_time(pipe, partial(registry.update, "lagging", description=description))


def lags_of_notifications(places: Places, via: str | None, publications: int, read: "list[RoundTrip]") -> list[float]:
    """Return how long each of some notifications took to a connection that waits for it and then reads twice."""
    lags, bare = [], Bare(via or places.url)
    with other_process(notify, places.url) as notifier, psycopg.connect(via or places.url, autocommit=True) as listener:
        listener.execute("LISTEN floor_of_lags")
        for _ in range(publications):
            notifier.send(None)
            next(listener.notifies(stop_after=1))
            bare.replay([*read, *read])
            lags.append(since(notifier))
    return lags


def notify(url: str, pipe: Connection) -> None:
    """Notify each time that the pipe says so, and say when that had returned."""
    with psycopg.connect(url, autocommit=True) as connection:
        while True:
            answer_with_time(pipe, partial(connection.execute, "NOTIFY floor_of_lags, '1'"))


def answer_with_time(pipe: Connection, call: Callable[[], object]) -> None:
    """Say that this process is ready or has called, at which time; wait until it shall call."""
    pipe.send(monotonic())
    pipe.recv()
    call()


def since(pipe: Connection) -> float:
    """Return the seconds since the other process's call returned; at least a microsecond, as it may be before that."""
    seen = monotonic()
    return max(seen - pipe.recv(), 1e-6)


if __name__ == "__main__":
    run(__doc__, measured)
