"""Rules 1 to 6: what creates a version, what is live, and what is refused.

Labels, references and events are in test_rules_labels.py, drafts, checks and discarding (rules 7, 9 and 10)
in test_rules_drafts.py, concurrent writers in test_rules_writers.py.
"""

from collections.abc import Callable
from functools import partial

import pytest

from promptreg import (
    UNSET,
    Actor,
    ConflictError,
    Grant,
    InvalidInputError,
    NameTakenError,
    NoProductionVersionError,
    NotFoundError,
    NotModifiableError,
    Prompt,
    PublishCheckError,
    Registry,
    Variable,
    VersionConflictError,
    VersionNotFoundError,
)
from tests.refusals import prepare, refused

FULL = {
    "template": "Hello {{ who }}",
    "title": "Greeting",
    "description": "Says hello",
    "category": "small talk",
    "tags": ["a", "b"],
    "variables": [{"name": "who", "type": "string"}],
    "config": {"model": "m", "stop": ["\n", None], "deep": {"x": 1, "y": True}},
    "meta": {"ticket": "T-1", "ключ": "é"},
    "examples": [{"who": "Ana"}, {"who": "李"}],
}
OTHER = {
    "template": [{"role": "user", "content": "Hello {{ who }}"}],
    "title": "Farewell",
    "description": "",
    "category": "other",
    "tags": ["b"],
    "variables": [{"name": "who", "type": "any"}],
    "config": {"model": "m", "stop": [None, "\n"], "deep": {"x": 1, "y": True}},
    "meta": {"ticket": "T-1", "ключ": "e\u0301"},
    "examples": [{"who": "李"}, {"who": "Ana"}],
}
SNAPSHOT = [*FULL]
MOVED_BY_A_DRAFT = {"latest_version", "labels", "updated_at"}


@pytest.fixture
def refuses(registry, unchanged) -> Callable[..., None]:
    """Return `refused` for the registry of this test."""
    return partial(refused, registry, unchanged)


def fails(prompt: Prompt) -> None:
    """Refuse everything."""
    raise ValueError("no")


def but(prompt: Prompt, *fields: str) -> dict[str, object]:
    """Return the content of a prompt, without these fields."""
    return prompt.model_dump(exclude=set(fields))


# Rule 1


def test_rule_1_create_writes_version_1(registry):
    """`create` makes version 1 live with every field as passed, and with the actor as owner and author."""
    ana = registry.scope(actor=Actor("ana", "team_editor"))
    made = ana.create("x", **FULL, access_grants=[("user:bo", "read")])
    assert {field: getattr(made, field) for field in SNAPSHOT if field != "variables"} == {
        field: value for field, value in FULL.items() if field != "variables"
    }
    assert made.variables == [Variable(name="who", type="string", required=True)]
    assert (made.version, made.production_version, made.latest_version, made.base_version) == (1, 1, 1, None)
    assert (made.state, made.commit_message, made.author, made.created_by) == (
        "published",
        "Initial version",
        "ana",
        "ana",
    )
    assert made.created_at == made.updated_at == made.version_created_at == made.published_at
    assert made.labels == {"production": 1, "latest": 1}
    assert made.access_grants == [Grant("user:bo", "read")]
    assert registry.get("x") == registry.get(made.id) == made


def test_rule_1_the_title_defaults_to_the_name(registry):
    """Without a title the title is the name, and a rename does not change it."""
    assert registry.create("x", "one").title == "x"
    assert registry.update("x", new_name="y").title == "x"


@pytest.mark.parametrize("is_production", [True, False])
@pytest.mark.parametrize("field", SNAPSHOT)
def test_rule_1_each_field_creates_one_complete_version(registry, field, is_production):
    """A difference in any one field creates one version, and all other fields come from the base."""
    first = registry.create("x", **FULL)
    made = registry.scope(actor=Actor("bo", "team_editor")).update(
        "x", **{field: OTHER[field]}, commit_message="Why", is_production=is_production
    )
    assert (made.version, made.base_version, made.author, made.commit_message) == (2, 1, "bo", "Why")
    assert [v.version for v in registry.history("x")] == [2, 1]
    assert made.content_hash != first.content_hash
    related = {"template": {"kind"}}.get(field, set())
    rest = [f for f in SNAPSHOT if f not in {field, *related}]
    assert {f: getattr(made, f) for f in rest} == {f: getattr(first, f) for f in rest}
    assert registry.get("x", version=1).template == first.template


