"""Rule 22: what code ships, beside what people publish. `seed` alone, and releases that seed in turns.

Who may, in which order calls are refused, and bad arguments are in the tables of `test_tables.py`.
"""

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import pytest
from pydantic import BaseModel

from promptreg import (
    UNSET,
    Actor,
    ConflictError,
    ForbiddenError,
    Grant,
    InvalidInputError,
    NotFoundError,
    Prompt,
    PublishCheckError,
    Registry,
    TemplateError,
    TemplateSyntaxError,
    Variable,
    VersionConflictError,
)
from promptreg.planning import COMPARED, PAGE
from promptreg.storage.sqlite.storage import SQLiteStorage
from tests.forks import fork, in_child, of_child
from tests.refusals import seen
from tests.test_rules_meanwhile import meanwhile
from tests.test_storage_sqlite import raw

EDITOR = Actor("ana", "team_editor")
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


def versions(registry: Registry, name: str = "x") -> list[tuple[int, str, object]]:
    """Return number, state and template of each version, oldest first."""
    return [(v.version, v.state, v.template) for v in reversed(registry.history(name, limit=100))]


def actions(registry: Registry, after: int = 0) -> list[tuple[str, int | None]]:
    """Return action and version of each event above a number."""
    return [(event.action, event.version) for event in registry.events(after=after, limit=1000)]


def last_event(registry: Registry) -> int:
    return registry.events(limit=1000)[-1].seq


def live(registry: Registry) -> tuple[int, object]:
    """Return number and template of what is live of x, read anew."""
    prompt = registry.get("x")
    return prompt.version, prompt.template


def conflicting(registry: Registry) -> None:
    """Seed x as version 1, and have people publish version 2."""
    registry.seed("x", "one")
    registry.update("x", template="people's")


@contextmanager
def only_the_seed_moves(registry: Registry) -> Iterator[None]:
    """Fail unless what readers see stays the same, no event is written, and the revision grows by one."""
    before, last, revision = seen(registry), last_event(registry), stored_revision(registry)
    yield
    assert (seen(registry), last_event(registry)) == (before, last)
    assert stored_revision(registry) == revision + 1


def stored_revision(registry: Registry) -> int:
    connection = raw(registry.path)
    (revision,) = connection.execute("SELECT revision FROM registry").fetchone()
    connection.close()
    return revision


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
    "a release": {"release": 7},
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
    with Registry(registry.path) as other:
        assert other.get("x").version == 1
        registry.seed("x", "one")
        registry.update("x", template="people's")
        with unchanged(), Registry(registry.path) as third:
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


def refuse_everything(prompt: Prompt) -> None:
    """Raise for every prompt."""
    raise ValueError("no")


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


# Another, and people have changed what is live


def test_rule_22_a_draft_is_made_and_what_is_live_stays(registry, caplog):
    """The call returns what is live, and warns by the logger `promptreg`, with names and numbers only."""
    conflicting(registry)
    last, before = last_event(registry), registry.get("x")
    returned = registry.scope(actor=EDITOR).seed("x", "shipped")
    assert returned == registry.get("x")
    assert (returned.version, returned.template, returned.latest_version) == (2, "people's", 3)
    assert returned.updated_at > before.updated_at
    draft = registry.get("x@3")
    assert (draft.state, draft.template, draft.base_version, draft.author) == ("draft", "shipped", 2, "ana")
    assert actions(registry, last) == [("update", 3)]
    (record,) = caplog.records
    assert (record.name, record.levelno) == ("promptreg", logging.WARNING)
    assert record.getMessage() == (
        "'x' was changed by people since version 1 was seeded, so version 2 stays live; what is seeded now"
        " is version 3 (draft), which publish('x', 3) makes live."
    )


def test_rule_22_the_warning_comes_after_the_commit(registry):
    """A log handler may use the registry, which is neither locked nor in a transaction."""
    found = []

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            found.append(registry.publish("x").version)

    handler = Handler()
    logging.getLogger("promptreg").addHandler(handler)
    try:
        conflicting(registry)
        registry.seed("x", "shipped")
    finally:
        logging.getLogger("promptreg").removeHandler(handler)
    assert (found, live(registry)) == ([3], (3, "shipped"))


