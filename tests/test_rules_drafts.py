"""Rules 7, 9 and 10: drafts edited in place, checks before publication, and discarding.

Changes while checks run are in test_rules_meanwhile.py.
"""

from collections.abc import Callable, Iterator
from functools import partial

import pytest

from promptreg import (
    Actor,
    ConflictError,
    InvalidInputError,
    NotFoundError,
    NotModifiableError,
    Prompt,
    PublishCheckError,
    Registry,
    TemplateSyntaxError,
    VersionConflictError,
    VersionNotFoundError,
)
from tests.refusals import prepare, refused


def holds_no_secret(prompt: Prompt) -> None:
    """Refuse a template with the word secret."""
    if "secret" in str(prompt.template):
        raise ValueError("it tells a secret")


def is_polite(prompt: Prompt) -> None:
    """Refuse a template with the word damn."""
    if "damn" in str(prompt.template):
        raise LookupError


@pytest.fixture
def guarded(path, clock) -> Iterator[Registry]:
    """A registry on the same file as `registry`, with two publish checks."""
    with Registry(path, clock=clock, publish_checks=[holds_no_secret, is_polite]) as opened:
        yield opened


@pytest.fixture
def refuses(registry, unchanged) -> Callable[..., None]:
    """Return `refused` for the registry of this test."""
    return partial(refused, registry, unchanged)


def actions(registry: Registry, name: str = "x") -> list[str]:
    """Return the actions of a prompt's events."""
    return [event.action for event in registry.events(name, limit=1000)]


def fail(guarded: Registry) -> None:
    """Mark version 2 of x, created by `prepare`, as failed."""
    guarded.update("x@2", template="secret")
    with pytest.raises(PublishCheckError):
        guarded.publish("x", 2)


# Rule 7


@pytest.mark.parametrize(
    "edit",
    [
        {"template": "Two {{ n }}"},
        {"template": [{"role": "system", "content": "Two"}]},
        {"title": "Two"},
        {"description": "Two", "category": "c"},
        {"tags": ["z"]},
        {"config": {"a": [1]}},
        {"meta": {"a": None}},
        {"variables": [{"name": "n", "type": "integer"}]},
        {"examples": [{"n": 1}]},
        {"commit_message": "Better"},
        {"title": "Two", "is_production": False},
    ],
    ids=str,
)
def test_rule_7_edits_in_place_are_partial(registry, edit):
    """Only the passed fields of that version change, and `updated_at`; number, base, author and creation do not."""
    ana, bo = (registry.scope(actor=Actor(who, "team_editor")) for who in ("ana", "bo"))
    ana.create("x", "one", tags=["a"])
    draft = ana.update("x", template="two", commit_message="First", is_production=False)
    live = registry.get("x")
    edited = bo.update("x", version=2, **edit)
    passed = {*edit} - {"is_production"}
    derived = {"kind", "variables"} if "template" in passed else set()
    derived |= {"declared_variables"} if "variables" in passed else set()
    expected = {"updated_at", "content_hash", *passed, *derived}
    changed = {f for f in Prompt.model_fields if getattr(edited, f) != getattr(draft, f)}
    assert passed | {"updated_at"} <= changed <= expected
    assert (edited.version, edited.author, edited.commit_message) == (2, "ana", edit.get("commit_message", "First"))
    assert edited.updated_at > draft.updated_at
    assert registry.get("x", version=2) == edited
    assert registry.get("x").model_dump(exclude={"updated_at"}) == live.model_dump(exclude={"updated_at"})
    assert [v.version for v in registry.history("x")] == [2, 1]
    assert [(e.action, e.version, e.actor) for e in registry.events("x")][-1] == ("edit", 2, "bo")


