"""Synchronising files with what is live: each line of the table, and what belongs to it.

Labels are in `test_rules_sync_labels.py`; permissions, checks, errors and the one transaction in
`test_rules_sync_calls.py`. What a folder holds, and the files that are written, are tested through `promptreg.files`.
"""

import pytest

from promptreg import Actor, InvalidInputError, Registry, Role
from tests.conftest import Ticking
from tests.syncs import done, nothing_written, only, recorded, sync

ANA = Actor("ana", Role.TEAM_ADMIN)
RESOLUTIONS = ["error", "ours", "theirs", "draft"]


@pytest.fixture
def registry():
    """A registry in memory, which takes less time than a file."""
    with Registry(":memory:", clock=Ticking()) as opened:
        yield opened


def conflicting(registry: Registry) -> None:
    """Have a prompt `a` whose live version, 2, differs from the file `one` that was synchronised."""
    sync(registry, {"a": "one"})
    registry.update("a", template="people's")


# What is there


def test_a_file_without_a_prompt_creates_it(registry):
    """It is live, has all fields of the file, the actor as author and owner, and the file's message."""
    file = {"template": "Hi {{ who }}", "tags": ["x"], "config": {"model": "m"}}
    item = only(registry.scope(actor=ANA), {"a": file}, message="Add a (ana, 1a2b)")
    made = registry.get("a")
    assert (item.action, item.version, item.prompt) == ("create", 1, None)
    assert (made.state, made.template, made.tags, made.config) == ("published", "Hi {{ who }}", ["x"], {"model": "m"})
    assert (made.author, made.created_by, made.commit_message) == ("ana", "ana", "Add a (ana, 1a2b)")
    assert recorded(registry) == ["create", "publish"]


def test_the_title_that_a_file_leaves_out_is_its_name(registry):
    """It is that of `create`; one that is taken out of the file returns to the name."""
    sync(registry, {"a": {"template": "one", "title": "First"}})
    assert registry.get("a").title == "First"
    assert only(registry, {"a": "one"}).action == "update"
    assert registry.get("a").title == "a"


def test_a_prompt_with_only_drafts_that_was_never_synchronised_counts_as_absent(registry):
    """The file goes live; a draft that equals it does, and is not copied."""
    registry.create("a", "a draft", is_production=False)
    registry.create("b", "the file", is_production=False)
    assert done(registry, {"a": "the file", "b": "the file"}) == {"a": "create", "b": "create"}
    assert [(p.production_version, p.template) for p in registry.list()] == [(2, "the file"), (1, "the file")]


def test_a_file_that_equals_what_is_live_changes_nothing_and_is_remembered(registry):
    """No version, no event and no time is written; afterwards the file may be changed without a conflict."""
    before = registry.create("a", "one")
    assert only(registry, {"a": "one"}).action == "none"
    assert (registry.get("a"), recorded(registry)) == (before, ["create", "publish"])
    assert only(registry, {"a": "two"}).action == "update"


def test_what_people_published_and_the_file_says_too_is_remembered(registry):
    """Both have changed to the same: nothing is done, and what was last synchronised moves."""
    sync(registry, {"a": "one"})
    registry.update("a", template="two")
    assert only(registry, {"a": "two"}).action == "none"
    assert only(registry, {"a": "three"}).action == "update"


def test_a_changed_file_goes_live(registry):
    """It is one new version with the file's message; a field that the file leaves out returns to its default."""
    sync(registry, {"a": {"template": "one", "tags": ["x"]}})
    item = only(registry, {"a": "two"}, message="Shorter")
    live = registry.get("a")
    assert (item.action, item.version, item.prompt) == ("update", 2, "a")
    assert [side["template"] for side in (item.ours, item.base, item.theirs)] == ["two", "one", "one"]
    assert (live.version, live.template, live.tags, live.commit_message) == (2, "two", [], "Shorter")


def test_a_rollback_is_a_change_of_the_registry(registry):
    """The registry is ahead with the version that is live again, and nothing takes the rollback back."""
    sync(registry, {"a": "one"})
    sync(registry, {"a": "two"})
    registry.rollback("a", reason="Worse")
    assert only(registry, {"a": "two"}).action == "ahead"
    assert registry.get("a").template == "one"


