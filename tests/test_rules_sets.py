"""Rule 23: `publish` and `rollback` of several prompts, all or nothing."""

import pickle
from functools import partial
from itertools import repeat
from types import MappingProxyType
from uuid import uuid4

import pytest

from promptreg import (
    UNSET,
    Actor,
    ConflictError,
    ForbiddenError,
    InvalidInputError,
    NoProductionVersionError,
    NotFoundError,
    NotModifiableError,
    PromptregError,
    PublishCheckError,
    Registry,
    Role,
    StorageError,
    VersionConflictError,
    VersionNotFoundError,
)
from tests.storages import storage_of
from tests.test_rules_meanwhile import meanwhile

NO_HASH = "0" * 64


@pytest.fixture
def memory():
    """A registry in memory."""
    with Registry(":memory:") as opened:
        yield opened


def draft(registry, *names, template="Two", **fields):
    """Create each prompt, with a version 1 that is live and a draft 2."""
    for name in names:
        registry.create(name, "One")
        registry.update(name, template=template, is_production=False, **fields)


def live(registry, *names):
    """Return the number of each production version, as one transaction sees them."""
    numbers = {prompt.name: prompt.production_version for prompt in registry.list(status=["active", "archived"])}
    return [numbers[name] for name in names]


def refused(kind, call, *args, **arguments):
    """Return the error of a call, of exactly this class."""
    with pytest.raises(kind) as caught:
        call(*args, **arguments)
    assert type(caught.value) is kind
    again = pickle.loads(pickle.dumps(caught.value))
    assert (again.message, again.details) == (caught.value.message, caught.value.details)
    return caught.value


def reasons(error):
    """Return the field and the reason of everything that is invalid."""
    return [(flaw["field"], flaw["reason"]) for flaw in error.details["errors"]]


# What is published and returned


def test_rule_23_several_prompts_go_live_at_once(registry):
    """Each prompt's one draft is published, in one write, with the same time and one event for each."""
    draft(registry, "a", "b", "c")
    seq = registry.events(limit=1000)[-1].seq
    published = registry.publish(["c", "a"])
    assert [(prompt.name, prompt.version, prompt.state) for prompt in published] == [
        ("c", 2, "published"),
        ("a", 2, "published"),
    ]
    assert live(registry, "a", "b", "c") == [2, 1, 2]
    written = [(event.name, event.action, event.version, event.details) for event in registry.events(after=seq)]
    assert written == [("c", "publish", 2, {"previous": 1}), ("a", "publish", 2, {"previous": 1})]
    assert published[0].updated_at == published[1].updated_at == published[0].published_at
    assert registry.get("a") == published[1]


@pytest.mark.parametrize(
    "collect", [list, tuple, set, dict.fromkeys, iter, lambda names: dict.fromkeys(names).keys()],
    ids=["list", "tuple", "set", "dict", "iterator", "keys"],
)  # fmt: skip
def test_rule_23_any_iterable_of_references_will_do(memory, collect):
    """A list, a tuple, a set, keys and an iterator name several prompts; a mapping does not."""
    draft(memory, "a", "b")
    names = collect(["a", "b"])
    if isinstance(names, dict):
        assert refused(InvalidInputError, memory.publish, names).details["errors"][0]["field"] == "name"
    else:
        published = memory.publish(names)
        assert (type(published), sorted(prompt.name for prompt in published)) == (list, ["a", "b"])


def test_rule_23_a_generator_is_read_once(memory):
    """A generator is consumed by the call, and not read again when the plan is made again."""
    draft(memory, "a", "b")
    names = (name for name in ["a", "b"])
    assert [prompt.name for prompt in memory.publish(names)] == ["a", "b"]
    assert list(names) == []


@pytest.mark.parametrize("name", ["ab", "a"])
def test_rule_23_a_text_is_never_several_references(memory, name):
    """A text names one prompt, and gives one; its letters name none."""
    draft(memory, "a", "b", "ab")
    assert memory.publish(name).name == name
    assert memory.rollback(name, reason="x").name == name


def test_rule_23_an_empty_list_gives_an_empty_list(registry, unchanged):
    """No references: nothing is written, and the result is a list."""
    draft(registry, "a")
    with unchanged():
        assert registry.publish([]) == registry.publish([], "spring") == registry.rollback((), reason="x") == []
        assert registry.publish([], expected_production={}, expected_hash={}) == []


def test_rule_23_an_empty_list_on_a_closed_registry_is_refused(registry):
    """A closed registry refuses every call."""
    registry.close()
    assert refused(StorageError, registry.publish, []).details["reason"] == "closed"