@pytest.mark.parametrize(
    "edit",
    [
        {},
        FULL,
        {"tags": ["b", "a"]},
        {"tags": ("b", "a", "b")},
        pytest.param({"tags": {"a", "b"}}, id="tags-as-a-set"),
        {"config": {"deep": {"y": True, "x": 1}, "stop": ("\n", None), "model": "m"}},
        {"variables": (Variable(name="who", type="string"),)},
        {"examples": ({"who": "Ana"}, {"who": "李"})},
        {"new_name": "x"},
        {"access_grants": [("group:g", "write"), Grant("user:bo", "read"), ("group:g", "read")]},
        {"commit_message": "Nothing new"},
        {"expected_version": 1},
        {"template": UNSET, "title": UNSET, "tags": UNSET, "new_name": UNSET, "version": UNSET},
    ],
    ids=str,
)
@pytest.mark.parametrize("is_production", [True, False])
def test_rule_1_an_equal_update_writes_nothing(registry, unchanged, edit, is_production):
    """If the snapshot equals the base's as canonical JSON, with tags as a set, nothing is written."""
    before = registry.create("x", **FULL, access_grants=[("user:bo", "read"), ("group:g", "write")])
    with unchanged():
        assert registry.update("x", **edit, is_production=is_production) == before


@pytest.mark.parametrize(
    "edit",
    [
        {"template": "Hello {{ who }}\n"},
        {"tags": ["a", "B"]},
        {"tags": []},
        {"config": {"model": "m", "stop": ["\n", None], "deep": {"x": True, "y": 1}}},
        {"config": {"model": "m", "stop": ["\n", None], "deep": {"x": "1", "y": True}}},
        {"config": None},
        {"meta": None},
        {"variables": None},
        {"examples": []},
    ],
    ids=str,
)
def test_rule_1_a_small_difference_counts(registry, edit):
    """True is not 1, newlines and case count, and None and empty lists empty a field."""
    registry.create("x", **FULL)
    made = registry.update("x", **edit)
    assert made.version == 2
    emptied = {key: {} for key, value in edit.items() if value is None and key != "variables"}
    assert all(getattr(made, key) == value for key, value in emptied.items())


def test_rule_1_tags_keep_the_order_of_the_version_that_set_them(registry):
    """The hash ignores the order of tags, and every version's hash is as defined."""
    first = registry.create("x", "one", title="t", tags=["b", "a"])
    second = registry.create("y", "one", title="t", tags=["a", "b"])
    assert (first.tags, second.tags) == (["b", "a"], ["a", "b"])
    assert first.content_hash == second.content_hash


def test_rule_1_the_base_is_production_else_latest(registry):
    """An update starts from the live version, not from a newer draft; if none was ever live, from the latest."""
    registry.create("live", "one")
    registry.update("live", title="Draft", is_production=False)
    made = registry.update("live", template="three")
    assert (made.version, made.base_version, made.title) == (3, 1, "live")
    registry.create("never", "one", is_production=False)
    registry.update("never", title="Draft", is_production=False)
    made = registry.update("never", template="three")
    assert (made.version, made.base_version, made.title, made.production_version) == (3, 2, "Draft", 3)
    registry.rollback("live", reason="Worse")
    assert registry.update("live", template="four").base_version == 1


