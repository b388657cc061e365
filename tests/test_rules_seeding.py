"""Rule 22: what code ships is made, remembered, or goes live.

Where people have changed what is live is in `test_rules_seeding_people.py`, releases in `test_releases.py`. Who may, in
which order calls are refused, and bad arguments are in the tables of `test_tables.py`.
"""

from functools import partial

import pytest
from pydantic import BaseModel

from promptreg import (
    UNSET,
    Actor,
    ForbiddenError,
    Grant,
    InvalidInputError,
    NotFoundError,
    Prompt,
    PublishCheckError,
    Registry,
    TemplateSyntaxError,
    Variable,
)
from promptreg.planning import COMPARED, PAGE
from promptreg.storage.sqlite.storage import SQLiteStorage
from tests.seeds import EDITOR, actions, last_event, only_the_seed_moves, refuse_everything, versions
from tests.storages import target_of
from tests.test_storage_sqlite import raw

FIELDS = {
    "title": ("Greeting", "Farewell"),
    "description": ("Says hello", ""),
    "category": ("small talk", "other"),
    "tags": (["a", "b"], ["b"]),
    "variables": ([{"name": "who", "type": "string"}], None),
    "config": ({"model": "m"}, None),
    "meta": ({"n": 1}, {"n": 1.5}),
    "examples": ([{"who": "Ana"}], []),
    "syntax": ("jinja-trim", "jinja"),
}


# No such prompt


def test_rule_22_a_prompt_that_does_not_exist_is_made_live(registry):
    """It has the fields that were passed, the title of its name, the grants and the message of `create`."""
    made = registry.scope(actor=EDITOR).seed(
        "x", "Hello {{ who }}", tags=["a"], config={"model": "m"}, access_grants=[("user:bo", "read")]
    )
    assert (made.version, made.state, made.title, made.tags, made.config) == (
        1,
        "published",
        "x",
        ["a"],
        {"model": "m"},
    )
    assert (made.commit_message, made.created_by, made.author) == ("Initial version", "ana", "ana")
    assert made.access_grants == [Grant("user:bo", "read")]
    assert registry.get("x") == made
    assert actions(registry) == [("create", 1), ("grant", 1), ("publish", 1)]


def test_rule_22_a_message_is_the_commit_message_of_what_a_seed_writes(registry):
    """It is that of the first version, of a later one, of a draft, and of a draft that is edited."""
    assert registry.seed("x", "one", commit_message="First").commit_message == "First"
    assert registry.seed("x", "two", commit_message="Second").commit_message == "Second"
    assert registry.seed("x", "three").commit_message == ""
    registry.update("x", template="people's")
    registry.seed("x", "four", commit_message="Fourth")
    assert registry.get("x@5").commit_message == "Fourth"
    registry.seed("x", "five")
    assert registry.get("x@5").commit_message == "Fourth"
    registry.seed("x", "six", commit_message="Sixth")
    assert registry.get("x@5").commit_message == "Sixth"


def test_rule_22_it_takes_no_is_production(registry):
    """What is seeded goes live."""
    with pytest.raises(TypeError):
        registry.seed("x", "one", is_production=False)


def test_rule_22_a_deleted_prompt_is_made_anew(registry):
    """Nothing of it is remembered, so what was last seeded is created again."""
    first = registry.seed("x", "one")
    registry.set_status("x", "deleted")
    again = registry.seed("x", "one")
    assert (again.version, again.template, again.id == first.id) == (1, "one", False)


def test_rule_22_the_old_name_of_a_renamed_prompt_is_made_anew(registry):
    """The renamed prompt keeps what was seeded, and under its new name is the same as last seeded."""
    registry.seed("x", "one")
    registry.update("x", new_name="y")
    assert registry.seed("x", "one").version == 1
    last = last_event(registry)
    assert (registry.seed("y", "one").version, last_event(registry)) == (2, last)


def test_rule_22_a_prompt_may_be_named_by_its_id_where_it_exists(registry, unchanged):
    """An id of no prompt makes none, as in `save`."""
    made = registry.seed("x", "one")
    assert registry.seed(made.id, "two").version == 2
    with unchanged(), pytest.raises(NotFoundError):
        registry.seed("019b76f7-0000-7000-8000-000000000000", "one")


# The same as last seeded