def test_rule_23_references_choose_versions_by_number_and_label(registry):
    """`@` chooses in each reference; a release is a label."""
    draft(registry, "a", "b")
    registry.update("b", template="Three", is_production=False)
    registry.set_label("a", "spring", 2)
    assert [prompt.version for prompt in registry.publish(["a@spring", "b@3"])] == [2, 3]


@pytest.mark.parametrize("version", ["spring", 2])
def test_rule_23_one_version_may_be_chosen_for_all(registry, version):
    """`version` is a label, or a number, that every prompt has."""
    draft(registry, "a", "b")
    for name in ("a", "b"):
        registry.update(name, template="Three", is_production=False)
        registry.set_label(name, "spring", 2)
    assert [prompt.version for prompt in registry.publish(["a", "b"], version)] == [2, 2]
    assert [prompt.version for prompt in registry.rollback(["a", "b"], version=1, reason="x")] == [1, 1]


def test_rule_23_what_is_live_stays_and_is_returned(registry):
    """Of prompts that are live already nothing is written, and they stand in their places in the result."""
    draft(registry, "a", "c")
    before, seq = registry.create("b", "One"), registry.events(limit=1000)[-1].seq
    published = registry.publish(["a@2", "b", "c@1"])
    assert [(prompt.name, prompt.production_version) for prompt in published] == [("a", 2), ("b", 1), ("c", 1)]
    assert registry.get("b") == before
    assert [event.name for event in registry.events(after=seq)] == ["a"]


def test_rule_23_a_set_of_live_prompts_writes_nothing(registry, unchanged):
    """When all are live, nothing at all is written."""
    registry.create("a", "One"), registry.create("b", "One")
    with unchanged():
        assert [prompt.version for prompt in registry.publish(["a", "b"])] == [1, 1]


@pytest.mark.parametrize(
    "as_reference", [lambda p: p.name, lambda p: p.id, lambda p: f"{p.id}@2", lambda p: "a@spring"]
)
def test_rule_23_the_same_prompt_twice_counts_once(registry, as_reference):
    """The same reference twice, name and id, a number and a label of the same version: one prompt, one event."""
    draft(registry, "a", "b")
    prompt = registry.set_label("a", "spring", 2)
    published = registry.publish(["a", "b", "a", as_reference(prompt)])
    assert [(prompt.name, prompt.version) for prompt in published] == [("a", 2), ("b", 2)]
    assert [event.action for event in registry.events("a")][-2:] == ["set_label", "publish"]


# Rolling back


def test_rule_23_several_prompts_go_back_at_once(registry):
    """Each goes back to what was live before, with one event each that keeps the reason."""
    draft(registry, "a", "b")
    registry.publish(["a", "b"])
    back = registry.rollback(["b", "a"], reason="too early")
    assert [(prompt.name, prompt.production_version) for prompt in back] == [("b", 1), ("a", 1)]
    last = registry.events(limit=1000)[-2:]
    assert [(event.name, event.action, event.details["reason"]) for event in last] == [
        ("b", "rollback", "too early"),
        ("a", "rollback", "too early"),
    ]
    assert [prompt.version for prompt in registry.rollback(["a@2", "b@1"], reason="a was fine")] == [2, 1]


def test_rule_23_a_prompt_twice_goes_back_once(registry):
    """A prompt that is named twice goes back one version and not two."""
    registry.create("a", "One")
    for text in ("Two", "Three"):
        registry.update("a", template=text)
    assert [prompt.version for prompt in registry.rollback(["a", registry.get("a").id, "a"], reason="x")] == [2]
    assert live(registry, "a") == [2]


def test_rule_23_nothing_goes_back_where_one_can_not(registry, unchanged):
    """Prompts with nothing before, and versions that were never published, are named together."""
    draft(registry, "a", "b", "c")
    registry.publish("a")
    with unchanged():
        error = refused(ConflictError, registry.rollback, ["a", "b", "c@2"], reason="x")
    assert error.details["names"] == ["b", "c"]
    assert "'b'" in error.message
    assert "'c'" in error.message
    with unchanged():
        assert (
            refused(InvalidInputError, registry.rollback, ["a", "b"], reason=" ").details["errors"][0]["field"]
            == "reason"
        )


# All or nothing


def test_rule_23_where_one_is_refused_none_is_published(registry, unchanged):
    """An unknown prompt among many leaves all as they were, and every unknown name is given."""
    draft(registry, "a", "b")
    absent = str(uuid4())
    for call in (registry.publish, lambda names: registry.rollback(names, reason="x")):
        with unchanged():
            assert refused(NotFoundError, call, ["a", "gone", "b", absent]).details == {"names": ["gone", absent]}