@pytest.mark.parametrize(
    "call",
    [
        lambda r: r.update("x", template="one", commit_message="Again"),
        lambda r: r.update("x", title="x", is_production=True),
        lambda r: r.update("x", tags=["b", "a"]),
        lambda r: r.update("x", variables=None),
        lambda r: r.update("x", template="one", new_name="x", access_grants=[]),
        lambda r: r.save("x", "one", commit_message="Again"),
    ],
)
def test_rule_1_if_nothing_is_live_an_equal_update_publishes_the_latest(registry, call):
    """After a call with is_production=True the passed content is live, even if a draft had it already."""
    draft = registry.create("x", "one", tags=["a", "b"], commit_message="First", is_production=False)
    made = call(registry)
    moved = {"state", "production_version", "labels", "updated_at", "published_at"}
    assert but(made, *moved) == but(draft, *moved)
    assert (made.version, made.state, made.production_version) == (1, "published", 1)
    assert made.published_at == made.updated_at > draft.updated_at
    assert registry.get("x") == made
    assert registry.render("x").text == "one"
    assert [event.action for event in registry.events("x")] == ["create", "publish"]


def test_rule_1_of_several_drafts_the_latest_goes_live(registry):
    """If none was ever live, the base is the latest, which goes live, and the others remain drafts."""
    registry.create("x", "one", is_production=False)
    registry.update("x", template="two", is_production=False)
    assert registry.update("x", template="two").version == 2
    assert [(v.version, v.state) for v in registry.history("x")] == [(2, "published"), (1, "draft")]
    assert registry.rollback("x", 2, reason="r").version == 2


@pytest.mark.parametrize(
    "call",
    [
        lambda r: r.update("x"),
        lambda r: r.update("x", is_production=True),
        lambda r: r.update("x", commit_message="Again"),
        lambda r: r.update("x", new_name="x", access_grants=[]),
        lambda r: r.update("x", expected_version=1),
        lambda r: r.update("x", template="one", is_production=False),
        lambda r: r.save("x", "one", is_production=False),
        lambda r: r.update("x@1", template="one"),
    ],
)
def test_rule_1_a_draft_goes_live_only_if_a_field_of_it_was_passed(registry, unchanged, call):
    """Without a field of the version, or with is_production=False, nothing is written if nothing differs."""
    draft = registry.create("x", "one", is_production=False)
    with unchanged():
        assert call(registry) == draft
    assert draft.production_version is None


def test_rule_1_an_equal_update_that_publishes_runs_the_checks(registry, refuses):
    """An equal draft remains a draft if it fails its checks, or if the prompt is archived."""
    registry.create("x", "{{ n }}", examples=[{}], is_production=False)
    for call in (lambda r: r.update("x", template="{{ n }}"), lambda r: r.save("x", "{{ n }}")):
        refuses(call, PublishCheckError, "publish_check_failed")
    assert registry.get("x@1").state == "draft"
    registry.archive("x")
    for call in (lambda r: r.update("x", template="{{ n }}"), lambda r: r.save("x", "{{ n }}")):
        refuses(call, NotModifiableError, "prompt_archived")


def test_rule_1_once_something_is_live_an_equal_update_publishes_nothing(registry, unchanged):
    """An update equal to the live version does not change drafts and earlier versions."""
    prepare(registry)
    with unchanged():
        assert registry.update("x", template="one").version == 1
        assert registry.save("x", "one").version == 1


def test_rule_1_save_creates_updates_or_does_nothing(registry, unchanged):
    """`save` creates the prompt, then versions of it, keeps fields not passed, and writes nothing if equal."""
    made = registry.save("x", "one", tags=["a"])
    assert (made.version, made.commit_message, made.title, made.tags) == (1, "Initial version", "x", ["a"])
    with unchanged():
        assert registry.save("x", "one") == registry.save(made.id, "one", commit_message="Again") == made
    second = registry.save("x", "two", commit_message="Why")
    assert (second.version, second.tags, second.commit_message, second.id) == (2, ["a"], "Why", made.id)
    assert registry.save("x", "three", is_production=False).production_version == 2


# Rule 2


