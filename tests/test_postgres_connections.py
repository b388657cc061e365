"""Connections that fail as networks make them fail: nothing acknowledged is lost, nothing hangs, everything heals."""

import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from itertools import count
from typing import Any

import pytest

from promptreg import CommitUnknownError, Registry, StorageBusyError, StorageError
from promptreg.errors import PromptregError
from tests.conftest import until
from tests.places import BUSY, MARGIN, PATIENT, Place, healed, listen, listener_of, warm
from tests.postgres import ROOT, drop_schema, fresh_target, split_target
from tests.proxy import Link, Proxy
from tests.storages import everything

pytestmark = pytest.mark.postgres


def fill(registry: Registry) -> None:
    registry.create("greet", "1", tags=["t"])
    registry.create("other", "Other")
    registry.create("staged", "Live")
    registry.update("staged", template="Next", is_production=False)


@pytest.fixture
def place(postgres_target: str) -> Iterator[Place]:
    with closing(Place(postgres_target, fill)) as made:
        yield made


@pytest.fixture
def patient(postgres_target: str) -> Iterator[Place]:
    """A place whose registry would wait long for the server."""
    with closing(Place(postgres_target, fill, busy_timeout=PATIENT)) as made:
        yield made


def timed(call: Callable[[], Any]) -> tuple[Any, float]:
    """Return what a call returned, or its error, and the seconds that it took."""
    begin = time.monotonic()
    try:
        outcome = call()
    except PromptregError as error:
        outcome = error
    return outcome, time.monotonic() - begin


WRITES: dict[str, Callable[[Registry], Any]] = {
    "create": lambda r: r.create("new", "New"),
    "save": lambda r: r.save("greet", "Saved"),
    "seed": lambda r: r.seed("seeded", "Seeded"),
    "update": lambda r: r.update("greet", template="2"),
    "rename": lambda r: r.update("greet", new_name="greeting"),
    "edit": lambda r: r.update("staged", template="Edited", version=2),
    "publish": lambda r: r.publish("staged"),
    "publish several": lambda r: r.publish(["staged@2", "greet@1"]),
    "rollback": lambda r: r.rollback("staged", reason="why"),
    "disable": lambda r: r.disable("greet"),
    "set_status": lambda r: r.set_status(["greet", "other"], "archived"),
    "delete": lambda r: r.delete("other"),
    "discard": lambda r: r.discard("staged"),
    "set_label": lambda r: r.set_label("greet", "eu", 1),
    "remove_label": lambda r: r.remove_label("greet", "eu"),
}
PREPARATIONS: dict[str, Callable[[Registry], Any]] = {
    "rollback": lambda r: r.publish("staged@2"),
    "remove_label": lambda r: r.set_label("greet", "eu", 1),
}
READS: dict[str, Callable[[Registry], Any]] = {
    "get": lambda r: r.get("greet").template,
    "get version": lambda r: r.get("staged@2").template,
    "get_many": lambda r: [prompt.template for prompt in r.get_many(["greet", "other"])],
    "render": lambda r: r.render("other").text,
    "list": lambda r: [prompt.name for prompt in r.list()],
    "search": lambda r: sorted(prompt.name for prompt in r.search("other")),
    "history": lambda r: [version.version for version in r.history("staged")],
    "diff": lambda r: r.diff("staged", 1, 2),
    "events": lambda r: [event.action for event in r.events()],
    "namespaces": lambda r: r.namespaces(),
    "check": lambda r: r.check("staged"),
}
WAYS = {"before": Proxy.at_statement, "after": Proxy.at_completion}
PHASES: dict[str, Callable[[Proxy], None]] = {
    "read": lambda proxy: proxy.at_statement("^SELECT"),
    "lock": lambda proxy: proxy.at_statement("^BEGIN ISOLATION LEVEL READ COMMITTED"),
    "apply": lambda proxy: proxy.at_statement("^(WITH|INSERT|UPDATE|DELETE)"),
    "commit": lambda proxy: proxy.at_statement("^COMMIT"),
    "answer": lambda proxy: proxy.at_completion("^COMMIT"),
}
UNDISTURBED: dict[str, Any] = {}


def prepared(target: str, verb: str) -> Place:
    """Return a place with what a call of the verb needs."""

    def prepare(registry: Registry) -> None:
        fill(registry)
        if verb in PREPARATIONS:
            PREPARATIONS[verb](registry)

    return Place(target, prepare, busy_timeout=PATIENT)