def test_rule_23_unknown_names_get_suggestions(registry):
    """The error for several unknown names says what may be meant by each."""
    draft(registry, "greeting", "farewell")
    error = refused(NotFoundError, registry.publish, ["greting", "farewel", "greeting"])
    assert "did you mean 'greeting' for 'greting', 'farewell' for 'farewel'?" in error.message


def test_rule_23_unknown_versions_are_named_together(registry, unchanged):
    """Every prompt without the version or label is named, with what may be meant."""
    draft(registry, "a", "b", "c")
    registry.set_label("c", "spring", 2)
    registry.set_label("a", "sprung", 2)
    with unchanged():
        error = refused(VersionNotFoundError, registry.publish, ["a@spring", "b@7", "c@spring"])
    assert error.details["names"] == ["a", "b"]
    assert [(refusal["name"], refusal["version"]) for refusal in error.details["refusals"]] == [
        ("a", "spring"),
        ("b", 7),
    ]
    assert (error.details["name"], error.details["version"]) == ("a", "spring")
    assert error.message == (
        "'a' has no label 'spring' (did you mean 'sprung'?); it has 'latest', 'production', 'sprung'."
        " 'b' has no version 7; its latest is 2, and history() lists them."
    )
    with unchanged():
        error = refused(VersionNotFoundError, registry.publish, ["b", "c"], "springs")
    assert error.details["names"] == ["b", "c"]
    assert "(did you mean 'spring'?)" in error.message


def test_rule_23_prompts_that_were_never_live_have_no_production_version(registry, unchanged):
    """`@production` of them is the error that it is for one, with all names."""
    registry.create("a", "One", is_production=False)
    registry.create("b", "One", is_production=False)
    registry.create("c", "One")
    with unchanged():
        error = refused(NoProductionVersionError, registry.publish, ["a@production", "b", "c@production"])
        assert error.details["names"] == ["a"]
        error = refused(NoProductionVersionError, registry.publish, ["a", "b", "c"], "production")
        assert error.details["names"] == ["a", "b"]
        error = refused(VersionNotFoundError, registry.publish, ["c@9", "a@production"])
        assert error.details["names"] == ["c", "a"]


def test_rule_23_archived_prompts_are_named_together(registry, unchanged):
    """Each archived prompt is named, and nothing of the others goes live."""
    draft(registry, "a", "b", "c")
    registry.set_status(["a", "c"], "archived")
    for call in (registry.publish, lambda names: registry.rollback(names, 1, reason="x")):
        with unchanged():
            error = refused(NotModifiableError, call, ["a", "b", "c"])
        assert (error.code, error.details) == ("prompt_archived", {"names": ["a", "c"], "state": "archived"})


def test_rule_23_several_drafts_are_named_together(registry, unchanged):
    """Each prompt with several drafts is named with them, and so is one without a draft that went back."""
    draft(registry, "a", "b", "c", "d")
    for name in ("a", "c"):
        registry.update(name, template="Three", is_production=False)
    registry.publish("d")
    registry.rollback("d", reason="x")
    with unchanged():
        error = refused(ConflictError, registry.publish, ["a", "b", "c", "d"])
    assert error.details["names"] == ["a", "c", "d"]
    assert [refusal["versions"] for refusal in error.details["refusals"]] == [[2, 3], [2, 3], []]


def test_rule_23_unexpected_versions_are_named_together(registry, unchanged):
    """What is expected is a mapping by name, of some of the prompts; each that differs is named."""
    draft(registry, "a", "b", "c")
    hashes = {name: registry.get(name, version=2).content_hash for name in "abc"}
    with unchanged():
        error = refused(VersionConflictError, registry.publish, ["a", "b", "c"], expected_production={"a": 0, "c": 7})
    assert error.details["names"] == ["a", "c"]
    assert [(r["name"], r["expected"], r["actual"]) for r in error.details["refusals"]] == [("a", 0, 1), ("c", 7, 1)]
    with unchanged():
        error = refused(
            VersionConflictError, registry.publish, ["a", "b"], expected_hash={"b": NO_HASH, "a": hashes["a"]}
        )
    assert (error.details["names"], error.details["actual"]) == (["b"], hashes["b"])
    published = registry.publish(
        ["a", "b", "c"], expected_production={"a": 1}, expected_hash=MappingProxyType({"b": hashes["b"]})
    )
    assert [prompt.production_version for prompt in published] == [2, 2, 2]
    with unchanged():
        error = refused(VersionConflictError, registry.rollback, ["a", "b"], reason="x", expected_production={"b": 1})
    assert error.details["names"] == ["b"]
    assert len(registry.rollback(["a", "b"], reason="x", expected_production={"b": 2, "a": 2})) == 2


