"""The model test: a state machine drives every verb, as everybody, against plain dictionaries (see `model.py`)."""

from functools import cache

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis.stateful import run_state_machine_as_test

from tests.calls import CALLS, pick
from tests.machine import CLASSES, DEEPEST, REACHED, READING, Machine

# How many runs of the machine, of how many steps.
USUAL = 11, 80
LONG = 140, 120


# A verb, and what it is given beside `PLAIN`; a version counts from 0 here.
PLAIN = {"name": (0, "last"), "many": [], "given": {}, "version": None, "way": "version", "grants": None}
PLAIN |= {"message": None, "live": True, "expected": None, "read": None, "label": "eu", "other": 0, "fresh": "alpha"}
SELDOM = [
    ("create", {}),
    ("update", {"given": {"template": "Two"}}),
    ("publish", {"version": 0}),
    ("update", {"given": {"template": "Three"}}),
    ("rollback", {"version": 0}),
    ("rollback", {}),
    ("rollback", {"version": 2}),
    ("rollback", {}),
    ("rollback", {}),
    ("rollback", {}),
    ("set_label", {}),
    ("set_label", {}),
    ("draft", {"given": {"template": "Four"}}),
    ("discard", {}),
    ("draft", {"given": {"template": "Five"}}),
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
HELLO, TWO = {"given": {"template": "Hello {{ who }}"}}, {"given": {"template": "Two"}}
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
BASES_GONE = [
    ("create", {"live": False}),
    ("draft", TWO),
    ("save", {"given": {"template": "Three"}}),
    ("discard", {}),
    ("discard", {"version": 1}),
    ("discard", {}),
    ("draft", TWO),
]
TOO_LOUD = [
    ("create", {}),
    ("draft", {"given": {"template": "LOUD {{ who }}"}}),
    ("publish", {}),
    ("history", {}),
    ("edit", {"version": 1, **TWO}),
    ("publish", {}),
]
PATHS = (SELDOM, NEVER_LIVE, LONE, BASES_GONE, TOO_LOUD)


def walk(path):
    """Take one path as the application, writing by the two registries in turn."""
    machine = Machine()
    try:
        for verb, given in path:
            machine.ask(verb, ("application", "a"), {**pick(0)[1], **PLAIN, **given})
            machine.agree()
            machine.writer = 1 - machine.writer
    finally:
        machine.teardown()


@cache
def explored(examples, steps):
    """Run the machine, and give what it reached: how often each verb ended how, and how deep prompts became."""
    REACHED.clear()
    DEEPEST.clear()
    how = settings(
        max_examples=examples,
        stateful_step_count=steps,
        derandomize=True,
        database=None,
        deadline=None,
        phases=[Phase.generate],  # shrinking a long run takes minutes; its steps are printed in full
        suppress_health_check=list(HealthCheck),
    )
    run_state_machine_as_test(Machine, settings=how)
    for path in PATHS:
        walk(path)
    return dict(REACHED), dict(DEEPEST)


def test_every_verb_agrees_with_the_model():
    """Whatever is called, by whomever, in whatever order: the registry answers, or refuses, as DESIGN.md says."""
    explored(*USUAL)


@pytest.mark.parametrize("verb", CALLS)
def test_the_run_covers_every_verb_done_and_refused(verb):
    """A run that never did a thing, or was never refused it, shows nothing about it."""
    reached, _ = explored(*USUAL)
    endings = {ending for called, ending in reached if called == verb}
    assert "changed" in endings or verb in [*READING, "dry run"]
    assert endings & {"changed", "same"}
    assert endings - {"changed", "same"}


def test_the_run_reaches_every_refusal_and_deep_prompts():
    """Each error that a call on a healthy file can end in came up, and prompts grew versions and publications."""
    reached, deepest = explored(*USUAL)
    assert {ending for _, ending in reached} - {"changed", "same"} == set(CLASSES)
    assert ("publish", "publish_check_failed") in reached
    assert deepest["versions"] >= 6
    assert deepest["publications"] >= 4


def test_paths_that_chance_seldom_takes_agree_with_the_model():
    """Rolled back twice, archived while disabled, a discarded number, a name used again, a failed check."""
    for path in PATHS:
        walk(path)


@pytest.mark.stress
def test_every_verb_agrees_with_the_model_for_long():
    """The same as the usual run, about twenty times as long and deeper."""
    explored(*LONG)