def test_where_only_the_registry_changed_it_is_ahead(registry):
    """It is left, and the item has what a difference needs."""
    conflicting(registry)
    item = only(registry, {"a": "one"})
    assert (item.action, item.version) == ("ahead", 2)
    assert item.reason == "the registry is ahead: version 2 is live, and pull=True writes it to the file"
    assert [(side or {})["template"] for side in (item.ours, item.base, item.theirs)] == ["one", "one", "people's"]
    assert registry.get("a").version == 2


def test_pull_has_the_file_written_and_changes_nothing_in_the_registry(registry):
    """Until the file is written every run says the same, so that a process that is killed loses nothing."""
    conflicting(registry)
    with nothing_written(registry):
        for _ in range(2):
            item = only(registry, {"a": "one"}, pull=True)
            assert (item.action, item.theirs["template"]) == ("pull", "people's")
    assert only(registry, {"a": "people's"}).action == "none"
    assert only(registry, {"a": "two"}).action == "update"


# Conflicts


def test_a_conflict_prevents_the_whole(registry):
    """The plan says so, is not done, and nothing of it is written, other prompts included."""
    conflicting(registry)
    with nothing_written(registry):
        plan = sync(registry, {"a": "the file's", "b": "new"})
    assert ([item.action for item in plan.items], plan.is_done) == (["conflict", "create"], False)
    (item,) = plan.conflicts
    sides = [side["template"] for side in (item.ours, item.base, item.theirs)]
    assert sides == ["the file's", "one", "people's"]
    assert item.reason == "its file and the registry have both changed since they were synchronised"


def test_a_difference_from_what_was_never_synchronised_is_a_conflict(registry):
    """There is nothing to compare either with, so there is no base."""
    registry.create("a", "people's")
    item = only(registry, {"a": "the file's"})
    assert (item.action, item.base, item.version) == ("conflict", None, 1)
    assert item.reason == "it differs from what is live, and was never synchronised"


def test_the_base_of_a_difference_is_known_as_long_as_its_version_is(registry):
    """After several versions of people it is still the one that was synchronised."""
    conflicting(registry)
    registry.update("a", template="again")
    item = only(registry, {"a": "the file's"})
    assert (item.base["template"], item.theirs["template"]) == ("one", "again")


def test_ours_is_the_file(registry):
    """It goes live beside what people made, which stays in the history; the next run does nothing."""
    conflicting(registry)
    assert only(registry, {"a": "the file's"}, on_conflict="ours").action == "update"
    assert [v.template for v in registry.history("a")] == ["the file's", "people's", "one"]
    assert only(registry, {"a": "the file's"}).action == "none"


def test_theirs_is_the_registry(registry):
    """The file is to be written, as by pull."""
    conflicting(registry)
    with nothing_written(registry):
        item = only(registry, {"a": "the file's"}, on_conflict="theirs")
    assert (item.action, item.theirs["template"]) == ("pull", "people's")


def test_draft_is_the_file_as_a_draft(registry):
    """What is live stays; a second run changes nothing, and says so; nor does pull replace a file that is undecided."""
    conflicting(registry)
    item = only(registry, {"a": "the file's"}, on_conflict="draft", message="Mine")
    assert (item.action, item.version) == ("draft", 3)
    assert (registry.get("a").version, registry.get("a@3").state, registry.get("a@3").commit_message) == (
        2,
        "draft",
        "Mine",
    )
    for on_conflict in ("error", "draft"):
        item = only(registry, {"a": "the file's"}, on_conflict=on_conflict, pull=True)
        assert item.action == "ahead"
        assert (
            item.reason == "the file became a draft, and version 2 is live;"
            " publish it, or choose on_conflict='ours' or on_conflict='theirs'"
        )
    assert len(registry.history("a")) == 3


def test_a_draft_of_a_conflict_that_is_published_is_in_step(registry):
    """The file equals what is live, and can be changed."""
    conflicting(registry)
    sync(registry, {"a": "the file's"}, on_conflict="draft")
    registry.publish("a")
    assert only(registry, {"a": "the file's"}).action == "none"
    assert only(registry, {"a": "two"}).action == "update"


def test_a_draft_of_a_conflict_that_people_edit_before_they_publish_it_is_ahead(registry):
    """It has the number of the draft, and not its content."""
    conflicting(registry)
    sync(registry, {"a": "the file's"}, on_conflict="draft")
    registry.update("a@3", template="edited")
    registry.publish("a")
    assert only(registry, {"a": "the file's"}).action == "ahead"