LATER = {
    "nothing": lambda r: None,
    "rolled back": lambda r: r.rollback("x", reason="r"),
    "published since": lambda r: r.update("x", template="people's"),
    "a draft since": lambda r: r.update("x", template="draft", is_production=False),
    "another title": lambda r: r.update("x", title="T"),
    "labelled": lambda r: r.set_label("x", "canary", 1),
    "granted": lambda r: r.update("x", access_grants=[("anyone", "read")]),
    "disabled": lambda r: r.set_status("x", "disabled"),
    "archived": lambda r: r.archive("x"),
    "archived and restored": lambda r: [r.archive("x"), r.restore("x")],
    "renamed there and back": lambda r: [r.update("x", new_name="y"), r.update("y", new_name="x")],
}
SAME = {
    "the same": {},
    "another message": {"commit_message": "Again"},
    "another choice": {"on_conflict": "error"},
    "to be published": {"on_conflict": "publish"},
    "other grants": {"access_grants": [("user:bo", "write")]},
    "tags as a set": {"tags": {"b", "a"}},
    "tags in another order": {"tags": ("b", "a", "b")},
    "as a declaration": {"variables": (Variable(name="who", default="you", required=False),)},
    "no title": {"title": None},
    "unset": {"title": UNSET, "meta": UNSET, "syntax": UNSET},
}


@pytest.mark.parametrize("later", LATER)
def test_rule_22_the_same_as_last_seeded_writes_nothing(registry, unchanged, later):
    """Whatever people did since: what is live stays live, and the call returns it."""
    shipped = partial(registry.seed, "x", "two", tags=["a"])
    registry.seed("x", "one")
    shipped()
    LATER[later](registry)
    before = registry.get("x")
    with unchanged():
        assert shipped() == shipped() == before == registry.get("x")


def test_rule_22_what_is_the_same(registry, unchanged):
    """Only the fields of a version count, tags as a set and declarations in their canonical form."""
    shipped = {"tags": ["a", "b"], "variables": [{"name": "who", "default": "you"}]}
    registry.seed("x", "one {{ who }}", **shipped)
    registry.update("x", template="people's")
    with unchanged():
        numbers = {
            how: registry.seed("x", "one {{ who }}", **{**shipped, **more}).version for how, more in SAME.items()
        }
    assert set(numbers.values()) == {2}


def test_rule_22_line_ends_of_jinja_are_no_difference(registry, unchanged):
    """Saved on another system the text is the same, and equals what is live; those of a plain text count."""
    made = registry.seed("x", "a\r\nb")
    for text in ("a\nb", "a\rb", "a\r\nb"):
        with unchanged():
            assert registry.seed("x", text) == made
    registry.create("y", "a\nb")
    assert registry.seed("y", "a\r\nb", on_conflict="error").version == 1
    registry.seed("z", "a\r\nb", syntax="plain")
    assert registry.seed("z", "a\nb", syntax="plain").version == 2
    assert registry.seed("z", "a\nb", syntax="jinja").version == 3


def test_rule_22_a_text_that_is_no_jinja_is_seeded_as_plain(registry, unchanged):
    """It keeps every byte, and what is live of another syntax is another text."""
    with unchanged(), pytest.raises(TemplateSyntaxError):
        registry.seed("x", "body {#main { color: red }")
    made = registry.seed("x", "body {#main { color: red }\r\n", syntax="plain")
    assert (made.syntax, registry.render("x").text) == ("plain", "body {#main { color: red }\r\n")
    with unchanged():
        assert registry.seed("x", "body {#main { color: red }\r\n", syntax="plain") == made


def test_rule_22_people_may_choose_another_syntax_where_it_is_not_seeded(registry, unchanged):
    """The template is compared as what was seeded was read, and the next one is of their syntax."""
    registry.seed("x", "a\r\nb")
    registry.update("x", template="a\r\nb", syntax="plain")
    with unchanged():
        assert registry.seed("x", "a\nb").version == 2
    assert registry.seed("x", "c").syntax == "plain"


def test_rule_22_a_pydantic_model_is_seeded_by_its_fields(registry, unchanged):
    """The same class is the same declarations; one with another field is another seed."""

    class First(BaseModel):
        who: str

    class Second(BaseModel):
        who: str
        when: str = "now"

    registry.seed("x", "{{ who }}", variables=First)
    with unchanged():
        assert registry.seed("x", "{{ who }}", variables=First).version == 1
    made = registry.seed("x", "{{ who }}", variables=Second)
    assert (made.version, [v.name for v in made.declared_variables]) == (2, ["who", "when"])