def test_rule_23_expectations_hold_by_name_and_by_id(registry, unchanged):
    """A prompt that is named by its id is expected by its name, and one named by its name by its id."""
    draft(registry, "a", "b")
    a, b = registry.get("a").id, registry.get("b").id
    for references, expected in (
        ([a, "b"], {"a": 0, "b": 0}),
        (["a", b], {a: 0, b: 0}),
        ([a, b], {"a": 0, "b": 0}),
        (["a", "b"], {a: 0, b: 0}),
        (["a", a, b], {a: 0, "b": 0}),
    ):
        with unchanged():
            error = refused(VersionConflictError, registry.publish, references, expected_production=expected)
        assert error.details["names"] == ["a", "b"]
    with unchanged():
        refused(
            VersionConflictError, registry.publish, ["a", "b"], expected_production={a: 1}, expected_hash={"a": NO_HASH}
        )
    assert len(registry.publish([a, "b"], expected_production={"a": 1, b: 1})) == 2


def test_rule_23_an_expectation_of_another_prompt_is_invalid(registry, unchanged):
    """A misspelt name in a mapping is refused, because nothing would be expected of the prompt that was meant."""
    draft(registry, "a", "b")
    a = registry.get("a").id
    with unchanged():
        for references, expected in (
            (["a", "b"], {"c": 1}),
            (["a"], {"b": 1}),
            (["gone"], {"c": 1}),
            ([a], {"b": 1}),
            ([a], {a: 1, "a": 1}),
            ([a, "b"], {"c": 1}),
            ([], {"a": 1}),
        ):
            error = refused(InvalidInputError, registry.publish, references, expected_production=expected)
            assert [field for field, _ in reasons(error)] == ["expected_production"]
            hashes = dict.fromkeys(expected, NO_HASH)
            error = refused(InvalidInputError, registry.publish, references, expected_hash=hashes)
            assert [field for field, _ in reasons(error)] == ["expected_hash"]


# One prompt at two versions


def test_rule_23_one_prompt_at_two_versions_is_invalid(registry, unchanged):
    """Two numbers, a number and a label, name and id: whatever chooses them, two versions are refused."""
    draft(registry, "a", "b")
    prompt = registry.set_label("a", "spring", 1)
    with unchanged():
        for references in (
            ["a@1", "b", "a@2"],
            ["a@spring", "a@2"],
            ["a", "a@1"],
            [f"{prompt.id}@1", "a@2"],
            [prompt.id, "a@spring"],
            ["a@latest", "a@production"],
        ):
            for call in (registry.publish, lambda names: registry.rollback(names, reason="x")):
                if call is not registry.publish and ("a" in references or prompt.id in references):
                    continue  # nothing was live before
                with pytest.raises((InvalidInputError, ConflictError)) as caught:
                    call(references)
                if call is registry.publish:
                    assert reasons(caught.value)[0][0] == "name"
                    assert "two versions" in caught.value.message


def test_rule_23_two_numbers_of_one_name_are_refused_before_anything_is_looked_up(registry):
    """Two numbers are invalid whatever is stored, so they are refused before an absent prompt (rule 18)."""
    assert "1 and 2" in refused(InvalidInputError, registry.publish, ["gone@1", "gone@2"]).message


# Invalid input


def test_rule_23_every_bad_field_is_named_at_once(registry, unchanged):
    """Each malformed reference is named by its place, together with every other bad argument."""
    with unchanged():
        error = refused(
            InvalidInputError,
            registry.publish,
            ["a", "B", 3, "c@"],
            0,
            expected_production={"a": -1, "b": "x"},
            expected_hash=7,
        )
    assert [field for field, _ in reasons(error)] == [
        "name[1]",
        "name[2]",
        "name[3]",
        "version",
        "expected_production['a']",
        "expected_production['b']",
        "expected_hash",
    ]


def test_rule_23_a_misspelt_expectation_is_named_with_other_bad_fields(memory):
    """What can be seen without a lookup is told at once: a name among names, and an id among ids."""
    some, other = str(uuid4()), str(uuid4())
    for references, expected in ((["a"], {"c": 1}), ([some], {other: 1}), ([], {"c": 1})):
        error = refused(InvalidInputError, memory.publish, references, 0, expected_production=expected)
        assert [field for field, _ in reasons(error)] == ["version", "expected_production"]