@pytest.mark.parametrize("by", ["x@2", "x@staging", "x@latest"])
def test_rule_7_edits_in_place_by_any_reference(registry, by):
    """A draft can be edited by number or label, and the next draft is compared with its new content."""
    prepare(registry)
    assert registry.update(by, template="edited").version == 2
    assert registry.update("x", template="edited", is_production=False).version == 2
    assert registry.update("x", version=by.removeprefix("x@").replace("2", "staging"), title="T").template == "edited"


@pytest.mark.parametrize(
    "edit", [{}, {"template": "two"}, {"tags": ["a"], "title": "x", "is_production": False}, {"config": None}], ids=str
)
def test_rule_7_an_edit_that_changes_nothing_writes_nothing(registry, guarded, unchanged, edit):
    """An equal edit changes nothing, so that a failed version remains failed."""
    prepare(registry)
    draft = registry.get("x@2")
    with unchanged():
        assert registry.update("x", version=2, **edit) == draft
    fail(guarded)
    failed = registry.get("x@2")
    with unchanged():
        assert registry.update("x", version=2, **{**edit, "template": "secret"}) == failed
    assert failed.state == "failed"


def test_rule_7_a_prompt_never_live_is_found_by_its_edited_draft(registry):
    """If no version was ever live, listings show the latest version as it is edited."""
    registry.create("x", "apple", is_production=False)
    registry.update("x@1", template="pear", category="fruit")
    assert [p.template for p in registry.search("pear")] == [p.template for p in registry.list(category="fruit")]
    assert registry.search("apple") == []


def test_rule_7_published_versions_are_never_edited(registry, refuses):
    """An edit, even an equal one, of a version that is or was live is refused with version_not_modifiable."""
    registry.create("x", "one")
    registry.update("x", template="two")
    registry.rollback("x", reason="r")
    for version in (1, 2, "production", "latest"):
        for edit in ({"template": "new"}, {"commit_message": "new"}, {}):
            refuses(
                lambda r, version=version, edit=edit: r.update("x", version=version, **edit),
                NotModifiableError,
                "version_not_modifiable",
                names=["x"],
                state="published",
            )


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize(
    "edit",
    [
        {"is_production": True},
        {"new_name": "y"},
        {"new_name": "x"},
        {"access_grants": [("anyone", "read")]},
        {"access_grants": []},
    ],
    ids=str,
)
def test_rule_7_edit_in_place_never_publishes(registry, refuses, edit, version):
    """An edit in place refuses is_production=True and fields of the container, before anything else."""
    prepare(registry)
    refuses(lambda r: r.update("x", version=version, title="T", **edit), InvalidInputError, "validation_error")
    refuses(lambda r: r.update(f"x@{version}", title="T", **edit), InvalidInputError, "validation_error")


def test_rule_7_other_refusals_of_an_edit(registry, refuses):
    """A wrong expected hash, an invalid template, an unknown prompt and an archived one are refused."""
    prepare(registry)
    live, draft = registry.get("x").content_hash, registry.get("x@2").content_hash
    refuses(
        lambda r: r.update("x@2", title="T", expected_hash=live),
        VersionConflictError,
        "version_conflict",
        expected=live,
        actual=draft,
    )
    refuses(lambda r: r.update("x@2", template="a\n{{ b"), TemplateSyntaxError, "template_syntax_error", line=2)
    refuses(lambda r: r.update("no@2", title="T"), NotFoundError, "not_found", names=["no"])
    registry.archive("x")
    refuses(lambda r: r.update("x@2", title="T"), NotModifiableError, "prompt_archived", names=["x"])


def test_rule_7_an_edit_returns_a_failed_version_to_draft(registry, guarded):
    """After an edit a failed version is a draft without reasons, and can be published."""
    prepare(registry)
    fail(guarded)
    edited = guarded.update("x", version=2, template="fine")
    assert (edited.state, edited.failure, edited.published_at) == ("draft", None, None)
    assert guarded.publish("x", 2).template == "fine"
    assert registry.get("x").failure is None


# Rule 9


