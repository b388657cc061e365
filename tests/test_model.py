"""The model test: a state machine drives every verb, as everybody, against plain dictionaries (see `model.py`)."""

from functools import cache
from itertools import product

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.calls import CALLS, NAMESPACES, PEOPLE, pick
from tests.machine import CLASSES, DEEPEST, REACHED, READING, Machine
from tests.postgres import fresh_target

# How many runs of the machine, of run_settings many steps.
USUAL = 11, 80
FIFTH = 2, 88
LONG = 140, 120


# A verb, and its arguments that differ from `PLAIN`; versions are numbered from 0 here.
PLAIN = {"name": (0, "last"), "many": [], "fields": {}, "version": None, "way": "version", "grants": None}
PLAIN |= {"message": None, "live": True, "expected": None, "read": None, "label": "eu", "other": 0, "fresh": "alpha"}
PLAIN |= {"on_conflict": "draft", "release": None}
RARE = [
    ("create", {}),
    ("update", {"fields": {"template": "Two"}}),
    ("publish", {"version": 0}),
    ("update", {"fields": {"template": "Three"}}),
    ("rollback", {"version": 0}),
    ("rollback", {}),
    ("rollback", {"version": 2}),
    ("rollback", {}),
    ("rollback", {}),
    ("rollback", {}),
    ("set_label", {}),
    ("set_label", {}),
    ("draft", {"fields": {"template": "Four"}}),
    ("discard", {}),
    ("draft", {"fields": {"template": "Five"}}),
    ("set_status", {"target": "disabled"}),
    ("archive", {}),
    ("render", {"values": {}}),
    ("restore", {}),
    ("restore", {}),
    ("archive", {}),
    ("set_status", {"target": "deleted"}),
    ("restore", {}),
    ("set_status", {"target": "deleted"}),
    ("create", {}),
]
NEVER_LIVE = [("create", {"live": False}), ("get", {}), ("publish", {"version": 0}), ("get", {})]
HELLO, TWO = {"fields": {"template": "Hello {{ who }}"}}, {"fields": {"template": "Two"}}
LONE = [
    ("create", {"live": False}),
    ("update", {}),
    ("draft", HELLO),
    ("update", HELLO),
    ("publish", {}),
    ("draft", TWO),
    ("edit", {"version": 1, **HELLO}),
    ("draft", HELLO),
    ("edit", {"version": 1, **TWO, "read": 0}),
    ("edit", {"version": 1, **TWO, "read": 1}),
    ("publish", {"read": 0}),
    ("publish", {"read": 1}),
    ("publish", {}),
    ("discard", {}),
    ("draft", HELLO),
    ("rollback", {"expected": 1}),
    ("rollback", {"expected": 2}),
    ("publish", {"version": 1}),
    ("discard", {}),
    ("rollback", {}),
    ("publish", {}),
    ("set_label", {"way": "@"}),
    ("remove_label", {}),
]
DISCARDED_BASES = [
    ("create", {"live": False}),
    ("draft", TWO),
    ("save", {"fields": {"template": "Three"}}),
    ("discard", {}),
    ("discard", {"version": 1}),
    ("discard", {}),
    ("draft", TWO),
]
TOO_LOUD = [
    ("create", {}),
    ("draft", {"fields": {"template": "LOUD {{ who }}"}}),
    ("publish", {}),
    ("history", {}),
    ("edit", {"version": 1, **TWO}),
    ("publish", {}),
]
SEEDED = [
    ("seed", {}),
    ("seed", {}),
    ("seed", TWO),
    ("rollback", {}),
    ("seed", TWO),
    ("seed", HELLO),
    ("seed", TWO),
    ("update", {"fields": {"template": "Three"}}),
    ("seed", HELLO),
    ("seed", {"fields": {"template": "Four", "tags": ["fun"]}}),
    ("seed", {**TWO, "on_conflict": "error"}),
    ("seed", {**TWO, "release": 2}),
    ("seed", {**HELLO, "release": 1}),
    ("edit", {"version": 3, "message": "Mine"}),
    ("seed", HELLO),
    ("archive", {}),
    ("seed", TWO),
    ("restore", {}),
    ("seed", {**TWO, "on_conflict": "publish"}),
    ("seed", {"fields": {"template": "LOUD {{ who }}"}}),
    ("set_status", {"target": "disabled"}),
    ("seed", HELLO),
    ("update", {"fields": {"template": "Three"}}),
    ("draft", TWO),
    ("seed", TWO),
    ("set_status", {"target": "deleted"}),
    ("create", {"live": False}),
    ("seed", {"fields": {}}),
]
SEVERAL = [
    ("create", {}),
    ("update", TWO),
    ("rollback many", {"many": [(0, "last")]}),
    ("diff", {"other": 1}),
    ("diff", {"other": 7}),
]
PATHS = (RARE, NEVER_LIVE, LONE, DISCARDED_BASES, TOO_LOUD, SEEDED, SEVERAL)