def test_rule_23_other_values_are_no_references(registry, unchanged):
    """A mapping, bytes, and what is not iterable name nothing."""
    with unchanged():
        for given in (None, 3, b"a", {"a": 1}, 1.5, object(), True, bytearray(b"a"), memoryview(b"a")):
            for call in (registry.publish, lambda name: registry.rollback(name, reason="x")):
                error = refused(InvalidInputError, call, given)
                assert {field.split("[")[0] for field, _ in reasons(error)} == {"name"}


def test_rule_23_malformed_references_are_named_by_their_place(memory):
    """The field is the place in the list."""
    for bad in (None, ["a"], b"a", "", "a b", UNSET, "a@1@2", "a@0", "a\0"):
        assert [field for field, _ in reasons(refused(InvalidInputError, memory.publish, ["a", bad]))] == ["name[1]"]


def test_rule_23_a_version_is_chosen_once(registry, unchanged):
    """`version` beside a reference that has chosen one is refused, and says which."""
    draft(registry, "a", "b")
    with unchanged():
        error = refused(InvalidInputError, registry.publish, ["a@1", "b"], 2)
    assert reasons(error) == [("version", "choose one version: with @ or version=, once; 'a@1' did with @")]


def test_rule_23_expectations_of_several_are_mappings_by_name(registry, unchanged):
    """A single value, a list, malformed names and malformed values are refused."""
    draft(registry, "a")
    values = [{"a": bad} for bad in (None, True, UNSET, 1.0)]
    with unchanged():
        for expected in (1, None, "a", ["a"], [("a", 1)], {"a@1": 1}, {3: 1}, {"A": 1}, *values):
            for argument in ("expected_production", "expected_hash"):
                error = refused(InvalidInputError, registry.publish, ["a"], **{argument: expected})
                assert {field.split("[")[0] for field, _ in reasons(error)} == {argument}
            refused(InvalidInputError, registry.rollback, ["a"], reason="x", expected_production=expected)


def test_rule_23_an_expectation_that_is_of_none_or_twice_of_one_says_so(registry, unchanged):
    """One is of a prompt that the call does not name; the other of one that has another by its id."""
    draft(registry, "a", "b")
    a = registry.get("a").id
    with unchanged():
        for named in (["a"], [a]):
            for key in ("b", registry.get("b").id):
                error = refused(InvalidInputError, registry.publish, named, expected_production={key: 1})
                assert reasons(error) == [("expected_production", f"has {key!r}, which the call does not name")]
        error = refused(InvalidInputError, registry.publish, ["a"], expected_production={"a": 1, a: 1})
        assert reasons(error) == [("expected_production", f"has {a!r} twice, by name and by id")]


def test_rule_23_an_expectation_of_one_is_no_mapping(registry, unchanged):
    """For a single prompt a number and a hash are expected, not a mapping."""
    draft(registry, "a")
    with unchanged():
        refused(InvalidInputError, registry.publish, "a", expected_production={"a": 1})
        refused(InvalidInputError, registry.publish, "a", expected_hash={"a": NO_HASH})
        refused(InvalidInputError, registry.rollback, "a", reason="x", expected_production={"a": 1})


# The order of refusals


def prepare_refusals(registry):
    """Create a prompt for each kind of refusal, by the name of the kind."""
    ed = registry.scope(actor=Actor("ed", Role.TEAM_EDITOR))
    draft(ed, "fine", "unknown", "archived", "several", "unexpected", "failing")
    ed.update("failing", version=2, template="Bad")
    ed.update("several", template="Three", is_production=False)
    registry.archive("archived")
    registry.create("theirs", "One", access_grants=[("user:ed", "read")])
    registry.create("hidden", "One")


KINDS = [
    ("No Name", InvalidInputError, "No Name"),
    ("hidden", NotFoundError, "hidden"),
    ("theirs", ForbiddenError, "theirs"),
    ("unknown@9", VersionNotFoundError, "unknown"),
    ("archived@2", NotModifiableError, "archived"),
    ("several", ConflictError, "several"),
    ("unexpected@2", VersionConflictError, "unexpected"),
    ("failing@2", PublishCheckError, "failing"),
]


def refuse_bad(prompt):
    """Raise for a template that is "Bad"."""
    if prompt.template == "Bad":
        raise ValueError("bad")


