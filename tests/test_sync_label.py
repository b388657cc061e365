"""`sync` with a label: the table again, for what the label names, which no change of what is live concerns."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from promptreg import ConflictError, InvalidInputError, Registry
from tests.folders import Folder

Unchanged = Callable[[], AbstractContextManager[None]]


@pytest.fixture
def folder(tmp_path: Path, registry: Registry) -> Folder:
    """A folder that is synchronised with the label `staging`."""
    made = Folder(tmp_path / "prompts", registry, label="staging")
    made.write("greet", "Hello")
    made.write("other", "Other")
    return made


@pytest.fixture
def synced(folder: Folder) -> Folder:
    """The same, synchronised, and `greet` is live as well."""
    folder.sync()
    folder.registry.publish("greet")
    return folder


def test_a_file_without_a_prompt_creates_a_draft_that_the_label_names(folder: Folder, unchanged: Unchanged) -> None:
    """Nothing goes live."""
    assert folder.sync() == {"greet": "create", "other": "create"}
    prompt = folder.registry.get("greet@staging")
    assert (prompt.version, prompt.state, prompt.production_version) == (1, "draft", None)
    with unchanged():
        assert folder.sync() == {}


def test_a_prompt_without_the_label_gets_it(folder: Folder) -> None:
    """An equal version gets the label; another content is a draft of its own."""
    folder.registry.create("greet", "Hello")
    folder.registry.create("other", "Another")
    assert folder.sync() == {"greet": "create", "other": "create"}
    assert folder.registry.get("greet").labels["staging"] == 1
    other = folder.registry.get("other")
    assert (other.version, other.template, other.labels["staging"]) == (1, "Another", 2)


def test_a_changed_file_makes_a_draft_and_moves_the_label(synced: Folder, unchanged: Unchanged) -> None:
    """What is live stays."""
    synced.write("greet", "Hi")
    assert synced.sync() == {"greet": "update"}
    assert synced.registry.get("greet").template == "Hello"
    staged = synced.registry.get("greet@staging")
    assert (staged.version, staged.template, staged.state) == (2, "Hi", "draft")
    with unchanged():
        assert synced.sync() == {}


def test_a_label_that_was_moved_is_ahead(synced: Folder, unchanged: Unchanged) -> None:
    """`pull` writes the file."""
    synced.registry.update("greet", template="Hi", is_production=False)
    synced.registry.set_label("greet", "staging", 2)
    with unchanged():
        assert synced.sync() == {"greet": "ahead"}
    assert synced.sync(pull=True) == {"greet": "pull"}
    assert synced.body("greet") == "Hi"
    with unchanged():
        assert synced.sync() == {}


def test_what_is_live_is_another_thing(synced: Folder, unchanged: Unchanged) -> None:
    """A new live version is neither ahead nor a conflict for the label; the file keeps a base for each."""
    assert synced.sync(label=None) == {"other": "create"}
    synced.registry.update("greet", template="Live")
    with unchanged():
        assert synced.sync() == {}
    synced.write("greet", "Hi")
    assert synced.sync() == {"greet": "update"}
    with pytest.raises(ConflictError):
        synced.sync(label=None)


@pytest.mark.parametrize(("choice", "labelled"), [("ours", "File"), ("theirs", "Registry"), ("draft", "Registry")])
def test_a_conflict_is_decided_for_the_label(synced: Folder, unchanged: Unchanged, choice: str, labelled: str) -> None:
    """What is live stays whatever is chosen."""
    synced.write("greet", "File")
    synced.registry.update("greet", template="Registry", is_production=False)
    synced.registry.set_label("greet", "staging", 2)
    with unchanged(), pytest.raises(ConflictError, match=r"greet\.md:3"):
        synced.sync()
    synced.sync(on_conflict=choice)
    assert synced.registry.get("greet@staging").template == labelled
    assert synced.registry.get("greet").template == "Hello"
    with unchanged():
        synced.sync(on_conflict=choice)


def test_a_file_that_has_gone_removes_the_label(synced: Folder, unchanged: Unchanged) -> None:
    """The prompt stays as it is; with the file the label comes back."""
    synced.remove("greet")
    assert synced.sync() == {"greet": "remove_label"}
    prompt = synced.registry.get("greet")
    assert (prompt.status, "staging" in prompt.labels) == ("active", False)
    with unchanged():
        assert synced.sync() == {}
    synced.write("greet", "Hello")
    assert synced.sync() == {"greet": "restore"}
    assert synced.registry.get("greet").labels["staging"] == 1
    with unchanged():
        assert synced.sync() == {}


def test_a_file_that_has_gone_while_the_label_moved_is_a_conflict(synced: Folder, unchanged: Unchanged) -> None:
    """`ours` removes the label, and `theirs` writes the file."""
    synced.remove("greet")
    synced.registry.update("greet", template="Hi", is_production=False)
    synced.registry.set_label("greet", "staging", 2)
    with unchanged(), pytest.raises(ConflictError):
        synced.sync()
    assert synced.sync(on_conflict="theirs") == {"greet": "pull"}
    assert synced.body("greet") == "Hi"
    synced.remove("greet")
    synced.registry.set_label("greet", "staging", 1)
    assert synced.sync(on_conflict="ours") == {"greet": "remove_label"}


def test_a_label_that_people_removed_is_left_until_ours(synced: Folder, unchanged: Unchanged) -> None:
    """It was done in the registry, and is told."""
    synced.registry.remove_label("greet", "staging")
    with unchanged():
        assert synced.sync() == {"greet": "left"}
    synced.sync(on_conflict="ours")
    assert synced.registry.get("greet").labels["staging"] == 1


@pytest.mark.parametrize("label", ["production", "latest", "1", "a b", "", 3])
def test_a_label_that_none_can_have_is_refused(folder: Folder, unchanged: Unchanged, label: object) -> None:
    """Nothing is written, and no `promptreg.lock` is made."""
    before = folder.state()
    with unchanged(), pytest.raises(InvalidInputError, match="label"):
        folder.sync(label=label)
    assert folder.state() == before