def test_rule_9_a_failed_publish_marks_the_version(registry, guarded):
    """Publishing a version that fails its checks marks it as failed, with the reasons, and changes nothing live."""
    prepare(registry)
    guarded.update("x@2", template="damn secret", examples=[{}])
    live = registry.get("x")
    for _ in range(2):
        with pytest.raises(PublishCheckError) as caught:
            guarded.scope(actor=Actor("ana", "team_editor")).publish("x@staging")
        assert (type(caught.value), caught.value.code) == (PublishCheckError, "publish_check_failed")
        failed = registry.get("x@2")
        assert (failed.state, failed.failure) == ("failed", caught.value.details["reasons"])
        assert "it tells a secret" in failed.failure[0]
        assert len(failed.failure) == 2
        assert failed.published_at is None
    event = registry.events("x")[-1]
    assert (event.action, event.version, event.actor) == ("check_failed", 2, "ana")
    assert event.details == {"reasons": failed.failure}
    after = registry.get("x")
    assert after.model_dump(exclude={"updated_at"}) == live.model_dump(exclude={"updated_at"})
    assert "publish" not in actions(registry)[2:]
    assert [v.state for v in registry.history("x")] == ["failed", "published"]


def test_rule_9_a_failed_version_is_published_when_its_checks_pass(registry, guarded):
    """A failed version is published unchanged if the checks pass now."""
    prepare(registry)
    fail(guarded)
    published = registry.publish("x", 2)
    assert (published.state, published.failure, published.template) == ("published", None, "secret")
    assert actions(registry)[-2:] == ["check_failed", "publish"]


@pytest.mark.parametrize(
    "call",
    [
        lambda r: r.create("y", "secret"),
        lambda r: r.save("y", "secret"),
        lambda r: r.save("x", "secret"),
        lambda r: r.update("x", template="secret"),
        lambda r: r.update("never", template="secret"),
        lambda r: r.update("leak", title="T"),
        lambda r: r.update("leak", new_name="y"),
        lambda r: r.update("leak", access_grants=[("anyone", "read")]),
        lambda r: r.create("y", "{{ n }}", examples=[{}]),
        lambda r: r.update("x", template="{{ n }}", examples=[{"m": 1}]),
        lambda r: r.update("x", template="{{ 1 / n }}", examples=[{"n": 1}, {"n": 0}]),
        lambda r: r.update("x", variables=[{"name": "n", "type": "integer"}], examples=[{"n": "1"}]),
        lambda r: r.update("x", template=[{"placeholder": "h"}], examples=[{"h": ["user"]}]),
    ],
)
def test_rule_9_create_save_and_update_write_nothing_when_checks_fail(registry, guarded, unchanged, call):
    """A version that would be live at once, and fails its checks or examples, is not written."""
    prepare(registry)
    registry.create("never", "one", is_production=False)
    registry.create("leak", "secret")
    refused(guarded, unchanged, call, PublishCheckError, "publish_check_failed")


def test_rule_9_every_reason_is_reported(guarded):
    """The error has a reason for each example and each check that failed, and none of the values."""
    examples = [{}, {"n": "1", "m": "hush"}, {"m": "hush"}]
    with pytest.raises(PublishCheckError) as caught:
        guarded.create("x", "damn secret {{ n }} {{ m }}", examples=examples)
    assert len(caught.value.details["reasons"]) == 4
    assert "hush" not in str(caught.value.to_dict())
    assert caught.value.http_status == 422


def test_rule_9_extra_variables_count_in_examples(path):
    """An example with a variable that the template does not read fails only if extra variables are forbidden."""
    with Registry(path, extra_variables="forbid") as strict, pytest.raises(PublishCheckError):
        strict.create("x", "{{ n }}", examples=[{"n": 1, "m": 2}])
    with Registry(path) as lenient:
        assert lenient.create("x", "{{ n }}", examples=[{"n": 1, "m": 2}]).version == 1