@pytest.mark.parametrize("first", range(len(KINDS)))
def test_rule_23_kinds_of_refusals_come_in_the_order_of_rule_18(path, clock, first):
    """Whatever order the references have, the first kind is looked for in all of them before the next."""
    with Registry(path, clock=clock, publish_checks=[refuse_bad]) as registry:
        prepare_refusals(registry)
        registry.update("theirs", access_grants=[("user:ed", "read")])
        ed = registry.scope(actor=Actor("ed"))
        shown = registry.list(status=["active", "disabled", "archived"]).items
        left = KINDS[first:]
        for references in ([r for r, _, _ in left], [r for r, _, _ in reversed(left)]):
            expected = {"unexpected": 7} if "unexpected@2" in references else UNSET
            error = refused(left[0][1], ed.publish, ["fine", *references], expected_production=expected)
            if first:
                assert error.details["names"] == [left[0][2]]
        if first < len(KINDS) - 1:
            assert registry.list(status=["active", "disabled", "archived"]).items == shown


# Permissions


def test_rule_23_every_prompt_that_the_actor_may_not_publish_is_named(registry, unchanged):
    """Each prompt needs the permission, also one that is live already; those that may only be read are named."""
    draft(registry, "a", "b", "c")
    registry.update("b", access_grants=[("user:eve", "write")])
    for name in ("a", "c"):
        registry.update(name, access_grants=[("user:eve", "read")])
    eve = registry.scope(actor=Actor("eve"))
    for call in (eve.publish, lambda names: eve.rollback(names, reason="x")):
        with unchanged():
            error = refused(ForbiddenError, call, ["c", "b@2", "a"])
        assert error.details["names"] == ["c", "a"]
    assert error.details["action"] == "rollback"
    assert [prompt.name for prompt in eve.publish(["b@2"])] == ["b"]


def test_rule_23_what_may_not_be_read_is_not_found(registry, unchanged):
    """It is named as it was asked for, and nothing of it shows, not even whether an expectation names it."""
    draft(registry, "a", "hidden")
    registry.update("a", access_grants=[("user:eve", "write")])
    hidden, eve = registry.get("hidden").id, registry.scope(actor=Actor("eve"))
    with unchanged():
        assert refused(NotFoundError, eve.publish, ["a@2", hidden]).details == {"names": [hidden]}
        for name in ("hidden", "other"):
            error = refused(InvalidInputError, eve.publish, [hidden], expected_production={name: 1})
            assert name in error.message


def test_rule_23_names_are_those_of_the_views_namespace(registry):
    """A set is about one namespace."""
    draft(registry, "a")
    draft(registry.scope(namespace="other"), "a", "b")
    assert refused(NotFoundError, registry.publish, ["a", "b"]).details["names"] == ["b"]
    assert len(registry.scope(namespace="other").publish(["a", "b"])) == 2
    assert live(registry, "a") == [1]


# Checks


def test_rule_23_failed_checks_mark_each_draft_that_failed_and_nothing_else(path, clock):
    """All checks run; each draft that failed is marked with its reasons, which the error gives by name."""
    with Registry(path, clock=clock, publish_checks=[refuse_bad]) as registry:
        draft(registry, "a", "d")
        draft(registry, "b", "c", template="Bad")
        registry.update("c@2", examples=[{}, {}], template="Bad {{ x }}", tags=["t"])
        registry.update("b@2", examples=[{}])
        seq = registry.events(limit=1000)[-1].seq
        before = registry.get("a@2")
        error = refused(PublishCheckError, registry.publish, ["a", "b", "c", "d"])
        assert error.details["names"] == ["b", "c"]
        assert [reason[:14] for reason in error.details["reasons"]] == [
            "b: refuse_bad:",
            "c: examples[0]",
            "c: examples[1]",
        ]
        assert [r["reasons"] for r in error.details["refusals"]] == [list(registry.get(f"{n}@2").failure) for n in "bc"]
        assert "b: refuse_bad: bad" in error.message
        assert live(registry, "a", "b", "c", "d") == [1, 1, 1, 1]
        assert [registry.get(f"{name}@2").state for name in "abcd"] == ["draft", "failed", "failed", "draft"]
        assert registry.get("a@2") == before
        events = [(event.action, event.name, event.details) for event in registry.events(after=seq)]
        assert [event[:2] for event in events] == [("check_failed", "b"), ("check_failed", "c")]
        assert events[0][2] == {"reasons": ["refuse_bad: bad"]}