def walk(path, kind=Machine):
    """Make the calls of one path as the application, alternating between the two registries.

    After each call a third of the actors compare all that they may read, each third in its turn.
    """
    machine, people = kind(), [*product(PEOPLE, NAMESPACES)]
    try:
        for step, (verb, arguments) in enumerate(path):
            machine.ask(verb, ("application", "a"), {**pick(0)[1], **PLAIN, **arguments})
            machine.agree_for(people[step % 3 :: 3])
            machine.writer = 1 - machine.writer
    finally:
        machine.teardown()


@cache
def run_machine(examples, steps):
    """Run the machine; return how often each verb had each outcome, and the most versions and publications."""
    REACHED.clear()
    DEEPEST.clear()
    run_examples(Machine, examples, steps)
    for path in PATHS:
        walk(path)
    return dict(REACHED), dict(DEEPEST)


def run_examples(kind, examples, steps):
    run_settings = settings(
        max_examples=examples,
        stateful_step_count=steps,
        derandomize=True,
        database=None,
        phases=[Phase.generate],  # shrinking a long run takes minutes; its steps are printed in full
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(kind, settings=run_settings)


def machine_on(url):
    """Return the machine of registries on a PostgreSQL server."""

    class MachineOnPostgres(Machine):
        @staticmethod
        def new_place():
            return fresh_target(url)

    return MachineOnPostgres


@pytest.mark.slow
def test_every_verb_agrees_with_the_model():
    """For any calls, by any actors, in any order, the registry returns or refuses as the model of the rules does."""
    run_machine(*USUAL)


@pytest.mark.slow
@pytest.mark.parametrize("verb", CALLS)
def test_every_verb_succeeds_and_is_refused_in_the_run(verb):
    """Each verb succeeded and was refused, because otherwise the run would show nothing about it."""
    reached, _ = run_machine(*USUAL)
    endings = {ending for called, ending in reached if called == verb}
    assert "changed" in endings or verb in [*READING, "dry run"]
    assert endings & {"changed", "same"}
    assert endings - {"changed", "same"}


@pytest.mark.slow
def test_the_run_reaches_every_refusal_and_deep_prompts():
    """Every error of a call on an undamaged file occurred, and prompts had many versions and publications."""
    reached, deepest = run_machine(*USUAL)
    assert {ending for _, ending in reached} - {"changed", "same"} == set(CLASSES)
    assert ("publish", "publish_check_failed") in reached
    assert deepest["versions"] >= 6
    assert deepest["publications"] >= 4


@pytest.mark.slow
def test_rare_paths_agree_with_the_model():
    """Two rollbacks, archiving while disabled, a discarded number, a reused name and a failed check agree too."""
    for path in PATHS:
        walk(path)


@pytest.mark.postgres
def test_every_verb_agrees_with_the_model_on_postgresql(postgres_url):
    """The usual run holds for a fifth as many sequences."""
    run_examples(machine_on(postgres_url), *FIFTH)


@pytest.mark.postgres
@pytest.mark.parametrize("path", range(len(PATHS)))
def test_rare_paths_agree_with_the_model_on_postgresql(postgres_url, path):
    """The rare paths hold there too."""
    walk(PATHS[path], machine_on(postgres_url))


@pytest.mark.stress
def test_every_verb_agrees_with_the_model_for_long():
    """The usual run holds for about twenty times as many and longer sequences."""
    run_machine(*LONG)
