"""`check`: the reasons why a version could not be published now (rules 5, 9 and 17)."""

import pytest

from promptreg import (
    Actor,
    ConflictError,
    InvalidInputError,
    NotFoundError,
    Prompt,
    PublishCheckError,
    Registry,
    RenderLimits,
    VersionNotFoundError,
)


def refuse_bad(prompt: Prompt) -> None:
    """Raise for a template that begins with "Bad"."""
    if str(prompt.template).startswith("Bad"):
        raise ValueError("it is bad")


@pytest.fixture
def checked(path, clock):
    """A registry with a publish check."""
    with Registry(path, clock=clock, publish_checks=[refuse_bad]) as registry:
        yield registry


def fill(registry: Registry) -> None:
    """Create `a` with version 1 live and a draft 2, of which one check and two examples fail."""
    registry.create("a", "One")
    registry.update("a", template="Bad {{ x }}", examples=[{}, {"x": 1}, {}], is_production=False)


def test_check_gives_the_reasons_that_publish_would_give(checked, unchanged):
    """They are the same texts in the same order, and the version stays a draft."""
    fill(checked)
    with unchanged():
        reasons = checked.check("a")
    assert type(reasons) is list
    assert [reason[:11] for reason in reasons] == ["examples[0]", "examples[2]", "refuse_bad:"]
    with pytest.raises(PublishCheckError) as caught:
        checked.publish("a")
    assert caught.value.details["reasons"] == reasons == list(checked.get("a@2").failure)


def test_check_writes_nothing_of_a_failed_version(checked, unchanged):
    """A failed version is checked as it is; neither its state nor its reasons change."""
    fill(checked)
    with pytest.raises(PublishCheckError):
        checked.publish("a")
    with unchanged():
        assert checked.check("a") == checked.check("a", 2) == list(checked.get("a@2").failure)


def test_check_gives_an_empty_list_where_nothing_is_wrong(checked, unchanged):
    """Then `publish` succeeds."""
    fill(checked)
    checked.update("a@2", template="Two {{ x | default('') }}")
    with unchanged():
        assert checked.check("a") == []
    assert checked.publish("a").version == 2


def test_check_takes_a_version_by_number_by_label_and_by_reference(checked):
    """It chooses as `publish` does."""
    fill(checked)
    checked.set_label("a", "spring", 2)
    reasons = checked.check("a")
    assert len(reasons) == 3
    for chosen in (("a", 2), ("a", "spring"), ("a@2",), ("a@spring",), ("a@latest",), (checked.get("a").id, 2)):
        assert checked.check(*chosen) == reasons
    assert checked.check("a@production") == checked.check("a", 1) == []


def test_rule_5_check_without_a_version_is_about_the_draft_or_what_is_live(checked):
    """It means the one draft or failed version; where there is none, what is live, though another was live later."""
    fill(checked)
    assert len(checked.check("a")) == 3
    checked.discard("a")
    assert checked.check("a") == []
    checked.update("a", template="Three")
    checked.rollback("a", reason="x")
    assert checked.check("a") == []


def test_rule_5_check_without_a_version_refuses_several_drafts(checked, unchanged):
    """They are named, as `publish` and `discard` name them."""
    fill(checked)
    checked.update("a", template="Three", is_production=False)
    with unchanged(), pytest.raises(ConflictError) as caught:
        checked.check("a")
    assert caught.value.details == {"name": "a", "versions": [2, 3]}
    assert type(caught.value) is ConflictError


def test_rule_5_check_without_a_version_is_about_a_draft_where_nothing_is_live(checked):
    """A prompt that was never live has its one draft checked."""
    checked.create("a", "Bad", is_production=False)
    assert checked.check("a") == ["refuse_bad: it is bad"]


def test_check_runs_on_what_was_live_before(path, clock, unchanged):
    """A new check shows what of it is live and would fail, although publishing it again runs no check."""
    with Registry(path, clock=clock) as registry:
        registry.create("a", "Bad")
        registry.update("a", template="Two")
        assert registry.check("a@1") == []
    with Registry(path, clock=clock, publish_checks=[refuse_bad]) as registry:
        with unchanged():
            assert registry.check("a@1") == ["refuse_bad: it is bad"]
            assert registry.check("a") == []
        assert registry.publish("a@1").version == 1


@pytest.mark.sqlite
def test_check_says_that_a_prompt_is_archived(checked, unchanged):
    """That is the first reason, and the checks run as well; a disabled prompt can be published."""
    fill(checked)
    checked.disable("a")
    assert len(checked.check("a")) == 3
    checked.archive("a")
    with unchanged():
        reasons = checked.check("a")
        assert reasons[0] == "the prompt is archived; restore() it first"
        assert (len(reasons), checked.check("a@1")) == (4, reasons[:1])


def test_check_sees_the_prompt_as_it_would_be(path, clock):
    """A function is called with the prompt that `publish` would call it with, outside any transaction."""
    seen = []

    def look(prompt: Prompt) -> None:
        seen.append((prompt.version, prompt.production_version, prompt.state, prompt.render(x="!").text))
        with Registry(path) as other:
            other.create(f"other-{len(seen)}", "written by a check")

    with Registry(path, clock=clock, publish_checks=[look]) as registry:
        registry.create("a", "One", is_production=False)
        registry.update("a@1", template="Hi {{ x }}")
        registry.disable("a")
        registry.check("a")
        registry.publish("a")
        assert seen == [(1, 1, "published", "Hi !")] * 2


def test_check_of_a_template_that_may_not_be_so_large_says_so(path, clock):
    """The template is the only reason then, as nothing of it renders."""
    with Registry(path, clock=clock) as registry:
        registry.create("a", "Bad " * 10, is_production=False, examples=[{}])
    with Registry(path, render_limits=RenderLimits(source_characters=10), publish_checks=[refuse_bad]) as stricter:
        (reason,) = stricter.check("a")
        assert reason.startswith("template: ")
        with pytest.raises(PublishCheckError) as caught:
            stricter.publish("a")
        assert caught.value.details["reasons"] == [reason]


def test_check_needs_no_more_than_reading(registry, unchanged):
    """Whoever may read a prompt may check it; for others it is not found."""
    registry.create("a", "One", access_grants=[("user:rita", "read")])
    with unchanged():
        assert registry.scope(actor=Actor("rita")).check("a") == []
        with pytest.raises(NotFoundError) as caught:
            registry.scope(actor=Actor("sam")).check("a")
        assert caught.value.details == {"names": ["a"]}


@pytest.mark.parametrize(
    ("arguments", "kind"),
    [
        (("gone",), NotFoundError),
        (("gone", 0), InvalidInputError),
        (("a", 9), VersionNotFoundError),
        (("a@spring",), VersionNotFoundError),
        (("a@1", 1), InvalidInputError),
        ((["a"],), InvalidInputError),
        ((None,), InvalidInputError),
    ],
)
def test_check_refuses_what_is_invalid_or_absent(registry, unchanged, arguments, kind):
    """The order is that of rule 18; a list is no name, as a check is of one prompt."""
    registry.create("a", "One")
    with unchanged(), pytest.raises(kind) as caught:
        registry.check(*arguments)
    assert type(caught.value) is kind


def test_the_reasons_belong_to_the_caller(registry):
    """Each call gives a new list."""
    registry.create("a", "One")
    registry.check("a").append("changed")
    assert registry.check("a") == []