def test_rule_2_a_draft_changes_nothing_live(registry, path, clock):
    """A draft changes latest_version, the label latest and updated_at, and nothing else of the live prompt."""
    first = registry.create("x", "apple {{ a }}", category="c", tags=["t"])
    with Registry(path, clock=clock) as other:
        assert other.get("x") == first
        draft = registry.update("x", template="pear", category="d", tags=["u"], is_production=False)
        for reader in (registry, other):
            after = reader.get("x")
            assert but(after, *MOVED_BY_A_DRAFT) == but(first, *MOVED_BY_A_DRAFT)
            assert (after.latest_version, after.labels) == (2, {"production": 1, "latest": 2})
            assert after.updated_at > first.updated_at
            assert (reader.render("x", a=1).text, reader.render("x@latest").text) == ("apple 1", "pear")
            assert list(reader.list()) == list(reader.list(category="c", tag="t")) == reader.search("apple") == [after]
            assert len(reader.list(tag="u")) == len(reader.list(category="d")) == len(reader.search("pear")) == 0
    assert (draft.version, draft.state, draft.published_at) == (2, "draft", None)
    assert draft.production_version == 1


def test_rule_2_a_draft_equal_to_the_latest_version_is_a_no_op(registry, unchanged):
    """Saving the same draft twice returns the same version; the same content as production is a new one."""
    prepare(registry)
    draft = registry.get("x@2")
    with unchanged():
        assert registry.update("x", template="two", is_production=False) == draft
        assert registry.save("x", "two", is_production=False) == draft
        assert registry.update("x", template="one", is_production=False) == registry.get("x")
    assert registry.update("x", template="two").version == 3


def test_rule_2_an_equal_draft_is_the_latest_version_even_if_the_base_is_equal_too(registry, unchanged):
    """For an equal draft a draft edited back to the live content is returned, and for production the live version."""
    registry.create("a", "one")
    registry.update("a", template="two", is_production=False)
    registry.update("a@2", template="one")
    with unchanged():
        assert registry.update("a", template="one", is_production=False).version == 2
        assert registry.save("a", "one", is_production=False).version == 2
        assert registry.update("a", is_production=False).version == 2
        assert registry.update("a", template="one").version == 1
    registry.update("a", template="three", is_production=False)
    with unchanged():
        assert registry.update("a", template="one", is_production=False).version == 1


def test_rule_2_a_draft_equal_to_an_older_draft_is_new(registry):
    """A draft equal to an older one is a new version, because only the latest is compared."""
    prepare(registry)
    registry.update("x", template="three", is_production=False)
    assert registry.update("x", template="two", is_production=False).version == 4


# Rule 3


@pytest.mark.parametrize("is_production", [True, False])
def test_rule_3_name_and_grants_apply_at_once(registry, is_production):
    """A rename and new grants apply at once, are stored in their version, and survive publish and rollback."""
    old = registry.create("x", "one", access_grants=[("user:bo", "read")])
    registry.create("z", "one")
    made = registry.update("x", new_name="y", access_grants=[("user:li", "write")], is_production=is_production)
    assert (made.version, made.id, made.name, made.content_hash) == (2, old.id, "y", old.content_hash)
    assert made.production_version == (2 if is_production else 1)
    assert [(v.name, v.access_grants) for v in registry.history("y")] == [
        ("y", [Grant("user:li", "write")]),
        ("x", [Grant("user:bo", "read")]),
    ]
    registry.publish("y", 2)
    back = registry.rollback("y", 1, reason="Worse")
    assert (back.version, back.name, back.access_grants) == (1, "y", [Grant("user:li", "write")])
    with pytest.raises(NotFoundError):
        registry.get("x")
    assert registry.create("x", "new").version == 1


def test_rule_3_container_changes_are_compared_with_the_container(registry, unchanged):
    """A name or grants set by a draft already belong to the prompt, whatever the live version recorded."""
    registry.create("x", "one")
    registry.update("x", new_name="y", access_grants=[("user:bo", "read")], is_production=False)
    with unchanged():
        assert registry.update("y", new_name="y", access_grants=[("user:bo", "read")]).version == 1
    assert registry.update("y", access_grants=[]).version == 3
    assert registry.get("y").access_grants == []