def outcome_of(place: Place) -> Any:
    """Return what was written, as numbers of rows and the actions of events."""
    rows = everything(place.target)
    sizes = {table: len(rows[table]) for table in ("prompts", "versions", "publications", "deletions", "search")}
    return sizes, [event.action for event in place.beside.events(limit=1000)]


def undisturbed(url: str, verb: str) -> Any:
    """Return the outcome of a write that nothing disturbs."""
    if verb not in UNDISTURBED:
        with fresh_target(url) as target, closing(prepared(target, verb)) as place:
            WRITES[verb](place.registry)
            UNDISTURBED[verb] = outcome_of(place)
    return UNDISTURBED[verb]


def assert_written_once_or_not_at_all(url: str, verb: str, disturb: Callable[[Proxy], None]) -> bool:
    """Make a call that is disturbed; return whether it was."""
    with fresh_target(url) as target, closing(prepared(target, verb)) as place:
        before = outcome_of(place)
        disturb(place.proxy)
        outcome, seconds = timed(lambda: WRITES[verb](place.registry))
        was_disturbed = not place.proxy.disarm()
        assert seconds < PATIENT / 2
        assert not isinstance(outcome, CommitUnknownError)
        is_refused = isinstance(outcome, StorageError)
        assert outcome_of(place) == (before if is_refused else undisturbed(url, verb))
        if is_refused:
            assert was_disturbed
            WRITES[verb](place.registry)
            assert outcome_of(place) == undisturbed(url, verb)
        else:
            assert not isinstance(outcome, Exception)
        assert place.beside.verify() == []
        return was_disturbed


@pytest.mark.parametrize("phase", PHASES)
@pytest.mark.parametrize("verb", WRITES)
def test_a_write_whose_connection_is_cut_in_any_phase_is_done_once_or_not_at_all(
    postgres_url: str, verb: str, phase: str
) -> None:
    """A call that returns has written once, one that raises has written nothing, and the next call works."""
    assert assert_written_once_or_not_at_all(postgres_url, verb, PHASES[phase])


@pytest.mark.stress
@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("verb", WRITES)
def test_a_write_whose_connection_is_cut_at_any_statement_is_done_once_or_not_at_all(
    postgres_url: str, verb: str, way: str
) -> None:
    """The same holds at each statement."""
    numbers = count()
    while assert_written_once_or_not_at_all(postgres_url, verb, lambda proxy: WAYS[way](proxy, skipped=next(numbers))):
        pass
    assert next(numbers) > 10


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("verb", READS)
def test_a_read_whose_connection_is_cut_at_any_statement_is_right_or_an_error(
    place: Place, verb: str, way: str
) -> None:
    """It returns what is stored, or raises `StorageError`; the next call returns what is stored."""
    right, was_cut, numbers = READS[verb](place.beside), True, count()
    while was_cut:
        with Registry(place.through, busy_timeout=PATIENT) as registry:
            WAYS[way](place.proxy, skipped=next(numbers))
            outcome, seconds = timed(lambda: READS[verb](registry))
            was_cut = not place.proxy.disarm()
            assert seconds < PATIENT / 2
            assert outcome == right or (was_cut and isinstance(outcome, StorageError))
            assert READS[verb](registry) == right


def assert_opened_whole_or_not_at_all(target: str, way: str, number: int) -> bool:
    """Open a new registry through a connection that is cut at a statement; return whether it was."""
    with closing(Proxy(split_target(target)[0])) as proxy:
        WAYS[way](proxy, skipped=number)
        outcome, seconds = timed(lambda: Registry(proxy.through(target), busy_timeout=PATIENT).close())
        was_cut = not proxy.disarm()
    assert seconds < PATIENT / 2
    assert outcome is None or (was_cut and isinstance(outcome, StorageError))
    with Registry(target) as registry:
        assert registry.verify() == []
        assert registry.create("greet", "Hello").version == 1
    drop_schema(target)
    return was_cut


@pytest.mark.parametrize("number", [0, 1, 2, 3, 5, 8, 13, 21, 34])
@pytest.mark.parametrize("way", WAYS)
def test_a_registry_whose_making_is_cut_is_made_by_the_next_that_opens(
    postgres_target: str, way: str, number: int
) -> None:
    """Opening makes the whole registry, or is `StorageError` and makes nothing that is in the way of the next."""
    assert_opened_whole_or_not_at_all(postgres_target, way, number)