@pytest.mark.parametrize(("on_conflict", "action"), [("ours", "update"), ("theirs", "pull")])
def test_a_conflict_that_became_a_draft_can_still_be_decided(registry, on_conflict, action):
    """The draft itself goes live, and is not copied."""
    conflicting(registry)
    sync(registry, {"a": "the file's"}, on_conflict="draft")
    assert only(registry, {"a": "the file's"}, on_conflict=on_conflict).action == action
    assert len(registry.history("a")) == 3
    assert registry.get("a").version == {"update": 3, "pull": 2}[action]


@pytest.mark.parametrize("on_conflict", RESOLUTIONS)
def test_nothing_of_people_is_replaced_where_the_file_has_not_changed(registry, on_conflict):
    """A conflict is decided only where there is one."""
    conflicting(registry)
    with nothing_written(registry):
        assert only(registry, {"a": "one"}, on_conflict=on_conflict).action == "ahead"


# Files that go and come back


def test_a_file_that_has_gone_archives_its_prompt(registry):
    """It was last synchronised from this folder, and nobody has changed it since; the next run does nothing."""
    sync(registry, {"a": "one", "b": "two"})
    assert done(registry, {"b": "two"}) == {"a": "archive", "b": "none"}
    assert registry.get("a").status == "archived"
    assert recorded(registry)[-1] == "archive"
    assert done(registry, {"b": "two"}) == {"b": "none"}


@pytest.mark.parametrize(
    ("on_conflict", "action"), [("error", "conflict"), ("ours", "archive"), ("theirs", "pull"), ("draft", "conflict")]
)
def test_a_file_that_has_gone_while_people_changed_the_prompt_is_a_conflict(registry, on_conflict, action):
    """There is no file to make a draft of; theirs writes the file again."""
    conflicting(registry)
    plan = sync(registry, {"b": "two"}, on_conflict=on_conflict)
    item = plan.items[0]
    assert (item.name, item.action, plan.is_done) == ("a", action, action != "conflict")
    assert (item.ours, item.base["template"], item.theirs["template"]) == (None, "one", "people's")
    assert registry.get("a").status == ("archived" if action == "archive" else "active")


def test_prompts_that_were_never_synchronised_are_left_alone(registry):
    """They have no file either, and are no item of the plan."""
    registry.create("b", "people's")
    sync(registry, {"a": "one"})
    assert done(registry, {"a": "one"}) == {"a": "none"}
    assert registry.get("b").status == "active"


def test_a_folder_without_a_prompt_is_refused(registry):
    """Otherwise a mistyped path would archive everything."""
    sync(registry, {"a": "one"})
    with (
        nothing_written(registry),
        pytest.raises(InvalidInputError, match="at least one prompt, as without any all of them"),
    ):
        sync(registry, {})


@pytest.mark.parametrize(("text", "version", "events"), [("one", 1, 1), ("two", 2, 3)])
def test_a_file_that_is_back_restores_what_a_synchronisation_archived(registry, text, version, events):
    """With another text it is updated as well, in the same transaction."""
    sync(registry, {"a": "one", "b": "two"})
    sync(registry, {"b": "two"})
    item = sync(registry, {"a": text, "b": "two"}).items[0]
    assert (item.action, item.version) == ("restore", version)
    assert (registry.get("a").status, registry.get("a").template) == ("active", text)
    assert recorded(registry, "a")[-events:] == ["restore", "update", "publish"][:events]
    assert done(registry, {"a": text, "b": "two"}) == {"a": "none", "b": "none"}
    assert registry.verify() == []


def test_a_prompt_that_was_archived_while_disabled_is_disabled_again(registry):
    """It is as `restore` leaves it."""
    sync(registry, {"a": "one", "b": "two"})
    registry.disable("a")
    sync(registry, {"b": "two"})
    sync(registry, {"a": "one", "b": "two"})
    assert registry.get("a").status == "disabled"


@pytest.mark.parametrize("on_conflict", RESOLUTIONS)
@pytest.mark.parametrize("text", ["one", "two"])
def test_what_people_archived_is_left_and_told(registry, on_conflict, text):
    """Whatever the file says, and whoever wins conflicts."""
    sync(registry, {"a": "one"})
    registry.archive("a")
    with nothing_written(registry):
        item = only(registry, {"a": text}, on_conflict=on_conflict)
    assert item.action == "left"
    assert item.reason == "it is archived, and not by a synchronisation; restore() it first"


