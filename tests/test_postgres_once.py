"""Calls that are made once, and commits of unknown outcome, where a network is between a registry and its database."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import pytest

from promptreg import CommitUnknownError, Registry
from tests.places import BUSY, MARGIN, PATIENT, Place
from tests.postgres import connected
from tests.proxy import Link, Proxy
from tests.storages import everything

pytestmark = pytest.mark.postgres

COMMIT = "^COMMIT$"  # and no `READ COMMITTED`
Cut = Callable[..., None]


def fill(registry: Registry) -> None:
    for name in ("a", "b", "c"):
        registry.create(name, "Zero")
        registry.update(name, template="One")


class Losing(Place):
    """A place whose proxy loses commits."""

    def lose_at(self, when: Cut) -> None:
        """Cut the connection there, and let no other one through."""

        def lose(link: Link) -> None:
            self.proxy.is_refusing = True
            link.cut()

        when(self.proxy, COMMIT, lose)

    def actions(self) -> list[tuple[str, str | None, int | None]]:
        return [(event.action, event.name, event.version) for event in self.beside.events(limit=1000)]


@pytest.fixture
def place(postgres_target: str) -> Iterator[Losing]:
    with closing(Losing(postgres_target, fill)) as made:
        made.registry.get("a")
        yield made


@pytest.fixture
def patient(postgres_target: str) -> Iterator[Losing]:
    """A place whose registry would wait long for the server."""
    with closing(Losing(postgres_target, fill, busy_timeout=PATIENT)) as made:
        made.registry.get("a")
        yield made


WHEN = {"before it": Proxy.at_statement, "after it": Proxy.at_completion}
CUTS = pytest.mark.parametrize("when", WHEN.values(), ids=WHEN)
CALLS: dict[str, Callable[[Registry], Any]] = {
    "create": lambda r: r.create("new", "New").version,
    "update": lambda r: r.update("a", template="Two").version,
    "rename": lambda r: r.update("a", new_name="z").name,
    "set_status": lambda r: r.set_status(["a", "b"], "disabled"),
    "rollback of several": lambda r: [prompt.version for prompt in r.rollback(["a", "b"], 1, reason="x")],
    "delete": lambda r: r.delete("c"),
    "seed": lambda r: r.seed("a", "One").version,
}


@CUTS
@pytest.mark.parametrize("title", CALLS)
def test_a_commit_whose_connection_is_cut_is_found_out(patient: Losing, title: str, when: Cut) -> None:
    """The call returns as if nothing had happened, and has written once."""
    expected, call = patient.actions(), CALLS[title]
    when(patient.proxy, COMMIT)
    answer = call(patient.registry)
    made = patient.actions()[len(expected) :]
    assert not patient.proxy.disarm()
    assert len({(action, name) for action, name, _ in made}) == len(made)
    assert bool(made) == (title != "seed")
    assert answer in {"create": [1], "rename": ["z"], "update": [3], "seed": [2], "delete": [None]}.get(title, [answer])
    assert patient.beside.verify() == []


@CUTS
def test_a_server_that_is_back_within_busy_timeout_is_waited_for(patient: Losing, when: Cut) -> None:
    """The question is asked again until it is answered."""
    patient.lose_at(when)
    timer = threading.Timer(BUSY / 4, lambda: setattr(patient.proxy, "is_refusing", False))
    timer.start()
    assert patient.registry.update("a", template="Two").version == 3
    timer.join()
    assert patient.beside.history("a")[0].version == 3


@CUTS
@pytest.mark.parametrize("title", ["create", "seed"])
def test_a_question_whose_connection_is_cut_is_asked_again(patient: Losing, title: str, when: Cut) -> None:
    """Also at its end, where the answer was read already: what it has read might not be on a standby yet."""
    before = len(patient.actions())
    patient.proxy.at_completion(COMMIT)
    when(patient.proxy, COMMIT, skipped=1)
    assert CALLS[title](patient.registry) == {"create": 1, "seed": 2}[title]
    assert not patient.proxy.disarm()
    assert len(patient.actions()[before:]) == {"create": 2, "seed": 0}[title]


@CUTS
@pytest.mark.parametrize("title", ["create", "set_status", "rollback of several", "seed"])
def test_where_it_can_not_be_told_the_error_has_an_id_for_once(place: Losing, title: str, when: Cut) -> None:
    """Within `busy_timeout`; the same call with that id writes only if the commit did not happen."""
    before, call = place.actions(), CALLS[title]
    place.lose_at(when)
    begin = time.monotonic()
    with pytest.raises(CommitUnknownError) as caught:
        call(place.registry)
    assert time.monotonic() - begin < 2 * BUSY + MARGIN
    place.proxy.is_refusing = False
    is_done = place.actions() != before
    assert is_done == (when is Proxy.at_completion and title != "seed")
    view = place.beside.once(caught.value.details["operation_id"])
    answer = call(view)
    made = place.actions()[len(before) :]
    assert call(view) == answer
    assert place.actions()[len(before) :] == made
    assert len({(action, name) for action, name, _ in made}) == len(made)
    assert (not made) == (title == "seed")
    assert place.beside.verify() == []
    assert (len(everything(place.target)["operations"]) == 0) == is_done


def test_a_transaction_in_limbo_is_not_overtaken(place: Losing) -> None:
    """While its COMMIT is on the way it holds the lock, so it is no lost one: then it can't be told."""
    place.proxy.at_statement(COMMIT, Link.freeze)
    with pytest.raises(CommitUnknownError) as caught:
        place.registry.update("a", template="Two")
    assert place.beside.history("a")[0].version == 2
    for link in [*place.proxy._links]:
        link.thaw()
    view = place.beside.once(caught.value.details["operation_id"])
    assert [view.update("a", template="Two").version for _ in range(2)] == [3, 3]
    assert place.beside.history("a")[0].version == 3


def test_a_day_is_that_of_the_server(place: Losing) -> None:
    """`now()` decides, whatever the registry's clock, and what is older is deleted."""
    place.beside.once("old").create("x", "One")
    place.beside.once("op").update("a", template="Two")
    for hours, version, rows in ((23, 3, 2), (25, 4, 1)):
        with connected(place.target) as connection:
            connection.execute(f"UPDATE operations SET at = now() - interval '{hours} hours'")
        place.beside.rollback("a", 1, reason="x")
        assert place.beside.once("op").update("a", template="Two").version == version
        assert len(everything(place.target)["operations"]) == rows