def test_rule_3_a_taken_name_is_refused(registry, refuses):
    """The name of another prompt of the namespace is refused, even of an archived one."""
    for name in ("x", "y", "old"):
        registry.create(name, "one")
    registry.archive("old")
    registry.scope(namespace="other").create("free", "one")
    for taken in ("y", "old"):
        refuses(lambda r, to=taken: r.update("x", new_name=to, title="T"), NameTakenError, "name_taken", name=taken)
        refuses(lambda r, to=taken: r.create(to, "one"), NameTakenError, "name_taken", name=taken)
    assert registry.update("x", new_name="free").name == "free"


# Rules 4 and 5


def test_rule_4_publishing_the_live_version_changes_nothing(registry, unchanged):
    """Publishing the live version, by whatever reference, writes nothing."""
    prepare(registry)
    live = registry.get("x")
    with unchanged():
        for call in ("x@1", "x@production", f"{live.id}@1"):
            assert registry.publish(call, expected_production=1) == live


def test_rule_4_a_call_with_matching_expected_numbers_succeeds(registry):
    """expected_version is the base's number, and expected_production the live one's, or 0."""
    registry.create("x", "one", is_production=False)
    assert registry.update("x", template="two", is_production=False, expected_version=1).version == 2
    assert registry.publish("x", 1, expected_production=0).production_version == 1
    assert registry.publish("x", 2, expected_production=1).production_version == 2
    assert registry.update("x", template="three", expected_version=2).version == 3


@pytest.mark.parametrize("expected", [0, 2, 3, 2**70])
def test_rule_4_other_expected_numbers_are_refused(registry, refuses, expected):
    """Any other number raises VersionConflictError with both numbers, even if the call would change nothing."""
    prepare(registry)
    conflict = partial(refuses, error=VersionConflictError, code="version_conflict", expected=expected, actual=1)
    conflict(lambda r: r.update("x", template="new", expected_version=expected))
    conflict(lambda r: r.update("x", expected_version=expected))
    conflict(lambda r: r.publish("x", 2, expected_production=expected))
    conflict(lambda r: r.publish("x", 1, expected_production=expected))
    conflict(lambda r: r.publish("x", expected_production=expected))
    conflict(lambda r: r.rollback("x", 1, reason="r", expected_production=expected))


@pytest.mark.parametrize("by", [{"version": 2}, {"version": "staging"}, {}])
def test_rule_4_no_edit_in_place_accepts_an_expected_version(registry, refuses, by):
    """`expected_version` is invalid in an edit in place, even the right number, because such an edit has no base."""
    prepare(registry)
    name = "x" if by else "x@2"
    for expected in (1, 2, 0):
        refuses(
            lambda r, e=expected: r.update(name, **by, title="T", expected_version=e),
            InvalidInputError,
            "validation_error",
        )


def test_rule_4_a_call_with_a_matching_expected_hash_succeeds(registry):
    """expected_hash is the content_hash of the edited or published version, or of the base."""
    prepare(registry)
    live, draft = registry.get("x"), registry.get("x@2")
    assert registry.publish("x", 1, expected_hash=live.content_hash) == live
    edited = registry.update("x@2", title="T", expected_hash=draft.content_hash)
    assert (edited.version, edited.title) == (2, "T")
    third = registry.update("x", template="three", is_production=False, expected_hash=live.content_hash)
    assert registry.update("x", template="four", expected_hash=live.content_hash, expected_version=1).version == 4
    assert registry.publish("x", 3, expected_hash=third.content_hash, expected_production=4).version == 3
    assert registry.publish("x", expected_hash=edited.content_hash).version == 2
    assert registry.publish("x@4", expected_hash=registry.get("x@4").content_hash).version == 4