def test_what_people_archived_after_a_synchronisation_did_is_theirs(registry):
    """They restored it and archived it again, so its file does not bring it back."""
    sync(registry, {"a": "one", "b": "two"})
    sync(registry, {"b": "two"})
    registry.restore("a")
    registry.archive("a")
    assert done(registry, {"a": "one", "b": "two"})["a"] == "left"


def test_what_people_archived_is_no_item_without_its_file(registry):
    """Both say that it is gone."""
    sync(registry, {"a": "one", "b": "two"})
    registry.archive("a")
    assert done(registry, {"b": "two"}) == {"b": "none"}


def test_what_people_restored_is_not_archived_again(registry):
    """It is told, until ours; its file finds it as any other."""
    sync(registry, {"a": "one", "b": "two"})
    sync(registry, {"b": "two"})
    registry.restore("a")
    item = sync(registry, {"b": "two"}).items[0]
    assert (item.action, item.reason) == (
        "left",
        "its file has gone, and it was restored in the registry; on_conflict='ours' is the file",
    )
    assert done(registry, {"b": "two"}, on_conflict="ours")["a"] == "archive"
    registry.restore("a")
    assert done(registry, {"a": "two", "b": "two"})["a"] == "update"


def test_what_was_deleted_in_the_registry_is_left_and_told_until_ours(registry):
    """Its file does not bring it back unasked; ours creates it, and then it is a prompt as any other."""
    sync(registry, {"a": "one", "b": "two"})
    registry.delete("a")
    for on_conflict in ("error", "theirs", "draft"):
        item = sync(registry, {"a": "one", "b": "two"}, on_conflict=on_conflict).items[0]
        assert (item.action, item.prompt, item.version) == ("left", None, None)
        assert (
            item.reason
            == "it was deleted in the registry since it was synchronised; on_conflict='ours' creates it again"
        )
    assert done(registry, {"a": "one", "b": "two"}, on_conflict="ours")["a"] == "create"
    assert done(registry, {"a": "three", "b": "two"})["a"] == "update"
    registry.delete("a")
    assert done(registry, {"a": "three", "b": "two"})["a"] == "left"


def test_what_was_deleted_and_made_anew_by_people_is_compared_with_the_file(registry):
    """It is another prompt, which was never synchronised."""
    sync(registry, {"a": "one", "b": "two"})
    registry.delete("a")
    registry.create("a", "people's")
    assert done(registry, {"a": "one", "b": "two"})["a"] == "conflict"


# What is synchronised


def test_labels_grants_statuses_and_drafts_are_not_synchronised(registry):
    """None of them is a change of the registry, and an update leaves them as they are."""
    sync(registry, {"a": "one"})
    registry.update("a", template="a draft", is_production=False)
    registry.update("a", access_grants=[("user:bo", "read")])
    sync(registry, {"a": "one"})
    registry.set_label("a@1", "eu")
    registry.disable("a")
    assert only(registry, {"a": "one"}).action == "none"
    assert only(registry, {"a": "two"}).action == "update"
    prompt = registry.get("a")
    assert (prompt.status, prompt.labels["eu"], len(prompt.access_grants)) == ("disabled", 1, 1)


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"tags": ["b", "a"]}, {"tags": ["a", "b"]}),
        ({"variables": [{"name": "x", "required": False, "default": 1}]}, {"variables": [{"name": "x", "default": 1}]}),
        ({"template": "a\r\nb {{ x }}"}, {"template": "a\nb {{ x }}"}),
    ],
)
def test_content_is_compared_in_its_normal_form(registry, first, second):
    """Files that mean the same are no change."""
    base = {"template": "{{ x }}"}
    sync(registry, {"a": {**base, **first}})
    assert only(registry, {"a": {**base, **second}}).action == "none"


def test_a_second_run_does_nothing(registry):
    """After every kind of change there is none left."""
    sync(registry, {"gone": "1", "changed": "1", "same": "1", "ahead": "1", "back": "1"})
    registry.create("draft", "people's")
    sync(registry, {"gone": "1", "changed": "1", "same": "1", "ahead": "1"})
    registry.update("ahead", template="2")
    files = {"changed": "2", "same": "1", "ahead": "1", "back": "2", "new": "1", "draft": "the file's"}
    actions = done(registry, files, on_conflict="draft")
    assert sorted(actions.values()) == ["ahead", "archive", "create", "draft", "none", "restore", "update"]
    with nothing_written(registry):
        items = sync(registry, files, on_conflict="draft").items
    assert {item.action for item in items} == {"ahead", "none"}
    assert [item.version for item in items] == [registry.get(item.name).version for item in items]


