"""Rule 19: names, namespaces, labels, references to prompts and versions, and slugify."""

import re
import unicodedata
from uuid import UUID, uuid4

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from promptreg import (
    Actor,
    InvalidInputError,
    NoProductionVersionError,
    NotFoundError,
    Registry,
    VersionNotFoundError,
    slugify,
)

NAMES = [
    "a",
    "7",
    "x" * 128,
    "summarize_v2",
    "team-a/mail.reply_2",
    "çay",
    "日本語",
    "मूल्य",  # letters with combining marks
    "٣",
    "ß",
    "ñandú/ß.χ",
    "550e8400-e29b-41d4-a716-44665544000",  # one digit short of a UUID
]
A_UUID = "550e8400-e29b-41d4-a716-446655440000"
NO_NAMES = [
    "",
    " ",
    "A",
    "É",
    "ǅ",
    "İ",
    "a b",
    "a\n",
    "\ta",
    "_",
    "_a",
    "a_",
    "-a",
    "a-",
    ".a",
    "a.",
    "/a",
    "a/",
    "a..b",
    "a//b",
    "../a",
    "a\\b",
    "a:b",
    "a,b",
    "a+b",
    "{{a}}",
    "½",
    "²",
    "☕",
    "a\u200bb",
    "a\u202eb",
    "a\u00a0b",
    "cafe\u0301",  # not NFC
    "x" * 129,
    A_UUID,
    "\ud800",
    "a\0b",
    None,
    3,
    b"a",
    ["a"],
]
LABELS = ["staging", "canary-eu", "A", "v1.2", "1.2", "_", "x" * 50, "2nd", "-1"]
NO_LABELS = ["", " ", "a b", "é", "x" * 51, "7", "007", "a/b", "a@b", "a\n", "٣", "a\0", "\ud800", None, 3, b"a", ["a"]]
RESERVED = ["production", "latest", "Production", "LATEST", "pRoDuCtIoN"]


@pytest.fixture
def stocked(registry):
    """A registry whose prompt `a` has live version 2, version 1 labelled staging, and drafts 3 and 4."""
    registry.create("a", "one")
    registry.update("a", template="two")
    registry.update("a", template="three", is_production=False)
    registry.update("a", template="four", is_production=False)
    registry.set_label("a", "staging", 1)
    return registry


@pytest.fixture(scope="module")
def memory():
    """A registry in memory, which only validates names."""
    with Registry(":memory:") as opened:
        yield opened


def refusal(call, *args, **kwargs):
    """Return the invalid field of a call that must raise InvalidInputError."""
    with pytest.raises(InvalidInputError) as caught:
        call(*args, **kwargs)
    assert (caught.value.code, caught.value.http_status) == ("validation_error", 400)
    (error,) = caught.value.details["errors"]
    assert set(error) == {"field", "reason"}
    assert error["reason"]
    return error["field"]


@pytest.mark.parametrize("name", NAMES)
def test_rule_19_names_and_namespaces_are_letters_digits_and_separators(registry, name):
    """A well-formed name is accepted unchanged, for a prompt and for a namespace."""
    view = registry.scope(namespace=name)
    created = view.create(name, "text")
    assert (created.name, created.namespace, view.namespace) == (name, name, name)
    assert view.get(name) == created
    assert registry.namespaces() == [name]


def test_rule_19_malformed_names_are_refused(stocked, unchanged, path):
    """A malformed name is refused for a new prompt, a rename and a namespace."""
    warm = stocked.get("a")
    with unchanged():
        for name in NO_NAMES:
            assert refusal(stocked.create, name, "text") == "name"
            assert refusal(stocked.update, "a", new_name=name) == "new_name"
            assert refusal(stocked.scope, namespace=name) == "namespace"
            assert refusal(Registry, path, namespace=name) == "namespace"
    assert stocked.get("a") == warm


# The verbs that name one prompt, and their other arguments.
NAMING = {
    "get": [],
    "render": [],
    "update": [],
    "publish": [],
    "discard": [],
    "check": [],
    **dict.fromkeys(["enable", "disable", "archive", "restore", "delete"], ()),
    "history": [],
    "diff": [1, 2],
    "set_label": ["x", 1],
    "remove_label": ["x"],
}


