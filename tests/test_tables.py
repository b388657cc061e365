"""The tables of the tests have every verb of `Registry` and every action: a new one fails here until it has rows."""

import inspect
import re
from collections.abc import Iterable
from typing import get_args

import pytest

from promptreg import Registry, Role
from promptreg.models import Action, Status, TargetStatus
from promptreg.rules import access, statuses
from tests import (
    calls,
    otel,
    test_bad_input,
    test_replaced_file,
    test_rules_names,
    test_rules_people,
    test_telemetry_content,
)
from tests.verbs import METHODS, VERBS, verb_of

NAMELESS = {"list", "iterate", "search", "namespaces", "verify", "head", "backup", "wait_for"}

# What each table covers, and the verbs that need no row in it, each with the reason.
TABLES: dict[str, tuple[Iterable[str], dict[str, str]]] = {
    "who may do it, in test_rules_people.VERBS and LISTINGS": (
        [verb_of(row.call, "a") for row in test_rules_people.VERBS.values()]
        + [verb_of(call) for call in test_rules_people.LISTINGS.values()],
        {
            "verify": "is about no prompt: test_verify.py has who may",
            "head": "is about no prompt: test_head.py has who may",
            "backup": "is about no prompt: test_backup.py has who may",
            "wait_for": "is about no prompt, and anybody may",
        },
    ),
    "its span, in otel.VERBS": ([verb_of(call) for _, call in otel.VERBS], {}),
    "a refusal, in otel.REFUSALS": (
        [verb_of(call) for _, call, _ in otel.REFUSALS],
        {"namespaces": "answers everybody, and takes no argument"},
    ),
    "no content in what it records, in test_telemetry_content.CALLS": (
        [verb_of(call) for call in test_telemetry_content.CALLS.values()],
        {},
    ),
    "bad arguments, in test_bad_input.VERBS": (
        [title.split()[0] for title in test_bad_input.VERBS],
        {
            **dict.fromkeys(
                ["enable", "disable", "archive", "restore", "delete"],
                "takes a name alone: test_rules_names.NAMING has bad names",
            ),
            "namespaces": "takes no argument",
            "verify": "takes a hash and a function: test_head.py and test_verify.py have what is none",
            "head": "takes no argument",
            "backup": "takes a path and a function: test_backup.py has what is none",
        },
    ),
    "bad names, in test_rules_names.NAMING": (
        test_rules_names.NAMING,
        {
            **dict.fromkeys(
                ["save", "seed", "rollback", "set_status", "events", "get_many", "report"],
                "takes names in another way: written out there",
            ),
            "create": "makes a name: test_rule_19_malformed_names_are_refused",
            **dict.fromkeys(NAMELESS, "takes no name"),
        },
    ),
    "a file that was replaced, in test_replaced_file.UNCACHED and WRITES": (
        [verb_of(call) for call in (test_replaced_file.UNCACHED | test_replaced_file.WRITES).values()],
        {"wait_for": "waits for the file to come back: test_waiting.py"},
    ),
    "the model, in calls.CALLS": (
        VERBS.intersection(calls.CALLS),
        {
            **dict.fromkeys(["verify", "head", "backup"], "is about stored bytes, which the model has none of"),
            "wait_for": "is about several registries, of which the model has one",
            "report": "shows what history, diff and events return: test_report.py",
        },
    ),
}


@pytest.mark.parametrize("title", TABLES)
def test_every_verb_has_its_rows(title: str) -> None:
    """Every verb has rows in each table, or else a reason why it needs none."""
    covered, exempt = TABLES[title]
    assert VERBS - set(covered) == exempt.keys()


def test_every_verb_with_a_name_is_in_the_table_of_names() -> None:
    """The reasons above are only for verbs whose signatures have no name."""
    named = {verb for verb in VERBS if {"name", "names"} & inspect.signature(METHODS[verb]).parameters.keys()}
    assert VERBS - named == NAMELESS


def test_every_action_is_recorded_by_a_verb_of_the_table_of_rights() -> None:
    """The exception is a failed check, which no caller requests, and which is tested in test_rules_drafts.py."""
    made = {action for row in test_rules_people.VERBS.values() for action in row.events}
    assert set(get_args(Action)) - made == {"check_failed"}


def test_the_rules_have_no_other_action() -> None:
    """Every permission is an action, except `read`, which has no event; each status is set by an action."""
    assert access.ALLOWED.keys() - {"read"} <= set(get_args(Action))
    assert set(statuses.ACTIONS.values()) <= access.ALLOWED.keys()


def test_states_statuses_and_roles_are_declared_once() -> None:
    """The targets of `set_status` are the statuses and `deleted`, and the columns of rule 17 are the roles."""
    assert get_args(TargetStatus) == (*get_args(Status), "deleted")
    assert {target for target, _ in statuses.ACTIONS} == set(get_args(TargetStatus))
    assert {status for _, status in statuses.ACTIONS} == set(get_args(Status))
    roles = [person.role for people in test_rules_people.PEOPLE.values() for person in people.values() if person]
    assert set(roles) == {None, *Role}
    assert set(test_rules_people.ALL) == set(get_args(Status))
    assert set(calls.STATUSES[-1]) == set(get_args(Status))


@pytest.mark.parametrize("name", sorted(METHODS.keys() - {name for name in METHODS if name.startswith("_")}))
def test_the_documentation_of_each_method_names_its_arguments_and_has_an_example(name: str) -> None:
    """`help()` is enough to use a method; `save`, `seed` and `update` refer to `create` for a version's fields."""
    documentation = inspect.getdoc(METHODS[name]) or ""
    arguments = set(inspect.signature(METHODS[name]).parameters) - {"self", "name", "more"}
    if name in {"save", "seed", "update"}:
        assert "`create`" in documentation
        arguments -= set(inspect.signature(Registry.create).parameters)
    assert [argument for argument in sorted(arguments) if not re.search(rf"\b{argument}\b", documentation)] == []
    assert ">>> " in documentation
