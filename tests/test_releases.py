"""Rule 22 with releases of an application: one after the other and beside each other, with a number or without."""

from functools import partial

import pytest

from promptreg import UNSET, InvalidInputError
from tests.seeds import live, only_the_seed_moves, versions

# Releases


def test_rule_22_an_earlier_release_does_nothing(registry, unchanged):
    """Of whatever type the numbers are; the same or a later one seeds."""
    registry.seed("x", "one", release=1)
    registry.seed("x", "two", release=2)
    for earlier in (1, 1.5, 1.999, 0, -1):
        for how in ("draft", "publish", "error"):
            with unchanged():
                assert registry.seed("x", "one", release=earlier, on_conflict=how).version == 2
    assert registry.seed("x", "one", release=2).version == 1
    assert registry.seed("x", "two", release=2.5).version == 2
    with unchanged():
        registry.seed("x", "one", release=2)
    assert registry.seed("x", "one", release=10**29).version == 1


def test_rule_22_an_earlier_release_is_logged_once_a_call_as_information(registry, caplog):
    """The record names both releases; a release that is not earlier, or has no number, logs nothing."""
    caplog.set_level("INFO", "promptreg")
    for text, release in (("one", 41), ("two", 42), ("two", 42), ("two", None), ("three", 43)):
        registry.seed("x", text, release=release)
    assert caplog.records == []
    for text, release in (("one", 41), ("three", 42.5)):
        registry.seed("x", text, release=release, on_conflict="error")
    assert [(record.name, record.levelname, record.getMessage()) for record in caplog.records] == [
        ("promptreg", "INFO", "'x' was last seeded by release 43, so release 41 changes nothing."),
        ("promptreg", "INFO", "'x' was last seeded by release 43, so release 42.5 changes nothing."),
    ]


@pytest.mark.parametrize("first", [None, 1], ids=["no release", "a lower one"])
def test_rule_22_the_same_of_a_higher_release_is_only_remembered(registry, unchanged, first):
    """So an old worker of a release in between, with other content, does nothing; nothing else is remembered anew."""
    registry.seed("x", "one", release=first)
    with only_the_seed_moves(registry):
        assert registry.seed("x", "one", release=3, on_conflict="error").version == 1
    for text, release in (("one", 3), ("one", 3.0), ("one", None), ("one", 2), ("two", 2), ("two", 2.9)):
        with unchanged():
            assert registry.seed("x", text, release=release).version == 1
    assert registry.seed("x", "two", release=3).version == 2


def test_rule_22_the_same_of_a_higher_release_keeps_what_people_did(registry, unchanged, caplog):
    """What is live stays, without a check or a warning, and the draft that a seed made is still the seed's."""
    registry.seed("x", "one", release=1)
    registry.update("x", template="people's")
    registry.seed("x", "two", release=2)
    with only_the_seed_moves(registry):
        assert registry.seed("x", "two", release=3).template == "people's"
    assert len(caplog.records) == 1
    registry.archive("x")
    with unchanged():
        registry.seed("x", "two", release=4)
    registry.restore("x")
    registry.seed("x", "three", release=3)
    assert versions(registry)[1:] == [(2, "published", "people's"), (3, "draft", "three")]


def test_rule_22_a_seed_without_a_release_is_the_last_one(registry):
    """It is never earlier, and after it any release seeds."""
    registry.seed("x", "two", release=2)
    assert registry.seed("x", "one").version == 2
    assert registry.seed("x", "two", release=1).version == 1


def test_rule_22_a_release_is_a_number(registry, unchanged):
    """Anything else, and a number of more than 30 digits, is invalid input."""
    registry.seed("x", "one", release=1)
    for release in (True, False, "2", float("nan"), float("-inf"), 10**30, -(10**5000), (1, 2), b"2", 1j, UNSET):
        with unchanged(), pytest.raises(InvalidInputError) as caught:
            registry.seed("x", "two", release=release)
        assert [error["field"] for error in caught.value.details["errors"]] == ["release"]