def test_rule_9_only_new_production_versions_are_checked(registry, path):
    """Drafts, edits, no-ops, labels, rollbacks and versions that were live run no checks; all other calls run them."""
    asked = []
    with Registry(path, publish_checks=[asked.append]) as checking:
        checking.create("x", "one", is_production=False)
        checking.update("x", template="two", is_production=False)
        checking.update("x@2", template="deux", examples=[{"wrong": 1}])
        checking.set_label("x", "staging", 2)
        registry.publish("x", 1)
        registry.update("x", template="three")
        checking.update("x", template="three")
        checking.publish("x", 3)
        checking.rollback("x", reason="r")
        checking.publish("x", 3)
        checking.rollback("x", 1, reason="r")
        assert asked == []
        checking.publish("x", 2)
        checking.update("x", template="four")
        checking.update("x", new_name="y")
        assert [(p.name, p.version, p.template) for p in asked] == [
            ("x", 2, "deux"),
            ("x", 4, "four"),
            ("y", 5, "four"),
        ]


def test_rule_9_a_version_that_was_live_can_be_published_even_if_it_would_fail_now(registry, guarded):
    """Rollback, and publishing a version that was live before, run no checks."""
    registry.create("x", "secret")
    registry.update("x", template="two")
    assert guarded.rollback("x", reason="r").template == "secret"
    guarded.publish("x", 2)
    assert guarded.publish("x", 1).template == "secret"


def test_rule_9_checks_run_outside_any_transaction(path):
    """A check may render, read and write with this registry and another one, without waiting."""
    with Registry(path, busy_timeout=0.1) as other:

        def note(prompt: Prompt) -> None:
            if prompt.name == "x":
                assert prompt.render(n=1).text == "1"
                other.create("log", prompt.name)
                checking.update("log", template="seen", is_production=False)

        with Registry(path, publish_checks=[note], busy_timeout=0.1) as checking:
            assert checking.create("x", "{{ n }}").version == 1
            assert checking.get("log@2").template == "seen"


class Unspeakable(Exception):
    """An exception whose text can't be read."""

    def __str__(self) -> str:
        raise RuntimeError


@pytest.mark.parametrize(
    "error",
    [ValueError("\ud800"), ValueError("a\0b"), ValueError(), Unspeakable(), KeyError(None), StopIteration()],
    ids=lambda error: ascii(type(error).__name__ + "".join(map(str, error.args))),
)
def test_rule_9_any_exception_of_a_check_is_a_reason(path, error):
    """Any exception of a check becomes a reason, even if its text can't be read, and no other error is raised."""

    def check(prompt: Prompt) -> None:
        raise error

    with Registry(path, publish_checks=[check]) as checking:
        checking.create("x", "one", is_production=False)
        with pytest.raises(PublishCheckError) as caught:
            checking.publish("x")
        assert len(caught.value.details["reasons"]) == 1
        assert (checking.get("x@1").state, len(checking.get("x@1").failure)) == ("failed", 1)


# Rule 10


def test_rule_10_discard_accepts_drafts_and_failed_versions(registry, guarded):
    """No reader finds a discarded version, and the latest is the highest that remains."""
    prepare(registry)
    registry.update("x", template="three", is_production=False)
    fail(guarded)
    registry.set_label("x", "staging", 1)
    warm = registry.get("x@2")
    after = registry.discard("x", 2)
    assert (warm.state, after.version, after.latest_version) == ("failed", 1, 3)
    assert after.updated_at > warm.updated_at
    for reader in (registry, guarded):
        with pytest.raises(VersionNotFoundError):
            reader.get("x@2")
    assert registry.discard("x@latest").labels == {"production": 1, "latest": 1, "staging": 1}
    assert [v.version for v in registry.history("x")] == [1]
    assert [(e.action, e.version) for e in registry.events("x")][-2:] == [("discard", 2), ("discard", 3)]