def test_rule_22_what_was_never_seeded_is_people_s(registry, caplog):
    """A prompt that exists and is live with other content, and was never seeded, is kept."""
    registry.create("x", "people's")
    assert registry.seed("x", "shipped").template == "people's"
    assert registry.get("x@2").state == "draft"
    registry.seed("x", "shipped later")
    for record in caplog.records:
        assert record.getMessage().startswith("'x' was made by people, so version 1 stays")


def test_rule_22_a_rollback_is_a_change_by_people(registry):
    """What the next release ships is a draft beside what people rolled back to."""
    registry.seed("x", "one")
    registry.seed("x", "two")
    registry.rollback("x", reason="r")
    assert registry.seed("x", "three").version == 1
    assert versions(registry)[2] == (3, "draft", "three")


def test_rule_22_the_draft_of_the_last_seed_is_edited(registry, unchanged, caplog):
    """Release after release edits it, each with a warning, and a restart writes and warns of nothing."""
    conflicting(registry)
    registry.seed("x", "two")
    registry.update("x", config={"model": "people's"})
    last, made = last_event(registry), registry.get("x@3")
    registry.scope(actor=EDITOR).seed("x", "three", tags=["a"])
    edited = registry.get("x@3")
    assert (edited.template, edited.tags, edited.state) == ("three", ["a"], "draft")
    assert (edited.author, edited.version_created_at) == (made.author, made.version_created_at)
    assert (edited.config, edited.base_version) == ({"model": "people's"}, 4)  # it is what would go live now
    assert actions(registry, last) == [("edit", 3)]
    with unchanged():
        assert registry.seed("x", "three", tags=["a"]).version == 4
    assert len(caplog.records) == 2
    assert caplog.records[1].getMessage() == (
        "'x' was changed by people since version 1 was seeded, so version 4 stays live; what is seeded now is version 3"
        " (draft), which publish('x', 3) makes live."
    )


@pytest.mark.parametrize(
    ("edit", "left"),
    [
        (lambda r: r.update("x@3", template="edited"), (3, "draft", "edited")),
        (lambda r: r.update("x@3", config={"n": 1}), (3, "draft", "two")),
        (lambda r: r.update("x@3", commit_message="Mine"), (3, "draft", "two")),
        (lambda r: [r.publish("x@3"), r.publish("x", 2)], (3, "published", "two")),
        (lambda r: r.discard("x@3"), None),
    ],
    ids=["its template", "a field", "its message", "published", "discarded"],
)
def test_rule_22_a_draft_that_people_edited_is_left_to_them(registry, edit, left):
    """Another draft is made; one that was discarded, or published and replaced, is not touched either."""
    conflicting(registry)
    registry.seed("x", "two")
    edit(registry)
    registry.seed("x", "three")
    assert versions(registry)[2:] == [*([left] if left else []), (4, "draft", "three")]
    registry.seed("x", "four")
    assert versions(registry)[-1] == (4, "draft", "four")


def test_rule_22_a_draft_that_failed_its_checks_is_still_the_seed_s(path):
    """Somebody tried to publish it, and nobody edited it: it is edited, and a draft again."""

    def refuse(prompt: Prompt) -> None:
        if prompt.template == "two":
            raise ValueError("no")

    with Registry(path, publish_checks=[refuse]) as registry:
        conflicting(registry)
        registry.seed("x", "two")
        with pytest.raises(PublishCheckError):
            registry.publish("x")
        registry.seed("x", "three")
        assert versions(registry)[2:] == [(3, "draft", "three")]
        assert registry.get("x@3").failure is None


def test_rule_22_a_label_on_the_draft_is_no_edit(registry):
    """What the label shows is what the code ships now."""
    conflicting(registry)
    registry.seed("x", "two")
    registry.set_label("x", "shipped", 3)
    registry.seed("x", "three")
    assert registry.get("x@shipped").template == "three"


def test_rule_22_somebody_s_equal_draft_is_not_made_twice(registry, caplog):
    """The warning names it; it stays its author's, so the next seed makes another."""
    conflicting(registry)
    registry.update("x", template="two", is_production=False)
    with only_the_seed_moves(registry):
        registry.seed("x", "two")
    assert "is version 3 (draft)" in caplog.text
    registry.seed("x", "three")
    assert versions(registry)[2:] == [(3, "draft", "two"), (4, "draft", "three")]