@pytest.mark.stress
@pytest.mark.parametrize("way", WAYS)
def test_a_registry_whose_making_is_cut_at_any_statement_is_made_by_the_next_that_opens(
    postgres_target: str, way: str
) -> None:
    """The same holds at each statement."""
    numbers = count()
    while assert_opened_whole_or_not_at_all(postgres_target, way, next(numbers)):
        pass


# Idle connections


@pytest.mark.parametrize("call", ["read", "write"])
def test_idle_connections_that_the_server_has_ended_are_replaced_before_use(patient: Place, call: str) -> None:
    """The next call works, without an error and without another try of the caller's."""
    patient.registry.get("greet")
    patient.registry.update("greet", template="2")
    terminate(patient)
    if call == "read":
        assert patient.registry.get("other").template == "Other"
    else:
        assert patient.registry.update("greet", template="3").version == 3
    until(lambda: not patient.registry.get("greet").stale, MARGIN)  # less than the 5 s of silence


def terminate(place: Place) -> None:
    """End every connection but those of this test's other registry, as an administrator or a timeout does."""
    import psycopg

    listen(place.registry)  # the server does not list a connection that is still being made
    own = {link.server.getsockname()[1] for link in place.proxy._links}
    with psycopg.connect(split_target(place.target)[0], autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE client_port = ANY(%s)", ([*own],)
        )
    until(lambda: not place.proxy._links)


@pytest.mark.parametrize("call", ["read", "write"])
def test_idle_connections_that_were_cut_are_replaced_before_use(patient: Place, call: str) -> None:
    """The next call works, without an error and without another try of the caller's."""
    patient.registry.get("greet")
    patient.registry.update("greet", template="2")
    listen(patient.registry)  # the proxy would not cut a connection that is still being made
    patient.proxy.cut()
    until(lambda: not patient.proxy._links)
    if call == "read":
        assert patient.registry.get("other").template == "Other"
    else:
        assert patient.registry.update("greet", template="3").version == 3
    until(lambda: not patient.registry.get("greet").stale, MARGIN)  # less than the 5 s of silence


@pytest.mark.parametrize("call", ["read", "write"])
def test_idle_connections_that_a_firewall_forgot_cost_no_more_than_busy_timeout(place: Place, call: str) -> None:
    """Nothing says that they are dead: one call may be `StorageBusyError` in time, and the next ones work."""
    place.registry.get("greet")
    place.registry.update("greet", template="2")
    place.proxy.forget()

    def use() -> object:
        if call == "read":
            return place.registry.list().items[0].name
        return place.registry.update("greet", template="3").version

    outcome, seconds = timed(use)
    assert seconds < BUSY + MARGIN
    assert outcome in ("greet", 3) or isinstance(outcome, StorageBusyError)
    assert healed(use) in ("greet", 3)
    until(lambda: not place.registry.get("greet").stale)


# Servers that are away for a time


AWAY = {"refusing": Proxy.refusing, "frozen": Proxy.frozen}


@pytest.mark.parametrize("away", AWAY)
def test_no_call_hangs_while_the_server_is_away(place: Place, away: str) -> None:
    """Each verb that needs the server is `StorageError` within `busy_timeout`, and works when the server is back."""
    place.registry.get("greet")
    with AWAY[away](place.proxy):
        calls = {**WRITES, **READS}
        for verb in ("create", "update", "delete", "list", "search", "history", "events", "namespaces"):
            outcome, seconds = timed(lambda: calls[verb](place.registry))  # noqa: B023 (it is called at once)
            assert isinstance(outcome, StorageError), verb
            assert seconds < BUSY + MARGIN, verb
    assert healed(lambda: place.registry.update("greet", template="2").version) == 2
    until(lambda: not place.registry.get("greet").stale)