@pytest.mark.parametrize("field", FIELDS)
def test_rule_22_each_field_is_seeded_where_it_is_passed(registry, unchanged, field):
    """Another value of it is another seed, and goes live; one that is not passed keeps what people made of it."""
    one, two = FIELDS[field]
    registry.seed("x", "{{ who }}", **{field: one})
    made = registry.seed("x", "{{ who }}", **{field: two})
    assert made.version == 2
    with unchanged():
        assert registry.seed("x", "{{ who }}", **{field: two}) == made
    registry.create("y", "{{ who }}", **{field: one})
    registry.seed("y", "{{ who }}")
    after = registry.seed("y", "{{ who }}!")
    assert getattr(after, field) == getattr(registry.get("y@1"), field)


@pytest.mark.sqlite
def test_rule_22_a_restart_takes_no_lock_and_one_read(registry, monkeypatch):
    """What was last seeded is found in one read transaction, while another process holds the write lock."""
    registry.seed("x", "one")
    connection = raw(registry.path)
    connection.execute("BEGIN IMMEDIATE")
    reads, read = [], SQLiteStorage.read
    monkeypatch.setattr(SQLiteStorage, "read", lambda storage: reads.append(1) or read(storage))
    assert registry.seed("x", "one").version == 1
    connection.close()
    assert len(reads) == 1


# Equal to what is live


@pytest.mark.parametrize(
    "prepared",
    [
        lambda r: r.create("x", "two", tags=["b", "a"]),
        lambda r: [r.seed("x", "one"), r.update("x", template="two", tags=["a", "b"])],
        lambda r: [r.seed("x", "one"), r.update("x", template="two", tags=["a", "b"]), r.set_status("x", "disabled")],
    ],
    ids=["created by people", "a hot fix", "disabled"],
)
def test_rule_22_what_equals_what_is_live_is_only_remembered(registry, unchanged, prepared):
    """No version, no event, and `updated_at` stays; the next time it is the same as last seeded."""
    prepared(registry)
    with only_the_seed_moves(registry):
        made = registry.seed("x", "two", tags=["a", "b"], on_conflict="error")
    assert made == registry.get("x")
    registry.update("x", template="people's")
    with unchanged():
        assert registry.seed("x", "two", tags=["a", "b"]).template == "people's"


def test_rule_22_another_process_sees_what_was_remembered(registry, unchanged):
    """A registry that has the prompt in its cache, and one that opens the file, find it the same as last seeded."""
    registry.create("x", "one")
    with Registry(target_of(registry)) as other:
        assert other.get("x").version == 1
        registry.seed("x", "one")
        registry.update("x", template="people's")
        with unchanged(), Registry(target_of(registry)) as third:
            assert other.seed("x", "one").version == third.seed("x", "one").version == 2


def test_rule_22_what_is_remembered_of_an_equal_prompt_was_adopted(registry):
    """The next release goes live at once, as nobody has changed what was adopted."""
    registry.create("x", "one")
    registry.seed("x", "one")
    assert registry.seed("x", "two").version == 2


def test_rule_22_adopting_compiles_and_checks_nothing(path):
    """What is live is not checked anew."""
    with Registry(path) as registry:
        registry.create("x", "one", examples=[{}])
    with Registry(path, publish_checks=[refuse_everything]) as registry:
        assert registry.seed("x", "one").version == 1


# Another, and nothing is live or nobody has changed what is


def test_rule_22_where_nothing_is_live_it_goes_live(registry):
    """A prompt of drafts only gets a version from its latest, whoever made that; an equal latest one is published."""
    registry.create("x", "draft", tags=["a"], is_production=False)
    made = registry.seed("x", "one")
    assert (made.version, made.base_version, made.tags, made.production_version) == (2, 1, ["a"], 2)
    registry.create("y", "same", is_production=False)
    last = last_event(registry)
    assert registry.seed("y", "same", on_conflict="error").production_version == 1
    assert actions(registry, last) == [("publish", 1)]
    assert registry.seed("y", "next").version == 2