def test_rule_22_the_draft_that_people_publish_is_what_was_seeded(registry):
    """Then nobody has changed what is live, and the next release goes live at once."""
    conflicting(registry)
    registry.seed("x", "two")
    registry.publish("x")
    assert registry.seed("x", "three").production_version == 4


def test_rule_22_publish_replaces_what_people_made(registry, caplog):
    """As a new version, or as an earlier one with that content."""
    conflicting(registry)
    assert registry.seed("x", "two", on_conflict="publish").production_version == 3
    registry.update("x", template="theirs again")
    last = last_event(registry)
    assert registry.seed("x", "one", on_conflict="publish").production_version == 1
    assert (actions(registry, last), caplog.records) == ([("publish", 1)], [])


def test_rule_22_error_moves_nothing(registry, unchanged):
    """`ConflictError` names the prompt, what is live and the fields, and the next call is refused as well."""
    conflicting(registry)
    for _ in range(2):
        with unchanged(), pytest.raises(ConflictError) as caught:
            registry.seed("x", "two", tags=["a"], on_conflict="error")
        assert (type(caught.value), caught.value.code) == (ConflictError, "conflict")
        assert caught.value.details == {"name": "x", "production": 2, "fields": ["template", "tags"]}
    assert caught.value.message == (
        "'x' was changed by people since version 1 was seeded, and version 2, which is live, differs from"
        " what is seeded now in template, tags; take it over into what you seed, or pass on_conflict='publish' to"
        " replace it."
    )
    assert registry.seed("x", "one", on_conflict="error").version == 2  # the same as last seeded


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


# Other writers


def test_rule_22_a_name_that_is_taken_meanwhile_is_found(registry, path, monkeypatch):
    """Between the read and the write another process creates the prompt: equal, it is kept; else it is theirs."""
    meanwhile(monkeypatch, path, lambda other: other.seed("x", "one"))
    assert registry.seed("x", "one").version == 1
    assert actions(registry) == [("create", 1), ("publish", 1)]
    meanwhile(monkeypatch, path, lambda other: other.create("y", "theirs"))
    assert registry.seed("y", "one").template == "theirs"


def test_rule_22_what_people_publish_meanwhile_is_kept(registry, path, monkeypatch, caplog):
    """The decision is made again within the write."""
    registry.seed("x", "one")
    meanwhile(monkeypatch, path, lambda other: other.update("x", template="people's"))
    assert registry.seed("x", "two").template == "people's"
    assert versions(registry)[-1] == (3, "draft", "two")
    assert len(caplog.records) == 1


@pytest.mark.parametrize(
    ("change", "error"),
    [({"examples": [{}]}, PublishCheckError), ({"variables": [{"name": "n", "required": False}]}, TemplateError)],
    ids=["examples", "variables"],
)
def test_rule_22_what_is_written_after_all_is_checked(registry, path, monkeypatch, change, error):
    """A version was to be published again, but people have changed a field that is not seeded: it is a new one."""
    registry.seed("x", "{{ n }}")
    registry.seed("x", "one")
    meanwhile(monkeypatch, path, lambda other: other.update("x", **change))
    with pytest.raises(error):
        registry.seed("x", "{{ n }}")
    assert registry.get("x").version == 3


def test_rule_22_a_conflict_of_checks_is_tried_again(path):
    """While the checks run somebody publishes: what is seeded is decided anew, as in `save`."""
    people = iter(["theirs"])

    def check(prompt: Prompt) -> None:
        for text in people:
            with Registry(path) as other:
                other.update("x", template=text)

    with Registry(path) as registry:
        registry.seed("x", "one")
    with Registry(path, publish_checks=[check]) as registry:
        assert registry.seed("x", "two").template == "theirs"
        assert versions(registry)[-1] == (3, "draft", "two")


def test_rule_22_a_conflict_without_an_end_is_raised(path):
    """After some tries the call is `VersionConflictError`, and nothing of it was written."""

    def check(prompt: Prompt) -> None:
        with Registry(path) as other:
            other.update("x", config={"n": other.get("x").version})

    with Registry(path) as registry:
        registry.seed("x", "one")
    with Registry(path, publish_checks=[check]) as registry:
        with pytest.raises(VersionConflictError):
            registry.seed("x", "two")
        assert registry.get("x").template == "one"