def test_rule_19_malformed_references_are_refused_by_every_verb(stocked, unchanged):
    """A malformed name is invalid input, and not a prompt that is not found, even with a default."""
    verbs = {"save": ["text"], "seed": ["text"], **NAMING}
    with unchanged():
        for name in [name for name in NO_NAMES if name != A_UUID]:
            for verb, rest in verbs.items():
                if verb != "publish" or not isinstance(name, list):
                    assert refusal(getattr(stocked, verb), name, *rest) == "name"
            if not isinstance(name, list):
                assert refusal(stocked.rollback, name, reason="x") == "name"
            assert refusal(stocked.get, name, default=None) == "name"
            assert refusal(stocked.render, name, default="x") == "name"
            assert refusal(stocked.set_status, [name], "disabled") == "names[0]"
            assert refusal(stocked.get_many, [name]) == "names[0]"
            assert refusal(stocked.report, [name]) == "names[0]"
            if name is not None:
                assert refusal(stocked.events, name) == "name"


@given(name=st.text(max_size=140))
@example("ΑΣ")
@example("a..b")
@example("x" * 129)
def test_rule_19_a_name_is_accepted_exactly_if_it_is_well_formed(memory, name):
    """A name is accepted exactly if the rule, written out here, accepts it."""
    is_word = [unicodedata.category(c)[0] in "LM" or unicodedata.category(c) == "Nd" for c in name]
    well_formed = (
        0 < len(name) <= 128
        and name == unicodedata.normalize("NFC", name) == name.lower()
        and all(word or c in "_-./" for word, c in zip(is_word, name, strict=True))
        and is_word[0]
        and is_word[-1]
        and ".." not in name
        and "//" not in name
        and not re.fullmatch(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", name)
    )
    if well_formed:
        assert memory.scope(namespace=name).namespace == name
    else:
        refusal(memory.scope, namespace=name)


SLUGS = [
    ("`position` Interviewer", "position_interviewer"),
    ("Act as a  C++/SQL -- Terminal.", "act_as_a_c_sql_terminal"),
    ("  ÇAY  ", "çay"),
    ("already_fine", "already_fine"),
    ("a__b", "a_b"),
    ("cafe\u0301", "café"),
    ("日本 語", "日本_語"),
    ("٣ times", "٣_times"),
    ("x" * 200, "x" * 128),
    ("x" * 127 + " y", "x" * 127),
    ("a\0b\ud800c", "a_b_c"),
    ("550E8400-E29B-41D4-A716-446655440000", "550e8400_e29b_41d4_a716_446655440000"),
]


@pytest.mark.parametrize(("text", "name"), SLUGS, ids=ascii)
def test_rule_19_slugify_turns_a_title_into_a_name(text, name):
    """The title is lower-cased, every other run becomes one `_`, the ends are trimmed, and it is cut at 128."""
    assert slugify(text) == name


@pytest.mark.parametrize("text", ["", "   ", "☕!", "_-./", "\0", "\ud800", "²½", None, 3, b"a", ["a"]], ids=ascii)
def test_rule_19_slugify_refuses_an_empty_result(text):
    """An empty result, and anything but a text, is invalid input."""
    assert refusal(slugify, text) == "text"


@given(text=st.text() | st.text("aA _-☕İΣς\u0301\u0345ǅß٣½", max_size=300))
@example("İ")
@example("ΑΣ ΑΣ")
@example("x" * 127 + "\u0301\u0301")
@example("☕\u0301a")
@example("ᾼ" * 200)
def test_rule_19_slugify_always_returns_a_valid_name(memory, text):
    """For any text the result is a valid name that slugify does not change, or the text is refused."""
    try:
        name = slugify(text)
    except InvalidInputError:
        kept = unicodedata.normalize("NFC", text.lower())
        assert not any(unicodedata.category(c)[0] in "LM" or unicodedata.category(c) == "Nd" for c in kept)
        return
    assert memory.scope(namespace=name).namespace == name
    assert slugify(name) == name
    assert "__" not in name


def test_rule_19_labels(stocked):
    """A well-formed label chooses its version by `@`, `label=` and `version=`."""
    for label in LABELS:
        assert stocked.set_label("a", label, 1).labels[label] == 1
        for found in (stocked.get(f"a@{label}"), stocked.get("a", label=label), stocked.get("a", version=label)):
            assert found.version == 1


def test_rule_19_malformed_labels_are_refused(stocked, unchanged):
    """A malformed label is invalid input wherever a label is accepted."""
    with unchanged():
        for label in NO_LABELS:
            assert refusal(stocked.set_label, "a", label, 1) == "label"
            assert refusal(stocked.remove_label, "a", label) == "label"
            if label is not None:
                assert refusal(stocked.get, "a", label=label) == "label"
                assert refusal(stocked.render, "a", label=label) == "label"
    assert stocked.get("a").labels == {"latest": 4, "production": 2, "staging": 1}


def test_rule_19_production_and_latest_are_reserved(stocked, unchanged):
    """A caller can neither move nor remove the two reserved labels, in any case."""
    with unchanged():
        for label in RESERVED:
            assert refusal(stocked.set_label, "a", label, 1) == "label"
            assert refusal(stocked.remove_label, "a", label) == "label"


def test_references_choose_a_version_by_number_or_label(stocked):
    """`name@3`, `name@label`, and the same with an id, choose a version in get and render."""
    prompt_id = stocked.get("a").id
    for reference, version in {"": 2, "@1": 1, "@3": 3, "@staging": 1, "@production": 2, "@latest": 4}.items():
        for base in ("a", prompt_id):
            assert stocked.get(base + reference).version == version
            assert stocked.render(base + reference).version == version
    for version, number in {1: 1, "staging": 1, "latest": 4, "production": 2}.items():
        assert stocked.get("a", version=version).version == number
        assert stocked.render("a", version=version).version == number


def test_references_choose_a_version_in_every_verb_that_writes_one(stocked):
    """The verbs that choose a version accept it with `@` too, by name and by id."""
    prompt_id = stocked.get("a").id
    assert stocked.update("a@3", title="Third").title == "Third"
    assert stocked.set_label("a@3", "next").labels["next"] == 3
    assert stocked.set_label(f"{prompt_id}@staging", "next").labels["next"] == 1
    assert stocked.update(f"{prompt_id}@latest", title="Fourth").version == 4
    assert stocked.publish("a@staging").production_version == 1
    assert stocked.publish(f"{prompt_id}@3").production_version == 3
    assert stocked.rollback("a@2", reason="x").production_version == 2
    assert stocked.discard("a@4").latest_version == 3


def test_a_label_is_accepted_wherever_a_version_is(stocked):
    """`history`, `diff` and `set_label` accept labels as versions."""
    assert [v.version for v in stocked.history("a", before="latest")] == [3, 2, 1]
    assert stocked.diff("a", "staging", "production") == stocked.diff("a", 1, 2)
    assert stocked.set_label("a", "next", "latest").labels["next"] == 4


CHOSEN_TWICE = [
    ("get", ["a"], {"version": 1, "label": "staging"}),
    ("get", ["a@1"], {"version": 1}),
    ("get", ["a@staging"], {"label": "staging"}),
    ("get", ["a"], {"version": 1, "label": "staging", "default": None}),
    ("render", ["a"], {"version": 1, "label": "staging"}),
    ("render", ["a@1"], {"version": 2}),
    ("render", ["a@1"], {"label": "staging", "default": "x"}),
    ("publish", ["a@3", 3], {}),
    ("rollback", ["a@1", 1], {"reason": "x"}),
    ("discard", ["a@3", 3], {}),
    ("update", ["a@3"], {"version": 3, "title": "x"}),
    ("set_label", ["a@3", "x", 3], {}),
    ("set_label", ["a@staging", "x"], {"version": "staging"}),
]


def test_a_version_can_not_be_chosen_twice(stocked, unchanged):
    """Choosing a version twice is invalid input, even if both choices are the same."""
    for verb, args, kwargs in CHOSEN_TWICE:
        with unchanged():
            refusal(getattr(stocked, verb), *args, **kwargs)


@pytest.mark.parametrize("reference", ["a@1", "a@staging", "a@latest"])
def test_at_is_refused_by_verbs_that_choose_no_version(stocked, unchanged, reference):
    """`@` is invalid input in every verb that is about the prompt, not about one version."""
    calls = [
        ("create", ["text"]),
        ("save", ["text"]),
        ("seed", ["text"]),
        ("archive", []),
        ("restore", []),
        ("remove_label", ["staging"]),
        ("history", []),
        ("diff", [1, 2]),
        ("events", []),
    ]
    with unchanged():
        for verb, rest in calls:
            assert refusal(getattr(stocked, verb), reference, *rest) == "name"
        refusal(stocked.set_status, reference, "disabled")
        refusal(stocked.set_status, ["a", reference], "disabled")
        refusal(stocked.report, ["a", reference])
        refusal(stocked.update, "a", new_name=reference)


def test_malformed_versions_in_a_reference_are_refused(stocked, unchanged):
    """Anything but a number from 1 or a label after `@` is invalid input."""
    with unchanged():
        for chosen in ("", "@1", "1@2", "0", "00", " 1", "+1", "1 ", "é", "٣", "x" * 51, "a/b"):
            for verb in ("get", "render", "publish", "discard", "update"):
                assert refusal(getattr(stocked, verb), f"a@{chosen}") == "name"
            assert refusal(stocked.get, f"@{chosen}") == "name"


@pytest.mark.parametrize("version", [5, 10**9, 2**63, 2**64, 10**25, "absent", "Staging"])
def test_unknown_versions_are_not_found(stocked, unchanged, version):
    """A number of any size, or a label, that the prompt does not have raises `VersionNotFoundError`."""
    calls = [
        lambda: stocked.get("a", version=version),
        lambda: stocked.get(f"a@{version}"),
        lambda: stocked.render("a", version=version),
        lambda: stocked.update("a", version=version, title="x"),
        lambda: stocked.publish("a", version),
        lambda: stocked.rollback("a", version, reason="x"),
        lambda: stocked.discard("a", version),
        lambda: stocked.set_label("a", "x", version),
        lambda: stocked.diff("a", 1, version),
        lambda: stocked.diff("a", version, 1),
    ]
    with unchanged():
        for call in calls:
            with pytest.raises(VersionNotFoundError) as caught:
                call()
            assert (caught.value.code, caught.value.http_status) == ("version_not_found", 404)
            assert caught.value.details == {"name": "a", "version": version}


def test_a_draft_alone_has_no_production_version(registry, unchanged):
    """If none was ever published, get, render and `@production` raise `NoProductionVersionError`."""
    registry.create("draft", "x", is_production=False)
    with unchanged():
        for call in (registry.get, registry.render):
            for reference in ("draft", "draft@production"):
                with pytest.raises(NoProductionVersionError) as caught:
                    call(reference)
                assert caught.value.code == "no_production_version"
                assert caught.value.details == {"name": "draft", "version": None}
    assert registry.get("draft", default="other") == "other"


def test_ids_are_found_after_a_rename_and_only_in_their_namespace(stocked):
    """An id finds the prompt after a rename too, and nothing in another namespace."""
    prompt = stocked.get("a")
    assert UUID(prompt.id).version == 7
    stocked.update("a", new_name="b")
    assert stocked.get(prompt.id).name == "b"
    with pytest.raises(NotFoundError):
        stocked.get("a")
    other = stocked.scope(namespace="other")
    for reference in (prompt.id, f"{prompt.id}@1", "b"):
        with pytest.raises(NotFoundError) as caught:
            other.get(reference)
        assert caught.value.code == "not_found"
        assert caught.value.details == {"names": [reference.partition("@")[0]]}


def test_every_verb_accepts_an_id(stocked):
    """Every verb accepts an id in place of a name."""
    a = stocked.get("a").id
    assert stocked.save(a, "two").version == stocked.seed(a, "two").version == 2
    assert stocked.set_label(a, "x", 1).labels["x"] == 1
    assert "x" not in stocked.remove_label(a, "x").labels
    assert [v.version for v in stocked.history(a)] == [4, 3, 2, 1]
    assert stocked.diff(a, 1, 2) == stocked.diff("a", 1, 2)
    assert stocked.events(a) == stocked.events("a")
    assert stocked.archive(a).status == "archived"
    assert stocked.restore(a).status == "active"
    assert stocked.set_status([a, "a"], "disabled").updated == ["a"]


def test_unknown_names_and_ids_are_not_found_by_every_verb(stocked, unchanged):
    """A well-formed name or id of no prompt raises `NotFoundError`, which has the requested name."""
    for name in ("absent", str(uuid4()), "cafés/日本"):
        calls = {
            **NAMING,
            "events": [],
            "set_status": ["disabled"],
            "report": [],
        }
        with unchanged():
            for verb, rest in calls.items():
                with pytest.raises(NotFoundError) as caught:
                    getattr(stocked, verb)(name, *rest)
                assert (caught.value.code, caught.value.details) == ("not_found", {"names": [name]})
            with pytest.raises(NotFoundError):
                stocked.rollback(name, reason="x")
            with pytest.raises(NotFoundError):
                stocked.get_many([name])
    with unchanged(), pytest.raises(NotFoundError):
        stocked.save(str(uuid4()), "an id makes no prompt")
    with unchanged(), pytest.raises(NotFoundError):
        stocked.seed(str(uuid4()), "an id makes no prompt")


def test_set_status_names_every_malformed_name(stocked, unchanged):
    """One malformed name fails the call, and each malformed one is listed with its position."""
    with unchanged(), pytest.raises(InvalidInputError) as caught:
        stocked.set_status(["a", "B", "c", 3], "disabled")
    assert [error["field"] for error in caught.value.details["errors"]] == ["names[1]", "names[3]"]


def test_names_are_unique_in_a_namespace_only(registry):
    """The same name in two namespaces is two prompts."""
    here, there = registry.create("a", "here"), registry.scope(namespace="other").create("a", "there")
    assert here.id != there.id
    assert (registry.render("a").text, registry.scope(namespace="other").render("a").text) == ("here", "there")
    assert registry.scope(actor=Actor("x", "org_admin")).namespaces() == ["default", "other"]
