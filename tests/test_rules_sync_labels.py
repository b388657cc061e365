"""Synchronising files with what a label names: a change makes a draft and moves the label, and nothing goes live."""

from functools import partial

import pytest

from promptreg import ConflictError, InvalidInputError, Registry
from promptreg.rules.lifecycle import MAX_LABELS
from tests import syncs
from tests.conftest import Ticking
from tests.syncs import nothing_written, recorded

done, only, sync = (partial(function, label="eu") for function in (syncs.done, syncs.only, syncs.sync))


@pytest.fixture
def registry():
    """A registry in memory, which takes less time than a file."""
    with Registry(":memory:", clock=Ticking()) as opened:
        yield opened


def shown(registry: Registry, name: str = "a") -> tuple[int, str, str]:
    """Return the number, the state and the template of what the label names."""
    prompt = registry.get(name, label="eu")
    return prompt.version, prompt.state, prompt.template


def test_a_new_file_is_a_draft_that_the_label_names(registry):
    """Nothing is live."""
    assert only(registry, {"a": "one"}, message="Add")[:2] == ("a", "create")
    assert shown(registry) == (1, "draft", "one")
    assert registry.get("a@1").commit_message == "Add"
    assert (registry.get("a@1").production_version, recorded(registry)) == (None, ["create", "set_label"])
    with nothing_written(registry):
        assert only(registry, {"a": "one"}).action == "none"


def test_a_file_of_a_prompt_without_the_label_sets_it(registry):
    """A draft is made of it, and what is live stays."""
    registry.create("a", "live")
    item = only(registry, {"a": "one"})
    assert (item.action, item.version, item.reason) == ("create", 2, "nothing is labelled 'eu' yet")
    assert shown(registry) == (2, "draft", "one")
    assert registry.get("a").template == "live"


@pytest.mark.parametrize("text", ["live", "older", "drafted"])
def test_a_file_that_equals_a_version_is_not_copied(registry, text):
    """The label moves to that version: what is live, an older one, or a draft."""
    registry.create("a", "older")
    registry.update("a", template="live")
    registry.update("a", template="drafted", is_production=False)
    only(registry, {"a": text})
    assert shown(registry)[2] == text
    assert len(registry.history("a")) == 3


def test_a_change_makes_a_draft_and_moves_the_label(registry):
    """A change back moves it back."""
    for text, number in (("one", 1), ("two", 2), ("one", 1)):
        only(registry, {"a": text})
        assert shown(registry) == (number, "draft", text)
    assert recorded(registry) == ["create", "set_label", "update", "set_label", "set_label"]


def test_what_the_label_names_and_what_is_live_are_synchronised_apart(registry):
    """Each has its own base."""
    sync(registry, {"a": "one"})
    syncs.sync(registry, {"a": "two"})
    assert (shown(registry)[2], registry.get("a").template) == ("one", "two")
    assert only(registry, {"a": "three"}).action == "update"
    assert syncs.only(registry, {"a": "two"}).action == "none"


def test_a_label_that_people_moved_is_ahead(registry):
    """With a changed file it is a conflict, which can be decided."""
    sync(registry, {"a": "one"})
    registry.create("b", "x")
    registry.update("a", template="people's", is_production=False)
    registry.set_label("a@2", "eu")
    item = only(registry, {"a": "one"})
    assert (item.action, item.version) == ("ahead", 2)
    assert item.reason == "the registry is ahead: version 2 is labelled 'eu', and pull=True writes it to the file"
    assert only(registry, {"a": "two"}).action == "conflict"
    assert only(registry, {"a": "two"}, on_conflict="draft").action == "draft"
    assert (shown(registry)[2], registry.get("a@latest").template) == ("people's", "two")
    assert only(registry, {"a": "two"}).action == "ahead"
    assert only(registry, {"a": "two"}, on_conflict="ours").action == "update"
    assert (shown(registry), len(registry.history("a"))) == ((3, "draft", "two"), 3)


@pytest.mark.parametrize("publishes", [False, True])
def test_a_labelled_draft_that_people_edited_in_place_is_ahead(registry, publishes):
    """It has the number that was synchronised, and not its content."""
    sync(registry, {"a": "one"})
    registry.update("a@1", template="edited")
    if publishes:
        registry.publish("a")
    assert only(registry, {"a": "one"}).action == "ahead"
    item = only(registry, {"a": "two"})
    assert (item.action, item.base) == ("conflict", None)