def test_rule_22_eight_processes_at_once_write_once(registry, path):
    """Each returns the same version, whether the prompt is made, goes live, or gets a draft; one of them writes."""
    rounds: list[tuple[Callable[[Registry], object], list[tuple[str, int]], tuple[int, str]]] = [
        (lambda r: None, [("create", 1), ("publish", 1)], (1, "one")),
        (lambda r: None, [("update", 2), ("publish", 2)], (2, "two")),
        (lambda r: r.update("x", template="people's"), [("update", 4)], (3, "people's")),
    ]
    for text, (prepare, written, expected) in zip(("one", "two", "three"), rounds, strict=True):
        prepare(registry)
        last = registry.events(limit=1000)[-1].seq if registry.events() else 0
        assert set(at_once(path, text, 8)) == {expected}
        assert actions(registry, last) == written


def at_once(path: str, text: str, count: int) -> list[tuple[int, str]]:
    """Seed x in that many processes, which begin together; return what each got."""
    gate, opener = os.pipe()
    running = []
    for _ in range(count):
        out, into = os.pipe()
        child, _ = fork()
        if child == 0:
            in_child(lambda: seeded(path, text, gate), into)
        os.close(into)
        running.append((child, out))
    os.write(opener, b"x" * count)
    results = [of_child(*process) for process in running]
    os.close(gate)
    os.close(opener)
    return results


def seeded(path: str, text: str, gate: int) -> tuple[int, str]:
    logging.getLogger("promptreg").setLevel(logging.ERROR)
    with Registry(path, busy_timeout=60) as registry:
        os.read(gate, 1)
        prompt = registry.seed("x", text)
        return prompt.version, str(prompt.template)


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


# What is kept


def test_a_prompt_does_not_show_what_was_seeded(registry):
    """The value of a seeded prompt equals that of one which was saved, but for id, name and times."""
    seeded, saved = registry.seed("x", "one", title="T"), registry.save("y", "one", title="T")
    hidden = {"id", "name", *(field for field in Prompt.model_fields if field.endswith("_at"))}
    assert seeded.model_dump(exclude=hidden) == saved.model_dump(exclude=hidden)


def test_what_was_seeded_is_kept_through_every_other_change(registry, unchanged):
    """Labels, statuses, drafts, publications and grants leave it as it is."""
    registry.seed("x", "one")
    registry.update("x", template="two", is_production=False)
    registry.update("x@2", title="T")
    registry.set_label("x", "a", 2)
    registry.remove_label("x", "a")
    registry.discard("x")
    registry.set_status("x", "disabled")
    registry.set_status("x", "active")
    registry.update("x", access_grants=[("anyone", "read")])
    registry.update("x", template="three")
    registry.rollback("x", 1, reason="r")
    registry.publish("x", 4)
    with unchanged():
        assert registry.seed("x", "one").version == 4


def test_a_changed_seed_is_damage(registry):
    """The row's hash covers it, so `verify` and reads report what no registry wrote."""
    registry.seed("x", "one")
    connection = raw(registry.path)
    connection.execute("UPDATE prompts SET seed = NULL")
    connection.commit()
    connection.close()
    assert len(registry.verify()) == 1


def test_no_value_is_in_what_is_kept(registry):
    """It holds names of fields, hashes and numbers."""
    registry.seed("x", "secret-text", title="secret-title", config={"secret-key": "secret"}, release=3)
    registry.update("x", template="other")
    registry.seed("x", "secret-text 2")
    connection = raw(registry.path)
    ((kept,),) = connection.execute("SELECT seed FROM prompts").fetchall()
    connection.close()
    assert "secret" not in kept
    assert '"fields":["template"]' in kept


def test_a_view_seeds_in_its_namespace(registry):
    """The same name elsewhere is another prompt, with what was seeded there."""
    team = registry.scope(namespace="team")
    registry.seed("x", "one")
    team.seed("x", "ours")
    assert (live(registry), live(team)) == ((1, "one"), (1, "ours"))
    assert team.seed("x", "ours too").version == 2


def test_a_registry_in_memory_seeds(caplog):
    """Every case works there as in a file."""
    with Registry(":memory:") as registry:
        conflicting(registry)
        registry.seed("x", "two")
        assert versions(registry)[-1] == (3, "draft", "two")
        assert registry.seed("x", "one", on_conflict="publish").version == 1