def test_a_seeded_prompt_is_told(registry):
    """Both keep what they know of it; a prompt that is only synchronised has no note."""
    registry.seed("a", "one")
    first, second = sync(registry, {"a": "one", "b": "two"}).items
    assert (first.notes, second.notes) == (("the application seeds it too, with what its code ships",), ())
    assert only(registry, {"a": "one"}, label="eu").notes == first.notes
    assert [len(item.notes) for item in sync(registry, {"a": "two", "b": "two"}).items] == [1, 0]
    assert registry.seed("a", "one").template == "two"


# Names, and folders


def test_a_rename_in_the_registry_is_followed(registry):
    """The file keeps its name, and changes and archives the prompt that it made."""
    made = sync(registry, {"a": "one", "x": "1"}) and registry.get("a").id
    registry.update("a", new_name="b")
    item = sync(registry, {"a": "two", "x": "1"}).items[0]
    assert (item.name, item.prompt, item.action) == ("a", "b", "update")
    assert (registry.get("b").id, registry.get("b").template) == (made, "two")
    assert registry.get("a", default=None) is None
    assert done(registry, {"x": "1"})["a"] == "archive"
    assert registry.get("b").status == "archived"


def test_another_prompt_that_takes_the_old_name_is_left_alone(registry):
    """The file is still the one of the prompt that was renamed."""
    sync(registry, {"a": "one"})
    registry.update("a", new_name="b")
    registry.create("a", "another")
    assert only(registry, {"a": "two"}).prompt == "b"
    assert registry.get("a").template == "another"


def test_a_file_that_is_renamed_as_its_prompt_was_follows_it(registry):
    """Nothing is done, and later runs find it under the new name."""
    sync(registry, {"a": {"template": "one", "title": "A"}})
    registry.update("a", new_name="b")
    file = {"template": "one", "title": "A"}
    assert only(registry, {"b": file})[:2] == ("b", "none")
    with nothing_written(registry):
        assert done(registry, {"b": file}) == {"b": "none"}
    registry.update("b", new_name="c")
    assert only(registry, {"b": {**file, "template": "two"}}).prompt == "c"


def test_a_renamed_file_follows_its_prompt_past_an_archived_one_of_that_name(registry):
    """The other one stays archived; of two that were archived under one name, the file brings back the last."""
    file = {"template": "1", "title": "x"}
    sync(registry, {"b": file, "a": file, "z": "z"})
    registry.update("b", new_name="q")
    sync(registry, {"a": file, "z": "z"})
    registry.update("a", new_name="b")
    item, _ = sync(registry, {"b": file, "z": "z"}).items
    assert (item.action, item.prompt) == ("none", "b")
    assert (registry.get("b").status, registry.get("q").status) == ("active", "archived")
    sync(registry, {"z": "z"})
    item, _ = sync(registry, {"b": file, "z": "z"}).items
    assert (item.action, item.prompt) == ("restore", "b")
    assert registry.get("q").status == "archived"


def test_the_title_of_a_renamed_file_that_leaves_it_out_is_the_new_name(registry):
    """The file says so, by its name; that is a change of the file."""
    sync(registry, {"a": "one"})
    registry.update("a", new_name="b")
    assert only(registry, {"b": "one"}).action == "update"
    assert registry.get("b").title == "b"


def test_two_files_of_one_prompt_are_a_conflict_which_nothing_decides(registry):
    """One is tied to it by what was synchronised, the other by its name."""
    sync(registry, {"a": "one"})
    registry.update("a", new_name="b")
    with nothing_written(registry):
        for on_conflict in RESOLUTIONS:
            plan = sync(registry, {"a": "one", "b": "two"}, on_conflict=on_conflict)
            assert [(item.name, item.action, item.reason) for item in plan.items] == [
                ("a", "conflict", "its file and that of 'b' are both this prompt; keep one of them"),
                ("b", "conflict", "its file and that of 'a' are both this prompt; keep one of them"),
            ]


def test_prompts_that_swapped_their_names_keep_their_files(registry):
    """Each is found by what was synchronised of it, before its name is looked at."""
    sync(registry, {"a": "A", "b": "B"})
    registry.update("a", new_name="c")
    registry.update("b", new_name="a")
    registry.update("c", new_name="b")
    sync(registry, {"a": "A2", "b": "B2"})
    assert (registry.get("b").template, registry.get("a").template) == ("A2", "B2")