@pytest.mark.parametrize(
    ("call", "number"),
    [
        (lambda r, h: r.update("x@2", title="T", expected_hash=h), 2),
        (lambda r, h: r.update("x@2", expected_hash=h), 2),
        (lambda r, h: r.update("x", version="staging", template="two", expected_hash=h), 2),
        (lambda r, h: r.update("x", title="T", expected_hash=h), 1),
        (lambda r, h: r.update("x", expected_hash=h), 1),
        (lambda r, h: r.update("x", template="two", is_production=False, expected_hash=h), 1),
        (lambda r, h: r.publish("x", 2, expected_hash=h), 2),
        (lambda r, h: r.publish("x", expected_hash=h), 2),
        (lambda r, h: r.publish("x@production", expected_hash=h), 1),
        (lambda r, h: r.publish("x@staging", expected_hash=h, expected_production=1), 2),
    ],
)
def test_rule_4_other_expected_hashes_are_refused(registry, refuses, call, number):
    """Other content raises VersionConflictError with both hashes, even if the call would change nothing."""
    prepare(registry)
    right, other = registry.get("x", version=number).content_hash, registry.get("x", version=3 - number).content_hash
    for wrong in (other, "0" * 64):
        refuses(lambda r, h=wrong: call(r, h), VersionConflictError, "version_conflict", expected=wrong, actual=right)


def test_rule_4_nobody_overwrites_a_draft_that_another_has_edited(registry, refuses):
    """The second of two edits of one version is refused; only what was reviewed can be published."""
    prepare(registry)
    read = registry.get("x@2").content_hash
    edited = registry.update("x@2", template="Ana's", expected_hash=read)
    conflict = partial(refuses, error=VersionConflictError, code="version_conflict", expected=read)
    conflict(lambda r: r.update("x@2", template="Bo's", expected_hash=read))
    conflict(lambda r: r.publish("x", 2, expected_hash=read))
    conflict(lambda r: r.publish("x", expected_hash=read))
    assert registry.publish("x", expected_hash=edited.content_hash).template == "Ana's"


def test_rule_4_the_hash_does_not_cover_the_commit_message(registry):
    """Editing the commit message, which is not content of a version, does not change the hash."""
    prepare(registry)
    read = registry.get("x@2").content_hash
    registry.update("x@2", commit_message="Better", expected_hash=read)
    assert registry.publish("x", 2, expected_hash=read).commit_message == "Better"


@pytest.mark.parametrize(
    "steps",
    [
        "p2 r1",
        "p2 p3 r2 r1",
        "p2 p1 r2 r1",
        "p2 p3 r1:1",
        "p2 p3 r1:1 r3:3 r1",
        "p2 p3 r2 p3 r2 r1",
        "p2 p1 p3 r1:1 r2 r1",
        "p3 r1 p2 p3 r2 r1",
    ],
)
def test_rule_5_rollback_pops_the_stack(registry, steps):
    """Publish pushes; rollback pops to the previous one, or to the version named, and not below the first."""
    registry.create("x", "one")
    for template in ("two", "three"):
        registry.update("x", template=template, is_production=False)
    first = {}
    for step in steps.split():
        live, _, named = step[1:].partition(":")
        if step[0] == "p":
            after = registry.publish("x", int(live))
        else:
            after = registry.rollback("x", int(named) if named else None, reason="Because")
        assert (after.version, after.production_version, after.state) == (int(live), int(live), "published")
        assert registry.get("x") == after
        assert first.setdefault(live, after.published_at) == after.published_at
    with pytest.raises(ConflictError):
        registry.rollback("x", reason="Because")


@pytest.mark.parametrize(
    ("call", "error", "code"),
    [
        (lambda r: r.rollback("x", reason="r"), ConflictError, "conflict"),
        (lambda r: r.rollback("x", 2, reason="r"), ConflictError, "conflict"),
        (lambda r: r.rollback("x@staging", reason="r"), ConflictError, "conflict"),
        (lambda r: r.rollback("never", reason="r"), ConflictError, "conflict"),
        (lambda r: r.rollback("never", 1, reason="r"), ConflictError, "conflict"),
        (lambda r: r.rollback("x", 9, reason="r"), VersionNotFoundError, "version_not_found"),
        (lambda r: r.rollback("x", reason=""), InvalidInputError, "validation_error"),
        (lambda r: r.rollback("x", reason=None), InvalidInputError, "validation_error"),
        (lambda r: r.rollback("never", "production", reason="r"), NoProductionVersionError, "no_production_version"),
    ],
)
def test_rule_5_rollback_refuses(registry, refuses, call, error, code):
    """A rollback without an earlier publication, to a version never published, or without reason is refused."""
    prepare(registry)
    registry.create("never", "one", is_production=False)
    refuses(call, error, code)


