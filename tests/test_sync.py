"""`sync` of a folder: every line of its table, for what is live, through real files."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from promptreg import Actor, ConflictError, InvalidInputError, NotFoundError, Registry, Role
from promptreg.files import sync
from tests.folders import Folder, actions, filled

Unchanged = Callable[[], AbstractContextManager[None]]


@pytest.fixture
def folder(tmp_path: Path, registry: Registry) -> Folder:
    """A folder with two prompts, `greet` and `support/reply`, of which nothing is in the registry."""
    return filled(tmp_path / "prompts", registry)


@pytest.fixture
def synced(folder: Folder) -> Folder:
    """The same, synchronised."""
    folder.sync()
    return folder


# The table


def test_a_file_without_a_prompt_creates_it(folder: Folder) -> None:
    """It is live with version 1; the name is the path, and the actor is author and owner."""
    folder.registry = folder.registry.scope(actor=Actor("ana", Role.TEAM_EDITOR))
    assert folder.sync() == {"greet": "create", "support/reply": "create"}
    prompt = folder.registry.get("support/reply")
    assert (prompt.template, prompt.tags, prompt.title) == ("Reply to {{ question }}", ["support"], "support/reply")
    assert (prompt.version, prompt.production_version, prompt.state) == (1, 1, "published")
    assert (prompt.author, prompt.created_by, prompt.commit_message) == ("ana", "ana", "sync")


def test_a_second_run_does_nothing(synced: Folder, unchanged: Unchanged) -> None:
    """It writes no event, no revision, no row and no file."""
    before = synced.state()
    with unchanged():
        assert synced.sync() == {}
    assert synced.state() == before


def test_an_equal_file_is_taken_over(folder: Folder) -> None:
    """No version or event comes of it, and a later change of the file is an update and no conflict."""
    created = folder.registry.create("greet", "Hello {{ name }}")
    assert folder.sync() == {"support/reply": "create"}
    assert folder.registry.get("greet") == created
    assert [event.action for event in folder.registry.events("greet")] == ["create", "publish"]
    folder.write("greet", "Hi {{ name }}")
    assert folder.sync() == {"greet": "update"}


def test_the_same_change_on_both_sides_is_none(synced: Folder, unchanged: Unchanged) -> None:
    """What was last synchronised moves, so that the next change of the file is an update."""
    synced.write("greet", "Hi {{ name }}")
    synced.registry.update("greet", template="Hi {{ name }}")
    assert synced.sync() == {}
    with unchanged():
        assert synced.sync() == {}
    synced.write("greet", "Hey {{ name }}")
    assert synced.sync() == {"greet": "update"}
    assert synced.registry.get("greet").version == 3


def test_a_changed_file_updates_the_prompt(synced: Folder) -> None:
    """Only that one; the new version is live."""
    before = synced.registry.get("support/reply")
    synced.write("greet", "Hi {{ name }}")
    assert synced.sync() == {"greet": "update"}
    prompt = synced.registry.get("greet")
    assert (prompt.version, prompt.template, prompt.base_version) == (2, "Hi {{ name }}", 1)
    assert synced.registry.get("support/reply") == before


def test_a_key_that_was_removed_is_a_change(synced: Folder) -> None:
    """A field that the file does not say has its default, whatever the registry has."""
    synced.write("support/reply", "Reply to {{ question }}")
    assert synced.sync() == {"support/reply": "update"}
    assert synced.registry.get("support/reply").tags == []


def test_a_registry_that_is_ahead_is_left_and_told(synced: Folder, unchanged: Unchanged) -> None:
    """Neither the registry nor the file changes."""
    synced.registry.update("greet", template="Hi {{ name }}")
    before = synced.state()
    with unchanged():
        report = synced.report()
    assert actions(report) == {"greet": "ahead"}
    assert "pull" in next(prompt.reason for prompt in report.of("ahead"))
    assert report.changes == []
    assert synced.state() == before


def test_pull_writes_the_file_where_the_registry_is_ahead(synced: Folder, unchanged: Unchanged) -> None:
    """No version comes of it; the next run does nothing, and then a change of the file is an update."""
    synced.registry.update("greet", template="Hi {{ name }}", tags=["short"])
    assert synced.sync(pull=True) == {"greet": "pull"}
    assert (synced.path / "greet.md").read_text() == '---\ntags: ["short"]\n---\nHi {{ name }}\n'
    before = synced.state()
    with unchanged():
        assert synced.sync() == {}
        assert synced.sync(pull=True) == {}
    assert synced.state() == before
    assert synced.registry.get("greet").version == 2
    synced.write("greet", "Hey {{ name }}")
    assert synced.sync() == {"greet": "update"}


def test_a_rollback_in_the_registry_is_ahead_too(synced: Folder) -> None:
    """The registry shows the first version again, and the file still has the second."""
    synced.write("greet", "Hi {{ name }}")
    synced.sync()
    synced.registry.rollback("greet", reason="Too brief")
    assert synced.sync() == {"greet": "ahead"}
    assert synced.sync(pull=True) == {"greet": "pull"}
    assert synced.body("greet") == "Hello {{ name }}"


@pytest.fixture
def both_changed(synced: Folder) -> Folder:
    """A conflict: `greet` was changed in the file and in the registry; `support/reply` only in the file."""
    synced.write("greet", "Hello {{ name }}\nfrom the file")
    synced.write("support/reply", "Answer {{ question }}")
    synced.registry.update("greet", template="Hello {{ name }}\nfrom the registry")
    return synced


def test_a_conflict_applies_nothing(both_changed: Folder, unchanged: Unchanged) -> None:
    """It is an error with the file, the line and the three-way difference; the other files wait too."""
    before = both_changed.state()
    with (
        unchanged(),
        pytest.raises(ConflictError, match=r"'greet\.md:4': 1 conflict, so nothing was applied") as caught,
    ):
        both_changed.sync()
    assert both_changed.state() == before
    details = caught.value.details
    assert details["names"] == ["greet"]
    assert [error["field"] for error in details["errors"]] == ["greet.md:4"]
    assert details["errors"][0]["difference"].split("\n") == [
        *("@@ line 4 @@", "---", "Hello {{ name }}", "<<<<<<< greet.md (the file)", "from the file"),
        *("||||||| last synchronised", "=======", "from the registry", ">>>>>>> the registry", ""),
    ]


def test_of_a_conflict_ours_is_the_file(both_changed: Folder, unchanged: Unchanged) -> None:
    """It becomes the next version."""
    assert both_changed.sync(on_conflict="ours") == {"greet": "update", "support/reply": "update"}
    prompt = both_changed.registry.get("greet")
    assert (prompt.version, prompt.template) == (3, "Hello {{ name }}\nfrom the file")
    with unchanged():
        assert both_changed.sync() == {}


def test_of_a_conflict_theirs_is_the_registry(both_changed: Folder, unchanged: Unchanged) -> None:
    """The file is written; what only the file changed is an update still."""
    assert both_changed.sync(on_conflict="theirs") == {"greet": "pull", "support/reply": "update"}
    assert both_changed.body("greet") == "Hello {{ name }}\nfrom the registry"
    assert both_changed.registry.get("greet").version == 2
    with unchanged():
        assert both_changed.sync() == {}


def test_of_a_conflict_draft_makes_the_file_a_draft(both_changed: Folder, unchanged: Unchanged) -> None:
    """What is live stays, and a second run does nothing."""
    assert both_changed.sync(on_conflict="draft") == {"greet": "draft", "support/reply": "update"}
    prompt = both_changed.registry.get("greet")
    assert (prompt.version, prompt.latest_version, prompt.template) == (2, 3, "Hello {{ name }}\nfrom the registry")
    draft = both_changed.registry.get("greet@3")
    assert (draft.state, draft.template) == ("draft", "Hello {{ name }}\nfrom the file")
    with unchanged():
        both_changed.sync(on_conflict="draft")


def test_a_prompt_that_was_never_synchronised_and_differs_is_a_conflict(folder: Folder, unchanged: Unchanged) -> None:
    """There is nothing to compare with, so the difference has two sides."""
    folder.registry.create("greet", "Good morning")
    with unchanged(), pytest.raises(ConflictError) as caught:
        folder.sync()
    assert [error["field"] for error in caught.value.details["errors"]] == ["greet.md:3"]
    assert caught.value.details["errors"][0]["difference"].split("\n") == [
        *("--- the registry", "+++ greet.md (the file)", "@@ -1,4 +1,4 @@", " ---", " ---"),
        *("-Good morning", "+Hello {{ name }}", " "),
    ]


def test_a_conflict_of_a_field_is_at_its_line(synced: Folder) -> None:
    """That is a line of the front matter."""
    synced.write("support/reply", "Reply to {{ question }}", 'title: "Ours"\ntags: ["support"]\n')
    synced.registry.update("support/reply", title="Theirs")
    with pytest.raises(ConflictError, match=r"support/reply\.md:2"):
        synced.sync()


def test_a_conflict_of_a_chat_is_at_the_line_of_its_message(folder: Folder) -> None:
    """Within the message it is the first line that differs, and of a message more or less the last one."""
    folder.write("chat", "system:\nBe kind\nuser:\nHello\nthere", 'type: "chat"\n')
    folder.sync()
    messages = [{"role": "system", "content": "Be kind"}, {"role": "user", "content": "Hello\nyou"}]
    folder.registry.update("chat", template=messages)
    folder.write("chat", "system:\nBe kind\nuser:\nHello\nall", 'type: "chat"\n')
    with pytest.raises(ConflictError, match=r"'chat\.md:8'"):
        folder.sync()
    folder.registry.update("chat", template=[*messages[:1], {"role": "user", "content": "Hello\nall"}, *messages[1:]])
    with pytest.raises(ConflictError, match=r"'chat\.md:6'"):
        folder.sync()


def test_every_conflict_is_listed(synced: Folder) -> None:
    """Each with its file and line, in the order of the names."""
    for name in ("greet", "support/reply"):
        synced.write(name, "Ours")
        synced.registry.update(name, template="Theirs")
    with pytest.raises(ConflictError, match="2 conflicts") as caught:
        synced.sync()
    fields = [error["field"] for error in caught.value.details["errors"]]
    assert fields == ["greet.md:3", "support/reply.md:3"]


def test_a_file_that_has_gone_archives_its_prompt(synced: Folder, unchanged: Unchanged) -> None:
    """Only that one."""
    synced.remove("greet")
    assert synced.sync() == {"greet": "archive"}
    assert synced.registry.get("greet").status == "archived"
    assert synced.registry.get("support/reply").status == "active"
    with unchanged():
        assert synced.sync() == {}


@pytest.mark.parametrize(("choice", "status"), [("ours", "archived"), ("theirs", "active")])
def test_a_file_that_has_gone_while_the_registry_changed_is_a_conflict(
    synced: Folder, unchanged: Unchanged, choice: str, status: str
) -> None:
    """`ours` archives the prompt, and `theirs` writes the file anew."""
    synced.remove("greet")
    synced.registry.update("greet", template="Hi {{ name }}")
    with unchanged(), pytest.raises(ConflictError, match=r"'greet\.md': 1 conflict"):
        synced.sync()
    synced.sync(on_conflict=choice)
    assert synced.registry.get("greet").status == status
    assert (synced.path / "greet.md").exists() == (status == "active")
    if choice == "theirs":
        assert synced.body("greet") == "Hi {{ name }}"
    with unchanged():
        assert synced.sync() == {}


@pytest.mark.parametrize("body", ["Hello {{ name }}", "Hello again {{ name }}"])
def test_a_file_that_is_back_restores_what_sync_archived(synced: Folder, unchanged: Unchanged, body: str) -> None:
    """With what the file says now."""
    synced.remove("greet")
    synced.sync()
    synced.write("greet", body)
    assert synced.sync() == {"greet": "restore"}
    prompt = synced.registry.get("greet")
    assert (prompt.status, prompt.template) == ("active", body)
    with unchanged():
        assert synced.sync() == {}


def test_what_people_archived_is_left_and_told(synced: Folder, unchanged: Unchanged) -> None:
    """Whether the file is as it was or has changed."""
    synced.registry.archive("greet")
    with unchanged():
        assert synced.sync() == {"greet": "left"}
        synced.write("greet", "Hi {{ name }}")
        assert synced.sync() == {"greet": "left"}


def test_what_was_deleted_in_the_registry_is_left_until_ours(synced: Folder, unchanged: Unchanged) -> None:
    """`ours` creates it again."""
    synced.registry.delete("greet")
    with unchanged():
        assert synced.sync() == {"greet": "left"}
    assert synced.sync(on_conflict="ours") == {"greet": "create"}
    assert synced.registry.get("greet").template == "Hello {{ name }}"
    with unchanged():
        assert synced.sync() == {}


# What is left alone


def test_prompts_that_sync_never_placed_are_left_alone(synced: Folder, unchanged: Unchanged) -> None:
    """They have no file, and are in no report."""
    synced.registry.create("mine", "Mine")
    with unchanged():
        assert [prompt.name for prompt in synced.report().prompts] == ["greet", "support/reply"]


def test_prompts_of_another_folder_are_left_alone(synced: Folder, tmp_path: Path, unchanged: Unchanged) -> None:
    """A second folder has another id, and its missing files archive nothing."""
    other = Folder(tmp_path / "other", synced.registry)
    other.write("other", "Other")
    assert other.sync() == {"other": "create"}
    with unchanged():
        assert (synced.sync(), other.sync()) == ({}, {})


@pytest.mark.parametrize("content", ["nothing", "README.md", "_drafts/a.md", "notes.txt"])
def test_a_folder_without_a_single_prompt_is_refused(synced: Folder, unchanged: Unchanged, content: str) -> None:
    """It would archive every prompt that came from it."""
    synced.remove("greet")
    synced.remove("support/reply")
    if content != "nothing":
        file = synced.path / content
        file.parent.mkdir(exist_ok=True)
        file.write_text("---\n---\nText\n")
    with unchanged(), pytest.raises(InvalidInputError, match="holds not a single prompt"):
        synced.sync()


def test_labels_grants_statuses_drafts_and_owners_are_not_synchronised(synced: Folder, unchanged: Unchanged) -> None:
    """A change of these is neither ahead nor undone."""
    registry = synced.registry
    registry.set_label("greet", "staging", 1)
    registry.update("greet", access_grants=[("anyone", "read")])
    registry.disable("greet")
    registry.update("greet", template="A draft", is_production=False)
    prompt, events = registry.get("greet"), registry.events("greet")
    assert synced.sync() == {}
    assert (registry.get("greet"), registry.events("greet")) == (prompt, events)
    with unchanged():
        assert synced.sync() == {}
    synced.write("greet", "Hi {{ name }}")
    assert synced.sync() == {"greet": "update"}
    prompt = registry.get("greet")
    assert (prompt.labels["staging"], prompt.is_disabled, len(prompt.access_grants)) == (1, True, 1)


def test_a_prompt_that_was_renamed_in_the_registry_is_followed_by_its_id(synced: Folder) -> None:
    """Its file keeps its name, and updates the renamed prompt."""
    old = synced.registry.update("greet", new_name="welcome")
    synced.sync(on_conflict="ours")
    synced.write("greet", "Hi {{ name }}")
    report = synced.report()
    assert actions(report) == {"greet": "update"}
    assert report.of("update")[0].prompt == "welcome"
    assert (synced.registry.get("welcome").id, synced.registry.get("welcome").template) == (old.id, "Hi {{ name }}")
    with pytest.raises(NotFoundError):
        synced.registry.get("greet")


def test_a_moved_file_is_an_archive_and_a_create(synced: Folder) -> None:
    """The new prompt begins with version 1."""
    (synced.path / "greet.md").rename(synced.path / "welcome.md")
    assert synced.sync() == {"greet": "archive", "welcome": "create"}
    assert synced.registry.get("welcome").version == 1


def test_one_folder_serves_many_registries(synced: Folder, tmp_path: Path) -> None:
    """Each keeps by itself what it last saw of the folder."""
    with Registry(tmp_path / "second.db") as second:
        assert actions(sync(second, synced.path)) == {"greet": "create", "support/reply": "create"}
        synced.write("greet", "Hi {{ name }}")
        assert synced.sync() == {"greet": "update"}
        assert actions(sync(second, synced.path)) == {"greet": "update"}


def test_seeding_and_synchronising_one_prompt_is_told(folder: Folder) -> None:
    """Each keeps to what it last saw."""
    folder.registry.seed("greet", "Hello {{ name }}")
    report = folder.report()
    assert actions(report) == {"support/reply": "create"}
    assert [prompt.name for prompt in report.prompts if prompt.notes] == ["greet"]


def test_namespaces_are_apart(synced: Folder, unchanged: Unchanged) -> None:
    """The same folder may be synchronised with several."""
    synced.registry = synced.registry.scope(namespace="support")
    assert synced.sync() == {"greet": "create", "support/reply": "create"}
    with unchanged():
        assert synced.sync() == {}