def titled(name: str, text: str) -> dict[str, str]:
    """Return the fields of a file that keeps its title, whatever its name is."""
    return {"template": text, "title": name}


def test_files_that_are_renamed_as_their_prompts_were_in_a_row_follow_them(registry):
    """Each new name is the old one of the next prompt, in one synchronisation; later runs find nothing to do."""
    a, b, c = (titled(name, name) for name in ("A", "B", "C"))
    sync(registry, {"a": a, "b": b, "c": c, "x": "1"})
    ids = {name: registry.get(name).id for name in "abc"}
    for old, new in ("cd", "bc", "ab"):
        registry.update(old, new_name=new)
    files = {"b": a, "c": {**b, "template": "B2"}, "d": c, "x": "1"}
    assert done(registry, files) == {"b": "none", "c": "update", "d": "none", "x": "none"}
    assert {old: registry.get(new).id for old, new in ("ab", "bc", "cd")} == ids
    assert [registry.get(name).template for name in "bcd"] == ["A", "B2", "C"]
    with nothing_written(registry):
        assert set(done(registry, files).values()) == {"none"}
    assert done(registry, {"x": "1"}) == {"b": "archive", "c": "archive", "d": "archive", "x": "none"}
    assert registry.verify() == []


@pytest.mark.parametrize(
    ("files", "actions"),
    [
        ("abc", {"a": "none", "b": "conflict", "c": "conflict"}),
        ("b", {"a": "archive", "b": "none"}),
        ("ac", {"a": "none", "c": "none"}),
    ],
)
def test_a_row_of_renames_is_followed_only_as_a_whole(registry, files, actions):
    """Where a file of the first name is still there, or none of the last, `b` is the file that it was before."""
    texts = {"a": titled("A", "A"), "b": titled("B", "B")}
    sync(registry, {**texts, "x": "1"})
    registry.update("b", new_name="c")
    registry.update("a", new_name="b")
    given = {name: texts.get(name, texts["b"]) for name in files}
    assert done(registry, {**given, "x": "1"}) == {**actions, "x": "none"}


def test_an_archived_prompt_takes_no_file_from_one_that_is_in_use(registry):
    """Its file had gone before that of the other was renamed, so `b` may be the other's still."""
    sync(registry, {"a": titled("A", "A"), "b": titled("B", "B"), "x": "1"})
    registry.update("b", new_name="c")
    registry.update("a", new_name="b")
    sync(registry, {"b": titled("B", "B"), "x": "1"})
    assert registry.get("b").status == "archived"
    files = {"b": titled("B", "B"), "c": titled("B", "B"), "x": "1"}
    assert done(registry, files) == {"b": "conflict", "c": "conflict", "x": "none"}


def test_a_moved_file_is_an_archive_and_a_create(registry):
    """Nothing says that the two are one prompt."""
    sync(registry, {"a": "one"})
    assert done(registry, {"b": "one"}) == {"a": "archive", "b": "create"}


def test_two_folders_each_have_their_own_prompts(registry):
    """What one synchronised is not archived because another has no file of it."""
    sync(registry, {"a": "one"})
    assert done(registry, {"b": "two"}, source="beef") == {"b": "create"}
    assert done(registry, {"a": "one"}) == {"a": "none"}


def test_a_prompt_belongs_to_the_folder_that_synchronised_it_last(registry):
    """A folder whose files are equal takes it over, as after its id was lost; one whose file differs is a conflict."""
    sync(registry, {"a": "one", "b": "two"})
    item = only(registry, {"a": "three"}, source="beef")
    assert item.reason == "it differs from what is live, and was synchronised from another folder"
    assert done(registry, {"a": "one"}, source="beef") == {"a": "none"}
    assert done(registry, {"a": "three"}, source="beef") == {"a": "update"}
    assert done(registry, {"b": "two"}) == {"b": "none"}


def test_namespaces_are_apart(registry):
    """A folder may serve several; what is deleted in one is not told in another."""
    other = registry.scope(namespace="other")
    for view in (registry, other):
        sync(view, {"a": "one", "b": "two"})
    registry.delete("a")
    assert done(registry, {"a": "one", "b": "two"})["a"] == "left"
    other.delete("b")
    assert done(other, {"a": "one", "b": "two"}) == {"a": "none", "b": "left"}