def test_rule_5_two_rollbacks_of_the_same_mistake_go_back_one_version(registry, refuses):
    """With expected_production the second is refused, with or without a version, as another one is live by then."""
    registry.create("x", "one")
    registry.update("x", template="two")
    registry.update("x", template="three")
    assert registry.rollback("x", reason="r", expected_production=3).version == 2
    conflict = partial(refuses, error=VersionConflictError, code="version_conflict", expected=3, actual=2)
    conflict(lambda r: r.rollback("x", reason="r", expected_production=3))
    conflict(lambda r: r.rollback("x", 1, reason="r", expected_production=3))
    conflict(lambda r: r.rollback("x@2", reason="r", expected_production=3))
    assert registry.rollback("x@1", reason="r", expected_production=2).version == 1
    refuses(lambda r: r.rollback("x", reason="r", expected_production=1), ConflictError, "conflict")


@pytest.mark.parametrize("live", [True, False])
@pytest.mark.parametrize("state", ["draft", "failed"])
def test_rule_5_without_a_version_publish_chooses_the_only_draft(registry, path, live, state):
    """The only draft or failed version goes live, even if it is not the latest or nothing was live before."""
    registry.create("x", "one", is_production=live)
    if live:
        registry.update("x", template="two", is_production=False)
        registry.update("x", template="three")
    number = 2 if live else 1
    if state == "failed":
        with Registry(path, publish_checks=[fails]) as failing, pytest.raises(PublishCheckError):
            failing.publish("x")
    assert registry.get("x", version=number).state == state
    published = registry.publish("x")
    assert (published.version, published.production_version, published.state) == (number, number, "published")
    assert [(e.action, e.version) for e in registry.events("x")][-1] == ("publish", number)


def test_rule_5_without_a_version_nothing_else_is_published(registry, unchanged, refuses):
    """Several drafts are refused; without any, the live version is returned if it is the latest, and else refused."""
    prepare(registry)
    registry.update("x", template="three", is_production=False)
    several = partial(refuses, error=ConflictError, code="conflict", name="x", versions=[2, 3])
    several(lambda r: r.publish("x"))
    several(lambda r: r.publish("x", expected_production=1))
    several(lambda r: r.discard("x"))
    with pytest.raises(
        ConflictError, match=r"'x' has several drafts or failed versions: 2, 3; choose one, such as 'x@3'"
    ):
        registry.publish("x")
    registry.publish("x", 3)
    assert registry.publish("x").version == 2
    refuses(lambda r: r.publish("x"), ConflictError, "conflict", name="x", versions=[])
    refuses(lambda r: r.discard("x"), ConflictError, "conflict", name="x", versions=[])
    live = registry.publish("x", 3)
    with unchanged():
        assert registry.publish("x") == registry.publish("x", expected_production=3) == live
    refuses(lambda r: r.publish("x", expected_production=2), VersionConflictError, "version_conflict", actual=3)
    refuses(lambda r: r.publish("x", expected_hash="0" * 64), VersionConflictError, "version_conflict")
    refuses(lambda r: r.discard("x"), ConflictError, "conflict")


def test_rule_5_of_many_drafts_the_message_names_ten(registry):
    """However many drafts there are, the message is short, and the details have all."""
    registry.create("x", "t1", is_production=False)
    for number in range(2, 13):
        registry.update("x", template=f"t{number}", is_production=False)
    with pytest.raises(ConflictError, match="1, 2, 3, 4, 5, 6, 7, 8, 9, 10 and 2 more") as caught:
        registry.discard("x")
    assert caught.value.details == {"name": "x", "versions": [*range(1, 13)]}