def test_a_file_that_has_gone_removes_the_label(registry):
    """The prompt stays, and the next run does nothing; with the file back the label is set again."""
    sync(registry, {"a": "one", "b": "two"})
    item = sync(registry, {"b": "two"}).items[0]
    assert (item.action, item.version) == ("remove_label", None)
    assert (registry.get("a@1").status, registry.get("a@1").labels) == ("active", {"latest": 1})
    with nothing_written(registry):
        assert done(registry, {"b": "two"}) == {"b": "none"}
    item = sync(registry, {"a": "one", "b": "two"}).items[0]
    assert (item.action, item.version, shown(registry)) == ("restore", 1, (1, "draft", "one"))


def test_a_file_that_has_gone_while_people_moved_the_label_is_a_conflict(registry):
    """Ours removes the label."""
    sync(registry, {"a": "one", "b": "two"})
    registry.update("a@1", template="edited")
    assert done(registry, {"b": "two"})["a"] == "conflict"
    assert done(registry, {"b": "two"}, on_conflict="theirs")["a"] == "pull"
    assert done(registry, {"b": "two"}, on_conflict="ours")["a"] == "remove_label"
    assert "eu" not in registry.get("a@1").labels


def test_a_label_that_people_removed_is_left_and_told(registry):
    """Until ours; and without its file it is no item."""
    sync(registry, {"a": "one", "b": "two"})
    registry.remove_label("a", "eu")
    for text in ("one", "three"):
        item = sync(registry, {"a": text, "b": "two"}).items[0]
        assert item.action == "left"
        assert item.reason == "its label 'eu' was removed in the registry; on_conflict='ours' sets it again"
    assert done(registry, {"b": "two"}) == {"b": "none"}
    assert done(registry, {"a": "three", "b": "two"}, on_conflict="ours")["a"] == "restore"
    assert shown(registry)[2] == "three"


def test_a_label_that_people_set_again_is_not_removed_again(registry):
    """The file has gone, and they want it: left and told, until ours."""
    sync(registry, {"a": "one", "b": "two"})
    sync(registry, {"b": "two"})
    registry.set_label("a@1", "eu")
    item = sync(registry, {"b": "two"}).items[0]
    assert item[:3] == (
        "a",
        "left",
        "its file has gone, and it was labelled again in the registry; on_conflict='ours' is the file",
    )
    assert done(registry, {"b": "two"}, on_conflict="ours")["a"] == "remove_label"


def test_an_archived_prompt_is_left_with_its_label(registry):
    """Nothing of it can be changed; neither with its file nor without."""
    sync(registry, {"a": "one", "b": "two"})
    registry.archive("a")
    with nothing_written(registry):
        assert done(registry, {"a": "three", "b": "two"}, on_conflict="ours")["a"] == "left"
        assert done(registry, {"b": "two"}) == {"b": "none"}


def test_a_prompt_that_a_synchronisation_archived_is_told_as_such(registry):
    """With a label it is not restored, nor by another folder; what helps is said."""
    for label in (None, "eu"):
        syncs.sync(registry, {"a": "one", "b": "two"}, label=label)
    syncs.sync(registry, {"b": "two"})
    reasons = [
        syncs.sync(registry, {"a": "one", "b": "two"}, dry_run=True, **options).items[0].reason
        for options in ({"label": "eu"}, {"source": "beef"}, {})
    ]
    assert reasons == [
        "it was archived because its file had gone; synchronise without a label first",
        "it was archived by a synchronisation of another folder; restore() it first",
        "its file is back",
    ]


@pytest.mark.parametrize("label", ["production", "latest", "1", "a b"])
def test_a_label_that_the_registry_keeps_or_that_is_malformed_is_refused(registry, label):
    """It is that of `set_label`."""
    with pytest.raises(InvalidInputError, match="label"):
        syncs.sync(registry, {"a": "one"}, label=label)


def test_prompts_with_too_many_labels_are_all_named(registry):
    """Nothing is written."""
    for name in ("a", "b"):
        registry.create(name, "live")
        registry.set_label(f"{name}@1", "first")
    registry.create("c", "live")
    with nothing_written(registry), pytest.MonkeyPatch.context() as patch:
        patch.setattr("promptreg.rules.lifecycle.MAX_LABELS", 1)
        with pytest.raises(ConflictError) as raised:
            sync(registry, {"a": "one", "b": "two", "c": "three"})
    assert raised.value.details["names"] == ["a", "b"]
    assert MAX_LABELS == 1_000