def test_rule_22_what_nobody_has_changed_is_replaced_at_once(registry):
    """One version is made from what is live, as `save` would, with the actor as its author."""
    registry.seed("x", "one")
    last = last_event(registry)
    made = registry.scope(actor=EDITOR).seed("x", "two")
    assert (made.version, made.base_version, made.author, made.state) == (2, 1, "ana", "published")
    assert registry.get("x") == made
    assert actions(registry, last) == [("update", 2), ("publish", 2)]
    assert registry.verify() == []


def test_rule_22_fields_that_are_not_seeded_belong_to_people(registry):
    """Another config, which the code does not ship, is no change of what was seeded, and stays."""
    registry.seed("x", "one", title="T")
    registry.update("x", config={"model": "m"}, tags=["theirs"])
    made = registry.seed("x", "two", title="T")
    assert (made.version, made.template, made.config, made.tags) == (3, "two", {"model": "m"}, ["theirs"])


def test_rule_22_a_release_may_seed_more_fields_or_fewer(registry, unchanged):
    """The set of fields is a part of the seed: those of the last one say whether people changed them."""
    registry.seed("x", "one", tags=["a"])
    with only_the_seed_moves(registry):  # fewer, and equal
        registry.seed("x", "one")
    registry.update("x", tags=["theirs"])
    assert registry.seed("x", "two").tags == ["theirs"]
    assert registry.seed("x", "two", tags=["b"]).tags == ["b"]  # more: the template was all that was seeded
    registry.update("x", tags=["theirs again"])
    assert registry.seed("x", "three").template == "two"  # the tags were seeded, and people changed them
    assert registry.get("x@latest").template == "three"


def test_rule_22_content_that_was_live_before_is_published_again(registry):
    """It is not copied, whether its number is lower or higher; the stack of publications grows."""
    registry.seed("x", "one")
    registry.seed("x", "two")
    last = last_event(registry)
    assert registry.seed("x", "one").version == 1
    assert registry.seed("x", "two").version == 2
    assert versions(registry) == [(1, "published", "one"), (2, "published", "two")]
    assert actions(registry, last) == [("publish", 1), ("publish", 2)]
    assert [registry.rollback("x", reason="r").version for _ in range(3)] == [1, 2, 1]
    assert registry.verify() == []


def test_rule_22_all_content_counts_for_what_was_live_before(registry):
    """Where people changed a field that is not seeded, the earlier version with that field is another one."""
    registry.seed("x", "one")
    registry.seed("x", "two")
    registry.update("x", config={"model": "m"})
    made = registry.seed("x", "one")
    assert (made.version, made.config) == (4, {"model": "m"})
    assert registry.seed("x", "two").version == 3


def test_rule_22_a_draft_with_the_same_content_is_not_published(registry):
    """What was never live is somebody's draft, and stays it."""
    registry.seed("x", "one")
    registry.update("x", template="two", is_production=False)
    assert registry.seed("x", "two").version == 3
    assert versions(registry)[1] == (2, "draft", "two")


def test_rule_22_publishing_again_runs_no_checks(path):
    """What was live before passes as it does in `publish`; what is new has to pass."""
    with Registry(path) as registry:
        registry.seed("x", "one")
        registry.seed("x", "two")
    with Registry(path, publish_checks=[refuse_everything]) as registry:
        assert registry.seed("x", "one").version == 1
        with pytest.raises(PublishCheckError):
            registry.seed("x", "three")


def test_rule_22_only_the_newest_thousand_versions_are_compared(registry, monkeypatch):
    """Older content is copied, so that no call's work grows without a bound."""
    assert (COMPARED, COMPARED % PAGE) == (1_000, 0)
    monkeypatch.setattr("promptreg.planning.COMPARED", 4)
    monkeypatch.setattr("promptreg.planning.PAGE", 2)
    for text in ("one", "two", "three", "four"):
        registry.seed("x", text)
    assert registry.seed("x", "one").version == 1
    registry.seed("x", "five")
    assert registry.seed("x", "one").version == 6
    assert registry.seed("x", "three").version == 3


# Statuses and grants