def test_rule_23_versions_that_were_live_are_not_checked(path, clock):
    """Checks run for versions that were never live alone."""
    checked = []
    with Registry(path, clock=clock, publish_checks=[lambda prompt: checked.append(prompt.name)]) as registry:
        draft(registry, "a", "b")
        registry.publish("b")
        checked.clear()
        registry.publish(["a@2", "b@1"])
        registry.rollback(["a", "b"], reason="x")
        assert checked == ["a"]


def test_rule_23_checks_see_each_prompt_as_it_will_be(path, clock):
    """A check is called with a prompt whose production version is the new one, while the old ones are still live."""
    seen = []

    def look(prompt):
        if prompt.version > 1:
            seen.append((prompt.name, prompt.production_version, registry.get("a").version, registry.get("b").version))

    with Registry(path, clock=clock, publish_checks=[look]) as registry:
        draft(registry, "a", "b")
        registry.publish(["a", "b"])
    assert seen == [("a", 2, 1, 1), ("b", 2, 1, 1)]


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (lambda r: r.update("b@2", template="Other"), "content_hash"),
        (lambda r: r.update("b", template="Other"), "production"),
        (lambda r: r.disable("b"), "status"),
        (lambda r: r.update("b", new_name="z", is_production=False), "name"),
        (lambda r: r.set_label("b", "spring", 3), "version"),
    ],
)
def test_rule_23_a_change_of_one_while_the_checks_run_publishes_none(path, clock, change, field):
    """What the checks looked at is compared again, of every prompt; a difference is a conflict."""

    def check(prompt):
        if prompt.version == 2 and prompt.name == "a":
            with Registry(path) as other:
                change(other)

    with Registry(path, clock=clock, publish_checks=[check]) as registry:
        draft(registry, "a", "b")
        registry.update("b", template="Two", title="Three", is_production=False)
        registry.set_label("b", "spring", 2)
        error = refused(VersionConflictError, registry.publish, ["a@2", "b@spring"])
        assert error.details["field"] == field
        assert registry.get("a").version == 1
        assert registry.get("a@2").state == "draft"


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (lambda r, name: r.update(f"{name}@2", title="Edited"), "content_hash"),
        (lambda r, name: r.update(name, new_name=f"new_{name}", is_production=False), "name"),
    ],
    ids=["edited", "renamed"],
)
def test_rule_23_every_prompt_that_changed_while_the_checks_ran_is_named(path, clock, change, field):
    """Of several that were edited, or renamed, each is named, with what was found."""

    def check(prompt):
        if prompt.name == "b" and prompt.version == 2:
            with Registry(path) as other:
                for name in ("a", "b"):
                    change(other, name)

    with Registry(path, clock=clock, publish_checks=[check]) as registry:
        draft(registry, "a", "b", "c")
        error = refused(VersionConflictError, registry.publish, ["a@2", "c@2", "b@2"])
        assert error.details["names"] == ["a", "b"]
        assert [refusal["field"] for refusal in error.details["refusals"]] == [field] * 2
        assert live(registry, "c") == [1]


def test_rule_23_a_change_that_matters_to_no_check_is_no_conflict(path, clock):
    """Another draft, a label or a grant of one of the prompts does not stop the set."""

    def check(prompt):
        if prompt.version == 2 and prompt.name == "a":
            with Registry(path) as other:
                other.update("b", template="Third", is_production=False)
                other.set_label("a", "x", 1)

    with Registry(path, clock=clock, publish_checks=[check]) as registry:
        draft(registry, "a", "b")
        assert [prompt.version for prompt in registry.publish(["a", "b"])] == [2, 2]
        assert registry.get("b").latest_version == 3


def test_rule_23_a_draft_that_changed_while_its_checks_failed_is_not_marked(path, clock):
    """The others are marked, and every reason is given all the same."""

    def check(prompt):
        if prompt.version == 2:
            with Registry(path) as other:
                other.update(f"{prompt.name}@2", title=f"Edited {prompt.name}") if prompt.name == "a" else None
                other.archive("c") if prompt.name == "c" else None
            raise ValueError("no")

    with Registry(path, clock=clock, publish_checks=[check]) as registry:
        draft(registry, "a", "b", "c")
        error = refused(PublishCheckError, registry.publish, ["a", "b", "c"])
        assert error.details["reasons"] == ["a: check: no", "b: check: no", "c: check: no"]
        assert [registry.get(f"{name}@2").state for name in "abc"] == ["draft", "failed", "draft"]