def test_rule_22_all_bad_arguments_are_told_at_once(registry, unchanged):
    """Those that `save` takes too, and the nearest choice."""
    with unchanged(), pytest.raises(InvalidInputError) as caught:
        registry.seed("x@1", 3, title=" ", on_conflict="drafts", release=True)
    reasons = {error["field"]: error["reason"] for error in caught.value.details["errors"]}
    assert set(reasons) == {"name", "template", "title", "on_conflict", "release"}
    assert reasons["on_conflict"] == "must be one of draft, publish, error; did you mean 'draft'?"


# Releases, one after the other and beside each other


def test_two_releases_that_seed_in_turns_beside_each_other(registry):
    """The last to seed wins, and they make two versions, however often they take turns."""
    for _ in range(3):
        assert registry.seed("x", "old").version == 1
        assert registry.seed("x", "new").version == 2
    assert live(registry) == (2, "new")
    assert [number for number, *_ in versions(registry)] == [1, 2]


def test_two_releases_in_turns_beside_what_people_made_share_one_draft(registry):
    """What people made stays live, and one draft has what was last seeded."""
    registry.seed("x", "old")
    registry.update("x", template="people's")
    for text in ("new", "old", "new", "old"):
        assert registry.seed("x", text).version == 2
    assert versions(registry)[2:] == [(3, "draft", "old")]


def test_a_restart_after_a_rollback(registry, unchanged):
    """It undoes no rollback."""
    registry.seed("x", "one")
    registry.seed("x", "two")
    registry.rollback("x", reason="Worse")
    with unchanged():
        registry.seed("x", "two")
    assert live(registry) == (1, "one")


def test_a_hot_fix_before_a_deploy(registry):
    """The release that has it finds it live; the one after that goes live at once."""
    registry.seed("x", "one")
    registry.update("x", template="fixed")
    assert registry.seed("x", "fixed").version == 2
    assert registry.seed("x", "fixed, and more").version == 3
    assert [number for number, *_ in versions(registry)] == [1, 2, 3]


def test_a_deploy_that_does_not_have_the_hot_fix(registry):
    """The fix stays live, and what was deployed is a draft."""
    registry.seed("x", "one")
    registry.update("x", template="fixed")
    registry.seed("x", "two")
    assert live(registry) == (2, "fixed")
    assert versions(registry)[2] == (3, "draft", "two")


def test_git_reverted_to_what_was_seeded_two_releases_ago(registry):
    """That version is live again, and no fourth one is made."""
    for text in ("one", "two", "three"):
        registry.seed("x", text)
    registry.seed("x", "one")
    assert live(registry) == (1, "one")
    assert len(versions(registry)) == 3


def test_git_reverted_after_people_rolled_back(registry):
    """They agree, so it is only remembered; and the next release goes live."""
    registry.seed("x", "one")
    registry.seed("x", "two")
    registry.rollback("x", reason="Worse")
    with only_the_seed_moves(registry):
        registry.seed("x", "one")
    assert registry.seed("x", "three").version == 3


def test_old_workers_recycled_beside_new_ones(registry):
    """Each new process brings back its own."""
    old, new = partial(registry.seed, "x", "old"), partial(registry.seed, "x", "new")
    for seed in (old, new, old):
        seed()
    assert live(registry) == (1, "old")
    new()
    assert live(registry) == (2, "new")


def test_old_workers_recycled_beside_new_ones_with_a_release(registry, unchanged):
    """The old ones change nothing, also after people have rolled back, or the new one has become a draft."""
    old, new = partial(registry.seed, "x", "old", release=1), partial(registry.seed, "x", "new", release=2)
    old()
    new()
    with unchanged():
        assert old().template == new().template == "new"
    registry.rollback("x", reason="Worse")
    with unchanged():
        assert old().template == new().template == "old"
    registry.update("x", template="people's")
    registry.seed("x", "newest", release=3)
    with unchanged():
        assert old().template == new().template == "people's"


def test_old_workers_without_a_release_beside_new_ones_with_one(registry):
    """The release that introduces the number wins only until an old worker is recycled, and again after that."""
    registry.seed("x", "old")
    for text, release, version in (("new", 1, 2), ("old", None, 1), ("new", 1, 2)):
        assert registry.seed("x", text, release=release).version == version