@pytest.mark.parametrize("is_live", [True, False])
def test_rule_3_a_renamed_prompt_is_found_by_its_live_version(registry, is_live):
    """Search finds the new name at once, with the live version's words, and a draft's words only if nothing is live."""
    registry.create("old", "apple", title="Cider", is_production=is_live)
    registry.update("old", template="pear", title="Perry", new_name="new", is_production=False)
    found = {
        word: [p.name for p in registry.search(word)] for word in ("old", "new", "apple", "cider", "pear", "perry")
    }
    live, draft = (["new"], []) if is_live else ([], ["new"])
    assert found == {"old": [], "new": ["new"], "apple": live, "cider": live, "pear": draft, "perry": draft}


def test_rule_10_listings_show_the_remaining_version_of_a_prompt_never_live(registry):
    """If nothing was ever live, after discarding the latest version listings show the one before it."""
    registry.create("x", "apple", is_production=False)
    registry.update("x", template="pear", is_production=False)
    registry.discard("x", 2)
    assert ([p.version for p in registry.search("apple")], registry.search("pear")) == ([1], [])
    assert [p.version for p in registry.list()] == [1]


@pytest.mark.parametrize(
    ("call", "error", "code"),
    [
        (lambda r: r.discard("x", 1), NotModifiableError, "version_not_modifiable"),
        (lambda r: r.discard("x@production"), NotModifiableError, "version_not_modifiable"),
        (lambda r: r.discard("back", 2), NotModifiableError, "version_not_modifiable"),
        (lambda r: r.discard("x", 2), ConflictError, "conflict"),
        (lambda r: r.discard("x@staging"), ConflictError, "conflict"),
        (lambda r: r.discard("x"), ConflictError, "conflict"),
        (lambda r: r.discard("only"), ConflictError, "conflict"),
        (lambda r: r.discard("left", 2), ConflictError, "conflict"),
        (lambda r: r.discard("left", 1), VersionNotFoundError, "version_not_found"),
        (lambda r: r.discard("no"), NotFoundError, "not_found"),
        (lambda r: r.discard("gone", 2), NotModifiableError, "prompt_archived"),
    ],
)
def test_rule_10_discard_refuses(registry, refuses, call, error, code):
    """A version that is or was live, a labelled one, and a prompt's only version can't be discarded."""
    prepare(registry)
    registry.create("back", "one")
    registry.update("back", template="two")
    registry.rollback("back", reason="r")
    registry.create("only", "one", is_production=False)
    for name in ("left", "gone"):
        registry.create(name, "one", is_production=False)
        registry.update(name, template="two", is_production=False)
    registry.discard("left", 1)
    registry.archive("gone")
    refuses(call, error, code)


def test_rule_10_base_version_never_names_a_discarded_version(registry, path, unchanged):
    """Every reader gets the base None for a draft or live version whose base was discarded."""
    registry.create("x", "one", is_production=False)
    registry.update("x", template="two", is_production=False)
    registry.update("x", template="three", is_production=False)
    registry.update("x", template="four")
    assert [v.base_version for v in registry.history("x")] == [3, 2, 1, None]
    with Registry(path) as other:
        assert other.get("x").base_version == 3
        assert registry.discard("x", 3).base_version is None
        assert (registry.get("x").base_version, other.get("x").base_version) == (None, None)
        registry.discard("x", 1)
        for reader in (registry, other):
            assert [(v.version, v.base_version) for v in reader.history("x")] == [(4, None), (2, None)]
            assert reader.get("x@2").base_version is None
            assert [p.base_version for p in [*reader.list(), *reader.search("four")]] == [None, None]
    assert registry.update("x@2", title="T").base_version is None
    assert registry.publish("x", 2).base_version is None
    made = registry.update("x", template="five", is_production=False)
    assert made.base_version == 2
    with unchanged():
        assert registry.update("x@5", template="five").base_version == 2
    with Registry(path) as reopened:
        assert [(v.version, v.base_version) for v in reopened.history("x")] == [(5, 2), (4, None), (2, None)]