@pytest.mark.parametrize("away", AWAY)
def test_cached_reads_go_on_while_the_server_is_away(place: Place, away: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are marked stale, wait for at most 50 ms at a time, and are fresh again when the server is back."""
    with Registry(place.through, busy_timeout=10 * MARGIN) as registry:
        warm(registry, "greet")
        waits: list[float] = []
        wait = type(listener_of(registry)).wait
        monkeypatch.setattr(
            type(listener_of(registry)), "wait", lambda self, left: (waits.append(left), wait(self, left))
        )
        with AWAY[away](place.proxy):
            update_elsewhere(place.target)
            until(lambda: registry.get("greet").stale, MARGIN)
            begin = time.monotonic()
            while time.monotonic() < begin + 1.5:
                prompt, seconds = timed(lambda: registry.get("greet"))
                assert (prompt.template, prompt.stale) == ("1", True)
                assert seconds < MARGIN
                assert registry.render("greet").text == "1"
        assert max(waits, default=0) <= 0.05
        until(lambda: not registry.get("greet").stale)
        assert registry.get("greet").template == "2"


def update_elsewhere(target: str) -> None:
    """Update a prompt in another process: what its own process has written, a cache never returns as it was before."""
    program = "import sys; from promptreg import Registry; Registry(sys.argv[1]).update('greet', template='2')"
    subprocess.run([sys.executable, "-W", "ignore", "-c", program, target], check=True, cwd=ROOT)


@pytest.mark.parametrize("away", AWAY)
def test_what_a_process_has_read_after_its_own_write_goes_on_while_the_server_is_away(place: Place, away: str) -> None:
    """It is marked stale, also where another registry of the process has written it."""
    place.beside.update("greet", template="2")
    place.registry.update("other", template="New")
    warm(place.registry, "greet", "other")
    with AWAY[away](place.proxy):
        until(lambda: place.registry.get("greet").stale, MARGIN)
        assert place.registry.get("greet").template == "2"
        assert place.registry.render("other").text == "New"


@pytest.mark.parametrize("away", AWAY)
def test_a_strict_read_is_busy_rather_than_stale(place: Place, away: str) -> None:
    """With `freshness="strict"` a cached read is `StorageBusyError` while the server is away, within `busy_timeout`."""
    with Registry(place.through, busy_timeout=BUSY, freshness="strict") as strict:
        assert strict.get("greet").template == "1"
        with AWAY[away](place.proxy):
            outcome, seconds = timed(lambda: strict.get("greet"))
            assert isinstance(outcome, StorageBusyError)
            assert seconds < BUSY + MARGIN
        assert healed(lambda: strict.get("greet").template) == "1"


def test_a_commit_whose_fate_cannot_be_told_says_so(place: Place) -> None:
    """If the server is away after the commit was sent, it is `CommitUnknownError`, and later reads tell."""
    place.proxy.at_completion("COMMIT", lambda link: (setattr(place.proxy, "is_refusing", True), link.cut())[1])
    outcome, seconds = timed(lambda: place.registry.update("greet", template="2"))
    assert isinstance(outcome, CommitUnknownError)
    assert seconds < BUSY + MARGIN
    place.proxy.is_refusing = False
    assert healed(lambda: place.registry.get("greet@latest").version) == 2
    assert place.registry.update("greet", template="3").version == 3


def test_a_commit_that_is_frozen_is_unknown_within_busy_timeout(place: Place) -> None:
    """If the answer to a commit does not come, its fate is asked for on another connection."""
    place.proxy.at_completion("COMMIT", Link.freeze)
    outcome, seconds = timed(lambda: place.registry.update("greet", template="2"))
    assert seconds < 2 * BUSY + MARGIN
    assert isinstance(outcome, CommitUnknownError) or outcome.version == 2
    assert healed(lambda: place.registry.get("greet@latest").version) == 2


def test_many_threads_survive_cuts_at_any_time(place: Place) -> None:
    """While connections are cut all the time, what was acknowledged is there, in order, and no thread is stuck."""
    stop, acknowledged, strange = threading.Event(), [0], []

    def write() -> None:
        while not stop.is_set():
            try:
                acknowledged.append(place.registry.update("greet", template=f"{time.monotonic_ns()}").version)
            except StorageError:
                pass
            except BaseException as error:
                strange.append(error)
                raise

    def read() -> None:
        while not stop.is_set():
            try:
                newest = max(acknowledged)
                prompt = place.registry.get("greet")
                assert prompt.version >= newest or prompt.stale
                place.registry.list()
            except StorageError:
                pass
            except BaseException as error:
                strange.append(error)
                raise

    threads = [threading.Thread(target=work) for work in (write, write, read, read)]
    for thread in threads:
        thread.start()
    for _ in range(60):
        time.sleep(0.03)
        place.proxy.cut()
    stop.set()
    for thread in threads:
        thread.join(BUSY + 30)
        assert not thread.is_alive()
    assert strange == []
    stored = {version.version for version in place.beside.history("greet", limit=100_000)}
    assert stored == set(range(1, max(stored) + 1))
    assert set(acknowledged) - {0} <= stored
    assert len(acknowledged) == len(set(acknowledged))
    assert place.beside.verify() == []