def test_rule_23_a_mark_that_can_not_be_stored_is_the_cause(path, clock, monkeypatch):
    """The caller gets the reasons, and the `StorageError` as their cause."""
    with Registry(path, clock=clock, publish_checks=[refuse_bad], busy_timeout=0.1) as registry:
        draft(registry, "a", "b", template="Bad")

        def failing(storage):
            raise StorageError("The disk is full.")

        monkeypatch.setattr(storage_of(path), "write", failing)
        error = refused(PublishCheckError, registry.publish, ["a", "b"])
        assert error.details["names"] == ["a", "b"]
        assert type(error.__cause__) is StorageError


def test_rule_23_a_write_between_plan_and_commit_is_seen(registry, path, monkeypatch):
    """The plan is made again in the write transaction, so what somebody published meanwhile stays published."""
    draft(registry, "a", "b")
    meanwhile(monkeypatch, path, lambda other: other.publish("b"))
    published = registry.publish(["a", "b"])
    assert [prompt.version for prompt in published] == [2, 2]
    assert [event.action for event in registry.events("b")].count("publish") == 2
    draft(registry, "c", "d")
    meanwhile(monkeypatch, path, lambda other: other.set_status("d", "deleted"))
    assert refused(NotFoundError, registry.publish, ["c", "d"]).details["names"] == ["d"]
    assert live(registry, "c") == [1]


@pytest.mark.parametrize("verb", ["publish", "roll back"])
def test_rule_23_names_that_become_one_prompt_are_a_conflict(registry, path, monkeypatch, verb):
    """Between plan and commit one is renamed to what another was called: no prompt is moved twice."""
    for name in ("a", "b"):
        registry.create(name, "One"), registry.update(name, template="Two"), registry.publish(f"{name}@1")
    names = ["a@2", f"{registry.get('b').id}@2"]

    def rename(other):
        other.update("a", new_name="c", is_production=False)
        other.update("b", new_name="a", is_production=False)

    meanwhile(monkeypatch, path, rename)
    call = registry.publish if verb == "publish" else partial(registry.rollback, reason="x")
    error = refused(VersionConflictError, call, names)
    assert error.details == {"expected": 2, "actual": 1}
    assert live(registry, "a", "c") == [1, 1]


def test_rule_23_a_set_has_a_bounded_size(memory):
    """More than 100,000 references are refused, also where they have no end."""
    for i in range(100):
        memory.create(f"p{i}", "One", is_production=False)
    assert len(memory.publish(f"p{i}" for i in range(100))) == 100
    refused(InvalidInputError, memory.publish, repeat("p1"))
    error = refused(InvalidInputError, memory.publish, (f"p{i}" for i in range(100_001)))
    assert reasons(error) == [("name", "holds more than 100,000 names; that is the most")]


def test_rule_23_long_lists_of_refusals_have_short_messages(memory):
    """A message names ten, and `details` has all."""
    for i in range(30):
        memory.create(f"p{i}", "One", is_production=False)
    error = refused(VersionNotFoundError, memory.publish, [f"p{i}@7" for i in range(30)])
    assert len(error.details["names"]) == len(error.details["refusals"]) == 30
    assert error.message.endswith("And 20 more.")


@pytest.mark.parametrize(("count", "more"), [(10, ""), (11, "1 more")])
def test_rule_23_messages_tell_ten_refusals_and_how_many_more(count, more):
    """Of ten all are told; this holds for unknown versions and for the reasons of failed checks."""
    with Registry(":memory:", publish_checks=[refuse_bad]) as registry:
        names = [f"p{i}" for i in range(count)]
        for name in names:
            registry.create(name, "Bad", is_production=False)
        for error in (
            refused(VersionNotFoundError, registry.publish, names, 7),
            refused(PublishCheckError, registry.publish, names),
        ):
            assert "'p9'" in error.message or "p9: " in error.message
            assert "p10: " not in error.message
            assert (" more" in error.message, more in error.message) == (bool(more), True)


@pytest.mark.parametrize("names", [["a"], ["a", "b"]])
def test_rule_23_a_refusal_has_the_same_details_whatever_the_number(registry, names):
    """`names` and `refusals` are there for a list of one as well, beside what the error of one prompt has."""
    draft(registry, "a", "b")
    for call, kind in (
        (lambda: registry.publish(names, 9), VersionNotFoundError),
        (lambda: registry.rollback(names, reason="x"), ConflictError),
        (lambda: registry.publish(names, expected_hash=dict.fromkeys(names, NO_HASH)), VersionConflictError),
    ):
        error = refused(kind, call)
        assert error.details["names"] == names
        assert [refusal["name"] for refusal in error.details["refusals"]] == names
        assert all(refusal["message"] in error.message for refusal in error.details["refusals"])
        assert isinstance(error, PromptregError)