def test_rule_22_an_archived_prompt_stays_as_it_is(registry, unchanged):
    """Nothing is written, not even what was seeded: restored, it gets what the code ships then."""
    registry.seed("x", "one")
    archived = registry.archive("x")
    for how in ("draft", "publish", "error"):
        with unchanged():
            assert registry.seed("x", "two", on_conflict=how, release=3) == archived
    registry.restore("x")
    assert registry.seed("x", "two").version == 2


def test_rule_22_an_archived_prompt_of_drafts_is_returned_as_its_latest(registry, unchanged):
    """Nothing is live, so the call returns what `archive` did."""
    registry.create("x", "draft", is_production=False)
    archived = registry.archive("x")
    with unchanged():
        assert registry.seed("x", "one") == archived


def test_rule_22_a_disabled_prompt_stays_disabled(registry):
    """It gets the new version all the same."""
    registry.seed("x", "one")
    registry.set_status("x", "disabled")
    made = registry.seed("x", "two")
    assert (made.version, made.status) == (2, "disabled")


def test_rule_22_grants_count_only_where_the_prompt_is_made(registry, unchanged):
    """Later ones are no difference, and need no permission; malformed ones are refused all the same."""
    registry.seed("x", "one", access_grants=[("user:bo", "read")])
    with unchanged():
        made = registry.scope(actor=EDITOR).seed("x", "one", access_grants=[("user:cy", "write")])
    assert made.access_grants == [Grant("user:bo", "read")]
    made = registry.scope(actor=EDITOR).seed("x", "two", access_grants=[("user:cy", "write")])
    assert (made.version, made.access_grants) == (2, [Grant("user:bo", "read")])
    with unchanged(), pytest.raises(InvalidInputError, match="access_grants"):
        registry.seed("x", "two", access_grants=[("anyone", "write")])


def test_rule_22_permissions_are_needed_even_where_nothing_is_written(registry, unchanged):
    """A member, and a reader by grant, may not seed what is the same as last seeded, equal or archived."""
    registry.seed("x", "one", access_grants=[("user:rita", "read"), ("user:walt", "write")])
    registry.create("equal", "one", access_grants=[("user:rita", "read"), ("user:walt", "write")])
    registry.seed("kept", "one", access_grants=[("user:rita", "read"), ("user:walt", "write")])
    registry.archive("kept")
    for name in ("x", "equal", "kept"):
        for actor in (Actor("mia", "team_member"), Actor("rita")):
            with unchanged(), pytest.raises(ForbiddenError) as caught:
                registry.scope(actor=actor).seed(name, "one")
            assert caught.value.details == {"names": [name], "action": "update"}
        assert registry.scope(actor=Actor("walt")).seed(name, "one").version == 1


# Refusals


def test_rule_22_a_template_error_comes_before_anything_is_written(registry, unchanged):
    """Where the prompt is made, where it goes live, and where it would be a draft."""
    with unchanged(), pytest.raises(TemplateSyntaxError):
        registry.seed("x", "{% if %}")
    registry.seed("x", "one")
    with unchanged(), pytest.raises(TemplateSyntaxError) as caught:
        registry.seed("x", "{% if %}")
    assert caught.value.details["name"] == "x"
    registry.update("x", template="people's")
    with unchanged(), pytest.raises(TemplateSyntaxError):
        registry.seed("x", "{% if %}")
    registry.create("y", "draft", is_production=False)
    with unchanged(), pytest.raises(TemplateSyntaxError):
        registry.seed("y", "{% if %}")


def test_rule_22_failed_checks_write_nothing(path, unchanged):
    """What goes live is checked, a draft is not, and a prompt whose checks fail keeps what was last seeded."""

    def refuse(prompt: Prompt) -> None:
        if "bad" in str(prompt.template):
            raise ValueError("no")

    with Registry(path, publish_checks=[refuse]) as registry:
        with unchanged(), pytest.raises(PublishCheckError):
            registry.seed("x", "bad")
        registry.seed("x", "one")
        with unchanged(), pytest.raises(PublishCheckError) as caught:
            registry.seed("x", "bad {{ n }}", examples=[{}])
        assert len(caught.value.details["reasons"]) == 2
        registry.create("y", "bad", is_production=False)
        with unchanged(), pytest.raises(PublishCheckError):
            registry.seed("y", "bad")
        registry.update("x", template="people's")
        assert registry.seed("x", "bad").version == 2
        assert versions(registry)[-1] == (3, "draft", "bad")