def test_rule_5_without_a_version_discard_chooses_the_only_draft(registry):
    """The only draft is discarded, even if a newer version is live."""
    registry.create("x", "one")
    registry.update("x", template="two", is_production=False)
    registry.update("x", template="three")
    after = registry.discard("x")
    assert (after.version, [v.version for v in registry.history("x")]) == (3, [3, 1])
    assert [(e.action, e.version) for e in registry.events("x")][-1] == ("discard", 2)


def test_rule_5_rollback_records_its_reason(registry):
    """The event has the reason, and the rollback creates no version."""
    registry.create("x", "one")
    registry.update("x", template="two")
    back = registry.rollback("x", reason="Über zu lang")
    assert (back.version, back.latest_version, len(registry.history("x"))) == (1, 2, 2)
    assert registry.events("x")[-1].details["reason"] == "Über zu lang"
    with pytest.raises(TypeError):
        registry.rollback("x")


# Rule 6


def test_rule_6_numbers_are_never_reused(registry, path):
    """Discarded numbers are not used again, even after closing and reopening."""
    registry.create("x", "one")
    for number in (2, 3):
        assert registry.update("x", template=f"t{number}", is_production=False).version == number
    registry.discard("x", 3)
    registry.discard("x", 2)
    assert registry.get("x").latest_version == 1
    registry.close()
    with Registry(path) as reopened:
        made = reopened.update("x", template="t4")
        assert (made.version, made.base_version, made.latest_version) == (4, 1, 4)
        assert [v.version for v in reopened.history("x")] == [4, 1]


INVALID = {
    "template": [None, "", [], [{"role": "user"}], 5, b"x", "\ud800", "a\0b", "x" * (256 * 1024 + 1)],
    "title": [None, "", 5],
    "description": [None, 5, "\0"],
    "category": [None, b"c"],
    "tags": [None, "abc", [1], [""], 5, {"a": 1}],
    "config": [[], "x", {"a": float("nan")}, {1: 2}, {"a": b"x"}, {"a": "x" * 2**20}],
    "meta": [7, {"a": {"b": float("inf")}}, {"\ud800": 1}],
    "variables": ["x", [5], [{"name": "a b"}], [{"name": "a", "type": "text"}], {"a": 1}],
    "examples": [None, [1], "x", {"a": 1}, [{"a": object()}]],
    "access_grants": [None, "x", [1], [("anyone", "write")], [("bo", "read")], [("user:bo", "own")]],
    "new_name": [None, "", "Y", "a@b", "a" * 129, "e\u0301", "a..b"],
    "commit_message": [None, 5, "\ud800"],
    "is_production": [None, 1, 0, "yes"],
    "version": [None, 0, True, "1", 1.5],
    "expected_version": [None, -1, True, "1", 1.0],
    "expected_hash": [None, "", 1, "0" * 63, "0" * 65, "A" * 64, "0" * 64 + "\n", b"0" * 64, "\ud800" * 64],
}


@pytest.mark.parametrize("field", INVALID)
def test_updates_with_invalid_values_are_refused(registry, refuses, field):
    """A wrong value of any argument raises InvalidInputError, whatever else is passed, and changes nothing."""
    prepare(registry)
    for value in INVALID[field]:
        edit = {"title": "new", **({"version": 2} if field == "config" else {}), field: value}
        refuses(lambda r, edit=edit: r.update("x", **edit), InvalidInputError, "validation_error")


def test_save_of_an_archived_prompt_writes_nothing_or_is_refused(registry, unchanged):
    """An application that saves the same content at its start works even if the prompt was archived since."""
    registry.save("x", "One")
    registry.archive("x")
    with unchanged():
        assert registry.save("x", "One").status == "archived"
        with pytest.raises(NotModifiableError) as caught:
            registry.save("x", "Two")
    assert caught.value.code == "prompt_archived"
